// millrace/bus/named_topic.hpp - a topic of a bus: the topic itself, its name, and what is published on it later.
//
// Use it when : you have got one from bus::topic, to publish, or to read in another way than bus::subscribe does.
// Use instead : `topic`, where there is no bus.
// Threads     : a handle, to be copied; copies are the same topic. Any number, for everything.
// Order       : as topic. What is delayed is published by due time, but for what has found the topic full.
// Progress    : as topic; publish_after and publish_at as timer_service::schedule_at. The bus's timers publish what is due, and do not
//               wait: while the topic is full, they try every 10 ms.
// Errors      : a void timer once the bus has stopped. A message that is due when the topic is closed, or that stop() drops, is counted:
//               topic_info::dropped.
// Exceptions  : std::bad_alloc. What the topic throws when a message is due, the timers count as an error, and the bus as dropped.
// Memory      : two pointers; a message that waits takes a timer and sizeof(T).
// Cost        : that of a pointer; a timer and an allocation for what is delayed.
// Source      : ours.
// Checked by  : tests/bus/named_topic_test.cpp
//
// Example:
//   millrace::named_topic<order> orders = *shop.topic<order>("orders.paid");
//   if (orders->publish(o) == millrace::outcome::closed) give_back(o);
//   auto unpaid = reminders.publish_after(30min, reminder{o.id});
//   if (reminders.cancel(unpaid)) confirm(o.id);   // paid in time: nobody hears of it
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "millrace/bus/detail/typed_entries.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

template <clock Clock>
class basic_bus;

/// Of a bus, which must outlive it.
template <class T, clock Clock = std::chrono::steady_clock>
class named_topic {
  using entry = detail::typed_topic<T, Clock>;
  using timers = basic_timer_service<Clock>;

 public:
  using value_type = T;
  using topic_type = topic<T, producers::multi, Clock>;
  using time_point = typename Clock::time_point;
  using timer = typename timers::timer;

  [[nodiscard]] topic_type& operator*() const noexcept { return entry_->get(); }
  [[nodiscard]] topic_type* operator->() const noexcept { return &entry_->get(); }
  [[nodiscard]] const std::string& name() const noexcept { return entry_->name(); }
  friend bool operator==(const named_topic& a, const named_topic& b) noexcept { return a.entry_ == b.entry_; }

  template <class Rep, class Period>
  [[nodiscard]] timer publish_after(std::chrono::duration<Rep, Period> wait, T value) const {
    return publish_at(detail::saturating_deadline(timers_->now(), wait), std::move(value));
  }
  [[nodiscard]] timer publish_at(time_point due, T value) const {
    return timers_->schedule_at(
        due, [later = std::make_unique<waiting>(*entry_, *timers_, std::move(value))] { later->publish(); });
  }
  /// False: it is published, or just being, or was cancelled, or never there.
  bool cancel(timer t) const noexcept { return timers_->cancel(t) == cancel_result::cancelled; }

 private:
  template <clock>
  friend class basic_bus;

  named_topic(entry& e, timers& t) noexcept : entry_(&e), timers_(&t) {}

  /// What the handler of a timer has.
  class waiting {
   public:
    waiting(entry& to, timers& by, T value) : to_(to), by_(by), value_(std::move(value)) {
      to_.delayed.fetch_add(1, std::memory_order_relaxed);  // counts, here and below: nothing hangs on them
    }
    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;
    ~waiting() {
      to_.delayed.fetch_sub(1, std::memory_order_relaxed);
      const bool is_lost = result_ != outcome::ok && (is_due_ || to_.get().is_closed());
      if (is_lost) to_.dropped.fetch_add(1, std::memory_order_relaxed);
    }
    void publish() {
      is_due_ = true;
      result_ = to_.get().try_publish(std::move(value_));
      if (result_ != outcome::full) return;
      is_due_ = false;
      constexpr auto a_while = std::chrono::milliseconds(10);
      static_cast<void>(by_.reschedule(by_.current(), detail::saturating_deadline(by_.now(), a_while)));
    }

   private:
    entry& to_;
    timers& by_;
    T value_;
    outcome result_ = outcome::empty;
    bool is_due_ = false;
  };

  entry* entry_;
  timers* timers_;
};

}  // namespace v0
}  // namespace millrace
