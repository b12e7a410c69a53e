// The arithmetic of ranges and what is told of them.  The first byte says which; the rest are its numbers and texts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/batch.hpp"
#include "core/error.hpp"
#include "core/range_text.hpp"
#include "core/sql_text.hpp"
#include "core/threshold.hpp"
#include "core/units.hpp"
#include "core/utf8.hpp"
#include "core/webhook.hpp"
#include "core/window.hpp"
#include "require.hpp"

using namespace backfill;

namespace {

struct Input {
  const std::uint8_t *data;
  std::size_t left;

  template <typename T>
  T take() {
    T value{};
    std::size_t const bytes = std::min(left, sizeof value);
    std::memcpy(&value, data, bytes);
    data += bytes;
    left -= bytes;
    return value;
  }
  std::string_view rest() const { return {reinterpret_cast<const char *>(data), left}; }
};

std::int64_t positive(std::int64_t value) { return std::max<std::int64_t>(1, value & INT64_MAX); }

// However long batches take, the widths they are cut into cover what remains, and never more.
void cover(Input in) {
  std::int64_t remaining = positive(in.take<std::int64_t>());
  BatchSizer sizer(positive(in.take<std::int64_t>()), 1 + in.take<std::uint16_t>());
  for (int batch = 0; batch < 100 && remaining > 0; batch++) {
    std::int64_t const width = sizer.width_for(remaining);
    REQUIRE(width >= 1 && width <= remaining);
    remaining -= width;
    if (in.take<std::uint8_t>() % 5 == 0)
      sizer.record_failure();
    else
      sizer.record(width, in.take<double>());
    REQUIRE(sizer.width() >= 1);
  }
}

void next_widths(Input in) {
  std::int64_t const width = positive(in.take<std::int64_t>()), rows = in.take<std::int64_t>() & INT64_MAX;
  double const actual = in.take<double>(), target = 1 + in.take<std::uint16_t>();
  REQUIRE(next_width(width, actual, target) >= 1);
  REQUIRE(next_width(width, rows, actual, target) >= 1);
}

void tell_range(Input in) {
  std::string_view const text = in.rest();
  std::size_t const middle = std::min(text.find('|'), text.size());
  (void)range_text(text.substr(0, middle), text.substr(std::min(middle + 1, text.size())));
}

// A name keeps its suffix and fits, whatever stem; a literal is one.
void names(Input in) {
  std::string const text(in.rest());
  std::string const name = suffixed_name(text, "_shadow");
  REQUIRE(name.size() <= max_identifier_bytes && name.ends_with("_shadow"));
  std::string const quoted = quote_ident(text), literal = quote_literal(text);
  REQUIRE(quoted.size() >= text.size() && literal.size() >= text.size() + 2);
  (void)is_self_contained(text);
  (void)uses_placeholder(text, "chunk");
  (void)substitute_placeholders(text, {{"chunk", "1"}, {"chunk_start", "2"}});
  (void)invalid_utf8(text);
  REQUIRE(text.starts_with(utf8_prefix(text, max_identifier_bytes)));
}

void figures(Input in) {
  std::string const text(in.rest());
  (void)parse_size(text);
  (void)parse_percent(text);
  (void)parse_number(text);
  if (auto const count = parse_count(text)) REQUIRE(!format_count(*count).empty());
  if (auto const duration = parse_duration(text)) REQUIRE(!format_duration(static_cast<double>(*duration)).empty());
  if (auto const window = parse_window(text)) {
    REQUIRE(window->opens >= 0 && window->closes > window->opens);
    double const share = open_share({*window});
    REQUIRE(share > 0 && share <= 1);
  }
  refused_or_done([&] { (void)parse_threshold(text, "warn_if").holds(1, 1); });
  refused_or_done([&] { REQUIRE(allows(parse_webhook(text, "webhook").place(), parse_webhook(text, "webhook"))); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  Input in{data, size};
  switch (in.take<std::uint8_t>() % 5) {
    case 0: cover(in); break;
    case 1: next_widths(in); break;
    case 2: tell_range(in); break;
    case 3: names(in); break;
    default: figures(in);
  }
  return 0;
}
