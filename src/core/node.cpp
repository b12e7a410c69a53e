// A document is composed from libyaml's events rather than its document tree, so that depth, node count and
// expansion of aliases are bounded while it is read, not after:
//
//   1. the text is checked: size, UTF-8;
//   2. events become nodes, depth first; an anchor keeps a copy of its finished node (so none can contain
//      itself), an alias pays for all nodes and bytes of the copy before it is made;
//   3. the stream must end after one document; then every node is told its path.
#include "core/node.hpp"

#include <yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <map>
#include <set>
#include <string_view>

#include "core/utf8.hpp"

namespace backfill {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Digits with single underscores between them; moves at behind them.
bool skip_digits(std::string_view text, std::size_t &at, bool underscores) {
  if (at >= text.size() || !is_digit(text[at])) return false;
  while (at < text.size()) {
    const bool separator = underscores && text[at] == '_' && at + 1 < text.size() && is_digit(text[at + 1]);
    if (!is_digit(text[at]) && !separator) break;
    ++at;
  }
  return true;
}

bool is_number(std::string_view text) {
  std::size_t at = 0;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  const std::size_t first = at;
  if (!skip_digits(text, at, true)) return false;
  if (text[first] == '0' && at > first + 1) return false;  // 007 is a code, not a seven
  if (at < text.size() && text[at] == '.' && !skip_digits(text, ++at, false)) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (!skip_digits(text, at, false)) return false;
  }
  return at == text.size();
}

std::string plain_number(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
  if (!text.empty() && text[0] == '+') text.erase(0, 1);
  return text;
}

Node::Kind kind_of_plain(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return Node::Kind::null;
  for (const char *word : {"true", "True", "TRUE", "false", "False", "FALSE"})
    if (text == word) return Node::Kind::boolean;
  return is_number(text) ? Node::Kind::number : Node::Kind::string;
}

std::string lower(std::string text) {
  for (char &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string position(std::size_t line, std::size_t column) {
  return "Line " + std::to_string(line + 1) + ", column " + std::to_string(column + 1);
}

Error malformed(const yaml_mark_t &mark, const std::string &problem) {
  return Error(sqlstate::invalid_text_representation, "the document is not valid YAML or JSON",
               position(mark.line, mark.column) + ": " + problem + ".");
}

Error too_large(const std::string &detail) {
  return Error(sqlstate::program_limit_exceeded, "the document is too large", detail,
               "Shorten it, and write repeated parts once.");
}

struct Event {
  yaml_event_t raw{};
  Event() = default;
  Event(const Event &) = delete;
  Event &operator=(const Event &) = delete;
  ~Event() { yaml_event_delete(&raw); }
};

class Composer {
 public:
  explicit Composer(const std::string &text) : text_(text) {
    if (!yaml_parser_initialize(&parser_)) throw Error(sqlstate::out_of_memory, "out of memory");
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char *>(text.data()), text.size());
  }
  Composer(const Composer &) = delete;
  Composer &operator=(const Composer &) = delete;
  ~Composer() { yaml_parser_delete(&parser_); }

  Node compose_document();
  bool met_bad_escape() const {
    return parser_.problem != nullptr &&
           std::string_view(parser_.problem) == "found invalid Unicode character escape code";
  }

 private:
  struct Cost {
    std::size_t nodes = 0, bytes = 0, depth = 0;  // depth: levels below and including the node
  };
  struct Anchored {
    Node node;
    Cost cost;
  };

  void next(Event &event);
  Cost spent() const { return {nodes_, bytes_, 0}; }
  void spend(const Cost &cost, std::size_t depth, const yaml_mark_t &mark);
  Node compose(const Event &event, std::size_t depth, Cost &cost);
  Node compose_scalar(const Event &event) const;
  Node compose_alias(const Event &event, std::size_t depth, Cost &cost);
  Node compose_sequence(std::size_t depth, Cost &cost);
  Node compose_mapping(std::size_t depth, Cost &cost);
  void keep_anchor(const yaml_char_t *anchor, const Node &node, const Cost &cost, const yaml_mark_t &mark);

  const std::string &text_;
  yaml_parser_t parser_{};
  std::map<std::string, Anchored> anchors_;
  std::size_t nodes_ = 0, bytes_ = 0, anchored_bytes_ = 0;
};

void Composer::next(Event &event) {
  if (yaml_parser_parse(&parser_, &event.raw)) return;
  if (parser_.error == YAML_MEMORY_ERROR) throw Error(sqlstate::out_of_memory, "out of memory");
  yaml_mark_t mark = parser_.problem_mark;
  if (parser_.error == YAML_READER_ERROR) {
    const std::string_view before = std::string_view(text_).substr(0, std::min(parser_.problem_offset, text_.size()));
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    mark.line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
    mark.column = before.size() - line_start;
  }
  std::string problem = parser_.problem ? parser_.problem : "unknown error";
  if (parser_.context) problem += std::string(" ") + parser_.context;
  throw malformed(mark, problem);
}

void Composer::spend(const Cost &cost, std::size_t depth, const yaml_mark_t &mark) {
  nodes_ += cost.nodes;
  bytes_ += cost.bytes;
  if (depth + cost.depth > limits::depth)
    throw Error(sqlstate::program_limit_exceeded, "the document is nested too deeply",
                position(mark.line, mark.column) + " is more than " + std::to_string(limits::depth) + " levels deep.");
  if (nodes_ > limits::nodes)
    throw too_large("With aliases expanded it holds more than " + std::to_string(limits::nodes) + " values.");
  if (bytes_ > limits::expanded_bytes)
    throw too_large("With aliases expanded it holds more than " + std::to_string(limits::expanded_bytes) + " bytes.");
}

Node Composer::compose_scalar(const Event &event) const {
  const auto &data = event.raw.data.scalar;
  Node node;
  node.scalar.assign(reinterpret_cast<const char *>(data.value), data.length);
  if (node.scalar.find('\0') != std::string::npos)
    throw malformed(event.raw.start_mark, "a text value holds a NUL character");
  const std::string_view tag = data.tag ? reinterpret_cast<const char *>(data.tag) : "";
  const bool text_tag = tag == "!" || tag == "tag:yaml.org,2002:str";
  const bool plain = data.style == YAML_PLAIN_SCALAR_STYLE && !text_tag;
  node.kind = plain ? kind_of_plain(node.scalar) : Node::Kind::string;
  if (node.kind == Node::Kind::boolean) node.scalar = lower(node.scalar);
  if (node.kind == Node::Kind::null) node.scalar.clear();
  return node;
}

Node Composer::compose_alias(const Event &event, std::size_t depth, Cost &cost) {
  const std::string name = reinterpret_cast<const char *>(event.raw.data.alias.anchor);
  const auto found = anchors_.find(name);
  if (found == anchors_.end())
    throw malformed(event.raw.start_mark, "alias \"" + name + "\" refers to no finished anchor");
  spend(found->second.cost, depth - 1, event.raw.start_mark);
  cost = found->second.cost;
  return found->second.node;
}

Node Composer::compose_sequence(std::size_t depth, Cost &cost) {
  Node node;
  node.kind = Node::Kind::sequence;
  for (;;) {
    Event event;
    next(event);
    if (event.raw.type == YAML_SEQUENCE_END_EVENT) return node;
    Cost item;
    node.items.push_back(compose(event, depth + 1, item));
    cost.depth = std::max(cost.depth, item.depth + 1);
  }
}

Node Composer::compose_mapping(std::size_t depth, Cost &cost) {
  Node node;
  node.kind = Node::Kind::mapping;
  std::set<std::string> seen;
  for (;;) {
    Event key_event;
    next(key_event);
    if (key_event.raw.type == YAML_MAPPING_END_EVENT) return node;
    Cost ignored;
    const Node key = compose(key_event, depth + 1, ignored);
    if (key.kind == Node::Kind::sequence || key.kind == Node::Kind::mapping)
      throw malformed(key_event.raw.start_mark, "a key must be text");
    const std::string name = key.is_null() ? "null" : key.scalar;
    if (!seen.insert(name).second) throw malformed(key_event.raw.start_mark, "key \"" + name + "\" is given twice");
    Event event;
    next(event);
    Cost item;
    node.entries.emplace_back(name, compose(event, depth + 1, item));
    cost.depth = std::max(cost.depth, item.depth + 1);
  }
}

void Composer::keep_anchor(const yaml_char_t *anchor, const Node &node, const Cost &cost, const yaml_mark_t &mark) {
  if (anchor == nullptr) return;
  anchored_bytes_ += cost.bytes + cost.nodes * sizeof(Node);
  if (anchored_bytes_ > limits::nodes * sizeof(Node) + limits::expanded_bytes)
    throw too_large(position(mark.line, mark.column) + ": the anchors hold too much.");
  anchors_[reinterpret_cast<const char *>(anchor)] = Anchored{node, cost};
}

bool known_tag(const yaml_char_t *tag) {
  if (tag == nullptr) return true;
  const std::string_view text = reinterpret_cast<const char *>(tag);
  return text == "!" || text.starts_with("tag:yaml.org,2002:");
}

// Composes the node that event begins, at the given level (the top is 1); cost receives what it holds.
Node Composer::compose(const Event &event, std::size_t depth, Cost &cost) {
  const yaml_mark_t mark = event.raw.start_mark;
  if (event.raw.type == YAML_ALIAS_EVENT) return compose_alias(event, depth, cost);
  const Cost before = spent();
  const yaml_char_t *anchor = nullptr;
  const yaml_char_t *tag = nullptr;
  Node node;
  cost.depth = 1;
  if (event.raw.type == YAML_SCALAR_EVENT) {
    anchor = event.raw.data.scalar.anchor;
    tag = event.raw.data.scalar.tag;
    spend({1, event.raw.data.scalar.length, 0}, depth, mark);
    node = compose_scalar(event);
  } else {
    spend({1, 0, 0}, depth, mark);
    const bool sequence = event.raw.type == YAML_SEQUENCE_START_EVENT;
    anchor = sequence ? event.raw.data.sequence_start.anchor : event.raw.data.mapping_start.anchor;
    tag = sequence ? event.raw.data.sequence_start.tag : event.raw.data.mapping_start.tag;
    node = sequence ? compose_sequence(depth, cost) : compose_mapping(depth, cost);
  }
  if (!known_tag(tag))
    throw malformed(mark, "tag \"" + std::string(reinterpret_cast<const char *>(tag)) + "\" is not supported");
  cost.nodes = nodes_ - before.nodes;
  cost.bytes = bytes_ - before.bytes;
  keep_anchor(anchor, node, cost, mark);
  return node;
}

Node Composer::compose_document() {
  Node top;
  {
    Event stream_start;
    next(stream_start);
  }
  {
    Event document_start;
    next(document_start);
    if (document_start.raw.type == YAML_STREAM_END_EVENT) return top;
  }
  {
    Event first;
    next(first);
    Cost cost;
    top = compose(first, 1, cost);
  }
  {
    Event document_end;
    next(document_end);
  }
  Event last;
  next(last);
  if (last.raw.type != YAML_STREAM_END_EVENT)
    throw malformed(last.raw.start_mark, "a second document begins; one is allowed");
  return top;
}

// JSON writes characters beyond U+FFFF as two escapes, which YAML does not know: \ud83d\ude00 becomes \U0001f600.
std::string join_surrogates(const std::string &text) {
  const auto escape = [&](std::size_t at, unsigned low, unsigned high) -> unsigned {
    unsigned code = 0;
    if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return 0;
    const char *digits = text.data() + at + 2;
    const auto [end, error] = std::from_chars(digits, digits + 4, code, 16);
    return error == std::errc() && end == digits + 4 && low <= code && code <= high ? code : 0;
  };
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const unsigned high = escape(at, 0xD800, 0xDBFF);
    const unsigned low = high ? escape(at + 6, 0xDC00, 0xDFFF) : 0;
    if (low) {
      char joined[16];
      std::snprintf(joined, sizeof joined, "\\U%08X", 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
      out += joined;
      at += 12;
    } else {
      const std::size_t length = text[at] == '\\' && at + 1 < text.size() ? 2 : 1;
      out.append(text, at, length);
      at += length;
    }
  }
  return out;
}

std::string describe(const Node &node) {
  switch (node.kind) {
    case Node::Kind::null: return "empty";
    case Node::Kind::sequence: return "a list";
    case Node::Kind::mapping: return "a mapping";
    case Node::Kind::boolean:
    case Node::Kind::number: return node.scalar;
    case Node::Kind::string: break;
  }
  const std::string_view shown = utf8_prefix(node.scalar, 60);
  return '"' + std::string(shown) + (shown.size() < node.scalar.size() ? "…" : "") + '"';
}

void append_json(std::string &out, const Node &node) {
  switch (node.kind) {
    case Node::Kind::null: out += "null"; return;
    case Node::Kind::boolean: out += node.scalar; return;
    case Node::Kind::number: out += plain_number(node.scalar); return;
    case Node::Kind::string: out += json_quote(node.scalar); return;
    case Node::Kind::sequence:
      out += '[';
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (i) out += ", ";
        append_json(out, node.items[i]);
      }
      out += ']';
      return;
    case Node::Kind::mapping:
      out += '{';
      for (std::size_t i = 0; i < node.entries.size(); ++i) {
        if (i) out += ", ";
        out += json_quote(node.entries[i].first) + ": ";
        append_json(out, node.entries[i].second);
      }
      out += '}';
      return;
  }
}

}  // namespace

Node::Node() = default;
Node::Node(const Node &) = default;
Node::Node(Node &&) noexcept = default;
Node &Node::operator=(const Node &) = default;
Node &Node::operator=(Node &&) noexcept = default;
Node::~Node() = default;

Node Node::of_string(std::string text) {
  Node node;
  node.kind = Kind::string;
  node.scalar = std::move(text);
  return node;
}

Node Node::of_number(long long value) {
  Node node;
  node.kind = Kind::number;
  node.scalar = std::to_string(value);
  return node;
}

Node Node::of_boolean(bool value) {
  Node node;
  node.kind = Kind::boolean;
  node.scalar = value ? "true" : "false";
  return node;
}

Node Node::of_strings(const std::vector<std::string> &texts) {
  Node node;
  node.kind = Kind::sequence;
  for (const std::string &text : texts) node.items.push_back(of_string(text));
  return node;
}

Node Node::empty_mapping() {
  Node node;
  node.kind = Kind::mapping;
  return node;
}

const Node *Node::find(const std::string &key) const {
  if (kind != Kind::mapping) return nullptr;
  for (const auto &[name, node] : entries)
    if (name == key) return &node;
  return nullptr;
}

Node *Node::find(const std::string &key) { return const_cast<Node *>(std::as_const(*this).find(key)); }

void Node::put(const std::string &key, Node value) {
  if (is_null()) kind = Kind::mapping;
  if (kind != Kind::mapping) throw invalid_value(*this, "a mapping");
  if (Node *present = find(key))
    *present = std::move(value);
  else
    entries.emplace_back(key, std::move(value));
}

std::string Node::text() const {
  if (!is_scalar()) throw invalid_value(*this, "text");
  return scalar;
}

std::string Node::value() const {
  if (!is_scalar()) throw invalid_value(*this, "a single value");
  return kind == Kind::number ? plain_number(scalar) : scalar;
}

bool Node::boolean() const {
  if (is_scalar() && kind != Kind::number) {
    const std::string word = lower(scalar);
    if (word == "true" || word == "yes" || word == "on") return true;
    if (word == "false" || word == "no" || word == "off") return false;
  }
  throw invalid_value(*this, "true or false");
}

long long Node::integer() const {
  if (is_scalar() && is_number(scalar)) {
    const std::string digits = plain_number(scalar);
    long long value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size()) return value;
  }
  throw invalid_value(*this, "a whole number");
}

double Node::number() const {
  if (is_scalar() && is_number(scalar)) {
    const std::string digits = plain_number(scalar);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size()) return value;
  }
  throw invalid_value(*this, "a number");
}

namespace {

template <typename Read>
std::vector<std::string> read_list(const Node &node, Read read) {
  if (node.is_null()) return {};
  if (node.is_scalar()) return {read(node)};
  if (node.kind != Node::Kind::sequence) throw invalid_value(node, "a list of single values");
  std::vector<std::string> out;
  for (const Node &item : node.items) out.push_back(read(item));
  return out;
}

}  // namespace

std::vector<std::string> Node::texts() const {
  return read_list(*this, [](const Node &item) { return item.text(); });
}

std::vector<std::string> Node::values() const {
  return read_list(*this, [](const Node &item) { return item.value(); });
}

Node parse_document(const std::string &text) {
  if (text.size() > limits::text_bytes)
    throw too_large("It is " + std::to_string(text.size()) + " bytes long; the limit is " +
                    std::to_string(limits::text_bytes) + ".");
  if (const auto offset = invalid_utf8(text))
    throw Error(sqlstate::character_not_in_repertoire, "the document is not valid UTF-8",
                "The first invalid byte is at offset " + std::to_string(*offset) + ".",
                "Save it as UTF-8 and try again.");
  Node top;
  Composer composer(text);
  try {
    top = composer.compose_document();
  } catch (const Error &) {
    const std::string joined = composer.met_bad_escape() ? join_surrogates(text) : text;
    if (joined == text) throw;
    top = Composer(joined).compose_document();
  }
  assign_paths(top, "");
  return top;
}

Node overlay(Node base, const Node &fragment) {
  if (base.kind != Node::Kind::mapping || fragment.kind != Node::Kind::mapping) return fragment;
  for (const auto &[key, value] : fragment.entries) {
    Node *present = base.find(key);
    base.put(key, present ? overlay(std::move(*present), value) : value);
  }
  return base;
}

void assign_paths(Node &node, const std::string &path) {
  node.path = path;
  for (std::size_t i = 0; i < node.items.size(); ++i) assign_paths(node.items[i], path + '[' + std::to_string(i) + ']');
  for (auto &[key, value] : node.entries) assign_paths(value, path.empty() ? key : path + '.' + key);
}

std::string to_json(const Node &node) {
  std::string out;
  append_json(out, node);
  return out;
}

std::string json_quote(const std::string &text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escaped[8];
          std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
          out += escaped;
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

Error invalid_value(const Node &node, const std::string &expected, const std::string &hint) {
  const std::string subject = node.path.empty() ? "invalid spec" : "invalid value for \"" + node.path + "\"";
  return Error(sqlstate::invalid_parameter_value, subject,
               "It must be " + expected + ", but is " + describe(node) + ".", hint);
}

}  // namespace backfill
