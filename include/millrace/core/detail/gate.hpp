// What one sleeper stands behind: closed until somebody opens it, and then open until it is closed for another time.
//
// Opening is the opener's last touch: the sleeper may destroy the gate as soon as it knows that it is open.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <type_traits>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync>
class gate {
 public:
  /// By the sleeper, before others hear of the gate.
  void close() noexcept { state_.store(closed, std::memory_order_relaxed); }

  void open() noexcept {
    if (open_quietly()) wake(*this);
  }
  /// The first half: true: somebody sleeps, and wake() is to follow.
  [[nodiscard]] bool open_quietly() noexcept {
    // (1) release; pairs with (2): what was done before is seen by the sleeper
    return state_.exchange(opened, std::memory_order_release) == sleeping;
  }
  /// The second half. It is given an address and does not look what is there: the gate may be gone.
  static void wake(gate& g) noexcept { Sync::unpark(g.state_); }

  // --- by the sleeper ---

  /// A hint: only wait() tells what was done before.
  [[nodiscard]] bool is_open() const noexcept { return state_.load(std::memory_order_relaxed) == opened; }
  void wait() noexcept {
    while (!passed()) {
      std::uint32_t now = expired;  // a limit has passed, but the opener is still to come
      state_.compare_exchange_strong(now, sleeping, std::memory_order_relaxed);
      Sync::park(state_, sleeping);
    }
  }

  /// False: the deadline has passed on `clock`. The gate may yet be opened at any moment.
  template <clock Clock>
  [[nodiscard]] bool wait_until(typename Clock::time_point deadline, clock_ref<Clock> clock) noexcept {
    if (deadline == (Clock::time_point::max)()) {
      wait();
      return true;
    }
    if constexpr (stateless_clock<Clock>) {
      using steady = std::chrono::steady_clock;
      while (!passed()) {
        const auto now = clock.now();
        if (now >= deadline) return false;
        if constexpr (std::is_same_v<Clock, steady> || std::is_same_v<Clock, std::chrono::system_clock>) {
          static_cast<void>(Sync::park_until(state_, sleeping, deadline));
        } else {
          // Asked again after each sleep.
          const auto limit = saturating_deadline(steady::now(), deadline - now);
          static_cast<void>(Sync::park_until(state_, sleeping, limit));
        }
      }
    } else {
      // A clock with state wakes its sleepers itself.
      typename Clock::alarm alarm(
          clock.get(), deadline, [](void* g) noexcept { static_cast<gate*>(g)->expire(); }, this);
      while (!passed()) {
        if (state_.load(std::memory_order_relaxed) == expired) return false;
        Sync::park(state_, sleeping);
      }
    }
    return true;
  }

 private:
  enum : std::uint32_t { closed, sleeping, expired, opened };

  /// True once open. Otherwise the gate says "sleeping", and the caller may park on it, or "expired".
  [[nodiscard]] bool passed() noexcept {
    std::uint32_t now = state_.load(std::memory_order_acquire);  // (2) acquire; pairs with (1)
    if (now == closed) {
      if (state_.compare_exchange_strong(now, sleeping, std::memory_order_relaxed)) return false;
      now = state_.load(std::memory_order_acquire);  // (2) likewise
    }
    return now == opened;
  }

  void expire() noexcept {
    std::uint32_t now = state_.load(std::memory_order_relaxed);
    while (now != opened && !state_.compare_exchange_weak(now, expired, std::memory_order_relaxed)) {
    }
    if (now == sleeping) Sync::unpark(state_);
  }

  typename Sync::template atomic<std::uint32_t> state_{closed};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
