// What the server's parser says about SQL text that somebody else wrote, before any of it is run.
//
// Nothing here executes the text.  Analysis looks up functions and tables by the current search_path and takes ACCESS
// SHARE on the tables named, so it is called under as_owner.  Errors of the text itself are the server's own, with
// its SQLSTATE.
#pragma once

#include <string>
#include <vector>

#include "pg/spi.hpp"

namespace backfill::pg {

struct SelectColumn {
  std::string name;
  Oid type = 0;
  std::string type_name;
  bool volatile_value = false;  // the value comes from a volatile function, also through sub-selects
};

struct SelectFacts {
  std::vector<SelectColumn> columns;
  std::vector<Oid> functions;  // called anywhere in it, built-in ones left out; sorted
  bool volatile_anywhere = false;
};

// Analyses one SELECT.  Raises 42601 for anything but exactly one SELECT, for INTO and for FOR UPDATE/SHARE;
// 0A000 for a data-modifying WITH.
SelectFacts describe_select(const std::string &sql);

// The relations that a SELECT will read, those below views and partitioned tables included.  Plans it.
std::vector<Oid> relations_read(const std::string &sql);

// Raises 42601 unless text is one expression: nothing that closes a parenthesis and goes on, no second one.
void require_expression(const std::string &text);
// Raises 42601 unless text can stand between a FROM item and WHERE: joins only.
void require_join(const std::string &text);

// May a value of one type be assigned to a column of another without an explicit cast?  unknown literals may always.
bool assignable(Oid from, Oid to);

}  // namespace backfill::pg
