// Consumer groups: who gets what, in which order, and what holds it up. Time is a manual_clock's.
#include "millrace/delivery/consumer_group.hpp"

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <iterator>
#include <latch>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/time/timer_service.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/touchy.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::blocked_by;
using millrace::earliest;
using millrace::manual_clock;
using millrace::message;
using millrace::ordering;
using millrace::outcome;
using millrace::producers;
using millrace::retry_policy;
using support::touchy;
using support::watchdog;

template <class T>
using topic = millrace::topic<T, producers::multi, manual_clock>;
using ints = std::vector<int>;
using breaker = millrace::circuit_breaker<manual_clock>;
using limiter = millrace::rate_limiter<manual_clock>;

template <class T>
void publish(topic<T>& t, std::initializer_list<T> values) {
  for (const T& v : values) REQUIRE(t.try_publish(v) == outcome::ok);
}
/// Acknowledges what there is, and returns it.
template <class Group>
ints take_all(Group g) {
  ints all;
  while (auto d = g.try_receive()) {
    all.push_back(*d);
    d.ack();
  }
  return all;
}

}  // namespace

TEST_CASE("one name shares the work, another name is a copy") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto a = t.group("a");
  auto same = t.group("a");
  auto b = t.group("b");
  publish(t, {1, 2, 3});
  CHECK(a.name() == "a");
  auto d1 = a.try_receive();
  auto d2 = same.try_receive();
  CHECK(*d1 == 1);
  CHECK(*d2 == 2);
  CHECK(take_all(b) == ints{1, 2, 3});
  CHECK(take_all(a) == ints{3});
  auto late = t.group("late");
  auto replay = t.group("replay", {.from = earliest});
  CHECK(take_all(late).empty());
  CHECK(take_all(replay) == ints{1, 2, 3});
}

TEST_CASE("a removed group's name is free, and it holds up nobody") {
  manual_clock clock;
  topic<int> t(2, clock, {.keep = {.messages = 0}});
  auto g = t.group("g");
  publish(t, {1, 2});
  CHECK(t.try_publish(3) == outcome::full);
  g.remove();
  g.remove();
  CHECK(t.try_publish(3) == outcome::ok);
  auto again = t.group("g");
  CHECK_FALSE(again.try_receive());
  publish(t, {4});
  CHECK(take_all(again) == ints{4});
  auto d = g.try_receive();
  CHECK(g.try_receive(d) == outcome::closed);
}

TEST_CASE("a removed group that seeks holds up nobody") {
  manual_clock clock;
  topic<int> t(2, clock, {.keep = {.messages = 0}});
  auto g = t.group("g");
  publish(t, {1});
  g.remove();
  g.seek(earliest);
  g.seek(millrace::latest);
  publish(t, {2, 3, 4, 5});
  CHECK(g.stats().backlog == 0);
  millrace::delivery<int> d;
  CHECK(g.try_receive(d) == outcome::closed);
}

namespace {

/// What the program has of the free store, in bytes; 0 where nobody tells.
std::size_t allocated() {
#if __GLIBC__ == 2 && __GLIBC_MINOR__ >= 33 && !SUPPORT_SANITIZED
  return mallinfo2().uordblks;
#else
  return 0;
#endif
}

}  // namespace

TEST_CASE("a removed group gives back the memory of what it has taken") {
  manual_clock clock;
  topic<int> t(256, clock);
  const std::string what = GENERATE("settled", "waiting", "held too long");
  INFO(what);
  const auto session = [&] {
    auto g = t.group("session");
    for (int v = 0; v < 100; ++v) publish(t, {v});
    std::vector<millrace::delivery<int>> held(100);
    REQUIRE(g.try_receive_n(held.begin(), 100) == 100);
    if (what == "settled") {
      for (auto& d : held) CHECK(d.ack());
    }
    held.resize(what == "held too long" ? 50 : 0);  // the others wait for their next attempt
    g.remove();
    for (auto& d : held) CHECK_FALSE(d.ack());
    CHECK(g.stats().late == held.size());
    CHECK_FALSE(g.next_event());
  };
  session();
  const std::size_t before = allocated();
  for (int i = 0; i < 10; ++i) session();
  CHECK(allocated() <= before + 10 * 8'192);
}

TEST_CASE("a message in flight, or waiting, holds up no publisher") {
  manual_clock clock;
  topic<int> t(4, clock, {.keep = {.messages = 0}, .segment = 2});
  auto g = t.group("g", {.max_in_flight = 100});
  publish(t, {0});
  auto held = g.try_receive();
  publish(t, {1});
  CHECK(g.try_receive().nack());
  for (int v = 2; v < 100; ++v) {
    publish(t, {v});
    auto d = g.try_receive();
    REQUIRE(d);
    REQUIRE(*d == v);
    d.ack();
  }
  CHECK(*held == 0);
  clock.advance(1s);
  CHECK(take_all(g) == ints{1});
  CHECK(g.stats().in_flight == 1);
}

TEST_CASE("by key: one of a key at a time, and a retry holds up its own key only") {
  manual_clock clock;
  topic<int> t(64, clock);
  // tens are the key
  auto g = t.group("g", {.order = ordering::by_key,
                         .key = [](const int& v) { return std::uint64_t(v / 10); },
                         .retry = retry_policy::fixed(1s, 3)});
  publish(t, {11, 12, 21, 13, 22, 31});
  auto a = g.try_receive();
  auto b = g.try_receive();
  auto c = g.try_receive();
  CHECK(*a == 11);
  CHECK(*b == 21);
  CHECK(*c == 31);
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().blocked == blocked_by::order);
  CHECK(g.stats().behind == 3);
  CHECK(a.nack());
  CHECK(b.ack());
  auto d = g.try_receive();
  CHECK(*d == 22);
  CHECK(d.ack());
  CHECK_FALSE(g.try_receive());
  clock.advance(1s);
  a = g.try_receive();
  CHECK(*a == 11);
  CHECK(a.attempt() == 2);
  CHECK_FALSE(g.try_receive());
  CHECK(a.ack());
  CHECK(take_all(g) == ints{12, 13});
  CHECK(c.ack());
  SECTION("a dead one lets the next go") {
    publish(t, {41, 42});
    auto e = g.try_receive();
    CHECK(*e == 41);
    CHECK(e.reject("bad"));
    CHECK(g.stats().parked == 1);
    CHECK(take_all(g) == ints{42});
  }
}

TEST_CASE("by key: how far it looks ahead") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group(
      "g",
      {.order = ordering::by_key, .key = [](const int& v) { return std::uint64_t(v / 10); }, .lookahead = 2});
  publish(t, {11, 12, 13, 14, 21});
  auto a = g.try_receive();
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().behind == 2);
  CHECK(a.ack());
  CHECK(take_all(g) == ints{12, 13, 14, 21});
}

TEST_CASE("strict: one at a time, and a retry holds up all") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g", {.order = ordering::strict, .retry = retry_policy::fixed(1s, 2)});
  publish(t, {1, 2, 3});
  auto a = g.try_receive();
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().blocked == blocked_by::order);
  CHECK(a.nack());
  CHECK_FALSE(g.try_receive());
  clock.advance(1s);
  a = g.try_receive();
  CHECK(*a == 1);
  CHECK(a.nack());  // parked
  CHECK(take_all(g) == ints{2, 3});
  CHECK(g.stats().parked == 1);
}

TEST_CASE("no more than max_in_flight, and no more than max_waiting") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g", {.max_in_flight = 2, .max_waiting = 3});
  publish(t, {1, 2, 3, 4, 5, 6});
  std::vector<millrace::delivery<int>> got(6);
  CHECK(g.try_receive_n(got.begin(), 6) == 2);
  CHECK(g.stats().blocked == blocked_by::in_flight);
  got[0].nack();
  got[1].nack();
  auto d = g.try_receive();
  CHECK(*d == 3);
  CHECK(d.nack());
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().blocked == blocked_by::retries);
  CHECK(g.stats().backlog == 3);
  clock.advance(1s);
  CHECK(take_all(g).size() == 6);
}

TEST_CASE("a filter, a time to live, a time before which it does not come") {
  manual_clock clock(manual_clock::time_point(10s));
  topic<message<int>> t(64, clock);
  auto even = t.group("even", {.filter = [](const message<int>& m) { return m.value % 2 == 0; }});
  auto tagged = t.group("tagged", {.filter = [](const message<int>& m) {
                          return m.properties() != nullptr && m.properties()->tag == "eu";
                        }});
  publish<message<int>>(t, {{1}, {2, {.expires = 12s}}, {3, {.tag = "eu"}}, {4, {.not_before = 15s}}, {6}});
  auto d = tagged.try_receive();
  CHECK(d->value == 3);
  REQUIRE(d.properties() != nullptr);
  CHECK(d.properties()->tag == "eu");
  CHECK(d.ack());
  CHECK_FALSE(tagged.try_receive());

  d = even.try_receive();
  CHECK(d->value == 2);
  CHECK(d.nack(3s));
  d = even.try_receive();
  CHECK(d->value == 6);
  CHECK(d.ack());
  CHECK(even.stats().waiting == 2);
  clock.advance(3s);  // 13 s: it has expired
  CHECK_FALSE(even.try_receive());
  CHECK(even.stats().expired == 1);
  clock.advance(2s);
  d = even.try_receive();
  CHECK(d->value == 4);
  CHECK(d.ack());
  publish<message<int>>(t, {{8, {.expires = 14s}}});
  CHECK_FALSE(even.try_receive());
  CHECK(even.stats().expired == 2);
}

TEST_CASE("higher priorities come first") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g", {.prioritized = true, .priority = [](const int& v) { return unsigned(v / 10); }});
  publish(t, {1, 11, 2, 71, 12, 999});
  CHECK(take_all(g) == ints{71, 999, 11, 12, 1, 2});
  topic<message<int>> own(64, clock);
  auto by_properties = own.group("g", {.prioritized = true});
  publish<message<int>>(own, {{1}, {2, {.priority = 7}}, {3}, {4, {.priority = 5}}});
  for (const int v : {2, 4, 1, 3}) {
    auto d = by_properties.try_receive();
    CHECK(d->value == v);
    d.ack();
  }
}

TEST_CASE("a rate limit") {
  manual_clock clock;
  topic<int> t(64, clock);
  limiter limit(clock, 10, 1s, 2);
  auto g = t.group("g", {.limiter = &limit});
  publish(t, {1, 2, 3, 4});
  CHECK(take_all(g) == ints{1, 2});
  CHECK(g.stats().blocked == blocked_by::rate);
  CHECK(g.next_event() == clock.now() + 100ms);
  clock.advance(99ms);
  CHECK(take_all(g).empty());
  clock.advance(1ms);
  CHECK(take_all(g) == ints{3});

  SECTION("who waits sleeps until the next one may go") {
    const watchdog guard("rate limit");
    millrace::delivery<int> d;
    outcome waiting_got{};
    std::thread waiting([&] { waiting_got = g.receive(d); });
    clock.await_waiters(1);
    clock.advance(100ms);
    waiting.join();
    CHECK(waiting_got == outcome::ok);
    CHECK(*d == 4);
  }
}

TEST_CASE("a circuit breaker: the backlog waits, and attempts are not touched") {
  manual_clock clock;
  topic<int> t(64, clock);
  breaker bank(clock, {.window = 4, .minimum = 2, .failure_rate = 0.5, .open_for = 5s});
  auto g = t.group("g", {.retry = retry_policy::fixed(1ms, 9), .breaker = &bank});
  publish(t, {1, 2, 3});
  CHECK(g.try_receive().nack());
  CHECK(g.try_receive().nack());
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().blocked == blocked_by::breaker);
  CHECK(g.next_event() == clock.now() + 1ms);  // the first retry
  clock.advance(4999ms);
  CHECK_FALSE(g.try_receive());
  clock.advance(1ms);
  auto probe = g.try_receive();
  REQUIRE(probe);
  CHECK_FALSE(g.try_receive());  // one probe at a time
  CHECK(probe.ack());
  CHECK(take_all(g).size() == 2);
  CHECK(g.stats().delivered == 5);
}

TEST_CASE("duplicates are left out, and those in progress wait") {
  manual_clock clock;
  topic<int> t(64, clock);
  millrace::deduplicator<int, std::hash<int>, manual_clock> seen(clock, {.window = 1min});
  auto once = millrace::duplicates_by<int>(seen, [](const int& v) { return v % 100; });
  auto g = t.group("g", {.retry = retry_policy::fixed(1s, 3), .duplicates = &once});
  publish(t, {1, 101, 2, 201});
  auto d = g.try_receive();
  CHECK(*d == 1);
  CHECK(take_all(g) == ints{2});
  CHECK(d.nack());
  CHECK(g.stats().waiting == 3);
  clock.advance(1s);
  CHECK(take_all(g).size() == 1);  // the others are duplicates now
  CHECK(g.stats().duplicates == 2);
  clock.advance(1min);
  publish(t, {301});
  CHECK(take_all(g) == ints{301});
}

TEST_CASE("a wait that is longer than time lasts") {
  manual_clock clock(manual_clock::time_point(1h));
  topic<int> t(64, clock);
  constexpr auto for_ever = std::chrono::nanoseconds::max();
  millrace::deduplicator<int, std::hash<int>, manual_clock> seen(clock);
  auto once = millrace::duplicates_by<int>(seen, [](const int& v) { return v; });
  auto g = t.group(
      "g", {.ack_timeout = for_ever, .retry = {.first = for_ever, .most = for_ever}, .duplicates = &once});
  publish(t, {1, 1});
  auto d = g.try_receive();
  CHECK_FALSE(g.try_receive());  // the first one is in progress
  CHECK(g.stats().waiting == 1);
  CHECK(g.stats().blocked == blocked_by::empty);
  CHECK(d.nack());
  clock.advance(24h);
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().waiting == 2);
}

TEST_CASE("before the epoch of its clock") {
  manual_clock clock(manual_clock::time_point(-1h));
  topic<message<int>> t(64, clock);
  auto g = t.group("g", {.order = ordering::by_key, .retry = retry_policy::fixed(1s, 3)});
  const auto next = [&] {
    auto d = g.try_receive();
    const int v = d ? d->value : 0;
    d.ack();
    return v;
  };
  publish<message<int>>(t, {{1, {.key = "a"}}, {2, {.key = "a", .not_before = -30min}}, {3}});
  auto first = g.try_receive();
  REQUIRE(first);
  CHECK(first->value == 1);
  CHECK(next() == 3);
  g.pause();
  CHECK(next() == 0);
  g.resume();
  CHECK(g.next_event() == clock.now());
  CHECK(first.nack());
  CHECK(next() == 0);
  CHECK(g.next_event() == clock.now() + 1s);
  clock.advance(1s);
  CHECK(next() == 1);
  CHECK(next() == 0);
  CHECK(g.next_event() == manual_clock::time_point(-30min));
  clock.set(manual_clock::time_point(-30min));
  CHECK(next() == 2);
  g.pause_until(manual_clock::time_point(-20min));
  publish<message<int>>(t, {{4}});
  CHECK(next() == 0);
  clock.set(manual_clock::time_point(-20min));
  CHECK(next() == 4);
}

TEST_CASE("a message that is held up is not in progress for the deduplicator") {
  manual_clock clock;
  topic<int> t(64, clock);
  limiter limit(clock, 1, 1s);
  millrace::deduplicator<int, std::hash<int>, manual_clock> seen(clock);
  auto once = millrace::duplicates_by<int>(seen, [](const int& v) { return v; });
  auto g = t.group("g", {.limiter = &limit, .duplicates = &once});
  publish(t, {1, 2});
  CHECK(take_all(g) == ints{1});
  CHECK(seen.in_progress() == 0);
  clock.advance(1s);
  CHECK(take_all(g) == ints{2});
  CHECK(g.stats().duplicates == 0);
}

TEST_CASE("pause, pause_until, resume, drain") {
  const watchdog guard("pause and drain");
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g");
  publish(t, {1, 2, 3, 4});
  auto d = g.try_receive();
  g.pause();
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().blocked == blocked_by::paused);
  g.resume();
  CHECK(g.try_receive().ack());
  g.pause_until(clock.now() + 5s);
  g.pause_until(clock.now() + 3s);  // not before the later one
  clock.advance(4s);
  CHECK_FALSE(g.try_receive());
  clock.advance(1s);
  CHECK(g.try_receive().ack());
  SECTION("drained in time") {
    std::thread worker([&] {
      clock.await_waiters(1);
      d.ack();
    });
    CHECK(g.drain(clock.now() + 1s) == 0);
    worker.join();
    CHECK(g.stats().acked == 3);
  }
  SECTION("not in time") {
    std::thread worker([&] {
      clock.await_waiters(1);
      clock.advance(1s);
    });
    CHECK(g.drain(clock.now() + 1s) == 1);
    worker.join();
    CHECK_FALSE(d.ack());
    CHECK(g.stats().ready == 1);
  }
  SECTION("by an ack timeout") {
    std::thread time([&] {
      clock.await_waiters(1);
      clock.advance(30s);
    });
    CHECK(g.drain() == 0);
    time.join();
    CHECK(g.stats().timed_out == 1);
  }
  SECTION("nothing to wait for") {
    d.ack();
    CHECK(g.drain() == 0);
  }
  CHECK_FALSE(g.try_receive());
  g.resume();
  CHECK_FALSE(take_all(g).empty());
}

TEST_CASE("waiting until everything is settled") {
  const watchdog guard("wait_until_settled");
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g", {.retry = millrace::retry_policy::fixed(1s, 2)});
  const auto now = [&] { return g.wait_until_settled(clock.now()); };
  CHECK(now() == outcome::ok);
  publish(t, {1});
  CHECK(now() == outcome::timeout);
  auto d = g.try_receive();
  CHECK(now() == outcome::timeout);
  d.nack();
  CHECK(now() == outcome::timeout);
  clock.advance(1s);
  d = g.try_receive();

  std::latch waits(1);
  outcome ended = outcome::empty;
  std::stop_source stop;
  std::thread waiter([&] {
    waits.count_down();
    ended = g.wait_until_settled(manual_clock::time_point::max(), stop.get_token());
  });
  waits.wait();
  SECTION("by an ack") {
    d.ack();
    waiter.join();
    CHECK(ended == outcome::ok);
    CHECK(now() == outcome::ok);
  }
  SECTION("what is parked counts") {
    d.nack();
    waiter.join();
    CHECK(ended == outcome::ok);
    CHECK(g.stats().parked == 1);
  }
  SECTION("by a seek over it") {
    g.seek(millrace::latest);
    waiter.join();
    CHECK(ended == outcome::ok);
  }
  SECTION("a stop is requested") {
    stop.request_stop();
    waiter.join();
    CHECK(ended == outcome::cancelled);
  }
  SECTION("the group is removed") {
    g.remove();
    waiter.join();
    CHECK(ended == outcome::closed);
  }
}

TEST_CASE("seeking begins anew") {
  manual_clock clock;
  topic<int> t(64, clock, {.stamp = millrace::stamps::each_message});
  auto g = t.group("g", {.order = ordering::by_key, .key = [](const int& v) { return std::uint64_t(v); }});
  for (int v = 0; v < 6; ++v) {
    publish(t, {v});
    clock.advance(1s);
  }
  auto held = g.try_receive();
  CHECK(g.try_receive().nack());
  CHECK(g.try_receive().reject("bad"));
  g.seek(0U);
  CHECK(take_all(g) == ints{0, 1, 2, 3, 4, 5});
  g.seek(manual_clock::time_point(3s));
  CHECK(take_all(g) == ints{3, 4, 5});
  g.seek(millrace::latest);
  CHECK(take_all(g).empty());
  g.seek(earliest);
  CHECK(g.stats().backlog == 6);
  auto first = g.try_receive();
  CHECK_THROWS_AS(g.seek(7U), std::out_of_range);
  CHECK(first.ack());  // nothing was done
  CHECK(take_all(g) == ints{1, 2, 3, 4, 5});
  CHECK_FALSE(held.ack());
}

TEST_CASE("the end of the stream") {
  const watchdog guard("the end");
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g", {.retry = retry_policy::fixed(1s, 5)});
  publish(t, {1, 2});
  t.close();
  millrace::delivery<int> a;
  millrace::delivery<int> b;
  millrace::delivery<int> none;
  CHECK(g.receive(a) == outcome::ok);
  CHECK(g.receive(b) == outcome::ok);
  CHECK(g.try_receive(none) == outcome::empty);  // one of them may still come back
  CHECK(a.ack());
  SECTION("with the last settled") {
    CHECK(b.ack());
    CHECK(g.try_receive(none) == outcome::closed);
    CHECK(g.receive(none) == outcome::closed);
  }
  SECTION("who waits is told") {
    outcome waiting_got{};
    std::thread waiting([&] { waiting_got = g.receive(none); });
    clock.await_waiters(1);
    CHECK(b.ack());
    waiting.join();
    CHECK(waiting_got == outcome::closed);
  }
  SECTION("who waits gets what fails") {
    outcome got{};
    std::thread waiting([&] { got = g.receive(none); });
    clock.await_waiters(1);
    CHECK(b.nack());
    clock.await_waiters(1);
    clock.advance(1s);
    waiting.join();
    CHECK(got == outcome::ok);
    CHECK(none.attempt() == 2);
    CHECK(none.ack());
  }
}

TEST_CASE("when to look again") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g", {.ack_timeout = 7s, .retry = retry_policy::fixed(2s, 5)});
  CHECK_FALSE(g.next_event().has_value());
  publish(t, {1, 2});
  auto a = g.try_receive();
  CHECK(g.next_event() == manual_clock::time_point(7s));
  CHECK(g.try_receive().nack());
  CHECK(g.next_event() == manual_clock::time_point(2s));
  CHECK(a.ack());
  g.pause_until(manual_clock::time_point(1s));
  CHECK_FALSE(g.try_receive());
  CHECK(g.next_event() == manual_clock::time_point(1s));
}

TEST_CASE("what comes back at the deadline of a drain is delivered again in its order") {
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g");
  publish(t, {1, 2, 3, 4, 5});
  std::vector<millrace::delivery<int>> held;
  for (int i = 0; i < 4; ++i) held.push_back(g.try_receive());
  CHECK(g.drain(clock.now()) == 4);
  g.resume();
  CHECK(take_all(g) == ints{1, 2, 3, 4, 5});
  for (auto& d : held) CHECK_FALSE(d.ack());
}

TEST_CASE("a stop ends work also where there is a backlog, and leaves the rest in its order") {
  const watchdog guard("a stop with a backlog", std::chrono::seconds(20));
  manual_clock clock;
  topic<int> t(1024, clock);
  auto g = t.group("g");
  for (int i = 0; i < 1000; ++i) publish(t, {i});
  std::stop_source stop;
  int calls = 0;
  CHECK(g.work(stop.get_token(), [&](int) {
    if (++calls == 20) stop.request_stop();
  }) == outcome::cancelled);
  CHECK(calls == 20);
  ints rest;
  for (int i = 20; i < 1000; ++i) rest.push_back(i);
  CHECK(take_all(g) == rest);
}

TEST_CASE("what holds a group back holds back what a worker has taken and not begun") {
  manual_clock clock;
  topic<int> t(1024, clock);
  breaker bank(clock, {.window = 10, .minimum = 10, .failure_rate = 0.5, .open_for = 5s});
  auto g = t.group("g", {.retry = retry_policy::fixed(1h, 5), .breaker = &bank});
  for (int i = 0; i < 1000; ++i) publish(t, {i});
  millrace::basic_timer_service<manual_clock> service(clock);
  ints calls;
  bool down = false;
  const auto work = [&](auto at_the_100th) {
    g.run_on([](auto f) { f(); }, service, 1,
             [&](millrace::delivery<int>& d) {
               calls.push_back(*d);
               if (calls.size() == 100) at_the_100th(d);
               if (down) throw std::runtime_error("down");
             });
    CHECK(g.stats().in_flight == 0);
    CHECK(g.stats().ready + g.stats().backlog + g.stats().waiting + g.stats().acked == 1000);
    g.stop();
  };
  ints first(100);
  std::iota(first.begin(), first.end(), 0);
  int next = 100;
  SECTION("a throttle") {
    work([](auto& d) { d.throttle(1min); });
    CHECK(calls == first);
    CHECK(g.stats().acked == 99);
    clock.advance(1min);
  }
  SECTION("a pause") {
    work([&](auto&) { g.pause(); });
    CHECK(calls == first);
    CHECK(g.stats().acked == 100);
    g.resume();
  }
  SECTION("a pause until a time") {
    work([&](auto&) { g.pause_until(clock.now() + 1min); });
    CHECK(calls == first);
    CHECK(g.stats().acked == 100);
    clock.advance(1min);
  }
  SECTION("a breaker that opens") {
    work([&](auto&) { down = true; });
    CHECK(bank.opened() == 1);
    CHECK(g.stats().nacked == calls.size() - 99);
    CHECK(g.stats().nacked == 5);  // half of the window
    next = int(calls.size());
    clock.advance(5s);
    CHECK(g.try_receive().ack());  // the probe
    ++next;
  }
  ints rest = take_all(g);
  std::erase(rest, 99);  // it was given back before them
  CHECK(rest.front() == next);
  CHECK(rest.size() == std::size_t(1000 - next));
  CHECK(std::is_sorted(rest.begin(), rest.end()));
  CHECK(g.stats().redelivered == 0);
}

TEST_CASE("waiting with a limit, and with a stop") {
  const watchdog guard("waiting");
  manual_clock clock;
  topic<int> t(64, clock);
  auto g = t.group("g");
  millrace::delivery<int> d;
  CHECK(g.receive_for(d, 0s) == outcome::timeout);
  outcome waiting_got{};
  std::thread waiting([&] { waiting_got = g.receive_for(d, 5s); });
  clock.await_waiters(1);
  clock.advance(5s);
  waiting.join();
  CHECK(waiting_got == outcome::timeout);
  std::stop_source stop;
  outcome stopped_got{};
  std::thread stopped([&] { stopped_got = g.receive(d, stop.get_token()); });
  stop.request_stop();
  stopped.join();
  CHECK(stopped_got == outcome::cancelled);
  publish(t, {1});
  CHECK(g.receive_until(d, clock.now()) == outcome::ok);
}

TEST_CASE("run: returning acks, throwing is a failure, and the policy decides") {
  const watchdog guard("run");
  millrace::topic<int> t(1024);
  retry_policy policy = retry_policy::fixed(1ms, 3);
  policy.decide = [](const millrace::failure& f) {
    if (f.reason == "never") return millrace::decision::reject();
    if (f.reason == "busy") return millrace::decision::release();
    if (f.reason == "soon") return millrace::decision::retry_in(1ns);
    return millrace::decision::retry();
  };
  auto g = t.group("g", {.retry = std::move(policy)});
  std::atomic<int> good{0};
  std::atomic<int> busy{0};
  for (int v = 0; v < 60; ++v) REQUIRE(t.publish(v) == outcome::ok);
  t.close();
  g.run(3, [&](millrace::delivery<int>& d) {
    switch (*d % 6) {
      case 0: ++good; break;
      case 1: throw std::runtime_error("never");
      case 2:
        if (busy.fetch_add(1) < 20) throw std::runtime_error("busy");
        break;
      case 3:
        if (d.attempt() == 1) throw std::runtime_error("soon");
        break;
      case 4: throw 4;
      default: d.ack(); throw std::runtime_error("afterwards");
    }
  });
  CHECK_THROWS_AS(g.run(1, [](const int&) {}), std::logic_error);
  CHECK(g.workers() == 3);
  g.join();
  const auto s = g.stats();
  CHECK(good == 10);
  CHECK(s.acked == 40);
  CHECK(s.rejected == 10);
  CHECK(s.released == 20);
  CHECK(s.parked == 20);
  CHECK(s.nacked == 10 + 30);
  CHECK(s.late == 0);
  CHECK(s.in_flight == 0);
}

TEST_CASE("scaling up and down") {
  const watchdog guard("scale");
  millrace::topic<int> t(64);
  auto g = t.group("g");
  CHECK_FALSE(g.scale(2));
  std::latch three(3);
  std::mutex mutex;
  std::set<std::thread::id> who;
  g.run(1, [&](const int& v) {
    {
      const std::lock_guard lock(mutex);
      who.insert(std::this_thread::get_id());
    }
    if (v < 3) three.arrive_and_wait();  // only three of them together get past it
  });
  CHECK(g.scale(3));
  for (int v = 0; v < 3; ++v) REQUIRE(t.publish(v) == outcome::ok);
  three.wait();
  CHECK(g.workers() == 3);
  CHECK(g.scale(1));
  CHECK(g.workers() == 1);
  CHECK(who.size() == 3);
  for (int v = 3; v < 50; ++v) REQUIRE(t.publish(v) == outcome::ok);
  t.close();
  g.join();
  CHECK(g.workers() == 0);
  CHECK(g.work({}, [](const int&) {}) == outcome::closed);
  CHECK(g.stats().acked == 50);
}

TEST_CASE("who joins is in nobody's way: a stop ends what it waits for") {
  const watchdog guard("join", std::chrono::seconds(30));
  millrace::topic<int> t(64);
  millrace::timer_service timers;
  timers.start();
  auto g = t.group("g");
  millrace::channel<int> seen(64);
  const auto see = [&](const int& v) { static_cast<void>(seen.push(v)); };
  const bool in_threads = GENERATE(true, false);
  const auto run = [&] {
    if (in_threads) {
      g.run(2, see);
    } else {
      g.run_on([](auto f) { f(); }, timers, 2, see);
    }
  };
  for (int round = 0; round < 20; ++round) {
    run();
    std::latch begun(1);
    std::thread joining([&] {
      begun.count_down();
      g.join();
    });
    begun.wait();
    for (std::size_t n : {1U, 3U, 2U, 4U}) CHECK(g.scale(n));
    g.stop();
    CHECK(g.workers() == 0);
    run();  // it has nothing to do with these, unless it comes late
    REQUIRE(t.publish(round) == outcome::ok);
    CHECK(seen.pop() == round);
    CHECK(g.workers() == 2);
    g.stop();
    joining.join();
  }
  timers.stop();
}

namespace {

/// How many the process has, where that can be told; a thread that has been joined may still be counted for a moment.
[[maybe_unused]] std::size_t threads() {
  std::error_code none;
  const std::filesystem::directory_iterator all("/proc/self/task", none);
  return std::size_t(std::distance(begin(all), end(all)));
}
[[maybe_unused]] void await_no_more_threads_than(std::size_t n) {
  while (threads() > n) std::this_thread::yield();
}

}  // namespace

TEST_CASE("workers that cannot all be had are none, or as many as before") {
  const watchdog guard("no memory for workers", std::chrono::seconds(30));
  if constexpr (support::allocations_can_be_refused) {
    millrace::topic<int> t(64);
    millrace::timer_service timers;
    timers.start();
    auto g = t.group("g");
    std::atomic<int> others{0};  // calls by workers of a run that was refused
    bool refused = false;
    const auto refusing = [&](long n, auto f) {
      const struct as_before {
        ~as_before() { support::allocation_to_refuse = 0; }
      } afterwards;
      refused = false;
      support::allocation_to_refuse = n;
      try {
        f();
      } catch (const std::bad_alloc&) {
        refused = true;
      }
    };
    const bool in_threads = GENERATE(true, false);
    int posts = 0;
    const auto run = [&](auto handler) {
      if (in_threads) {
        g.run(3, handler);
      } else {
        g.run_on([&](auto f) { ++posts, f(); }, timers, 3, handler);
      }
    };
    const std::size_t without = threads();
    long n = 0;
    do {
      refusing(++n, [&] { run([&](const int&) { ++others; }); });
      CHECK(g.workers() == (refused ? 0 : 3));
      if (in_threads) await_no_more_threads_than(without + g.workers());
    } while (refused);
    CHECK(n > 5);
    g.stop();

    std::latch done(1);
    posts = 0;
    run([&](const int&) { done.count_down(); });
    n = 0;
    do {
      refusing(++n, [&] { static_cast<void>(g.scale(6)); });
      CHECK(g.workers() == (refused ? 3 : 6));
      if (in_threads) await_no_more_threads_than(without + g.workers());
    } while (refused);
    CHECK(posts == (in_threads ? 0 : 6));
    REQUIRE(t.publish(1) == outcome::ok);
    done.wait();
    CHECK(others == 0);
    t.close();
    g.join();
    timers.stop();
  }
}

TEST_CASE("run_on: in threads of the host's, with nobody asleep") {
  const watchdog guard("run_on", std::chrono::seconds(30));
  manual_clock clock;
  topic<int> t(64, clock);
  using timers = millrace::basic_timer_service<manual_clock>;
  timers service(clock);
  auto g = t.group("g", {.retry = retry_policy::fixed(1s, 5)});
  ints got;
  SECTION("by a loop") {
    std::deque<std::function<void()>> todo;
    const auto run_all = [&] {
      while (!todo.empty()) {
        const auto f = std::move(todo.front());
        todo.pop_front();
        f();
      }
    };
    g.run_on([&](auto f) { todo.emplace_back(f); }, service, 2,
             [&](const int& v) {
               got.push_back(v);
               if (v == 2 && got.size() == 2) throw std::runtime_error("once");
             });
    CHECK(g.workers() == 2);
    CHECK(todo.size() == 2);
    run_all();
    CHECK(todo.empty());
    publish(t, {1, 2, 3});
    CHECK(todo.size() == 1);  // one of them, and it tells the other if there is more
    run_all();
    CHECK(got == ints{1, 2, 3});
    clock.advance(1s);
    service.poll(clock.now());
    run_all();
    CHECK(got == ints{1, 2, 3, 2});
    g.pause();
    publish(t, {4});
    run_all();
    CHECK(got.size() == 4);
    g.resume();
    run_all();
    CHECK(got == ints{1, 2, 3, 2, 4});
    t.close();
    run_all();
    g.join();
    CHECK(g.workers() == 0);
    CHECK(todo.empty());
  }
  SECTION("at once, where the news come") {
    g.run_on([](auto f) { f(); }, service, 1,
             [&](const int& v) {
               got.push_back(v);
               if (v == 2 && got.size() == 2) throw std::runtime_error("once");
             });
    publish(t, {1, 2, 3});
    CHECK(got == ints{1, 2, 3});
    clock.advance(1s);
    service.poll(clock.now());
    CHECK(got == ints{1, 2, 3, 2});
    g.stop();
    publish(t, {4});
    CHECK(got.size() == 4);
    CHECK(g.stats().backlog == 1);
  }
  CHECK(g.stats().in_flight == 0);
}

namespace {

/// As an executor that has been stopped. A task takes one message, so that it is posted again for each.
struct at_once {
  static bool wants_small_tasks() { return true; }
  template <class F>
  void operator()(F f) const {
    f();
  }
};

}  // namespace

TEST_CASE("run_on: tasks that run where they are posted do not stand one in the other") {
  const watchdog guard("run_on, at once");
  manual_clock clock;
  constexpr int n = 50'000;
  topic<int> t(65'536, clock);
  millrace::basic_timer_service<manual_clock> service(clock);
  auto g = t.group("g");
  for (int i = 0; i < n; ++i) publish(t, {1});
  std::uintptr_t lowest = ~std::uintptr_t{0};
  std::uintptr_t highest = 0;
  long sum = 0;
  g.run_on(at_once(), service, 3, [&](const int& v) {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    lowest = std::min(lowest, here);
    highest = std::max(highest, here);
    sum += v;
  });
  CHECK(sum == n);
  CHECK(highest - lowest < 32'768);
  publish(t, {1});
  CHECK(sum == n + 1);
  g.stop();
}

TEST_CASE("run_on: in a pool of threads, scaled and stopped again and again") {
  const watchdog guard("run_on, pool");
  millrace::channel<std::function<void()>, millrace::unbounded_queue<std::function<void()>>> todo;
  std::vector<std::thread> pool;
  for (int i = 0; i < 3; ++i) {
    pool.emplace_back([&] {
      while (auto f = todo.pop()) (*f)();
    });
  }
  millrace::timer_service timers;
  timers.start();
  constexpr int messages = 20'000;
  millrace::topic<int> t(256);
  auto g = t.group("g", {.retry = retry_policy::fixed(1ms, 5)});
  std::vector<std::atomic<int>> seen(messages);
  const auto begin = [&] {
    g.run_on([&](auto f) { static_cast<void>(todo.push(f)); }, timers, 2,
             [&](const int& v) {
               if (seen[std::size_t(v)].fetch_add(1) == 0 && v % 100 == 0)
                 throw std::runtime_error("the first time");
             });
  };
  begin();
  std::thread publisher([&] {
    for (int v = 0; v < messages; ++v) static_cast<void>(t.publish(v));
    t.close();
  });
  for (int i = 0; i < 50; ++i) {
    g.scale(1 + std::size_t(i) % 4);
    if (i % 10 == 9) {
      g.stop();
      begin();
    }
  }
  g.join();
  publisher.join();
  timers.stop();
  todo.close();
  for (std::thread& p : pool) p.join();
  int wrong = 0;
  for (int v = 0; v < messages; ++v) wrong += seen[std::size_t(v)] != (v % 100 == 0 ? 2 : 1);
  CHECK(wrong == 0);
  CHECK(g.stats().acked == messages);
}

TEST_CASE("what a user's function throws takes nothing away") {
  manual_clock clock;
  topic<int> t(64, clock);
  bool angry = true;
  const auto throws_at_3 = [&](int v) {
    if (v == 3 && angry) throw std::runtime_error("at 3");
  };
  millrace::deduplicator<int, std::hash<int>, manual_clock> seen(clock);
  auto once = millrace::duplicates_by<int>(seen, [&](const int& v) {
    throws_at_3(v);
    return v;
  });
  millrace::group_options<topic<int>> o;
  const std::string who = GENERATE("filter", "key", "priority", "id");
  INFO(who);
  if (who == "filter") o.filter = [&](const int& v) { return throws_at_3(v), true; };
  if (who == "key") {
    o.order = ordering::by_key;
    o.key = [&](const int& v) { return throws_at_3(v), std::uint64_t(v); };
  }
  if (who == "priority") {
    o.prioritized = true;
    o.lookahead = 1;
    o.priority = [&](const int& v) { return throws_at_3(v), 1U; };
  }
  if (who == "id") o.duplicates = &once;
  auto g = t.group("g", std::move(o));
  publish(t, {1, 2, 3, 4});
  std::vector<millrace::delivery<int>> got(8);
  CHECK(g.try_receive_n(got.begin(), 3) == 2);
  for (int i = 0; i < 3; ++i) CHECK_THROWS_AS(g.try_receive(), std::runtime_error);
  CHECK(g.stats().in_flight == 2);
  angry = false;
  CHECK(take_all(g) == ints{3, 4});
  for (auto& d : got) {
    if (d) CHECK(d.ack());
  }
  CHECK(g.stats().acked == 4);
}

TEST_CASE("a message that cannot be copied to the dead letters stays until it can") {
  manual_clock clock;
  bool angry = false;
  millrace::dead_letters<touchy, manual_clock> dead(8, clock);
  topic<touchy> t(8, clock);
  auto g = t.group("g", {.dead_letters = &dead});
  REQUIRE(t.publish(touchy(5, &angry)) == outcome::ok);
  auto d = g.try_receive();
  angry = true;
  CHECK(d.reject("no"));
  CHECK(g.stats().waiting == 1);
  clock.advance(1s);
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().waiting == 1);
  angry = false;
  clock.advance(1s);
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().dead == 1);
}

TEST_CASE("jitter can be drawn by the host") {
  manual_clock clock;
  topic<int> t(8, clock);
  retry_policy policy{.first = 1s, .most = 1s, .jitter = 0.5};
  double drawn = 0;
  policy.random = [&] { return drawn; };
  auto g = t.group("g", {.retry = std::move(policy)});
  publish(t, {1});
  CHECK(g.try_receive().nack());
  CHECK(g.next_event() == clock.now() + 500ms);
  clock.advance(500ms);
  drawn = 1;
  CHECK(g.try_receive().nack());
  CHECK(g.next_event() == clock.now() + 1500ms);
}

TEST_CASE("a group that overruns is told what it missed") {
  manual_clock clock;
  topic<int> t(4, clock, {.keep = {.messages = 0}, .segment = 2});
  auto g = t.group("g", {.when_full = millrace::overrun::drop_oldest});
  for (int v = 0; v < 20; ++v) publish(t, {v});
  const ints got = take_all(g);
  CHECK(g.stats().missed + got.size() == 20);
  CHECK(got.back() == 19);
  CHECK(g.stats().missed > 0);
}

TEST_CASE("the oldest, and what waits, is told") {
  manual_clock clock;
  topic<int> t(64, clock, {.stamp = millrace::stamps::each_message});
  auto g = t.group("g");
  CHECK(g.stats().oldest == 0s);
  publish(t, {1});
  clock.advance(2s);
  publish(t, {2});
  auto a = g.try_receive();
  clock.advance(1s);
  CHECK(g.stats().oldest == 3s);
  CHECK(a.ack());
  CHECK(g.stats().backlog == 1);
  auto b = g.try_receive();
  CHECK(g.stats().oldest == 1s);
}

TEST_CASE("options out of their range are refused, and say which") {
  manual_clock clock;
  topic<int> t(64, clock);
  const auto refused = [&](millrace::group_options<topic<int>> o, const std::string& what) {
    try {
      static_cast<void>(t.group("g", std::move(o)));
    } catch (const std::invalid_argument& e) {
      INFO(e.what());
      CHECK(std::string(e.what()).find(what) != std::string::npos);
      return;
    }
    FAIL("accepted: " << what);
  };
  refused({.max_in_flight = 0}, "max_in_flight must be 1 or more");
  refused({.max_waiting = 0}, "max_waiting must be 1 or more");
  refused({.lookahead = 0}, "lookahead must be 1 or more");
  refused({.ack_timeout = 0s}, "ack_timeout must be more than 0");
  refused({.key = [](const int&) { return std::uint64_t{1}; }}, "options.key");
  refused({.priority = [](const int&) { return 1U; }}, "options.priority");
  refused({.order = ordering::strict, .prioritized = true}, "prioritized must be false");
  refused({.order = ordering::by_key}, "options.key must be set");
  refused({.prioritized = true}, "options.priority must be set");
  refused({.when_full = millrace::overrun::disconnect}, "options.when_full must be");
  refused({.retry = {.attempts = 0}}, "attempts");
  CHECK_THROWS_AS(t.group("g", {.from = 5}), std::out_of_range);
  CHECK_THROWS_AS(t.group(""), std::invalid_argument);
  auto other = t.group("other");
  CHECK_THROWS_AS(other.run(0, [](const int&) {}), std::invalid_argument);
  CHECK_FALSE(other.scale(1));  // it does not run
  other.remove();
  publish(t, {1});
  CHECK_FALSE(t.group("g").try_receive());  // none of them has left a group behind
}

TEST_CASE("a handler that is none is refused, and takes no attempts") {
  using handler = std::function<void(const int&)>;
  manual_clock clock;
  millrace::basic_timer_service<manual_clock> timers(clock);
  topic<int> t(64, clock);
  auto g = t.group("g");
  publish(t, {1});
  const std::string refusal = "consumer_group: handler must be set";
  void (*none)(const int&) = nullptr;
  const handler empty;
  CHECK_THROWS_WITH(g.work(std::stop_token(), none), refusal);
  CHECK_THROWS_WITH(g.work(std::stop_token(), empty), refusal);
  CHECK_THROWS_WITH(g.run(1, none), refusal);
  CHECK_THROWS_WITH(g.run(1, handler()), refusal);
  CHECK_THROWS_WITH(g.run_on([](auto) {}, timers, 1, none), refusal);
  CHECK_THROWS_WITH(g.run_on([](auto) {}, timers, 1, handler()), refusal);
  CHECK(g.workers() == 0);
  CHECK(g.try_receive().attempt() == 1);
}
