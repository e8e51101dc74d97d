// millrace/delivery/group_stats.hpp - what a consumer group has done, what it has to do, and why it does nothing just now.
//
// Use it when : you have asked consumer_group::stats().
// Use instead : nothing.
// Threads     : a plain value, of one moment.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : none.
// Exceptions  : none.
// Memory      : none.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/delivery/consumer_group_test.cpp
//
// Example:
//   if (auto s = billing.stats(); s.blocked == millrace::blocked_by::breaker) page("the bank is down, " + std::to_string(s.backlog));
#pragma once

#include <chrono>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// Why the last look of a consumer found nothing.
enum class blocked_by : std::uint8_t {
  none,
  empty,      // everything has been taken
  paused,     // pause, pause_until, throttle, drain
  in_flight,  // options.max_in_flight
  rate,       // options.limiter
  breaker,    // options.breaker
  order,      // what comes next is behind others of its key, or of a strict order
  retries,    // options.max_waiting
};

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(blocked_by b) noexcept {
  switch (b) {
    case blocked_by::none: return "none";
    case blocked_by::empty: return "empty";
    case blocked_by::paused: return "paused";
    case blocked_by::in_flight: return "in_flight";
    case blocked_by::rate: return "rate";
    case blocked_by::breaker: return "breaker";
    case blocked_by::order: return "order";
    case blocked_by::retries: return "retries";
  }
  return "invalid";
}

struct group_stats {
  // Messages, now:

  std::uint64_t backlog = 0;    // in the log, not taken yet
  std::uint64_t ready = 0;      // taken, and can be delivered
  std::uint64_t behind = 0;     // behind others of their key
  std::uint64_t in_flight = 0;  // delivered, not settled
  std::uint64_t waiting = 0;    // for another attempt, or for their time
  std::uint64_t parked = 0;     // out of attempts, or rejected, and nowhere to go

  // Since the group began, messages:

  std::uint64_t acked = 0;
  std::uint64_t dead = 0;        // moved to the dead letters
  std::uint64_t expired = 0;     // not delivered (again): their time to live had passed
  std::uint64_t duplicates = 0;  // not delivered: seen before
  std::uint64_t missed = 0;      // lost by options.when_full, and not by overrun::block

  // Likewise, deliveries:

  std::uint64_t delivered = 0;
  std::uint64_t redelivered = 0;  // of these, second and later ones
  std::uint64_t nacked = 0;       // by nack, by a handler's exception, by a delivery that was destroyed
  std::uint64_t timed_out = 0;
  // by release and throttle, and by a worker that has not begun, and stops or is held back:
  std::uint64_t released = 0;
  std::uint64_t rejected = 0;
  std::uint64_t late = 0;  // settled when they were none any more

  std::chrono::nanoseconds oldest{0};  // the age of the oldest message that is taken and not settled
  blocked_by blocked = blocked_by::none;
};

}  // namespace v0
}  // namespace millrace
