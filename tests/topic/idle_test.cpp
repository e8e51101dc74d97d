// Waiting costs nothing: threads that sleep in every kind of wait for a value to change, for a message, behind another
// reader or for room use next to no processor time in two seconds. Tests that really wait, because that is what they
// measure.
#include <chrono>
#include <thread>

#include "millrace/queue/select.hpp"
#include "millrace/topic/latest_value.hpp"
#include "millrace/topic/topic.hpp"
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

TEST_CASE(
    "readers without messages and publishers without room for two seconds: under 10 ms of processor time") {
  const support::watchdog guard("idle topics");
  spinning_sync::reset();
  millrace::topic<int, millrace::producers::multi, std::chrono::steady_clock, spinning_sync> t(
      2, {.segment = 2});
  auto full = t.subscribe();
  auto first = t.subscribe();
  auto behind = t.subscribe({.after = {first}});
  for (int i = 0; i < 2; ++i) REQUIRE(t.publish(i) == outcome::ok);
  outcome results[4] = {};
  const int* none = nullptr;
  std::thread threads[] = {
      std::thread([&] { results[0] = t.publish(2); }),
      std::thread([&] { results[1] = t.publish_for(3, 24h); }),
      std::thread([&] { results[2] = first.run([](int) {}); }),
      std::thread([&] {
        for (int i = 0; i < 2; ++i) static_cast<void>(behind.next());
        results[3] = behind.next_for(none, 24h);
      }),
  };
  spinning_sync::await_parked(4);
  const auto before = support::used_by_program();
  std::this_thread::sleep_for(2s);
  CHECK(support::used_by_program() - before < 10ms);
  CHECK(spinning_sync::parked == 4);
  t.close();
  for (auto& thread : threads) thread.join();
  for (const outcome result : results) CHECK(result == outcome::closed);
  static_cast<void>(full.try_next());
}
