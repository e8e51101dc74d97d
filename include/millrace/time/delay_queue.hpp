// millrace/time/delay_queue.hpp - values that arrive later: each is pushed with a time, and can be popped from then on.
//
// Use it when : a message is to be acted upon after a while, by whoever is free then: "cancel the order if it is unpaid after
//               30 minutes", a retry with a pause.
// Use instead : `timer_service` if something is to be called, not handed over; `channel` if nothing has to wait.
// Threads     : any number may push, cancel, reschedule and pop, as threads, coroutines, in a select or an event loop. One
//               thread moves what is due: that of start(), or one that calls run(), or poll() now and then. Without it
//               nothing arrives.
// Order       : by deadline, and of the same tick and deadline in the order of the pushes, if these came one after the other;
//               what is due already when it is pushed comes with the next tick. Every value arrives once, and none before
//               its time. What was written before the push is visible after the pop.
// Progress    : pushes, cancel and reschedule are lock-free as those of `timer_service`, pops as those of `channel`. Idle costs
//               no CPU, however many values wait.
// Errors      : a void handle from a push once the queue is closed, and its argument is untouched; for pops see verbs.hpp.
//               Without memory for a value that is due, it stays and is tried again with every tick.
// Exceptions  : std::bad_alloc, and std::length_error beyond 2^32 - 2^6 waiting values, from a push, which has done nothing
//               then; std::logic_error for a second thread that moves what is due.
// Memory      : 80 bytes and sizeof(T) for a value that waits, kept until the queue is destroyed; as `unbounded_queue`
//               for those that are due; and 35 KiB.
// Cost        : a timer of `timer_service`, and a push and a pop of the queue.
// Source      : the interface after java.util.concurrent.DelayQueue (D. Lea); a timing wheel and a queue instead of a heap
//               under a lock.
// Checked by  : tests/time/delay_queue_test.cpp, tests/models/delay_queue_models.cpp
//
// Example:
//   millrace::delay_queue<order_id> unpaid;
//   unpaid.start();
//   auto wait = unpaid.push_after(30min, id);
//   if (unpaid.cancel(wait)) confirm(id);                  // paid in time: the value is back
//   while (auto late = unpaid.pop()) cancel_order(*late);  // elsewhere; until the queue is closed and all have come
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel_access.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/queue/verbs.hpp"
#include "millrace/time/detail/timer_engine.hpp"
#include "millrace/time/detail/timer_front.hpp"
#include "millrace/time/missed_periods.hpp"

namespace millrace {
inline namespace v0 {

/// Its pops are those of verbs.hpp. A Clock that can be set, as system_clock, makes deadlines times of that clock, see
/// timer_service.hpp. `Tick` is how exact it is. `Queue`, which has no limit, holds what is due.
template <class T, clock Clock = std::chrono::steady_clock, class Tick = std::chrono::milliseconds,
          class Queue = unbounded_queue<T>>
class delay_queue
    : public pop_verbs<delay_queue<T, Clock, Tick, Queue>, T, typename Queue::sync_type, Clock> {
  static_assert(std::is_same_v<T, typename Queue::value_type>, "delay_queue: the queue is of another type");
  static_assert(!Queue::is_bounded, "delay_queue: the queue must be unbounded");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "delay_queue: T must move and be destroyed without exceptions; hold it by std::unique_ptr");

  struct sink {
    delay_queue* me;
    void fire(T& value, typename Clock::time_point) const noexcept { me->arrive(value); }
    void drop(T& value) const noexcept {
      me->drop(std::move(value));
      me->settle();
    }
  };
  using sync = typename Queue::sync_type;
  using engine = detail::timer_engine<T, sink, Clock, Tick, sync>;

 public:
  using value_type = T;
  using queue_type = Queue;
  using clock_type = Clock;
  using tick = Tick;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  /// Names a value that waits, for ever: once that has arrived or was cancelled, all calls say so. It can be copied, compared,
  /// and asked whether it is void.
  using handle = typename engine::timer;

  delay_queue()
    requires stateless_clock<Clock>
      : delay_queue(clock_ref<Clock>()) {}
  /// The clock must outlive the queue. `on_earlier`, which must not throw, is for who calls poll(): it is called by a thread
  /// whose value is to arrive before the time that poll() gave last.
  explicit delay_queue(clock_ref<Clock> clock, function<void()> on_earlier = {})
      : clock_(clock), engine_(clock, sink{this}, std::move(on_earlier)) {}
  delay_queue(const delay_queue&) = delete;
  delay_queue& operator=(const delay_queue&) = delete;
  /// Destroys what is left. Every other call must have returned.
  ~delay_queue() = default;

  // --- any thread ---

  /// To arrive after `wait`, at once if that is 0 or less. Void: the queue is closed.
  template <class Rep, class Period>
  [[nodiscard]] handle push_after(std::chrono::duration<Rep, Period> wait, T&& value) {
    return push_at(detail::saturating_deadline(clock_.now(), wait), std::move(value));
  }
  template <class Rep, class Period>
  [[nodiscard]] handle push_after(std::chrono::duration<Rep, Period> wait, const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return push_after(wait, T(value));
  }
  [[nodiscard]] handle push_at(time_point deadline, T&& value) {
    struct accounted {
      delay_queue& me;
      bool accepted = false;
      ~accounted() {
        if (!accepted) me.settle();
      }
    } one{*this};
    if ((waiting_.fetch_add(one_value, std::memory_order_relaxed) & closed_bit) != 0) return handle();
    const handle h = engine_.submit(deadline, 0, missed_periods::skip, std::move(value));
    one.accepted = static_cast<bool>(h);
    return h;
  }
  [[nodiscard]] handle push_at(time_point deadline, const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return push_at(deadline, T(value));
  }

  /// The value, which will not arrive. Nothing: it has arrived, or is arriving, or was cancelled; or the handle is void.
  [[nodiscard]] std::optional<T> cancel(handle h) noexcept {
    std::optional<T> out;
    const auto receive = [&](T& value) noexcept { out.emplace(std::move(value)); };
    if (engine_.take(h, receive, true) == cancel_result::cancelled) settle();
    return out;
  }
  /// Gives it another deadline. False: as for cancel. Of two at the same time one wins.
  bool reschedule(handle h, time_point deadline) noexcept { return engine_.reschedule(h, deadline); }

  /// Refuses pushes from now on. What waits still arrives in its time or can be cancelled, and with the last of it the stream
  /// ends. Idempotent; returns at once.
  void close() noexcept {
    if (waiting_.fetch_or(closed_bit, std::memory_order_relaxed) == 0) end_stream();
  }
  /// True: every push from now on is refused.
  [[nodiscard]] bool is_closed() const noexcept {
    return (waiting_.load(std::memory_order_relaxed) & closed_bit) != 0;
  }

  /// How many values wait for their time; out of date as soon as it is read.
  [[nodiscard]] std::size_t waiting_approx() const noexcept {
    return waiting_.load(std::memory_order_relaxed) / one_value;
  }
  /// How many have arrived and are still to be popped, roughly.
  [[nodiscard]] std::size_t size_approx() const noexcept { return due_.size_approx(); }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }
  /// How many have been lost: by stop(pending_timers::drop); by stop(pending_timers::fire) without memory for them; with a
  /// coroutine that was about to receive one.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

  // --- the thread that moves what is due ---

  /// Starts a thread for it, until stop().
  void start() { engine_.start(); }
  /// Does it in this thread, until stop() is called in another one.
  void run() { engine_.run(); }
  /// Moves what is due, and returns when to call it next at the latest; nothing: nothing waits. For a loop of the host's,
  /// one thread at a time. After `steps`, at least 1 (values heard of, brought nearer or moved), it returns `now` if there
  /// may be more.
  std::optional<time_point> poll(time_point now, std::size_t steps = ~std::size_t{0}) {
    if (steps == 0) detail::fail<std::invalid_argument>("delay_queue::poll: steps must be 1 or more");
    return engine_.poll(now, steps);
  }

  /// Closes, and what waits arrives now, in order, or is dropped; then the stream has ended. Waits for the thread that moves
  /// what is due, and does it itself if there is none. Idempotent: the first call says what becomes of what waits.
  void stop(pending_timers what = pending_timers::drop) noexcept {
    close();
    engine_.stop(what);
  }

 private:
  friend pop_verbs<delay_queue, T, sync, Clock>;
  friend detail::ends_of<delay_queue>;
  // waiting_: [ values that have been pushed and have not arrived : 63 | closed : 1 ]. Relaxed: all that counts is the order in
  // which it is changed, and the end of the queue is one of the queue's own.
  static constexpr std::uint64_t closed_bit = 1;
  static constexpr std::uint64_t one_value = 2;

  void arrive(T& value) noexcept {
    if (!push_due(value)) {
      if (engine_.reschedule(engine_.current(), engine_.now() + Tick(1))) return;
      drop(std::move(value));  // stop() has been called, and does not wait for memory
    }
    this->not_empty_.events.notify_one();
    settle();
  }
  /// False: there was no memory for it.
  [[nodiscard]] bool push_due(T& value) noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    try {
      return channel_access::offer(due_, std::move(value)) == outcome::ok;
    } catch (...) {
      return false;
    }
#else
    return channel_access::offer(due_, std::move(value)) == outcome::ok;
#endif
  }
  /// One value less waits.
  void settle() noexcept {
    if (waiting_.fetch_sub(one_value, std::memory_order_relaxed) == (one_value | closed_bit)) end_stream();
  }
  void end_stream() noexcept {
    channel_access::close(due_);
    this->not_empty_.events.notify_each();
  }

  // see queue/verbs.hpp
  template <class Receive>
  outcome take(Receive&& receive) {
    return channel_access::take(due_, receive);
  }
  template <class Receive>
  outcome take_quietly(Receive&& receive) {
    return channel_access::take(due_, receive);
  }
  void tell_of_take(outcome) noexcept {}  // nobody waits for room
  void drop(T&&) noexcept {
    dropped_.fetch_add(1, std::memory_order_relaxed);  // a counter, nothing hangs on it
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  Queue due_;
  alignas(hot_separation) typename sync::template atomic<std::uint64_t> waiting_{0};
  typename sync::template atomic<std::uint64_t> dropped_{0};
  engine engine_;  // last, as it may move values until it is gone
};

}  // namespace v0
}  // namespace millrace
