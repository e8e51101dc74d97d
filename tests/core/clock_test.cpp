// What is a clock, how a component holds one, and deadlines that do not overflow.
#include "millrace/core/clock.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::clock_ref;
using millrace::manual_clock;
using millrace::detail::saturating_deadline;
using steady = std::chrono::steady_clock;

struct may_throw {
  using duration = std::chrono::seconds;
  using time_point = std::chrono::time_point<may_throw, duration>;
  static time_point now();
};

static_assert(millrace::clock<steady> && millrace::clock<std::chrono::system_clock>);
static_assert(millrace::stateless_clock<steady> && millrace::stateless_clock<std::chrono::system_clock>);
static_assert(millrace::clock<manual_clock> && !millrace::stateless_clock<manual_clock>);
static_assert(!millrace::clock<int> && !millrace::clock<may_throw>);
static_assert(std::is_empty_v<clock_ref<steady>> && sizeof(clock_ref<manual_clock>) == sizeof(void*));
static_assert(std::is_convertible_v<manual_clock&, clock_ref<manual_clock>>);
static_assert(!std::is_default_constructible_v<clock_ref<manual_clock>>, "a clock with state must be named");

constexpr steady::time_point at(std::chrono::nanoseconds since) { return steady::time_point(since); }

}  // namespace

TEST_CASE("a clock_ref tells its clock's time") {
  manual_clock clock(manual_clock::time_point(5s));
  const clock_ref<manual_clock> ref = clock;
  CHECK(ref.now() == clock.now());
  clock.advance(1s);
  CHECK(ref.now().time_since_epoch() == 6s);
  CHECK(&ref.get() == &clock);
  const auto before = steady::now();
  CHECK(clock_ref<steady>().now() >= before);
}

TEST_CASE("a deadline is now plus the wait, rounded up") {
  CHECK(saturating_deadline(at(10s), 5s) == at(15s));
  CHECK(saturating_deadline(at(10s), 1ns) == at(10s + 1ns));
  CHECK(saturating_deadline(at(10s), std::chrono::duration<long, std::pico>(1)) == at(10s + 1ns));
  CHECK(saturating_deadline(at(10s), std::chrono::duration<long, std::pico>(1001)) == at(10s + 2ns));
  CHECK(saturating_deadline(at(10s), std::chrono::duration<double>(0.5)) == at(10s + 500ms));
  CHECK(saturating_deadline(at(10s), std::chrono::years(200)) == at(10s + std::chrono::years(200)));
}

TEST_CASE("no wait, a negative one and NaN: now") {
  CHECK(saturating_deadline(at(10s), 0s) == at(10s));
  CHECK(saturating_deadline(at(10s), -1ns) == at(10s));
  CHECK(saturating_deadline(at(10s), (std::chrono::nanoseconds::min)()) == at(10s));
  CHECK(saturating_deadline(at(10s), (std::chrono::hours::min)()) == at(10s));
  CHECK(saturating_deadline(at(10s), std::chrono::duration<double>(-1e300)) == at(10s));
  const std::chrono::duration<double> nan(std::numeric_limits<double>::quiet_NaN());
  CHECK(saturating_deadline(at(10s), nan) == at(10s));
}

TEST_CASE("a time before the epoch is a time like others") {
  CHECK(saturating_deadline(at(-5s), 1s) == at(-4s));
  CHECK(saturating_deadline(at(-5s), 10s) == at(5s));
  CHECK(saturating_deadline(at(-5s), (std::chrono::hours::max)()) == (decltype(at(0s))::max)());
}

TEST_CASE("a wait past the clock's end: the end") {
  constexpr auto end = (steady::time_point::max)();
  CHECK(saturating_deadline(at(10s), (std::chrono::nanoseconds::max)()) == end);
  CHECK(saturating_deadline(at(0s), (std::chrono::nanoseconds::max)()) == end);
  CHECK(saturating_deadline(at(10s), (std::chrono::hours::max)()) == end);
  CHECK(saturating_deadline(at(10s), (std::chrono::years::max)()) == end);
  CHECK(saturating_deadline(at(10s), std::chrono::duration<double>(1e300)) == end);
  CHECK(saturating_deadline(at(10s),
                            std::chrono::duration<double>(std::numeric_limits<double>::infinity())) == end);
  CHECK(saturating_deadline(at(10s), std::chrono::duration<std::uint64_t, std::nano>(~std::uint64_t{0})) ==
        end);
  CHECK(saturating_deadline(end, 1ns) == end);
  CHECK(saturating_deadline(end - 5s, 10s) == end);
  CHECK(saturating_deadline(end - 1h, 30min) == end - 30min);
}
