// Rates to the nanosecond: what a limiter grants over every window of a random run, against a bucket counted in whole numbers;
// an hour of a rate that divides nothing; what is given back; clocks that are set; many threads, and many keys.
#include "millrace/delivery/rate_limiter.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/stalling_sync.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::keyed_rate_limiter;
using millrace::manual_clock;
using millrace::rate_limiter;
using std::chrono::nanoseconds;
using time_point = manual_clock::time_point;
using limiter = rate_limiter<manual_clock>;

time_point at(std::int64_t ns) { return time_point(nanoseconds(ns)); }
std::int64_t ns_of(time_point t) { return t.time_since_epoch().count(); }

struct rate {
  std::uint64_t permits;
  nanoseconds per;
  std::uint64_t burst;
  [[nodiscard]] std::uint64_t ns() const { return static_cast<std::uint64_t>(per.count()); }
};

/// A bucket of burst permits, in parts of which the clock brings `permits` each nanosecond, and `per` make a permit. A
/// nanosecond is given as a whole, and so it may hold up to one more.
struct bucket {
  rate r;
  std::uint64_t level = r.burst * r.ns();
  std::int64_t then = 0;

  void go_to(std::int64_t now) {
    const std::uint64_t full = r.burst * r.ns();
    level += static_cast<std::uint64_t>(now - then) * r.permits;
    if (level >= full + r.permits) level = full;
    then = now;
  }
  bool take(std::uint64_t n) {
    if (level < n * r.ns()) return false;
    level -= n * r.ns();
    return true;
  }
};

struct used {
  std::int64_t when;
  std::uint64_t n;
};

/// The first pair of grants that has too much between them, as text; nothing if there is none. In `when`'s order.
std::string too_much(const rate& r, const std::vector<used>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::uint64_t sum = 0;
    for (std::size_t j = i; j < all.size(); ++j) {
      sum += all[j].n;
      const auto window = static_cast<std::uint64_t>(all[j].when - all[i].when + 1);
      if (sum * r.ns() >= window * r.permits + r.burst * r.ns()) {
        return std::to_string(sum) + " permits in " + std::to_string(window) + " ns from " +
               std::to_string(all[i].when);
      }
    }
  }
  return {};
}

const std::vector<rate> rates = {
    {3, 1s, 1}, {7, 100ns, 3}, {1, 10ns, 1}, {10, 1s, 10}, {5, 3ns, 4}, {13, 17ns, 30}, {1, 1ns, 2},
};

}  // namespace

TEST_CASE("a burst at once, and then one after the other") {
  manual_clock clock;
  limiter l(clock, 4, 1s, 3);
  CHECK(l.next_at(3) == clock.now());
  for (int i = 0; i < 3; ++i) CHECK(l.try_acquire());
  CHECK_FALSE(l.try_acquire());
  CHECK(l.next_at() == at(250'000'000));
  CHECK(l.next_at(3) == at(750'000'000));
  clock.set(at(249'999'999));
  CHECK_FALSE(l.try_acquire());
  clock.set(at(250'000'000));
  CHECK_FALSE(l.try_acquire(2));  // all or none
  CHECK(l.try_acquire());
  CHECK_FALSE(l.try_acquire());
  clock.advance(1h);
  CHECK(l.try_acquire(2));
  CHECK_FALSE(l.try_acquire(2));
  CHECK(l.try_acquire());
  CHECK_FALSE(l.try_acquire());
}

TEST_CASE("a rate is exact to the nanosecond, after an hour as well") {
  struct run {
    rate r;  // burst permits are taken at a time
    std::uint64_t grants;
  };
  const std::vector<run> runs = {
      {{3, 1s, 1}, 3 * 3600},
      {{5000, 1s, 1}, 50'000},
      {{5000, 1s, 500}, 36'000},
      {{999'983, 1s, 1}, 50'000},
      {{999'983, 1s, 99'991}, 36'004},
      {{7, 3min, 1}, 7 * 20 * 24},
      {{4'294'967'295, 1s, 1'000'003}, 4295},
      {{7, 2ns, 3}, 50'000},
      {{1, 24h, 1}, 1000},
  };
  for (const run& one : runs) {
    const rate& r = one.r;
    CAPTURE(r.permits, r.ns(), r.burst);
    manual_clock clock;
    limiter l(clock, r.permits, r.per, r.burst);
    std::uint64_t wrong = 0;
    for (std::uint64_t k = 0; k < one.grants; ++k) {
      const std::uint64_t product = k * r.burst * r.ns();
      const auto due = static_cast<std::int64_t>(product / r.permits + (product % r.permits != 0 ? 1 : 0));
      if (ns_of(clock.now()) < due) {
        if (ns_of(l.next_at(r.burst)) != due) ++wrong;
        clock.set(at(due - 1));
        if (l.try_acquire(r.burst)) ++wrong;
        clock.set(at(due));
      }
      if (!l.try_acquire(r.burst)) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE(
    "random demands: what is granted is what a bucket of whole numbers has, and too much in no window") {
  std::mt19937_64 random(1);
  for (const rate& r : rates) {
    CAPTURE(r.permits, r.ns(), r.burst);
    manual_clock clock;
    limiter l(clock, r.permits, r.per, r.burst);
    bucket b{r};
    std::vector<used> grants;
    std::uint64_t wrong = 0;
    const std::uint64_t each = r.ns() / r.permits + 1;
    while (grants.size() < 1500) {
      switch (random() % 4) {
        case 0: clock.advance(nanoseconds(random() % 3)); break;
        case 1: clock.advance(nanoseconds(random() % (2 * each))); break;
        case 2:
          if (random() % 16 == 0) clock.advance(nanoseconds(random() % (2 * each * r.burst)));
          break;
        default: break;
      }
      const std::int64_t now = ns_of(clock.now());
      b.go_to(now);
      const std::uint64_t n = random() % 3 == 0 ? random() % r.burst + 1 : 1;
      const bool expected = b.level >= n * r.ns();
      if ((l.next_at(n) == clock.now()) != expected) ++wrong;
      if (l.try_acquire(n) != expected) ++wrong;
      if (b.take(n)) grants.push_back({now, n});
    }
    CHECK(wrong == 0);
    CHECK(too_much(r, grants) == "");
  }
}

TEST_CASE("the check of windows finds one permit too many") {
  const rate r{1, 10ns, 1};
  CHECK(too_much(r, {{0, 1}, {10, 1}, {20, 1}}) == "");
  CHECK(too_much(r, {{0, 1}, {10, 1}, {19, 1}}) == "3 permits in 20 ns from 0");
  CHECK(too_much(r, {{0, 2}}) == "2 permits in 1 ns from 0");
}

TEST_CASE("a reservation is told its time, and who comes later is told a later one") {
  manual_clock clock(at(1000));
  limiter l(clock, 1, 100ns, 2);
  CHECK(l.reserve() == at(1000));
  CHECK(l.reserve() == at(1000));
  CHECK(l.reserve() == at(1100));
  CHECK(l.reserve(2) == at(1300));
  CHECK(l.next_at() == at(1400));
  clock.set(at(1399));
  CHECK_FALSE(l.try_acquire());
  clock.set(at(1400));
  CHECK(l.try_acquire());
  CHECK(l.reserve() == at(1500));
  clock.set(at(5000));
  CHECK(l.reserve() == at(5000));
}

TEST_CASE("given back at once, it is as if it had not been taken") {
  std::mt19937_64 random(2);
  for (const rate& r : rates) {
    CAPTURE(r.permits, r.ns(), r.burst);
    manual_clock clock;
    limiter l(clock, r.permits, r.per, r.burst);
    bucket b{r};
    std::uint64_t wrong = 0;
    int gifts = 0;
    for (int i = 0; i < 3000; ++i) {
      clock.advance(nanoseconds(random() % (r.ns() / r.permits + 2)));
      b.go_to(ns_of(clock.now()));
      const std::uint64_t n = random() % r.burst + 1;
      const bool expected = b.level >= n * r.ns();
      if (l.try_acquire(n) != expected) ++wrong;
      if (!expected) continue;
      const std::uint64_t unused = random() % (n + 1);
      l.give_back(unused, l.now());
      if (unused != 0) ++gifts;
      if (unused != n) b.take(n - unused);
    }
    CHECK(wrong == 0);
    CHECK(gifts > 100);
  }
}

TEST_CASE("given back later, it is worth less by the time since") {
  manual_clock clock;
  limiter l(clock, 1, 100ns, 10);
  const time_point before = l.now();
  CHECK(l.try_acquire(10));
  clock.set(at(250));
  l.give_back(4, before);  // 400 ns less 250
  CHECK(l.next_at(4) == clock.now());
  CHECK(l.next_at(5) == at(350));
  clock.set(at(300));
  l.give_back(3, before);
  CHECK(l.next_at(5) == at(350));

  // What was taken has come again by itself, and been used since.
  clock.set(at(20'000));
  const time_point second = l.now();
  CHECK(l.try_acquire(10));
  clock.set(at(21'000));
  CHECK(l.try_acquire(10));
  l.give_back(10, second);
  CHECK_FALSE(l.try_acquire());
}

TEST_CASE("nothing is given back while a reservation is still to come") {
  manual_clock clock;
  limiter l(clock, 1, 100ns, 2);
  const time_point before = l.now();
  CHECK(l.try_acquire(2));
  const time_point told = l.reserve();
  CHECK(told == at(100));
  l.give_back(2, before);
  l.give_back(1, told);
  CHECK(l.next_at() == at(200));
  clock.set(told);
  l.give_back(1, told);
  CHECK(l.try_acquire());
  CHECK_FALSE(l.try_acquire());
}

TEST_CASE(
    "whatever is given back when: what is used is too much in no window, by the time that has really "
    "passed") {
  std::mt19937_64 random(3);
  for (const bool set_back : {false, true}) {
    for (const rate& r : rates) {
      CAPTURE(set_back, r.permits, r.ns(), r.burst);
      manual_clock clock;
      limiter l(clock, r.permits, r.per, r.burst);
      struct taken {
        std::int64_t when;  // really
        std::uint64_t n;
        time_point by_clock;
      };
      std::int64_t really = 0;
      std::vector<taken> all;
      int gifts = 0;
      const std::uint64_t each = r.ns() / r.permits + 1;
      for (int i = 0; i < 6000; ++i) {
        const auto step = static_cast<std::int64_t>(random() % 4 == 0 ? random() % (each * 2) : random() % 2);
        really += step;
        clock.advance(nanoseconds(step));
        if (set_back && random() % 50 == 0) clock.set(clock.now() - nanoseconds(random() % (each * r.burst)));
        const std::uint64_t n = random() % r.burst + 1;
        const time_point before = l.now();
        if (random() % 8 == 0) {
          const time_point told = l.reserve(n);
          // Who is told a time waits for the clock, which is not set back meanwhile.
          really += (told - before).count();
          clock.set(told);
          all.push_back({really, n, told});
        } else if (l.try_acquire(n)) {
          all.push_back({really, n, before});
        }
        if (random() % 3 == 0 && !all.empty()) {
          taken& one = all[all.size() - 1 - random() % (all.size() < 8 ? all.size() : 8)];
          const std::uint64_t unused = random() % (one.n + 1);
          l.give_back(unused, one.by_clock);
          one.n -= unused;
          if (unused != 0) ++gifts;
        }
      }
      std::vector<used> left;
      for (const taken& t : all) {
        if (t.n != 0) left.push_back({t.when, t.n});
      }
      CHECK(left.size() > 300);
      CHECK(gifts > 300);
      CHECK(too_much(r, left) == "");
    }
  }
}

TEST_CASE("reservations ahead of each other and gifts in between: too much in no window") {
  std::mt19937_64 random(4);
  for (const rate& r : rates) {
    CAPTURE(r.permits, r.ns(), r.burst);
    manual_clock clock;
    limiter l(clock, r.permits, r.per, r.burst);
    std::vector<used> all;
    const std::uint64_t each = r.ns() / r.permits + 1;
    for (int i = 0; i < 3000; ++i) {
      clock.advance(nanoseconds(random() % (each * 2)));
      const std::uint64_t n = random() % r.burst + 1;
      if (random() % 3 == 0) {
        all.push_back({ns_of(l.reserve(n)), n});
      } else if (const time_point before = l.now(); l.try_acquire(n)) {
        all.push_back({ns_of(before), n});
      }
      if (random() % 4 == 0 && !all.empty()) {
        used& one = all[all.size() - 1 - random() % (all.size() < 5 ? all.size() : 5)];
        const std::uint64_t unused = random() % (one.n + 1);
        l.give_back(unused, at(one.when));
        one.n -= unused;
      }
      if (random() % 20 == 0) clock.set(std::max(clock.now(), l.next_at()));
    }
    std::vector<used> left;
    for (const used& u : all) {
      if (u.n != 0) left.push_back(u);
    }
    std::sort(left.begin(), left.end(), [](const used& a, const used& b) { return a.when < b.when; });
    CHECK(left.size() > 500);
    CHECK(too_much(r, left) == "");
  }
}

TEST_CASE("a clock that is set back brings no more; it is early until the clock is where it was") {
  manual_clock clock(at(1'000'000));
  limiter l(clock, 1, 100ns, 3);
  CHECK(l.try_acquire(3));
  for (const std::int64_t back : {999'900, 0, -5'000'000}) {
    clock.set(at(back));
    CHECK_FALSE(l.try_acquire());
    CHECK(l.next_at() == at(1'000'100));
  }
  clock.set((time_point::min)());
  CHECK_FALSE(l.try_acquire());
  CHECK(l.next_at() == at(1'000'100));
  clock.set(at(1'000'100));
  CHECK(l.try_acquire());
  CHECK_FALSE(l.try_acquire());
}

TEST_CASE("at the ends of the clock's time") {
  manual_clock clock((time_point::min)());
  limiter l(clock, 1, 1h, 2);
  CHECK(l.try_acquire(2));
  CHECK(l.next_at() == (time_point::min)() + 1h);
  clock.set((time_point::max)() - 90min);
  CHECK(l.try_acquire());
  CHECK_FALSE(l.try_acquire());  // two hours ahead is no time of this clock
  CHECK(l.next_at() == (time_point::max)());
  CHECK_THROWS_AS(l.reserve(), std::length_error);
  clock.set((time_point::max)());
  CHECK_FALSE(l.try_acquire(2));
  CHECK(l.next_at() == (time_point::max)());

  manual_clock slow;
  limiter far_ahead(slow, 1, 24h * 365, 99);
  CHECK(far_ahead.reserve(99) == slow.now());
  CHECK(far_ahead.reserve(99) == at(0) + 24h * 365 * 99);
  CHECK_THROWS_AS(far_ahead.reserve(99), std::length_error);
  CHECK(far_ahead.reserve(1) == at(0) + 24h * 365 * 100);  // what threw took nothing
}

TEST_CASE("a clock of longer ticks: a time is the tick after") {
  struct ticking {
    using duration = std::chrono::duration<std::int64_t, std::ratio<1, 50>>;
    using time_point = std::chrono::time_point<ticking, duration>;
    time_point t{};
    [[nodiscard]] time_point now() const noexcept { return t; }
  };
  const auto tick = [](std::int64_t n) { return ticking::time_point(ticking::duration(n)); };
  ticking clock{tick(-3)};
  rate_limiter l(clock, 8, 1s);  // 125 ms, and a tick is 20
  CHECK(l.try_acquire());
  CHECK(l.next_at() == tick(-3 + 7));
  clock.t = tick(3);
  CHECK_FALSE(l.try_acquire());
  clock.t = tick(4);
  CHECK(l.try_acquire());
  CHECK(l.reserve() == tick(4 + 7));
  CHECK(l.reserve() == tick(4 + 13));
}

TEST_CASE("what it was built with, and what it refuses") {
  manual_clock clock;
  const limiter l(clock, 6, 4s, 5);
  CHECK(l.permits() == 6);
  CHECK(l.per() == 4s);
  CHECK(l.burst() == 5);
  CHECK(l.now() == clock.now());
  const rate_limiter<> by_steady_clock(6, 4s);
  CHECK(by_steady_clock.burst() == 1);

  constexpr std::uint64_t most = 0xFFFF'FFFF;
  const auto refuses = [&](std::uint64_t permits, nanoseconds per, std::uint64_t burst, const char* message) {
    CHECK_THROWS_WITH(limiter(clock, permits, per, burst), message);
    CHECK_THROWS_AS((keyed_rate_limiter<int, manual_clock>(clock, permits, per, burst)),
                    std::invalid_argument);
  };
  refuses(0, 1s, 1, "rate_limiter: permits must be 1 to 2^32 - 1");
  refuses(most + 1, 1s, 1, "rate_limiter: permits must be 1 to 2^32 - 1");
  refuses(1, 0s, 1, "rate_limiter: per must be 1 ns or more");
  refuses(1, -1s, 1, "rate_limiter: per must be 1 ns or more");
  refuses(1, 1s, 0, "rate_limiter: burst must be 1 to 2^32 - 1");
  refuses(1, 1s, most + 1, "rate_limiter: burst must be 1 to 2^32 - 1");
  refuses(1, 1h, most, "rate_limiter: burst * per / permits must be 100 years at the most");
  refuses(1, (nanoseconds::max)(), 1, "rate_limiter: burst * per / permits must be 100 years at the most");

  limiter m(clock, most, 1h, most);
  CHECK(m.try_acquire(most));
  CHECK(m.next_at(most) == at(0) + 1h);

  limiter n(clock, 1, 1s, 2);
  CHECK_THROWS_WITH(n.try_acquire(0), "rate_limiter: n must be 1 to burst()");
  CHECK_THROWS_AS(n.try_acquire(3), std::invalid_argument);
  CHECK_THROWS_AS(n.next_at(3), std::invalid_argument);
  CHECK_THROWS_AS(n.reserve(0), std::invalid_argument);
  CHECK_THROWS_WITH(n.give_back(3, n.now()), "rate_limiter::give_back: n must be 0 to burst()");
  n.give_back(0, n.now());
  CHECK(n.try_acquire(2));  // nothing of that took or brought any
  CHECK_FALSE(n.try_acquire());
}

TEST_CASE("threads together get what one would get, to the permit") {
  const support::watchdog guard("threads together");
  const bool with_gifts = GENERATE(false, true);
  CAPTURE(with_gifts);
  constexpr int n = 4;
  const rate r{999'983, 1s, 64};
  manual_clock clock;
  limiter l(clock, r.permits, r.per, r.burst);
  std::atomic<bool> over{false};
  std::atomic<int> busy{0};  // threads that may hold something to give back
  std::atomic<int> gifts{0};
  std::array<std::uint64_t, n> got{};
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      std::uint64_t mine = 0;
      for (std::uint64_t turns = 0; !over; std::this_thread::yield()) {
        ++busy;
        for (time_point before = l.now(); l.try_acquire(); before = l.now()) {
          // The clock may have been moved before it was taken; not since, as this thread is busy.
          if (with_gifts && ++turns % 5 == 0 && l.now() == before) {
            l.give_back(1, before);
            ++gifts;
          } else {
            ++mine;
          }
        }
        --busy;
      }
      got[static_cast<std::size_t>(i)] = mine;
    });
  }
  // Nothing is left, nobody holds anything, and nothing came back in between.
  const auto settled = [&] {
    const int before = gifts;
    return l.next_at() != clock.now() && busy == 0 && gifts == before;
  };
  std::mt19937_64 random(5);
  bucket b{r};
  std::uint64_t one_would_get = 0;
  for (int step = 0; step < 300; ++step) {
    b.go_to(ns_of(clock.now()));
    while (b.take(1)) ++one_would_get;
    while (!settled()) std::this_thread::yield();
    clock.advance(nanoseconds(random() % 20'000));
  }
  while (!settled()) std::this_thread::yield();
  b.go_to(ns_of(clock.now()));
  while (b.take(1)) ++one_would_get;
  over = true;
  for (auto& t : threads) t.join();
  std::uint64_t sum = 0;
  for (const std::uint64_t g : got) sum += g;
  CHECK(sum == one_would_get);
  CHECK((gifts > 0) == with_gifts);
}

TEST_CASE("a thread that stops anywhere stops nobody") {
  const support::watchdog guard("a thread that stops");
  using support::stall;
  int suspended = 0;
  for (int step = 0;; ++step) {
    manual_clock clock;
    rate_limiter<manual_clock, support::stalling_sync> l(clock, 1, 100ns, 3);
    stall s(step);
    bool got = false;
    std::thread victim([&] {
      s.arm();
      const time_point before = l.now();
      got = l.try_acquire();
      if (got) l.give_back(1, before);
      static_cast<void>(l.reserve());
      static_cast<void>(l.next_at());
      s.disarm();
    });
    const bool stopped = s.await();
    int mine = 0;
    while (l.try_acquire()) ++mine;
    CHECK(mine >= 1);
    CHECK(mine <= 3);
    static_cast<void>(l.reserve());
    if (stopped) s.resume();
    victim.join();
    if (!stopped) break;
    ++suspended;
  }
  CHECK(suspended >= 8);
}

TEST_CASE("keys: each has the rate for itself") {
  manual_clock clock;
  keyed_rate_limiter<std::string, manual_clock> each(clock, 1, 100ns, 2);
  CHECK(each.permits() == 1);
  CHECK(each.per() == 100ns);
  CHECK(each.burst() == 2);
  CHECK(each.try_acquire("a", 2));
  CHECK_FALSE(each.try_acquire("a"));
  CHECK(each.next_at("a") == at(100));
  CHECK(each.next_at("a", 2) == at(200));
  CHECK(each.next_at("b", 2) == at(0));
  CHECK(each.try_acquire("b"));
  CHECK(each.try_acquire("b"));
  CHECK_FALSE(each.try_acquire("b"));
  CHECK(each.size_approx() == 2);
  clock.set(at(100));
  CHECK(each.try_acquire("a"));
  CHECK_FALSE(each.try_acquire("a"));
  CHECK_THROWS_AS(each.try_acquire("a", 3), std::invalid_argument);
  CHECK_THROWS_AS(each.next_at("a", 0), std::invalid_argument);
}

TEST_CASE("keys: as so many limiters") {
  std::mt19937_64 random(6);
  for (const rate& r : rates) {
    CAPTURE(r.permits, r.ns(), r.burst);
    manual_clock clock;
    keyed_rate_limiter<std::uint64_t, manual_clock> each(clock, r.permits, r.per, r.burst);
    std::vector<bucket> buckets(50, bucket{r});
    std::uint64_t wrong = 0;
    std::uint64_t granted = 0;
    for (int i = 0; i < 20'000; ++i) {
      clock.advance(nanoseconds(random() % (r.ns() / r.permits / 10 + 2)));
      const std::uint64_t key = random() % buckets.size();
      const std::uint64_t n = random() % r.burst + 1;
      bucket& b = buckets[key];
      b.go_to(ns_of(clock.now()));
      const bool expected = b.take(n);
      if (each.try_acquire(key, n) != expected) ++wrong;
      if (expected) ++granted;
    }
    CHECK(wrong == 0);
    CHECK(granted > 1000);
  }
}

TEST_CASE("keys: those at rest are forgotten, two with each call") {
  manual_clock clock;
  keyed_rate_limiter<int, manual_clock> each(clock, 1, 100ns, 5);
  constexpr int n = 3000;
  for (int key = 0; key < n; ++key) CHECK(each.try_acquire(key, 1 + static_cast<unsigned>(key) % 5));
  CHECK(each.size_approx() == n);
  CHECK_FALSE(each.try_acquire(4, 5));
  CHECK(each.size_approx() == n);  // nothing is at rest yet

  clock.set(at(500));
  for (int i = 0; i < n; ++i) CHECK(each.try_acquire(n + i));
  CHECK(each.size_approx() == n);  // the others have gone
  CHECK(each.next_at(n) == at(500));
  CHECK(each.try_acquire(n, 4));
  CHECK_FALSE(each.try_acquire(n));

  // Memory follows those that were granted something lately, however many have been here before.
  std::size_t most = 0;
  for (int i = 0; i < 40'000; ++i) {
    clock.advance(1ns);
    CHECK(each.try_acquire(10 * n + i));
    static_cast<void>(each.try_acquire(-(i % 2)));  // two that are never at rest
    if (i > 4000 && each.size_approx() > most) most = each.size_approx();
  }
  CHECK(most <= 500);
}

TEST_CASE("keys: from many threads") {
  const support::watchdog guard("keys from many threads");
  manual_clock clock;
  keyed_rate_limiter<int, manual_clock> each(clock, 1, 1s, 7);
  constexpr int keys = 300;
  std::array<std::atomic<int>, keys> got{};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20 * keys; ++i) {
        const int key = (i * 7 + t * 31) % keys;
        if (each.try_acquire(key)) ++got[static_cast<std::size_t>(key)];
      }
    });
  }
  for (auto& t : threads) t.join();
  int wrong = 0;
  for (const auto& g : got) {
    if (g != 7) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(each.size_approx() == keys);
}
