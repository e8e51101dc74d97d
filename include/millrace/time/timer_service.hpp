// millrace/time/timer_service.hpp - timers for a whole program: any thread schedules and cancels, one thread fires.
//
// Use it when : something is to happen later, or again and again, and may be called off: timeouts, retries, reminders.
// Use instead : `timing_wheel` if one thread does it all; `delay_queue` for messages that are to arrive later.
// Threads     : schedule_*, reschedule, cancel from any thread, also from a handler. One thread fires: that of start(), or
//               one that calls run(), or poll() now and then. Handlers run in it, one after the other.
// Order       : those due at the same tick fire in order of deadline, and of the same deadline in the order in which the
//               firing thread heard of them, which is that of the calls if these come one after the other. What was
//               written before the call is visible to the handler; and what that has done, to who is told by
//               cancel_and_wait that it is over.
// Progress    : schedule, reschedule and cancel are lock-free, but for the allocation of a cell, when more are in use than
//               ever before, and for waking the firing thread if it sleeps. A thread that is suspended in the middle of
//               one hides from the firing thread what others have scheduled or moved after it, until it goes on; these
//               timers fire late then. What was heard of before is not touched by that, and a cancel holds at once.
//               cancel_and_wait waits for the handler. Nothing polls: the firing thread sleeps until the next deadline.
//               A clock that can be set, as the wall clock: a deadline is a time of that clock, also after a jump. What a
//               jump forward passes fires at once, in order; after one backward a timer waits until the clock comes to
//               its deadline again. `schedule_after` is its `now() + wait`. Of the steady clock no jumps are known; on
//               Linux it stands while the machine is suspended, and so do the timers.
// Errors      : a void timer once stop() has been called; `false` or already_fired for a timer that is void.
// Exceptions  : std::invalid_argument for a period shorter than a tick, and for an empty handler; std::length_error beyond
//               2^32 - 2^6 timers; std::logic_error for a second thread that fires; std::bad_alloc. What a handler throws
//               goes to `on_error`.
// Memory      : 144 bytes a timer, its handler in place, and 33 KiB; kept until the service is destroyed.
// Cost        : see benchmarks/README.md. A timer cancelled before the firing thread has heard of it never enters the wheel.
// Source      : a timing wheel behind a multi-producer queue, as in Netty's HashedWheelTimer; the states of a timer and
//               the hand-shake with the sleeper are ours.
// Checked by  : tests/time/timer_service_test.cpp, tests/models/timer_models.cpp
//
// Example:
//   millrace::timer_service timers;
//   timers.start();
//   auto t = timers.schedule_after(30min, [order] { order->expire(); });
//   if (timers.cancel(t) == millrace::cancel_result::cancelled) confirm();   // it was paid in time
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/time/detail/tick_count.hpp"
#include "millrace/time/detail/timer_engine.hpp"
#include "millrace/time/detail/timer_front.hpp"
#include "millrace/time/missed_periods.hpp"

namespace millrace {
inline namespace v0 {

namespace detail {
struct sleeping_timers;
}

/// `Tick` is how exact it is.
template <clock Clock = std::chrono::steady_clock, class Tick = std::chrono::milliseconds,
          class Sync = std_sync>
class basic_timer_service {
 public:
  using clock_type = Clock;
  using sync_type = Sync;
  using tick = Tick;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  /// Of 48 bytes at the most; capture a pointer to more.
  using handler = function<void()>;

 private:
  struct sink {
    basic_timer_service* me;
    void fire(handler& h, time_point due) const noexcept { me->call(h, due); }
    void drop(handler&) const noexcept {}
  };
  using engine = detail::timer_engine<handler, sink, Clock, Tick, Sync>;

 public:
  /// Names a timer, for ever: once it has fired for the last time or was cancelled, all calls say so. It can be copied,
  /// compared, and asked whether it is void.
  using timer = typename engine::timer;

  /// All are called by the firing thread, but for on_earlier.
  struct hooks {
    /// What a handler has thrown. Without it, it is only counted.
    function<void(std::exception_ptr)> on_error = {};
    /// Before each handler: how late it is, by the clock; less than 0 for one that stop() fires before its time. It must
    /// not throw.
    function<void(duration)> on_fire = {};
    /// By a thread whose timer is to fire before the time that poll() gave last: call poll() soon. With start() and run()
    /// it is not needed. It must not throw.
    function<void()> on_earlier = {};
  };

  basic_timer_service()
    requires stateless_clock<Clock>
      : basic_timer_service(hooks()) {}
  explicit basic_timer_service(hooks h)
    requires stateless_clock<Clock>
      : basic_timer_service(clock_ref<Clock>(), std::move(h)) {}
  /// The clock must outlive the service.
  explicit basic_timer_service(clock_ref<Clock> clock, hooks h = {})
      : on_error_(std::move(h.on_error)),
        on_fire_(std::move(h.on_fire)),
        engine_(clock, sink{this}, std::move(h.on_earlier)) {}
  basic_timer_service(const basic_timer_service&) = delete;
  basic_timer_service& operator=(const basic_timer_service&) = delete;
  /// As stop(), if that has not been called. Every other call must have returned.
  ~basic_timer_service() = default;

  // --- any thread ---

  /// Calls `h` after `wait`, at once if that is 0 or less. Void: the service has been stopped, and `h` is gone.
  template <class Rep, class Period>
  timer schedule_after(std::chrono::duration<Rep, Period> wait, handler h) {
    return schedule_at(detail::saturating_deadline(engine_.now(), wait), std::move(h));
  }
  timer schedule_at(time_point deadline, handler h) {
    return submit(deadline, 0, missed_periods::skip, std::move(h));
  }
  /// Calls `h` at `first` and then with every `period`, a tick at least, without drift.
  timer schedule_every(time_point first, duration period, handler h,
                       missed_periods rule = missed_periods::skip) {
    if (period.count() < detail::tick_count<Tick, Clock>::units) {
      detail::fail<std::invalid_argument>("timer_service::schedule_every: period must be a tick at least");
    }
    return submit(first, period.count(), rule, std::move(h));
  }

  /// Gives it another (next) deadline, also from its own handler, where it makes it fire once more. False: it has fired,
  /// or is void, or its handler is running for the last time. Of two at the same time one wins.
  bool reschedule(timer t, time_point deadline) noexcept { return engine_.reschedule(t, deadline); }

  cancel_result cancel(timer t) noexcept {
    return engine_.take(t, [](handler&) noexcept {});
  }
  /// As cancel, and if the handler is running it waits until that has returned, but not in the firing thread itself.
  cancel_result cancel_and_wait(timer t) noexcept { return engine_.cancel_and_wait(t); }
  /// As cancel, and gives the handler back if the answer would have been `cancelled`; nothing otherwise.
  [[nodiscard]] std::optional<handler> extract(timer t) noexcept {
    std::optional<handler> out;
    static_cast<void>(engine_.take(t, [&](handler& h) noexcept { out.emplace(std::move(h)); }));
    return out;
  }

  /// In a handler, its own timer: for reschedule and cancel, as the handle may not be known there yet. Void elsewhere.
  [[nodiscard]] timer current() const noexcept { return engine_.current(); }
  [[nodiscard]] time_point now() const noexcept { return engine_.now(); }
  /// How many exceptions handlers have thrown.
  [[nodiscard]] std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }
  /// How many periods have been left out.
  [[nodiscard]] std::uint64_t skipped() const noexcept { return engine_.skipped(); }

  // --- the firing thread ---

  /// Starts a thread that fires, until stop().
  void start() { engine_.start(); }
  /// Fires in this thread, until stop() is called in another one or in a handler.
  void run() { engine_.run(); }
  /// Fires what is due, and returns when to call it next at the latest; nothing: there are no timers. For a loop of the
  /// host's, one thread at a time. After `steps`, at least 1 (timers heard of, brought nearer or fired), it returns `now` if
  /// there may be more. See hooks::on_earlier.
  std::optional<time_point> poll(time_point now, std::size_t steps = ~std::size_t{0}) {
    if (steps == 0) detail::fail<std::invalid_argument>("timer_service::poll: steps must be 1 or more");
    return engine_.poll(now, steps);
  }

  /// No timer can be scheduled any more, and those that there are fire now or never. Waits for the firing thread, and does
  /// it itself if there is none; in a handler it only takes note, for when that has returned. Idempotent: the first call
  /// says what becomes of pending timers.
  void stop(pending_timers what = pending_timers::drop) noexcept { engine_.stop(what); }

 private:
  friend detail::sleeping_timers;

  timer submit(time_point first, typename duration::rep period, missed_periods rule, handler&& h) {
    if (!h) detail::fail<std::invalid_argument>("timer_service: handler must be set");
    return engine_.submit(first, period, rule, std::move(h));
  }
  void call(handler& h, time_point due) noexcept {
    if (on_fire_) on_fire_(engine_.now() - due);
#if MILLRACE_HAS_EXCEPTIONS
    try {
      h();
    } catch (...) {
      errors_.fetch_add(1, std::memory_order_relaxed);
      report(std::current_exception());
    }
#else
    h();
#endif
  }
#if MILLRACE_HAS_EXCEPTIONS
  void report(std::exception_ptr e) noexcept {
    if (on_error_) on_error_(std::move(e));
  }
#endif

  function<void(std::exception_ptr)> on_error_;
  function<void(duration)> on_fire_;
  typename Sync::template atomic<std::uint64_t> errors_{0};
  engine engine_;  // last, as it may call handlers until it is gone
};

using timer_service = basic_timer_service<>;

namespace detail {
/// What sleep.hpp needs beside: a timer that fires in stop() too, whatever that does with others, and knows of it.
struct sleeping_timers {
  template <class Service>
  static typename Service::timer schedule(Service& timers, typename Service::time_point deadline,
                                          typename Service::handler h) {
    return timers.engine_.submit(deadline, 0, missed_periods::skip, std::move(h), true);
  }
  template <class Service>
  static bool is_ending(const Service& timers) noexcept {
    return timers.engine_.is_ending();
  }
};
}  // namespace detail

}  // namespace v0
}  // namespace millrace
