// millrace/time/timing_wheel.hpp - millions of timers in one thread: scheduled, moved and cancelled in constant time.
//
// Use it when : an event loop or a component of one thread has many deadlines, most of which are cancelled or moved before
//               they come: timeouts, keep-alives, retries, rate limits.
// Use instead : `timer_service` if several threads schedule, or nobody has a loop to call it from.
// Threads     : one at a time.
// Order       : what is due at the same tick comes in order of deadline, and of the same deadline in the order in which
//               it was scheduled, or last rescheduled.
// Progress    : schedule, cancel, reschedule: constant time, but for the allocator. advance: what is due, and a share of
//               what comes due soon, which is brought nearer gradually; with a budget, no more steps than that.
// Errors      : a handle that is void (its timer has fired or was cancelled, or it belongs to none) is told by the result.
//               Never early, and at most one tick late. A deadline that has passed comes at the next tick.
// Exceptions  : std::invalid_argument for a period shorter than a tick; std::length_error beyond 2^32 - 2^6 timers;
//               std::logic_error from an advance or a drain inside a handler; otherwise what the allocator, a payload's
//               constructor or a handler throws. In all cases nothing else is lost: after a handler has thrown, the
//               next advance goes on with the timer after it.
// Memory      : 32 bytes a timer and its payload, 32 KiB for the wheel; allocated for 64, 128, 256, ... timers more, and
//               kept until the wheel is destroyed. Periods take 8 bytes for each timer of such a block.
// Cost        : see benchmarks/README.md. An advance at which nothing happens is a comparison, however far it goes.
// Source      : G. Varghese, A. Lauck, Hashed and Hierarchical Timing Wheels, SOSP 1987. Slots half as wide as the level
//               below, so that they can be emptied gradually: after Erlang/OTP's erl_time_wheel.
// Checked by  : tests/time/timing_wheel_test.cpp and its neighbours _memory_, _pace_ and _periodic_; against a sorted set:
//               tests/time/timing_wheel_fuzz_test.cpp, tests/time/timing_wheel_fuzzer.cpp
//
// Example:
//   millrace::timing_wheel<session_id> timeouts(clock::now());
//   auto h = timeouts.schedule(clock::now() + 30s, id);
//   timeouts.reschedule(h, clock::now() + 30s);                            // there was activity
//   timeouts.advance(clock::now(), [&](session_id& id) { close(id); });    // from the loop; see next_wakeup()
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/time/detail/tick_count.hpp"
#include "millrace/time/detail/timer_slab.hpp"
#include "millrace/time/detail/wheel_core.hpp"
#include "millrace/time/missed_periods.hpp"

namespace millrace {
inline namespace v0 {

/// `Tick` is how exact it is: a std::chrono::duration of which one is a whole number of the clock's own units.
template <class Payload, class Tick = std::chrono::milliseconds, clock Clock = std::chrono::steady_clock,
          class Allocator = std::allocator<Payload>>
class timing_wheel {
  static_assert(std::is_object_v<Payload> && std::is_same_v<Payload, std::remove_cv_t<Payload>>,
                "timing_wheel: Payload must be an object");
  static_assert(std::is_nothrow_destructible_v<Payload>, "timing_wheel: Payload's destructor must not throw");
  using slab = detail::timer_slab<Payload, Allocator>;
  using entry = typename slab::entry;
  using node = detail::timer_node;
  using index = node::index;
  using ticks = detail::tick_count<Tick, Clock>;
  using wheel = detail::wheel_core<slab, ticks>;

 public:
  using payload_type = Payload;
  using tick = Tick;
  using clock_type = Clock;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  static constexpr std::size_t no_budget = ~std::size_t{0};

  /// Names a timer, for ever: once that has fired for the last time or was cancelled, the handle is void and stays so.
  class handle {
   public:
    handle() noexcept = default;  // void
    friend bool operator==(const handle&, const handle&) noexcept = default;

   private:
    friend timing_wheel;
    handle(index n, std::uint32_t g) noexcept : number(n), generation(g) {}
    index number = 0;
    std::uint32_t generation = 0;
  };

  /// What a handler is told beside the payload.
  struct expiry {
    time_point deadline;
    handle timer;
    std::uint64_t missed;  // periods that have passed since, and will not come
  };

  /// How an advance went.
  struct progress {
    std::size_t fired = 0;
    std::size_t moved = 0;  // brought nearer
    bool more = false;      // the budget was used up first
  };

  /// `now` is when its time begins.
  explicit timing_wheel(time_point now, const Allocator& from = Allocator())
      : slab_(from), wheel_(slab_, ticks::until(now.time_since_epoch().count())) {}
  timing_wheel(const timing_wheel&) = delete;
  timing_wheel& operator=(const timing_wheel&) = delete;
  /// Destroys what is left, without firing it.
  ~timing_wheel() {
    if constexpr (!std::is_trivially_destructible_v<Payload>) {
      for (index i = 0; i < slab_.used(); ++i) {
        if (slab_[i].place != node::is_free) cancel(handle(i, slab_[i].generation));
      }
    }
  }

  /// Constructs the payload from `args...`.
  template <class... Args>
    requires std::is_constructible_v<Payload, Args...>
  handle schedule(time_point deadline, Args&&... args) {
    const index i = make(std::forward<Args>(args)...);
    return begin(i, deadline);
  }
  /// Fires at `first`, and then at every `period` after it, without drift. `period`: a tick at least.
  template <class Arg>
    requires std::is_constructible_v<Payload, Arg>
  handle schedule_every(time_point first, duration period, Arg&& payload,
                        missed_periods rule = missed_periods::skip) {
    if (period.count() < ticks::units) {
      detail::fail<std::invalid_argument>("timing_wheel::schedule_every: period must be a tick at least");
    }
    const index i = make(std::forward<Arg>(payload));
    struct unmake {
      timing_wheel* w;
      index i;
      ~unmake() {
        if (w != nullptr) w->destroy(i, w->slab_[i]);
      }
    } unless_done{this, i};
    slab_.set_period(i, period.count());
    unless_done.w = nullptr;
    slab_[i].periodic = true;
    slab_[i].catches_up = rule == missed_periods::catch_up;
    return begin(i, first);
  }

  /// True: it will not fire (again), and its payload is gone; in the timer's own handler, that is gone afterwards.
  bool cancel(handle timer) noexcept {
    entry* const e = named(timer);
    if (e == nullptr || !will_fire(*e)) return false;
    if (wheel::holds(*e)) wheel_.remove(timer.number, *e);
    --size_;
    if (timer.number != firing_) {
      destroy(timer.number, *e);
    } else {
      e->periodic = false;
    }
    return true;
  }
  /// As cancel, and gives the payload back; nothing in the timer's own handler, which has it already.
  [[nodiscard]] std::optional<Payload> extract(handle timer) {
    std::optional<Payload> out;
    if (timer.number != firing_ && is_scheduled(timer)) out.emplace(std::move(slab_[timer.number].payload));
    cancel(timer);
    return out;
  }
  /// Sets its next deadline. In its own handler also that of a timer that is firing for the last time.
  bool reschedule(handle timer, time_point deadline) noexcept {
    entry* const e = named(timer);
    if (e == nullptr) return false;
    const std::int64_t at = deadline.time_since_epoch().count();
    if (wheel::holds(*e)) {
      wheel_.move(timer.number, *e, at);
    } else {
      if (!e->periodic) ++size_;
      wheel_.put(timer.number, *e, at);
    }
    return true;
  }

  /// Whether it will fire (again).
  [[nodiscard]] bool is_scheduled(handle timer) const noexcept {
    const entry* const e = named(timer);
    return e != nullptr && will_fire(*e);
  }
  /// Its payload, which stays where it is; nullptr if the handle is void.
  [[nodiscard]] Payload* find(handle timer) noexcept {
    entry* const e = named(timer);
    return e != nullptr ? std::addressof(e->payload) : nullptr;
  }
  /// How many will fire (again).
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// The tick that it has come to; in a handler, the one that is firing.
  [[nodiscard]] time_point now() const noexcept { return time_of(wheel_.now()); }

  /// Fires what has come due until `now`: handler(Payload&), or handler(Payload&, const expiry&). Afterwards the payload
  /// is destroyed, unless the timer is to fire again. The handler may do with the wheel what it likes, but for advance
  /// and drain. What it schedules for now or before comes one tick later, still in this advance if that is as far.
  /// The steps that `budget` counts are: an entry fired, brought nearer, or put in order with others of its tick.
  /// A time before that of the last advance is taken for that.
  template <class Handler>
    requires(std::is_invocable_v<Handler&, Payload&> ||
             std::is_invocable_v<Handler&, Payload&, const expiry&>)
  progress advance(time_point now, Handler&& handler, std::size_t budget = no_budget) {
    if (budget == 0) detail::fail<std::invalid_argument>("timing_wheel::advance: budget must be 1 or more");
    const inside guard(*this);
    const std::uint64_t until = ticks::until(now.time_since_epoch().count());
    const std::uint64_t target = until > wheel_.now() ? until : wheel_.now();
    progress done;
    done.more = !wheel_.advance(target, budget, done.moved, [&](index i) { fire(i, target, handler, done); });
    return done;
  }

  /// Fires all that is scheduled, in order, each once, without waiting for its time. What its handlers schedule stays, and
  /// what they reschedule, to fire once more.
  template <class Handler>
    requires(std::is_invocable_v<Handler&, Payload&> ||
             std::is_invocable_v<Handler&, Payload&, const expiry&>)
  std::size_t drain(Handler&& handler) {
    const inside guard(*this);
    progress done;
    wheel_.take_all([&](index i) {
      slab_[i].periodic = false;
      fire(i, 0, handler, done);
    });
    return done.fired;
  }

  /// The tick at which the next timer fires; nothing: there is none. Exact, so it looks at all entries of the slots
  /// that come first: for tests and metrics.
  [[nodiscard]] std::optional<time_point> next_expiry() const noexcept {
    return time_of(wheel_.next_expiry());
  }

  /// When to call advance next, for a host that sleeps until then; nothing: there is nothing to wait for. Never later
  /// than the next timer. It may be earlier, when there is much to bring nearer, or when timers have been moved. A few timers
  /// far from all others cost a wake each.
  [[nodiscard]] std::optional<time_point> next_wakeup() const noexcept {
    return time_of(wheel_.next_wakeup());
  }

 private:
  [[nodiscard]] static time_point time_of(std::uint64_t tick_number) noexcept {
    return time_point(duration(ticks::time_of(tick_number)));
  }
  [[nodiscard]] static std::optional<time_point> time_of(std::optional<std::uint64_t> tick_number) noexcept {
    if (!tick_number) return std::nullopt;
    return time_of(*tick_number);
  }

  // --- advance ---

  struct inside {
    explicit inside(timing_wheel& w) : w_(w) {
      if (w.advancing_) detail::fail<std::logic_error>("timing_wheel: advance or drain inside a handler");
      w.advancing_ = true;
    }
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;
    ~inside() { w_.advancing_ = false; }
    timing_wheel& w_;
  };

  template <class Handler>
  void fire(index i, std::uint64_t target, Handler& handler, progress& done) {
    entry& e = slab_[i];
    firing_ = i;
    ++done.fired;
    struct afterwards {
      timing_wheel& w;
      entry& e;
      std::int64_t next;
      ~afterwards() {
        const index fired = std::exchange(w.firing_, node::none);
        if (wheel::holds(e)) return;  // it has been rescheduled
        if (e.periodic) {
          w.wheel_.put(fired, e, next);
        } else {
          w.destroy(fired, e);
        }
      }
    } at_the_end{*this, e, 0};
    expiry told{time_point(duration(e.deadline)), handle(i, e.generation), 0};
    if (e.periodic) {
      at_the_end.next = ticks::next(e.deadline, slab_.period(i), e.catches_up, target, told.missed);
    } else {
      --size_;
    }
    if constexpr (std::is_invocable_v<Handler&, Payload&, const expiry&>) {
      handler(e.payload, std::as_const(told));
    } else {
      handler(e.payload);
    }
  }
  // --- entries ---

  /// Nothing: the handle is void.
  [[nodiscard]] const entry* named(handle timer) const noexcept {
    if (timer.number >= slab_.used()) return nullptr;
    const entry& e = slab_[timer.number];
    return e.generation == timer.generation ? &e : nullptr;
  }
  [[nodiscard]] entry* named(handle timer) noexcept {
    return const_cast<entry*>(std::as_const(*this).named(timer));
  }
  [[nodiscard]] static bool will_fire(const entry& e) noexcept { return wheel::holds(e) || e.periodic; }
  template <class... Args>
  [[nodiscard]] index make(Args&&... args) {
    struct taken {
      slab& from;
      index i;
      ~taken() {
        if (i != node::none) from.release(i, from[i]);
      }
    } one{slab_, slab_.acquire()};
    ::new (static_cast<void*>(std::addressof(slab_[one.i].payload))) Payload(std::forward<Args>(args)...);
    return std::exchange(one.i, node::none);
  }
  void destroy(index i, entry& e) noexcept {
    // why first: the payload's destructor may cancel the very timer, if that is how it is owned
    slab_.retire(e);
    e.payload.~Payload();
    e.periodic = false;
    slab_.release(i, e);
  }
  handle begin(index i, time_point deadline) noexcept {
    entry& e = slab_[i];
    wheel_.put(i, e, deadline.time_since_epoch().count());
    ++size_;
    return handle(i, e.generation);
  }

  slab slab_;
  wheel wheel_;
  std::size_t size_ = 0;
  index firing_ = node::none;
  bool advancing_ = false;
};

}  // namespace v0
}  // namespace millrace
