// millrace/delivery/traceparent.hpp - the trace context of a message as text, and back.
//
// Use it when : a trace crosses from this process to another one, or comes from there: the header traceparent of an HTTP
//               request, a property of a broker's message.
// Use instead : trace_context as it is, within the process.
// Threads     : any; functions without state.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : parse_traceparent gives none for what is no traceparent; the standard has its reader begin a new trace then.
//               to_traceparent of what is no trace gives an empty text.
// Exceptions  : std::bad_alloc from to_traceparent.
// Memory      : one string of 55 characters.
// Cost        : about 0.1 microseconds each.
// Source      : Trace Context, W3C Recommendation, 23 November 2021. Of the flags that standard has only `sampled`: the
//               others are neither read nor written.
// Checked by  : tests/delivery/traceparent_test.cpp
//
// Example:
//   if (auto trace = millrace::parse_traceparent(request.header("traceparent"))) properties.trace = *trace;
//   reply.header("traceparent", millrace::to_traceparent(millrace::child_of(properties.trace, random())));
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "millrace/core/config.hpp"
#include "millrace/delivery/message.hpp"

namespace millrace {
inline namespace v0 {

/// The flag of a trace that somebody records.
inline constexpr std::uint8_t trace_sampled = 1;

/// Both ids are there, that is, not all zero.
[[nodiscard]] constexpr bool is_valid(const trace_context& trace) noexcept {
  return trace.trace_id != decltype(trace.trace_id){} && trace.span_id != decltype(trace.span_id){};
}

namespace detail {

/// The value of a hexadecimal digit, in lower case as the standard has it; -1: it is none.
[[nodiscard]] constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

template <std::size_t N>
[[nodiscard]] constexpr bool read_hex(std::string_view text, std::array<std::uint8_t, N>& bytes) noexcept {
  for (std::size_t i = 0; i < N; ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

template <std::size_t N>
void append_hex(std::string& text, const std::array<std::uint8_t, N>& bytes) {
  for (const std::uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
}

}  // namespace detail

/// "00-<trace id>-<span id>-<flags>", 55 characters; empty if the trace is not valid.
[[nodiscard]] inline std::string to_traceparent(const trace_context& trace) {
  std::string text;
  if (!is_valid(trace)) return text;
  text.reserve(55);
  text += "00-";
  detail::append_hex(text, trace.trace_id);
  text += '-';
  detail::append_hex(text, trace.span_id);
  text += '-';
  detail::append_hex(text, std::array{static_cast<std::uint8_t>(trace.flags & trace_sampled)});
  return text;
}

/// Of a version after 00 what it has in common with it. Not trimmed: a blank is no part of a traceparent.
[[nodiscard]] constexpr std::optional<trace_context> parse_traceparent(std::string_view text) noexcept {
  // text: [ version 2 | - | trace id 32 | - | span id 16 | - | flags 2 | from version 01 on: - and more ]
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  trace_context trace;
  if (!detail::read_hex(text, version) || !detail::read_hex(text.substr(3), trace.trace_id) ||
      !detail::read_hex(text.substr(36), trace.span_id) || !detail::read_hex(text.substr(53), flags)) {
    return std::nullopt;
  }
  if (version[0] == 0xff || !is_valid(trace)) return std::nullopt;
  if (text.size() > 55 && (version[0] == 0 || text[55] != '-')) return std::nullopt;
  trace.flags = flags[0] & trace_sampled;
  return trace;
}

/// The trace of what `parent` caused: the same trace, with a span of its own, named after `random`, 64 bits that no other
/// span of the trace has. What is not valid stays as it is.
[[nodiscard]] constexpr trace_context child_of(const trace_context& parent, std::uint64_t random) noexcept {
  trace_context child = parent;
  if (!is_valid(parent)) return child;
  if (random == 0) random = 1;  // an id of all zero is none
  for (std::size_t i = 0; i < child.span_id.size(); ++i) {
    child.span_id[i] = static_cast<std::uint8_t>(random >> (56 - 8 * i));
  }
  return child;
}

}  // namespace v0
}  // namespace millrace
