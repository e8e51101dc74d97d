#include "millrace/testing/recorder.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/testing/leak_check.hpp"
#include "millrace/testing/stepped_bus.hpp"
#include "support/catch.hpp"

namespace {

using millrace::outcome;
using millrace::testing::expect_all_settled;
using millrace::testing::recorder;
using millrace::testing::stepped_bus;

TEST_CASE("it keeps what is published from its construction on, in order") {
  stepped_bus t;
  auto orders = t->topic<int>("orders").value();
  REQUIRE(orders->publish(1) == outcome::ok);
  const recorder<int> r(t.bus(), "orders");
  CHECK(r.size() == 0);
  REQUIRE(orders->publish(2) == outcome::ok);
  REQUIRE(orders->publish(3) == outcome::ok);
  CHECK(r.messages() == std::vector<int>{2, 3});
  REQUIRE(orders->publish(4) == outcome::ok);
  CHECK(r.messages() == std::vector<int>{2, 3, 4});
  CHECK(r.size() == 3);
  CHECK(r.missed() == 0);
  CHECK(r.name() == "\"orders\"");
}

TEST_CASE("clear forgets also what it has not looked at yet") {
  millrace::topic<int> numbers(64);
  recorder<int> r(numbers);
  CHECK(r.name() == "the topic");
  REQUIRE(numbers.publish(1) == outcome::ok);
  CHECK(r.size() == 1);
  REQUIRE(numbers.publish(2) == outcome::ok);
  r.clear();
  CHECK(r.messages().empty());
  REQUIRE(numbers.publish(3) == outcome::ok);
  CHECK(r.messages() == std::vector<int>{3});
}

TEST_CASE("any topic, whatever its publishers and its clock") {
  millrace::manual_clock clock;
  millrace::topic<std::string, millrace::producers::single, millrace::manual_clock> words(64, clock);
  const recorder<std::string> r(words);
  const recorder<std::string, std::size_t> lengths(words, &std::string::size);
  REQUIRE(words.publish("mill") == outcome::ok);
  REQUIRE(words.publish("race") == outcome::ok);
  CHECK(r.messages() == std::vector<std::string>{"mill", "race"});
  CHECK(lengths.messages() == std::vector<std::size_t>{4, 4});
}

TEST_CASE("of what cannot be copied it keeps what it is told") {
  stepped_bus t;
  auto parcels = t->topic<std::unique_ptr<int>>("parcels").value();
  const recorder<std::unique_ptr<int>, int> r(t.bus(), "parcels",
                                              [](const std::unique_ptr<int>& p) { return *p; });
  REQUIRE(parcels->publish(std::make_unique<int>(7)) == outcome::ok);
  REQUIRE(parcels->publish(std::make_unique<int>(8)) == outcome::ok);
  CHECK(r.messages() == std::vector<int>{7, 8});
}

TEST_CASE("no publisher waits for it, it is no group, and what it has missed is counted") {
  stepped_bus t;
  auto numbers = t->topic<int>("numbers", {.capacity = 64, .log = {.segment = 16}}).value();
  recorder<int> r(t.bus(), "numbers");
  for (int i = 0; i < 1000; ++i) REQUIRE(numbers->try_publish(i) == outcome::ok);
  CHECK(t->snapshot().topics.at(0).groups.empty());
  CHECK(expect_all_settled(t.bus()));
  CHECK_FALSE(t.step());
  CHECK(r.missed() > 900);
  CHECK(r.missed() + r.size() == 1000);
  CHECK(r.messages().back() == 999);

  r.clear();
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(numbers->try_publish(i) == outcome::ok);
    if (i % 32 == 0) CHECK(r.size() == static_cast<std::size_t>(i) + 1);
  }
  CHECK(r.messages().front() == 0);
  CHECK(r.size() == 1000);
}

TEST_CASE("a topic that cannot be had is an error, in the words of the bus") {
  stepped_bus t;
  REQUIRE(t->topic<int>("numbers").ok());
  CHECK_THROWS_WITH(recorder<double>(t.bus(), "numbers"),
                    Catch::Contains("numbers") && Catch::Contains("int") && Catch::Contains("double"));
  CHECK_THROWS_AS(recorder<int>(t.bus(), "a..b"), std::invalid_argument);
}

}  // namespace
