// millrace/core/outcome.hpp - what came of a push or a pop.
//
// Use it when : you call a verb of a channel; every one of them answers with an outcome.
// Use instead : `absl::Status` where the answer needs a sentence (configuration, start, drain).
// Threads     : a plain value.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : it is the error.
// Exceptions  : none.
// Memory      : one byte.
// Cost        : a register.
// Source      : WG21 P0260 (C++ concurrent queues), whose conqueue_errc names the same answers.
// Checked by  : tests/core/outcome_test.cpp
//
// Example:
//   if (ch.try_push(std::move(order)) == millrace::outcome::full) shed(order);  // `order` still holds its value
#pragma once

#include <cstdint>

namespace millrace {
inline namespace v0 {

enum class [[nodiscard]] outcome : std::uint8_t {
  ok,         // done
  full,       // not done: every place was held at an instant inside the call
  empty,      // not done: there was nothing at an instant inside the call
  closed,     // not done: the stream has ended (for a pop: and everything accepted has been taken)
  timeout,    // not done: the limit passed first
  cancelled,  // not done: a stop was requested first
};

/// The outcome's name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(outcome o) noexcept {
  switch (o) {
    case outcome::ok: return "ok";
    case outcome::full: return "full";
    case outcome::empty: return "empty";
    case outcome::closed: return "closed";
    case outcome::timeout: return "timeout";
    case outcome::cancelled: return "cancelled";
  }
  return "invalid";
}

}  // namespace v0
}  // namespace millrace
