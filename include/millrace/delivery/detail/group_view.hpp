// What a group sees in a message, by its options or by the message's properties.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "millrace/core/config.hpp"
#include "millrace/delivery/detail/ready_lists.hpp"
#include "millrace/delivery/message.hpp"
#include "millrace/delivery/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T>
[[nodiscard]] bool has_expired(const T& m, std::int64_t now) noexcept {
  const message_properties* const p = properties_of(m);
  return p != nullptr && p->expires.count() != 0 && p->expires.count() <= now;
}
/// The beginning of time: at once.
template <class T>
[[nodiscard]] std::int64_t not_before(const T& m) noexcept {
  const message_properties* const p = properties_of(m);
  return p != nullptr && p->not_before.count() != 0 ? p->not_before.count() : INT64_MIN;
}
template <class Options, class T>
[[nodiscard]] std::uint8_t priority_of(Options& chosen, const T& m) {
  if (!chosen.prioritized) return 0;
  unsigned wanted = 0;
  if (chosen.priority) {
    wanted = chosen.priority(m);
  } else if (const message_properties* const p = properties_of(m)) {
    wanted = p->priority;
  }
  return static_cast<std::uint8_t>(wanted < ready_lists::levels ? wanted : ready_lists::levels - 1);
}
/// False: it has none, and stands behind nobody.
template <class Options, class T>
[[nodiscard]] bool find_key(Options& chosen, const T& m, std::uint64_t& key) {
  if (chosen.order != ordering::by_key) return false;
  if (chosen.key) {
    key = chosen.key(m);
    return true;
  }
  const message_properties* const p = properties_of(m);
  if (p == nullptr || p->key.empty()) return false;
  key = std::hash<std::string>()(p->key);  // two keys of one hash wait for each other, and no harm is done
  return true;
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
