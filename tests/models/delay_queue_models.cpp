// A delay queue under every schedule within bounds: what is pushed arrives once or is given back, and the stream ends when
// all has arrived. Its timers are those of timer_models.cpp.
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include "millrace/core/outcome.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/time/delay_queue.hpp"
#include "support/explore.hpp"
#include "support/explore_hazards.hpp"
#include "support/model.hpp"
#include "support/slow_clock.hpp"

namespace {

using millrace::outcome;
using millrace::pending_timers;
using support::slow_clock;

using value = std::uint64_t;
/// Rings as small as can be.
struct small : millrace::unbounded_queue<value, millrace::use_sync<explore::sync>> {
  small() : unbounded_queue(2) {}
};
using queue = millrace::delay_queue<value, slow_clock, std::chrono::nanoseconds, small>;

slow_clock::time_point at(std::int64_t t) { return slow_clock::time_point(std::chrono::nanoseconds(t)); }
constexpr std::int64_t due = 2;
constexpr std::int64_t never = 1 << 20;

struct base {
  slow_clock clock;
  queue q{millrace::clock_ref<slow_clock>(clock)};

  void poll(std::int64_t t) {
    try {
      static_cast<void>(q.poll(at(t)));
    } catch (const std::logic_error&) {
      explore::check(false, "nobody else moves what is due");
    }
  }
};

/// Pushed, moved by a thread that sleeps, and waited for; then the stream ends.
struct waited_for : base {
  static constexpr int threads = 3;
  value got = 0;
  void thread(int i) {
    if (i == 0) {
      explore::check(bool(q.push_at(at(due), 7)), "it was accepted");
    } else if (i == 1) {
      q.run();
    } else {
      got = q.pop().value_or(0);
      q.close();
      explore::check(q.pop() == std::nullopt, "the stream has ended");
      q.stop();
    }
  }
  void finish() { explore::check(got == 7, "it has arrived"); }
};

/// Cancelled while it arrives: one of the two has it.
struct cancelled : base {
  static constexpr int threads = 2;
  queue::handle h = q.push_at(at(due), 7);
  std::optional<value> back;
  void thread(int i) {
    if (i == 0) {
      poll(due);
    } else {
      back = q.cancel(h);
    }
  }
  void finish() {
    poll(due + 1);
    const std::optional<value> arrived = q.try_pop();
    explore::check(arrived.has_value() != back.has_value(), "one of the two has it");
    explore::check(arrived.value_or(0) + back.value_or(0) == 7, "it is what was pushed");
    explore::check(q.waiting_approx() == 0 && !q.cancel(h), "nothing is left");
  }
};

/// Closed, and one arrives while the other is cancelled, with which the stream may end: who hears of the end has had what
/// arrived.
struct ended : base {
  static constexpr int threads = 3;
  queue::handle first = q.push_at(at(due), 7);
  queue::handle second = q.push_at(at(never), 8);
  value got = 0;
  ended() { q.close(); }
  void thread(int i) {
    if (i == 0) {
      poll(due);
    } else if (i == 1) {
      static_cast<void>(q.cancel(second));
    } else {
      value v = 0;
      const outcome first_try = q.try_pop(v);
      explore::check(first_try != outcome::closed, "it has not arrived, so the stream goes on");
      if (first_try == outcome::ok) got = v;
    }
  }
  void finish() {
    value v = 0;
    if (got == 0) {
      explore::check(q.try_pop(v) == outcome::ok && v == 7, "it has arrived");
    }
    explore::check(q.try_pop(v) == outcome::closed, "the stream has ended");
  }
};

/// Closed while somebody pushes: what was accepted arrives before the end, the rest was refused.
struct closed : base {
  static constexpr int threads = 3;
  bool accepted = false;
  value got = 0;
  void thread(int i) {
    if (i == 0) {
      value seven = 7;
      accepted = static_cast<bool>(q.push_at(at(due), std::move(seven)));
      poll(due);
    } else if (i == 1) {
      q.close();
    } else {
      while (const auto v = q.pop()) got += *v;
    }
  }
  void finish() {
    explore::check(got == (accepted ? 7 : 0), "what was accepted has arrived");
    explore::check(q.is_closed() && !q.push_at(at(due), 8), "nothing is accepted");
    explore::check(q.waiting_approx() == 0, "nothing waits");
  }
};

/// Stopped at any moment: what was accepted arrives or is counted as dropped, or was cancelled.
template <pending_timers What>
struct stopped : base {
  static constexpr int threads = 3;
  queue::handle h = q.push_at(at(never), 1);
  value accepted = 1;
  value back = 0;
  void thread(int i) {
    if (i == 0) {
      if (q.push_at(at(never), 1)) ++accepted;
      back = q.cancel(h).has_value();
    } else if (i == 1) {
      q.stop(What);
    } else {
      q.run();
    }
  }
  void finish() {
    value arrived = 0;
    for (value v = 0; q.try_pop(v) == outcome::ok;) arrived += v;
    const value dropped = q.dropped();
    explore::check(arrived + dropped + back == accepted, "all are accounted for");
    explore::check((What == pending_timers::drop ? arrived : dropped) == 0, "as it was told");
    explore::check(q.try_pop() == std::nullopt && q.waiting_approx() == 0, "nothing is left");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<cancelled>("cancelled", {.preemptions = 3, .stale_reads = 1}),
          world<ended>("the end", {.preemptions = 2, .stale_reads = 1}),
          world<closed>("closed", {.preemptions = 2, .stale_reads = 1}),
          world<waited_for>("waited for", {.preemptions = 2, .stale_reads = 0}),
          world<stopped<pending_timers::fire>>("stopped, to fire", {.preemptions = 2, .stale_reads = 0}),
          world<stopped<pending_timers::drop>>("stopped, to drop", {.preemptions = 2, .stale_reads = 0}),
      },
      {});
}
