// How a coroutine waits for an event count: it stands in the same line as the threads, and who calls it tries for it, so that
// it is resumed with its answer.
//
// Its place is taken out of the line by one caller at a time (a notifier, or a stop), and who has it out works for the
// coroutine under `mutex_`: first the coroutine itself, while it suspends, later whoever calls. Nothing foreign runs under
// that mutex but T's move. A caller that comes when there is nothing to do any more (the coroutine has its answer, or is
// being destroyed) opens `none_comes_` in its last touch, and is waited for.
//
// The caller that found the answer gives the executor the handle, and opens `handed_over_` when that is done, which the
// coroutine waits for when it is resumed or destroyed; unless it is resumed or destroyed inside that very call, and then
// says so in `*inside_`.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <stop_token>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/gate.hpp"
#include "millrace/core/detail/stop_callback.hpp"
#include "millrace/core/event_count.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// What an Operation offers:
///   line()       the event count to wait on
///   try_now()    a try with all that belongs to it; true: done
///   attempt()    likewise, but tells nobody; tell(), a callable that outlives the operation, does that afterwards
///   tell_of_waiting()  a callable as well, for an attempt that has come to nothing and still done something; may be missing
///   cancel()     the answer is that it was cancelled
///   answer()     for the coroutine; abandon() instead if it does not live to hear it
template <class Sync, class Operation, class Executor, class Stop>
class [[nodiscard]] awaiter : private basic_event_count<Sync>::place {
  using place = typename basic_event_count<Sync>::place;

 public:
  awaiter(Operation operation, Executor executor, Stop stop)
      : place([](place& p) noexcept { static_cast<awaiter&>(p).called(false); }),
        operation_(std::move(operation)),
        executor_(std::move(executor)),
        stop_(std::move(stop)) {}
  awaiter(const awaiter&) = delete;
  awaiter& operator=(const awaiter&) = delete;

  /// Of a coroutine that is destroyed while it is suspended: it leaves the line, and a wake-up that was meant for it goes
  /// on to the next. If it has been given its answer already, it is to be dropped by the executor too.
  ~awaiter() {
    on_stop_.reset();
    if (!suspended_) return;
    mutex_.lock();
    if (!resolved_) {
      resolve_and_leave();
      return;
    }
    mutex_.unlock();
    await_hand_over();
    operation_.abandon();
  }

  [[nodiscard]] bool await_ready() { return operation_.try_now() || stopped(); }

  /// False: there is an answer already.
  bool await_suspend(std::coroutine_handle<> me) {
    me_ = me;
    suspended_ = true;
    if (stop_.stop_possible()) on_stop_.emplace(stop_, stopping{this});
    mutex_.lock();
    if (stay()) return true;
    suspended_ = false;
    operation_.tell()();
    return false;
  }

  auto await_resume() {
    if (std::exchange(suspended_, false)) await_hand_over();
    on_stop_.reset();
#if MILLRACE_HAS_EXCEPTIONS
    if (error_) std::rethrow_exception(error_);
#endif
    return operation_.answer();
  }

 private:
  struct stopping {
    awaiter* me;
    void operator()() const noexcept {
      if (me->operation_.line().leave(*me)) me->called(true);
    }
  };

  // In all of these the place is out of the line.

  /// With the mutex, which it gives back. True: back in the line, and the caller must not touch anything any more.
  bool stay() {
    operation_.line().enter(*this);
    if (!attempt() && !stopped()) {
      if constexpr (requires { operation_.tell_of_waiting(); }) {
        auto tell = operation_.tell_of_waiting();
        mutex_.unlock();
        tell();
      } else {
        mutex_.unlock();
      }
      return true;
    }
    resolve_and_leave();
    return false;
  }

  /// With the mutex, which it gives back.
  void resolve_and_leave() {
    resolved_ = true;
    const bool taken_out = !operation_.line().leave(*this);
    mutex_.unlock();
    if (taken_out) {
      none_comes_.wait();
      operation_.line().notify_one();
    }
  }

  void called(bool to_stop) noexcept {
    mutex_.lock();
    if (resolved_) {
      mutex_.unlock();
      none_comes_.open();
      return;
    }
    if (to_stop) operation_.cancel();
    bool inside = false;
    caller_ = Sync::this_thread();
    inside_ = &inside;
    if (to_stop || attempt()) {
      resolved_ = true;
      mutex_.unlock();
    } else if (stay()) {
      return;
    }
    // why in this order: once it is resumed, the coroutine and its executor may be gone; but before it is, telling the
    // other side might resume somebody who destroys it.
    auto tell = operation_.tell();
    Executor executor(std::move(executor_));
    executor(me_);
    if (!inside) handed_over_.open();
    if (!to_stop) tell();
  }
  void await_hand_over() noexcept {
    if (!handed_over_.is_open() && caller_ == Sync::this_thread()) {
      *inside_ = true;
    } else {
      handed_over_.wait();
    }
  }

  bool attempt() noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    try {
      return operation_.attempt();
    } catch (...) {
      error_ = std::current_exception();
      return true;
    }
#else
    return operation_.attempt();
#endif
  }
  bool stopped() noexcept {
    if (!stop_.stop_requested()) return false;
    operation_.cancel();
    return true;
  }

  Operation operation_;
  MILLRACE_NO_UNIQUE_ADDRESS Executor executor_;
  Stop stop_;
  std::coroutine_handle<> me_;
  bool suspended_ = false;  // the coroutine's own
  typename mutex_of<Sync>::type mutex_;
  bool resolved_ = false;      // \ guarded by mutex_: there is an answer, or nobody wants one any more
  std::uintptr_t caller_ = 0;  // |
  bool* inside_ = nullptr;     // /
  gate<Sync> none_comes_;
  gate<Sync> handed_over_;
#if MILLRACE_HAS_EXCEPTIONS
  std::exception_ptr error_;
#endif
  std::optional<typename stop_callback_of<Stop, stopping>::type> on_stop_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
