// millrace/flow/request.hpp - a message that is answered: to whom it is sent nobody knows, and still the reply comes back.
//
// The query goes through a topic like every message, to a group whose members share the load, and carries the place where the
// reply is put. So no topic is needed for replies, and no table to tell which reply is whose.
//
// Use it when : who asks is not to know who answers, or how many those are: a price, a stock level, a check in another room of
//               the same program.
// Use instead : a function call, if they may know each other; two channels, for a fixed pair in a tight loop.
// Threads     : any number may ask, and answer. An `answer` is one thread's at a time; a query may be copied anywhere.
// Order       : what was written before a reply is visible to who gets it.
// Progress    : to reply is lock-free, but for waking who waits. A responder that is suspended in the very moment of putting its
//               reply down holds up the asker, and no other one. get() sleeps, and so does ask() while there is no room: on an
//               executor's thread, try_ask, and async_get or then. Nothing polls.
// Errors      : see response.hpp. The first reply counts; a later one, by a redelivery or after the timeout, answers false, and is
//               counted. A query that is refused, or never answered, is gone with its value.
//               While a copy of the query is in the topic's log, or in dead letters, somebody may yet answer, so that mostly the
//               timeout tells who asked that nobody did.
// Exceptions  : what the value's move throws, and std::bad_alloc, from asking: it has not been asked then; std::bad_alloc from
//               fail(), which has not been done then; std::logic_error from get() for an answer that has been taken.
// Memory      : one allocation for a request, of 170 bytes and sizeof(Reply), given back when its answer and all copies of the
//               query are gone, those in the log too; and a timer.
// Cost        : 0.4 us in one thread, with the publish and the timer; from thread to thread about three ping-pongs of two channels.
// Source      : the pattern "Request-Reply" (G. Hohpe, B. Woolf, 2003); the reply's slot in the message as the reply channels of
//               Erlang's and Akka's ask.
// Checked by  : tests/flow/request_test.cpp, tests/models/request_models.cpp
//
// Example:
//   using quote = millrace::query<std::string, price>;
//   millrace::topic<quote> quotes(1024);
//   quotes.group("pricing").run(4, [](const quote& q) { q.reply(look_up(q.value)); });
//   auto answer = millrace::request<price>(quotes, timers, "GOOG", 200ms);
//   if (auto r = answer.get()) show(*r.value); else log(millrace::to_string(r.what));
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/awaiter.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/flow/detail/reply_slot.hpp"
#include "millrace/flow/detail/unattended.hpp"
#include "millrace/flow/response.hpp"
#include "millrace/time/timer_service.hpp"

namespace millrace {
inline namespace v0 {

template <class Topic, class Timers>
class requester;

/// What is asked. Copies are the same request.
template <class Value, class Reply, class Sync = std_sync>
class query {
 public:
  using value_type = Value;
  using reply_type = Reply;
  using sync_type = Sync;

  /// Nobody waits for the reply: for a test of a handler.
  // NOLINTNEXTLINE(google-explicit-constructor): a value is published where a query is wanted
  query(Value v) noexcept(std::is_nothrow_move_constructible_v<Value>) : value(std::move(v)) {}

  Value value;

  // --- const, because whoever reads a topic has const messages ---

  /// False: it is too late, or somebody else has answered.
  bool reply(Reply with) const noexcept {
    return slot_.get() != nullptr && slot_.get()->reply(std::move(with));
  }
  /// No reply will come, because of that.
  bool fail(std::string_view reason) const {
    return slot_.get() != nullptr && slot_.get()->fail(std::string(reason));
  }
  /// Whether somebody waits for a reply just now: who sees that nobody does can save the work.
  [[nodiscard]] bool is_open() const noexcept { return slot_.get() != nullptr && slot_.get()->is_open(); }

 private:
  template <class, class>
  friend class requester;
  using slot = detail::reply_slot<Reply, Sync>;
  query(Value&& v, detail::query_ref<Reply, Sync>&& to) : value(std::move(v)), slot_(std::move(to)) {}

  detail::query_ref<Reply, Sync> slot_;
};

namespace detail {
template <class Answer>
class answer_operation;
}  // namespace detail

/// What is going to be the reply. Destroyed, or assigned to, the request is cancelled. The timers must outlive it.
template <class Reply, class Sync = std_sync>
class answer {
 public:
  using value_type = Reply;

  /// None.
  answer() noexcept = default;
  answer(answer&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
  answer& operator=(answer&& o) noexcept {
    if (this != &o) {
      drop();
      slot_ = std::exchange(o.slot_, nullptr);
    }
    return *this;
  }
  ~answer() { drop(); }

  /// Whether there is something to get.
  [[nodiscard]] explicit operator bool() const noexcept { return slot_ != nullptr; }
  /// Whether get() would not wait.
  [[nodiscard]] bool is_ready() const noexcept { return slot_ != nullptr && slot_->is_settled(); }
  /// Waits: no longer than the request's limit, if somebody fires its timers, which must not be this thread. Once.
  [[nodiscard]] response<Reply> get() {
    if (slot_ == nullptr) detail::fail<std::logic_error>("answer::get: there is none, or it has been taken");
    slot_->wait();
    return take();
  }

  /// response<Reply>, cancelled also if a stop was requested first; to co_await at once. The coroutine is resumed by
  /// executor(handle), called in the thread that answers, or fires the timers; by default that thread runs it at once: do not
  /// block there. It may be destroyed while it waits, see queue/verbs.hpp.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_get(Executor executor = {}, Stop stop = {}) && {
    if (slot_ == nullptr) detail::fail<std::logic_error>("answer::get: there is none, or it has been taken");
    using operation = detail::answer_operation<answer>;
    return detail::awaiter<Sync, operation, Executor, Stop>(operation(std::move(*this)), std::move(executor),
                                                            std::move(stop));
  }
  [[nodiscard]] auto operator co_await() && { return std::move(*this).async_get(); }

  /// Calls f(response<Reply>) once it is there: at once, or where `executor` resumes coroutines. `f` must not throw.
  template <class F, class Executor = inline_executor>
  void then(F f, Executor executor = {}) && {
    call_later(std::move(*this), std::move(f), std::move(executor));
  }

 private:
  template <class, class>
  friend class requester;
  template <class>
  friend class detail::answer_operation;
  using slot = detail::reply_slot<Reply, Sync>;

  template <class F, class Executor>
  static detail::unattended call_later(answer from, F f, Executor executor) {
    response<Reply> r = co_await std::move(from).async_get(std::move(executor));
    f(std::move(r));
  }

  explicit answer(slot& s) noexcept : slot_(&s) {}
  [[nodiscard]] response<Reply> take() noexcept {
    response<Reply> r = slot_->take();
    std::exchange(slot_, nullptr)->drop_owner();
    return r;
  }
  void drop() noexcept {
    if (slot_ == nullptr) return;
    slot_->abandon();
    std::exchange(slot_, nullptr)->drop_owner();
  }

  slot* slot_ = nullptr;
};

namespace detail {

// See core/detail/awaiter.hpp.
template <class Answer>
class answer_operation {
 public:
  explicit answer_operation(Answer&& from) noexcept : from_(std::move(from)) {}
  [[nodiscard]] auto& line() noexcept { return from_.slot_->line(); }
  bool try_now() noexcept { return attempt(); }
  bool attempt() noexcept { return from_.slot_->is_settled(); }
  [[nodiscard]] static auto tell() noexcept {
    return [] {};
  }
  void cancel() noexcept { cancelled_ = true; }
  [[nodiscard]] response<typename Answer::value_type> answer() noexcept {
    if (cancelled_) return {};
    return from_.take();
  }
  void abandon() noexcept {}

 private:
  Answer from_;
  bool cancelled_ = false;
};

}  // namespace detail

/// Asks, and counts. The topic and the timers, which go by its clock, must outlive it; the timers its answers, too.
template <class Topic, class Timers = timer_service>
class requester {
  using query_type = typename Topic::value_type;
  using reply_type = typename query_type::reply_type;
  using sync = typename query_type::sync_type;
  using time_point = typename Timers::time_point;
  static_assert(std::is_same_v<typename Topic::clock_type, typename Timers::clock_type>,
                "requester: the timers must go by the topic's clock");

 public:
  using value_type = typename query_type::value_type;
  using answer = millrace::answer<reply_type, sync>;

  requester(Topic& to, Timers& timers) : to_(to), timers_(timers), desk_(std::make_shared<desk>()) {}

  /// Waits for room, until the limit passes.
  template <class Rep, class Period>
  [[nodiscard]] answer ask(value_type value, std::chrono::duration<Rep, Period> limit) {
    return ask(to_, timers_, desk_, std::move(value), limit, true);
  }
  /// Does not wait: full, if there is no room.
  template <class Rep, class Period>
  [[nodiscard]] answer try_ask(value_type value, std::chrono::duration<Rep, Period> limit) {
    return ask(to_, timers_, desk_, std::move(value), limit, false);
  }
  [[nodiscard]] request_stats stats() const noexcept { return desk_->stats(); }

  /// For request() and try_request(), which count nothing.
  template <class Rep, class Period>
  [[nodiscard]] static answer ask_once(Topic& to, Timers& timers, value_type value,
                                       std::chrono::duration<Rep, Period> limit, bool waits) {
    return ask(to, timers, nullptr, std::move(value), limit, waits);
  }

 private:
  using desk = detail::request_desk<sync>;
  using slot = detail::timed_reply_slot<reply_type, sync, Timers>;

  template <class Rep, class Period>
  static answer ask(Topic& to, Timers& timers, std::shared_ptr<desk> counts, value_type&& value,
                    std::chrono::duration<Rep, Period> limit, bool waits) {
    const time_point deadline = detail::saturating_deadline(timers.now(), limit);
    slot& s = slot::make(timers, std::move(counts));
    answer a(s);
    query_type q(std::move(value), detail::query_ref<reply_type, sync>(s));
    s.set_timer(deadline);
    if (!s.is_open()) return a;  // the timers have been stopped
    const outcome o = waits ? to.publish_until(std::move(q), deadline) : to.try_publish(std::move(q));
    if (o != outcome::ok) s.refuse(reason_of(o));
    return a;
  }
  static request_outcome reason_of(outcome o) noexcept {
    return o == outcome::closed ? request_outcome::closed
           : o == outcome::full ? request_outcome::full
                                : request_outcome::timeout;
  }

  Topic& to_;
  Timers& timers_;
  std::shared_ptr<desk> desk_;
};

/// Asks, and waits for room until the limit passes.
template <class Reply, class Topic, class Timers, class Rep, class Period>
  requires std::same_as<Reply, typename Topic::value_type::reply_type>
[[nodiscard]] auto request(Topic& to, Timers& timers, typename Topic::value_type::value_type value,
                           std::chrono::duration<Rep, Period> limit) {
  return requester<Topic, Timers>::ask_once(to, timers, std::move(value), limit, true);
}
/// Asks; full, if there is no room.
template <class Reply, class Topic, class Timers, class Rep, class Period>
  requires std::same_as<Reply, typename Topic::value_type::reply_type>
[[nodiscard]] auto try_request(Topic& to, Timers& timers, typename Topic::value_type::value_type value,
                               std::chrono::duration<Rep, Period> limit) {
  return requester<Topic, Timers>::ask_once(to, timers, std::move(value), limit, false);
}

}  // namespace v0
}  // namespace millrace
