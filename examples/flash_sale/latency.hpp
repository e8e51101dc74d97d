// How long something takes, in powers of two.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>

#include "chance.hpp"

/// As "1.5 us".
inline std::string in_words(count nanoseconds) {
  char text[32];
  const auto n = static_cast<double>(nanoseconds);
  if (nanoseconds < 1'000'000) {
    std::snprintf(text, sizeof text, "%.1f us", n / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.1f ms", n / 1e6);
  }
  return text;
}

class latency {
 public:
  void add(std::chrono::nanoseconds took) {
    const auto n = static_cast<count>(took.count());
    buckets_[static_cast<std::size_t>(std::bit_width(n))].fetch_add(1, std::memory_order_relaxed);
    count most = most_;
    while (n > most && !most_.compare_exchange_weak(most, n)) {
    }
  }
  /// Nanoseconds that so many per cent did not exceed: up to twice as much as it was.
  [[nodiscard]] count within(count percent) const {
    count all = 0;
    for (const auto& b : buckets_) all += b;
    count so_far = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      so_far += buckets_[i];
      if (all != 0 && so_far * 100 >= all * percent) return count{1} << i;
    }
    return 0;
  }
  [[nodiscard]] count most() const { return most_; }
  void print() const {
    const count widest = *std::ranges::max_element(buckets_, {}, [](const auto& b) { return b.load(); });
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i] == 0) continue;
      const auto bar = static_cast<std::size_t>(buckets_[i] * 60 / widest);
      std::printf("  in less than %9s %8llu%s%s\n", in_words(count{1} << i).c_str(),
                  static_cast<unsigned long long>(buckets_[i].load()), bar == 0 ? "" : "  ",
                  std::string(bar, '#').c_str());
    }
  }

 private:
  std::array<std::atomic<count>, 64>
      buckets_{};  // the n-th is for less than 2^n, and not less than half of that
  std::atomic<count> most_ = 0;
};
