#include "millrace/testing/step_executor.hpp"

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using millrace::testing::step_executor;

std::vector<int> order_of(step_executor& steps) {
  std::vector<int> seen;
  for (int i = 0; i < 6; ++i) steps.post([&seen, i] { seen.push_back(i); });
  steps.run_until_idle();
  return seen;
}

TEST_CASE("tasks are run when the test says so, in the order of their posts") {
  step_executor steps;
  int runs = 0;
  CHECK_FALSE(steps.step());
  steps.post([&] { ++runs; });
  steps.post([&] { runs += 10; });
  CHECK(runs == 0);
  CHECK(steps.size() == 2);
  CHECK(steps.step());
  CHECK(runs == 1);
  CHECK(steps.step());
  CHECK(runs == 11);
  CHECK(steps.is_idle());
  CHECK(order_of(steps) == std::vector<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("an empty task is nothing to do, and not a step") {
  step_executor steps;
  steps.post({});
  CHECK(steps.is_idle());
  CHECK_FALSE(steps.step());
}

TEST_CASE("a task may post, and a limit ends what never ends") {
  step_executor steps;
  struct for_ever {
    step_executor& to;
    int& runs;
    void operator()() const {
      ++runs;
      to.post(*this);
    }
  };
  int runs = 0;
  steps.post(for_ever{steps, runs});
  CHECK(steps.run_until_idle(50) == 50);
  CHECK(runs == 50);
  CHECK_FALSE(steps.is_idle());
}

TEST_CASE("a seed draws an order, and repeats it; some seed has each order") {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    step_executor a(seed);
    step_executor b(seed);
    const auto drawn = order_of(a);
    CHECK(drawn == order_of(b));
    auto sorted = drawn;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == std::vector<int>{0, 1, 2, 3, 4, 5});
    orders.insert(drawn);
  }
  CHECK(orders.size() > 40);

  std::set<std::vector<int>> of_three;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    step_executor steps(seed);
    std::vector<int> seen;
    for (int i = 0; i < 3; ++i) steps.post([&seen, i] { seen.push_back(i); });
    steps.run_until_idle();
    of_three.insert(seen);
  }
  CHECK(of_three.size() == 6);
}

TEST_CASE("other threads may post") {
  step_executor steps;
  int runs = 0;
  std::thread([&] { steps.post([&] { ++runs; }); }).join();
  CHECK(steps.run_until_idle() == 1);
  CHECK(runs == 1);
}

}  // namespace
