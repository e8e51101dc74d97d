// millrace/bus/subject.hpp - names of topics, and patterns that stand for many of them.
//
// A subject is tokens with dots between them: "orders.eu.paid". In a pattern the token `*` stands for any one token, and `>`, as the
// last one, for one or more that are left. A pattern without these is a subject, and matches only itself.
//
// Use it when : you ask whether a name is one, or which names a pattern means.
// Use instead : bus::subscribe, which does all that.
// Threads     : any; nothing is kept.
// Order       : does not apply.
// Progress    : wait-free but for the message of an error.
// Errors      : InvalidArgument, which cites the name and says what it must be.
// Exceptions  : std::bad_alloc for a message.
// Memory      : none.
// Cost        : a look at each character.
// Source      : the subjects of NATS (D. Collison, 2011), after TIBCO Rendezvous.
// Checked by  : tests/bus/subject_test.cpp
//
// Example:
//   millrace::matches("orders.*.paid", "orders.eu.paid");   // true
//   millrace::matches("orders.>", "orders");                // false: > is one token at least
//   return millrace::check_subject(name_from_a_file);
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <string_view>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

inline constexpr std::size_t longest_subject = 255;

/// 1 to 255 characters; no token is empty; neither spaces, control characters, nor wildcards.
[[nodiscard]] absl::Status check_subject(std::string_view subject);
/// Likewise, but `*` and `>` may stand for tokens, `>` for the last one.
[[nodiscard]] absl::Status check_pattern(std::string_view pattern);
/// Of two that are well-formed. The case of letters counts.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view subject) noexcept;
/// Whether it stands for one subject only.
[[nodiscard]] bool is_subject(std::string_view pattern) noexcept;

}  // namespace v0
}  // namespace millrace
