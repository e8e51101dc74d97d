// millrace/delivery/delivery.hpp - one message in the hands of one consumer, to be settled once.
//
// Use it when : you have got one from consumer_group::receive, or a handler of its run takes one.
// Use instead : a handler that takes `const T&`: returning settles it as done, throwing as failed.
//               If the answer comes later, keep the delivery in a table until then: in a callback that may be dropped it is
//               dropped too, which is a nack.
// Threads     : one at a time; it may be moved to another thread and settled there.
// Order       : does not apply.
// Progress    : settling takes the group's mutex for some ten instructions; nothing waits for anybody's handler.
// Errors      : a verb answers false if the delivery is not one any more: it was settled before, its ack timeout has passed and
//               the message has gone, or is about to go, to somebody else, likewise at the deadline of a drain, or the group
//               has been moved by a seek or removed.
//               Nothing happens then but that the group counts it (stats().late).
// Exceptions  : none. Where there is no memory for a timer, the message comes back at once instead of later.
// Memory      : 24 bytes; keeps the message, and with it its segment of the log, until it is settled or destroyed.
// Cost        : 20 to 40 ns.
// Source      : the verbs of AMQP 1.0 (OASIS, 2012), NATS JetStream and Apache Pulsar.
// Checked by  : tests/delivery/delivery_test.cpp, tests/models/group_models.cpp
//
// Example:
//   while (auto d = billing.receive()) {
//     if (charge(*d)) d.ack(); else d.nack();
//   }
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/delivery/detail/group_entry.hpp"
#include "millrace/delivery/message.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

enum class verdict : std::uint8_t { ack, nack, nack_in, release, reject, throttle };

template <class Topic, class Handler>
class group_worker;

/// What a delivery needs of its group, whatever topic that has.
class group_desk {
 public:
  virtual bool settle(group_entry& e, std::uint32_t generation, verdict what, std::int64_t delay,
                      std::string_view reason) noexcept = 0;
  virtual bool extend(group_entry& e, std::uint32_t generation, std::int64_t by) noexcept = 0;
  [[nodiscard]] virtual std::int64_t published_at(const group_entry& e) const noexcept = 0;
  virtual void note_second_settle() noexcept = 0;

 protected:
  ~group_desk() = default;
};

}  // namespace detail

template <class T>
class delivery {
 public:
  using value_type = T;

  /// None.
  delivery() noexcept = default;
  delivery(delivery&& o) noexcept
      : desk_(std::exchange(o.desk_, nullptr)),
        entry_(std::exchange(o.entry_, nullptr)),
        generation_(o.generation_),
        attempt_(o.attempt_) {}
  delivery& operator=(delivery&& o) noexcept {
    if (this != &o) {
      drop();
      desk_ = std::exchange(o.desk_, nullptr);
      entry_ = std::exchange(o.entry_, nullptr);
      generation_ = o.generation_;
      attempt_ = o.attempt_;
    }
    return *this;
  }
  /// Not settled: nack().
  ~delivery() { drop(); }

  /// Whether there is a message that has not been settled by it.
  [[nodiscard]] explicit operator bool() const noexcept { return entry_ != nullptr; }
  /// The message, until it is settled, also when its ack timeout has passed.
  [[nodiscard]] const T& operator*() const noexcept { return *static_cast<const T*>(entry_->message); }
  [[nodiscard]] const T* operator->() const noexcept { return &**this; }

  // --- settling it ---

  /// Done.
  bool ack() noexcept { return settle(detail::verdict::ack); }
  /// Failed: again after the backoff of the group's retry policy, or to the dead letters if that was the last attempt.
  bool nack() noexcept { return settle(detail::verdict::nack); }
  /// Failed: again after `delay`, or to the dead letters if that was the last attempt.
  template <class Rep, class Period>
  bool nack(std::chrono::duration<Rep, Period> delay) noexcept {
    return settle(detail::verdict::nack_in, ticks(delay));
  }
  /// Not the message's fault: again, for whoever comes, and this attempt does not count.
  bool release() noexcept { return settle(detail::verdict::release); }
  /// Never again: to the dead letters, with the reason. A deduplicator forgets its id, so that it can be redriven.
  bool reject(std::string_view reason) noexcept { return settle(detail::verdict::reject, 0, reason); }
  /// As release, and the whole group pauses for that long: whom it calls wants less.
  template <class Rep, class Period>
  bool throttle(std::chrono::duration<Rep, Period> retry_after) noexcept {
    return settle(detail::verdict::throttle, ticks(retry_after));
  }
  /// Its ack timeout ends that long from now, if that is later than it would have.
  template <class Rep, class Period>
  bool extend(std::chrono::duration<Rep, Period> by) noexcept {
    if (entry_ != nullptr) return desk_->extend(*entry_, generation_, ticks(by));
    if (desk_ != nullptr) desk_->note_second_settle();
    return false;
  }

  // --- about it; as long as it is not settled ---

  /// 1 for the first one.
  [[nodiscard]] std::uint32_t attempt() const noexcept { return attempt_; }
  [[nodiscard]] std::uint64_t offset() const noexcept { return entry_->offset; }
  /// Of the topic's clock, since its epoch; without stamps::each_message up to a segment too early.
  [[nodiscard]] std::chrono::nanoseconds published_at() const noexcept {
    return std::chrono::nanoseconds(desk_->published_at(*entry_));
  }
  /// nullptr: it has none.
  [[nodiscard]] const message_properties* properties() const noexcept { return properties_of(**this); }

 private:
  template <class>
  friend class consumer_group;
  template <class, class>
  friend class detail::group_worker;

  delivery(detail::group_desk& desk, detail::group_entry& e, std::uint32_t generation,
           std::uint32_t attempt) noexcept
      : desk_(&desk), entry_(&e), generation_(generation), attempt_(attempt) {}

  template <class Rep, class Period>
  static std::int64_t ticks(std::chrono::duration<Rep, Period> d) noexcept {
    using seconds = std::chrono::duration<double>;
    constexpr seconds most = std::chrono::hours(24 * 365 * 100);
    if (!(seconds(d) > seconds::zero())) return 0;
    if (seconds(d) >= most) return std::chrono::duration_cast<std::chrono::nanoseconds>(most).count();
    return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
  }
  bool settle(detail::verdict what, std::int64_t delay = 0, std::string_view reason = {}) noexcept {
    if (entry_ != nullptr)
      return desk_->settle(*std::exchange(entry_, nullptr), generation_, what, delay, reason);
    if (desk_ != nullptr) desk_->note_second_settle();
    return false;
  }
  void drop() noexcept {
    if (entry_ != nullptr) nack();
  }

  detail::group_desk* desk_ = nullptr;
  detail::group_entry* entry_ = nullptr;
  std::uint32_t generation_ = 0;
  std::uint32_t attempt_ = 0;
};

}  // namespace v0
}  // namespace millrace
