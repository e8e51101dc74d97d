// Chance that falls alike on every machine, as the distributions of the standard library do not.
#pragma once

#include <cstdint>

using count = std::uint64_t;

/// What is drawn for one purpose does not change what is drawn for another.
enum class purpose : count { requests, buyers, doubles, provider, declined, customers, risk };

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
inline count mixed(count x) {
  x += 0x9E37'79B9'7F4A'7C15;
  x = (x ^ (x >> 30)) * 0xBF58'476D'1CE4'E5B9;
  x = (x ^ (x >> 27)) * 0x94D0'49BB'1331'11EB;
  return x ^ (x >> 31);
}

class chance {
 public:
  /// Of the n-th of its kind, for the m-th time: whichever thread asks first, the answer is the same.
  chance(count seed, purpose what, count n = 0, count m = 0)
      : state_(mixed(mixed(mixed(seed) + static_cast<count>(what)) + n) + m) {}

  /// 0 to n - 1.
  std::uint32_t below(std::uint32_t n) {
    state_ = mixed(state_);
    return static_cast<std::uint32_t>((state_ >> 32) * n >> 32);
  }

 private:
  count state_;
};
