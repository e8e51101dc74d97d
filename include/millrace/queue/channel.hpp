// millrace/queue/channel.hpp - a queue that one can wait on, with an end of the stream and a rule for overflow.
//
// Use it when : threads hand over work and should sleep when there is none, or when there is too much.
// Use instead : the bare queue when you never wait; it is the same queue with less around it.
// Threads     : as the queue's: any number with mpmc_queue, one on each side with spsc_queue. close() and the
//               observers from any thread. Threads, coroutines, selects and event loops may share a channel.
// Order       : as the queue's, FIFO. Who waits is woken first come, first served, of whatever kind it is; but a thread
//               that is awake may take what a woken one was called for; who loses so goes back to the end of the line.
//               What was written before close() is visible to whoever learns of it.
// Progress    : try_* are as lock-free as the queue while nobody waits; with waiters, a mutex is held for a few
//               instructions to wake one, and of a coroutine another one for a try in its place. The other verbs wait,
//               asleep after a short adaptive spin (no spin on one CPU). Idle costs no CPU.
// Errors      : ok, full, empty, closed, timeout or cancelled, see core/outcome.hpp. The argument of a push is
//               untouched unless the answer is ok. After close() every push is refused, and pops drain what was
//               accepted: nothing accepted is lost, also when the two race, and `closed` is final.
// Exceptions  : std::length_error for a capacity outside 1 .. 2^31; std::invalid_argument, see watch_level; from verbs
//               only what T's copy or move throws, and on_drop. What that leaves of the queue is said there; of a T
//               whose move throws in a push, the place is free again only once the pops have passed it, and a push that
//               waits for room waits for that.
// Memory      : the queue's and about 800 bytes, most of which keep its two sides apart. Waiting allocates nothing; in the
//               frame of a coroutine it takes about 220 bytes.
// Cost        : the queue's, plus a load when nobody waits on the other side.
// Source      : WG21 P0260 for verbs and closing.
// Checked by  : tests/queue/channel_test.cpp, tests/queue/verbs_test.cpp, tests/queue/async_test.cpp,
//               tests/queue/scenarios_test.cpp, tests/queue/histories_test.cpp, tests/models/channel_models.cpp,
//               tests/models/async_models.cpp, tests/models/ready_fd_models.cpp
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
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/ends.hpp"
#include "millrace/queue/detail/lane.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/overflow.hpp"
#include "millrace/queue/verbs.hpp"

namespace millrace {
inline namespace v0 {

/// Where a backlog begins to be much, and where it is little again: 0 <= low < high.
struct watermarks {
  std::size_t high;
  std::size_t low;
};

/// Its verbs (push, pop, try_*, *_for, *_until, pop_n, async_*, a range of its values, ready_fd) are those of verbs.hpp.
template <class T, class Queue = mpmc_queue<T>, clock Clock = std::chrono::steady_clock>
class channel : public push_verbs<channel<T, Queue, Clock>, T, Clock>,
                public pop_verbs<channel<T, Queue, Clock>, T, typename Queue::sync_type, Clock> {
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
      : clock_(clock), lane_(this->not_empty_, capacity, policy, std::move(on_drop)) {}
  /// Of a queue without a limit: never full.
  channel()
    requires(!Queue::is_bounded && stateless_clock<Clock>)
      : channel(clock_ref<Clock>()) {}
  explicit channel(clock_ref<Clock> clock)
    requires(!Queue::is_bounded)
      : clock_(clock), lane_(this->not_empty_) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  /// Destroys what is left. Every call must have returned, also the push of a value that has just been popped.
  ~channel() = default;

  /// Ends the stream. Pushes are refused from now on and pops drain what is left; everybody asleep is woken.
  /// Idempotent; returns at once.
  void close() noexcept {
    lane_.end();
    closed_.store(true, std::memory_order_release);
    this->not_empty_.events.notify_each();
    lane_.not_full.events.notify_each();
  }
  /// True: every push from now on is refused.
  [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }

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

 private:
  friend detail::ends_of<channel>;

  // see detail/ends.hpp
  template <class Receive>
  outcome take(Receive&& receive) {
    return lane_.take(receive);
  }
  template <class Receive>
  outcome take_quietly(Receive&& receive) {
    return lane_.take_quietly(receive);
  }
  void tell_of_take(outcome result) { lane_.tell_of_take(result); }
  void drop(T&& value) { lane_.drop(std::move(value)); }
  [[nodiscard]] lane& lane_at() noexcept { return lane_; }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  typename sync::template atomic<bool> closed_{false};
  lane lane_;
};

}  // namespace v0
}  // namespace millrace
