// millrace/testing/stepped_bus.hpp - a bus for unit tests: without a thread, on a clock that the test moves, the same in every run.
//
// A step is one task of the bus's workers, or one timer that is due. A test takes them one by one or all that there are, and moves the
// time; handlers are called in the test's own thread, by these calls only.
//
// Without a seed, tasks are run in the order in which they were posted, and before timers that are due. With one, each step is drawn
// from what could come next: what threads might do in another order happens in another order, and the same seed repeats it.
//
// Use it when : you test what publishes to a bus, or is subscribed to it: written for a `basic_bus<Clock>&`, with the clock a template
//               parameter.
// Use instead : `step_executor` and `manual_clock` by themselves, for a topic or a pipeline without a bus.
// Threads     : one, for everything, and not in a handler.
// Order       : that of the posts, or drawn. A task of a group or a pipeline does one thing with one message, and is posted again for the
//               next. Time comes in ticks of 1 ms, as everywhere: a timer for now fires with the next one. The jitter of retries is the
//               machine's, and changes when things happen, unless it is drawn by random().
// Progress    : nothing happens by itself. A publish to a topic that is full waits for ever, as nobody makes room meanwhile: give the
//               topic enough capacity, or use try_publish in what is to be tested for that.
// Errors      : run_until_idle ends after `limit` steps, and says how many it took.
// Exceptions  : std::invalid_argument for a time backwards; std::runtime_error from advance, if something goes round for ever at one time.
//               What handlers throw is a failed attempt, as always.
// Memory      : that of the bus.
// Cost        : that of the tasks; an hour without a deadline costs what a second does.
// Source      : simulation from a seed, as in FoundationDB (J. Zhou et al., SIGMOD 2021); time that moves when all is idle, as in tokio's
//               paused clock.
// Checked by  : tests/testing/stepped_bus_test.cpp, tests/testing/with_gtest_test.cpp
//
// Example:
//   millrace::testing::stepped_bus t;                       // or t(seed)
//   order_service<millrace::manual_clock> service(t.bus());
//   static_cast<void>(t->topic<order>("orders.placed").value()->publish(o));
//   t.run_until_idle();                                     // its handlers have been called, in this thread
//   t.advance(30min);                                       // and so have its timers, each at its time
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include "millrace/bus/bus.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/testing/step_executor.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

class stepped_bus {
 public:
  using bus_type = basic_bus<manual_clock>;

  /// Its time begins at 0, and it has been started.
  stepped_bus() { start(); }
  explicit stepped_bus(std::uint64_t seed) : tasks_(seed), draws_(~seed) { start(); }
  stepped_bus(const stepped_bus&) = delete;
  stepped_bus& operator=(const stepped_bus&) = delete;
  ~stepped_bus() = default;

  [[nodiscard]] bus_type& bus() noexcept { return bus_; }
  [[nodiscard]] bus_type* operator->() noexcept { return &bus_; }
  /// advance() lets everything happen in time. Whoever moves this clock instead makes it late: what was due is, all at once.
  [[nodiscard]] manual_clock& clock() noexcept { return clock_; }

  /// One task, or one timer that is due. False: there is nothing to do now.
  bool step() {
    if (draws_ && (*draws_)() % (tasks_.size() + 1) == 0 && fire_one()) return true;
    return tasks_.step() || fire_one();
  }
  /// Steps until there is nothing to do now, `limit` at the most. How many.
  std::size_t run_until_idle(std::size_t limit = 1'000'000) {
    std::size_t n = 0;
    while (n < limit && step()) ++n;
    return n;
  }
  /// Does what there is to do now, then moves the clock to the next deadline, and so on, until that much time has passed. How many
  /// steps; `limit` of them at one time at the most.
  std::size_t advance(std::chrono::nanoseconds by, std::size_t limit = 1'000'000) {
    if (by < by.zero()) {
      detail::fail<std::invalid_argument>(
          "stepped_bus::advance: by must be 0 or more; clock().set() turns it back");
    }
    const auto end = detail::saturating_deadline(clock_.now(), by);
    for (std::size_t n = 0;;) {
      const std::size_t steps = run_until_idle(limit);
      n += steps;
      if (steps == limit && step()) {
        detail::fail<std::runtime_error>(
            "stepped_bus::advance: still not idle after `limit` steps at one time; something goes round for "
            "ever");
      }
      if (clock_.now() >= end) return n;
      clock_.set(next_ && *next_ < end ? *next_ : end);
    }
  }
  /// Something of the test's own, as a task among the others: it is run in some step. Of 48 bytes at the most.
  void post(executor::task t) { bus_.executor().post(std::move(t)); }
  /// From 0 to 1, drawn from the seed; 0.5 without one. For retry_policy::random, so that a run with jitter can be repeated.
  [[nodiscard]] double random() {
    constexpr std::uint64_t steps = std::uint64_t{1} << 32;
    return draws_ ? static_cast<double>((*draws_)() % steps) / static_cast<double>(steps) : 0.5;
  }

 private:
  void start() {
    const absl::Status s = bus_.start();
    if (!s.ok()) detail::fail<std::logic_error>(std::string(s.message()).c_str());
  }
  bool fire_one() {
    for (const std::uint64_t before = fired_;;) {
      const manual_clock::time_point now = clock_.now();
      next_ = bus_.timers().poll(now, 1);
      if (fired_ != before) return true;
      if (!next_ || *next_ > now) return false;
    }
  }

  manual_clock clock_;
  step_executor tasks_;
  std::optional<std::mt19937_64> draws_;
  std::uint64_t fired_ = 0;
  std::optional<manual_clock::time_point> next_;  // the next deadline, if nothing is due
  bus_type bus_{clock_, {.name = "test", .executor = &tasks_}, {.on_fire = [this](auto) { ++fired_; }}};
};

}  // namespace testing
}  // namespace v0
}  // namespace millrace
