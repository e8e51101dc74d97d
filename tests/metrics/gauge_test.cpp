#include "millrace/metrics/gauge.hpp"

#include <limits>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitized.hpp"

using millrace::gauge;

TEST_CASE("a gauge goes up and down") {
  gauge g;
  CHECK(g.value() == 0);
  g.set(7.5);
  CHECK(g.value() == 7.5);
  g.add(-10);
  CHECK(g.value() == -2.5);
  g.add(0.5);
  CHECK(g.value() == -2);
  g.set(std::numeric_limits<double>::infinity());
  g.add(-1);
  CHECK(g.value() == std::numeric_limits<double>::infinity());
}

TEST_CASE("no add of any thread is lost, and whole numbers stay exact") {
  constexpr int adds = SUPPORT_SANITIZED ? 20'000 : 200'000;
  gauge g;
  g.set(9'000'000'000'000'000.0);
  {
    std::vector<std::jthread> threads;
    for (const double step : {3.0, -1.0, -2.0}) {
      threads.emplace_back([&g, step] {
        for (int i = 0; i < adds; ++i) g.add(step);
      });
    }
  }
  CHECK(g.value() == 9'000'000'000'000'000.0);
}
