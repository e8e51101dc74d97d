// The deadline after one that has fired, which both kinds of timers take from the same place.
#include "millrace/time/missed_periods.hpp"

#include <chrono>
#include <cstdint>
#include <limits>

#include "millrace/core/manual_clock.hpp"
#include "millrace/time/detail/tick_count.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using ticks = millrace::detail::tick_count<std::chrono::milliseconds, millrace::manual_clock>;

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t end = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t begin = std::numeric_limits<std::int64_t>::min();

struct result {
  std::int64_t next;
  std::uint64_t missed;
  friend bool operator==(const result&, const result&) = default;
};
result after(std::int64_t deadline, std::int64_t period, bool catches_up, std::int64_t now) {
  result r{};
  r.next = ticks::next(deadline, period, catches_up, ticks::until(now), r.missed);
  return r;
}

}  // namespace

TEST_CASE("in time: the next period, whatever the rule") {
  CHECK(after(10 * ms, 5 * ms, false, 10 * ms) == result{15 * ms, 0});
  CHECK(after(10 * ms, 5 * ms, true, 10 * ms) == result{15 * ms, 0});
  CHECK(after(10 * ms + 1, 5 * ms, false, 15 * ms) == result{15 * ms + 1, 0});  // it comes at 16
}

TEST_CASE(
    "too late: skip goes to the first period that is still to come and counts the others, catch_up to the "
    "next") {
  CHECK(after(10 * ms, 5 * ms, false, 15 * ms) == result{20 * ms, 1});
  CHECK(after(10 * ms, 5 * ms, false, 19 * ms) == result{20 * ms, 1});
  CHECK(after(10 * ms, 5 * ms, false, 20 * ms) == result{25 * ms, 2});
  CHECK(after(10 * ms, 5 * ms, true, 20 * ms) == result{15 * ms, 0});
  CHECK(after(10 * ms, 3 * ms + 1, false, 20 * ms) == result{22 * ms + 4, 3});
  CHECK(after(10 * ms, ms, false, 3'600'000 * ms) == result{3'600'001 * ms, 3'599'990});
}

TEST_CASE("at the ends of the clock's range it does not run over") {
  CHECK(after(end - 1, 5 * ms, false, end - 1) == result{end, 0});
  CHECK(after(end, ms, true, end) == result{end, 0});
  CHECK(after(0, end, false, ms) == result{end, 0});
  CHECK(after(begin, end, false, end) == result{end - 1, 1});
  const result late = after(begin, 10 * ms, false, end);
  CHECK(late.next > end / ms * ms - 1);
  CHECK(late.missed == 1'844'674'407'370);
}
