#include "core/threshold.hpp"

#include <array>
#include <cctype>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "core/units.hpp"

namespace backfill {
namespace {

constexpr std::string_view blanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Removes word from the front of text where it stands there alone, in any case.
bool take_word(std::string_view &text, std::string_view word) {
  if (text.size() <= word.size() || blanks.find(text[word.size()]) == std::string_view::npos) return false;
  for (std::size_t i = 0; i < word.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(text[i])) != word[i]) return false;
  text = trimmed(text.substr(word.size()));
  return true;
}

struct Figure {
  double value;
  bool percent;
};

std::optional<Figure> parse_figure(std::string_view text) {
  if (const auto percent = parse_percent(text)) return Figure{*percent, true};
  if (const auto number = parse_number(text)) return Figure{*number, false};
  return std::nullopt;
}

std::optional<Threshold> parse_between(std::string_view text, Threshold::Test test) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string_view behind = text.substr(at);
    const bool word_begins = at > 0 && blanks.find(text[at - 1]) != std::string_view::npos;
    if (!word_begins || !take_word(behind, "and")) continue;
    const auto low = parse_figure(trimmed(text.substr(0, at)));
    const auto high = parse_figure(behind);
    if (!low || !high || low->percent != high->percent || low->value > high->value) return std::nullopt;
    return Threshold{test, low->value, high->value, low->percent, {}};
  }
  return std::nullopt;
}

std::optional<Threshold> parse_comparison(std::string_view text) {
  using Test = Threshold::Test;
  constexpr std::array<std::pair<std::string_view, Test>, 8> operators{{{"<=", Test::less_equal},
                                                                        {">=", Test::greater_equal},
                                                                        {"<>", Test::not_equal},
                                                                        {"!=", Test::not_equal},
                                                                        {"==", Test::equal},
                                                                        {"=", Test::equal},
                                                                        {"<", Test::less},
                                                                        {">", Test::greater}}};
  for (const auto &[symbol, test] : operators) {
    if (!text.starts_with(symbol)) continue;
    const auto figure = parse_figure(trimmed(text.substr(symbol.size())));
    if (!figure) return std::nullopt;
    return Threshold{test, figure->value, 0, figure->percent, {}};
  }
  return std::nullopt;
}

}  // namespace

bool Threshold::holds(double measured, double percent_figure) const {
  const double figure = percent ? percent_figure : measured;
  if (std::isnan(figure)) return true;
  switch (test) {
    case Test::less: return figure < low;
    case Test::less_equal: return figure <= low;
    case Test::equal: return figure == low;
    case Test::not_equal: return figure != low;
    case Test::greater_equal: return figure >= low;
    case Test::greater: return figure > low;
    case Test::between: return low <= figure && figure <= high;
    case Test::not_between: return figure < low || figure > high;
  }
  return true;
}

Threshold parse_threshold(const std::string &text, const std::string &path) {
  std::string_view rest = trimmed(text);
  const bool negated = take_word(rest, "not");
  std::optional<Threshold> parsed;
  if (take_word(rest, "between"))
    parsed = parse_between(rest, negated ? Threshold::Test::not_between : Threshold::Test::between);
  else if (!negated)
    parsed = parse_comparison(rest);
  if (!parsed)
    throw Error(sqlstate::invalid_parameter_value, "invalid value for \"" + path + "\"",
                "A threshold states the failing condition on the measured number, but this is \"" + text + "\".",
                "Write a comparison such as \"> 0\", \">= 2%\" or \"not between -2% and 2%\".");
  parsed->text = text;
  return *parsed;
}

}  // namespace backfill
