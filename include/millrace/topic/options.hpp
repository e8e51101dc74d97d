// millrace/topic/options.hpp - what can be chosen about a topic and about each of its readers.
//
// Use it when : the defaults are not what you want: a lossless reader that begins with what comes next, a log that keeps as
//               many messages as fit, waiting that spins for a moment and then sleeps.
// Use instead : the defaults.
// Threads     : plain values.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : checked where they are used, see topic.hpp.
// Exceptions  : none.
// Memory      : none.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/topic/options_test.cpp
//
// Example:
//   millrace::topic<tick> prices(4096, {.keep = {.messages = 1000, .age = 1h}});
//   auto slow = prices.subscribe({.from = millrace::earliest, .when_full = millrace::overrun::drop_oldest});
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// Who may publish.
enum class producers : std::uint8_t {
  single,  // one thread at a time: a message is a store
  multi,   // any number of threads at once
};

/// What happens when a reader is `capacity` messages behind.
enum class overrun : std::uint8_t {
  block,        // publishers wait for it: it loses nothing
  drop_oldest,  // it is moved on to the oldest message that is kept; missed() counts what it did not get
  drop_newest,  // it reads what it has, and misses what came meanwhile
  disconnect,   // its stream ends; disconnected() tells
};

/// How a thread waits: a reader for a message, a publisher for room.
enum class wait_strategy : std::uint8_t {
  /// Spins for some microseconds at the most, as long as that has paid off lately, offers its processor to others, if there
  /// are several readers, then sleeps.
  adaptive,
  park,   // sleeps at once
  yield,  // never sleeps: 64 pauses, and then offers its processor to others, again and again
  spin,   // never sleeps, keeps its processor, and looks again at once: the shortest delay
};

/// When a message's time is taken, for those who seek by time.
enum class stamps : std::uint8_t {
  each_segment,  // once a segment: a publish reads no clock, and a seek begins up to a segment too early
  each_message,  // of every message: exact; costs a reading of the clock, and 8 bytes a message
};

inline constexpr std::size_t unlimited = ~std::size_t{0};

/// What the log keeps of what all its readers have passed, for those who come later. The strictest of the three holds;
/// segments are dropped as a whole, so up to one segment more is kept. The last segment stays.
struct retention {
  std::size_t messages = unlimited;  // at the most as many as the capacity
  std::size_t bytes = unlimited;     // of the log; what a message owns elsewhere is not counted
  std::chrono::nanoseconds age = (std::chrono::nanoseconds::max)();
};

struct topic_options {
  retention keep = {};
  wait_strategy wait = wait_strategy::adaptive;  // of publishers
  stamps stamp = stamps::each_segment;
  /// Messages to a segment, a power of two, 2 .. 65,536; 0: a quarter of the capacity, within 64 .. 1,024.
  std::size_t segment = 0;
};

struct earliest_t {
  explicit earliest_t() = default;
};
struct latest_t {
  explicit latest_t() = default;
};
/// The oldest message that is kept.
inline constexpr earliest_t earliest{};
/// The next one to be published.
inline constexpr latest_t latest{};

}  // namespace v0
}  // namespace millrace
