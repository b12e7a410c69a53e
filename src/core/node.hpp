// A parsed YAML or JSON document: scalars, sequences, mappings, each with the path it was found at.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace backfill {

class Node {
 public:
  enum class Kind { null, boolean, number, string, sequence, mapping };

  Kind kind = Kind::null;
  std::string path;    // "scope.start", "checks[2].column"; "" at the top
  std::string scalar;  // text of a boolean (true/false), number or string, as written
  std::vector<Node> items;                            // of a sequence
  std::vector<std::pair<std::string, Node>> entries;  // of a mapping, in the order written

  bool is_null() const { return kind == Kind::null; }
  const Node *find(const std::string &key) const;  // nullptr where absent or not a mapping

  // Typed readers; each raises 22023 naming the path when the node is not of that form.
  std::string text() const;          // any scalar, as written
  bool boolean() const;
  long long integer() const;         // 500_000 and 500000 alike
  std::vector<std::string> texts() const;  // a scalar or a sequence of scalars
};

// Parses one document.  Errors as parse_spec.
Node parse_document(const std::string &yaml_or_json);

// Lays fragment over base: mappings merge key by key, anything else replaces.
Node overlay(Node base, const Node &fragment);

// Canonical JSON text; strings stay strings, numbers and booleans stay what they are.
std::string to_json(const Node &node);

}  // namespace backfill
