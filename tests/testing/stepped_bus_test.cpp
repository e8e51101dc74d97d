#include "millrace/testing/stepped_bus.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/rate_limiter.hpp"
#include "millrace/testing/leak_check.hpp"
#include "millrace/testing/scripted.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::delivery;
using millrace::manual_clock;
using millrace::outcome;
using millrace::retry_policy;
using millrace::testing::expect_all_settled;
using millrace::testing::scripted;
using millrace::testing::stepped_bus;
using options = millrace::subscribe_options<int, manual_clock>;
using topic_of_int = millrace::named_topic<int, manual_clock>;

long ms(const stepped_bus::bus_type::time_point t) { return static_cast<long>(t.time_since_epoch() / 1ms); }

TEST_CASE("nothing happens but by steps, in the test's own thread") {
  stepped_bus t;
  std::vector<std::pair<int, std::thread::id>> seen;
  REQUIRE(t->subscribe<int>("n", "g", [&](int n) { seen.emplace_back(n, std::this_thread::get_id()); }).ok());
  t.run_until_idle();
  auto n = t->topic<int>("n").value();
  t.run_until_idle();
  REQUIRE(n->publish(1) == outcome::ok);
  CHECK(seen.empty());
  CHECK(t.step());
  CHECK(seen == decltype(seen){{1, std::this_thread::get_id()}});
  t.run_until_idle();
  CHECK(seen.size() == 1);
  CHECK_FALSE(t.step());
  CHECK(t.run_until_idle() == 0);
  CHECK(t->snapshot().state == millrace::bus_state::running);
  CHECK(t->start().ok());
  CHECK(t->drain(t.clock().now()).ok());
}

#if defined(__linux__)
TEST_CASE("no thread is started") {
  const auto threads = [] {
    namespace fs = std::filesystem;
    return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
  };
  const auto before = threads();
  std::ptrdiff_t most = 0;
  {
    stepped_bus t(1);
    scripted<int> stub(t->timers());
    stub.then_fail("down", 3).then_stall(5s).then_throttle(1s);
    REQUIRE(t->subscribe<int>("*", "g", options{.workers = 8}, stub).ok());
    auto n = t->topic<int>("n").value();
    for (int i = 0; i < 10; ++i) static_cast<void>(n.publish_after(i * 10s, i));
    while (t.clock().now().time_since_epoch() < 2min) {
      t.advance(1s);
      most = std::max(most, threads());
    }
    CHECK(stub.calls().size() == 14);
  }
  CHECK(most == before);
  CHECK(threads() == before);
}
#endif

TEST_CASE("a step is one task, or else one timer that is due") {
  stepped_bus t;
  std::string seen;
  t.post([&] { seen += 'a'; });
  t.post([&] {
    seen += 'b';
    t.post([&] { seen += 'd'; });
  });
  t.post([&] { seen += 'c'; });
  t->timers().schedule_after(1ms, [&] { seen += 'x'; });
  t->timers().schedule_after(1ms, [&] {
    seen += 'y';
    t.post([&] { seen += 'e'; });
  });
  t->timers().schedule_after(1ms, [&] { seen += 'z'; });
  t->timers().schedule_after(2ms, [&] { seen += '!'; });
  t.clock().advance(1ms);
  std::vector<std::string> after;
  while (t.step()) after.push_back(seen);
  CHECK(after ==
        std::vector<std::string>{"a", "ab", "abc", "abcd", "abcdx", "abcdxy", "abcdxye", "abcdxyez"});
  CHECK_FALSE(t.step());
  t.clock().advance(1ms);
  CHECK(t.step());
  CHECK(seen == "abcdxyez!");
}

TEST_CASE("advance lets everything happen at its own time") {
  stepped_bus t;
  std::vector<std::pair<long, std::string>> seen;
  const auto note = [&](std::string what) { seen.emplace_back(ms(t.clock().now()), std::move(what)); };
  int failures = 0;
  REQUIRE(t->subscribe<int>(
               "n", "g",
               options{.group = [](auto& g) { g.retry = {.first = 100ms, .factor = 3, .jitter = 0}; }},
               [&](int n) {
                 note(std::to_string(n));
                 if (n == 1 && failures++ < 2) throw std::runtime_error("down");
                 if (n == 1) static_cast<void>(t->topic<int>("n")->publish_after(50ms, 2));
               })
              .ok());
  auto n = t->topic<int>("n").value();
  REQUIRE(n->publish(1) == outcome::ok);
  static_cast<void>(n.publish_after(250ms, 3));
  t->timers().schedule_after(250ms, [&] { note("timer"); });
  t->timers().schedule_every(t.clock().now() + 200ms, 200ms, [&] { note("tick"); });

  t.advance(99ms);
  CHECK(seen == decltype(seen){{0, "1"}});
  CHECK(ms(t.clock().now()) == 99);
  t.advance(361ms);
  CHECK(seen == decltype(seen){{0, "1"},
                               {100, "1"},
                               {200, "tick"},
                               {250, "3"},
                               {250, "timer"},
                               {400, "tick"},
                               {400, "1"},
                               {450, "2"}});
  CHECK(ms(t.clock().now()) == 460);
  seen.clear();
  t.advance(0ms);
  CHECK(seen.empty());
  CHECK(t.advance(1min) == 300);
  CHECK(seen.size() == 300);
  CHECK(seen.back().first == 60'400);
  CHECK(t->timers().skipped() == 0);
}

TEST_CASE("a year without a deadline is no work") {
  stepped_bus t;
  CHECK(t.advance(24h * 365) == 0);
  CHECK(t.clock().now().time_since_epoch() == 24h * 365);
  int fired = 0;
  t->timers().schedule_after(24h * 365, [&] { ++fired; });
  CHECK(t.advance(24h * 365 - 1ms) == 0);
  CHECK(t.advance(1ms) == 1);
  CHECK(fired == 1);
}

// What a group waits for that no message announces: each at its time, though nobody polls.
TEST_CASE("pauses, limits, throttling, stalls and delays of a group are over in time") {
  stepped_bus t;
  std::vector<std::pair<long, int>> seen;
  millrace::rate_limiter<manual_clock> limit(t.clock(), 1, 1s);
  std::vector<delivery<int>> kept;
  REQUIRE(
      t->subscribe<int>("limited", "g", options{.group = [&](auto& g) { g.limiter = &limit; }}, [&](int n) {
         seen.emplace_back(ms(t.clock().now()), n);
       }).ok());
  REQUIRE(t->subscribe<int>("kept", "g", [&](delivery<int>& d) {
             seen.emplace_back(ms(t.clock().now()), *d);
             if (d.attempt() == 1) kept.push_back(std::move(d));
           }).ok());
  REQUIRE(t->subscribe<int>("throttled", "g", [&](delivery<int>& d) {
             seen.emplace_back(ms(t.clock().now()), *d);
             if (*d == 20 && seen.size() == 1) d.throttle(7s);
           }).ok());
  auto limited = t->topic<int>("limited").value();
  auto held = t->topic<int>("kept").value();
  auto throttled = t->topic<int>("throttled").value();
  const auto run = [&](std::chrono::nanoseconds by) {
    seen.clear();
    t.advance(by);
    return seen;
  };

  for (int i = 0; i < 3; ++i) REQUIRE(limited->publish(i) == outcome::ok);
  CHECK(run(10s) == decltype(seen){{0, 0}, {1000, 1}, {2000, 2}});

  REQUIRE(held->publish(10) == outcome::ok);
  CHECK(run(10s) == decltype(seen){{10'000, 10}});
  REQUIRE(kept.size() == 1);
  kept.front().nack(5s);  // by nobody whom the group's workers know of, while they are idle
  CHECK(run(10s) == decltype(seen){{25'000, 10}});

  REQUIRE(throttled->publish(20) == outcome::ok);
  REQUIRE(throttled->publish(21) == outcome::ok);
  CHECK(run(10s) == decltype(seen){{30'000, 20}, {37'000, 20}, {37'000, 21}});

  throttled->group("g").pause_until(t.clock().now() + 3s);
  REQUIRE(throttled->publish(22) == outcome::ok);
  CHECK(run(10s) == decltype(seen){{43'000, 22}});
  CHECK(expect_all_settled(t.bus()));
}

TEST_CASE("what goes round for ever is ended by the limit") {
  stepped_bus t;
  REQUIRE(t->subscribe<int>("n", "g", [&](int n) {
             static_cast<void>((*t->topic<int>("n"))->publish(n + 1));
           }).ok());
  auto n = t->topic<int>("n").value();
  REQUIRE(n->publish(0) == outcome::ok);
  CHECK(t.run_until_idle(50) == 50);
  CHECK(n->tail() >= 50);
  CHECK_THROWS_WITH(t.advance(1s, 100), Catch::Contains("stepped_bus::advance") && Catch::Contains("limit"));
  CHECK(ms(t.clock().now()) == 0);
  CHECK_THROWS_AS(t.advance(-1ns), std::invalid_argument);
}

TEST_CASE("the limit is for each time, not for all") {
  stepped_bus t;
  int ticks = 0;
  t->timers().schedule_every(t.clock().now() + 1ms, 1ms, [&] { ++ticks; });
  CHECK(t.advance(1s, 5) == 1000);
  CHECK(ticks == 1000);
}

TEST_CASE("a time with as many steps as the limit, and not more, is over") {
  stepped_bus t;
  int done = 0;
  for (int i = 0; i < 3; ++i) t.post([&] { ++done; });
  CHECK(t.advance(1s, 3) == 3);
  CHECK(done == 3);
  CHECK(ms(t.clock().now()) == 1000);
  for (int i = 0; i < 4; ++i) t.post([&] { ++done; });
  CHECK_THROWS_AS(t.advance(1s, 3), std::runtime_error);
  CHECK(ms(t.clock().now()) == 1000);
}

// --- seeds ---

/// Three groups with retries, that publish to each other; what happened, in order.
class mill {
 public:
  explicit mill(std::uint64_t seed) : t(seed) {
    REQUIRE(t->subscribe<int>("grain", "grind", options{.workers = 2, .group = patience()}, [this](int n) {
               note("grind", n);
               if (failures_[n]++ < n % 3) throw std::runtime_error("stuck");
               static_cast<void>(flour->try_publish(n));
             }).ok());
    REQUIRE(t->subscribe<int>("*", "count", [this](int n) { note("count", n); }).ok());
    REQUIRE(t->subscribe<int>("flour", "bake", options{.group = patience()}, [this](int n) {
               note("bake", n);
               if (failures_[n + 100]++ < n % 2) throw std::runtime_error("cold");
               baked.insert(n);
             }).ok());
    for (int i = 0; i < 4; ++i) {
      t.post([this, i] { static_cast<void>(grain->try_publish(i)); });  // it may be closed by then
    }
  }

  stepped_bus t;
  std::string history;
  std::multiset<int> baked;

 private:
  std::function<void(millrace::group_options<topic_of_int::topic_type>&)> patience() {
    return [this](auto& g) {
      g.retry = {.first = 10ms, .jitter = 0.5, .random = [this] { return t.random(); }};
    };
  }
  void note(const char* who, int n) {
    history += std::to_string(t.clock().now().time_since_epoch().count()) + ' ' + who + ' ' +
               std::to_string(n) + '\n';
  }

  std::map<int, int> failures_;
  topic_of_int grain = t->topic<int>("grain").value();
  topic_of_int flour = t->topic<int>("flour").value();
};

TEST_CASE("the same seed, the same history; another seed, another one, with the same end") {
  std::set<std::string> histories;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    mill a(seed);
    mill b(seed);
    a.t.advance(1h);
    b.t.advance(1h);
    CHECK(a.history == b.history);
    CHECK(a.baked == std::multiset<int>{0, 1, 2, 3});
    CHECK(expect_all_settled(a.t.bus()));
    histories.insert(a.history);
  }
  CHECK(histories.size() > 90);
}

TEST_CASE("single steps come to the same end") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    mill a(seed);
    mill b(seed);
    std::size_t steps = 0;
    while (a.t.step()) ++steps;
    CHECK(b.t.run_until_idle() == steps);
    CHECK(a.history == b.history);
    while (a.baked.size() < 4) {
      while (a.t.step()) continue;
      a.t.clock().advance(1ms);
    }
    b.t.advance(1h);
    CHECK(a.baked == b.baked);
    CHECK(expect_all_settled(a.t.bus()));
  }
}

/// How many histories `scenario(t, note)` has, over many seeds.
template <class Scenario>
std::set<std::string> all_histories(Scenario scenario) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    stepped_bus t(seed);
    std::string history;
    scenario(t, history);
    t.run_until_idle();
    found.insert(history);
  }
  return found;
}

TEST_CASE("seeds reach every order of a small scenario") {
  // three groups, each with its task
  const auto of_groups = all_histories([](stepped_bus& t, std::string& history) {
    for (const char who : {'a', 'b', 'c'}) {
      REQUIRE(t->subscribe<int>("n", std::string(1, who), [&history, who](int) { history += who; }).ok());
    }
    REQUIRE(t->topic<int>("n").value()->publish(1) == outcome::ok);
  });
  CHECK(of_groups == std::set<std::string>{"abc", "acb", "bac", "bca", "cab", "cba"});

  // two groups and two messages, whose publishing is a task, too: the second one may come before or after the first is handled
  const auto of_messages = all_histories([](stepped_bus& t, std::string& history) {
    auto n = t->topic<int>("n").value();
    for (const char who : {'a', 'b'}) {
      REQUIRE(t->subscribe<int>("n", std::string(1, who), [&history, who](int) { history += who; }).ok());
    }
    t.post([n, &t] {
      REQUIRE(n->publish(1) == outcome::ok);
      t.post([n] { REQUIRE(n->publish(2) == outcome::ok); });
    });
  });
  CHECK(of_messages == std::set<std::string>{"aabb", "abab", "abba", "baab", "baba", "bbaa"});

  // likewise when all is published before: a step is one message
  for (const auto& [messages, orders] : std::vector<std::pair<int, std::size_t>>{{1, 2}, {2, 6}, {3, 20}}) {
    const auto found = all_histories([n = messages](stepped_bus& t, std::string& history) {
      for (const char who : {'a', 'b'}) {
        REQUIRE(t->subscribe<int>("n", std::string(1, who), [&history, who](int) { history += who; }).ok());
      }
      for (int i = 0; i < n; ++i) REQUIRE(t->topic<int>("n").value()->publish(i) == outcome::ok);
    });
    CHECK(found.size() == orders);
  }

  // a timer that is due, and tasks
  const auto of_timers = all_histories([](stepped_bus& t, std::string& history) {
    t->timers().schedule_after(1ms, [&history] { history += 't'; });
    t->timers().schedule_after(1ms, [&history] { history += 'u'; });
    t.clock().advance(1ms);
    t.post([&history] { history += 'a'; });
    t.post([&history] { history += 'b'; });
  });
  CHECK(of_timers.size() == 12);  // 4! orders, half of them with t before u
}

TEST_CASE("without a seed tasks come before timers, and there is one order") {
  std::set<std::string> found;
  for (int i = 0; i < 10; ++i) {
    stepped_bus t;
    std::string history;
    t->timers().schedule_after(1ms, [&history] { history += 't'; });
    t.clock().advance(1ms);
    for (const char who : {'a', 'b', 'c'}) {
      REQUIRE(t->subscribe<int>("n", std::string(1, who), [&history, who](int) { history += who; }).ok());
    }
    REQUIRE(t->topic<int>("n").value()->publish(1) == outcome::ok);
    t.run_until_idle();
    found.insert(history);
  }
  CHECK(found.size() == 1);
  CHECK(found.begin()->back() == 't');
}

TEST_CASE("random numbers are the seed's, and in the middle without one") {
  stepped_bus a(5);
  stepped_bus b(5);
  stepped_bus c(6);
  double least = 1;
  double most = 0;
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const double drawn = a.random();
    CHECK(drawn == b.random());
    differs = differs || drawn != c.random();
    least = std::min(least, drawn);
    most = std::max(most, drawn);
  }
  CHECK(differs);
  CHECK(least >= 0);
  CHECK(least < 0.1);
  CHECK(most > 0.9);
  CHECK(most <= 1);
  CHECK(stepped_bus().random() == 0.5);
}

// --- its end ---

TEST_CASE("it may go at any time: with tasks that wait, timers to come and deliveries that are kept") {
  for (std::size_t steps = 0; steps < 40; ++steps) {
    mill m(steps);
    scripted<int> stub(m.t->timers());
    stub.then_stall(1h, 2).then_stall_for_ever();
    REQUIRE(m.t->subscribe<int>("*", "stub", stub).ok());
    auto grain = m.t->topic<int>("grain").value();
    static_cast<void>(grain.publish_after(1s, 9));
    CHECK(m.t.run_until_idle(steps) <= steps);
    if (steps % 2 == 0) {
      m.t->stop();
      CHECK(m.t->snapshot().state == millrace::bus_state::stopped);
      const std::string before = m.history;
      m.t.advance(1h);
      CHECK(m.history == before);
    }
  }
}

}  // namespace
