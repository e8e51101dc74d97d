// millrace/delivery/options.hpp - what can be chosen about a consumer group.
//
// Use it when : the defaults are not what you want: work is shared in any order, 1,024 in flight, 30 s to acknowledge, five
//               attempts.
// Use instead : the defaults.
// Threads     : plain values. What a group is given here is called with the group's mutex held, by one thread at a time; it
//               must not call the group.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : checked where they are used, see consumer_group.hpp.
// Exceptions  : none.
// Memory      : none.
// Cost        : none.
// Source      : defaults after NATS JetStream (ack wait 30 s), Amazon SQS and RabbitMQ's prefetch.
// Checked by  : tests/delivery/consumer_group_test.cpp
//
// Example:
//   auto billing = orders.group("billing", {.order = millrace::ordering::by_key, .key = [](const order& o) { return o.customer; }});
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "millrace/core/function.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/topic/options.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// In which order a group's messages are delivered, and settled.
enum class ordering : std::uint8_t {
  none,    // as they come; a retry holds up nothing
  by_key,  // of a key one at a time, in the order of the log; a retry holds up its own key only
  strict,  // one at a time, in the order of the log; a retry holds up all
};

template <class T, clock Clock, class Sync>
class dead_letters;
template <clock Clock, class Sync>
class rate_limiter;
template <clock Clock, class Sync>
class circuit_breaker;
template <class T>
class duplicate_check;
class group_observer;

template <class Topic>
struct group_options {
  using value_type = typename Topic::value_type;
  using clock_type = typename Topic::clock_type;
  using sync_type = typename Topic::subscription::sync_type;

  beginning<clock_type> from = latest;
  /// When the group is `capacity` messages behind with taking them; see topic/options.hpp. Publishers are told of what was taken
  /// once it is a quarter of the capacity, or nothing more is there. What overruns the group is in stats().missed. Not
  /// overrun::disconnect.
  overrun when_full = overrun::block;
  ordering order = ordering::none;
  /// For ordering::by_key. Without it, the key of a `message`; other values have none, and it must be set.
  function<std::uint64_t(const value_type&)> key = {};
  /// Only those for which this is true.
  function<bool(const value_type&)> filter = {};
  /// Among what can be delivered, higher priorities come first: those of this, 0 to 7, or those of a `message`; for other values
  /// it must be set.
  bool prioritized = false;
  function<unsigned(const value_type&)> priority = {};

  /// Delivered and not settled, at the most.
  std::size_t max_in_flight = 1024;
  /// Waiting for another attempt, or for their time, at the most; then nothing new is taken.
  std::size_t max_waiting = 65'536;
  /// How far the group looks ahead behind keys that are taken, and for higher priorities.
  std::size_t lookahead = 1024;
  /// What is not settled by then is taken for failed. Handlers of run() have all the time they need.
  std::chrono::nanoseconds ack_timeout = std::chrono::seconds(30);
  retry_policy retry = {};

  // These may be shared with others; they must outlive the topic, so declare them before it. nullptr: none.

  /// Where messages go that are rejected, or have used up their attempts. Without it they are parked, and counted.
  millrace::dead_letters<value_type, clock_type, sync_type>* dead_letters = nullptr;
  millrace::rate_limiter<clock_type, sync_type>* limiter = nullptr;
  /// While it is open the backlog waits, and what workers have taken and not begun with it. acks are its successes, failures and
  /// timeouts its failures; a probe that is never answered is known to have failed only when its ack timeout has passed.
  millrace::circuit_breaker<clock_type, sync_type>* breaker = nullptr;
  /// With a deduplicator for each group: what one has done would be a duplicate for another.
  duplicate_check<value_type>* duplicates = nullptr;
  /// Told of handler times and of failures.
  group_observer* observer = nullptr;
};

}  // namespace v0
}  // namespace millrace
