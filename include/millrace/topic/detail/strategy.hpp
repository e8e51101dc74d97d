// How a thread waits by the strategy that was chosen, written once for readers and publishers.
#pragma once

#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Repeats attempt(bool thoroughly) until it answers something else than `blocked`; timeout: the limit passed first.
/// Most attempts need not be thorough; the last one before a sleep is. `crowded`: others may want the processor who would
/// do something about it.
template <class Sync, class Limit, class Attempt>
outcome wait_by(wait_strategy how, waiting_room<Sync>& line, outcome blocked, bool crowded, Limit& limit,
                Attempt attempt) {
  if (how == wait_strategy::adaptive) {
    const auto in_passing = [&] { return attempt(false); };
    if (const outcome o = line.spin(blocked, in_passing); o != blocked) return o;
    // why: many who sleep after each message, and have to be woken for the next one, keep a publisher from its work
    constexpr unsigned yields = 2;
    for (unsigned n = 0; crowded && n < yields; ++n) {
      Sync::yield();
      if (const outcome o = in_passing(); o != blocked) return o;
    }
  }
  if (how == wait_strategy::adaptive || how == wait_strategy::park) {
    return line.sleep(blocked, limit, [&] { return attempt(true); });
  }
  constexpr unsigned pauses = 64;
  for (unsigned n = 1;; ++n) {
    if (n <= pauses || how == wait_strategy::spin) {
      Sync::pause();
    } else {
      Sync::yield();
    }
    const bool thoroughly = n % pauses == 0;
    const outcome o = attempt(thoroughly);
    if (o != blocked) return o;
    if (thoroughly && limit.passed()) return outcome::timeout;
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
