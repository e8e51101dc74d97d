// millrace/testing/step_executor.hpp - an executor for unit tests: its tasks are run by the test, one at a time, when it says so.
//
// Without a seed they are run in the order in which they were posted, so that every run is the same. With one, the next task is
// drawn from those that wait: what threads might do in another order happens in another order, and the same seed repeats it.
//
// Use it when : a test runs consumer groups, pipelines, sagas or a bus without any thread.
// Use instead : `thread_executor` in a program.
// Threads     : post from any thread; step and run_until_idle in one at a time, and not in a task.
// Order       : that of the posts, or drawn.
// Progress    : a post takes a mutex. Nothing happens by itself.
// Errors      : run_until_idle ends after `limit` tasks, and says how many it ran; is_idle() tells whether there are more.
// Exceptions  : std::bad_alloc in a post ends the program, as it must not throw. A task must not throw.
// Memory      : 64 bytes a task.
// Cost        : that of a mutex.
// Source      : simulation from a seed, as in FoundationDB (J. Zhou et al., SIGMOD 2021).
// Checked by  : tests/testing/step_executor_test.cpp
//
// Example:
//   millrace::testing::step_executor steps;          // or steps(seed)
//   billing.run_on(millrace::post_to{steps}, timers, 2, handler);
//   static_cast<void>(orders.publish(o));
//   steps.run_until_idle();                          // the handler has been called, in this thread
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/flow/executor.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

class step_executor final : public executor {
 public:
  step_executor() = default;
  explicit step_executor(std::uint64_t seed) : random_(seed) {}

  void post(task t) noexcept override {
    if (!t) return;
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(t));
  }

  [[nodiscard]] bool wants_small_tasks() const noexcept override { return true; }

  /// Runs one task. False: there is none.
  bool step() {
    std::optional<task> next = take();
    if (!next) return false;
    (*next)();
    return true;
  }
  /// Runs tasks until there are none, also those that they post, `limit` at the most. How many.
  std::size_t run_until_idle(std::size_t limit = 1'000'000) {
    std::size_t n = 0;
    while (n < limit && step()) ++n;
    return n;
  }
  [[nodiscard]] bool is_idle() const { return size() == 0; }
  /// How many wait.
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }

 private:
  std::optional<task> take() {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return std::nullopt;
    // why not a distribution: what those draw is not the same everywhere, and a seed must be
    if (random_) std::swap(waiting_.front(), waiting_[(*random_)() % waiting_.size()]);
    std::optional<task> next(std::move(waiting_.front()));
    waiting_.pop_front();
    return next;
  }

  mutable std::mutex mutex_;
  std::deque<task> waiting_;               // guarded by mutex_
  std::optional<std::mt19937_64> random_;  // guarded by mutex_
};

}  // namespace testing
}  // namespace v0
}  // namespace millrace
