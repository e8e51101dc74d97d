// What becomes of a push when there is no room, under each policy.
#include "millrace/queue/overflow.hpp"

#include <chrono>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/channels.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::channel;
using millrace::mpmc_queue;
using millrace::outcome;
using millrace::overflow;
using millrace::spsc_queue;
using support::block;
using support::channel_over;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::number;

}  // namespace

// ---- overflow

TEMPLATE_TEST_CASE("overflow::fail answers at once, whatever the verb", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  channel_over<TestType> ch(2, overflow::fail);
  CHECK(ch.push(make<T>(1)) == outcome::ok);
  CHECK(ch.push(make<T>(2)) == outcome::ok);
  T v = make<T>(3);
  CHECK(ch.push(std::move(v)) == outcome::full);
  CHECK(ch.push_for(std::move(v), 1h) == outcome::full);
  CHECK(ch.push_until(std::move(v), std::chrono::steady_clock::time_point::max()) == outcome::full);
  CHECK(ch.try_push(std::move(v)) == outcome::full);
  CHECK(number(v) == 3);
  CHECK(ch.dropped() == 0);
  CHECK(drain(ch) == ints{1, 2});
}

TEMPLATE_TEST_CASE("overflow::drop_newest drops its own", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  ints seen;
  channel_over<TestType> ch(2, overflow::drop_newest, [&seen](T&& v) { seen.push_back(number(v)); });
  for (int i = 1; i <= 3; ++i) CHECK(ch.push(make<T>(i)) == outcome::ok);
  CHECK(ch.try_push(make<T>(4)) == outcome::ok);
  const T five = make<T>(5);
  CHECK(ch.push_for(five, 1h) == outcome::ok);
  CHECK(ch.dropped() == 3);
  CHECK(seen == ints{3, 4, 5});
  CHECK(drain(ch) == ints{1, 2});
  CHECK(ch.push(make<T>(6)) == outcome::ok);
  CHECK(drain(ch) == ints{6});
  CHECK(ch.dropped() == 3);
}

TEMPLATE_TEST_CASE("overflow::drop_oldest makes room", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  ints seen;
  channel_over<TestType> ch(2, overflow::drop_oldest, [&seen](T&& v) { seen.push_back(number(v)); });
  for (int i = 1; i <= 3; ++i) CHECK(ch.push(make<T>(i)) == outcome::ok);
  CHECK(ch.try_push(make<T>(4)) == outcome::ok);
  const T five = make<T>(5);
  CHECK(ch.push_for(five, 1h) == outcome::ok);
  CHECK(ch.dropped() == 3);
  CHECK(seen == ints{1, 2, 3});
  CHECK(drain(ch) == ints{4, 5});
}

TEST_CASE("dropping needs no handler, and a handler may take or throw") {
  instances::reset();
  {
    channel<support::copied> quiet(2, overflow::drop_oldest);
    for (int i = 0; i < 10; ++i) CHECK(quiet.push(support::copied(i)) == outcome::ok);
    CHECK(quiet.dropped() == 8);
    CHECK(instances::live == 2);
    CHECK(drain(quiet) == ints{8, 9});

    std::vector<support::moved> taken;
    channel<support::moved> taking(2, overflow::drop_oldest,
                                   [&](support::moved&& v) { taken.push_back(std::move(v)); });
    for (int i = 0; i < 4; ++i) CHECK(taking.push(support::moved(i)) == outcome::ok);
    REQUIRE(taken.size() == 2);
    CHECK(taken[1].value() == 1);

    const overflow policy = GENERATE(overflow::drop_oldest, overflow::drop_newest);
    channel<support::copied> throwing(2, policy, [](support::copied&&) { throw support::thrown(); });
    CHECK(throwing.push(support::copied(1)) == outcome::ok);
    CHECK(throwing.push(support::copied(2)) == outcome::ok);
    CHECK_THROWS_AS(throwing.push(support::copied(3)), support::thrown);
    CHECK(throwing.dropped() == 1);
    CHECK(drain(throwing) == (policy == overflow::drop_oldest ? ints{2} : ints{1, 2}));
  }
  CHECK(instances::live == 0);
  CHECK(instances::broken == 0);
}

TEMPLATE_TEST_CASE("a closed channel refuses under every policy, and drops nothing", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  const overflow policy =
      GENERATE(overflow::block, overflow::fail, overflow::drop_newest, overflow::drop_oldest);
  channel_over<TestType> ch(2, policy);
  CHECK(ch.push(make<T>(1)) == outcome::ok);
  const bool fill = GENERATE(false, true);
  if (fill) CHECK(ch.push(make<T>(2)) == outcome::ok);
  ch.close();
  T v = make<T>(3);
  CHECK(ch.push(std::move(v)) == outcome::closed);
  CHECK(ch.push_for(std::move(v), 1h) == outcome::closed);
  CHECK(ch.push_for(std::move(v), 0h) == outcome::closed);
  CHECK(ch.try_push(std::move(v)) == outcome::closed);
  CHECK(number(v) == 3);
  CHECK(ch.dropped() == 0);
  CHECK(drain(ch) == (fill ? ints{1, 2} : ints{1}));
}

TEST_CASE("drop_oldest over a queue for one consumer: one that stands still in a pop holds up nobody") {
  channel<support::hooked, spsc_queue<support::hooked>> ch(4, overflow::drop_oldest);
  ints after;
  REQUIRE(ch.push(support::hooked(0, [&](int move) {
    if (move != 2) return;
    // In the middle of the pop, which holds one place of the four.
    for (int i = 1; i <= 10; ++i) CHECK(ch.push(support::hooked(i)) == outcome::ok);
    CHECK(ch.dropped() == 7);
  })) == outcome::ok);
  CHECK(ch.try_pop()->value() == 0);
  CHECK(drain(ch) == ints{8, 9, 10});
}

TEST_CASE("full under drop_oldest, when nothing is there to drop") {
  // Both places are held by pops in flight: each runs the next piece of the test in the middle of its move.
  channel<support::hooked> ch(2, overflow::drop_oldest);
  const support::hooked::hook at_the_bottom = [&](int move) {
    if (move != 2) return;
    support::hooked v(9);
    CHECK(ch.push(std::move(v)) == outcome::full);
    CHECK(v.value() == 9);
    CHECK(ch.dropped() == 0);
  };
  REQUIRE(ch.push(support::hooked(1, [&](int move) {
    if (move == 2) REQUIRE(ch.try_pop()->value() == 2);
  })) == outcome::ok);
  REQUIRE(ch.push(support::hooked(2, at_the_bottom)) == outcome::ok);
  CHECK(ch.try_pop()->value() == 1);
}
