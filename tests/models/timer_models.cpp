// A timer service under every schedule within bounds: what is scheduled fires in time, what is cancelled does not, and
// every call is told the truth.
#include <chrono>
#include <cstdint>
#include <utility>

#include "millrace/time/timer_service.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::cancel_result;
using millrace::pending_timers;
/// Goes on to what is near whenever somebody waits for that, and never to what is far: who sleeps until then and should
/// have been woken sleeps for ever.
struct slow_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<slow_clock>;
  static constexpr bool is_steady = true;
  [[nodiscard]] time_point now() const noexcept { return t; }
  struct alarm {
    alarm(slow_clock& c, time_point deadline, void (*fire)(void*) noexcept, void* context) noexcept {
      if (deadline > c.t + duration(10)) return;
      c.t = deadline;
      fire(context);
    }
  };
  time_point t{};
};

using service = millrace::basic_timer_service<slow_clock, std::chrono::nanoseconds, explore::sync>;
using timer = service::timer;

slow_clock::time_point at(std::int64_t t) { return slow_clock::time_point(std::chrono::nanoseconds(t)); }
constexpr std::int64_t due = 2;
constexpr std::int64_t never = 1 << 20;

struct base {
  slow_clock clock;
  service timers{clock};
};

/// Scheduled while it falls asleep, for ever or for long: each is heard of, or the world would stand still.
template <int Producers, std::int64_t Other>
struct scheduled : base {
  static constexpr int threads = Producers + 1;
  explore::plain<int> fired{0};
  scheduled() {
    if (Other != 0) timers.schedule_at(at(Other), [] {});
  }
  void thread(int i) {
    if (i == Producers) return timers.run();
    const timer t = timers.schedule_at(at(due), [this] {
      fired.set(fired.get() + 1);
      if (fired.get() == Producers) timers.stop();
    });
    explore::check(bool(t), "it was accepted");
  }
  void finish() { explore::check(fired.get() == Producers, "all have fired"); }
};

/// One that was far off is brought forward, by two at once.
struct brought_forward : base {
  static constexpr int threads = 3;
  timer t = timers.schedule_at(at(never), [this] { timers.stop(); });
  bool moved[2] = {};
  void thread(int i) {
    if (i == 2) return timers.run();
    moved[i] = timers.reschedule(t, at(due));
  }
  void finish() { explore::check(moved[0] || moved[1], "one of them did it"); }
};

/// One of them has noted a later deadline and not told of it yet, when the other one comes with an earlier one.
struct noted_by_another : base {
  static constexpr int threads = 3;
  timer t = timers.schedule_at(at(never), [this] { timers.stop(); });
  void thread(int i) {
    if (i == 2) return timers.run();
    if (i == 0) static_cast<void>(timers.reschedule(t, at(never - 1)));
    static_cast<void>(timers.reschedule(t, at(due)));
  }
  void finish() { explore::check(timers.cancel(t) == cancel_result::already_fired, "it has fired"); }
};

/// Cancelled at any moment: it fires, or it does not, and the answer says which. After cancel_and_wait nobody is in the
/// handler.
struct cancelled : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  timer t = timers.schedule_at(at(due), [this] { fired.set(fired.get() + 1); });
  cancel_result answers[2] = {};
  void thread(int i) {
    if (i == 2) {
      static_cast<void>(timers.poll(at(due)));
    } else {
      answers[i] = timers.cancel_and_wait(t);
      if (answers[i] == cancel_result::running) explore::check(fired.get() == 1, "it has run to its end");
    }
  }
  void finish() {
    const int times = (answers[0] == cancel_result::cancelled) + (answers[1] == cancel_result::cancelled);
    explore::check(times + fired.get() == 1, "cancelled or fired, and once");
    explore::check(timers.cancel(t) == cancel_result::already_fired, "afterwards");
  }
};

/// The same of one that repeats: after the answer it does not fire again.
struct repeating : base {
  static constexpr int threads = 2;
  int fired = 0;
  int when_told = -1;
  timer t = timers.schedule_every(at(due), std::chrono::nanoseconds(2), [this] { ++fired; });
  void thread(int i) {
    if (i == 1) {
      static_cast<void>(timers.poll(at(due)));
      static_cast<void>(timers.poll(at(due + 2)));
    } else {
      explore::check(timers.cancel_and_wait(t) != cancel_result::already_fired, "it goes on for ever");
      when_told = fired;
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(100)));
    explore::check(fired == when_told, "it has come to its end");
  }
};

/// Moved away at any moment, and cancelled by another thread: it fires at its old time or its new one, and only if it was
/// not cancelled.
struct moved_and_cancelled : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  timer t = timers.schedule_at(at(due), [this] { fired.set(fired.get() + 1); });
  bool moved = false;
  bool gone = false;
  void thread(int i) {
    if (i == 0) {
      moved = timers.reschedule(t, at(never));
    } else if (i == 1) {
      gone = timers.cancel(t) == cancel_result::cancelled;
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    explore::check(!moved || fired.get() == 0, "it was moved, so it has not fired");
    const auto next = timers.poll(at(due + 1));
    explore::check(next.has_value() == (!gone && fired.get() == 0), "it is still to come, or it is not");
    static_cast<void>(timers.poll(at(never)));
    explore::check(fired.get() + gone == 1, "cancelled or fired, and once");
  }
};

/// The handle of a timer that has gone does not reach the one that has come into its cell.
struct another_one : base {
  static constexpr int threads = 3;
  int fired = 0;
  timer old = timers.schedule_at(at(never), [] { explore::check(false, "it was cancelled"); });
  timer young;
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.cancel(old));
      young = timers.schedule_at(at(due), [this] { ++fired; });
    } else if (i == 1) {
      static_cast<void>(timers.cancel(old));
      explore::check(!timers.reschedule(old, at(never)), "it has gone");
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due + 1)));
    explore::check(fired == 1, "the young one has fired");
  }
};

/// Stopped at any moment: what was accepted fires, if it is to, and the rest was refused. Nobody is left behind.
template <pending_timers What>
struct stopped : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  int accepted = 1;
  timer t = timers.schedule_at(at(never), [this] { fired.set(fired.get() + 1); });
  void thread(int i) {
    if (i == 0) {
      if (timers.schedule_at(at(never), [this] { fired.set(fired.get() + 1); })) ++accepted;
      static_cast<void>(timers.reschedule(t, at(never + 1)));
    } else if (i == 1) {
      timers.stop(What);
    } else {
      timers.run();
    }
  }
  void finish() {
    explore::check(fired.get() == (What == pending_timers::fire ? accepted : 0), "what was promised");
    explore::check(timers.cancel(t) == cancel_result::already_fired, "nothing is left");
    explore::check(!timers.schedule_at(at(due), [] {}), "nothing is accepted");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<scheduled<1, 0>>("scheduled", {.preemptions = 3, .stale_reads = 1}),
          world<scheduled<1, never>>("scheduled before another", {.preemptions = 3, .stale_reads = 1}),
          world<scheduled<2, 0>>("scheduled by two", {.preemptions = 2, .stale_reads = 0}),
          world<brought_forward>("brought forward by two", {.preemptions = 2, .stale_reads = 0}),
          world<noted_by_another>("noted by another", {.preemptions = 2, .stale_reads = 0}),
          world<cancelled>("cancelled by two", {.preemptions = 2, .stale_reads = 0}),
          world<repeating>("one that repeats", {.preemptions = 3, .stale_reads = 1}),
          world<moved_and_cancelled>("moved and cancelled", {.preemptions = 2, .stale_reads = 0}),
          world<another_one>("another one in its cell", {.preemptions = 2, .stale_reads = 0}),
          world<stopped<pending_timers::fire>>("stopped, to fire", {.preemptions = 2, .stale_reads = 0}),
          world<stopped<pending_timers::drop>>("stopped, to drop", {.preemptions = 2, .stale_reads = 0}),
      },
      {"time/timer_service.hpp", "time/detail/timer_cells.hpp"});
}
