#include "millrace/testing/leak_check.hpp"

#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/testing/stepped_bus.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::delivery;
using millrace::manual_clock;
using millrace::outcome;
using millrace::retry_policy;
using millrace::testing::expect_all_settled;
using millrace::testing::stepped_bus;
using options = millrace::subscribe_options<int, manual_clock>;

TEST_CASE("a bus on which everything has been settled") {
  stepped_bus t;
  CHECK(expect_all_settled(t.bus()));
  REQUIRE(t->subscribe<int>("orders", "billing", [](int) {}).ok());
  auto orders = t->topic<int>("orders").value();
  for (int i = 0; i < 10; ++i) REQUIRE(orders->publish(i) == outcome::ok);
  const auto before = expect_all_settled(t.bus());
  CHECK_FALSE(before);
  CHECK(before.message() == "bus \"test\": group \"billing\" on \"orders\" has 10 to take");
  t.run_until_idle();
  CHECK(expect_all_settled(t.bus()));
  CHECK(expect_all_settled(t.bus()).message() == "bus \"test\": everything is settled");
}

TEST_CASE("a handler that keeps a delivery is found") {
  stepped_bus t;
  std::vector<delivery<int>> kept;
  REQUIRE(t->subscribe<int>("orders", "billing", [&](delivery<int>& d) {
             if (*d == 3) kept.push_back(std::move(d));
           }).ok());
  REQUIRE(t->subscribe<int>("orders", "audit", [](int) {}).ok());
  auto orders = t->topic<int>("orders").value();
  for (int i = 0; i < 5; ++i) REQUIRE(orders->publish(i) == outcome::ok);
  t.advance(1h);
  CHECK_FALSE(expect_all_settled(t.bus()));
  CHECK(expect_all_settled(t.bus()).message() ==
        "bus \"test\": group \"billing\" on \"orders\" has 1 in flight");
  REQUIRE(kept.size() == 1);
  kept.front().ack();
  CHECK(expect_all_settled(t.bus()));
}

TEST_CASE("what waits for a retry, is parked, or is behind others is told, group by group") {
  stepped_bus t;
  const auto fail = [](int n) {
    if (n >= 0) throw std::runtime_error("down");
  };
  const auto policy = [](auto& g) { g.retry = retry_policy::fixed(10s, 2); };
  REQUIRE(t->subscribe<int>("a", "retries", options{.group = policy}, fail).ok());
  REQUIRE(
      t->subscribe<int>("b", "parks", options{.group = [](auto& g) { g.retry = retry_policy::none(); }}, fail)
          .ok());
  std::vector<delivery<int>> kept;
  REQUIRE(t->subscribe<int>("c", "keys",
                            options{.group =
                                        [](auto& g) {
                                          g.order = millrace::ordering::by_key;
                                          g.key = [](int) { return 1U; };
                                        }},
                            [&](delivery<int>& d) { kept.push_back(std::move(d)); })
              .ok());
  for (const char* name : {"a", "b", "c"}) {
    auto to = t->topic<int>(name).value();
    for (int i = 0; i < 3; ++i) REQUIRE(to->publish(i) == outcome::ok);
  }
  t.run_until_idle();
  CHECK(expect_all_settled(t.bus()).message() ==
        "bus \"test\": group \"retries\" on \"a\" has 3 waiting for a retry or their time; group \"parks\" "
        "on \"b\" has "
        "3 parked; group \"keys\" on \"c\" has 2 behind others of their key, 1 in flight");
}

TEST_CASE("what is still to be published, and what never will be") {
  stepped_bus t;
  auto orders = t->topic<int>("orders").value();
  const auto later = orders.publish_after(30min, 1);
  CHECK(expect_all_settled(t.bus()).message() ==
        "bus \"test\": topic \"orders\" has 1 to be published later");
  REQUIRE(orders.cancel(later));
  CHECK(expect_all_settled(t.bus()));
  static_cast<void>(orders.publish_after(30min, 2));
  t->stop();
  CHECK(expect_all_settled(t.bus()).message() ==
        "bus \"test\": topic \"orders\" has 1 dropped, which were to be published later");
}

TEST_CASE("what a group has missed is lost, too") {
  stepped_bus t;
  REQUIRE(t->subscribe<int>("numbers", "slow",
                            options{.group = [](auto& g) { g.when_full = millrace::overrun::drop_oldest; }},
                            [](int) {})
              .ok());
  auto numbers = t->topic<int>("numbers", {.capacity = 64, .log = {.segment = 16}}).value();
  for (int i = 0; i < 1000; ++i) REQUIRE(numbers->try_publish(i) == outcome::ok);
  t.run_until_idle();
  CHECK_FALSE(expect_all_settled(t.bus()));
  CHECK_THAT(expect_all_settled(t.bus()).message(),
             Catch::Contains("group \"slow\"") && Catch::Contains(" missed"));
}

TEST_CASE("a group by itself") {
  manual_clock clock;
  millrace::topic<int, millrace::producers::multi, manual_clock> orders(64, clock);
  auto billing = orders.group("billing");
  REQUIRE(orders.publish(1) == outcome::ok);
  REQUIRE(orders.publish(2) == outcome::ok);
  auto d = billing.try_receive();
  CHECK_FALSE(expect_all_settled("billing", billing.stats()));
  CHECK(expect_all_settled("billing", billing.stats()).message() ==
        "group \"billing\" has 1 to take, 1 in flight");
  d.ack();
  billing.try_receive().ack();
  CHECK(expect_all_settled("billing", billing.stats()).message() ==
        "group \"billing\": everything is settled");
}

}  // namespace
