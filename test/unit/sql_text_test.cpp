#include "core/sql_text.hpp"

#include <gtest/gtest.h>

namespace backfill {
namespace {

TEST(SqlText, QuotesIdentifiers) {
  EXPECT_EQ(quote_ident("orders"), "\"orders\"");
  EXPECT_EQ(quote_ident("Odd \"name\""), "\"Odd \"\"name\"\"\"");
  EXPECT_EQ(qualified("a.b", "c"), "\"a.b\".\"c\"");
  EXPECT_EQ(qualified("", "c"), "\"c\"");
}

TEST(SqlText, QuotesLiterals) {
  EXPECT_EQ(quote_literal(""), "''");
  EXPECT_EQ(quote_literal("it's"), "'it''s'");
  EXPECT_EQ(quote_literal("a\\b'c"), "E'a\\\\b''c'");
}

TEST(SqlText, CutsTheStemNeverTheSuffix) {
  EXPECT_EQ(suffixed_name("orders", "_shadow"), "orders_shadow");
  const std::string long_name(63, 'x');
  EXPECT_EQ(suffixed_name(long_name, "_shadow"), std::string(56, 'x') + "_shadow");
  EXPECT_EQ(suffixed_name(long_name, "").size(), 63u);
  std::string accented = "x";
  for (int i = 0; i < 31; ++i) accented += "é";  // 63 bytes; 57 would cut one in half
  EXPECT_EQ(suffixed_name(accented, "_2").size(), 63u);
  EXPECT_EQ(suffixed_name(accented, "_12"), accented.substr(0, 59) + "_12");
  std::string emoji;
  for (int i = 0; i < 15; ++i) emoji += "😀";
  EXPECT_EQ(suffixed_name(emoji, "_shadow"), emoji.substr(0, 56) + "_shadow");
  EXPECT_EQ(suffixed_name(emoji, "_archive").size(), 60u);
}

struct PlaceholderCase {
  const char *sql;
  const char *expected;
};

class Placeholders : public testing::TestWithParam<PlaceholderCase> {};

TEST_P(Placeholders, AreReplacedInCodeOnly) {
  const std::map<std::string, std::string> values = {{"chunk_start", "'A'"}, {"chunk_stop", "'B'"}, {"chunk", "7"}};
  EXPECT_EQ(substitute_placeholders(GetParam().sql, values), GetParam().expected);
  const bool changed = std::string(GetParam().sql) != GetParam().expected;
  const bool used = uses_placeholder(GetParam().sql, "chunk_start") || uses_placeholder(GetParam().sql, "chunk_stop") ||
                    uses_placeholder(GetParam().sql, "chunk");
  EXPECT_EQ(used, changed);
}

INSTANTIATE_TEST_SUITE_P(
    SqlText, Placeholders,
    testing::Values(
        PlaceholderCase{"a >= :chunk_start AND a < :chunk_stop", "a >= 'A' AND a < 'B'"},
        PlaceholderCase{":chunk", "7"}, PlaceholderCase{"(:chunk)", "(7)"},
        PlaceholderCase{"a>=:chunk_start", "a>='A'"}, PlaceholderCase{":chunk::text", "7::text"},
        PlaceholderCase{":chunk_start:: date", "'A':: date"}, PlaceholderCase{"ARRAY[:chunk,:chunk]", "ARRAY[7,7]"},
        PlaceholderCase{"f(a => :chunk)", "f(a => 7)"}, PlaceholderCase{"x::chunk", "x::chunk"},
        PlaceholderCase{"x :: chunk", "x :: chunk"}, PlaceholderCase{"a := chunk", "a := chunk"},
        PlaceholderCase{":chunks", ":chunks"}, PlaceholderCase{":chunk_starts", ":chunk_starts"},
        PlaceholderCase{":other :Chunk", ":other :Chunk"}, PlaceholderCase{"a[1:chunk]", "a[1:chunk]"},
        PlaceholderCase{"a[b:chunk]", "a[b:chunk]"}, PlaceholderCase{"a[f(x):chunk]", "a[f(x):chunk]"},
        PlaceholderCase{"a[b[1]:chunk]", "a[b[1]:chunk]"}, PlaceholderCase{"a[\"b\":chunk]", "a[\"b\":chunk]"},
        PlaceholderCase{"a[$1:chunk]", "a[$1:chunk]"}, PlaceholderCase{"a[: chunk]", "a[: chunk]"},
        PlaceholderCase{"a[1: chunk]", "a[1: chunk]"}, PlaceholderCase{"':chunk'", "':chunk'"},
        PlaceholderCase{"'it'':chunk' || :chunk", "'it'':chunk' || 7"},
        PlaceholderCase{"'\\' || :chunk || '\\'", "'\\' || 7 || '\\'"},
        PlaceholderCase{"E'\\' :chunk' || :chunk", "E'\\' :chunk' || 7"},
        PlaceholderCase{"e'\\\\' || :chunk", "e'\\\\' || 7"}, PlaceholderCase{"xe':chunk'", "xe':chunk'"},
        PlaceholderCase{"U&':chunk'", "U&':chunk'"}, PlaceholderCase{"\":chunk\"", "\":chunk\""},
        PlaceholderCase{"\"a\"\" :chunk\" = :chunk", "\"a\"\" :chunk\" = 7"},
        PlaceholderCase{"$$ :chunk $$ || :chunk", "$$ :chunk $$ || 7"},
        PlaceholderCase{"$a$ $$ :chunk $b$ $a$ || :chunk", "$a$ $$ :chunk $b$ $a$ || 7"},
        PlaceholderCase{"$1 + :chunk + $2", "$1 + 7 + $2"}, PlaceholderCase{"a$b$ + :chunk + $b$", "a$b$ + 7 + $b$"},
        PlaceholderCase{"1 -- :chunk\n+ :chunk", "1 -- :chunk\n+ 7"},
        PlaceholderCase{"/* :chunk /* ' */ :chunk */ :chunk", "/* :chunk /* ' */ :chunk */ 7"},
        PlaceholderCase{"'open :chunk", "'open :chunk"}, PlaceholderCase{"/* open :chunk", "/* open :chunk"},
        PlaceholderCase{"$x$ open :chunk", "$x$ open :chunk"}, PlaceholderCase{"a - :chunk / 2", "a - 7 / 2"},
        PlaceholderCase{"", ""}, PlaceholderCase{":", ":"}, PlaceholderCase{"E'\\", "E'\\"}));

TEST(SqlText, ReplacementsAreNotScannedAgain) {
  EXPECT_EQ(substitute_placeholders(":a :b", {{"a", ":b"}, {"b", ":a"}}), ":b :a");
}

TEST(SqlText, SelfContainedTextStaysWithinItsParentheses) {
  for (const char *const text :
       {"", "a > 0", "(a) = f(b, (c))", "a = ')'", "\"(\" = 1", "a -- )\n > 0", "a -- the end", "/* ; ( */ a",
        "$$ ; ( $$ <> a", "a = ';'", "SELECT 1 FROM (SELECT 2) AS x", "E'\\'('"})
    EXPECT_TRUE(is_self_contained(text)) << text;
  for (const char *const text : {"a)", "(a", "a) OR (b", "a; b", "a;", "'a", "\"a", "/* a", "$x$ a", "E'a\\'", ")("})
    EXPECT_FALSE(is_self_contained(text)) << text;
}

}  // namespace
}  // namespace backfill
