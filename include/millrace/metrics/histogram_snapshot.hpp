// millrace/metrics/histogram_snapshot.hpp - what a histogram had recorded at one moment: quantiles, mean, how many up to here.
//
// Use it when : you have asked histogram::snapshot().
// Use instead : a sorted copy of the values, where they are few and the answer must be exact.
// Threads     : a plain value.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : the answers are less than 1/64 (1.5625 %) of a value off. Exact: values below 64, the count, the smallest
//               and the largest value and what is between them if they are equal; the sum while it is below 2^69, within
//               1/64 beyond, and rounded to a double.
// Exceptions  : std::invalid_argument for a quantile outside 0 to 1, and from since() for what is not earlier;
//               std::bad_alloc from copies, merge and since.
// Memory      : 8 bytes for each bucket up to that of the largest value, at most 15,360.
// Cost        : one look at each of those, for every answer: less than a microsecond, for the sum up to 5.
// Source      : log-linear buckets are those of HdrHistogram, G. Tene, 2012; DDSketch, C. Masson and others, 2019, has the
//               same bound on the relative error, for floating point and with a logarithm.
// Checked by  : tests/metrics/histogram_snapshot_test.cpp
//
// Example:
//   const millrace::histogram_snapshot s = handler_time.snapshot();
//   std::cout << s.count() << " calls, half of them within " << s.quantile(0.5) << " ns, the longest " << s.largest();
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/metrics/detail/log_linear.hpp"

namespace millrace {
inline namespace v0 {

class histogram_snapshot {
 public:
  /// Nothing recorded.
  histogram_snapshot() noexcept = default;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// 0 if there is none, as the next ones.
  [[nodiscard]] std::uint64_t smallest() const noexcept { return smallest_; }
  [[nodiscard]] std::uint64_t largest() const noexcept { return largest_; }

  [[nodiscard]] double sum() const noexcept {
    // What is kept has lost a multiple of 2^64. The buckets tell which one: they are off by less than 2^63.
    double estimate = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      estimate += static_cast<double>(counts_[i]) * static_cast<double>(shown(i));
    }
    const double kept = static_cast<double>(sum_);
    const double lost = std::round((estimate - kept) / 0x1p64);
    return lost > 0 ? kept + lost * 0x1p64 : kept;
  }
  [[nodiscard]] double mean() const noexcept {
    return count_ == 0 ? 0.0 : sum() / static_cast<double>(count_);
  }

  /// The smallest value that at least `q` of all values are not above; q: 0 to 1.
  [[nodiscard]] std::uint64_t quantile(double q) const {
    if (!(q >= 0 && q <= 1)) {
      detail::fail<std::invalid_argument>("histogram_snapshot: q of quantile must be 0 to 1");
    }
    const std::uint64_t rank = rank_of(q);
    if (rank <= 1) return smallest_;
    if (rank >= count_) return largest_;
    std::uint64_t up_to_here = 0;
    std::size_t i = 0;
    while ((up_to_here += counts_[i]) < rank) ++i;
    return shown(i);
  }

  /// How many values are at most `value`. One less than 1/64 away from it may be found on the wrong side of it.
  [[nodiscard]] std::uint64_t count_up_to(std::uint64_t value) const noexcept {
    const std::size_t last = detail::log_linear::index(value);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counts_.size() && i < last; ++i) sum += counts_[i];
    if (last < counts_.size() && shown(last) <= value) sum += counts_[last];
    return sum;
  }

  /// As if one histogram had recorded what both have.
  void merge(const histogram_snapshot& other) {
    if (other.count_ == 0) return;
    if (counts_.size() < other.counts_.size()) counts_.resize(other.counts_.size());
    for (std::size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
    smallest_ = count_ == 0 || other.smallest_ < smallest_ ? other.smallest_ : smallest_;
    largest_ = other.largest_ > largest_ ? other.largest_ : largest_;
    count_ += other.count_;
    sum_ += other.sum_;
  }

  /// What came after `earlier`, a snapshot of the same histogram, which therefore needs no reset. The smallest and the
  /// largest value are then within 1/32.
  [[nodiscard]] histogram_snapshot since(const histogram_snapshot& earlier) const {
    std::vector<std::uint64_t> counts = counts_;
    bool is_earlier = earlier.counts_.size() <= counts.size();
    for (std::size_t i = 0; is_earlier && i < earlier.counts_.size(); ++i) {
      is_earlier = earlier.counts_[i] <= counts[i];
      counts[i] -= earlier.counts_[i];
    }
    if (!is_earlier) {
      detail::fail<std::invalid_argument>(
          "histogram_snapshot: earlier of since must be an earlier snapshot of the same histogram");
    }
    return {std::move(counts), sum_ - earlier.sum_, smallest_, largest_};
  }

 private:
  friend class histogram;

  /// `smallest` and `largest` may be of another moment than the counts.
  histogram_snapshot(std::vector<std::uint64_t> counts, std::uint64_t sum, std::uint64_t smallest,
                     std::uint64_t largest)
      : counts_(std::move(counts)) {
    while (!counts_.empty() && counts_.back() == 0) counts_.pop_back();
    if (counts_.empty()) return;
    std::size_t first = 0;
    while (counts_[first] == 0) ++first;
    for (const std::uint64_t n : counts_) count_ += n;
    sum_ = sum;
    smallest_ = within(first, smallest);
    largest_ = within(counts_.size() - 1, largest);
  }

  [[nodiscard]] static std::uint64_t within(std::size_t bucket, std::uint64_t value) noexcept {
    const std::uint64_t lowest = detail::log_linear::lowest(bucket);
    const std::uint64_t highest = detail::log_linear::highest(bucket);
    return value < lowest ? lowest : value > highest ? highest : value;
  }

  /// The value that stands for all of a bucket.
  [[nodiscard]] std::uint64_t shown(std::size_t bucket) const noexcept {
    const std::uint64_t middle = detail::log_linear::middle(bucket);
    return middle < smallest_ ? smallest_ : middle > largest_ ? largest_ : middle;
  }

  /// From 1, in ascending order.
  [[nodiscard]] std::uint64_t rank_of(double q) const noexcept {
    // why nextafter: q is a rounded decimal, and 0.07 * 100 is more than 7; from the next one below, no rounding leads
    // past the whole number, and as long as count_ has less than 52 bits, none past the one before it.
    const double rank = std::ceil(std::nextafter(q, 0.0) * static_cast<double>(count_));
    return rank < static_cast<double>(count_) ? static_cast<std::uint64_t>(rank) : count_;
  }

  std::vector<std::uint64_t> counts_;  // by bucket, up to the last one that has any
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;  // modulo 2^64
  std::uint64_t smallest_ = 0;
  std::uint64_t largest_ = 0;
};

}  // namespace v0
}  // namespace millrace
