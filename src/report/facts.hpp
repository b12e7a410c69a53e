// What a document about a job is made from; true in the snapshot in which it was gathered.
#pragma once

#include <string>

#include "catalog/job.hpp"

namespace backfill {

// What job_status and the job's own row say.
struct Facts {
  Job job;
  pg::Result status;
  pg::Row row() const { return status[0]; }
  std::string text(const char *column) const { return row().text(column); }
  bool is(const char *state) const { return text("state") == state; }
};

// REQUIRES: as_extension, and that the caller may see the job: the views would filter by the extension's own role.
Facts gather(const Job &job);

enum class Tone { plain, busy, good, warn, bad };

// A job's state, for people.
struct ShownState {
  std::string word;    // as backfill.jobs has it
  std::string text;    // READY TO PUBLISH
  std::string mark;    // an emoji
  std::string detail;  // the phase, while it is at work; else empty
  Tone tone = Tone::plain;
};
// Of Facts::row().
ShownState shown_state(const pg::Row &row);

// "ordered_at from 2023-01-01 until before 2024-01-01, Europe/Berlin", or "the whole table"; not escaped.
std::string scope_text(const Job &job);

// What holds it back, as the plan tells it; "" for nothing; not escaped.
std::string throttle_text(const Job &job);

// The transform as its author wrote it: the query, or ADD COLUMN, SET and join.
std::string transform_text(const Job &job);

}  // namespace backfill
