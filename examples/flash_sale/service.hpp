// What all who work off a group have in common. Each has a `group`, and handle(delivery), which must not wait.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <stop_token>
#include <utility>

#include "ledger.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/deduplicator.hpp"
#include "millrace/delivery/duplicate_check.hpp"
#include "millrace/topic/topic.hpp"
#include "order_book.hpp"

template <class Clock>
using order_topic = millrace::topic<order, millrace::producers::multi, Clock>;

/// In a thread of its own, until it is told to stop.
template <class Service>
void work(Service& s, const std::stop_token& stop) {
  typename decltype(s.group)::delivery d;
  while (s.group.receive(d, stop) == millrace::outcome::ok) s.handle(std::move(d));
}

/// In the caller's thread: all that there is to do now. False: nothing.
template <class Service>
bool step(Service& s) {
  bool any = false;
  while (auto d = s.group.try_receive()) {
    s.handle(std::move(d));
    any = true;
  }
  return any;
}

/// What a group has still to do.
inline count backlog_of(const millrace::group_stats& s) {
  return s.backlog + s.ready + s.behind + s.waiting + s.in_flight;
}

/// A gateway that is not sure publishes an order again: groups that have one of these leave out the second.
template <class Clock>
struct once_only {
  millrace::deduplicator<order_id, std::hash<order_id>, Clock> ids;
  decltype(millrace::duplicates_by<order>(ids, &order::id)) check =
      millrace::duplicates_by<order>(ids, &order::id);

  once_only(millrace::clock_ref<Clock> clock, std::size_t orders)
      : ids(clock, {.capacity = orders, .window = std::chrono::hours(1)}) {}
};
