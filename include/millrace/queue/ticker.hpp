// millrace/queue/ticker.hpp - a beat that one thread keeps: in a select between its messages, or by itself.
//
// Use it when : a loop that serves channels also has something to do every second: `select(on_pop(...), on_tick(...))`.
// Use instead : `after` in a select, for a limit that begins anew with each wait; `timer_service::schedule_every` for what
//               is called by itself, in another thread.
// Threads     : one at a time.
// Order       : does not apply.
// Progress    : wait-free; the select sleeps until the next tick.
// Errors      : none.
// Exceptions  : std::invalid_argument for a period that is not positive.
// Memory      : three words.
// Cost        : that of reading the clock; a select reads it with every try.
// Source      : Go's time.Ticker, without its goroutine and its channel.
// Checked by  : tests/queue/ticker_test.cpp
//
// Example:
//   millrace::ticker beat(1s);
//   for (bool go_on = true; go_on;) {
//     millrace::select(
//         millrace::on_pop(orders, [&](std::optional<order> o) { go_on = o.has_value(); if (o) book(*o); }),
//         millrace::on_tick(beat, [&](std::uint64_t missed) { report(); }));
//   }
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"

namespace millrace {
inline namespace v0 {

/// The first tick comes a period after its construction, and all others a whole number of periods after that, without drift.
/// Those that have been missed when one is taken are left out.
template <clock Clock = std::chrono::steady_clock>
class ticker {
 public:
  using clock_type = Clock;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;

  explicit ticker(duration period)
    requires stateless_clock<Clock>
      : ticker(period, clock_ref<Clock>()) {}
  /// The clock must outlive the ticker.
  ticker(duration period, clock_ref<Clock> clock) : clock_(clock), period_(period) {
    if (period <= duration::zero()) {
      detail::fail<std::invalid_argument>("ticker: period must be more than 0");
    }
    next_ = detail::saturating_deadline(clock_.now(), period);
  }

  /// When the next one comes.
  [[nodiscard]] time_point next() const noexcept { return next_; }
  [[nodiscard]] clock_ref<Clock> clock() const noexcept { return clock_; }

  /// Takes a tick if one has come, and says how many that came before it are left out; nothing: none has come.
  [[nodiscard]] std::optional<std::uint64_t> try_tick() noexcept {
    const time_point now = clock_.now();
    if (now < next_) return std::nullopt;
    // Unsigned: a clock that was set may have gone further than its durations reach.
    const auto late = static_cast<std::uint64_t>(now.time_since_epoch().count()) -
                      static_cast<std::uint64_t>(next_.time_since_epoch().count());
    const auto period = static_cast<std::uint64_t>(period_.count());
    next_ = detail::saturating_deadline(
        now, duration(static_cast<typename duration::rep>(period - late % period)));
    return late / period;
  }

 private:
  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  duration period_;
  time_point next_;
};

template <class Rep, class Period>
ticker(std::chrono::duration<Rep, Period>) -> ticker<std::chrono::steady_clock>;
template <class Rep, class Period, clock Clock>
ticker(std::chrono::duration<Rep, Period>, Clock&) -> ticker<Clock>;

}  // namespace v0
}  // namespace millrace
