// millrace/bus/options.hpp - what can be chosen about a bus, its topics and its subscriptions.
//
// Use it when : you make a bus, or the defaults of its topics and subscriptions are not what you want.
// Use instead : the defaults; a bus must be told whose threads it may use.
// Threads     : plain values. `group` is called by whoever subscribes or creates a topic, several at a time.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : checked where they are used, see bus.hpp: a status names the field and its range.
// Exceptions  : none.
// Memory      : none.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/bus/options_test.cpp
//
// Example:
//   millrace::bus shop({.name = "shop", .workers = 4});
//   auto orders = shop.topic<order>("orders.paid", {.capacity = 4096, .log = {.keep = {.age = 1h}}});
//   auto s = shop.subscribe<order>("orders.*", "billing",
//                                  {.workers = 2, .dead_letters = "lost.orders", .group = [](auto& g) { g.max_in_flight = 64; }},
//                                  [](const order& o) { charge(o); });
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/delivery/options.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/topic/options.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// One of `workers` and `executor`.
struct bus_options {
  std::string name = "bus";  // in messages and in describe()
  /// Threads of the bus's own, which call the handlers, 1 to 1,024, and one more for its timers. From start() to stop().
  std::size_t workers = 0;
  /// Or the host's, which must outlive the bus. Then the bus starts no thread, and the host also runs bus::timers().
  millrace::executor* executor = nullptr;
};

struct named_topic_options {
  /// How many messages publishers may be ahead of the slowest group, and how many are kept at the most; 1 to 2^31.
  std::size_t capacity = 1024;
  topic_options log = {};
};

template <class T, clock Clock = std::chrono::steady_clock>
struct subscribe_options {
  /// How many of the bus's workers at a time are with one topic's messages; 1 to 1,024.
  std::size_t workers = 1;
  /// The name of the topic of `dead_letter<T>` to which messages go that are given up; it is made if it is not there. Empty: they are
  /// parked, and counted.
  std::string dead_letters = {};
  /// Sets what it wants to, once for the group of each topic, and once before. It must not call the bus.
  function<void(group_options<topic<T, producers::multi, Clock>>&)> group = {};
};

}  // namespace v0
}  // namespace millrace
