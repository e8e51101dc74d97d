// millrace/metrics/gauge.hpp - a number that goes up and down.
//
// Use it when : how much there is of something just now is known where it changes: connections, the fill of a cache.
// Use instead : a source of the registry, asked when somebody looks, for what can be read at any time; counter for what
//               only goes up, often and on many threads.
// Threads     : any number, at any time.
// Order       : one total order of all changes of one gauge. Nothing else is published.
// Progress    : set and value are wait-free, add is lock-free.
// Errors      : none.
// Exceptions  : none.
// Memory      : 8 bytes.
// Cost        : set: a store. add: a compare-and-swap, about 14 ns; two threads that change one gauge all the time meet in
//               its cache line, and take about 80.
// Source      : ours; a floating-point number as Prometheus has it, exact for whole numbers up to 2^53.
// Checked by  : tests/metrics/gauge_test.cpp
//
// Example:
//   millrace::gauge open;
//   open.add(1);
//   open.add(-1);
#pragma once

#include <atomic>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

class gauge {
 public:
  gauge() noexcept = default;
  gauge(const gauge&) = delete;
  gauge& operator=(const gauge&) = delete;
  ~gauge() = default;

  // Relaxed, all of it: the number stands for itself.
  void set(double value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void add(double difference) noexcept {
    // why not fetch_add: not every standard library of C++20 has it for floating point
    double seen = value_.load(std::memory_order_relaxed);
    while (!value_.compare_exchange_weak(seen, seen + difference, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] double value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

}  // namespace v0
}  // namespace millrace
