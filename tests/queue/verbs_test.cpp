// The verbs of a channel, at once, asleep and with limits. Time is a manual_clock's, and sleepers are met at the seam:
// nothing here waits for time to pass.
#include "millrace/queue/verbs.hpp"

#include <atomic>
#include <chrono>
#include <iterator>
#include <limits>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/channels.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::channel;
using millrace::manual_clock;
using millrace::mpmc_queue;
using millrace::outcome;
using millrace::overflow;
using millrace::spsc_queue;
using support::block;
using support::channel_over;
using support::drain;
using support::ints;
using support::make;
using support::number;
using support::watchdog;
using support::watched_mpmc;
using support::watched_spsc;
using support::watching_sync;

}  // namespace

// ---- verbs that need not wait

TEMPLATE_TEST_CASE("push and pop in all their forms", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  channel_over<TestType> ch(8);
  CHECK(ch.capacity() == 8);
  CHECK(ch.policy() == overflow::block);
  CHECK(ch.empty_approx());
  const T kept = make<T>(2);
  const auto soon = std::chrono::steady_clock::now() + 1h;
  CHECK(ch.push(make<T>(1)) == outcome::ok);
  CHECK(ch.push(kept) == outcome::ok);
  CHECK(ch.push_for(make<T>(3), 1s) == outcome::ok);
  CHECK(ch.push_for(kept, 1s) == outcome::ok);
  CHECK(ch.push_until(make<T>(5), soon) == outcome::ok);
  CHECK(ch.push_until(kept, soon) == outcome::ok);
  CHECK(ch.try_push(make<T>(7)) == outcome::ok);
  CHECK(ch.try_push(kept) == outcome::ok);
  CHECK(number(kept) == 2);
  CHECK(ch.size_approx() == 8);
  T refused = make<T>(9);
  CHECK(ch.try_push(std::move(refused)) == outcome::full);
  CHECK(ch.try_push(std::as_const(refused)) == outcome::full);
  CHECK(ch.push_for(std::move(refused), 0s) == outcome::timeout);
  CHECK(number(refused) == 9);

  T out = make<T>(0);
  CHECK(ch.pop(out) == outcome::ok);
  CHECK(number(out) == 1);
  CHECK(ch.pop_for(out, 1s) == outcome::ok);
  CHECK(number(out) == 2);
  CHECK(ch.pop_until(out, soon) == outcome::ok);
  CHECK(number(out) == 3);
  CHECK(ch.try_pop(out) == outcome::ok);
  CHECK(number(out) == 2);
  CHECK(number(*ch.pop()) == 5);
  CHECK(number(*ch.try_pop()) == 2);
  std::vector<T> rest;
  CHECK(ch.pop_n(std::back_inserter(rest), 0) == 0);
  CHECK(ch.pop_n(std::back_inserter(rest), 1) == 1);
  CHECK(ch.pop_n(std::back_inserter(rest), 100) == 1);
  CHECK(number(rest[0]) == 7);
  CHECK(number(rest[1]) == 2);
  out = make<T>(11);
  CHECK(ch.try_pop(out) == outcome::empty);
  CHECK(ch.pop_for(out, 0s) == outcome::timeout);
  CHECK_FALSE(ch.try_pop().has_value());
  CHECK(number(out) == 11);
  CHECK(ch.dropped() == 0);
}

TEST_CASE("a move-only value: given only when taken") {
  channel<std::unique_ptr<int>> ch(2);
  manual_clock time;
  channel<std::unique_ptr<int>, mpmc_queue<std::unique_ptr<int>>, manual_clock> timed(2, time);
  auto v = std::make_unique<int>(1);
  CHECK(ch.push(std::move(v)) == outcome::ok);
  CHECK(v == nullptr);
  CHECK(ch.push(std::make_unique<int>(2)) == outcome::ok);
  v = std::make_unique<int>(3);
  CHECK(ch.try_push(std::move(v)) == outcome::full);
  CHECK(*v == 3);
  CHECK(ch.push_for(std::move(v), -1s) == outcome::timeout);
  CHECK(*v == 3);
  ch.close();
  CHECK(ch.push(std::move(v)) == outcome::closed);
  CHECK(*v == 3);
  CHECK(timed.push(std::move(v)) == outcome::ok);
  CHECK(timed.push(std::make_unique<int>(4)) == outcome::ok);
  v = std::make_unique<int>(5);
  CHECK(timed.push_until(std::move(v), time.now()) == outcome::timeout);
  CHECK(*v == 5);
  int sum = 0;
  for (auto& p : ch) sum += *std::exchange(p, nullptr);
  CHECK(sum == 3);
}

TEST_CASE("construction refuses what cannot be") {
  CHECK_THROWS_AS(channel<int>(0), std::length_error);
  CHECK_THROWS_AS((channel<int, spsc_queue<int>>(0)), std::length_error);
  CHECK_THROWS_AS(channel<int>((std::size_t{1} << 31) + 1), std::length_error);
  using over_spsc = channel<int, spsc_queue<int>>;
  CHECK(over_spsc(4, overflow::drop_newest).policy() == overflow::drop_newest);
  CHECK(over_spsc(4, overflow::fail).policy() == overflow::fail);
  CHECK(over_spsc(4, overflow::drop_oldest).policy() == overflow::drop_oldest);
}

// ---- waiting without a limit

TEMPLATE_TEST_CASE("a sleeping consumer is woken by each push verb", "", ALL_WATCHED) {
  const watchdog guard("a sleeping consumer");
  using T = typename TestType::value_type;
  channel_over<TestType> ch(2);
  for (int verb = 0; verb < 4; ++verb) {
    watching_sync::reset();
    int got = 0;
    std::thread consumer([&] { got = number(*ch.pop()); });
    watching_sync::await_parked(1);
    outcome result{};
    if (verb == 0) result = ch.push(make<T>(5));
    if (verb == 1) result = ch.push_for(make<T>(5), 1h);
    if (verb == 2) result = ch.push_until(make<T>(5), std::chrono::steady_clock::time_point::max());
    if (verb == 3) result = ch.try_push(make<T>(5));
    consumer.join();
    CHECK(result == outcome::ok);
    CHECK(got == 5);
  }
}

TEMPLATE_TEST_CASE("a sleeping producer is woken by each pop verb", "", ALL_WATCHED) {
  const watchdog guard("a sleeping producer");
  using T = typename TestType::value_type;
  channel_over<TestType> ch(2);
  REQUIRE(ch.push(make<T>(1)) == outcome::ok);
  REQUIRE(ch.push(make<T>(2)) == outcome::ok);
  for (int verb = 0; verb < 7; ++verb) {
    watching_sync::reset();
    outcome result{};
    std::thread producer([&] { result = ch.push(make<T>(3 + verb)); });
    watching_sync::await_parked(1);
    T out = make<T>(0);
    if (verb == 0) CHECK(ch.pop(out) == outcome::ok);
    if (verb == 1) CHECK(ch.pop_for(out, 1h) == outcome::ok);
    if (verb == 2) CHECK(ch.pop_until(out, std::chrono::steady_clock::time_point::max()) == outcome::ok);
    if (verb == 3) CHECK(ch.try_pop(out) == outcome::ok);
    if (verb == 4) out = *ch.pop();
    if (verb == 5) out = *ch.try_pop();
    if (verb == 6) CHECK(ch.pop_n(&out, 1) == 1);
    producer.join();
    CHECK(result == outcome::ok);
    CHECK(number(out) == 1 + verb);
  }
  CHECK(drain(ch) == ints{8, 9});
}

TEST_CASE("nobody is woken who need not be") {
  watching_sync::reset();
  channel_over<watched_mpmc<int>> ch(4);
  int out = 0;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(ch.push(i) == outcome::ok);
    REQUIRE(ch.pop(out) == outcome::ok);
    REQUIRE(out == i);
  }
  ch.close();
  CHECK(watching_sync::parks == 0);
  CHECK(watching_sync::unparks == 0);
}

TEST_CASE("one push wakes one sleeper, the one that came first") {
  const watchdog guard("one push, one sleeper");
  watching_sync::reset();
  channel_over<watched_mpmc<int>> ch(8);
  constexpr int n = 6;
  int got[n] = {};
  std::atomic<int> awake{0};
  std::vector<std::thread> sleepers;
  for (int i = 0; i < n; ++i) {
    sleepers.emplace_back([&, i] {
      got[i] = *ch.pop();
      ++awake;
    });
    watching_sync::await_parked(i + 1);
  }
  for (int i = 0; i < n; ++i) {
    REQUIRE(ch.push(100 + i) == outcome::ok);
    while (awake != i + 1) std::this_thread::yield();
    CHECK(watching_sync::unparks == i + 1);
  }
  for (auto& t : sleepers) t.join();
  for (int i = 0; i < n; ++i) CHECK(got[i] == 100 + i);
}

TEST_CASE("spurious wake-ups change nothing") {
  const watchdog guard("spurious wake-ups");
  watching_sync::reset();
  watching_sync::restless = 2;
  channel_over<watched_mpmc<int>> ch(2);
  constexpr int n = 3000;
  long sum = 0;
  std::thread consumer([&] {
    int out = 0;
    while (ch.pop_for(out, 24h) == outcome::ok) sum += out;
  });
  for (int i = 1; i <= n; ++i) REQUIRE(ch.push(i) == outcome::ok);
  ch.close();
  consumer.join();
  CHECK(sum == static_cast<long>(n) * (n + 1) / 2);
}

// ---- limits

TEMPLATE_TEST_CASE("limits on a manual clock: not before the deadline, and at it", "", mpmc_queue<int>,
                   mpmc_queue<block>, spsc_queue<int>) {
  const watchdog guard("limits on a manual clock");
  using T = typename TestType::value_type;
  manual_clock time;
  channel_over<TestType, manual_clock> ch(2, time);
  std::atomic<bool> done{false};
  outcome result{};
  T out = make<T>(42);

  const auto expect_timeout = [&](auto verb) {
    done = false;
    std::thread waiting([&] {
      result = verb();
      done = true;
    });
    time.await_waiters(1);
    time.advance(10s - 1ns);
    time.await_waiters(1);  // still there
    CHECK_FALSE(done);
    time.advance(1ns);
    waiting.join();
    CHECK(result == outcome::timeout);
    CHECK(number(out) == 42);
  };
  expect_timeout([&] { return ch.pop_for(out, 10s); });
  expect_timeout([&] { return ch.pop_until(out, time.now() + 10s); });
  REQUIRE(ch.push(make<T>(1)) == outcome::ok);
  REQUIRE(ch.push(make<T>(2)) == outcome::ok);
  const T kept = make<T>(3);
  expect_timeout([&] { return ch.push_for(kept, 10s); });
  expect_timeout([&] { return ch.push_until(kept, time.now() + 10s); });
  expect_timeout([&] {
    T v = make<T>(4);
    const outcome answer = ch.push_for(std::move(v), 10s);
    return number(v) == 4 ? answer : outcome::ok;
  });
  CHECK(drain(ch) == ints{1, 2});
}

TEST_CASE("a limit does not hold up what comes in time") {
  const watchdog guard("in time");
  manual_clock time;
  channel<int, mpmc_queue<int>, manual_clock> ch(2, time);
  int out = 0;
  outcome result{};
  std::thread consumer([&] { result = ch.pop_for(out, 1h); });
  time.await_waiters(1);
  time.advance(59min);
  REQUIRE(ch.push(7) == outcome::ok);
  consumer.join();
  CHECK(result == outcome::ok);
  CHECK(out == 7);

  REQUIRE(ch.push(1) == outcome::ok);
  REQUIRE(ch.push(2) == outcome::ok);
  std::thread producer([&] { result = ch.push_for(3, 1h); });
  time.await_waiters(1);
  CHECK(ch.try_pop() == 1);
  producer.join();
  CHECK(result == outcome::ok);

  std::thread closed([&] { result = ch.push_for(4, 1h); });
  time.await_waiters(1);
  ch.close();
  closed.join();
  CHECK(result == outcome::closed);
  CHECK(drain(ch) == ints{2, 3});
}

TEST_CASE("many limits on one clock fire each at its own") {
  const watchdog guard("many limits");
  manual_clock time;
  channel<int, mpmc_queue<int>, manual_clock> ch(2, time);
  constexpr int n = 5;
  std::atomic<int> timed_out{0};
  std::vector<std::thread> sleepers;
  for (int i = 1; i <= n; ++i) {
    sleepers.emplace_back([&, i] {
      int out = 0;
      timed_out += ch.pop_for(out, i * 1s) == outcome::timeout;
    });
  }
  time.await_waiters(n);
  for (int i = 1; i <= n; ++i) {
    time.advance(1s);
    while (timed_out < i) std::this_thread::yield();
    CHECK(timed_out == i);
  }
  for (auto& t : sleepers) t.join();
}

TEMPLATE_TEST_CASE("limits that have passed, and limits without end", "", std::chrono::steady_clock,
                   std::chrono::system_clock, manual_clock) {
  const watchdog guard("odd limits");
  using clock = TestType;
  using time_point = typename clock::time_point;
  const auto run = [](auto& ch) {
    int out = 5;
    for (const auto past : {time_point::min(), time_point(-1ns), time_point::min() + 1s}) {
      CHECK(ch.pop_until(out, past) == outcome::timeout);
    }
    CHECK(ch.pop_for(out, 0ns) == outcome::timeout);
    CHECK(ch.pop_for(out, -1h) == outcome::timeout);
    CHECK(ch.pop_for(out, (std::chrono::nanoseconds::min)()) == outcome::timeout);
    CHECK(ch.pop_for(out, (std::chrono::hours::min)()) == outcome::timeout);
    CHECK(ch.pop_for(out, std::chrono::duration<double>(-1e300)) == outcome::timeout);
    CHECK(ch.pop_for(out, std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())) ==
          outcome::timeout);
    CHECK(out == 5);

    const auto woken = [&](auto verb) {
      outcome result{};
      std::thread consumer([&] { result = verb(); });
      REQUIRE(ch.push(6) == outcome::ok);
      consumer.join();
      CHECK(result == outcome::ok);
      CHECK(out == 6);
      out = 5;
    };
    woken([&] { return ch.pop_until(out, (time_point::max)()); });
    woken([&] { return ch.pop_until(out, (time_point::max)() - 1ns); });
    woken([&] { return ch.pop_for(out, (std::chrono::nanoseconds::max)()); });
    woken([&] { return ch.pop_for(out, (std::chrono::hours::max)()); });
    woken([&] { return ch.pop_for(out, (std::chrono::years::max)()); });
    woken([&] { return ch.pop_for(out, std::chrono::duration<double>(1e300)); });
    woken([&] {
      return ch.pop_for(out, std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
    });
    woken(
        [&] { return ch.pop_for(out, std::chrono::duration<std::uint64_t, std::nano>(~std::uint64_t{0})); });
  };
  if constexpr (millrace::stateless_clock<clock>) {
    channel<int, mpmc_queue<int>, clock> ch(2);
    run(ch);
  } else {
    clock time(time_point(12345s));
    channel<int, mpmc_queue<int>, clock> ch(2, time);
    run(ch);
  }
}

TEST_CASE("a limit shorter than the clock's tick is not rounded away") {
  const watchdog guard("picoseconds");
  manual_clock time;
  channel<int, mpmc_queue<int>, manual_clock> ch(2, time);
  int out = 0;
  outcome result{};
  std::thread consumer([&] { result = ch.pop_for(out, std::chrono::duration<long, std::pico>(1)); });
  time.await_waiters(1);  // it waits: rounded down it would have passed already
  time.advance(1ns);
  consumer.join();
  CHECK(result == outcome::timeout);
}

TEST_CASE("a limit on the machine's own clock passes by itself") {
  const watchdog guard("steady limit");
  channel<int> ch(2);
  int out = 0;
  const auto start = std::chrono::steady_clock::now();
  CHECK(ch.pop_for(out, 5ms) == outcome::timeout);
  CHECK(std::chrono::steady_clock::now() - start >= 5ms);
  channel<int, mpmc_queue<int>, std::chrono::system_clock> wall(2);
  const auto deadline = std::chrono::system_clock::now() + 5ms;
  CHECK(wall.pop_until(out, deadline) == outcome::timeout);
  CHECK(std::chrono::system_clock::now() >= deadline);
}

// ---- range-for

static_assert(std::ranges::input_range<channel<int>>);
static_assert(std::ranges::input_range<channel<std::unique_ptr<int>>>);

TEST_CASE("range-for, in several threads at once, until closed and drained") {
  const watchdog guard("range-for");
  channel<int> ch(8);
  constexpr int n = 20'000;
  std::vector<ints> got(3);
  std::vector<std::thread> workers;
  for (auto& mine : got) {
    workers.emplace_back([&ch, &mine] {
      for (const int v : ch) mine.push_back(v);
    });
  }
  for (int i = 0; i < n; ++i) REQUIRE(ch.push(i) == outcome::ok);
  ch.close();
  for (auto& t : workers) t.join();
  ints all;
  for (const auto& mine : got) {
    CHECK(std::ranges::is_sorted(mine));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::ranges::sort(all);
  ints expected(n);
  for (int i = 0; i < n; ++i) expected[static_cast<std::size_t>(i)] = i;
  CHECK(all == expected);
  for (const int v : ch) FAIL("a value after the end: " << v);
}

TEST_CASE("range-for with break loses only what it took") {
  channel<int> ch(8);
  for (int i = 0; i < 5; ++i) REQUIRE(ch.push(i) == outcome::ok);
  for (const int v : ch) {
    if (v == 2) break;
  }
  CHECK(drain(ch) == ints{3, 4});
}
