// Half messages: decided by a handle, by a question, or never; with a topic that is full or closed; and stopped at any moment.
#include "millrace/flow/half_messages.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/half_options.hpp"
#include "millrace/testing/step_executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::decision;
using millrace::half_decision;
using millrace::half_loss;
using millrace::half_stats;
using millrace::manual_clock;
using millrace::outcome;
using millrace::producers;
using millrace::testing::step_executor;

using topic = millrace::topic<int, producers::multi, manual_clock>;
using timers = millrace::basic_timer_service<manual_clock>;
using halves = millrace::half_messages<topic, timers>;
using ints = std::vector<int>;
using losses = std::vector<std::pair<int, half_loss>>;

struct fixture {
  explicit fixture(millrace::retry_policy asking = millrace::retry_policy::fixed(30s, 3),
                   std::size_t capacity = 64)
      : orders(capacity, clock), in(orders.subscribe()) {
    made.emplace(orders, service, steps,
                 halves::options{.ask = [this](const int& v) { return answer_about(v); },
                                 .asking = std::move(asking),
                                 .lost = [this](int&& v, half_loss why) { lost.emplace_back(v, why); }});
  }
  half_decision answer_about(int v) {
    asked.push_back(v);
    if (throws) throw std::runtime_error("not now");
    if (in_question) in_question();
    return answer;
  }
  /// Lets time pass, and does what is due.
  void pass(std::chrono::nanoseconds by) {
    clock.advance(by);
    service.poll(clock.now());
    steps.run_until_idle();
  }
  ints published() {
    ints all;
    while (const int* m = in.try_next()) all.push_back(*m);
    return all;
  }

  manual_clock clock;
  timers service{clock};
  step_executor steps;
  topic orders;
  topic::subscription in;
  ints asked;
  losses lost;
  half_decision answer = half_decision::unknown;
  bool throws = false;
  millrace::function<void()> in_question;
  std::optional<halves> made;
};

/// Timers of which none can be called off any more: the test fires them.
struct late_timers {
  using clock_type = manual_clock;
  using time_point = manual_clock::time_point;
  using handler = millrace::function<void()>;
  struct timer {};
  timer schedule_after(std::chrono::nanoseconds, handler h) {
    all.push_back(std::move(h));
    return {};
  }
  static millrace::cancel_result cancel(timer) noexcept { return millrace::cancel_result::running; }
  std::vector<handler> all;
};

void balance(const half_stats& s) {
  REQUIRE(s.prepared ==
          s.published + s.rolled_back + s.undecided + s.closed + s.stopped + s.in_doubt + s.committed);
}

}  // namespace

TEST_CASE("nobody sees it before it is committed, and nobody is asked about it after") {
  fixture f;
  const auto first = f.made->prepare(1);
  const auto second = f.made->prepare(2);
  const auto third = f.made->prepare(3);
  const auto copy = second;
  CHECK(static_cast<bool>(first));
  CHECK(f.published().empty());
  CHECK(f.made->stats().in_doubt == 3);
  CHECK(second.commit());
  CHECK(f.published() == ints{2});
  CHECK(first.rollback());
  CHECK_FALSE(copy.commit());
  CHECK_FALSE(copy.rollback());
  CHECK_FALSE(first.commit());
  CHECK(third.commit());
  CHECK(f.published() == ints{3});
  CHECK_FALSE(f.service.poll(f.clock.now()).has_value());  // no timer is left
  f.pass(1h);
  CHECK(f.asked.empty());
  CHECK(f.lost.empty());
  const half_stats s = f.made->stats();
  balance(s);
  CHECK(s.prepared == 3);
  CHECK(s.published == 2);
  CHECK(s.rolled_back == 1);
  CHECK_FALSE(static_cast<bool>(halves::half()));
  CHECK_FALSE(halves::half().commit());
  CHECK_FALSE(halves::half().rollback());
}

TEST_CASE("who does not decide in time is asked about, in a task, and the answer counts") {
  fixture f;
  const auto half = f.made->prepare(7);
  f.pass(6s - 1ms);
  CHECK(f.asked.empty());
  f.clock.advance(1ms);
  f.service.poll(f.clock.now());
  CHECK(f.asked.empty());
  CHECK(f.steps.size() == 1);
  SECTION("commit") {
    f.answer = half_decision::commit;
    f.steps.run_until_idle();
    CHECK(f.published() == ints{7});
    CHECK(f.made->stats().published == 1);
  }
  SECTION("rollback") {
    f.answer = half_decision::rollback;
    f.steps.run_until_idle();
    CHECK(f.published().empty());
    CHECK(f.made->stats().rolled_back == 1);
  }
  CHECK(f.asked == ints{7});
  CHECK_FALSE(half.commit());
  CHECK_FALSE(half.rollback());
  f.pass(1h);
  CHECK(f.asked == ints{7});
  CHECK(f.lost.empty());
  balance(f.made->stats());
}

TEST_CASE("while nobody knows it is asked again, and after the last time it is lost, but not in silence") {
  fixture f;
  const auto half = f.made->prepare(7);
  f.pass(6s);
  CHECK(f.asked.size() == 1);
  f.pass(30s - 1ms);
  CHECK(f.asked.size() == 1);
  f.pass(1ms);
  CHECK(f.asked.size() == 2);
  CHECK(f.made->stats().in_doubt == 1);
  SECTION("decided by its handle in between") {
    CHECK(half.commit());
    CHECK(f.published() == ints{7});
    f.pass(1h);
    CHECK(f.asked.size() == 2);
    CHECK(f.lost.empty());
  }
  SECTION("never decided; what is thrown is not known either") {
    f.throws = true;
    f.pass(30s);
    CHECK(f.asked.size() == 3);
    CHECK(f.lost == losses{{7, half_loss::undecided}});
    CHECK_FALSE(half.commit());
    CHECK(f.made->stats().undecided == 1);
    f.pass(1h);
    CHECK(f.asked.size() == 3);
  }
  CHECK(f.made->stats().asked == f.asked.size());
  balance(f.made->stats());
}

TEST_CASE("the retry policy has a say in whether and when it is asked again") {
  std::vector<std::uint32_t> attempts;
  int errors = 0;
  std::string reason;
  decision what = decision::retry();
  auto asking = millrace::retry_policy::fixed(30s, 3);
  asking.decide = [&](const millrace::failure& f) {
    attempts.push_back(f.attempt);
    if (f.error) ++errors;
    reason = f.reason;
    return what;
  };
  fixture f(std::move(asking));
  const auto half = f.made->prepare(7);
  SECTION("not again") {
    what = decision::reject();
    f.pass(6s);
    CHECK(f.lost == losses{{7, half_loss::undecided}});
    CHECK(attempts == std::vector<std::uint32_t>{1});
  }
  SECTION("after a while of its own") {
    what = decision::retry_in(1s);
    f.pass(6s);
    CHECK(reason.empty());
    f.throws = true;
    f.pass(1s);
    CHECK(attempts == std::vector<std::uint32_t>{1, 2});
    CHECK(errors == 1);
    CHECK(reason == "not now");
  }
  SECTION("and does not count it") {
    what = decision::release();
    f.pass(6s);
    for (int i = 0; i < 10; ++i) f.pass(30s);
    CHECK(attempts == std::vector<std::uint32_t>(11, 1));
    CHECK(f.lost.empty());
  }
  SECTION("growing pauses") {
    fixture g(
        {.attempts = 4, .first = 1s, .factor = 2, .most = 1h, .jitter = 0.5, .random = [] { return 1.0; }});
    const auto other = g.made->prepare(8);
    g.pass(6s);
    g.pass(1500ms);
    CHECK(g.asked.size() == 2);
    g.pass(2999ms);
    CHECK(g.asked.size() == 2);
    g.pass(1ms);
    CHECK(g.asked.size() == 3);
  }
}

TEST_CASE("what a handle says while the question is on its way is final") {
  fixture f;
  const auto half = f.made->prepare(7);
  f.clock.advance(6s);
  f.service.poll(f.clock.now());
  SECTION("before it is asked: it is not asked any more") {
    SECTION("commit") {
      CHECK(half.commit());
      CHECK_FALSE(half.rollback());
      f.steps.run_until_idle();
      CHECK(f.published() == ints{7});
    }
    SECTION("rollback") {
      CHECK(half.rollback());
      CHECK_FALSE(half.commit());
      f.steps.run_until_idle();
      CHECK(f.published().empty());
    }
    CHECK(f.asked.empty());
  }
  SECTION("in the midst of the question") {
    bool first = false;
    bool second = true;
    SECTION("commit") {
      f.answer = half_decision::rollback;
      f.in_question = [&] {
        first = half.commit();
        second = half.rollback();
      };
      f.steps.run_until_idle();
      CHECK(f.published() == ints{7});
    }
    SECTION("rollback") {
      f.in_question = [&] {
        first = half.rollback();
        second = half.commit();
      };
      f.steps.run_until_idle();
      CHECK(f.published().empty());
      CHECK(f.made->stats().rolled_back == 1);
    }
    CHECK(first);
    CHECK_FALSE(second);
    CHECK(f.asked.size() == 1);
  }
  f.pass(1h);
  CHECK(f.asked.size() <= 1);
  CHECK(f.lost.empty());
  balance(f.made->stats());
}

TEST_CASE("what is committed and finds no room comes when there is some") {
  fixture f(millrace::retry_policy::fixed(30s, 3), 2);
  for (int i = 0; i < 2; ++i) REQUIRE(f.orders.publish(i) == outcome::ok);
  const auto half = f.made->prepare(7);
  CHECK(half.commit());
  CHECK_FALSE(half.commit());
  CHECK(f.made->stats().committed == 1);
  CHECK(f.made->stats().in_doubt == 0);
  balance(f.made->stats());
  f.pass(10ms);
  f.pass(10ms);
  CHECK(f.made->stats().waited == 3);
  CHECK(f.published() == ints{0, 1});
  SECTION("in time") {
    f.pass(10ms);
    CHECK(f.published() == ints{7});
    CHECK(f.made->stats().published == 1);
    CHECK(f.lost.empty());
  }
  SECTION("or never, as the topic is closed") {
    f.orders.close();
    f.pass(10ms);
    CHECK(f.lost == losses{{7, half_loss::closed}});
    CHECK(f.made->stats().closed == 1);
  }
  f.pass(1h);
  CHECK(f.asked.empty());
  CHECK(f.made->stats().committed == 0);
  balance(f.made->stats());
}

TEST_CASE("a timer that was about to fire when the message was decided does nothing") {
  manual_clock clock;
  late_timers late;
  step_executor steps;
  topic orders(1, clock);
  auto in = orders.subscribe();
  int asked = 0;
  millrace::half_messages<topic, late_timers> made(orders, late, steps,
                                                   {.ask =
                                                        [&asked](const int&) {
                                                          ++asked;
                                                          return half_decision::unknown;
                                                        },
                                                    .lost = [](int&&, half_loss) {}});
  REQUIRE(orders.publish(0) == outcome::ok);
  const auto half = made.prepare(7);
  const auto other = made.prepare(8);
  CHECK(half.commit());
  CHECK(other.rollback());
  REQUIRE(late.all.size() == 3);  // to ask about both, and to try again
  late.all[0]();
  late.all[1]();
  CHECK(steps.is_idle());
  CHECK(*in.try_next() == 0);
  static_cast<void>(in.try_next());
  late.all[2]();
  late.all[2]();
  CHECK(steps.run_until_idle() == 2);
  CHECK(*in.try_next() == 7);
  CHECK(in.try_next() == nullptr);
  CHECK(asked == 0);
}

TEST_CASE("a commit to a topic that is closed is lost, and counted") {
  fixture f;
  const auto half = f.made->prepare(7);
  f.orders.close();
  CHECK(half.commit());
  CHECK(f.lost == losses{{7, half_loss::closed}});
  balance(f.made->stats());
}

TEST_CASE("stopped: whatever is not done is lost, to who was named for it, and tasks do nothing any more") {
  fixture f(millrace::retry_policy::fixed(30s, 3), 1);
  REQUIRE(f.orders.publish(0) == outcome::ok);
  const auto doubtful = f.made->prepare(1);
  f.pass(5s);
  const auto waiting = f.made->prepare(2);
  const auto asked_later = f.made->prepare(3);
  CHECK(waiting.commit());
  f.clock.advance(1s);
  f.service.poll(f.clock.now());
  CHECK(f.steps.size() == 2);  // a question about 1, and another try with 2
  SECTION("by stop()") {
    f.made->stop();
    f.made->stop();
    CHECK_FALSE(static_cast<bool>(f.made->prepare(4)));
    const half_stats s = f.made->stats();
    CHECK(s.stopped == 3);
    CHECK(s.committed == 0);
    balance(s);
  }
  SECTION("by the destructor") { f.made.reset(); }
  CHECK(f.lost.size() == 3);
  std::map<int, half_loss> by_value(f.lost.begin(), f.lost.end());
  for (int v = 1; v <= 3; ++v) CHECK(by_value.at(v) == half_loss::stopped);
  CHECK_FALSE(doubtful.commit());
  CHECK_FALSE(asked_later.rollback());
  f.steps.run_until_idle();
  f.pass(1h);
  CHECK(f.asked.empty());
  CHECK(f.published() == ints{0});
  CHECK(f.lost.size() == 3);
}

TEST_CASE("stopped with a question on its way: what a handle has said of it still counts") {
  fixture f;
  const auto half = f.made->prepare(1);
  f.clock.advance(6s);
  f.service.poll(f.clock.now());
  CHECK(half.rollback());
  f.made->stop();
  CHECK(f.made->stats().rolled_back == 1);
  CHECK(f.lost.empty());
  balance(f.made->stats());
}

TEST_CASE("once it is being stopped, nothing can be decided any more") {
  manual_clock clock;
  timers service(clock);
  step_executor steps;
  topic orders(4, clock);
  std::vector<halves::half> handles;
  int lost = 0;
  bool decided = false;
  halves made(orders, service, steps,
              {.ask = [](const int&) { return half_decision::unknown; },
               .lost =
                   [&](int&&, half_loss) {
                     ++lost;
                     for (const auto& h : handles) decided = h.commit() || h.rollback() || decided;
                   }});
  for (int i = 0; i < 3; ++i) handles.push_back(made.prepare(int(i)));
  made.stop();
  CHECK(lost == 3);
  CHECK_FALSE(decided);
  CHECK(orders.tail() == 0);
  balance(made.stats());
}

TEST_CASE("timers that are stopped first ask nobody, and nothing is lost in silence") {
  fixture f;
  f.service.stop();
  const auto half = f.made->prepare(1);
  const auto other = f.made->prepare(2);
  CHECK(half.commit());
  f.steps.run_until_idle();
  f.made->stop();
  CHECK(f.published() == ints{1});
  CHECK(f.lost == losses{{2, half_loss::stopped}});
}

TEST_CASE("messages that cannot be copied, and no memory") {
  using owned = std::unique_ptr<int>;
  using owned_topic = millrace::topic<owned, producers::multi, manual_clock>;
  manual_clock clock;
  timers service(clock);
  step_executor steps;
  owned_topic orders(64, clock);
  auto in = orders.subscribe();
  int lost = 0;
  millrace::half_messages<owned_topic, timers> made(
      orders, service, steps,
      {.ask = [](const owned&) { return half_decision::unknown; },
       .asking = millrace::retry_policy::none(),
       .lost = [&lost](owned&& v, half_loss) { lost += v ? *v : 0; }});
  int refused = 0;
  if constexpr (support::allocations_can_be_refused) {
    for (long n = 1; n < 6; ++n) {
      owned value = std::make_unique<int>(100);
      support::allocation_to_refuse = n;
      try {
        const auto half = made.prepare(std::move(value));
        support::allocation_to_refuse = 0;
        CHECK(half.rollback());
      } catch (const std::bad_alloc&) {
        ++refused;
      }
      support::allocation_to_refuse = 0;
      CHECK(made.stats().in_doubt == 0);
      balance(made.stats());
    }
    CHECK(refused > 0);
  }
  CHECK(made.prepare(std::make_unique<int>(7)).commit());
  const auto never = made.prepare(std::make_unique<int>(3));
  clock.advance(6s);
  service.poll(clock.now());
  steps.run_until_idle();
  CHECK(**in.try_next() == 7);
  CHECK(lost == 3);
}

TEST_CASE("options that are out of range are refused, by name") {
  manual_clock clock;
  timers service(clock);
  step_executor steps;
  topic orders(4, clock);
  const auto valid = [] {
    return halves::options{.ask = [](const int&) { return half_decision::unknown; },
                           .lost = [](int&&, half_loss) {}};
  };
  const auto refused = [&](halves::options o) -> std::string {
    try {
      const halves made(orders, service, steps, std::move(o));
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(refused(valid()) == "accepted");
  auto o = valid();
  o.ask = nullptr;
  CHECK(refused(std::move(o)) == "half_messages: options.ask must be set");
  o = valid();
  o.ask = std::function<half_decision(const int&)>();
  CHECK(refused(std::move(o)) == "half_messages: options.ask must be set");
  o = valid();
  o.lost = nullptr;
  CHECK(refused(std::move(o)) == "half_messages: options.lost must be set");
  o = valid();
  o.ask_after = 0ns;
  CHECK(refused(std::move(o)) == "half_messages: options.ask_after must be more than 0");
  o = valid();
  o.room_pause = 0ns;
  CHECK(refused(std::move(o)) == "half_messages: options.room_pause must be more than 0");
  o = valid();
  o.asking.attempts = 0;
  CHECK(refused(std::move(o)).find("half_messages: options.asking: retry_policy: attempts must be 1") == 0);
}

TEST_CASE("whatever happens in whatever order, each message comes to one end, and the books balance") {
  std::uint64_t sums[5] = {};
  for (unsigned seed = 0; seed < 300; ++seed) {
    manual_clock clock;
    timers service(clock);
    step_executor steps(seed);
    topic orders(4, clock, {.segment = 2});
    auto in = orders.subscribe();
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    std::vector<halves::half> handles;
    // What is known of each: 0 nothing, 1 to be published, 2 not to be published.
    std::map<int, int> said;
    std::map<int, int> ends;
    std::map<int, half_loss> lost;
    halves made(orders, service, steps,
                {.ask_after = 5s,
                 .ask =
                     [&](const int& v) {
                       const unsigned what = below(4);
                       int& known = said[v];
                       if (what == 0 && known == 0) {
                         known = 1;
                         return half_decision::commit;
                       }
                       if (what == 1 && known == 0) {
                         known = 2;
                         return half_decision::rollback;
                       }
                       if (what == 2) throw std::runtime_error("who knows");
                       return half_decision::unknown;
                     },
                 .asking = {.attempts = 1 + below(4), .first = 1s, .factor = 1, .most = 1s},
                 .lost =
                     [&](int&& v, half_loss why) {
                       ++ends[v];
                       lost.emplace(v, why);
                     }});
    for (int step = 0; step < 100; ++step) {
      switch (below(8)) {
        case 0:
        case 1: handles.push_back(made.prepare(static_cast<int>(handles.size()))); break;
        case 2:
        case 3: {
          if (handles.empty()) break;
          const auto i = below(static_cast<unsigned>(handles.size()));
          const bool commits = below(2) == 0;
          int& known = said[static_cast<int>(i)];
          const bool was_open = known == 0 && ends[static_cast<int>(i)] == 0;
          if (was_open) known = commits ? 1 : 2;
          REQUIRE((commits ? handles[i].commit() : handles[i].rollback()) == was_open);
          break;
        }
        case 4: steps.step(); break;
        case 5:
          clock.advance(std::chrono::milliseconds(below(2000)));
          service.poll(clock.now());
          break;
        case 6:
          if (const int* m = in.try_next()) {
            REQUIRE(said[*m] == 1);
            ++ends[*m];
          }
          break;
        default:
          if (below(60) == 0) orders.close();
      }
      balance(made.stats());
    }
    if (below(2) == 0) {
      for (int i = 0; i < 20; ++i) {
        clock.advance(6s);
        service.poll(clock.now());
        steps.run_until_idle();
        while (const int* m = in.try_next()) {
          REQUIRE(said[*m] == 1);
          ++ends[*m];
        }
      }
      REQUIRE(made.stats().in_doubt == 0);
      REQUIRE(made.stats().committed == 0);
    }
    made.stop();
    steps.run_until_idle();
    while (const int* m = in.try_next()) ++ends[*m];
    const half_stats s = made.stats();
    balance(s);
    REQUIRE(s.prepared == handles.size());
    std::uint64_t rolled_back = 0;
    for (int v = 0; v < static_cast<int>(handles.size()); ++v) {
      const int end = ends[v];
      REQUIRE(end <= 1);
      if (end == 0) {
        REQUIRE(said[v] == 2);
        ++rolled_back;
      }
      const auto at = lost.find(v);
      if (at == lost.end()) continue;
      if (at->second == half_loss::closed) REQUIRE(said[v] == 1);
      if (at->second == half_loss::undecided) REQUIRE(said[v] == 0);
    }
    REQUIRE(rolled_back == s.rolled_back);
    sums[0] += s.published;
    sums[1] += s.rolled_back;
    sums[2] += s.undecided;
    sums[3] += s.closed;
    sums[4] += s.stopped;
  }
  for (const std::uint64_t n : sums) CHECK(n > 50);
}

TEST_CASE("threads prepare and decide, are asked, and stop in the middle of it") {
  const support::watchdog watchdog("half_messages, threads");
  const int rounds = SUPPORT_SANITIZED ? 10 : 40;
  std::uint64_t published = 0;
  std::uint64_t asked = 0;
  for (int round = 0; round < rounds; ++round) {
    using fast_topic = millrace::topic<int>;
    millrace::timer_service service;
    service.start();
    millrace::thread_executor workers(2);
    fast_topic orders(32);
    auto in = orders.subscribe();
    std::mutex mutex;
    std::map<int, int> lost;
    millrace::half_messages<fast_topic> made(orders, service, workers,
                                             {.ask_after = 1ms,
                                              .ask =
                                                  [](const int& v) {
                                                    return v % 3 == 0   ? half_decision::commit
                                                           : v % 3 == 1 ? half_decision::rollback
                                                                        : half_decision::unknown;
                                                  },
                                              .asking = millrace::retry_policy::fixed(1ms, 2),
                                              .lost =
                                                  [&](int&& v, half_loss) {
                                                    const std::lock_guard lock(mutex);
                                                    ++lost[v];
                                                  },
                                              .room_pause = 1ms});
    constexpr int each = 150;
    std::atomic<int> running{2};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < each; ++i) {
          const int v = t * each + i;
          const auto half = made.prepare(int(v));
          if (v % 2 == 0) continue;
          v % 4 == 1 ? half.commit() : half.rollback();
        }
        --running;
      });
    }
    std::map<int, int> got;
    const auto read = [&] { in.poll([&](const int& v) { ++got[v]; }); };
    if (round % 2 == 0) {
      while (running != 0) read();
      while (made.stats().in_doubt + made.stats().committed != 0) {
        read();
        std::this_thread::yield();
      }
    }
    made.stop();
    for (auto& t : threads) t.join();
    read();
    const half_stats s = made.stats();
    REQUIRE(s.prepared == s.published + s.rolled_back + s.undecided + s.closed + s.stopped);
    REQUIRE(got.size() == s.published);
    REQUIRE(lost.size() == s.undecided + s.closed + s.stopped);
    for (const auto& [v, n] : got) REQUIRE((n == 1 && lost.count(v) == 0));
    for (const auto& [v, n] : lost) REQUIRE(n == 1);
    published += s.published;
    asked += s.asked;
    service.stop();
  }
  CHECK(published > 100);
  CHECK(asked > 100);
}
