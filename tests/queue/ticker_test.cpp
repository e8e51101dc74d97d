// A beat by itself, and between the messages of a select.
#include "millrace/queue/ticker.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/select.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::after;
using millrace::channel;
using millrace::manual_clock;
using millrace::on_pop;
using millrace::on_push;
using millrace::on_tick;
using millrace::otherwise;
using millrace::outcome;
using millrace::select;
using millrace::ticker;
using support::watchdog;

using missed = std::optional<std::uint64_t>;

static_assert(std::is_same_v<decltype(ticker(1ms)), ticker<std::chrono::steady_clock>>);
static_assert(std::is_same_v<decltype(ticker(1ms, std::declval<manual_clock&>())), ticker<manual_clock>>);

}  // namespace

TEST_CASE("ticks come a period apart, and those that were missed are counted, not made up for") {
  manual_clock clock(manual_clock::time_point(5ms));
  ticker beat(10ms, clock);
  CHECK(beat.try_tick() == std::nullopt);
  clock.advance(10ms - 1ns);
  CHECK(beat.try_tick() == std::nullopt);
  clock.advance(1ns);
  CHECK(beat.try_tick() == missed(0));
  CHECK(beat.try_tick() == std::nullopt);
  clock.advance(19ms);
  CHECK(beat.try_tick() == missed(0));
  CHECK(beat.next() == manual_clock::time_point(35ms));  // no drift
  clock.advance(35ms);
  CHECK(clock.now() == manual_clock::time_point(69ms));
  CHECK(beat.try_tick() == missed(3));
  CHECK(beat.next() == manual_clock::time_point(75ms));
  clock.set(manual_clock::time_point(0ms));
  CHECK(beat.try_tick() == std::nullopt);
  clock.set(manual_clock::time_point(75ms));
  CHECK(beat.try_tick() == missed(0));
}

TEST_CASE("a ticker at the ends of its clock") {
  using limits = std::numeric_limits<manual_clock::rep>;
  manual_clock clock(manual_clock::time_point::min());
  ticker beat(1ns, clock);
  clock.set(manual_clock::time_point::max());
  CHECK(beat.try_tick() == missed(std::numeric_limits<std::uint64_t>::max() - 1));
  CHECK(beat.next() == manual_clock::time_point::max());
  CHECK(beat.try_tick() == missed(0));  // it has come to its end
  clock.set(manual_clock::time_point::min());
  ticker slow(manual_clock::duration(limits::max() / 2), clock);
  clock.set(manual_clock::time_point(0ns));
  CHECK(slow.try_tick() == missed(1));
  CHECK(slow.next() == manual_clock::time_point(manual_clock::duration(limits::max() / 2 - 2)));
}

TEST_CASE("a period that is not positive is refused") {
  CHECK_THROWS_WITH(ticker(0ms), "ticker: period must be more than 0");
  CHECK_THROWS_AS(ticker(-1ms), std::invalid_argument);
}

TEST_CASE("a tick that has come is a case like others") {
  manual_clock clock;
  ticker beat(1s, clock);
  channel<int> ch(4);
  const auto look = [&] {
    return select(on_pop(ch, [](std::optional<int> v) { return v.value(); }),
                  on_tick(beat, [](std::uint64_t n) { return -1 - static_cast<int>(n); }),
                  otherwise([] { return 0; }));
  };
  CHECK(look() == 0);
  CHECK(ch.push(7) == outcome::ok);
  CHECK(look() == 7);
  clock.advance(3s);
  CHECK(look() == -3);
  CHECK(look() == 0);
  clock.advance(1s);
  CHECK(select(on_tick(beat, [] { return true; }), otherwise([] { return false; })));
}

TEST_CASE(
    "a channel that always has something does not keep the ticker from its turn, nor the other way round") {
  manual_clock clock;
  ticker beat(1ns, clock);
  channel<int> ch(2);
  int ticks = 0;
  int values = 0;
  for (int i = 0; i < 1000; ++i) {
    clock.advance(1ns);
    if (ch.empty_approx()) CHECK(ch.push(i) == outcome::ok);
    select(on_pop(ch, [&](std::optional<int>) { ++values; }), on_tick(beat, [&] { ++ticks; }));
  }
  CHECK(ticks + values == 1000);
  CHECK(ticks > 250);
  CHECK(values > 250);
}

TEST_CASE("a select that sleeps is woken by the tick, and by nothing before it") {
  const watchdog guard("a tick");
  manual_clock clock;
  ticker beat(10s, clock);
  channel<int> ch(1);
  std::uint64_t got = 99;
  std::thread t([&] {
    select(on_pop(ch, [](std::optional<int>) {}), on_tick(beat, [&](std::uint64_t n) { got = n; }));
  });
  clock.await_waiters(1);
  clock.advance(9s);
  CHECK(got == 99);
  clock.advance(1s);
  t.join();
  CHECK(got == 0);
}

TEST_CASE("a select that waits for a tick is woken by a value, and by room") {
  const watchdog guard("a value");
  manual_clock clock;
  ticker beat(10s, clock);
  channel<int> in(1);
  int got = 0;
  std::thread t([&] {
    select(on_pop(in, [&](std::optional<int> v) { got = v.value(); }), on_tick(beat, [&] { got = -1; }));
  });
  clock.await_waiters(1);
  CHECK(in.push(3) == outcome::ok);
  t.join();
  CHECK(got == 3);

  channel<int> out(1);
  while (out.try_push(0) == outcome::ok) {
  }
  std::thread u(
      [&] { select(on_tick(beat, [&] { got = -1; }), on_push(out, 1, [&](outcome) { got = 4; })); });
  clock.await_waiters(1);
  CHECK(out.pop().has_value());
  u.join();
  CHECK(got == 4);
}

TEST_CASE("of two tickers and a limit that comes first which is first") {
  const watchdog guard("three deadlines");
  for (const int first : {0, 1, 2}) {
    manual_clock clock;
    ticker a(first == 0 ? 1s : 2s, clock);
    ticker b(first == 1 ? 1s : 3s, clock);
    int got = -1;
    std::thread t([&] {
      got = select(on_tick(a, [] { return 0; }), on_tick(b, [] { return 1; }),
                   after(clock, first == 2 ? 1s : 4s, [] { return 2; }));
    });
    clock.await_waiters(1);
    clock.advance(1s);
    t.join();
    CHECK(got == first);
  }
}

TEST_CASE("a clock that is set back behind the tick that woke it: the select has had it, or waits for it") {
  const watchdog guard("a clock set back");
  for (int i = 0; i < 100; ++i) {
    manual_clock clock;
    ticker beat(1s, clock);
    int ticks = 0;
    std::thread t([&] { select(on_tick(beat, [&] { ++ticks; })); });
    clock.await_waiters(1);
    clock.set(manual_clock::time_point(1s));
    clock.set(manual_clock::time_point(0s));
    clock.set(manual_clock::time_point(1s));
    t.join();
    CHECK(ticks == 1);
  }
}

TEST_CASE("a loop with a beat, in real time") {
  const watchdog guard("real time");
  const auto begin = std::chrono::steady_clock::now();
  ticker beat(2ms);
  channel<int> ch(16);
  std::thread producer([&] {
    for (int i = 1; i <= 100; ++i) static_cast<void>(ch.push(i));
    ch.close();
  });
  int sum = 0;
  std::uint64_t ticks = 0;
  bool open = true;
  while (open || ticks < 3) {
    if (open) {
      select(on_pop(ch,
                    [&](std::optional<int> v) {
                      open = v.has_value();
                      sum += v.value_or(0);
                    }),
             on_tick(beat, [&](std::uint64_t n) { ticks += n + 1; }));
    } else {
      select(on_tick(beat, [&](std::uint64_t n) { ticks += n + 1; }));
    }
  }
  producer.join();
  CHECK(sum == 5050);
  CHECK(std::chrono::steady_clock::now() - begin >= 6ms);
}
