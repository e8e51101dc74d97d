// The workloads of timers, the same text for every contender. Times are nanoseconds; a tick is a millisecond, and time
// is told, not read. A contender is a class with
//
//   explicit C(nanos now)
//   handle schedule(nanos deadline, word payload)
//   void cancel(handle)          handle reschedule(handle, nanos deadline)        of a timer that waits
//   void settle()                does what the two have put off until the loop runs, if there is such a thing
//   void advance(nanos now, fired_list&)            gives it the payload of all that is due, deadline <= now
//   std::optional<nanos> next()                     when to call advance next; a contender may lack this
//
// Deadlines are random, and so is the order in which timers are cancelled and moved, so that none of them is met in the
// order in which it was allocated. Every sample is taken in a process of its own, in memory that has been touched before.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/drive.hpp"
#include "support/items.hpp"
#include "support/role.hpp"

namespace bench {

using nanos = std::uint64_t;
inline constexpr nanos tick = 1'000'000;
inline constexpr nanos second = 1000 * tick;

/// What has fired, as far as a workload wants to know it.
class fired_list {
 public:
  void operator()(word payload) {
    sum += payload;
    ++count;
    if (keep != nullptr) keep->push_back(payload);
  }
  word sum = 0;
  std::uint64_t count = 0;
  std::vector<word>* keep = nullptr;
};

/// A figure of the table.
enum class timer_figure : unsigned char {
  schedule,        // a million at once, nanoseconds each
  cancel,          // 99 % of them, in random order, nanoseconds each
  both,            // the sum of the two
  again,           // as many scheduled in their place, nanoseconds each
  fire,            // a million, in 60,000 advances, nanoseconds each
  worst_firing,    // the longest of these advances, microseconds
  p999_firing,     // 99.9 % of them take no longer, microseconds
  worst_keeping,   // the longest advance while a million are kept alive and few are due, microseconds
  p999_keeping,    // and likewise
  later,           // a keep-alive of one among 100,000, with the time that passes, nanoseconds
  anywhere,        // the same to a random deadline, nanoseconds
  day_by_wakeups,  // ten timers in 24 hours, from one next() to the other, microseconds in all
  day_at_once,     // likewise, in one advance, microseconds
  memory,          // bytes a timer beside its payload
  // from timer_threads.hpp
  at_once_1,  // one thread schedules and cancels, nanoseconds for both
  at_once_2,  // two do, nanoseconds of the whole; and so on
  at_once_3,
  at_once_4,
  window_1,  // likewise, 1000 of each thread's wait meanwhile
  window_2,
  window_3,
  window_4,
  idle_p50,  // half of the timers fire no later than that after their deadlines, microseconds
  idle_p99,
  idle_p999,
  idle_worst,
  busy_p50,  // the same while every core has something else to do
  busy_p99,
  busy_p999,
  busy_worst,
};
inline constexpr std::size_t timer_figures = static_cast<std::size_t>(timer_figure::busy_worst) + 1;
/// The one that is `n` further down.
constexpr timer_figure nth(timer_figure f, unsigned n) {
  return static_cast<timer_figure>(static_cast<unsigned>(f) + n);
}

/// What a sample has measured; the others are not numbers.
struct timer_costs {
  std::array<double, timer_figures> figures;
  timer_costs() { figures.fill(std::numeric_limits<double>::quiet_NaN()); }
  double& operator[](timer_figure f) { return figures[static_cast<std::size_t>(f)]; }
  double operator[](timer_figure f) const { return figures[static_cast<std::size_t>(f)]; }
};

/// A contender in a workload. `seed` stands for the random numbers, the same for all in a round.
struct timer_entry {
  const char* workload;
  std::string name;
  role as;
  timer_costs (*sample)(std::uint64_t seed);
};

/// A goal for one figure of ours: against the best of the rivals, or, where there are none, in its unit.
struct timer_target {
  timer_figure of;
  std::vector<std::string> rivals;
  double bound;  // with rivals: at least that many times better; else: at most that much
};

/// Uniform random numbers, quickly.
class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
  /// 0 .. n - 1, for n that are much smaller than 2^32, or coarser.
  std::uint64_t below(std::uint64_t n) {
    state_ += 0x9E3779B97F4A7C15;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (z ^ (z >> 31)) % n;
  }
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (std::size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[below(i)]);
  }

 private:
  std::uint64_t state_;
};

namespace timers {

inline constexpr std::size_t crowd = 1'000'000;
/// In the middle of a minute that begins here, the third-lowest byte of the number of ticks is carried over, as it is
/// every 65.5 seconds: when a wheel of 256 slots a level has most to do.
inline constexpr nanos start = ((nanos{1000} << 16) - 30'000) * tick;

/// Has memory at hand that the process need not ask for and the system need not clear.
void touch_memory();

/// Throws std::runtime_error unless that holds.
void check(bool holds, const char* what);

inline double nanoseconds(stopwatch::duration d) {
  return std::chrono::duration<double, std::nano>(d).count();
}

/// `n` deadlines between `from` and `to`.
std::vector<nanos> deadlines(dice& random, std::size_t n, nanos from, nanos to);

/// What a tick took at least in some passes of the same, so that what the machine did meanwhile is not counted.
class ticks {
 public:
  explicit ticks(std::size_t n) : micros_(n, std::numeric_limits<double>::infinity()) {}
  void note(std::size_t i, stopwatch::duration d) {
    const double took = 1e-3 * nanoseconds(d);
    if (took < micros_[i]) micros_[i] = took;
  }
  [[nodiscard]] double worst() const;
  [[nodiscard]] double p999() const;

 private:
  std::vector<double> micros_;
};

inline constexpr unsigned passes = 2;

/// A million timers are scheduled, nearly all cancelled, and as many scheduled in their place.
template <class C>
timer_costs fill(std::uint64_t seed) {
  dice random(seed);
  const std::size_t some = crowd / 100 * 99;
  const std::vector<nanos> first = deadlines(random, crowd, start + second, start + 60 * second);
  const std::vector<nanos> next = deadlines(random, some, start + 61 * second, start + 120 * second);
  std::vector<std::uint32_t> order(crowd);
  for (std::size_t i = 0; i < crowd; ++i) order[i] = static_cast<std::uint32_t>(i);
  random.shuffle(order);
  std::vector<typename C::handle> handles(crowd);
  std::vector<typename C::handle> to_cancel(some);
  touch_memory();

  C timers(start);
  const auto begin = stopwatch::now();
  for (std::size_t i = 0; i < crowd; ++i) handles[i] = timers.schedule(first[i], i);
  const auto full = stopwatch::now();
  // why a copy in that order: who cancels a timer has its handle at hand
  for (std::size_t i = 0; i < some; ++i) to_cancel[i] = handles[order[i]];
  const auto ready = stopwatch::now();
  for (const auto& h : to_cancel) timers.cancel(h);
  timers.settle();
  const auto empty = stopwatch::now();
  for (std::size_t i = 0; i < some; ++i) handles[order[i]] = timers.schedule(next[i], order[i]);
  const auto end = stopwatch::now();

  fired_list fired;
  timers.advance(start + 60 * second, fired);
  word left = 0;
  for (std::size_t i = some; i < crowd; ++i) left += order[i];
  check(fired.count == crowd - some && fired.sum == left, "what was not cancelled has not fired");

  timer_costs costs;
  costs[timer_figure::schedule] = nanoseconds(full - begin) / crowd;
  costs[timer_figure::cancel] = nanoseconds(empty - ready) / static_cast<double>(some);
  costs[timer_figure::both] = costs[timer_figure::schedule] + costs[timer_figure::cancel];
  costs[timer_figure::again] = nanoseconds(end - empty) / static_cast<double>(some);
  return costs;
}

/// A million timers fire within a minute, in an advance for every millisecond.
template <class C>
timer_costs fire(std::uint64_t seed) {
  dice random(seed);
  constexpr std::size_t steps = 60'000;
  const std::vector<nanos> when = deadlines(random, crowd, start, start + 60 * second);
  touch_memory();

  ticks each(steps);
  double all = 0;
  for (unsigned pass = 0; pass < passes; ++pass) {
    C timers(start);
    for (std::size_t i = 0; i < crowd; ++i) timers.schedule(when[i], i);
    fired_list fired;
    auto before = stopwatch::now();
    const auto begin = before;
    for (std::size_t i = 0; i < steps; ++i) {
      timers.advance(start + (i + 1) * tick, fired);
      const auto after = stopwatch::now();
      each.note(i, after - before);
      before = after;
    }
    all += nanoseconds(before - begin);
    check(fired.count == crowd && fired.sum == crowd * (crowd - 1) / 2, "not every timer has fired once");
  }

  timer_costs costs;
  costs[timer_figure::fire] = all / passes / crowd;
  costs[timer_figure::worst_firing] = each.worst();
  costs[timer_figure::p999_firing] = each.p999();
  return costs;
}

/// A million timers over a minute. One second before its deadline each gets another minute, but for one in 16, which
/// fires and is scheduled again. What the advances cost; the rescheduling is not counted.
template <class C>
timer_costs keep_alive(std::uint64_t seed) {
  dice random(seed);
  constexpr std::size_t steps = 60'000;
  const std::vector<nanos> when = deadlines(random, crowd, start + second, start + 61 * second);
  std::vector<std::vector<std::uint32_t>> moves(steps);
  std::uint64_t due = 0;
  for (std::size_t i = 0; i < crowd; ++i) {
    if (i % 16 != 0) {
      moves[(when[i] - 1 - second - start) / tick].push_back(static_cast<std::uint32_t>(i));
    } else if (when[i] <= start + steps * tick) {
      ++due;
    }
  }
  std::vector<typename C::handle> handles(crowd);
  std::vector<word> payloads;
  payloads.reserve(crowd);
  touch_memory();

  ticks each(steps);
  for (unsigned pass = 0; pass < passes; ++pass) {
    C timers(start);
    for (std::size_t i = 0; i < crowd; ++i) handles[i] = timers.schedule(when[i], i);
    fired_list fired;
    fired.keep = &payloads;
    for (std::size_t t = 0; t < steps; ++t) {
      const nanos now = start + (t + 1) * tick;
      for (const std::uint32_t i : moves[t])
        handles[i] = timers.reschedule(handles[i], when[i] + 60 * second);
      timers.settle();
      const auto before = stopwatch::now();
      timers.advance(now, fired);
      each.note(t, stopwatch::now() - before);
      for (const word i : payloads) handles[i] = timers.schedule(now + 60 * second, i);
      payloads.clear();
    }
    check(fired.count == due, "not those have fired that were not kept alive");
  }

  timer_costs costs;
  costs[timer_figure::worst_keeping] = each.worst();
  costs[timer_figure::p999_keeping] = each.p999();
  return costs;
}

/// 100,000 timers, of which one is rescheduled every 10 microseconds, and the time that passes meanwhile. What fires all
/// the same is scheduled again.
template <class C, bool Later>
timer_costs churn(std::uint64_t seed) {
  dice random(seed);
  constexpr std::size_t alive = 100'000;
  constexpr std::size_t events = 2'000'000;
  constexpr std::size_t events_a_tick = 100;
  struct event {
    std::uint32_t which;
    std::uint32_t delay;  // in units of 16 ns
  };
  const auto some_delay = [&] {
    const nanos delay = Later ? 10 * second : second + random.below(59 * second);
    return static_cast<std::uint32_t>(delay / 16);
  };
  std::vector<event> all(events);
  for (event& e : all) e = {static_cast<std::uint32_t>(random.below(alive)), some_delay()};
  std::vector<typename C::handle> handles(alive);
  std::vector<word> payloads;
  touch_memory();

  C timers(start);
  for (std::size_t i = 0; i < alive; ++i) handles[i] = timers.schedule(start + nanos{some_delay()} * 16, i);
  fired_list fired;
  fired.keep = &payloads;
  const auto begin = stopwatch::now();
  nanos now = start;
  for (std::size_t n = 0; n < events; n += events_a_tick) {
    for (std::size_t k = n; k < n + events_a_tick; ++k) {
      const event e = all[k];
      now += tick / events_a_tick;
      handles[e.which] = timers.reschedule(handles[e.which], now + nanos{e.delay} * 16);
    }
    timers.advance(now, fired);
    for (const word i : payloads) handles[i] = timers.schedule(now + nanos{all[n].delay} * 16, i);
    payloads.clear();
  }
  const auto end = stopwatch::now();
  timers.advance(now + 61 * second, fired);
  check(payloads.size() == alive, "not every timer has fired in the end");

  timer_costs costs;
  costs[Later ? timer_figure::later : timer_figure::anywhere] = nanoseconds(end - begin) / events;
  return costs;
}

/// Ten timers in 24 hours, and nobody who calls in between.
template <class C>
timer_costs day(std::uint64_t seed) {
  dice random(seed);
  constexpr std::size_t days = 200;
  constexpr std::size_t few = 10;
  constexpr nanos length = 24 * 3600 * second;
  fired_list fired;
  C timers(start);
  nanos now = start;
  const auto morning = [&] {
    for (std::size_t i = 0; i < few; ++i) timers.schedule(now + random.below(length), i);
  };
  // The median, because a day is short: a single interrupt may take longer.
  const auto typical = [&](auto pass) {
    std::vector<double> micros;
    for (std::size_t d = 0; d < days; ++d) {
      morning();
      const auto begin = stopwatch::now();
      pass(now + length);
      micros.push_back(1e-3 * nanoseconds(stopwatch::now() - begin));
      now += length;
    }
    std::sort(micros.begin(), micros.end());
    return micros[days / 2];
  };
  timer_costs costs;
  costs[timer_figure::day_at_once] = typical([&](nanos evening) { timers.advance(evening, fired); });
  if constexpr (requires { timers.next(); }) {
    costs[timer_figure::day_by_wakeups] = typical([&](nanos evening) {
      for (auto next = timers.next(); next; next = timers.next()) timers.advance(*next, fired);
      timers.advance(evening, fired);
    });
  }
  check(fired.count % (days * few) == 0, "not every timer has fired");
  return costs;
}

/// Bytes resident with a million timers.
template <class C>
timer_costs memory(std::uint64_t seed) {
  dice random(seed);
  std::vector<typename C::handle> handles(crowd);
  std::vector<nanos> when = deadlines(random, crowd, start + second, start + 60 * second);
  const double before = resident_memory().now;
  C timers(start);
  for (std::size_t i = 0; i < crowd; ++i) handles[i] = timers.schedule(when[i], i);
  timer_costs costs;
  costs[timer_figure::memory] = (resident_memory().now - before) / crowd - sizeof(word);
  return costs;
}

template <timer_costs (*Workload)(std::uint64_t)>
timer_costs alone(std::uint64_t seed) {
  return in_child([seed] { return Workload(seed); });
}

}  // namespace timers

/// Enters `C` in every workload.
template <class C>
void enter_timers(std::vector<timer_entry>& all, const char* name, role as) {
  using namespace timers;
  const auto enter = [&](const char* workload, timer_costs (*sample)(std::uint64_t)) {
    all.push_back({workload, name, as, sample});
  };
  enter("fill", alone<fill<C>>);
  enter("fire", alone<fire<C>>);
  enter("keep", alone<keep_alive<C>>);
  enter("later", alone<churn<C, true>>);
  enter("anywhere", alone<churn<C, false>>);
  enter("day", alone<day<C>>);
  enter("memory", alone<memory<C>>);
}

}  // namespace bench
