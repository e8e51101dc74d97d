// millrace/flow/executor.hpp - whose threads the work is done in: a place to post tasks to, and the one with threads of its own.
//
// Pipelines, sagas and the bus start no thread that nobody asked for: they post what is to be done to an executor. That is the
// host's own, derived from `executor`; a `thread_executor`; or, in a unit test, one that runs a task when the test says so.
//
// Use it when : you place the workers of a pipeline, a saga or a bus, or of a consumer group (`post_to`, for its run_on).
// Use instead : consumer_group::run, for a group with threads of its own.
// Threads     : post from any thread, also from a task. resize and stop from one thread at a time, which is none of the
//               executor's.
// Order       : tasks begin in the order in which they were posted, and run beside each other if there are several threads.
//               What was written before the post is visible to the task.
// Progress    : a post is lock-free but for memory, and for waking a thread that sleeps. Threads with nothing to do sleep.
// Errors      : a task that is posted after stop() is run by the thread that posts it: late, but it is not lost.
// Exceptions  : std::invalid_argument for a number of threads out of its range; std::system_error, when the system has no thread,
//               and std::bad_alloc, from the constructor and resize. A task must not throw, and a post that finds no memory
//               ends the program, since whoever posted it would wait for ever.
// Memory      : 64 bytes a task that waits, given back when there are fewer; 3 KiB.
// Cost        : some 100 ns a task, 2 to 8 us if a thread has to be woken for it.
// Source      : the executor of java.util.concurrent (D. Lea, JSR 166, 2004).
// Checked by  : tests/flow/executor_test.cpp
//
// Example:
//   millrace::thread_executor workers(4);
//   millrace::timer_service timers;   // started
//   billing.run_on(millrace::post_to{workers}, timers, 8, [](const order& o) { charge(o); });
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/unbounded_queue.hpp"

namespace millrace {
inline namespace v0 {

class executor {
 public:
  /// Of 48 bytes at the most; it must not throw.
  using task = function<void()>;

  executor() noexcept = default;
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;
  virtual ~executor() = default;

  /// `t` is called once, soon, and not in this call. An empty one is nothing to do.
  virtual void post(task t) noexcept = 0;
  /// Whether a task that could do several things is to do one, and to be posted again for the next: where a test searches orders.
  [[nodiscard]] virtual bool wants_small_tasks() const noexcept { return false; }
};

/// An executor as what takes a callable for one: consumer_group::run_on, and the verbs of coroutines.
struct post_to {
  executor& to;

  template <class F>
  void operator()(F f) const noexcept {
    to.post(std::move(f));
  }
  void operator()(std::coroutine_handle<> suspended) const noexcept {
    to.post([suspended] { suspended.resume(); });
  }
  [[nodiscard]] bool wants_small_tasks() const noexcept { return to.wants_small_tasks(); }
};

class thread_executor final : public executor {
 public:
  static constexpr std::size_t most = 1024;

  /// `threads`: 1 to 1,024.
  // why by way of another constructor: what resize throws leaves threads that are waited for, by the destructor
  explicit thread_executor(std::size_t threads) : thread_executor() { resize(threads); }
  /// As stop().
  ~thread_executor() override { stop(); }

  void post(task t) noexcept override {
    if (t && tasks_.push(std::move(t)) != outcome::ok) t();
  }
  /// So many threads from now on; those that are one too many finish what was posted before. Nothing after stop(). If it throws,
  /// size() tells how far it has come.
  void resize(std::size_t threads) {
    if (threads < 1 || threads > most) {
      detail::fail<std::invalid_argument>("thread_executor: threads must be 1 to 1024");
    }
    std::erase_if(threads_, [](const auto& t) { return t->has_left.load(std::memory_order_acquire); });
    if (tasks_.is_closed()) return;
    for (; size_ > threads; --size_) static_cast<void>(tasks_.push(leave()));
    threads_.reserve(threads_.size() + threads - size_);  // a worker without a place would be waited for
    for (; size_ < threads; ++size_) threads_.push_back(std::make_unique<worker>(tasks_));
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Does what was posted before, and waits for that. Idempotent.
  void stop() noexcept {
    tasks_.close();
    threads_.clear();
    size_ = 0;
  }

 private:
  using queue = channel<task, unbounded_queue<task>>;

  thread_executor() = default;

  /// For whoever takes it to leave. post() lets no empty task in.
  static task leave() noexcept { return nullptr; }

  struct worker {
    explicit worker(queue& tasks) : thread([this, &tasks] { work(tasks); }) {}
    void work(queue& tasks) noexcept {
      while (std::optional<task> t = tasks.pop()) {
        if (!*t) break;  // leave()
        (*t)();
      }
      has_left.store(true, std::memory_order_release);  // pairs with the acquire in resize, which only joins
    }
    std::atomic<bool> has_left{false};
    std::jthread thread;
  };

  queue tasks_;
  std::vector<std::unique_ptr<worker>> threads_;
  std::size_t size_ = 0;
};

}  // namespace v0
}  // namespace millrace
