// Sleeping and waking: who is woken, in which order, at what price, and what the waker may still touch.
#include "millrace/core/event_count.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

#if defined(__unix__) && !defined(NDEBUG)
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#endif

namespace {

using namespace std::chrono_literals;
using millrace::clock_ref;
using millrace::event_count;
using millrace::manual_clock;
using support::watchdog;
using support::watching_sync;
using watched = millrace::basic_event_count<watching_sync>;
using steady = std::chrono::steady_clock;

/// Waits until `condition()`, as the header's example does.
template <class Events, class Condition>
void await(Events& events, Condition condition) {
  typename Events::waiter me;
  while (!condition()) {
    events.prepare_wait(me);
    if (condition()) {
      events.cancel_wait(me);
      break;
    }
    events.wait(me);
  }
}

}  // namespace

TEST_CASE("a notification between announcement and wait is not lost") {
  event_count events;
  event_count::waiter me;
  for (int i = 0; i < 3; ++i) {
    events.prepare_wait(me);
    CHECK(events.waiters_approx() == 1);
    if (i == 0) events.notify_one();
    if (i != 0) events.notify_all();
    CHECK(events.waiters_approx() == 0);
    events.wait(me);  // returns at once
  }
}

TEST_CASE("a notification that comes too early is for nobody") {
  watching_sync::reset();
  watched events;
  events.notify_one();
  events.notify_all();
  manual_clock clock;
  watched::waiter me;
  events.prepare_wait(me);
  CHECK_FALSE(events.wait_until<manual_clock>(me, clock.now(), clock));
}

TEST_CASE("notifying nobody makes no system call") {
  watching_sync::reset();
  watched events;
  for (int i = 0; i < 1000; ++i) {
    events.notify_one();
    events.notify_all();
  }
  watched::waiter me;
  events.prepare_wait(me);
  events.cancel_wait(me);
  events.notify_all();
  // Announced but not asleep: nobody has to be woken in the kernel either.
  events.prepare_wait(me);
  events.notify_one();
  events.wait(me);
  CHECK(watching_sync::unparks == 0);
  CHECK(watching_sync::parks == 0);
}

TEST_CASE("sleepers are woken one by one, first come, first served") {
  const watchdog guard("first come, first served");
  watching_sync::reset();
  watched events;
  constexpr int n = 6;
  std::vector<int> order;
  std::atomic<int> awake{0};
  std::vector<std::thread> sleepers;
  for (int i = 0; i < n; ++i) {
    sleepers.emplace_back([&, i] {
      watched::waiter me;
      events.prepare_wait(me);
      events.wait(me);
      order.push_back(i);  // one at a time: the next is woken when this one has been counted
      ++awake;
    });
    watching_sync::await_parked(i + 1);
  }
  for (int i = 0; i < n; ++i) {
    CHECK(events.waiters_approx() == static_cast<std::uint32_t>(n - i));
    events.notify_one();
    while (awake != i + 1) std::this_thread::yield();
    CHECK(watching_sync::unparks == i + 1);  // one system call for one sleeper
  }
  for (auto& t : sleepers) t.join();
  CHECK(order == std::vector{0, 1, 2, 3, 4, 5});
  CHECK(watching_sync::parked == 0);
}

TEST_CASE("notify_all wakes everybody") {
  const watchdog guard("notify_all");
  watching_sync::reset();
  watched events;
  std::atomic<int> awake{0};
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 5; ++i) {
    sleepers.emplace_back([&] {
      watched::waiter me;
      events.prepare_wait(me);
      events.wait(me);
      ++awake;
    });
  }
  watching_sync::await_parked(5);
  CHECK(awake == 0);
  events.notify_all();
  for (auto& t : sleepers) t.join();
  CHECK(awake == 5);
  CHECK(events.waiters_approx() == 0);
}

TEST_CASE("who cancels leaves the line where it was") {
  event_count events;
  event_count::waiter line[4];
  for (int gone = 0; gone < 4; ++gone) {
    for (auto& w : line) events.prepare_wait(w);
    events.cancel_wait(line[gone]);
    CHECK(events.waiters_approx() == 3);
    for (int i = 0; i < 4; ++i) {
      if (i == gone) continue;
      events.notify_one();
      events.wait(line[i]);  // would hang if the wrong one had been woken
    }
    CHECK(events.waiters_approx() == 0);
  }
}

TEST_CASE("who was notified and cancels hands it on") {
  const watchdog guard("handing on");
  event_count events;
  event_count::waiter first;
  event_count::waiter second;
  events.prepare_wait(first);
  events.prepare_wait(second);
  events.notify_one();        // for the first
  events.cancel_wait(first);  // who does not need it
  events.wait(second);
  CHECK(events.waiters_approx() == 0);
  // Handed on to nobody: not kept for later.
  events.prepare_wait(first);
  events.notify_one();
  events.cancel_wait(first);
  manual_clock clock;
  events.prepare_wait(second);
  CHECK_FALSE(events.wait_until<manual_clock>(second, clock.now(), clock));
}

TEMPLATE_TEST_CASE("a deadline that has passed", "", std::chrono::steady_clock, std::chrono::system_clock) {
  using clock = TestType;
  using time_point = typename clock::time_point;
  event_count events;
  event_count::waiter me;
  for (const auto past :
       {time_point::min(), time_point(-1ns), time_point(), clock::now() - 1h, clock::now()}) {
    events.prepare_wait(me);
    CHECK_FALSE(events.wait_until<clock>(me, past, {}));
    CHECK(events.waiters_approx() == 0);
    // Notified before it looked: that counts, whatever the time.
    events.prepare_wait(me);
    events.notify_one();
    CHECK(events.wait_until<clock>(me, past, {}));
  }
}

TEMPLATE_TEST_CASE("a deadline that passes, and one that does not", "", std::chrono::steady_clock,
                   std::chrono::system_clock) {
  const watchdog guard("deadlines");
  using clock = TestType;
  watching_sync::reset();
  watched events;
  watched::waiter me;
  const auto deadline = clock::now() + 3ms;
  events.prepare_wait(me);
  CHECK_FALSE(events.wait_until<clock>(me, deadline, {}));
  CHECK(clock::now() >= deadline);

  for (const auto far : {clock::now() + 24h, clock::time_point::max() - 1ns, clock::time_point::max()}) {
    watching_sync::reset();
    bool woken = false;
    std::thread sleeper([&] {
      watched::waiter w;
      events.prepare_wait(w);
      woken = events.wait_until<clock>(w, far, {});
    });
    watching_sync::await_parked(1);
    events.notify_one();
    sleeper.join();
    CHECK(woken);
  }
}

TEST_CASE("a deadline on a manual clock") {
  const watchdog guard("a manual clock");
  manual_clock clock;
  event_count events;
  std::optional<bool> woken;
  const auto sleep_until = [&](manual_clock::time_point deadline) {
    return std::thread([&, deadline] {
      event_count::waiter me;
      events.prepare_wait(me);
      woken = events.wait_until<manual_clock>(me, deadline, clock);
    });
  };
  std::thread late = sleep_until(clock.now() + 5s);
  clock.await_waiters(1);
  clock.advance(5s);
  late.join();
  CHECK(woken == false);
  CHECK(events.waiters_approx() == 0);

  std::thread early = sleep_until(clock.now() + 5s);
  clock.await_waiters(1);
  clock.advance(4s);
  events.notify_one();
  early.join();
  CHECK(woken == true);
}

TEST_CASE("notification and deadline race: one of the two, and the line stays whole") {
  const watchdog guard("notify against expire");
  int notified = 0;
  int expired = 0;
  for (int round = 0; round < 3000; ++round) {
    manual_clock clock;
    event_count events;
    bool woken = false;
    std::thread sleeper([&] {
      event_count::waiter me;
      events.prepare_wait(me);
      woken = events.wait_until<manual_clock>(me, clock.now() + 1s, clock);
    });
    clock.await_waiters(1);
    std::thread ticking([&] { clock.advance(1s); });
    if (round % 2 == 0) std::this_thread::yield();
    events.notify_one();
    sleeper.join();
    ticking.join();
    REQUIRE(events.waiters_approx() == 0);
    ++(woken ? notified : expired);
  }
  INFO(notified << " notified, " << expired << " expired");
  CHECK(notified > 0);
  CHECK(expired > 0);
}

TEST_CASE("spurious returns from the kernel wake nobody") {
  const watchdog guard("spurious returns");
  watching_sync::reset();
  watched events;
  std::atomic<bool> awake{false};
  watching_sync::restless = 1;  // every park returns at once
  std::thread sleeper([&] {
    watched::waiter me;
    events.prepare_wait(me);
    events.wait(me);
    awake = true;
  });
  while (watching_sync::parks < 1000) std::this_thread::yield();
  CHECK_FALSE(awake);
  CHECK(events.waiters_approx() == 1);
  watching_sync::restless = 2;
  events.notify_one();
  sleeper.join();
  CHECK(awake);
}

TEST_CASE("no wake-up is lost: two threads take turns") {
  const watchdog guard("taking turns");
  event_count even;
  event_count odd;
  std::atomic<int> turn{0};
  constexpr int n = 20'000;
  const auto play = [&](int me, event_count& mine, event_count& other) {
    for (int i = me; i < n; i += 2) {
      await(mine, [&] { return turn.load() == i; });
      turn.fetch_add(1);
      other.notify_one();
    }
  };
  std::thread second([&] { play(1, odd, even); });
  play(0, even, odd);
  second.join();
  CHECK(turn == n);
}

TEST_CASE("what was written before the notification is visible to the woken") {
  const watchdog guard("visibility");
  for (int round = 0; round < 500; ++round) {
    watching_sync::reset();
    watched events;
    int data = 0;
    std::thread sleeper([&] {
      watched::waiter me;
      events.prepare_wait(me);
      events.wait(me);
      data += 1;  // a race, were it not for the notification
    });
    while (events.waiters_approx() == 0) std::this_thread::yield();
    data = 41;
    events.notify_one();
    sleeper.join();
    REQUIRE(data == 42);
  }
}

TEST_CASE("the woken thread may destroy the event count at once") {
  // The waker must be out of it by then. AddressSanitizer and ThreadSanitizer see it if it is not.
  const watchdog guard("destruction by the woken");
  constexpr int rounds = 3000;
  std::atomic<event_count*> shared{nullptr};
  std::atomic<int> destroyed{0};
  std::thread sleeper([&] {
    for (int round = 0; round < rounds; ++round) {
      auto events = std::make_unique<event_count>();
      event_count::waiter me;
      events->prepare_wait(me);
      shared = events.get();
      events->wait(me);
      events.reset();
      ++destroyed;
    }
  });
  for (int round = 0; round < rounds; ++round) {
    event_count* events = nullptr;
    while ((events = shared.exchange(nullptr)) == nullptr) std::this_thread::yield();
    if (round % 2 == 0) {
      events->notify_one();
    } else {
      events->notify_all();
    }
  }
  sleeper.join();
  CHECK(destroyed == rounds);
}

#if defined(__unix__) && !defined(NDEBUG) && !MILLRACE_TSAN

namespace {
/// Whether `f` ends the program by an assertion. It runs in a child, whose complaint is not shown.
template <class F>
bool aborts(F f) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGABRT, SIG_DFL);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(1);
    f();
    ::_exit(0);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
}  // namespace

TEST_CASE("destruction in the middle of a wait is asserted against") {
  CHECK_FALSE(aborts([] {
    event_count events;
    event_count::waiter me;
    events.prepare_wait(me);
    events.cancel_wait(me);
  }));
  CHECK(aborts([] {
    event_count events;
    {
      event_count::waiter me;
      events.prepare_wait(me);
    }
  }));
  CHECK(aborts([] {
    event_count::waiter me;
    {
      event_count events;
      events.prepare_wait(me);
    }
  }));
}

#endif

// ---- places of components

namespace {
/// Notes when it is called.
struct noting : millrace::event_count::place {
  noting(int n, std::vector<int>& calls)
      : place([](place& p) noexcept {
          auto& me = static_cast<noting&>(p);
          me.calls_.push_back(me.number_);
        }),
        number_(n),
        calls_(calls) {}

 private:
  int number_;
  std::vector<int>& calls_;
};
}  // namespace

TEST_CASE("places are called first come, first served, and once") {
  millrace::event_count events;
  std::vector<int> calls;
  noting one(1, calls);
  noting two(2, calls);
  noting three(3, calls);
  for (noting* p : {&one, &two, &three}) events.enter(*p);
  CHECK(events.waiters_approx() == 3);
  events.notify_one();
  CHECK(calls == std::vector{1});
  CHECK_FALSE(events.leave(one));
  CHECK(events.leave(two));
  CHECK_FALSE(events.leave(two));
  events.notify_one();
  events.notify_one();
  CHECK(calls == std::vector{1, 3});
  CHECK(events.waiters_approx() == 0);
}

TEST_CASE("who watches is called first, and takes the turn of nobody") {
  millrace::event_count events;
  std::vector<int> calls;
  noting waiting(1, calls);
  noting also(2, calls);
  noting watching(9, calls);
  events.enter(waiting);
  events.enter(also);
  events.watch(watching);
  events.notify_one();
  CHECK(calls == std::vector{9, 1});
  events.notify_one();
  CHECK(calls == std::vector{9, 1, 2});
  events.watch(watching);
  events.notify_one();
  CHECK(calls == std::vector{9, 1, 2, 9});
}

TEST_CASE("notify_each: who has not been called yet can still leave") {
  struct leaver : millrace::event_count::place {
    leaver(millrace::event_count& e, noting& o)
        : place([](place& p) noexcept {
            auto& me = static_cast<leaver&>(p);
            me.left = me.events.leave(me.other);
          }),
          events(e),
          other(o) {}
    millrace::event_count& events;
    noting& other;
    bool left = false;
  };
  millrace::event_count events;
  std::vector<int> calls;
  noting first(1, calls);
  noting second(2, calls);
  noting last(3, calls);
  leaver leaving(events, second);
  events.enter(first);
  events.enter(leaving);
  events.enter(second);
  events.enter(last);
  events.notify_each();
  CHECK(leaving.left);
  CHECK(calls == std::vector{1, 3});
  CHECK(events.waiters_approx() == 0);
}
