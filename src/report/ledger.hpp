// The parts of Story that are lists of ledger rows.  Run as the extension.
#pragma once

#include "report/story.hpp"

namespace backfill {

// REQUIRES of all: story.state, progress and over are filled in.
void read_chunks(const Job &job, Story &story);
void read_phases(const Job &job, Story &story);
void read_failures(const Job &job, const std::optional<Story::Failure> &own, Story &story);
void read_checks(const Job &job, Story &story);
void read_metrics(const Job &job, Story &story);
void read_dependents(const Job &job, Story &story);
void read_events(const Job &job, Story &story);

}  // namespace backfill
