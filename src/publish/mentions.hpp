// Objects that mention a table in an expression or a query of theirs: views, rules, policies, functions.
//
// They are bound to it by OID.  Each is defined anew, in place, by the text the server makes of its definition: read
// before the renames it names the table that leaves service, run after them it means the one that entered it.
#pragma once

#include <string>
#include <vector>

#include "publish/attempt.hpp"
#include "publish/swap.hpp"

namespace backfill {

// The objects of a catalog (pg_proc, pg_policy, pg_rewrite) that depend on the table, its row type or its identity
// sequences, by OID.
std::vector<Oid> mentioning(const std::string &catalog, Oid table);

// What the server locks when it parses the definitions of these objects, the tables of the swap aside: other tables that
// they mention, each in the mode in which it is used.  Asked for beforehand, since nothing may be waited for later.
std::vector<LockRequest> parse_locks(const Swap &swap, const std::string &catalog, const std::vector<Oid> &objects);

// '{1,2}'::oid[], as a parameter.
pg::Param oid_array(const std::vector<Oid> &oids);

}  // namespace backfill
