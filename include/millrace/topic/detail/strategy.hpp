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

/// A breath between two looks of a reader at a stream that flows. A reader that is faster than its publisher, and looks again
/// at once, takes the cache line that the publisher is writing to, message by message.
template <class Sync>
class gathering {
 public:
  /// Having read that many.
  void after(std::uint64_t messages) noexcept {
    if (messages >= enough) {
      pauses_ -= pauses_ / 4;
    } else if (messages == 1 && pauses_ >= alone) {
      pauses_ = 0;  // nothing came meanwhile: not a stream, but somebody who waits for an answer, perhaps
    } else {
      pauses_ = 2 * pauses_ + first < most ? 2 * pauses_ + first : most;
    }
    for (unsigned p = 0; p < pauses_; ++p) Sync::pause();
  }

 private:
  static constexpr std::uint64_t enough = 64;
  static constexpr unsigned first = 4;
  static constexpr unsigned alone = 16;
  static constexpr unsigned most = 128;
  unsigned pauses_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
