// Sagas on real threads: with a timer service that runs, answers from other threads, and runners that come and go.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "millrace/flow/saga_runner.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/saga_bank.hpp"
#include "support/watchdog.hpp"

namespace {

using millrace::retry_policy;
using millrace::saga_answer;
using millrace::saga_attempt;
using millrace::saga_call;
using millrace::saga_state;
using support::booking;
using support::saga_bank;
using namespace std::chrono_literals;
using attempt = saga_attempt<booking>;
using answers = millrace::channel<attempt, millrace::unbounded_queue<attempt>>;

/// The same for the same call in every run, and spread.
std::uint64_t drawn(const saga_call& c) {
  return std::hash<std::string>()(c.key + std::to_string(c.attempt)) * 0x9E3779B97F4A7C15U >> 40;
}

/// Three steps, or a pivot and a step behind it. Of ten calls one throws, one is answered by another thread, one is dropped there,
/// and one in fifty is never answered.
struct services {
  explicit services(saga_bank& b) : bank(b) {
    answerer = std::thread([this] {
      attempt a;
      std::vector<attempt> never;
      while (to_answer.pop(a) == millrace::outcome::ok) {
        const auto n = drawn(a.call());
        if (n % 50 == 9) {
          never.push_back(std::move(a));
        } else if (n % 10 == 8) {
          a = attempt();
        } else {
          bank.apply(a.call());
          a.done();
        }
      }
    });
  }
  ~services() {
    to_answer.close();
    answerer.join();
  }
  auto call() {
    return [this](attempt& a) {
      bank.note(a.call());
      const auto n = drawn(a.call());
      if (n % 10 == 0) throw std::runtime_error("refused");
      if (n % 10 >= 7) {
        static_cast<void>(to_answer.push(std::move(a)));
      } else {
        bank.apply(a.call());
      }
    };
  }

  saga_bank& bank;
  answers to_answer;
  std::thread answerer;
};

millrace::saga_step_options quick(std::uint32_t attempts) {
  const auto retry = [&] { return retry_policy::fixed(1ms, attempts); };
  return {.retry = retry(), .compensation_retry = retry(), .timeout = 20ms};
}

}  // namespace

TEST_CASE("a thousand sagas on four threads, and their books") {
  const support::watchdog dog("sagas on threads");
  saga_bank bank;
  services s(bank);
  millrace::saga<booking> money("money");
  const support::saga_shape shape{3, 1};
  money.step("a", quick(2), s.call(), s.call()).pivot("b", quick(2), s.call()).step("c", quick(3), s.call());

  millrace::memory_saga_store<booking> store;
  millrace::topic<millrace::saga_event> events(100'000);
  millrace::topic<millrace::saga_failure<booking>> lost(10'000);
  auto audit = events.subscribe();
  auto clerk = lost.subscribe();
  millrace::timer_service timers;
  timers.start();
  millrace::thread_executor workers(4);
  millrace::saga_runner runner(money, store, workers, timers, {.events = &events, .dead_letters = &lost});
  constexpr int sagas = 1000;
  std::atomic<int> refused{0};
  std::vector<std::thread> starters;
  for (int t = 0; t < 2; ++t) {
    starters.emplace_back([&] {  // both the same ones: each is started once
      for (int i = 0; i < sagas; ++i) {
        if (runner.start(std::to_string(i), booking()) == saga_answer::exists) ++refused;
      }
    });
  }
  for (auto& t : starters) t.join();
  CHECK(refused == sagas);
  CHECK(runner.drain(std::chrono::steady_clock::now() + 60s) == 0);
  runner.stop();

  std::unordered_map<std::string, std::vector<millrace::saga_event>> events_of;
  audit.poll([&](const millrace::saga_event& e) { events_of[e.id].push_back(e); });
  std::unordered_map<std::string, int> letters_of;
  clerk.poll([&](const auto& f) { ++letters_of[f.id]; });
  long done = 0;
  std::uint64_t stuck = 0;
  for (int i = 0; i < sagas; ++i) {
    const std::string id = std::to_string(i);
    const auto state = runner.state(id);
    REQUIRE(state);
    std::string wrong = support::wrong_with(events_of[id], shape);
    if (wrong.empty()) wrong = support::wrong_with(bank, events_of[id], shape, "money", id, *state);
    if (!wrong.empty()) FAIL("saga " << id << ": " << wrong);
    REQUIRE((is_finished(*state) || *state == saga_state::stuck));
    REQUIRE(letters_of[id] == (*state == saga_state::stuck ? 1 : 0));
    stuck += *state == saga_state::stuck;
    for (std::size_t n = 0; n < shape.steps; ++n) {
      done += bank.of(millrace::saga_key("money", id, support::step_name(n))) == saga_bank::entry::done;
    }
  }
  CHECK(bank.balance() == done);
  const auto stats = runner.stats();
  CHECK(stats.started == sagas);
  CHECK(stats.completed + stats.compensated + stats.stuck == sagas);
  CHECK(stats.stuck == stuck);
  CHECK(stats.completed > 0);
  CHECK(stats.compensated > 0);
  CHECK(stats.timed_out > 0);
  CHECK(stats.events_lost == 0);
  CHECK(stats.running == 0);
  workers.stop();
  timers.stop();
}

TEST_CASE("answers and time-outs at the same time: one of them counts") {
  const support::watchdog dog("answers against time-outs");
  millrace::saga<booking> race("race");
  std::atomic<std::uint64_t> accepted{0};
  answers to_answer;
  race.step("a", {.retry = retry_policy::fixed(1us, millrace::unlimited_attempts), .timeout = 1ms},
            [&](attempt& a) { static_cast<void>(to_answer.push(std::move(a))); });
  millrace::memory_saga_store<booking> store;
  millrace::timer_service timers;
  timers.start();
  millrace::thread_executor workers(2);
  millrace::saga_runner runner(race, store, workers, timers);
  std::thread answerer([&] {
    attempt a;
    std::uint64_t n = 0;
    while (to_answer.pop(a) == millrace::outcome::ok) {
      // about when its time is over
      const auto at = std::chrono::steady_clock::now() + std::chrono::microseconds(50 * (++n % 30));
      while (std::chrono::steady_clock::now() < at) std::this_thread::yield();
      ++a->done;
      accepted += a.done();
    }
  });
  constexpr int sagas = 300;
  for (int i = 0; i < sagas; ++i) {
    REQUIRE(runner.start(std::to_string(i), booking()) == saga_answer::ok);
    while (runner.stats().running != 0) std::this_thread::yield();
  }
  CHECK(runner.drain(std::chrono::steady_clock::now() + 100s) == 0);
  to_answer.close();
  answerer.join();
  const auto s = runner.stats();
  CHECK(s.completed == sagas);
  CHECK(accepted == sagas);  // each once
  CHECK(s.attempts == s.timed_out + sagas);
  for (int i = 0; i < sagas; ++i) REQUIRE(store.load("race", std::to_string(i))->context.done == 1);
}

TEST_CASE("runners come and go a thousand times, with sagas in the middle of everything") {
  const support::watchdog dog("runners that come and go");
  saga_bank bank;
  millrace::memory_saga_store<booking> store;
  millrace::topic<millrace::saga_event> events(1000);
  millrace::timer_service timers;
  timers.start();
  millrace::thread_executor workers(2);
  std::optional<services> s(bank);
  millrace::saga<booking> money("money");
  money.step("a", quick(millrace::unlimited_attempts), s->call(), s->call())
      .step("b", quick(2), s->call(), s->call())
      .step("c", quick(2), s->call(), s->call());
  constexpr int lives = 1000;
  std::size_t resumed = 0;
  for (int i = 0; i < lives; ++i) {
    millrace::saga_runner runner(money, store, workers, timers, {.events = &events});
    resumed += runner.resume_all();
    REQUIRE(runner.start(std::to_string(i), booking()) == saga_answer::ok);
    if (i % 3 == 0) std::this_thread::yield();
    if (i % 7 == 0) static_cast<void>(runner.drain(std::chrono::steady_clock::now() + 1ms));
  }
  CHECK(resumed > 0);
  millrace::saga_runner last(money, store, workers, timers, {.events = &events});
  static_cast<void>(last.resume_all());
  CHECK(last.drain(std::chrono::steady_clock::now() + 60s) == 0);
  s.reset();  // what it still has comes too late
  long done = 0;
  for (int i = 0; i < lives; ++i) {
    const std::string id = std::to_string(i);
    const auto state = last.state(id);
    REQUIRE(state);
    REQUIRE((is_finished(*state) || *state == saga_state::stuck));
    for (std::size_t n = 0; n < 3; ++n) {
      const auto entry = bank.of(millrace::saga_key("money", id, support::step_name(n)));
      if (*state == saga_state::completed) REQUIRE(entry == saga_bank::entry::done);
      if (*state == saga_state::compensated) REQUIRE(entry != saga_bank::entry::done);
      done += entry == saga_bank::entry::done;
    }
  }
  CHECK(bank.balance() == done);
}
