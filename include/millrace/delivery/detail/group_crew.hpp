// The workers that a host has asked a group to run: threads of the group's, or tasks in threads of the host's.
#pragma once

#include <atomic>
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

/// By one thread at a time, which is none of the workers.
class group_crew {
 public:
  group_crew() noexcept = default;
  group_crew(const group_crew&) = delete;
  group_crew& operator=(const group_crew&) = delete;
  virtual ~group_crew() = default;
  /// Those that are one too many finish what they are at.
  virtual void scale(std::size_t n) = 0;
  /// Waits until they have ended by themselves.
  virtual void join() = 0;
};

class group_threads final : public group_crew {
 public:
  explicit group_threads(std::function<void(std::stop_token)> work) : work_(std::move(work)) {}
  ~group_threads() override = default;

  void scale(std::size_t n) override {
    std::vector<std::jthread> surplus;
    while (threads_.size() > n) {
      threads_.back().request_stop();
      surplus.push_back(std::move(threads_.back()));
      threads_.pop_back();
    }
    while (threads_.size() < n) {
      threads_.emplace_back([this](const std::stop_token& stop) { work_(stop); });
    }
  }
  void join() override {
    for (std::jthread& t : threads_) t.join();
    threads_.clear();
  }

 private:
  const std::function<void(std::stop_token)> work_;
  std::vector<std::jthread> threads_;
};

/// A group's one crew, or none.
class crew_holder {
 public:
  /// False: there is one already.
  template <class Make>
  bool start(std::size_t n, Make make) {
    const std::lock_guard lock(mutex_);
    if (crew_ != nullptr) return false;
    crew_ = make();
    crew_->scale(n);
    size_.store(n, std::memory_order_relaxed);
    return true;
  }
  /// False: there is none.
  bool scale(std::size_t n) {
    const std::lock_guard lock(mutex_);
    if (crew_ == nullptr) return false;
    crew_->scale(n);
    size_.store(n, std::memory_order_relaxed);
    return true;
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    if (crew_ == nullptr) return;
    crew_->scale(0);
    end();
  }
  void join() {
    const std::lock_guard lock(mutex_);
    if (crew_ == nullptr) return;
    crew_->join();
    end();
  }
  /// Relaxed: a number to look at.
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  void end() noexcept {
    crew_ = nullptr;
    size_.store(0, std::memory_order_relaxed);
  }

  std::mutex mutex_;
  std::unique_ptr<group_crew> crew_;  // guarded by mutex_
  std::atomic<std::size_t> size_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
