#include "millrace/topic/options.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::topic;
using millrace::topic_options;

template <class F>
std::string refused(F f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "accepted";
}
std::string with(const topic_options& o, std::size_t capacity = 100) {
  return refused([&] { topic<int> t(capacity, o); });
}

}  // namespace

TEST_CASE("the defaults: a lossless reader, a log that keeps what fits, waiting that ends in sleep") {
  const topic_options o;
  REQUIRE(o.keep.messages == millrace::unlimited);
  REQUIRE(o.keep.bytes == millrace::unlimited);
  REQUIRE(o.keep.age == std::chrono::nanoseconds::max());
  REQUIRE(o.wait == millrace::wait_strategy::adaptive);
  REQUIRE(o.stamp == millrace::stamps::each_segment);
  const topic<int>::subscription_options s;
  REQUIRE(s.when_full == millrace::overrun::block);
  REQUIRE(s.wait == millrace::wait_strategy::adaptive);
  REQUIRE_FALSE(s.filter);
}

TEST_CASE("a segment is a quarter of the capacity, within bounds, or what was asked for") {
  REQUIRE(topic<int>(1).segment_size() == 64);
  REQUIRE(topic<int>(1024).segment_size() == 256);
  REQUIRE(topic<int>(1 << 20).segment_size() == 1024);
  REQUIRE(topic<int>(std::size_t{1} << 31).segment_size() == 65'536);
  REQUIRE(topic<int>(100, {.segment = 2}).segment_size() == 2);
  REQUIRE(topic<int>(100, {.segment = 65'536}).segment_size() == 65'536);
  REQUIRE(topic<int>(100).capacity() == 100);
}

TEST_CASE("what is out of range is refused, and the message says what would do") {
  REQUIRE(refused([] { topic<int> t(0); }) == "topic: capacity must be 1 to 2^31 messages");
  REQUIRE(refused([] { topic<int> t((std::size_t{1} << 31) + 1); }) ==
          "topic: capacity must be 1 to 2^31 messages");
  const std::string segment =
      "topic: options.segment must be 0 or a power of two, 2 to 65,536, and at least capacity / 32,768";
  for (const std::size_t wrong : {1u, 3u, 100u, 131'072u}) REQUIRE(with({.segment = wrong}) == segment);
  REQUIRE(with({.segment = 2}, 1 << 20) == segment);
  REQUIRE(with({.keep = {.age = -1ns}}) == "topic: options.keep.age must be 0 or more");
  REQUIRE(with({.keep = {.messages = 0, .bytes = 0, .age = 0ns}}) == "accepted");
}
