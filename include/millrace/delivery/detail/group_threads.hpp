// The threads that a host has asked a group to run.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class group_threads {
 public:
  using work = std::shared_ptr<const std::function<void(std::stop_token)>>;

  /// False: they run already.
  bool start(std::size_t n, work what) {
    const std::lock_guard lock(mutex_);
    if (work_ != nullptr) return false;
    work_ = std::move(what);
    grow_to(n);
    return true;
  }
  /// False: there are none to scale.
  bool scale(std::size_t n) {
    std::vector<std::jthread> surplus;  // joined without the mutex
    const std::lock_guard lock(mutex_);
    if (work_ == nullptr) return false;
    while (threads_.size() > n) {
      threads_.back().request_stop();
      surplus.push_back(std::move(threads_.back()));
      threads_.pop_back();
    }
    grow_to(n);
    return true;
  }
  /// Has all of them finish what they are at, and waits for them. Not in one of them.
  void stop() {
    std::vector<std::jthread> all = take_all();
    for (std::jthread& t : all) t.request_stop();
  }
  /// Waits until they have ended by themselves. Not in one of them.
  void join() {
    std::vector<std::jthread> all = take_all();
    for (std::jthread& t : all) t.join();
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return threads_.size();
  }

 private:
  std::vector<std::jthread> take_all() {
    const std::lock_guard lock(mutex_);
    work_ = nullptr;
    return std::exchange(threads_, {});
  }
  void grow_to(std::size_t n) {
    threads_.reserve(n);
    while (threads_.size() < n) {
      threads_.emplace_back([what = work_](const std::stop_token& stop) { (*what)(stop); });
    }
  }

  mutable std::mutex mutex_;
  work work_;                          // \ guarded by mutex_
  std::vector<std::jthread> threads_;  // /
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
