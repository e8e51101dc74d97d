// millrace/flow/response.hpp - what came of a request: a reply, or why there is none; and how many of each there were.
//
// Use it when : you have asked with `request`, or a `requester`.
// Use instead : nothing.
// Threads     : plain values.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : it is the error.
// Exceptions  : none but Reply's.
// Memory      : that of Reply, and of a string.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/flow/response_test.cpp
//
// Example:
//   if (auto r = answer.get()) use(*r.value); else log(millrace::to_string(r.what), r.reason);
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

enum class request_outcome : std::uint8_t {
  ok,          // there is a reply
  failed,      // a responder has said so, and why
  unanswered,  // every copy of the query is gone, also from the log, and nobody has answered
  timeout,     // the limit passed first; while there was no room, or before a reply came
  full,        // not asked: the topic had no room
  closed,      // not asked, since the topic is closed; or the timers were stopped first
  cancelled,   // the asker did not want it any more
};
inline constexpr std::size_t request_outcomes = 7;

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(request_outcome o) noexcept {
  switch (o) {
    case request_outcome::ok: return "ok";
    case request_outcome::failed: return "failed";
    case request_outcome::unanswered: return "unanswered";
    case request_outcome::timeout: return "timeout";
    case request_outcome::full: return "full";
    case request_outcome::closed: return "closed";
    case request_outcome::cancelled: return "cancelled";
  }
  return "invalid";
}

template <class Reply>
struct response {
  request_outcome what = request_outcome::cancelled;
  std::optional<Reply> value = {};  // if it is ok
  std::string reason = {};          // if it has failed

  [[nodiscard]] explicit operator bool() const noexcept { return what == request_outcome::ok; }
};

/// Of one requester, since it began. `sent` is the sum of those below, but for `late`, and of what is still open.
struct request_stats {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t unanswered = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t refused = 0;  // full and closed
  std::uint64_t cancelled = 0;
  std::uint64_t late = 0;  // replies and failures that came when it was settled, say after a timeout
};

}  // namespace v0
}  // namespace millrace
