// What a group has to do at a certain time, in nanoseconds of the topic's clock. A wheel, made when it is first needed.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/delivery/detail/group_entry.hpp"
#include "millrace/time/timing_wheel.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <clock Clock>
class group_timers {
  using wheel = timing_wheel<group_entry*, std::chrono::milliseconds, Clock>;
  using time_point = typename Clock::time_point;
  using duration = typename Clock::duration;
  using nanoseconds = std::chrono::nanoseconds;

 public:
  using timer = typename wheel::handle;
  static constexpr std::int64_t never = INT64_MAX;

  explicit group_timers(clock_ref<Clock> clock) noexcept : clock_(clock) {}

  /// When to call advance, at the latest.
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }

  /// e.until is when `e` is due. Also where `t` is one that has been set: that one moves. False: there is no memory.
  bool set(group_entry& e, timer& t) noexcept {
    const time_point due(std::chrono::ceil<duration>(nanoseconds(e.until)));
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      if (wheel_ == nullptr) wheel_ = std::make_unique<wheel>(clock_.now());
      if (!wheel_->reschedule(t, due)) t = wheel_->schedule(due, &e);
#if MILLRACE_HAS_EXCEPTIONS
    } catch (...) {
      return false;
    }
#endif
    look();
    return true;
  }
  void cancel(timer t) noexcept {
    if (wheel_ != nullptr && wheel_->cancel(t)) look();
  }
  /// f(entry) of what is due, in order.
  template <class F>
  void advance(std::int64_t now, F f) noexcept {
    if (next_ > now) return;
    wheel_->advance(time_point(std::chrono::floor<duration>(nanoseconds(now))),
                    [&](group_entry*& e) { f(*e); });
    look();
  }
  /// f(entry) of all; then there are none.
  template <class F>
  void drain(F f) noexcept {
    if (wheel_ == nullptr) return;
    wheel_->drain([&](group_entry*& e) { f(*e); });
    look();
  }
  /// Likewise, without a word to them, and gives the memory back.
  void drop() noexcept {
    wheel_ = nullptr;
    next_ = never;
  }

 private:
  void look() noexcept {
    const auto at = wheel_->next_wakeup();
    next_ = at ? std::chrono::duration_cast<nanoseconds>(at->time_since_epoch()).count() : never;
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  std::unique_ptr<wheel> wheel_;
  std::int64_t next_ = never;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
