// millrace/metrics/histogram.hpp - how long things took, or how large they were: the whole distribution, in fixed memory.
//
// Use it when : a mean hides what matters: handler times, waiting times, sizes of batches and messages.
// Use instead : counter where only how many matters; counter twice (how many, how much) where only the mean does.
// Threads     : any number, at any time.
// Order       : a snapshot has every record() that happened before it, and of those that run beside it some, or parts.
//               Later snapshots of one thread have all that its earlier ones had. Nothing else is published.
// Progress    : record is wait-free, where a fetch-add of the machine is; but lock-free for a value smaller or larger than
//               all before it. snapshot and merge are a bounded number of such steps.
// Errors      : none for values: all of 0 to 2^64 - 1 are taken. Of a duration: see record. How exact the answers are is
//               said in histogram_snapshot.hpp.
// Exceptions  : std::bad_alloc from snapshot.
// Memory      : 15,616 bytes, all in place; no allocation but for a snapshot.
// Cost        : record: about 14 ns on one thread, 30 to 110 on each of two that meet in the sum's cache line; where that
//               is too much, each thread has a histogram of its own, and they are merged. snapshot: about 2 microseconds.
// Source      : HdrHistogram, G. Tene, 2012: buckets that are linear within a power of two.
// Checked by  : tests/metrics/histogram_test.cpp, tests/metrics/histogram_snapshot_test.cpp
//
// Example:
//   millrace::histogram handler_time;
//   handler_time.record(clock::now() - began);  // nanoseconds
//   std::cout << handler_time.snapshot().quantile(0.99);
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/metrics/detail/log_linear.hpp"
#include "millrace/metrics/histogram_snapshot.hpp"

namespace millrace {
inline namespace v0 {

// why no reset: what is recorded beside it would be half in and half out; histogram_snapshot::since needs none.
class histogram {
 public:
  histogram() noexcept = default;
  histogram(const histogram&) = delete;
  histogram& operator=(const histogram&) = delete;
  ~histogram() = default;

  /// `value`, `n` times.
  // Relaxed, all of it: sums do not depend on the order of their parts, the extremes only move outwards, nothing hangs on
  // any of them, and the snapshot makes the parts fit each other.
  void record(std::uint64_t value, std::uint64_t n = 1) noexcept {
    if (n == 0) return;
    sum_.fetch_add(value * n, std::memory_order_relaxed);
    stretch(value, value);
    counts_[detail::log_linear::index(value)].fetch_add(n, std::memory_order_relaxed);
  }

  /// In whole nanoseconds, rounded down. None for what is negative, as of a clock that was set back, or no number;
  /// 292 years for all that is longer.
  template <class Rep, class Period>
  void record(std::chrono::duration<Rep, Period> time) noexcept {
    using std::chrono::nanoseconds;
    using seconds = std::chrono::duration<double>;
    nanoseconds whole{0};
    if (time > time.zero()) {
      if constexpr (std::is_same_v<decltype(time), nanoseconds>) {
        whole = time;
      } else {
        const bool fits = seconds(time) < seconds((nanoseconds::max)());
        whole = fits ? std::chrono::duration_cast<nanoseconds>(time) : (nanoseconds::max)();
      }
    }
    record(static_cast<std::uint64_t>(whole.count()));
  }

  /// As if all that `other` has had been recorded here.
  void merge(const histogram_snapshot& other) noexcept {
    if (other.count() == 0) return;
    sum_.fetch_add(other.sum_, std::memory_order_relaxed);
    stretch(other.smallest_, other.largest_);
    for (std::size_t i = 0; i < other.counts_.size(); ++i) {
      if (other.counts_[i] != 0) counts_[i].fetch_add(other.counts_[i], std::memory_order_relaxed);
    }
  }

  [[nodiscard]] histogram_snapshot snapshot() const {
    std::vector<std::uint64_t> counts(counts_.size());
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
    return {std::move(counts), sum_.load(std::memory_order_relaxed),
            smallest_.load(std::memory_order_relaxed), largest_.load(std::memory_order_relaxed)};
  }

 private:
  void stretch(std::uint64_t smallest, std::uint64_t largest) noexcept {
    std::uint64_t seen = smallest_.load(std::memory_order_relaxed);
    while (smallest < seen && !smallest_.compare_exchange_weak(seen, smallest, std::memory_order_relaxed)) {
    }
    seen = largest_.load(std::memory_order_relaxed);
    while (largest > seen && !largest_.compare_exchange_weak(seen, largest, std::memory_order_relaxed)) {
    }
  }

  alignas(hot_separation) std::atomic<std::uint64_t> sum_{0};  // modulo 2^64
  // why not beside the sum: every record writes that, while these are soon only read
  alignas(hot_separation) std::atomic<std::uint64_t> smallest_{(std::numeric_limits<std::uint64_t>::max)()};
  std::atomic<std::uint64_t> largest_{0};
  alignas(hot_separation) std::array<std::atomic<std::uint64_t>, detail::log_linear::buckets> counts_{};
};

}  // namespace v0
}  // namespace millrace
