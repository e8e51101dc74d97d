// millrace/testing/search_orders.hpp - one test, in the orders of many seeds; and the first seed with which it fails.
//
// Use it when : a result must not depend on what happens first: two groups that change the same thing, a payment and a cancellation.
// Use instead : a test of its own for each order, where they are few and known.
// Threads     : calls the test in this thread, one seed after the other.
// Order       : seeds from `first` on, and ends with the first one that fails.
// Progress    : that of the test.
// Errors      : a failed verdict names the seed. Seeds draw at random: that none fails is no proof, and a rare order takes many.
// Exceptions  : std::invalid_argument for 0 seeds. A std::exception of the test is a failure, with its text; others, as a framework's
//               assertion may throw, go through: have the framework tell the seed (INFO, SCOPED_TRACE).
// Memory      : none.
// Cost        : that of the test, each time; it should make everything anew.
// Source      : random scheduling: K. Sen, Effective Random Testing of Concurrent Programs, ASE 2007.
// Checked by  : tests/testing/search_orders_test.cpp
//
// Example:
//   REQUIRE(millrace::testing::search_orders(200, [](std::uint64_t seed) {
//     millrace::testing::stepped_bus t(seed);
//     ...
//     return all(books_balance(b), expect_all_settled(t.bus()));
//   }));
//   REQUIRE(search_orders(1, test, 17));   // seed 17 once more
#pragma once

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/testing/verdict.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

/// Calls test(seed), which returns a verdict or a bool, for `seeds` seeds.
template <class Test>
[[nodiscard]] verdict search_orders(std::uint64_t seeds, Test&& test, std::uint64_t first = 0) {
  if (seeds == 0) detail::fail<std::invalid_argument>("search_orders: seeds must be 1 or more");
  const auto tried = [&](std::uint64_t seed) -> verdict {
    using result = std::invoke_result_t<Test&, std::uint64_t>;
    static_assert(std::is_same_v<result, verdict> || std::is_same_v<result, bool>,
                  "search_orders: the test must return a verdict or a bool");
    if constexpr (std::is_same_v<result, bool>) {
      return {test(seed), "it returned false"};
    } else {
      return test(seed);
    }
  };
  const auto failed = [&](std::uint64_t seed, const std::string& how) {
    return verdict(false, "seed " + std::to_string(seed) + ": " + how);
  };
  for (std::uint64_t seed = first; seed - first != seeds; ++seed) {
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      if (const verdict v = tried(seed); !v) return failed(seed, v.message());
#if MILLRACE_HAS_EXCEPTIONS
    } catch (const std::exception& e) {
      return failed(seed, std::string("it threw \"") + e.what() + '"');
    }
#endif
  }
  return {true, "seeds " + std::to_string(first) + " to " + std::to_string(first + (seeds - 1)) + " hold"};
}

}  // namespace testing
}  // namespace v0
}  // namespace millrace
