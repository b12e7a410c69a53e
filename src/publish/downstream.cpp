// The order, in four moves:
//
//   1. parts    the declared ones, each with the relation of its name, where there is one that it fills; and the populated
//               materialized views that read the table, or the relation of a declared part that is refreshed
//   2. needs    a materialized view needs the parts whose relations it reads, through whatever views; a declared part
//               those it says it depends on
//   3. depth    the longest way from the table, counted in parts: what is in nobody's way is done first
//   4. steps    a stage for each depth; a part without a step is passed on to those it needs itself
//
// A declared part that names a materialized view stands for it: with its own statement, or (without one) with our refresh.
#include "publish/downstream.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "catalog/cutover.hpp"
#include "catalog/suspension.hpp"
#include "core/joined.hpp"
#include "core/node.hpp"
#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "pg/statement.hpp"
#include "pg/transaction.hpp"
#include "publish/movers.hpp"
#include "publish/publish.hpp"

namespace backfill {

namespace {

struct Relation {  // that reads something, or is to be filled
  std::string schema, name;
  char kind = ' ';
  bool populated = false;
  std::set<Oid> sources;  // of a view or materialized view, as far as they lead back to where the walk began
};
using Relations = std::map<Oid, Relation>;

struct Part {
  std::string name, title;
  const Downstream *item = nullptr;  // nullptr: a materialized view that was found
  Oid relation = 0;
  bool renews = false;  // its step is our refresh of a materialized view
  std::vector<std::size_t> needs;
  int depth = 0;  // 0: not known yet
  bool has_step() const { return renews || !item->refresh.empty(); }
};

// ---- parts ----

// Views and materialized views that read the roots, through each other.  A view may have been replaced by one that reads
// what reads it: the walk ends all the same, as each relation is met once.
Relations readers_of(const std::set<Oid> &roots) {
  std::vector<std::string> oids;
  for (Oid const root : roots) oids.push_back(std::to_string(root));
  Relations relations;
  for (const pg::Row &row :
       pg::execute("WITH RECURSIVE reads (oid) AS (SELECT unnest($1::text[])::oid UNION"
                   "   SELECT r.ev_class FROM reads JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass"
                   "     AND d.refobjid = reads.oid AND d.classid = 'pg_rewrite'::regclass"
                   "   JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN')"
                   " SELECT DISTINCT c.oid, n.nspname, c.relname, c.relkind, c.relispopulated, d.refobjid AS source"
                   " FROM reads JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reads.oid"
                   "   AND d.classid = 'pg_rewrite'::regclass"
                   " JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'"
                   " JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')"
                   " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE d.refobjid <> c.oid",
                   {oids})) {
    Relation &relation = relations[row.oid("oid")];
    relation.schema = row.text("nspname");
    relation.name = row.text("relname");
    relation.kind = row.text("relkind")[0];
    relation.populated = row.boolean("relispopulated");
    relation.sources.insert(row.oid("source"));
  }
  return relations;
}

// What the planner's session meant by the name; 0 where it is no relation's.
Oid relation_of(const Job &job, const std::string &name) {
  try {
    return pg::subtransaction([&] {
      return pg::as_extension([&] {
        pg::set_local("search_path", job.search_path);
        auto const found = pg::query_value("SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", {name});
        return found ? static_cast<Oid>(std::stoul(*found)) : Oid{0};
      });
    });
  } catch (const Error &failure) {
    if (failure.sqlstate.starts_with("57")) throw;
    return 0;  // no name of a relation at all: a report, a team
  }
}

std::vector<Part> declared_parts(const Job &job, Oid table) {
  std::vector<Part> parts;
  for (const Downstream &item : job.spec.downstream) {
    Part part;
    part.name = item.name;
    part.title = "refresh " + item.name;
    part.item = &item;
    part.relation = relation_of(job, item.name);
    if (part.relation == table) part.relation = 0;
    parts.push_back(std::move(part));
  }
  return parts;
}

std::string matview_title(const Relation &relation) {
  return "refresh materialized view " + display_name(relation.schema, relation.name);
}

void add_matviews(std::vector<Part> &parts, const Relations &relations) {
  std::vector<Part> found;
  for (const auto &[oid, relation] : relations) {
    if (relation.kind != 'm' || !relation.populated) continue;
    auto const known = std::find_if(parts.begin(), parts.end(), [&](const Part &part) { return part.relation == oid; });
    if (known == parts.end()) {
      Part part;
      part.name = display_name(relation.schema, relation.name);
      part.title = matview_title(relation);
      part.relation = oid;
      part.renews = true;
      found.push_back(std::move(part));
    } else if (known->item->refresh.empty()) {
      known->title = matview_title(relation);
      known->renews = true;
    }
  }
  std::sort(found.begin(), found.end(), [&](const Part &a, const Part &b) {
    const Relation &x = relations.at(a.relation), &y = relations.at(b.relation);
    return std::tie(x.schema, x.name) < std::tie(y.schema, y.name);
  });
  parts.insert(parts.end(), found.begin(), found.end());
}

// ---- needs ----

class Needs {
 public:
  Needs(std::vector<Part> &parts, const Relations &relations) : parts_(parts), relations_(relations) {}

  // The parts that a relation is computed from, through views.
  void add_sources(std::size_t of, Oid relation) {
    std::set<Oid> met;
    follow(of, relation, met);
  }
  // The parts it is itself, or else is computed from.
  void add_relation(std::size_t of, Oid relation) {
    if (std::optional<std::size_t> const part = filled_by(relation))
      add(of, *part);
    else
      add_sources(of, relation);
  }
  void add(std::size_t of, std::size_t needed) {
    std::vector<std::size_t> &needs = parts_[of].needs;
    if (std::find(needs.begin(), needs.end(), needed) == needs.end()) needs.push_back(needed);
  }

 private:
  std::optional<std::size_t> filled_by(Oid relation) const {
    for (std::size_t i = 0; i < parts_.size(); i++)
      if (parts_[i].relation == relation) return i;
    return std::nullopt;
  }
  void follow(std::size_t of, Oid relation, std::set<Oid> &met) {
    auto const reader = relations_.find(relation);
    if (reader == relations_.end() || !met.insert(relation).second) return;
    for (Oid const source : reader->second.sources) {
      if (std::optional<std::size_t> const part = filled_by(source))
        add(of, *part);
      else
        follow(of, source, met);
    }
  }
  std::vector<Part> &parts_;
  const Relations &relations_;
};

Error unknown_source(const std::vector<Part> &parts, std::size_t of, const std::string &name) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < parts.size(); i++)
    if (i != of) names.push_back(parts[i].name);
  std::string const near = nearest_word(name, names);
  return Error(
      sqlstate::undefined_object,
      "downstream \"" + parts[of].name + "\" depends on \"" + name + "\", which does not exist",
      "It is neither the name of another item nor that of a relation.",
      near.empty() ? "Name another item of downstream, or a table or view." : "Did you mean \"" + near + "\"?");
}

// strict: names must be known.
void find_needs(const Job &job, Oid table, std::vector<Part> &parts, const Relations &relations, bool strict) {
  Needs needs(parts, relations);
  for (std::size_t i = 0; i < parts.size(); i++) {
    if (parts[i].relation != 0) needs.add_sources(i, parts[i].relation);
    if (parts[i].item == nullptr) continue;
    for (const std::string &name : parts[i].item->depends_on) {
      auto const named = std::find_if(parts.begin(), parts.end(),
                                      [&](const Part &part) { return part.item != nullptr && part.name == name; });
      if (named != parts.end()) {
        needs.add(i, static_cast<std::size_t>(named - parts.begin()));
        continue;
      }
      Oid const relation = relation_of(job, name);
      if (relation == 0 && strict) throw unknown_source(parts, i, name);
      if (relation != 0 && relation != table) needs.add_relation(i, relation);
    }
  }
}

// ---- depth ----

// One more than the deepest that is needed.  Returns whether all could be told: not where parts go round.
bool find_depths(std::vector<Part> &parts) {
  for (bool moved = true; moved;) {
    moved = false;
    for (Part &part : parts) {
      if (part.depth > 0) continue;
      int depth = 1;
      bool known = true;
      for (std::size_t const needed : part.needs) {
        known = known && parts[needed].depth > 0;
        depth = std::max(depth, parts[needed].depth + 1);
      }
      if (!known) continue;
      part.depth = depth;
      moved = true;
    }
  }
  return std::all_of(parts.begin(), parts.end(), [](const Part &part) { return part.depth > 0; });
}

// Every part without depth needs another one, so walking from one to the next meets one of them again.
std::string circle(const std::vector<Part> &parts) {
  auto const next = [&](std::size_t part) {
    return *std::find_if(parts[part].needs.begin(), parts[part].needs.end(),
                         [&](std::size_t needed) { return parts[needed].depth == 0; });
  };
  std::vector<std::size_t> way;
  std::size_t at = static_cast<std::size_t>(
      std::find_if(parts.begin(), parts.end(), [](const Part &part) { return part.depth == 0; }) - parts.begin());
  while (std::find(way.begin(), way.end(), at) == way.end()) {
    way.push_back(at);
    at = next(at);
  }
  std::string text = "\"" + parts[at].name + "\"";
  for (auto step = std::find(way.begin(), way.end(), at) + 1; step != way.end(); ++step)
    text += " needs \"" + parts[*step].name + "\", which";
  return text + " needs \"" + parts[at].name + "\"";
}

// What came to go round since the plan is done last, in no order among itself.
void break_circle(std::vector<Part> &parts) {
  int last = 0;
  for (const Part &part : parts) last = std::max(last, part.depth);
  for (Part &part : parts) {
    if (part.depth > 0) continue;
    part.depth = last + 1;
    std::erase_if(part.needs,
                  [&](std::size_t needed) { return parts[needed].depth == 0 || parts[needed].depth > last; });
  }
}

std::vector<Part> find_parts(const Job &job, Oid table, bool strict) {
  std::vector<Part> parts = declared_parts(job, table);
  std::set<Oid> roots = {table};
  for (const Part &part : parts)
    if (part.relation != 0 && !part.item->refresh.empty()) roots.insert(part.relation);
  Relations const relations = readers_of(roots);
  add_matviews(parts, relations);
  find_needs(job, table, parts, relations, strict);
  return parts;
}

// ---- steps ----

// A part without a step of its own is represented by what it needs.
void collect_titles(const std::vector<Part> &parts, std::size_t of, std::vector<std::string> &titles) {
  for (std::size_t const needed : parts[of].needs) {
    if (!parts[needed].has_step())
      collect_titles(parts, needed, titles);
    else if (std::find(titles.begin(), titles.end(), parts[needed].title) == titles.end())
      titles.push_back(parts[needed].title);
  }
}

std::string params_of(const std::vector<Part> &parts, std::size_t number) {
  const Part &part = parts[number];
  std::vector<std::string> titles;
  collect_titles(parts, number, titles);
  Node params = Node::empty_mapping();
  if (part.renews) params.put("matview", Node::of_number(static_cast<long long>(part.relation)));
  if (part.item != nullptr) params.put("item", Node::of_string(part.item->name));
  if (!titles.empty()) params.put("needs", Node::of_strings(titles));
  return to_json(params);
}

bool is_needed(const std::vector<Part> &parts, std::size_t number) {
  return std::any_of(parts.begin(), parts.end(), [&](const Part &part) {
    return part.item != nullptr && std::find(part.needs.begin(), part.needs.end(), number) != part.needs.end();
  });
}

// Where several tables leave service together, one refresh will do; unless a declared part waits for it, which knows the
// steps of its own job only.
bool refreshed_by_another(const Swap &swap, Oid matview) {
  for (Oid const peer : swap.peers) {
    if (peer >= swap.out) break;
    Relations const relations = readers_of({peer});
    auto const found = relations.find(matview);
    if (found != relations.end() && found->second.populated) return true;
  }
  return false;
}

const Downstream &item_of(const Job &job, const Step &step) {
  Node const params = parse_document(step.params);
  const Node *const name = params.find("item");
  for (const Downstream &item : job.spec.downstream)
    if (name != nullptr && item.name == name->text()) return item;
  throw Error(sqlstate::internal_error, "step " + std::to_string(step.id) + " names no item of downstream");
}

// What the server says to code that wants more than a security-restricted transaction, with what can be done.
Error explained(const Downstream &item, const Error &failure) {
  std::string const way =
      "Let it be without that; or schedule it with pg_cron and give downstream \"" + item.name +
      "\" only cron_job, without refresh: it rests while the backfill works and runs at its next time.";
  if (failure.sqlstate == "2D000")
    return Error(failure.sqlstate, failure.what(),
                 "A refresh is one transaction, as the owner of the table: it cannot commit or roll back by itself.",
                 way);
  if (failure.sqlstate == sqlstate::insufficient_privilege &&
      std::string_view(failure.what()).find("security-restricted") != std::string_view::npos)
    return Error(failure.sqlstate, failure.what(),
                 "A refresh runs as the owner of the table in a security-restricted operation, as REFRESH MATERIALIZED "
                 "VIEW does: without temporary tables, and without SET ROLE.",
                 way);
  return failure;
}

// REFRESH makes a temporary table where it goes CONCURRENTLY; and it runs the query as the owner of the view, restricted,
// by itself, whoever calls it.  nullopt: it is another statement.
std::optional<std::string> refresh_by_extension(const Job &job, const Downstream &item) {
  pg::StatementFacts const facts = as_job_owner(job, [&] { return pg::check_statement(item.refresh); });
  if (facts.matview == 0) return std::nullopt;
  pg::Result const found = pg::as_extension(
      [&] { return pg::execute("SELECT relowner FROM pg_class WHERE oid = $1", {pg::Param::oid(facts.matview)}); });
  if (found.empty() || !pg::is_member(job.owner, found[0].oid("relowner")))
    throw Error(sqlstate::insufficient_privilege, "must be owner of the materialized view of downstream " + item.name,
                "Refreshes run as the owner of the target, role \"" + pg::role_name(job.owner) + "\".");
  std::string const name = pg::as_extension([&] { return relation_sql(facts.matview); });
  return "REFRESH MATERIALIZED VIEW " + std::string(facts.concurrently ? "CONCURRENTLY " : "") + name +
         (facts.no_data ? " WITH NO DATA" : "");
}

}  // namespace

void require_order(const Job &job) {
  if (job.spec.downstream.empty()) return;
  std::vector<Part> parts = pg::as_extension([&] { return find_parts(job, job.live, true); });
  if (find_depths(parts)) return;
  throw Error(sqlstate::invalid_parameter_value, "what is downstream depends on itself", circle(parts) + ".",
              "Take one of them out of depends_on; a part that names a relation also needs what that reads.");
}

std::vector<Step> after_downstream(const Swap &swap) {
  std::vector<Part> parts = find_parts(swap.job, swap.out, false);
  if (!find_depths(parts)) break_circle(parts);
  std::vector<Step> steps;
  for (std::size_t i = 0; i < parts.size(); i++) {
    const Part &part = parts[i];
    if (!part.has_step()) continue;
    if (part.renews && !is_needed(parts, i) && refreshed_by_another(swap, part.relation)) continue;
    steps.push_back(after_step(swap, stage::after + part.depth, part.renews ? "refresh" : "downstream", part.title,
                               params_of(parts, i)));
  }
  std::stable_sort(steps.begin(), steps.end(), [](const Step &a, const Step &b) { return a.stage < b.stage; });
  return steps;
}

std::optional<Error> held_back(const Step &step) {
  Node const params = parse_document(step.params);
  const Node *const needs = params.find("needs");
  if (needs == nullptr) return std::nullopt;
  return pg::as_extension([&]() -> std::optional<Error> {
    pg::Result const failed = pg::execute(
        "SELECT s.title, j.name FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id"
        " WHERE s.job_id = $1 AND s.phase = 'after' AND s.title = ANY ($2) AND s.status = 'failed' ORDER BY s.id",
        {step.job, needs->texts()});
    if (failed.empty()) return std::nullopt;
    return Error(
        sqlstate::object_not_in_prerequisite_state,
        "held back: \"" + failed[0].text("title") + "\" failed, on which it depends", {},
        "When that is put right, SELECT backfill_run(" + quote_literal(failed[0].text("name")) + "); runs both.");
  });
}

std::int64_t run_refresh(const Job &job, const Step &step) {
  const Downstream &item = item_of(job, step);
  try {
    if (std::optional<std::string> const refresh = refresh_by_extension(job, item))
      return pg::as_extension([&] {
        pg::set_local("search_path", job.search_path);
        take_settings(job);
        pg::set_local("row_security", "on");
        return pg::run_statement(*refresh);
      });
    return as_job_owner(job, [&] {
      pg::set_local("row_security", "on");
      return pg::run_statement(item.refresh);
    });
  } catch (const Error &failure) {
    throw explained(item, failure);
  }
}

std::string affected(const Job &job) {
  std::vector<std::string> declared, found;
  for (const Downstream &item : job.spec.downstream) declared.push_back(item.name);
  pg::as_extension([&] {
    for (const pg::Row &row : pg::execute(
             "SELECT kind || ' ' || downstream AS one FROM backfill.downstream WHERE id = $1 AND kind <> 'declared'",
             {job.id}))
      found.push_back(row.text("one"));
  });
  std::string text;
  if (!declared.empty()) text = "declared: " + joined(declared);
  if (!found.empty()) text += (text.empty() ? "" : "; ") + ("found: " + joined(found));
  return text;
}

void give_notice(const Job &job, const std::string &moment) {
  std::string const who = affected(job);
  if (!who.empty()) record_event(job.id, "downstream_notice", moment + ": " + who);
}

void settle_downstream(const Job &job) {
  if (job.spec.downstream.empty()) return;
  if (job.state != "published" && (job.state != "ready" || !was_rolled_back(job.id))) return;
  if (has_suspended(job.id)) restore_cron_jobs(job.id);
  pg::Result const found = pg::as_extension([&] {
    return pg::execute(
        "SELECT count(*) FILTER (WHERE s.status = 'failed') AS failed, count(*) AS refreshes,"
        " (SELECT max(id) FILTER (WHERE event IN ('published', 'rolled back')) >"
        "    coalesce(max(id) FILTER (WHERE event = 'downstream_notice' AND detail LIKE 'after %'), 0)"
        "   FROM backfill.event WHERE job_id = $1) AS untold"
        " FROM backfill.step s WHERE s.job_id = $1 AND s.phase = 'after' AND s.kind IN ('refresh', 'downstream')",
        {job.id});
  });
  if (!found[0].boolean("untold")) return;
  std::string const failed = found[0].text("failed"), refreshes = found[0].text("refreshes");
  give_notice(job, (job.state == "published" ? "after publish, " : "after rollback, ") +
                       (failed == "0" ? refreshes + " refreshed"
                                      : failed + " of " + refreshes + " refreshes failed (see backfill.steps)"));
}

}  // namespace backfill
