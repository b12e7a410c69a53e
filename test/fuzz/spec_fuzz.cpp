// Any bytes as a spec: it is refused by an Error that says why, or read; and what was read, written as JSON, is read again and
// says the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/node.hpp"
#include "core/spec.hpp"
#include "require.hpp"

using namespace backfill;

namespace {

void read_again(const std::string &text) {
  std::string const once = to_json(parse_document(text));
  REQUIRE(to_json(parse_document(once)) == once);
}

void read_spec(const std::string &text) {
  std::string const frozen = to_json(frozen_document(parse_spec(text)));
  REQUIRE(to_json(frozen_document(parse_spec(frozen))) == frozen);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::string const text(reinterpret_cast<const char *>(data), size);
  refused_or_done([&] { read_again(text); });
  refused_or_done([&] { read_spec(text); });
  return 0;
}
