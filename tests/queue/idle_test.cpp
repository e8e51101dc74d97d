// Waiting costs nothing: a program blocked in a channel's verbs and in selects for five seconds uses next to no
// processor time. The one test that really waits, because that is what it measures.
#include <chrono>
#include <cstddef>
#include <ctime>
#include <optional>
#include <thread>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/select.hpp"
#include "support/catch.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::channel;
using millrace::on_pop;
using millrace::on_pop_any;
using millrace::on_push;
using millrace::outcome;
using millrace::select;

/// The machine's own seam, spinning and all, which tells who has gone to sleep.
struct spinning_sync : support::watching_sync {
  static bool spinning_helps() noexcept { return std_sync::spinning_helps(); }
};
using queue = millrace::mpmc_queue<int, millrace::use_sync<spinning_sync>>;

}  // namespace

TEST_CASE(
    "blocked in pop, push, pop_for, push_for and select for five seconds: under 10 ms of processor time") {
  const support::watchdog guard("idle");
  spinning_sync::reset();
  channel<int, queue> empty(4);
  channel<int, queue> full(2);
  REQUIRE(full.push(1) == outcome::ok);
  REQUIRE(full.push(2) == outcome::ok);
  outcome results[7] = {};
  int out = 0;
  channel<int, queue>* const both[] = {&empty, &empty};
  const auto popped = [](std::optional<int> v) { return v ? outcome::ok : outcome::closed; };
  const auto pushed = [](outcome o) { return o; };
  std::thread threads[] = {
      std::thread([&] { results[0] = empty.pop(out); }),
      std::thread([&] { results[1] = full.push(3); }),
      std::thread([&] {
        int mine = 0;
        results[2] = empty.pop_for(mine, 24h);
      }),
      std::thread([&] { results[3] = full.push_for(4, 24h); }),
      std::thread([&] { results[4] = select(on_pop(empty, popped), on_push(full, 5, pushed)); }),
      std::thread([&] {
        results[5] = select(on_pop_any(both, [&](std::size_t, std::optional<int> v) { return popped(v); }));
      }),
      std::thread([&] {
        results[6] = select(on_pop(empty, popped), on_push(full, 6, pushed),
                            millrace::after(24h, [] { return outcome::timeout; }));
      }),
  };
  spinning_sync::await_parked(7);  // the spin ends by itself, or this never does
  const auto before = support::used_by_program();
  REQUIRE(before != std::chrono::nanoseconds::max());  // it can be measured
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(5s);
  const auto spent = support::used_by_program() - before;
  REQUIRE(std::chrono::steady_clock::now() - start >= 5s);
  CHECK(spent < 10ms);
  CHECK(spinning_sync::parked == 7);
  CHECK(spinning_sync::parks <= 14);  // and they slept through, instead of waking to look

  empty.close();
  full.close();
  for (auto& t : threads) t.join();
  for (const outcome result : results) CHECK(result == outcome::closed);
}
