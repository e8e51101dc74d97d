// millrace/delivery/message.hpp - a value with properties: an id, a key, a tag, a priority, a time to live, a delay, a trace.
//
// Use it when : consumers are to tell messages apart by something that is not part of the value.
// Use instead : the value itself; a group can be told where in it the key, the id or the priority are.
// Threads     : a plain value.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : none.
// Exceptions  : what T's copy or move throws; std::bad_alloc for properties.
// Memory      : a pointer beside the value; properties, about 200 bytes, only for a message that has some.
// Cost        : an allocation for a message with properties, nothing for one without.
// Source      : names after OpenTelemetry's conventions for messaging; the trace context is that of W3C Trace Context (2021).
// Checked by  : tests/delivery/message_test.cpp
//
// Example:
//   millrace::topic<millrace::message<order>> orders(4096);
//   outcome o = orders.publish({bought, {.key = bought.customer, .expires = (clock::now() + 30s).time_since_epoch()}});
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// All zero: none.
struct trace_context {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> span_id{};
  std::uint8_t flags = 0;
};

struct message_properties {
  std::string id = {};        // for a deduplicator; empty: none
  std::string key = {};       // for ordering::by_key; empty: none, and it waits for nobody
  std::string tag = {};       // for filters
  std::uint8_t priority = 0;  // 0 to 7, higher ones first, where the group has `prioritized`
  /// Times of the topic's clock, since its epoch; 0: never, and at once.
  std::chrono::nanoseconds expires{0};
  std::chrono::nanoseconds not_before{0};
  trace_context trace{};
};

template <class T>
class message {
 public:
  using value_type = T;

  // NOLINTNEXTLINE(google-explicit-constructor): a value is published where a message is wanted
  message(T v) noexcept(std::is_nothrow_move_constructible_v<T>) : value(std::move(v)) {}
  message(T v, message_properties p)
      : value(std::move(v)), properties_(std::make_unique<message_properties>(std::move(p))) {}
  message(message&&) noexcept(std::is_nothrow_move_constructible_v<T>) = default;
  message& operator=(message&&) noexcept(std::is_nothrow_move_assignable_v<T>) = default;
  message(const message& o)
    requires std::is_copy_constructible_v<T>
      : value(o.value),
        properties_(o.properties_ ? std::make_unique<message_properties>(*o.properties_) : nullptr) {}
  message& operator=(const message& o)
    requires std::is_copy_constructible_v<T>
  {
    return *this = message(o);
  }
  ~message() = default;

  T value;

  /// nullptr: it has none.
  [[nodiscard]] const message_properties* properties() const noexcept { return properties_.get(); }

 private:
  std::unique_ptr<message_properties> properties_;
};

namespace detail {

template <class T>
inline constexpr bool is_message = false;
template <class T>
inline constexpr bool is_message<message<T>> = true;

}  // namespace detail

/// nullptr for what is no message, or has no properties.
template <class T>
[[nodiscard]] constexpr const message_properties* properties_of(const T&) noexcept {
  return nullptr;
}
template <class T>
[[nodiscard]] const message_properties* properties_of(const message<T>& m) noexcept {
  return m.properties();
}

}  // namespace v0
}  // namespace millrace
