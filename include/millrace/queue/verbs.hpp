// millrace/queue/verbs.hpp - what one can do at the two ends of a channel.
//
// Use it when : never by itself; `channel` has both ends, `priority_channel` one to pop from and one a level to push to.
// Use instead : those.
// Threads     : as the queue's behind it: any number, or one at an end that allows one.
// Order       : see channel.hpp.
// Progress    : try_* do not wait; the plain verbs and those with a limit sleep; async_* suspend the coroutine.
// Errors      : ok, full, empty, closed, timeout or cancelled, see core/outcome.hpp. The argument of a push, and the
//               variable of a pop, is untouched unless the answer is ok.
// Exceptions  : what T's copy or move throws, and on_drop; std::runtime_error from ready_fd.
// Memory      : waiting allocates nothing: a waiter stands on its thread's stack, or in its coroutine.
// Cost        : that of the queue, and a load when nobody waits at the other end.
// Source      : WG21 P0260 for the verbs.
// Checked by  : tests/queue/verbs_test.cpp, tests/queue/async_test.cpp, tests/queue/ready_fd_test.cpp,
//               tests/models/channel_models.cpp, tests/models/async_models.cpp, tests/models/ready_fd_models.cpp
//
// Example:
//   if (ch.push_for(std::move(order), 50ms) == millrace::outcome::timeout) shed(order);
//   while (auto v = co_await ch.async_pop()) handle(*v);
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <iterator>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/awaiting.hpp"
#include "millrace/queue/detail/ends.hpp"
#include "millrace/queue/detail/lane.hpp"
#include "millrace/queue/detail/readiness.hpp"

namespace millrace {
inline namespace v0 {

// async_push and async_pop are for coroutines, to co_await at once.
//
// The coroutine stands in the same line as threads do. It is resumed with its answer by executor(handle), called in
// the thread that made it possible; by default that thread runs it at once, inside its own push or pop, and tells
// the others of what the coroutine took or gave when that returns: do not block there. The executor must not throw.
// A stop ends the waiting, not what is ready at once. Arguments are held by reference.
//
// A coroutine that is suspended may be destroyed, by any thread and whatever the others do. It leaves the line, or
// the executor has been given its handle by then and has to forget it; a value that it was to be resumed with is
// dropped, as if by overflow.
//
// g++ 12 miscompiles a co_await that is the condition of an if, a while or a switch: give it a variable there.

/// The end to push to. Derived has lane_at() and clock_, and befriends detail::ends_of<Derived>.
template <class Derived, class T, clock Clock>
class push_verbs {
  using time_point = typename Clock::time_point;

 public:
  // ok | full | closed | timeout

  /// Waits for room under overflow::block; under the other policies it does what they say, at once.
  [[nodiscard]] outcome push(T&& value) { return lane().push_waiting(detail::no_limit(), std::move(value)); }
  [[nodiscard]] outcome push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return lane().push_waiting(detail::no_limit(), value);
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome push_for(T&& value, std::chrono::duration<Rep, Period> wait) {
    return lane().push_waiting(detail::limit_for(time(), wait), std::move(value));
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome push_for(const T& value, std::chrono::duration<Rep, Period> wait)
    requires std::is_copy_constructible_v<T>
  {
    return lane().push_waiting(detail::limit_for(time(), wait), value);
  }
  [[nodiscard]] outcome push_until(T&& value, time_point deadline) {
    return lane().push_waiting(detail::limit_at<Clock>{time(), deadline}, std::move(value));
  }
  [[nodiscard]] outcome push_until(const T& value, time_point deadline)
    requires std::is_copy_constructible_v<T>
  {
    return lane().push_waiting(detail::limit_at<Clock>{time(), deadline}, value);
  }
  /// Never waits: under overflow::block it answers full.
  [[nodiscard]] outcome try_push(T&& value) { return lane().push_now(std::move(value)); }
  [[nodiscard]] outcome try_push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return lane().push_now(value);
  }

  /// ok, or full (but for overflow::block), closed or cancelled; `value` is untouched unless it is ok.
  template <class Executor = inline_executor, class Stop = std::stop_token>
  [[nodiscard]] auto async_push(T&& value, Executor executor = {}, Stop stop = {}) {
    return awaiting_push<T>(value, std::move(executor), std::move(stop));
  }
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::is_copy_constructible_v<T>
  [[nodiscard]] auto async_push(const T& value, Executor executor = {}, Stop stop = {}) {
    return awaiting_push<const T&>(value, std::move(executor), std::move(stop));
  }

 protected:
  push_verbs() noexcept = default;
  ~push_verbs() = default;

 private:
  using ends = detail::ends_of<Derived>;
  [[nodiscard]] auto& lane() noexcept { return ends::lane(static_cast<Derived&>(*this)); }
  [[nodiscard]] clock_ref<Clock> time() const noexcept {
    return ends::clock(static_cast<const Derived&>(*this));
  }

  template <class Value, class Executor, class Stop>
  auto awaiting_push(std::remove_reference_t<Value>& value, Executor executor, Stop stop) {
    using lane_type = std::remove_reference_t<decltype(lane())>;
    using operation = detail::push_operation<lane_type, Value>;
    return detail::awaiter<typename lane_type::sync, operation, Executor, Stop>(
        operation(lane(), value), std::move(executor), std::move(stop));
  }
};

/// The end to pop from. Derived has clock_, take(receive), take_quietly(receive), tell_of_take(outcome) and drop(T&&),
/// as a detail::lane, and befriends detail::ends_of<Derived>.
template <class Derived, class T, class Sync, clock Clock>
class pop_verbs {
  using time_point = typename Clock::time_point;

 public:
  // ok | empty | closed | timeout

  /// Waits for a value. closed: the channel has been closed, and everything accepted has been taken.
  [[nodiscard]] outcome pop(T& out) { return pop_waiting(detail::no_limit(), into(out)); }
  template <class Rep, class Period>
  [[nodiscard]] outcome pop_for(T& out, std::chrono::duration<Rep, Period> wait) {
    return pop_waiting(detail::limit_for(time(), wait), into(out));
  }
  [[nodiscard]] outcome pop_until(T& out, time_point deadline) {
    return pop_waiting(detail::limit_at<Clock>{time(), deadline}, into(out));
  }
  [[nodiscard]] outcome try_pop(T& out) { return pop_now(into(out)); }

  /// Waits for a value; nothing: closed and drained.
  [[nodiscard]] std::optional<T> pop() {
    std::optional<T> out;
    static_cast<void>(pop_waiting(detail::no_limit(), [&](T&& value) { out.emplace(std::move(value)); }));
    return out;
  }
  /// Nothing: empty, or closed and drained.
  [[nodiscard]] std::optional<T> try_pop() {
    std::optional<T> out;
    static_cast<void>(pop_now([&](T&& value) { out.emplace(std::move(value)); }));
    return out;
  }

  /// Waits for the first value, then takes what is there, `max` at the most, into `*out++`; returns how many.
  /// 0: closed and drained, or `max` is 0.
  template <class Out>
  std::size_t pop_n(Out out, std::size_t max) {
    std::size_t done = 0;
    const auto receive = [&](T&& value) {
      *out = std::move(value);
      ++out;
      ++done;
    };
    if (max == 0 || pop_waiting(detail::no_limit(), receive) != outcome::ok) return 0;
    while (done < max && pop_now(receive) == outcome::ok) {
    }
    return done;
  }

  /// std::optional<T>; nothing: closed and drained, or cancelled.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_pop(Executor executor = {}, Stop stop = {}) {
    return awaiting_pop(detail::into_optional<T>{}, std::move(executor), std::move(stop));
  }
  /// ok, closed or cancelled; `out` is untouched unless it is ok.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_pop(T& out, Executor executor = {}, Stop stop = {}) {
    static_assert(std::is_move_assignable_v<T>,
                  "channel: this T cannot be assigned to; use the async_pop that returns it");
    return awaiting_pop(detail::into_variable<T>{&out}, std::move(executor), std::move(stop));
  }

#if MILLRACE_HAS_EVENT_FD
  /// For epoll and the event loops over it: a file descriptor that is readable while something can be popped, and from
  /// close() on. The same one every time, the channel's own: do not read, write or close it. On readiness, pop until
  /// the answer is empty; that, and nothing else, makes it unreadable again, so it suits level triggering and edge
  /// triggering alike. It may be readable although somebody else was faster, and is when it is new. Without it a channel
  /// pays nothing; with it, the first push after each time it was found empty pays a write to it.
  /// std::runtime_error if the system has none left.
  [[nodiscard]] int ready_fd() { return ready_.fd(not_empty_.events).number(); }
#endif

  /// Pops, one value a step, until the channel is closed and drained. Single pass; several threads may each
  /// have a loop of their own.
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    [[nodiscard]] T& operator*() const noexcept { return *value_; }
    iterator& operator++() {
      value_ = from_->pop();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return !value_.has_value(); }

   private:
    friend pop_verbs;
    explicit iterator(pop_verbs& from) : from_(&from), value_(from.pop()) {}
    pop_verbs* from_;
    mutable std::optional<T> value_;  // a loop may move from `*it`, as from any element
  };
  [[nodiscard]] iterator begin() { return iterator(*this); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

 protected:
  pop_verbs() noexcept = default;
  ~pop_verbs() = default;
  detail::waiting_room<Sync> not_empty_;

 private:
  friend detail::ends_of<Derived>;
  using ends = detail::ends_of<Derived>;
  [[nodiscard]] Derived& self() noexcept { return static_cast<Derived&>(*this); }
  [[nodiscard]] clock_ref<Clock> time() const noexcept {
    return ends::clock(static_cast<const Derived&>(*this));
  }

  static auto into(T& out) noexcept {
    static_assert(std::is_move_assignable_v<T>,
                  "channel: this T cannot be assigned to; use the pop that returns it");
    return [&out](T&& value) { out = std::move(value); };
  }

  template <class Into, class Executor, class Stop>
  auto awaiting_pop(Into into, Executor executor, Stop stop) {
    using operation = detail::pop_operation<Derived, Into>;
    return detail::awaiter<Sync, operation, Executor, Stop>(operation(self(), std::move(into)),
                                                            std::move(executor), std::move(stop));
  }

  template <class Receive>
  outcome pop_now(Receive&& receive) {
    const outcome result = ends::take(self(), receive);
    if (result != outcome::empty) return result;
    return ready_.look_again([&] { return ends::take(self(), receive); });
  }
  template <class Limit, class Receive>
  outcome pop_waiting(Limit&& limit, Receive&& receive) {
    const outcome result = pop_now(receive);
    if (result != outcome::empty) return result;
    limit.start();
    return not_empty_.await(outcome::empty, limit, [&] { return pop_now(receive); });
  }

  detail::readiness<Sync> ready_;
};

}  // namespace v0
}  // namespace millrace
