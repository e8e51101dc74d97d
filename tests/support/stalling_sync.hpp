// A seam on which one thread, the victim, is suspended for good right before the k-th operation it makes on
// shared memory. Everybody else runs on the machine's own atomics and pays one look at a thread-local
// pointer.
#pragma once

#include <atomic>
#include <cstdint>
#include <semaphore>
#include <thread>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/word_pair.hpp"
#include "millrace/core/sync.hpp"

namespace support {

/// When and how the victim is suspended.
class stall {
 public:
  explicit stall(int step) : left_(step) {}
  stall(const stall&) = delete;
  stall& operator=(const stall&) = delete;

  /// The calling thread is the victim from now on, until disarm().
  void arm() noexcept { current = this; }
  /// The victim has finished: it was suspended, or there was no k-th operation.
  void disarm() noexcept {
    current = nullptr;
    arrived_.release();
  }
  /// Blocks until the victim is suspended (true) or has finished without (false).
  [[nodiscard]] bool await() {
    arrived_.acquire();
    return suspended_.load();
  }
  void resume() { go_on_.release(); }

  /// Called before each operation.
  static void step() noexcept {
    if (current != nullptr) current->count();
  }

 private:
  void count() noexcept {
    if (left_-- != 0) return;
    suspended_ = true;
    arrived_.release();
    go_on_.acquire();
  }

  static inline thread_local stall* current = nullptr;
  int left_;
  std::atomic<bool> suspended_{false};
  std::counting_semaphore<2> arrived_{0};
  std::counting_semaphore<2> go_on_{0};
};

struct stalling_sync : millrace::std_sync {
  template <class T>
  class atomic {
   public:
    constexpr atomic() noexcept : value_(T{}) {}
    constexpr atomic(T v) noexcept : value_(v) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    [[nodiscard]] T load(std::memory_order order) const noexcept {
      stall::step();
      return value_.load(order);
    }
    void store(T v, std::memory_order order) noexcept {
      stall::step();
      value_.store(v, order);
    }
    T exchange(T v, std::memory_order order) noexcept {
      stall::step();
      return value_.exchange(v, order);
    }
    T fetch_add(T v, std::memory_order order) noexcept {
      stall::step();
      return value_.fetch_add(v, order);
    }
    T fetch_sub(T v, std::memory_order order) noexcept {
      stall::step();
      return value_.fetch_sub(v, order);
    }
    T fetch_or(T v, std::memory_order order) noexcept {
      stall::step();
      return value_.fetch_or(v, order);
    }
    T fetch_and(T v, std::memory_order order) noexcept {
      stall::step();
      return value_.fetch_and(v, order);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order order) noexcept {
      stall::step();
      return value_.compare_exchange_strong(expected, desired, order);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order order) noexcept {
      return compare_exchange_strong(expected, desired, order);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order done,
                               std::memory_order failed) noexcept {
      return compare_exchange_strong(expected, desired, done, failed);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order done,
                                 std::memory_order failed) noexcept {
      stall::step();
      return value_.compare_exchange_strong(expected, desired, done, failed);
    }

   private:
    friend stalling_sync;
    std::atomic<T> value_;
  };

  static void park(atomic<std::uint32_t>& word, std::uint32_t old) noexcept {
    stall::step();
    ++parks;
    std_sync::park(word.value_, old);
  }
  static void unpark(atomic<std::uint32_t>& word) noexcept {
    stall::step();
    std_sync::unpark(word.value_);
  }
  static inline std::atomic<int> parks{0};  // calls of park, ever
  /// Blocks until park has been called `n` times since parks was 0.
  static void await_parks(int n) {
    while (parks.load() < n) std::this_thread::yield();
  }

#if MILLRACE_HAS_DWCAS
  class atomic_pair {
   public:
    explicit constexpr atomic_pair(millrace::detail::word_pair v) noexcept : pair_(v) {}

    [[nodiscard]] std::uint64_t first(std::memory_order order) const noexcept {
      stall::step();
      return pair_.first(order);
    }
    [[nodiscard]] std::uint64_t second(std::memory_order order) const noexcept {
      stall::step();
      return pair_.second(order);
    }
    bool compare_exchange(millrace::detail::word_pair& expected, millrace::detail::word_pair desired,
                          std::memory_order order) noexcept {
      stall::step();
      return pair_.compare_exchange(expected, desired, order);
    }

   private:
    millrace::detail::atomic_pair pair_;
  };
#endif

  // why: nobody measures time here, and capacity 2 with a stalled cell pauses on every lap
  static void pause() noexcept {}
};

}  // namespace support
