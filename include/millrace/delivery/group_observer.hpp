// millrace/delivery/group_observer.hpp - who is told how long the handlers of a group take, and what they throw.
//
// Use it when : handler times go into a histogram, or failures into a log.
// Use instead : consumer_group::stats, for how many; a subscription to the dead letters, for what was given up.
// Threads     : called by the workers of run, work and run_on, several at a time.
// Order       : does not apply.
// Progress    : it is called between messages: what it takes, a worker takes longer.
// Errors      : none.
// Exceptions  : it must not throw.
// Memory      : none.
// Cost        : without one, a test for each batch; with one, a call.
// Source      : ours.
// Checked by  : tests/delivery/group_observer_test.cpp
//
// Example:
//   struct timing final : millrace::group_observer {
//     void handled(std::chrono::nanoseconds took, std::size_t n) noexcept override {
//       times.record(static_cast<std::uint64_t>(took.count()) / n, n);
//     }
//     millrace::histogram times;
//   } observer;
//   auto billing = orders.group("billing", {.observer = &observer});   // which outlives the topic
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/delivery/retry_policy.hpp"

namespace millrace {
inline namespace v0 {

class group_observer {
 public:
  group_observer() noexcept = default;
  group_observer(const group_observer&) = delete;
  group_observer& operator=(const group_observer&) = delete;

  /// A worker has called its handler for `n` messages, 1 to 32, one after the other, and `took` that long for all of them.
  virtual void handled([[maybe_unused]] std::chrono::nanoseconds took,
                       [[maybe_unused]] std::size_t n) noexcept {}
  /// A handler has thrown, for the message with this offset; `next` is what the retry policy says of that. The last attempt of
  /// a retry goes to the dead letters.
  virtual void failed([[maybe_unused]] const failure& f, [[maybe_unused]] std::uint64_t offset,
                      [[maybe_unused]] decision next) noexcept {}

 protected:
  ~group_observer() = default;
};

}  // namespace v0
}  // namespace millrace
