// A queue with its rule for overflow and the waiting rooms of its two sides: what a channel is made of.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel_access.hpp"
#include "millrace/queue/detail/level_watch.hpp"
#include "millrace/queue/overflow.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// With drop_oldest the producers pop too. A queue that allows one consumer gives way to one that allows many, which has
// what it takes: a value that a suspended consumer is about to take holds up nobody.
template <class Queue>
class lane_queue {
 public:
  lane_queue(std::size_t capacity, overflow policy) {
    if (policy == overflow::drop_oldest) {
      shared_.emplace(capacity);
    } else {
      own_.emplace(capacity);
    }
  }
  template <class F>
  MILLRACE_INLINE auto with(F f) {
    return shared_ ? f(*shared_) : f(*own_);
  }
  template <class F>
  auto with(F f) const {
    return shared_ ? f(*shared_) : f(*own_);
  }

 private:
  std::optional<Queue> own_;
  std::optional<typename Queue::with_many_consumers> shared_;
};

template <class Queue>
  requires(Queue::many_consumers || !Queue::is_bounded)
class lane_queue<Queue> {
 public:
  lane_queue()
    requires(!Queue::is_bounded)
  = default;
  lane_queue(std::size_t capacity, overflow)
    requires Queue::is_bounded
      : queue_(capacity) {}
  template <class F>
  MILLRACE_INLINE auto with(F f) {
    return f(queue_);
  }
  template <class F>
  auto with(F f) const {
    return f(queue_);
  }

 private:
  Queue queue_;
};

template <class Queue>
class lane {
  using access = channel_access;

 public:
  using sync = typename Queue::sync_type;
  using value_type = typename Queue::value_type;
  using drop_handler = function<void(value_type&&)>;

  explicit lane(waiting_room<sync>& not_empty)
    requires(!Queue::is_bounded)
      : policy(overflow::block), not_empty_(not_empty) {}
  lane(waiting_room<sync>& not_empty, std::size_t capacity, overflow p, drop_handler on_drop)
      : policy(p), not_empty_(not_empty), queue_(capacity, p), on_drop_(std::move(on_drop)) {}

  const overflow policy;
  waiting_room<sync> not_full;

  /// Before anybody else uses the lane.
  void watch(std::size_t low, std::size_t high, function<void(bool)> tell) {
    watch_ = std::make_unique<level_watch<sync>>(low, high, std::move(tell));
  }

  // --- one try at the queue, and the news of it ---

  template <class Value>
  outcome offer(Value&& value) {
    // A constructor that throws may have freed the place that a sleeper waits for.
    on_exception pass_on([this] { not_full.events.notify_one(); });
    const outcome result = offer_quietly(std::forward<Value>(value));
    pass_on.dismiss();
    tell_of_offer(result);
    return result;
  }
  template <class Receive>
  outcome take(Receive&& receive) {
    on_exception pass_on([this] { not_full.events.notify_one(); });
    const outcome result = take_quietly(receive);
    pass_on.dismiss();
    tell_of_take(result);
    return result;
  }

  // --- the two halves of these, for who must not run into others in between ---

  template <class Value>
  outcome offer_quietly(Value&& value) {
    if (watch_) return offer_counted(std::forward<Value>(value));
    return queue_.with([&](auto& q) { return access::offer(q, std::forward<Value>(value)); });
  }
  void tell_of_offer(outcome result) {
    if (result == outcome::ok) not_empty_.events.notify_one();
    if (watch_) watch_->look();
  }
  template <class Receive>
  outcome take_quietly(Receive&& receive) {
    if (watch_) return take_counted(receive);
    return queue_.with([&](auto& q) { return access::take(q, receive); });
  }
  void tell_of_take(outcome result) {
    if (watch_) watch_->look();
    // why also when empty: a consumer that gives up a stalled producer's position makes room without popping
    // anything. So that no producer sleeps on a full queue while consumers find it empty, the consumer says so.
    if (result != outcome::closed) not_full.events.notify_one();
  }

  // --- the rule for overflow ---

  /// full: block or fail, or nothing could be dropped.
  template <class Value>
  outcome push_now(Value&& value) {
    const outcome result = offer(std::forward<Value>(value));
    return result == outcome::full ? overflowing(std::forward<Value>(value)) : result;
  }

  template <class Limit, class Value>
  outcome push_waiting(Limit&& limit, Value&& value) {
    const outcome result = push_now(std::forward<Value>(value));
    if (result != outcome::full || policy != overflow::block) return result;
    limit.start();
    return not_full.await(outcome::full, limit, [&] { return offer(std::forward<Value>(value)); });
  }

  void drop(value_type&& value) {
    dropped_.fetch_add(1, std::memory_order_relaxed);  // a counter, nothing hangs on it
    if (on_drop_) on_drop_(std::move(value));
  }

  void end() noexcept {
    queue_.with([](auto& q) { access::close(q); });
  }

  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t size_approx() const noexcept {
    return queue_.with([](const auto& q) { return q.size_approx(); });
  }
  [[nodiscard]] std::size_t capacity() const noexcept {
    return queue_.with([](const auto& q) { return q.capacity(); });
  }

 private:
  template <class Value>
  MILLRACE_NOINLINE outcome offer_counted(Value&& value) {
    watch_->coming();
    on_exception take_back([this] { watch_->gone(); });
    const outcome result = queue_.with([&](auto& q) { return access::offer(q, std::forward<Value>(value)); });
    take_back.dismiss();
    if (result != outcome::ok) watch_->gone();
    return result;
  }
  template <class Receive>
  MILLRACE_NOINLINE outcome take_counted(Receive&& receive) {
    // A value whose move throws on the way out is gone too: the queue has destroyed it.
    bool reached = false;
    on_exception gone_all_the_same([&] {
      if (reached) watch_->gone();
    });
    const outcome result = queue_.with([&](auto& q) {
      return access::take(q, [&](value_type&& value) {
        reached = true;
        receive(std::move(value));
      });
    });
    gone_all_the_same.dismiss();
    if (result == outcome::ok) watch_->gone();
    return result;
  }

  template <class Value>
  outcome overflowing(Value&& value) {
    if (policy == overflow::block || policy == overflow::fail) return outcome::full;
    if (policy == overflow::drop_newest) {
      value_type newest(std::forward<Value>(value));
      drop(std::move(newest));
      return outcome::ok;
    }
    // Full, and nothing there to drop, again and again: every place is held by an operation that stands still.
    outcome result = outcome::full;
    for (int found_nothing = 0; result == outcome::full && found_nothing < 64;) {
      if (take_quietly([this](value_type&& oldest) { drop(std::move(oldest)); }) != outcome::ok) {
        ++found_nothing;
        sync::pause();
      }
      result = offer(std::forward<Value>(value));
    }
    return result;
  }

  waiting_room<sync>& not_empty_;
  lane_queue<Queue> queue_;
  typename sync::template atomic<std::uint64_t> dropped_{0};
  drop_handler on_drop_;
  std::unique_ptr<level_watch<sync>> watch_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
