// millrace/delivery/bulkhead.hpp - a limit on how many do something at once.
//
// A ship's bulkheads keep a leak from sinking all of it: what is slow fills its own places, and nobody else's.
//
// Use it when : so many calls may be under way to one server, so many large files may be open, and who comes then waits or
//               goes away.
// Use instead : `rate_limiter` for how many in a time; `channel` of a capacity if it is values that wait; a
//               std::counting_semaphore where neither an end nor another clock nor a change of the limit is wanted.
// Threads     : any; a permit belongs to one thread at a time, and may be moved to another. Construction and destruction:
//               before and after everything else, permits included.
// Order       : who waits is called first come, first served; but a thread that is awake may take the place that a woken one
//               was called for, and who loses so goes back to the end of the line. What was written before a place was left
//               is visible to who enters later; what was written before close(), to whoever hears of it.
// Progress    : try_enter, and leaving while nobody waits, are lock-free. With waiters, a mutex is held for a few
//               instructions to wake one. Who waits sleeps, after a short adaptive spin (no spin on one CPU); idle costs no CPU.
// Errors      : a permit that is none says why: full, closed or timeout, see core/outcome.hpp. full is exact: every place was
//               taken at an instant inside the call.
// Exceptions  : std::invalid_argument for places outside 1 .. 2^31 - 1.
// Memory      : 400 bytes; a permit is 16. Never allocates.
// Cost        : 20 ns to enter and leave while nobody waits.
// Source      : counting semaphores, E. Dijkstra, 1965; the name, M. Nygard, Release It!, 2007.
// Checked by  : tests/delivery/bulkhead_test.cpp, tests/models/bulkhead_models.cpp
//
// Example:
//   millrace::bulkhead calls(8);
//   if (auto place = calls.enter_for(100ms)) {
//     call();
//   } else if (place.answer() == millrace::outcome::timeout) {
//     shed();
//   }                                                            // the place is free again
#pragma once

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"

namespace millrace {
inline namespace v0 {

template <clock Clock = std::chrono::steady_clock, class Sync = std_sync>
class bulkhead {
 public:
  using clock_type = Clock;
  using time_point = typename Clock::time_point;

  /// A place, left when it is destroyed; or none.
  class [[nodiscard]] permit {
   public:
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), answer_(other.answer_) {}
    permit& operator=(permit&& other) noexcept {
      if (this == &other) return *this;
      leave();
      of_ = std::exchange(other.of_, nullptr);
      answer_ = other.answer_;
      return *this;
    }
    ~permit() { leave(); }

    /// Whether it holds a place.
    [[nodiscard]] explicit operator bool() const noexcept { return of_ != nullptr; }
    /// What came of entering: ok, full, closed or timeout.
    [[nodiscard]] outcome answer() const noexcept { return answer_; }
    /// Leaves the place now.
    void leave() noexcept {
      if (of_ != nullptr) std::exchange(of_, nullptr)->leave();
    }

   private:
    friend bulkhead;
    permit(bulkhead& of, outcome answer) noexcept
        : of_(answer == outcome::ok ? &of : nullptr), answer_(answer) {}

    bulkhead* of_;
    outcome answer_;
  };

  explicit bulkhead(std::size_t places)
    requires stateless_clock<Clock>
      : bulkhead(clock_ref<Clock>(), places) {}
  /// Waits with a limit go by `clock`, which must outlive it.
  bulkhead(clock_ref<Clock> clock, std::size_t places)
      : clock_(clock), word_(valid(places) << places_shift) {}
  bulkhead(const bulkhead&) = delete;
  bulkhead& operator=(const bulkhead&) = delete;
  ~bulkhead() { assert(in_use() == 0 && "bulkhead: destroyed while somebody is in"); }

  /// Never waits.
  permit try_enter() noexcept { return permit(*this, take()); }
  /// Waits while it is full.
  permit enter() noexcept { return enter_within(detail::no_limit()); }
  template <class Rep, class Period>
  permit enter_for(std::chrono::duration<Rep, Period> limit) noexcept {
    return enter_within(detail::limit_for(clock_, limit));
  }
  permit enter_until(time_point deadline) noexcept {
    return enter_within(detail::limit_at<Clock>{clock_, deadline});
  }

  /// Nobody enters any more, and everybody asleep is woken. Who is in stays until it leaves. Idempotent; returns at once.
  void close() noexcept {
    word_.fetch_or(closed_bit, std::memory_order_release);  // (3) release; pairs with (1) and (5)
    room_.events.notify_each();
  }
  [[nodiscard]] bool is_closed() const noexcept {
    return (word_.load(std::memory_order_seq_cst) & closed_bit) != 0;  // (1)
  }

  /// From now on so many at once. If more are in, they stay, and the next one enters once enough of them have left.
  void resize(std::size_t places) {
    const std::uint64_t to = valid(places) << places_shift;
    // (4) relaxed: it tells of nothing else. Who looks at it later finds it by the fence in notify, see (1).
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(word, to | (word & ~(places_mask << places_shift)),
                                        std::memory_order_relaxed)) {
    }
    if (used(word) >= places) return;
    room_.events.notify_one();
    // One for each free place; and who comes to wait after the first call sees them.
    for (std::size_t free = places - used(word); --free != 0 && room_.events.waiters_approx() != 0;) {
      room_.events.notify_one();
    }
  }

  /// How many may be in at once.
  [[nodiscard]] std::size_t places() const noexcept { return allowed(word_.load(std::memory_order_relaxed)); }
  /// How many are in, more than places() after a resize, perhaps; out of date as soon as it is read.
  [[nodiscard]] std::size_t in_use() const noexcept { return used(word_.load(std::memory_order_relaxed)); }

 private:
  // word_    [ places : 31 | closed : 1 | in use : 32 ]
  static constexpr int places_shift = 33;
  static constexpr std::uint64_t places_mask = 0x7FFF'FFFF;
  static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 32;

  [[nodiscard]] static std::size_t allowed(std::uint64_t word) noexcept {
    return static_cast<std::size_t>(word >> places_shift);
  }
  [[nodiscard]] static std::size_t used(std::uint64_t word) noexcept {
    return static_cast<std::size_t>(word & (closed_bit - 1));
  }
  [[nodiscard]] static std::uint64_t valid(std::size_t places) {
    if (places < 1 || places > places_mask) {
      detail::fail<std::invalid_argument>("bulkhead: places must be 1 to 2^31 - 1");
    }
    return places;
  }

  [[nodiscard]] outcome take() noexcept {
    // (1) seq_cst; pairs with the fence in the notify that follows (2), (3) and (4): with anything less, a place that has
    // been left before might still be taken for one that is in use. It acquires what was written before (3).
    std::uint64_t word = word_.load(std::memory_order_seq_cst);
    do {
      if ((word & closed_bit) != 0) return outcome::closed;
      if (used(word) >= allowed(word)) return outcome::full;
      // (5) acquire; pairs with (2): what those wrote who have left. Also where it fails, and finds (3).
    } while (!word_.compare_exchange_weak(word, word + 1, std::memory_order_acquire));
    return outcome::ok;
  }
  template <class Limit>
  permit enter_within(Limit limit) noexcept {
    outcome result = take();
    if (result == outcome::full) {
      limit.start();
      result = room_.await(outcome::full, limit, [this] { return take(); });
    }
    return permit(*this, result);
  }
  void leave() noexcept {
    const std::uint64_t before =
        word_.fetch_sub(1, std::memory_order_release);  // (2) release; pairs with (5)
    // why not else: the one called would find no place, and go back to the end of the line
    if (used(before) <= allowed(before)) room_.events.notify_one();
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  typename Sync::template atomic<std::uint64_t> word_;
  detail::waiting_room<Sync> room_;
};

template <clock Clock>
bulkhead(Clock&, std::size_t) -> bulkhead<Clock>;

}  // namespace v0
}  // namespace millrace
