// millrace/topic/publish_permit.hpp - the right to publish some messages, whatever happens meanwhile.
//
// Between two publishes a topic may be closed, or fill up, or want for storage. Who is to publish several messages, to one topic
// or to many, all of them or none, gets a permit of each, asks each for room and for storage, and then publishes: nothing can
// fail any more.
//
// Use it when : you write a component that publishes several messages as one, as a transaction does.
// Use instead : `transaction`; topic::publish_n, for messages that may as well be published in part.
// Threads     : one at a time. With producers::single, publish() and reserve() in the publisher's.
// Order       : as topic::publish.
// Progress    : lock-free, but for storage: should others have used up all that was reserved and appended here, and there is no
//               more, then publish() waits until there is. await_room waits as topic::publish does.
// Errors      : a permit of a topic that has been closed is void.
// Exceptions  : std::bad_alloc, and std::length_error as a topic's, from reserve(); the permit is as it was then.
// Memory      : one segment of the topic, and one more for every `segment` messages, kept until the permit is given back. The
//               topic may hold as many messages over its capacity as are published by permit.
// Cost        : two atomic additions, and a look at all segments; then that of a publish.
// Source      : ours.
// Checked by  : tests/topic/publish_permit_test.cpp, tests/models/topic_models.cpp
//
// Example:
//   millrace::publish_permit a(orders);
//   millrace::publish_permit b(payments);
//   if (a && b && a.has_room() && b.has_room()) {
//     a.reserve(1);
//     b.reserve(1);
//     a.publish(std::move(o));   // a close() of either takes effect after both
//     b.publish(std::move(p));
//   }
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/detail/blocked_time.hpp"
#include "millrace/topic/detail/strategy.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// Given back when it is destroyed; the topic must outlive it.
template <class Topic>
class publish_permit {
  using log = std::remove_reference_t<decltype(detail::topic_access::log(std::declval<Topic&>()))>;
  using time_point = typename Topic::clock_type::time_point;

 public:
  using value_type = typename Topic::value_type;
  static_assert(std::is_nothrow_move_constructible_v<value_type>,
                "publish_permit: the topic's messages must be movable without throwing");

  explicit publish_permit(Topic& to) noexcept
      : log_(&detail::topic_access::log(to)), is_valid_(log_->take_permit()), reserve_(log_->reserve()) {}
  publish_permit(publish_permit&& o) noexcept
      : log_(o.log_), is_valid_(std::exchange(o.is_valid_, false)), reserve_(std::move(o.reserve_)) {}
  publish_permit& operator=(publish_permit&&) = delete;
  ~publish_permit() {
    if (is_valid_) log_->return_permit();
  }

  /// False: the topic had been closed. Nothing else may be asked of it then.
  [[nodiscard]] explicit operator bool() const noexcept { return is_valid_; }
  /// Whether a publish would find room just now.
  [[nodiscard]] bool has_room() const noexcept { return log_->has_room(); }
  /// Storage for the next `n` messages.
  void reserve(std::size_t n) { reserve_.fill(n / log_->segment_size() + 1); }
  /// Publishes, and does not ask for room. After reserve().
  void publish(value_type&& value) noexcept { log_->offer_anyway(std::move(value), reserve_); }

  // --- without a permit, since a close is not to wait for room ---

  /// ok: there has been room for a moment; closed, timeout. Topic::blocked_time() counts it.
  [[nodiscard]] static outcome await_room(Topic& to) { return await(to, detail::no_limit()); }
  [[nodiscard]] static outcome await_room_until(Topic& to, time_point deadline) {
    return await(
        to, detail::limit_at<typename Topic::clock_type>{detail::topic_access::log(to).clock(), deadline});
  }

  [[nodiscard]] static time_point now(Topic& of) noexcept {
    return detail::topic_access::log(of).clock().now();
  }

 private:
  template <class Limit>
  static outcome await(Topic& to, Limit limit) {
    log& l = detail::topic_access::log(to);
    const auto look = [&](bool) {
      return l.is_closed() ? outcome::closed : l.has_room() ? outcome::ok : outcome::full;
    };
    if (const outcome o = look(true); o != outcome::full) return o;
    const detail::waits_for_room waits(l);
    return detail::wait_by<typename log::sync_type>(l.wait_of_publishers(), l.room, outcome::full, true,
                                                    limit, look);
  }

  log* log_;
  bool is_valid_;
  typename log::reserve_type reserve_;
};

}  // namespace v0
}  // namespace millrace
