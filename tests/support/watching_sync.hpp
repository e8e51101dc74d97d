// The machine's own seam, which also tells who sleeps: the meeting point for tests of waiting without a
// limit.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "millrace/core/sync.hpp"

namespace support {

struct watching_sync : millrace::std_sync {
  static inline std::atomic<int> parks{0};          // calls of park and park_until, ever
  static inline std::atomic<int> parked{0};         // threads inside them now, or about to be
  static inline std::atomic<int> unparks{0};        // calls of unpark, ever
  static inline std::atomic<unsigned> restless{0};  // every n-th park returns at once; 0: none does

  static void reset() { parks = parked = unparks = 0, restless = 0; }

  static void park(std::atomic<std::uint32_t>& word, std::uint32_t old) noexcept {
    if (enter()) std_sync::park(word, old);
    --parked;
  }
  template <class TimePoint>
  static bool park_until(std::atomic<std::uint32_t>& word, std::uint32_t old, TimePoint limit) noexcept {
    const bool before = !enter() || std_sync::park_until(word, old, limit);
    --parked;
    return before;
  }
  static void unpark(std::atomic<std::uint32_t>& word) noexcept {
    ++unparks;
    std_sync::unpark(word);
  }
  static bool spinning_helps() noexcept { return false; }  // to sleep at once is what these tests want

  /// Blocks until `n` threads are asleep: each has announced itself and looked again.
  static void await_parked(int n) {
    while (parked.load() < n) std::this_thread::yield();
  }
  /// Blocks until threads have gone to sleep `n` times.
  static void await_parks(int n) {
    while (parks.load() < n) std::this_thread::yield();
  }

 private:
  static bool enter() noexcept {
    ++parked;
    const auto mine = static_cast<unsigned>(++parks);
    const unsigned every = restless;
    return every == 0 || mine % every != 0;
  }
};

}  // namespace support
