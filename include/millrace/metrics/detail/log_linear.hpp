// Which values a histogram tells apart: all below 64, and 32 in every power of two from there on.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// value: [ 0... | leading 1 | 5 bits | the rest, `shift` bits ]; its bucket: [ shift | leading 1 and 5 bits ], added up,
// so that the values without a rest, which have no leading 1 to count on, come out as themselves.
struct log_linear {
  static constexpr std::size_t in_power = 32;
  static constexpr std::size_t buckets = 60 * in_power;

  [[nodiscard]] static constexpr std::size_t index(std::uint64_t value) noexcept {
    const int shift = static_cast<int>(std::bit_width(value | 63)) - 6;
    return static_cast<std::size_t>(shift) * in_power + static_cast<std::size_t>(value >> shift);
  }

  [[nodiscard]] static constexpr std::uint64_t lowest(std::size_t bucket) noexcept {
    if (bucket < 2 * in_power) return bucket;
    return std::uint64_t{bucket % in_power + in_power} << (bucket / in_power - 1);
  }
  [[nodiscard]] static constexpr std::uint64_t highest(std::size_t bucket) noexcept {
    return lowest(bucket) + (width(bucket) - 1);
  }
  /// Less than 1/64 of a value away from every value of the bucket.
  // A bucket of width w begins at 32 w or later. Of two middles this is the lower one, w/2 - 1 above the first value
  // and w/2 below the last.
  [[nodiscard]] static constexpr std::uint64_t middle(std::size_t bucket) noexcept {
    return lowest(bucket) + (width(bucket) - 1) / 2;
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t width(std::size_t bucket) noexcept {
    return bucket < 2 * in_power ? 1 : std::uint64_t{1} << (bucket / in_power - 1);
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
