#include "core/node.hpp"

#include <gtest/gtest.h>

#include "raises.hpp"

namespace backfill {
namespace {

using Kind = Node::Kind;

struct ScalarCase {
  const char *text;
  Kind kind;
  const char *scalar;
};

class Scalars : public testing::TestWithParam<ScalarCase> {};

TEST_P(Scalars, KeepTheirKind) {
  const Node node = parse_document(std::string("a: ") + GetParam().text);
  EXPECT_EQ(node.find("a")->kind, GetParam().kind);
  EXPECT_EQ(node.find("a")->scalar, GetParam().scalar);
}

INSTANTIATE_TEST_SUITE_P(
    Node, Scalars,
    testing::Values(ScalarCase{"", Kind::null, ""}, ScalarCase{"~", Kind::null, ""}, ScalarCase{"null", Kind::null, ""},
                    ScalarCase{"true", Kind::boolean, "true"}, ScalarCase{"FALSE", Kind::boolean, "false"},
                    ScalarCase{"yes", Kind::string, "yes"}, ScalarCase{"'true'", Kind::string, "true"},
                    ScalarCase{"12", Kind::number, "12"}, ScalarCase{"-12", Kind::number, "-12"},
                    ScalarCase{"1_000", Kind::number, "1_000"}, ScalarCase{"1.5", Kind::number, "1.5"},
                    ScalarCase{"-1.5e-3", Kind::number, "-1.5e-3"}, ScalarCase{"0", Kind::number, "0"},
                    ScalarCase{"0.5", Kind::number, "0.5"}, ScalarCase{"\"12\"", Kind::string, "12"},
                    ScalarCase{"!!str 12", Kind::string, "12"}, ScalarCase{"007", Kind::string, "007"},
                    ScalarCase{"1__0", Kind::string, "1__0"}, ScalarCase{"1_", Kind::string, "1_"},
                    ScalarCase{"1.", Kind::string, "1."}, ScalarCase{".5", Kind::string, ".5"},
                    ScalarCase{"1e", Kind::string, "1e"}, ScalarCase{"0x10", Kind::string, "0x10"},
                    ScalarCase{".nan", Kind::string, ".nan"}, ScalarCase{"2023-01-01", Kind::string, "2023-01-01"},
                    ScalarCase{"12:30:00", Kind::string, "12:30:00"},
                    ScalarCase{"~500_000 rows", Kind::string, "~500_000 rows"},
                    ScalarCase{"a::text", Kind::string, "a::text"}, ScalarCase{"''", Kind::string, ""}));

struct MalformedCase {
  const char *label;
  std::string text;
  const char *sqlstate;
  const char *detail;  // a part of it
};

std::string exploding_aliases(const std::string &leaf) {
  std::string text = "a0: &a0 [" + leaf + "," + leaf + "]\n";
  for (int i = 1; i < 28; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " {x: " + before + ", y: " + before + "}\n";
  }
  return text;
}

std::string repeated_text() {
  std::string text = "a: &a \"" + std::string(100000, 'x') + "\"\nb: [";
  for (int i = 0; i < 1000; ++i) text += i ? ", *a" : "*a";
  return text + "]\n";
}

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
}

class Malformed : public testing::TestWithParam<MalformedCase> {};

TEST_P(Malformed, IsRefused) {
  const Error error = raised_by([&] { parse_document(GetParam().text); });
  EXPECT_EQ(error.sqlstate, GetParam().sqlstate);
  EXPECT_NE(error.detail.find(GetParam().detail), std::string::npos) << error.detail;
}

INSTANTIATE_TEST_SUITE_P(
    Node, Malformed,
    testing::Values(MalformedCase{"open list", "a: [b", "22P02", "Line 2, column 1"},
                    MalformedCase{"two colons", "a: b\nc: d: e\n", "22P02", "Line 2, column 5"},
                    MalformedCase{"tab", "a:\n\tb: 1\n", "22P02", "Line 2, column 1"},
                    MalformedCase{"open quote", "a: \"b", "22P02", "Line 1, column 6"},
                    MalformedCase{"control", std::string("a: 1\nb: \x01"), "22P02", "Line 2, column 4"},
                    MalformedCase{"nul", std::string("a: \0", 4), "22P02", "control characters"},
                    MalformedCase{"escaped nul", R"({"a": "x\u0000y"})", "22P02", "NUL"},
                    MalformedCase{"lone surrogate", R"({"a": "\ud83d"})", "22P02", "escape code"},
                    MalformedCase{"two documents", "a: 1\n---\nb: 2\n", "22P02", "second document"},
                    MalformedCase{"duplicate", "a: 1\nb: 2\na: 3\n", "22P02",
                                  "Line 3, column 1: key \"a\" is given twice"},
                    MalformedCase{"duplicate json", R"({"a": 1, "a": 1})", "22P02", "given twice"},
                    MalformedCase{"list as key", "[a, b]: c\n", "22P02", "a key must be text"},
                    MalformedCase{"unknown alias", "a: *b\n", "22P02", "refers to no finished anchor"},
                    MalformedCase{"alias of itself", "a: &a [*a]\n", "22P02", "refers to no finished anchor"},
                    MalformedCase{"tag", "a: !ruby/object x\n", "22P02", "is not supported"},
                    MalformedCase{"latin-1", "a: caf\xe9\n", "22021", "offset 6"},
                    MalformedCase{"overlong", "a: \xc0\xaf\n", "22021", "offset 3"},
                    MalformedCase{"surrogate", "a: \xed\xa0\x80\n", "22021", "offset 3"},
                    MalformedCase{"cut off", "a: \xe2\x82", "22021", "offset 3"},
                    MalformedCase{"deep", nested(33), "54000", "more than 32 levels"},
                    MalformedCase{"very deep", nested(100000), "54000", "more than 32 levels"},
                    MalformedCase{"long", std::string(1024 * 1024 + 1, ' '), "54000", "1048577 bytes"},
                    MalformedCase{"exploding aliases", exploding_aliases("x"), "54000", "With aliases expanded"},
                    MalformedCase{"repeated text", repeated_text(), "54000", "With aliases expanded"}),
    [](const auto &info) {
      std::string name = info.param.label;
      for (char &c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

TEST(Node, AcceptsWhatIsJustWithinTheLimits) {
  EXPECT_NO_THROW(parse_document(nested(32)));
  EXPECT_NO_THROW(parse_document("a: " + std::string(1024 * 1024 - 4, 'x')));
}

TEST(Node, AliasesCountTheirDepth) {
  const std::string text = "a: &a " + nested(20) + "\nb: " + std::string(20, '[') + "*a" + std::string(20, ']');
  EXPECT_EQ(raised_by([&] { parse_document(text); }).sqlstate, "54000");
}

TEST(Node, ManyValuesAreRefused) {
  std::string text = "[";
  for (int i = 0; i < 100001; ++i) text += "1,";
  EXPECT_EQ(raised_by([&] { parse_document(text + "1]"); }).sqlstate, "54000");
}

TEST(Node, ExpandsAliases) {
  EXPECT_EQ(to_json(parse_document("a: &x {b: 1}\nc: *x\n")), R"({"a": {"b": 1}, "c": {"b": 1}})");
}

TEST(Node, EmptyTextIsNull) {
  EXPECT_TRUE(parse_document("").is_null());
  EXPECT_TRUE(parse_document("# nothing\n").is_null());
}

TEST(Node, AcceptsAByteOrderMarkAndCarriageReturns) {
  EXPECT_EQ(to_json(parse_document("\xef\xbb\xbf"
                                   "a: 1\r\nb: 2\r\n")),
            R"({"a": 1, "b": 2})");
}

TEST(Node, ReadsJson) {
  const std::string text = R"({"a":1,"b":[true,null,"x\/y","\u00e9\ud83d\ude00"],"c":{"d":-1.5e3}})";
  EXPECT_EQ(to_json(parse_document(text)), "{\"a\": 1, \"b\": [true, null, \"x/y\", \"é😀\"], \"c\": {\"d\": -1.5e3}}");
}

TEST(Node, BackslashesBeforeASurrogateStay) {
  EXPECT_EQ(parse_document(R"({"a": "\\ud83d", "b": "\ud83d\ude00"})").find("a")->scalar, "\\ud83d");
}

TEST(Node, WritesJson) {
  Node node = Node::empty_mapping();
  node.put("q\"\\", Node::of_string("line\nfeed\ttab\r\b\f\x01 'single' é"));
  node.put("n", parse_document("+1_000"));
  node.put("b", Node::of_boolean(false));
  node.put("l", Node::of_strings({"1", "2"}));
  node.put("i", Node::of_number(-5));
  node.put("z", Node());
  EXPECT_EQ(to_json(node),
            "{\"q\\\"\\\\\": \"line\\nfeed\\ttab\\r\\b\\f\\u0001 'single' é\", \"n\": 1000, \"b\": false, "
            "\"l\": [\"1\", \"2\"], \"i\": -5, \"z\": null}");
  EXPECT_EQ(to_json(parse_document(to_json(node))), to_json(node));
}

TEST(Node, KnowsItsPath) {
  const Node node = parse_document("scope: {start: 1}\nchecks: [a, {column: b}]\n");
  EXPECT_EQ(node.path, "");
  EXPECT_EQ(node.find("scope")->find("start")->path, "scope.start");
  EXPECT_EQ(node.find("checks")->items[1].find("column")->path, "checks[1].column");
  EXPECT_EQ(node.find("nothing"), nullptr);
  EXPECT_EQ(node.find("scope")->find("start")->find("x"), nullptr);
}

TEST(Node, ReadersTakeWhatFits) {
  const Node node = parse_document("{t: yes, f: 'Off', i: 500_000, s: '12', n: -1.5, l: [a, 1_000], one: x, z: }");
  EXPECT_TRUE(node.find("t")->boolean());
  EXPECT_FALSE(node.find("f")->boolean());
  EXPECT_EQ(node.find("i")->integer(), 500000);
  EXPECT_EQ(node.find("s")->integer(), 12);
  EXPECT_DOUBLE_EQ(node.find("n")->number(), -1.5);
  EXPECT_EQ(node.find("i")->text(), "500_000");
  EXPECT_EQ(node.find("i")->value(), "500000");
  EXPECT_EQ(node.find("l")->texts(), (std::vector<std::string>{"a", "1_000"}));
  EXPECT_EQ(node.find("l")->values(), (std::vector<std::string>{"a", "1000"}));
  EXPECT_EQ(node.find("one")->texts(), std::vector<std::string>{"x"});
  EXPECT_TRUE(node.find("z")->texts().empty());
}

TEST(Node, ReadersNameThePathOfWhatDoesNotFit) {
  const Node node = parse_document("{a: {b: [1]}, n: 1.5, big: 99999999999999999999, z: }");
  const Node &list = *node.find("a")->find("b");
  for (const Error &error : {raised_by([&] { list.text(); }), raised_by([&] { list.integer(); }),
                             raised_by([&] { list.boolean(); }), raised_by([&] { list.number(); })}) {
    EXPECT_EQ(error.sqlstate, "22023");
    EXPECT_STREQ(error.what(), "invalid value for \"a.b\"");
    EXPECT_NE(error.detail.find("a list"), std::string::npos);
  }
  EXPECT_EQ(raised_by([&] { node.find("n")->integer(); }).detail, "It must be a whole number, but is 1.5.");
  EXPECT_EQ(raised_by([&] { node.find("big")->integer(); }).sqlstate, "22023");
  EXPECT_EQ(raised_by([&] { node.find("n")->boolean(); }).detail, "It must be true or false, but is 1.5.");
  EXPECT_EQ(raised_by([&] { node.find("z")->text(); }).detail, "It must be text, but is empty.");
  EXPECT_EQ(raised_by([&] { node.find("a")->texts(); }).sqlstate, "22023");
}

TEST(Node, LongValuesAreCutInMessagesAtACharacter) {
  std::string text = "a: x";
  for (int i = 0; i < 100; ++i) text += "é";
  const Error error = raised_by([&] { parse_document(text).find("a")->integer(); });
  EXPECT_LT(error.detail.size(), 120u);
  EXPECT_NE(error.detail.find("é…\""), std::string::npos) << error.detail;
}

TEST(Overlay, MergesMappingsAndReplacesTheRest) {
  const Node base = parse_document("{a: {x: 1, y: [1, 2]}, b: 1, c: keep}");
  const Node fragment = parse_document("{a: {y: [3], z: 4}, b: {deep: 1}, d: new, e: }");
  EXPECT_EQ(to_json(overlay(base, fragment)),
            R"({"a": {"x": 1, "y": [3], "z": 4}, "b": {"deep": 1}, "c": "keep", "d": "new", "e": null})");
  EXPECT_EQ(to_json(overlay(Node(), fragment)), to_json(fragment));
}

}  // namespace
}  // namespace backfill
