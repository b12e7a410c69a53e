#include "publish/definitions.hpp"

#include "catalog/definition.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

bool adds_columns(const Job &job) { return !job.spec.transform.add_columns.empty(); }

Definitions restate(const Swap &swap) {
  Definitions definitions;
  for (const Mover &mover : movers())
    if (mover.restates) definitions.push_back(mover.statements(swap));
  return definitions;
}

}  // namespace

Definitions definitions_before(const Swap &swap) { return adds_columns(swap.job) ? restate(swap) : Definitions(); }

// A mover names the objects in the order of their OIDs, which they keep: what it says then and now goes in pairs.
void remember_definitions(const Job &published, const Definitions &before) {
  if (!adds_columns(published)) return;
  Definitions const now = restate(rolling_back(published));
  std::vector<Definition> differing;
  for (std::size_t mover = 0; mover < now.size() && mover < before.size(); mover++) {
    if (now[mover].size() != before[mover].size()) continue;
    for (std::size_t i = 0; i < now[mover].size(); i++)
      if (now[mover][i] != before[mover][i]) differing.push_back({now[mover][i], before[mover][i]});
  }
  store_definitions(published.id, differing);
}

void recall_definitions(const Job &job, std::vector<std::string> &statements) {
  if (!adds_columns(job)) return;
  std::vector<Definition> const definitions = load_definitions(job.id);
  for (std::string &statement : statements)
    for (const Definition &definition : definitions)
      if (statement == definition.found) {
        statement = definition.meant;
        break;
      }
}

}  // namespace backfill
