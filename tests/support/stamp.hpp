// Time-stamps that bracket an operation: whoever starts at a later stamp than another ended has seen its
// effects.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace support {

/// One counter for all threads. Each stamp synchronises with every earlier one, on any machine; the price is
/// a shared cache line, and that it hides from a race detector what the queue itself would have to order.
struct counted_stamps {
  static std::uint64_t now() noexcept { return counter.fetch_add(1, std::memory_order_seq_cst); }
  static bool sound() noexcept { return true; }

 private:
  inline static std::atomic<std::uint64_t> counter{1};
};

#if defined(__x86_64__)
/// The processor's time-stamp counter. mfence empties the store buffer (else an operation would be over
/// before others can see it), lfence on both sides keeps the reading where it stands.
struct clock_stamps {
  static std::uint64_t now() noexcept {
    std::uint32_t low;
    std::uint32_t high;
    asm volatile("mfence\n\tlfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return std::uint64_t{high} << 32 | low;
  }

  /// Whether the counters of the processors agree: two threads hand a stamp to and fro, and it only grows.
  static bool sound() {
    constexpr int hand_overs = 2'000;
    std::atomic<std::uint64_t> hand{0};  // a stamp, its last bit says whose turn is next
    std::atomic<bool> agree{true};
    const auto player = [&](std::uint64_t me) {
      for (int i = 0; i < hand_overs; ++i) {
        std::uint64_t got = hand.load(std::memory_order_acquire);
        for (int spin = 0; (got & 1) != me; ++spin) {
          if (spin % 1000 == 999) std::this_thread::yield();
          got = hand.load(std::memory_order_acquire);
        }
        const std::uint64_t mine = now();
        if (mine < got >> 1) agree.store(false, std::memory_order_relaxed);
        hand.store(mine << 1 | (me ^ 1), std::memory_order_release);
      }
    };
    std::thread other(player, 1);
    player(0);
    other.join();
    return agree.load(std::memory_order_relaxed);
  }
};
#else
using clock_stamps = counted_stamps;
#endif

}  // namespace support
