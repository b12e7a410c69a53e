// SQL from C++: statements with typed parameters in, text values by column name out.
//
// execute() runs one statement (or several without parameters) in the current transaction, as the current role,
// with a fresh snapshot, or with the one of with_snapshot().  The result is owned by C++ (not by a memory context).
// Errors: whatever PostgreSQL raises, as a PostgresError (an Error).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace backfill::pg {

using Oid = std::uint32_t;

// A statement parameter: a type and the text of a value, or null.
class Param {
 public:
  Param(std::nullptr_t) : type_(text_type) {}                                             // NOLINT: implicit by design
  Param(const char *value) : type_(text_type), text_(value) {}                            // NOLINT
  Param(std::string value) : type_(text_type), text_(std::move(value)) {}                 // NOLINT
  Param(std::optional<std::string> value) : type_(text_type), text_(std::move(value)) {}  // NOLINT
  Param(bool value) : type_(bool_type), text_(value ? "t" : "f") {}                       // NOLINT
  Param(int value) : type_(int8_type), text_(std::to_string(value)) {}                    // NOLINT
  Param(long value) : type_(int8_type), text_(std::to_string(value)) {}                   // NOLINT
  Param(long long value) : type_(int8_type), text_(std::to_string(value)) {}              // NOLINT
  Param(double value);                                                                    // NOLINT
  Param(const std::vector<std::string> &values);                                          // NOLINT: text[]
  Param(const std::vector<std::optional<std::string>> &values);                           // NOLINT: text[] with nulls
  Param(std::optional<std::int64_t> value)                                                // NOLINT
      : type_(int8_type), text_(value ? std::optional(std::to_string(*value)) : std::nullopt) {}
  static Param oid(Oid value);
  static Param of_type(Oid type, std::optional<std::string> text);

  Oid type() const { return type_; }
  const std::optional<std::string> &text() const { return text_; }

 private:
  static constexpr Oid bool_type = 16, int8_type = 20, text_type = 25;
  Param(Oid type, std::optional<std::string> text) : type_(type), text_(std::move(text)) {}
  Oid type_;
  std::optional<std::string> text_;
};

class Result;

// One row of a Result; valid while the Result lives.  Readers raise XX000 for an unknown column.
class Row {
 public:
  Row(const Result &result, std::size_t index) : result_(&result), index_(index) {}
  const std::optional<std::string> &get(const char *column) const;  // null -> nullopt
  bool null(const char *column) const { return !get(column).has_value(); }
  std::string text(const char *column) const;      // null -> ""
  std::int64_t integer(const char *column) const;  // null -> 0
  double number(const char *column) const;         // null -> 0
  bool boolean(const char *column) const;          // null -> false
  Oid oid(const char *column) const;               // null -> 0
  std::optional<std::int64_t> optional_integer(const char *column) const;
  std::vector<std::string> texts(const char *column) const;  // text[] (one dimension, no nulls); null -> empty

 private:
  const Result *result_;
  std::size_t index_;
};

class Result {
 public:
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> values;
  std::uint64_t processed = 0;  // rows returned or changed

  std::size_t size() const { return values.size(); }
  bool empty() const { return values.empty(); }
  Row operator[](std::size_t index) const { return Row(*this, index); }
  Row only() const;  // raises XX000 unless there is exactly one row

  class Iterator {
   public:
    Iterator(const Result &result, std::size_t index) : result_(&result), index_(index) {}
    Row operator*() const { return Row(*result_, index_); }
    Iterator &operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator &other) const { return index_ != other.index_; }

   private:
    const Result *result_;
    std::size_t index_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }
};

// The text of a statement.  One that is kept() has its plan kept by this process: for what is run for every chunk, where parsing
// and planning would take longer than running.  Its text must not hold values, or there would be a plan for each.
class Sql {
 public:
  Sql(const char *text) : text_(text) {}             // NOLINT: implicit by design
  Sql(std::string text) : text_(std::move(text)) {}  // NOLINT
  friend Sql kept(std::string text);

  const std::string &text() const { return text_; }
  bool is_kept() const { return kept_; }

 private:
  std::string text_;
  bool kept_ = false;
};
Sql kept(std::string text);

Result execute(const Sql &sql, const std::vector<Param> &params = {});

// One statement without the NOTICEs it may give the client ("… does not exist, skipping").
void execute_quietly(const std::string &sql);

// For statements that must return one row with one column.
std::optional<std::string> query_value(const Sql &sql, const std::vector<Param> &params = {});
bool query_boolean(const Sql &sql, const std::vector<Param> &params = {});          // null -> false
std::int64_t query_integer(const Sql &sql, const std::vector<Param> &params = {});  // null -> 0

// Parses a text[] literal as PostgreSQL prints it.
std::vector<std::string> parse_text_array(const std::string &literal);

// Messages to the client.
void notice(const std::string &message, const std::string &detail = {}, const std::string &hint = {});
void warning(const std::string &message, const std::string &detail = {}, const std::string &hint = {});
void log_message(const std::string &message);

}  // namespace backfill::pg
