// millrace/core/event_count.hpp - sleeping until a condition that lives elsewhere may have changed.
//
// A condition variable without the mutex: the condition stays lock-free, and only who really sleeps pays.
//
// Use it when : threads wait for something that lock-free code makes true.
// Use instead : `channel`, which does the above for you; `std::latch` or `std::barrier` for a meeting.
// Threads     : any number of waiters and notifiers; a `waiter` belongs to one thread at a time. Once every
//               waiter has been woken, the event count may be destroyed, even by the woken thread while the
//               notifier is still returning.
//               A thread that was woken and then leaves without looking at its condition passes the news on
//               with another notify_one.
// Order       : waiters are woken first come, first served; who only watches hears of it before them and takes it from
//               nobody. What a thread wrote before `notify_*` is visible to
//               the thread that it wakes. The condition must have been made true by a read-modify-write, or be
//               followed by a full barrier, or, where the sleepers pay, by a light one: otherwise notify's look for
//               waiters may pass ahead of it.
// Progress    : `notify_*` with nobody waiting is wait-free: one load, no lock, no system call. With somebody
//               waiting, all operations are blocking: a mutex is held for a few instructions.
// Errors      : destroying an event count that still has waiters, or a waiter that is prepared, is a contract
//               violation and is asserted.
// Exceptions  : none.
// Memory      : about 64 bytes; a waiter is 32, on its thread's stack; never allocates.
// Cost        : 1 ns to notify nobody; a wake-up is one futex call.
// Source      : D. Vyukov, eventcount, 2008 (announce, look again, sleep). The list of waiters, each with a gate
//               of its own, replaces the epoch: a notify wakes one thread, once, and the next one does not pay
//               for a sleeper that is already on its way.
// Checked by  : tests/core/event_count_test.cpp, tests/models/event_count_model.cpp
//
// Example:
//   waiter                               notifier
//     event_count::waiter me;              make the condition true
//     while (!condition()) {               events.notify_one();
//       events.prepare_wait(me);
//       if (condition()) {
//         events.cancel_wait(me);
//         break;
//       }
//       events.wait(me);
//     }
#pragma once

#include <cassert>
#include <cstdint>
#include <mutex>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/gate.hpp"
#include "millrace/core/sync.hpp"

namespace millrace {
inline namespace v0 {

namespace detail {

// why here and not in std_sync: <mutex> is not included for every queue
template <class Sync>
struct mutex_of {
  using type = std::mutex;
};
template <class Sync>
  requires requires { typename Sync::mutex; }
struct mutex_of<Sync> {
  using type = typename Sync::mutex;
};

}  // namespace detail

template <class Sync>
class basic_event_count {
 public:
  /// A place in the line, for authors of components that wait in their own way. Must outlive its stay.
  class place {
   public:
    using function = void(place&) noexcept;
    /// Taken out of the line, `called` is called, by the notifier, which does not touch the place any more.
    explicit place(function* called) noexcept : called_(called) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;

   private:
    friend basic_event_count;
    function* const called_;
    place* previous_ = nullptr;  // \ guarded by the event count's mutex
    place* next_ = nullptr;      // |
    bool linked_ = false;        // |
    bool watches_ = false;       // /
  };

  /// One thread's place in the line. Reusable; must outlive its wait.
  class waiter : private place {
   public:
    waiter() noexcept : place([](place& me) noexcept { static_cast<waiter&>(me).gate_.open(); }) {}
    ~waiter() { assert(!prepared_ && "event_count: a waiter was destroyed between prepare_wait and wait"); }

   private:
    friend basic_event_count;
    bool prepared_ = false;  // the waiter's own thread only
    detail::gate<Sync> gate_;
  };

  basic_event_count() noexcept = default;
  /// With true a heavy fence stands behind every announcement. Then who makes the condition true with a plain store may
  /// pay just a light one: store, light_fence(), waiters_approx(), and a notify only if that is not 0.
  explicit basic_event_count(bool sleepers_pay) noexcept : sleepers_pay_(sleepers_pay) {
    if (sleepers_pay) Sync::prepare_fences();
  }
  basic_event_count(const basic_event_count&) = delete;
  basic_event_count& operator=(const basic_event_count&) = delete;
  ~basic_event_count() { assert(first_ == nullptr && "event_count: destroyed while somebody waits on it"); }

  /// Announces `me`. The caller must look at its condition again, and then call `wait`, `wait_until` or
  /// `cancel_wait`.
  void prepare_wait(waiter& me) noexcept {
    assert(!me.prepared_);
    me.prepared_ = true;
    me.gate_.close();
    enter(me);
  }

  /// Takes the announcement back. A notification that came meanwhile goes on to the next waiter.
  void cancel_wait(waiter& me) noexcept {
    if (!retract(me)) notify_one();
  }

  /// Sleeps until notified.
  void wait(waiter& me) noexcept {
    me.gate_.wait();
    me.prepared_ = false;
  }

  /// Sleeps until notified (true) or until the deadline has passed on `clock` (false, and `me` is out of line).
  template <clock Clock>
  [[nodiscard]] bool wait_until(waiter& me, typename Clock::time_point deadline,
                                clock_ref<Clock> clock) noexcept {
    if (!me.gate_.template wait_until<Clock>(deadline, clock)) return !retract(me);
    me.prepared_ = false;
    return true;
  }

  /// Wakes the thread that has waited longest, if there is one.
  void notify_one() noexcept {
    Sync::fence_after_rmw();
    // (2) Relaxed is enough: the barrier above orders it after the caller's publication, see (1).
    if (count_.load(std::memory_order_relaxed) != 0) wake(1);
  }

  /// Wakes every thread that waits now.
  void notify_all() noexcept {
    Sync::fence_after_rmw();
    if (count_.load(std::memory_order_relaxed) != 0) wake(~std::uint32_t{0});
  }

  /// As notify_all, but one after the other, so that who has not been called yet can still leave the line. The event
  /// count must outlive the call.
  void notify_each() noexcept {
    Sync::fence_after_rmw();
    for (std::uint32_t n = count_.load(std::memory_order_relaxed); n != 0 && wake(1); --n) {
    }
  }

  // --- for authors of components: as prepare_wait and cancel_wait, without the waiting ---

  /// Puts `me` at the end of the line. The caller must look at its condition again.
  void enter(place& me) noexcept {
    mutex_.lock();
    me.previous_ = last_;
    me.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &me;
    last_ = &me;
    announce(me);
  }

  /// Puts `me` at the head of the line, to hear of the next notification and take it from nobody.
  void watch(place& me) noexcept {
    me.watches_ = true;
    mutex_.lock();
    me.previous_ = nullptr;
    me.next_ = first_;
    (first_ != nullptr ? first_->previous_ : last_) = &me;
    first_ = &me;
    announce(me);
  }

  /// Takes `me` out of the line. False: a notifier was faster, and is about to call it, or has done so.
  [[nodiscard]] bool leave(place& me) noexcept {
    mutex_.lock();
    const bool was_linked = me.linked_;
    if (was_linked) {
      unlink(me);
      count_.fetch_sub(1, std::memory_order_relaxed);
    }
    mutex_.unlock();
    return was_linked;
  }

  /// How many wait, for tests and metrics; out of date as soon as it is read.
  [[nodiscard]] std::uint32_t waiters_approx() const noexcept {
    return count_.load(std::memory_order_relaxed);
  }

 private:
  void announce(place& me) noexcept {
    me.linked_ = true;
    // (1) The announcement. It and the barrier after it meet the notifier's publication and (2): of the two
    // threads at least one sees what the other wrote.
    count_.fetch_add(1, std::memory_order_relaxed);
    mutex_.unlock();
    if (sleepers_pay_) {
      Sync::heavy_fence();
    } else {
      Sync::fence_after_rmw();
    }
  }

  /// False: nobody was there.
  MILLRACE_NOINLINE bool wake(std::uint32_t most) noexcept {
    place* woken = nullptr;
    place** end = &woken;
    std::uint32_t n = 0;
    mutex_.lock();
    for (std::uint32_t waiting = 0; first_ != nullptr && (waiting < most || first_->watches_); ++n) {
      if (!first_->watches_) ++waiting;
      *end = first_;
      unlink(*first_);
      end = &(*end)->next_;
    }
    *end = nullptr;
    count_.fetch_sub(n, std::memory_order_relaxed);
    mutex_.unlock();
    // why: from here on `this` is not touched: a woken thread may destroy the event count. Neither is a place once it
    // has been called, so its successor is read first.
    while (woken != nullptr) {
      place* const next = woken->next_;
      woken->called_(*woken);
      woken = next;
    }
    return n != 0;
  }

  /// Removes `me` from the line; false: a notifier was faster, and has finished with `me`.
  [[nodiscard]] bool retract(waiter& me) noexcept {
    const bool was_linked = leave(me);
    // Otherwise a notifier has taken `me` out and opens the gate any moment; until then it still reads `me`.
    if (!was_linked) me.gate_.wait();
    me.prepared_ = false;
    return was_linked;
  }

  void unlink(place& p) noexcept {
    (p.previous_ != nullptr ? p.previous_->next_ : first_) = p.next_;
    (p.next_ != nullptr ? p.next_->previous_ : last_) = p.previous_;
    p.linked_ = false;
  }

  typename Sync::template atomic<std::uint32_t> count_{0};
  const bool sleepers_pay_ = false;
  typename detail::mutex_of<Sync>::type mutex_;
  place* first_ = nullptr;  // \ guarded by mutex_
  place* last_ = nullptr;   // /
};

using event_count = basic_event_count<std_sync>;

}  // namespace v0
}  // namespace millrace
