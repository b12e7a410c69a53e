// Holding a job back: its rates, the signals of the database's load, its windows.
//
// The coordinator looks at signals and windows about once a second and puts what it finds, with the rates, on a board: a
// small piece of memory that it shares with its chunk workers.  They look at the board between batches and steps:
//
//   held     they give their step back and leave; the coordinator begins nothing heavy, drains on, and starts workers anew
//   a rate   what a batch has used is taken from the bucket that all share, and waited for before the next
//
// Without limits a look at the board is a look at some words of memory.
#pragma once

#include <cstdint>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// -- the coordinator

void open_board();             // once, before any worker is started
std::uint32_t board_handle();  // for WorkerOrder

// Reads the job's limits and, when the last look is a second old, signals and windows; tells in the ledger what the job is
// held for.  Outside of a transaction; does nothing in a chunk worker.  stage: the one that is open.
void look_at_load(int job, int stage);
// Nothing is left to be held.
void stop_looking(int job);

// So many workers share the rates; `surplus` of those that live are to leave.
void share_among(int workers, int surplus);

// -- a chunk worker

bool join_board(std::uint32_t handle);  // false: the coordinator that ordered it has left
// It is to leave: its coordinator has left, or there are too many.  (Asked between batches and steps; a yes stays one.)
bool is_dismissed();

// -- both

// Steps of the stage are not to be begun, nor their batches.  Draining and releasing are never held; after a swap, windows
// hold nothing: whoever published wants what depends on the table to follow.
bool is_held(int stage);

// The rows that the rates give one worker in so many seconds; infinite without limits.
double rows_at_once(double wal_per_row, double seconds);
// Waits until what this process has used is paid for; returns early when it should stop instead.  ms waited.
std::int64_t await_turn(const Job &job, const Step &step);
// Takes what a batch or a step has used from the buckets.
void spend(std::int64_t rows, std::int64_t wal);

}  // namespace backfill
