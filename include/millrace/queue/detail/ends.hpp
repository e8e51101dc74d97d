// What a channel shows to who waits at one of its ends in a way of its own: a select, a coroutine.
#pragma once

#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// The friend of Channel and of its bases push_verbs and pop_verbs, see verbs.hpp.
template <class Channel>
struct ends_of {
  static const auto& clock(const Channel& c) noexcept { return c.clock_; }

  // --- the end to push to ---
  static auto& lane(Channel& c) noexcept { return c.lane_at(); }

  // --- the end to pop from ---
  static auto& to_pop(Channel& c) noexcept { return c.not_empty_.events; }
  template <class Receive>
  static outcome pop_now(Channel& c, Receive&& receive) {
    return c.pop_now(receive);
  }
  template <class Receive>
  static outcome take(Channel& c, Receive&& receive) {
    return c.take(receive);
  }
  template <class Receive>
  static outcome take_quietly(Channel& c, Receive&& receive) {
    return c.take_quietly(receive);
  }
  static void tell_of_take(Channel& c, outcome result) { c.tell_of_take(result); }
  template <class T>
  static void drop(Channel& c, T&& value) {
    c.drop(std::move(value));
  }
  static auto& ready(Channel& c) { return c.ready_.fd(c.not_empty_.events); }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
