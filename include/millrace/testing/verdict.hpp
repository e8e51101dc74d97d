// millrace/testing/verdict.hpp - whether something is as a test wants it, and in words what was wanted and what was there.
//
// Use it when : you have got one from an expectation, and hand it to the framework of your tests: Catch2's REQUIRE(v) and GoogleTest's
//               EXPECT_TRUE(v) both print the message. Or you write an expectation of your own, as for search_orders.
// Use instead : the framework's own assertions, for plain values.
// Threads     : a plain value.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : none.
// Exceptions  : std::bad_alloc.
// Memory      : that of the message.
// Cost        : that of the message, also if all is well.
// Source      : GoogleTest's AssertionResult in purpose.
// Checked by  : tests/testing/verdict_test.cpp, tests/testing/with_gtest_test.cpp
//
// Example:
//   millrace::testing::verdict books_balance(const bank& b) {
//     return {b.sum() == 0, "the sum of all accounts is " + std::to_string(b.sum()) + ", and must be 0"};
//   }
//   REQUIRE(all(books_balance(b), expect_all_settled(t.bus())));
#pragma once

#include <concepts>
#include <cstddef>
#include <iosfwd>
#include <string>
#include <utility>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// GoogleTest's AssertionResult, of which only this is known here.
template <class Result>
concept takes_a_message = requires(Result r, const std::string& text) {
  Result(true);
  { r << text } -> std::convertible_to<Result>;
  { r.failure_message() } -> std::convertible_to<const char*>;
};

}  // namespace detail

namespace testing {

class [[nodiscard]] verdict {
 public:
  verdict(bool holds, std::string message) : holds_(holds), message_(std::move(message)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return holds_; }
  /// What was wanted and what was there, whether it holds or not.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

  template <detail::takes_a_message Result>
  operator Result() const {  // NOLINT(google-explicit-constructor): so that EXPECT_TRUE(v) prints it
    return Result(holds_) << message_;
  }
  template <class Traits>
  friend std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& to,
                                                      const verdict& v) {
    return to << v.message_;
  }

 private:
  bool holds_;
  std::string message_;
};

/// The first one that does not hold; or that all of them hold.
template <std::same_as<verdict>... Verdicts>
[[nodiscard]] verdict all(const Verdicts&... verdicts) {
  static_assert(sizeof...(Verdicts) != 0, "all: of what?");
  const verdict* wrong = nullptr;
  static_cast<void>((... || (verdicts ? false : (wrong = &verdicts) != nullptr)));
  return wrong != nullptr ? *wrong : verdict(true, "all " + std::to_string(sizeof...(Verdicts)) + " hold");
}

}  // namespace testing
}  // namespace v0
}  // namespace millrace
