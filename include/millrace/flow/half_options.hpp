// millrace/flow/half_options.hpp - what half messages have to be told: whom to ask about those that nobody decides, when, and what
// becomes of those that are never decided.
//
// Use it when : you make a `half_messages`.
// Use instead : nothing.
// Threads     : plain values. `ask`, `asking.decide` and `asking.random` are called in tasks of the executor, several at a time
//               if that has several threads, and `lost` also in commit() and stop().
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : checked where they are used, see half_messages.hpp.
// Exceptions  : what `ask` throws counts as unknown. The others must not throw.
// Memory      : 340 bytes.
// Cost        : none.
// Source      : the times after RocketMQ's transactional messages (transactionTimeOut, transactionCheckInterval and
//               transactionCheckMax of its broker).
// Checked by  : tests/flow/half_options_test.cpp, tests/flow/half_messages_test.cpp
//
// Example:
//   millrace::half_options<order> o{.ask = [&](const order& x) { return books.outcome_of(x.id); },
//                                   .lost = [&](order&& x, millrace::half_loss why) { report(x, to_string(why)); }};
#pragma once

#include <chrono>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/delivery/retry_policy.hpp"

namespace millrace {
inline namespace v0 {

enum class half_decision : std::uint8_t { commit, rollback, unknown };

/// Why a message was neither published nor rolled back.
enum class half_loss : std::uint8_t {
  undecided,  // nobody knew, as often as was asked
  closed,     // it was committed, and the topic is closed
  stopped,    // stop() came first: it was in doubt, or committed and waiting for room
};

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(half_loss l) noexcept {
  switch (l) {
    case half_loss::undecided: return "undecided";
    case half_loss::closed: return "closed";
    case half_loss::stopped: return "stopped";
  }
  return "invalid";
}

template <class T>
struct half_options {
  /// For how long a message may be in doubt before it is asked about; more than 0.
  std::chrono::nanoseconds ask_after = std::chrono::seconds(6);
  /// What has become of that which the message depends on. Needed.
  function<half_decision(const T&)> ask = {};
  /// How often it is asked, and the pauses between, while the answer is unknown.
  retry_policy asking = {.attempts = 15, .first = std::chrono::seconds(30), .factor = 1};
  /// Gets what is neither published nor rolled back, so that it is not lost in silence. Needed.
  function<void(T&&, half_loss)> lost = {};
  /// Before it tries again to publish what is committed, if the topic has no room, or no storage; more than 0.
  std::chrono::nanoseconds room_pause = std::chrono::milliseconds(10);
};

/// Of one half_messages. `prepared` is the sum of what follows it, up to `committed`.
struct half_stats {
  std::uint64_t prepared = 0;
  std::uint64_t published = 0;
  std::uint64_t rolled_back = 0;
  std::uint64_t undecided = 0;  // \ given to options.lost
  std::uint64_t closed = 0;     // |
  std::uint64_t stopped = 0;    // /
  std::uint64_t in_doubt = 0;   // now: not decided, or decided while the question about it is on its way
  std::uint64_t committed = 0;  // now: decided, and waiting for room
  std::uint64_t asked = 0;      // questions
  std::uint64_t waited = 0;     // publishes that found no room
};

}  // namespace v0
}  // namespace millrace
