#include "millrace/testing/search_orders.hpp"

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"

namespace {

using millrace::testing::search_orders;
using millrace::testing::verdict;

TEST_CASE("each seed is tried once, in order") {
  std::vector<std::uint64_t> tried;
  const verdict v = search_orders(5, [&](std::uint64_t seed) {
    tried.push_back(seed);
    return true;
  });
  CHECK(v);
  CHECK(v.message() == "seeds 0 to 4 hold");
  CHECK(tried == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
  CHECK(search_orders(2, [](std::uint64_t) { return true; }, 17).message() == "seeds 17 to 18 hold");
}

TEST_CASE("the first seed that fails is told, with its message, and none is tried after it") {
  int tries = 0;
  const auto test = [&](std::uint64_t seed) {
    ++tries;
    return verdict(seed % 8 != 7, "the books do not balance");
  };
  const verdict v = search_orders(100, test);
  CHECK_FALSE(v);
  CHECK(v.message() == "seed 7: the books do not balance");
  CHECK(tries == 8);
  CHECK(search_orders(100, test, 8).message() == "seed 15: the books do not balance");
  CHECK(search_orders(1, test, 7).message() == "seed 7: the books do not balance");
  CHECK(search_orders(7, test));
  CHECK(search_orders(3, [](std::uint64_t seed) { return seed < 2; }).message() ==
        "seed 2: it returned false");
}

TEST_CASE("an exception is a failure, but not a framework's own") {
  const verdict v = search_orders(4, [](std::uint64_t seed) -> bool {
    if (seed == 3) throw std::runtime_error("no such account");
    return true;
  });
  CHECK(v.message() == "seed 3: it threw \"no such account\"");
  struct of_the_framework {};
  CHECK_THROWS_AS(
      static_cast<void>(search_orders(4, [](std::uint64_t) -> bool { throw of_the_framework(); })),
      of_the_framework);
}

TEST_CASE("a search of no orders would always hold, and is refused") {
  CHECK_THROWS_WITH(static_cast<void>(search_orders(0, [](std::uint64_t) { return true; })),
                    "search_orders: seeds must be 1 or more");
}

TEST_CASE("it finds an order that is rare, and its seed repeats it") {
  // 5 tasks; wrong only if they come backwards: one order of 120
  const auto test = [](std::uint64_t seed) {
    millrace::testing::step_executor steps(seed);
    std::vector<int> seen;
    for (int i = 0; i < 5; ++i) steps.post([&seen, i] { seen.push_back(i); });
    steps.run_until_idle();
    return verdict(seen != std::vector<int>{4, 3, 2, 1, 0}, "backwards");
  };
  std::uint64_t bad = 0;
  while (test(bad)) ++bad;
  CHECK(bad > 0);
  CHECK(search_orders(2000, test).message() == "seed " + std::to_string(bad) + ": backwards");
  CHECK_FALSE(search_orders(1, test, bad));
}

}  // namespace
