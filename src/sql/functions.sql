-- What people call.  Each function is one line of work in src/api.cpp; its COMMENT says arguments, result and locks.
-- Functions live in the schema chosen by CREATE EXTENSION, tables in schema backfill.

