// The circuit breaker under every schedule within bounds: its one look without the mutex, and what comes of verdicts and
// changes at the same time.
#include <array>
#include <chrono>
#include <cstdint>
#include <utility>

#include "millrace/delivery/circuit_breaker.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::circuit_state;
using std::chrono::nanoseconds;

/// Moved by hand, and seen by all at once.
struct hand_clock {
  using duration = nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<hand_clock>;
  time_point t{};
  [[nodiscard]] time_point now() const noexcept { return t; }
};
using breaker = millrace::circuit_breaker<hand_clock, explore::sync>;

template <std::size_t Probes>
struct base {
  hand_clock clock;
  breaker b{clock, {.window = 2, .minimum = 2, .open_for = nanoseconds(10), .probes = Probes}};
  void open_and_wait() {
    b.trip();
    clock.t += nanoseconds(10);
  }
};

/// Who asks after it has been opened, or closed, finds it so, with nothing else between the two threads.
template <bool Opens>
struct after_change : base<1> {
  static constexpr int threads = 2;
  bool changed = false;  // what has really happened: no thread hears of it
  after_change() {
    if (!Opens) b.trip();
  }
  void thread(int i) {
    if (i == 0) {
      Opens ? b.trip() : b.reset();
      changed = true;
      return;
    }
    const bool before = changed;
    const auto p = b.try_acquire();
    if (before) explore::check(static_cast<bool>(p) == !Opens, "it was changed before");
    if (before) explore::check((b.state() == circuit_state::open) == Opens, "and says so");
    if (before)
      explore::check((b.opens_at() == hand_clock::time_point(nanoseconds(10))) == Opens, "and until when");
  }
  void finish() { explore::check(b.opened() == 1, "opened once"); }
};

/// Its time has come, and several ask: never more probes at once than are wanted.
template <int Askers, int Probes>
struct probing : base<Probes> {
  static constexpr int threads = Askers;
  int held = 0;
  int given = 0;
  probing() { this->open_and_wait(); }
  void thread(int) {
    const auto p = this->b.try_acquire();
    if (!p) return;
    ++given;
    explore::check(++held <= Probes, "no more probes at once than are wanted");
    explore::sync::yield();
    --held;
  }
  void finish() {
    explore::check(given >= Probes, "as many as are wanted are let through");
    explore::check(given + int(this->b.rejected()) == Askers, "and the others are rejected");
    std::array<breaker::permit, Probes> all;
    for (auto& p : all) explore::check(bool(p = this->b.try_acquire()), "every place has come back");
    explore::check(!this->b.try_acquire(), "and no more");
    for (auto& p : all) p.success();
    explore::check(this->b.state() == circuit_state::closed, "so many successes close it");
  }
};

/// Two ask in time, and the probe fails: who is second finds it open again, however long ago it has looked.
struct reopened : base<1> {
  static constexpr int threads = 2;
  int given = 0;
  reopened() { open_and_wait(); }
  void thread(int) {
    auto p = b.try_acquire();
    if (!p) return;
    ++given;
    p.failure();
  }
  void finish() {
    explore::check(given == 1 && b.rejected() == 1, "one is let through, and the other one is not");
    explore::check(b.state() == circuit_state::open && b.opened() == 2, "opened again");
  }
};

/// Two failures at the same time, of the two that open it.
struct failing : base<1> {
  static constexpr int threads = 2;
  void thread(int) {
    auto p = b.try_acquire();
    explore::check(bool(p), "it was closed until both had failed");
    p.failure();
  }
  void finish() {
    explore::check(b.state() == circuit_state::open && b.opened() == 1, "both were counted, once");
  }
};

/// A probe's verdict against a trip: it counts before, or not at all.
template <bool Success>
struct verdict_and_trip : base<1> {
  static constexpr int threads = 2;
  breaker::permit probe;
  verdict_and_trip() {
    open_and_wait();
    probe = b.try_acquire();
  }
  void thread(int i) {
    if (i == 0) {
      Success ? probe.success() : probe.failure();
    } else {
      b.trip();
    }
  }
  void finish() {
    explore::check(b.state() == circuit_state::open, "it is open");
    // A failure that comes first opens it, and then the trip does so again.
    explore::check(b.opened() == 2 || (!Success && b.opened() == 3), "and was opened so often");
  }
};

/// A probe given back against one who asks, and a success against another.
struct coming_and_going : base<2> {
  static constexpr int threads = 2;
  breaker::permit first;
  breaker::permit second;
  bool got = false;
  coming_and_going() {
    open_and_wait();
    first = b.try_acquire();
    second = b.try_acquire();
  }
  void thread(int i) {
    if (i == 0) {
      first = breaker::permit();
      second.success();
      return;
    }
    auto p = b.try_acquire();
    got = bool(p);
    p.success();
  }
  void finish() {
    explore::check((b.state() == circuit_state::closed) == got, "two successes, and not one, close it");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<after_change<true>>("after it was opened", {.preemptions = 4, .stale_reads = 3}),
          world<after_change<false>>("after it was closed", {.preemptions = 4, .stale_reads = 3}),
          world<probing<2, 1>>("two for one probe", {.preemptions = 4, .stale_reads = 3}),
          world<probing<3, 1>>("three for one probe", {.preemptions = 3, .stale_reads = 2}),
          world<probing<3, 2>>("three for two probes", {.preemptions = 3, .stale_reads = 2}),
          world<reopened>("opened again", {.preemptions = 4, .stale_reads = 3}),
          world<failing>("failing", {.preemptions = 4, .stale_reads = 3}),
          world<verdict_and_trip<true>>("success and trip", {.preemptions = 4, .stale_reads = 3}),
          world<verdict_and_trip<false>>("failure and trip", {.preemptions = 4, .stale_reads = 3}),
          world<coming_and_going>("coming and going", {.preemptions = 4, .stale_reads = 3}),
      },
      {"delivery/circuit_breaker.hpp"});
}
