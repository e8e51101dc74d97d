// Every verb and edge of timing_wheel. Tests of their own have what becomes of the payloads and where memory comes from
// (timing_wheel_memory_test), periods (timing_wheel_periodic_test), how evenly it works and how far it reaches
// (timing_wheel_pace_test).
#include "millrace/time/timing_wheel.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <ratio>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/wheel_script.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::timing_wheel;
using std::chrono::nanoseconds;
using support::ints;
using support::numbers;

using wheel = timing_wheel<int>;
using handle = wheel::handle;
using expiry = wheel::expiry;
using time_point = wheel::time_point;

static_assert(!std::is_copy_constructible_v<wheel> && !std::is_move_constructible_v<wheel>);
static_assert(std::is_trivially_copyable_v<handle> && sizeof(handle) == 8);
static_assert(sizeof(timing_wheel<int>) <= 32 * 1024);

constexpr time_point at(nanoseconds since_epoch) { return time_point(since_epoch); }

/// Advances, and tells the payloads in order.
template <class Wheel>
ints fire_until(Wheel& w, typename Wheel::time_point now) {
  ints seen;
  const auto done = w.advance(now, [&](auto& payload) { seen.push_back(support::number(payload)); });
  CHECK_FALSE(done.more);
  CHECK(done.fired == seen.size());
  return seen;
}

ints drained(wheel& w) {
  ints seen;
  const std::size_t fired = w.drain([&](int& n) { seen.push_back(n); });
  CHECK(fired == seen.size());
  return seen;
}

/// Equal ones stay in order. why by hand: clang warns of libstdc++ 12's std::stable_sort and std::stable_partition
template <class Key>
void sort_by(ints& values, Key key) {
  std::multimap<decltype(key(0)), int> sorted;
  for (const int n : values) sorted.emplace(key(n), n);
  values.clear();
  for (const auto& [k, n] : sorted) values.push_back(n);
}

/// `f` throws an E; its message.
template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing thrown";
}

template <class Tick, class Duration>
struct kind {
  using tick = Tick;
  using clock = support::named_clock<Duration>;
  static constexpr std::int64_t units =
      std::ratio_divide<typename Tick::period, typename Duration::period>::num;
};
using milliseconds_of_nanoseconds = kind<std::chrono::milliseconds, nanoseconds>;
using nanoseconds_alone = kind<nanoseconds, nanoseconds>;
using hundredths = kind<std::chrono::duration<int, std::ratio<1, 100>>, std::chrono::microseconds>;
using odd_ticks = kind<std::chrono::duration<std::int64_t, std::ratio<7, 1000>>, std::chrono::milliseconds>;

}  // namespace

// --- its parts ---

TEST_CASE("occupancy: the first from any place on, around the end") {
  millrace::detail::occupancy slots;
  constexpr unsigned size = millrace::detail::occupancy::size;
  std::vector<bool> plain(size);
  std::mt19937 random(2);
  bool good = !slots.any();
  for (int round = 0; round < 1000; ++round) {
    // now few, now many, now none
    const unsigned i = random() % size;
    const bool set = random() % 8 < (round / 100 % 2 == 0 ? 6u : 1u);
    plain[i] = set;
    if (set) {
      slots.set(i);
    } else {
      slots.clear(i);
    }
    const auto occupied = std::count(plain.begin(), plain.end(), true);
    good = good && slots.any() == (occupied != 0);
    for (unsigned from = 0; occupied != 0 && good && from < size; ++from) {
      unsigned next = from;
      while (!plain[next % size]) ++next;
      good = slots.first_from(from) == next % size;
    }
  }
  CHECK(good);
  for (unsigned i = 0; i < size; ++i) slots.clear(i);
  CHECK_FALSE(slots.any());
}

TEST_CASE("an index is given up before its generation comes round") {
  using slab_type = millrace::detail::timer_slab<int, std::allocator<int>>;
  constexpr std::uint32_t last = (std::numeric_limits<std::uint32_t>::max)();
  slab_type slab{std::allocator<int>()};
  const auto give_back = [&](slab_type::index i) {
    slab.retire(slab[i]);
    slab.release(i, slab[i]);
  };
  const slab_type::index i = slab.acquire();
  CHECK(i == 0);
  CHECK(slab[i].generation == 1);
  slab[i].generation = last - 2;
  give_back(i);
  CHECK(slab.acquire() == i);
  CHECK(slab[i].generation == last - 1);
  give_back(i);
  CHECK(slab.acquire() == 1);
  give_back(1);
  CHECK(slab.acquire() == 1);
  CHECK(slab.acquire() == 2);
  CHECK(slab.used() == 3);
}

TEST_CASE("the slab: every index has an entry of its own, which never moves") {
  millrace::detail::timer_slab<std::uint64_t, std::allocator<std::uint64_t>> slab{
      std::allocator<std::uint64_t>()};
  std::vector<const void*> where;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    REQUIRE(slab.acquire() == i);
    slab[i].order = i;
    where.push_back(&slab[i]);
  }
  for (std::uint32_t i = 0; i < 1000; ++i) {
    REQUIRE(slab[i].order == i);
    REQUIRE(&slab[i] == where[i]);
  }
  std::sort(where.begin(), where.end());
  CHECK(std::unique(where.begin(), where.end()) == where.end());
}

TEST_CASE("the due ones of a tick: in order, whenever some are taken away") {
  using millrace::detail::timer_node;
  std::mt19937 random(5);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 3000; ++round) {
    std::vector<timer_node> nodes(1 + below(200));
    millrace::detail::run_merger<std::vector<timer_node>> due(nodes);
    std::vector<timer_node::index> left;
    const auto remove_some = [&](std::size_t from, std::size_t n) {
      for (; n > 0 && from < left.size(); --n) {
        due.remove(left[from]);
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(from));
      }
    };
    const std::size_t stop = below(nodes.size());
    const std::size_t values = 1 + below(300);
    for (timer_node::index i = 0; i < nodes.size(); ++i) {
      nodes[i].deadline = static_cast<std::int64_t>(below(values));
      nodes[i].order = i;
      due.add(i, nodes[i]);
      left.push_back(i);
      if (i == stop) remove_some(below(left.size()), below(64));
    }
    for (std::size_t steps = below(300); steps > 0 && !due.empty() && due.step();) --steps;
    if (!left.empty()) remove_some(below(left.size()), below(20));
    std::sort(left.begin(), left.end(), [&](auto a, auto b) {
      return nodes[a].deadline != nodes[b].deadline ? nodes[a].deadline < nodes[b].deadline : a < b;
    });
    std::vector<timer_node::index> seen;
    while (!due.empty()) {
      if (!due.step()) seen.push_back(due.pop());
    }
    REQUIRE((seen == left));
  }
}

// --- when ---

TEMPLATE_TEST_CASE("never early, and at most one tick late", "", milliseconds_of_nanoseconds,
                   nanoseconds_alone, hundredths, odd_ticks) {
  using clock = typename TestType::clock;
  using wheel_type = timing_wheel<std::int64_t, typename TestType::tick, clock>;
  using time = typename clock::time_point;
  using duration = typename clock::duration;
  constexpr std::int64_t units = TestType::units;
  const std::int64_t start = GENERATE(as<std::int64_t>(), 0, 123'456'789, -5'000'000'003);
  const auto make_time = [](std::int64_t count) { return time(duration(count)); };
  std::mt19937_64 random(7);
  wheel_type w(make_time(start));
  std::int64_t last = start;
  for (int i = 0; i < 3000; ++i) {
    const auto deadline =
        start + 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(9000 * units));
    w.schedule(make_time(deadline), deadline);
    last = std::max(last, deadline);
  }
  std::int64_t early = 0;
  std::int64_t late = 0;
  std::int64_t wrong_now = 0;
  std::size_t fired = 0;
  for (std::int64_t now = start; !w.empty();) {
    const std::int64_t before = now;
    now += 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(40 * units));
    fired += w.advance(make_time(now), [&](std::int64_t& deadline) {
                const std::int64_t tick = w.now().time_since_epoch().count();
                if (deadline > now || tick < deadline) ++early;
                if (tick - deadline >= units || deadline <= before - units) ++late;
                if (tick % units != 0 || tick > now) ++wrong_now;
              }).fired;
    REQUIRE(now < last + 50 * units);
  }
  CHECK(fired == 3000);
  CHECK(early == 0);
  CHECK(late == 0);
  CHECK(wrong_now == 0);
}

TEST_CASE("a deadline between two ticks comes at the second, one at a tick comes with it") {
  wheel w(at(0ms));
  w.schedule(at(5ms + 1ns), 1);
  w.schedule(at(5ms), 2);
  w.schedule(at(6ms), 3);
  CHECK(fire_until(w, at(5ms - 1ns)).empty());
  CHECK(w.now() == at(4ms));
  CHECK(fire_until(w, at(5ms)) == ints{2});
  CHECK(fire_until(w, at(6ms - 1ns)).empty());
  CHECK(w.now() == at(5ms));
  CHECK(fire_until(w, at(6ms)) == ints{1, 3});
}

TEST_CASE("before the epoch ticks are rounded the same way") {
  wheel w(at(-10ms - 1ns));
  CHECK(w.now() == at(-11ms));
  w.schedule(at(-2ms - 1ns), 1);
  w.schedule(at(-1ns), 2);
  CHECK(fire_until(w, at(-2ms - 1ns)).empty());
  CHECK(fire_until(w, at(-2ms)) == ints{1});
  CHECK(fire_until(w, at(-1ns)).empty());
  CHECK(fire_until(w, at(0ms)) == ints{2});
}

TEST_CASE("what has passed comes at the next tick") {
  wheel w(at(100ms));
  w.schedule(at(100ms), 1);
  w.schedule(at(3ms), 2);
  w.schedule((time_point::min)(), 3);
  CHECK(w.next_expiry() == at(101ms));
  CHECK(fire_until(w, at(101ms - 1ns)).empty());
  CHECK(fire_until(w, at(101ms)) == ints{3, 2, 1});

  // with a handler that always schedules for what has passed, an advance still ends
  int rounds = 0;
  w.schedule(at(0ms), 0);
  const auto done = w.advance(at(150ms), [&](int&) {
    ++rounds;
    w.schedule(at(0ms), rounds);
  });
  CHECK(done.fired == 49);
  CHECK(w.now() == at(150ms));
  CHECK(w.size() == 1);
}

TEST_CASE("a handler is told the deadline, the timer and the tick") {
  wheel w(at(0ms));
  const handle h = w.schedule(at(5ms + 3ns), 42);
  std::size_t calls = 0;
  w.advance(at(90ms), [&](int& payload, const expiry& e) {
    ++calls;
    CHECK(payload == 42);
    CHECK(e.deadline == at(5ms + 3ns));
    CHECK(e.timer == h);
    CHECK(e.missed == 0);
    CHECK(w.now() == at(6ms));
  });
  CHECK(calls == 1);
}

// --- in what order ---

TEST_CASE("within a tick: by deadline, then by when it was scheduled or last rescheduled") {
  // why not a structured binding: clang 14 does not let a lambda have one
  const auto kind = GENERATE(table<std::string, int (*)(int)>(
      {{"ascending", [](int i) { return i; }},
       {"descending", [](int i) { return -i; }},
       {"equal", [](int) { return 3; }},
       {"a saw", [](int i) { return i % 37; }},
       {"a saw the other way", [](int i) { return -(i % 41); }},
       {"up and down", [](int i) { return i % 2 == 0 ? i : -i; }},
       {"like random",
        [](int i) { return static_cast<int>(static_cast<unsigned>(i) * 2654435761u % 9973u); }},
       {"few, like random",
        [](int i) { return static_cast<int>(static_cast<unsigned>(i) * 2654435761u % 7u); }}}));
  const int n = GENERATE(1, 2, 3, 4, 64, 5000);
  const int rescheduled = GENERATE(0, 1, 3);  // every so many
  CAPTURE(std::get<0>(kind), n, rescheduled);
  wheel w(at(0ms));
  const auto deadline = [&](int i) { return at(50ms - 500us + nanoseconds(std::get<1>(kind)(i))); };
  std::vector<handle> timers;
  for (int i = 0; i < n; ++i) timers.push_back(w.schedule(deadline(i), i));
  ints order = numbers(0, n);
  if (rescheduled != 0) {
    for (int i = 0; i < n; i += rescheduled)
      REQUIRE(w.reschedule(timers[static_cast<std::size_t>(i)], deadline(i)));
    sort_by(order, [&](int i) { return i % rescheduled == 0; });
  }
  sort_by(order, deadline);
  CHECK(fire_until(w, at(49ms)).empty());
  CHECK((fire_until(w, at(50ms)) == order));
}

TEST_CASE("the order holds whether they were scheduled long before or just now") {
  // the same deadline, met from every level
  wheel w(at(0ms));
  const time_point deadline = at(std::chrono::hours(24 * 365));
  int n = 0;
  w.schedule(deadline, n++);
  for (const auto before : {nanoseconds(300h), nanoseconds(30h), nanoseconds(70s), nanoseconds(30s),
                            nanoseconds(511ms), nanoseconds(255ms), nanoseconds(1ms)}) {
    CHECK(fire_until(w, deadline - before).empty());
    for (int i = 0; i < 3; ++i) w.schedule(deadline, n++);
  }
  CHECK(fire_until(w, deadline) == numbers(0, n));
}

// --- moved and taken back ---

TEST_CASE("reschedule: earlier, later, to the same") {
  wheel w(at(0ms));
  const handle a = w.schedule(at(10ms), 1);
  const handle b = w.schedule(at(10ms), 2);
  SECTION("earlier") {
    CHECK(w.reschedule(b, at(7ms)));
    CHECK(w.next_expiry() == at(7ms));
    CHECK(fire_until(w, at(7ms)) == ints{2});
    CHECK(fire_until(w, at(10ms)) == ints{1});
  }
  SECTION("later: it stays in its slot until that is due") {
    CHECK(w.reschedule(a, at(300s)));
    CHECK(w.next_expiry() == at(10ms));
    const auto done = w.advance(at(10ms), [](int& n) { CHECK(n == 2); });
    CHECK(done.fired == 1);
    CHECK(done.moved == 1);
    CHECK(w.next_expiry() == at(300s));
    CHECK(fire_until(w, at(300s - 1ms)).empty());
    CHECK(fire_until(w, at(300s)) == ints{1});
  }
  SECTION("to the same: behind its equals") {
    CHECK(w.reschedule(a, at(10ms)));
    CHECK(fire_until(w, at(10ms)) == ints{2, 1});
  }
  SECTION("to what has passed: the next tick") {
    CHECK(w.reschedule(a, at(-5ms)));
    CHECK(fire_until(w, at(1ms)) == ints{1});
  }
  SECTION("later, and back again") {
    CHECK(w.reschedule(a, at(900s)));
    CHECK(w.reschedule(a, at(9ms)));
    CHECK(w.next_expiry() == at(9ms));
    CHECK(fire_until(w, at(10ms)) == ints{1, 2});
  }
  SECTION("later many times: moved once for each slot that came up") {
    std::size_t moved = 0;
    for (auto now = 1ms; now <= 2000ms; now += 1ms) {
      CHECK(w.reschedule(a, at(now + 30s)));
      moved += w.advance(at(now), [](int&) {}).moved;
    }
    CHECK(w.size() == 1);
    CHECK(moved < 20);
    CHECK(fire_until(w, at(32s - 1ms)).empty());
    CHECK(fire_until(w, at(32s)) == ints{1});
  }
}

TEST_CASE("cancel, extract, find, is_scheduled, size") {
  wheel w(at(0ms));
  CHECK(w.empty());
  const handle a = w.schedule(at(10ms), 1);
  const handle b = w.schedule(at(20ms), 2);
  const handle c = w.schedule(at(30ms), 3);
  CHECK(w.size() == 3);
  REQUIRE(w.find(b) != nullptr);
  *w.find(b) = 22;
  CHECK(w.cancel(a));
  CHECK_FALSE(w.cancel(a));
  CHECK_FALSE(w.is_scheduled(a));
  CHECK(w.find(a) == nullptr);
  CHECK_FALSE(w.reschedule(a, at(5ms)));
  CHECK(w.size() == 2);
  CHECK(w.extract(b) == 22);
  CHECK(w.extract(b) == std::nullopt);
  CHECK(w.is_scheduled(c));
  CHECK(w.size() == 1);
  CHECK_FALSE(w.empty());
  CHECK(fire_until(w, at(60ms)) == ints{3});
  CHECK_FALSE(w.is_scheduled(c));
  CHECK_FALSE(w.cancel(c));
  CHECK(w.empty());
}

TEST_CASE("a void handle never hits the stranger in its place") {
  wheel w(at(0ms));
  const handle nobody;
  std::vector<handle> old{nobody};
  const auto all_void = [&] {
    bool good = true;
    for (const handle h : old) {
      good = good && !w.is_scheduled(h) && !w.cancel(h) && w.find(h) == nullptr && !w.extract(h) &&
             !w.reschedule(h, at(0ms));
    }
    return good;
  };
  CHECK(all_void());  // also when there has been no timer yet
  for (int i = 0; i < 200; ++i) {
    const handle h = w.schedule(w.now() + 5ms, i);
    REQUIRE(all_void());
    REQUIRE(std::count(old.begin(), old.end(), h) == 0);
    REQUIRE(*w.find(h) == i);
    switch (i % 3) {
      case 0: REQUIRE(w.cancel(h)); break;
      case 1: REQUIRE(w.extract(h) == i); break;
      default: REQUIRE(fire_until(w, w.now() + 5ms) == ints{i}); break;
    }
    REQUIRE(w.empty());
    old.push_back(h);
  }
  w.schedule(at(1h), 1);
  CHECK(all_void());
  CHECK(w.size() == 1);
  // of a wheel that has more timers than this one
  wheel other(at(0ms));
  for (int i = 0; i < 70; ++i) other.schedule(at(1h), i);
  CHECK_FALSE(w.cancel(other.schedule(at(1h), 70)));
}

// --- handlers ---

TEST_CASE("a handler schedules, cancels and reschedules what it likes") {
  wheel w(at(0ms));
  std::vector<handle> h;
  for (int i = 0; i < 6; ++i) h.push_back(w.schedule(at(10ms), i));
  ints seen;
  const auto advance = [&](auto now, auto do_at_first) {
    w.advance(at(now), [&](int& n, const expiry& e) {
      seen.push_back(n);
      if (n == 0) do_at_first(e);
    });
  };
  SECTION("neighbours of the same tick") {
    advance(11ms, [&](const expiry&) {
      CHECK(w.size() == 5);
      CHECK(w.cancel(h[1]));
      CHECK(w.reschedule(h[2], at(11ms)));  // later
      CHECK(w.reschedule(h[3], at(1ms)));   // passed: the next tick
      CHECK(w.extract(h[5]) == 5);
      CHECK(w.is_scheduled(h[4]));
      CHECK(w.size() == 3);
    });
    CHECK(seen == ints{0, 4, 3, 2});
    CHECK(w.empty());
  }
  SECTION("new ones: one tick later at the earliest, in this advance if it goes so far") {
    advance(12ms, [&](const expiry&) {
      w.schedule(at(10ms), 10);
      w.schedule(at(0ms), 11);
      w.schedule(at(12ms), 12);
      w.schedule(at(13ms), 13);
    });
    CHECK(seen == ints{0, 1, 2, 3, 4, 5, 11, 10, 12});
    CHECK(w.size() == 1);
    CHECK(w.next_expiry() == at(13ms));
  }
  SECTION("itself again") {
    advance(10ms, [&](const expiry& e) {
      CHECK_FALSE(w.is_scheduled(e.timer));
      CHECK(w.size() == 5);
      CHECK(w.reschedule(e.timer, at(20ms)));
      CHECK(w.is_scheduled(e.timer));
      CHECK(w.size() == 6);
      CHECK(w.reschedule(e.timer, at(15ms)));
      CHECK(w.size() == 6);
      *w.find(e.timer) = 7;
    });
    CHECK(w.is_scheduled(h[0]));
    CHECK(w.size() == 1);
    advance(20ms, [](const expiry&) {});
    CHECK(seen == ints{0, 1, 2, 3, 4, 5, 7});
    CHECK(w.empty());
  }
  SECTION("itself away: nothing to cancel any more") {
    advance(10ms, [&](const expiry& e) {
      CHECK_FALSE(w.cancel(e.timer));
      CHECK_FALSE(w.extract(e.timer));
      CHECK(w.find(e.timer) != nullptr);
      CHECK(*w.find(e.timer) == 0);
    });
    CHECK(w.find(h[0]) == nullptr);
    CHECK(seen == numbers(0, 6));
  }
  SECTION("itself again, and away after all") {
    advance(10ms, [&](const expiry& e) {
      CHECK(w.reschedule(e.timer, at(12ms)));
      CHECK_FALSE(w.extract(e.timer));  // the handler has the payload
      CHECK_FALSE(w.is_scheduled(e.timer));
      CHECK(w.size() == 5);
    });
    advance(20ms, [](const expiry&) {});
    CHECK(seen == numbers(0, 6));
  }
  SECTION("thousands, so that the memory grows under its feet") {
    w.advance(at(10ms), [&](int& n) {
      const int before = n;
      for (int i = 0; i < 2000; ++i) w.schedule(at(11ms), 100);
      seen.push_back(n == before ? n : -1);
    });
    CHECK(seen == numbers(0, 6));
    CHECK(fire_until(w, at(11ms)).size() == 12'000);
  }
}

TEST_CASE("a handler that throws: the rest goes on with the next advance") {
  wheel w(at(0ms));
  for (int i = 0; i < 10; ++i) w.schedule(at(10ms + nanoseconds(i)), i);
  for (int i = 10; i < 20; ++i) w.schedule(at(20ms), i);
  ints seen;
  int throws = 0;
  while (!w.empty()) {
    const std::size_t before = w.size();
    const std::size_t seen_before = seen.size();
    try {
      w.advance(at(30ms), [&](int& n) {
        seen.push_back(n);
        if (n % 3 == 0) throw std::runtime_error("a handler's own");
      });
    } catch (const std::runtime_error& e) {
      CHECK(std::string(e.what()) == "a handler's own");
      ++throws;
    }
    CHECK(before - w.size() == seen.size() - seen_before);
  }
  CHECK(throws == 7);
  CHECK(seen == numbers(0, 20));

  // one that has rescheduled itself before stays
  const handle h = w.schedule(at(40ms), 1);
  CHECK_THROWS_AS(w.advance(at(40ms),
                            [&](int&) {
                              w.reschedule(h, at(50ms));
                              throw support::thrown();
                            }),
                  support::thrown);
  CHECK(w.size() == 1);
  CHECK(fire_until(w, at(50ms)) == ints{1});
}

TEST_CASE("advance and drain inside a handler are refused") {
  wheel w(at(0ms));
  w.schedule(at(1ms), 1);
  w.schedule(at(2ms), 2);
  w.schedule(at(3ms), 3);
  const std::string refused = "timing_wheel: advance or drain inside a handler";
  const auto again = [&] {
    CHECK(message_of<std::logic_error>([&] { w.advance(at(9ms), [](int&) {}); }) == refused);
    CHECK(message_of<std::logic_error>([&] { w.drain([](int&) {}); }) == refused);
  };
  w.advance(at(1ms), [&](int&) { again(); });
  CHECK(w.size() == 2);
  w.drain([&](int&) { again(); });
  CHECK(w.empty());
  w.schedule(at(5ms), 5);
  CHECK(fire_until(w, at(5ms)) == ints{5});  // outside it is allowed again
}

// --- budget ---

TEST_CASE("a budget of 0 is refused by name") {
  wheel w(at(0ms));
  CHECK(message_of<std::invalid_argument>([&] { w.advance(at(1ms), [](int&) {}, 0); }) ==
        "timing_wheel::advance: budget must be 1 or more");
  CHECK(w.now() == at(0ms));
}

TEST_CASE("a budget bounds every call, and all comes in the end, in order") {
  const std::size_t budget = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{1000});
  std::mt19937 random(3);
  wheel w(at(0ms));
  std::vector<time_point> deadlines;
  for (int i = 0; i < 4000; ++i) {
    // a third of them at one tick, the others over two minutes
    const auto d =
        i % 3 == 0 ? 70s + nanoseconds(random() % 1'000'000) : nanoseconds(1us * (random() % 120'000'000));
    deadlines.push_back(at(d));
    w.schedule(deadlines.back(), i);
  }
  ints order = numbers(0, 4000);
  const auto tick = [&](int i) {
    return std::chrono::ceil<std::chrono::milliseconds>(deadlines[static_cast<std::size_t>(i)]);
  };
  sort_by(order, [&](int i) { return deadlines[static_cast<std::size_t>(i)]; });
  ints seen;
  std::size_t steps = 0;
  std::size_t calls = 0;
  time_point before = w.now();
  bool more = true;
  while (more) {
    const auto done = w.advance(
        at(200s),
        [&](int& n) {
          seen.push_back(n);
          if (w.now() != tick(n)) seen.push_back(-1);
        },
        budget);
    REQUIRE(done.fired + done.moved <= budget);
    REQUIRE(w.now() >= before);
    before = w.now();
    more = done.more;
    steps += done.fired + done.moved;
    REQUIRE(++calls < 400'000);
    if (more && seen.size() < 4000) {
      // nothing that waits is later than where the wheel stands
      REQUIRE(w.next_expiry() >= w.now());
      REQUIRE(w.next_wakeup() <= w.next_expiry());
    }
  }
  CHECK((seen == order));
  CHECK(w.empty());
  CHECK(w.now() == at(200s));
  CHECK(calls >= steps / budget);
}

TEST_CASE("a budget stops in the middle of ordering a tick, where anything may be moved or taken away") {
  const std::size_t budget = GENERATE(std::size_t{1}, std::size_t{100}, std::size_t{1999}, std::size_t{3001});
  CAPTURE(budget);
  constexpr int n = 3000;
  std::mt19937 random(11);
  wheel w(at(0ms));
  std::vector<handle> h;
  std::vector<nanoseconds> deadline;
  for (int i = 0; i < n; ++i) {
    deadline.push_back(9ms + nanoseconds(1 + random() % 999'999));
    h.push_back(w.schedule(at(deadline.back()), i));
  }
  enum fate { stays, cancelled, later };
  std::vector<fate> fates(n, stays);
  ints seen;
  const std::size_t every = std::max<std::size_t>(1, 3000 / budget / 8);
  std::size_t calls = 0;
  bool more = true;
  while (more) {
    const auto done = w.advance(at(10ms), [&](int& i) { seen.push_back(i); }, budget);
    more = done.more;
    REQUIRE(w.size() + seen.size() +
                static_cast<std::size_t>(std::count(fates.begin(), fates.end(), cancelled)) ==
            n);
    if (++calls % every != 0) continue;
    for (int k = 0; k < 5 && more; ++k) {
      const std::size_t i = random() % n;
      if (!w.is_scheduled(h[i]) || fates[i] != stays) continue;
      if (k % 2 == 0) {
        REQUIRE(w.cancel(h[i]));
        fates[i] = cancelled;
      } else {
        REQUIRE(w.reschedule(h[i], at(deadline[i] + 10ms)));
        fates[i] = later;
      }
    }
  }
  for (const fate f : {stays, later}) {
    ints order;
    for (int i = 0; i < n; ++i) {
      if (fates[static_cast<std::size_t>(i)] == f) order.push_back(i);
    }
    sort_by(order, [&](int i) { return deadline[static_cast<std::size_t>(i)]; });
    if (f == later) seen = fire_until(w, at(20ms));
    CHECK((seen == order));
  }
  CHECK(std::count(fates.begin(), fates.end(), stays) < n);
  CHECK(w.empty());
}

TEST_CASE("rescheduled to what has passed while its own tick is half done: the next tick, for all alike") {
  wheel w(at(0ms));
  std::vector<handle> h;
  for (int i = 0; i < 10; ++i) h.push_back(w.schedule(at(5ms), i));
  CHECK(w.advance(at(9ms), [](int&) {}, 4).more);  // four of them have been taken out of the slot
  CHECK(w.now() == at(5ms));
  for (int i = 9; i >= 0; --i) CHECK(w.reschedule(h[static_cast<std::size_t>(i)], at(1ms)));
  ints seen;
  w.advance(at(9ms), [&](int& n) {
    CHECK(w.now() == at(6ms));
    seen.push_back(n);
  });
  CHECK(seen == ints{9, 8, 7, 6, 5, 4, 3, 2, 1, 0});
}

// --- clocks ---

TEST_CASE("the clock jumps a day, stands still, runs back") {
  wheel w(at(0ms));
  for (int i = 0; i < 24; ++i) w.schedule(at(std::chrono::hours(23 - i)), 23 - i);
  ints hours;
  w.advance(at(24h), [&](int& n) {
    hours.push_back(n);
    CHECK(w.now() == std::max(at(std::chrono::hours(n)), at(1ms)));
  });
  CHECK(hours == numbers(0, 24));
  CHECK(w.now() == at(24h));

  w.schedule(at(24h + 10ms), 1);
  for (int i = 0; i < 3; ++i) CHECK(fire_until(w, at(24h)).empty());
  CHECK(fire_until(w, at(1h)).empty());
  CHECK(fire_until(w, (time_point::min)()).empty());
  CHECK(w.now() == at(24h));
  w.schedule(at(2h), 2);
  CHECK(fire_until(w, at(24h)).empty());
  CHECK(fire_until(w, at(24h + 1ms)) == ints{2});
  CHECK(fire_until(w, at(24h + 10ms)) == ints{1});
}

TEST_CASE("manual_clock and system_clock") {
  millrace::manual_clock clock(millrace::manual_clock::time_point(5s));
  timing_wheel<int, std::chrono::milliseconds, millrace::manual_clock> manual(clock.now());
  manual.schedule(clock.now() + 10ms, 1);
  CHECK(fire_until(manual, clock.now()).empty());
  clock.advance(10ms);
  CHECK(fire_until(manual, clock.now()) == ints{1});

  using of_wall = timing_wheel<int, std::chrono::seconds, std::chrono::system_clock>;
  const auto midnight = std::chrono::system_clock::time_point(std::chrono::hours(24 * 20'000));
  of_wall wall(midnight);
  wall.schedule(midnight + 1500ms, 2);
  CHECK(wall.next_expiry() == midnight + 2s);
  CHECK(fire_until(wall, midnight + 2s) == ints{2});
}

// --- drain ---

TEST_CASE("drain: all of it, in order of deadline, each once") {
  wheel w(at(0ms));
  CHECK(drained(w).empty());
  const nanoseconds deadlines[] = {5h, 3ms, 24h * 36'500, -5ms, 5h, 700ms, 3ms + 1ns};
  int n = 0;
  for (const auto d : deadlines) w.schedule(at(d), n++);
  w.schedule((time_point::max)(), n++);
  w.reschedule(w.schedule(at(1ms), n++), at(5h));
  CHECK(drained(w) == ints{3, 1, 6, 5, 0, 4, 8, 2, 7});
  CHECK(w.empty());
  CHECK(w.now() == at(0ms));

  // what its handlers schedule stays, be it themselves
  for (int i = 0; i < 5; ++i) w.schedule(at(10ms), i);
  ints seen;
  CHECK(w.drain([&](int& i, const expiry& e) {
    seen.push_back(i);
    if (i == 1) w.schedule(at(1ms), 10);
    if (i == 2) w.reschedule(e.timer, at(2ms));
    CHECK(w.now() == at(0ms));
  }) == 5);
  CHECK(seen == numbers(0, 5));
  CHECK(w.size() == 2);
  CHECK(fire_until(w, at(10ms)) == ints{10, 2});
}

TEST_CASE("drain: its handlers may take others away") {
  wheel w(at(0ms));
  std::vector<handle> h;
  for (int i = 0; i < 6; ++i) h.push_back(w.schedule(at(10ms * i), i));
  ints seen;
  CHECK(w.drain([&](int& n) {
    seen.push_back(n);
    if (n != 1) return;
    CHECK(w.cancel(h[2]));
    CHECK(w.extract(h[4]) == 4);
    CHECK(w.reschedule(h[5], at(7ms)));
    CHECK(w.size() == 2);
  }) == 3);
  CHECK(seen == ints{0, 1, 3});
  CHECK(fire_until(w, at(7ms)) == ints{5});
}

TEST_CASE("drain: a handler that throws leaves the rest where it was") {
  const int last = GENERATE(0, 3, 9);
  wheel w(at(0ms));
  for (int i = 0; i < 10; ++i) w.schedule(at(10s * (9 - i)), 9 - i);
  ints seen;
  CHECK_THROWS_AS(w.drain([&](int& n) {
    seen.push_back(n);
    if (n == last) throw support::thrown();
  }),
                  support::thrown);
  CHECK(seen == numbers(0, last + 1));
  CHECK(w.size() == static_cast<std::size_t>(9 - last));
  for (int i = last + 1; i < 10; ++i) {
    CHECK(w.next_expiry() == at(10s * i));
    CHECK(fire_until(w, at(10s * i - 1ms)).empty());
    CHECK(fire_until(w, at(10s * i)) == ints{i});
  }
}

TEST_CASE("drain in the middle of a tick that a budget ended") {
  wheel w(at(0ms));
  for (int i = 0; i < 100; ++i) w.schedule(at(9ms + nanoseconds(i * 37 % 100 + 1)), i * 37 % 100);
  w.schedule(at(1h), 100);
  ints seen;
  const auto handler = [&](int& n) { seen.push_back(n); };
  const auto budget =
      GENERATE(std::size_t{1}, std::size_t{50}, std::size_t{150}, std::size_t{400}, std::size_t{900});
  w.advance(at(10ms), handler, budget);
  w.drain(handler);
  CHECK(seen == numbers(0, 101));
  CHECK(w.empty());
}
