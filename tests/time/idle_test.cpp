// A service with a million timers that are far off uses no processor time. A test that really waits, because that is what
// it measures.
#include <chrono>
#include <latch>
#include <thread>

#include "millrace/time/timer_service.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;

}  // namespace

TEST_CASE("a million far timers for two seconds: under 10 ms of processor time") {
  const support::watchdog guard("idle");
  constexpr int n = SUPPORT_SANITIZED ? 100'000 : 1'000'000;
  millrace::timer_service timers;
  timers.start();
  for (int i = 0; i < n; ++i) timers.schedule_after(30min + i * 1ms, [] {});
  // One that fires: by then it has heard of the others.
  std::latch heard(1);
  timers.schedule_after(0ms, [&] { heard.count_down(); });
  heard.wait();
  const auto before = support::used_by_program();
  REQUIRE(before != std::chrono::nanoseconds::max());  // it can be measured
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(2s);
  const auto spent = support::used_by_program() - before;
  REQUIRE(std::chrono::steady_clock::now() - start >= 2s);
  CHECK(spent < 10ms);
}
