// The half of the timers that any thread may use: it writes what it wants into a timer's cell, and notes the cell for the
// thread that fires. The other half is timer_engine.hpp.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/function.hpp"
#include "millrace/queue/intrusive_mpsc_queue.hpp"
#include "millrace/queue/options.hpp"
#include "millrace/time/detail/tick_count.hpp"
#include "millrace/time/detail/timer_cells.hpp"
#include "millrace/time/detail/timer_slab.hpp"
#include "millrace/time/missed_periods.hpp"

namespace millrace {
inline namespace v0 {

enum class [[nodiscard]] cancel_result : std::uint8_t {
  cancelled,      // it will not fire; its handler has been destroyed
  already_fired,  // it has fired, for the last time; or it was cancelled before, or is void
  running,        // its handler is running at this moment, and will not again
};

/// What stop() does with timers that are still to come.
enum class pending_timers : std::uint8_t {
  drop,  // they are cancelled
  fire,  // they fire now, in order, each once
};

namespace detail {

/// Payload: what is kept for a timer.
template <class Payload, clock Clock, class Tick, class Sync>
class timer_front {
  static_assert(std::is_nothrow_move_constructible_v<Payload> && std::is_nothrow_destructible_v<Payload>);

 public:
  using time_point = typename Clock::time_point;

  /// Names a timer, for ever: once it has fired for the last time or was cancelled, all calls say so.
  class timer {
   public:
    timer() noexcept = default;  // void
    [[nodiscard]] explicit operator bool() const noexcept { return generation != 0; }
    friend bool operator==(const timer&, const timer&) noexcept = default;

   private:
    friend timer_front;
    timer(timer_node::index n, std::uint32_t g) noexcept : number(n), generation(g) {}
    timer_node::index number = 0;
    std::uint32_t generation = 0;
  };

  timer_front(const timer_front&) = delete;
  timer_front& operator=(const timer_front&) = delete;

  /// Void: no more timers are taken, and `payload` is as it was. `period` 0: it fires once. `insists`: when
  /// stop() drops others it fires.
  [[nodiscard]] timer submit(time_point deadline, std::int64_t period, missed_periods rule, Payload&& payload,
                             bool insists = false) {
    if (stopping_.load(std::memory_order_relaxed) != going) return timer();
    bool is_new = false;
    const index i = cells_.acquire(is_new);
    cell& c = cells_[i];
    std::construct_at(std::addressof(c.payload), std::move(payload));
    c.period = period;
    c.catches_up = rule == missed_periods::catch_up;
    c.asked.store(deadline.time_since_epoch().count(), std::memory_order_relaxed);
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    const timer t(i, generation_in(w));
    const std::uint64_t kind = (period != 0 ? cell::repeats : 0) | (insists ? cell::insists : 0);
    // (3) release; pairs with (4): it may be in the inbox since it was cancelled, and is not pushed again then.
    while (!c.word.compare_exchange_weak(w, word_of(t.generation) | kind | cell::noted,
                                         std::memory_order_release, std::memory_order_relaxed)) {
    }
    if ((w & cell::noted) == 0) inbox_.push(c);
    tell(is_new && i % cells_per_wake == 0 ? at_once : ticks::from(deadline.time_since_epoch().count()));
    // why again: stop() may have looked into the inbox just before
    if (stopping_.load(std::memory_order_relaxed) != going) {
      const auto give_back = [&](Payload& p) noexcept {
        std::destroy_at(std::addressof(payload));
        std::construct_at(std::addressof(payload), std::move(p));
      };
      if (take(t, give_back) == cancel_result::cancelled) return timer();
    }
    return t;
  }

  bool reschedule(timer t, time_point deadline) noexcept {
    if (!t) return false;
    cell& c = cells_[t.number];
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    do {
      if (generation_in(w) != t.generation) return false;
      if ((w & cell::over) != 0) return (w & cell::last) == 0 && fire_again(t, deadline);
      // (3) acquire: of two deadlines the later call's stays, whatever it is
    } while (!c.word.compare_exchange_weak(w, w | cell::moving, std::memory_order_acquire,
                                           std::memory_order_relaxed));
    if ((w & cell::moving) != 0)
      return true;  // by another thread at this moment: as if this one had been earlier
    const std::int64_t asked = deadline.time_since_epoch().count();
    if (c.asked.load(std::memory_order_relaxed) != asked) c.asked.store(asked, std::memory_order_relaxed);
    finish_move(c, ticks::from(asked));
    return true;
  }

  /// Ends it. `receive(Payload&)` gets the payload if the answer is `cancelled`; what it leaves of it is destroyed. One that
  /// is running can be let be, so that it may still have itself fire again.
  template <class Receive>
  cancel_result take(timer t, Receive receive, bool let_run = false) noexcept {
    if (!t) return cancel_result::already_fired;
    cell& c = cells_[t.number];
    std::uint64_t w = c.word.load(std::memory_order_acquire);  // (2)
    std::uint64_t next = 0;
    do {
      if (generation_in(w) != t.generation) return cancel_result::already_fired;
      if ((w & (cell::over | cell::running)) == cell::over) return cancel_result::already_fired;
      if (let_run && (w & cell::running) != 0) return cancel_result::running;
      if (is_own(t)) again_.reset();
      next = w | cell::over | ((w & cell::running) != 0 ? cell::last : cell::taking);
    } while (!c.word.compare_exchange_weak(w, next, std::memory_order_acquire,  // (2)
                                           std::memory_order_acquire));
    if ((next & cell::taking) == 0) return cancel_result::running;
    receive(c.payload);
    c.payload.~Payload();
    let_go(c);
    return cancel_result::cancelled;
  }

  cancel_result cancel_and_wait(timer t) noexcept {
    const cancel_result result = take(t, [](Payload&) noexcept {});
    if (result != cancel_result::running || in_firing_thread()) return result;
    typename basic_event_count<Sync>::waiter me;
    while (is_running(t)) {
      handler_returned_.prepare_wait(me);
      if (!is_running(t)) {
        handler_returned_.cancel_wait(me);
        break;
      }
      handler_returned_.wait(me);
    }
    return result;
  }

  /// In a handler: whether stop() has been called, so that it may be before its time.
  [[nodiscard]] bool is_ending() const noexcept { return ending_; }
  /// The timer in whose handler this thread is; void: in none.
  [[nodiscard]] timer current() const noexcept {
    if (!in_firing_thread() || firing_ == timer_node::none) return timer();
    return timer(firing_, generation_in(cells_[firing_].word.load(std::memory_order_relaxed)));
  }

 protected:
  using ticks = tick_count<Tick, Clock>;
  using cells = timer_cells<Payload, Sync>;
  using cell = typename cells::cell;
  using index = typename cells::index;

  enum : std::uint8_t { going, to_drop, to_fire };

  // What asleep_until_ says beside a tick: that the firing thread is awake and will look into the inbox, that it sleeps and
  // waits for no deadline, or that it wants to be woken by whoever has pushed something, because somebody was in the middle
  // of that, and what others have pushed is behind it.
  static constexpr std::uint64_t awake = 0;
  static constexpr std::uint64_t at_once = 0;  // before any tick: whoever sleeps is woken
  static constexpr std::uint64_t anybody = ~std::uint64_t{0};
  static constexpr std::uint64_t no_deadline = anybody - 1;
  /// Cells that are waiting to be seen to, as after many cancels, are not in use again before that. So that they do not
  /// become more and more while it sleeps, it is woken with every so many new ones.
  static constexpr index cells_per_wake = 1024;

  /// A cell that has come to it is given up: the next one would revive the handles of the first.
  static constexpr std::uint32_t last_generation = (std::numeric_limits<std::uint32_t>::max)();

  [[nodiscard]] static std::uint32_t generation_in(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
  }
  [[nodiscard]] static std::uint64_t word_of(std::uint32_t generation) noexcept {
    return std::uint64_t{generation} << 32;
  }

  explicit timer_front(function<void()> on_earlier) noexcept : on_earlier_(std::move(on_earlier)) {}
  ~timer_front() = default;

  [[nodiscard]] bool in_firing_thread() const noexcept {
    return runner_.load(std::memory_order_relaxed) == Sync::this_thread();
  }

 private:
  /// It has been moved: notes it, and sees to it that the firing thread looks before that tick.
  void finish_move(cell& c, std::uint64_t before) noexcept {
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    // (3) release; pairs with (4), and with who moves it next
    while (!c.word.compare_exchange_weak(w, (w & ~cell::moving) | cell::noted, std::memory_order_release,
                                         std::memory_order_relaxed)) {
    }
    if ((w & cell::noted) == 0) {
      inbox_.push(c);
      // why not its own: who has moved it meanwhile found it noted, and told the firing thread before there was anything
      Sync::fence_after_rmw();
      before = ticks::from(c.asked.load(std::memory_order_relaxed));
    }
    tell(before);
  }
  /// A cell whose timer this thread has cancelled. If it is noted already it is free at once, and the firing thread will find
  /// it so, or find another timer in it; otherwise that gives it back.
  void let_go(cell& c) noexcept {
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    for (;;) {
      const std::uint32_t generation = generation_in(w) + 1;
      const bool free_now =
          (w & cell::noted) != 0 && (w & cell::moving) == 0 && generation != last_generation;
      const std::uint64_t next = free_now ? word_of(generation) | cell::over | cell::idle | cell::noted
                                          : (w & ~cell::taking) | cell::noted;
      // (3) release; pairs with (4)
      if (!c.word.compare_exchange_weak(w, next, std::memory_order_release, std::memory_order_relaxed))
        continue;
      if (free_now) {
        cells_.release(c.number);
      } else if ((w & cell::noted) == 0) {
        inbox_.push(c);
        tell(no_deadline);
      }
      return;
    }
  }
  /// Wakes the firing thread if it would sleep until that tick.
  void tell(std::uint64_t tick_number) noexcept {
    Sync::fence_after_rmw();
    if (tick_number > no_deadline) tick_number = no_deadline;
    if (tick_number >= asleep_until_.load(std::memory_order_relaxed)) return;
    wake_.notify_one();
    if (on_earlier_) on_earlier_();
  }

  [[nodiscard]] bool is_running(timer t) const noexcept {
    const std::uint64_t w = cells_[t.number].word.load(std::memory_order_acquire);  // (2)
    return generation_in(w) == t.generation && (w & cell::running) != 0;
  }
  /// Whether that is the timer in whose handler this thread is.
  [[nodiscard]] bool is_own(timer t) const noexcept {
    return in_firing_thread() && firing_ == t.number && is_running(t);
  }
  bool fire_again(timer t, time_point deadline) noexcept {
    if (!is_own(t) || ending_) return false;
    again_ = deadline.time_since_epoch().count();
    return true;
  }

  function<void()> on_earlier_;

 protected:
  cells cells_;
  // what all threads write
  alignas(hot_separation) intrusive_mpsc_queue<cell, use_sync<Sync>> inbox_;
  // what all read, and the firing thread writes when it goes to sleep
  alignas(hot_separation) typename Sync::template atomic<std::uint64_t> asleep_until_{awake};
  typename Sync::template atomic<std::uint8_t> stopping_{going};
  typename Sync::template atomic<std::uintptr_t> runner_{0};
  basic_event_count<Sync> wake_;
  basic_event_count<Sync> handler_returned_;
  // the firing thread's
  alignas(hot_separation) index firing_ = timer_node::none;
  std::optional<std::int64_t> again_;  // when the timer that is firing is to fire once more
  bool ending_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
