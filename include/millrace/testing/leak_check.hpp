// millrace/testing/leak_check.hpp - whether everything that was published has been settled: what a test asks for at its end.
//
// Use it when : a test of a bus ends: no group may still have a message to take, in flight, waiting for a retry or parked, none may be
//               waiting to be published later, and none may have been lost. Let due work happen before: run_until_idle, advance.
// Use instead : bus::drain, in a program; unsettled(bus.snapshot()), for the number alone.
// Threads     : any.
// Order       : does not apply.
// Progress    : a look at each group.
// Errors      : the verdict says which group of which topic has what left.
// Exceptions  : std::bad_alloc.
// Memory      : that of the text.
// Cost        : that of bus::snapshot.
// Source      : ours.
// Checked by  : tests/testing/leak_check_test.cpp
//
// Example:
//   t.advance(1h);
//   REQUIRE(millrace::testing::expect_all_settled(t.bus()));
//   // bus "test": group "billing" on "orders.placed" has 1 in flight
#pragma once

#include <string_view>

#include "millrace/bus/bus.hpp"
#include "millrace/bus/bus_info.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/delivery/group_stats.hpp"
#include "millrace/testing/verdict.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

[[nodiscard]] verdict expect_all_settled(const bus_info& bus);
/// Of one group, also of a topic that is on no bus.
[[nodiscard]] verdict expect_all_settled(std::string_view group, const group_stats& stats);

template <clock Clock>
[[nodiscard]] verdict expect_all_settled(const basic_bus<Clock>& bus) {
  return expect_all_settled(bus.snapshot());
}

}  // namespace testing
}  // namespace v0
}  // namespace millrace
