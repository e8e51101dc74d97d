// millrace/bus/bus_info.hpp - all that there is on a bus, and how it stands: what bus::snapshot() returns.
//
// Use it when : metrics, a dashboard or a test walk the topics, groups and subscriptions of a bus, whatever their types.
// Use instead : bus::describe(), for people.
// Threads     : plain values, each of one moment, and not all of the same.
// Order       : topics and subscriptions as they were made, groups within their topic likewise.
// Progress    : does not apply.
// Errors      : none.
// Exceptions  : std::bad_alloc from to_string.
// Memory      : copies of names and counts.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/bus/bus_info_test.cpp
//
// Example:
//   for (const auto& t : shop.snapshot().topics)
//     for (const auto& g : t.groups) backlog.set(t.name, g.name, g.stats.backlog);
//   CHECK(millrace::unsettled(shop.snapshot()) == 0);   // everything that was published has been seen to
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/delivery/group_stats.hpp"

namespace millrace {
inline namespace v0 {

enum class bus_state : std::uint8_t { made, running, stopped };

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(bus_state s) noexcept {
  switch (s) {
    case bus_state::made: return "made";
    case bus_state::running: return "running";
    case bus_state::stopped: return "stopped";
  }
  return "invalid";
}

struct group_info {
  std::string name = {};
  std::string pattern = {};  // that it comes from
  std::size_t workers = 0;
  group_stats stats = {};
};

struct topic_info {
  std::string name = {};
  std::string type = {};  // as the compiler spells it
  std::size_t capacity = 0;
  std::uint64_t published = 0;
  std::uint64_t first_kept = 0;         // an offset
  std::size_t bytes = 0;                // of the log
  std::chrono::nanoseconds blocked{0};  // that publishers have waited for room
  std::uint64_t delayed = 0;            // to be published later
  std::uint64_t dropped = 0;  // of these, that were not published: the topic was closed, or had no storage
  std::vector<group_info> groups = {};
};

struct subscription_info {
  std::string pattern = {};
  std::string group = {};
  std::string type = {};
  std::size_t topics = 0;                     // that it matches, and has a group on
  std::vector<std::string> passed_over = {};  // names that it matches, but of topics of another type
};

struct bus_info {
  std::string name = {};
  bus_state state = bus_state::made;
  std::size_t workers = 0;  // threads of its own; 0: the host's
  std::vector<topic_info> topics = {};
  std::vector<subscription_info> subscriptions = {};
  std::uint64_t timer_errors = 0;    // exceptions that handlers of timers have thrown
  std::uint64_t timers_skipped = 0;  // periods that were left out
};

/// How many messages the group is still to see to: to take, to deliver, to hear of again. Without those that are parked.
[[nodiscard]] constexpr std::uint64_t unsettled(const group_stats& s) noexcept {
  return s.backlog + s.ready + s.behind + s.in_flight + s.waiting;
}
/// Of all groups together.
[[nodiscard]] std::uint64_t unsettled(const bus_info& bus) noexcept;
/// Several lines, the last one ended.
[[nodiscard]] std::string to_string(const bus_info& bus);

}  // namespace v0
}  // namespace millrace
