// Every verb of delay_queue: by hand on a manual clock, and with threads.
#include "millrace/time/delay_queue.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/function.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel_access.hpp"
#include "millrace/queue/select.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/locked_queue.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

#if MILLRACE_HAS_EVENT_FD
#include <poll.h>
#endif

namespace {

using namespace std::chrono_literals;
using millrace::delay_queue;
using millrace::manual_clock;
using millrace::outcome;
using millrace::pending_timers;
using support::watchdog;

using ints = std::vector<int>;

template <class T>
struct world {
  using queue = delay_queue<T, manual_clock>;
  manual_clock clock{manual_clock::time_point(1h)};
  queue q{clock};

  void after(manual_clock::duration d) {
    clock.advance(d);
    static_cast<void>(q.poll(clock.now()));
  }
  std::vector<T> all() {
    std::vector<T> out;
    while (auto v = q.try_pop()) out.push_back(std::move(*v));
    return out;
  }
};

/// A queue that runs out of memory when the test says so.
class flaky_queue : public support::locked_queue<std::unique_ptr<int>, false> {
  using reliable = support::locked_queue<std::unique_ptr<int>, false>;

 public:
  static inline std::atomic<bool> fails{false};
  static inline std::atomic<int> failures{0};
  static inline millrace::function<void()> meanwhile;  // before it fails

 private:
  friend millrace::channel_access;
  outcome offer(value_type&& v) {
    if (fails) {
      ++failures;
      if (meanwhile) std::exchange(meanwhile, nullptr)();
      throw std::bad_alloc();
    }
    return millrace::channel_access::offer(static_cast<reliable&>(*this), std::move(v));
  }
};

}  // namespace

// ---- by hand

TEST_CASE("values arrive in order of their time, and none before it") {
  world<int> w;
  CHECK(w.q.push_after(3ms, 3));
  CHECK(w.q.push_at(w.clock.now() + 1ms + 300us, 2));
  CHECK(w.q.push_after(1ms + 200us, 1));
  CHECK(w.q.push_after(1ms + 200us, 11));
  CHECK(w.q.waiting_approx() == 4);
  w.after(1ms + 999us);
  CHECK(w.q.try_pop() == std::nullopt);
  CHECK(w.q.empty_approx());
  w.after(1us);
  CHECK(w.q.size_approx() == 3);
  CHECK(w.q.waiting_approx() == 1);
  CHECK(w.all() == ints{1, 11, 2});
  w.after(1ms);
  CHECK(w.all() == ints{3});
  CHECK(w.q.waiting_approx() == 0);
}

TEST_CASE("what is due already arrives with the next tick; what never is does not") {
  world<int> w;
  CHECK(w.q.push_after(-1h, 1));
  CHECK(w.q.push_at(manual_clock::time_point::min(), 0));
  CHECK(w.q.push_at(manual_clock::time_point::max(), 2));
  w.after(1ms);
  CHECK(w.all() == ints{0, 1});
  w.after(24h * 365 * 100);
  CHECK(w.all().empty());
  CHECK(w.q.waiting_approx() == 1);
}

TEST_CASE("poll says when to come next") {
  world<int> w;
  CHECK(w.q.poll(w.clock.now()) == std::nullopt);
  CHECK(w.q.push_after(7ms, 1));
  CHECK(w.q.poll(w.clock.now()) == w.clock.now() + 7ms);
  CHECK_THROWS_WITH(w.q.poll(w.clock.now(), 0), "delay_queue::poll: steps must be 1 or more");
}

TEST_CASE("who pushes something earlier than the last poll has said tells the loop") {
  manual_clock clock;
  int told = 0;
  delay_queue<int, manual_clock> q(clock, [&] { ++told; });
  CHECK(q.push_after(10ms, 1));
  CHECK(told == 0);
  CHECK(q.poll(clock.now()) == clock.now() + 10ms);
  CHECK(q.push_after(11ms, 2));
  CHECK(told == 0);
  CHECK(q.push_after(9ms, 3));
  CHECK(told == 1);
}

TEST_CASE("cancel gives the value back, while it waits") {
  world<std::unique_ptr<int>> w;
  const auto a = w.q.push_after(1ms, std::make_unique<int>(1));
  const auto b = w.q.push_after(1ms, std::make_unique<int>(2));
  CHECK(a != b);
  CHECK(**w.q.cancel(a) == 1);  // before it was heard of
  CHECK_FALSE(w.q.cancel(a));
  static_cast<void>(w.q.poll(w.clock.now()));
  CHECK(**w.q.cancel(b) == 2);  // in the wheel
  const auto c = w.q.push_after(1ms, std::make_unique<int>(3));
  CHECK_FALSE(w.q.cancel(b));
  CHECK_FALSE(w.q.reschedule(b, w.clock.now()));
  w.after(1ms);
  CHECK_FALSE(w.q.cancel(c));  // it has arrived
  CHECK_FALSE(w.q.cancel({}));
  const auto arrived = w.all();
  REQUIRE(arrived.size() == 1);
  CHECK(*arrived[0] == 3);
  CHECK(w.q.waiting_approx() == 0);
}

TEST_CASE("reschedule: earlier, later, and no more once it has arrived") {
  world<int> w;
  const auto a = w.q.push_after(10ms, 1);
  const auto b = w.q.push_after(2ms, 2);
  CHECK(w.q.reschedule(a, w.clock.now() + 1ms));
  CHECK(w.q.reschedule(b, w.clock.now() + 3ms));
  w.after(1ms);
  CHECK(w.all() == ints{1});
  w.after(1ms);
  CHECK(w.all().empty());
  CHECK(w.q.reschedule(b, w.clock.now() + 2ms));
  w.after(1ms);
  CHECK(w.all().empty());
  w.after(1ms);
  CHECK(w.all() == ints{2});
  CHECK_FALSE(w.q.reschedule(a, w.clock.now()));
  CHECK_FALSE(w.q.reschedule(b, w.clock.now()));
}

TEST_CASE("close: pushes are refused, what waits arrives in its time, and then the stream ends") {
  world<std::unique_ptr<int>> w;
  const auto a = w.q.push_after(5ms, std::make_unique<int>(1));
  CHECK(w.q.push_after(3ms, std::make_unique<int>(2)));
  w.q.close();
  w.q.close();
  CHECK(w.q.is_closed());
  auto refused = std::make_unique<int>(3);
  CHECK_FALSE(w.q.push_after(1ms, std::move(refused)));
  REQUIRE(refused);
  CHECK(*refused == 3);

  std::unique_ptr<int> out;
  CHECK(w.q.try_pop(out) == outcome::empty);
  w.after(3ms);
  CHECK(w.q.try_pop(out) == outcome::ok);
  CHECK(*out == 2);
  CHECK(w.q.try_pop(out) == outcome::empty);

  SECTION("with the last that arrives") {
    w.after(2ms);
    CHECK(w.q.try_pop(out) == outcome::ok);
    CHECK(*out == 1);
  }
  SECTION("with the last that is cancelled") { CHECK(w.q.cancel(a)); }
  CHECK(w.q.try_pop(out) == outcome::closed);
  CHECK(w.q.pop(out) == outcome::closed);
  CHECK(w.q.pop() == std::nullopt);
  CHECK(w.q.dropped() == 0);
}

TEST_CASE("close with nothing that waits ends the stream at once, after what is there") {
  world<int> w;
  CHECK(w.q.push_after(1ms, 1));
  w.after(1ms);
  w.q.close();
  CHECK(w.q.pop() == 1);
  CHECK(w.q.pop() == std::nullopt);
}

TEST_CASE("stop: what waits arrives now, in order, or is dropped and counted") {
  for (const auto what : {pending_timers::drop, pending_timers::fire}) {
    world<std::shared_ptr<int>> w;
    const auto one = std::make_shared<int>(1);
    const auto two = std::make_shared<int>(2);
    CHECK(w.q.push_after(2h, two));
    CHECK(w.q.push_after(1h, one));
    CHECK(one.use_count() == 2);
    w.q.stop(what);
    w.q.stop();  // what the first one has said holds
    CHECK(w.q.is_closed());
    CHECK_FALSE(w.q.push_after(1ms, one));
    if (what == pending_timers::fire) {
      CHECK(w.q.dropped() == 0);
      CHECK(w.q.pop() == one);
      CHECK(w.q.pop() == two);
    } else {
      CHECK(w.q.dropped() == 2);
    }
    CHECK(w.q.pop() == std::nullopt);
    CHECK(one.use_count() == 1);
  }
}

TEST_CASE("destroyed with values that wait and values that have arrived") {
  const auto held = std::make_shared<int>(0);
  {
    world<std::shared_ptr<int>> w;
    for (int i = 0; i < 10; ++i) CHECK(w.q.push_after(i * 1ms, held));
    w.after(5ms);
    CHECK(w.q.push_after(1h, held));  // not heard of
    CHECK(held.use_count() == 12);
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("whatever becomes of a value, it is destroyed, and once") {
  static int living;
  struct alive {
    alive() noexcept { ++living; }
    alive(alive&&) noexcept { ++living; }
    alive(const alive&) noexcept { ++living; }
    alive& operator=(alive&&) noexcept = default;
    ~alive() { --living; }
  };
  living = 0;
  {
    world<alive> w;
    for (int i = 0; i < 10; ++i) {
      const auto h = w.q.push_after(i * 1ms, alive());
      if (i % 3 == 0) CHECK(w.q.cancel(h));
      if (i % 3 == 1) CHECK(w.q.reschedule(h, w.clock.now() + 20ms));
    }
    CHECK(living == 6);
    const auto heard_of = w.q.push_after(3ms, alive());
    w.after(2ms);
    CHECK(w.q.cancel(heard_of));
    CHECK(w.all().size() == 1);
    CHECK(living == 5);
    w.after(10ms);
    CHECK(living == 5);
  }
  CHECK(living == 0);
}

TEST_CASE("without memory a value that is due stays, and is not lost") {
  using queue = delay_queue<std::unique_ptr<int>, manual_clock, std::chrono::milliseconds, flaky_queue>;
  manual_clock clock;
  queue q(clock);
  const auto a = q.push_after(1ms, std::make_unique<int>(1));
  const auto b = q.push_after(1ms, std::make_unique<int>(2));
  flaky_queue::fails = true;
  flaky_queue::failures = 0;
  clock.advance(1ms);
  CHECK(q.poll(clock.now()) == clock.now() + 1ms);
  CHECK(flaky_queue::failures == 2);
  CHECK(q.waiting_approx() == 2);

  SECTION("it arrives when there is memory again") {
    clock.advance(1ms);
    CHECK(q.poll(clock.now()) == clock.now() + 1ms);
    CHECK(flaky_queue::failures == 4);
    flaky_queue::fails = false;
    clock.advance(1ms);
    CHECK(q.poll(clock.now()) == std::nullopt);
    CHECK(*q.pop().value() == 1);
    CHECK(*q.pop().value() == 2);
  }
  SECTION("it can still be cancelled and moved") {
    CHECK(**q.cancel(a) == 1);
    CHECK(q.reschedule(b, clock.now() + 5ms));
    flaky_queue::fails = false;
    clock.advance(4ms);
    static_cast<void>(q.poll(clock.now()));
    CHECK(q.try_pop() == std::nullopt);
    clock.advance(1ms);
    static_cast<void>(q.poll(clock.now()));
    CHECK(*q.pop().value() == 2);
  }
  SECTION("a cancel that comes while it is tried comes too late, and then it arrives") {
    std::optional<std::unique_ptr<int>> back;
    flaky_queue::meanwhile = [&] { back = q.cancel(a); };
    clock.advance(1ms);
    static_cast<void>(q.poll(clock.now()));
    CHECK_FALSE(back);
    flaky_queue::fails = false;
    clock.advance(1ms);
    static_cast<void>(q.poll(clock.now()));
    CHECK(*q.pop().value() == 1);
    CHECK(*q.pop().value() == 2);
  }
  SECTION("at the end it is dropped, and counted") {
    q.stop(pending_timers::fire);
    CHECK(q.dropped() == 2);
    CHECK(q.pop() == std::nullopt);
  }
  flaky_queue::fails = false;
}

TEST_CASE("a clock that can be set: deadlines are its times") {
  world<int> w;
  CHECK(w.q.push_after(2h, 1));
  CHECK(w.q.push_after(1h, 2));
  w.after(1min);
  w.clock.set(w.clock.now() - 1h);
  w.after(0ms);
  CHECK(w.q.push_after(5ms, 3));
  w.after(4ms);
  CHECK(w.all().empty());
  w.after(1ms);
  CHECK(w.all() == ints{3});
  w.after(24h);
  CHECK(w.all() == ints{2, 1});
}

TEST_CASE("values of any alignment and size") {
  struct alignas(64) wide {
    std::array<std::uint64_t, 24> words{};
  };
  world<wide> w;
  for (std::uint64_t i = 0; i < 200; ++i) {
    wide v;
    v.words.fill(i);
    CHECK(w.q.push_after(1ms, v));
  }
  w.after(1ms);
  const auto all = w.all();
  REQUIRE(all.size() == 200);
  for (std::uint64_t i = 0; i < 200; ++i) {
    CHECK(all[i].words.front() == i);
    CHECK(all[i].words.back() == i);
  }
}

// ---- the verbs of a channel

TEST_CASE("a wait has a limit, by the queue's own clock") {
  const watchdog guard("a limit");
  world<int> w;
  CHECK(w.q.push_after(1h, 1));
  int out = 0;
  CHECK(w.q.pop_for(out, 0ms) == outcome::timeout);
  outcome result = outcome::ok;
  std::thread t([&] { result = w.q.pop_for(out, 30min); });
  w.clock.await_waiters(1);
  w.clock.advance(30min);
  t.join();
  CHECK(result == outcome::timeout);
}

TEST_CASE("a select waits for it, a coroutine, and an event loop") {
  const watchdog guard("other ways to wait");
  world<int> w;
  CHECK(w.q.push_after(1ms, 1));
  CHECK(w.q.push_after(2ms, 2));
  CHECK(w.q.push_after(3ms, 3));

  const auto look = [&] {
    return millrace::select(millrace::on_pop(w.q, [](std::optional<int> v) { return v.value(); }),
                            millrace::otherwise([] { return 0; }));
  };
  CHECK(look() == 0);
  w.after(1ms);
  CHECK(look() == 1);

  int got = 0;
  const auto receive = [&]() -> support::coroutine {
    const std::optional<int> v = co_await w.q.async_pop();
    got = v.value_or(-1);
  };
  const auto waiting = receive();
  CHECK_FALSE(waiting.done());
  w.after(1ms);
  CHECK(waiting.done());
  CHECK(got == 2);

#if MILLRACE_HAS_EVENT_FD
  pollfd p{w.q.ready_fd(), POLLIN, 0};
  CHECK(w.q.try_pop() == std::nullopt);
  CHECK(::poll(&p, 1, 0) == 0);
  w.after(1ms);
  CHECK(::poll(&p, 1, 0) == 1);
#endif
  CHECK(w.all() == ints{3});

  const auto last = receive();
  w.q.close();
  CHECK(last.done());
  CHECK(got == -1);
}

TEST_CASE("a coroutine that is destroyed with the value that it was to get: that is counted") {
  world<int> w;
  support::manual_executor loop;
  const auto receive = [&]() -> support::coroutine {
    static_cast<void>(co_await w.q.async_pop(loop.poster()));
  };
  auto waiting = receive();
  CHECK(w.q.push_after(1ms, 1));
  w.after(1ms);
  CHECK(loop.forget(waiting.handle()));
  waiting.destroy();
  CHECK(w.q.dropped() == 1);
  CHECK(w.q.try_pop() == std::nullopt);
}

// ---- threads

TEST_CASE("a second one that moves what is due is refused") {
  delay_queue<int> q;
  q.start();
  CHECK_THROWS_AS(q.start(), std::logic_error);
  CHECK_THROWS_AS(q.poll(std::chrono::steady_clock::now()), std::logic_error);
}

TEMPLATE_TEST_CASE("a thread of its own, and consumers that sleep", "", std::chrono::steady_clock,
                   std::chrono::system_clock) {
  const watchdog guard("a thread of its own");
  delay_queue<int, TestType> q;
  q.start();
  const auto begin = TestType::now();
  CHECK(q.push_at(begin + 20ms, 3));
  CHECK(q.push_at(begin + 10ms, 2));
  CHECK(q.push_at(begin - 1h, 1));
  q.close();
  ints got;
  for (const int v : q) {
    got.push_back(v);
    if (v > 1) CHECK(TestType::now() >= begin + (v - 1) * 10ms);
  }
  CHECK(got == ints{1, 2, 3});
}

TEST_CASE("the last one is cancelled while a consumer sleeps: that one hears of the end") {
  const watchdog guard("the end");
  delay_queue<int> q;
  q.start();
  const auto h = q.push_after(1h, 1);
  q.close();
  std::optional<int> got = 0;
  std::thread consumer([&] { got = q.pop(); });
  CHECK(q.cancel(h) == 1);
  consumer.join();
  CHECK(got == std::nullopt);
}

TEST_CASE("four producers, who also cancel and move, and four consumers: each value once, none early") {
  const watchdog guard("many threads");
  using clock = std::chrono::steady_clock;
  struct message {
    std::size_t number;
    clock::time_point due;
  };
  constexpr std::size_t each = SUPPORT_SANITIZED ? 5'000 : 50'000;
  constexpr std::size_t producers = 4;
  std::vector<std::atomic<int>> seen(producers * each);
  std::atomic<std::size_t> early{0};
  delay_queue<message> q;
  q.start();
  std::vector<std::thread> threads;
  std::vector<std::thread> consumers;
  for (int c = 0; c < 4; ++c) {
    consumers.emplace_back([&] {
      while (const auto m = q.pop()) {
        if (clock::now() < m->due) ++early;
        ++seen[m->number];
      }
    });
  }
  for (std::size_t p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      std::minstd_rand random(static_cast<unsigned>(p + 1));
      delay_queue<message>::handle last;
      for (std::size_t i = p * each; i < (p + 1) * each; ++i) {
        const auto due = clock::now() + std::chrono::microseconds(random() % 20'000);
        const auto h = q.push_at(due, message{i, due});
        if (random() % 3 == 0) {
          if (const auto back = q.cancel(last)) seen[back->number] += 100;
        } else if (random() % 3 == 0) {
          static_cast<void>(q.reschedule(last, clock::now() + 25ms));  // later than it says: never early
        }
        last = h;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  q.close();
  for (std::thread& t : consumers) t.join();
  std::size_t arrived = 0;
  std::size_t cancelled = 0;
  for (const auto& s : seen) {
    arrived += s == 1;
    cancelled += s == 100;
  }
  CHECK(arrived + cancelled == producers * each);
  CHECK(arrived > 0);
  CHECK(cancelled > 0);
  CHECK(early == 0);
  CHECK(q.dropped() == 0);
  CHECK(q.waiting_approx() == 0);
}
