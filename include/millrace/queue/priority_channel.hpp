// millrace/queue/priority_channel.hpp - a channel with an express lane: a few levels, the higher ones popped first.
//
// Use it when : some messages must not wait behind the others: control before data, paying before free.
// Use instead : a channel for each, and `select`, if different threads serve them; a priority queue under a mutex if
//               every message has a priority of its own.
// Threads     : as the queue's, at each level. close() and the observers from any thread.
// Order       : FIFO inside a level, as the queue's. Between levels: a pop looks at each level in turn, from level 0, the
//               highest, and takes the first value it finds. Weighted, it begins at the level whose turn it is.
// Progress    : as a channel's. Strict priority starves the lower levels while higher ones are busy. Weighted it does
//               not: of `sum of weights` pops in a row that find something, each level that has something gets at least
//               one in its turn.
// Errors      : as a channel's, each level by itself: full is a full level. empty: no level had anything when the pop
//               looked at it, one after the other; a value that was pushed to a level it had passed already may be there.
//               The pops that wait, and all other ways of waiting, do not miss it. closed is final.
// Exceptions  : std::length_error for a capacity outside 1 .. 2^31; std::invalid_argument for a weight of 0 or weights
//               whose sum is more than 65,535; std::out_of_range from at(); otherwise as a channel's.
// Memory      : `Levels` queues and about 500 bytes more for each; weighted, a byte for each unit of weight.
// Cost        : a push as into a channel; a pop one look for each level that it passes. Weighted, one more
//               read-modify-write on a line that all consumers share.
// Source      : strict and weighted round robin, as in packet schedulers; the turns are spread as by A. Demers, S. Keshav,
//               S. Shenker, Analysis and Simulation of a Fair Queueing Algorithm, SIGCOMM 1989, in their simplest form.
// Checked by  : tests/queue/priority_channel_test.cpp, tests/queue/histories_test.cpp, tests/models/priority_models.cpp
//
// Example:
//   millrace::priority_channel<job, 3> jobs(1024);
//   if (jobs.at(0).push(urgent) != millrace::outcome::ok) return;
//   for (job& j : jobs) j.run();
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/ends.hpp"
#include "millrace/queue/detail/lane.hpp"
#include "millrace/queue/detail/turns.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/overflow.hpp"
#include "millrace/queue/verbs.hpp"

namespace millrace {
inline namespace v0 {

/// Its pops are those of verbs.hpp, and the pushes of each level too.
template <class T, std::size_t Levels, class Queue = mpmc_queue<T>, clock Clock = std::chrono::steady_clock>
class priority_channel
    : public pop_verbs<priority_channel<T, Levels, Queue, Clock>, T, typename Queue::sync_type, Clock> {
  static_assert(std::is_same_v<T, typename Queue::value_type>,
                "priority_channel: the queue is of another type");
  static_assert(Levels >= 2 && Levels <= 256, "priority_channel: Levels must be 2 to 256");
  static_assert(Queue::is_bounded, "priority_channel: the queue must be bounded");

  using lane = detail::lane<Queue>;
  using sync = typename Queue::sync_type;

 public:
  using value_type = T;
  using queue_type = Queue;
  using clock_type = Clock;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  /// Turns of each level, from level 0 on; each at least 1, their sum at most 65,535.
  using weights = std::array<std::uint32_t, Levels>;
  /// Receives what was dropped and its level, as channel::drop_handler; the level is `levels` for a value that a
  /// destroyed coroutine was about to receive.
  using drop_handler = function<void(std::size_t, T&&)>;
  static constexpr std::size_t levels = Levels;

  /// One level, the end to push to.
  class level : public push_verbs<level, T, Clock> {
   public:
    using value_type = T;
    level(const level&) = delete;
    level& operator=(const level&) = delete;
    [[nodiscard]] std::uint64_t dropped() const noexcept { return lane_.dropped(); }
    [[nodiscard]] std::size_t size_approx() const noexcept { return lane_.size_approx(); }
    [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }
    [[nodiscard]] std::size_t capacity() const noexcept { return lane_.capacity(); }

   private:
    friend priority_channel;
    friend push_verbs<level, T, Clock>;
    friend detail::ends_of<level>;
    level(priority_channel& c, std::size_t number, std::size_t capacity, overflow policy)
        : clock_(c.clock_), lane_(c.not_empty_, capacity, policy, [&c, number](T&& value) {
            if (c.on_drop_) c.on_drop_(number, std::move(value));
          }) {}
    [[nodiscard]] lane& lane_at() noexcept { return lane_; }

    MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
    lane lane_;
  };

  /// `capacity` is that of each level. Without weights the priority is strict.
  explicit priority_channel(std::size_t capacity, overflow policy = overflow::block,
                            drop_handler on_drop = {})
    requires stateless_clock<Clock>
      : priority_channel(capacity, clock_ref<Clock>(), policy, std::move(on_drop)) {}
  priority_channel(std::size_t capacity, clock_ref<Clock> clock, overflow policy = overflow::block,
                   drop_handler on_drop = {})
      : priority_channel(capacity, clock, policy, std::move(on_drop), {}) {}
  priority_channel(std::size_t capacity, const weights& shares, overflow policy = overflow::block,
                   drop_handler on_drop = {})
    requires stateless_clock<Clock>
      : priority_channel(capacity, shares, clock_ref<Clock>(), policy, std::move(on_drop)) {}
  priority_channel(std::size_t capacity, const weights& shares, clock_ref<Clock> clock,
                   overflow policy = overflow::block, drop_handler on_drop = {})
      : priority_channel(capacity, clock, policy, std::move(on_drop), detail::spread_turns(shares)) {}
  priority_channel(const priority_channel&) = delete;
  priority_channel& operator=(const priority_channel&) = delete;
  /// Destroys what is left. Every call must have returned.
  ~priority_channel() = default;

  /// 0 is the highest. std::out_of_range from `Levels` on.
  [[nodiscard]] level& at(std::size_t number) {
    if (number >= Levels) {
      detail::fail<std::out_of_range>("priority_channel::at: number must be 0 to Levels - 1");
    }
    return levels_[number];
  }

  /// Ends the stream, on all levels. Idempotent; returns at once.
  void close() noexcept {
    for (level& l : levels_) l.lane_.end();
    closed_.store(true, std::memory_order_release);
    this->not_empty_.events.notify_each();
    for (level& l : levels_) l.lane_.not_full.events.notify_each();
  }
  /// True: every push from now on is refused.
  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }

  /// Of all levels together.
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    std::uint64_t all = dropped_with_waiters_.load(std::memory_order_relaxed);
    for (const level& l : levels_) all += l.dropped();
    return all;
  }
  [[nodiscard]] std::size_t size_approx() const noexcept {
    std::size_t all = 0;
    for (const level& l : levels_) all += l.size_approx();
    return all;
  }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }

 private:
  friend pop_verbs<priority_channel, T, sync, Clock>;
  friend detail::ends_of<priority_channel>;
  using turns = std::vector<std::uint8_t>;

  priority_channel(std::size_t capacity, clock_ref<Clock> clock, overflow policy, drop_handler on_drop,
                   turns order)
      : clock_(clock),
        on_drop_(std::move(on_drop)),
        turns_(std::move(order)),
        levels_(make_levels(capacity, policy, std::make_index_sequence<Levels>())) {}
  template <std::size_t... Number>
  std::array<level, Levels> make_levels(std::size_t capacity, overflow policy,
                                        std::index_sequence<Number...>) {
    return {level(*this, Number, capacity, policy)...};
  }

  /// One look at each level, until one of them has something. closed: all have ended.
  template <class Try>
  outcome look_at_all(Try attempt) {
    std::size_t first = 0;
    if (!turns_.empty()) {
      first = turns_[turn_.fetch_add(1, std::memory_order_relaxed) % turns_.size()];
      const outcome result = attempt(levels_[first].lane_);
      if (result == outcome::ok) return result;
    }
    outcome all = outcome::closed;
    for (level& l : levels_) {
      const outcome result = attempt(l.lane_);
      if (result == outcome::ok) return result;
      if (result == outcome::empty) all = outcome::empty;
    }
    return all;
  }

  // see detail/ends.hpp
  template <class Receive>
  outcome take(Receive&& receive) {
    return look_at_all([&](lane& l) { return l.take(receive); });
  }
  template <class Receive>
  outcome take_quietly(Receive&& receive) {
    return look_at_all([&](lane& l) { return l.take_quietly(receive); });
  }
  void tell_of_take(outcome result) {
    for (level& l : levels_) l.lane_.tell_of_take(result);  // whichever it was
  }
  void drop(T&& value) {
    dropped_with_waiters_.fetch_add(1, std::memory_order_relaxed);  // a counter, nothing hangs on it
    if (on_drop_) on_drop_(Levels, std::move(value));
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  typename sync::template atomic<bool> closed_{false};
  typename sync::template atomic<std::uint64_t> dropped_with_waiters_{0};
  drop_handler on_drop_;
  const turns turns_;  // empty: strict
  alignas(hot_separation) typename sync::template atomic<std::uint32_t> turn_{0};
  std::array<level, Levels> levels_;
};

}  // namespace v0
}  // namespace millrace
