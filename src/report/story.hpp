// What a report tells, read once from the ledger; every renderer writes down the same.
//
// Values are plain text, not escaped for any format, and free of secrets: no credentials or query strings of URLs.
// A Story is true of the snapshot it was read in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/difference.hpp"
#include "catalog/job.hpp"
#include "report/facts.hpp"

namespace backfill {

// How many chunks, cells and events a report shows at most.
namespace shown {
inline constexpr std::int64_t chunks = 60, chunks_first = 20, cells = 400, bars = 400, events = 60, buckets = 1000,
                              metrics = 24;
}

struct Story {
  using Labelled = std::vector<std::pair<std::string, std::string>>;  // values that are empty are left out

  struct Progress {
    double percent = 0;
    std::int64_t chunks_done = 0, chunks_total = 0, rows_done = 0, rows_estimated = 0;
    std::int64_t recomputed = 0, copied = 0;
    bool split = false;             // some rows are recomputed, others copied as they are
    std::optional<double> seconds;  // elapsed
    std::string eta;                // "" when not running
  };

  // A chunk of the table.
  struct Chunk {
    int number = 0;
    std::string range;
    std::string status;  // pending running done failed skipped; stalled for one whose worker is gone
    bool again = false;  // pending, to be run once more
    bool begun = false;  // rows says something
    int attempts = 0;
    std::int64_t rows = 0, estimated = 0;
    std::optional<double> seconds;
  };

  // A cell of the strip: one chunk, or several in a row where there are very many.
  struct Cell {
    int first = 0, last = 0;
    std::string range;
    bool copied = false;  // as it is: out of scope
    std::int64_t done = 0, running = 0, failed = 0, skipped = 0, pending = 0, rows = 0, estimated = 0;
    std::optional<double> seconds;
    std::string error;
  };

  // Of a phase, what ran when; in seconds since the start.
  struct Bar {
    double from = 0, to = 0;
    std::string title, status;
  };
  struct Phase {
    std::string name;
    std::int64_t steps = 0, done = 0;
    double from = 0, to = 0;
    std::vector<Bar> bars;  // empty where there are too many
  };

  struct Failure {
    std::string title, error, sqlstate, detail, hint, command;
  };

  struct Check {
    std::string name, outcome, expected, actual, detail, waived_by, waiver, checked_at;
    bool pre = false;
    std::optional<int> chunk;
  };

  struct Point {
    std::string bucket;
    std::optional<double> live, fresh;
  };
  struct Metric {
    std::string name;
    std::vector<Point> points;
  };

  struct Dependent {
    std::string object, kind, fate, detail;
  };
  struct Event {
    std::string at, event, by, detail;
  };

  std::string name, table;
  std::string written;  // when, where and by which version
  bool over = false;    // finished or cancelled
  bool in_progress = false;
  ShownState state;
  Labelled times, people;
  std::string transform;  // what is computed, as SQL
  Progress progress;
  std::vector<Chunk> chunks;                                          // the first, and those that run or failed
  std::vector<std::pair<std::string, std::int64_t>> chunks_left_out;  // by status
  std::string all_chunks;                                             // the statement that shows them
  std::vector<Cell> cells;
  std::vector<Phase> phases;  // that have begun
  std::string own_error;      // of the job itself
  std::vector<Failure> failures;
  std::vector<Check> checks;
  std::int64_t checks_waiting = 0;
  std::vector<Metric> metrics;
  std::optional<Difference> difference;
  std::string difference_command;  // to measure it (again); "" where there is nothing to compare
  std::vector<Dependent> dependents;
  std::vector<Event> events;  // the newest, in order
  std::int64_t events_total = 0;
  std::string way_back, way_back_command;
  std::string next, next_command;  // both empty when it is over
};

// Reads all of it as the extension.  REQUIRES: the caller may see the job.
Story gather_story(const Job &job);

// Whatever it says of a URL but user, password, query and fragment; and no password of a connection string.
std::string without_secrets(const std::string &text);

}  // namespace backfill
