// A signal holds the job as soon as it is seen beyond its limit, and lets go when it has been within for a while, so that
// the job does not flap.  What cannot be measured holds it too.  Other limits than before are judged at once.
//
// What was used is taken afterwards, when it is known, and batches are made as wide as the rates give within a second: so
// the work is even, and nothing is lost with a worker that dies.  At most its last batch was not counted.
#include "run/throttle.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>

#include "catalog/replica.hpp"
#include "core/bucket.hpp"
#include "core/units.hpp"
#include "pg/shared_memory.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "run/chunk.hpp"
#include "run/signals.hpp"

namespace backfill {

namespace {

constexpr std::int64_t look_pause = 1000;       // ms between looks at signals
constexpr std::int64_t calm = 3000;             // ms within its limit before a signal lets go
constexpr std::int64_t tell_pause = 5000;       // ms between new figures of the same reason
constexpr long turn_pause = 500;                // ms between looks while a turn is awaited
constexpr std::int64_t debt_allowed = 1000000;  // µs of WAL that may be unpaid when a build begins

enum Hold : std::uint32_t { none, window, load };

// Shared by the processes of one coordinator; it begins as zero bytes.
struct Board {
  std::atomic<std::int64_t> rows_per_second, wal_per_second;
  Bucket rows, wal;
  std::atomic<std::uint32_t> terms;  // counts changes of the rates: turns of older ones are void
  std::atomic<std::uint32_t> hold;
  std::atomic<std::int32_t> workers, surplus;
  std::atomic<bool> closed;  // its coordinator has left
};

Board *board = nullptr;

std::int64_t now_us() { return pg::now_ms() * 1000; }

// ---- the coordinator's side

struct Held {
  std::string reason;
  std::int64_t seen;  // beyond its limit
};

struct Watch {
  std::uint32_t handle = 0;
  std::int64_t next_look = 0;
  std::string limits;  // the section as it was last read
  Signals signals;
  std::map<std::string, Held> held;
  std::optional<std::string> told;  // what the ledger says; nothing: unknown
  std::string told_signals;
  std::int64_t told_at = 0;
};
Watch watch;

bool is_coordinator() { return watch.handle != 0; }

void close_board(void *address) { static_cast<Board *>(address)->closed = true; }

void put_rates(const Throttle &throttle) {
  if (board->rows_per_second == throttle.rows_per_second && board->wal_per_second == throttle.wal_per_second) return;
  board->rows.reset(now_us());
  board->wal.reset(now_us());
  board->rows_per_second = throttle.rows_per_second;
  board->wal_per_second = throttle.wal_per_second;
  board->terms++;
}

std::string section_text(const Job &job) {
  const Node *const section = job.spec.document.find("throttle");
  return section != nullptr ? to_json(*section) : "";
}

std::int64_t wal_debt() { return board->wal_per_second > 0 ? board->wal.debt(now_us()) : 0; }

void look_at_signals(const Job &job, std::int64_t now) {
  try {
    for (const Excess &excess : pg::subtransaction([&] { return watch.signals.look(job); }))
      watch.held[excess.signal] = {excess.reason, now};
  } catch (const Error &failure) {
    watch.held["signals"] = {std::string("signals that can be read: ") + failure.what(), now};
  }
  std::erase_if(watch.held, [&](const auto &entry) { return now - entry.second.seen >= calm; });
}

// What holds the job now, told as one line; the signals' names alone in *signals.
std::string judge(const Job &job, int stage, std::string *signals) {
  std::string line;
  auto const add = [&](const std::string &signal, const std::string &reason) {
    *signals += signal + " ";
    line += (line.empty() ? "" : "; ") + reason;
  };
  for (const auto &[signal, held] : watch.held) add(signal, held.reason);
  if (std::int64_t const debt = wal_debt(); stage != stage::copy && debt > debt_allowed)
    add("wal_per_second", "its WAL rate: what the last steps wrote is paid for in " +
                              format_duration(static_cast<double>(debt) / 1e6) + ", limit " +
                              format_bytes(job.spec.throttle.wal_per_second) + " a second");
  std::optional<std::string> const closed = stage >= stage::after ? std::nullopt : closed_window(job);
  if (closed) add("windows", *closed);
  board->hold = !watch.held.empty() ? Hold::load : closed ? Hold::window : Hold::none;
  return line;
}

// Figures change all the time: they are written when something else holds the job, or now and then.
void tell(int job, const std::string &line, const std::string &signals, std::int64_t now) {
  bool const stale = !line.empty() && now - watch.told_at >= tell_pause;
  if (watch.told && signals == watch.told_signals && !stale) return;
  set_held(job, line.empty() ? std::nullopt : std::optional(line));
  watch.told = line;
  watch.told_signals = signals;
  watch.told_at = now;
}

// ---- a worker's side

struct Turn {
  std::uint32_t terms = 0;
  std::int64_t until = 0;
  bool joined = false;     // until what was owed when this process came
  std::int64_t noted = 0;  // token of the step that says it waits
};
Turn turn;

bool dismissed = false;

bool take_surplus() {
  std::int32_t left = board->surplus;
  while (left > 0)
    if (board->surplus.compare_exchange_weak(left, left - 1)) return true;
  return false;
}

std::string rates_text() {
  std::string text;
  if (std::int64_t const rows = board->rows_per_second; rows > 0) text = format_count(rows) + " rows";
  if (std::int64_t const wal = board->wal_per_second; wal > 0)
    text += (text.empty() ? "" : " and ") + format_bytes(wal) + " of WAL";
  return "its rate, at most " + text + " a second";
}

void note_waiting(const Step &step, bool waits) {
  bool const noted = turn.noted == step.token;
  if (noted == waits) return;
  pg::transaction([&] { set_step_waiting(step, waits ? std::optional(rates_text()) : std::nullopt); });
  turn.noted = waits ? step.token : 0;
}

}  // namespace

void open_board() {
  pg::SharedMemory const memory = pg::make_shared_memory(sizeof(Board), close_board);
  board = static_cast<Board *>(memory.address);
  watch.handle = memory.handle;
  board->workers = 1;
}

std::uint32_t board_handle() { return watch.handle; }

void look_at_load(int id, int stage) {
  if (!is_coordinator() || pg::now_ms() < watch.next_look) return;
  std::int64_t const now = pg::now_ms();
  pg::transaction([&] {
    std::optional<Job> const job = load_job(id);
    if (!job) return;
    std::string const limits = section_text(*job);
    if (limits != watch.limits) watch.held.clear();
    watch.limits = limits;
    put_rates(job->spec.throttle);
    look_at_signals(*job, now);
    std::string signals;
    std::string const line = judge(*job, stage, &signals);
    tell(id, line, signals, now);
  });
  watch.next_look = now + look_pause;
}

void stop_looking(int id) {
  if (watch.told && watch.told->empty()) return;
  pg::transaction([&] { set_held(id, std::nullopt); });
  watch.told = "";
  watch.told_signals.clear();
  watch.held.clear();
  watch.next_look = 0;
  board->hold = Hold::none;
}

void share_among(int workers, int surplus) {
  board->workers = std::max(1, workers);
  if (surplus >= 0) board->surplus = surplus;
}

bool join_board(std::uint32_t handle) {
  board = static_cast<Board *>(pg::attach_shared_memory(handle));
  return board != nullptr;
}

bool is_dismissed() {
  if (board == nullptr || is_coordinator()) return false;
  dismissed = dismissed || board->closed || take_surplus();
  return dismissed;
}

bool is_held(int stage) {
  if (board == nullptr || stage == stage::drain || stage == stage::after) return false;
  std::uint32_t const hold = board->hold;
  if (stage != stage::copy && wal_debt() > debt_allowed) return true;
  return stage > stage::after ? hold == Hold::load : hold != Hold::none;
}

double rows_at_once(double wal_per_row, double seconds) {
  double most = std::numeric_limits<double>::infinity();
  if (board == nullptr) return most;
  double const share = std::min(seconds, 1.0) / std::max(1, board->workers.load());
  if (std::int64_t const rate = board->rows_per_second; rate > 0) most = static_cast<double>(rate) * share;
  if (std::int64_t const rate = board->wal_per_second; rate > 0 && wal_per_row > 0)
    most = std::min(most, static_cast<double>(rate) * share / wal_per_row);
  return most;
}

void spend(std::int64_t rows, std::int64_t wal) {
  if (board == nullptr) return;
  std::uint32_t const terms = board->terms;
  std::int64_t const now = now_us();
  std::int64_t until = 0;
  if (std::int64_t const rate = board->rows_per_second; rate > 0 && rows > 0) until = board->rows.take(rows, rate, now);
  if (std::int64_t const rate = board->wal_per_second; rate > 0 && wal > 0)
    until = std::max(until, board->wal.take(wal, rate, now));
  turn = {terms, until, true, turn.noted};
}

std::int64_t await_turn(const Job &job, const Step &step) {
  if (board == nullptr || (board->rows_per_second == 0 && board->wal_per_second == 0)) return 0;
  std::int64_t const began = now_us();
  // One who has just come finds what others owe.
  if (!turn.joined) turn = {board->terms, began + std::max(board->rows.debt(began), board->wal.debt(began)), true, 0};
  std::int64_t looked = began;
  for (std::int64_t now = began; now < turn.until && turn.terms == board->terms; now = now_us()) {
    look_at_load(job.id, step.stage);
    if (is_held(step.stage) || is_dismissed()) break;
    if (now - looked >= look_pause * 1000) {
      looked = now;
      if (!pg::transaction([&] { return may_go_on(job.id); })) break;
    }
    note_waiting(step, true);
    pg::wait_latch(std::clamp(static_cast<long>((turn.until - now) / 1000), 1L, turn_pause));
  }
  std::int64_t const waited = (now_us() - began) / 1000;
  if (waited == 0) note_waiting(step, false);
  return waited;
}

}  // namespace backfill
