// The books of one stage of a pipeline, and what one of its workers has in hand. Guarded by the pipeline's mutex.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/flow/detail/pipeline_item.hpp"
#include "millrace/flow/pipeline_stats.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// What becomes of an item after a call.
enum class stage_result : std::uint8_t { passed, finished, filtered, dead, again, later, full };

template <class Timers>
struct stage_batch {
  static constexpr std::size_t most = 32;

  pipeline_item<Timers>* items[most];
  stage_result results[most];  // of the first `done`
  std::size_t size = 0;
  std::size_t done = 0;
  std::int64_t claimed = 0;  // when, and when its first function was called and its last one returned
  std::int64_t began = 0;
  std::int64_t ended = 0;
};

template <class Timers>
struct stage_state {
  using item = pipeline_item<Timers>;
  using batch = stage_batch<Timers>;
  static constexpr std::int64_t quick = 20'000;
  static constexpr std::chrono::milliseconds first_pause{1};
  static constexpr std::chrono::milliseconds longest_pause{50};

  static std::uint64_t word(std::int64_t t) noexcept { return static_cast<std::uint64_t>(t); }

  explicit stage_state(stage_plan p) : plan(std::move(p)) {}

  /// For how many more. Of those that a worker has in hand one needs none, as it is being worked on.
  [[nodiscard]] std::size_t room() const noexcept {
    const std::size_t places = plan.capacity + active;
    const std::size_t taken = waiting + retrying + in_hand + reserved;
    return taken < places ? places - taken : 0;
  }
  void begin(batch& b) noexcept {
    waiting -= b.size;
    in_hand += b.size;
    ++active;
    claimed += word(b.claimed);
  }
  void end(const batch& b) noexcept {
    in_hand -= b.size;
    --active;
    claimed -= word(b.claimed);
    count.busy += std::chrono::nanoseconds(b.ended - b.began);
    if (b.ended - b.began > quick) {
      want = 1;
    } else if (b.size == want && b.done == b.size && want < batch::most) {
      want *= 2;
    }
  }
  void note_blocked(bool is, std::int64_t at) noexcept {
    if (is == is_blocked) return;
    is_blocked = is;
    if (is) {
      blocked_since = at;
    } else if (at > blocked_since) {
      count.blocked += std::chrono::nanoseconds(at - blocked_since);
    }
  }
  /// Time in which the pipeline was started.
  static void add_time(stage_stats& to, std::size_t workers, std::int64_t since, std::int64_t at) noexcept {
    if (at <= since) return;
    const std::chrono::nanoseconds passed(at - since);
    to.elapsed += passed;
    to.offered += passed * static_cast<std::int64_t>(workers);
  }
  /// The task that has been posted and has not begun will not be one.
  void forget_posted() noexcept {
    if (std::exchange(is_posted, false)) --tasks;
  }
  /// Nothing is in it any more.
  void clear() noexcept {
    line = {};
    waiting = retrying = 0;
    is_shut = is_due = false;
    pause = first_pause;
  }
  /// At a time after `since`, until when it has been added up.
  [[nodiscard]] stage_stats stats(std::int64_t since, std::int64_t at) const {
    stage_stats s = count;
    s.name = plan.name;
    s.workers = plan.workers;
    s.running = active;
    s.depth = waiting;
    s.retrying = retrying;
    add_time(s, plan.workers, since, at);
    s.busy += std::chrono::nanoseconds(static_cast<std::int64_t>(active * word(at) - claimed));
    if (is_blocked && at > blocked_since) s.blocked += std::chrono::nanoseconds(at - blocked_since);
    return s;
  }

  stage_plan plan;
  item_line<item> line;
  std::size_t waiting = 0;   // for a worker
  std::size_t retrying = 0;  // for their timers
  std::size_t in_hand = 0;
  std::size_t reserved = 0;   // by those in hand in the stage before
  std::size_t active = 0;     // workers that have something in hand
  std::size_t tasks = 0;      // these, and those that have been posted, or are between two batches
  std::size_t want = 1;       // at once
  std::uint64_t claimed = 0;  // the sum of when they have claimed that, modulo 2^64
  std::int64_t blocked_since = 0;
  bool is_posted = false;  // one of the tasks has not begun
  bool is_blocked = false;
  // Of the end, which has one worker; timer and pause are that one's:
  bool is_shut = false;  // what lies behind is full
  bool is_due = false;   // the timer was faster than who has set it
  typename Timers::timer timer;
  std::chrono::nanoseconds pause = first_pause;
  stage_stats count;  // what has been added up
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
