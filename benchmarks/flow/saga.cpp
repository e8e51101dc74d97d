#include "millrace/flow/saga.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "millrace/flow/executor.hpp"
#include "millrace/flow/saga_event.hpp"
#include "millrace/flow/saga_runner.hpp"
#include "millrace/flow/saga_store.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/child.hpp"
#include "support/flow.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using namespace std::chrono_literals;
using flow::check;

struct transfer {
  word account = 0;
  word amount = 0;
};
using attempt = millrace::saga_attempt<transfer>;
using millrace::saga_call;
using saga = millrace::saga<transfer>;

constexpr std::uint64_t steps = 4;
/// Whether the last step fails, so that the others are taken back.
enum class fate : unsigned char { completed, compensated };

saga transfers(fate ends) {
  const auto add = [](transfer& t, const saga_call&) { ++t.amount; };
  const auto subtract = [](transfer& t, const saga_call&) { --t.amount; };
  saga s("transfer");
  s.step("first", {}, add, subtract).step("second", {}, add, subtract).step("third", {}, add, subtract);
  return std::move(s.step("fourth", {.retry = {.attempts = 1}}, [ends](attempt& a) {
    if (ends == fate::compensated) a.failed();
  }));
}

std::string id_of(std::uint64_t i) { return "s" + std::to_string(i); }

/// Nanoseconds for a step, or for taking one back.
double sample(std::size_t threads, fate ends, bool with_events, std::uint64_t messages) {
  const std::uint64_t sagas = messages / steps + 1;
  const std::uint64_t each = ends == fate::completed ? steps : 2 * steps - 1;
  saga definition = transfers(ends);
  millrace::memory_saga_store<transfer> store;
  millrace::topic<millrace::saga_event> events(4096);
  millrace::thread_executor workers(threads);
  millrace::timer_service timers;
  timers.start();
  millrace::saga_runner runner(definition, store, workers, timers,
                               {.events = with_events ? &events : nullptr});
  const auto begin = stopwatch::now();
  for (std::uint64_t i = 1; i <= sagas; ++i) {
    check(runner.start(id_of(i), {i, 0}) == millrace::saga_answer::ok, "a saga was not started");
  }
  check(runner.drain(begin + 60s) == 0, "not all sagas have ended");
  const double ns = flow::nanoseconds_each(begin, sagas * each);
  const millrace::saga_stats s = runner.stats();
  check((ends == fate::completed ? s.completed : s.compensated) == sagas && s.attempts == sagas * each,
        "the runner's books say that not every step was done once");
  return ns;
}

// --- memory ---

struct bytes_a_saga {
  double runner;
  double store;
};

bytes_a_saga memory() {
  constexpr std::size_t sagas = 10'000;
  std::vector<attempt> taken;
  taken.reserve(sagas);
  saga definition("transfer");
  definition.step("asked", {.timeout = 1h}, [&taken](attempt& a) { taken.push_back(std::move(a)); });
  millrace::thread_executor workers(1);
  millrace::timer_service timers;
  timers.start();
  millrace::memory_saga_store<transfer> store;
  millrace::saga_runner runner(definition, store, workers, timers);
  const double before = allocated();
  for (std::size_t i = 1; i <= sagas; ++i) {
    check(runner.start(id_of(i), {i, 0}) == millrace::saga_answer::ok, "a saga was not started");
  }
  workers.stop();
  check(taken.size() == sagas && runner.stats().running == sagas, "not all sagas wait for an answer");
  const double with_runner = allocated() - before;

  millrace::memory_saga_store<transfer> copies;
  const double before_copies = allocated();
  for (std::size_t i = 1; i <= sagas; ++i) {
    check(copies.insert(store.load("transfer", id_of(i)).value()), "a saga is there twice");
  }
  const double in_store = allocated() - before_copies;
  runner.stop();
  taken.clear();
  return {(with_runner - in_store) / sagas, in_store / sagas};
}

}  // namespace

void bench::add_saga(suite& s) {
  constexpr std::uint64_t enough = 100'000;
  const auto enter = [&](const char* name, role as, bool with_events) {
    const auto column = [&](const char* title, std::size_t threads, fate ends) {
      s.flow.push_back({flow::saga_table,
                        {{title, "ns"}},
                        name,
                        as,
                        [=](std::uint64_t n) { return std::vector{sample(threads, ends, with_events, n)}; },
                        true,
                        enough});
    };
    column("1 thread", 1, fate::completed);
    column("2 threads", 2, fate::completed);
    column("2 threads, taken back", 2, fate::compensated);
  };
  const char* ours = "millrace::saga_runner";
  enter(ours, role::ours, false);
  enter("millrace::saga_runner, with events", role::variant, true);
  s.flow.push_back({flow::waiting_table,
                    {{"the runner", "bytes"}, {"the store", "bytes"}},
                    ours,
                    role::ours,
                    [](std::uint64_t) {
                      const bytes_a_saga of = in_child(memory);
                      return std::vector{of.runner, of.store};
                    },
                    false});
}
