#include "millrace/delivery/delayed_publisher.hpp"

#include <chrono>
#include <stop_token>
#include <thread>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
using support::watchdog;
using topic = millrace::topic<int, millrace::producers::multi, manual_clock>;
using ints = std::vector<int>;

template <class Subscription>
ints read_all(Subscription& s) {
  ints all;
  while (const int* m = s.try_next()) all.push_back(*m);
  return all;
}

}  // namespace

TEST_CASE("published when its time has come, in order of that, for every reader") {
  manual_clock clock;
  topic t(64, clock);
  auto a = t.subscribe();
  auto b = t.subscribe();
  auto& later = t.delayed();
  CHECK(&later == &t.delayed());
  CHECK(later.publish_after(3s, 3));
  CHECK(later.publish_after(1s, 1));
  CHECK(later.publish_at(manual_clock::time_point(2s), 2));
  CHECK(later.publish_after(24h * 365 * 10, 10));
  CHECK(later.size_approx() == 4);
  CHECK(later.poll(clock.now()).has_value());
  CHECK(read_all(a).empty());
  clock.advance(999ms);
  later.poll(clock.now());
  CHECK(read_all(a).empty());
  clock.advance(1ms);
  later.poll(clock.now());
  CHECK(read_all(a) == ints{1});
  clock.advance(2s);
  later.poll(clock.now());
  CHECK(read_all(a) == ints{2, 3});
  CHECK(read_all(b) == ints{1, 2, 3});
  CHECK(later.size_approx() == 1);
  clock.advance(24h * 365 * 10);
  CHECK_FALSE(later.poll(clock.now()).has_value());
  CHECK(read_all(a) == ints{10});
}

TEST_CASE("cancelled in time, and moved") {
  manual_clock clock;
  topic t(64, clock);
  auto a = t.subscribe();
  auto& later = t.delayed();
  auto one = later.publish_after(1s, 1);
  auto two = later.publish_after(2s, 2);
  CHECK(later.cancel(one) == 1);
  CHECK_FALSE(later.cancel(one).has_value());
  CHECK(later.reschedule(two, manual_clock::time_point(5s)));
  clock.advance(4s);
  later.poll(clock.now());
  CHECK(read_all(a).empty());
  clock.advance(1s);
  later.poll(clock.now());
  CHECK(read_all(a) == ints{2});
  CHECK_FALSE(later.cancel(two).has_value());
  CHECK_FALSE(later.reschedule(two, manual_clock::time_point(9s)));
}

TEST_CASE("while the topic has no room, what is due waits, in order") {
  manual_clock clock;
  topic t(2, clock);
  auto a = t.subscribe();
  auto& later = t.delayed();
  for (int v = 0; v < 5; ++v) CHECK(later.publish_after(std::chrono::seconds(v), v));
  clock.advance(10s);
  CHECK(later.poll(clock.now()) == clock.now());
  CHECK(read_all(a) == ints{0, 1});
  CHECK(later.poll(clock.now()) == clock.now());
  CHECK(read_all(a) == ints{2, 3});
  CHECK_FALSE(later.poll(clock.now()).has_value());
  CHECK(read_all(a) == ints{4});
  CHECK(later.dropped() == 0);
}

TEST_CASE("what is due when the topic is closed is counted, as what stop drops") {
  manual_clock clock;
  topic t(8, clock);
  auto& later = t.delayed();
  CHECK(later.publish_after(1s, 1));
  CHECK(later.publish_after(5s, 5));
  t.close();
  clock.advance(1s);
  later.poll(clock.now());
  CHECK(later.dropped() == 1);
  later.stop();
  later.stop();
  CHECK(later.dropped() == 2);
  CHECK_FALSE(later.publish_after(1s, 1));
}

TEST_CASE(
    "a thread of its own: sleeps until the next one, hears of earlier ones, waits for room, stops in all of "
    "these") {
  const watchdog guard("delayed publisher");
  manual_clock clock;
  topic t(2, clock);
  auto a = t.subscribe();
  auto& later = t.delayed();
  later.start();
  CHECK(later.publish_after(10s, 10));
  clock.await_waiters(1);
  CHECK(later.publish_after(1s, 1));
  while (later.size_approx() != 1) {
    clock.await_waiters(1);
    if (clock.now() < manual_clock::time_point(1s)) clock.advance(1s);
    std::this_thread::yield();
  }
  CHECK(*a.next() == 1);
  SECTION("asleep") {
    clock.await_waiters(1);
    later.stop();
    CHECK(later.dropped() == 1);
  }
  SECTION("waiting for room") {
    for (int v = 20; v < 24; ++v) CHECK(later.publish_after(0s, v));
    clock.advance(1s);
    while (t.tail() < 2) std::this_thread::yield();
    later.stop();
    CHECK(later.dropped() + read_all(a).size() == 5);
  }
  SECTION("by the topic's end") {}
}

TEST_CASE("publish waits for room until a stop") {
  const watchdog guard("publish with a stop");
  manual_clock clock;
  topic t(1, clock);
  auto a = t.subscribe();
  std::stop_source stop;
  CHECK(t.publish(1, stop.get_token()) == outcome::ok);
  outcome got{};
  std::thread waiting([&] {
    int two = 2;
    got = t.publish(two, stop.get_token());
  });
  stop.request_stop();
  waiting.join();
  CHECK(got == outcome::cancelled);
  CHECK(t.publish(3, stop.get_token()) == outcome::cancelled);
  CHECK(read_all(a) == ints{1});
}
