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
// Exceptions  : std::length_error for a capacity outside 1 .. 2^31; std::invalid_argument for drop_oldest with a
//               queue whose producers may not pop; from verbs only what T's copy or move throws, and on_drop. What
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
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/channel_access.hpp"
#include "millrace/queue/detail/waiting.hpp"
#include "millrace/queue/mpmc_queue.hpp"

namespace millrace {
inline namespace v0 {

/// What a push does when the channel is full.
enum class overflow : std::uint8_t {
  block,        // waits for room; try_push answers full
  fail,         // answers full
  drop_newest,  // drops its own value, and answers ok
  drop_oldest,  // drops the oldest value in the channel to make room, and answers ok (full only if there is
                // none, because every place is held by an operation of a thread that stands still)
};

template <class T, class Queue = mpmc_queue<T>, clock Clock = std::chrono::steady_clock>
class channel {
  static_assert(std::is_same_v<T, typename Queue::value_type>, "channel: the queue is of another type");

  using access = detail::channel_access;
  using sync = typename Queue::sync_type;

 public:
  using value_type = T;
  using queue_type = Queue;
  using clock_type = Clock;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  /// Receives what was dropped, in the pushing thread; pushers may call it at the same time. It must not push
  /// into this channel.
  using drop_handler = function<void(T&&)>;

  /// `capacity` as the queue's: 1 .. 2^31, rounded up; see capacity().
  explicit channel(std::size_t capacity, overflow policy = overflow::block, drop_handler on_drop = {})
    requires stateless_clock<Clock>
      : channel(capacity, clock_ref<Clock>(), policy, std::move(on_drop)) {}
  /// Waits with a limit go by `clock`, which must outlive the channel.
  channel(std::size_t capacity, clock_ref<Clock> clock, overflow policy = overflow::block,
          drop_handler on_drop = {})
      : queue_(capacity), clock_(clock), policy_(policy), on_drop_(std::move(on_drop)) {
    if (policy_ == overflow::drop_oldest && !Queue::many_consumers) {
      detail::fail<std::invalid_argument>(
          "channel: policy must be block, fail or drop_newest for this queue: with drop_oldest producers "
          "pop, and "
          "it allows one consumer");
    }
  }
  /// Over a queue without a limit, which has no capacity and is never full: no policy ever comes to act.
  explicit channel(overflow policy = overflow::block, drop_handler on_drop = {})
    requires(stateless_clock<Clock> && !Queue::is_bounded)
      : channel(clock_ref<Clock>(), policy, std::move(on_drop)) {}
  explicit channel(clock_ref<Clock> clock, overflow policy = overflow::block, drop_handler on_drop = {})
    requires(!Queue::is_bounded)
      : clock_(clock), policy_(policy), on_drop_(std::move(on_drop)) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  /// Destroys what is left. Every call must have returned.
  ~channel() = default;

  // --- push: ok | full | closed | timeout; `value` is untouched unless the answer is ok ---

  /// Waits for room under overflow::block; under the other policies it does what they say, at once.
  [[nodiscard]] outcome push(T&& value) { return push_waiting(detail::no_limit(), std::move(value)); }
  [[nodiscard]] outcome push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return push_waiting(detail::no_limit(), value);
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome push_for(T&& value, std::chrono::duration<Rep, Period> wait) {
    return push_waiting(detail::limit_for(clock_, wait), std::move(value));
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome push_for(const T& value, std::chrono::duration<Rep, Period> wait)
    requires std::is_copy_constructible_v<T>
  {
    return push_waiting(detail::limit_for(clock_, wait), value);
  }
  [[nodiscard]] outcome push_until(T&& value, time_point deadline) {
    return push_waiting(detail::limit_at<Clock>{clock_, deadline}, std::move(value));
  }
  [[nodiscard]] outcome push_until(const T& value, time_point deadline)
    requires std::is_copy_constructible_v<T>
  {
    return push_waiting(detail::limit_at<Clock>{clock_, deadline}, value);
  }
  /// Never waits: under overflow::block it answers full.
  [[nodiscard]] outcome try_push(T&& value) { return push_now(std::move(value)); }
  [[nodiscard]] outcome try_push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return push_now(value);
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

  /// Ends the stream. Pushes are refused from now on and pops drain what is left; everybody asleep is woken.
  /// Idempotent; returns at once.
  void close() noexcept {
    access::close(queue_);
    closed_.store(true, std::memory_order_release);
    not_empty_.events.notify_all();
    not_full_.events.notify_all();
  }
  /// True: every push from now on is refused.
  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }

  /// How many values the overflow policy has dropped.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t size_approx() const noexcept { return queue_.size_approx(); }
  [[nodiscard]] bool empty_approx() const noexcept { return queue_.empty_approx(); }
  [[nodiscard]] std::size_t capacity() const noexcept
    requires requires(const Queue& q) { q.capacity(); }
  {
    return queue_.capacity();
  }
  [[nodiscard]] overflow policy() const noexcept { return policy_; }

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
  static auto into(T& out) noexcept {
    static_assert(std::is_move_assignable_v<T>,
                  "channel: this T cannot be assigned to; use the pop that returns it");
    return [&out](T&& value) { out = std::move(value); };
  }

  /// One try at the queue, and the news of it.
  template <class Value>
  outcome offer(Value&& value) {
    // A constructor that throws may have freed the place that a sleeper waits for.
    detail::on_exception pass_on([this] { not_full_.events.notify_one(); });
    const outcome result = access::offer(queue_, std::forward<Value>(value));
    pass_on.dismiss();
    if (result == outcome::ok) not_empty_.events.notify_one();
    return result;
  }
  template <class Receive>
  outcome pop_now(Receive&& receive) {
    detail::on_exception pass_on([this] { not_full_.events.notify_one(); });
    const outcome result = access::take(queue_, receive);
    pass_on.dismiss();
    // why also when empty: a consumer that gives up a stalled producer's position makes room without popping
    // anything. So that no producer sleeps on a full queue while consumers find it empty, the consumer says so.
    if (result != outcome::closed) not_full_.events.notify_one();
    return result;
  }

  template <class Value>
  outcome push_now(Value&& value) {
    outcome result = offer(std::forward<Value>(value));
    if (result != outcome::full || policy_ == overflow::block || policy_ == overflow::fail) return result;
    if (policy_ == overflow::drop_newest) {
      T newest(std::forward<Value>(value));
      drop(std::move(newest));
      return outcome::ok;
    }
    // Full, and nothing there to drop, again and again: every place is held by an operation that stands still.
    for (int found_nothing = 0; result == outcome::full && found_nothing < 64;) {
      if (access::take(queue_, [this](T&& oldest) { drop(std::move(oldest)); }) != outcome::ok) {
        ++found_nothing;
        sync::pause();
      }
      result = offer(std::forward<Value>(value));
    }
    return result;
  }

  void drop(T&& value) {
    dropped_.fetch_add(1, std::memory_order_relaxed);  // a counter, nothing hangs on it
    if (on_drop_) on_drop_(std::move(value));
  }

  template <class Limit, class Value>
  outcome push_waiting(Limit&& limit, Value&& value) {
    const outcome result = push_now(std::forward<Value>(value));
    if (result != outcome::full || policy_ != overflow::block) return result;
    limit.start();
    return not_full_.await(outcome::full, limit, [&] { return offer(std::forward<Value>(value)); });
  }

  template <class Limit, class Receive>
  outcome pop_waiting(Limit&& limit, Receive&& receive) {
    const outcome result = pop_now(receive);
    if (result != outcome::empty) return result;
    limit.start();
    return not_empty_.await(outcome::empty, limit, [&] { return pop_now(receive); });
  }

  Queue queue_;
  detail::waiting_room<sync> not_empty_;
  detail::waiting_room<sync> not_full_;
  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  const overflow policy_;
  typename sync::template atomic<bool> closed_{false};
  typename sync::template atomic<std::uint64_t> dropped_{0};
  drop_handler on_drop_;
};

}  // namespace v0
}  // namespace millrace
