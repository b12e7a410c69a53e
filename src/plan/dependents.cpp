// The inventory, in three moves:
//
//   1. gather    everything that pg_depend binds to the table, to its row type and to what it owns; and what other
//                catalogs bind to it (publications, subscriptions, policies, labels);
//   2. judge     each by its class: what is known to move has a kind and a fate; the rest is unknown, and unknown blocks;
//   3. follow    views of views: they read through a view that keeps its OID, so they stay; but what is materialized
//                on the way is refreshed.
//
// What comes with the table and has no life of its own (defaults, TOAST, the row type, triggers of constraints and of
// backfill itself) is left out.
#include "plan/dependents.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "catalog/job.hpp"
#include "pg/label.hpp"
#include "pg/role.hpp"
#include "plan/plan.hpp"
#include "plan/remedies.hpp"

namespace backfill {

namespace {

// $1: the table; $2: may its shadow be published?  $3: does it get new columns?  One row an object: class, oid, identity, kind, fate, detail.
constexpr char inventory_sql[] = R"(
WITH RECURSIVE
  live AS (SELECT c.oid, c.relnamespace, c.reltype, t.typarray, c.relrowsecurity, c.relforcerowsecurity, c.reltoastrelid,
                  c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
                    AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END) AS identified
             FROM pg_class c JOIN pg_type t ON t.oid = c.reltype WHERE c.oid = $1),
  ours AS (SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
             AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
             JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'backfill'),
  identity AS (SELECT d.objid AS oid FROM pg_depend d, live
                WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = live.oid
                  AND d.deptype = 'i' AND d.refobjsubid > 0),
  bound AS (
    SELECT d.classid, d.objid, d.objsubid, d.deptype, 'table' AS by
      FROM pg_depend d, live WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = live.oid
    UNION
    SELECT d.classid, d.objid, d.objsubid, d.deptype, 'row type'
      FROM pg_depend d, live WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid IN (live.reltype, live.typarray)
    UNION
    SELECT d.classid, d.objid, d.objsubid, d.deptype, 'sequence'
      FROM pg_depend d JOIN identity s ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
    UNION
    SELECT d.classid, d.objid, d.objsubid, d.deptype, 'index'
      FROM pg_depend d JOIN pg_index i ON d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indexrelid, live
     WHERE i.indrelid = live.oid
    UNION
    SELECT d.classid, d.objid, d.objsubid, d.deptype, 'constraint'
      FROM pg_depend d JOIN pg_constraint k ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = k.oid, live
     WHERE k.conrelid = live.oid
  ),
  judged AS (
    SELECT b.classid, b.objid, b.by,
      CASE b.classid
        WHEN 'pg_class'::regclass THEN (
          SELECT CASE
              WHEN b.by = 'row type' AND b.objid <> live.oid
                THEN CASE WHEN c.relkind IN ('v', 'm') THEN 'view column of the row type|blocks' ELSE 'column of the row type|blocks' END
              WHEN c.oid = live.oid OR c.oid = live.reltoastrelid THEN '-'
              WHEN c.relkind = 'i' AND b.by = 'table' THEN
                CASE WHEN EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid
                                     AND o.refclassid = 'pg_constraint'::regclass AND o.deptype = 'i') THEN '-' ELSE 'index|moved' END
              WHEN c.relkind = 'S' AND b.deptype = 'a' THEN 'sequence|moved'
              WHEN c.relkind = 'S' AND b.deptype = 'i' THEN 'identity sequence|moved'
              WHEN c.relkind IN ('r', 'p', 'f') THEN 'inheriting table|blocks'
              ELSE 'relation|blocks' END FROM pg_class c WHERE c.oid = b.objid)
        WHEN 'pg_constraint'::regclass THEN (
          SELECT CASE
              WHEN k.contype = 'f' AND (backfill.is_retired_key(k.oid) OR k.conparentid <> 0) THEN '-'
              WHEN k.contype = 'f' AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O')
                THEN 'foreign key with disabled triggers|blocks'
              WHEN k.contype = 'f' AND k.conrelid = live.oid AND k.confrelid = live.oid THEN 'foreign key to itself|rebuilt'
              WHEN k.contype = 'f' AND k.conrelid = live.oid THEN 'foreign key|rebuilt'
              WHEN k.contype = 'f' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = k.conrelid AND c.relkind = 'p')
                THEN 'foreign key of a partitioned table|blocks'
              WHEN k.contype = 'f' THEN 'foreign key of another table|rebuilt'
              WHEN k.conrelid = live.oid AND k.contype = 'p' THEN 'primary key|moved'
              WHEN k.conrelid = live.oid AND k.contype = 'u' THEN 'unique constraint|moved'
              WHEN k.conrelid = live.oid AND k.contype = 'x' THEN 'exclusion constraint|moved'
              WHEN k.conrelid = live.oid AND k.contype = 'c' THEN 'check constraint|moved'
              WHEN k.conrelid = live.oid AND k.contype IN ('t', 'n') THEN '-'
              WHEN k.contypid <> 0 THEN 'domain constraint|blocks'
              ELSE 'constraint|blocks' END FROM pg_constraint k WHERE k.oid = b.objid)
        WHEN 'pg_trigger'::regclass THEN (
          SELECT CASE WHEN t.tgisinternal OR t.tgfoid IN (SELECT oid FROM ours) THEN '-'
                      WHEN t.tgrelid = live.oid THEN 'trigger|moved' ELSE 'trigger of another table|blocks' END
            FROM pg_trigger t WHERE t.oid = b.objid)
        WHEN 'pg_rewrite'::regclass THEN (
          SELECT CASE WHEN r.ev_class = live.oid THEN 'rule|moved' WHEN c.relkind = 'v' AND r.rulename = '_RETURN' THEN 'view|rebuilt'
                      WHEN c.relkind = 'm' THEN 'materialized view|rebuilt' ELSE 'rule of another table|rebuilt' END
            FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.oid = b.objid)
        WHEN 'pg_policy'::regclass THEN (
          SELECT CASE WHEN p.polrelid = live.oid THEN 'policy|moved' ELSE 'policy of another table|rebuilt' END
            FROM pg_policy p WHERE p.oid = b.objid)
        WHEN 'pg_attrdef'::regclass THEN (
          SELECT CASE WHEN a.adrelid = live.oid THEN '-' ELSE 'default of another table|blocks' END FROM pg_attrdef a WHERE a.oid = b.objid)
        WHEN 'pg_type'::regclass THEN (
          SELECT CASE WHEN t.oid IN (live.reltype, live.typarray) THEN '-' WHEN t.typtype = 'd' THEN 'domain over the row type|blocks'
                      ELSE 'type over the row type|blocks' END FROM pg_type t WHERE t.oid = b.objid)
        WHEN 'pg_proc'::regclass THEN
          (SELECT CASE WHEN p.prokind = 'a' OR ARRAY[live.reltype, live.typarray]
                              && (p.prorettype || p.proargtypes::oid[] || coalesce(p.proallargtypes, '{}'))
                       THEN 'function of the row type|blocks' ELSE 'function|rebuilt' END
             FROM pg_proc p WHERE p.oid = b.objid)
        WHEN 'pg_statistic_ext'::regclass THEN 'statistics|moved'
        WHEN 'pg_publication_rel'::regclass THEN 'publication|moved'
        ELSE CASE WHEN b.by = 'row type' THEN (pg_identify_object(b.classid, b.objid, 0)).type || ' of the row type|blocks'
                  ELSE 'unknown object|blocks' END END AS verdict
    FROM bound b, live),
  beside AS (
    SELECT 'pg_publication'::regclass::oid AS classid, p.oid AS objid,
           CASE WHEN p.puballtables THEN 'publication of all tables' ELSE 'publication of the schema' END ||
           CASE WHEN NOT $2 THEN '|blocks' WHEN (p.pubupdate OR p.pubdelete) AND NOT live.identified THEN ' without replica identity|blocks'
                ELSE '|moved' END AS verdict
      FROM pg_publication p, live
     WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = live.relnamespace)
    UNION ALL
    SELECT 'pg_subscription'::regclass::oid, s.srsubid, 'subscription|blocks' FROM pg_subscription_rel s, live WHERE s.srrelid = live.oid
    UNION ALL
    SELECT 'pg_class'::regclass::oid, i.inhrelid, 'inheriting table|blocks' FROM pg_inherits i, live WHERE i.inhparent = live.oid
    UNION ALL
    SELECT 'pg_class'::regclass::oid, i.inhparent, 'inherited table|blocks' FROM pg_inherits i, live WHERE i.inhrelid = live.oid
    UNION ALL
    SELECT DISTINCT l.classoid, l.objoid, 'security label|moved' FROM pg_seclabel l, live
     WHERE l.classoid = 'pg_class'::regclass AND (l.objoid = live.oid OR l.objoid IN (SELECT oid FROM identity))
        OR l.classoid = 'pg_type'::regclass AND l.objoid = live.reltype
    UNION ALL
    SELECT 'pg_class'::regclass::oid, live.oid, 'row security|moved' FROM live WHERE live.relrowsecurity OR live.relforcerowsecurity
  ),
  verdicts AS (
    SELECT classid, objid, min(verdict) AS verdict FROM (
      SELECT classid, objid, CASE WHEN by IN ('index', 'constraint') AND verdict NOT LIKE '%|blocks' AND verdict NOT LIKE 'view|%'
                                    AND NOT EXISTS (SELECT FROM bound x WHERE x.classid = j.classid AND x.objid = j.objid AND x.by = 'table')
                                  THEN '-'
                                  WHEN $3 AND verdict LIKE '%|rebuilt' AND tree ~ (':row_typeid ' || live.reltype || ' ')
                                  THEN replace(verdict, '|rebuilt', ' that makes a row of the table|blocks')
                                  ELSE verdict END AS verdict, NULL AS aspect
        FROM live, judged j
        CROSS JOIN LATERAL (SELECT CASE WHEN $3 THEN coalesce(
          (SELECT concat(r.ev_qual::text, r.ev_action::text) FROM pg_rewrite r WHERE j.classid = 'pg_rewrite'::regclass AND r.oid = j.objid),
          (SELECT p.prosqlbody::text FROM pg_proc p WHERE j.classid = 'pg_proc'::regclass AND p.oid = j.objid),
          (SELECT concat(p.polqual::text, p.polwithcheck::text) FROM pg_policy p WHERE j.classid = 'pg_policy'::regclass AND p.oid = j.objid)) END)
          AS stored (tree)
       WHERE NOT (by IN ('index', 'constraint') AND classid IN ('pg_class'::regclass, 'pg_trigger'::regclass))
         AND NOT (classid = 'pg_class'::regclass AND verdict = 'relation|blocks'
                  AND EXISTS (SELECT FROM pg_class c WHERE c.oid = j.objid AND c.relkind = 'i'))
      UNION ALL SELECT classid, objid, verdict, verdict FROM beside) v
     WHERE verdict <> '-' GROUP BY classid, objid, aspect),
  views AS (
    SELECT r.ev_class AS oid, NULL::oid AS through FROM verdicts v JOIN pg_rewrite r ON r.oid = v.objid
     WHERE v.classid = 'pg_rewrite'::regclass AND v.verdict IN ('view|rebuilt', 'materialized view|rebuilt')
    UNION
    SELECT r.ev_class, w.oid FROM views w
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = w.oid AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> w.oid
  )
SELECT v.classid, v.objid, split_part(v.verdict, '|', 1) AS kind, split_part(v.verdict, '|', 2) AS fate,
       CASE split_part(v.verdict, '|', 1)
         WHEN 'foreign key of another table' THEN (
           SELECT 'proven only by its validation after the publish: ' || quote_ident(pg_get_userbyid(t.relowner)) || ' may not read all of ' ||
                  k.conrelid::regclass
             FROM pg_constraint k, pg_class t
            WHERE v.verdict = 'foreign key of another table|rebuilt' AND k.oid = v.objid AND t.oid = $1
              AND NOT backfill.may_read(t.relowner, k.conrelid))
         WHEN 'publication' THEN 'recomputed rows are not sent to subscribers, only later writes: copy the table there anew'
         WHEN 'publication of all tables' THEN 'while it is built the new version is sent as a table of its own, and so are changes of the logs'
         WHEN 'publication of the schema' THEN 'while it is built the new version is sent as a table of its own'
         WHEN 'trigger' THEN (SELECT CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END
                                FROM pg_trigger t WHERE t.oid = v.objid)
         WHEN 'rule' THEN (SELECT CASE r.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END
                             FROM pg_rewrite r WHERE r.oid = v.objid)
         WHEN 'row security' THEN (SELECT concat_ws(', ', CASE WHEN NOT relrowsecurity THEN 'disabled' END,
                                                          CASE WHEN relforcerowsecurity THEN 'forced' END) FROM live)
         WHEN 'security label' THEN (SELECT CASE v.classid WHEN 'pg_type'::regclass THEN 'on the row type, ' ELSE '' END ||
                                            'of ' || string_agg(DISTINCT l.provider, ', ') FROM pg_seclabel l
                                      WHERE l.classoid = v.classid AND l.objoid = v.objid)
         WHEN 'materialized view' THEN (
           SELECT backfill.refresh_way(r.ev_class) FROM pg_rewrite r WHERE r.oid = v.objid) END AS detail,
       CASE v.classid
         WHEN 'pg_rewrite'::regclass THEN
           CASE WHEN split_part(v.verdict, '|', 1) ~ '^(materialized )?view'
                THEN (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
                        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.oid = v.objid)
                ELSE i.identity END
         ELSE i.identity END AS object
  FROM verdicts v, LATERAL pg_identify_object(v.classid, v.objid, 0) i
UNION ALL
SELECT 'pg_class'::regclass, w.oid, CASE c.relkind WHEN 'm' THEN 'materialized view' WHEN 'v' THEN 'view' ELSE 'rule' END,
       CASE c.relkind WHEN 'm' THEN 'rebuilt' ELSE 'moved' END,
       'reads through ' || string_agg(DISTINCT w.through::regclass::text, ', ')
         || CASE c.relkind WHEN 'm' THEN ', ' || backfill.refresh_way(w.oid) ELSE '' END, format('%I.%I', n.nspname, c.relname)
  FROM views w JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE w.through IS NOT NULL AND NOT EXISTS (SELECT FROM views direct WHERE direct.oid = w.oid AND direct.through IS NULL)
 GROUP BY w.oid, c.relkind, n.nspname, c.relname)";

}  // namespace

std::vector<Dependent> inventory(Oid live, const Spec &spec) {
  return pg::as_extension([&] {
    pg::Result const found = pg::execute(
        inventory_sql, {pg::Param::oid(live), spec.publish.published_shadow, !spec.transform.add_columns.empty()});
    std::vector<Dependent> dependents;
    for (const pg::Row &row : found)
      dependents.push_back({row.text("object"), row.text("kind"), row.text("fate"), row.text("detail"),
                            row.oid("classid"), row.oid("objid")});
    std::sort(dependents.begin(), dependents.end(), [](const Dependent &a, const Dependent &b) {
      return std::tie(a.fate, a.kind, a.object, a.detail) < std::tie(b.fate, b.kind, b.object, b.detail);
    });
    // An inheriting table is bound to it in two catalogs.
    auto const same = [](const Dependent &a, const Dependent &b) {
      return std::tie(a.fate, a.kind, a.classid, a.objid) == std::tie(b.fate, b.kind, b.classid, b.objid);
    };
    dependents.erase(std::unique(dependents.begin(), dependents.end(), same), dependents.end());
    return dependents;
  });
}

void require_movable(const std::string &table, const std::vector<Dependent> &dependents) {
  std::vector<Dependent> blockers;
  for (const Dependent &dependent : dependents)
    if (dependent.fate == "blocks") blockers.push_back(dependent);
  if (blockers.empty()) return;
  std::string detail;
  for (const Dependent &blocker : blockers)
    detail += (detail.empty() ? "" : "\n") + blocker.kind + " " + blocker.object;
  throw Error(sqlstate::dependent_objects_still_exist,
              "table \"" + table + "\" has " + std::to_string(blockers.size()) +
                  (blockers.size() == 1 ? " dependent that cannot be moved" : " dependents that cannot be moved"),
              detail, remedy(blockers));
}

void require_label_providers(const std::vector<Dependent> &dependents) {
  pg::as_extension([&] {
    for (const Dependent &dependent : dependents) {
      if (dependent.kind != "security label") continue;
      for (const pg::Row &row :
           pg::execute("SELECT DISTINCT provider FROM pg_seclabel WHERE classoid = $1 AND objoid = $2",
                       {pg::Param::oid(dependent.classid), pg::Param::oid(dependent.objid)}))
        pg::require_label_provider(row.text("provider"), dependent.object);
    }
  });
}

void store_dependents(int job, const std::vector<Dependent> &dependents) {
  if (dependents.empty()) return;
  std::vector<std::optional<std::string>> object, kind, fate, detail, classid, objid;
  for (const Dependent &dependent : dependents) {
    object.push_back(dependent.object);
    kind.push_back(dependent.kind);
    fate.push_back(dependent.fate);
    detail.push_back(dependent.detail);
    classid.push_back(std::to_string(dependent.classid));
    objid.push_back(std::to_string(dependent.objid));
  }
  pg::as_extension([&] {
    pg::execute(
        "INSERT INTO backfill.dependent (job_id, id, object, kind, fate, detail, classid, objid)"
        " SELECT $1, n + (SELECT coalesce(max(id), 0) FROM backfill.dependent WHERE job_id = $1), object, kind, fate, "
        "nullif(detail, ''), classid, objid"
        " FROM unnest($2, $3, $4, $5, $6::oid[], $7::oid[]) WITH ORDINALITY AS t(object, kind, fate, detail, classid, "
        "objid, n)",
        {job, object, kind, fate, detail, classid, objid});
  });
}

void store_dependents_anew(int job, const std::vector<Dependent> &dependents) {
  pg::as_extension([&] { pg::execute("DELETE FROM backfill.dependent WHERE job_id = $1", {job}); });
  store_dependents(job, dependents);
}

std::vector<DependentChange> changed_dependents(const Job &job) {
  std::set<std::pair<std::string, std::string>> recorded;
  pg::as_extension([&] {
    pg::Result const found = pg::execute("SELECT kind, object FROM backfill.dependent WHERE job_id = $1", {job.id});
    for (const pg::Row &row : found) recorded.emplace(row.text("kind"), row.text("object"));
  });
  std::vector<DependentChange> changes;
  for (const Dependent &dependent : inventory(job.live, job.spec))
    if (recorded.erase({dependent.kind, dependent.object}) == 0)
      changes.push_back({dependent.kind, dependent.object, true});
  for (const auto &[kind, object] : recorded) changes.push_back({kind, object, false});
  return changes;
}

std::string sentence(const DependentChange &change) {
  return "The " + change.kind + " " + change.object + (change.appeared ? " is new." : " is gone.");
}

bool is_built_before(const std::string &kind) {
  static const std::set<std::string> kinds = {
      "index",      "primary key", "unique constraint", "exclusion constraint",
      "statistics", "foreign key", "check constraint",  "foreign key to itself"};
  return kinds.count(kind) != 0;
}

void follow_dependents(const Job &job, const std::vector<DependentChange> &changes) {
  std::vector<std::string> kinds, objects;
  std::set<std::pair<std::string, std::string>> appeared;
  for (const DependentChange &change : changes) {
    if (is_built_before(change.kind)) continue;
    if (change.appeared) {
      appeared.emplace(change.kind, change.object);
    } else {
      kinds.push_back(change.kind);
      objects.push_back(change.object);
    }
  }
  pg::as_extension([&] {
    pg::execute(
        "DELETE FROM backfill.dependent d USING unnest($2, $3) AS gone (kind, object)"
        " WHERE d.job_id = $1 AND d.kind = gone.kind AND d.object = gone.object",
        {job.id, kinds, objects});
  });
  std::vector<Dependent> fresh = inventory(job.live, job.spec);
  std::erase_if(fresh, [&](const Dependent &one) { return appeared.count({one.kind, one.object}) == 0; });
  store_dependents(job.id, fresh);
}

}  // namespace backfill
