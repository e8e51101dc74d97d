// The clock that moves only when told to, and wakes who waits on it.
#include "millrace/core/manual_clock.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using time_point = manual_clock::time_point;

constexpr time_point at(std::chrono::nanoseconds since) { return time_point(since); }

void count(void* context) noexcept { ++*static_cast<int*>(context); }

}  // namespace

TEST_CASE("the clock stands, advances and is set") {
  manual_clock clock;
  CHECK(clock.now() == at(0s));
  CHECK(clock.now() == at(0s));
  clock.advance(3s);
  CHECK(clock.now() == at(3s));
  clock.advance(0s);
  CHECK(clock.now() == at(3s));
  clock.set(at(10s));
  CHECK(clock.now() == at(10s));
  clock.set(at(-5s));
  CHECK(clock.now() == at(-5s));
  CHECK(manual_clock(at(7min)).now() == at(7min));
  CHECK_FALSE(manual_clock::is_steady);
}

TEST_CASE("advance refuses to go back, and stops at the end of time") {
  manual_clock clock(at(5s));
  try {
    clock.advance(-1ns);
    FAIL("it went back");
  } catch (const std::invalid_argument& e) {
    const std::string text = e.what();
    CHECK(text.find("manual_clock::advance: by must be 0 or more") != std::string::npos);
  }
  CHECK(clock.now() == at(5s));
  clock.advance((std::chrono::nanoseconds::max)());
  CHECK(clock.now() == (time_point::max)());
}

TEST_CASE("an alarm rings at its deadline, not before, and no more once it is gone") {
  manual_clock clock;
  int rings = 0;
  {
    const manual_clock::alarm alarm(clock, at(10s), count, &rings);
    CHECK(rings == 0);
    clock.advance(10s - 1ns);
    CHECK(rings == 0);
    clock.advance(1ns);
    CHECK(rings == 1);
  }
  clock.advance(1h);
  CHECK(rings == 1);
  const manual_clock::alarm late(clock, at(10s), count, &rings);  // its time has passed already
  CHECK(rings == 2);
}

TEST_CASE("setting the clock back rings nothing; forwards again, what is due") {
  manual_clock clock(at(10s));
  int rings = 0;
  const manual_clock::alarm alarm(clock, at(20s), count, &rings);
  clock.set(at(0s));
  CHECK(rings == 0);
  clock.set(at(20s));
  CHECK(rings == 1);
}

TEST_CASE("alarms come and go in any order") {
  manual_clock clock;
  constexpr int n = 6;
  for (int gone = 0; gone < n; ++gone) {
    int rings[n] = {};
    std::vector<std::unique_ptr<manual_clock::alarm>> alarms;
    const auto base = clock.now();
    for (int i = 0; i < n; ++i) {
      alarms.push_back(std::make_unique<manual_clock::alarm>(clock, base + (i + 1) * 1s, count, &rings[i]));
    }
    alarms[static_cast<std::size_t>(gone)].reset();
    clock.advance(3s);
    for (int i = 0; i < n; ++i) CHECK(rings[i] == (i < 3 && i != gone ? 1 : 0));
    clock.advance(1h);
    for (int i = 3; i < n; ++i) CHECK(rings[i] == (i != gone ? 1 : 0));
  }
}

TEST_CASE("await_waiters returns when so many wait, and at once when they do") {
  const support::watchdog guard("await_waiters");
  manual_clock clock;
  clock.await_waiters(0);
  int rings = 0;
  const manual_clock::alarm one(clock, at(1s), count, &rings);
  clock.await_waiters(1);
  std::atomic<bool> met{false};
  std::thread waiting([&] {
    clock.await_waiters(2);
    met = true;
  });
  {
    const manual_clock::alarm two(clock, at(1s), count, &rings);
    waiting.join();
    CHECK(met);
  }
  // One has gone: two are not there any more.
  met = false;
  std::thread again([&] {
    clock.await_waiters(2);
    met = true;
  });
  for (int i = 0; i < 200; ++i) std::this_thread::yield();
  CHECK_FALSE(met);
  const manual_clock::alarm three(clock, at(1s), count, &rings);
  again.join();
  clock.advance(1s);
  CHECK(rings == 2);
}

TEST_CASE("who sees the new time sees what was written before") {
  const support::watchdog guard("the new time");
  manual_clock clock;
  int written = 0;
  std::thread reader([&] {
    while (clock.now() < at(1s)) std::this_thread::yield();
    written += 1;  // a race, were it not for the clock
  });
  written = 41;
  clock.advance(1s);
  reader.join();
  CHECK(written == 42);
}
