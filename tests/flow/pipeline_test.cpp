#include "millrace/flow/pipeline.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"
#include "support/large_steps.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::decision;
using millrace::failure;
using millrace::from;
using millrace::manual_clock;
using millrace::outcome;
using millrace::retry_policy;
using millrace::stage_options;
using millrace::testing::step_executor;
using support::watchdog;

using timer_service = millrace::basic_timer_service<manual_clock>;
using pipeline = millrace::basic_pipeline<manual_clock>;
template <class T>
using topic = millrace::topic<T, millrace::producers::multi, manual_clock>;
template <class T>
using dead_letters = millrace::dead_letters<T, manual_clock>;
template <class T>
using channel = millrace::channel<T, millrace::mpmc_queue<T>, manual_clock>;
template <class T>
using endless = millrace::channel<T, millrace::unbounded_queue<T>, manual_clock>;

/// Time and tasks, both of which move when the test says so.
struct world {
  manual_clock clock;
  timer_service timers{millrace::clock_ref<manual_clock>(clock)};
  step_executor steps;
  support::large_steps large{steps};  // the same, for tests of what a task does at once

  world() = default;
  explicit world(std::uint64_t seed) : steps(seed) {}
  void run() { steps.run_until_idle(); }
  void pass(std::chrono::nanoseconds by) {
    clock.advance(by);
    timers.poll(clock.now());
    run();
  }
  /// Nothing happens, and nothing will by itself.
  bool is_idle() { return steps.is_idle() && !timers.poll(clock.now()); }
};

template <class T, class Subscription>
std::vector<T> all_of(Subscription& s) {
  std::vector<T> all;
  while (const auto* m = s.try_next()) all.push_back(*m);
  return all;
}
std::vector<int> numbers(int from, int to) {
  std::vector<int> v(static_cast<std::size_t>(to - from));
  std::iota(v.begin(), v.end(), from);
  return v;
}
bool balances(const millrace::pipeline_stats& s) {
  return s.taken == s.done + s.filtered + s.dead + s.given_back + s.inside;
}
retry_policy exactly(std::uint32_t attempts, std::chrono::nanoseconds first) {
  return {.attempts = attempts,
          .first = first,
          .most = std::max<std::chrono::nanoseconds>(first, 30s),
          .jitter = 0};
}

// --- what flows ---

TEST_CASE("messages of a group go through stages that change their type, and are acknowledged at the end") {
  world w;
  topic<int> in(64, w.clock);
  topic<std::string> out(64, w.clock);
  auto reader = out.subscribe();
  auto group = in.group("g");
  pipeline p("p",
             from(group)
                 .stage("twice", [](const int& i) { return 2.0 * i; })
                 .stage("write", [](double d) { return std::to_string(static_cast<int>(d)); })
                 .to(out),
             w.steps, w.timers);
  CHECK(p.name() == "p");
  for (int i = 0; i < 3; ++i) REQUIRE(in.publish(i) == outcome::ok);
  w.run();
  CHECK(p.stats().taken == 0);  // it has not been started
  p.start();
  p.start();
  w.run();
  CHECK(all_of<std::string>(reader) == std::vector<std::string>{"0", "2", "4"});
  CHECK(group.stats().acked == 3);
  CHECK(p.stats().done == 3);
  CHECK_FALSE(p.has_ended());
  // While it waits, it is told of what comes.
  REQUIRE(in.publish(7) == outcome::ok);
  w.run();
  CHECK(all_of<std::string>(reader) == std::vector<std::string>{"14"});
  in.close();
  w.run();
  CHECK(p.has_ended());
  p.join();
}

TEST_CASE("a message is in flight, without an ack timeout, until its last stage has returned") {
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g", {.ack_timeout = 1s});
  std::vector<std::string> calls;
  pipeline p("p",
             from(group)
                 .stage("first",
                        [&](const int& i) {
                          calls.push_back("first");
                          return i;
                        })
                 .stage("last", {.retry = exactly(9, 1min)},
                        [&](const int&) {
                          calls.push_back("last");
                          if (calls.size() == 2) throw std::runtime_error("not yet");
                        }),
             w.steps, w.timers);
  p.start();
  REQUIRE(in.publish(1) == outcome::ok);
  w.run();
  CHECK(calls == std::vector<std::string>{"first", "last"});
  CHECK(group.stats().in_flight == 1);
  w.pass(59s);
  CHECK(group.stats().timed_out == 0);
  CHECK(group.stats().in_flight == 1);
  w.pass(1s);
  CHECK(calls == std::vector<std::string>{"first", "last", "last"});
  CHECK(group.stats().acked == 1);
  CHECK(p.stats().stages.size() == 2);
}

TEST_CASE("what the group allows in flight is a limit, too") {
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g", {.max_in_flight = 1});
  std::vector<int> out;
  pipeline p("p", from(group).stage("a", [](int i) { return i; }).to([&](int i) { out.push_back(i); }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 10; ++i) REQUIRE(in.publish(i) == outcome::ok);
  CHECK(w.steps.step());
  CHECK(p.stats().taken == 1);
  w.run();
  CHECK(out == numbers(0, 10));
  CHECK(w.is_idle());
}

TEST_CASE("a stage may return nothing: the message ends there, as done") {
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  std::vector<int> seen;
  pipeline p("p",
             from(group)
                 .stage("even", [](int i) { return i % 2 == 0 ? std::optional(i) : std::nullopt; })
                 .to([&](int i) { seen.push_back(i); }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 10; ++i) REQUIRE(in.publish(i) == outcome::ok);
  w.run();
  CHECK(seen == std::vector<int>{0, 2, 4, 6, 8});
  const auto s = p.stats();
  CHECK(s.filtered == 5);
  CHECK(s.done == 5);
  CHECK(s.stages[0].in == 10);
  CHECK(s.stages[0].filtered == 5);
  CHECK(s.stages[0].out == 5);
  CHECK(group.stats().acked == 10);
}

TEST_CASE("what can only be moved is moved from stage to stage") {
  world w;
  channel<int> in(16, w.clock);
  int sum = 0;
  pipeline p("p",
             from(in)
                 .stage("wrap", [](int i) { return std::make_unique<int>(i); })
                 .stage("add",
                        [](std::unique_ptr<int> i) {
                          ++*i;
                          return i;
                        })
                 .to([&](std::unique_ptr<int>&& i) { sum += *i; }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 4; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  in.close();
  w.run();
  CHECK(sum == 1 + 2 + 3 + 4);
  CHECK(p.has_ended());
}

TEST_CASE("what a stage has returned is destroyed when its message ends, however it ends") {
  world w;
  topic<int> in(64, w.clock);
  dead_letters<int> lost(16, w.clock);
  auto group = in.group("g", {.dead_letters = &lost});
  const auto watched = std::make_shared<int>(0);
  pipeline p(
      "p",
      from(group)
          .stage("make", [&](int i) { return std::pair(i, watched); })
          .stage("use", {.retry = exactly(2, 1h)},
                 [](const std::pair<int, std::shared_ptr<int>>& v) -> std::optional<std::shared_ptr<int>> {
                   if (v.first == 1) return std::nullopt;
                   if (v.first == 2) throw 2;
                   return v.second;
                 })
          .to([](const std::shared_ptr<int>&) {}),
      w.steps, w.timers);
  p.start();
  REQUIRE(in.publish(0) == outcome::ok);
  w.run();
  CHECK(p.stats().done == 1);
  CHECK(watched.use_count() == 1);
  REQUIRE(in.publish(1) == outcome::ok);
  w.run();
  CHECK(p.stats().filtered == 1);
  CHECK(watched.use_count() == 1);
  REQUIRE(in.publish(2) == outcome::ok);
  w.run();
  CHECK(watched.use_count() == 2);  // it waits for its second attempt
  w.pass(1h);
  CHECK(p.stats().dead == 1);
  CHECK(watched.use_count() == 1);
  REQUIRE(in.publish(2) == outcome::ok);
  w.run();
  p.stop();
  CHECK(p.stats().given_back == 1);
  CHECK(watched.use_count() == 1);
}

TEST_CASE("a function that takes a constant finds the same in every attempt") {
  world w;
  channel<std::string> in(4, w.clock);
  std::vector<std::string> seen;
  pipeline p("p",
             from(in)
                 .stage("same", [](const std::string& s) { return s; })
                 .stage("copy", {.retry = exactly(3, 1s)},
                        [&](std::string s) {  // a copy, that it may use up
                          seen.push_back(std::move(s));
                          if (seen.size() == 1) throw 1;
                          return seen.size();
                        })
                 .to([](std::size_t) {}),
             w.steps, w.timers);
  p.start();
  REQUIRE(in.try_push("text") == outcome::ok);
  w.run();
  w.pass(1s);
  CHECK(seen == std::vector<std::string>{"text", "text"});
}

TEST_CASE("values of a channel go through, to another channel") {
  world w;
  channel<int> in(16, w.clock);
  endless<long> out(w.clock);
  pipeline p("p", from(in).stage("long", [](int i) { return long{i}; }).to(out), w.steps, w.timers);
  p.start();
  w.run();
  for (int i = 0; i < 3; ++i) {
    REQUIRE(in.try_push(i) == outcome::ok);
    w.run();
    CHECK(out.try_pop() == long{i});
  }
  CHECK_FALSE(p.has_ended());
  in.close();
  w.run();
  CHECK(p.has_ended());
  p.join();
  CHECK(p.stats().done == 3);
}

// --- what fails ---

TEST_CASE("a failed attempt is repeated after its pause, which holds no worker") {
  world w;
  channel<int> in(16, w.clock);
  std::vector<int> tried;
  std::vector<int> out;
  pipeline p("p",
             from(in)
                 .stage("try", {.retry = exactly(5, 100ms)},
                        [&](int i) {
                          tried.push_back(i);
                          if (i == 1 && std::count(tried.begin(), tried.end(), 1) < 3) throw 1;
                          return i;
                        })
                 .to([&](int i) { out.push_back(i); }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 3; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(out == std::vector<int>{0, 2});
  CHECK(p.stats().stages[0].retrying == 1);
  CHECK(p.stats().stages[0].running == 0);
  w.pass(99ms);
  CHECK(tried.size() == 3);
  w.pass(1ms);
  CHECK(tried.size() == 4);
  w.pass(199ms);
  CHECK(tried.size() == 4);
  w.pass(1ms);
  CHECK(tried.size() == 5);
  CHECK(out == std::vector<int>{0, 2, 1});
  const auto s = p.stats().stages[0];
  CHECK(s.failed == 2);
  CHECK(s.dead == 0);
  CHECK(s.retrying == 0);
  CHECK(w.is_idle());
}

TEST_CASE("the pause is spread by the policy's random") {
  world w;
  channel<int> in(16, w.clock);
  int calls = 0;
  double next = 1;
  pipeline p("p",
             from(in).stage("try",
                            {.retry = {.attempts = 3,
                                       .first = 100ms,
                                       .jitter = 0.5,
                                       .random = [&] { return std::exchange(next, 0.0); }}},
                            [&](int) {
                              ++calls;
                              throw 1;
                            }),
             w.steps, w.timers);
  p.start();
  REQUIRE(in.try_push(1) == outcome::ok);
  w.run();
  w.pass(149ms);
  CHECK(calls == 1);
  w.pass(1ms);
  CHECK(calls == 2);
  w.pass(99ms);
  CHECK(calls == 2);
  w.pass(1ms);
  CHECK(calls == 3);
}

TEST_CASE("what fails for good goes to the dead letters of its group, with the stage's name") {
  world w;
  dead_letters<int> lost(16, w.clock);
  auto letters = lost.letters().subscribe();
  topic<int> in(64, w.clock);
  auto group = in.group("shipping", {.dead_letters = &lost});
  pipeline p("p",
             from(group)
                 .stage("risk", [](int i) { return i; })
                 .stage("pay", {.retry = exactly(2, 1s)},
                        [](int i) {
                          if (i == 1) throw std::runtime_error("no funds");
                          if (i == 2) throw 2;
                          return i;
                        })
                 .to([](int) {}),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 4; ++i) REQUIRE(in.publish(i) == outcome::ok);
  w.run();
  CHECK(letters.try_next() == nullptr);
  w.pass(1s);
  const auto* first = letters.try_next();
  REQUIRE(first != nullptr);
  const auto* second = letters.try_next();
  REQUIRE(second != nullptr);
  const auto* one = first->value == 1 ? first : second;
  const auto* two = first->value == 1 ? second : first;
  CHECK(one->reason == "stage pay: no funds");
  CHECK(one->group == "shipping");
  CHECK(one->value == 1);
  CHECK(two->reason == "stage pay: exception");
  CHECK(two->value == 2);
  const auto s = p.stats();
  CHECK(s.done == 2);
  CHECK(s.dead == 2);
  CHECK(s.stages[1].dead == 2);
  CHECK(s.stages[1].failed == 4);
  CHECK(s.inside == 0);
  CHECK(group.stats().dead == 2);
  CHECK(group.stats().in_flight == 0);
}

TEST_CASE("decide says what becomes of a failure") {
  world w;
  channel<int> in(16, w.clock);
  std::vector<int> tried;
  std::vector<std::string> asked;
  std::vector<std::pair<int, std::string>> dead;
  retry_policy policy = exactly(2, 1h);
  policy.decide = [&](const failure& f) {
    asked.push_back(std::string(f.reason) + std::to_string(f.attempt));
    if (f.reason == "reject") return decision::reject();
    if (f.reason == "soon") return decision::retry_in(3s);
    if (f.reason == "now") return decision::retry_in(0s);
    return decision::release();
  };
  bool is_better = false;
  pipeline p(
      "p",
      from(in, {.on_dead =
                    [&](int&& i, std::string_view stage, std::string_view why) {
                      dead.emplace_back(i, std::string(stage) + '/' + std::string(why));
                    }})
          .stage("try", {.retry = std::move(policy)},
                 [&](int i) {
                   tried.push_back(i);
                   if (is_better) return i;
                   throw std::runtime_error(i == 0 ? "reject" : i == 1 ? "soon" : i == 2 ? "now" : "release");
                 })
          .to([](int) {}),
      w.steps, w.timers);
  p.start();
  REQUIRE(in.try_push(0) == outcome::ok);
  w.run();
  CHECK(dead == std::vector<std::pair<int, std::string>>{{0, "try/reject"}});

  REQUIRE(in.try_push(1) == outcome::ok);
  w.run();
  w.pass(2999ms);
  CHECK(asked.size() == 2);
  w.pass(1ms);
  CHECK(asked.size() == 3);
  CHECK(dead.back() == std::pair<int, std::string>{1, "try/soon"});  // two attempts, whatever decide says

  REQUIRE(in.try_push(2) == outcome::ok);
  w.run();
  CHECK(asked.back() == "now2");
  CHECK(dead.back() == std::pair<int, std::string>{2, "try/now"});

  // Not the message's fault: it is not counted, but the pause is kept.
  REQUIRE(in.try_push(3) == outcome::ok);
  w.run();
  for (int i = 0; i < 5; ++i) w.pass(1h);
  CHECK(asked.back() == "release1");
  CHECK(std::count(tried.begin(), tried.end(), 3) == 6);
  is_better = true;
  w.pass(1h);
  CHECK(p.stats().done == 1);
  CHECK(dead.size() == 3);
  CHECK(balances(p.stats()));
}

TEST_CASE("of a channel, what fails for good and nobody wants is parked, and can be had") {
  world w;
  channel<std::string> in(16, w.clock);
  pipeline p("p",
             from(in).stage("try", {.retry = retry_policy::none()},
                            [](const std::string& s) {
                              if (s != "good") throw 1;
                            }),
             w.steps, w.timers);
  p.start();
  for (const char* s : {"bad", "good", "worse"}) REQUIRE(in.try_push(s) == outcome::ok);
  w.run();
  CHECK(p.stats().dead == 2);
  CHECK(p.stats().parked == 2);
  CHECK_THROWS_WITH(p.take_parked<int>(), Catch::Contains("T must be what the source gives"));
  CHECK(p.take_parked<std::string>() == std::vector<std::string>{"bad", "worse"});
  CHECK(p.stats().parked == 0);
  CHECK(p.stats().dead == 2);
  CHECK(p.take_parked<std::string>().empty());
}

TEST_CASE("what the messages come out to may fail, too, and is tried again") {
  world w;
  channel<int> in(16, w.clock);
  std::vector<int> tried;
  pipeline p("p",
             from(in)
                 .stage("same", [](int i) { return i; })
                 .to(
                     [&](int i) {
                       tried.push_back(i);
                       if (i == 0) throw std::runtime_error("never");
                       if (i == 1 && tried.size() < 3) throw std::runtime_error("at first");
                     },
                     exactly(3, 1s)),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 3; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(tried == std::vector<int>{0, 1, 2});
  w.pass(1s);
  w.pass(2s);
  CHECK(std::count(tried.begin(), tried.end(), 0) == 3);
  CHECK(std::count(tried.begin(), tried.end(), 1) == 2);
  const auto s = p.stats();
  CHECK(s.done == 2);
  CHECK(s.dead == 1);
  CHECK(s.stages.back().name == "to");
  CHECK(s.stages.back().failed == 4);
  CHECK(s.stages.back().dead == 1);
  CHECK(p.take_parked<int>() == std::vector<int>{0});
}

// --- order ---

TEST_CASE("ordered: what is tried again holds up, at the end only, what was taken after it") {
  world w;
  channel<int> in(16, w.clock);
  std::vector<int> worked;
  std::vector<int> out;
  bool is_up = false;
  pipeline p("p",
             from(in)
                 .stage("work", {.retry = exactly(10, 1s)},
                        [&](int i) -> std::optional<int> {
                          worked.push_back(i);
                          if (i == 1 && !is_up) throw 1;
                          if (i == 3) return std::nullopt;
                          return i;
                        })
                 .ordered()
                 .to([&](int i) { out.push_back(i); }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 6; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(worked == numbers(0, 6));
  CHECK(out == std::vector<int>{0});
  CHECK(p.stats().stages[1].depth == 3);
  is_up = true;
  w.pass(1s);
  CHECK(out == std::vector<int>{0, 1, 2, 4, 5});
}

TEST_CASE("ordered: a message that fails for good is passed") {
  world w;
  channel<int> in(16, w.clock);
  std::vector<int> out;
  pipeline p("p",
             from(in)
                 .stage("work", {.retry = exactly(2, 1s)},
                        [&](int i) {
                          if (i == 0) throw 1;
                          return i;
                        })
                 .ordered()
                 .to([&](int i) { out.push_back(i); }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 3; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(out.empty());
  w.pass(1s);
  CHECK(out == std::vector<int>{1, 2});
  CHECK(p.stats().dead == 1);
}

TEST_CASE("ordered: an attempt of the end that fails holds up the others") {
  world w;
  channel<int> in(16, w.clock);
  std::vector<int> tried;
  pipeline p("p",
             from(in)
                 .stage("same", [](int i) { return i; })
                 .ordered()
                 .to(
                     [&](int i) {
                       tried.push_back(i);
                       if (tried.size() == 2) throw 1;
                     },
                     exactly(2, 1s)),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 4; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(tried == std::vector<int>{0, 1});
  w.pass(1s);
  CHECK(tried == std::vector<int>{0, 1, 1, 2, 3});
}

TEST_CASE("ordered: one that waits long does not let the pipeline grow") {
  world w;
  endless<int> in(w.clock);
  int out = 0;
  bool is_up = false;
  pipeline p("p",
             from(in)
                 .stage("work", {.capacity = 4, .retry = exactly(10, 1h)},
                        [&](int i) {
                          if (i == 0 && !is_up) throw 1;
                          return i;
                        })
                 .stage("more", {.workers = 2, .capacity = 3}, [](int i) { return i; })
                 .ordered()
                 .to([&](int) { ++out; }),
             w.steps, w.timers);
  for (int i = 0; i < 100; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  p.start();
  w.run();
  CHECK(out == 0);
  CHECK(p.stats().taken == 4 + 1 + 3 + 2);
  CHECK(w.steps.is_idle());
  is_up = true;
  w.pass(1h);
  CHECK(out == 100);
}

// --- room ---

TEST_CASE("back-pressure: with the end stuck, no more is taken than there is room for, and nothing spins") {
  world w;
  topic<int> in(1024, w.clock);
  auto group = in.group("g");
  channel<int> out(2, w.clock);
  pipeline p("p",
             from(group)
                 .stage("a", {.workers = 2, .capacity = 5}, [](int i) { return i; })
                 .stage("b", {.capacity = 3}, [](int i) { return i; })
                 .to(out),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 200; ++i) REQUIRE(in.publish(i) == outcome::ok);
  w.run();
  // Two have gone out.
  CHECK(p.stats().taken == 2 + (5 + 2) + (3 + 1));
  CHECK(group.stats().in_flight == 11);
  CHECK(group.stats().released == 0);
  for (int i = 0; i < 100; ++i) w.pass(10ms);
  CHECK(p.stats().taken == 13);
  for (int i = 0; i < 200; ++i) {
    CHECK(out.try_pop() == i);
    w.pass(50ms);
  }
  CHECK(group.stats().acked == 200);
  CHECK(w.is_idle());
}

TEST_CASE("a stage in the middle that is stuck fills what is before it, and no more") {
  world w;
  endless<int> in(w.clock);
  pipeline p("p",
             from(in)
                 .stage("a", {.workers = 3, .capacity = 5}, [](int i) { return i; })
                 .stage("b",
                        {.capacity = 2,
                         .retry = {.attempts = millrace::unlimited_attempts, .first = 1h, .most = 1h}},
                        [](int i) -> int { throw i; })
                 .stage("c", {.capacity = 9}, [](int i) { return i; })
                 .to([](int) {}),
             w.steps, w.timers);
  for (int i = 0; i < 200; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  p.start();
  w.run();
  const auto s = p.stats();
  // b: its capacity; nothing came while its worker was at it.
  CHECK(s.stages[1].retrying == 2);
  CHECK(s.stages[1].depth == 0);
  CHECK(s.stages[0].depth == 5);
  CHECK(s.taken == 7);
  CHECK(s.stages[0].blocked_share() == 0);  // so far no time has passed
  w.clock.advance(10min);
  CHECK(p.stats().stages[0].blocked_share() == Approx(1));
  CHECK(p.stats().stages[1].blocked_share() == 0);
}

TEST_CASE("a full topic is tried again after a pause that grows; then the order of a line is kept") {
  world w;
  channel<int> in(64, w.clock);
  topic<int> out(2, w.clock);
  auto reader = out.subscribe();
  pipeline p("p", from(in).stage("same", [](int i) { return i; }).to(out), w.large, w.timers);
  p.start();
  for (int i = 0; i < 20; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(p.stats().inside != 0);
  const auto depth = p.stats().stages[1].depth;
  CHECK(depth != 0);
  CHECK(w.steps.is_idle());
  // 1, 2, 4, 8, 16, 32, 50, 50 ms
  int looks = 0;
  std::chrono::milliseconds passed{0};
  while (passed < 163ms) {
    passed += 1ms;
    w.clock.advance(1ms);
    w.timers.poll(w.clock.now());
    if (w.steps.run_until_idle() != 0) ++looks;
  }
  CHECK(looks == 8);
  std::vector<int> seen;
  for (int i = 0; i < 100 && seen.size() < 20; ++i) {
    // one at a time, so that of what is claimed for the end most goes back
    if (const int* const v = reader.try_next()) seen.push_back(*v);
    w.pass(50ms);
  }
  CHECK(seen == numbers(0, 20));
  CHECK(p.stats().done == 20);
  CHECK(p.stats().stages[1].failed == 0);
  // When it has room again it begins with a short pause.
  for (int i = 0; i < 20; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(p.stats().stages[1].depth != 0);
  static_cast<void>(all_of<int>(reader));
  const auto done = p.stats().done;
  w.pass(1ms);
  CHECK(p.stats().done > done);
}

TEST_CASE("what comes out to a closed topic or channel has failed for good") {
  world w;
  channel<int> in(64, w.clock);
  topic<int> out(8, w.clock);
  endless<int> other(w.clock);
  std::string why;
  pipeline p("p",
             from(in, {.on_dead =
                           [&](int&&, std::string_view stage, std::string_view reason) {
                             why = std::string(stage) + ": " + std::string(reason);
                           }})
                 .stage("same", [](int i) { return i; })
                 .to(out),
             w.steps, w.timers);
  out.close();
  p.start();
  REQUIRE(in.try_push(1) == outcome::ok);
  w.run();
  CHECK(why == "to: closed");
  CHECK(p.stats().dead == 1);
  p.stop();

  pipeline q("q", from(in).stage("same", [](int i) { return i; }).to(other), w.steps, w.timers);
  other.close();
  q.start();
  REQUIRE(in.try_push(2) == outcome::ok);
  w.run();
  CHECK(q.take_parked<int>() == std::vector<int>{2});
}

TEST_CASE("when functions take long, what is claimed and not begun goes back, for other workers") {
  world w;
  endless<int> in(w.clock);
  int calls = 0;
  std::chrono::nanoseconds takes = 0ns;
  pipeline p("p",
             from(in).stage("work", {.workers = 2},
                            [&](int) {
                              ++calls;
                              w.clock.advance(takes);
                            }),
             w.large, w.timers);
  p.start();
  for (int i = 0; i < 1000; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  CHECK(calls == 1000);  // now it takes many at once
  takes = 1ms;
  calls = 0;
  for (int i = 0; i < 64; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  while (calls == 0) REQUIRE(w.steps.step());
  // One of the first batch, and then one at a time, eight times at the most.
  CHECK(calls <= 8);
  w.run();
  CHECK(calls == 64);
}

// --- scaling ---

TEST_CASE("a stage is scaled while it runs") {
  const watchdog guard("scaling");
  world w;
  channel<int> in(64, w.clock);
  millrace::thread_executor threads(8);
  std::atomic<int> at_work{0};
  std::atomic<int> most{0};
  std::atomic<int> wanted{1};
  pipeline p("p",
             from(in).stage("work",
                            [&](int) {
                              const int n = at_work.fetch_add(1) + 1;
                              int seen = most.load();
                              while (n > seen && !most.compare_exchange_weak(seen, n)) {
                              }
                              // Nobody leaves until so many are there.
                              while (most.load() < wanted.load()) std::this_thread::yield();
                              at_work.fetch_sub(1);
                            }),
             threads, w.timers);
  p.start();
  for (const int n : {1, 4, 2, 6}) {
    p.scale("work", static_cast<std::size_t>(n));
    CHECK(p.stats().stages[0].workers == static_cast<std::size_t>(n));
    const auto before = p.stats().done;
    most = 0;
    wanted = n;
    for (int i = 0; i < 40; ++i) REQUIRE(in.push(i) == outcome::ok);
    while (p.stats().done != before + 40) std::this_thread::yield();
    CHECK(most == n);
  }
  CHECK_THROWS_WITH(p.scale("none", 2), Catch::Contains("stage must be the name of one"));
  CHECK_THROWS_WITH(p.scale("work", 0), Catch::Contains("workers must be 1 to 1024"));
  CHECK_THROWS_WITH(p.scale("work", 1025), Catch::Contains("workers must be 1 to 1024"));
  p.stop();
}

// --- ending ---

TEST_CASE("stop gives back what is inside, in its order, and start goes on with it") {
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  std::vector<int> out;
  bool is_up = false;
  const auto line = [&] {
    return from(group)
        .stage("a", {.capacity = 4}, [](int i) { return i; })
        .stage("b", {.capacity = 4, .retry = exactly(100, 1s)},
               [&](int i) {
                 if (!is_up) throw 1;
                 return i;
               })
        .ordered()
        .to([&](int i) { out.push_back(i); });
  };
  pipeline p("p", line(), w.steps, w.timers);
  p.start();
  for (int i = 0; i < 30; ++i) REQUIRE(in.publish(i) == outcome::ok);
  w.run();
  const auto inside = p.stats().inside;
  CHECK(inside > 5);
  CHECK(group.stats().in_flight == inside);
  p.stop();
  p.stop();
  CHECK(p.stats().inside == 0);
  CHECK(p.stats().given_back == inside);
  CHECK(group.stats().in_flight == 0);
  CHECK(group.stats().released == inside);
  for (const auto& s : p.stats().stages) {
    CHECK(s.depth == 0);
    CHECK(s.retrying == 0);
    CHECK(s.running == 0);
  }
  CHECK(w.is_idle());  // no timer is left
  w.pass(10s);
  CHECK(out.empty());

  is_up = true;
  p.start();
  w.run();
  CHECK(out == numbers(0, 30));
  CHECK(group.stats().acked == 30);
  CHECK(group.stats().nacked == 0);
  CHECK(balances(p.stats()));
}

TEST_CASE(
    "what a stop finds of a channel's values is parked, in their order, also one that has just been taken") {
  world w;
  endless<int> in(w.clock);
  std::vector<int> out;
  pipeline p(
      "p", from(in).stage("a", {.capacity = 3}, [](int i) { return i; }).to([&](int i) { out.push_back(i); }),
      w.large, w.timers);
  p.start();
  w.run();
  // It waits for a value: the push hands it over, and the task that takes it in has not run.
  REQUIRE(in.try_push(0) == outcome::ok);
  REQUIRE(in.try_push(1) == outcome::ok);
  CHECK(p.stats().taken == 0);
  p.stop();
  CHECK(p.stats().taken == 1);
  CHECK(p.stats().given_back == 1);
  CHECK(p.stats().parked == 1);
  CHECK(p.take_parked<int>() == std::vector<int>{0});
  CHECK(in.size_approx() == 1);

  for (int i = 2; i < 6; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  p.start();
  REQUIRE(w.steps.step());  // a task of before the stop, which does nothing
  CHECK(p.stats().taken == 1);
  REQUIRE(w.steps.step());
  CHECK(p.stats().taken > 2);
  const auto inside = p.stats().inside;
  p.stop();
  const auto parked = p.take_parked<int>();
  CHECK(parked == numbers(1, 1 + static_cast<int>(inside)));
  CHECK(out.empty());
  CHECK(balances(p.stats()));
  w.run();
  CHECK(out.empty());
}

TEST_CASE("drain finishes what is inside, and takes no more") {
  const watchdog guard("drain");
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  int out = 0;
  pipeline p("p", from(group).stage("a", {.capacity = 4}, [](int i) { return i; }).to([&](int) { ++out; }),
             w.large, w.timers);
  CHECK(p.drain() == 0);  // it is not started
  p.start();
  for (int i = 0; i < 30; ++i) REQUIRE(in.publish(i) == outcome::ok);
  REQUIRE(w.steps.step());
  const auto inside = p.stats().inside;
  CHECK(inside == 4);

  std::atomic<std::size_t> left{99};
  std::thread drainer([&] { left = p.drain(w.clock.now() + 1h); });
  while (!w.timers.poll(w.clock.now())) std::this_thread::yield();  // it waits
  CHECK(p.stats().done == 0);
  while (left == 99) {
    w.run();
    std::this_thread::yield();
  }
  drainer.join();
  CHECK(left == 0);
  CHECK(out == 4);
  CHECK(group.stats().acked == 4);
  CHECK(group.stats().released == 0);
  CHECK(group.stats().in_flight == 0);
  w.run();
  CHECK(out == 4);
  CHECK(w.is_idle());
  p.start();
  w.run();
  CHECK(out == 30);
}

TEST_CASE("at its deadline drain gives back the rest, and says how many") {
  const watchdog guard("drain, deadline");
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  pipeline p("p", from(group).stage("a", {.capacity = 4, .retry = exactly(100, 1h)}, [&](int) { throw 1; }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 30; ++i) REQUIRE(in.publish(i) == outcome::ok);
  w.run();
  CHECK(p.drain(w.clock.now()) == 4);
  CHECK(p.drain(w.clock.now()) == 0);
  CHECK(group.stats().released == 4);

  p.start();
  w.run();
  std::atomic<std::size_t> left{99};
  std::thread drainer([&] { left = p.drain(w.clock.now() + 10s); });
  std::chrono::seconds passed{0};
  while (left == 99) {
    w.pass(1s);
    passed += 1s;
    std::this_thread::yield();
  }
  drainer.join();
  CHECK(left == 4);
  CHECK(passed >= 10s);
  CHECK(group.stats().in_flight == 0);
  CHECK(balances(p.stats()));
}

TEST_CASE("stop waits for the functions that run, and what they are at goes back if it is not done") {
  const watchdog guard("stop waits");
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  millrace::thread_executor threads(2);
  std::latch begun(1);
  std::atomic<bool> may_end{false};
  std::atomic<bool> ended{false};
  pipeline p("p",
             from(group)
                 .stage("a",
                        [&](int i) {
                          begun.count_down();
                          while (!may_end) std::this_thread::yield();
                          ended = true;
                          return i;
                        })
                 .to([](int) {}),
             threads, w.timers);
  p.start();
  REQUIRE(in.publish(1) == outcome::ok);
  begun.wait();
  CHECK(p.stats().stages[0].running == 1);
  std::thread stopper([&] {
    p.stop();
    if (!ended) std::abort();
  });
  may_end = true;
  stopper.join();
  CHECK(ended);
  CHECK(p.stats().done + p.stats().given_back == 1);
  CHECK(group.stats().in_flight == 0);
}

TEST_CASE("a stop ends a drain, which leaves the rest to it") {
  const watchdog guard("stop and drain");
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  pipeline p("p", from(group).stage("a", {.retry = exactly(100, 1h)}, [&](int) { throw 1; }), w.steps,
             w.timers);
  p.start();
  REQUIRE(in.publish(1) == outcome::ok);
  w.run();
  std::atomic<std::size_t> left{99};
  const auto deadline = w.clock.now() + 10min;
  std::thread drainer([&] { left = p.drain(deadline); });
  for (auto next = w.timers.poll(w.clock.now()); *next > deadline; next = w.timers.poll(w.clock.now())) {
    std::this_thread::yield();
  }
  p.stop();
  drainer.join();
  CHECK(left == 0);
  CHECK(p.stats().given_back == 1);
  CHECK(group.stats().in_flight == 0);
  CHECK(w.is_idle());
}

TEST_CASE("join ends when the source has, or with a stop") {
  const watchdog guard("join");
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  millrace::thread_executor threads(2);
  std::atomic<int> n{0};
  pipeline p("p", from(group).stage("a", [&](int) { ++n; }), threads, w.timers);
  p.start();
  std::thread closer([&] {
    for (int i = 0; i < 50; ++i) static_cast<void>(in.publish(i));
    in.close();
  });
  p.join();
  CHECK(n == 50);
  CHECK(p.has_ended());
  closer.join();

  channel<int> other(8, w.clock);
  pipeline q("q", from(other).stage("a", [](int) {}), threads, w.timers);
  q.join();  // not started
  q.start();
  std::thread stopper([&] { q.stop(); });
  q.join();
  stopper.join();
  CHECK_FALSE(q.has_ended());
}

TEST_CASE("a pipeline may go while tasks of it are still to run") {
  world w;
  endless<std::shared_ptr<int>> in(w.clock);
  auto watched = std::make_shared<int>(1);
  bool called = false;
  {
    retry_policy policy;
    policy.decide = [watched](const failure&) { return decision::retry(); };
    policy.random = [watched] { return 0.5; };
    pipeline p("p",
               from(in).stage("a", {.retry = std::move(policy)},
                              [&called, watched](const std::shared_ptr<int>&) { called = true; }),
               w.large, w.timers);
    p.start();
    for (int i = 0; i < 3; ++i) REQUIRE(in.try_push(watched) == outcome::ok);
    REQUIRE(w.steps.step());
    CHECK(watched.use_count() == 7);
    CHECK_FALSE(w.steps.is_idle());
  }
  CHECK(watched.use_count() == 1);  // with its values, and all its functions
  w.run();
  CHECK_FALSE(called);
}

TEST_CASE("start and stop a thousand times: nothing is left, and nothing is lost") {
  const watchdog guard("start and stop");
  world w;
  topic<std::shared_ptr<int>> in(64, w.clock);
  auto group = in.group("g");
  auto watched = std::make_shared<int>(0);
  std::atomic<int> out{0};
  millrace::thread_executor threads(2);
  pipeline p("p",
             from(group)
                 .stage("a", {.workers = 2, .capacity = 2}, [](const std::shared_ptr<int>& s) { return s; })
                 .stage("b", {.capacity = 1}, [](const std::shared_ptr<int>& s) { return s; })
                 .to([&](const std::shared_ptr<int>&) { ++out; }),
             threads, w.timers);
  int published = 0;
  for (int i = 0; i < 1000; ++i) {
    p.start();
    for (int k = 0; k < i % 4; ++k, ++published) REQUIRE(in.publish(watched) == outcome::ok);
    if (i % 3 == 0) std::this_thread::yield();
    p.stop();
    CHECK(group.stats().in_flight == 0);
  }
  p.start();
  in.close();
  p.join();
  CHECK(out == published);
  CHECK(group.stats().acked == static_cast<std::uint64_t>(published));
  CHECK(balances(p.stats()));
}

TEST_CASE(
    "an executor that has been stopped: the pipeline works in the threads that bring something, not in their "
    "stacks' depth") {
  const watchdog guard("stopped executor");
  world w;
  endless<int> in(w.clock);
  millrace::thread_executor threads(1);
  threads.stop();
  long sum = 0;
  std::uintptr_t lowest = ~std::uintptr_t{0};
  std::uintptr_t highest = 0;
  const auto note_depth = [&] {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    lowest = std::min(lowest, here);
    highest = std::max(highest, here);
  };
  pipeline p("p",
             from(in)
                 .stage("a", {.capacity = 1}, [](int i) { return i; })
                 .stage("b", {.capacity = 1}, [](int i) { return i; })
                 .to([&](int i) {
                   note_depth();
                   sum += i;
                 }),
             threads, w.timers);
  constexpr int n = 50'000;
  for (int i = 0; i < n; ++i) static_cast<void>(in.try_push(1));
  p.start();
  CHECK(sum == n);
  CHECK(highest - lowest < 32'768);
  REQUIRE(in.try_push(1) == outcome::ok);
  CHECK(sum == n + 1);
  in.close();
  CHECK(p.has_ended());
}

TEST_CASE("where a test searches orders, a task does one thing") {
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  int calls = 0;
  pipeline p("p", from(group).stage("a", {.workers = 2}, [&](int i) { return ++calls, i; }).to([&](int) {
    ++calls;
  }),
             w.steps, w.timers);
  p.start();
  for (int i = 0; i < 8; ++i) REQUIRE(in.publish(i) == outcome::ok);
  for (auto before = p.stats(); w.steps.step(); before = p.stats()) {
    REQUIRE(p.stats().taken <= before.taken + 1);
    REQUIRE(calls <= 1);
    calls = 0;
  }
  CHECK(p.stats().done == 8);

  // otherwise many
  pipeline q("q", from(group).stage("a", [&](int i) { return i; }).to([&](int) { ++calls; }), w.large,
             w.timers);
  p.stop();
  q.start();
  for (int i = 0; i < 8; ++i) REQUIRE(in.publish(i) == outcome::ok);
  REQUIRE(w.steps.step());  // of before the stop
  REQUIRE(w.steps.step());
  CHECK(q.stats().taken == 8);
  int most = 0;
  for (calls = 0; w.steps.step(); calls = 0) most = std::max(most, calls);
  CHECK(most == 8);
}

TEST_CASE("seeds reach every order of what two pipelines do") {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    world w(seed);
    endless<int> in(w.clock);
    endless<int> other(w.clock);
    std::string history;
    pipeline p("p", from(in).stage("a", [&](int) { history += 'a'; }), w.steps, w.timers);
    pipeline q("q", from(other).stage("b", [&](int) { history += 'b'; }), w.steps, w.timers);
    for (int i = 0; i < 2; ++i) {
      REQUIRE(in.try_push(i) == outcome::ok);
      REQUIRE(other.try_push(i) == outcome::ok);
    }
    p.start();
    q.start();
    w.run();
    orders.insert(history);
  }
  CHECK(orders == std::set<std::string>{"aabb", "abab", "abba", "baab", "baba", "bbaa"});
}

// --- looking ---

TEST_CASE("an idle pipeline posts nothing and sets no timer") {
  world w;
  topic<int> in(64, w.clock);
  auto group = in.group("g");
  endless<int> values(w.clock);
  int out = 0;
  const auto sink = [&](int) { ++out; };
  pipeline p("p", from(group).stage("a", {.workers = 8}, [](int i) { return i; }).ordered().to(sink), w.steps,
             w.timers);
  pipeline q("q", from(values).stage("a", {.workers = 8}, [](int i) { return i; }).to(sink), w.steps,
             w.timers);
  p.start();
  q.start();
  for (int i = 0; i < 3; ++i) {
    CHECK(w.steps.run_until_idle() < 40);
    CHECK(w.is_idle());
    w.clock.advance(24h);
    CHECK(w.is_idle());
    REQUIRE(in.publish(i) == outcome::ok);
    REQUIRE(values.try_push(i) == outcome::ok);
  }
  w.run();
  CHECK(out == 6);
}

TEST_CASE("the stage that holds up the others is told by the time in its function") {
  world w;
  endless<int> in(w.clock);
  pipeline p("p",
             from(in)
                 .stage("quick", [&](int i) { return w.clock.advance(1ms), i; })
                 .stage("slow", {.workers = 2}, [&](int i) { return w.clock.advance(8ms), i; })
                 .to([&](int) { w.clock.advance(3ms); }),
             w.steps, w.timers);
  CHECK(p.stats().bottleneck().empty());
  p.start();
  for (int i = 0; i < 10; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  const auto s = p.stats();
  CHECK(s.elapsed == 120ms);
  CHECK(s.stages[0].busy == 10ms);
  CHECK(s.stages[1].busy == 80ms);
  CHECK(s.stages[1].offered == 240ms);
  CHECK(s.stages[1].busy_share() == Approx(80.0 / 240));
  CHECK(s.stages[2].busy == 30ms);
  CHECK(s.stages[2].rate() == Approx(10 / 0.12));
  CHECK(s.bottleneck() == "slow");
  // With more workers it is another one.
  p.scale("slow", 4);
  for (int i = 0; i < 10; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  w.run();
  const auto second = p.stats().since(s);
  CHECK(second.elapsed == 120ms);
  CHECK(second.done == 10);
  CHECK(second.stages[1].offered == 480ms);
  CHECK(second.bottleneck() == "to");
  // Time in which it is stopped does not count.
  p.stop();
  w.clock.advance(1h);
  CHECK(p.stats().elapsed == 240ms);
  p.start();
  CHECK(p.stats().elapsed == 240ms);
  w.clock.advance(60ms);
  CHECK(p.stats().elapsed == 300ms);
  CHECK(p.stats().stages[1].offered == 240ms + 480ms + 240ms);
}

TEST_CASE("a function that has not returned yet is busy, too") {
  const watchdog guard("busy");
  world w;
  channel<int> in(8, w.clock);
  millrace::thread_executor threads(1);
  std::latch begun(1);
  std::atomic<bool> may_end{false};
  pipeline p("p",
             from(in).stage("a",
                            [&](int) {
                              begun.count_down();
                              while (!may_end) std::this_thread::yield();
                            }),
             threads, w.timers);
  p.start();
  REQUIRE(in.try_push(1) == outcome::ok);
  begun.wait();
  w.clock.advance(1s);
  CHECK(p.stats().stages[0].busy_share() == Approx(1));
  CHECK(p.stats().stages[0].running == 1);
  may_end = true;
  in.close();
  p.join();
  CHECK(p.stats().stages[0].busy == 1s);
}

// --- what is refused ---

TEST_CASE("names and options out of their range are refused, by name") {
  world w;
  channel<int> in(8, w.clock);
  const auto make = [&](std::string name, std::string first, std::string second, stage_options o = {}) {
    pipeline p(std::move(name),
               from(in)
                   .stage(std::move(first), std::move(o), [](int i) { return i; })
                   .stage(std::move(second), [](int i) { return i; })
                   .to([](int) {}),
               w.steps, w.timers);
  };
  CHECK_NOTHROW(make("p", "a", "b"));
  CHECK_NOTHROW(make("p", "a", "b", {.workers = 1024, .capacity = 1 << 20}));
  CHECK_THROWS_WITH(make("", "a", "b"), "pipeline: name must not be empty");
  CHECK_THROWS_WITH(make("p", "", "b"), "pipeline: a stage's name must not be empty");
  CHECK_THROWS_WITH(make("p", "a", "a"), "pipeline: stage 'a': name must be that of one stage");
  CHECK_THROWS_WITH(make("p", "a", "to"), Catch::Contains("stage 'to': name must be another one"));
  CHECK_THROWS_WITH(make("p", "a", "b", {.workers = 0}),
                    "pipeline: stage 'a': options.workers must be 1 to 1024");
  CHECK_THROWS_WITH(make("p", "a", "b", {.workers = 1025}),
                    Catch::Contains("options.workers must be 1 to 1024"));
  CHECK_THROWS_WITH(make("p", "a", "b", {.capacity = 0}),
                    Catch::Contains("options.capacity must be 1 to 1048576"));
  CHECK_THROWS_WITH(make("p", "a", "b", {.capacity = (1 << 20) + 1}), Catch::Contains("options.capacity"));
  CHECK_THROWS_WITH(
      make("p", "a", "b", {.retry = {.attempts = 0}}),
      Catch::Contains("pipeline: stage 'a': options.retry: retry_policy: attempts must be 1 to 4294967294"));
  CHECK_THROWS_WITH(
      pipeline("p", from(in).stage("a", [](int i) { return i; }).to([](int) {}, {.attempts = 0}), w.steps,
               w.timers),
      Catch::Contains("pipeline: stage 'to': retry: retry_policy: attempts must be 1 to 4294967294"));
  CHECK_THROWS_WITH(pipeline("p", from(in).ordered().stage("a", [](int) {}), w.steps, w.timers),
                    Catch::Contains("ordered() is for what comes out"));
}

TEST_CASE("a function that is none is refused, by its stage") {
  using function = std::function<int(const int&)>;
  world w;
  channel<int> in(8, w.clock);
  const auto half = [&] { return from(in).stage("a", [](int i) { return i; }); };
  void (*none)(const int&) = nullptr;
  CHECK_THROWS_WITH(from(in).stage("a", function()), "pipeline: stage 'a': its function must be set");
  CHECK_THROWS_WITH(half().stage("b", {.workers = 2}, none), "pipeline: stage 'b': its function must be set");
  CHECK_THROWS_WITH(half().to(none), "pipeline: stage 'to': its function must be set");
  CHECK_THROWS_WITH(half().to(std::function<void(int)>()), "pipeline: stage 'to': its function must be set");
  CHECK_NOTHROW(
      half().stage("b", function([](int i) { return i; })).to(std::function<void(int)>([](int) {})));
}

// --- threads ---

TEST_CASE("threads: four stages, from a group to a topic, in order, with retries") {
  const watchdog guard("threads");
  millrace::timer_service timers;
  timers.start();
  millrace::topic<int> in(256);
  millrace::topic<std::string> out(64);
  auto reader = out.subscribe();
  auto group = in.group("g");
  millrace::thread_executor threads(4);
  std::atomic<unsigned> calls{0};
  const auto fails = [&] { return calls.fetch_add(1) % 31 == 30; };
  const auto retry = [] { return retry_policy{.attempts = 1000, .first = 1us, .most = 10us}; };
  millrace::pipeline p("p",
                       from(group)
                           .stage("a", {.workers = 2, .capacity = 16, .retry = retry()},
                                  [&](const int& i) {
                                    if (fails()) throw i;
                                    return i + 1L;
                                  })
                           .stage("b", {.workers = 3, .capacity = 4, .retry = retry()},
                                  [&](const long& i) {
                                    if (fails()) throw i;
                                    return static_cast<int>(i - 1);
                                  })
                           .stage("c", {.workers = 1, .capacity = 1}, [](const int& i) { return double(i); })
                           .stage("d", {.workers = 2, .capacity = 8, .retry = retry()},
                                  [&](const double& d) {
                                    if (fails()) throw d;
                                    return std::to_string(static_cast<int>(d));
                                  })
                           .ordered()
                           .to(out),
                       threads, timers);
  p.start();
  constexpr int n = 3000;
  std::thread publisher([&] {
    for (int i = 0; i < n; ++i) static_cast<void>(in.publish(i));
    in.close();
  });
  std::thread scaler([&] {
    for (std::size_t i = 0; i < 200; ++i) {
      p.scale("b", 1 + i % 4);
      std::this_thread::yield();
    }
  });
  int seen = 0;
  bool in_order = true;
  while (seen < n) {
    const std::string* const s = reader.next();
    if (*s != std::to_string(seen)) in_order = false;
    ++seen;
  }
  CHECK(in_order);
  p.join();
  publisher.join();
  scaler.join();
  const auto s = p.stats();
  CHECK(s.done == n);
  CHECK(s.inside == 0);
  CHECK(s.stages[0].failed + s.stages[1].failed + s.stages[3].failed == calls / 31);
  CHECK(group.stats().acked == n);
}

}  // namespace
