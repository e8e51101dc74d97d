// Places: how many there are, who gets one when, and what becomes of those who wait when one is left, when there are suddenly
// more or fewer, and when it is over.
#include "millrace/delivery/bulkhead.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/stalling_sync.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::bulkhead;
using millrace::manual_clock;
using millrace::outcome;
using support::watchdog;
using support::watching_sync;
using watched = bulkhead<std::chrono::steady_clock, watching_sync>;

static_assert(!std::is_copy_constructible_v<bulkhead<>::permit> &&
              std::is_nothrow_move_constructible_v<bulkhead<>::permit> &&
              std::is_nothrow_move_assignable_v<bulkhead<>::permit>);

}  // namespace

TEST_CASE("so many are in at once, and a place is left with its permit") {
  bulkhead b(2);
  CHECK(b.places() == 2);
  CHECK(b.in_use() == 0);
  auto one = b.try_enter();
  CHECK(one);
  CHECK(one.answer() == outcome::ok);
  {
    const auto two = b.enter();
    CHECK(two);
    CHECK(b.in_use() == 2);
    const auto none = b.try_enter();
    CHECK_FALSE(none);
    CHECK(none.answer() == outcome::full);
  }
  CHECK(b.in_use() == 1);

  auto moved = std::move(one);
  CHECK(moved);
  CHECK_FALSE(one);  // NOLINT(bugprone-use-after-move)
  CHECK(b.in_use() == 1);
  moved = b.try_enter();  // enters, and then leaves what it had
  CHECK(moved);
  CHECK(b.in_use() == 1);
  auto& same = moved;
  moved = std::move(same);
  CHECK(moved);
  moved.leave();
  CHECK_FALSE(moved);
  CHECK(b.in_use() == 0);
  moved.leave();
  CHECK(b.in_use() == 0);
}

TEST_CASE("waiting has a limit, by the clock") {
  const watchdog guard("a limit");
  manual_clock clock;
  bulkhead b(clock, 1);
  CHECK(b.enter_for(0s));
  CHECK(b.enter_until(clock.now()));  // free, whatever the limit
  auto mine = b.enter();
  CHECK(b.enter_for(0s).answer() == outcome::timeout);
  CHECK(b.enter_until(clock.now() - 1s).answer() == outcome::timeout);

  outcome late = outcome::ok;
  std::thread t([&] { late = b.enter_for(30min).answer(); });
  clock.await_waiters(1);
  clock.advance(30min - 1ns);
  CHECK(late == outcome::ok);  // it still waits
  clock.advance(1ns);
  t.join();
  CHECK(late == outcome::timeout);

  outcome in_time = outcome::timeout;
  std::thread u([&] { in_time = b.enter_until(clock.now() + 1h).answer(); });
  clock.await_waiters(1);
  mine.leave();
  u.join();
  CHECK(in_time == outcome::ok);
  CHECK(b.in_use() == 0);
}

TEST_CASE("who leaves calls the one that has waited longest, and no other") {
  const watchdog guard("first come, first served");
  watching_sync::reset();
  watched b(1);
  auto mine = b.enter();
  constexpr int n = 5;
  std::vector<int> order;
  std::vector<std::thread> all;
  for (int i = 0; i < n; ++i) {
    all.emplace_back([&, i] {
      const auto place = b.enter();
      order.push_back(i);  // one at a time
    });
    watching_sync::await_parked(i + 1);
  }
  mine.leave();
  for (auto& t : all) t.join();
  CHECK(order == std::vector{0, 1, 2, 3, 4});
  CHECK(watching_sync::unparks == n);
}

TEST_CASE("with nobody waiting, entering and leaving make no system call") {
  watching_sync::reset();
  watched b(3);
  for (int i = 0; i < 1000; ++i) {
    const auto one = b.try_enter();
    const auto two = b.enter();
    CHECK((one && two));
  }
  b.resize(5);
  b.close();
  CHECK(watching_sync::parks == 0);
  CHECK(watching_sync::unparks == 0);
}

TEST_CASE("closed, it wakes all who wait, and nobody enters") {
  const watchdog guard("close");
  watching_sync::reset();
  watched b(1);
  auto mine = b.enter();
  std::vector<std::thread> all;
  std::atomic<int> refused{0};
  for (int i = 0; i < 3; ++i) {
    all.emplace_back([&] {
      if (b.enter().answer() == outcome::closed) ++refused;
    });
    watching_sync::await_parked(i + 1);
  }
  CHECK_FALSE(b.is_closed());
  b.close();
  for (auto& t : all) t.join();
  CHECK(refused == 3);
  CHECK(b.is_closed());
  CHECK(mine);
  CHECK(b.in_use() == 1);
  CHECK(b.try_enter().answer() == outcome::closed);  // and not full
  mine.leave();
  CHECK(b.in_use() == 0);
  CHECK(b.try_enter().answer() == outcome::closed);
  CHECK(b.enter_for(1s).answer() == outcome::closed);
  b.resize(7);
  CHECK(b.places() == 7);
  CHECK(b.try_enter().answer() == outcome::closed);
  CHECK(b.enter().answer() == outcome::closed);
  b.close();
  CHECK(b.enter().answer() == outcome::closed);
}

TEST_CASE("more places: so many of those who wait are called") {
  const watchdog guard("more places");
  watching_sync::reset();
  watched b(1);
  auto mine = b.enter();
  std::atomic<int> entered{0};
  std::vector<std::thread> all;
  std::atomic<bool> leave{false};
  constexpr int n = 5;
  for (int i = 0; i < n; ++i) {
    all.emplace_back([&] {
      const auto place = b.enter();
      ++entered;
      while (!leave) std::this_thread::yield();
    });
    watching_sync::await_parked(i + 1);
  }
  b.resize(4);
  while (entered != 3) std::this_thread::yield();
  CHECK(watching_sync::unparks == 3);
  CHECK(b.in_use() == 4);
  CHECK(b.try_enter().answer() == outcome::full);
  b.resize(0x7FFF'FFFF);  // far more than wait
  while (entered != n) std::this_thread::yield();
  CHECK(watching_sync::unparks == n);
  CHECK(b.places() == 0x7FFF'FFFF);
  leave = true;
  for (auto& t : all) t.join();
  CHECK(b.in_use() == 1);
}

TEST_CASE("fewer places: who is in stays, and nobody is called before enough have left") {
  const watchdog guard("fewer places");
  watching_sync::reset();
  watched b(3);
  auto one = b.enter();
  auto two = b.enter();
  auto three = b.enter();
  std::atomic<bool> entered{false};
  std::thread waiting([&] {
    const auto place = b.enter();
    entered = true;
  });
  watching_sync::await_parked(1);
  b.resize(1);
  CHECK(b.places() == 1);
  CHECK(b.in_use() == 3);
  one.leave();
  two.leave();
  CHECK(b.try_enter().answer() == outcome::full);
  CHECK(watching_sync::unparks == 0);
  CHECK_FALSE(entered);
  three.leave();
  waiting.join();
  CHECK(entered);
  CHECK(watching_sync::unparks == 1);
  CHECK(b.in_use() == 0);
}

TEST_CASE("places out of their range are refused") {
  CHECK_THROWS_WITH(bulkhead(0), "bulkhead: places must be 1 to 2^31 - 1");
  CHECK_THROWS_AS(bulkhead(std::size_t{1} << 31), std::invalid_argument);
  bulkhead b((std::size_t{1} << 31) - 1);
  CHECK(b.places() == (std::size_t{1} << 31) - 1);
  CHECK_THROWS_AS(b.resize(0), std::invalid_argument);
  CHECK_THROWS_AS(b.resize(std::size_t{1} << 31), std::invalid_argument);
  CHECK(b.places() == (std::size_t{1} << 31) - 1);
}

TEST_CASE("threads: never more at once than there are places, whoever waits how") {
  const watchdog guard("places of threads");
  constexpr int places = 2;
  manual_clock clock;
  bulkhead b(clock, places);
  std::atomic<int> in{0};
  std::atomic<int> too_many{0};
  std::atomic<int> entered{0};
  std::vector<std::thread> all;
  for (int t = 0; t < 6; ++t) {
    all.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        auto place = t % 3 == 0 ? b.try_enter() : t % 3 == 1 ? b.enter() : b.enter_for(1h);
        if (!place) continue;
        ++entered;
        if (++in > places) ++too_many;
        if (i % 4 == 0) std::this_thread::yield();
        --in;
      }
    });
  }
  for (auto& t : all) t.join();
  CHECK(too_many == 0);
  CHECK(entered >= 4 * 2000);  // who waits enters
  CHECK(b.in_use() == 0);
}

TEST_CASE(
    "threads: resized all the time, never more at once than there have been places, and nobody is "
    "forgotten") {
  const watchdog guard("resized all the time");
  bulkhead b(1);
  std::atomic<int> in{0};
  std::atomic<int> too_many{0};
  std::atomic<int> running{4};
  std::vector<std::thread> all;
  for (int t = 0; t < 4; ++t) {
    all.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        const auto place = b.enter();
        if (++in > 3) ++too_many;
        if (i % 4 == 0) std::this_thread::yield();
        --in;
      }
      --running;
    });
  }
  std::mt19937_64 random(1);
  while (running != 0) {
    b.resize(1 + random() % 3);
    std::this_thread::yield();
  }
  for (auto& t : all) t.join();
  CHECK(too_many == 0);
  CHECK(b.in_use() == 0);
}

TEST_CASE("a thread that stops anywhere on its way in or out stops nobody who does not wait") {
  const watchdog guard("a thread that stops");
  using support::stall;
  int suspended = 0;
  for (int step = 0;; ++step) {
    bulkhead<std::chrono::steady_clock, support::stalling_sync> b(2);
    stall s(step);
    std::thread victim([&] {
      s.arm();
      {
        const auto place = b.try_enter();
      }
      s.disarm();
    });
    const bool stopped = s.await();
    for (int i = 0; i < 3; ++i) CHECK(b.try_enter());
    if (stopped) s.resume();
    victim.join();
    if (!stopped) break;
    ++suspended;
  }
  CHECK(suspended >= 4);
}
