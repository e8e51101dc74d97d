#include "millrace/bus/bus_info.hpp"

#include <chrono>
#include <set>
#include <string>

#include "support/catch.hpp"

namespace {

using millrace::bus_info;
using millrace::bus_state;

bus_info shop() {
  bus_info b{
      .name = "shop", .state = bus_state::running, .workers = 2, .timer_errors = 1, .timers_skipped = 5};
  b.topics.push_back({.name = "orders.paid",
                      .type = "order",
                      .capacity = 64,
                      .published = 100,
                      .first_kept = 36,
                      .bytes = 512,
                      .blocked = std::chrono::milliseconds(1250)});
  b.topics.push_back({.name = "orders.late", .type = "order", .capacity = 8, .delayed = 3, .dropped = 2});
  b.topics[0].groups.push_back({.name = "billing", .pattern = "orders.*", .workers = 2, .stats = {}});
  millrace::group_stats& s = b.topics[0].groups[0].stats;
  s.backlog = 1;
  s.ready = 20;
  s.behind = 300;
  s.in_flight = 4000;
  s.waiting = 50'000;
  s.parked = 7;
  s.acked = 8;
  s.dead = 9;
  s.missed = 10;
  s.blocked = millrace::blocked_by::rate;
  b.topics[1].groups.push_back({.name = "audit", .pattern = ">", .workers = 1, .stats = {}});
  b.topics[1].groups[0].stats.backlog = 600'000;
  b.subscriptions.push_back({"orders.*", "billing", "order", 1, {}});
  b.subscriptions.push_back({">", "audit", "refund", 0, {"orders.paid", "orders.late"}});
  return b;
}

}  // namespace

TEST_CASE("every state has a name of its own") {
  std::set<std::string> names;
  for (const auto s : {bus_state::made, bus_state::running, bus_state::stopped}) names.insert(to_string(s));
  CHECK(names == std::set<std::string>{"made", "running", "stopped"});
  CHECK(std::string(to_string(static_cast<bus_state>(99))) == "invalid");
}

TEST_CASE("what is unsettled is what a group is still to see to") {
  const bus_info b = shop();
  CHECK(unsettled(b.topics[0].groups[0].stats) == 54'321);
  CHECK(unsettled(b) == 654'321);
  CHECK(unsettled(bus_info()) == 0);
}

TEST_CASE("a bus in words") {
  CHECK(to_string(shop()) ==
        "bus shop, running, 2 workers: 2 topics, 2 subscriptions\n"
        "  topic orders.paid, order: capacity 64, published 100, kept from 36, 512 bytes, publishers blocked "
        "1.250 s\n"
        "    group billing (orders.*), 2 workers: backlog 1, ready 20, behind 300, in flight 4000, waiting "
        "50000; "
        "acked 8, dead 9, parked 7, missed 10; blocked by rate\n"
        "  topic orders.late, order: capacity 8, published 0, kept from 0, 0 bytes, delayed 3, dropped 2\n"
        "    group audit (>), 1 worker: backlog 600000, ready 0, behind 0, in flight 0, waiting 0; "
        "acked 0, dead 0, parked 0, missed 0; blocked by none\n"
        "  subscription orders.* by billing, order: 1 topic\n"
        "  subscription > by audit, refund: 0 topics; of another type, and passed over: orders.paid, "
        "orders.late\n"
        "  timers: 1 error, 5 skipped\n");
  CHECK(to_string(bus_info{.name = "b"}) ==
        "bus b, made, in the host's executor: 0 topics, 0 subscriptions\n  timers: 0 errors, 0 skipped\n");
}
