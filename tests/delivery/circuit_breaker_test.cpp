// The whole machine: from each state with each event, who counts in which, and when it is left again; and from many threads
// never more probes than are wanted.
#include "millrace/delivery/circuit_breaker.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <latch>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::circuit_breaker;
using millrace::circuit_breaker_options;
using millrace::circuit_state;
using millrace::manual_clock;
using std::chrono::nanoseconds;
using time_point = manual_clock::time_point;
using breaker = circuit_breaker<manual_clock>;

static_assert(!std::is_copy_constructible_v<breaker::permit> &&
              std::is_nothrow_move_constructible_v<breaker::permit>);

time_point at(nanoseconds t) { return time_point(t); }

bool succeed(breaker& b) {
  auto p = b.try_acquire();
  const bool could = static_cast<bool>(p);
  p.success();
  return could;
}
bool fail(breaker& b) {
  auto p = b.try_acquire();
  const bool could = static_cast<bool>(p);
  p.failure();
  return could;
}

constexpr auto closed = circuit_state::closed;
constexpr auto open = circuit_state::open;
constexpr auto half_open = circuit_state::half_open;

/// Opens after two failures; one probe; open for 10 s, then 20 s, and so on up to 60 s.
const circuit_breaker_options quick{
    .window = 4, .minimum = 2, .open_for = 10s, .growth = 2, .open_for_at_most = 60s};

/// A breaker that has got into a state.
struct in_state {
  manual_clock clock;
  breaker b{clock, quick};
  explicit in_state(circuit_state wanted) {
    if (wanted == closed) return;
    fail(b);
    fail(b);
    if (wanted == open) return;
    clock.advance(10s);
    static_cast<void>(b.try_acquire());  // given back at once
  }
};

}  // namespace

TEST_CASE("the table: each event in each state") {
  const auto never = (time_point::min)();
  struct row {
    circuit_state from;
    const char* event;
    void (*run)(in_state&);
    circuit_state to;
    time_point opens_at;
    std::uint64_t opened;
    std::uint64_t rejected;
  };
  const auto ask = [](in_state& s) { static_cast<void>(s.b.try_acquire()); };
  const auto success = [](in_state& s) { succeed(s.b); };
  const auto failure = [](in_state& s) { fail(s.b); };
  const auto two_failures = [](in_state& s) { fail(s.b), fail(s.b); };
  const auto trip = [](in_state& s) { s.b.trip(); };
  const auto reset = [](in_state& s) { s.b.reset(); };
  const auto too_early = [](in_state& s) {
    s.clock.advance(10s - 1ns);
    static_cast<void>(s.b.try_acquire());
  };
  const auto in_time = [](in_state& s) {
    s.clock.advance(10s);
    static_cast<void>(s.b.try_acquire());
  };
  const auto later_trip = [](in_state& s) {
    s.clock.advance(7s);
    s.b.trip();
  };
  const auto time = [](in_state& s) { s.clock.advance(1h); };
  const std::vector<row> table = {
      {closed, "asked", ask, closed, never, 0, 0},
      {closed, "success", success, closed, never, 0, 0},
      {closed, "one failure of two", failure, closed, never, 0, 0},
      {closed, "failures", two_failures, open, at(10s), 1, 0},
      {closed, "time", time, closed, never, 0, 0},
      {closed, "trip", trip, open, at(10s), 1, 0},
      {closed, "reset", reset, closed, never, 0, 0},
      {open, "asked", ask, open, at(10s), 1, 1},
      {open, "asked too early", too_early, open, at(10s), 1, 1},
      {open, "asked in time", in_time, half_open, never, 1, 0},
      {open, "time alone", time, open, at(10s), 1, 0},
      {open, "trip", trip, open, at(10s), 2, 0},
      {open, "trip later", later_trip, open, at(17s), 2, 0},
      {open, "reset", reset, closed, never, 1, 0},
      {half_open, "asked", ask, half_open, never, 1, 0},
      {half_open, "success", success, closed, never, 1, 0},
      {half_open, "failure", failure, open, at(10s + 20s), 2, 0},
      {half_open, "time", time, half_open, never, 1, 0},
      {half_open, "trip", trip, open, at(10s + 20s), 2, 0},
      {half_open, "reset", reset, closed, never, 1, 0},
  };
  for (const row& r : table) {
    CAPTURE(static_cast<int>(r.from), r.event);
    in_state s(r.from);
    REQUIRE(s.b.state() == r.from);
    r.run(s);
    CHECK(s.b.state() == r.to);
    CHECK(s.b.opens_at() == r.opens_at);
    CHECK(s.b.opened() == r.opened);
    CHECK(s.b.rejected() == r.rejected);
  }
}

TEST_CASE("it opens when the part of failures among the last calls is too large, and has seen enough") {
  std::mt19937_64 random(1);
  for (const double failure_rate : {0.1, 0.3, 0.5, 0.7, 1.0}) {
    for (const std::size_t window : {1u, 2u, 10u, 64u, 100u}) {
      for (const std::size_t minimum : {std::size_t{1}, (window + 1) / 2, window}) {
        CAPTURE(failure_rate, window, minimum);
        manual_clock clock;
        breaker b(clock, {.window = window, .minimum = minimum, .failure_rate = failure_rate});
        std::deque<bool> last;
        const auto percent = static_cast<std::size_t>(failure_rate * 100 + 0.5);
        int wrong = 0;
        for (int i = 0; i < 3000; ++i) {
          // Mostly a little below the rate, so that it is the window that decides.
          const bool failed = random() % 1000 < percent * 8 || random() % 200 == 0;
          failed ? fail(b) : succeed(b);
          last.push_back(failed);
          if (last.size() > window) last.pop_front();
          std::size_t failures = 0;
          for (const bool f : last) failures += f ? 1 : 0;
          const bool opens = last.size() >= minimum && failures * 100 >= percent * last.size();
          if (b.state() != (opens ? open : closed)) ++wrong;
          if (opens) {
            b.reset();
            last.clear();
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("a permit counts in the state that gave it, and for nothing in a later one") {
  manual_clock clock;
  breaker b(clock, quick);
  std::vector<breaker::permit> old;
  for (int i = 0; i < 6; ++i) old.push_back(b.try_acquire());
  fail(b);
  fail(b);
  REQUIRE(b.state() == open);
  old[0].success();
  old[1].failure();
  CHECK(b.state() == open);
  CHECK(b.opened() == 1);
  CHECK(b.opens_at() == at(10s));

  clock.advance(10s);
  auto probe = b.try_acquire();
  REQUIRE(probe);
  old[2].success();
  CHECK(b.state() == half_open);
  old[3].failure();
  CHECK(b.state() == half_open);
  CHECK_FALSE(b.try_acquire());  // and its place has not come free by that
  probe.success();
  REQUIRE(b.state() == closed);
  old[4].failure();
  fail(b);
  CHECK(b.state() == closed);  // one failure in this one

  b.reset();
  old[5].failure();
  fail(b);
  CHECK(b.state() == closed);  // likewise
  fail(b);
  REQUIRE(b.state() == open);

  clock.advance(10s);
  auto first = b.try_acquire();
  b.trip();
  clock.advance(20s);
  auto second = b.try_acquire();
  REQUIRE(second);
  first.success();
  CHECK(b.state() == half_open);
  CHECK_FALSE(b.try_acquire());

  b.trip();
  clock.advance(40s);
  auto third = b.try_acquire();
  REQUIRE(third);
  second = breaker::permit();
  CHECK_FALSE(b.try_acquire());  // it was a place of the time before
  third.success();
  CHECK(b.state() == closed);
}

TEST_CASE("a permit has one verdict; without one it is not counted, and a probe is given back") {
  manual_clock clock;
  breaker b(clock, quick);
  {
    auto p = b.try_acquire();
    CHECK(p);
    p.failure();
    CHECK_FALSE(p);
    p.failure();
    p.success();
  }
  for (int i = 0; i < 10; ++i) CHECK(b.try_acquire());  // none is counted
  CHECK(b.state() == closed);
  fail(b);
  REQUIRE(b.state() == open);

  clock.advance(10s);
  for (int i = 0; i < 5; ++i) {
    auto p = b.try_acquire();
    CHECK(p);
    CHECK_FALSE(b.try_acquire());
    auto q = std::move(p);
    CHECK(q);
    CHECK_FALSE(p);  // NOLINT(bugprone-use-after-move)
    CHECK_FALSE(b.try_acquire());
    breaker::permit none;
    CHECK_FALSE(none);
    none.success();
    q = std::move(none);  // lets go of the probe
    CHECK(b.state() == half_open);
  }
  CHECK(b.rejected() == 10);
  breaker::permit mine = b.try_acquire();
  breaker::permit& same = mine;
  mine = std::move(same);
  CHECK(mine);
  mine.success();
  CHECK(b.state() == closed);
}

TEST_CASE("so many probes at once, and so many successes in all") {
  manual_clock clock;
  circuit_breaker_options o = quick;
  o.probes = 3;
  breaker b(clock, o);
  b.trip();
  clock.advance(10s);
  auto one = b.try_acquire();
  auto two = b.try_acquire();
  auto three = b.try_acquire();
  CHECK((one && two && three));
  CHECK_FALSE(b.try_acquire());
  one.success();
  CHECK_FALSE(b.try_acquire());  // two more are wanted, and they are under way
  {
    const auto dropped = std::move(two);
  }
  auto again = b.try_acquire();
  CHECK(again);
  CHECK_FALSE(b.try_acquire());
  three.success();
  CHECK(b.state() == half_open);
  again.success();
  CHECK(b.state() == closed);

  b.trip();
  clock.advance(10s);
  auto good = b.try_acquire();
  auto bad = b.try_acquire();
  auto late = b.try_acquire();
  good.success();
  bad.failure();
  CHECK(b.state() == open);
  clock.advance(20s);
  auto next = b.try_acquire();  // three successes are wanted again
  late.success();
  next.success();
  CHECK(b.state() == half_open);
}

TEST_CASE("opened again, it stays so longer, up to its most; closed, it begins anew") {
  manual_clock clock;
  breaker b(clock, quick);
  b.trip();
  for (const auto wait : {10s, 20s, 40s, 60s, 60s}) {
    CHECK(b.opens_at() == clock.now() + wait);
    clock.advance(wait);
    CHECK(fail(b));
  }
  clock.advance(60s);
  CHECK(succeed(b));
  REQUIRE(b.state() == closed);
  b.trip();
  CHECK(b.opens_at() == clock.now() + 10s);
  clock.advance(10s);
  CHECK(fail(b));
  CHECK(b.opens_at() == clock.now() + 20s);
  b.trip();
  CHECK(b.opens_at() == clock.now() + 20s);  // it was open
  b.reset();
  b.trip();
  CHECK(b.opens_at() == clock.now() + 10s);
  CHECK(b.opened() == 10);

  // The longest there are.
  breaker without_end(clock, {.open_for = 1h, .growth = std::numeric_limits<double>::infinity()});
  without_end.trip();
  clock.advance(1h);
  CHECK(fail(without_end));
  CHECK(without_end.opens_at() == (time_point::max)());
  CHECK_FALSE(without_end.try_acquire());

  breaker always_the_same(clock, {.open_for = 1h + 1ns});
  always_the_same.trip();
  for (int i = 0; i < 3; ++i) {
    clock.advance(1h);
    CHECK_FALSE(always_the_same.try_acquire());
    clock.advance(1ns);
    CHECK(fail(always_the_same));
  }
}

TEST_CASE("a clock that is set back keeps it open until its time comes") {
  in_state s(open);
  s.clock.set(at(-1h));
  CHECK_FALSE(s.b.try_acquire());
  CHECK(s.b.opens_at() == at(10s));
  s.clock.set(at(10s - 1ns));
  CHECK_FALSE(s.b.try_acquire());
  s.clock.set(at(10s));
  auto probe = s.b.try_acquire();
  CHECK(probe);
  s.clock.set(at(-1h));  // half-open and closed ones do not look at it
  probe.success();
  CHECK(s.b.state() == closed);
  CHECK(s.b.try_acquire());
}

TEST_CASE("call: what it returns, and what it throws") {
  manual_clock clock;
  breaker b(clock, quick);
  CHECK(b.call([] { return std::string("yes"); }) == std::optional<std::string>("yes"));
  int runs = 0;
  CHECK(b.call([&] { ++runs; }));
  const int five = 5;
  CHECK(b.call([&]() -> const int& { return five; }) == std::optional<int>(5));
  CHECK_THROWS_AS(b.call([]() -> int { throw std::runtime_error("down"); }), std::runtime_error);
  CHECK(b.state() == closed);  // one of four
  CHECK_THROWS_AS(b.call([] { throw std::runtime_error("down"); }), std::runtime_error);
  REQUIRE(b.state() == open);
  CHECK_FALSE(b.call([&] { ++runs; }));
  CHECK(b.call([] { return 1; }) == std::nullopt);
  CHECK(runs == 1);
  clock.advance(10s);
  CHECK_THROWS_AS(b.call([] { throw 1; }), int);
  CHECK(b.opened() == 2);
  clock.advance(20s);
  CHECK(b.call([&] { ++runs; }));
  CHECK(b.state() == closed);
  CHECK(runs == 2);
}

TEST_CASE("options out of their range are refused") {
  manual_clock clock;
  const auto refuses = [&](const circuit_breaker_options& o, const char* message) {
    CHECK_THROWS_WITH(breaker(clock, o), message);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refuses({.window = 0, .minimum = 0}, "circuit_breaker: window must be 1 to 1,048,576");
  refuses({.window = 1'048'577}, "circuit_breaker: window must be 1 to 1,048,576");
  refuses({.minimum = 0}, "circuit_breaker: minimum must be 1 to window");
  refuses({.minimum = 21}, "circuit_breaker: minimum must be 1 to window");
  refuses({.failure_rate = 0}, "circuit_breaker: failure_rate must be more than 0, up to 1");
  refuses({.failure_rate = 1.01}, "circuit_breaker: failure_rate must be more than 0, up to 1");
  refuses({.failure_rate = nan}, "circuit_breaker: failure_rate must be more than 0, up to 1");
  refuses({.open_for = 0s}, "circuit_breaker: open_for must be more than 0");
  refuses({.growth = 0.99}, "circuit_breaker: growth must be 1 or more");
  refuses({.growth = nan}, "circuit_breaker: growth must be 1 or more");
  refuses({.open_for = 2s, .open_for_at_most = 1s},
          "circuit_breaker: open_for_at_most must be open_for or more");
  refuses({.probes = 0}, "circuit_breaker: probes must be 1 or more");

  // The defaults: 10 calls of the last 20, half of them failures, 5 s, one probe.
  circuit_breaker<> by_steady_clock;
  CHECK(by_steady_clock.state() == closed);
  circuit_breaker b(clock);
  for (int i = 0; i < 9; ++i) CHECK(fail(b));
  CHECK(b.state() == closed);
  CHECK(fail(b));
  CHECK(b.state() == open);
  CHECK(b.opens_at() == at(5s));
}

TEST_CASE("threads: never more probes at once than are wanted") {
  const support::watchdog guard("probes of threads");
  constexpr int probes = 2;
  manual_clock clock;
  breaker b(clock, {.open_for = 1us, .probes = probes});
  b.trip();
  clock.advance(1us);
  std::atomic<int> held{0};
  std::atomic<int> given{0};
  std::atomic<int> too_many{0};
  std::vector<std::thread> all;
  for (int t = 0; t < 6; ++t) {
    all.emplace_back([&] {
      for (int i = 0; i < 3000; ++i) {
        const auto p = b.try_acquire();  // half-open all the time, as nobody gives a verdict
        if (!p) continue;
        ++given;
        if (++held > probes) ++too_many;
        std::this_thread::yield();
        --held;
      }
    });
  }
  for (auto& t : all) t.join();
  CHECK(too_many == 0);
  CHECK(given > 100);
  CHECK(b.state() == half_open);
  CHECK(given + static_cast<int>(b.rejected()) == 6 * 3000);
  auto one = b.try_acquire();
  auto two = b.try_acquire();
  CHECK((one && two));  // all places have come back
  CHECK_FALSE(b.try_acquire());
}

TEST_CASE("threads: every verdict is counted, and through all states everybody gets an answer") {
  const support::watchdog guard("verdicts of threads");
  constexpr int threads = 4;
  manual_clock clock;
  {
    constexpr int each = 50'000;
    breaker b(clock, {.window = threads * each, .minimum = threads * each, .failure_rate = 1});
    std::latch begin(threads);
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&] {
        begin.arrive_and_wait();
        for (int i = 0; i < each; ++i) fail(b);
      });
    }
    for (auto& t : all) t.join();
    CHECK(b.opened() == 1);  // with the very last one
    CHECK(b.rejected() == 0);
  }
  breaker b(clock, {.window = 8, .minimum = 4, .open_for = 1us, .probes = 3});
  std::atomic<std::uint64_t> given{0};
  std::atomic<std::uint64_t> asked{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      for (int i = 0; i < 10'000; ++i) {
        ++asked;
        auto p = b.try_acquire();
        if (!p) {
          if (random() % 4 == 0) clock.advance(1us);
          continue;
        }
        ++given;
        switch (random() % 8) {
          case 0:
          case 1:
          case 2: p.failure(); break;
          case 3: break;
          case 4: b.trip(); break;
          default: p.success(); break;
        }
      }
    });
  }
  for (auto& t : all) t.join();
  CHECK(given + b.rejected() == asked);
  CHECK(b.opened() > 100);
  b.trip();
  clock.advance(1us);
  for (int i = 0; i < 3; ++i) CHECK(succeed(b));
  CHECK(b.state() == closed);
}
