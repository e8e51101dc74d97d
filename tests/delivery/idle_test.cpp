// Waiting costs nothing: consumers of groups that are empty, paused, out of credit, limited or waiting for a retry, and a
// publisher of delayed messages use next to no processor time in two seconds, and sleep through. A test that really waits,
// because that is what it measures.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/delayed_publisher.hpp"
#include "support/catch.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::outcome;

/// The machine's own seam, spinning and all, which tells who has gone to sleep.
struct spinning_sync : support::watching_sync {
  static bool spinning_helps() noexcept { return std_sync::spinning_helps(); }
};
using topic = millrace::topic<int, millrace::producers::multi, std::chrono::steady_clock, spinning_sync>;

}  // namespace

TEST_CASE("consumers with nothing to do for two seconds: under 10 ms of processor time") {
  const support::watchdog guard("idle groups");
  spinning_sync::reset();
  millrace::rate_limiter<std::chrono::steady_clock, spinning_sync> limit(1, 24h);
  topic t(64);
  auto empty = t.group("empty");
  auto paused = t.group("paused");
  auto full = t.group("full", {.max_in_flight = 1});
  auto limited = t.group("limited", {.limiter = &limit});
  auto failed = t.group("failed", {.retry = {.first = 1h, .most = 1h}});
  for (int i = 0; i < 2; ++i) REQUIRE(t.publish(i) == outcome::ok);
  for (int i = 0; i < 2; ++i) {
    CHECK(empty.try_receive().ack());
    CHECK(failed.try_receive().nack());
  }
  paused.pause();
  auto held = full.try_receive();
  auto only = limited.try_receive();
  REQUIRE(held);
  REQUIRE(only);

  std::vector<std::thread> threads;
  std::atomic<int> closed{0};
  for (auto* g : {&empty, &paused, &full, &limited, &failed}) {
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([g, &closed] {
        millrace::delivery<int> d;
        closed += g->receive(d) == outcome::closed;
      });
    }
  }
  auto waits = t.delayed().publish_after(1h, 7);
  REQUIRE(waits);
  t.delayed().start();
  spinning_sync::await_parked(11);  // the spins end by themselves, or this never does
  const auto before = support::used_by_program();
  REQUIRE(before != std::chrono::nanoseconds::max());  // it can be measured
  const auto parks = spinning_sync::parks.load();
  std::this_thread::sleep_for(2s);
  const auto spent = support::used_by_program() - before;
  CHECK(spent < 10ms);
  CHECK(spinning_sync::parked == 11);
  CHECK(spinning_sync::parks == parks);  // they slept through, instead of waking to look

  for (auto* g : {&empty, &paused, &full, &limited, &failed}) g->remove();
  for (std::thread& th : threads) th.join();
  CHECK(closed == 10);
  t.delayed().stop();
}
