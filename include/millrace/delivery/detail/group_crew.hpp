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
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// By one thread at a time, which is none of the workers, but for join.
class group_crew {
 public:
  group_crew() noexcept = default;
  group_crew(const group_crew&) = delete;
  group_crew& operator=(const group_crew&) = delete;
  virtual ~group_crew() = default;
  /// Those that are one too many finish what they are at. What it throws leaves them as they were.
  virtual void scale(std::size_t n) = 0;
  /// Waits until there is none that has not ended, by itself or by a scale from elsewhere meanwhile.
  virtual void join() = 0;
};

class group_threads final : public group_crew {
 public:
  explicit group_threads(std::function<void(std::stop_token)> work) : work_(std::move(work)) {}
  ~group_threads() override = default;

  void scale(std::size_t n) override {
    on_exception as_before([this, had = threads_.size()] { end_all_but(had); });
    while (threads_.size() < n) {
      working_.fetch_add(1, std::memory_order_relaxed);
      on_exception none([this] { leave(); });
      threads_.emplace_back([this](const std::stop_token& stop) {
        work_(stop);
        leave();
      });
      none.dismiss();
    }
    as_before.dismiss();
    end_all_but(n);
  }
  void join() override {
    no_limit forever;
    static_cast<void>(ended_.sleep(outcome::empty, forever, [this] {
      return working_.load(std::memory_order_relaxed) == 0 ? outcome::ok : outcome::empty;
    }));
  }

 private:
  void end_all_but(std::size_t n) noexcept {
    for (std::size_t i = n; i < threads_.size(); ++i) threads_[i].request_stop();
    while (threads_.size() > n) threads_.pop_back();
  }
  /// Relaxed: it tells only when to look; who joins the thread knows what it has done.
  void leave() noexcept {
    if (working_.fetch_sub(1, std::memory_order_relaxed) == 1) ended_.events.notify_all();
  }

  const std::function<void(std::stop_token)> work_;
  std::atomic<std::size_t> working_{0};
  waiting_room<std_sync> ended_;
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
    std::shared_ptr<group_crew> made = make();
    made->scale(n);  // may throw
    crew_ = std::move(made);
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
  /// Without the mutex while it waits, so that others may scale it and stop it.
  void join() {
    std::unique_lock lock(mutex_);
    const std::shared_ptr<group_crew> mine = crew_;
    if (mine == nullptr) return;
    lock.unlock();
    mine->join();
    lock.lock();
    if (crew_ != mine) return;  // somebody else has ended it
    crew_->scale(0);
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
  std::shared_ptr<group_crew> crew_;  // guarded by mutex_
  std::atomic<std::size_t> size_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
