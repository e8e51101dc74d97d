// millrace/core/manual_clock.hpp - a clock that moves only when a test says so.
//
// Use it when : a test concerns time. Everything in the library that reads a clock takes this one, and a thread
//               that waits with a limit is woken when the clock is moved past it.
// Use instead : `std::chrono::steady_clock` in production.
// Threads     : any thread may read, move and wait.
// Order       : a thread that sees the new time sees what was written before the move.
// Progress    : `now()` is wait-free; the rest takes a mutex.
// Errors      : `advance` by a negative duration throws std::invalid_argument; `set` may go anywhere.
// Exceptions  : as above; without exceptions it prints the message and terminates.
// Memory      : about 100 bytes; never allocates. Must outlive what waits on it.
// Cost        : that of a load for `now()`; of a mutex for the rest.
// Source      : ours; after tokio's `time::pause`/`advance` and Java's `Clock.fixed` in purpose.
// Checked by  : tests/core/manual_clock_test.cpp
//
// Example:
//   millrace::manual_clock clock;
//   std::thread t([&] { result = ch.pop_for(value, 30min); });  // ch holds a reference to the clock
//   clock.await_waiters(1);                                     // t is asleep
//   clock.advance(30min);                                       // t returns with outcome::timeout
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"

namespace millrace {
inline namespace v0 {

class manual_clock {
 public:
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<manual_clock>;
  static constexpr bool is_steady = false;

  explicit manual_clock(time_point start = time_point{}) noexcept : now_(start.time_since_epoch().count()) {}
  manual_clock(const manual_clock&) = delete;
  manual_clock& operator=(const manual_clock&) = delete;

  [[nodiscard]] time_point now() const noexcept {
    return time_point(duration(now_.load(std::memory_order_acquire)));
  }

  /// Moves the clock forward and wakes every thread whose limit has come.
  void advance(duration by) {
    if (by < duration::zero()) {
      detail::fail<std::invalid_argument>("manual_clock::advance: by must be 0 or more; set() turns it back");
    }
    const std::lock_guard lock(mutex_);
    move_to(detail::saturating_deadline(now(), by));
  }

  /// Moves the clock anywhere, backwards included, and wakes every thread whose limit has come.
  void set(time_point to) {
    const std::lock_guard lock(mutex_);
    move_to(to);
  }

  /// Blocks until at least `n` threads wait with a limit on this clock: the meeting point before `advance`.
  void await_waiters(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiters_ >= n; });
  }

  /// One wait with a limit, as components register it: `fire(context)` is called, with the clock's mutex held,
  /// once the deadline has come. For authors of components.
  class alarm {
   public:
    alarm(manual_clock& clock, time_point deadline, void (*fire)(void*) noexcept, void* context) noexcept
        : clock_(clock), deadline_(deadline), fire_(fire), context_(context) {
      const std::lock_guard lock(clock_.mutex_);
      next_ = clock_.alarms_;
      if (next_ != nullptr) next_->previous_ = this;
      clock_.alarms_ = this;
      ++clock_.waiters_;
      clock_.changed_.notify_all();
      ring_if_due();
    }
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;
    ~alarm() {
      const std::lock_guard lock(clock_.mutex_);
      (previous_ != nullptr ? previous_->next_ : clock_.alarms_) = next_;
      if (next_ != nullptr) next_->previous_ = previous_;
      --clock_.waiters_;
    }

   private:
    friend manual_clock;
    void ring_if_due() noexcept {
      if (clock_.now() >= deadline_) fire_(context_);
    }

    manual_clock& clock_;
    time_point deadline_;
    void (*fire_)(void*) noexcept;
    void* context_;
    alarm* previous_ = nullptr;
    alarm* next_ = nullptr;
  };

 private:
  void move_to(time_point to) noexcept {
    now_.store(to.time_since_epoch().count(), std::memory_order_release);
    for (alarm* a = alarms_; a != nullptr; a = a->next_) a->ring_if_due();
  }

  std::atomic<rep> now_;
  std::mutex mutex_;
  std::condition_variable changed_;
  alarm* alarms_ = nullptr;  // \ guarded by mutex_
  std::size_t waiters_ = 0;  // /
};

static_assert(clock<manual_clock> && !stateless_clock<manual_clock>);

}  // namespace v0
}  // namespace millrace
