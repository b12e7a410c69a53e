#include "core/webhook.hpp"

#include <gtest/gtest.h>

#include "raises.hpp"

namespace backfill {
namespace {

struct PlaceCase {
  const char *url, *place;
};

class Place : public testing::TestWithParam<PlaceCase> {};

TEST_P(Place, IsHostAndPort) {
  const Webhook webhook = parse_webhook(GetParam().url, "monitoring.progress_webhook");
  EXPECT_EQ(webhook.place(), GetParam().place);
  EXPECT_EQ(webhook.url, GetParam().url);
  EXPECT_TRUE(allows(GetParam().place, webhook));
}

INSTANTIATE_TEST_SUITE_P(Webhook, Place,
                         testing::Values(PlaceCase{"https://hooks.slack.com/services/T/B/x", "hooks.slack.com"},
                                         PlaceCase{"https://hooks.slack.com", "hooks.slack.com"},
                                         PlaceCase{"HTTPS://Hooks.Slack.COM:443/x", "hooks.slack.com"},
                                         PlaceCase{"https://a.example:8443?q=1", "a.example:8443"},
                                         PlaceCase{"https://slack.../webhook", "slack..."},
                                         PlaceCase{"https://a.example/x@b.example", "a.example"},
                                         PlaceCase{"http://localhost:8080/x", "localhost:8080"},
                                         PlaceCase{"http://127.0.0.1/x", "127.0.0.1"},
                                         PlaceCase{"http://127.0.0.1:443/x", "127.0.0.1:443"},
                                         PlaceCase{"http://[::1]:8080/", "[::1]:8080"},
                                         PlaceCase{"https://[2001:DB8::1]/", "[2001:db8::1]"}));

class RefusedAddress : public testing::TestWithParam<const char *> {};

TEST_P(RefusedAddress, WithoutShowingIt) {
  const std::string url = GetParam();
  const Error error = raised_by([&] { parse_webhook(url, "monitoring.progress_webhook"); });
  EXPECT_EQ(error.sqlstate, "22023");
  EXPECT_STREQ(error.what(), "invalid value for \"monitoring.progress_webhook\"");
  EXPECT_EQ((error.detail + error.hint).find("s3cret"), std::string::npos);
  EXPECT_FALSE(error.hint.empty());
}

INSTANTIATE_TEST_SUITE_P(Webhook, RefusedAddress,
                         testing::Values("", "s3cret", "hooks.slack.com/s3cret", "https:/a/s3cret", "https://",
                                         "https:///s3cret", "ftp://a/s3cret", "file:///s3cret", "gopher://a/s3cret",
                                         "http://hooks.slack.com/s3cret", "http://10.0.0.1/s3cret",
                                         "http://127.evil.example/s3cret", "http://localhost.evil.example/s3cret",
                                         "http://[::2]/s3cret", "https://user:s3cret@a/", "https://a.example@b/s3cret",
                                         "https://a/#s3cret", "https://a/s3cret x", "https://a\\@b/s3cret",
                                         "https://a/s3cret\r\nHost: b", "https://a:0/s3cret", "https://a:65536/s3cret",
                                         "https://a:/s3cret", "https://a:1:2/s3cret", "https://[::1/s3cret",
                                         "https://[g]/s3cret", "https://[::1]x/s3cret", "https://\xC3\xA4/s3cret"));

TEST(Webhook, IsNotEndless) {
  EXPECT_EQ(raised_by([] { parse_webhook("https://a/" + std::string(2000, 'x'), "p"); }).sqlstate, "22023");
}

struct ListCase {
  const char *hosts, *url;
  bool allowed;
};

class List : public testing::TestWithParam<ListCase> {};

TEST_P(List, NamesPlacesExactly) {
  EXPECT_EQ(allows(GetParam().hosts, parse_webhook(GetParam().url, "p")), GetParam().allowed) << GetParam().hosts;
}

INSTANTIATE_TEST_SUITE_P(
    Webhook, List,
    testing::Values(ListCase{"", "https://a.example/", false}, ListCase{",", "https://a.example/", false},
                    ListCase{" b.example , A.Example ", "https://a.example/", true},
                    ListCase{"\"a.example\"", "https://a.example/", true},
                    ListCase{"a.example:443", "https://a.example/", true},
                    ListCase{"a.example", "https://a.example:8443/", false},
                    ListCase{"a.example:8443", "https://a.example:8443/", true},
                    ListCase{"a.example:8443", "https://a.example/", false},
                    ListCase{"example", "https://a.example/", false},
                    ListCase{"*.example", "https://a.example/", false}, ListCase{"*", "https://a.example/", false},
                    ListCase{"b.a.example", "https://a.example/", false},
                    ListCase{"a.example", "https://b.a.example/", false}, ListCase{"[::1]:80", "http://[::1]/", true}));

}  // namespace
}  // namespace backfill
