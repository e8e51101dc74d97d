// Whose turn it is, when levels have weights.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// One round: each level as often as its weight says, and as evenly spread as can be.
template <std::size_t Levels>
[[nodiscard]] std::vector<std::uint8_t> spread_turns(const std::array<std::uint32_t, Levels>& weights) {
  static_assert(Levels <= 256);
  std::uint64_t sum = 0;
  for (const std::uint32_t w : weights) {
    if (w == 0) fail<std::invalid_argument>("priority_channel: each of shares must be 1 to 65535");
    sum += w;
  }
  if (sum > 65535) fail<std::invalid_argument>("priority_channel: the sum of shares must be 2 to 65535");
  std::vector<std::uint8_t> turns;
  turns.reserve(static_cast<std::size_t>(sum));
  // Every level saves up its weight a turn; the richest one has it, and pays for the whole round.
  std::array<std::int64_t, Levels> saved{};
  for (std::uint64_t i = 0; i < sum; ++i) {
    std::size_t richest = 0;
    for (std::size_t l = 0; l < Levels; ++l) {
      saved[l] += weights[l];
      if (saved[l] > saved[richest]) richest = l;
    }
    saved[richest] -= static_cast<std::int64_t>(sum);
    turns.push_back(static_cast<std::uint8_t>(richest));
  }
  return turns;
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
