#include "millrace/bus/options.hpp"

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "millrace/bus/bus.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using Catch::Contains;
using millrace::named_topic_options;
using millrace::subscribe_options;
using bus = millrace::bus;
using group_options = millrace::group_options<millrace::topic<int>>;

void is_refused(const absl::Status& s, absl::StatusCode code, const std::string& message) {
  CHECK(s.code() == code);
  CHECK(std::string(s.message()) == message);
}

}  // namespace

TEST_CASE("the defaults are in range, but for the workers") {
  bus b({.workers = 1});
  CHECK(b.topic<int>("t", named_topic_options()).ok());
  CHECK(b.subscribe<int>("t", "g", subscribe_options<int>(), [](const int&) {}).ok());
  CHECK(b.start().ok());
  CHECK(b.snapshot().name == "bus");
}

TEST_CASE("a bus is told whose threads it may use") {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  millrace::testing::step_executor steps;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1025}, ~std::size_t{0}}) {
    bus b({.workers = n});
    is_refused(b.start(), invalid, "bus: options.workers must be 1 to 1024, or options.executor be given");
    CHECK(b.snapshot().state == millrace::bus_state::made);
  }
  bus both({.workers = 1, .executor = &steps});
  is_refused(both.start(), invalid, "bus: options.workers must be 0 where options.executor is given");
  bus hosts({.executor = &steps});
  CHECK(hosts.start().ok());
  CHECK(hosts.snapshot().workers == 0);
}

TEST_CASE("a topic's options out of their range are refused, by name") {
  bus b({.workers = 1});
  const auto refused = [&](const named_topic_options& o, const std::string& message) {
    is_refused(b.topic<int>("t", o).status(), absl::StatusCode::kInvalidArgument, message);
    is_refused(b.dead_letters<int>("t", o).status(), absl::StatusCode::kInvalidArgument, message);
  };
  refused({.capacity = 0}, "bus: options.capacity must be 1 to 2^31");
  refused({.capacity = (std::size_t{1} << 31) + 1}, "bus: options.capacity must be 1 to 2^31");
  refused({.log = {.keep = {.age = -1ns}}}, "bus: options.log.keep.age must be 0 or more");
  const char* const segment =
      "bus: options.log.segment must be 0, or a power of two, 2 to 65,536, and at least options.capacity / "
      "32,768";
  for (const std::size_t n : {1U, 3U, 65'537U, 131'072U}) refused({.log = {.segment = n}}, segment);
  refused({.capacity = std::size_t{1} << 31, .log = {.segment = 1024}}, segment);
  CHECK(b.snapshot().topics.empty());
  CHECK(b.topic<int>("least", {.capacity = 1, .log = {.keep = {.age = 0ns}, .segment = 2}}).ok());
  CHECK(b.topic<int>("largest segments", {.log = {.segment = 65'536}}).status().code() ==
        absl::StatusCode::kInvalidArgument);  // for its name
  CHECK(b.topic<int>("largest", {.capacity = std::size_t{1} << 31, .log = {.segment = 65'536}}).ok());
}

TEST_CASE("a topic that is there is had without options, or with the same ones") {
  bus b({.workers = 1});
  const named_topic_options mine{.capacity = 64,
                                 .log = {.keep = {.messages = 50, .bytes = 4096, .age = 1h}, .segment = 16}};
  auto first = b.topic<int>("t", mine);
  REQUIRE(first.ok());
  CHECK(*b.topic<int>("t") == *first);
  CHECK(*b.topic<int>("t", mine) == *first);
  const auto differs = [&](auto change, const std::string& what) {
    named_topic_options o = mine;
    change(o);
    is_refused(b.topic<int>("t", o).status(), absl::StatusCode::kAlreadyExists,
               "bus: topic \"t\" is there, and its options." + what);
  };
  differs([](auto& o) { o.capacity = 65; }, "capacity is 64, and not 65");
  differs([](auto& o) { o.log.keep.messages = 49; }, "log.keep.messages is 50, and not 49");
  differs([](auto& o) { o.log.keep.bytes = 1; }, "log.keep.bytes is 4096, and not 1");
  differs([](auto& o) { o.log.keep.age = 1s; }, "log.keep.age, in ns, is 3600000000000, and not 1000000000");
  differs([](auto& o) { o.log.wait = millrace::wait_strategy::park; }, "log.wait is 0, and not 1");
  differs([](auto& o) { o.log.stamp = millrace::stamps::each_message; }, "log.stamp is 0, and not 1");
  differs([](auto& o) { o.log.segment = 32; }, "log.segment is 16, and not 32");
  CHECK(b.snapshot().topics.size() == 1);
}

TEST_CASE("a subscription's options out of their range are refused, by name, before there is any topic") {
  bus b({.workers = 1});
  const auto nothing = [](const int&) {};
  const auto invalid = absl::StatusCode::kInvalidArgument;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1025}}) {
    is_refused(b.subscribe<int>(">", "g", {.workers = n}, nothing), invalid,
               "bus: options.workers must be 1 to 1024");
  }
  is_refused(b.subscribe<int>(">", "", nothing), invalid, "bus: group must be a name, and not empty");
  CHECK(b.subscribe<int>("a..b", "g", nothing).code() == invalid);
  CHECK(b.subscribe<int>("a", "g", {.dead_letters = "a.*"}, nothing).code() == invalid);
  const auto refused = [&](millrace::function<void(group_options&)> set, const std::string& message) {
    is_refused(b.subscribe<int>(">", "g", {.group = std::move(set)}, nothing), invalid,
               "bus: group." + message);
  };
  refused([](auto& g) { g.max_in_flight = 0; }, "max_in_flight must be 1 or more");
  refused([](auto& g) { g.max_waiting = 0; }, "max_waiting must be 1 or more");
  refused([](auto& g) { g.lookahead = 0; }, "lookahead must be 1 or more");
  refused([](auto& g) { g.ack_timeout = 0s; }, "ack_timeout must be more than 0");
  refused([](auto& g) { g.key = [](const int& v) { return std::uint64_t(v); }; },
          "order must be ordering::by_key where group.key is given");
  refused([](auto& g) { g.priority = [](const int&) { return 1U; }; },
          "prioritized must be true where group.priority is given");
  refused(
      [](auto& g) {
        g.prioritized = true;
        g.order = millrace::ordering::strict;
      },
      "prioritized must be false with group.order = ordering::strict");
  refused([](auto& g) { g.order = millrace::ordering::by_key; },
          "key must be set with ordering::by_key where values are no message<T>");
  refused([](auto& g) { g.prioritized = true; },
          "priority must be set with group.prioritized where values are no message<T>");
  refused([](auto& g) { g.when_full = millrace::overrun::disconnect; },
          "when_full must be block, drop_oldest or drop_newest");
  refused([](auto& g) { g.retry.attempts = 0; },
          "retry.attempts must be 1 to 4294967294, or unlimited_attempts");
  refused([](auto& g) { g.retry.first = 0s; }, "retry.first must be more than 0");
  for (const double f : {0.5, std::nan(""), std::numeric_limits<double>::infinity()}) {
    refused([f](auto& g) { g.retry.factor = f; }, "retry.factor must be 1 or more, and finite");
  }
  refused([](auto& g) { g.retry.most = 1ns; }, "retry.most must be group.retry.first or more");
  for (const double j : {-0.1, 1.1, std::nan("")}) {
    refused([j](auto& g) { g.retry.jitter = j; }, "retry.jitter must be 0 to 1");
  }
  millrace::dead_letters<int> lost(8);
  is_refused(
      b.subscribe<int>("a", "g", {.dead_letters = "lost", .group = [&](auto& g) { g.dead_letters = &lost; }},
                       nothing),
      invalid, "bus: group.dead_letters must be nullptr where options.dead_letters names a topic");
  void (*none)(const int&) = nullptr;
  is_refused(b.subscribe<int>("a", "g", none), invalid, "bus: handler must be set");
  is_refused(b.subscribe<int>("a", "g", std::function<void(const int&)>()), invalid,
             "bus: handler must be set");
  CHECK(b.snapshot().subscriptions.empty());
}

TEST_CASE("what is refused can be said again, in range") {
  bus b({.workers = 1});
  const auto with = [](std::size_t n) {
    return subscribe_options<int>{.group = [n](auto& g) { g.max_in_flight = n; }};
  };
  REQUIRE(b.topic<int>("t").ok());
  CHECK_FALSE(b.subscribe<int>("t", "g", with(0), [](const int&) {}).ok());
  CHECK(b.subscribe<int>("t", "g", with(1), [](const int&) {}).ok());
}

TEST_CASE("dead letters of what cannot be copied are refused") {
  bus b({.workers = 1});
  is_refused(b.subscribe<std::unique_ptr<int>>("t", "g", {.dead_letters = "lost"},
                                               [](const std::unique_ptr<int>&) {}),
             absl::StatusCode::kInvalidArgument,
             "bus: options.dead_letters must be empty for a type that cannot be copied");
  CHECK(b.subscribe<std::unique_ptr<int>>("t", "g", [](const std::unique_ptr<int>&) {}).ok());
}
