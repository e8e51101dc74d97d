// millrace/delivery/delayed_publisher.hpp - messages that are published later: after a while, or at a time, if nobody cancels.
//
// Use it when : everybody who reads a topic is to get a message when its time has come: "cancel the order if it is unpaid after
//               30 minutes", a reminder, an announcement for tomorrow.
// Use instead : `delivery::nack(delay)`, to have one group try again later; message_properties::not_before, where each group keeps
//               the message until then; `delay_queue`, if there is no topic.
// Threads     : any number may schedule and cancel. One thread publishes what is due: that of start(), or one that calls run(),
//               or poll() now and then. Without it nothing is published.
// Order       : by due time; of the same tick and time in the order of the calls, if these came one after the other.
// Progress    : scheduling and cancelling as `delay_queue`. run() sleeps until the next one is due, and waits while the topic
//               has no room; poll() comes back to it.
// Errors      : a void ticket once it is stopped. A message that is due and finds the topic closed, or is dropped by stop(), is
//               counted by dropped().
// Exceptions  : std::bad_alloc from scheduling, which has done nothing then. What the topic throws when a message is due and it has
//               no storage comes out of run() and poll(), and the message is tried first next time; in the thread of start(),
//               where nobody would hear of it, it ends the program.
// Memory      : as `delay_queue`: 80 bytes and sizeof(T) for a message that waits, whatever its horizon.
// Cost        : a timer, and a publish.
// Source      : after the scheduled messages of RocketMQ and Azure Service Bus.
// Checked by  : tests/delivery/delayed_publisher_test.cpp
//
// Example:
//   orders.delayed().start();
//   auto unpaid = orders.delayed().publish_after(30min, cancel_order{id});
//   if (orders.delayed().cancel(unpaid)) confirm(id);   // paid in time: nobody hears of it
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/stop_callback.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/options.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/time/delay_queue.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// Made by topic::delayed(), and gone with the topic.
template <class Topic>
class delayed_publisher final : public detail::companion {
  using value_type = typename Topic::value_type;
  using clock_type = typename Topic::clock_type;
  using sync = typename Topic::subscription::sync_type;
  using queue = delay_queue<value_type, clock_type, std::chrono::milliseconds,
                            unbounded_queue<value_type, use_sync<sync>>>;
  using time_point = typename clock_type::time_point;
  using events = basic_event_count<sync>;

 public:
  /// Names a message that waits, for ever; void if it was refused.
  using ticket = typename queue::handle;

  explicit delayed_publisher(Topic& to, clock_ref<clock_type> clock)
      : companion(&detail::kind_of<delayed_publisher>),
        to_(to),
        clock_(clock),
        waiting_(clock, [this] { earlier_.notify_all(); }) {}
  ~delayed_publisher() override { stop(); }

  // --- any thread ---

  template <class Rep, class Period>
  [[nodiscard]] ticket publish_after(std::chrono::duration<Rep, Period> wait, value_type value) {
    return waiting_.push_after(wait, std::move(value));
  }
  [[nodiscard]] ticket publish_at(time_point due, value_type value) {
    return waiting_.push_at(due, std::move(value));
  }
  /// The message, which will not be published. Nothing: it is published, or just being, or was cancelled, or never there.
  [[nodiscard]] std::optional<value_type> cancel(ticket t) noexcept { return waiting_.cancel(t); }
  /// Gives it another time. False: as for cancel.
  bool reschedule(ticket t, time_point due) noexcept { return waiting_.reschedule(t, due); }

  /// How many wait, roughly.
  [[nodiscard]] std::size_t size_approx() const noexcept {
    return waiting_.waiting_approx() + waiting_.size_approx();
  }
  /// How many were due when the topic was closed, or have been dropped by stop().
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    return dropped_.load(std::memory_order_relaxed) + waiting_.dropped();
  }

  // --- the thread that publishes ---

  /// Starts one, until stop().
  void start() {
    if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& s) { run(s); });
  }
  /// Publishes in this thread what is due, until a stop is requested.
  void run(const std::stop_token& stop) {
    const auto wake = [this]() noexcept { earlier_.notify_all(); };
    typename detail::stop_callback_of<std::stop_token, decltype(wake)>::type on_stop(stop, wake);
    typename events::waiter me;
    while (!stop.stop_requested()) {
      // why announced first: what comes for an earlier time from here on wakes it
      earlier_.prepare_wait(me);
      const std::optional<time_point> next = waiting_.poll(clock_.now());
      const bool has_due = take_due();
      if (has_due || stop.stop_requested()) {
        earlier_.cancel_wait(me);
      } else if (next) {
        static_cast<void>(earlier_.template wait_until<clock_type>(me, *next, clock_));
      } else {
        earlier_.wait(me);
      }
      while (due_ && !stop.stop_requested()) {
        const outcome o = to_.publish(std::move(*due_), stop);
        if (o == outcome::cancelled) return;
        done_with_due(o);
      }
    }
  }
  /// Publishes what is due, and returns when to call it next at the latest; nothing: nothing waits. `now`, if the topic has no
  /// room. For a loop of the host's, one thread at a time.
  std::optional<time_point> poll(time_point now) {
    const std::optional<time_point> next = waiting_.poll(now);
    while (take_due()) {
      const outcome o = to_.try_publish(std::move(*due_));
      if (o == outcome::full) return now;
      done_with_due(o);
    }
    return next;
  }
  /// No more is accepted. What waits is dropped, and counted; cancel() what is to be kept before. Ends the thread of start().
  /// Idempotent.
  void stop() noexcept {
    if (thread_.joinable()) {
      thread_.request_stop();
      thread_.join();
    }
    waiting_.stop(pending_timers::drop);
    while (take_due()) done_with_due(outcome::closed);
  }

 private:
  bool take_due() {
    if (!due_) {
      std::optional<value_type> next = waiting_.try_pop();
      if (next) due_.emplace(std::move(*next));
    }
    return due_.has_value();
  }
  void done_with_due(outcome o) noexcept {
    if (o != outcome::ok) dropped_.fetch_add(1, std::memory_order_relaxed);  // a counter, nothing hangs on it
    due_.reset();
  }

  Topic& to_;
  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<clock_type> clock_;
  events earlier_;
  queue waiting_;
  std::optional<value_type> due_;  // the publishing thread's own
  typename sync::template atomic<std::uint64_t> dropped_{0};
  std::jthread thread_;
};

template <class T, producers Producers, clock Clock, class Sync>
delayed_publisher<topic<T, Producers, Clock, Sync>>& topic<T, Producers, Clock, Sync>::delayed() {
  return companions_.template find_or_add<delayed_publisher<topic>>(
      [](const delayed_publisher<topic>&) { return true; },
      [this] { return new delayed_publisher<topic>(*this, log_.clock()); });
}

}  // namespace v0
}  // namespace millrace
