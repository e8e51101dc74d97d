// Every verb in every state; windows to the tick and to the id; a naive reference beside it; many threads; no memory.
#include "millrace/delivery/deduplicator.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::dedup_status;
using millrace::deduplicator;
using millrace::deduplicator_options;
using millrace::manual_clock;
using std::chrono::nanoseconds;
using support::instances;

template <class Id, class Hash = std::hash<Id>>
using timed = deduplicator<Id, Hash, manual_clock>;
using time_point = manual_clock::time_point;

constexpr dedup_status fresh = dedup_status::fresh;
constexpr dedup_status in_progress = dedup_status::in_progress;
constexpr dedup_status duplicate = dedup_status::duplicate;

/// Begins and commits; whether it was fresh.
template <class D, class Id>
bool pass(D& d, const Id& id) {
  auto t = d.begin(id);
  return t.commit();
}

template <class F>
std::string refused(F f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "accepted";
}

/// Storage that is counted: pieces that have not been given back.
inline long pieces = 0;
template <class T>
struct counted_storage : std::allocator<T> {
  T* allocate(std::size_t n) {
    T* const p = std::allocator<T>::allocate(n);
    ++pieces;
    return p;
  }
  void deallocate(T* p, std::size_t n) noexcept {
    --pieces;
    std::allocator<T>::deallocate(p, n);
  }
};
struct counted_sync : millrace::std_sync {
  template <class T>
  using allocator = counted_storage<T>;
};

/// Counted, and with a hash that tells nothing apart but odd and even.
struct key : support::copied {
  using counted::counted;
  friend bool operator==(const key& a, const key& b) { return a.value() == b.value(); }
};
struct parity {
  std::size_t operator()(const key& k) const noexcept { return static_cast<std::size_t>(k.value() & 1); }
};

}  // namespace

template <>
struct std::hash<key> {
  std::size_t operator()(const key& k) const noexcept { return static_cast<std::size_t>(k.value()); }
};

TEST_CASE("the defaults, and what is out of range is refused") {
  const deduplicator<int> d;
  CHECK(d.capacity() == 100'000);
  CHECK(d.window() == 2min);
  CHECK(d.size() == 0);
  CHECK(d.in_progress() == 0);
  CHECK(d.duplicates() == 0);

  const auto with = [](const deduplicator_options& o) { return refused([&] { deduplicator<int> made(o); }); };
  CHECK(with({.capacity = 0}) == "deduplicator: capacity must be 1 to 2^31 ids");
  CHECK(with({.capacity = (std::size_t{1} << 31) + 1}) == "deduplicator: capacity must be 1 to 2^31 ids");
  CHECK(with({.capacity = std::size_t{1} << 31}) == "accepted");
  CHECK(with({.capacity = 1}) == "accepted");
  CHECK(with({.window = 0ns}) == "deduplicator: window must be more than 0");
  CHECK(with({.window = -1ns}) == "deduplicator: window must be more than 0");
  CHECK(with({.window = 1ns}) == "accepted");
  CHECK(with({.window = nanoseconds::max()}) == "accepted");
}

TEST_CASE("every verb in every state") {
  enum state { unknown, of_ticket, of_caller, committed, expired };
  using dedup = timed<int>;
  using ticket = dedup::ticket;
  struct answer {
    int said;  // -1: nothing
    state then;
  };
  struct verb {
    const char* name;
    std::function<int(dedup&, std::optional<ticket>&)> call;
    std::array<answer, 5> answers;  // from each state
  };
  const auto say = [](dedup_status s) { return static_cast<int>(s); };
  const int is_fresh = say(fresh);
  const int is_begun = say(in_progress);
  const int is_known = say(duplicate);
  const std::vector<verb> verbs = {
      {"begin",
       [&](dedup& d, std::optional<ticket>& t) {
         ticket mine = d.begin(7);
         const int said = say(mine.status());
         if (said == is_fresh) t.emplace(std::move(mine));
         return said;
       },
       {{{is_fresh, of_ticket},
         {is_begun, of_ticket},
         {is_begun, of_caller},
         {is_known, committed},
         {is_fresh, of_ticket}}}},
      {"try_begin",
       [&](dedup& d, std::optional<ticket>&) { return say(d.try_begin(7)); },
       {{{is_fresh, of_caller},
         {is_begun, of_ticket},
         {is_begun, of_caller},
         {is_known, committed},
         {is_fresh, of_caller}}}},
      {"commit(id)",
       [](dedup& d, std::optional<ticket>&) { return int(d.commit(7)); },
       {{{0, unknown}, {0, of_ticket}, {1, committed}, {0, committed}, {0, expired}}}},
      {"abort(id)",
       [](dedup& d, std::optional<ticket>&) { return int(d.abort(7)); },
       {{{0, unknown}, {0, of_ticket}, {1, unknown}, {0, committed}, {0, expired}}}},
      {"ticket.commit",
       [](dedup&, std::optional<ticket>& t) { return t ? int(t->commit()) : 0; },
       {{{0, unknown}, {1, committed}, {0, of_caller}, {0, committed}, {0, expired}}}},
      {"ticket.abort",
       [](dedup&, std::optional<ticket>& t) { return t ? int(t->abort()) : 0; },
       {{{0, unknown}, {1, unknown}, {0, of_caller}, {0, committed}, {0, expired}}}},
      {"the ticket's end",
       [](dedup&, std::optional<ticket>& t) {
         t.reset();
         return -1;
       },
       {{{-1, unknown}, {-1, unknown}, {-1, of_caller}, {-1, committed}, {-1, expired}}}},
      {"contains",
       [](dedup& d, std::optional<ticket>&) { return int(d.contains(7)); },
       {{{0, unknown}, {0, of_ticket}, {0, of_caller}, {1, committed}, {0, expired}}}},
      {"forget",
       [](dedup& d, std::optional<ticket>&) { return int(d.forget(7)); },
       {{{0, unknown}, {0, of_ticket}, {0, of_caller}, {1, unknown}, {0, unknown}}}},
      {"clear",
       [](dedup& d, std::optional<ticket>&) {
         d.clear();
         return -1;
       },
       {{{-1, unknown}, {-1, of_ticket}, {-1, of_caller}, {-1, unknown}, {-1, unknown}}}},
  };
  const auto look = [](dedup& d, std::optional<ticket>& t) {
    if (d.size() == 0) return unknown;
    if (d.in_progress() == 0) return d.contains(7) ? committed : expired;
    if (d.abort(7)) return of_caller;
    return t && t->abort() ? of_ticket : expired;
  };
  for (const verb& v : verbs) {
    for (const state from : {unknown, of_ticket, of_caller, committed, expired}) {
      CAPTURE(v.name, from);
      manual_clock clock;
      dedup d(clock, {.window = 10ns});
      std::optional<ticket> t;
      if (from == of_ticket) t.emplace(d.begin(7));
      if (from == of_caller) REQUIRE(d.try_begin(7) == fresh);
      if (from == committed || from == expired) REQUIRE(pass(d, 7));
      if (from == expired) clock.advance(10ns);
      const answer wanted = v.answers[from];
      CHECK(v.call(d, t) == wanted.said);
      CHECK(d.duplicates() == (wanted.said == is_known && v.name == std::string("begin")       ? 1u
                               : wanted.said == is_known && v.name == std::string("try_begin") ? 1u
                                                                                               : 0u));
      CHECK(d.in_progress() == (wanted.then == of_ticket || wanted.then == of_caller ? 1u : 0u));
      CHECK(look(d, t) == wanted.then);
    }
  }
}

TEST_CASE("a ticket is moved, settles once, and aborts at its end") {
  using ticket = timed<int>::ticket;
  static_assert(!std::is_copy_constructible_v<ticket> && std::is_nothrow_move_constructible_v<ticket> &&
                std::is_nothrow_move_assignable_v<ticket>);
  manual_clock clock;
  timed<int> d(clock);
  {
    ticket a = d.begin(1);
    ticket b = std::move(a);
    CHECK_FALSE(a.commit());  // NOLINT(bugprone-use-after-move): that it does nothing is the point
    CHECK(b.status() == fresh);
    CHECK(d.in_progress() == 1);
    CHECK(b.commit());
    CHECK_FALSE(b.commit());
    CHECK_FALSE(b.abort());
    CHECK(b.status() == fresh);
    CHECK(d.contains(1));
  }
  CHECK(d.contains(1));  // the end of a settled ticket changes nothing
  {
    ticket a = d.begin(2);
    a = d.begin(3);  // aborts 2
    CHECK(d.try_begin(2) == fresh);
    CHECK(d.try_begin(3) == in_progress);
    ticket& same = a;
    a = std::move(same);
    CHECK(d.try_begin(3) == in_progress);
    ticket late = d.begin(1);
    CHECK(late.status() == duplicate);
    CHECK_FALSE(late.commit());
    late = std::move(a);
    CHECK(late.status() == fresh);
    CHECK(d.try_begin(3) == in_progress);
  }
  CHECK(d.try_begin(3) == fresh);
  CHECK(d.in_progress() == 2);
  // one of those who were too late has nothing to settle
  {
    ticket other = d.begin(3);
    CHECK(other.status() == in_progress);
    CHECK_FALSE(other.abort());
  }
  CHECK(d.try_begin(3) == in_progress);
}

TEST_CASE("a handler that fails does not lose its retry") {
  manual_clock clock;
  timed<int> d(clock);
  int done = 0;
  const auto handle = [&](bool fails) {
    auto once = d.begin(1);
    if (once.status() != fresh) return;
    if (fails) throw std::runtime_error("the database is down");
    ++done;
    once.commit();
  };
  CHECK_THROWS(handle(true));
  CHECK_THROWS(handle(true));
  handle(false);
  handle(false);
  CHECK(done == 1);
  CHECK(d.duplicates() == 1);
}

TEST_CASE("an id is remembered to the end of its window, which begins with its commit") {
  manual_clock clock;
  timed<int> d(clock, {.window = 100ns});
  auto t = d.begin(1);
  clock.advance(1h);  // in progress nothing ends
  CHECK(d.begin(1).status() == in_progress);
  t.commit();
  clock.advance(99ns);
  CHECK(d.contains(1));
  CHECK(d.begin(1).status() == duplicate);  // and it does not begin anew with that
  clock.advance(1ns);
  CHECK_FALSE(d.contains(1));
  CHECK(d.begin(1).status() == fresh);

  // begun anew, its window is counted from the new commit
  REQUIRE(pass(d, 2));
  clock.advance(100ns);
  REQUIRE(pass(d, 2));
  clock.advance(99ns);
  CHECK(d.contains(2));
  clock.advance(1ns);
  CHECK_FALSE(d.contains(2));
  // forgotten is forgotten, also if it is still there
  CHECK_FALSE(d.forget(2));
}

TEST_CASE("of committed ids the newest `capacity` are remembered, by their commits") {
  manual_clock clock;
  timed<int> d(clock, {.capacity = 3});
  auto first = d.begin(1);
  auto second = d.begin(2);
  second.commit();
  first.commit();
  REQUIRE(pass(d, 3));
  CHECK(d.contains(2));
  CHECK(d.size() == 3);
  CHECK(d.begin(2).status() == duplicate);  // to be asked for does not make it younger
  REQUIRE(pass(d, 4));
  CHECK(d.size() == 3);
  CHECK_FALSE(d.contains(2));
  CHECK(d.contains(1));
  REQUIRE(pass(d, 5));
  CHECK_FALSE(d.contains(1));
  CHECK((d.contains(3) && d.contains(4) && d.contains(5)));

  // one that is forgotten by hand leaves room
  CHECK(d.forget(4));
  REQUIRE(pass(d, 6));
  CHECK((d.contains(3) && d.contains(5) && d.contains(6)));
  CHECK(d.size() == 3);

  // an aborted one takes none
  d.begin(7).abort();
  CHECK((d.contains(3) && d.contains(5) && d.contains(6)));
}

TEST_CASE("with room for one") {
  manual_clock clock;
  timed<int> d(clock, {.capacity = 1});
  REQUIRE(pass(d, 1));
  CHECK(d.begin(1).status() == duplicate);
  REQUIRE(pass(d, 2));
  CHECK(d.begin(2).status() == duplicate);
  REQUIRE(pass(d, 1));
  CHECK(d.size() == 1);
  CHECK(d.duplicates() == 2);
}

TEST_CASE("what is in progress is not forgotten, however much there is") {
  manual_clock clock;
  timed<int> d(clock, {.capacity = 2, .window = 10ns});
  std::vector<timed<int>::ticket> mine;
  for (int i = 0; i < 1000; ++i) mine.push_back(d.begin(i));
  for (int i = 1000; i < 1100; ++i) REQUIRE(pass(d, i));
  clock.advance(1h);
  CHECK(d.in_progress() == 1000);
  CHECK(d.size() == 1002);
  d.clear();
  CHECK(d.size() == 1000);
  CHECK_FALSE(d.forget(5));
  int begun = 0;
  for (int i = 0; i < 1000; ++i) begun += d.begin(i).status() == in_progress;
  CHECK(begun == 1000);
  CHECK(d.size() == 1000);
  mine.clear();
  CHECK(d.size() == 0);
}

TEST_CASE("what is past its window is removed while others come, two at a time") {
  manual_clock clock;
  timed<int> d(clock, {.window = 10ns});
  for (int i = 0; i < 10; ++i) REQUIRE(pass(d, i));
  clock.advance(5ns);
  REQUIRE(pass(d, 10));
  clock.advance(5ns);
  CHECK(d.size() == 11);
  CHECK(d.begin(10).status() == duplicate);  // also with one that changes nothing else
  CHECK(d.size() == 9);
  for (const std::size_t left : {8u, 7u, 6u}) {
    REQUIRE(pass(d, 100 + int(left)));
    CHECK(d.size() == left);
  }
  CHECK(d.try_begin(0) == fresh);  // was removed
  CHECK(d.try_begin(9) == fresh);  // is the last of them
  CHECK(d.size() == 6);            // 10, and three and two that have come
  CHECK(d.contains(10));
  CHECK(d.begin(11).status() == fresh);
  CHECK(d.size() == 6);
}

TEST_CASE("a clock that is set back does not make it forget, and one at its end does not run over") {
  manual_clock clock(time_point(1h));
  timed<int> d(clock, {.window = 10min});
  REQUIRE(pass(d, 1));
  clock.set(time_point(0h));
  CHECK(d.contains(1));
  REQUIRE(pass(d, 2));  // as if at 1 h, where time stands
  clock.set(time_point(1h + 10min - 1ns));
  CHECK(d.contains(1));
  CHECK(d.contains(2));
  clock.set(time_point(1h + 10min));
  CHECK_FALSE(d.contains(1));
  CHECK_FALSE(d.contains(2));
  clock.set(time_point(1h));
  CHECK_FALSE(d.contains(1));  // what was forgotten is not remembered again
  CHECK(d.begin(2).status() == fresh);

  for (const nanoseconds window : {nanoseconds(1), nanoseconds(200 * 365 * 24h), nanoseconds::max()}) {
    CAPTURE(window.count());
    manual_clock old(time_point::min());
    timed<int> e(old, {.window = window});
    REQUIRE(pass(e, 1));
    CHECK(e.contains(1));
    old.set(time_point::min() + window);
    CHECK(e.contains(1) == (window == nanoseconds::max()));  // that one never ends
    old.set(time_point::max() - 1ns);
    REQUIRE(pass(e, 2));
    CHECK(e.contains(2));
    old.set(time_point::max());
    CHECK_FALSE(e.contains(2));
    CHECK(pass(e, 3));
  }
}

namespace {
/// Counts in seconds.
struct coarse_clock {
  using duration = std::chrono::seconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<coarse_clock>;
  [[nodiscard]] time_point now() const noexcept { return t; }
  time_point t{};
};
}  // namespace

TEST_CASE("with a clock of seconds a window is rounded up to them") {
  coarse_clock clock;
  deduplicator<int, std::hash<int>, coarse_clock> d(clock, {.window = 1500ms});
  REQUIRE(pass(d, 1));
  clock.t += 1s;
  CHECK(d.contains(1));
  clock.t += 1s;
  CHECK_FALSE(d.contains(1));
}

TEST_CASE("ids of any type: texts, those that only move, those whose hashes are all alike") {
  manual_clock clock;
  {
    timed<std::string> d(clock);
    std::string id = support::make<std::string>(1);
    const std::string same = id;
    auto t = d.begin(std::move(id));
    std::string again = same;
    CHECK(d.begin(std::move(again)).status() == in_progress);
    CHECK(again == same);  // NOLINT(bugprone-use-after-move): it stays what it was
    t.commit();
    CHECK(d.try_begin(std::move(again)) == duplicate);
    CHECK(again == same);  // NOLINT(bugprone-use-after-move)
    CHECK(d.begin("another").status() == fresh);
  }
  {
    struct by_content {
      std::size_t operator()(const std::unique_ptr<int>&) const noexcept { return 1; }
    };
    timed<std::unique_ptr<int>, by_content> d(clock);
    auto p = std::make_unique<int>(1);
    const int* const where = p.get();
    auto t = d.begin(std::move(p));
    CHECK(t.status() == fresh);
    CHECK(d.begin(std::make_unique<int>(1)).status() == fresh);  // another pointer
    std::unique_ptr<int> alias(const_cast<int*>(where));         // the same
    CHECK(d.contains(alias) == false);
    CHECK(d.try_begin(std::move(alias)) == in_progress);
    CHECK(alias.release() == where);  // NOLINT(bugprone-use-after-move)
  }
  instances::reset();
  {
    timed<key, parity> d(clock, {.capacity = 300});
    for (int i = 0; i < 600; ++i) REQUIRE(pass(d, key(i)));
    CHECK(d.size() == 300);
    CHECK(instances::live == 300);
    int known = 0;
    for (int i = 300; i < 600; ++i) known += d.begin(key(i)).status() == duplicate;
    CHECK(known == 300);
    CHECK(d.try_begin(key(299)) == fresh);
    CHECK(d.abort(key(299)));
    for (int i = 300; i < 600; i += 2) REQUIRE(d.forget(key(i)));
    CHECK(d.size() == 150);
    CHECK(instances::live == 150);
  }
  support::check_books();
}

TEST_CASE("a hundred thousand ids, as many as fit, of which the ends of each byte differ") {
  const support::watchdog guard("ids that are alike in the lower bits",
                                20s);  // by far, but not if all share a bucket
  manual_clock clock;
  for (const int shift : {0, 40}) {
    timed<std::uint64_t> d(clock);
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < 100'000; ++i) wrong += !pass(d, i << shift);
    for (std::uint64_t i = 0; i < 100'000; ++i) wrong += pass(d, i << shift);
    CHECK(wrong == 0);
    CHECK(d.size() == 100'000);
    CHECK(d.duplicates() == 100'000);
    CHECK(pass(d, std::uint64_t{100'000} << shift));
    CHECK_FALSE(d.contains(0));
    CHECK(d.contains(std::uint64_t{1} << shift));
    d.clear();
    CHECK(d.size() == 0);
    CHECK(pass(d, std::uint64_t{1} << shift));
  }
}

TEST_CASE("an id's destructor may call back") {
  static std::function<void()> at_the_end;
  struct talking {
    int number;
    std::shared_ptr<int> count;
    ~talking() {
      if (count != nullptr && at_the_end) at_the_end();
    }
    talking(int n, std::shared_ptr<int> c) : number(n), count(std::move(c)) {}
    talking(const talking&) = default;
    talking& operator=(const talking&) = delete;
    bool operator==(const talking& o) const { return number == o.number; }
  };
  struct of_number {
    std::size_t operator()(const talking& t) const noexcept { return static_cast<std::size_t>(t.number); }
  };
  const support::watchdog guard("an id's destructor that calls back", 20s);
  manual_clock clock;
  timed<talking, of_number> d(clock, {.capacity = 1, .window = 10ns});
  std::size_t calls = 0;
  const auto count = std::make_shared<int>(0);
  const auto one = [&](int n) { return talking(n, count); };
  const talking a = one(1);
  const talking b = one(2);
  at_the_end = [&] {
    ++calls;
    static_cast<void>(d.size());
  };
  REQUIRE(pass(d, a));
  REQUIRE(pass(d, b));  // 1 goes by count
  CHECK(calls == 1);
  d.begin(a).abort();
  CHECK(calls == 2);
  clock.advance(10ns);
  {
    auto t = d.begin(a);  // 2 goes by time
    CHECK(calls == 3);
    t.commit();
  }
  CHECK(d.forget(a));
  CHECK(calls == 4);
  REQUIRE(pass(d, a));
  d.clear();
  CHECK(calls == 5);
  at_the_end = nullptr;
}

TEST_CASE("what an id or a hash throws changes nothing") {
  struct touchy {
    bool* throws;
    std::size_t operator()(const key& k) const {
      if (*throws) throw support::thrown();
      return static_cast<std::size_t>(k.value());
    }
  };
  instances::reset();
  {
    bool throws = false;
    manual_clock clock;
    deduplicator<key, touchy, manual_clock, counted_sync> d(clock, {}, touchy{&throws});
    const key one(1);
    const key two(2);
    REQUIRE(pass(d, one));
    REQUIRE(d.try_begin(two) == fresh);
    throws = true;
    CHECK_THROWS_AS(d.begin(key(3)), support::thrown);
    CHECK_THROWS_AS(d.commit(two), support::thrown);
    CHECK_THROWS_AS(d.contains(one), support::thrown);
    CHECK_THROWS_AS(d.forget(one), support::thrown);
    throws = false;
    CHECK(d.contains(one));
    CHECK(d.in_progress() == 1);
    CHECK(d.size() == 2);

    const key three(3);
    instances::throw_at(1);
    CHECK_THROWS_AS(d.begin(three), support::thrown);
    CHECK_FALSE(instances::pending());
    CHECK(d.size() == 2);
    CHECK(pieces == 3);  // two ids and the table
    CHECK(d.try_begin(three) == fresh);
    CHECK(d.commit(three));
    CHECK(d.contains(three));
  }
  CHECK(pieces == 0);
  support::check_books();
}

TEST_CASE("what a comparison throws changes nothing") {
  struct quarrelsome {
    int number;
    bool* throws;
    bool operator==(const quarrelsome& o) const {
      if (*throws) throw support::thrown();
      return number == o.number;
    }
  };
  struct of_number {
    std::size_t operator()(const quarrelsome& q) const noexcept { return static_cast<std::size_t>(q.number); }
  };
  bool throws = false;
  manual_clock clock;
  timed<quarrelsome, of_number> d(clock);
  const quarrelsome one{1, &throws};
  const quarrelsome two{2, &throws};
  REQUIRE(pass(d, one));
  auto t = d.begin(two);
  throws = true;
  CHECK_THROWS_AS(d.begin(one), support::thrown);
  CHECK_THROWS_AS(d.try_begin(two), support::thrown);
  CHECK_THROWS_AS(d.commit(two), support::thrown);
  CHECK_THROWS_AS(d.abort(two), support::thrown);
  CHECK_THROWS_AS(d.contains(one), support::thrown);
  CHECK_THROWS_AS(d.forget(one), support::thrown);
  CHECK(d.size() == 2);
  CHECK(d.in_progress() == 1);
  CHECK(t.commit());  // compares nothing
  throws = false;
  CHECK(d.contains(one));
  CHECK(d.contains(two));
  CHECK(d.duplicates() == 0);
}

TEST_CASE("only begin takes memory, and only for an id that is not there") {
  manual_clock clock;
  timed<int> d(clock, {.capacity = 200, .window = 10ns});
  for (int i = 0; i < 60; ++i) REQUIRE(pass(d, i));
  REQUIRE(d.try_begin(100) == fresh);
  REQUIRE(d.try_begin(101) == fresh);
  auto t = d.begin(102);
  auto u = d.begin(103);
  long before = support::allocations;
  const auto taken = [&] { return support::allocations - std::exchange(before, support::allocations); };
  int as_told = 0;
  before = support::allocations;
  as_told += d.commit(100);
  as_told += d.abort(101);
  as_told += t.commit();
  as_told += u.abort();
  as_told += d.contains(5);
  as_told += d.forget(5);
  as_told += d.begin(6).status() == duplicate;
  clock.advance(10ns);
  as_told += d.begin(59).status() == fresh;  // it is still there
  const long none = taken();
  as_told += d.begin(1000).status() == fresh;
  const long some = taken();
  d.clear();
  const long again = taken();
  CHECK(as_told == 9);
  CHECK(none == 0);
  CHECK(some == 1);
  CHECK(again == 0);
}

TEST_CASE("whichever allocation is refused, nothing is lost") {
  if (!support::allocations_can_be_refused) return;
  instances::reset();
  int refusals = 0;
  for (long n = 1;; ++n) {
    // Catch allocates too: while a refusal is pending nothing is checked, only noted down.
    int wrong = 0;
    int refused_now = 0;
    std::size_t size = 0;
    bool met_all = false;
    {
      manual_clock clock;
      deduplicator<key, std::hash<key>, manual_clock, counted_sync> d(clock,
                                                                      {.capacity = 90, .window = 1000ns});
      support::allocation_to_refuse = n;
      for (int i = 0; i < 150; ++i) {
        const key id(i);
        for (bool done = false; !done;) {
          const std::size_t before = d.size();
          const std::size_t begun = d.in_progress();
          try {
            auto t = d.begin(id);
            wrong += t.status() != fresh;
            wrong += i % 10 == 9 ? !t.abort() : !t.commit();
            done = true;
          } catch (const std::bad_alloc&) {
            ++refused_now;
            wrong += d.size() != before || d.in_progress() != begun || d.contains(id);
          }
        }
        clock.advance(1ns);
      }
      met_all = support::allocation_to_refuse.exchange(0) > 0;
      for (int i = 0; i < 150; ++i) wrong += d.contains(key(i)) != (i >= 50 && i % 10 != 9);
      size = d.size();
    }
    CHECK(wrong == 0);
    CHECK(size == 90);
    CHECK(pieces == 0);
    REQUIRE(refused_now == (met_all ? 0 : 1));
    refusals += refused_now;
    if (met_all) break;
  }
  CHECK(refusals == 152);  // one for each id, and two for the table
  support::check_books();
}

namespace {

/// What it is to do, one id after the other.
class reference {
 public:
  reference(std::size_t capacity, nanoseconds window) : capacity_(capacity), window_(window) {}

  void at(time_point now) { latest_ = std::max(latest_, now); }
  dedup_status begin(int id, bool by_ticket) {
    for (int i = 0; i < 2 && !line_.empty() && line_.front().until <= latest_; ++i)
      line_.erase(line_.begin());
    if (begun_.count(id) != 0) return in_progress;
    if (contains(id)) {
      ++duplicates;
      return duplicate;
    }
    remove(id);
    begun_[id] = by_ticket;
    return fresh;
  }
  bool settle(int id, bool by_ticket, bool succeeded) {
    const auto found = begun_.find(id);
    if (found == begun_.end() || found->second != by_ticket) return false;
    begun_.erase(found);
    if (succeeded) line_.push_back({id, latest_ + window_});
    if (line_.size() > capacity_) line_.erase(line_.begin());
    return true;
  }
  [[nodiscard]] bool contains(int id) const {
    return std::any_of(line_.begin(), line_.end(),
                       [&](const committed& c) { return c.id == id && c.until > latest_; });
  }
  bool forget(int id) {
    const bool was = contains(id);
    remove(id);
    return was;
  }
  void clear() { line_.clear(); }
  [[nodiscard]] std::size_t begun() const { return begun_.size(); }
  [[nodiscard]] std::size_t size() const { return begun_.size() + line_.size(); }
  std::uint64_t duplicates = 0;

 private:
  struct committed {
    int id;
    time_point until;
  };
  void remove(int id) {
    std::erase_if(line_, [&](const committed& c) { return c.id == id; });
  }

  std::size_t capacity_;
  nanoseconds window_;
  time_point latest_{};
  std::vector<committed> line_;
  std::map<int, bool> begun_;
};

}  // namespace

TEST_CASE("whatever is called, it answers as the naive one") {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 rng(seed);
    const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(rng); };
    const auto capacity = static_cast<std::size_t>(1 + below(8));
    const nanoseconds window(1 + below(40));
    const int ids = 1 + below(20);
    manual_clock clock;
    timed<int> d(clock, {.capacity = capacity, .window = window});
    reference r(capacity, window);
    std::map<int, timed<int>::ticket> tickets;
    CAPTURE(seed, capacity, window.count(), ids);
    for (int step = 0; step < 2000; ++step) {
      const int id = below(ids);
      const int what = below(100);
      CAPTURE(step, id, what);
      if (what < 15) {
        clock.advance(nanoseconds(below(6)));
      } else if (what < 16) {
        clock.set(time_point(nanoseconds(below(step + 1))));
      } else if (what < 40) {
        r.at(clock.now());
        auto t = d.begin(id);
        REQUIRE(t.status() == r.begin(id, true));
        if (t.status() == fresh) tickets.emplace(id, std::move(t));
      } else if (what < 55) {
        r.at(clock.now());
        REQUIRE(d.try_begin(id) == r.begin(id, false));
      } else if (what < 75) {
        const bool succeeded = below(4) != 0;
        if (const auto t = tickets.find(id); t != tickets.end()) {
          r.at(clock.now());
          REQUIRE((succeeded ? t->second.commit() : t->second.abort()));
          REQUIRE(r.settle(id, true, succeeded));
          tickets.erase(t);
        }
      } else if (what < 85) {
        const bool succeeded = below(4) != 0;
        r.at(clock.now());
        REQUIRE((succeeded ? d.commit(id) : d.abort(id)) == r.settle(id, false, succeeded));
      } else if (what < 95) {
        r.at(clock.now());
        REQUIRE(d.contains(id) == r.contains(id));
      } else if (what < 99) {
        r.at(clock.now());
        REQUIRE(d.forget(id) == r.forget(id));
      } else if (below(5) == 0) {
        d.clear();
        r.clear();
      }
      REQUIRE(d.size() == r.size());
      REQUIRE(d.in_progress() == r.begun());
      REQUIRE(d.duplicates() == r.duplicates);
    }
  }
}

namespace {

/// Runs f(number of the thread) in all of them at once.
template <class F>
void together(int n, F f) {
  std::atomic<int> ready{0};
  std::vector<std::thread> all;
  for (int i = 0; i < n; ++i) {
    all.emplace_back([&, i] {
      ++ready;
      while (ready.load() < n) std::this_thread::yield();
      f(i);
    });
  }
  for (std::thread& t : all) t.join();
}

}  // namespace

TEST_CASE("of threads that begin the same id one is fresh at a time, and each id is committed once") {
  const support::watchdog guard("threads that begin the same ids");
  constexpr int threads = 4;
  constexpr std::size_t ids = 2000;
  deduplicator<std::size_t> d;
  struct record {
    int inside = 0;  // not atomic: what a fresh one does comes after what the one before it did
    int attempts = 0;
    int commits = 0;
  };
  std::vector<record> records(ids);
  std::atomic<int> overlaps{0};
  std::atomic<std::uint64_t> dropped{0};
  together(threads, [&](int me) {
    std::uint64_t mine = 0;
    for (std::size_t id = 0; id < ids; ++id) {
      for (bool over = false; !over;) {
        const bool by_ticket = (id + static_cast<std::size_t>(me)) % 2 == 0;
        std::optional<deduplicator<std::size_t>::ticket> t;
        if (by_ticket) t.emplace(d.begin(id));
        const dedup_status found = by_ticket ? t->status() : d.try_begin(id);
        if (found == duplicate) {
          ++mine;
          over = true;
          overlaps += records[id].commits != 1;  // what was done before the commit is visible
        } else if (found == in_progress) {
          std::this_thread::yield();
        } else {
          record& r = records[id];
          overlaps += r.inside++ != 0;
          const bool fails = ++r.attempts <= static_cast<int>(id % 3);
          if (!fails) ++r.commits;
          --r.inside;
          if (by_ticket && fails) {
            t.reset();
          } else if (by_ticket) {
            t->commit();
          } else if (fails) {
            d.abort(id);
          } else {
            d.commit(id);
          }
        }
      }
    }
    dropped += mine;
  });
  int wrong = 0;
  for (std::size_t id = 0; id < ids; ++id)
    wrong += records[id].commits != 1 || records[id].attempts != static_cast<int>(id % 3) + 1;
  CHECK(wrong == 0);
  CHECK(overlaps == 0);
  CHECK(dropped == threads * ids);
  CHECK(d.duplicates() == dropped);
  CHECK(d.size() == ids);
  CHECK(d.in_progress() == 0);
}

TEST_CASE("while ids are forgotten in every way, an id is still begun by one thread at a time") {
  const support::watchdog guard("threads that begin and forget the same ids");
  instances::reset();
  {
    manual_clock clock;
    timed<key> d(clock, {.capacity = 5, .window = 20ns});
    std::array<int, 16> inside{};
    std::atomic<int> overlaps{0};
    std::atomic<std::uint64_t> known{0};
    together(4, [&](int me) {
      std::mt19937 rng(static_cast<std::uint32_t>(me) + 1);
      for (int i = 0; i < 20'000; ++i) {
        const auto at = static_cast<std::size_t>(rng() % inside.size());
        const key id(static_cast<int>(at));
        auto t = d.begin(id);
        if (t.status() == duplicate) ++known;
        if (t.status() == fresh) {
          int& mine = inside[at];
          overlaps += mine++ != 0;
          --mine;
          if (rng() % 4 != 0) t.commit();
        }
        const unsigned what = rng() % 64;
        if (what < 8) clock.advance(1ns);
        if (what == 8) d.clear();
        if (what == 9) static_cast<void>(d.forget(id));
        if (what == 10) static_cast<void>(d.contains(id));
        if (what == 11) overlaps += d.size() > 5 + 4;
      }
    });
    CHECK(overlaps == 0);
    CHECK(d.in_progress() == 0);
    CHECK(d.size() <= 5);
    CHECK(d.duplicates() == known);
    CHECK(known > 0);
    CHECK(instances::live == static_cast<long>(d.size()));
  }
  support::check_books();
}
