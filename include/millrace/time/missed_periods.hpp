// millrace/time/missed_periods.hpp - what becomes of the periods that nobody could wait for.
//
// Use it when : a periodic timer is scheduled.
// Use instead : nothing.
// Threads     : a plain value.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : none.
// Exceptions  : none.
// Memory      : one byte.
// Cost        : none.
// Source      : tokio's MissedTickBehavior names the same choices.
// Checked by  : tests/time/missed_periods_test.cpp
//
// Example:
//   wheel.schedule_every(now, 100ms, job, millrace::missed_periods::catch_up);
#pragma once

#include <cstdint>

namespace millrace {
inline namespace v0 {

/// What becomes of the periods that have passed before a periodic timer could fire.
enum class missed_periods : std::uint8_t {
  skip,      // it fires once for all of them, and says how many it left out
  catch_up,  // it fires once for each, at different ticks
};

}  // namespace v0
}  // namespace millrace
