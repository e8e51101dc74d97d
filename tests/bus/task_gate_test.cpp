#include "millrace/bus/detail/task_gate.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "millrace/flow/executor.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using millrace::thread_executor;
using millrace::detail::task_gate;
using millrace::testing::step_executor;
using ints = std::vector<int>;

TEST_CASE("tasks wait for the opening, go to the executor in order, and after the closing run at once") {
  step_executor steps;
  const auto gate = std::make_shared<task_gate>();
  ints seen;
  const auto post = [&](int n) { gate->post([&seen, n] { seen.push_back(n); }); };
  post(1);
  post(2);
  CHECK(steps.is_idle());
  gate->open(steps);
  CHECK(steps.size() == 2);
  post(3);
  CHECK(seen.empty());
  CHECK(steps.run_until_idle() == 3);
  CHECK(seen == ints{1, 2, 3});
  gate->open(steps);
  CHECK(steps.is_idle());
  gate->close();
  post(4);
  CHECK(seen == ints{1, 2, 3, 4});
  CHECK(steps.is_idle());
}

TEST_CASE("the closing runs what the executor has not come to, in the order of the posts, and once") {
  step_executor steps;
  auto gate = std::make_shared<task_gate>();
  gate->open(steps);
  ints seen;
  const auto post = [&](int n) { gate->post([&seen, n] { seen.push_back(n); }); };
  for (int n = 0; n < 4; ++n) post(n);
  CHECK(steps.step());
  CHECK(steps.step());
  for (int n = 4; n < 8; ++n) post(n);  // in places that were left
  CHECK(steps.step());
  gate->close();
  CHECK(seen == ints{0, 1, 2, 3, 4, 5, 6, 7});
  gate->close();
  gate.reset();
  // Tickets that come late find nothing, and hold what they look at.
  CHECK(steps.run_until_idle() == 5);
  CHECK(seen.size() == 8);
}

TEST_CASE("an empty task is nothing to do, whatever the state of the gate") {
  step_executor steps;
  const auto gate = std::make_shared<task_gate>();
  gate->post({});
  gate->open(steps);
  gate->post({});
  CHECK(steps.is_idle());
  gate->close();
  gate->post({});
}

TEST_CASE("a task that the closing runs may post") {
  step_executor steps;
  const auto gate = std::make_shared<task_gate>();
  SECTION("before it was opened") {}
  SECTION("after") { gate->open(steps); }
  ints seen;
  gate->post([&] {
    seen.push_back(1);
    gate->post([&] { seen.push_back(2); });
  });
  gate->close();
  CHECK(seen == ints{1, 2});
}

TEST_CASE("whatever the seed, a ticket runs its own task") {
  bool differ = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    step_executor steps(seed);
    step_executor same(seed);
    const auto gate = std::make_shared<task_gate>();
    gate->open(steps);
    ints by_gate;
    ints without;
    for (int n = 0; n < 10; ++n) {
      gate->post([&by_gate, n] { by_gate.push_back(n); });
      same.post([&without, n] { without.push_back(n); });
    }
    steps.run_until_idle();
    same.run_until_idle();
    CHECK(by_gate == without);
    differ = differ || by_gate != ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    gate->close();
  }
  CHECK(differ);
}

TEST_CASE(
    "threads post while it is opened and closed: each task runs once, and the executor is left alone "
    "afterwards") {
  const support::watchdog guard("task_gate, threads");
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> runs{0};
    const auto gate = std::make_shared<task_gate>();
    constexpr int each = 200;
    std::vector<std::thread> posters;
    {
      thread_executor workers(2);
      for (int i = 0; i < 3; ++i) {
        posters.emplace_back([&] {
          for (int n = 0; n < each; ++n) gate->post([&] { runs.fetch_add(1, std::memory_order_relaxed); });
        });
      }
      gate->open(workers);
      while (runs.load(std::memory_order_relaxed) < each / 2) std::this_thread::yield();
      gate->close();
    }  // it is gone, and the posters may go on
    for (std::thread& p : posters) p.join();
    CHECK(runs == 3 * each);
  }
}

}  // namespace
