// millrace/topic/topic.hpp - one log, many readers: who publishes does not know who listens.
//
// A message is published once, into a log, and every subscription reads it there, at its own pace. The log keeps what its
// readers still need, and what its retention says, so that who comes late can read what was before.
//
// Use it when : one event is for several: live counters, an archive, alerts, a cache to invalidate; stages that read the
//               same messages one behind the other; a reader that wants to begin in the past.
// Use instead : `channel`, where each message is for one of several workers; `latest_value`, if only the newest counts.
// Threads     : producers::multi: any number may publish; producers::single: one at a time, but any may close.
//               Subscribing: any. Construction and destruction: after and before everything else.
// Order       : one order for all readers; each publisher's messages in the order in which it published them. What was
//               written before a publish is visible to who reads the message.
// Progress    : try_publish and subscribe are lock-free, storage aside: a publisher that is suspended anywhere stops neither
//               readers nor other publishers, and keeps one segment from being used again. publish waits by its strategy
//               while the slowest overrun::block reader leaves no room; no other reader makes it wait. With sleepers, a
//               publish holds a mutex for a few instructions to wake each, and runs a coroutine that waits without an
//               executor. Old messages are destroyed in the thread that drops them, a publisher's or a reader's.
// Errors      : full, closed or timeout, see core/outcome.hpp; the value is untouched then. No reader is no error. With many
//               publishers there may be more than capacity(): one message for each, or what its publish_n is about to add;
//               and with a publish_permit, what its owner adds.
// Exceptions  : what T's copy or constructor throws, nothing is published then, or of a publish_n, which cannot tell how many
//               it were, only those before; std::bad_alloc, when a segment is needed and there is no storage, and
//               std::length_error, when readers hold on to 65,534 segments, likewise. std::length_error for a capacity
//               outside 1 .. 2^31, std::invalid_argument for an option out of its range, from the constructor;
//               std::out_of_range and std::invalid_argument from subscribe.
// Memory      : sizeof(T) a message, and 8 bytes with producers::multi, and 8 with stamps::each_message; in segments, as
//               many as hold `capacity` messages and up to three more, made when they are first needed and used again;
//               eight that are not needed are kept at the most. A reader takes 128 bytes. A lossy reader keeps a segment
//               more, and drop_newest as much again as the capacity. What bytes() tells.
// Cost        : 2 ns to publish (single), 11 to 14 (multi), whatever the number of readers; every `segment` messages a look at
//               each reader.
// Source      : cursors on a shared log, as LMAX's Disruptor (M. Thompson et al., 2011) and Kafka (J. Kreps et al., 2011).
// Checked by  : tests/topic/topic_test.cpp, tests/topic/histories_test.cpp, tests/topic/stalls_test.cpp,
//               tests/models/topic_models.cpp
//
// Example:
//   millrace::topic<order> orders(4096);
//   auto billing = orders.subscribe();
//   auto audit = orders.subscribe({.from = millrace::earliest, .after = {billing}});
//   if (orders.publish(o) == millrace::outcome::closed) give_back(o);
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/stop_callback.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/topic/detail/companions.hpp"
#include "millrace/topic/detail/strategy.hpp"
#include "millrace/topic/options.hpp"
#include "millrace/topic/subscription.hpp"

namespace millrace {
inline namespace v0 {

/// Where a reader begins: `earliest`, `latest`, an offset, or a time of the topic's clock.
template <clock Clock>
class beginning {
 public:
  // NOLINTBEGIN(google-explicit-constructor): they are passed where a beginning is wanted
  beginning(earliest_t) noexcept {}
  beginning(latest_t) noexcept : kind_(kind::newest) {}
  beginning(std::unsigned_integral auto offset) noexcept : kind_(kind::offset), offset_(offset) {}
  beginning(std::signed_integral auto offset) noexcept
      : kind_(kind::offset), offset_(offset < 0 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(offset)) {}
  beginning(typename Clock::time_point time) noexcept : kind_(kind::time), time_(time) {}
  // NOLINTEND(google-explicit-constructor)

 private:
  template <class, producers, clock, class>
  friend class topic;
  enum class kind : std::uint8_t { oldest, newest, offset, time };
  kind kind_ = kind::oldest;
  std::uint64_t offset_ = 0;
  typename Clock::time_point time_{};
};

/// The readers that another one goes behind, eight at the most.
template <class Sync>
class gates {
 public:
  gates() noexcept = default;
  template <class... Subscriptions>
    requires(sizeof...(Subscriptions) > 0 && (std::same_as<typename Subscriptions::sync_type, Sync> && ...))
  // NOLINTNEXTLINE(google-explicit-constructor): `.after = {a, b}`
  gates(const Subscriptions&... readers) noexcept : count_(sizeof...(readers)) {
    static_assert(sizeof...(Subscriptions) <= most, "topic: a reader goes behind 8 others at the most");
    std::size_t i = 0;
    ((records_[i++] = &detail::subscription_access::record(readers)), ...);
  }

 private:
  template <class, producers, clock, class>
  friend class topic;
  static constexpr std::size_t most = 8;
  detail::reader_record<Sync>* records_[most]{};
  std::size_t count_ = 0;
};

template <class T, clock Clock, class Sync>
struct subscription_options {
  beginning<Clock> from = latest;
  overrun when_full = overrun::block;
  /// It gets a message once all of these have passed it. They may leave before it does.
  gates<Sync> after = {};
  /// It gets only those for which this is true; called in the reader's thread, or, while a coroutine waits for the next one, in
  /// that of who publishes.
  function<bool(const T&)> filter = {};
  wait_strategy wait = wait_strategy::adaptive;
};

template <class Topic>
class consumer_group;
template <class Topic>
struct group_options;
template <class Topic>
class delayed_publisher;

namespace detail {
/// For publish_permit.hpp.
struct topic_access {
  template <class Topic>
  static auto& log(Topic& t) noexcept {
    return t.log_;
  }
};
}  // namespace detail

template <class T, producers Producers, clock Clock, class Sync>
class topic {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "topic: T must be an object type without const");
  static_assert(std::is_nothrow_destructible_v<T>, "topic: T's destructor must not throw");

  static constexpr bool one = Producers == producers::single;
  using log = std::conditional_t<one, detail::single_log<T, Clock, Sync>, detail::multi_log<T, Clock, Sync>>;
  using time_point = typename Clock::time_point;

 public:
  using value_type = T;
  using clock_type = Clock;
  using subscription = millrace::subscription<T, Producers, Clock, Sync>;
  using options = topic_options;
  using subscription_options = millrace::subscription_options<T, Clock, Sync>;

  /// `capacity`: how many messages a publisher may be ahead of the slowest overrun::block reader, and how many are kept at
  /// the most, up to a segment more.
  explicit topic(std::size_t capacity, const options& chosen = {})
    requires stateless_clock<Clock>
      : log_(capacity, chosen, clock_ref<Clock>()) {}
  /// Stamps, ages and waits with a limit go by `clock`, which must outlive the topic.
  topic(std::size_t capacity, clock_ref<Clock> clock, const options& chosen = {})
      : log_(capacity, chosen, clock) {}
  topic(const topic&) = delete;
  topic& operator=(const topic&) = delete;
  /// Its subscriptions are gone, and every call has returned.
  ~topic() = default;

  // --- publishing: ok, full, closed, timeout or cancelled ---

  /// Waits for room.
  [[nodiscard]] outcome publish(T&& value) { return put_waiting(detail::no_limit(), std::move(value)); }
  [[nodiscard]] outcome publish(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return put_waiting(detail::no_limit(), value);
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome publish_for(T&& value, std::chrono::duration<Rep, Period> limit) {
    return put_waiting(detail::limit_for(log_.clock(), limit), std::move(value));
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome publish_for(const T& value, std::chrono::duration<Rep, Period> limit)
    requires std::is_copy_constructible_v<T>
  {
    return put_waiting(detail::limit_for(log_.clock(), limit), value);
  }
  [[nodiscard]] outcome publish_until(T&& value, time_point deadline) {
    return put_waiting(detail::limit_at<Clock>{log_.clock(), deadline}, std::move(value));
  }
  [[nodiscard]] outcome publish_until(const T& value, time_point deadline)
    requires std::is_copy_constructible_v<T>
  {
    return put_waiting(detail::limit_at<Clock>{log_.clock(), deadline}, value);
  }
  /// Waits for room until a stop is requested: cancelled. `Stop` is a std::stop_token or similar.
  template <class Stop>
    requires requires(const Stop& s) { s.stop_requested(); }
  [[nodiscard]] outcome publish(T&& value, const Stop& stop) {
    return put_until(stop, std::move(value));
  }
  template <class Stop>
    requires requires(const Stop& s) { s.stop_requested(); } && std::is_copy_constructible_v<T>
  [[nodiscard]] outcome publish(const T& value, const Stop& stop) {
    return put_until(stop, value);
  }
  /// Never waits.
  [[nodiscard]] outcome try_publish(T&& value) { return log_.offer(std::move(value)); }
  [[nodiscard]] outcome try_publish(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return log_.offer(value);
  }

  /// Makes the message in its place. Waits for room. `args` are untouched unless the answer is ok, but for producers::multi
  /// and a close that comes while they are being used: rvalues that are not a T itself are consumed then.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  [[nodiscard]] outcome emplace(Args&&... args) {
    return put_waiting(detail::no_limit(), std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  [[nodiscard]] outcome try_emplace(Args&&... args) {
    return log_.offer(std::forward<Args>(args)...);
  }

  /// The n values at `first` and behind, in this order, cheaper than one by one; what others publish may come in between.
  /// Waits for room. How many have been published: fewer than n only if the topic was closed.
  template <std::input_iterator Iterator>
  std::size_t publish_n(Iterator first, std::size_t n) {
    std::size_t done = 0;
    if (log_.offer_n(first, n, done) != outcome::full) return done;
    const detail::waits_for_room waits(log_);
    detail::no_limit limit;
    static_cast<void>(detail::wait_by<Sync>(log_.wait_of_publishers(), log_.room, outcome::full, true, limit,
                                            [&](bool) { return log_.offer_n(first, n, done); }));
    return done;
  }
  /// Likewise, as many as there is room for.
  template <std::input_iterator Iterator>
  std::size_t try_publish_n(Iterator first, std::size_t n) {
    std::size_t done = 0;
    static_cast<void>(log_.offer_n(first, n, done));
    return done;
  }

  /// Ends the stream. Publishing is refused from now on, readers read what is left; everybody asleep is woken. Idempotent;
  /// returns at once. Who has a publish_permit, as a transaction that is just being committed has, may still publish: the end
  /// comes once the last of them has been given back.
  void close() noexcept { log_.close(); }
  [[nodiscard]] bool is_closed() const noexcept { return log_.is_closed(); }

  // --- reading ---

  /// A new reader. std::out_of_range if options.from is an offset where nothing has been published yet;
  /// std::invalid_argument if options.after names a reader of another topic; std::bad_alloc.
  [[nodiscard]] subscription subscribe(subscription_options chosen = {}) {
    using kind = typename beginning<Clock>::kind;
    const std::uint64_t tail = log_.tail();
    if (chosen.from.kind_ == kind::offset && chosen.from.offset_ > tail) {
      detail::fail<std::out_of_range>("topic::subscribe: options.from must be 0 to the topic's tail()");
    }
    for (std::size_t i = 0; i < chosen.after.count_; ++i) {
      if (chosen.after.records_[i]->log != log_.identity()) {
        detail::fail<std::invalid_argument>(
            "topic::subscribe: options.after must name readers of this topic");
      }
    }
    log_.trim();
    typename subscription::reading at(log_, chosen.when_full, chosen.after.records_, chosen.after.count_,
                                      std::move(chosen.filter));
    switch (chosen.from.kind_) {
      case kind::oldest: at.go_to(0); break;
      case kind::newest: at.go_to(log_.tail()); break;
      case kind::offset: at.go_to(chosen.from.offset_); break;
      case kind::time: at.go_to_time(log::ticks(chosen.from.time_)); break;
    }
    return subscription(std::move(at), chosen.wait);
  }

  /// Consumers that share the messages among them, and settle each: the group of that name, or a new one, for which alone
  /// `chosen` counts. Needs millrace/delivery/consumer_group.hpp, and says what it throws there.
  [[nodiscard]] consumer_group<topic> group(std::string_view name, group_options<topic> chosen = {});

  /// What is published later; see millrace/delivery/delayed_publisher.hpp, which is needed for it.
  [[nodiscard]] delayed_publisher<topic>& delayed();

  // --- looking ---

  [[nodiscard]] std::size_t capacity() const noexcept { return log_.capacity(); }
  /// Messages to a segment.
  [[nodiscard]] std::size_t segment_size() const noexcept { return log_.segment_size(); }
  /// The offset that the next message gets, or a later one.
  [[nodiscard]] std::uint64_t tail() const noexcept { return log_.tail(); }
  /// Where a reader from `earliest` on would begin.
  [[nodiscard]] std::uint64_t first_kept() const noexcept { return log_.first_of(log_.floor_approx()); }
  /// How long publishers have waited for room, all together, also those who wait now; to the microsecond, and 0 again after
  /// four years of that. A publish that finds room at once adds nothing, and does not look at the clock.
  [[nodiscard]] std::chrono::nanoseconds blocked_time() const noexcept {
    return log_.blocked.so_far([this] { return log_.now(); });
  }
  /// What the log takes, with what it keeps ready; not what messages own elsewhere.
  [[nodiscard]] std::size_t bytes() const noexcept { return log_.bytes(); }
  /// Drops what has become too old for its retention. Publishing, subscribing and seeking do this by themselves; for a
  /// topic on which nothing happens any more.
  void trim() noexcept { log_.trim(); }

 private:
  template <class Limit, class... Args>
  outcome put_waiting(Limit&& limit, Args&&... args) {
    const outcome o = log_.offer(std::forward<Args>(args)...);
    if (o != outcome::full) [[likely]]
      return o;
    if constexpr (detail::arguments<T, Args...>::passed_as_copy) {
      T copy(std::forward<Args>(args)...);
      return wait_for_room(detail::never_stops(), limit, std::move(copy));
    } else {
      return wait_for_room(detail::never_stops(), limit, std::forward<Args>(args)...);
    }
  }
  template <class Stop, class Value>
  outcome put_until(const Stop& stop, Value&& value) {
    const outcome o = log_.offer(std::forward<Value>(value));
    if (o != outcome::full) [[likely]]
      return o;
    const auto wake = [line = &log_.room.events]() noexcept { line->notify_each(); };
    typename detail::stop_callback_of<Stop, decltype(wake)>::type on_stop(stop, wake);
    detail::no_limit limit;
    return wait_for_room(stop, limit, std::forward<Value>(value));
  }
  template <class Stop, class Limit, class... Args>
  MILLRACE_NOINLINE outcome wait_for_room(const Stop& stop, Limit& limit, Args&&... args) {
    const detail::waits_for_room waits(log_);
    limit.start();
    return detail::wait_by<Sync>(log_.wait_of_publishers(), log_.room, outcome::full, true, limit, [&](bool) {
      return stop.stop_requested() ? outcome::cancelled : log_.offer(std::forward<Args>(args)...);
    });
  }

  friend struct detail::topic_access;

  log log_;
  detail::companions<Sync> companions_;  // they read the log
};

}  // namespace v0
}  // namespace millrace
