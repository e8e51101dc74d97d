// How evenly timing_wheel works, whether a host that sleeps until next_wakeup() is in time, and how far ahead it reaches.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include "millrace/time/timing_wheel.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/wheel_script.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::timing_wheel;
using std::chrono::nanoseconds;

using wheel = timing_wheel<std::uint32_t>;
using time_point = wheel::time_point;

constexpr time_point at(nanoseconds since_epoch) { return time_point(since_epoch); }

// A wheel in which a tick is the clock's unit: the horizon is nearer to the ends of its range.
using fine_clock = support::named_clock<nanoseconds>;
using fine_wheel = timing_wheel<std::int64_t, nanoseconds, fine_clock>;

/// Advances at each wake-up and at no other time.
struct sleeper {
  std::size_t wakes = 0;
  std::size_t idle = 0;  // nothing fired, nothing moved
  std::size_t fired = 0;
  std::size_t moved = 0;
  std::size_t most_moved = 0;
  std::size_t missed = 0;  // fired early, or more than a tick late

  template <class Wheel>
  void sleep_until_all_is_done(Wheel& w, std::size_t most_wakes) {
    while (const auto wakeup = w.next_wakeup()) {
      REQUIRE(++wakes <= most_wakes);
      REQUIRE(*wakeup > w.now());
      const auto done = w.advance(*wakeup, [&](auto&, const typename Wheel::expiry& e) {
        if (*wakeup < e.deadline || *wakeup - e.deadline >= typename Wheel::tick(1)) ++missed;
      });
      REQUIRE(w.now() == *wakeup);
      fired += done.fired;
      moved += done.moved;
      most_moved = std::max(most_moved, done.moved);
      if (done.fired + done.moved == 0) ++idle;
    }
  }
};

}  // namespace

TEST_CASE("tick by tick no advance does much more than the average") {
  const auto [spread, crowded] = GENERATE(table<nanoseconds, bool>(
      {{60s, false}, {600s, false}, {nanoseconds(66s), true}, {nanoseconds(400s), true}}));
  constexpr std::uint32_t n = 100'000;
  std::mt19937_64 random(5);
  wheel w(at(1ms * 12'345));
  const time_point start = w.now();
  for (std::uint32_t i = 0; i < n; ++i) {
    // crowded: all within a second, so that they lie in one or two of the wide slots
    const auto d =
        crowded ? spread - 1ns * static_cast<std::int64_t>(random() % 1'000'000'000)
                : 1ns * static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(spread.count()));
    w.schedule(start + d, i);
  }
  std::size_t moved = 0;
  std::size_t most = 0;
  std::size_t most_fired = 0;
  std::size_t ticks = 0;
  std::size_t busy = 0;  // ticks at which anything was moved
  for (time_point now = start; !w.empty(); ++ticks) {
    now += 1ms;
    const auto done = w.advance(now, [](std::uint32_t&) {});
    moved += done.moved;
    most = std::max(most, done.moved);
    most_fired = std::max(most_fired, done.fired);
    busy += done.moved != 0 ? 1 : 0;
    REQUIRE(now <= start + spread + 1ms);
  }
  const double average = static_cast<double>(moved) / static_cast<double>(busy);
  CAPTURE(spread.count(), crowded, moved, most, most_fired, ticks, busy, average);
  CHECK(moved <= 4 * std::size_t{n});
  // A tick at which 100 fire must have had about 100 brought to it.
  CHECK(static_cast<double>(most) <= 3 * average + static_cast<double>(2 * most_fired));
  CHECK(most <= n / 500);
}

TEST_CASE("next_expiry is exact, next_wakeup never later, whatever waits where") {
  std::mt19937_64 random(9);
  for (int round = 0; round < 200; ++round) {
    wheel w(at(nanoseconds(static_cast<std::int64_t>(random() % 1'000'000'000'000))));
    std::vector<time_point> deadlines;
    for (std::size_t i = 0; i < 1 + static_cast<std::size_t>(round) % 7; ++i) {
      const auto distance = static_cast<std::int64_t>(random() >> (1 + random() % 43));
      if (distance > std::int64_t{1} << 61) continue;
      deadlines.push_back(w.now() + nanoseconds(distance));
      w.schedule(deadlines.back(), 0u);
    }
    if (deadlines.empty()) continue;
    std::sort(deadlines.begin(), deadlines.end());
    for (const time_point deadline : deadlines) {
      const time_point tick =
          std::max<time_point>(std::chrono::ceil<std::chrono::milliseconds>(deadline), w.now() + 1ms);
      if (w.empty()) break;
      REQUIRE(w.next_expiry().has_value());
      if (*w.next_expiry() > tick) continue;  // it came together with the one before
      REQUIRE(w.next_expiry() == tick);
      REQUIRE(w.next_wakeup() <= tick);
      REQUIRE(w.advance(tick - 1ms, [](std::uint32_t&) {}).fired == 0);
      REQUIRE(w.next_expiry() == tick);
      REQUIRE(w.next_wakeup() == tick);
      REQUIRE(w.advance(tick, [](std::uint32_t&) {}).fired >= 1);
    }
    REQUIRE(w.empty());
    REQUIRE(w.next_expiry() == std::nullopt);
    REQUIRE(w.next_wakeup() == std::nullopt);
  }
}

TEST_CASE("a few far timers cost a sleeper a wake each") {
  for (const nanoseconds distance : {nanoseconds(1ms), nanoseconds(511ms), nanoseconds(10min),
                                     nanoseconds(24h), nanoseconds(24h * 365), nanoseconds(24h * 3000)}) {
    wheel w(at(5ms));
    for (std::uint32_t i = 0; i < 4; ++i) w.schedule(at(5ms) + (i + 1) * distance, i);
    sleeper s;
    s.sleep_until_all_is_done(w, 4);
    CHECK(s.fired == 4);
    CHECK(s.missed == 0);
  }
}

TEST_CASE("a sleeper that follows next_wakeup alone is in time, and no wake is heavy") {
  // about one slot of a level, full of a million timers
  const std::uint32_t n = SUPPORT_SANITIZED ? 100'000 : 1'000'000;
  std::mt19937_64 random(1);
  wheel w(at(0ms));
  const nanoseconds width =
      GENERATE(nanoseconds(1ms * (1 << 8)), nanoseconds(1ms * (1 << 16)), nanoseconds(1ms * (1 << 24)));
  const nanoseconds from = 5 * width;
  for (std::uint32_t i = 0; i < n; ++i) {
    w.schedule(
        at(from + 1ns * static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(width.count()))), i);
  }
  sleeper s;
  s.sleep_until_all_is_done(w, 4 * std::size_t{n});
  CAPTURE(width.count(), s.wakes, s.moved, s.most_moved, s.idle);
  CHECK(s.fired == n);
  CHECK(s.missed == 0);
  CHECK(s.moved <= 4 * std::size_t{n});
  CHECK(s.idle == 0);
  // 64 for each of the three levels that are being emptied at the same time; a tick is the shortest sleep there is
  const std::size_t at_least = static_cast<std::size_t>(std::int64_t{n} * 1'000'000 / width.count()) + 1;
  CHECK(s.most_moved <= 3 * 64 + 2 * at_least);
  CHECK(s.wakes <= s.fired + s.moved / 10);
}

TEST_CASE("a crowd is brought nearer in time, though a few wait in front of it") {
  // in slots of 256 ticks: one timer at the end of the sixth, and 10,000 in the seventh
  wheel w(at(0ms));
  w.schedule(at(5 * 256ms + 250ms), 0u);
  for (std::uint32_t i = 0; i < 10'000; ++i) w.schedule(at(6 * 256ms + 1ms * (i % 256)), i);
  sleeper s;
  s.sleep_until_all_is_done(w, 10'000);
  CAPTURE(s.wakes, s.moved, s.most_moved);
  CHECK(s.fired == 10'001);
  CHECK(s.missed == 0);
  CHECK(s.most_moved <= 2 * 64);
}

TEST_CASE("timers that were moved later cost no more than a wake each") {
  wheel w(at(0ms));
  std::vector<wheel::handle> h;
  for (std::uint32_t i = 0; i < 100; ++i) h.push_back(w.schedule(at(1s + 10ms * i), i));
  for (std::uint32_t i = 0; i < 100; ++i) REQUIRE(w.reschedule(h[i], at(100s + 10ms * i)));
  sleeper s;
  s.sleep_until_all_is_done(w, 600);
  CHECK(s.fired == 100);
  CHECK(s.missed == 0);
}

// --- the horizon and the ends of the clock ---

TEST_CASE("further than the levels reach: nothing comes early") {
  constexpr std::int64_t horizon = std::int64_t{1} << 40;
  const auto time = [](std::int64_t t) { return fine_clock::time_point(nanoseconds(t)); };
  const std::int64_t start = GENERATE(as<std::int64_t>(), 0, 77'777'777'777'777, -(std::int64_t{1} << 62));
  fine_wheel w(time(start));
  std::vector<std::int64_t> distances;
  for (const std::int64_t base :
       {horizon / 2, horizon, 2 * horizon, 3 * horizon, 1000 * horizon, horizon << 14}) {
    for (const std::int64_t delta : {-257, -256, -1, 0, 1, 255, 256, 257}) distances.push_back(base + delta);
  }
  for (const std::int64_t d : distances) w.schedule(time(start + d), start + d);
  w.schedule(fine_clock::time_point::max(), std::numeric_limits<std::int64_t>::max());
  std::sort(distances.begin(), distances.end());
  std::size_t next = 0;
  const auto handler = [&](std::int64_t& deadline) {
    CHECK(w.now() == time(deadline));
    CHECK(deadline == start + distances[next]);
    ++next;
  };
  SECTION("in one leap") {
    w.advance(time(start + (horizon << 15)), handler);
    CHECK(next == distances.size());
  }
  SECTION("from one to the next") {
    for (const std::int64_t d : distances) {
      REQUIRE(w.next_expiry() == time(start + d));
      REQUIRE(w.advance(time(start + d - 1), handler).fired == 0);
      REQUIRE(w.advance(time(start + d), handler).fired == 1);
    }
  }
  SECTION("by sleeping") {
    std::size_t wakes = 0;
    while (next < distances.size()) {
      REQUIRE(++wakes < 100'000);
      w.advance(*w.next_wakeup(), handler);
    }
  }
  CHECK(w.size() == 1);  // time_point::max()
}

TEST_CASE("centuries and time_point::max never come early") {
  wheel w(at(0ms));
  const nanoseconds century = 24h * 36'525;
  w.schedule((time_point::max)(), 1u);
  w.schedule(at(century), 2u);
  w.schedule(at(2 * century), 3u);
  CHECK(w.next_expiry() == at(century));
  CHECK(w.advance(at(century - 1ms), [](std::uint32_t&) {}).fired == 0);
  CHECK(w.advance(at(century), [](std::uint32_t& n) { CHECK(n == 2); }).fired == 1);
  CHECK(w.advance(at(2 * century + 50 * 8766h), [](std::uint32_t& n) { CHECK(n == 3); }).fired == 1);
  // the last tick begins before the last deadline, which no whole tick meets: it never comes
  CHECK(w.advance((time_point::max)(), [](std::uint32_t&) {}).fired == 0);
  CHECK(w.size() == 1);
}

TEST_CASE("a wheel that begins at either end of the clock") {
  constexpr auto first = fine_clock::time_point::min();
  constexpr auto last = fine_clock::time_point::max();
  std::vector<std::int64_t> seen;
  const auto handler = [&](std::int64_t& n) { seen.push_back(n); };
  SECTION("ticks of a nanosecond, from the first") {
    fine_wheel w(first);
    w.schedule(first, 1);
    w.schedule(first + 1ns, 2);
    w.schedule(first + 24h, 3);
    w.schedule(last, 4);
    CHECK(w.next_expiry() == first + 1ns);
    w.advance(first + 1ns, handler);
    CHECK(seen == std::vector<std::int64_t>{1, 2});
    w.advance(last - 1ns, handler);
    CHECK(seen == std::vector<std::int64_t>{1, 2, 3});
    w.advance(last, handler);
    CHECK(seen == std::vector<std::int64_t>{1, 2, 3, 4});
  }
  SECTION("ticks of a nanosecond, shortly before the last") {
    const std::int64_t before = GENERATE(as<std::int64_t>(), 1, 2, 255, 300, 70'000, std::int64_t{1} << 41);
    fine_wheel w(last - nanoseconds(before));
    w.schedule(last, 2);
    w.schedule(last - 1ns, 1);
    w.schedule(first, 0);
    for (int wakes = 0; wakes < 50 && !w.empty(); ++wakes)
      w.advance(std::max(w.now(), *w.next_wakeup()), handler);
    CHECK(w.empty());
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::int64_t>{0, 1, 2});
  }
  SECTION("wider ticks, which the ends do not divide") {
    wheel w(time_point::min());
    std::size_t fired = 0;
    w.schedule(time_point::min(), 0u);
    w.schedule(time_point::min() + 5ms, 1u);
    w.schedule(time_point::max() - 5ms, 2u);
    CHECK(w.now() == time_point::min());
    fired += w.advance(time_point::min() + 10ms, [](std::uint32_t&) {}).fired;
    CHECK(fired == 2);
    fired += w.advance(time_point::max(), [](std::uint32_t&) {}).fired;
    CHECK(fired == 3);
  }
}
