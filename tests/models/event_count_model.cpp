// The event count under every schedule and stale reading within bounds. The conditions are relaxed atomics changed
// by read-modify-writes, as the contract demands; nothing but the event count orders them.
#include <cstdint>

#include "millrace/core/event_count.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using event_count = millrace::basic_event_count<explore::sync>;
constexpr auto relaxed = std::memory_order_relaxed;

/// A handful of tokens, and threads that sleep until there is one.
struct tokens {
  explore::atomic<std::uint32_t> count{0};
  event_count events;

  void put() {
    count.fetch_add(1, relaxed);
    events.notify_one();
  }
  bool take() {
    std::uint32_t n = count.load(relaxed);
    while (n != 0) {
      if (count.compare_exchange_strong(n, n - 1, relaxed)) return true;
    }
    return false;
  }
  void wait_and_take() {
    event_count::waiter me;
    while (!take()) {
      events.prepare_wait(me);
      if (take()) {
        events.cancel_wait(me);
        return;
      }
      events.wait(me);
    }
  }
};

/// As many takers as tokens, from one thread or two: nobody may be left asleep.
template <int Givers, int Takers>
struct hand_over : tokens {
  static constexpr int threads = Givers + Takers;
  void thread(int i) {
    if (i >= Givers) return wait_and_take();
    for (int k = i; k < Takers; k += Givers) put();
  }
  void finish() {
    explore::check(count.load(relaxed) == 0, "every token was taken");
    explore::check(events.waiters_approx() == 0, "nobody is left in line");
  }
};

/// A flag set by a plain store and a light fence: the sleepers pay.
template <int Sleepers>
struct light_notifier {
  static constexpr int threads = 1 + Sleepers;
  explore::atomic<bool> set{false};
  event_count events{true};
  void thread(int i) {
    if (i == 0) {
      set.store(true, relaxed);
      explore::sync::light_fence();
      if (events.waiters_approx() != 0) events.notify_all();
      return;
    }
    event_count::waiter me;
    while (!set.load(relaxed)) {
      events.prepare_wait(me);
      if (set.load(relaxed)) return events.cancel_wait(me);
      events.wait(me);
    }
  }
  void finish() { explore::check(events.waiters_approx() == 0, "nobody is left in line"); }
};

/// Who wakes up sees what the notifier wrote before, without any other synchronization.
struct publication {
  static constexpr int threads = 2;
  explore::plain<int> data;
  event_count events;
  void thread(int i) {
    event_count::waiter me;
    if (i == 0) {
      events.prepare_wait(me);
      events.wait(me);
      explore::check(data.get() == 1, "what was written before notify is visible");
    } else {
      data.set(1);
      while (events.waiters_approx() == 0) explore::sync::pause();
      events.notify_one();
    }
  }
  void finish() {}
};

/// A flag for everybody, set once.
template <bool OneByOne>
struct notify_all {
  static constexpr int threads = 3;
  explore::atomic<bool> closed{false};
  event_count events;
  void thread(int i) {
    if (i == 0) {
      closed.exchange(true, relaxed);
      OneByOne ? events.notify_each() : events.notify_all();
      return;
    }
    event_count::waiter me;
    while (!closed.load(relaxed)) {
      events.prepare_wait(me);
      if (closed.load(relaxed)) return events.cancel_wait(me);
      events.wait(me);
    }
  }
  void finish() { explore::check(events.waiters_approx() == 0, "nobody is left in line"); }
};

/// Limits that may pass at any moment, against a notifier: a notification is never lost with a waiter that leaves.
struct limits : tokens {
  static constexpr int threads = 3;
  bool got = false;
  void thread(int i) {
    if (i == 0) return put();
    if (i == 1) return wait_and_take();
    event_count::waiter me;
    events.prepare_wait(me);
    if (take()) {
      events.cancel_wait(me);
      got = true;
    } else {
      // The contract: who was not woken may leave as it is; who was, and does not use it, says so to the next.
      if (!events.wait_until<explore::clock>(me, explore::clock::time_point(std::chrono::nanoseconds(1)),
                                             millrace::clock_ref<explore::clock>())) {
        return;
      }
      got = take();
      if (!got) events.notify_one();
    }
    if (got) put();  // so that the other one, who waits without a limit, gets it in the end
  }
  void finish() {
    explore::check(count.load(relaxed) == 0, "every token was taken");
    explore::check(events.waiters_approx() == 0, "nobody is left in line");
  }
};

/// Back out, and pass on what came meanwhile.
struct cancelling : tokens {
  static constexpr int threads = 3;
  void thread(int i) {
    if (i == 0) return put();
    if (i == 1) return wait_and_take();
    event_count::waiter me;
    events.prepare_wait(me);
    events.cancel_wait(me);
  }
  void finish() { explore::check(count.load(relaxed) == 0, "the token was taken"); }
};

/// Who watches hears of it before everybody else, and takes the notification from nobody.
struct watching : tokens {
  static constexpr int threads = 3;
  struct watcher : event_count::place {
    watcher() : place([](place& p) noexcept { ++static_cast<watcher&>(p).calls; }) {}
    int calls = 0;
  };
  watcher me;
  void thread(int i) {
    if (i == 0) return put();
    if (i == 1) return wait_and_take();
    events.watch(me);
    if (events.leave(me)) me.calls = -1;
  }
  void finish() {
    explore::check(me.calls == -1 || me.calls == 1, "called once, unless it left before");
    explore::check(count.load(relaxed) == 0, "the token was taken");
    explore::check(events.waiters_approx() == 0, "nobody is left in line");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(argc, argv,
                     {
                         world<hand_over<1, 1>>("one to one", {.preemptions = 4, .stale_reads = 3}),
                         world<hand_over<1, 2>>("one to two", {.preemptions = 2, .stale_reads = 2}),
                         world<hand_over<2, 2>>("two to two", {.preemptions = 2, .stale_reads = 1}),
                         world<light_notifier<2>>("light notifier", {.preemptions = 2, .stale_reads = 3}),
                         world<publication>("publication", {.preemptions = 4, .stale_reads = 3}),
                         world<notify_all<false>>("notify all", {.preemptions = 3, .stale_reads = 2}),
                         world<notify_all<true>>("notify each", {.preemptions = 3, .stale_reads = 2}),
                         world<limits>("limits", {.preemptions = 2, .stale_reads = 2}),
                         world<cancelling>("cancelling", {.preemptions = 3, .stale_reads = 2}),
                         world<watching>("watching", {.preemptions = 2, .stale_reads = 2}),
                         world<hand_over<2, 3>>("two to three, random",
                                                {.preemptions = 2, .stale_reads = 4, .executions = 50000}),
                     },
                     {"core/event_count.hpp", "core/detail/gate.hpp"});
}
