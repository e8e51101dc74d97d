// Waiting costs nothing: a pipeline with a retry before it, sagas that wait for an answer, a question and a half message use
// next to no processor time. A test that really waits, because that is what it measures.
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/flow/executor.hpp"
#include "millrace/flow/half_messages.hpp"
#include "millrace/flow/pipeline.hpp"
#include "millrace/flow/request.hpp"
#include "millrace/flow/saga.hpp"
#include "millrace/flow/saga_runner.hpp"
#include "millrace/flow/saga_store.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"

namespace {
using namespace std::chrono_literals;
using millrace::outcome;
}  // namespace

TEST_CASE(
    "a pipeline, sagas, a request and a half message that wait for a second: under 5 ms of processor time") {
  const support::watchdog guard("idle flow");
  millrace::timer_service timers;
  millrace::thread_executor workers(4);
  timers.start();

  // One message waits for its retry, and the last stage for another one.
  millrace::topic<int> orders(64);
  millrace::channel<int> out(64);
  millrace::pipeline line("shop",
                          millrace::from(orders.group("shop"))
                              .stage("risk", {.workers = 2}, [](const int& o) { return o; })
                              .stage("pay", {.retry = {.first = 1h, .most = 1h}},
                                     [](const int& o) -> int {
                                       if (o < 0) throw std::runtime_error("later");
                                       return o;
                                     })
                              .ordered()
                              .to(out),
                          workers, timers);
  line.start();
  REQUIRE(orders.publish(1) == outcome::ok);
  REQUIRE(out.pop() == 1);
  REQUIRE(orders.publish(-1) == outcome::ok);

  // Each waits for an answer that does not come.
  std::mutex mutex;
  std::vector<millrace::saga_attempt<int>> asked;
  millrace::saga<int> transfer("transfer");
  transfer.step("debit", {.timeout = 1h}, [&](millrace::saga_attempt<int>& a) {
    const std::lock_guard lock(mutex);
    asked.push_back(std::move(a));
  });
  millrace::memory_saga_store<int> store;
  millrace::saga_runner runner(transfer, store, workers, timers);
  constexpr std::size_t sagas = 100;
  for (std::size_t i = 0; i < sagas; ++i) {
    REQUIRE(runner.start(std::to_string(i), 0) == millrace::saga_answer::ok);
  }

  millrace::topic<millrace::query<int, int>> quotes(64);
  auto nobody = quotes.subscribe();
  auto answer = millrace::request<int>(quotes, timers, 7, 1h);
  millrace::half_messages<millrace::topic<int>> halves(
      orders, timers, workers,
      {.ask_after = 1h,
       .ask = [](const int&) { return millrace::half_decision::unknown; },
       .lost = [](int&&, millrace::half_loss) {}});
  REQUIRE(halves.prepare(3));

  const auto are_waiting = [&] {
    const std::lock_guard lock(mutex);
    return asked.size() == sagas;
  };
  while (!are_waiting() || line.stats().stages[1].retrying != 1) std::this_thread::yield();
  REQUIRE(support::used_by_program() != std::chrono::nanoseconds::max());  // it can be measured
  CHECK(support::used_in_a_second_at_rest() < 5ms);
  CHECK_FALSE(answer.is_ready());
  CHECK(runner.stats().running == sagas);
  runner.stop();
  halves.stop();
  line.stop();
  timers.stop();
  workers.stop();
}
