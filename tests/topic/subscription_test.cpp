// What a reader sees of a topic, for both kinds of publishers: where it begins, every way to read, the overrun rules, gates,
// seeking, waiting and the end. Time is a manual_clock's, and sleepers are met at the seam.
#include "millrace/topic/subscription.hpp"

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/select.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::earliest;
using millrace::latest;
using millrace::manual_clock;
using millrace::on_next;
using millrace::outcome;
using millrace::overrun;
using millrace::producers;
using millrace::select;
using millrace::stamps;
using millrace::wait_strategy;
using support::coroutine;
using support::watchdog;
using support::watching_sync;

template <producers P>
struct kind {
  template <class T, class Clock = std::chrono::steady_clock, class Sync = watching_sync>
  using topic = millrace::topic<T, P, Clock, Sync>;
};
#define BOTH_KINDS kind<producers::single>, kind<producers::multi>

using ints = std::vector<int>;

template <class Subscription>
ints read_all(Subscription& s) {
  ints all;
  while (const int* m = s.try_next()) all.push_back(*m);
  return all;
}
template <class Topic>
void publish(Topic& t, int from, int to) {
  for (int i = from; i < to; ++i) REQUIRE(t.try_publish(i) == outcome::ok);
}
ints numbers(int from, int to) {
  ints all;
  for (int i = from; i < to; ++i) all.push_back(i);
  return all;
}

/// What a handler was told.
struct told {
  int value;
  std::uint64_t offset;
  bool last;
  bool operator==(const told&) const = default;
};

}  // namespace

TEMPLATE_TEST_CASE("where a reader begins", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 4});
  publish(t, 0, 10);
  auto newest = t.subscribe();
  auto also_newest = t.subscribe({.from = latest});
  auto oldest = t.subscribe({.from = earliest});
  auto fourth = t.subscribe({.from = 4});
  auto end = t.subscribe({.from = t.tail()});
  publish(t, 10, 12);
  REQUIRE(read_all(newest) == numbers(10, 12));
  REQUIRE(read_all(also_newest) == numbers(10, 12));
  REQUIRE(read_all(oldest) == numbers(0, 12));
  REQUIRE(read_all(fourth) == numbers(4, 12));
  REQUIRE(read_all(end) == numbers(10, 12));
  for (const long wrong : {13L, -1L, 1L << 62}) {
    REQUIRE_THROWS_WITH(t.subscribe({.from = wrong}),
                        "topic::subscribe: options.from must be 0 to the topic's tail()");
    REQUIRE_THROWS_AS(newest.seek(std::uint64_t(wrong)), std::out_of_range);
  }
}

TEMPLATE_TEST_CASE("beginning at a time: exactly with each message's stamp, at its segment without", "",
                   BOTH_KINDS) {
  for (const stamps how : {stamps::each_message, stamps::each_segment}) {
    manual_clock clock;
    const auto start = clock.now();
    typename TestType::template topic<int, manual_clock> t(64, clock, {.stamp = how, .segment = 4});
    for (int i = 0; i < 20; ++i) {
      REQUIRE(t.try_publish(i) == outcome::ok);
      clock.advance(1s);
    }
    for (int from = 0; from <= 20; ++from) {
      auto late = t.subscribe({.from = start + std::chrono::seconds(from)});
      const ints got = read_all(late);
      const int exact = from;
      // At the very time at which a segment was begun, the one before may have messages of that time, too.
      const int of_segment = from == 0 ? 0 : (from - 1) / 4 * 4;
      const int first = how == stamps::each_message ? exact : of_segment;
      REQUIRE(got == numbers(first, 20));
      REQUIRE(late.missed() == 0);
      late.seek(start + 7s);
      REQUIRE(read_all(late) == numbers(how == stamps::each_message ? 7 : 4, 20));
    }
    auto from_before = t.subscribe({.from = start - 1h});
    REQUIRE(read_all(from_before) == numbers(0, 20));
  }
}

TEMPLATE_TEST_CASE("beginning at a time of many messages: with the first of them", "", BOTH_KINDS) {
  for (const stamps how : {stamps::each_message, stamps::each_segment}) {
    manual_clock clock;
    typename TestType::template topic<int, manual_clock> t(64, clock, {.stamp = how, .segment = 4});
    publish(t, 0, 12);
    clock.advance(1s);
    publish(t, 12, 40);
    auto late = t.subscribe({.from = clock.now()});
    REQUIRE(read_all(late) == numbers(how == stamps::each_message ? 12 : 8, 40));
    late.seek(clock.now());
    REQUIRE(read_all(late) == numbers(how == stamps::each_message ? 12 : 8, 40));
    late.seek(clock.now() - 1s);
    REQUIRE(read_all(late) == numbers(0, 40));
  }
}

TEMPLATE_TEST_CASE("poll: as many as asked for, what the handler is told, and where the batch ends", "",
                   BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 4});
  auto s = t.subscribe();
  REQUIRE(s.poll([](int) {}) == 0);
  publish(t, 0, 23);
  std::vector<told> all;
  const auto note = [&](const int& v, std::uint64_t offset, bool last) { all.push_back({v, offset, last}); };
  REQUIRE(s.poll(note, 0) == 0);
  REQUIRE(s.poll(note, 1) == 1);
  REQUIRE(s.poll(note, 9) == 9);
  REQUIRE(s.poll(note) == 13);
  REQUIRE(s.poll(note) == 0);
  REQUIRE(all.size() == 23);
  for (int i = 0; i < 23; ++i) {
    REQUIRE(all[std::size_t(i)] == told{i, std::uint64_t(i), i == 0 || i == 9 || i == 22 || i % 4 == 3});
  }
  publish(t, 23, 25);
  std::vector<std::uint64_t> offsets;
  REQUIRE(s.poll([&](int, std::uint64_t offset) { offsets.push_back(offset); }) == 2);
  REQUIRE(offsets == std::vector<std::uint64_t>{23, 24});
  REQUIRE(s.position() == 25);
  REQUIRE(s.lag() == 0);
}

TEMPLATE_TEST_CASE("a filter: only what is wanted, also by the flag of the last one", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 16});
  auto s = t.subscribe({.filter = [](int v) { return v % 7 == 0; }});
  auto nothing = t.subscribe({.filter = [](int) { return false; }});
  publish(t, 0, 40);
  std::vector<told> all;
  const auto note = [&](int v, std::uint64_t offset, bool last) { all.push_back({v, offset, last}); };
  REQUIRE(s.poll(note, 2) == 2);
  REQUIRE(s.poll(note) == 4);
  REQUIRE(all ==
          std::vector<told>{
              {0, 0, false}, {7, 7, true}, {14, 14, true}, {21, 21, false}, {28, 28, true}, {35, 35, true}});
  REQUIRE(s.lag() == 0);
  REQUIRE(s.missed() == 0);
  REQUIRE(nothing.try_next() == nullptr);
  REQUIRE(nothing.lag() == 0);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(t.try_publish(1) == outcome::ok);
    REQUIRE(nothing.try_next() == nullptr);
    REQUIRE(s.poll(note) == 0);
  }
}

TEMPLATE_TEST_CASE("a handler that throws gets the same message again, and nothing else", "", BOTH_KINDS) {
  for (const bool flagged : {false, true}) {
    for (int at = 0; at < 12; ++at) {
      typename TestType::template topic<int> t(64, {.segment = 4});
      auto s = t.subscribe();
      auto behind = t.subscribe({.after = {s}});
      publish(t, 0, 12);
      ints got;
      bool thrown = false;
      const auto take = [&](int v) {
        if (v == at && !std::exchange(thrown, true)) throw std::runtime_error("no");
        got.push_back(v);
      };
      const auto poll = [&] {
        return flagged ? s.poll([&](int v, std::uint64_t, bool) { take(v); })
                       : s.poll([&](int v) { take(v); });
      };
      REQUIRE_THROWS_WITH(poll(), "no");
      REQUIRE(s.position() == std::uint64_t(at));
      REQUIRE(read_all(behind) == numbers(0, at));
      REQUIRE(poll() == std::size_t(12 - at));
      REQUIRE(got == numbers(0, 12));
      REQUIRE(read_all(behind) == numbers(at, 12));
    }
  }
  typename TestType::template topic<int> t(64, {.segment = 4});
  bool thrown = false;
  auto s = t.subscribe({.filter = [&](int v) {
    if (v == 5 && !std::exchange(thrown, true)) throw std::runtime_error("filter");
    return true;
  }});
  publish(t, 0, 8);
  ints got;
  const auto take = [&](int v, std::uint64_t, bool) { got.push_back(v); };
  REQUIRE_THROWS_WITH(s.poll(take), "filter");
  const std::size_t before = got.size();
  REQUIRE(s.poll(take) == 8 - before);
  REQUIRE(got == numbers(0, 8));
}

TEMPLATE_TEST_CASE("a filter that throws: what is before is delivered, and the reader stays at that message",
                   "", BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 8});
  bool broken = true;
  auto s = t.subscribe(
      {.filter = [&](int v) { return broken && v == 2 ? throw std::runtime_error("filter") : true; }});
  publish(t, 0, 5);
  std::vector<told> got;
  const auto write = [&](int v, std::uint64_t offset, bool last) { got.push_back({v, offset, last}); };
  for (int i = 0; i < 3; ++i) {
    REQUIRE_THROWS_AS(s.poll(write), std::runtime_error);
    REQUIRE(got == std::vector<told>{{0, 0, false}, {1, 1, true}});
    REQUIRE(s.position() == 2);
  }
  broken = false;
  got.clear();
  REQUIRE(s.poll(write) == 3);
  REQUIRE(got == std::vector<told>{{2, 2, false}, {3, 3, false}, {4, 4, true}});
}

TEMPLATE_TEST_CASE("not in its own handler: seek, poll and run say so, and nothing is lost", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 8});
  auto s = t.subscribe();
  auto other = t.subscribe();
  publish(t, 0, 5);
  const auto refused = [&](auto what) {
    REQUIRE_THROWS_AS(s.poll([&](int) { what(); }), std::logic_error);
    REQUIRE(s.position() == 0);
  };
  refused([&] { s.seek(latest); });
  refused([&] { s.seek(3); });
  refused([&] { s.seek(std::chrono::steady_clock::time_point()); });
  refused([&] { s.poll([](int) {}); });
  refused([&] { static_cast<void>(s.run([](int) {})); });
  ints got;
  REQUIRE(s.poll([&](int v) {
    other.seek(std::uint64_t(v));  // another one may
    got.push_back(v);
  }) == 5);
  REQUIRE(got == numbers(0, 5));
  s.seek(1);
  REQUIRE(read_all(s) == numbers(1, 5));
  REQUIRE(read_all(other) == numbers(4, 5));
}

TEMPLATE_TEST_CASE("next gives what stays until the next verb; mixed with poll", "", BOTH_KINDS) {
  typename TestType::template topic<std::string> t(64, {.keep = {.messages = 0}, .segment = 2});
  auto s = t.subscribe();
  for (int i = 0; i < 6; ++i) REQUIRE(t.publish(std::string(100, char('a' + i))) == outcome::ok);
  const std::string* const first = s.next();
  REQUIRE(s.position() == 0);  // it may still be looked at
  t.trim();
  REQUIRE(*first == std::string(100, 'a'));
  const std::string* out = nullptr;
  REQUIRE(s.try_next(out) == outcome::ok);
  REQUIRE(*out == std::string(100, 'b'));
  REQUIRE(s.poll([](const std::string& v) { REQUIRE(v[0] == 'c'); }, 1) == 1);
  REQUIRE(s.next(out) == outcome::ok);
  REQUIRE((*out)[0] == 'd');
  t.close();
  std::string rest;
  for (const std::string& v : s) rest += v[0];
  REQUIRE(rest == "ef");
  REQUIRE(s.try_next(out) == outcome::closed);
  REQUIRE(out == nullptr);
}

TEMPLATE_TEST_CASE("next_for and next_until wait by the topic's clock, and no longer", "", BOTH_KINDS) {
  const watchdog guard("reading with a limit");
  manual_clock clock;
  typename TestType::template topic<int, manual_clock> t(4, clock);
  auto s = t.subscribe();
  const int* out = nullptr;
  REQUIRE(s.next_until(out, clock.now()) == outcome::timeout);
  outcome result{};
  std::thread late([&] { result = s.next_for(out, 10s); });
  clock.await_waiters(1);
  clock.advance(10s);
  late.join();
  REQUIRE(result == outcome::timeout);
  REQUIRE(out == nullptr);
  std::thread in_time([&] { result = s.next_for(out, 10s); });
  clock.await_waiters(1);
  publish(t, 7, 8);
  in_time.join();
  REQUIRE(result == outcome::ok);
  REQUIRE(*out == 7);
  t.close();
  REQUIRE(s.next_for(out, 10s) == outcome::closed);
}

TEMPLATE_TEST_CASE("run: to the end, to a stop, by every strategy", "", BOTH_KINDS) {
  const watchdog guard("run");
  using std_sync = millrace::std_sync;
  for (const wait_strategy how :
       {wait_strategy::adaptive, wait_strategy::park, wait_strategy::yield, wait_strategy::spin}) {
    typename TestType::template topic<int, std::chrono::steady_clock, std_sync> t(
        8, {.wait = how, .segment = 2});
    auto s = t.subscribe({.wait = how});
    auto behind = t.subscribe({.after = {s}, .wait = how});
    auto stopped = t.subscribe({.when_full = overrun::drop_oldest, .wait = how});
    ints got, got_behind;
    outcome results[3] = {};
    std::thread reader([&] { results[0] = s.run([&](int v) { got.push_back(v); }); });
    std::thread second(
        [&] { results[1] = behind.run([&](int v, std::uint64_t, bool) { got_behind.push_back(v); }); });
    std::stop_source stop;
    std::thread third([&] { results[2] = stopped.run(stop.get_token(), [](int) {}); });
    for (int i = 0; i < 1000; ++i) REQUIRE(t.publish(i) == outcome::ok);
    stop.request_stop();
    third.join();
    t.close();
    reader.join();
    second.join();
    REQUIRE(results[0] == outcome::closed);
    REQUIRE(results[1] == outcome::closed);
    REQUIRE(results[2] == outcome::cancelled);
    REQUIRE(got == numbers(0, 1000));
    REQUIRE(got_behind == got);
  }
}

TEMPLATE_TEST_CASE("a stop that its handler requests: one more message ends the batch", "", BOTH_KINDS) {
  for (const bool filtered : {false, true}) {
    typename TestType::template topic<int> t(128, {.segment = 64});
    auto s = t.subscribe({.filter = filtered ? [](const int& v) { return v % 2 == 0; }
                                             : millrace::function<bool(const int&)>()});
    publish(t, 0, 128);
    for (const int stops_at : {0, 2, 40, 100}) {
      std::stop_source stop;
      std::vector<told> got;
      REQUIRE(s.run(stop.get_token(), [&](int v, std::uint64_t offset, bool last) {
        if (v >= stops_at) stop.request_stop();
        got.push_back({v, offset, last});
      }) == outcome::cancelled);
      REQUIRE(got.size() >= 2);
      REQUIRE(got.back().last);
      REQUIRE((got.end() - 2)->value >= stops_at);
      REQUIRE((got.size() == 2 || (got.end() - 3)->value < stops_at));
      REQUIRE(s.position() == got.back().offset + 1);
    }
  }
}

TEMPLATE_TEST_CASE("a sleeping reader is woken by a message, a stop and the end", "", BOTH_KINDS) {
  const watchdog guard("waking a reader");
  typename TestType::template topic<int> t(8);
  auto a = t.subscribe();
  auto behind = t.subscribe({.after = {a}});
  const auto asleep = [&](auto wake, outcome expected) {
    watching_sync::reset();
    std::stop_source stop;
    outcome results[2] = {};
    std::thread first([&] { results[0] = a.run(stop.get_token(), [&](int) { stop.request_stop(); }); });
    std::thread second([&] { results[1] = behind.run(stop.get_token(), [](int) {}); });
    watching_sync::await_parked(2);
    wake(stop);
    first.join();
    second.join();
    REQUIRE(results[0] == expected);
    REQUIRE(results[1] == expected);
  };
  asleep([&](auto&) { publish(t, 0, 1); }, outcome::cancelled);
  asleep([](auto& stop) { stop.request_stop(); }, outcome::cancelled);
  asleep([&](auto&) { t.close(); }, outcome::closed);
}

TEMPLATE_TEST_CASE("drop_oldest: moved on to what is kept, and the loss counted", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(8, {.segment = 2});
  auto s = t.subscribe({.when_full = overrun::drop_oldest});
  publish(t, 0, 8);
  REQUIRE(read_all(s) == numbers(0, 8));
  REQUIRE(s.missed() == 0);
  publish(t, 8, 100);
  const ints got = read_all(s);
  REQUIRE(got.size() >= 8);
  REQUIRE(got.size() <= 8 + 2);
  REQUIRE(got == numbers(100 - int(got.size()), 100));
  REQUIRE(s.missed() == 92 - got.size());
  std::size_t flagged = 0;
  publish(t, 100, 200);
  const auto before = s.missed();
  std::size_t n = 0;
  while (const std::size_t some = s.poll([&](int, std::uint64_t, bool last) { flagged += last; })) n += some;
  REQUIRE(n + s.missed() - before == 100);
  REQUIRE(flagged >= 1);
}

TEMPLATE_TEST_CASE("drop_newest: it reads what it had, then what is kept", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(8, {.keep = {.messages = 0}, .segment = 2});
  auto s = t.subscribe({.when_full = overrun::drop_newest});
  publish(t, 0, 100);
  const ints got = read_all(s);
  std::size_t had = 0;
  while (had < got.size() && got[had] == int(had)) ++had;
  REQUIRE(had >= 8);
  REQUIRE(had <= 8 + 2);
  REQUIRE(got.size() + s.missed() == 100);
  REQUIRE(got.back() == 99);
  REQUIRE(s.missed() > 50);
  publish(t, 100, 108);
  REQUIRE(read_all(s) == numbers(100, 108));
}

TEMPLATE_TEST_CASE("disconnect: the stream ends for who is too slow, until it seeks", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(8, {.segment = 2});
  auto s = t.subscribe({.when_full = overrun::disconnect});
  auto behind = t.subscribe({.when_full = overrun::drop_oldest, .after = {s}});
  publish(t, 0, 8);
  REQUIRE_FALSE(s.disconnected());
  REQUIRE(s.poll([](int) {}, 3) == 3);
  publish(t, 8, 50);
  const int* out = nullptr;
  while (s.try_next(out) == outcome::ok) {
  }
  REQUIRE(s.try_next(out) == outcome::closed);
  REQUIRE(s.next() == nullptr);
  REQUIRE(s.disconnected());
  REQUIRE(s.missed() > 20);
  REQUIRE(s.lag() == 0);
  REQUIRE(s.run([](int) {}) == outcome::closed);
  REQUIRE(read_all(behind).back() == 49);  // it goes on without
  s.seek(latest);
  REQUIRE_FALSE(s.disconnected());
  publish(t, 50, 51);
  REQUIRE(read_all(s) == ints{50});
}

TEMPLATE_TEST_CASE("behind others: not before all of them are done; who leaves is waited for no more", "",
                   BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 4});
  std::optional a(t.subscribe());
  std::optional b(t.subscribe());
  auto c = t.subscribe({.after = {*a, *b}});
  auto d = t.subscribe({.after = {c}});
  publish(t, 0, 10);
  REQUIRE(c.try_next() == nullptr);
  REQUIRE(a->poll([](int) {}, 6) == 6);
  REQUIRE(c.try_next() == nullptr);
  REQUIRE(b->poll([](int) {}, 3) == 3);
  REQUIRE(d.try_next() == nullptr);
  REQUIRE(read_all(c) == numbers(0, 3));
  REQUIRE(read_all(d) == numbers(0, 3));
  b.reset();
  REQUIRE(read_all(c) == numbers(3, 6));
  a.reset();
  REQUIRE(read_all(c) == numbers(6, 10));
  publish(t, 10, 12);
  REQUIRE(read_all(c) == numbers(10, 12));
  REQUIRE(read_all(d) == numbers(3, 12));
  typename TestType::template topic<int> other(64);
  REQUIRE_THROWS_WITH(other.subscribe({.after = {c}}),
                      "topic::subscribe: options.after must name readers of this topic");
}

TEMPLATE_TEST_CASE("who sleeps behind a reader that leaves goes by what is published then", "", BOTH_KINDS) {
  const watchdog guard("behind one that leaves");
  typename TestType::template topic<int> t(8, {.segment = 2});
  std::optional first(t.subscribe());
  auto second = t.subscribe({.after = {*first}});
  watching_sync::reset();
  ints got;
  std::thread reader([&] {
    for (int i = 0; i < 5; ++i) got.push_back(*second.next());
  });
  watching_sync::await_parked(1);
  publish(t, 0, 2);
  first.reset();
  for (int i = 2; i < 5; ++i) {
    watching_sync::await_parked(1);
    publish(t, i, i + 1);
  }
  reader.join();
  REQUIRE(got == numbers(0, 5));
}

TEMPLATE_TEST_CASE("seek: back to what is kept, and forward, and it counts as nothing missed", "",
                   BOTH_KINDS) {
  typename TestType::template topic<int> t(16, {.segment = 4});
  auto s = t.subscribe();
  publish(t, 0, 16);
  REQUIRE(read_all(s) == numbers(0, 16));
  s.seek(earliest);
  REQUIRE(read_all(s) == numbers(0, 16));
  s.seek(10);
  REQUIRE(*s.next() == 10);
  s.seek(3);
  REQUIRE(read_all(s) == numbers(3, 16));
  static_cast<void>(s.try_next());
  publish(t, 16, 32);
  s.seek(latest);
  REQUIRE(s.try_next() == nullptr);
  publish(t, 32, 40);
  s.seek(0);  // long dropped
  const ints got = read_all(s);
  REQUIRE(got == numbers(40 - int(got.size()), 40));
  REQUIRE(got.size() >= 16);
  REQUIRE(s.missed() == 0);
}

TEMPLATE_TEST_CASE("a subscription is moved; what it has given out stays", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(16, {.segment = 4});
  auto s = t.subscribe();
  auto behind = t.subscribe({.after = {s}});
  publish(t, 0, 10);
  REQUIRE(*s.next() == 0);
  auto moved = std::move(s);
  REQUIRE(*moved.next() == 1);
  auto far = std::make_unique<decltype(moved)>(std::move(moved));
  REQUIRE(read_all(*far) == numbers(2, 10));
  static_cast<void>(far->try_next());
  REQUIRE(read_all(behind) == numbers(0, 10));
}

TEMPLATE_TEST_CASE("in a select, beside others", "", BOTH_KINDS) {
  const watchdog guard("select");
  typename TestType::template topic<int> a(8);
  typename TestType::template topic<int> b(8);
  auto from_a = a.subscribe();
  auto from_b = b.subscribe();
  const auto either = [&] {
    return select(on_next(from_a, [](const int* v) { return v ? *v : -1; }),
                  on_next(from_b, [](const int* v) { return v ? *v : -2; }));
  };
  publish(b, 5, 6);
  REQUIRE(either() == 5);
  watching_sync::reset();
  int got = 0;
  std::thread waiting([&] { got = either(); });
  watching_sync::await_parked(1);
  publish(a, 9, 10);
  waiting.join();
  REQUIRE(got == 9);
  REQUIRE(select(on_next(from_a, [](const int*) { return 1; }), millrace::otherwise([] { return 0; })) == 0);
  a.close();
  REQUIRE(either() == -1);
}

namespace {

template <class Subscription>
coroutine take_all(Subscription& s, ints& out, bool& ended) {
  for (const int* m = co_await s.async_next(); m != nullptr;) {
    out.push_back(*m);
    const int* const after = co_await s.async_next();
    m = after;
  }
  ended = true;
}
template <class Subscription, class Executor>
coroutine take_one(Subscription& s, ints& out, Executor executor, std::stop_token stop = {}) {
  const int* const m = co_await s.async_next(executor, stop);
  out.push_back(m != nullptr ? *m : -1);
}

}  // namespace

TEMPLATE_TEST_CASE("coroutines: resumed with each message, by an executor, not after a stop or their end", "",
                   BOTH_KINDS) {
  typename TestType::template topic<int> t(8, {.segment = 2});
  auto s = t.subscribe();
  auto behind = t.subscribe({.after = {s}, .filter = [](int v) { return v % 2 == 0; }});
  ints got, even;
  bool ended[2] = {};
  auto first = take_all(s, got, ended[0]);
  auto second = take_all(behind, even, ended[1]);
  for (int i = 0; i < 100; ++i) REQUIRE(t.publish(i) == outcome::ok);
  REQUIRE(got == numbers(0, 100));
  REQUIRE(even.size() >= 49);  // the last is still the first one's
  {
    auto third = t.subscribe();
    support::manual_executor later;
    ints out;
    auto c = take_one(third, out, later.poster());
    REQUIRE(t.publish(100) == outcome::ok);
    REQUIRE(out.empty());
    REQUIRE(later.run_all() == 1);
    REQUIRE(out == ints{100});
    std::stop_source stop;
    auto d = take_one(third, out, millrace::inline_executor(), stop.get_token());
    stop.request_stop();
    REQUIRE(out == ints{100, -1});
    auto given_up = take_one(third, out, later.poster());
    REQUIRE(t.publish(101) == outcome::ok);
    const auto handle = given_up.handle();
    REQUIRE(later.forget(handle));
    given_up.destroy();
    REQUIRE(*third.next() == 101);  // it did not live to see it
  }
  t.close();
  REQUIRE(ended[0]);
  REQUIRE(ended[1]);
  REQUIRE(even.size() == 51);
}

TEMPLATE_TEST_CASE("who is behind a coroutine hears of what that leaves out", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(8, {.segment = 4});
  auto s = t.subscribe({.filter = [](int v) { return v == 1; }});
  auto behind = t.subscribe({.after = {s}});
  ints wanted, all;
  bool ended[2] = {};
  auto first = take_all(s, wanted, ended[0]);
  auto second = take_all(behind, all, ended[1]);
  REQUIRE(t.publish(0) == outcome::ok);
  REQUIRE(all == ints{0});
  REQUIRE(wanted.empty());
  t.close();
  REQUIRE(ended[0]);
  REQUIRE(ended[1]);
}

namespace {

/// Its stream ends in the middle of its making, which comes to nothing.
struct closing {
  explicit closing(const std::function<void()>& close) {
    close();
    throw std::runtime_error("closing");
  }
};
template <class Subscription>
coroutine await_end(Subscription& from, bool& ended) {
  ended = co_await from.async_next() == nullptr;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "the end while a message is being made that comes to nothing: who is behind others hears of it", "",
    BOTH_KINDS) {
  for (const bool many : {false, true}) {
    typename TestType::template topic<closing> t(8, {.segment = 4});
    auto s = t.subscribe();
    auto behind = t.subscribe({.after = {s}});
    bool ended[2] = {};
    auto first = await_end(s, ended[0]);
    auto second = await_end(behind, ended[1]);
    const std::vector<std::function<void()>> close(3, [&] { t.close(); });
    if (many) {
      REQUIRE_THROWS_AS(t.publish_n(close.begin(), close.size()), std::runtime_error);
    } else {
      REQUIRE_THROWS_AS(static_cast<void>(t.emplace(close.front())), std::runtime_error);
    }
    REQUIRE(ended[0]);
    REQUIRE(ended[1]);
  }
}

namespace {

/// Copied for a message, it lets others do something in the middle.
struct slow {
  explicit slow(int v, bool waits = false) : value(v), wait(waits) {}
  slow(const slow& o) noexcept : value(o.value) {
    if (o.wait && in_the_middle != nullptr) (*std::exchange(in_the_middle, nullptr))();
  }
  slow(slow&& o) noexcept : slow(static_cast<const slow&>(o)) {}
  slow& operator=(const slow&) = default;
  int value;
  bool wait = false;
  inline static std::function<void()>* in_the_middle = nullptr;
};

}  // namespace

TEST_CASE("a publisher that is suspended in the middle: its message comes later, the others do not wait") {
  millrace::topic<slow> t(64, {.segment = 4});
  auto a = t.subscribe();
  auto b = t.subscribe();
  ints got;
  std::function<void()> others = [&] {
    for (int i = 0; i < 10; ++i) REQUIRE(t.publish(slow(i)) == outcome::ok);
    while (const slow* m = a.try_next()) got.push_back(m->value);
  };
  slow::in_the_middle = &others;
  REQUIRE(t.publish(slow(100, true)) == outcome::ok);
  REQUIRE(got == numbers(0, 10));
  ints all;
  while (const slow* m = a.try_next()) got.push_back(m->value);
  while (const slow* m = b.try_next()) all.push_back(m->value);
  REQUIRE(got == all);
  REQUIRE(got.back() == 100);
  REQUIRE(got.size() == 11);
  REQUIRE(a.missed() == 0);
}

TEMPLATE_TEST_CASE("who is behind a reader that goes back waits for it again", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 4});
  auto first = t.subscribe();
  auto second = t.subscribe({.after = {first}});
  publish(t, 0, 10);
  REQUIRE(read_all(first) == numbers(0, 10));
  REQUIRE(first.try_next() == nullptr);
  REQUIRE(second.poll([](int) {}, 4) == 4);
  first.seek(0);
  publish(t, 10, 12);
  // What the first one had passed before may still be read, and nothing else.
  ints got;
  second.poll([&](int v) { got.push_back(v); });
  REQUIRE(got.size() <= 6);
  REQUIRE(read_all(first) == numbers(0, 12));
  REQUIRE(first.try_next() == nullptr);
  while (second.poll([&](int v) { got.push_back(v); }) != 0) {
  }
  REQUIRE(got == numbers(4, 12));
}

TEMPLATE_TEST_CASE("a seek to a time wakes who waits for room", "", BOTH_KINDS) {
  const watchdog guard("seeking while a publisher waits", std::chrono::seconds(20));
  manual_clock clock;
  typename TestType::template topic<int, manual_clock> t(4, clock, {.segment = 2});
  auto s = t.subscribe();
  for (int i = 0; i < 4; ++i) {
    clock.advance(1s);
    publish(t, i, i + 1);
  }
  watching_sync::reset();
  outcome result{};
  std::thread publisher([&] { result = t.publish(4); });
  watching_sync::await_parked(1);
  s.seek(clock.now());  // the second segment
  publisher.join();
  REQUIRE(result == outcome::ok);
  REQUIRE(read_all(s) == numbers(2, 5));
}

TEMPLATE_TEST_CASE("who goes behind a reader that was disconnected is woken by what is published", "",
                   BOTH_KINDS) {
  const watchdog guard("reading behind one that was disconnected", std::chrono::seconds(20));
  typename TestType::template topic<int> t(4, {.segment = 2});
  auto first = t.subscribe({.when_full = overrun::disconnect});
  publish(t, 0, 20);
  REQUIRE(read_all(first).empty());
  REQUIRE(first.disconnected());
  auto second = t.subscribe({.after = {first}});
  watching_sync::reset();
  const int* got = nullptr;
  std::thread reader([&] { got = second.next(); });
  watching_sync::await_parked(1);
  publish(t, 20, 21);
  reader.join();
  REQUIRE(got != nullptr);
  REQUIRE(*got == 20);
}
