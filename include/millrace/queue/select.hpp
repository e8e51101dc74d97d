// millrace/queue/select.hpp - waits for the first of several channels, and does exactly one thing.
//
// Use it when : a thread serves several channels, or a channel and a deadline or a beat, or pushes where there is room first.
// Use instead : one channel for all, if the messages can share a type; `co_await` with one coroutine for each channel.
// Threads     : any; a select counts as a pop or a push of the calling thread, on each channel that it names.
// Order       : of several that can go on the choice is random, and each has at least one chance in the number of
//               cases; among sleepers each channel serves first come, first served. FIFO inside a channel is kept.
// Progress    : with `otherwise`, or something ready, it does not wait: as lock-free as the verbs of the channels.
//               Otherwise the thread sleeps, once for all channels; nothing polls.
// Errors      : a closed channel is ready: a pop of it that is also drained gives nothing, a push answers closed.
// Exceptions  : what T's copy or move throws, or a handler; std::bad_alloc from waiting with on_pop_any. Whatever
//               happens, the thread is in no line any more, and a wake-up that it did not use has been passed on.
// Memory      : 48 bytes a case, on the stack; on_pop_any allocates as much for each channel when it has to wait.
// Cost        : a try at each channel until one is ready; to wait, some tries more and two mutexes for each.
// Source      : the semantics of Go's select statement and of crossbeam's Select.
// Checked by  : tests/queue/select_test.cpp, tests/queue/ticker_test.cpp, tests/models/select_models.cpp
//
// Example:
//   using namespace std::chrono_literals;
//   const bool go_on = millrace::select(
//       millrace::on_pop(orders, [&](std::optional<order> o) { return o ? book(*o) : false; }),   // nothing: closed
//       millrace::on_push(heartbeats, now(), [](millrace::outcome o) { return o == millrace::outcome::ok; }),
//       millrace::after(1s, [] { return true; }));
#pragma once

#include <chrono>
#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/detail/selecting.hpp"
#include "millrace/queue/ticker.hpp"

namespace millrace {
inline namespace v0 {

// The cases. Each is made in the call of select and holds references to its arguments.

/// Pops from `from`: handler(std::optional<T>), nothing once the channel is closed and drained.
template <class Channel, class Handler>
[[nodiscard]] auto on_pop(Channel& from, Handler&& handler) {
  return detail::pop_case<Channel, Handler>(from, handler);
}

/// Pops from one of the channels in `from`, an array, vector or span of pointers that are not null: handler(std::size_t
/// index, std::optional<T>).
template <class Channels, class Handler>
[[nodiscard]] auto on_pop_any(const Channels& from, Handler&& handler) {
  using channel = std::remove_cvref_t<decltype(**std::data(from))>;
  return detail::pop_any_case<channel, Handler>({std::data(from), std::size(from)}, handler);
}

/// Pushes into `to`: handler(outcome), ok or closed. `value` is untouched unless it is ok; an rvalue is moved
/// from, anything else copied.
template <class Channel, class Value, class Handler>
  requires std::is_constructible_v<typename Channel::value_type, Value&&>
[[nodiscard]] auto on_push(Channel& to, Value&& value, Handler&& handler) {
  static_assert(std::is_same_v<std::remove_cvref_t<Value>, typename Channel::value_type>,
                "on_push: the value must be of the channel's type");
  auto& lane = detail::ends_of<Channel>::lane(to);
  return detail::push_case<std::remove_reference_t<decltype(lane)>, Value, Handler>(lane, value, handler);
}

/// handler(), when nothing else could go on before the limit passed. One of these at the most.
template <class Rep, class Period, class Handler>
[[nodiscard]] auto after(std::chrono::duration<Rep, Period> wait, Handler&& handler) {
  return detail::deadline_case<std::chrono::steady_clock, Handler>(
      {}, detail::saturating_deadline(std::chrono::steady_clock::now(), wait), handler);
}
template <clock Clock, class Rep, class Period, class Handler>
[[nodiscard]] auto after(Clock& clock, std::chrono::duration<Rep, Period> wait, Handler&& handler) {
  return detail::deadline_case<Clock, Handler>(clock, detail::saturating_deadline(clock.now(), wait),
                                               handler);
}
template <stateless_clock Clock, class Duration, class Handler>
[[nodiscard]] auto until(std::chrono::time_point<Clock, Duration> deadline, Handler&& handler) {
  return detail::deadline_case<Clock, Handler>({}, std::chrono::ceil<typename Clock::duration>(deadline),
                                               handler);
}
template <clock Clock, class Handler>
[[nodiscard]] auto until(Clock& clock, typename Clock::time_point deadline, Handler&& handler) {
  return detail::deadline_case<Clock, Handler>(clock, deadline, handler);
}

/// handler(std::uint64_t missed) or handler(), when the ticker's next tick has come: as ready then as a channel that has
/// something, so no channel can keep it from its turn. Any number of these; they and `after` must go by the same clock.
template <clock Clock, class Handler>
[[nodiscard]] auto on_tick(ticker<Clock>& beat, Handler&& handler) {
  return detail::tick_case<ticker<Clock>, Handler>(beat, handler);
}

/// handler(), when nothing can go on at once: then select does not wait.
template <class Handler>
[[nodiscard]] auto otherwise(Handler&& handler) {
  return detail::default_case<Handler>(handler);
}

/// Waits until one of the cases can go on, does that one and no other, and returns what its handler returns (their
/// common type; nothing, if one of them returns nothing). Without any channel, limit or `otherwise` it sleeps for ever.
template <class... Cases>
  requires(sizeof...(Cases) > 0)
auto select(Cases&&... cases) {
  static_assert(
      (!std::is_lvalue_reference_v<Cases> && ...),
      "select: make the cases in the call; they refer to their arguments, which do not live longer");
  return detail::selection<std::remove_cvref_t<Cases>...>(cases...).run();
}

}  // namespace v0
}  // namespace millrace
