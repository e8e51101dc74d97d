// millrace/core/clock.hpp - what the library takes as a clock, and how a component holds one.
//
// Use it when : you write a component that reads the time.
// Use instead : nothing; users name `std::chrono::steady_clock` (the default everywhere) or `manual_clock`.
// Threads     : `now()` from any thread.
// Order       : does not apply.
// Progress    : as the clock's own `now()`.
// Errors      : none.
// Exceptions  : none.
// Memory      : a `clock_ref` is empty for a clock without state, a pointer otherwise.
// Cost        : that of `now()`.
// Source      : [time.clock.req] of the C++ standard, less the demand that `now` be static.
// Checked by  : tests/core/clock_test.cpp
//
// Example:
//   template <clock Clock> struct stopwatch { clock_ref<Clock> clock; typename Clock::time_point start = clock.now(); };
#pragma once

#include <chrono>
#include <concepts>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// A clock of the standard library, or an object with a non-static `now()`, as `manual_clock`.
template <class C>
concept clock = requires(const C& c) {
  typename C::duration;
  typename C::time_point;
  { c.now() } noexcept -> std::same_as<typename C::time_point>;
};

/// A clock whose `now()` needs no object.
template <class C>
concept stateless_clock = clock<C> && requires {
  { C::now() } -> std::same_as<typename C::time_point>;
};

/// How a component holds its clock: by reference where the clock has state, by name otherwise.
template <clock Clock>
class clock_ref {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a clock is passed where a reference to it is wanted
  clock_ref(Clock& c) noexcept : clock_(&c) {}
  [[nodiscard]] typename Clock::time_point now() const noexcept { return clock_->now(); }
  [[nodiscard]] Clock& get() const noexcept { return *clock_; }

 private:
  Clock* clock_;
};

template <stateless_clock Clock>
class clock_ref<Clock> {
 public:
  // why said: an aggregate would be in the running, for clang, where the options of something are given in braces
  constexpr clock_ref() noexcept = default;
  [[nodiscard]] typename Clock::time_point now() const noexcept { return Clock::now(); }
};

namespace detail {

/// `now + wait`, held at the clock's end instead of running over it; a NaN wait counts as none.
template <class TimePoint, class Rep, class Period>
[[nodiscard]] constexpr TimePoint saturating_deadline(
    TimePoint now, const std::chrono::duration<Rep, Period>& wait) noexcept {
  using duration = typename TimePoint::duration;
  using seconds = std::chrono::duration<double>;
  // why: compared as floating point, because converting a huge duration exactly may itself overflow, and so may
  // the distance from a time before the epoch; the second taken off is far more than the rounding.
  const seconds room = seconds((TimePoint::max)().time_since_epoch()) - seconds(now.time_since_epoch());
  const seconds longest = seconds((duration::max)()) < room ? seconds((duration::max)()) : room;
  if (!(seconds(wait) > seconds::zero())) return now;
  if (seconds(wait) >= longest - seconds(1)) return (TimePoint::max)();
  return now + std::chrono::ceil<duration>(wait);
}

}  // namespace detail

}  // namespace v0
}  // namespace millrace
