// The bounded ring of D. Vyukov (1024cores.net, 2010), on our seam and with our verbs: the common design that
// is *not* lock-free. A thread stopped between its claim and its publication holds up the other side for
// good, so every test of lock-freedom must fail on it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace support {

template <class T, class Sync>
class vyukov_ring {
 public:
  explicit vyukov_ring(std::size_t capacity) : cells_(new cell[capacity]), mask_(capacity - 1) {
    for (std::size_t i = 0; i < capacity; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }

  [[nodiscard]] bool try_push(const T& value) {
    std::uint64_t p = tail_.load(std::memory_order_relaxed);
    for (;;) {
      cell& c = cells_[p & mask_];
      const auto ahead = static_cast<std::int64_t>(c.turn.load(std::memory_order_acquire) - p);
      if (ahead < 0) return false;
      if (ahead > 0) {
        p = tail_.load(std::memory_order_relaxed);
      } else if (tail_.compare_exchange_strong(p, p + 1, std::memory_order_relaxed)) {
        c.value = value;
        c.turn.store(p + 1, std::memory_order_release);
        return true;
      }
    }
  }

  [[nodiscard]] bool try_pop(T& out) {
    std::uint64_t h = head_.load(std::memory_order_relaxed);
    for (;;) {
      cell& c = cells_[h & mask_];
      const auto ahead = static_cast<std::int64_t>(c.turn.load(std::memory_order_acquire) - (h + 1));
      if (ahead < 0) return false;
      if (ahead > 0) {
        h = head_.load(std::memory_order_relaxed);
      } else if (head_.compare_exchange_strong(h, h + 1, std::memory_order_relaxed)) {
        out = c.value;
        c.turn.store(h + mask_ + 1, std::memory_order_release);
        return true;
      }
    }
  }

 private:
  struct cell {
    typename Sync::template atomic<std::uint64_t> turn{0};
    T value;
  };

  std::unique_ptr<cell[]> cells_;
  const std::uint64_t mask_;
  alignas(128) typename Sync::template atomic<std::uint64_t> tail_{0};
  alignas(128) typename Sync::template atomic<std::uint64_t> head_{0};
};

}  // namespace support
