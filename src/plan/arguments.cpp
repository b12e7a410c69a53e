#include "plan/arguments.hpp"

#include "core/spec.hpp"

namespace backfill {

namespace {

enum Argument {
  name,
  target,
  set,
  query,
  chunk_column,
  start,
  stop,
  chunk_by,
  parallelism,
  preserve_existing,
  checks,
  options
};

void put_text(Node *section, const char *key, const pg::Call &call, Argument argument) {
  if (auto const text = call.optional_text(argument)) section->put(key, Node::of_string(*text));
}

void put_json(Node *section, const char *key, const pg::Call &call, Argument argument) {
  if (auto const text = call.optional_text(argument)) section->put(key, parse_document(*text));
}

void put_section(Node *document, const char *key, Node section) {
  if (!section.entries.empty()) document->put(key, std::move(section));
}

}  // namespace

Node document_of_arguments(const pg::Call &call) {
  Node document = Node::empty_mapping(), scope = Node::empty_mapping(), transform = Node::empty_mapping(),
       strategy = Node::empty_mapping();
  put_text(&document, "name", call, name);
  put_text(&scope, "table", call, target);
  put_text(&scope, "column", call, chunk_column);
  put_text(&scope, "start", call, start);
  put_text(&scope, "stop", call, stop);
  put_json(&transform, "set", call, set);
  put_text(&transform, "query", call, query);
  if (!call.null(preserve_existing))
    transform.put("preserve_existing", Node::of_boolean(call.boolean_argument(preserve_existing, false)));
  put_text(&strategy, "chunk_by", call, chunk_by);
  if (auto const workers = call.optional_integer(parallelism)) strategy.put("parallelism", Node::of_number(*workers));
  put_section(&document, "scope", std::move(scope));
  put_section(&document, "transform", std::move(transform));
  put_section(&document, "strategy", std::move(strategy));
  put_json(&document, "checks", call, checks);
  if (auto const fragment = call.optional_text(options))
    document = overlay(std::move(document), unwrap_spec(parse_document(*fragment)));
  return document;
}

}  // namespace backfill
