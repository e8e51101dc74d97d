// millrace/flow/half_messages.hpp - messages that are prepared, and published only if what they tell of has come about.
//
// "The order was booked" must not be published if booking fails, and must be if it succeeds, also when the thread that books never
// comes back to say so. So the message is prepared first, and nobody sees it; then comes the booking; then commit or rollback. If
// neither comes in time, the host is asked what has become of it, and again, until it knows.
//
// Use it when : whether a message is published depends on something outside, which takes a while, or whose outcome may go missing.
// Use instead : `transaction`, if it depends on nothing but other messages and deliveries; publish after the deed, in a handler that
//               is repeated until both are done.
// Threads     : any number may prepare and decide; handles are copied freely. stop() in one thread, and not in options.ask or lost.
// Order       : messages appear in the order in which they are committed, but for those that had to wait, for room or for a
//               question that was being asked.
// Progress    : a mutex is held for some instructions; nobody waits for room, or for a question. A task is posted to the executor
//               for each question, and for each later try to publish; the timers are told when. With nothing to
//               do nothing polls; a topic without room, or storage, is tried again after each options.room_pause.
// Errors      : commit and rollback answer false when the message has been decided, or is lost. What is neither published nor rolled
//               back goes to options.lost. A question that is being asked is not called off: what a handle says meanwhile counts,
//               and is done when the question returns. In one process only: a crash loses what was prepared.
// Exceptions  : std::invalid_argument for options out of their range, from the constructor; std::bad_alloc from prepare, which has
//               not been done then.
// Memory      : about 200 bytes and sizeof(T) a message, and a timer, until it is decided.
// Cost        : 0.3 us to prepare and commit, with the publish and the timer.
// Source      : the transactional messages of RocketMQ (2018): half message, local transaction, check-back.
// Checked by  : tests/flow/half_messages_test.cpp
//
// Example:
//   millrace::half_messages booked(orders, timers, workers, {
//       .ask = [&](const order& o) { return books.outcome_of(o.id); },
//       .lost = [&](order&& o, millrace::half_loss why) { report(o, millrace::to_string(why)); }});
//   auto half = booked.prepare(o);
//   if (books.book(o)) half.commit(); else half.rollback();   // and if this thread does not come back, ask() is called
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/flow/detail/half_core.hpp"
#include "millrace/flow/detail/validate_retry.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/half_options.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Topic>
inline constexpr bool takes_many_publishers = false;
template <class T, clock Clock, class Sync>
inline constexpr bool takes_many_publishers<topic<T, producers::multi, Clock, Sync>> = true;

}  // namespace detail

/// The topic, the timers and the executor must outlive it, or its stop().
template <class Topic, class Timers = timer_service>
class half_messages {
  using core = detail::half_core<Topic, Timers>;
  static_assert(detail::takes_many_publishers<Topic>,
                "half_messages: the topic must be one of producers::multi, as whoever decides publishes");
  static_assert(std::is_same_v<typename Topic::clock_type, typename Timers::clock_type>,
                "half_messages: the timers must go by the topic's clock");
  static_assert(std::is_nothrow_move_constructible_v<typename Topic::value_type>,
                "half_messages: the topic's messages must be movable without throwing");

 public:
  using value_type = typename Topic::value_type;
  using options = half_options<value_type>;

  /// Names a message that was prepared, for ever. To drop it decides nothing.
  class half {
   public:
    /// None.
    half() noexcept = default;
    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

    /// It is to be published, now or as soon as there is room. False: it was decided before, or is lost.
    bool commit() const noexcept { return core_ != nullptr && core_->decide(id_, true); }
    /// It is not to be published. False: likewise.
    bool rollback() const noexcept { return core_ != nullptr && core_->decide(id_, false); }

   private:
    friend half_messages;
    half(const std::shared_ptr<core>& c, std::uint64_t id) noexcept : core_(c), id_(id) {}
    std::shared_ptr<core> core_;
    std::uint64_t id_ = 0;
  };

  half_messages(Topic& to, Timers& timers, executor& where, options chosen)
      : core_(std::make_shared<core>(to, timers, where, validated(std::move(chosen)))) {}
  half_messages(const half_messages&) = delete;
  half_messages& operator=(const half_messages&) = delete;
  /// As stop().
  ~half_messages() { stop(); }

  /// Keeps it, and shows it to nobody. None: it has been stopped, and `value` is gone.
  [[nodiscard]] half prepare(value_type value) {
    const std::uint64_t id = core_->prepare(std::move(value));
    return id != 0 ? half(core_, id) : half();
  }
  /// Waits for what is being asked or published; what is not decided then, or waits for room, is lost, to options.lost. Nothing is
  /// prepared any more. Idempotent. Tasks that are still in the executor do nothing.
  void stop() noexcept { core_->stop(); }
  [[nodiscard]] half_stats stats() const { return core_->stats(); }

 private:
  static options&& validated(options&& o) {
    using refused = std::invalid_argument;
    using std::chrono::nanoseconds;
    if (!o.ask) detail::fail<refused>("half_messages: options.ask must be set");
    if (!o.lost) detail::fail<refused>("half_messages: options.lost must be set");
    if (o.ask_after <= nanoseconds::zero())
      detail::fail<refused>("half_messages: options.ask_after must be more than 0");
    if (o.room_pause <= nanoseconds::zero())
      detail::fail<refused>("half_messages: options.room_pause must be more than 0");
    detail::validate_retry("half_messages: options.asking", o.asking);
    return std::move(o);
  }

  std::shared_ptr<core> core_;
};

}  // namespace v0
}  // namespace millrace
