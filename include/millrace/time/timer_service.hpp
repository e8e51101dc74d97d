// millrace/time/timer_service.hpp - timers for a whole program: any thread schedules and cancels, one thread fires.
//
// Use it when : something is to happen later, or again and again, and may be called off: timeouts, retries, reminders.
// Use instead : `timing_wheel` if one thread does it all. A message that is to arrive later is a handler that pushes it into
//               a `channel` without a limit.
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
// Errors      : a void timer once stop() has been called; `false` or already_fired for a timer that is void.
// Exceptions  : std::invalid_argument for a period shorter than a tick; std::length_error beyond 2^32 - 2^6 timers;
//               std::logic_error for a second thread that fires; std::bad_alloc. What a handler throws goes to `on_error`.
// Memory      : 144 bytes a timer, its handler in place, and 32 KiB; kept until the service is destroyed.
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
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/queue/intrusive_mpsc_queue.hpp"
#include "millrace/queue/options.hpp"
#include "millrace/time/detail/tick_count.hpp"
#include "millrace/time/detail/timer_cells.hpp"
#include "millrace/time/detail/timer_slab.hpp"
#include "millrace/time/detail/wheel_core.hpp"
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

/// `Tick` is how exact it is.
template <clock Clock = std::chrono::steady_clock, class Tick = std::chrono::milliseconds,
          class Sync = std_sync>
class basic_timer_service {
  using ticks = detail::tick_count<Tick, Clock>;

 public:
  using clock_type = Clock;
  using tick = Tick;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  /// Of 48 bytes at the most; capture a pointer to more.
  using handler = function<void()>;

 private:
  using cells = detail::timer_cells<handler, Sync>;
  using cell = typename cells::cell;
  using index = typename cells::index;
  using timer_node = detail::timer_node;

 public:
  /// Names a timer, for ever: once it has fired for the last time or was cancelled, all calls say so.
  class timer {
   public:
    timer() noexcept = default;  // void
    [[nodiscard]] explicit operator bool() const noexcept { return generation != 0; }
    friend bool operator==(const timer&, const timer&) noexcept = default;

   private:
    friend basic_timer_service;
    timer(index n, std::uint32_t g) noexcept : number(n), generation(g) {}
    index number = 0;
    std::uint32_t generation = 0;
  };

  /// All are called by the firing thread, but for on_earlier.
  struct hooks {
    /// What a handler has thrown. Without it, it is only counted.
    function<void(std::exception_ptr)> on_error = {};
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
      : clock_(clock), hooks_(std::move(h)), wheel_(cells_, tick_at(clock_.now())) {}
  basic_timer_service(const basic_timer_service&) = delete;
  basic_timer_service& operator=(const basic_timer_service&) = delete;
  /// As stop(), if that has not been called. Every other call must have returned.
  ~basic_timer_service() { stop(); }

  // --- any thread ---

  /// Calls `h` after `wait`, at once if that is 0 or less. Void: the service has been stopped, and `h` is gone.
  template <class Rep, class Period>
  timer schedule_after(std::chrono::duration<Rep, Period> wait, handler h) {
    return schedule_at(detail::saturating_deadline(clock_.now(), wait), std::move(h));
  }
  timer schedule_at(time_point deadline, handler h) {
    return submit(deadline, 0, missed_periods::skip, std::move(h));
  }
  /// Calls `h` at `first` and then with every `period`, a tick at least, without drift.
  timer schedule_every(time_point first, duration period, handler h,
                       missed_periods rule = missed_periods::skip) {
    if (period.count() < ticks::units) {
      detail::fail<std::invalid_argument>("timer_service::schedule_every: period must be a tick at least");
    }
    return submit(first, period.count(), rule, std::move(h));
  }

  /// Gives it another (next) deadline, also from its own handler, where it makes it fire once more. False: it has fired,
  /// or is void, or its handler is running for the last time. Of two at the same time one wins.
  bool reschedule(timer t, time_point deadline) {
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
    finish(c, cell::moving, ticks::from(asked));
    return true;
  }

  cancel_result cancel(timer t) noexcept {
    return take(t, [](handler&) noexcept {});
  }
  /// As cancel, and if the handler is running it waits until that has returned, but not in the firing thread itself.
  cancel_result cancel_and_wait(timer t) noexcept {
    const cancel_result result = cancel(t);
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
  /// As cancel, and gives the handler back if the answer would have been `cancelled`; nothing otherwise.
  [[nodiscard]] std::optional<handler> extract(timer t) noexcept {
    std::optional<handler> out;
    static_cast<void>(take(t, [&](handler& h) noexcept { out.emplace(std::move(h)); }));
    return out;
  }

  /// How many exceptions handlers have thrown.
  [[nodiscard]] std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }
  /// How many periods have been left out.
  [[nodiscard]] std::uint64_t skipped() const noexcept { return skipped_.load(std::memory_order_relaxed); }

  // --- the firing thread ---

  /// Starts a thread that fires, until stop().
  void start() {
    const std::lock_guard lock(thread_mutex_);
    if (!claim()) return;
    struct unless_started {
      basic_timer_service* s;
      ~unless_started() {
        if (s != nullptr) s->release();
      }
    } guard{this};
    thread_ = std::thread([this] { loop(); });
    guard.s = nullptr;
  }
  /// Fires in this thread, until stop() is called in another one or in a handler.
  void run() {
    if (claim()) loop();
  }
  /// Fires what is due, and returns when to call it next at the latest; nothing: there are no timers. For a loop of the
  /// host's, one thread at a time. After `steps`, at least 1 (timers heard of, brought nearer or fired), it returns `now` if
  /// there may be more. See hooks::on_earlier.
  std::optional<time_point> poll(time_point now, std::size_t steps = ~std::size_t{0}) {
    if (steps == 0) detail::fail<std::invalid_argument>("timer_service::poll: steps must be 1 or more");
    if (!claim()) return std::nullopt;
    struct at_the_end {
      basic_timer_service& s;
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

  /// No timer can be scheduled any more, and those that there are fire now or never. Waits for the firing thread, and does
  /// it itself if there is none; in a handler it only takes note, for when that has returned. Idempotent: the first call
  /// says what becomes of pending timers.
  void stop(pending_timers what = pending_timers::drop) noexcept {
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
  enum : std::uint8_t { going, to_drop, to_fire };

  // What asleep_until_ says beside a tick: that the firing thread is awake and will look into the inbox, that it sleeps and
  // waits for no deadline, or that it wants to be woken by whoever has pushed something, because somebody was in the middle
  // of that, and what others have pushed is behind it.
  static constexpr std::uint64_t awake = 0;
  static constexpr std::uint64_t at_once = 0;  // before any tick: whoever sleeps is woken
  static constexpr std::uint64_t anybody = ~std::uint64_t{0};
  static constexpr std::uint64_t no_deadline = anybody - 1;
  /// What a thread hears of and fires before it looks into its inbox again.
  static constexpr std::size_t batch = 1024;
  /// Cells that are waiting to be seen to, as after many cancels, are not in use again before that. So that they do not
  /// become more and more while it sleeps, it is woken with every so many new ones.
  static constexpr index cells_per_wake = 1024;

  [[nodiscard]] static std::uint64_t tick_at(time_point t) noexcept {
    return ticks::until(t.time_since_epoch().count());
  }
  [[nodiscard]] static time_point time_of(std::uint64_t tick_number) noexcept {
    return time_point(duration(ticks::time_of(tick_number)));
  }
  [[nodiscard]] static std::uint32_t generation_in(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
  }
  [[nodiscard]] static std::uint64_t word_of(std::uint32_t generation) noexcept {
    return std::uint64_t{generation} << 32;
  }

  // --- any thread ---

  timer submit(time_point deadline, std::int64_t period, missed_periods rule, handler h) {
    if (stopping_.load(std::memory_order_relaxed) != going) return timer();
    bool is_new = false;
    const index i = cells_.acquire(is_new);
    cell& c = cells_[i];
    ::new (static_cast<void*>(std::addressof(c.payload))) handler(std::move(h));
    c.period = period;
    c.catches_up = rule == missed_periods::catch_up;
    c.asked.store(deadline.time_since_epoch().count(), std::memory_order_relaxed);
    const timer t(i, generation_in(c.word.load(std::memory_order_relaxed)));
    // Relaxed: the inbox tells the firing thread, and who passes the handle on tells others.
    c.word.store(word_of(t.generation) | cell::noted, std::memory_order_relaxed);
    inbox_.push(c);
    tell(is_new && i % cells_per_wake == 0 ? at_once : ticks::from(deadline.time_since_epoch().count()));
    // why again: stop() may have looked into the inbox just before
    if (stopping_.load(std::memory_order_relaxed) != going && cancel(t) == cancel_result::cancelled) {
      return timer();
    }
    return t;
  }

  template <class Receive>
  cancel_result take(timer t, Receive receive) noexcept {
    if (!t) return cancel_result::already_fired;
    cell& c = cells_[t.number];
    std::uint64_t w = c.word.load(std::memory_order_acquire);  // (2)
    std::uint64_t next = 0;
    do {
      if (generation_in(w) != t.generation) return cancel_result::already_fired;
      if ((w & (cell::over | cell::running)) == cell::over) return cancel_result::already_fired;
      if (is_own(t)) again_.reset();
      next = w | cell::over | ((w & cell::running) != 0 ? cell::last : cell::taking);
    } while (!c.word.compare_exchange_weak(w, next, std::memory_order_acquire,  // (2)
                                           std::memory_order_acquire));
    if ((next & cell::taking) == 0) return cancel_result::running;
    receive(c.payload);
    c.payload = handler();
    finish(c, cell::taking, no_deadline);
    return cancel_result::cancelled;
  }

  /// `bit` is done: notes it, and sees to it that the firing thread looks before that tick.
  void finish(cell& c, std::uint64_t bit, std::uint64_t before) noexcept {
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    // (3) release; pairs with (4), and with who moves it next
    while (!c.word.compare_exchange_weak(w, (w & ~bit) | cell::noted, std::memory_order_release,
                                         std::memory_order_relaxed)) {
    }
    if ((w & cell::noted) == 0) {
      inbox_.push(c);
      // why not its own: who has moved it meanwhile found it noted, and told the firing thread before there was anything
      Sync::fence_after_rmw();
      if (before != no_deadline) before = ticks::from(c.asked.load(std::memory_order_relaxed));
    }
    tell(before);
  }
  /// Wakes the firing thread if it would sleep until that tick.
  void tell(std::uint64_t tick_number) noexcept {
    Sync::fence_after_rmw();
    if (tick_number > no_deadline) tick_number = no_deadline;
    if (tick_number >= asleep_until_.load(std::memory_order_relaxed)) return;
    wake_.notify_one();
    if (hooks_.on_earlier) hooks_.on_earlier();
  }

  [[nodiscard]] bool is_running(timer t) const noexcept {
    const std::uint64_t w = cells_[t.number].word.load(std::memory_order_acquire);  // (2)
    return generation_in(w) == t.generation && (w & cell::running) != 0;
  }
  [[nodiscard]] bool in_firing_thread() const noexcept {
    return runner_.load(std::memory_order_relaxed) == Sync::this_thread();
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

  // --- the firing thread ---

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
    detail::fail<std::logic_error>("timer_service: another thread is firing already");
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
    const std::uint64_t until = tick_at(now);
    const std::uint64_t target = until > wheel_.now() ? until : wheel_.now();
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
      if (wheel_.holds(c.number)) wheel_.remove(c.number);
      give_back(c);
      return;
    }
    const std::int64_t deadline = c.asked.load(std::memory_order_relaxed);
    wheel_.holds(c.number) ? wheel_.move(c.number, deadline) : wheel_.put(c.number, deadline);
  }
  /// The timer is no more, and nobody else is at the cell.
  void give_back(cell& c) noexcept {
    c.payload.~handler();
    const std::uint32_t generation = generation_in(c.word.load(std::memory_order_relaxed)) + 1;
    // (1) release; pairs with (2): who finds it over, or takes it, sees what its handler has done
    c.word.exchange(word_of(generation) | cell::over, std::memory_order_release);
    // With its last generation a cell is given up: the next one would revive the handles of the first.
    if (generation != (std::numeric_limits<std::uint32_t>::max)()) cells_.release(c.number);
  }

  /// Begins to run the handler, or ends the timer without, unless somebody is at it. Then that one notes it, and it is put
  /// into the wheel again from the inbox.
  [[nodiscard]] bool begin(cell& c, std::uint64_t bits) noexcept {
    // Relaxed is enough: nobody has been at it since it was heard of.
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    do {
      if ((w & (cell::over | cell::moving | cell::noted)) != 0) {
        await_note(c);
        return false;
      }
    } while (
        !c.word.compare_exchange_weak(w, w | bits, std::memory_order_relaxed, std::memory_order_relaxed));
    return true;
  }
  void fire(index i, std::uint64_t target) {
    cell& c = cells_[i];
    const bool repeats = c.period != 0 && !ending_;
    if (!begin(c, repeats ? cell::running : cell::running | cell::over)) return;
    firing_ = i;
    again_.reset();
    call(c.payload);
    firing_ = timer_node::none;
    repeats ? repeat(c, target) : conclude(c);
    handler_returned_.notify_all();
  }
  void call(handler& h) noexcept {
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
    if (hooks_.on_error) hooks_.on_error(std::move(e));
  }
#endif
  /// After a handler that has run for the last time, unless that has said otherwise.
  void conclude(cell& c) noexcept {
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    do {
      if (!again_ || (w & cell::last) != 0) return give_back(c);
    } while (!c.word.compare_exchange_weak(w, word_of(generation_in(w)), std::memory_order_release,  // (1)
                                           std::memory_order_relaxed));
    wheel_.put(c.number, *again_);
  }
  /// After the handler of one that repeats.
  void repeat(cell& c, std::uint64_t target) noexcept {
    constexpr std::uint64_t at_it = cell::moving | cell::noted;
    std::uint64_t missed = 0;
    const std::int64_t next = ticks::next(c.deadline, c.period, c.catches_up, target, missed);
    skipped_.fetch_add(missed, std::memory_order_relaxed);
    std::uint64_t w = c.word.load(std::memory_order_relaxed);
    do {
      if ((w & (cell::over | at_it)) == cell::over) return give_back(c);  // cancelled meanwhile
    } while (!c.word.compare_exchange_weak(w, w & ~cell::running, std::memory_order_release,  // (1)
                                           std::memory_order_relaxed));
    if ((w & at_it) == 0) {
      wheel_.put(c.number, next);
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
      wheel_.take_all([&](index i) { fires ? fire(i, 0) : drop(cells_[i]); });
      if (wheel_.next_wakeup()) continue;  // moved by a handler
      if (owed_ == 0 && !found.busy) return;
      sleep_until(anybody);
      sleep(me, std::nullopt);
    }
  }
  void drop(cell& c) noexcept {
    if (begin(c, cell::over)) give_back(c);
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  hooks hooks_;
  cells cells_;
  // what all threads write
  alignas(hot_separation) intrusive_mpsc_queue<cell, use_sync<Sync>> inbox_;
  // what all read, and the firing thread writes when it goes to sleep
  alignas(hot_separation) typename Sync::template atomic<std::uint64_t> asleep_until_{awake};
  typename Sync::template atomic<std::uint8_t> stopping_{going};
  typename Sync::template atomic<std::uintptr_t> runner_{0};
  basic_event_count<Sync> wake_;
  basic_event_count<Sync> handler_returned_;
  basic_event_count<Sync> released_;
  typename Sync::template atomic<bool> claimed_{false};
  typename Sync::template atomic<std::uint64_t> errors_{0};
  typename Sync::template atomic<std::uint64_t> skipped_{0};
  // the firing thread's
  alignas(hot_separation) detail::wheel_core<cells, ticks> wheel_;
  index firing_ = timer_node::none;
  std::optional<std::int64_t> again_;  // when the timer that is firing is to fire once more
  std::size_t owed_ = 0;
  bool ending_ = false;
  typename detail::mutex_of<Sync>::type thread_mutex_;
  std::thread thread_;
};

using timer_service = basic_timer_service<>;

}  // namespace v0
}  // namespace millrace
