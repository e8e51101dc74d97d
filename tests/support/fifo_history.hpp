// A recorded history of a FIFO queue: what was asked, what was answered, and when; and the plain queue that
// an order of it can be replayed on.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "millrace/core/outcome.hpp"

namespace support {

using millrace::outcome;

enum class verb : std::uint8_t { push, pop, close };

/// One call, from just before it began to just after it returned.
struct operation {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t value = 0;  // what was offered, or what was popped
  std::uint32_t thread = 0;
  verb what = verb::push;
  outcome answer = outcome::ok;
};

enum class full_rule : std::uint8_t {
  /// `full` is an answer like any other: `capacity` values are inside at its instant.
  exact,
  /// At an instant of the call `capacity` places were held: by values (from the start of their push to the
  /// end of their pop), by pushes in flight that were refused in the end, and by positions given up on a
  /// thread that stood in their cell. The certificate leaves such answers out.
  places,
};

struct history {
  std::vector<operation> operations;
  std::size_t capacity = 0;
  full_rule full = full_rule::exact;
  bool drained = true;  // everything accepted must have been popped
};

enum class fault : std::uint8_t {
  none,
  malformed,   // not a history: an end before its start, a value pushed twice, an answer its verb cannot give
  invented,    // popped, never pushed
  duplicated,  // popped twice
  early,       // popped before its push began
  lost,        // accepted, never popped
  reordered,   // pushed before another value, popped after it or never
  false_empty,      // empty, though at every instant of the call something was inside
  overfull,         // accepted, though more than `capacity` values were inside
  false_full,       // full, though at no instant of the call the queue can have been
  accepted_closed,  // accepted, or told full, after the end of the stream
  refused_open,     // told closed before close() began
  after_end,        // something else than closed, after closed had been answered
  no_order,         // none of these, and yet no order exists
  undecided,        // the search gave up
};

[[nodiscard]] constexpr const char* to_string(fault f) noexcept {
  constexpr std::array names{"none",          "malformed",  "invented",        "duplicated",
                             "early",         "lost",       "reordered",       "false empty",
                             "overfull",      "false full", "accepted closed", "refused open",
                             "after the end", "no order",   "undecided"};
  return names[static_cast<std::size_t>(f)];
}

[[nodiscard]] inline std::string describe(const operation& op) {
  std::string text = "thread " + std::to_string(op.thread) + ' ';
  text += op.what == verb::push ? "push" : op.what == verb::pop ? "pop" : "close";
  if (op.what == verb::push) text += '(' + std::to_string(op.value) + ')';
  text += " -> ";
  text += op.what == verb::pop && op.answer == outcome::ok ? std::to_string(op.value) : to_string(op.answer);
  return text + " [" + std::to_string(op.start) + ", " + std::to_string(op.end) + ']';
}

/// All of it, one operation a line, by the time they began.
[[nodiscard]] inline std::string describe(const history& h) {
  std::vector<operation> ops = h.operations;
  std::sort(ops.begin(), ops.end(), [](const operation& a, const operation& b) {
    return a.start != b.start ? a.start < b.start : a.end < b.end;
  });
  std::string text = "capacity " + std::to_string(h.capacity) + '\n';
  for (const operation& op : ops) text += "  " + describe(op) + '\n';
  return text;
}

/// Whether an operation has its place in the certificate; the others change nothing and are judged by the
/// clock.
[[nodiscard]] inline bool has_place(const operation& op, full_rule rule) noexcept {
  if (op.what == verb::close || op.answer == outcome::closed) return op.what == verb::pop;
  return op.answer != outcome::full || rule == full_rule::exact;
}

/// Runs `order` (indices into the history) on a plain queue. Empty: it proves the history right. Otherwise
/// says what is wrong with the order. Shares no thought with the checker.
[[nodiscard]] inline std::string replay(const history& h, std::span<const std::uint32_t> order) {
  std::vector<bool> seen(h.operations.size());
  std::deque<std::uint64_t> queue;
  std::uint64_t latest_start = 0;
  bool ended = false;
  for (const std::uint32_t index : order) {
    if (index >= h.operations.size() || seen[index]) return "an operation stands twice in the order";
    seen[index] = true;
    const operation& op = h.operations[index];
    if (op.end < latest_start) return "against the clock: " + describe(op);
    latest_start = std::max(latest_start, op.start);
    if (ended && op.answer != outcome::closed) return "after the end: " + describe(op);
    bool right = false;
    if (op.what == verb::push && op.answer == outcome::ok) {
      right = queue.size() < h.capacity;
      queue.push_back(op.value);
    } else if (op.what == verb::push && op.answer == outcome::full) {
      right = h.full == full_rule::exact && queue.size() == h.capacity;
    } else if (op.what == verb::pop && op.answer == outcome::ok) {
      right = !queue.empty() && queue.front() == op.value;
      if (right) queue.pop_front();
    } else if (op.what == verb::pop) {
      right = queue.empty();
      ended = op.answer == outcome::closed;
    }
    if (!right) return "not what a queue answers: " + describe(op);
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] != has_place(h.operations[i], h.full)) return "missing: " + describe(h.operations[i]);
  }
  if (h.drained && !queue.empty()) return "left inside: " + std::to_string(queue.front());
  return {};
}

}  // namespace support
