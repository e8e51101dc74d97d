// What a channel shows to who waits at one of its ends in a way of its own: a select, a coroutine.
#pragma once

#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// The channel's friend. Channel offers pop_now(receive), take_quietly(receive), tell_of_take(outcome), drop(T&&),
/// not_empty_, ready_ and lane_at(level...), see lane.hpp.
template <class Channel>
struct ends_of {
  static auto& to_pop(Channel& c) noexcept { return c.not_empty_.events; }
  template <class Receive>
  static outcome pop_now(Channel& c, Receive&& receive) {
    return c.pop_now(receive);
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

  template <class... Level>
  static auto& lane(Channel& c, Level... level) {
    return c.lane_at(level...);
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
