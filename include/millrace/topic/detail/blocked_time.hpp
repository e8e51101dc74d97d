// How long publishers have waited for room, all together, and those who wait now among them.
//
// One word: [ microseconds : 48 | who waits : 16 ]. Who begins takes the time of the clock from the sum, and who ends adds it, so
// that at any moment the sum and as many times `now` as there are waiting are what has been waited. All of it is modulo 2^48.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// Relaxed: a number, and nothing hangs on it.
template <class Sync>
class blocked_time {
 public:
  /// `now`: in nanoseconds of one clock.
  void begin(std::int64_t now) noexcept { sum_.fetch_add(1 - (us(now) << shift), std::memory_order_relaxed); }
  void end(std::int64_t now) noexcept { sum_.fetch_add((us(now) << shift) - 1, std::memory_order_relaxed); }

  /// now() is asked for after the sum, hence the acquire, so that nobody has begun later.
  template <class Now>
  [[nodiscard]] std::chrono::microseconds so_far(Now now) const noexcept {
    const std::uint64_t word = sum_.load(std::memory_order_acquire);
    const std::uint64_t waiting = word & ((1 << shift) - 1);
    const std::uint64_t sum = (((word >> shift) + waiting * us(now())) << shift) >> shift;
    const bool set_back = sum >> (63 - shift) != 0;  // the clock was
    return std::chrono::microseconds(set_back ? 0 : static_cast<std::int64_t>(sum));
  }

 private:
  static constexpr int shift = 16;
  static std::uint64_t us(std::int64_t t) noexcept { return static_cast<std::uint64_t>(t / 1000); }

  typename Sync::template atomic<std::uint64_t> sum_{0};
};

/// As long as it lives, somebody waits for room in this log.
template <class Log>
class waits_for_room {
 public:
  explicit waits_for_room(Log& in) noexcept : in_(in) { in_.blocked.begin(in_.now()); }
  waits_for_room(const waits_for_room&) = delete;
  waits_for_room& operator=(const waits_for_room&) = delete;
  ~waits_for_room() { in_.blocked.end(in_.now()); }

 private:
  Log& in_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
