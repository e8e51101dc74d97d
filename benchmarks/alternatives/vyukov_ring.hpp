// D. Vyukov's bounded queue of 2010, as the textbooks have it: fast, simple and not lock-free. A thread stopped
// between claiming its cell and publishing it stops the whole other side, and the queue then answers full or
// empty although it is neither. It is what a ring costs without the guarantee.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace alternatives {

template <class T>
class vyukov_ring {
 public:
  using value_type = T;

  /// `capacity`: a power of two.
  explicit vyukov_ring(std::size_t capacity) : mask_(capacity - 1), cells_(new cell[capacity]) {
    for (std::size_t i = 0; i < capacity; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }

  bool try_push(T&& value) {
    std::uint64_t p = tail_.load(std::memory_order_relaxed);
    for (;;) {
      cell& c = cells_[p & mask_];
      const std::uint64_t turn = c.turn.load(std::memory_order_acquire);
      if (turn == p) {
        if (!tail_.compare_exchange_weak(p, p + 1, std::memory_order_relaxed)) continue;
        c.value = std::move(value);
        c.turn.store(p + 1, std::memory_order_release);
        return true;
      }
      if (static_cast<std::int64_t>(turn - p) < 0) return false;
      p = tail_.load(std::memory_order_relaxed);
    }
  }

  bool try_pop(T& out) {
    std::uint64_t h = head_.load(std::memory_order_relaxed);
    for (;;) {
      cell& c = cells_[h & mask_];
      const std::uint64_t turn = c.turn.load(std::memory_order_acquire);
      if (turn == h + 1) {
        if (!head_.compare_exchange_weak(h, h + 1, std::memory_order_relaxed)) continue;
        out = std::move(c.value);
        c.turn.store(h + mask_ + 1, std::memory_order_release);
        return true;
      }
      if (static_cast<std::int64_t>(turn - (h + 1)) < 0) return false;
      h = head_.load(std::memory_order_relaxed);
    }
  }

 private:
  struct cell {
    std::atomic<std::uint64_t> turn;
    T value;
  };

  const std::uint64_t mask_;
  const std::unique_ptr<cell[]> cells_;
  alignas(128) std::atomic<std::uint64_t> tail_{0};
  alignas(128) std::atomic<std::uint64_t> head_{0};
};

}  // namespace alternatives
