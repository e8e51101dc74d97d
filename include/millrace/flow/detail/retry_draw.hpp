// The number that spreads the pause of a retry.
#pragma once

#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/delivery/retry_policy.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// From 0 to 1: by the policy's own random, or by the machine's; in the middle if there is nothing to spread, or for what is no
/// such number.
[[nodiscard]] inline double retry_draw(retry_policy& p) noexcept {
  constexpr std::uint32_t steps = 1U << 24;
  if (p.jitter == 0) return 0.5;
  const double d = p.random ? p.random() : static_cast<double>(std_sync::random_below(steps)) / steps;
  return d >= 0 && d <= 1 ? d : 0.5;
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
