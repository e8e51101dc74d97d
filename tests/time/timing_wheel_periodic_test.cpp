// The periodic timers of timing_wheel: when they come, what becomes of missed periods, and how they end.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "millrace/time/timing_wheel.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::missed_periods;
using millrace::timing_wheel;
using std::chrono::nanoseconds;
using support::ints;
using support::numbers;

using wheel = timing_wheel<int>;
using handle = wheel::handle;
using expiry = wheel::expiry;
using time_point = wheel::time_point;

constexpr time_point at(nanoseconds since_epoch) { return time_point(since_epoch); }

struct firing {
  nanoseconds deadline;
  nanoseconds tick;
  std::uint64_t missed;
  bool operator==(const firing&) const = default;
};
std::ostream& operator<<(std::ostream& out, const firing& f) {
  return out << f.deadline.count() << " at " << f.tick.count() << " missed " << f.missed;
}
using firings = std::vector<firing>;

firings fire_until(wheel& w, nanoseconds now) {
  firings seen;
  w.advance(at(now), [&](int&, const expiry& e) {
    seen.push_back({e.deadline.time_since_epoch(), w.now().time_since_epoch(), e.missed});
    CHECK(w.is_scheduled(e.timer));
  });
  return seen;
}

std::string refusal(wheel& w, nanoseconds period) {
  try {
    w.schedule_every(at(1ms), period, 1);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "taken";
}

}  // namespace

TEST_CASE("a period shorter than a tick is refused by name") {
  wheel w(at(0ms));
  for (const nanoseconds bad :
       {nanoseconds(1ms - 1ns), 1ns, 0ns, -1ns, nanoseconds(-5ms), (nanoseconds::min)()}) {
    CHECK(refusal(w, bad) == "timing_wheel::schedule_every: period must be a tick at least");
  }
  CHECK(w.empty());
  CHECK(refusal(w, 1ms) == "taken");
}

TEST_CASE("without drift, also when the period is not a whole number of ticks") {
  wheel w(at(0ms));
  const handle h = w.schedule_every(at(3ms), 1ms + 300us, 1);
  CHECK(w.size() == 1);
  CHECK(w.is_scheduled(h));
  CHECK(fire_until(w, 2ms).empty());
  int n = 0;
  for (auto now = 3ms; now <= 5000ms; now += 1ms) {
    for (const firing& f : fire_until(w, now)) {
      const nanoseconds deadline = 3ms + n * 1300us;
      REQUIRE(f == firing{deadline, now, 0});
      REQUIRE(now >= deadline);
      REQUIRE(now < deadline + 1ms);
      ++n;
    }
  }
  CHECK(n == 1 + 4997 * 10 / 13);
  CHECK(w.size() == 1);
}

TEST_CASE("in one long advance every period is either fired or counted") {
  wheel w(at(0ms));
  SECTION("skip: once, and the missed ones are told") {
    w.schedule_every(at(10ms), 10ms, 1);
    CHECK(fire_until(w, 55ms) == firings{{10ms, 10ms, 4}});
    CHECK(fire_until(w, 59ms).empty());
    CHECK(fire_until(w, 60ms) == firings{{60ms, 60ms, 0}});
    CHECK(fire_until(w, 70ms) == firings{{70ms, 70ms, 0}});
    CHECK(fire_until(w, 24h) == firings{{80ms, 80ms, (24 * 3600'000 - 80) / 10}});
    CHECK(w.next_expiry() == at(24h + 10ms));
  }
  SECTION("skip, when the advance ends at a period exactly: that one has passed too") {
    w.schedule_every(at(10ms), 10ms, 1);
    CHECK(fire_until(w, 30ms) == firings{{10ms, 10ms, 2}});
    CHECK(w.next_expiry() == at(40ms));
  }
  SECTION("skip, with a remainder below a tick: no drift") {
    w.schedule_every(at(10ms), 10ms + 1ns, 1);
    CHECK(fire_until(w, 100s) == firings{{10ms, 10ms, 9998}});
    CHECK(w.next_expiry() == at(100s + 1ms));
    CHECK(fire_until(w, 100s + 1ms) == firings{{100s + 9999ns, 100s + 1ms, 0}});
  }
  SECTION("catch_up: once for each, at its own tick") {
    w.schedule_every(at(10ms), 10ms, 1, missed_periods::catch_up);
    CHECK(fire_until(w, 35ms) == firings{{10ms, 10ms, 0}, {20ms, 20ms, 0}, {30ms, 30ms, 0}});
    CHECK(fire_until(w, 40ms) == firings{{40ms, 40ms, 0}});
  }
  SECTION("catch_up from the past: a tick for each") {
    w.advance(at(100ms), [](int&) {});
    w.schedule_every(at(70ms), 10ms, 1, missed_periods::catch_up);
    CHECK(fire_until(w, 101ms) == firings{{70ms, 101ms, 0}});
    CHECK(fire_until(w, 103ms) == firings{{80ms, 102ms, 0}, {90ms, 103ms, 0}});
    CHECK(fire_until(w, 200ms).size() == 11);
  }
  SECTION("skip from the past: once, and then in step with the first") {
    w.advance(at(100ms), [](int&) {});
    w.schedule_every(at(-993ms), 10ms, 1);
    CHECK(fire_until(w, 101ms) == firings{{-993ms, 101ms, 109}});
    CHECK(w.next_expiry() == at(107ms));
  }
}

TEST_CASE("a period as short as a tick, and one as long as the clock") {
  wheel w(at(0ms));
  w.schedule_every(at(1ms), 1ms, 1, missed_periods::catch_up);
  CHECK(fire_until(w, 1000ms).size() == 1000);
  wheel v(at(0ms));
  v.schedule_every(at(5ms), (nanoseconds::max)(), 1);
  CHECK(fire_until(v, 24h * 36'500).size() == 1);
  CHECK(v.size() == 1);  // it will not come again while the clock runs, and is there
  wheel u((time_point::min)());
  u.schedule_every((time_point::min)(), (nanoseconds::max)(), 1, missed_periods::catch_up);
  CHECK(fire_until(u, -1ns - 1ms).size() == 1);
  CHECK(fire_until(u, 0ms) == firings{{-1ns, 0ms, 0}});
}

TEST_CASE("among others of its tick a periodic timer stands where its turn before put it") {
  wheel w(at(0ms));
  w.schedule_every(at(10ms), 10ms, 0);
  w.schedule(at(20ms), 1);  // scheduled before the periodic one came round
  ints seen;
  const auto handler = [&](int& n) { seen.push_back(n); };
  w.advance(at(10ms), handler);
  w.schedule(at(20ms), 2);
  w.advance(at(20ms), handler);
  CHECK(seen == ints{0, 1, 0, 2});
}

TEST_CASE("cancelled from outside, by its own handler, by a neighbour") {
  wheel w(at(0ms));
  ints seen;
  const handle a = w.schedule_every(at(10ms), 10ms, 0);
  const handle b = w.schedule_every(at(10ms), 10ms, 1);
  const handle c = w.schedule_every(at(10ms), 10ms, 2);
  w.advance(at(10ms), [&](int& n, const expiry& e) {
    seen.push_back(n);
    if (n == 0) {
      CHECK(w.size() == 3);
      CHECK(w.cancel(e.timer));
      CHECK_FALSE(w.cancel(e.timer));
      CHECK_FALSE(w.is_scheduled(e.timer));
      CHECK(w.size() == 2);
      CHECK(w.cancel(b));
    }
  });
  CHECK(seen == ints{0, 2});
  CHECK_FALSE(w.is_scheduled(a));
  CHECK(w.find(a) == nullptr);
  CHECK(w.size() == 1);
  CHECK(w.extract(c) == 2);
  CHECK(w.empty());
  CHECK(fire_until(w, 1s).empty());

  // the place of a periodic timer does not make the next one in it periodic
  for (int i = 0; i < 3; ++i) w.schedule(at(2s), i);
  CHECK(w.advance(at(9s), [](int&) {}).fired == 3);
  CHECK(w.empty());
}

TEST_CASE("rescheduled, the period goes on from there") {
  wheel w(at(0ms));
  const handle h = w.schedule_every(at(10ms), 10ms, 0);
  SECTION("from outside") {
    CHECK(w.reschedule(h, at(13ms)));
    CHECK(fire_until(w, 13ms) == firings{{13ms, 13ms, 0}});
    CHECK(w.next_expiry() == at(23ms));
  }
  SECTION("by its own handler") {
    w.advance(at(50ms), [&](int&, const expiry& e) {
      CHECK(w.size() == 1);
      if (e.deadline == at(10ms)) CHECK(w.reschedule(e.timer, at(45ms)));
      CHECK(w.size() == 1);
    });
    CHECK(w.next_expiry() == at(55ms));
    CHECK(w.size() == 1);
  }
  SECTION("by its own handler, and then cancelled there") {
    w.advance(at(10ms), [&](int&, const expiry& e) {
      CHECK(w.reschedule(e.timer, at(12ms)));
      CHECK(w.cancel(e.timer));
      CHECK(w.empty());
    });
    CHECK(fire_until(w, 1s).empty());
    CHECK(w.find(h) == nullptr);
  }
  SECTION("cancelled by its own handler, and then once more after all") {
    std::size_t calls = 0;
    const auto handler = [&](int&, const expiry& e) {
      if (++calls > 1) return;
      CHECK(w.cancel(e.timer));
      CHECK(w.reschedule(e.timer, at(12ms)));
      CHECK(w.size() == 1);
    };
    w.advance(at(10ms), handler);
    w.advance(at(1s), handler);
    CHECK(calls == 2);
    CHECK(w.empty());
  }
}

TEST_CASE("a handler that throws does not end the period") {
  wheel w(at(0ms));
  w.schedule_every(at(10ms), 10ms, 0);
  CHECK_THROWS_AS(w.advance(at(10ms), [](int&) { throw support::thrown(); }), support::thrown);
  CHECK(w.size() == 1);
  CHECK(w.next_expiry() == at(20ms));
  CHECK(fire_until(w, 20ms) == firings{{20ms, 20ms, 0}});
}

TEST_CASE("drain fires a periodic timer once; one that a throwing handler left behind stays periodic") {
  wheel w(at(0ms));
  for (int i = 0; i < 4; ++i) w.schedule_every(at(10ms * (i + 1)), 100ms, i);
  ints seen;
  CHECK_THROWS_AS(w.drain([&](int& n) {
    seen.push_back(n);
    if (n == 1) throw support::thrown();
  }),
                  support::thrown);
  CHECK(seen == ints{0, 1});
  CHECK(w.size() == 2);
  CHECK(fire_until(w, 40ms) == firings{{30ms, 30ms, 0}, {40ms, 40ms, 0}});
  CHECK(fire_until(w, 140ms) == firings{{130ms, 130ms, 0}, {140ms, 140ms, 0}});
  seen.clear();
  CHECK(w.drain([&](int& n, const expiry& e) {
    seen.push_back(n);
    CHECK(e.missed == 0);
    CHECK_FALSE(w.is_scheduled(e.timer));
  }) == 2);
  CHECK(seen == ints{2, 3});
  CHECK(w.empty());
  CHECK(fire_until(w, 1h).empty());
}

TEST_CASE("with a budget a periodic timer that is always due does not keep the others waiting") {
  wheel w(at(0ms));
  w.schedule_every(at(1ms), 1ms, 0, missed_periods::catch_up);
  for (int i = 1; i <= 50; ++i) w.schedule(at(1ms * i), i);
  ints others;
  int calls = 0;
  int rounds = 0;
  while (w.advance(
              at(50ms),
              [&](int& n) {
                if (n == 0) {
                  ++rounds;
                } else {
                  others.push_back(n);
                }
              },
              3)
             .more) {
    REQUIRE(++calls < 1000);
  }
  CHECK(others == numbers(1, 50));
  CHECK(rounds == 50);
}

TEST_CASE("at the clock's end a period stands still instead of coming round") {
  const nanoseconds end = (nanoseconds::max)();
  wheel w(at(end - 10s));
  w.schedule_every(at(end - 5s), 3s, 1);
  w.schedule_every(at(end - 5s), 3s, 2, missed_periods::catch_up);
  std::size_t fired = 0;
  for (nanoseconds now = end - 10s; now < end - 1ms; now += 1ms) {
    fired += w.advance(at(now), [](int&, const expiry& e) { CHECK(e.missed == 0); }).fired;
  }
  CHECK(fired == 4);
  CHECK(w.size() == 2);
  CHECK(w.advance(at(end), [](int&) {}).fired == 0);
}
