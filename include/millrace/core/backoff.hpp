// millrace/core/backoff.hpp - how long to stand back after losing a compare-and-swap.
//
// Use it when : you retry a compare-and-swap that other threads fight for.
// Use instead : `event_count` to wait for something that may take long.
// Threads     : one object per attempt, on the stack; nothing shared.
// Order       : does not apply.
// Progress    : wait-free: every call returns after a bounded number of pauses.
// Errors      : none.
// Exceptions  : none.
// Memory      : eight bytes on the stack.
// Cost        : nothing until the first loss; then between one pause and `Most` pauses.
// Source      : T. E. Anderson, The Performance of Spin Lock Alternatives for Shared-Memory Multiprocessors,
//               IEEE TPDS 1990 (exponential backoff, randomised).
// Checked by  : tests/core/backoff_test.cpp; its effect is measured by the bench (backoff against none).
//
// Example:
//   exponential_backoff<>::in<std_sync> wait;
//   while (!word.compare_exchange_weak(old, next(old))) wait();
#pragma once

#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// Randomised, exponential, bounded: the n-th call pauses between 1 and min(First * 2^(n-1), Most) times.
template <std::uint32_t First = 4, std::uint32_t Most = 256>
struct exponential_backoff {
  static_assert(First >= 1 && First <= Most, "backoff: 1 <= First <= Most");

  template <class Sync>
  class in {
   public:
    void operator()() noexcept { state_ = pause(state_); }

   private:
    // why: out of line, and its state passed through a register: a loop that never loses pays nothing for it.
    // state: [ limit : 32 | random : 32 ], 0 before the first loss
    MILLRACE_NOINLINE static std::uint64_t pause(std::uint64_t state) noexcept {
      std::uint32_t limit = state == 0 ? First : static_cast<std::uint32_t>(state >> 32);
      std::uint32_t random = state == 0 ? (Sync::entropy() | 1u) : static_cast<std::uint32_t>(state);
      // xorshift32 (G. Marsaglia, Xorshift RNGs, 2003): cheap, and no thread needs more than "different".
      random ^= random << 13;
      random ^= random >> 17;
      random ^= random << 5;
      const std::uint32_t pauses = 1 + random % limit;
      for (std::uint32_t i = 0; i < pauses; ++i) Sync::pause();
      limit = limit > Most / 2 ? Most : limit * 2;
      return std::uint64_t{limit} << 32 | random;
    }

    std::uint64_t state_ = 0;
  };
};

/// Tries again at once.
struct no_backoff {
  template <class Sync>
  struct in {
    void operator()() noexcept {}
  };
};

}  // namespace v0
}  // namespace millrace
