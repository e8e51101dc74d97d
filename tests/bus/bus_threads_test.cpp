// What threads can break: the bus's own workers, topics and subscriptions made beside each other, a stop in the middle of it all.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/bus/bus.hpp"
#include "millrace/bus/subject.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/executor.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/no_threads.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using Catch::Contains;
using millrace::bus;
using millrace::outcome;
using support::watchdog;
using steady = std::chrono::steady_clock;
using code = absl::StatusCode;

constexpr auto never = steady::time_point::max();

}  // namespace

TEST_CASE("handlers run in the bus's threads, timers too, and a drain waits for all of it") {
  const watchdog guard("bus, workers");
  bus b({.workers = 2});
  std::mutex mutex;
  std::set<std::thread::id> who;
  std::atomic<int> failed{0};
  std::atomic<int> done{0};
  REQUIRE(b.subscribe<int>(
               "a.*", "g",
               {.workers = 2, .group = [](auto& g) { g.retry = millrace::retry_policy::fixed(2ms, 5); }},
               [&](const int& v) {
                 {
                   const std::lock_guard lock(mutex);
                   who.insert(std::this_thread::get_id());
                 }
                 if (v % 10 == 0 && failed.fetch_add(1) < 10) throw std::runtime_error("at first");
                 done.fetch_add(1);
               })
              .ok());
  const auto t = *b.topic<int>("a.b");
  REQUIRE(b.start().ok());
  for (int v = 0; v < 200; ++v) REQUIRE(t->publish(v) == outcome::ok);
  CHECK(b.drain(never).ok());
  CHECK(done == 200);
  CHECK(failed == 30);
  CHECK(who.size() <= 2);
  CHECK(who.count(std::this_thread::get_id()) == 0);
  CHECK(t.publish_after(5ms, 1));
  while (done != 201) std::this_thread::yield();
  b.stop();
}

TEST_CASE(
    "four publish while topics and subscriptions are made: each topic has each group once, and nothing is "
    "lost") {
  const watchdog guard("bus, all beside each other");
  constexpr int publishers = 4;
  constexpr int topics = 12;
  constexpr int each = SUPPORT_SANITIZED ? 300 : 3000;
  const char* const patterns[] = {">", "t.*", "*.1", "t.3", "t.>", "u.*"};
  for (int round = 0; round < 3; ++round) {
    bus b({.workers = 2});
    std::atomic<std::uint64_t> by_first{0};
    REQUIRE(
        b.subscribe<int>("t.*", "first", {.workers = 2}, [&](const int&) { by_first.fetch_add(1); }).ok());
    if (round != 0) REQUIRE(b.start().ok());
    std::latch go(publishers + 3);
    std::atomic<int> errors{0};
    std::vector<std::thread> threads;
    for (int p = 0; p < publishers; ++p) {
      threads.emplace_back([&, p] {
        go.arrive_and_wait();
        for (int i = 0; i < each; ++i) {
          const auto t = b.topic<int>("t." + std::to_string((i * 7 + p) % topics), {.capacity = 256});
          errors += !t.ok() || (*t)->publish(i) != outcome::ok;
        }
      });
    }
    for (int half = 0; half < 2; ++half) {
      threads.emplace_back([&, half] {
        go.arrive_and_wait();
        for (std::size_t i = std::size_t(half); i < std::size(patterns); i += 2) {
          errors += !b.subscribe<int>(patterns[i], "late" + std::to_string(i), [](const int&) {}).ok();
          std::this_thread::yield();
        }
      });
    }
    threads.emplace_back([&] {
      go.arrive_and_wait();
      if (round == 0) errors += !b.start().ok();
      for (int i = 0; i < 20; ++i) errors += b.describe().empty();
    });
    for (std::thread& t : threads) t.join();
    CHECK(errors == 0);
    CHECK(b.drain(never).ok());
    CHECK(by_first == publishers * each);
    const auto info = b.snapshot();
    CHECK(info.topics.size() == topics);
    CHECK(info.subscriptions.size() == 1 + std::size(patterns));
    for (const auto& t : info.topics) {
      std::multiset<std::string> found;
      std::multiset<std::string> expected{"first"};
      for (const auto& g : t.groups) found.insert(g.name);
      for (std::size_t i = 0; i < std::size(patterns); ++i) {
        if (millrace::matches(patterns[i], t.name)) expected.insert("late" + std::to_string(i));
      }
      CHECK(found == expected);
      for (const auto& g : t.groups) CHECK(unsettled(g.stats) == 0);
    }
  }
}

TEST_CASE(
    "a topic and a subscription that are made beside each other find each other, whichever takes longer") {
  const watchdog guard("bus, one in the middle of the other");
  // The group function is called once when it is given, and then while the group of a topic is being made: there it stands.
  int calls = 0;
  std::latch is_there(1);
  std::latch may_go_on(1);
  const auto slowly = [&](auto&) {
    if (++calls != 2) return;
    is_there.count_down();
    may_go_on.wait();
  };
  std::atomic<int> by_slow{0};
  std::atomic<int> by_other{0};
  bus b({.workers = 1});
  REQUIRE(b.start().ok());
  const auto subscribe_slow = [&] {
    return b.subscribe<int>("t.*", "slow", {.group = slowly}, [&](const int&) { ++by_slow; }).ok();
  };
  std::atomic<bool> is_ok{false};
  const auto publish = [&](const char* name) { return (*b.topic<int>(name))->publish(1) == outcome::ok; };

  SECTION("a subscription comes while a topic gets its groups") {
    REQUIRE(subscribe_slow());
    std::thread maker([&] { is_ok = b.topic<int>("t.1").ok(); });
    is_there.wait();
    REQUIRE(b.subscribe<int>("t.>", "other", [&](const int&) { ++by_other; }).ok());
    may_go_on.count_down();
    maker.join();
    CHECK(is_ok);
    REQUIRE(publish("t.1"));
    CHECK(b.drain(never).ok());
    CHECK(by_slow == 1);
    CHECK(by_other == 1);
  }
  SECTION("a topic comes while a subscription gets those that there are") {
    REQUIRE(b.topic<int>("t.1").ok());
    std::thread subscriber([&] { is_ok = subscribe_slow(); });
    is_there.wait();
    REQUIRE(b.topic<int>("t.2").ok());
    may_go_on.count_down();
    subscriber.join();
    CHECK(is_ok);
    REQUIRE(publish("t.1"));
    REQUIRE(publish("t.2"));
    CHECK(b.drain(never).ok());
    CHECK(by_slow == 2);
  }
  CHECK(calls >= 2);
}

TEST_CASE("threads that make one topic get one, and threads that want one group's pattern: one of them") {
  const watchdog guard("bus, one of each");
  for (int round = 0; round < 30; ++round) {
    bus b({.workers = 1});
    std::atomic<int> handled{0};
    std::atomic<int> won{0};
    std::atomic<int> refused{0};
    REQUIRE(b.topic<int>("t.0").ok());
    REQUIRE(b.start().ok());
    std::latch go(4);
    std::optional<millrace::named_topic<int>> got[4];
    std::vector<std::thread> threads;
    for (auto& mine : got) {
      threads.emplace_back([&] {
        go.arrive_and_wait();
        const absl::Status s = b.subscribe<int>("t.*", "g", [&](const int&) { handled.fetch_add(1); });
        (s.ok() ? won : refused) += s.ok() || s.code() == code::kAlreadyExists;
        mine = *b.topic<int>("t.1");
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(won == 1);
    CHECK(refused == 3);
    for (const auto& t : got) CHECK(*t == *got[0]);
    for (const char* const name : {"t.0", "t.1"}) CHECK((*b.topic<int>(name))->publish(1) == outcome::ok);
    CHECK(b.drain(never).ok());
    CHECK(handled == 2);
  }
}

TEST_CASE("a start that finds no thread, or no memory for one, has started nothing, and may be tried again") {
  const watchdog guard("bus, no threads", 20s);
  std::atomic<int> handled{0};
  bus b({.workers = 3});
  REQUIRE(b.subscribe<int>("a.*", "g", [&](const int&) { handled.fetch_add(1); }).ok());
  const auto t = *b.topic<int>("a.b");
  CHECK(t->publish(1) == outcome::ok);
  if constexpr (support::threads_can_be_refused) {
    const support::no_threads none;
    CHECK_THROWS_AS(b.start(), std::system_error);
  }
  if constexpr (support::allocations_can_be_refused) {
    const long before = support::allocations;
    {
      const millrace::thread_executor workers(3);
    }
    const long of_workers = support::allocations - before;
    for (long n = 1; n <= of_workers + 1; ++n) {  // one more is for the timers' thread
      support::allocation_to_refuse = n;
      CHECK_THROWS_AS(b.start(), std::bad_alloc);
    }
  }
  CHECK(b.snapshot().state == millrace::bus_state::made);
  CHECK(handled == 0);
  REQUIRE(b.start().ok());
  CHECK(b.drain(never).ok());
  CHECK(handled == 1);
}

TEST_CASE("started and stopped a thousand times") {
  const watchdog guard("bus, a thousand");
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) {
    std::atomic<int> handled{0};  // outlives the bus, whose handlers may still run
    bus b({.workers = 1 + std::size_t(i) % 2});
    wrong += !b.subscribe<int>("a.*", "g", {.dead_letters = "lost"}, [&](const int&) {
                 handled.fetch_add(1);
               }).ok();
    const auto t = b.topic<int>("a.b");
    wrong += !t.ok() || !b.start().ok();
    for (int v = 0; v < 3; ++v) wrong += (*t)->publish(v) != outcome::ok;
    if (i % 4 < 2) {
      wrong += !b.drain(never).ok();
      wrong += handled != 3;
    }
    if (i % 3 == 0) {
      b.stop();
      wrong += handled + int(unsettled(b.snapshot())) != 3;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE(
    "a stop in the middle: publishers are told closed, a handler that waits for room goes on, nothing runs "
    "afterwards") {
  const watchdog guard("bus, stop");
  for (int round = 0; round < 30; ++round) {
    millrace::thread_executor hosts(2);
    std::atomic<bool> is_over{false};
    std::atomic<int> too_late{0};
    std::atomic<int> handled{0};
    {
      const bool own = round % 2 == 0;
      bus b(own ? millrace::bus_options{.workers = 2} : millrace::bus_options{.executor = &hosts});
      const auto narrow = *b.topic<int>("narrow", {.capacity = 4, .log = {.segment = 2}});
      auto stuck = narrow->subscribe();  // reads nothing
      REQUIRE(b.subscribe<int>("in.*", "g", {.workers = 2}, [&](const int& v) {
                 too_late += is_over;
                 handled.fetch_add(1);
                 static_cast<void>(narrow->publish(v));
               }).ok());
      const auto in = *b.topic<int>("in.1", {.capacity = 64});
      REQUIRE(b.start().ok());
      if (!own) b.timers().start();
      std::vector<std::thread> publishers;
      std::atomic<int> closed{0};
      for (int p = 0; p < 2; ++p) {
        publishers.emplace_back([&] {
          while (in->publish(1) == outcome::ok) {
          }
          ++closed;
        });
      }
      while (handled < 5) std::this_thread::yield();
      std::thread other([&] { b.stop(); });
      b.stop();
      is_over = true;
      for (std::thread& p : publishers) p.join();
      other.join();
      CHECK(closed == 2);
      const auto info = b.snapshot();
      CHECK(info.topics[1].groups[0].stats.in_flight == 0);
      CHECK(info.topics[1].groups[0].stats.acked == std::uint64_t(handled));
    }
    CHECK(too_late == 0);
  }
}

TEST_CASE("a drain goes on when a delivery that was kept is settled elsewhere") {
  const watchdog guard("bus, kept");
  bus b({.workers = 1});
  std::mutex mutex;
  std::vector<millrace::delivery<int>> kept;
  std::atomic<int> taken{0};
  REQUIRE(b.subscribe<int>("t", "g", [&](millrace::delivery<int>& d) {
             const std::lock_guard lock(mutex);
             kept.push_back(std::move(d));
             ++taken;
           }).ok());
  REQUIRE(b.start().ok());
  for (int v = 0; v < 3; ++v) REQUIRE((*b.topic<int>("t"))->publish(v) == outcome::ok);
  while (taken != 3) std::this_thread::yield();
  const absl::Status early = b.drain(steady::now());
  CHECK(early.code() == code::kDeadlineExceeded);
  CHECK_THAT(std::string(early.message()), Contains("in flight 3"));
  std::latch drains(1);
  std::thread acks([&] {
    drains.wait();
    std::vector<millrace::delivery<int>> mine;
    {
      const std::lock_guard lock(mutex);
      mine.swap(kept);
    }
    for (auto& d : mine) d.ack();
  });
  drains.count_down();
  CHECK(b.drain(never).ok());
  acks.join();
}

TEST_CASE("a drain follows what handlers publish, however far it goes") {
  const watchdog guard("bus, cascade");
  constexpr int stages = 20;
  constexpr int messages = SUPPORT_SANITIZED ? 20 : 200;
  for (int round = 0; round < 10; ++round) {
    bus b({.workers = 2});
    std::atomic<int> arrived{0};
    // Later stages are looked at first.
    REQUIRE(
        b.subscribe<int>("s." + std::to_string(stages), "g", [&](const int&) { arrived.fetch_add(1); }).ok());
    REQUIRE(b.topic<int>("s." + std::to_string(stages)).ok());
    for (int s = stages; s-- > 0;) {
      const auto next = *b.topic<int>("s." + std::to_string(s + 1));
      REQUIRE(b.topic<int>("s." + std::to_string(s)).ok());
      REQUIRE(b.subscribe<int>("s." + std::to_string(s), "g", [next](const int& v) {
                 static_cast<void>(next->publish(v));
               }).ok());
    }
    REQUIRE(b.start().ok());
    const auto first = *b.topic<int>("s.0");
    for (int v = 0; v < messages; ++v) REQUIRE(first->publish(v) == outcome::ok);
    REQUIRE(b.drain(never).ok());
    REQUIRE(arrived == messages);
  }
}

TEST_CASE("a drain ends at its deadline, by the bus's clock, and when the bus is stopped") {
  const watchdog guard("bus, the end of a drain");
  millrace::manual_clock clock;
  millrace::basic_bus<millrace::manual_clock> b(clock, {.name = "shop", .workers = 1});
  REQUIRE(b.subscribe<int>("t", "g", {.group = [](auto& g) { g.retry.first = 10s; }}, [](const int& v) {
             if (v == 1) throw std::runtime_error("always");
           }).ok());
  const auto t = *b.topic<int>("t");
  REQUIRE(b.start().ok());
  REQUIRE(t->publish(1) == outcome::ok);
  while (b.snapshot().topics[0].groups[0].stats.waiting == 0) std::this_thread::yield();

  absl::Status ended;
  std::thread drains([&] { ended = b.drain(clock.now() + 5s); });
  clock.await_waiters(2);  // who drains, and the timers
  clock.advance(5s);
  drains.join();
  CHECK(ended.code() == code::kDeadlineExceeded);
  CHECK_THAT(std::string(ended.message()), Contains("waiting 1"));

  std::latch begins(1);
  std::thread waits([&] {
    begins.count_down();
    ended = b.drain(decltype(clock)::time_point::max());
  });
  begins.wait();
  b.stop();
  waits.join();
  CHECK(ended.code() == code::kFailedPrecondition);
  CHECK_THAT(std::string(ended.message()), Contains("it does not run; group \"g\" on \"t\" has 1 left"));
}
