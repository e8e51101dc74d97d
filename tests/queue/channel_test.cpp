// Every verb, policy and limit of channel; closing, alone and in races; exceptions while others sleep. Time
// is a manual_clock's, and sleepers are met at the seam: nothing here waits for time to pass.
#include "millrace/queue/channel.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::channel;
using millrace::manual_clock;
using millrace::mpmc_queue;
using millrace::outcome;
using millrace::overflow;
using millrace::spsc_queue;
using millrace::unbounded_queue;
using support::block;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::number;
using support::watchdog;
using support::watching_sync;

template <class T>
using watched_mpmc = mpmc_queue<T, millrace::use_sync<watching_sync>>;
template <class T>
using watched_spsc = spsc_queue<T, millrace::use_sync<watching_sync>>;

#define ALL_QUEUES mpmc_queue<int>, mpmc_queue<block>, spsc_queue<int>, spsc_queue<block>
#define ALL_WATCHED watched_mpmc<int>, watched_mpmc<block>, watched_spsc<int>, watched_spsc<block>

template <class Queue, class Clock = std::chrono::steady_clock>
using channel_over = channel<typename Queue::value_type, Queue, Clock>;

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

// ---- closing

TEMPLATE_TEST_CASE("close: idempotent, refuses pushes, lets pops drain", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  const int before = GENERATE(0, 1, 3, 4);
  const int popped = GENERATE(0, 1);
  channel_over<TestType> ch(4);
  for (int i = 0; i < before; ++i) REQUIRE(ch.push(make<T>(i)) == outcome::ok);
  for (int i = 0; i < std::min(popped, before); ++i) REQUIRE(ch.try_pop().has_value());
  CHECK_FALSE(ch.is_closed());
  ch.close();
  ch.close();
  CHECK(ch.is_closed());
  const T v = make<T>(99);
  CHECK(ch.push(v) == outcome::closed);
  CHECK(ch.try_push(v) == outcome::closed);
  T out = make<T>(77);
  for (int i = std::min(popped, before); i < before; ++i) {
    CHECK(ch.try_push(v) == outcome::closed);  // room does not reopen it
    REQUIRE(ch.pop(out) == outcome::ok);
    CHECK(number(out) == i);
  }
  ch.close();
  out = make<T>(77);
  CHECK(ch.pop(out) == outcome::closed);
  CHECK(ch.pop_for(out, 1h) == outcome::closed);
  CHECK(ch.pop_for(out, -1h) == outcome::closed);
  CHECK(ch.pop_until(out, std::chrono::steady_clock::time_point::max()) == outcome::closed);
  CHECK(ch.try_pop(out) == outcome::closed);
  CHECK(number(out) == 77);
  CHECK_FALSE(ch.pop().has_value());
  CHECK_FALSE(ch.try_pop().has_value());
  CHECK(ch.pop_n(&out, 1) == 0);
  CHECK(ch.push(v) == outcome::closed);
}

TEST_CASE("close wakes every sleeper on the empty side") {
  const watchdog guard("sleepers in pop");
  watching_sync::reset();
  channel_over<watched_mpmc<int>> ch(4);
  std::vector<std::thread> sleepers;
  std::atomic<int> closed{0};
  for (int i = 0; i < 3; ++i) {
    sleepers.emplace_back([&] { closed += !ch.pop().has_value(); });
    sleepers.emplace_back([&] {
      int out = 0;
      closed += ch.pop_for(out, 24h) == outcome::closed;
    });
    sleepers.emplace_back([&] {
      int out[4];
      closed += ch.pop_n(out, 4) == 0;
    });
  }
  watching_sync::await_parked(9);
  ch.close();
  for (auto& t : sleepers) t.join();
  CHECK(closed == 9);
}

TEST_CASE("close wakes every sleeper on the full side, and what they hold stays theirs") {
  const watchdog guard("sleepers in push");
  watching_sync::reset();
  channel_over<watched_mpmc<std::string>> ch(2);
  REQUIRE(ch.push("a") == outcome::ok);
  REQUIRE(ch.push("b") == outcome::ok);
  std::vector<std::thread> sleepers;
  std::atomic<int> closed{0};
  for (int i = 0; i < 6; ++i) {
    sleepers.emplace_back([&, i] {
      std::string v = make<std::string>(i);
      const outcome result = i % 2 == 0 ? ch.push(std::move(v)) : ch.push_for(std::move(v), 24h);
      closed += result == outcome::closed && number(v) == i;
    });
  }
  watching_sync::await_parked(6);
  ch.close();
  for (auto& t : sleepers) t.join();
  CHECK(closed == 6);
  CHECK(ch.pop() == "a");
  CHECK(ch.pop() == "b");
  CHECK_FALSE(ch.pop().has_value());
}

TEMPLATE_TEST_CASE("the end reaches everybody: the last value goes to one, and the others do not stay asleep",
                   "", watched_mpmc<int>, watched_mpmc<block>) {
  const watchdog guard("the last value");
  using T = typename TestType::value_type;
  for (int round = 0; round < 300; ++round) {
    watching_sync::reset();
    channel_over<TestType> ch(4);
    std::atomic<int> got{0};
    std::atomic<int> ended{0};
    std::vector<std::thread> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.emplace_back([&] {
        while (ch.pop().has_value()) ++got;
        ++ended;
      });
    }
    watching_sync::await_parked(4);
    std::barrier start(2);
    bool accepted = false;
    std::thread producer([&] {
      start.arrive_and_wait();
      accepted = ch.push(make<T>(1)) == outcome::ok;
    });
    start.arrive_and_wait();
    ch.close();
    producer.join();
    for (auto& t : sleepers) t.join();
    REQUIRE(got == (accepted ? 1 : 0));
    REQUIRE(ended == 4);
  }
}

TEMPLATE_TEST_CASE("close races push and pop: what was accepted is popped once, the rest is refused", "",
                   mpmc_queue<int>, mpmc_queue<block>, mpmc_queue<std::unique_ptr<int>>, watched_mpmc<int>,
                   watched_mpmc<block>) {
  const watchdog guard("close against push and pop");
  watching_sync::reset();
  using T = typename TestType::value_type;
  constexpr int producers = 2;
  constexpr int consumers = 2;
  constexpr int most = 60;
  int accepted_in_all = 0;
  int refused_in_all = 0;
  for (int round = 0; round < 400; ++round) {
    channel_over<TestType> ch(static_cast<std::size_t>(1 + round % 8));
    std::barrier start(producers + consumers + 1);
    std::vector<std::atomic<int>> accepted(producers * most);
    std::vector<std::atomic<int>> popped(producers * most);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int p = 0; p < producers; ++p) {
      threads.emplace_back([&, p] {
        start.arrive_and_wait();
        for (int i = p * most; i < (p + 1) * most; ++i) {
          T v = make<T>(i);
          const outcome result = i % 3 == 0 ? ch.try_push(std::move(v)) : ch.push(std::move(v));
          if (result == outcome::ok) ++accepted[static_cast<std::size_t>(i)];
          if (result != outcome::ok && number(v) != i) ++wrong;
          if (result == outcome::closed && !ch.is_closed() && ch.try_push(std::move(v)) != outcome::closed)
            ++wrong;
        }
      });
    }
    for (int c = 0; c < consumers; ++c) {
      threads.emplace_back([&, c] {
        start.arrive_and_wait();
        std::vector<T> some;
        for (;;) {
          some.clear();
          if (c == 0) {
            if (ch.pop_n(std::back_inserter(some), 3) == 0) break;
          } else {
            auto v = ch.pop();
            if (!v.has_value()) break;
            some.push_back(std::move(*v));
          }
          for (const T& v : some) ++popped[static_cast<std::size_t>(number(v))];
        }
        if (ch.try_pop().has_value()) ++wrong;  // `closed` is final
      });
    }
    start.arrive_and_wait();
    for (int i = 0; i < round * 7 % 400; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    if (round % 3 == 0) std::this_thread::yield();
    ch.close();
    for (auto& t : threads) t.join();
    REQUIRE(wrong == 0);
    for (std::size_t i = 0; i < accepted.size(); ++i) {
      REQUIRE(popped[i] == accepted[i]);
      (accepted[i] == 1 ? accepted_in_all : refused_in_all) += 1;
    }
  }
  CHECK(accepted_in_all > 0);  // both sides of the race have been seen
  CHECK(refused_in_all > 0);
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

// ---- exceptions

TEST_CASE("a throwing move in a pop: the sleeping producer gets the place") {
  const watchdog guard("a throw in pop");
  instances::reset();
  {
    watching_sync::reset();
    channel_over<watched_mpmc<support::copied>> ch(2);
    REQUIRE(ch.push(support::copied(1)) == outcome::ok);
    REQUIRE(ch.push(support::copied(2)) == outcome::ok);
    outcome result{};
    std::thread producer([&] { result = ch.push(support::copied(3)); });
    watching_sync::await_parked(1);
    instances::throw_at(1);
    CHECK_THROWS_AS(ch.pop(), support::thrown);
    producer.join();
    CHECK(result == outcome::ok);
    CHECK(drain(ch) == ints{2, 3});
  }
  CHECK(instances::live == 0);
}

TEST_CASE("a throwing copy in a push: sleepers on both sides get what is theirs") {
  const watchdog guard("a throw in push");
  instances::reset();
  {
    watching_sync::reset();
    channel_over<watched_mpmc<support::copied>> ch(2);
    int got = 0;
    std::thread consumer([&] { got = ch.pop()->value(); });
    watching_sync::await_parked(1);
    const support::copied v(1);
    for (int i = 0; i < 5; ++i) {
      instances::throw_at(1);
      CHECK_THROWS_AS(ch.push(v), support::thrown);
    }
    REQUIRE(ch.push(v) == outcome::ok);
    consumer.join();
    CHECK(got == 1);
  }
  CHECK(instances::live == 0);
}

TEST_CASE("a sleeping producer whose turn ends in a throw is out of line, and the next one's turn comes") {
  const watchdog guard("a throw after the wake-up");
  watching_sync::reset();
  channel_over<watched_mpmc<support::hooked>> ch(2);
  REQUIRE(ch.push(support::hooked(1)) == outcome::ok);
  REQUIRE(ch.push(support::hooked(2)) == outcome::ok);
  bool threw = false;
  std::thread first([&] {
    try {
      static_cast<void>(ch.push(support::hooked(3, [](int) { throw support::thrown(); })));
    } catch (const support::thrown&) {
      threw = true;
    }
  });
  watching_sync::await_parked(1);
  outcome result{};
  std::thread second([&] { result = ch.push(support::hooked(4)); });
  watching_sync::await_parked(2);
  CHECK(ch.try_pop()->value() == 1);  // one place, and the first in line throws
  first.join();
  CHECK(threw);
  CHECK(ch.try_pop()->value() == 2);
  second.join();
  CHECK(result == outcome::ok);
  CHECK(drain(ch) == ints{4});
}

TEST_CASE("a producer whose push throws after its sleep leaves the line in order") {
  const watchdog guard("a throw after the announcement");
  manual_clock time;
  channel<support::hooked, mpmc_queue<support::hooked>, manual_clock> ch(2, time);
  REQUIRE(ch.push(support::hooked(1)) == outcome::ok);
  REQUIRE(ch.push(support::hooked(2)) == outcome::ok);
  for (int round = 0; round < 4; ++round) {
    bool threw = false;
    std::thread producer([&] {
      try {
        static_cast<void>(ch.push_for(support::hooked(3, [](int) { throw support::thrown(); }), 1h));
      } catch (const support::thrown&) {
        threw = true;
      }
    });
    time.await_waiters(1);
    CHECK(ch.try_pop()->value() == 1);
    producer.join();
    CHECK(threw);
    CHECK(drain(ch) == ints{2});
    REQUIRE(ch.push(support::hooked(1)) == outcome::ok);
    REQUIRE(ch.push(support::hooked(2)) == outcome::ok);
  }
  CHECK(drain(ch) == ints{1, 2});
}

TEST_CASE("room made by a consumer that only passed a stalled position is told to producers") {
  const watchdog guard("room without a pop");
  watching_sync::reset();
  channel_over<watched_mpmc<support::hooked>> ch(2);
  std::atomic<bool> stalled{false};
  std::atomic<bool> go_on{false};
  outcome late{};
  std::thread slow([&] {
    late = ch.push(support::hooked(1, [&](int move) {
      if (move != 1) return;
      stalled = true;
      stalled.notify_one();
      go_on.wait(false);
    }));
  });
  stalled.wait(false);
  // The second position is spoilt by an exception, so the ring is full to producers and holds nothing.
  CHECK_THROWS_AS(ch.push(support::hooked(2, [](int) { throw support::thrown(); })), support::thrown);
  outcome result{};
  std::thread producer([&] { result = ch.push(support::hooked(3)); });
  watching_sync::await_parked(1);
  CHECK(ch.pop()->value() == 3);  // sleeps, after it has told the producer of the place
  producer.join();
  CHECK(result == outcome::ok);
  go_on = true;
  go_on.notify_one();
  slow.join();
  CHECK(late == outcome::ok);
  CHECK(drain(ch) == ints{1});
}

// ---- crowds

TEMPLATE_TEST_CASE("thirty-two threads, few places: everything arrives, everybody gets on", "",
                   mpmc_queue<int>, mpmc_queue<block>) {
  const watchdog guard("thirty-two threads");
  using T = typename TestType::value_type;
  constexpr int side = 16;
  constexpr int each = 2000;
  channel_over<TestType> ch(4);
  std::vector<std::atomic<int>> popped(side * each);
  std::vector<std::thread> producers;
  std::vector<std::thread> consumers;
  for (int t = 0; t < side; ++t) {
    producers.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        if (ch.push(make<T>(t * each + i)) != outcome::ok) return;
      }
    });
    consumers.emplace_back([&] {
      for (const T& v : ch) ++popped[static_cast<std::size_t>(number(v))];
    });
  }
  for (auto& t : producers) t.join();
  ch.close();
  for (auto& t : consumers) t.join();
  CHECK(std::ranges::count_if(popped, [](const auto& times) { return times == 1; }) == side * each);
}

TEST_CASE("a sleeper's turn comes: nobody starves beside a greedy thread") {
  const watchdog guard("fairness");
  channel<int> ch(4);
  std::atomic<bool> stop{false};
  // Greedy: pushes without end. Modest: four threads that each want a few values through.
  std::thread greedy([&] {
    while (!stop) static_cast<void>(ch.push(0));
  });
  std::atomic<int> finished{0};
  std::vector<std::thread> modest;
  for (int t = 1; t <= 4; ++t) {
    modest.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) static_cast<void>(ch.push(t));
      ++finished;
    });
  }
  int seen[5] = {};
  while (finished != 4 || ch.size_approx() != 0) {
    if (auto v = ch.try_pop()) ++seen[*v];
    if (finished == 4) stop = true;
  }
  for (auto& t : modest) t.join();
  ch.close();
  greedy.join();
  while (auto v = ch.try_pop()) ++seen[*v];
  for (int t = 1; t <= 4; ++t) CHECK(seen[t] == 50);
}

TEMPLATE_TEST_CASE("one producer, one consumer over an spsc_queue, asleep and awake", "", spsc_queue<int>,
                   watched_spsc<int>, spsc_queue<std::unique_ptr<int>>) {
  const watchdog guard("channel over spsc_queue");
  watching_sync::reset();
  using T = typename TestType::value_type;
  constexpr int n = 30'000;
  channel_over<TestType> ch(2);
  int next = 0;
  bool in_order = true;
  std::thread consumer([&] {
    for (const T& v : ch) in_order = in_order && number(v) == next++;
  });
  for (int i = 0; i < n; ++i) REQUIRE(ch.push(make<T>(i)) == outcome::ok);
  ch.close();
  consumer.join();
  CHECK(in_order);
  CHECK(next == n);
}

TEST_CASE("close against a push over an spsc_queue: refused with its value, or popped") {
  const watchdog guard("close against spsc push");
  std::optional<channel<std::string, spsc_queue<std::string>>> ch;
  std::barrier turn(2);
  bool more = true;
  bool ok = false;
  bool kept = false;
  const auto linger = [](int n) {
    if (n % 3 == 0) std::this_thread::yield();
    for (int i = 0; i < n % 128; ++i) millrace::std_sync::pause();
  };
  std::thread producer([&] {
    for (int round = 0;; ++round) {
      std::string v = make<std::string>(round);
      turn.arrive_and_wait();
      if (!more) return;
      linger(round * 7);
      ok = ch->push(std::move(v)) == outcome::ok;
      kept = number(v) == round;
      turn.arrive_and_wait();
    }
  });
  int accepted = 0;
  int refused = 0;
  int wrong = 0;
  // Until both have been seen often.
  while (accepted < 200 || refused < 200) {
    ch.emplace(std::size_t{2});
    turn.arrive_and_wait();
    linger((accepted + refused) * 11);
    ch->close();
    turn.arrive_and_wait();
    wrong += ch->pop().has_value() != ok || kept == ok;
    ++(ok ? accepted : refused);
  }
  more = false;
  turn.arrive_and_wait();
  producer.join();
  CHECK(wrong == 0);
}

// ---- watermarks

namespace {
template <class Queue>
using channel_with_levels = channel<typename Queue::value_type, Queue>;

template <class Channel>
std::unique_ptr<Channel> open_channel() {
  if constexpr (Channel::queue_type::is_bounded) {
    return std::make_unique<Channel>(64);
  } else {
    return std::make_unique<Channel>();
  }
}
}  // namespace

TEMPLATE_TEST_CASE("watermarks: told at the high mark, and not again before the low one", "", ALL_QUEUES,
                   unbounded_queue<int>, unbounded_queue<block>) {
  using T = typename TestType::value_type;
  const auto ch = open_channel<channel_with_levels<TestType>>();
  std::vector<bool> told;
  ch->watch_level({.high = 4, .low = 1}, [&](bool high) { told.push_back(high); });
  const auto push = [&](int n) {
    while (n-- > 0) REQUIRE(ch->push(make<T>(n)) == outcome::ok);
  };
  const auto pop = [&](int n) {
    while (n-- > 0) REQUIRE(ch->try_pop());
  };
  using calls = std::vector<bool>;
  push(3);
  CHECK(told.empty());
  push(1);
  CHECK(told == calls{true});
  push(10);
  pop(12);
  CHECK(told == calls{true});  // two are left
  push(5);
  CHECK(told == calls{true});
  pop(6);
  CHECK(told == calls{true, false});
  push(2);
  pop(3);
  CHECK_FALSE(ch->try_pop());
  CHECK(told == calls{true, false});
  push(4);
  CHECK(told == calls{true, false, true});
  ch->close();
  CHECK(ch->push(make<T>(1)) == outcome::closed);
  pop(4);
  CHECK(told == calls{true, false, true, false});
}

TEST_CASE("watermarks: what is refused or dropped does not count, nor what throws") {
  instances::reset();
  std::vector<bool> told;
  const auto note = [&](bool high) { told.push_back(high); };
  {
    const overflow policy = GENERATE(overflow::fail, overflow::drop_newest, overflow::drop_oldest);
    channel<support::steady> ch(4, policy);
    ch.watch_level({.high = 4, .low = 0}, note);
    for (int i = 0; i < 3; ++i) REQUIRE(ch.push(support::steady(i)) == outcome::ok);
    const support::steady bad(7);
    instances::throw_at(1);
    CHECK_THROWS_AS(ch.push(bad), support::thrown);
    CHECK(told.empty());
    for (int i = 0; i < 10; ++i) static_cast<void>(ch.push(support::steady(i)));
    for (int left = 4; left > 0; --left) {
      CHECK(told == std::vector<bool>{true});
      CHECK(ch.try_pop());
    }
    CHECK(told == std::vector<bool>{true, false});
  }
  told.clear();
  {
    channel<support::copied> ch(2);
    ch.watch_level({.high = 2, .low = 1}, note);
    for (int i = 0; i < 2; ++i) REQUIRE(ch.push(support::copied(i)) == outcome::ok);
    instances::throw_at(1);
    CHECK_THROWS_AS(ch.try_pop(), support::thrown);  // it is lost, as pops of such types say
    CHECK(drain(ch) == ints{1});
    CHECK(told == std::vector<bool>{true, false});
  }
  CHECK(instances::live == 0);
}

TEST_CASE("watermarks that make no sense are refused") {
  channel<int> ch(64);
  const auto refusal = [&](millrace::watermarks m) -> std::string {
    try {
      ch.watch_level(m, [](bool) {});
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(refusal({.high = 0, .low = 0}) == "channel::watch_level: marks.low must be 0 to marks.high - 1");
  CHECK(refusal({.high = 4, .low = 4}) == "channel::watch_level: marks.low must be 0 to marks.high - 1");
  CHECK(refusal({.high = 65, .low = 4}) == "channel::watch_level: marks.high must be 1 to capacity()");
  CHECK(refusal({.high = 64, .low = 63}) == "accepted");
}

TEST_CASE("watermarks under threads: one call at a time, in turns, and the last one tells what holds") {
  const watchdog guard("watermarks under threads");
  for (int round = 0; round < 20; ++round) {
    channel<int, unbounded_queue<int>> ch;
    std::atomic<int> inside{0};
    bool high_now = false;
    int wrong = 0;
    ch.watch_level({.high = 8, .low = 2}, [&](bool high) {
      if (inside.fetch_add(1) != 0 || high == high_now) ++wrong;
      high_now = high;
      inside.fetch_sub(1);
    });
    std::vector<std::thread> threads;
    constexpr int each = 5000;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) static_cast<void>(ch.push(i + 0));
      });
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) static_cast<void>(ch.pop());
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
    CHECK_FALSE(high_now);
    for (int i = 0; i < 8; ++i) CHECK(ch.push(i + 0) == outcome::ok);
    CHECK(high_now);
  }
}
