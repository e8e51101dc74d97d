// millrace/time/sleep.hpp - a coroutine that sleeps until a time comes, and needs no thread for that.
//
// Use it when : a coroutine is to go on after a while: a pause before it tries again, a deadline of its own.
// Use instead : `timer_service::schedule_after` for a callback; std::this_thread::sleep_for in a thread.
// Threads     : any. It is resumed by executor(handle), called in the thread that fires the service's timers, or in the one
//               that asked for the stop; by default that thread runs it at once: do not block there.
// Order       : as timer_service's.
// Progress    : lock-free, but for the memory that timer_service may take.
// Errors      : ok; cancelled: a stop was requested first; closed: the service was stopped first, and then it is resumed in
//               stop(), whatever becomes of other timers.
// Exceptions  : std::bad_alloc, std::length_error as timer_service's, where it is awaited.
// Memory      : about 100 bytes in the coroutine's frame, and a timer.
// Cost        : that of a timer.
// Source      : ours.
// Checked by  : tests/time/sleep_test.cpp, tests/models/sleep_models.cpp
//
// A coroutine that sleeps may be destroyed, by any thread. It takes its timer with it, or the executor has been given its
// handle by then and has to forget it.
//
// Example:
//   millrace::timer_service timers;   // started
//   for (auto pause = 100ms; !co_await send(m); pause *= 2) {
//     const millrace::outcome o = co_await millrace::sleep_for(timers, pause, millrace::inline_executor(), stop);
//     if (o != millrace::outcome::ok) co_return;
//   }
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/stop_callback.hpp"
#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/time/timer_service.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Its timer fires, or a stop cancels it: whichever it is wakes it, and if that comes while it is still about to suspend, it
/// does not.
template <class Service, class Executor, class Stop>
class [[nodiscard]] sleeper {
  using time_point = typename Service::time_point;

 public:
  sleeper(Service& timers, time_point deadline, Executor executor, Stop stop)
      : timers_(timers), deadline_(deadline), executor_(std::move(executor)), stop_(std::move(stop)) {}
  sleeper(const sleeper&) = delete;
  sleeper& operator=(const sleeper&) = delete;
  /// Of a coroutine that is destroyed while it sleeps.
  ~sleeper() {
    on_stop_.reset();
    if (suspended_) static_cast<void>(timers_.cancel_and_wait(timer_));
  }

  [[nodiscard]] bool await_ready() noexcept {
    if (stop_.stop_requested()) answer_ = outcome::cancelled;
    return answer_ != outcome::ok || timers_.now() >= deadline_;
  }
  /// False: there is an answer already.
  bool await_suspend(std::coroutine_handle<> me) {
    me_ = me;
    const auto fired = [this] { wake(sleeping_timers::is_ending(timers_) ? outcome::closed : outcome::ok); };
    timer_ = sleeping_timers::schedule(timers_, deadline_, fired);
    if (!timer_) {
      answer_ = outcome::closed;
      return false;
    }
    suspended_ = true;
    if (stop_.stop_possible()) on_stop_.emplace(stop_, stopping{this});
    std::uint8_t was = about_to;
    // (1) release: who wakes it finds it as it is left here; acquire: or it finds what that one has said
    return state_.compare_exchange_strong(was, asleep, std::memory_order_release, std::memory_order_acquire);
  }
  outcome await_resume() noexcept {
    suspended_ = false;
    on_stop_.reset();
    return answer_;
  }

 private:
  enum : std::uint8_t { about_to, asleep, woken };

  struct stopping {
    sleeper* me;
    void operator()() const noexcept {
      if (me->timers_.cancel(me->timer_) == cancel_result::cancelled) me->wake(outcome::cancelled);
    }
  };

  void wake(outcome answer) noexcept {
    answer_ = answer;
    if (state_.exchange(woken, std::memory_order_acq_rel) != asleep) return;  // (1)
    // why: once it is resumed, it and its executor may be gone
    Executor executor(std::move(executor_));
    executor(me_);
  }

  Service& timers_;
  const time_point deadline_;
  MILLRACE_NO_UNIQUE_ADDRESS Executor executor_;
  Stop stop_;
  std::coroutine_handle<> me_;
  typename Service::timer timer_;
  outcome answer_ = outcome::ok;
  bool suspended_ = false;  // the coroutine's own
  typename Service::sync_type::template atomic<std::uint8_t> state_{about_to};
  std::optional<typename stop_callback_of<Stop, stopping>::type> on_stop_;
};

}  // namespace detail

/// To co_await at once: ok, cancelled or closed. At once, if `wait` is 0 or less. The service must outlive it.
template <clock Clock, class Tick, class Sync, class Rep, class Period, class Executor = inline_executor,
          class Stop = std::stop_token>
  requires std::invocable<Executor&, std::coroutine_handle<>>
[[nodiscard]] auto sleep_for(basic_timer_service<Clock, Tick, Sync>& timers,
                             std::chrono::duration<Rep, Period> wait, Executor executor = {},
                             Stop stop = {}) {
  using service = basic_timer_service<Clock, Tick, Sync>;
  return detail::sleeper<service, Executor, Stop>(timers, detail::saturating_deadline(timers.now(), wait),
                                                  std::move(executor), std::move(stop));
}
template <clock Clock, class Tick, class Sync, class Executor = inline_executor, class Stop = std::stop_token>
  requires std::invocable<Executor&, std::coroutine_handle<>>
[[nodiscard]] auto sleep_until(basic_timer_service<Clock, Tick, Sync>& timers,
                               typename Clock::time_point deadline, Executor executor = {}, Stop stop = {}) {
  using service = basic_timer_service<Clock, Tick, Sync>;
  return detail::sleeper<service, Executor, Stop>(timers, deadline, std::move(executor), std::move(stop));
}

}  // namespace v0
}  // namespace millrace
