#include "plan/remedies.hpp"

#include <set>

namespace backfill {

namespace {

struct Remedy {
  const char *kind, *sentence;
};

constexpr Remedy remedies[] = {
    {"foreign key of a partitioned table",
     "The server has no NOT VALID foreign keys on partitioned tables, so it cannot be pointed at the new version "
     "without "
     "reading all its rows under lock.  Drop it for the time of the backfill and add it again after the publish."},
    {"foreign key with disabled triggers",
     "Enable its triggers with ALTER TABLE … ENABLE TRIGGER ALL on the tables at both of its ends, or drop it."},
    {"trigger of another table",
     "It is a constraint trigger that names the table after FROM.  Drop it for the time of the backfill, or create it "
     "without FROM."},
    {"column of the row type",
     "Give the column a type that does not come with the table: jsonb, or one made by CREATE TYPE … AS (…)."},
    {"view column of the row type",
     "Let the view return the columns, or to_jsonb() of the row, and not the row itself: the type of a view's column "
     "cannot change."},
    {"function of the row type",
     "Drop the function and create it anew after the publish, or let it take and return a type that does not come with "
     "the table: TABLE (…), or one made by CREATE TYPE … AS (…)."},
    {"domain over the row type",
     "Drop the domain and create it anew after the publish, or base it on a type made by CREATE TYPE … AS (…)."},
    {"type over the row type",
     "Drop the type and create it anew after the publish, or base it on a type made by CREATE TYPE … AS (…)."},
    {"default of another table",
     "It names the table, or the sequence of an identity column, which goes with its table.  Give the other column a "
     "default of its own, or none: ALTER TABLE … ALTER COLUMN … SET DEFAULT …."},
    {"inheriting table", "End the inheritance with ALTER TABLE … NO INHERIT, or backfill the inheriting table itself."},
    {"inherited table", "End the inheritance with ALTER TABLE … NO INHERIT."},
    {"subscription",
     "Backfill the table where its rows are written.  To backfill it here, take it out of the publication there, then "
     "ALTER SUBSCRIPTION … REFRESH PUBLICATION here."},
    {"publication of all tables",
     "Subscribers would be sent the new version, under its own name, while it is built, and stop with an error where "
     "they have no such table.  Publish the tables by name (CREATE PUBLICATION … FOR TABLE …), or, where every "
     "subscriber puts up with tables it does not know, say publish: {published_shadow: allow}."},
    {"publication of the schema",
     "Subscribers would be sent the new version, under its own name, while it is built, and stop with an error where "
     "they have no such table.  Publish the tables by name (CREATE PUBLICATION … FOR TABLE …), or, where every "
     "subscriber puts up with tables it does not know, say publish: {published_shadow: allow}."},
    {"publication of all tables without replica identity",
     "Rows could not be deleted from the new version.  Give the table a replica identity with ALTER TABLE … REPLICA "
     "IDENTITY …, or let the publication publish neither updates nor deletes."},
    {"publication of the schema without replica identity",
     "Rows could not be deleted from the new version.  Give the table a replica identity with ALTER TABLE … REPLICA "
     "IDENTITY …, or let the publication publish neither updates nor deletes."},
};

std::string remedy_of(const std::string &kind) {
  for (const Remedy &entry : remedies)
    if (kind == entry.kind) return entry.sentence;
  if (kind.ends_with(" that makes a row of the table"))
    return "It says ROW(…) where a row of the table is meant, which has too few columns once the backfill adds some.  "
           "Let "
           "it name columns instead, or drop it for the time of the backfill.";
  if (kind.ends_with(" of the row type"))
    return "Drop it and create it anew after the publish, or make it for a type that does not come with the table, one "
           "made by CREATE TYPE … AS (…).";
  return "Drop it for the time of the backfill and create it anew after the publish, or recompute the table another "
         "way.";
}

}  // namespace

std::string remedy(const std::vector<Dependent> &blockers) {
  std::set<std::string> kinds;
  for (const Dependent &blocker : blockers) kinds.insert(blocker.kind);
  if (kinds.size() == 1) return remedy_of(*kinds.begin());
  std::string text;
  for (const std::string &kind : kinds) text += (text.empty() ? "" : "\n") + kind + ": " + remedy_of(kind);
  return text;
}

}  // namespace backfill
