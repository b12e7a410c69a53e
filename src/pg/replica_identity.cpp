#include "pg/replica_identity.hpp"

namespace backfill::pg {

void identify_rows(Oid table) {
  Result const found = execute(
      "SELECT pg_catalog.format('ALTER TABLE %I.%I REPLICA IDENTITY FULL', n.nspname, c.relname) AS statement"
      " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 AND EXISTS ("
      " SELECT FROM pg_publication p WHERE (p.pubupdate OR p.pubdelete) AND (p.puballtables OR EXISTS ("
      " SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = n.oid)))",
      {Param::oid(table)});
  if (!found.empty()) execute(found.only().text("statement"));
}

}  // namespace backfill::pg
