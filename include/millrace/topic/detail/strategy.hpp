// How a thread waits by the strategy that was chosen, written once for readers and publishers.
#pragma once

#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Repeats attempt(bool thoroughly) until it answers something else than `blocked`; timeout: the limit passed first.
/// Most attempts need not be thorough; the last one before a sleep is.
template <class Sync, class Limit, class Attempt>
outcome wait_by(wait_strategy how, waiting_room<Sync>& line, outcome blocked, Limit& limit, Attempt attempt) {
  if (how == wait_strategy::adaptive) {
    const outcome o = line.spin(blocked, [&] { return attempt(false); });
    if (o != blocked) return o;
  }
  if (how == wait_strategy::adaptive || how == wait_strategy::park) {
    return line.sleep(blocked, limit, [&] { return attempt(true); });
  }
  constexpr unsigned pauses = 64;
  for (;;) {
    for (unsigned p = 1; p <= pauses; ++p) {
      Sync::pause();
      const outcome o = attempt(p == pauses);
      if (o != blocked) return o;
    }
    if (limit.passed()) return outcome::timeout;
    if (how == wait_strategy::yield) Sync::yield();
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
