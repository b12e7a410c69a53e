// A parsed YAML or JSON document: scalars, sequences, mappings, each with the path it was found at.
//
// Kinds are kept conservatively: quoted scalars are strings; of the plain ones only true/false are
// booleans, only decimal numbers (12, 1_000, -1.5e3; not 007) are numbers, and null, ~ and nothing are null.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace backfill {

class Node {
 public:
  enum class Kind { null, boolean, number, string, sequence, mapping };

  Kind kind = Kind::null;
  std::string path;                                   // "scope.start", "checks[2].column" (from 0); "" at the top
  std::string scalar;                                 // text of a boolean (true/false), number or string, as written
  std::vector<Node> items;                            // of a sequence
  std::vector<std::pair<std::string, Node>> entries;  // of a mapping, in the order written

  // Defaulted where Node is complete, as entries needs.
  Node();
  Node(const Node &);
  Node(Node &&) noexcept;
  Node &operator=(const Node &);
  Node &operator=(Node &&) noexcept;
  ~Node();

  static Node of_string(std::string text);
  static Node of_number(long long value);
  static Node of_boolean(bool value);
  static Node of_strings(const std::vector<std::string> &texts);
  static Node empty_mapping();

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return !is_null() && kind != Kind::sequence && kind != Kind::mapping; }
  const Node *find(const std::string &key) const;  // nullptr where absent or not a mapping
  Node *find(const std::string &key);
  void put(const std::string &key, Node value);  // sets or replaces; a null node becomes a mapping

  // Typed readers; each raises 22023 naming the path when the node is not of that form.
  std::string text() const;   // any scalar, as written
  std::string value() const;  // any scalar; a number in the form SQL reads: 1_000 is 1000
  bool boolean() const;       // true/false, and YAML 1.1's yes/no/on/off
  long long integer() const;  // 500_000 and 500000 alike
  double number() const;
  std::vector<std::string> texts() const;   // a scalar or a sequence of scalars; null is empty
  std::vector<std::string> values() const;  // likewise, each as value()
};

// What a document may be at most; beyond it 54000 is raised.
namespace limits {
inline constexpr std::size_t text_bytes = 1024 * 1024;
inline constexpr std::size_t expanded_bytes = 4 * 1024 * 1024;  // of all scalars and keys, aliases expanded
inline constexpr std::size_t depth = 32;
inline constexpr std::size_t nodes = 100000;  // aliases expanded
}  // namespace limits

// Parses one document.  Errors: 22P02 malformed (line and column in the detail), a key given twice or more
// than one document; 22021 not UTF-8; 54000 beyond the limits above.
Node parse_document(const std::string &yaml_or_json);

// Lays fragment over base: mappings merge key by key, anything else replaces.
Node overlay(Node base, const Node &fragment);

// Sets the path of node and of everything below it.
void assign_paths(Node &node, const std::string &path);

// Canonical JSON text; strings stay strings, numbers (1_000 as 1000) and booleans stay what they are.
std::string to_json(const Node &node);

// A string as a JSON string, quotes included.
std::string json_quote(const std::string &text);

// 22023 for a node whose value is not what its key takes; expected completes "It must be ...".
Error invalid_value(const Node &node, const std::string &expected, const std::string &hint = {});

}  // namespace backfill
