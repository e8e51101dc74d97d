// A queue that is right, to measure the others by, and some that are wrong in ways that have been shipped.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "millrace/core/outcome.hpp"

namespace support {

/// Right: one mutex around everything.
class locked_queue {
 public:
  explicit locked_queue(std::size_t capacity) : capacity_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  bool try_push(std::uint64_t value) {
    const std::lock_guard hold(mutex_);
    if (values_.size() == capacity_) return false;
    values_.push_back(value);
    return true;
  }
  std::optional<std::uint64_t> try_pop() {
    const std::lock_guard hold(mutex_);
    if (values_.empty()) return std::nullopt;
    const std::uint64_t value = values_.front();
    values_.pop_front();
    return value;
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::deque<std::uint64_t> values_;
};

/// Right, with an end.
class locked_channel {
 public:
  explicit locked_channel(std::size_t capacity) : capacity_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  millrace::outcome try_push(std::uint64_t value) {
    const std::lock_guard hold(mutex_);
    if (closed_) return millrace::outcome::closed;
    if (values_.size() == capacity_) return millrace::outcome::full;
    values_.push_back(value);
    return millrace::outcome::ok;
  }
  millrace::outcome try_pop(std::uint64_t& value) {
    const std::lock_guard hold(mutex_);
    if (values_.empty()) return closed_ ? millrace::outcome::closed : millrace::outcome::empty;
    value = values_.front();
    values_.pop_front();
    return millrace::outcome::ok;
  }
  void close() {
    const std::lock_guard hold(mutex_);
    closed_ = true;
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  bool closed_ = false;
  std::deque<std::uint64_t> values_;
};

/// Wrong: D. Vyukov's bounded queue as it is usually written. While one producer is between its claim and its
/// publication, try_pop answers empty, though other producers have finished their pushes behind it.
class claiming_ring {
 public:
  explicit claiming_ring(std::size_t capacity)
      : mask_(std::bit_ceil(capacity < 2 ? 2 : capacity) - 1), cells_(std::make_unique<cell[]>(mask_ + 1)) {
    for (std::size_t i = 0; i <= mask_; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }
  bool try_push(std::uint64_t value) {
    std::size_t at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      cell& c = cells_[at & mask_];
      const std::size_t turn = c.turn.load(std::memory_order_acquire);
      if (turn == at) {
        if (!tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
        c.value = value;
        c.turn.store(at + 1, std::memory_order_release);
        return true;
      }
      if (static_cast<std::ptrdiff_t>(turn - at) < 0) return false;
      at = tail_.load(std::memory_order_relaxed);
    }
  }
  std::optional<std::uint64_t> try_pop() {
    std::size_t at = head_.load(std::memory_order_relaxed);
    for (;;) {
      cell& c = cells_[at & mask_];
      const std::size_t turn = c.turn.load(std::memory_order_acquire);
      if (turn == at + 1) {
        if (!head_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
        const std::uint64_t value = c.value;
        c.turn.store(at + mask_ + 1, std::memory_order_release);
        return value;
      }
      if (static_cast<std::ptrdiff_t>(turn - (at + 1)) < 0) return std::nullopt;
      at = head_.load(std::memory_order_relaxed);
    }
  }

 private:
  struct cell {
    std::atomic<std::size_t> turn{0};
    std::uint64_t value = 0;
  };
  const std::size_t mask_;
  const std::unique_ptr<cell[]> cells_;
  std::atomic<std::size_t> tail_{0};
  std::atomic<std::size_t> head_{0};
};

/// Wrong: tail and head are read and written in two steps, so two producers may take the same place.
class careless_ring {
 public:
  explicit careless_ring(std::size_t capacity)
      : capacity_(capacity), values_(std::make_unique<std::atomic<std::uint64_t>[]>(capacity)) {}
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  bool try_push(std::uint64_t value) {
    const std::size_t at = tail_.load();
    if (at - head_.load() >= capacity_) return false;
    values_[at % capacity_].store(value);
    tail_.store(at + 1);
    return true;
  }
  std::optional<std::uint64_t> try_pop() {
    std::size_t at = head_.load();
    for (;;) {
      if (at >= tail_.load()) return std::nullopt;
      const std::uint64_t value = values_[at % capacity_].load();
      if (head_.compare_exchange_strong(at, at + 1)) return value;
    }
  }

 private:
  const std::size_t capacity_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> values_;
  std::atomic<std::size_t> tail_{0};
  std::atomic<std::size_t> head_{0};
};

/// Wrong: two lanes, each of them first in, first out; together they are not.
class two_lanes {
 public:
  explicit two_lanes(std::size_t capacity) : a_(capacity), b_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return a_.capacity() + b_.capacity(); }
  bool try_push(std::uint64_t value) {
    const bool first = pushes_.fetch_add(1) % 2 == 0;
    return (first ? a_ : b_).try_push(value) || (first ? b_ : a_).try_push(value);
  }
  std::optional<std::uint64_t> try_pop() {
    const bool first = pops_.fetch_add(1) % 2 == 0;
    const std::optional<std::uint64_t> value = (first ? a_ : b_).try_pop();
    return value ? value : (first ? b_ : a_).try_pop();
  }

 private:
  locked_queue a_;
  locked_queue b_;
  std::atomic<unsigned> pushes_{0};
  std::atomic<unsigned> pops_{0};
};

/// Wrong: takes a busy lock for a full queue.
class impatient_queue {
 public:
  explicit impatient_queue(std::size_t capacity) : inner_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return inner_.capacity(); }
  bool try_push(std::uint64_t value) {
    if (busy_.exchange(true)) return false;
    const bool done = inner_.try_push(value);
    busy_.store(false);
    return done;
  }
  std::optional<std::uint64_t> try_pop() {
    while (busy_.exchange(true)) {
    }
    const std::optional<std::uint64_t> value = inner_.try_pop();
    busy_.store(false);
    return value;
  }

 private:
  locked_queue inner_;
  std::atomic<bool> busy_{false};
};

/// Wrong: the end is looked at before the push, and not again.
class leaky_channel {
 public:
  explicit leaky_channel(std::size_t capacity) : inner_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return inner_.capacity(); }
  millrace::outcome try_push(std::uint64_t value) {
    if (closed_.load()) return millrace::outcome::closed;
    return inner_.try_push(value) ? millrace::outcome::ok : millrace::outcome::full;
  }
  millrace::outcome try_pop(std::uint64_t& value) {
    const bool closed = closed_.load();
    const std::optional<std::uint64_t> got = inner_.try_pop();
    if (!got) return closed ? millrace::outcome::closed : millrace::outcome::empty;
    value = *got;
    return millrace::outcome::ok;
  }
  void close() { closed_.store(true); }

 private:
  locked_queue inner_;
  std::atomic<bool> closed_{false};
};

}  // namespace support
