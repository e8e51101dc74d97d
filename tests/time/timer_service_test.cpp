// Every verb of timer_service: by hand on a manual clock, and with threads.
#include "millrace/time/timer_service.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::cancel_result;
using millrace::manual_clock;
using millrace::missed_periods;
using millrace::pending_timers;
using millrace::timer_service;
using support::watchdog;

using by_hand = millrace::basic_timer_service<manual_clock>;
using ints = std::vector<int>;

struct world {
  manual_clock clock{manual_clock::time_point(1h)};
  by_hand timers{clock};
  ints fired;

  auto note(int n) {
    return [this, n] { fired.push_back(n); };
  }
  std::optional<manual_clock::duration> poll() {
    const auto next = timers.poll(clock.now());
    if (!next) return std::nullopt;
    return *next - clock.now();
  }
  std::optional<manual_clock::duration> after(manual_clock::duration d) {
    clock.advance(d);
    return poll();
  }
};

}  // namespace

// ---- by hand

TEST_CASE("timers fire at their tick, in order of deadline, and never early") {
  world w;
  w.timers.schedule_after(3ms, w.note(3));
  w.timers.schedule_at(w.clock.now() + 1ms + 300us, w.note(2));
  w.timers.schedule_after(1ms + 200us, w.note(1));
  w.timers.schedule_after(1ms + 200us, w.note(11));
  CHECK(w.poll() == 2ms);
  CHECK(w.after(1ms + 999us) == 1us);
  CHECK(w.fired.empty());
  CHECK(w.after(1us) == 1ms);
  CHECK(w.fired == ints{1, 11, 2});
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.fired == ints{1, 11, 2, 3});
}

TEST_CASE("what is due already fires with the next tick") {
  world w;
  w.timers.schedule_after(0ms, w.note(1));
  w.timers.schedule_after(-1h, w.note(0));
  CHECK(w.poll() == 1ms);
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.fired == ints{1, 0});
}

TEST_CASE("a far deadline, and one that never comes") {
  world w;
  w.timers.schedule_after(24h * 365 * 100, w.note(1));
  const auto t = w.timers.schedule_at(manual_clock::time_point::max(), w.note(2));
  CHECK(w.poll() > 0ms);
  int wakes = 0;
  while (w.clock.now() < manual_clock::time_point(1h + 24h * 365 * 100)) {
    const auto next = w.timers.poll(w.clock.now());
    REQUIRE(next);
    REQUIRE(*next > w.clock.now());
    REQUIRE(w.fired.empty());
    w.clock.set(std::min(*next, manual_clock::time_point(1h + 24h * 365 * 100)));
    ++wakes;
  }
  CHECK(wakes < 10);
  w.poll();
  CHECK(w.fired == ints{1});
  CHECK(w.timers.cancel(t) == cancel_result::cancelled);
  CHECK(w.poll() == std::nullopt);
}

TEST_CASE("cancel: before it is heard of, while it waits, afterwards") {
  world w;
  const auto a = w.timers.schedule_after(1ms, w.note(1));
  CHECK(w.timers.cancel(a) == cancel_result::cancelled);
  CHECK(w.timers.cancel(a) == cancel_result::already_fired);
  CHECK(w.poll() == std::nullopt);
  const auto b = w.timers.schedule_after(1ms, w.note(2));
  CHECK(w.poll() == 1ms);
  CHECK(w.timers.cancel(b) == cancel_result::cancelled);
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.fired.empty());
  const auto c = w.timers.schedule_after(1ms, w.note(3));
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.timers.cancel(c) == cancel_result::already_fired);
  CHECK(w.timers.cancel(by_hand::timer()) == cancel_result::already_fired);
  CHECK(w.fired == ints{3});
}

TEST_CASE("a handle does not reach the timer that has come into the same cell") {
  world w;
  const auto old = w.timers.schedule_after(1ms, w.note(1));
  CHECK(w.timers.cancel(old) == cancel_result::cancelled);
  CHECK(w.poll() == std::nullopt);
  const auto young = w.timers.schedule_after(1ms, w.note(2));
  CHECK(young != old);
  CHECK(w.timers.cancel(old) == cancel_result::already_fired);
  CHECK_FALSE(w.timers.reschedule(old, w.clock.now() + 1h));
  CHECK(w.timers.cancel_and_wait(old) == cancel_result::already_fired);
  CHECK_FALSE(w.timers.extract(old));
  w.after(1ms);
  CHECK(w.fired == ints{2});
}

TEST_CASE(
    "the handler is destroyed when it is cancelled, or has fired for the last time, and not before or "
    "later") {
  world w;
  const auto held = std::make_shared<int>(0);
  const auto a = w.timers.schedule_after(1ms, [held] { ++*held; });
  w.poll();
  CHECK(held.use_count() == 2);
  CHECK(w.timers.cancel(a) == cancel_result::cancelled);
  CHECK(held.use_count() == 1);
  w.timers.schedule_after(1ms, [held] { ++*held; });
  w.after(1ms);
  CHECK((held.use_count() == 1 && *held == 1));
  const auto c = w.timers.schedule_every(w.clock.now() + 1ms, 1ms, [held] { ++*held; });
  w.after(1ms);
  w.after(1ms);
  CHECK((held.use_count() == 2 && *held == 3));
  CHECK(w.timers.cancel(c) == cancel_result::cancelled);
  CHECK(held.use_count() == 1);
}

TEST_CASE("extract gives the handler back, which does not run by itself any more") {
  world w;
  const auto t = w.timers.schedule_after(1ms, w.note(1));
  w.poll();
  auto h = w.timers.extract(t);
  REQUIRE(h);
  CHECK_FALSE(w.timers.extract(t));
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.fired.empty());
  (*h)();
  CHECK(w.fired == ints{1});
}

TEST_CASE("reschedule: earlier, later, before it is heard of, and no more once it has fired") {
  world w;
  const auto a = w.timers.schedule_after(10ms, w.note(1));
  CHECK(w.timers.reschedule(a, w.clock.now() + 5ms));
  CHECK(w.poll() == 5ms);
  CHECK(w.timers.reschedule(a, w.clock.now() + 2ms));
  CHECK(w.poll() == 2ms);
  CHECK(w.timers.reschedule(a, w.clock.now() + 20ms));
  CHECK(w.after(2ms) == 18ms);
  CHECK(w.after(18ms) == std::nullopt);
  CHECK(w.fired == ints{1});
  CHECK_FALSE(w.timers.reschedule(a, w.clock.now() + 1ms));
  CHECK_FALSE(w.timers.reschedule(by_hand::timer(), w.clock.now()));
}

TEST_CASE(
    "one that was moved on does not fire at its old time, although the firing thread has not heard of it") {
  world w;
  const auto a = w.timers.schedule_after(1ms, w.note(1));
  by_hand::timer b;
  w.timers.schedule_after(1ms, [&] { CHECK(w.timers.reschedule(b, w.clock.now() + 5ms)); });
  b = w.timers.schedule_after(1ms, w.note(2));
  static_cast<void>(a);
  CHECK(w.after(1ms) == 5ms);
  CHECK(w.fired == ints{1});
  CHECK(w.after(5ms) == std::nullopt);
  CHECK(w.fired == ints{1, 2});
}

TEST_CASE("periods do not drift; those that were missed are left out and counted, or caught up with") {
  world w;
  w.timers.schedule_every(w.clock.now() + 10ms, 10ms + 500us, w.note(1));
  w.timers.schedule_every(w.clock.now() + 10ms, 10ms + 500us, w.note(2), missed_periods::catch_up);
  CHECK(w.after(10ms) == 11ms);  // 20.5
  CHECK(w.fired == ints{1, 2});
  CHECK(w.after(11ms) == 10ms);  // 31
  CHECK(w.after(10ms) == 11ms);  // 41.5
  CHECK(w.fired == ints{1, 2, 1, 2, 1, 2});
  CHECK(w.timers.skipped() == 0);
  w.fired.clear();
  CHECK(w.after(42ms) == 11ms);  // 41.5, 52, 62.5 and 73 have come
  CHECK(w.fired == ints{1, 2, 2, 2, 2});
  CHECK(w.timers.skipped() == 3);
}

TEST_CASE("a period shorter than a tick is refused, and so is a poll of no steps") {
  world w;
  CHECK_THROWS_WITH(w.timers.schedule_every(w.clock.now(), 999us, [] {}),
                    "timer_service::schedule_every: period must be a tick at least");
  CHECK_THROWS_AS(w.timers.schedule_every(w.clock.now(), 0ns, [] {}), std::invalid_argument);
  CHECK_THROWS_WITH(w.timers.poll(w.clock.now(), 0), "timer_service::poll: steps must be 1 or more");
  CHECK(w.poll() == std::nullopt);
}

TEST_CASE("a handler that is none is refused when it is given, and not when it is due") {
  world w;
  const std::string refusal = "timer_service: handler must be set";
  void (*none)() = nullptr;
  CHECK_THROWS_WITH(w.timers.schedule_after(1s, {}), refusal);
  CHECK_THROWS_WITH(w.timers.schedule_after(1s, std::function<void()>()), refusal);
  CHECK_THROWS_WITH(w.timers.schedule_at(w.clock.now(), none), refusal);
  CHECK_THROWS_WITH(w.timers.schedule_every(w.clock.now(), 1s, nullptr), refusal);
  CHECK(w.poll() == std::nullopt);
}

TEST_CASE("a handler may schedule, cancel and move what it likes, itself included") {
  world w;
  by_hand::timer self;
  int times = 0;
  self = w.timers.schedule_after(1ms, [&] {
    w.fired.push_back(1);
    if (++times < 3) CHECK(w.timers.reschedule(self, w.clock.now() + 2ms));
  });
  const auto neighbour = w.timers.schedule_after(2ms, w.note(9));
  w.timers.schedule_after(1ms, [&] {
    CHECK(w.timers.cancel(neighbour) == cancel_result::cancelled);
    w.timers.schedule_after(0ms, w.note(3));
  });
  CHECK(w.after(1ms) == 1ms);
  CHECK(w.after(1ms) == 1ms);
  CHECK(w.fired == ints{1, 3});
  CHECK(w.after(1ms) == 2ms);
  CHECK(w.after(2ms) == std::nullopt);
  CHECK(w.fired == ints{1, 3, 1, 1});
  CHECK(w.timers.cancel(self) == cancel_result::already_fired);
}

TEST_CASE("in its own handler a timer is running, and if it repeats it can end that") {
  world w;
  by_hand::timer once;
  by_hand::timer often;
  by_hand::timer again;
  once =
      w.timers.schedule_after(1ms, [&] { CHECK(w.timers.cancel_and_wait(once) == cancel_result::running); });
  often = w.timers.schedule_every(w.clock.now() + 1ms, 1ms, [&] {
    w.fired.push_back(1);
    CHECK(w.timers.cancel(often) == cancel_result::running);
  });
  again = w.timers.schedule_after(1ms, [&] {
    w.fired.push_back(2);
    CHECK(w.timers.reschedule(again, w.clock.now() + 1ms));
    CHECK(w.timers.cancel(again) == cancel_result::running);
    CHECK_FALSE(w.timers.reschedule(again, w.clock.now() + 1ms));
  });
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.after(1ms) == std::nullopt);
  CHECK(w.fired == ints{1, 2});
}

TEST_CASE("the hook hears how late each timer is, before its handler runs") {
  manual_clock clock;
  std::vector<manual_clock::duration> late;
  std::size_t runs = 0;
  by_hand timers(clock, {.on_fire = [&](manual_clock::duration by) {
                   CHECK(late.size() == runs);
                   late.push_back(by);
                 }});
  const auto handler = [&] { ++runs; };
  timers.schedule_after(5ms, handler);
  timers.schedule_after(7ms, [&] {
    ++runs;
    clock.advance(100us);  // it takes that long, and the next one is later by it
  });
  timers.schedule_after(7ms, handler);
  timers.schedule_every(clock.now() + 6ms, 10ms, handler);
  static_cast<void>(timers.poll(clock.now()));
  CHECK(late.empty());
  clock.advance(5ms);
  static_cast<void>(timers.poll(clock.now()));
  clock.advance(3ms);
  static_cast<void>(timers.poll(clock.now()));
  CHECK(late == std::vector<manual_clock::duration>{0ms, 2ms, 1ms, 1ms + 100us});
  timers.stop(millrace::pending_timers::fire);
  REQUIRE(late.size() == 5);
  CHECK(late.back() == 8ms + 100us - 16ms);
}

TEST_CASE("what a handler throws goes to the hook, and kills nothing") {
  manual_clock clock;
  std::vector<std::string> said;
  by_hand timers(clock, {.on_error =
                             [&](std::exception_ptr e) {
                               try {
                                 std::rethrow_exception(e);
                               } catch (const std::exception& x) {
                                 said.push_back(x.what());
                               }
                             },
                         .on_earlier = {}});
  int after = 0;
  int periods = 0;
  timers.schedule_after(1ms, [] { throw std::runtime_error("first"); });
  timers.schedule_after(1ms, [&] { ++after; });
  timers.schedule_every(clock.now() + 1ms, 1ms, [&] {
    ++periods;
    throw std::runtime_error("periodic");
  });
  clock.advance(1ms);
  CHECK(timers.poll(clock.now()) == clock.now() + 1ms);
  clock.advance(1ms);
  CHECK(timers.poll(clock.now()) == clock.now() + 1ms);
  CHECK(said == std::vector<std::string>{"first", "periodic", "periodic"});
  CHECK((after == 1 && periods == 2 && timers.errors() == 3));
  by_hand silent(clock);
  silent.schedule_after(1ms, [] { throw 1; });
  clock.advance(1ms);
  CHECK(silent.poll(clock.now()) == std::nullopt);
  CHECK(silent.errors() == 1);
}

TEST_CASE("a poll of few steps comes back to the rest") {
  world w;
  for (int i = 0; i < 100; ++i) w.timers.schedule_after(1ms, w.note(i));
  w.clock.advance(1ms);
  int polls = 1;
  while (w.timers.poll(w.clock.now(), 7) == w.clock.now()) ++polls;
  CHECK(polls >= 300 / 7);
  REQUIRE(w.fired.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(w.fired[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("a clock that jumps fires everything once, in order; one that runs back fires nothing") {
  world w;
  for (int i = 9; i >= 0; --i) w.timers.schedule_after(i * 1h + 1ms, w.note(i));
  w.poll();
  w.clock.advance(24h);
  CHECK(w.poll() == std::nullopt);
  CHECK(w.fired == ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  w.timers.schedule_after(1ms, w.note(10));
  w.poll();
  w.clock.set(w.clock.now() - 1h);
  w.poll();
  CHECK(w.fired.size() == 10);

  // Deadlines are the clock's: what is asked for now comes in its time, and the earlier one where it was asked for.
  w.timers.schedule_after(7ms, w.note(11));
  w.timers.schedule_after(59min, w.note(12));
  for (const auto& [step, fired] : std::vector<std::pair<manual_clock::duration, std::size_t>>{
           {6ms, 10}, {1ms, 11}, {59min - 8ms, 11}, {1ms, 12}, {1min, 12}, {1ms, 13}}) {
    w.clock.advance(step);
    w.poll();
    CHECK(w.fired.size() == fired);
  }
  CHECK(w.fired.back() == 10);

  // Back to before everything, with timers at every distance, again and again.
  std::vector<int> expected;
  for (int i = 0; i < 300; ++i) {
    w.timers.schedule_after(i * i * i * 1ms, w.note(i));
    w.poll();
    w.clock.set(w.clock.now() - 1h);
    w.poll();
    expected.push_back(i);
  }
  w.fired.clear();
  w.clock.advance(24h * 400);
  w.poll();
  const auto when = [](int i) { return std::pair(i * i * i * 1ms - i * 1h, i); };
  std::sort(expected.begin(), expected.end(), [&](int a, int b) { return when(a) < when(b); });
  CHECK(w.fired == expected);
}

TEST_CASE("a handler finds its own timer, and may have it fire again") {
  world w;
  CHECK_FALSE(w.timers.current());
  by_hand::timer told;
  int runs = 0;
  const auto t = w.timers.schedule_after(1ms, [&] {
    told = w.timers.current();
    if (++runs < 3) CHECK(w.timers.reschedule(told, w.timers.now() + 5ms));
  });
  for (int i = 0; i < 11; ++i) {
    w.clock.advance(1ms);
    w.poll();
    CHECK(runs == (i < 5 ? 1 : i < 10 ? 2 : 3));
  }
  CHECK(told == t);
  CHECK_FALSE(w.timers.current());
  CHECK_FALSE(w.timers.reschedule(t, w.clock.now()));
}

TEST_CASE("on the wall clock, in a thread of its own") {
  const watchdog guard("wall clock");
  using clock = std::chrono::system_clock;
  std::latch done(3);
  std::vector<clock::duration> late;
  millrace::basic_timer_service<clock> timers;
  timers.start();
  const auto fires_at = [&](clock::time_point at) {
    timers.schedule_at(at, [&, at] {
      late.push_back(clock::now() - at);
      done.count_down();
    });
  };
  fires_at(clock::now() + 30ms);
  fires_at(clock::now() + 10ms);
  fires_at(clock::now() - 1h);
  done.wait();
  timers.stop();
  REQUIRE(late.size() == 3);
  for (const auto by : late) CHECK(by >= 0ms);
}

TEST_CASE(
    "who schedules something earlier than the last poll has said tells the loop, and nobody else does") {
  manual_clock clock;
  int told = 0;
  by_hand timers(clock, {.on_error = {}, .on_earlier = [&] { ++told; }});
  CHECK(timers.poll(clock.now()) == std::nullopt);
  timers.schedule_after(10ms, [] {});
  CHECK(told == 1);
  CHECK(timers.poll(clock.now()) == clock.now() + 10ms);
  const auto later = timers.schedule_after(11ms, [] {});
  CHECK(told == 1);
  CHECK(timers.cancel(later) == cancel_result::cancelled);
  CHECK(told == 1);
  const auto earlier = timers.schedule_after(9ms, [] {});
  CHECK(told == 2);
  CHECK(timers.poll(clock.now()) == clock.now() + 9ms);
  CHECK(timers.reschedule(earlier, clock.now() + 8ms));
  CHECK(told == 3);
}

TEST_CASE("stop: pending timers are dropped, or fire in order and once; nothing is accepted afterwards") {
  for (const auto what : {pending_timers::drop, pending_timers::fire}) {
    world w;
    const auto held = std::make_shared<int>(0);
    w.timers.schedule_after(3h, [&w, held] { w.note(3)(); });
    const auto t = w.timers.schedule_after(1h, w.note(1));
    w.timers.schedule_every(w.clock.now() + 2h, 1ms, w.note(2), missed_periods::catch_up);
    if (what == pending_timers::fire) w.poll();
    w.timers.stop(what);
    CHECK(w.fired == (what == pending_timers::fire ? ints{1, 2, 3} : ints{}));
    CHECK(held.use_count() == 1);
    CHECK(w.timers.cancel(t) == cancel_result::already_fired);
    CHECK_FALSE(w.timers.schedule_after(1ms, [held] {}));
    CHECK(held.use_count() == 1);
    CHECK(w.poll() == std::nullopt);
    w.timers.stop(pending_timers::fire);
    w.timers.run();
    w.timers.start();
    CHECK(w.fired.size() == (what == pending_timers::fire ? 3 : 0));
  }
}

TEST_CASE("stop in a handler: what is pending is seen to when that has returned") {
  world w;
  by_hand::timer t;
  w.timers.schedule_after(1ms, [&] {
    w.timers.stop(pending_timers::fire);
    w.fired.push_back(1);
    CHECK_FALSE(w.timers.schedule_after(1ms, w.note(9)));
  });
  t = w.timers.schedule_after(1h, [&] {
    w.fired.push_back(2);
    CHECK_FALSE(w.timers.reschedule(t, w.clock.now()));
  });
  w.after(1ms);
  CHECK(w.fired == ints{1, 2});
}

TEST_CASE("a second one that fires is refused, also inside a handler") {
  world w;
  w.timers.schedule_after(1ms, [&] { w.timers.poll(w.clock.now()); });
  w.timers.schedule_after(1ms, [&] { w.timers.start(); });
  w.after(1ms);
  CHECK(w.timers.errors() == 2);
}

TEST_CASE("cells are used again: a thousand rounds of a hundred timers need a hundred cells") {
  world w;
  std::size_t allocated = 0;
  std::vector<by_hand::timer> all(100);
  for (int round = 0; round < 1000; ++round) {
    for (auto& t : all) t = w.timers.schedule_after(1s, w.note(0));
    for (auto& t : all) allocated += w.timers.cancel(t) == cancel_result::cancelled;
    w.poll();
  }
  CHECK(allocated == 100'000);
  CHECK(w.fired.empty());
}

// ---- with threads

namespace {

/// Tells when the firing thread has gone to sleep.
using watched = millrace::basic_timer_service<std::chrono::steady_clock, std::chrono::milliseconds,
                                              support::watching_sync>;

}  // namespace

TEST_CASE("a thread of its own fires in time, and sleeps until the next deadline") {
  const watchdog guard("a thread of its own");
  timer_service timers;
  timers.start();
  std::latch done(2);
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point first;
  std::chrono::steady_clock::time_point second;
  std::thread::id in;
  timers.schedule_after(20ms, [&] {
    second = std::chrono::steady_clock::now();
    done.count_down();
  });
  timers.schedule_after(10ms, [&] {
    first = std::chrono::steady_clock::now();
    in = std::this_thread::get_id();
    done.count_down();
  });
  done.wait();
  CHECK(first - begin >= 10ms);
  CHECK(second - begin >= 20ms);
  CHECK(in != std::this_thread::get_id());
  timers.stop();
  timers.stop();
}

TEST_CASE("it is woken for an earlier deadline, and for no other") {
  const watchdog guard("woken");
  support::watching_sync::reset();
  watched timers;
  timers.start();
  support::watching_sync::await_parked(1);
  std::latch done(1);
  const auto far = timers.schedule_after(1h, [] {});
  support::watching_sync::await_parks(2);
  support::watching_sync::await_parked(1);
  const auto parks = support::watching_sync::parks.load();
  for (int i = 0; i < 100; ++i) timers.schedule_after(2h, [] {});
  CHECK(timers.cancel(far) == cancel_result::cancelled);
  CHECK(support::watching_sync::parks == parks);
  timers.schedule_after(1ms, [&] { done.count_down(); });
  done.wait();
  timers.stop();
}

TEST_CASE("cancel_and_wait waits until the handler has returned") {
  const watchdog guard("cancel_and_wait");
  timer_service timers;
  timers.start();
  for (int round = 0; round < 50; ++round) {
    std::latch inside(1);
    std::latch go_on(1);
    int plain = 0;
    const auto t = timers.schedule_after(0ms, [&] {
      inside.count_down();
      go_on.wait();
      plain = 1;
    });
    inside.wait();
    std::thread other([&] { go_on.count_down(); });
    const auto answer = timers.cancel_and_wait(t);
    const int seen = plain;
    other.join();
    REQUIRE((answer != cancel_result::cancelled && seen == 1));
  }
}

TEST_CASE("several threads wait for the same handler") {
  const watchdog guard("several wait");
  timer_service timers;
  timers.start();
  std::latch inside(1);
  std::latch go_on(1);
  std::atomic<int> seen{0};
  int plain = 0;
  const auto t = timers.schedule_after(0ms, [&] {
    inside.count_down();
    go_on.wait();
    ++plain;
  });
  inside.wait();
  std::vector<std::thread> threads;
  std::latch asking(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      asking.count_down();
      if (timers.cancel_and_wait(t) != cancel_result::cancelled) seen += plain;
    });
  }
  asking.wait();
  go_on.count_down();
  for (auto& thread : threads) thread.join();
  CHECK(seen == 4);
  CHECK(plain == 1);
}

TEST_CASE("a million timers of eight threads, cancelled and moved: each fires or is cancelled, and once") {
  const watchdog guard("eight threads");
  constexpr int threads = 8;
  constexpr int each = SUPPORT_SANITIZED ? 12'500 : 125'000;
  std::vector<std::atomic<std::uint8_t>> fired(threads * each);
  std::vector<std::uint8_t> cancelled(threads * each);
  std::atomic<std::uint64_t> early{0};
  {
    timer_service timers;
    timers.start();
    std::vector<std::thread> all;
    for (int n = 0; n < threads; ++n) {
      all.emplace_back([&, n] {
        std::mt19937 random(static_cast<unsigned>(n + 1));
        std::vector<std::pair<timer_service::timer, int>> mine;
        for (int i = 0; i < each; ++i) {
          const int id = n * each + i;
          const auto deadline = std::chrono::steady_clock::now() + random() % 20'000 * 1us;
          mine.emplace_back(timers.schedule_at(deadline,
                                               [&fired, &early, id, deadline] {
                                                 fired[static_cast<std::size_t>(id)].fetch_add(1);
                                                 early += std::chrono::steady_clock::now() < deadline;
                                               }),
                            id);
          const auto& [t, who] = mine[random() % mine.size()];
          switch (random() % 4) {
            case 0:
            case 1:
              if (timers.cancel(t) == cancel_result::cancelled) ++cancelled[static_cast<std::size_t>(who)];
              break;
            case 2: timers.reschedule(t, deadline + 20ms); break;  // no earlier than it was
            default: break;
          }
        }
      });
    }
    for (auto& t : all) t.join();
    timers.stop(pending_timers::fire);
    CHECK(timers.errors() == 0);
  }
  std::size_t wrong = 0;
  std::size_t times = 0;
  for (std::size_t i = 0; i < fired.size(); ++i) {
    wrong += fired[i] + cancelled[i] != 1;
    times += fired[i];
  }
  CHECK(wrong == 0);
  CHECK(times > 0);
}

TEST_CASE("stop while others schedule: what was accepted is answered for") {
  const watchdog guard("stop while others schedule");
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> fired{0};
    std::atomic<int> accepted{0};
    timer_service timers;
    timers.start();
    std::latch begun(3);
    std::vector<std::thread> all;
    for (int n = 0; n < 3; ++n) {
      all.emplace_back([&] {
        begun.count_down();
        while (timers.schedule_after(1h, [&] { ++fired; })) ++accepted;
      });
    }
    begun.wait();
    timers.stop(pending_timers::fire);
    for (auto& t : all) t.join();
    REQUIRE(fired == accepted);
  }
}

TEST_CASE("a host's own thread runs it, until somebody stops it") {
  const watchdog guard("run");
  timer_service timers;
  std::thread host([&] { timers.run(); });
  std::latch done(1);
  timers.schedule_after(1ms, [&] { done.count_down(); });
  done.wait();
  timers.stop();
  host.join();
}
