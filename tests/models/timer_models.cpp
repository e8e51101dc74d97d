// A timer service under every schedule within bounds: what is scheduled fires in time, what is cancelled does not, and
// every call is told the truth.
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include "millrace/time/timer_service.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"
#include "support/slow_clock.hpp"

namespace {

using millrace::cancel_result;
using millrace::pending_timers;
using support::slow_clock;

using service = millrace::basic_timer_service<slow_clock, std::chrono::nanoseconds, explore::sync>;
using timer = service::timer;

slow_clock::time_point at(std::int64_t t) { return slow_clock::time_point(std::chrono::nanoseconds(t)); }
constexpr std::int64_t due = 2;
constexpr std::int64_t never = 1 << 20;

struct base {
  slow_clock clock;
  service timers{clock};
};

/// Counts its calls; what it holds is looked after, too, wherever it is moved, called and destroyed.
struct counting {
  explicit counting(explore::plain<int>& c) : calls(&c) {}
  void operator()() {
    inside.set(inside.get() + 1);
    calls->set(calls->get() + 1);
  }
  explore::plain<int>* calls;
  explore::plain<int> inside{0};
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

/// One has been put into the inbox by who only cancels, and has not been linked yet; what is behind it is urgent.
struct behind_a_cancel : base {
  static constexpr int threads = 3;
  timer other = timers.schedule_at(at(never), [] {});
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.cancel(other));
    } else if (i == 1) {
      static_cast<void>(timers.schedule_at(at(due), [this] { timers.stop(); }));
    } else {
      timers.run();
    }
  }
  void finish() {}
};

/// A loop of the host's, which polls once more whenever it is told. Who moves the timer to a later deadline may be the one
/// who pushes what another has moved to an earlier one.
struct noted_by_another : base {
  static constexpr int threads = 3;
  explore::atomic<int> told{0};
  service listening{millrace::clock_ref<slow_clock>(clock),
                    {{}, {}, [this] { told.exchange(1, std::memory_order_seq_cst); }}};
  timer t = listening.schedule_at(at(never), [] {});
  std::optional<slow_clock::time_point> next = listening.poll(at(0));
  void thread(int i) {
    if (i < 2) {
      static_cast<void>(listening.reschedule(t, at(i == 0 ? never + 1 : due)));
      return;
    }
    do {
      told.exchange(0, std::memory_order_seq_cst);
      next = listening.poll(at(0));
    } while (told.load(std::memory_order_seq_cst) == 1);
  }
  void finish() {
    const bool knows = told.load(std::memory_order_seq_cst) == 1;
    explore::check(knows || next <= listening.poll(at(0)), "it was told of what is earlier");
  }
};

/// Two threads poll, one after the other: what is the firing thread's goes over.
struct polled_by_two : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  timer t = timers.schedule_every(at(due), std::chrono::nanoseconds(2), counting(fired));
  void thread(int i) {
    try {
      static_cast<void>(timers.poll(at(i == 0 ? due : due + 2)));
    } catch (const std::logic_error&) {
    }  // at the same time
  }
  void finish() { explore::check(fired.get() > 0, "one of them did it"); }
};

/// A cell that is free is taken, given back, and seen again by who has seen what was behind it.
struct cells_given_back : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  explore::plain<int> none{0};
  cells_given_back() {
    const timer two[] = {timers.schedule_at(at(never), [] {}), timers.schedule_at(at(never), [] {})};
    for (const timer t : two) static_cast<void>(timers.cancel(t));
    static_cast<void>(timers.poll(at(0)));
  }
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.schedule_at(at(due), counting(fired)));
    } else {
      const timer t = timers.schedule_at(at(never), counting(none));
      static_cast<void>(timers.schedule_at(at(due), counting(fired)));
      static_cast<void>(timers.cancel(t));
      static_cast<void>(timers.poll(at(0)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due)));
    explore::check(fired.get() == 2 && none.get() == 0, "they are two");
  }
};

/// Cancelled at any moment: it fires, or it does not, and the answer says which. After cancel_and_wait nobody is in the
/// handler, and what it did is to be seen.
struct cancelled : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  timer t = timers.schedule_at(at(due), counting(fired));
  cancel_result answers[2] = {};
  void thread(int i) {
    if (i == 2) {
      static_cast<void>(timers.poll(at(due)));
      return;
    }
    answers[i] = timers.cancel_and_wait(t);
    if (answers[i] == cancel_result::running) explore::check(fired.get() == 1, "it has run to its end");
  }
  void finish() {
    const int times = (answers[0] == cancel_result::cancelled) + (answers[1] == cancel_result::cancelled);
    explore::check(times + fired.get() == 1, "cancelled or fired, and once");
    explore::check(timers.cancel(t) == cancel_result::already_fired, "afterwards");
  }
};

/// Asked for once more: what it did is to be seen.
struct asked_for : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  timer t = timers.schedule_at(at(due), counting(fired));
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.poll(at(due)));
    } else {
      const int expected = timers.cancel_and_wait(t) == cancel_result::cancelled ? 0 : 1;
      explore::check(fired.get() == expected, "it has fired, or it has not");
    }
  }
  void finish() {}
};

/// One that repeats, or fires again because it says so: after the answer it does not, and what it holds goes with who has
/// cancelled it, or is moved by another.
template <bool ByItself>
struct repeating : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  struct again {
    repeating& w;
    counting count;
    void operator()() {
      count();
      static_cast<void>(w.timers.reschedule(w.t, at(due + 2)));
    }
  };
  timer t = ByItself ? timers.schedule_at(at(due), again{*this, counting(fired)})
                     : timers.schedule_every(at(due), std::chrono::nanoseconds(2), counting(fired));
  int when_told = 0;
  void thread(int i) {
    if (i == 1) {
      static_cast<void>(timers.poll(at(due)));
      static_cast<void>(timers.poll(at(due + 2)));
      return;
    }
    const cancel_result answer = timers.cancel_and_wait(t);
    explore::check(answer != cancel_result::already_fired, "it goes on for ever");
    when_told = fired.get();
  }
  void finish() {
    static_cast<void>(timers.poll(at(100)));
    explore::check(fired.get() == when_told, "it has come to its end");
  }
};

/// One that repeats is cancelled while it runs and while another moves it: what it holds is destroyed, and once.
struct given_up : base {
  static constexpr int threads = 3;
  struct alive {
    explicit alive(int& n) noexcept : count(&n) { ++n; }
    alive(alive&& o) noexcept : count(o.count) { ++*count; }
    ~alive() { --*count; }
    void operator()() const {}
    int* count;
  };
  int living = 0;
  timer t = timers.schedule_every(at(due), std::chrono::nanoseconds(2), alive(living));
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.poll(at(due)));
    } else if (i == 1) {
      static_cast<void>(timers.reschedule(t, at(never)));
    } else {
      static_cast<void>(timers.cancel(t));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due)));
    explore::check(living == 0, "nothing is left of it, and nothing was destroyed twice");
  }
};

/// Moved by one thread, and then by another, which has heard of that: the second deadline holds.
struct moved_twice : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  explore::atomic<int> moved{0};
  timer t = timers.schedule_at(at(due), counting(fired));
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.reschedule(t, at(never)));
      moved.store(1, std::memory_order_relaxed);
    } else if (moved.load(std::memory_order_relaxed) == 1) {
      static_cast<void>(timers.reschedule(t, at(due)));
      explore::check(timers.poll(at(due)) == std::nullopt, "it has fired");
    }
  }
  void finish() {}
};

/// Two have fired one after the other, and their cells are taken while the second is given back.
struct cells_taken : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  explore::plain<int> none{0};
  timer first = timers.schedule_at(at(due), counting(fired));
  timer second = timers.schedule_at(at(due), counting(fired));
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.poll(at(due)));
    } else {
      static_cast<void>(timers.schedule_at(at(never), counting(none)));
      static_cast<void>(timers.schedule_at(at(never), counting(none)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due + 1)));
    explore::check(fired.get() == 2 && none.get() == 0, "those that were due");
  }
};

/// Moved away at any moment, and cancelled by another thread: it fires at its old time or its new one, and only if it was
/// not cancelled.
struct moved_and_cancelled : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  timer t = timers.schedule_at(at(due), counting(fired));
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
  explore::plain<int> fired{0};
  explore::plain<int> none{0};
  timer old = timers.schedule_at(at(never), counting(none));
  timer young;
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.cancel(old));
      young = timers.schedule_at(at(due), counting(fired));
    } else if (i == 1) {
      static_cast<void>(timers.cancel(old));
      explore::check(!timers.reschedule(old, at(never)), "it has gone");
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due + 1)));
    explore::check(fired.get() == 1 && none.get() == 0, "the young one has fired, and no other");
  }
};

/// One is in the wheel, and noted because it is moved; it is cancelled, and another one comes into its cell. The young one
/// fires in its time, the old one not after its cancel.
struct taken_over : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  explore::plain<int> old_fired{0};
  timer old = timers.schedule_every(at(due), std::chrono::nanoseconds(2), counting(old_fired));
  std::optional<slow_clock::time_point> next = timers.poll(at(0));
  bool gone = false;
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.reschedule(old, at(due + 1)));
    } else if (i == 1) {
      gone = timers.cancel(old) == cancel_result::cancelled;
      static_cast<void>(timers.schedule_at(at(due), counting(fired)));
    } else {
      static_cast<void>(timers.poll(at(due)));
    }
  }
  void finish() {
    const int before = old_fired.get();
    static_cast<void>(timers.poll(at(100)));
    explore::check(fired.get() == 1, "the young one has fired, and once");
    explore::check(!gone || old_fired.get() == before, "the old one has not");
  }
};

/// Cancelled by one while another moves it, and its cell is taken again: what it held has gone by then, and the deadline that
/// it was to have is not that of the young one.
struct taken_again : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  explore::plain<int> none{0};
  timer old = timers.schedule_at(at(never), counting(none));
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(timers.reschedule(old, at(never + 1)));
    } else if (i == 1) {
      static_cast<void>(timers.cancel(old));
      static_cast<void>(timers.schedule_at(at(due), counting(fired)));
    } else {
      static_cast<void>(timers.poll(at(0)));
      static_cast<void>(timers.schedule_at(at(never), counting(none)));
    }
  }
  void finish() {
    static_cast<void>(timers.poll(at(due)));
    explore::check(fired.get() == 1 && none.get() == 0, "the young one has fired, and no other");
  }
};

/// A loop of the host's: what comes while it polls it has heard of, or it is told.
struct told : base {
  static constexpr int threads = 2;
  explore::plain<int> fired{0};
  bool was_told = false;
  service listening{millrace::clock_ref<slow_clock>(clock), {{}, {}, [this] { was_told = true; }}};
  std::optional<slow_clock::time_point> next;
  void thread(int i) {
    if (i == 0) {
      next = listening.poll(at(0));
    } else {
      explore::check(bool(listening.schedule_at(at(due), counting(fired))), "it was accepted");
    }
  }
  void finish() { explore::check(was_told || next == at(due), "it knows"); }
};

/// Stopped at any moment: what was accepted fires, if it is to, and the rest was refused. Nobody is left behind.
template <pending_timers What>
struct stopped : base {
  static constexpr int threads = 3;
  explore::plain<int> fired{0};
  int accepted = 1;
  timer t = timers.schedule_at(at(never), counting(fired));
  void thread(int i) {
    if (i == 0) {
      if (timers.schedule_at(at(never), counting(fired))) ++accepted;
      static_cast<void>(timers.reschedule(t, at(never + 1)));
    } else if (i == 1) {
      timers.stop(What);
    } else {
      try {
        timers.run();
      } catch (const std::logic_error&) {
        explore::check(false, "nobody else fires");
      }
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
          world<told>("a loop is told", {.preemptions = 3, .stale_reads = 1}),
          world<cells_taken>("cells taken again", {.preemptions = 3, .stale_reads = 1}),
          world<cells_given_back>("cells given back", {.preemptions = 2, .stale_reads = 0}),
          world<polled_by_two>("polled by two", {.preemptions = 2, .stale_reads = 1}),
          world<moved_twice>("moved twice", {.preemptions = 3, .stale_reads = 1}),
          world<cancelled>("cancelled by two", {.preemptions = 2, .stale_reads = 1}),
          world<asked_for>("asked for once more", {.preemptions = 3, .stale_reads = 1}),
          world<moved_and_cancelled>("moved and cancelled", {.preemptions = 2, .stale_reads = 1}),
          world<repeating<false>>("one that repeats", {.preemptions = 3, .stale_reads = 1}),
          world<repeating<true>>("one that repeats itself", {.preemptions = 3, .stale_reads = 1}),
          world<given_up>("given up", {.preemptions = 2, .stale_reads = 0}),
          world<another_one>("another one in its cell", {.preemptions = 2, .stale_reads = 1}),
          world<taken_over>("taken over", {.preemptions = 2, .stale_reads = 1}),
          world<taken_again>("taken again", {.preemptions = 2, .stale_reads = 1}),
          world<behind_a_cancel>("behind a cancel", {.preemptions = 2, .stale_reads = 1}),
          world<scheduled<1, 0>>("scheduled", {.preemptions = 3, .stale_reads = 1}),
          world<scheduled<1, never>>("scheduled before another", {.preemptions = 3, .stale_reads = 1}),
          world<noted_by_another>("noted by another", {.preemptions = 2, .stale_reads = 1}),
          world<scheduled<2, 0>>("scheduled by two", {.preemptions = 2, .stale_reads = 1}),
          world<stopped<pending_timers::fire>>("stopped, to fire", {.preemptions = 2, .stale_reads = 1}),
          world<stopped<pending_timers::drop>>("stopped, to drop", {.preemptions = 2, .stale_reads = 1}),
          world<brought_forward>("brought forward by two", {.preemptions = 2, .stale_reads = 1}),
      },
      {"time/timer_service.hpp", "time/detail/timer_front.hpp", "time/detail/timer_engine.hpp",
       "time/detail/timer_cells.hpp"});
}
