// What becomes of a timing_wheel's payloads, and where its memory comes from.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/time/timing_wheel.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/instances.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::timing_wheel;
using std::chrono::nanoseconds;
using support::check_books;
using support::instances;
using support::ints;
using support::numbers;

using time_point = timing_wheel<int>::time_point;

constexpr time_point at(nanoseconds since_epoch) { return time_point(since_epoch); }

/// Advances, and tells the payloads in order.
template <class Wheel>
ints fire_until(Wheel& w, time_point now) {
  ints seen;
  w.advance(now, [&](auto& payload) { seen.push_back(support::number(payload)); });
  return seen;
}

}  // namespace

TEMPLATE_TEST_CASE("a payload is moved in, never moved again, and destroyed once", "", std::unique_ptr<int>,
                   std::string, support::moved, support::aligned, support::block) {
  instances::reset();
  {
    timing_wheel<TestType> w(at(0ms));
    using timer = typename timing_wheel<TestType>::handle;
    std::vector<timer> h;
    std::vector<const TestType*> where;
    for (int i = 0; i < 200; ++i) {
      h.push_back(w.schedule(at(10ms * (i % 20)), support::make<TestType>(i)));
      where.push_back(w.find(h.back()));
      REQUIRE(reinterpret_cast<std::uintptr_t>(where.back()) % alignof(TestType) == 0);
    }
    bool stayed = true;
    for (std::size_t i = 0; i < 200; ++i)
      stayed = stayed && w.find(h[i]) == where[i] && support::number(*where[i]) == static_cast<int>(i);
    CHECK(stayed);
    if constexpr (std::is_same_v<TestType, support::moved> || std::is_same_v<TestType, support::aligned>) {
      CHECK(instances::live == 200);
      CHECK(w.cancel(h[3]));
      CHECK(instances::live == 199);  // at once
      CHECK(support::number(*w.extract(h[4])) == 4);
      CHECK(instances::live == 198);
      w.advance(at(50ms), [&](TestType&) {});
      CHECK(instances::live == static_cast<long>(w.size()));
    } else {
      CHECK(support::number(*w.extract(h[4])) == 4);
    }
    CHECK(w.size() > 100);  // and these are destroyed with the wheel
  }
  check_books();
}

TEST_CASE("a payload is made from parts, in place, and need not move") {
  struct pinned {
    pinned(int x, std::string y) : n(x), text(std::move(y)) {}
    pinned(const pinned&) = delete;
    pinned& operator=(const pinned&) = delete;
    int n;
    std::string text;
  };
  timing_wheel<pinned> w(at(0ms));
  w.schedule(at(1ms), 4, "four");
  int calls = 0;
  w.advance(at(1ms), [&](pinned& p) { calls += p.n == 4 && p.text == "four" ? 1 : 0; });
  CHECK(calls == 1);
}

TEST_CASE("in its own handler a payload lives until that returns") {
  instances::reset();
  {
    timing_wheel<support::moved> w(at(0ms));
    const auto h = w.schedule(at(1ms), 1);
    w.advance(at(1ms), [&](support::moved& p) {
      w.reschedule(h, at(5ms));
      CHECK(w.cancel(h));
      CHECK(instances::live == 1);
      CHECK(p.value() == 1);
    });
    CHECK(instances::live == 0);
    w.schedule(at(2ms), 2);
    CHECK_THROWS_AS(w.advance(at(2ms), [](support::moved&) { throw support::thrown(); }), support::thrown);
    CHECK(instances::live == 0);
  }
  check_books();
}

TEST_CASE("a payload's destructor may cancel the very timer that held it, and others") {
  struct session;
  using sessions = timing_wheel<std::shared_ptr<session>>;
  struct session {
    session(sessions& t, int& d) : timers(t), destroyed(d) {}
    ~session() {
      ++destroyed;
      CHECK_FALSE(timers.cancel(own));
      timers.cancel(other);
    }
    sessions& timers;
    int& destroyed;
    sessions::handle own;
    sessions::handle other;
  };
  int destroyed = 0;
  {
    sessions w(at(0ms));
    const auto add = [&](nanoseconds deadline) {
      auto s = std::make_shared<session>(w, destroyed);
      session& made = *s;
      made.own = w.schedule(at(deadline), std::move(s));
      return &made;
    };
    session* const a = add(5ms);
    const session* const b = add(5ms);
    a->other = b->own;
    CHECK(w.cancel(a->own));
    CHECK(destroyed == 2);
    CHECK(w.empty());
    add(5ms);
    CHECK(w.advance(at(5ms), [](auto&) {}).fired == 1);
    CHECK(destroyed == 3);
    auto periodic = std::make_shared<session>(w, destroyed);
    session& made = *periodic;
    made.own = w.schedule_every(at(6ms), 1ms, std::move(periodic));
    CHECK(w.cancel(made.own));
    CHECK(destroyed == 4);
    session* const c = add(10s);
    c->other = add(20s)->own;
    add(30s);
    CHECK(w.size() == 3);
  }
  CHECK(destroyed == 7);
}

TEST_CASE("a constructor that throws loses nothing") {
  instances::reset();
  {
    timing_wheel<support::copied> w(at(0ms));
    const support::copied value(5);
    const auto refused = [&] {
      instances::throw_at(1);
      CHECK_THROWS_AS(w.schedule(at(1ms), value), support::thrown);
      instances::throw_at(1);
      CHECK_THROWS_AS(w.schedule_every(at(1ms), 1ms, value), support::thrown);
      instances::throw_at(1);
      CHECK_THROWS_AS(w.schedule(at(1ms), 6), support::thrown);
    };
    refused();
    CHECK(w.empty());
    CHECK(w.next_expiry() == std::nullopt);
    const auto h = w.schedule(at(2ms), value);
    refused();
    CHECK(w.size() == 1);
    CHECK(instances::live == 2);
    instances::throw_at(1);
    CHECK_THROWS_AS(w.extract(h), support::thrown);  // the payload could not be moved: it stays
    CHECK(w.is_scheduled(h));
    CHECK(fire_until(w, at(2ms)) == ints{5});
  }
  check_books();
}

TEST_CASE("what could not be scheduled gives its place back, and its payload is destroyed") {
  using allocator = support::counting_allocator<support::copied>;
  support::allocator_books books;
  instances::reset();
  {
    timing_wheel<support::copied, std::chrono::milliseconds, std::chrono::steady_clock, allocator> w(
        at(0ms), allocator(books));
    w.schedule(at(9ms), 0);
    for (int i = 0; i < 100; ++i) {
      instances::throw_at(1);
      CHECK_THROWS_AS(w.schedule(at(9ms), 1), support::thrown);
      books.refuse_at = 1;  // for the periods
      CHECK_THROWS_AS(w.schedule_every(at(9ms), 1ms, 1), std::bad_alloc);
      CHECK(instances::live == 1);
      CHECK(w.size() == 1);
    }
    for (int i = 1; i < 64; ++i) w.schedule(at(9ms), i);
    CHECK(books.allocations == 1);
    CHECK(fire_until(w, at(9ms)) == numbers(0, 64));
  }
  check_books();
}

TEST_CASE("an allocation that is refused: bad_alloc, and the wheel is as it was") {
  const bool every = GENERATE(false, true);
  if (!support::allocations_can_be_refused) return;
  int refused = 0;
  for (long n = 1; n <= 12; ++n) {
    timing_wheel<int> w(at(0ms));
    int scheduled = 0;
    bool threw = false;
    std::size_t size_then = 0;
    const auto schedule = [&](int i) {
      if (every) {
        w.schedule_every(at(10ms), 1h, i);
      } else {
        w.schedule(at(10ms), i);
      }
    };
    support::allocation_to_refuse = n;
    for (int i = 0; i < 1000 && !threw; ++i) {
      try {
        schedule(i);
        ++scheduled;
      } catch (const std::bad_alloc&) {
        threw = true;
        size_then = w.size();
      }
    }
    support::allocation_to_refuse = 0;
    if (!threw) break;
    ++refused;
    CHECK(size_then == static_cast<std::size_t>(scheduled));
    for (int i = scheduled; i < 1000; ++i) schedule(i);
    CHECK((fire_until(w, at(10ms)) == numbers(0, 1000)));
  }
  CHECK(refused == (every ? 10 : 5));  // 64 + 128 + ... + 1024
}

TEST_CASE("the allocator is used for everything, given back in full, and only as it grows") {
  support::allocator_books books;
  using allocator = support::counting_allocator<support::aligned>;
  instances::reset();
  {
    const long before = support::allocations;
    timing_wheel<support::aligned, std::chrono::milliseconds, std::chrono::steady_clock, allocator> w(
        at(0ms), allocator(books));
    CHECK(books.allocations == 0);
    for (int i = 0; i < 64; ++i) w.schedule(at(1ms), i);
    CHECK(books.allocations == 1);
    w.schedule(at(1ms), 64);
    CHECK(books.allocations == 2);
    w.schedule_every(at(1ms), 1ms, 65);
    CHECK(books.allocations == 3);
    CHECK(books.bytes == 128 * sizeof(std::int64_t));
    w.schedule_every(at(1ms), 1ms, 66);
    CHECK(books.allocations == 3);
    books.refuse_at = 1;
    for (int i = 0; i < 125; ++i) w.schedule(at(1ms), i);
    CHECK(w.size() == 192);
    CHECK_THROWS_AS(w.schedule(at(1ms), 1), std::bad_alloc);
    CHECK(w.size() == 192);
    // churn takes nothing more
    const long used = support::allocations;
    for (int i = 0; i < 1000; ++i) {
      w.advance(at(1ms * (i + 1)), [](support::aligned&) {});
      for (int k = 0; k < 100; ++k) w.schedule(at(1ms * (i + 2)), k);
    }
    const long used_then = support::allocations;
    CHECK(used_then == used);
    CHECK(books.allocations == 3);
    CHECK(used_then - before >= 3);
    CHECK(books.deallocations == 0);
  }
  CHECK(books.deallocations == 3);
  check_books();
}

TEST_CASE("nothing but the chunks is allocated: 32 bytes a timer and its payload") {
  support::allocator_books books;
  timing_wheel<std::uint64_t, std::chrono::milliseconds, std::chrono::steady_clock,
               support::counting_allocator<std::uint64_t>>
      w(at(0ms), support::counting_allocator<std::uint64_t>(books));
  w.schedule(at(1ms), 1u);
  CHECK(books.bytes == 64 * (32 + sizeof(std::uint64_t)));
}
