// Coroutines to test with, and a loop that resumes them when the test says so.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

namespace support {

/// Starts at once and stays at its end until its owner destroys it. It is a value: suspended or not, it goes with this.
class [[nodiscard]] coroutine {
 public:
  struct promise_type {
    coroutine get_return_object() { return coroutine(handle_type::from_promise(*this)); }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }
    std::exception_ptr error;
  };

  coroutine() = default;
  coroutine(coroutine&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  coroutine& operator=(coroutine&& other) noexcept {
    if (this != &other) destroy();
    handle_ = std::exchange(other.handle_, nullptr);
    return *this;
  }
  ~coroutine() { destroy(); }

  /// Not while it may be running. What it let escape is thrown here.
  [[nodiscard]] bool done() const {
    if (!handle_.done()) return false;
    if (auto error = std::exchange(handle_.promise().error, nullptr)) std::rethrow_exception(error);
    return true;
  }
  [[nodiscard]] std::coroutine_handle<> handle() const noexcept { return handle_; }
  void destroy() noexcept {
    if (const auto mine = std::exchange(handle_, nullptr)) mine.destroy();
  }

 private:
  using handle_type = std::coroutine_handle<promise_type>;
  explicit coroutine(handle_type h) noexcept : handle_(h) {}

  handle_type handle_;
};

/// Keeps what it is given until somebody runs it. All of it from any thread.
class manual_executor {
 public:
  /// The executor to co_await with.
  [[nodiscard]] auto poster() {
    return [this](std::coroutine_handle<> h) { post(h); };
  }
  void post(std::coroutine_handle<> h) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(h);
    }
    come_.notify_one();
  }

  /// False: there was nothing to run.
  bool run_one() {
    std::unique_lock lock(mutex_);
    return run_first(lock);
  }
  /// Until there is nothing more; how many it was.
  std::size_t run_all() {
    std::size_t n = 0;
    while (run_one()) ++n;
    return n;
  }
  /// A loop's thread: runs what comes until stop().
  void run_until_stopped() {
    for (;;) {
      std::unique_lock lock(mutex_);
      come_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
      if (!run_first(lock)) return;
    }
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    come_.notify_all();
  }

  /// For a coroutine that has been destroyed; true: it stood here. Whoever runs may not do so in between.
  bool forget(std::coroutine_handle<> h) {
    const std::lock_guard lock(mutex_);
    const auto it = std::find(waiting_.begin(), waiting_.end(), h);
    if (it == waiting_.end()) return false;
    waiting_.erase(it);
    return true;
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }

 private:
  bool run_first(std::unique_lock<std::mutex>& lock) {
    if (waiting_.empty()) return false;
    const auto h = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    h.resume();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable come_;
  std::deque<std::coroutine_handle<>> waiting_;
  bool stopped_ = false;
};

}  // namespace support
