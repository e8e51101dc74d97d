// A queue as somebody else might write it: a deque behind a mutex, with the few members that channel_access asks for.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/queue/channel_access.hpp"

namespace support {

template <class T, bool Bounded = true>
class locked_queue {
 public:
  using value_type = T;
  using sync_type = millrace::std_sync;
  static constexpr bool is_bounded = Bounded;
  static constexpr bool many_producers = true;
  static constexpr bool many_consumers = true;

  locked_queue()
    requires(!Bounded)
  = default;
  explicit locked_queue(std::size_t capacity)
    requires Bounded
      : capacity_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t size_approx() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  friend millrace::channel_access;
  template <class... Args>
  millrace::outcome offer(Args&&... args) {
    const std::lock_guard lock(mutex_);
    if (closed_) return millrace::outcome::closed;
    if (Bounded && values_.size() == capacity_) return millrace::outcome::full;
    values_.emplace_back(std::forward<Args>(args)...);
    return millrace::outcome::ok;
  }
  template <class Receive>
  millrace::outcome take(Receive&& receive) {
    const std::lock_guard lock(mutex_);
    if (values_.empty()) return closed_ ? millrace::outcome::closed : millrace::outcome::empty;
    receive(std::move(values_.front()));
    values_.pop_front();
    return millrace::outcome::ok;
  }
  void close() noexcept {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

  const std::size_t capacity_ = 0;
  mutable std::mutex mutex_;
  std::deque<T> values_;
  bool closed_ = false;
};

}  // namespace support
