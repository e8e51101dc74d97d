// Coroutines that sleep, under every schedule within bounds: woken by their timer, by a stop, by the end of the service, and
// destroyed at any moment. The timers are those of timer_models.cpp.
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <tuple>
#include <utility>

#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/time/sleep.hpp"
#include "support/explore.hpp"
#include "support/explore_coroutine.hpp"
#include "support/explore_stop.hpp"
#include "support/model.hpp"
#include "support/slow_clock.hpp"

namespace {

using explore::coroutine;
using explore::shelf;
using millrace::inline_executor;
using millrace::outcome;
using millrace::pending_timers;
using support::slow_clock;

using service = millrace::basic_timer_service<slow_clock, std::chrono::nanoseconds, explore::sync>;
using token = explore::stop_source::token;

slow_clock::time_point at(std::int64_t t) { return slow_clock::time_point(std::chrono::nanoseconds(t)); }
constexpr std::int64_t due = 2;
constexpr std::int64_t never = 1 << 20;

struct base {
  slow_clock clock;
  service timers{clock};
  explore::plain<int> awake{0};  // how often it went on
  outcome answer = outcome::empty;
  std::coroutine_handle<> h;

  template <class Executor>
  coroutine sleep(std::int64_t until, Executor executor, token stop = {}) {
    explore::plain<int> mine{1};
    answer = co_await millrace::sleep_until(timers, at(until), executor, stop);
    awake.set(awake.get() + mine.get());
  }
  void went_on_once() {
    explore::check(h.done() && awake.get() == 1, "it went on, and once");
    h.destroy();
  }
};

/// Woken by its timer, in the thread that fires.
struct slept : base {
  static constexpr int threads = 2;
  void thread(int i) {
    if (i == 0) {
      h = sleep(due, inline_executor()).handle;
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due + 1)));
    explore::check(answer == outcome::ok, "it was its timer");
    went_on_once();
  }
};

/// Resumed by a loop of its own, while its timer is still on the way back.
struct loop : base {
  static constexpr int threads = 2;
  shelf ready;
  void thread(int i) {
    if (i == 1) {
      timers.run();
      return;
    }
    h = sleep(due, ready.executor()).handle;
    while (!h.done()) {
      if (const auto r = ready.take()) {
        r.resume();
      } else {
        explore::sync::pause();
      }
    }
    went_on_once();
    timers.stop();
  }
  void finish() { explore::check(answer == outcome::ok, "it was its timer"); }
};

/// A stop at any moment: it is woken by that or by its timer.
struct stopped : base {
  static constexpr int threads = 3;
  explore::stop_source stop;
  void thread(int i) {
    if (i == 0) {
      h = sleep(due, inline_executor(), stop.get_token()).handle;
    } else if (i == 1) {
      stop.request_stop();
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    explore::check(answer == outcome::ok || answer == outcome::cancelled, "it was its timer, or the stop");
    went_on_once();
  }
};

/// Destroyed at any moment: its timer goes with it, or the executor has its handle.
struct destroyed : base {
  static constexpr int threads = 2;
  shelf ready;
  destroyed() { h = sleep(due, ready.executor()).handle; }
  void thread(int i) {
    if (i == 0) {
      h.destroy();
      std::ignore = ready.take();
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due + 1)));
    explore::check(awake.get() == 0 && !ready.take(), "it did not live to go on");
  }
};

/// Destroyed while it is stopped.
struct stopped_and_destroyed : base {
  static constexpr int threads = 2;
  shelf ready;
  explore::stop_source stop;
  stopped_and_destroyed() { h = sleep(never, ready.executor(), stop.get_token()).handle; }
  void thread(int i) {
    if (i == 0) {
      h.destroy();
      std::ignore = ready.take();
    } else {
      stop.request_stop();
    }
  }
  void finish() { explore::check(awake.get() == 0 && !ready.take(), "it did not live to go on"); }
};

/// The service is stopped at any moment, and drops what is pending: it is told.
template <bool Destroyed>
struct ended : base {
  static constexpr int threads = 2;
  shelf ready;
  ended() {
    if (Destroyed) h = sleep(never, ready.executor()).handle;
  }
  void thread(int i) {
    if (i == 1) {
      timers.stop(pending_timers::drop);
    } else if (Destroyed) {
      h.destroy();
      std::ignore = ready.take();
    } else {
      h = sleep(never, inline_executor()).handle;
    }
  }
  void finish() {
    if (Destroyed) return;
    explore::check(answer == outcome::closed, "it was the end");
    went_on_once();
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<slept>("slept", {.preemptions = 3, .stale_reads = 1}),
          world<loop>("loop", {.preemptions = 2, .stale_reads = 1}),
          world<stopped>("stopped", {.preemptions = 2, .stale_reads = 1}),
          world<destroyed>("destroyed", {.preemptions = 3, .stale_reads = 1}),
          world<stopped_and_destroyed>("stopped and destroyed", {.preemptions = 3, .stale_reads = 1}),
          world<ended<false>>("the end", {.preemptions = 3, .stale_reads = 1}),
          world<ended<true>>("destroyed at the end", {.preemptions = 3, .stale_reads = 1}),
      },
      {"time/sleep.hpp"});
}
