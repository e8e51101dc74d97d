#include "millrace/testing/verdict.hpp"

#include <sstream>
#include <string>
#include <type_traits>

#include "support/catch.hpp"

namespace {

using millrace::testing::all;
using millrace::testing::verdict;

// As GoogleTest's, which tests/testing/with_gtest_test.cpp is about.
class assertion_result {
 public:
  explicit assertion_result(bool success) : success_(success) {}
  assertion_result& operator<<(const std::string& text) {
    text_ += text;
    return *this;
  }
  [[nodiscard]] const char* failure_message() const { return text_.c_str(); }
  [[nodiscard]] explicit operator bool() const { return success_; }

 private:
  bool success_;
  std::string text_;
};

TEST_CASE("a verdict holds or not, and has its message in both cases") {
  const verdict good(true, "found 1");
  const verdict bad(false, "found 0");
  CHECK(good);
  CHECK_FALSE(bad);
  CHECK(good.message() == "found 1");
  CHECK(bad.message() == "found 0");
  CHECK_FALSE(std::is_convertible_v<verdict, bool>);
  CHECK_FALSE(std::is_convertible_v<verdict, std::string>);
  CHECK_FALSE(std::is_convertible_v<verdict, int>);
}

TEST_CASE("a stream prints the message, and so does Catch2") {
  std::ostringstream to;
  to << verdict(false, "no topic") << '!';
  CHECK(to.str() == "no topic!");
  CHECK(Catch::Detail::stringify(verdict(false, "no topic")) == "no topic");
}

TEST_CASE("a framework's result of that kind takes it with its message") {
  const assertion_result bad = verdict(false, "no topic");
  CHECK_FALSE(static_cast<bool>(bad));
  CHECK(bad.failure_message() == std::string("no topic"));
  const auto good = assertion_result(verdict(true, "one topic"));
  CHECK(static_cast<bool>(good));
}

TEST_CASE("of several, the first that does not hold is told") {
  const verdict good(true, "good");
  const verdict bad(false, "bad");
  const verdict worse(false, "worse");
  CHECK(all(good));
  CHECK(all(good, good, good).message() == "all 3 hold");
  CHECK_FALSE(all(bad));
  CHECK(all(good, bad, worse).message() == "bad");
  CHECK(all(worse, good, bad).message() == "worse");
  CHECK_FALSE(all(good, good, bad));
}

}  // namespace
