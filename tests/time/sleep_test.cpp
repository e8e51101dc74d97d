// Coroutines that sleep: by hand on a manual clock, and with threads.
#include "millrace/time/sleep.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/inline_executor.hpp"
#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::inline_executor;
using millrace::manual_clock;
using millrace::outcome;
using millrace::pending_timers;
using support::coroutine;
using support::watchdog;

using by_hand = millrace::basic_timer_service<manual_clock>;

struct world {
  manual_clock clock{manual_clock::time_point(1h)};
  by_hand timers{clock};
  outcome answer = outcome::empty;

  void after(manual_clock::duration d) {
    clock.advance(d);
    static_cast<void>(timers.poll(clock.now()));
  }
  template <class Executor = inline_executor>
  coroutine sleep(manual_clock::duration d, Executor executor = {}, std::stop_token stop = {}) {
    answer = co_await millrace::sleep_for(timers, d, std::move(executor), std::move(stop));
  }
};

}  // namespace

TEST_CASE("a coroutine sleeps until its time, and no longer") {
  world w;
  const coroutine c = w.sleep(5ms);
  w.after(4ms);
  CHECK_FALSE(c.done());
  w.after(1ms);
  CHECK(c.done());
  CHECK(w.answer == outcome::ok);
}

TEST_CASE("sleep_until: a time, and none that is over") {
  world w;
  const auto sleep = [&](manual_clock::time_point t) -> coroutine {
    w.answer = co_await millrace::sleep_until(w.timers, t);
  };
  const coroutine past = sleep(w.clock.now());
  CHECK(past.done());
  CHECK(w.answer == outcome::ok);
  const coroutine future = sleep(w.clock.now() + 2ms);
  w.after(1ms);
  CHECK_FALSE(future.done());
  w.after(1ms);
  CHECK(future.done());
}

TEST_CASE("it does not suspend for nothing, or if a stop was requested before") {
  world w;
  std::stop_source stop;
  CHECK(w.sleep(0ms).done());
  CHECK(w.answer == outcome::ok);
  CHECK(w.sleep(-1h).done());
  CHECK(w.answer == outcome::ok);
  stop.request_stop();
  CHECK(w.sleep(5ms, inline_executor(), stop.get_token()).done());
  CHECK(w.answer == outcome::cancelled);
  CHECK(w.timers.poll(w.clock.now()) == std::nullopt);
}

TEST_CASE("a stop wakes it, and takes its timer away") {
  world w;
  std::stop_source stop;
  const coroutine c = w.sleep(5ms, inline_executor(), stop.get_token());
  CHECK(w.timers.poll(w.clock.now()) == w.clock.now() + 5ms);
  stop.request_stop();
  CHECK(c.done());
  CHECK(w.answer == outcome::cancelled);
  CHECK(w.timers.poll(w.clock.now()) == std::nullopt);
}

TEST_CASE("a stop that comes after its time changes nothing") {
  world w;
  std::stop_source stop;
  const coroutine c = w.sleep(5ms, inline_executor(), stop.get_token());
  w.after(5ms);
  stop.request_stop();
  CHECK(c.done());
  CHECK(w.answer == outcome::ok);
}

TEST_CASE("when the service is stopped it is told, whether others are dropped or fire") {
  for (const auto what : {pending_timers::drop, pending_timers::fire}) {
    world w;
    int fired = 0;
    w.timers.schedule_after(1ms, [&] { ++fired; });
    const coroutine c = w.sleep(5ms);
    w.timers.stop(what);
    CHECK(c.done());
    CHECK(w.answer == outcome::closed);
    CHECK(fired == (what == pending_timers::fire ? 1 : 0));
    CHECK(w.sleep(5ms).done());
    CHECK(w.answer == outcome::closed);
  }
}

TEST_CASE("a service that is destroyed tells those who sleep") {
  outcome answer = outcome::ok;
  auto timers = std::make_unique<millrace::timer_service>();
  const auto sleep = [](auto& from, outcome& out) -> coroutine {
    out = co_await millrace::sleep_for(from, 1h);
  };
  const coroutine c = sleep(*timers, answer);
  timers.reset();
  CHECK(c.done());
  CHECK(answer == outcome::closed);
}

TEST_CASE("destroyed while it sleeps, it takes its timer along") {
  world w;
  {
    const coroutine c = w.sleep(5ms);
    static_cast<void>(w.timers.poll(w.clock.now()));
  }
  CHECK(w.timers.poll(w.clock.now()) == std::nullopt);
  w.after(5ms);
  CHECK(w.answer == outcome::empty);
}

TEST_CASE("an executor is given the handle, and forgets it if the coroutine is destroyed") {
  world w;
  support::manual_executor loop;
  {
    const coroutine c = w.sleep(5ms, loop.poster());
    w.after(5ms);
    CHECK(loop.size() == 1);
    CHECK_FALSE(c.done());
    CHECK(loop.run_all() == 1);
    CHECK(c.done());
    CHECK(w.answer == outcome::ok);
  }
  coroutine c = w.sleep(5ms, loop.poster());
  w.after(5ms);
  CHECK(loop.forget(c.handle()));
  c.destroy();
  CHECK(loop.run_all() == 0);
}

TEST_CASE("one that is destroyed by its executor") {
  world w;
  coroutine c;
  c = w.sleep(5ms, [&](std::coroutine_handle<>) { c.destroy(); });
  w.after(5ms);
  CHECK(c.handle() == nullptr);
  CHECK(w.answer == outcome::empty);
}

TEST_CASE("a coroutine that sleeps again and again, in a thread's hands") {
  const watchdog guard("again and again");
  millrace::timer_service timers;
  timers.start();
  std::atomic<bool> over{false};
  const auto sleep = [&]() -> coroutine {
    for (int i = 0; i < 20; ++i) {
      const auto due = std::chrono::steady_clock::now() + 1ms;
      const outcome o = co_await millrace::sleep_for(timers, 1ms);
      CHECK(
          (o == outcome::ok && std::chrono::steady_clock::now() >= due));  // one thread at a time is in here
    }
    over = true;
    over.notify_one();
  };
  const coroutine c = sleep();
  over.wait(false);
  timers.stop();
  CHECK(c.done());
}

TEST_CASE("many sleep, are stopped, and are destroyed: each goes on once, and none early") {
  const watchdog guard("many sleepers");
  using clock = std::chrono::steady_clock;
  constexpr std::size_t each = SUPPORT_SANITIZED ? 500 : 5'000;
  constexpr std::size_t threads = 3;
  millrace::timer_service timers;
  timers.start();
  std::atomic<std::size_t> slept{0};
  std::atomic<std::size_t> stopped{0};
  std::atomic<std::size_t> early{0};
  std::atomic<std::size_t> others{0};
  const auto sleep = [&](clock::time_point until, support::manual_executor& loop,
                         std::stop_token stop) -> coroutine {
    const outcome o = co_await millrace::sleep_until(timers, until, loop.poster(), std::move(stop));
    if (o == outcome::ok) {
      ++slept;
      early += clock::now() < until;
    } else {
      ++(o == outcome::cancelled ? stopped : others);
    }
  };
  std::atomic<std::size_t> destroyed{0};
  std::array<support::manual_executor, threads>
      loops;  // who posts may still be on the way back when all have gone on
  std::vector<std::thread> all;
  for (std::size_t t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t + 1));
      support::manual_executor& loop = loops[t];
      std::vector<std::stop_source> stops(each);
      std::vector<coroutine> mine;
      for (std::size_t i = 0; i < each; ++i) {
        const auto until = clock::now() + std::chrono::microseconds(random() % 10'000);
        mine.push_back(sleep(until, loop, stops[i].get_token()));
        loop.run_all();
        const std::size_t one = random() % mine.size();
        if (random() % 3 == 0) stops[one].request_stop();
        if (random() % 5 == 0 && mine[one].handle() && !mine[one].done()) {
          // It may be about to go on: the loop is this thread's, so it does not do so meanwhile.
          const auto h = mine[one].handle();
          mine[one].destroy();
          loop.forget(h);
          ++destroyed;
        }
      }
      for (std::size_t i = 0; i < each; ++i) {
        while (mine[i].handle() && !mine[i].done()) {
          if (loop.run_all() == 0) std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& t : all) t.join();
  timers.stop();
  CHECK(slept + stopped + destroyed == threads * each);
  CHECK(slept > 0);
  CHECK(stopped > 0);
  CHECK(destroyed > 0);
  CHECK(early == 0);
  CHECK(others == 0);
}
