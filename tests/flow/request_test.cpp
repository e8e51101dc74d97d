// Requests: answered, failed, too late, refused, dropped, awaited; without threads on a manual clock, and with them.
#include "millrace/flow/request.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/testing/step_executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
using millrace::post_to;
using millrace::producers;
using millrace::request_outcome;
using millrace::testing::step_executor;
using support::coroutine;

using query = millrace::query<int, std::string>;
using topic = millrace::topic<query, producers::multi, manual_clock>;
using timers = millrace::basic_timer_service<manual_clock>;
using requester = millrace::requester<topic, timers>;

struct fixture {
  manual_clock clock;
  timers service{clock};
  topic queries{8, clock, {.keep = {.messages = 0}, .segment = 2}};
  topic::subscription in = queries.subscribe();
  requester asking{queries, service};

  /// The next query, which is in the reader's hands until the next call.
  const query& next() {
    const query* q = in.try_next();
    REQUIRE(q != nullptr);
    return *q;
  }
  auto poll() { return service.poll(clock.now()); }
};

std::uint64_t settled(const millrace::request_stats& s) {
  return s.answered + s.failed + s.unanswered + s.timed_out + s.refused + s.cancelled;
}

}  // namespace

TEST_CASE("a reply comes back to who has asked, and its timer is gone") {
  fixture f;
  auto first = f.asking.ask(1, 1s);
  auto second = f.asking.try_ask(2, 1s);
  CHECK(static_cast<bool>(first));
  CHECK_FALSE(first.is_ready());
  CHECK(f.poll().has_value());
  const query one = f.next();
  CHECK(one.value == 1);
  CHECK(one.is_open());
  const query two = f.next();
  CHECK(two.reply("two"));
  CHECK(one.reply("one"));
  CHECK_FALSE(one.is_open());
  CHECK(first.is_ready());
  CHECK_FALSE(f.poll().has_value());
  const auto r = first.get();
  CHECK(r.what == request_outcome::ok);
  CHECK(r.value == "one");
  CHECK_FALSE(static_cast<bool>(first));
  CHECK(second.get().value == "two");
  CHECK(f.asking.stats().sent == 2);
  CHECK(f.asking.stats().answered == 2);
}

TEST_CASE("the first reply counts, later ones are counted as late") {
  fixture f;
  auto a = f.asking.ask(1, 1s);
  const query q = f.next();
  const query copy = q;
  CHECK(copy.reply("first"));
  CHECK_FALSE(q.reply("second"));
  CHECK_FALSE(q.fail("third"));
  CHECK(a.get().value == "first");
  CHECK_FALSE(q.reply("after it was taken"));
  CHECK(f.asking.stats().answered == 1);
  CHECK(f.asking.stats().late == 3);
}

TEST_CASE("a responder says that it has failed, and why") {
  fixture f;
  auto a = f.asking.ask(1, 1s);
  CHECK(f.next().fail("no such thing"));
  const auto r = a.get();
  CHECK_FALSE(static_cast<bool>(r));
  CHECK(r.what == request_outcome::failed);
  CHECK(r.reason == "no such thing");
  CHECK_FALSE(r.value.has_value());
  CHECK(f.asking.stats().failed == 1);
  CHECK_FALSE(f.poll().has_value());
}

TEST_CASE("without a reply in time it has timed out, and the reply is late") {
  fixture f;
  auto a = f.asking.ask(1, 1s);
  const query q = f.next();
  f.clock.advance(999ms);
  f.poll();
  CHECK_FALSE(a.is_ready());
  f.clock.advance(1ms);
  f.poll();
  CHECK(a.is_ready());
  CHECK_FALSE(q.is_open());
  CHECK_FALSE(q.reply("too late"));
  CHECK(a.get().what == request_outcome::timeout);
  CHECK(f.asking.stats().timed_out == 1);
  CHECK(f.asking.stats().late == 1);
}

TEST_CASE("when the last copy of a query goes unanswered, who has asked is told at once") {
  fixture f;
  auto a = f.asking.ask(1, 1h);
  {
    const query copy = f.next();
    for (int i = 0; i < 6; ++i) {
      auto filler = f.asking.ask(0, 1h);  // goes by itself
      f.next();
    }
    CHECK_FALSE(a.is_ready());
  }
  CHECK(a.is_ready());
  CHECK(a.get().what == request_outcome::unanswered);
  CHECK(f.asking.stats().unanswered == 1);
}

TEST_CASE("what cannot be published is told: full, closed, or no room in time") {
  fixture f;
  std::vector<requester::answer> open;
  for (int i = 0; i < 8; ++i) open.push_back(f.asking.try_ask(i, 1h));
  auto full = f.asking.try_ask(8, 1h);
  CHECK(full.is_ready());
  CHECK(full.get().what == request_outcome::full);
  auto no_room = f.asking.ask(8, 0s);
  CHECK(no_room.get().what == request_outcome::timeout);
  f.queries.close();
  CHECK(f.asking.try_ask(9, 1h).get().what == request_outcome::closed);
  CHECK(f.asking.ask(9, 1h).get().what == request_outcome::closed);
  const auto s = f.asking.stats();
  CHECK(s.sent == 12);
  CHECK(s.refused == 3);
  CHECK(s.timed_out == 1);
  // Of what was refused no timer is left.
  open.clear();
  CHECK(f.asking.stats().cancelled == 8);
  CHECK_FALSE(f.poll().has_value());
}

TEST_CASE("who asks waits for room") {
  const support::watchdog watchdog("request, room");
  fixture f;
  std::vector<requester::answer> open;
  for (int i = 0; i < 8; ++i) open.push_back(f.asking.try_ask(i, 1h));
  std::thread asker([&] { open.push_back(f.asking.ask(8, 1min)); });
  f.clock.await_waiters(1);
  CHECK(f.in.poll([](const query&) {}, 1) == 1);
  asker.join();
  CHECK_FALSE(open.back().is_ready());
  asker = std::thread([&] { open.push_back(f.asking.ask(9, 1min)); });
  f.clock.await_waiters(1);
  f.clock.advance(1min);
  asker.join();
  CHECK(open.back().get().what == request_outcome::timeout);
}

TEST_CASE("an answer that nobody wants is cancelled, and the responder can save the work") {
  fixture f;
  auto a = f.asking.ask(1, 1h);
  const query q = f.next();
  a = requester::answer();
  CHECK_FALSE(q.is_open());
  CHECK_FALSE(q.reply("for nobody"));
  CHECK_FALSE(f.poll().has_value());
  CHECK(f.asking.stats().cancelled == 1);
  CHECK(f.asking.stats().late == 1);
  auto moved_from = f.asking.ask(2, 1h);
  auto moved = std::move(moved_from);
  CHECK_FALSE(static_cast<bool>(moved_from));  // NOLINT(bugprone-use-after-move)
  CHECK(f.next().reply("two"));
  CHECK(moved.get().value == "two");
}

TEST_CASE("a reply that nobody takes does not stay with the query") {
  using shared = std::shared_ptr<int>;
  using shared_topic = millrace::topic<millrace::query<int, shared>, producers::multi, manual_clock>;
  manual_clock clock;
  timers service(clock);
  shared_topic queries(8, clock);
  auto in = queries.subscribe();
  const shared reply = std::make_shared<int>(1);
  {
    auto a = millrace::request<shared>(queries, service, 1, 1h);
    CHECK(in.try_next()->reply(reply));
    CHECK(reply.use_count() == 2);
  }
  CHECK(reply.use_count() == 1);
  {
    auto a = millrace::request<shared>(queries, service, 1, 1h);
    CHECK(in.try_next()->reply(reply));
    CHECK(**a.get().value == 1);
  }
  CHECK(reply.use_count() == 1);
}

TEST_CASE("asked once, without a requester") {
  fixture f;
  auto a = millrace::request<std::string>(f.queries, f.service, 1, 1s);
  auto b = millrace::try_request<std::string>(f.queries, f.service, 2, 1s);
  const query first = f.next();
  CHECK(first.reply("one"));
  CHECK_FALSE(first.reply("again"));
  CHECK(f.next().reply("two"));
  CHECK(a.get().value == "one");
  CHECK(b.get().value == "two");
  CHECK(f.asking.stats().sent == 0);
}

TEST_CASE("a query that nobody has asked is for tests of handlers") {
  const query q(7);
  CHECK(q.value == 7);
  CHECK_FALSE(q.is_open());
  CHECK_FALSE(q.reply("nobody"));
  CHECK_FALSE(q.fail("nobody"));
}

TEST_CASE("once the timers have been stopped, everybody is told") {
  fixture f;
  auto before = f.asking.ask(1, 1h);
  const query q = f.next();
  f.service.stop();
  REQUIRE(before.is_ready());
  CHECK(before.get().what == request_outcome::closed);
  CHECK_FALSE(q.reply("too late"));
  CHECK(f.asking.ask(2, 1h).get().what == request_outcome::closed);
  CHECK(f.in.lag() == 1);  // the one that the reader has
}

TEST_CASE("an answer is taken once") {
  fixture f;
  auto a = f.asking.ask(1, 1h);
  CHECK(f.next().reply("one"));
  CHECK(a.get().value == "one");
  CHECK_FALSE(a.is_ready());
  CHECK_THROWS_WITH(a.get(), Catch::Contains("answer::get"));
  CHECK_THROWS_AS(std::move(a).async_get(), std::logic_error);
  CHECK_THROWS_AS(requester::answer().get(), std::logic_error);
}

TEST_CASE("a requester may go before its queries and answers") {
  fixture f;
  std::optional<requester> asking(std::in_place, f.queries, f.service);
  auto a = asking->ask(1, 1h);
  const query q = f.next();
  asking.reset();
  CHECK(q.reply("one"));
  CHECK_FALSE(q.reply("late"));
  CHECK(a.get().value == "one");
}

TEST_CASE("one allocation for a request") {
  fixture f;
  for (int i = 0; i < 16; ++i) {
    auto a = f.asking.try_ask(i, 1h);
    CHECK(f.next().reply("r"));
  }
  const long before = support::allocations;
  auto a = f.asking.try_ask(1, 1h);
  const long taken = support::allocations - before;
  CHECK(taken == 1);
  const long again = support::allocations;
  const bool replied = f.in.try_next()->reply("r");
  const auto r = a.get();
  const long more = support::allocations - again;
  CHECK(replied);
  CHECK(r.value == "r");
  CHECK(more == 0);
}

TEST_CASE("without memory nothing has been asked, and nothing is left") {
  if constexpr (support::allocations_can_be_refused) {
    int refused = 0;
    for (long n = 1; n < 12; ++n) {
      fixture f;
      for (int i = 0; i < 8; ++i) {
        const std::uint64_t tail = f.queries.tail();
        std::optional<requester::answer> a;
        support::allocation_to_refuse = n;
        try {
          a.emplace(f.asking.try_ask(1, 1h));
        } catch (const std::bad_alloc&) {
          ++refused;
        }
        support::allocation_to_refuse = 0;
        REQUIRE(f.queries.tail() == tail + (a ? 1 : 0));
        if (a) {
          REQUIRE(f.next().reply("r"));
          REQUIRE(a->get().value == "r");
        }
        REQUIRE_FALSE(f.poll().has_value());
      }
      REQUIRE(settled(f.asking.stats()) == f.asking.stats().sent);
    }
    CHECK(refused > 4);
  } else {
    SUCCEED("a sanitizer cannot be made to refuse");
  }
}

// --- coroutines ---

namespace {

template <class Executor, class Stop = std::stop_token>
coroutine await(requester::answer a, millrace::response<std::string>& out, int& resumed, Executor executor,
                Stop stop = {}) {
  millrace::response<std::string> r = co_await std::move(a).async_get(executor, stop);
  out = std::move(r);
  ++resumed;
}
coroutine await_plainly(requester::answer a, millrace::response<std::string>& out) {
  millrace::response<std::string> r = co_await std::move(a);
  out = std::move(r);
}

}  // namespace

TEST_CASE("a coroutine awaits the answer, and is resumed by its executor") {
  fixture f;
  step_executor steps;
  millrace::response<std::string> got;
  int resumed = 0;
  SECTION("by the reply") {
    const coroutine c = await(f.asking.ask(1, 1s), got, resumed, post_to{steps});
    CHECK(f.next().reply("one"));
    CHECK(resumed == 0);
    CHECK(steps.run_until_idle() == 1);
    CHECK(c.done());
    CHECK(got.value == "one");
  }
  SECTION("by the timeout") {
    const coroutine c = await(f.asking.ask(1, 1s), got, resumed, post_to{steps});
    f.clock.advance(1s);
    f.poll();
    CHECK(steps.run_until_idle() == 1);
    CHECK(c.done());
    CHECK(got.what == request_outcome::timeout);
  }
  SECTION("at once, if it is there") {
    auto a = f.asking.ask(1, 1s);
    CHECK(f.next().reply("one"));
    const coroutine c = await(std::move(a), got, resumed, post_to{steps});
    CHECK(steps.is_idle());
    CHECK(c.done());
    CHECK(got.value == "one");
  }
  SECTION("by a stop, and then the request is cancelled") {
    std::stop_source stop;
    const coroutine c = await(f.asking.ask(1, 1s), got, resumed, post_to{steps}, stop.get_token());
    stop.request_stop();
    CHECK(steps.run_until_idle() == 1);
    CHECK(c.done());
    CHECK(got.what == request_outcome::cancelled);
    CHECK_FALSE(f.next().reply("too late"));
    CHECK(f.asking.stats().cancelled == 1);
  }
  SECTION("inside the reply, without an executor") {
    const coroutine c = await_plainly(f.asking.ask(1, 1s), got);
    CHECK(f.next().reply("one"));
    CHECK(c.done());
    CHECK(got.value == "one");
  }
  CHECK_FALSE(f.poll().has_value());
}

TEST_CASE("a coroutine that is destroyed while it awaits takes the request with it") {
  fixture f;
  support::manual_executor loop;
  millrace::response<std::string> got;
  int resumed = 0;
  {
    const coroutine waiting = await(f.asking.ask(1, 1s), got, resumed, loop.poster());
  }
  CHECK(f.asking.stats().cancelled == 1);
  CHECK_FALSE(f.next().reply("nobody"));
  {
    coroutine answered = await(f.asking.ask(2, 1s), got, resumed, loop.poster());
    CHECK(f.next().reply("two"));
    const auto h = answered.handle();
    answered.destroy();
    CHECK(loop.forget(h));
  }
  CHECK(resumed == 0);
  CHECK(f.asking.stats().answered == 1);
  CHECK_FALSE(f.poll().has_value());
}

TEST_CASE("a callback is called once the answer is there") {
  fixture f;
  step_executor steps;
  std::vector<std::string> got;
  const auto keep = [&got](millrace::response<std::string> r) {
    got.push_back(r ? *r.value : millrace::to_string(r.what));
  };
  f.asking.ask(1, 1s).then(keep, post_to{steps});
  f.asking.ask(2, 1s).then(keep);
  f.asking.ask(3, 1s).then(keep);
  CHECK(f.next().reply("one"));
  CHECK(got.empty());
  steps.run_until_idle();
  CHECK(f.next().reply("two"));
  f.clock.advance(1s);
  f.poll();
  CHECK(got == std::vector<std::string>{"one", "two", "timeout"});
}

// --- groups ---

TEST_CASE("responders of a group share the load, and a redelivery answers too late") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    manual_clock clock;
    timers service(clock);
    topic queries(64, clock);
    step_executor steps(seed);
    auto pricing = queries.group("pricing");
    int calls = 0;
    pricing.run_on(post_to{steps}, service, 3, [&calls](const query& q) {
      ++calls;
      const bool first = q.reply(std::to_string(q.value));
      if (first && q.value % 5 == 0) throw std::runtime_error("after the reply");
    });
    requester asking(queries, service);
    std::vector<requester::answer> answers;
    for (int i = 0; i < 20; ++i) answers.push_back(asking.ask(i, 1min));
    for (int i = 0; i < 10; ++i) {
      steps.run_until_idle();
      clock.advance(100ms);
      service.poll(clock.now());
    }
    steps.run_until_idle();
    for (int i = 0; i < 20; ++i) {
      auto& a = answers[static_cast<std::size_t>(i)];
      REQUIRE(a.is_ready());
      REQUIRE(a.get().value == std::to_string(i));
    }
    REQUIRE(calls == 24);
    REQUIRE(asking.stats().answered == 20);
    REQUIRE(asking.stats().late == 4);
    REQUIRE(pricing.stats().acked == 20);
    queries.close();
    steps.run_until_idle();
  }
}

TEST_CASE("whatever becomes of requests, each is settled once, and the books balance") {
  std::uint64_t sums[6] = {};
  for (unsigned seed = 0; seed < 400; ++seed) {
    fixture f;
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    std::vector<std::pair<requester::answer, std::uint64_t>> answers;
    std::vector<query> held;
    std::uint64_t late = 0;
    std::uint64_t told[6] = {};
    const auto settle = [&](bool first) { late += first ? 0 : 1; };
    const auto take = [&](std::size_t i) {
      const auto what = answers[i].first.get().what;
      ++told[what == request_outcome::ok           ? 0
             : what == request_outcome::failed     ? 1
             : what == request_outcome::unanswered ? 2
             : what == request_outcome::timeout    ? 3
             : what == request_outcome::cancelled  ? 5
                                                   : 4];
      answers.erase(answers.begin() + static_cast<std::ptrdiff_t>(i));
    };
    for (int step = 0; step < 80; ++step) {
      switch (below(9)) {
        case 0:
        case 1:
          answers.emplace_back(f.asking.try_ask(step, std::chrono::milliseconds(1 + below(50))), 0);
          break;
        case 2:
        case 3:
          if (const query* q = f.in.try_next()) held.push_back(*q);
          break;
        case 4:
          if (!held.empty()) settle(held[below(unsigned(held.size()))].reply("r"));
          break;
        case 5:
          if (!held.empty() && below(2) == 0) settle(held[below(unsigned(held.size()))].fail("f"));
          break;
        case 6:
          if (!held.empty())
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(below(unsigned(held.size()))));
          break;
        case 7:
          f.clock.advance(std::chrono::milliseconds(below(10)));
          f.poll();
          break;
        default:
          if (answers.empty()) break;
          const std::size_t i = below(unsigned(answers.size()));
          if (answers[i].first.is_ready()) {
            take(i);
          } else if (below(3) == 0) {
            answers.erase(answers.begin() + static_cast<std::ptrdiff_t>(i));
            ++told[5];
          }
      }
      REQUIRE(settled(f.asking.stats()) <= f.asking.stats().sent);
    }
    f.clock.advance(1s);
    f.poll();
    while (!answers.empty()) take(0);
    const auto s = f.asking.stats();
    REQUIRE(settled(s) == s.sent);
    REQUIRE(s.answered == told[0]);
    REQUIRE(s.failed == told[1]);
    REQUIRE(s.unanswered == told[2]);
    REQUIRE(s.timed_out == told[3]);
    REQUIRE(s.refused == told[4]);
    REQUIRE(s.cancelled == told[5]);
    REQUIRE(s.late == late);
    for (int i = 0; i < 6; ++i) sums[i] += told[i];
  }
  for (const std::uint64_t n : sums) CHECK(n > 50);
}

TEST_CASE("threads ask and answer, some too late, some never") {
  const support::watchdog watchdog("request, threads");
  using fast_topic = millrace::topic<millrace::query<int, int>>;
  millrace::timer_service service;
  service.start();
  fast_topic queries(256);
  auto group = queries.group("answers", {.retry = millrace::retry_policy::none()});
  millrace::requester asking(queries, service);
  std::atomic<std::uint64_t> replied{0};
  std::atomic<std::uint64_t> late{0};
  group.run(2, [&](const millrace::query<int, int>& q) {
    if (q.value % 16 == 3) return;  // never
    ++(q.reply(q.value + 1) ? replied : late);
    if (q.value % 16 == 5 && !q.reply(0)) ++late;
  });
  constexpr int askers = 3;
  const int each = SUPPORT_SANITIZED ? 300 : 1500;
  std::atomic<std::uint64_t> told[3] = {};  // ok, timeout, other
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < askers; ++t) {
    threads.emplace_back([&, t] {
      std::vector<decltype(asking.ask(1, 1ms))> later;
      for (int i = 0; i < each; ++i) {
        const int n = t * each + i;
        auto a = asking.ask(n, n % 16 == 3 ? 1ms : n % 7 == 0 ? 50us : 10000ms);
        if (n % 32 == 1) continue;  // dropped
        if (n % 4 == 0) {
          later.push_back(std::move(a));
          continue;
        }
        const auto r = a.get();
        if (r && *r.value != n + 1) wrong = true;
        ++told[r ? 0 : r.what == request_outcome::timeout ? 1 : 2];
      }
      for (auto& a : later) ++told[a.get() ? 0 : 1];
    });
  }
  for (auto& t : threads) t.join();
  queries.close();
  group.join();
  const auto s = asking.stats();
  CHECK_FALSE(wrong);
  CHECK(s.sent == std::uint64_t(askers) * std::uint64_t(each));
  CHECK(settled(s) == s.sent);
  CHECK(s.answered == replied);
  CHECK(s.late == late);
  CHECK(s.answered >= told[0]);
  CHECK(told[0] > 0);
  CHECK(told[1] > 0);
  service.stop();
}
