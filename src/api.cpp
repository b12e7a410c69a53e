// The SQL-callable functions, one line of work each.  src/sql/functions.sql declares and documents them.
#include "pg/function.hpp"
