// The workloads of timers that fire in a thread of their own while other threads schedule and cancel. Time is the steady
// clock's here, and passes. A contender is a class with
//
//   C(unsigned callers, on_fire)          starts the thread that fires, and calls on_fire with what was given to schedule
//   schedule(unsigned caller, stopwatch::time_point now, stopwatch::duration wait, word payload)        also in on_fire
//   void stop()                           does what has been put off, and ends that thread
//
// and, if several threads may cancel, `handle`, which schedule returns, and
//
//   bool cancel(unsigned caller, handle)
//
// `caller` is a number of the thread's own, 0 .. callers - 1, for contenders whose users keep the timers themselves.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "support/drive.hpp"
#include "support/items.hpp"
#include "support/role.hpp"
#include "support/timers.hpp"

namespace bench {

using on_fire = std::function<void(word payload)>;

namespace timers {

inline constexpr unsigned most_callers = 4;
/// By all callers together; each has the same share.
inline constexpr std::uint64_t pairs = 480'000;

inline stopwatch::duration lasting(nanos n) { return std::chrono::nanoseconds(static_cast<std::int64_t>(n)); }

/// Each thread schedules timers and cancels the oldest as soon as it has `Window` of them, in the end all. What the thread
/// that fires has not yet seen of that when they are done is waited for, and counted.
template <class C, std::size_t Window>
timer_costs many_callers(std::uint64_t seed) {
  timer_costs costs;
  for (unsigned callers = 1; callers <= most_callers; ++callers) {
    std::uint64_t fired = 0;
    C timers(callers, [&fired](word) { ++fired; });
    const auto run = [&](std::uint64_t share) {
      bodies all;
      for (unsigned me = 0; me < callers; ++me) {
        all.push_back([&timers, seed, share, me](tally& mine) {
          dice random(seed + me);
          std::array<typename C::handle, Window> window{};
          for (std::uint64_t i = 0; i < share + Window; ++i) {
            auto& oldest = window[i % Window];
            if (i >= Window && timers.cancel(me, oldest)) ++mine.got;
            if (i >= share) continue;
            const auto wait = lasting(10 * second + random.below(50 * second));
            oldest = timers.schedule(me, stopwatch::now(), wait, i);
            ++mine.put;
          }
        });
      }
      return race(all);
    };
    run(pairs / callers / 8);  // warms up
    const double seconds = run(pairs / callers);
    const auto begin = stopwatch::now();
    timers.stop();
    const double rest = nanoseconds(stopwatch::now() - begin);
    check(fired == 0, "a timer has fired that was cancelled");
    costs[nth(Window == 1 ? timer_figure::at_once_1 : timer_figure::window_1, callers - 1)] =
        (1e9 * seconds + rest) / pairs;
  }
  return costs;
}

/// How late timers have fired. The one thread that fires writes; others may read when that has ended.
class lateness_list {
 public:
  explicit lateness_list(std::size_t n) { micros_.reserve(n); }
  void note(stopwatch::time_point deadline, stopwatch::time_point now) {
    micros_.push_back(1e-3 * nanoseconds(now - deadline));
  }
  /// Its quantiles, in the figures from `first` on. Throws std::runtime_error if one was early.
  [[nodiscard]] timer_costs costs(timer_figure first) const;

 private:
  std::vector<double> micros_;
};

/// While it lives, every core has something to do.
class load {
 public:
  load();

 private:
  std::vector<std::jthread> threads_;
};

/// About 20,000 timers a second, 1 to 200 ms ahead, for two seconds. Half of them are scheduled by another thread, ten
/// a millisecond; the rest by 1000 timers each of which schedules the next one when it fires.
template <class C, bool Busy>
timer_costs lateness(std::uint64_t seed) {
  constexpr unsigned outside = 0;
  constexpr unsigned inside = 1;
  constexpr unsigned chains = 1000;
  constexpr unsigned lasts = 2000;  // milliseconds
  constexpr unsigned each = 10;
  constexpr auto some_wait = [](dice& random) { return lasting(tick + random.below(199 * tick)); };
  // A payload is the deadline, and in the last bit whether there is to be another one.
  constexpr auto payload_of = [](stopwatch::time_point deadline, bool goes_on) {
    const std::chrono::nanoseconds since = deadline.time_since_epoch();
    return static_cast<word>(since.count()) << 1 | (goes_on ? 1U : 0U);
  };

  std::optional<load> others;
  if (Busy) others.emplace();
  dice mine(2 * seed);
  dice theirs(2 * seed + 1);
  lateness_list fired(std::size_t{40} * lasts);
  word sum = 0;
  std::atomic<word> scheduled{0};  // the sum of all payloads, as is the other
  std::atomic<std::uint64_t> open{0};
  const auto begin = stopwatch::now();
  const auto end = begin + std::chrono::milliseconds(lasts);
  C timers(2, [&](word payload) {
    const auto now = stopwatch::now();
    fired.note(stopwatch::time_point(lasting(payload >> 1)), now);
    sum += payload;
    if ((payload & 1) == 0 || now >= end) {
      --open;
      return;
    }
    const auto wait = some_wait(theirs);
    const word next = payload_of(now + wait, true);
    scheduled += next;
    timers.schedule(inside, now, wait, next);
  });
  const auto schedule = [&](bool goes_on) {
    const auto now = stopwatch::now();
    const auto wait = some_wait(mine);
    const word payload = payload_of(now + wait, goes_on);
    scheduled += payload;
    ++open;
    timers.schedule(outside, now, wait, payload);
  };
  for (unsigned i = 0; i < chains; ++i) schedule(true);
  for (unsigned i = 1; i <= lasts; ++i) {
    std::this_thread::sleep_until(begin + std::chrono::milliseconds(i));
    for (unsigned k = 0; k < each; ++k) schedule(false);
  }
  // why a limit: one that is lost would be waited for in vain
  const auto patience = end + std::chrono::seconds(20);
  while (open != 0 && stopwatch::now() < patience) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  timers.stop();
  check(sum == scheduled, "not every timer has fired once");
  return fired.costs(Busy ? timer_figure::busy_p50 : timer_figure::idle_p50);
}

}  // namespace timers

/// Enters `C` in every workload that its verbs allow.
template <class C>
void enter_timer_threads(std::vector<timer_entry>& all, const char* name, role as) {
  using namespace timers;
  const auto enter = [&](const char* workload, timer_costs (*sample)(std::uint64_t)) {
    all.push_back({workload, name, as, sample});
  };
  if constexpr (requires { typename C::handle; }) {
    enter("threads/at-once", alone<many_callers<C, 1>>);
    enter("threads/window", alone<many_callers<C, 1000>>);
  }
  enter("lateness/idle", alone<lateness<C, false>>);
  enter("lateness/busy", alone<lateness<C, true>>);
}

}  // namespace bench
