// Time as a wheel counts it.
#pragma once

#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// A tick is a 64-bit number, the clock's epoch being 2^63, so that all are in order; a deadline is a count of the
/// clock's units.
template <class Tick, clock Clock>
struct tick_count {
  static_assert(std::is_integral_v<typename Clock::rep> && sizeof(typename Clock::rep) == 8,
                "timing_wheel: the clock must count in 64-bit integers");
  using ratio = std::ratio_divide<typename Tick::period, typename Clock::period>;
  static_assert(ratio::den == 1, "timing_wheel: a Tick must be a whole number of the clock's units");
  static constexpr std::int64_t units = ratio::num;
  static constexpr std::uint64_t epoch = std::uint64_t{1} << 63;
  using limits = std::numeric_limits<std::int64_t>;

  /// The last tick that has come at that time.
  [[nodiscard]] static std::uint64_t until(std::int64_t count) noexcept {
    return static_cast<std::uint64_t>(count / units - (count % units < 0 ? 1 : 0)) ^ epoch;
  }
  /// The first tick that is not before that time.
  [[nodiscard]] static std::uint64_t from(std::int64_t count) noexcept {
    return static_cast<std::uint64_t>(count / units + (count % units > 0 ? 1 : 0)) ^ epoch;
  }
  /// Held at the clock's ends, beyond which the first tick and the last one may lie.
  [[nodiscard]] static std::int64_t time_of(std::uint64_t tick) noexcept {
    const auto n = static_cast<std::int64_t>(tick ^ epoch);
    if (n > (limits::max)() / units) return (limits::max)();
    if (n < (limits::min)() / units) return (limits::min)();
    return n * units;
  }

  /// The deadline after that one of a timer that has fired, `target` being the tick that time has come to. `missed` is how
  /// many are left out.
  [[nodiscard]] static std::int64_t next(std::int64_t deadline, std::int64_t period, bool catches_up,
                                         std::uint64_t target, std::uint64_t& missed) noexcept {
    constexpr std::int64_t end = (limits::max)();
    missed = 0;
    if (deadline > end - period) return end;
    const std::int64_t following = deadline + period;
    if (catches_up || from(following) > target) return following;
    const std::int64_t now = time_of(target);
    const std::uint64_t late = static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(following);
    missed = late / static_cast<std::uint64_t>(period) + 1;
    const std::int64_t ahead = period - static_cast<std::int64_t>(late % static_cast<std::uint64_t>(period));
    return now > end - ahead ? end : now + ahead;
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
