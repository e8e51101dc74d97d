// The half of the timers that is one thread's: it hears of the cells that were noted, keeps a wheel, and fires. The other
// half is timer_front.hpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/time/detail/timer_front.hpp"
#include "millrace/time/detail/timer_slab.hpp"
#include "millrace/time/detail/wheel_core.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// What has come due is given to `Sink::fire(Payload&, time_point deadline)`, and what stop() drops to `Sink::drop(Payload&)`;
/// they must not throw. start, run, poll and stop are those of timer_service.
template <class Payload, class Sink, clock Clock, class Tick, class Sync>
class timer_engine : public timer_front<Payload, Clock, Tick, Sync> {
  using front = timer_front<Payload, Clock, Tick, Sync>;
  using typename front::cell;
  using typename front::cells;
  using typename front::index;
  using typename front::ticks;
  // why: names of a base that depends on a template's arguments
  using front::again_;
  using front::anybody;
  using front::asleep_until_;
  using front::awake;
  using front::cells_;
  using front::ending_;
  using front::firing_;
  using front::generation_in;
  using front::going;
  using front::handler_returned_;
  using front::in_firing_thread;
  using front::inbox_;
  using front::last_generation;
  using front::no_deadline;
  using front::runner_;
  using front::stopping_;
  using front::to_drop;
  using front::to_fire;
  using front::wake_;
  using front::word_of;

 public:
  using duration = typename Clock::duration;
  using typename front::time_point;

  /// `on_earlier`: see timer_service::hooks.
  timer_engine(clock_ref<Clock> clock, Sink sink, function<void()> on_earlier)
      : front(std::move(on_earlier)),
        clock_(clock),
        sink_(std::move(sink)),
        wheel_(cells_, tick_at(clock.now())) {}
  ~timer_engine() { stop(pending_timers::drop); }

  [[nodiscard]] time_point now() const noexcept { return clock_.now(); }
  [[nodiscard]] std::uint64_t skipped() const noexcept { return skipped_.load(std::memory_order_relaxed); }

  void start() {
    const std::lock_guard lock(thread_mutex_);
    if (!claim()) return;
    struct unless_started {
      timer_engine* s;
      ~unless_started() {
        if (s != nullptr) s->release();
      }
    } guard{this};
    thread_ = std::thread([this] { loop(); });
    guard.s = nullptr;
  }
  void run() {
    if (claim()) loop();
  }
  std::optional<time_point> poll(time_point now, std::size_t steps = ~std::size_t{0}) {
    if (!claim()) return std::nullopt;
    struct at_the_end {
      timer_engine& s;
      ~at_the_end() {
        if (s.stopping_.load(std::memory_order_relaxed) != going) s.end();
        s.release();
      }
    } const guard{*this};
    runner_.store(Sync::this_thread(), std::memory_order_relaxed);
    for (;;) {
      if (!work(now, steps)) return now;
      const auto next = wheel_.next_wakeup();
      sleep_until(next.value_or(no_deadline));
      if (look_again()) continue;
      if (!next) return std::nullopt;
      return time_of(*next);
    }
  }

  void stop(pending_timers what) noexcept {
    std::uint8_t was = going;
    stopping_.compare_exchange_strong(was, what == pending_timers::fire ? to_fire : to_drop,
                                      std::memory_order_relaxed);
    if (in_firing_thread()) return;
    wake_.notify_one();
    typename basic_event_count<Sync>::waiter me;
    while (!try_claim()) {
      released_.prepare_wait(me);
      if (!claimed_.load(std::memory_order_relaxed)) {
        released_.cancel_wait(me);
      } else {
        released_.wait(me);
      }
    }
    runner_.store(Sync::this_thread(), std::memory_order_relaxed);
    end();
    {
      const std::lock_guard lock(thread_mutex_);
      if (thread_.joinable()) thread_.join();
    }
    release();
  }

 private:
  /// Its time may go back, as the wall clock's does when that is set.
  static constexpr bool can_be_set = !requires { requires Clock::is_steady; };
  /// What it hears of and fires before it looks into its inbox again.
  static constexpr std::size_t batch = 1024;

  [[nodiscard]] static std::uint64_t tick_at(time_point t) noexcept {
    return ticks::until(t.time_since_epoch().count());
  }
  [[nodiscard]] static time_point time_of(std::uint64_t tick_number) noexcept {
    return time_point(duration(ticks::time_of(tick_number)));
  }

  [[nodiscard]] bool try_claim() noexcept {
    bool was = false;
    // (5) acquire and release: what is the firing thread's goes from one to the next; and who finds it claimed by
    // stop() also finds what that has said before.
    return claimed_.compare_exchange_strong(was, true, std::memory_order_acq_rel, std::memory_order_acquire);
  }
  /// False: there is nothing to do any more.
  [[nodiscard]] bool claim() {
    if (try_claim()) return true;
    if (stopping_.load(std::memory_order_relaxed) != going) return false;
    fail<std::logic_error>("start, run, poll: another thread is firing already");
  }
  void release() noexcept {
    runner_.store(0, std::memory_order_relaxed);
    claimed_.exchange(false, std::memory_order_release);  // (5)
    released_.notify_all();
  }

  void loop() noexcept {
    runner_.store(Sync::this_thread(), std::memory_order_relaxed);
    typename basic_event_count<Sync>::waiter me;
    while (stopping_.load(std::memory_order_relaxed) == going) {
      if (!work(clock_.now(), batch)) continue;
      const auto next = wheel_.next_wakeup();
      sleep_until(next.value_or(no_deadline));
      sleep(me, next);
    }
    end();
    release();
  }
  void sleep(typename basic_event_count<Sync>::waiter& me,
             std::optional<std::uint64_t> tick_number) noexcept {
    wake_.prepare_wait(me);
    if (look_again() || (stopping_.load(std::memory_order_relaxed) != going && !ending_)) {
      wake_.cancel_wait(me);
    } else if (tick_number) {
      static_cast<void>(wake_.wait_until(me, time_of(*tick_number), clock_));
    } else {
      wake_.wait(me);
    }
  }
  void sleep_until(std::uint64_t tick_number) noexcept {
    asleep_until_.exchange(tick_number, std::memory_order_relaxed);
    Sync::fence_after_rmw();
  }

  /// False: there may be more to do at once.
  [[nodiscard]] bool work(time_point now, std::size_t steps) {
    asleep_until_.store(awake, std::memory_order_relaxed);
    for (;;) {
      cell* const c = inbox_.poll().node;
      if (c == nullptr) break;
      see_to(*c);
      if (--steps == 0) return false;
    }
    std::uint64_t target = tick_at(now);
    if (target < wheel_.now()) {
      if constexpr (can_be_set) {
        wheel_.go_back(target);
      } else {
        target = wheel_.now();
      }
    }
    std::size_t moved = 0;
    return wheel_.advance(target, steps, moved, [&](index i) { fire(i, target); });
  }
  /// After sleep_until: whether there was something in the inbox.
  [[nodiscard]] bool look_again() {
    auto found = inbox_.poll();
    if (found.busy) {
      sleep_until(anybody);
      found = inbox_.poll();
    }
    if (found.node != nullptr) see_to(*found.node);
    return found.node != nullptr;
  }

  /// A cell that was noted.
  void see_to(cell& c) {
    constexpr std::uint64_t others = cell::moving | cell::taking | cell::running;
    const std::uint64_t w = c.word.fetch_and(~cell::noted, std::memory_order_acquire);  // (4)
    if ((w & cell::over) != 0 ? (w & others) != 0 : (w & cell::moving) != 0) return await_note(c);
    if (std::exchange(c.owed, false)) --owed_;
    if ((w & cell::over) != 0) {
      if (wheel_.holds(c)) wheel_.remove(c.number, c);
      if ((w & cell::idle) != 0) return;
      // Who has cancelled it has taken the payload, unless it was running.
      (w & cell::last) != 0 ? end_of(c) : give_back(c);
      return;
    }
    const std::int64_t deadline = c.asked.load(std::memory_order_relaxed);
    wheel_.holds(c) ? wheel_.move(c.number, c, deadline) : wheel_.put(c.number, c, deadline);
  }
  /// The timer is no more, and nobody else is at the cell.
  void end_of(cell& c) noexcept {
    std::destroy_at(std::addressof(c.payload));
    give_back(c);
  }
  void give_back(cell& c) noexcept {
    const std::uint32_t generation = generation_in(c.word.load(std::memory_order_relaxed)) + 1;
    // (1) release; pairs with (2): who finds it over, or takes it, sees what its handler has done
    c.word.exchange(word_of(generation) | cell::over | cell::idle, std::memory_order_release);
    if (generation != last_generation) cells_.release(c.number);
  }

  /// Begins to run the handler, or ends the timer without, unless somebody is at it. Then that one notes it, and it is put
  /// into the wheel again from the inbox.
  [[nodiscard]] bool begin(cell& c, bool fires) noexcept {
    // Relaxed is enough: nobody has been at it since it was heard of.
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    std::uint64_t next = 0;
    do {
      if ((w & (cell::over | cell::moving | cell::noted)) != 0) {
        await_note(c);
        return false;
      }
      next = w | (fires ? cell::running : 0) | (goes_on(w) ? 0 : cell::over);
    } while (!c.word.compare_exchange_weak(w, next, std::memory_order_relaxed, std::memory_order_relaxed));
    return true;
  }
  /// Whether that is one which fires again.
  [[nodiscard]] bool goes_on(std::uint64_t w) const noexcept { return (w & cell::repeats) != 0 && !ending_; }
  void fire(index i, std::uint64_t target) {
    cell& c = cells_[i];
    if (!begin(c, true)) return;
    firing_ = i;
    again_.reset();
    sink_.fire(c.payload, time_point(duration(c.deadline)));
    firing_ = timer_node::none;
    goes_on(c.word.load(std::memory_order_relaxed)) ? repeat(c, target) : conclude(c);
    handler_returned_.notify_all();
  }
  /// After a handler that has run for the last time, unless that has said otherwise.
  void conclude(cell& c) noexcept {
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    do {
      if (!again_ || (w & cell::last) != 0) return end_of(c);
    } while (!c.word.compare_exchange_weak(w, w & ~(cell::over | cell::running),
                                           std::memory_order_release,  // (1)
                                           std::memory_order_relaxed));
    wheel_.put(c.number, c, *again_);
  }
  /// After the handler of one that repeats.
  void repeat(cell& c, std::uint64_t target) noexcept {
    constexpr std::uint64_t at_it = cell::moving | cell::noted;
    std::uint64_t missed = 0;
    const std::int64_t next = ticks::next(c.deadline, c.period, c.catches_up, target, missed);
    skipped_.fetch_add(missed, std::memory_order_relaxed);
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    do {
      if ((w & (cell::over | at_it)) == cell::over) return end_of(c);  // cancelled meanwhile
    } while (!c.word.compare_exchange_weak(w, w & ~cell::running, std::memory_order_release,  // (1)
                                           std::memory_order_relaxed));
    if ((w & at_it) == 0) {
      wheel_.put(c.number, c, next);
    } else {
      await_note(c);
    }
  }
  /// Somebody is at it, and will note it.
  void await_note(cell& c) noexcept {
    if (!std::exchange(c.owed, true)) ++owed_;
  }

  /// After stop(), once: whatever is left fires or is dropped, also what somebody is at.
  void end() noexcept {
    if (std::exchange(ending_, true)) return;
    const bool fires = stopping_.load(std::memory_order_relaxed) == to_fire;
    typename basic_event_count<Sync>::waiter me;
    for (;;) {
      sleep_until(awake);
      auto found = inbox_.poll();
      for (; found.node != nullptr; found = inbox_.poll()) see_to(*found.node);
      wheel_.take_all([&](index i) { fires || insists(i) ? fire(i, 0) : drop(cells_[i]); });
      if (wheel_.next_wakeup()) continue;  // moved by a handler
      if (owed_ == 0 && !found.busy) return;
      sleep_until(anybody);
      sleep(me, std::nullopt);
    }
  }
  [[nodiscard]] bool insists(index i) const noexcept {
    return (cells_[i].word.load(std::memory_order_relaxed) & cell::insists) != 0;
  }
  void drop(cell& c) noexcept {
    if (!begin(c, false)) return;
    sink_.drop(c.payload);
    end_of(c);
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  MILLRACE_NO_UNIQUE_ADDRESS Sink sink_;
  basic_event_count<Sync> released_;
  typename Sync::template atomic<bool> claimed_{false};
  typename Sync::template atomic<std::uint64_t> skipped_{0};
  // the firing thread's
  alignas(hot_separation) wheel_core<cells, ticks> wheel_;
  std::size_t owed_ = 0;
  typename mutex_of<Sync>::type thread_mutex_;
  std::thread thread_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
