// millrace/queue/channel.hpp - a queue that one can wait on, with an end of the stream and a rule for overflow.
//
// Use it when : threads hand over work and should sleep when there is none, or when there is too much.
// Use instead : the bare queue when you never wait; it is the same queue with less around it.
// Threads     : as the queue's: any number with mpmc_queue, one on each side with spsc_queue. close() and the
//               observers from any thread.
// Order       : as the queue's, FIFO. Sleepers are woken first come, first served, but a thread that is awake may
//               take what a woken one was called for; who loses so goes back to the end of the line. What was
//               written before close() is visible to whoever learns of it.
// Progress    : try_* are as lock-free as the queue while nobody sleeps; with sleepers, a mutex is held for a few
//               instructions to wake one. The other verbs wait, asleep after a short adaptive spin (no spin on one
//               CPU). Idle costs no CPU.
// Errors      : ok, full, empty, closed or timeout, see core/outcome.hpp. The argument of a push is untouched
//               unless the answer is ok. After close() every push is refused, and pops drain what was accepted:
//               nothing accepted is lost, also when the two race, and `closed` is final.
// Exceptions  : std::length_error for a capacity outside 1 .. 2^31; std::invalid_argument, see watch_level; from verbs only what T's copy or move throws, and on_drop. What
//               that leaves of the queue is said there; of a T whose move throws in a push, the place is free again
//               only once the pops have passed it, and a push that waits for room waits for that.
// Memory      : the queue's and about 400 bytes. Waiting allocates nothing.
// Cost        : the queue's, plus a load when nobody sleeps on the other side.
// Source      : WG21 P0260 for verbs and closing.
// Checked by  : tests/queue/channel_test.cpp, tests/queue/histories_test.cpp, tests/models/channel_models.cpp
//
// Example:
//   millrace::channel<job> jobs(1024);
//   std::thread worker([&] { for (job& j : jobs) j.run(); });   // until closed and drained
//   if (jobs.push(job{...}) != millrace::outcome::ok) return;   // waits while full; not ok: closed
//   jobs.close();
//   worker.join();
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/awaiting.hpp"
#include "millrace/queue/detail/ends.hpp"
#include "millrace/queue/detail/lane.hpp"
#include "millrace/queue/detail/readiness.hpp"
#include "millrace/queue/detail/waiting.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/overflow.hpp"

namespace millrace {
inline namespace v0 {

/// Where a backlog begins to be much, and where it is little again: 0 <= low < high.
struct watermarks {
  std::size_t high;
  std::size_t low;
};

template <class T, class Queue = mpmc_queue<T>, clock Clock = std::chrono::steady_clock>
class channel {
  static_assert(std::is_same_v<T, typename Queue::value_type>, "channel: the queue is of another type");

  using lane = detail::lane<Queue>;
  using sync = typename Queue::sync_type;

 public:
  using value_type = T;
  using queue_type = Queue;
  using clock_type = Clock;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  /// Receives what was dropped, in the pushing thread; pushers may call it at the same time. It must not push
  /// into this channel.
  using drop_handler = typename lane::drop_handler;

  /// `capacity` as the queue's: 1 .. 2^31, rounded up; see capacity(). With overflow::drop_oldest and a queue that
  /// allows one consumer the values lie in an mpmc_queue instead.
  explicit channel(std::size_t capacity, overflow policy = overflow::block, drop_handler on_drop = {})
    requires(Queue::is_bounded && stateless_clock<Clock>)
      : channel(capacity, clock_ref<Clock>(), policy, std::move(on_drop)) {}
  /// Waits with a limit go by `clock`, which must outlive the channel.
  channel(std::size_t capacity, clock_ref<Clock> clock, overflow policy = overflow::block,
          drop_handler on_drop = {})
    requires Queue::is_bounded
      : clock_(clock), lane_(not_empty_, capacity, policy, std::move(on_drop)) {}
  /// Of a queue without a limit: never full.
  channel()
    requires(!Queue::is_bounded && stateless_clock<Clock>)
      : channel(clock_ref<Clock>()) {}
  explicit channel(clock_ref<Clock> clock)
    requires(!Queue::is_bounded)
      : clock_(clock), lane_(not_empty_) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  /// Destroys what is left. Every call must have returned.
  ~channel() = default;

  // --- push: ok | full | closed | timeout; `value` is untouched unless the answer is ok ---

  /// Waits for room under overflow::block; under the other policies it does what they say, at once.
  [[nodiscard]] outcome push(T&& value) { return lane_.push_waiting(detail::no_limit(), std::move(value)); }
  [[nodiscard]] outcome push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return lane_.push_waiting(detail::no_limit(), value);
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome push_for(T&& value, std::chrono::duration<Rep, Period> wait) {
    return lane_.push_waiting(detail::limit_for(clock_, wait), std::move(value));
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome push_for(const T& value, std::chrono::duration<Rep, Period> wait)
    requires std::is_copy_constructible_v<T>
  {
    return lane_.push_waiting(detail::limit_for(clock_, wait), value);
  }
  [[nodiscard]] outcome push_until(T&& value, time_point deadline) {
    return lane_.push_waiting(detail::limit_at<Clock>{clock_, deadline}, std::move(value));
  }
  [[nodiscard]] outcome push_until(const T& value, time_point deadline)
    requires std::is_copy_constructible_v<T>
  {
    return lane_.push_waiting(detail::limit_at<Clock>{clock_, deadline}, value);
  }
  /// Never waits: under overflow::block it answers full.
  [[nodiscard]] outcome try_push(T&& value) { return lane_.push_now(std::move(value)); }
  [[nodiscard]] outcome try_push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return lane_.push_now(value);
  }

  // --- pop: ok | empty | closed | timeout; `out` is untouched unless the answer is ok ---

  /// Waits for a value. closed: the channel has been closed, and everything accepted has been taken.
  [[nodiscard]] outcome pop(T& out) { return pop_waiting(detail::no_limit(), into(out)); }
  template <class Rep, class Period>
  [[nodiscard]] outcome pop_for(T& out, std::chrono::duration<Rep, Period> wait) {
    return pop_waiting(detail::limit_for(clock_, wait), into(out));
  }
  [[nodiscard]] outcome pop_until(T& out, time_point deadline) {
    return pop_waiting(detail::limit_at<Clock>{clock_, deadline}, into(out));
  }
  [[nodiscard]] outcome try_pop(T& out) { return pop_now(into(out)); }

  /// Waits for a value; nothing: closed and drained.
  [[nodiscard]] std::optional<T> pop() {
    std::optional<T> out;
    static_cast<void>(pop_waiting(detail::no_limit(), [&](T&& value) { out.emplace(std::move(value)); }));
    return out;
  }
  /// Nothing: empty, or closed and drained.
  [[nodiscard]] std::optional<T> try_pop() {
    std::optional<T> out;
    static_cast<void>(pop_now([&](T&& value) { out.emplace(std::move(value)); }));
    return out;
  }

  /// Waits for the first value, then takes what is there, `max` at the most, into `*out++`; returns how many.
  /// 0: closed and drained, or `max` is 0.
  template <class Out>
  std::size_t pop_n(Out out, std::size_t max) {
    std::size_t done = 0;
    const auto receive = [&](T&& value) {
      *out = std::move(value);
      ++out;
      ++done;
    };
    if (max == 0 || pop_waiting(detail::no_limit(), receive) != outcome::ok) return 0;
    while (done < max && pop_now(receive) == outcome::ok) {
    }
    return done;
  }

  // --- for coroutines: co_await these ---
  //
  // The coroutine stands in the same line as threads do. It is resumed with its answer by executor(handle), called in
  // the thread that made it possible; by default that thread runs it at once, inside its own push or pop, and tells
  // the others of what the coroutine took or gave when that returns: do not block there. The executor must not throw.
  // A stop ends the waiting, not what is ready at once. Arguments are held by reference.
  //
  // A coroutine that is suspended may be destroyed, by any thread and whatever the others do. It leaves the line, or
  // the executor has been given its handle by then and has to forget it; a value that it was to be resumed with is
  // dropped, as if by overflow.
  //
  // g++ 12 miscompiles a co_await that is the condition of an if, a while or a switch: give it a variable there.

  /// ok, or full (but for overflow::block), closed or cancelled; `value` is untouched unless it is ok.
  template <class Executor = inline_executor, class Stop = std::stop_token>
  [[nodiscard]] auto async_push(T&& value, Executor executor = {}, Stop stop = {}) {
    return awaiting_push<T>(value, std::move(executor), std::move(stop));
  }
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::is_copy_constructible_v<T>
  [[nodiscard]] auto async_push(const T& value, Executor executor = {}, Stop stop = {}) {
    return awaiting_push<const T&>(value, std::move(executor), std::move(stop));
  }
  /// std::optional<T>; nothing: closed and drained, or cancelled.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_pop(Executor executor = {}, Stop stop = {}) {
    return awaiting_pop(detail::into_optional<T>{}, std::move(executor), std::move(stop));
  }
  /// ok, closed or cancelled; `out` is untouched unless it is ok.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_pop(T& out, Executor executor = {}, Stop stop = {}) {
    static_assert(std::is_move_assignable_v<T>,
                  "channel: this T cannot be assigned to; use the async_pop that returns it");
    return awaiting_pop(detail::into_variable<T>{&out}, std::move(executor), std::move(stop));
  }

  /// Ends the stream. Pushes are refused from now on and pops drain what is left; everybody asleep is woken.
  /// Idempotent; returns at once.
  void close() noexcept {
    lane_.end();
    closed_.store(true, std::memory_order_release);
    not_empty_.events.notify_each();
    lane_.not_full.events.notify_each();
  }
  /// True: every push from now on is refused.
  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }

#if MILLRACE_HAS_EVENT_FD
  /// For epoll and the event loops over it: a file descriptor that is readable while something can be popped, and from
  /// close() on. The same one every time, the channel's own: do not read, write or close it. On readiness, pop until
  /// the answer is empty; that, and nothing else, makes it unreadable again, so it suits level triggering and edge
  /// triggering alike. It may be readable although somebody else was faster, and is when it is new. Without it a channel
  /// pays nothing; with it, the first push after each time it was found empty pays a write to it.
  /// std::runtime_error if the system has none left.
  [[nodiscard]] int ready_fd() { return ready_.fd(not_empty_.events).number(); }
#endif

  /// A limit that stops nobody: calls `on_level(true)` once there are `marks.high` values in the channel, and
  /// `on_level(false)` once there are only `marks.low` again, and so on, in the thread whose push or pop it was. The
  /// calls come one at a time, and the last one tells what holds. It must not throw, push into this channel or pop
  /// from it. Call this before anything else. From then on every push and pop counts; until then, none pays.
  /// std::invalid_argument unless low < high, and high <= capacity() if there is one.
  void watch_level(watermarks marks, function<void(bool)> on_level) {
    if (marks.low >= marks.high) {
      detail::fail<std::invalid_argument>("channel::watch_level: marks.low must be 0 to marks.high - 1");
    }
    if constexpr (Queue::is_bounded) {
      if (marks.high > capacity()) {
        detail::fail<std::invalid_argument>("channel::watch_level: marks.high must be 1 to capacity()");
      }
    }
    lane_.watch(marks.low, marks.high, std::move(on_level));
  }

  /// How many values have been dropped: by the overflow policy, or with a coroutine that was about to receive one.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return lane_.dropped(); }
  [[nodiscard]] std::size_t size_approx() const noexcept { return lane_.size_approx(); }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }
  /// The most values there may be.
  [[nodiscard]] std::size_t capacity() const noexcept
    requires Queue::is_bounded
  {
    return lane_.capacity();
  }
  [[nodiscard]] overflow policy() const noexcept { return lane_.policy; }

  /// Pops, one value a step, until the channel is closed and drained. Single pass; several threads may each
  /// have a loop of their own.
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    [[nodiscard]] T& operator*() const noexcept { return *value_; }
    iterator& operator++() {
      value_ = from_->pop();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return !value_.has_value(); }

   private:
    friend channel;
    explicit iterator(channel& from) : from_(&from), value_(from.pop()) {}
    channel* from_;
    mutable std::optional<T> value_;  // a loop may move from `*it`, as from any element
  };
  [[nodiscard]] iterator begin() { return iterator(*this); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

 private:
  friend detail::ends_of<channel>;

  static auto into(T& out) noexcept {
    static_assert(std::is_move_assignable_v<T>,
                  "channel: this T cannot be assigned to; use the pop that returns it");
    return [&out](T&& value) { out = std::move(value); };
  }

  template <class Value, class Executor, class Stop>
  auto awaiting_push(std::remove_reference_t<Value>& value, Executor executor, Stop stop) {
    using operation = detail::push_operation<lane, Value>;
    return detail::awaiter<sync, operation, Executor, Stop>(operation(lane_, value), std::move(executor),
                                                            std::move(stop));
  }
  template <class Into, class Executor, class Stop>
  auto awaiting_pop(Into into, Executor executor, Stop stop) {
    using operation = detail::pop_operation<channel, Into>;
    return detail::awaiter<sync, operation, Executor, Stop>(operation(*this, std::move(into)),
                                                            std::move(executor), std::move(stop));
  }

  // see detail/ends.hpp
  template <class Receive>
  outcome pop_now(Receive&& receive) {
    const outcome result = lane_.take(receive);
    if (result != outcome::empty) return result;
    return ready_.look_again([&] { return lane_.take(receive); });
  }
  template <class Receive>
  outcome take_quietly(Receive&& receive) {
    return lane_.take_quietly(receive);
  }
  void tell_of_take(outcome result) { lane_.tell_of_take(result); }
  void drop(T&& value) { lane_.drop(std::move(value)); }
  [[nodiscard]] lane& lane_at() noexcept { return lane_; }
  template <class Limit, class Receive>
  outcome pop_waiting(Limit&& limit, Receive&& receive) {
    const outcome result = pop_now(receive);
    if (result != outcome::empty) return result;
    limit.start();
    return not_empty_.await(outcome::empty, limit, [&] { return pop_now(receive); });
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  typename sync::template atomic<bool> closed_{false};
  detail::waiting_room<sync> not_empty_;
  detail::readiness<sync> ready_;
  lane lane_;
};

}  // namespace v0
}  // namespace millrace
