// The spec: what a user asks for, as parsed from YAML or JSON (YAML is the superset, one parser).
//
// parse_spec() is strict: unknown keys name the nearest known one, and every error names the path
// (scope.start, checks[2].column).  It knows nothing of the database: columns, types and zones are
// looked up later, in plan/.  What a key of the spec cannot do in this version is refused (0A000) where
// leaving it out could do harm, and told in notes where it could not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/node.hpp"
#include "core/throttle.hpp"

namespace backfill {

using Milliseconds = std::int64_t;

struct Scope {
  std::string table;                 // as written, possibly schema-qualified and quoted
  std::string column;                // the chunk column; may be empty only where the table has no scope (blocks)
  std::optional<std::string> start;  // text of the column's type; half-open [start, stop)
  std::optional<std::string> stop;
  std::vector<std::string> exclude;      // a date, timestamp or key each
  std::optional<std::string> time_zone;  // where calendar chunks begin; default the session's
};

struct Source {  // another table whose changes re-run the chunk they fall in
  std::string table, column;
  std::optional<std::string> lookback;  // interval
};

struct Transform {
  std::vector<std::pair<std::string, std::string>> set;          // column -> SQL expression, in the order written
  std::string join;                                              // text between the live table and WHERE
  std::vector<std::pair<std::string, std::string>> add_columns;  // column -> SQL type
  bool preserve_existing = false;
  std::string query;   // the other kind of transform: one SELECT
  std::string dedupe;  // ORDER BY list
  std::vector<Source> sources;
  bool is_query() const { return !query.empty(); }
};

struct Strategy {
  std::string type = "auto";  // auto swap partition merge
  std::string chunk_by;  // hour day week month quarter year, an interval, an integer, blocks; "" = planner's choice
  std::optional<std::int64_t> chunk_size;  // rows
  int parallelism = 2;
  bool newest_first = false;
  std::vector<std::string> key;  // empty: the primary key
  Milliseconds batch_target = 1000;
  std::optional<std::string> grain;  // interval or integer: a query may be split at multiples of it
  Milliseconds chunk_timeout = 3600 * 1000;
  int retries = 3;
};

struct CheckSpec {
  std::string check;               // the vocabulary word: unique, not_null ...
  std::string name;                // unique in its list; default: the word and its columns, as in not_null(a, b)
  std::string severity = "error";  // warn | error
  Node args;                       // a mapping always (of a bare word: {check: word}), for the check's own parameters;
                                   // keys known, required ones given, thresholds parse; path kept for errors
};

struct Publish {
  bool automatic = false;  // by the coordinator, once the audit has passed
  Milliseconds lock_timeout = 200;
  Milliseconds max_lock = 500;  // never less than lock_timeout
  Milliseconds give_up_after = 10 * 60 * 1000;
  std::string old_snapshots = "wait";  // wait | refuse
  bool published_shadow = false;       // may subscribers get the new version while it is built? (refuse | allow)
};

struct Downstream {                     // what is computed from the target, and who is to be told
  std::string name;                     // unique; where it is a relation's, the one that refresh fills
  std::string refresh;                  // one SQL statement, run after a publish or rollback; "": none
  std::vector<std::string> depends_on;  // other items, or relations
  std::string cron_job;                 // pg_cron job that rests meanwhile; "": none
};

struct ReadFrom {           // bulk reads on a standby
  std::string server;       // a foreign server of postgres_fdw; "" for none
  bool falls_back = false;  // to this server, after trouble for so long
  Milliseconds fallback_after = 60 * 1000;
  std::optional<Milliseconds> max_lag;  // a replica further behind is left alone
};

struct Monitoring {
  std::string webhook;    // a URL that parse_webhook takes, a secret; empty: nobody is told
  bool per_chunk = true;  // also of every chunk, not only of phases and events
};

struct Spec {
  std::string name, description, requested_by, owner, reason, success_criteria;
  Scope scope;
  Transform transform;
  Strategy strategy;
  Throttle throttle;
  std::vector<CheckSpec> pre_checks, checks;
  std::vector<Downstream> downstream;
  Publish publish;
  ReadFrom read_from;
  Monitoring monitoring;
  std::string retention = "14 days";  // interval
  std::vector<std::string> notes;  // keys accepted for the record but without effect here: told in the plan as warnings
  Node document;                   // the whole, without the outer `backfill:`; to_json(document) is what the
                                   // catalog stores, and interprets to this very spec again
};

// What must not change between plan and publish: the document less what backfill_alter may change in mid-run.
Node frozen_document(const Spec &spec);

// Parses YAML or JSON text.  Errors: 22P02 malformed, 22023 invalid value or unknown key,
// 22021 not UTF-8, 54000 too deep, too large, or aliases that explode, 0A000 not in this version.
Spec parse_spec(const std::string &text);

// Interprets an already parsed document (of the named-argument call, or a stored job's), with or without
// the outer `backfill:`.  Paths are assigned anew, so a document built in code needs none.
Spec interpret_spec(const Node &document);

// The mapping inside the outer `backfill:`, or the document itself where there is none; paths assigned.
// For laying an options fragment over a document.
Node unwrap_spec(const Node &document);

// 22023 unless name can name a backfill: 1 to 200 bytes, no control characters.
void require_backfill_name(const Node &name);

}  // namespace backfill
