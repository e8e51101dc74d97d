// Waiting for a value to change costs nothing: threads that sleep in every kind of wait for two seconds use next to no
// processor time. A test that really waits, because that is what it measures.
#include <chrono>
#include <thread>

#include "millrace/queue/select.hpp"
#include "millrace/topic/latest_value.hpp"
#include "support/catch.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::latest_reader;
using millrace::outcome;

/// The machine's own seam, spinning and all, which tells who has gone to sleep.
struct spinning_sync : support::watching_sync {
  static bool spinning_helps() noexcept { return std_sync::spinning_helps(); }
};

}  // namespace

TEST_CASE("blocked in wait, wait_for and select for two seconds: under 10 ms of processor time") {
  const support::watchdog guard("idle");
  spinning_sync::reset();
  millrace::latest_value<int, std::chrono::steady_clock, spinning_sync> v(0);
  outcome results[3] = {};
  std::thread threads[] = {
      std::thread([&] { results[0] = latest_reader(v).wait(); }),
      std::thread([&] { results[1] = latest_reader(v).wait_for(24h); }),
      std::thread([&] {
        latest_reader r(v);
        results[2] = millrace::select(
            millrace::on_change(
                r, [](const int* now) { return now == nullptr ? outcome::closed : outcome::ok; }),
            millrace::after(24h, [] { return outcome::timeout; }));
      }),
  };
  spinning_sync::await_parked(3);  // the spin ends by itself, or this never does
  const auto before = support::used_by_program();
  REQUIRE(before != std::chrono::nanoseconds::max());  // it can be measured
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(2s);
  const auto spent = support::used_by_program() - before;
  REQUIRE(std::chrono::steady_clock::now() - start >= 2s);
  CHECK(spent < 10ms);
  CHECK(spinning_sync::parked == 3);
  CHECK(spinning_sync::parks <= 6);  // and they slept through, instead of waking to look

  v.close();
  for (auto& t : threads) t.join();
  for (const outcome result : results) CHECK(result == outcome::closed);
}
