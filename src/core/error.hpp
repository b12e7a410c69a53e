// A failure backfill itself detected, told the way PostgreSQL tells one: SQLSTATE, primary message
// (lower case, no full stop), detail (a sentence), hint (what to do).
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace backfill {

// The SQLSTATEs backfill raises itself; the names are those of PostgreSQL's errcodes.txt.
namespace sqlstate {
inline constexpr char feature_not_supported[] = "0A000";
inline constexpr char invalid_parameter_value[] = "22023";
inline constexpr char invalid_text_representation[] = "22P02";
inline constexpr char character_not_in_repertoire[] = "22021";
inline constexpr char cardinality_violation[] = "21000";
inline constexpr char read_only_sql_transaction[] = "25006";
inline constexpr char invalid_transaction_state[] = "25000";
inline constexpr char active_sql_transaction[] = "25001";
inline constexpr char dependent_objects_still_exist[] = "2BP01";
inline constexpr char syntax_error[] = "42601";
inline constexpr char insufficient_privilege[] = "42501";
inline constexpr char datatype_mismatch[] = "42804";
inline constexpr char wrong_object_type[] = "42809";
inline constexpr char undefined_column[] = "42703";
inline constexpr char undefined_table[] = "42P01";
inline constexpr char undefined_object[] = "42704";
inline constexpr char duplicate_object[] = "42710";
inline constexpr char duplicate_table[] = "42P07";
inline constexpr char invalid_object_definition[] = "42P17";
inline constexpr char object_in_use[] = "55006";
inline constexpr char object_not_in_prerequisite_state[] = "55000";
inline constexpr char lock_not_available[] = "55P03";
inline constexpr char query_canceled[] = "57014";
inline constexpr char insufficient_resources[] = "53000";
inline constexpr char configuration_limit_exceeded[] = "53400";
inline constexpr char program_limit_exceeded[] = "54000";
inline constexpr char internal_error[] = "XX000";
inline constexpr char out_of_memory[] = "53200";
}  // namespace sqlstate

class Error : public std::runtime_error {
 public:
  Error(std::string state, const std::string &message, std::string detail = {}, std::string hint = {})
      : std::runtime_error(message), sqlstate(std::move(state)), detail(std::move(detail)), hint(std::move(hint)) {}

  std::string sqlstate;  // five characters
  std::string detail;    // may be empty
  std::string hint;      // may be empty
};

}  // namespace backfill
