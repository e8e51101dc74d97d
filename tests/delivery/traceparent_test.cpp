#include "millrace/delivery/traceparent.hpp"

#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace {

using millrace::child_of;
using millrace::is_valid;
using millrace::parse_traceparent;
using millrace::to_traceparent;
using millrace::trace_context;

// Of the standard's text.
constexpr std::string_view sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view not_sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
constexpr std::string_view of_congo = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// `text` with something else from `at` on.
std::string with(std::string_view text, std::size_t at, std::string_view there) {
  return std::string(text).replace(at, there.size(), there);
}

}  // namespace

TEST_CASE("the examples of the standard") {
  const auto t = parse_traceparent(sampled);
  REQUIRE(t.has_value());
  CHECK(t->trace_id == std::array<std::uint8_t, 16>{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,  //
                                                    0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36});
  CHECK(t->span_id == std::array<std::uint8_t, 8>{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7});
  CHECK(t->flags == millrace::trace_sampled);
  CHECK(to_traceparent(*t) == sampled);

  REQUIRE(parse_traceparent(not_sampled).has_value());
  CHECK(parse_traceparent(not_sampled)->flags == 0);
  CHECK(to_traceparent(*parse_traceparent(not_sampled)) == not_sampled);
  REQUIRE(parse_traceparent(of_congo).has_value());
  CHECK(to_traceparent(*parse_traceparent(of_congo)) == of_congo);
  STATIC_REQUIRE(parse_traceparent(sampled).has_value());
}

TEST_CASE("flags that the standard does not have are neither read nor written") {
  const auto all = parse_traceparent(with(sampled, 53, "ff"));
  REQUIRE(all.has_value());
  CHECK(all->flags == 1);
  const auto others = parse_traceparent(with(sampled, 53, "fe"));
  REQUIRE(others.has_value());
  CHECK(others->flags == 0);
  trace_context t = *parse_traceparent(sampled);
  t.flags = 0xff;
  CHECK(to_traceparent(t) == sampled);
  t.flags = 0xfe;
  CHECK(to_traceparent(t) == not_sampled);
}

TEST_CASE("later versions are read by what they have in common") {
  for (const char* version : {"01", "02", "cc", "fe"}) {
    const std::string later = with(sampled, 0, version);
    INFO(later);
    REQUIRE(parse_traceparent(later).has_value());
    CHECK(to_traceparent(*parse_traceparent(later)) == sampled);
    REQUIRE(parse_traceparent(later + "-").has_value());
    REQUIRE(parse_traceparent(later + "-what the future will be like").has_value());
    CHECK_FALSE(parse_traceparent(later + ".").has_value());
    CHECK_FALSE(parse_traceparent(later + "0").has_value());
    CHECK_FALSE(parse_traceparent(later.substr(0, 54)).has_value());
  }
}

TEST_CASE("what is no traceparent is none") {
  const std::string texts[] = {
      "",
      "00",
      with(sampled, 0, "ff"),  // a version that is forbidden
      with(sampled, 0, "0G"),
      with(sampled, 0, "0A"),  // upper case
      with(sampled, 3, "4BF9"),
      with(sampled, 36, "00F0"),
      with(sampled, 53, "0A"),
      with(sampled, 3, std::string(32, '0')),
      with(sampled, 36, std::string(16, '0')),
      with(sampled, 2, "_"),
      with(sampled, 35, "_"),
      with(sampled, 52, "_"),
      std::string(sampled) + "-",
      std::string(sampled) + "-00",
      std::string(sampled) + " ",
      " " + std::string(sampled),
      std::string(sampled.substr(1)),
      "0" + std::string(sampled),
      std::string(sampled.substr(0, 54)),
      with(sampled, 0, "ff") + "-00",
      std::string(55, '0'),
      std::string(55, '-'),
      "00-123456789012345678901234567890123-1234567890123456-00",
      "00-1234567890123456789012345678901-1234567890123456-000",
  };
  for (const std::string& text : texts) {
    INFO('"' << text << '"');
    CHECK_FALSE(parse_traceparent(text).has_value());
  }
}

TEST_CASE("one wrong character anywhere is noticed") {
  for (std::size_t at = 0; at < sampled.size(); ++at) {
    for (const char c : {'g', 'A', ' ', '/', ':', '`', '\0', '\xff', '-', 'F'}) {
      if (sampled[at] == c) continue;
      std::string text(sampled);
      text[at] = c;
      INFO(text << " at " << at);
      CHECK_FALSE(parse_traceparent(text).has_value());
    }
  }
}

TEST_CASE("whatever is parsed is written the same again") {
  std::mt19937_64 random(1);
  int parsed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text(sampled);
    for (auto n = random() % 3; n > 0; --n)
      text[random() % text.size()] = "0123456789abcdefgAF- "[random() % 21];
    const auto t = parse_traceparent(text);
    if (!t) continue;
    ++parsed;
    const std::string again = to_traceparent(*t);
    REQUIRE(again.size() == 55);
    REQUIRE(again.substr(0, 53) == "00" + text.substr(2, 51));
    REQUIRE(parse_traceparent(again).has_value());
    REQUIRE(to_traceparent(*parse_traceparent(again)) == again);
  }
  CHECK(parsed > 5000);
}

TEST_CASE("what is no trace has no text") {
  CHECK(to_traceparent({}).empty());
  trace_context t = *parse_traceparent(sampled);
  CHECK(is_valid(t));
  t.span_id = {};
  CHECK_FALSE(is_valid(t));
  CHECK(to_traceparent(t).empty());
  t = *parse_traceparent(sampled);
  t.trace_id = {};
  CHECK_FALSE(is_valid(t));
  CHECK(to_traceparent(t).empty());
}

TEST_CASE("a child is of the same trace, with a span of its own") {
  const trace_context parent = *parse_traceparent(sampled);
  CHECK(to_traceparent(child_of(parent, 0xb7ad6b7169203331)) ==
        "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01");
  CHECK(child_of(*parse_traceparent(not_sampled), 5).flags == 0);
  CHECK(is_valid(child_of(parent, 0)));
  std::set<std::string> texts;
  for (int bit = 0; bit < 64; ++bit) texts.insert(to_traceparent(child_of(parent, std::uint64_t{1} << bit)));
  CHECK(texts.size() == 64);
  CHECK_FALSE(is_valid(child_of({}, 7)));
  CHECK(to_traceparent(child_of({}, 7)).empty());
}
