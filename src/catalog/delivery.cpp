// A session that writes a message orders a notifier with it, which waits for the commit: nobody else may be there to see
// the message (the coordinator of a cancelled job is gone).  Workers leave that to the coordinator, which looks every
// second: a job that tells a lot must not start a process for each line of it.
#include "catalog/delivery.hpp"

#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"

namespace backfill {

namespace {

constexpr char has_webhook[] = "j.spec #>> '{monitoring,progress_webhook}' IS NOT NULL";

// Once a transaction.
void order_notifier() {
  static std::uint32_t ordered_by = 0;
  if (pg::in_worker()) return;
  std::uint32_t const xid = pg::current_xid();
  if (ordered_by == xid) return;
  ordered_by = xid;
  launch_notifier(xid);
}

// After so many failed attempts: 1 s, 2 s, 4 s … up to an hour.
std::string pause_after(const std::string &failures) {
  return "least(2 ^ least(" + failures + ", 12), 3600) * interval '1 s'";
}

// $1: this database, $2: the jobs left alone, $3: how many at most.
std::string take_sql() {
  return R"(
WITH oldest AS (SELECT DISTINCT ON (d.job_id) d.job_id, d.id, d.next_at FROM backfill.delivery d
                 WHERE d.status = 'pending' ORDER BY d.job_id, d.id),
     due AS (SELECT o.job_id, o.id, j.spec #>> '{monitoring,progress_webhook}' AS url
               FROM oldest o JOIN backfill.job j ON j.id = o.job_id
              WHERE o.next_at <= clock_timestamp() AND j.home = $1 AND NOT o.job_id::text = ANY ($2)
              ORDER BY o.next_at LIMIT $3)
UPDATE backfill.delivery d
   SET attempts = attempts + 1, next_at = clock_timestamp() + )" +
         pause_after("d.attempts") + R"(,
       body = coalesce(d.body, (SELECT m.body FROM backfill.message m WHERE m.job_id = d.job_id AND m.id = d.id))
  FROM due WHERE d.job_id = due.job_id AND d.id = due.id
RETURNING d.job_id, d.id, d.key, d.body, due.url,
          'backfill/' || (SELECT extversion FROM pg_extension WHERE extname = 'backfill') AS user_agent)";
}

void drop_overtaken() {
  pg::execute(
      "UPDATE backfill.delivery d SET status = 'superseded', ended_at = clock_timestamp()"
      " WHERE d.status = 'pending' AND d.event = 'chunk done' AND d.attempts = 0"
      " AND d.at < clock_timestamp() - interval '1 min'"
      " AND EXISTS (SELECT FROM backfill.delivery n WHERE n.job_id = d.job_id AND n.id > d.id AND n.status = 'pending'"
      "             AND n.event = 'chunk done')");
}

}  // namespace

void launch_notifier(std::uint32_t wait_for_xid) {
  pg::WorkerOrder order;
  order.wait_for_xid = wait_for_xid;
  (void)pg::launch_worker("backfill_notifier_main", "backfill notifier", order, false);
}

void tell_event(int job, const std::string &event, const std::string &detail) {
  std::uint64_t const written = pg::as_extension([&] {
    return pg::execute(
               std::string("INSERT INTO backfill.delivery (job_id, event, detail)"
                           " SELECT j.id, $2, CASE WHEN $2 IN ('failed', 'step failed')"
                           "   THEN 'SQLSTATE ' || substring($3 FROM '\\(([0-9A-Z]{5})\\)$') ELSE nullif($3, '') END"
                           " FROM backfill.job j WHERE j.id = $1 AND ") +
                   has_webhook,
               {job, event, detail})
        .processed;
  });
  if (written > 0) order_notifier();
}

void tell_chunk(const Job &job, const Step &step) {
  const Monitoring &monitoring = job.spec.monitoring;
  if (monitoring.webhook.empty() || !monitoring.per_chunk) return;
  pg::as_extension([&] {
    pg::execute("INSERT INTO backfill.delivery (job_id, event, chunk) VALUES ($1, 'chunk done', $2)",
                {job.id, *step.chunk});
  });
}

void tell_phase(int job, int stage) {
  pg::as_extension([&] {
    pg::execute(std::string("INSERT INTO backfill.delivery (job_id, event, detail) SELECT j.id, 'phase', p.phase"
                            " FROM backfill.job j, LATERAL (SELECT s.phase FROM backfill.step s"
                            "   WHERE s.job_id = j.id AND s.stage = $2 LIMIT 1) p"
                            " WHERE j.id = $1 AND p.phase IS DISTINCT FROM (SELECT d.detail FROM backfill.delivery d"
                            "   WHERE d.job_id = j.id AND d.event = 'phase' ORDER BY d.id DESC LIMIT 1) AND ") +
                    has_webhook,
                {job, stage});
  });
}

std::vector<Message> take_messages(const std::vector<int> &busy, int limit) {
  std::vector<std::string> others;
  for (int const job : busy) others.push_back(std::to_string(job));
  std::string const home = this_home();
  return pg::as_extension([&] {
    drop_overtaken();
    pg::Result const taken = pg::execute(take_sql(), {home, others, limit});
    std::vector<Message> messages;
    for (const pg::Row &row : taken)
      messages.push_back({static_cast<int>(row.integer("job_id")), row.integer("id"), row.text("key"), row.text("body"),
                          row.text("url"), row.text("user_agent")});
    return messages;
  });
}

void record_sent(int job, std::int64_t id) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.delivery SET status = 'sent', ended_at = clock_timestamp(), body = NULL, error = NULL"
        " WHERE job_id = $1 AND id = $2 AND status = 'pending'",
        {job, id});
  });
}

void record_unsent(int job, std::int64_t id, const std::string &error, std::int64_t retry_after) {
  pg::as_extension([&] {
    pg::execute(std::string("UPDATE backfill.delivery SET error = $3,"
                            " status = CASE WHEN clock_timestamp() < give_up_at THEN 'pending' ELSE 'dead' END,"
                            " ended_at = CASE WHEN clock_timestamp() < give_up_at THEN NULL ELSE clock_timestamp() END,"
                            " next_at = clock_timestamp() + greatest(") +
                    pause_after("attempts - 1") +  // and up to half as much again, so that retries do not come in step
                    " * (1 + random() / 2), least($4, 3600) * interval '1 s') WHERE job_id = $1 AND id = $2 AND status "
                    "= 'pending'",
                {job, id, error, retry_after});
  });
}

void record_dead(int job, std::int64_t id, const std::string &error) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.delivery SET status = 'dead', error = $3, ended_at = clock_timestamp(), body = NULL"
        " WHERE job_id = $1 AND id = $2 AND status = 'pending'",
        {job, id, error});
  });
}

std::optional<double> next_message() {
  std::string const home = this_home();
  return pg::as_extension([&]() -> std::optional<double> {
    pg::Result const found = pg::execute(
        "SELECT min(greatest(extract(epoch FROM o.next_at - clock_timestamp()), 0))::float8 AS seconds"
        " FROM (SELECT DISTINCT ON (d.job_id) d.job_id, d.next_at FROM backfill.delivery d"
        "   WHERE d.status = 'pending' ORDER BY d.job_id, d.id) o JOIN backfill.job j ON j.id = o.job_id"
        " WHERE j.home = $1",
        {home});
    if (found.only().null("seconds")) return std::nullopt;
    return found.only().number("seconds");
  });
}

std::int64_t reopen_messages(int job) {
  std::uint64_t const reopened = pg::as_extension([&] {
    return pg::execute(
               "UPDATE backfill.delivery SET status = 'pending', attempts = 0, next_at = clock_timestamp(),"
               " give_up_at = clock_timestamp() + interval '24 h', ended_at = NULL, error = NULL"
               " WHERE job_id = $1 AND status IN ('dead', 'pending')",
               {job})
        .processed;
  });
  if (reopened > 0) order_notifier();
  return static_cast<std::int64_t>(reopened);
}

}  // namespace backfill
