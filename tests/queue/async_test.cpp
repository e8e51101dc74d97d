// Coroutines at a channel: answered at once, resumed by whoever makes it possible, cancelled, and destroyed while they
// are suspended; one by one, in crowds, and in races. Loops are run by the test, and sleepers are met at the seam.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <semaphore>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/mpsc_queue.hpp"
#include "millrace/queue/select.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"
#include "support/watching_sync.hpp"

namespace {

using millrace::channel;
using millrace::inline_executor;
using millrace::mpmc_queue;
using millrace::mpsc_queue;
using millrace::outcome;
using millrace::overflow;
using millrace::spsc_queue;
using millrace::unbounded_queue;
using support::coroutine;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::manual_executor;
using support::number;
using support::numbers;
using support::watchdog;
using support::watched;
using support::watching_sync;

using pointer = std::unique_ptr<int>;

constexpr int crowd = watched ? 10000 : 100000;

/// A channel over Queue with room for `places`, or without a limit.
template <class Queue>
struct channel_over : channel<typename Queue::value_type, Queue> {
  explicit channel_over(std::size_t places)
    requires Queue::is_bounded
      : channel<typename Queue::value_type, Queue>(places) {}
  explicit channel_over(std::size_t)
    requires(!Queue::is_bounded)
  {}
};

#define ALL_QUEUES                                                                                           \
  mpmc_queue<int>, mpmc_queue<std::string>, spsc_queue<int>, spsc_queue<pointer>, unbounded_queue<int>,      \
      unbounded_queue<pointer>, mpsc_queue<int>, mpsc_queue<std::string>

/// For what must not suspend: its tests fail if it is asked to resume somebody.
struct never {
  void operator()(std::coroutine_handle<> h) const {
    FAIL_CHECK("it has been suspended");
    h.resume();
  }
};

template <class Channel>
coroutine pop_one(Channel& ch, ints& out) {
  if (auto v = co_await ch.async_pop()) {
    out.push_back(number(*v));
  } else {
    out.push_back(-1);
  }
}
template <class Channel, class Executor>
coroutine pop_one(Channel& ch, ints& out, Executor executor, std::stop_token stop = {}) {
  if (auto v = co_await ch.async_pop(std::move(executor), std::move(stop))) {
    out.push_back(number(*v));
  } else {
    out.push_back(-1);
  }
}
template <class Channel>
coroutine pop_all(Channel& ch, ints& out) {
  while (auto v = co_await ch.async_pop()) out.push_back(number(*v));
}
template <class Channel, class T, class Executor = inline_executor>
coroutine pop_into(Channel& ch, T& out, outcome& answer, Executor executor = {}, std::stop_token stop = {}) {
  answer = co_await ch.async_pop(out, std::move(executor), std::move(stop));
}
template <class Channel, class T, class Executor = inline_executor>
coroutine push_one(Channel& ch, T& value, outcome& answer, Executor executor = {},
                   std::stop_token stop = {}) {
  answer = co_await ch.async_push(std::move(value), std::move(executor), std::move(stop));
}
template <class Channel, class T>
coroutine push_copy(Channel& ch, const T& value, outcome& answer) {
  answer = co_await ch.async_push(value);
}
template <class Channel>
coroutine push_numbers(Channel& ch, int from, int n) {
  for (int i = from; i < from + n; ++i) {
    auto value = make<typename Channel::value_type>(i);
    const outcome o = co_await ch.async_push(std::move(value));
    if (o != outcome::ok) co_return;
  }
}

constexpr outcome unanswered = outcome::timeout;  // no coroutine is answered so

}  // namespace

// ---- what is ready is done at once

TEMPLATE_TEST_CASE("ready at once: nobody is suspended", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  channel_over<TestType> ch(2);
  ints got;
  outcome answer = unanswered;
  T value = make<T>(1);
  T out = make<T>(0);
  CHECK(push_one(ch, value, answer, never()).done());
  CHECK(answer == outcome::ok);
  value = make<T>(2);
  CHECK(push_one(ch, value, answer, never()).done());
  CHECK(pop_one(ch, got, never()).done());
  CHECK(pop_into(ch, out, answer, never()).done());
  CHECK(answer == outcome::ok);
  CHECK(got == ints{1});
  CHECK(number(out) == 2);

  REQUIRE(ch.push(make<T>(3)) == outcome::ok);
  ch.close();
  value = make<T>(4);
  CHECK(push_one(ch, value, answer, never()).done());
  CHECK(answer == outcome::closed);
  CHECK(number(value) == 4);
  CHECK(pop_into(ch, out, answer, never()).done());
  CHECK(answer == outcome::ok);
  CHECK(number(out) == 3);
  CHECK(pop_into(ch, out, answer, never()).done());
  CHECK(answer == outcome::closed);
  CHECK(number(out) == 3);
  CHECK(pop_one(ch, got, never()).done());
  CHECK(got == ints{1, -1});
}

TEST_CASE("a policy that does not wait answers a coroutine at once") {
  const overflow policy = GENERATE(overflow::fail, overflow::drop_newest, overflow::drop_oldest);
  ints dropped;
  channel<pointer> ch(2, policy, [&dropped](pointer&& v) { dropped.push_back(number(v)); });
  for (int i = 1; i <= 2; ++i) REQUIRE(ch.push(make<pointer>(i)) == outcome::ok);
  outcome answer = unanswered;
  pointer value = make<pointer>(3);
  CHECK(push_one(ch, value, answer, never()).done());
  CHECK(answer == (policy == overflow::fail ? outcome::full : outcome::ok));
  CHECK(number(value) == (policy == overflow::fail ? 3 : -1));
  CHECK(dropped == (policy == overflow::fail ? ints{} : policy == overflow::drop_newest ? ints{3} : ints{1}));
  CHECK(drain(ch) == (policy == overflow::drop_oldest ? ints{2, 3} : ints{1, 2}));
}

// ---- suspended and resumed

TEMPLATE_TEST_CASE("suspended in a pop: a push or close resumes it", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  channel_over<TestType> ch(2);
  ints got;
  const coroutine all = pop_all(ch, got);
  CHECK(got.empty());
  for (int i = 1; i <= 10; ++i) {
    REQUIRE(ch.push(make<T>(i)) == outcome::ok);
    CHECK(got == numbers(1, i));
    CHECK_FALSE(all.done());
  }
  ch.close();
  CHECK(all.done());
  CHECK(got.size() == 10);
}

TEMPLATE_TEST_CASE("suspended in a push: a pop or close resumes it", "", mpmc_queue<int>,
                   mpmc_queue<std::string>, spsc_queue<int>, spsc_queue<pointer>) {
  using T = typename TestType::value_type;
  channel_over<TestType> ch(2);
  const coroutine pushing = push_numbers(ch, 1, 5);
  CHECK_FALSE(pushing.done());
  CHECK(ch.size_approx() == 2);
  CHECK(number(*ch.try_pop()) == 1);
  CHECK(ch.size_approx() == 2);
  CHECK(number(*ch.try_pop()) == 2);
  CHECK_FALSE(pushing.done());
  CHECK(number(*ch.try_pop()) == 3);
  CHECK(pushing.done());
  T value = make<T>(6);
  outcome answer = unanswered;
  const coroutine refused = push_one(ch, value, answer);
  CHECK_FALSE(refused.done());
  ch.close();
  CHECK(refused.done());
  CHECK(answer == outcome::closed);
  CHECK(number(value) == 6);
  CHECK(drain(ch) == ints{4, 5});
}

TEST_CASE("out is untouched unless the answer is ok, and so is what was to be pushed") {
  channel<pointer> ch(2);
  std::stop_source stop;
  pointer out = make<pointer>(77);
  outcome answer = unanswered;
  SECTION("a pop that is cancelled") {
    const coroutine c = pop_into(ch, out, answer, inline_executor(), stop.get_token());
    stop.request_stop();
    CHECK(c.done());
    CHECK(answer == outcome::cancelled);
    CHECK(number(out) == 77);
  }
  SECTION("a pop that finds the end") {
    const coroutine c = pop_into(ch, out, answer);
    ch.close();
    CHECK(c.done());
    CHECK(answer == outcome::closed);
    CHECK(number(out) == 77);
  }
  SECTION("a pop that gets something") {
    const coroutine c = pop_into(ch, out, answer);
    CHECK(ch.push(make<pointer>(1)) == outcome::ok);
    CHECK(c.done());
    CHECK(answer == outcome::ok);
    CHECK(number(out) == 1);
  }
  SECTION("pushes into a full channel") {
    for (int i = 1; i <= 2; ++i) REQUIRE(ch.push(make<pointer>(i)) == outcome::ok);
    pointer value = make<pointer>(3);
    const coroutine c = push_one(ch, value, answer, inline_executor(), stop.get_token());
    CHECK(number(value) == 3);
    SECTION("cancelled") {
      stop.request_stop();
      CHECK(answer == outcome::cancelled);
      CHECK(number(value) == 3);
    }
    SECTION("closed") {
      ch.close();
      CHECK(answer == outcome::closed);
      CHECK(number(value) == 3);
    }
    SECTION("done") {
      CHECK(number(*ch.try_pop()) == 1);
      CHECK(answer == outcome::ok);
      CHECK(value == nullptr);
      CHECK(drain(ch) == ints{2, 3});
    }
    CHECK(c.done());
  }
}

TEST_CASE("a constant is copied, at once or later") {
  channel<std::string> ch(2);
  const std::string value = make<std::string>(1);
  outcome answers[3] = {unanswered, unanswered, unanswered};
  const coroutine pushes[3] = {push_copy(ch, value, answers[0]), push_copy(ch, value, answers[1]),
                               push_copy(ch, value, answers[2])};
  CHECK(answers[1] == outcome::ok);
  CHECK_FALSE(pushes[2].done());
  CHECK(drain(ch) == ints{1, 1, 1});
  CHECK(pushes[2].done());
  CHECK(answers[2] == outcome::ok);
  CHECK(number(value) == 1);
}

TEST_CASE("resumed by another thread, in that thread") {
  const watchdog guard("resumed by another thread");
  const auto where = [](auto& ch, std::thread::id& id) -> coroutine {
    while (auto v = co_await ch.async_pop()) id = std::this_thread::get_id();
  };
  channel<int> ch(2);
  std::thread::id id;
  const coroutine c = where(ch, id);
  std::thread::id other;
  std::thread([&] {
    other = std::this_thread::get_id();
    static_cast<void>(ch.push(1));
  }).join();
  CHECK(id == other);
  CHECK(ch.push(2) == outcome::ok);
  CHECK(id == std::this_thread::get_id());
  std::thread([&] { ch.close(); }).join();
  CHECK(c.done());
}

TEMPLATE_TEST_CASE("a coroutine takes what a thread pushes, and gives what a thread pops", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  const watchdog guard("a coroutine between two threads");
  constexpr int n = watched ? 5000 : 50000;
  channel_over<TestType> in(16);
  channel_over<TestType> out(16);
  const auto forward = [](auto& from, auto& to) -> coroutine {
    while (auto v = co_await from.async_pop()) {
      const outcome o = co_await to.async_push(std::move(*v));
      if (o != outcome::ok) break;
    }
    to.close();
  };
  const coroutine c = forward(in, out);
  std::thread producer([&] {
    for (int i = 1; i <= n; ++i) static_cast<void>(in.push(make<T>(i)));
    in.close();
  });
  int expected = 0;
  int wrong = 0;
  while (auto v = out.pop()) wrong += number(*v) != ++expected;
  producer.join();
  CHECK(c.done());
  CHECK(expected == n);
  CHECK(wrong == 0);
}

// ---- the line

TEST_CASE("a crowd is served first come, first served") {
  channel<int> ch(2);
  ints got;
  got.reserve(crowd);
  std::vector<coroutine> all;
  all.reserve(crowd);
  for (int i = 0; i < crowd; ++i) {
    all.push_back([](channel<int>& from, ints& out, int me) -> coroutine {
      const auto v = co_await from.async_pop();
      out.push_back(v == me ? me : -1);
    }(ch, got, i));
  }
  SECTION("by pushes") {
    for (int i = 0; i < crowd; ++i) REQUIRE(ch.push(i) == outcome::ok);
    CHECK(got == numbers(0, crowd));
  }
  SECTION("by close") {
    ch.close();
    CHECK(got == ints(crowd, -1));
  }
  SECTION("some by pushes, the others by close") {
    for (int i = 0; i < crowd / 2; ++i) REQUIRE(ch.push(i) == outcome::ok);
    ch.close();
    ints expected = numbers(0, crowd / 2);
    expected.resize(crowd, -1);
    CHECK(got == expected);
  }
  CHECK(std::all_of(all.begin(), all.end(), [](const coroutine& c) { return c.done(); }));
  CHECK(ch.size_approx() == 0);
}

TEST_CASE("a crowd of pushes is served first come, first served") {
  channel<int> ch(2);
  std::vector<coroutine> all;
  for (int i = 0; i < crowd; ++i) all.push_back(push_numbers(ch, i, 1));
  CHECK(drain(ch) == numbers(0, crowd));
  CHECK(std::all_of(all.begin(), all.end(), [](const coroutine& c) { return c.done(); }));
}

TEST_CASE("a crowd is destroyed while it is suspended, and leaves nothing behind") {
  channel<int> ch(2);
  ints got;
  std::vector<coroutine> all;
  for (int i = 0; i < crowd; ++i) all.push_back(pop_one(ch, got));
  const bool in_order = GENERATE(true, false);
  if (!in_order) std::shuffle(all.begin(), all.end(), std::mt19937(1));
  all.clear();
  for (int i = 0; i < 2; ++i) CHECK(ch.push(i) == outcome::ok);
  CHECK(got.empty());
  CHECK(ch.dropped() == 0);

  for (int i = 2; i < crowd; ++i) all.push_back(push_numbers(ch, i, 1));
  all.clear();
  CHECK(drain(ch) == ints{0, 1});
  const coroutine next = pop_one(ch, got);
  CHECK(ch.push(7) == outcome::ok);
  CHECK(got == ints{7});
}

TEST_CASE("threads, coroutines and select in one line") {
  const watchdog guard("a mixed line");
  watching_sync::reset();
  channel<int, mpmc_queue<int, millrace::use_sync<watching_sync>>> ch(2);
  std::binary_semaphore served(0);
  ints order;
  const auto take = [&](std::optional<int> v) {
    order.push_back(v.value_or(-1));
    served.release();
  };
  const auto with_coroutine = [](auto& from, auto& report) -> coroutine {
    report(co_await from.async_pop());
  };
  std::thread first([&] { take(ch.pop()); });
  watching_sync::await_parked(1);
  const coroutine second = with_coroutine(ch, take);
  std::thread third([&] { millrace::select(millrace::on_pop(ch, take)); });
  watching_sync::await_parked(2);
  const coroutine fourth = with_coroutine(ch, take);
  std::thread fifth([&] { take(ch.pop()); });
  watching_sync::await_parked(3);
  const coroutine sixth = with_coroutine(ch, take);

  // One at a time: who is awake may be faster than a thread that has been called.
  for (int i = 1; i <= 6; ++i) {
    CHECK(second.done() == (i > 2));
    CHECK(fourth.done() == (i > 4));
    CHECK_FALSE(sixth.done());
    REQUIRE(ch.push(i) == outcome::ok);
    served.acquire();
  }
  CHECK(sixth.done());
  for (auto* t : {&first, &third, &fifth}) t->join();
  CHECK(order == numbers(1, 6));
}

// ---- executors

TEST_CASE("a loop resumes in its own thread") {
  const watchdog guard("a loop");
  manual_executor loop;
  std::thread::id ran_by;
  std::thread runner([&] {
    ran_by = std::this_thread::get_id();
    loop.run_until_stopped();
  });
  constexpr int n = watched ? 2000 : 20000;
  channel<int> ch(4);
  channel<int> back(4);
  int elsewhere = 0;
  ints got;
  const auto echo = [](channel<int>& from, channel<int>& to, manual_executor& on, std::thread::id& mine,
                       int& wrong) -> coroutine {
    for (bool suspended = false;; suspended = true) {
      const auto v = co_await from.async_pop(on.poster());
      // what is ready is taken where the coroutine runs, and that is the loop's thread from its first suspension on
      if (suspended) wrong += std::this_thread::get_id() != mine;
      if (!v) break;
      const outcome o = co_await to.async_push(*v, on.poster());
      if (o != outcome::ok) break;
    }
    to.close();
  };
  const coroutine c = echo(ch, back, loop, ran_by, elsewhere);
  std::thread producer([&] {
    for (int i = 0; i < n; ++i) static_cast<void>(ch.push(i));
    ch.close();
  });
  for (const int v : back) got.push_back(v);
  producer.join();
  loop.stop();
  runner.join();
  CHECK(c.done());
  CHECK(got == numbers(0, n));
  CHECK(elsewhere == 0);
}

TEST_CASE("a manual loop: the value is taken before, the coroutine resumed when the loop runs") {
  manual_executor loop;
  channel<int> ch(2);
  ints got;
  const coroutine a = pop_one(ch, got, loop.poster());
  const coroutine b = pop_one(ch, got, loop.poster());
  CHECK(ch.push(1) == outcome::ok);
  CHECK(ch.push(2) == outcome::ok);
  CHECK(ch.size_approx() == 0);
  CHECK(got.empty());
  CHECK(loop.size() == 2);
  CHECK(loop.run_one());
  CHECK(got == ints{1});
  CHECK(loop.run_all() == 1);
  CHECK(got == ints{1, 2});
  CHECK(a.done());
  CHECK(b.done());
}

TEST_CASE("an executor may be a lambda, move only, and lives until its call returns") {
  struct tracked {
    explicit tracked(int& n) : live(&n) { ++*live; }
    tracked(tracked&& o) noexcept : live(o.live) { ++*live; }
    ~tracked() { --*live; }
    int* live;
  };
  int live = 0;
  int calls = 0;
  int after = 0;
  ints got;
  channel<int> ch(2);
  coroutine c;
  const auto start = [&] {
    c = [](channel<int>& from, ints& out, auto executor) -> coroutine {
      const auto v = co_await from.async_pop(std::move(executor));
      out.push_back(v.value_or(-1));
    }(ch, got, [&, mine = tracked(live), number = std::make_unique<int>(5)](std::coroutine_handle<> h) {
      ++calls;
      h.resume();
      c.destroy();  // and with it all that it was given
      after += *number;
      CHECK(live > 0);
    });
  };
  start();
  CHECK(ch.push(1) == outcome::ok);
  CHECK(calls == 1);
  CHECK(after == 5);
  CHECK(live == 0);
  CHECK(got == ints{1});

  start();
  c.destroy();
  CHECK(live == 0);
  CHECK(calls == 1);
  REQUIRE(ch.push(2) == outcome::ok);
  start();
  CHECK(calls == 1);
  CHECK(got == ints{1, 2});
  c.destroy();
  CHECK(live == 0);
}

// ---- cancelling

TEST_CASE("a stop ends the waiting, not what is ready") {
  std::stop_source stop;
  channel<int> ch(2);
  int out = 77;
  outcome answer = unanswered;
  REQUIRE(ch.push(1) == outcome::ok);
  stop.request_stop();
  CHECK(pop_into(ch, out, answer, never(), stop.get_token()).done());
  CHECK(answer == outcome::ok);
  CHECK(out == 1);
  CHECK(pop_into(ch, out, answer, never(), stop.get_token()).done());
  CHECK(answer == outcome::cancelled);
  CHECK(out == 1);
  ints got;
  CHECK(pop_one(ch, got, never(), stop.get_token()).done());
  CHECK(got == ints{-1});
  int value = 2;
  CHECK(push_one(ch, value, answer, never(), stop.get_token()).done());
  CHECK(push_one(ch, value, answer, never(), stop.get_token()).done());
  CHECK(answer == outcome::ok);
  CHECK(push_one(ch, value, answer, never(), stop.get_token()).done());
  CHECK(answer == outcome::cancelled);
  ch.close();
  CHECK(push_one(ch, value, answer, never(), stop.get_token()).done());
  CHECK(answer == outcome::closed);
  CHECK(drain(ch) == ints{2, 2});
  CHECK(pop_into(ch, out, answer, never(), stop.get_token()).done());
  CHECK(answer == outcome::closed);
}

TEST_CASE("cancelled while suspended: it has left the line, and the one behind it is served") {
  manual_executor loop;
  const bool posted = GENERATE(false, true);
  std::stop_source stop;
  channel<int> ch(2);
  ints first;
  ints second;
  const auto executor = [&](std::coroutine_handle<> h) { posted ? loop.post(h) : h.resume(); };
  const coroutine a = pop_one(ch, first, executor, stop.get_token());
  const coroutine b = pop_one(ch, second, executor);
  CHECK(stop.request_stop());
  CHECK(ch.push(1) == outcome::ok);
  CHECK(loop.run_all() == (posted ? 2 : 0));
  CHECK(first == ints{-1});
  CHECK(second == ints{1});
  CHECK(a.done());
  CHECK(b.done());
}

TEST_CASE("the stop comes too late, or together with the channel's end") {
  manual_executor loop;
  std::stop_source stop;
  channel<int> ch(2);
  int out = 0;
  outcome answer = unanswered;
  const coroutine a = pop_into(ch, out, answer, loop.poster(), stop.get_token());
  REQUIRE(ch.push(1) == outcome::ok);
  stop.request_stop();
  CHECK(loop.run_all() == 1);
  CHECK(answer == outcome::ok);
  CHECK(out == 1);

  std::stop_source again;
  const coroutine b = pop_into(ch, out, answer, loop.poster(), again.get_token());
  again.request_stop();
  REQUIRE(ch.push(2) == outcome::ok);
  ch.close();
  CHECK(loop.run_all() == 1);
  CHECK(answer == outcome::cancelled);
  CHECK(out == 1);
  CHECK(ch.try_pop() == 2);
}

TEST_CASE("one that is cancelled may destroy the others, and the channel") {
  std::stop_source stop;
  auto ch = std::make_unique<channel<int>>(2);
  std::vector<coroutine> others;
  ints got;
  const auto breaking = [](std::unique_ptr<channel<int>>& from, std::vector<coroutine>& victims,
                           std::stop_token on) -> coroutine {
    const auto v = co_await from->async_pop(inline_executor(), on);
    CHECK_FALSE(v.has_value());
    victims.clear();
    from.reset();
  };
  const bool first = GENERATE(false, true);
  coroutine breaker;
  if (first) breaker = breaking(ch, others, stop.get_token());
  for (int i = 0; i < 100; ++i) others.push_back(pop_one(*ch, got, inline_executor(), stop.get_token()));
  if (!first) breaker = breaking(ch, others, stop.get_token());
  stop.request_stop();
  CHECK(breaker.done());
  CHECK(ch == nullptr);
  // The order in which callbacks are called is the standard library's choice.
  CHECK(std::all_of(got.begin(), got.end(), [](int v) { return v == -1; }));
}

namespace {

constexpr int games = 20;
constexpr int rounds = watched ? 150 : 2500;

/// In each round two threads go through all games side by side, one with `first`, the other with `second`.
// why many games a round: threads of a busy machine meet after milliseconds, and then run for a while.
template <class Game>
void storm(auto prepare, auto first, auto second, auto check) {
  std::vector<std::unique_ptr<Game>> all;
  for (int i = 0; i < games; ++i) all.push_back(std::make_unique<Game>());
  std::barrier meet(3);
  const auto run = [&](auto part) {
    return std::thread([&meet, &all, part] {
      for (int i = 0; i < rounds; ++i) {
        meet.arrive_and_wait();
        for (auto& game : all) part(*game);
        meet.arrive_and_wait();
      }
    });
  };
  std::thread threads[] = {run(first), run(second)};
  for (int i = 0; i < rounds; ++i) {
    for (auto& game : all) prepare(*game);
    meet.arrive_and_wait();
    meet.arrive_and_wait();
    for (auto& game : all) check(*game);
  }
  for (auto& t : threads) t.join();
}

coroutine pop_slot(channel<int>& ch, int& slot, std::stop_token stop) {
  const auto v = co_await ch.async_pop(inline_executor(), std::move(stop));
  slot = v.value_or(-1);
}

}  // namespace

TEST_CASE("a stop races with pushes: each value is received or left, once") {
  const watchdog guard("a cancellation storm");
  constexpr int waiting = 4;
  struct game {
    channel<int> ch{8};
    std::optional<std::stop_source> stop;
    int slots[waiting] = {};
    std::vector<coroutine> all;
  };
  int cancelled = 0;
  int received = 0;
  int wrong = 0;
  storm<game>(
      [](game& g) {
        g.stop.emplace();
        for (int& slot : g.slots) g.all.push_back(pop_slot(g.ch, slot = -2, g.stop->get_token()));
      },
      [](game& g) { g.stop->request_stop(); },
      [](game& g) {
        for (int i = 0; i < waiting; ++i) static_cast<void>(g.ch.push(i));
      },
      [&](game& g) {
        ints seen;
        for (const int slot : g.slots) {
          cancelled += slot == -1;
          received += slot >= 0;
          wrong += slot == -2;
          if (slot >= 0) seen.push_back(slot);
        }
        for (const int v : drain(g.ch)) seen.push_back(v);
        std::sort(seen.begin(), seen.end());
        wrong += seen != numbers(0, waiting);
        for (const coroutine& c : g.all) wrong += !c.done();
        g.all.clear();
      });
  CHECK(wrong == 0);
  CHECK(cancelled + received == waiting * games * rounds);
}

TEST_CASE("a stop races with pops: what was to be pushed arrives or stays, once") {
  const watchdog guard("a cancellation storm of pushes");
  constexpr int waiting = 4;
  struct game {
    channel<pointer> ch{2};
    std::optional<std::stop_source> stop;
    pointer values[waiting];
    outcome answers[waiting] = {};
    ints popped;
    std::vector<coroutine> all;
  };
  int wrong = 0;
  storm<game>(
      [&](game& g) {
        g.stop.emplace();
        for (int i = 0; i < 2; ++i) wrong += g.ch.try_push(make<pointer>(100 + i)) != outcome::ok;
        for (int i = 0; i < waiting; ++i) {
          g.values[i] = make<pointer>(i);
          g.answers[i] = unanswered;
          g.all.push_back(push_one(g.ch, g.values[i], g.answers[i], inline_executor(), g.stop->get_token()));
        }
      },
      [](game& g) { g.stop->request_stop(); },
      [](game& g) {
        for (int i = 0; i < 3; ++i) {
          if (const auto v = g.ch.try_pop()) g.popped.push_back(number(*v));
        }
      },
      [&](game& g) {
        for (const int v : drain(g.ch)) g.popped.push_back(v);
        for (int i = 0; i < waiting; ++i) {
          wrong += g.answers[i] != (g.values[i] == nullptr ? outcome::ok : outcome::cancelled);
          if (g.values[i] != nullptr) g.popped.push_back(number(g.values[i]));
        }
        std::sort(g.popped.begin(), g.popped.end());
        wrong += g.popped != ints{0, 1, 2, 3, 100, 101};
        g.popped.clear();
        g.all.clear();
      });
  CHECK(wrong == 0);
}

TEST_CASE("suspending races with a stop and a push: the value is received or left") {
  const watchdog guard("a storm around the suspension");
  struct game {
    channel<int> ch{2};
    std::optional<std::stop_source> stop;
    int slot = -2;
    coroutine c;
    int round = 0;
  };
  int wrong = 0;
  storm<game>(
      [](game& g) {
        g.stop.emplace();
        ++g.round;
      },
      [](game& g) { g.c = pop_slot(g.ch, g.slot = -2, g.stop->get_token()); },
      [](game& g) {
        if (g.round % 2 == 0) g.stop->request_stop();
        static_cast<void>(g.ch.push(7));
        if (g.round % 2 != 0) g.stop->request_stop();
      },
      [&](game& g) {
        wrong += !g.c.done();
        wrong += g.slot != 7 && g.slot != -1;
        wrong += drain(g.ch) != (g.slot == 7 ? ints{} : ints{7});
      });
  CHECK(wrong == 0);
}

// ---- what happens between two steps of a suspension

namespace {

/// In place of a stop token: a piece of the test that runs where the coroutine asks it, first after its first try, and
/// then after it has entered the line and tried again.
struct asked {
  const std::function<bool(int time)>* answer;
  int* times;

  [[nodiscard]] static bool stop_possible() noexcept { return false; }
  [[nodiscard]] bool stop_requested() const noexcept { return (*answer)(++*times); }
  template <class F>
  struct callback_type {
    callback_type(const asked&, F) {}
  };
};

template <class Channel>
coroutine pop_asking(Channel& ch, ints& out, const std::function<bool(int time)>& answer) {
  int times = 0;
  const auto v = co_await ch.async_pop(inline_executor(), asked{&answer, &times});
  out.push_back(v.value_or(-1));
}

/// Its mutexes tell when somebody has to wait.
struct announcing_sync : millrace::std_sync {
  static inline std::atomic<int> held_up{0};
  class mutex {
   public:
    void lock() noexcept {
      if (mutex_.try_lock()) return;
      ++held_up;
      mutex_.lock();
      --held_up;
    }
    void unlock() noexcept { mutex_.unlock(); }

   private:
    std::mutex mutex_;
  };
};

}  // namespace

TEST_CASE("a value that comes before the line is entered is found") {
  channel<int> ch(2);
  ints got;
  const coroutine c = pop_asking(ch, got, [&](int time) {
    if (time == 1) CHECK(ch.try_push(1) == outcome::ok);
    return false;
  });
  CHECK(c.done());
  CHECK(got == ints{1});
}

TEST_CASE("what is taken there makes room, and the other side hears of it") {
  channel<int> ch(2);
  ints got;
  coroutine pushing;
  const coroutine c = pop_asking(ch, got, [&](int time) {
    if (time == 1) pushing = push_numbers(ch, 1, 3);
    return false;
  });
  CHECK(c.done());
  CHECK(got == ints{1});
  CHECK(pushing.done());
  CHECK(drain(ch) == ints{2, 3});
}

TEST_CASE("called while it is being cancelled: the one behind is served") {
  const watchdog guard("called while it is being cancelled");
  channel<int, mpmc_queue<int, millrace::use_sync<announcing_sync>>> ch(2);
  ints got;
  ints behind;
  coroutine next;
  std::thread pusher;
  const coroutine c = pop_asking(ch, got, [&](int time) {
    if (time == 1) return false;
    next = pop_one(ch, behind);
    pusher = std::thread([&] { static_cast<void>(ch.push(1)); });
    // It has taken the first one out of the line, and waits to work for it.
    while (announcing_sync::held_up == 0) std::this_thread::yield();
    return true;
  });
  pusher.join();
  CHECK(c.done());
  CHECK(got == ints{-1});
  CHECK(next.done());
  CHECK(behind == ints{1});
}

TEST_CASE("who has its answer is resumed before the other side hears, which may then destroy it") {
  using support::hooked;
  channel<hooked> ch(2);
  coroutine victim;
  coroutine breaker;
  outcome answer = unanswered;
  const auto breaking = [](channel<hooked>& from, coroutine& it) -> coroutine {
    const auto v = co_await from.async_pop();
    CHECK(v->value() == 3);
    it.destroy();
  };
  for (int i = 1; i <= 2; ++i) REQUIRE(ch.push(hooked(i)) == outcome::ok);
  hooked value(3, [&](int move) {
    // In the middle of the push that the pop below does for the coroutine: somebody empties the channel and waits.
    if (move != 1) return;
    CHECK(ch.try_pop()->value() == 2);
    breaker = breaking(ch, victim);
    CHECK_FALSE(breaker.done());
  });
  victim = push_one(ch, value, answer);
  CHECK(ch.try_pop()->value() == 1);
  CHECK(answer == outcome::ok);
  CHECK(breaker.done());
}

// ---- destroyed while suspended

TEST_CASE("destroyed after it was answered: the value is dropped, and the executor forgets it") {
  manual_executor loop;
  ints dropped;
  channel<pointer> ch(2, overflow::block, [&](pointer&& v) { dropped.push_back(number(v)); });
  ints got;
  {
    const coroutine c = pop_one(ch, got, loop.poster());
    REQUIRE(ch.push(make<pointer>(1)) == outcome::ok);
    CHECK(loop.forget(c.handle()));
  }
  CHECK(dropped == ints{1});
  CHECK(ch.dropped() == 1);
  CHECK(loop.run_all() == 0);

  // A variable is its owner's: what has been written there stays there.
  pointer out;
  outcome answer = unanswered;
  {
    const coroutine c = pop_into(ch, out, answer, loop.poster());
    REQUIRE(ch.push(make<pointer>(2)) == outcome::ok);
    CHECK(loop.forget(c.handle()));
  }
  CHECK(number(out) == 2);
  CHECK(answer == unanswered);
  CHECK(ch.dropped() == 1);

  // What was pushed has arrived.
  for (int i = 3; i <= 4; ++i) REQUIRE(ch.push(make<pointer>(i)) == outcome::ok);
  pointer value = make<pointer>(5);
  {
    const coroutine c = push_one(ch, value, answer, loop.poster());
    CHECK(number(*ch.try_pop()) == 3);
    CHECK(loop.forget(c.handle()));
  }
  CHECK(answer == unanswered);
  CHECK(drain(ch) == ints{4, 5});
  CHECK(ch.dropped() == 1);
}

TEST_CASE("destroying races with pushes: each value is dropped, received, or left") {
  const watchdog guard("a storm of destruction");
  constexpr int waiting = 4;
  struct game {
    manual_executor loop;
    ints dropped;
    ints got;
    channel<int> ch{8, overflow::block, [this](int&& v) { dropped.push_back(v); }};
    std::vector<coroutine> all;
    std::uint64_t dropped_ever = 0;
    int round = 0;
  };
  int wrong = 0;
  storm<game>(
      [](game& g) {
        ++g.round;
        for (int i = 0; i < waiting; ++i) g.all.push_back(pop_one(g.ch, g.got, g.loop.poster()));
      },
      // This is the loop's thread: nobody else runs or destroys.
      [](game& g) {
        for (int i = waiting; i-- != 0;) {
          if (g.round % 3 == 0 && i == 1) g.loop.run_one();
          auto& c = g.all[static_cast<std::size_t>(i)];
          const auto h = c.handle();
          c.destroy();
          g.loop.forget(h);
        }
      },
      [](game& g) {
        for (int i = 0; i < waiting; ++i) static_cast<void>(g.ch.push(i));
      },
      [&](game& g) {
        const std::uint64_t n_dropped = g.dropped.size();
        wrong += g.loop.size() != 0;
        ints seen = std::exchange(g.dropped, {});
        for (const int v : drain(g.ch)) seen.push_back(v);
        seen.insert(seen.end(), g.got.begin(), g.got.end());
        std::sort(seen.begin(), seen.end());
        wrong += seen != numbers(0, waiting);
        g.dropped_ever += n_dropped;
        wrong += g.ch.dropped() != g.dropped_ever;
        g.got.clear();
        g.all.clear();
      });
  CHECK(wrong == 0);
}

TEST_CASE("destroying races with a push: the one behind hears of it") {
  const watchdog guard("news that is passed on");
  struct game {
    manual_executor loop;
    channel<int> ch{2};
    coroutine front;
    coroutine behind;
    ints got;
    ints nothing;
    std::uint64_t dropped_before = 0;
  };
  int wrong = 0;
  storm<game>(
      [](game& g) {
        g.dropped_before = g.ch.dropped();
        g.front = pop_one(g.ch, g.nothing, g.loop.poster());
        g.behind = pop_one(g.ch, g.got, g.loop.poster());
      },
      [](game& g) {
        const auto h = g.front.handle();
        g.front.destroy();
        g.loop.forget(h);
      },
      [](game& g) { static_cast<void>(g.ch.push(7)); },
      [&](game& g) {
        g.loop.run_all();
        const bool dropped = g.ch.dropped() != g.dropped_before;
        wrong += g.behind.done() == dropped;
        wrong += g.got != (dropped ? ints{} : ints{7});
        wrong += !g.nothing.empty() || g.ch.size_approx() != 0;
        g.behind.destroy();
        g.got.clear();
      });
  CHECK(wrong == 0);
}

TEST_CASE("destroying races with a stop and a push: the one behind is served") {
  const watchdog guard("a storm of destruction and cancellation");
  struct game {
    manual_executor loop;
    channel<int> ch{2};
    std::optional<std::stop_source> stop;
    coroutine front;
    coroutine behind;
    ints got;
    ints nothing;
    std::uint64_t dropped_before = 0;
    int round = 0;
  };
  int wrong = 0;
  storm<game>(
      [](game& g) {
        ++g.round;
        g.stop.emplace();
        g.dropped_before = g.ch.dropped();
        g.front = pop_one(g.ch, g.nothing, g.loop.poster(), g.stop->get_token());
        g.behind = pop_one(g.ch, g.got, g.loop.poster());
      },
      [](game& g) {
        const auto h = g.front.handle();
        g.front.destroy();
        g.loop.forget(h);
      },
      [](game& g) {
        if (g.round % 2 == 0) g.stop->request_stop();
        static_cast<void>(g.ch.push(7));
        if (g.round % 2 != 0) g.stop->request_stop();
      },
      [&](game& g) {
        g.loop.run_all();
        const bool dropped = g.ch.dropped() != g.dropped_before;
        wrong += g.behind.done() == dropped;
        wrong += g.got != (dropped ? ints{} : ints{7});
        wrong += !g.nothing.empty() || g.ch.size_approx() != 0;
        g.behind.destroy();
        g.got.clear();
      });
  CHECK(wrong == 0);
}

TEST_CASE("close and destruction: one that learns of the end destroys the others") {
  channel<int> ch(2);
  std::vector<coroutine> others;
  ints got;
  const auto breaking = [](channel<int>& from, std::vector<coroutine>& victims) -> coroutine {
    const auto v = co_await from.async_pop();
    CHECK_FALSE(v.has_value());
    victims.clear();
  };
  for (int i = 0; i < 3; ++i) others.push_back(pop_one(ch, got));
  const coroutine breaker = breaking(ch, others);
  for (int i = 0; i < 1000; ++i) others.push_back(pop_one(ch, got));
  ch.close();
  CHECK(breaker.done());
  CHECK(others.empty());
  CHECK(got == ints{-1, -1, -1});
}

TEST_CASE("a push resumes one that destroys others, on both sides") {
  channel<int> in(2);
  channel<int> out(2);
  for (int i = 0; i < 2; ++i) REQUIRE(out.push(i) == outcome::ok);
  std::vector<coroutine> others;
  ints got;
  const auto breaking = [](channel<int>& from, channel<int>& to,
                           std::vector<coroutine>& victims) -> coroutine {
    const auto v = co_await from.async_pop();
    CHECK(v == 1);
    CHECK(to.try_pop() == 0);  // resumes the first of those that push
    victims.clear();
  };
  const coroutine breaker = breaking(in, out, others);
  for (int i = 2; i < 100; ++i) {
    others.push_back(pop_one(in, got));
    others.push_back(push_numbers(out, i, 1));
  }
  CHECK(in.push(1) == outcome::ok);
  CHECK(breaker.done());
  CHECK(got.empty());
  CHECK(drain(out) == ints{1, 2});
}

TEST_CASE("close while a loop has the handles: all are there, and all may be forgotten") {
  manual_executor loop;
  channel<int> ch(2);
  ints got;
  std::vector<coroutine> all;
  for (int i = 0; i < 1000; ++i) all.push_back(pop_one(ch, got, loop.poster()));
  ch.close();
  CHECK(loop.size() == 1000);
  for (int i = 0; i < 500; ++i) loop.run_one();
  for (std::size_t i = 500; i < 1000; ++i) {
    const auto h = all[i].handle();
    all[i].destroy();
    CHECK(loop.forget(h));
  }
  CHECK(got == ints(500, -1));
  CHECK(loop.size() == 0);
  CHECK(ch.dropped() == 0);
}

// ---- exceptions

TEST_CASE("T throws while a push takes it for a coroutine: that is the coroutine's, not the push's") {
  using support::copied;
  const bool variable = GENERATE(false, true);
  int thrown_to_pop = 0;
  for (int n = 1; n < 20; ++n) {
    instances::reset();
    bool ran_out = false;
    {
      channel<copied> ch(2);
      copied out(0);
      ints got;
      outcome answer = unanswered;
      coroutine c;
      if (variable) {
        c = pop_into(ch, out, answer);
      } else {
        c = pop_one(ch, got);
      }
      copied value(1);
      bool thrown_to_push = false;
      outcome pushed = outcome::ok;
      instances::throw_at(n);
      try {
        pushed = ch.push(std::move(value));
      } catch (const support::thrown&) {
        thrown_to_push = true;
      }
      ran_out = instances::pending();
      instances::spare();
      CHECK(pushed == outcome::ok);
      if (thrown_to_push) {
        CHECK(value.value() == 1);
        CHECK_FALSE(c.done());
        CHECK(ch.push(std::move(value)) == outcome::ok);
        CHECK(c.done());
      } else if (!ran_out) {
        ++thrown_to_pop;
        CHECK_THROWS_AS(c.done(), support::thrown);
        CHECK(out.value() == 0);
        CHECK(ch.size_approx() == 0);
      } else {
        CHECK(c.done());
      }
      // Nothing is in the way of those who come after.
      coroutine next = pop_one(ch, got);
      got.clear();
      for (int i = 2; i <= 4; ++i) CHECK(ch.push(copied(i)) == outcome::ok);
      CHECK(next.done());
      CHECK(got == ints{2});
      CHECK(drain(ch) == ints{3, 4});
    }
    support::check_books();
    if (ran_out) break;
  }
  CHECK(thrown_to_pop > 0);
}

TEST_CASE("T throws while a pop pushes it for a coroutine: that is the coroutine's, not the pop's") {
  using support::copied;
  const bool copy = GENERATE(false, true);
  int thrown_to_push = 0;
  for (int n = 1; n < 20; ++n) {
    instances::reset();
    bool ran_out = false;
    {
      channel<copied> ch(2);
      ints got;
      outcome answer = unanswered;
      for (int i = 1; i <= 2; ++i) REQUIRE(ch.push(copied(i)) == outcome::ok);
      copied value(3);
      coroutine c;
      if (copy) {
        c = push_copy(ch, value, answer);
      } else {
        c = push_one(ch, value, answer);
      }
      CHECK_FALSE(c.done());
      bool thrown_to_pop = false;
      instances::throw_at(n);
      try {
        const auto v = ch.try_pop();
        got.push_back(number(*v));
      } catch (const support::thrown&) {
        thrown_to_pop = true;
      }
      ran_out = instances::pending();
      instances::spare();
      for (const int v : drain(ch)) got.push_back(v);
      if (thrown_to_pop) {
        CHECK(c.done());
        CHECK(got == ints{2, 3});
      } else if (!ran_out) {
        ++thrown_to_push;
        CHECK_THROWS_AS(c.done(), support::thrown);
        CHECK(answer == unanswered);
        CHECK(value.value() == 3);
        CHECK(got == ints{1, 2});
      } else {
        CHECK(c.done());
        CHECK(got == ints{1, 2, 3});
      }
      for (int i = 5; i <= 6; ++i) CHECK(ch.try_push(copied(i)) == outcome::ok);
      CHECK(drain(ch) == ints{5, 6});
    }
    support::check_books();
    if (ran_out) break;
  }
  CHECK(thrown_to_push > 0);
}

TEST_CASE("T throws in a co_await that is ready: as from push and pop") {
  using support::copied;
  instances::reset();
  {
    channel<copied> ch(4);
    outcome answer = unanswered;
    const copied value(1);
    instances::throw_at(1);
    CHECK_THROWS_AS(push_copy(ch, value, answer).done(), support::thrown);
    CHECK(answer == unanswered);
    CHECK(drain(ch).empty());
    CHECK(ch.push(value) == outcome::ok);
    ints got;
    instances::throw_at(1);
    CHECK_THROWS_AS(pop_one(ch, got).done(), support::thrown);
    CHECK(got.empty());
    instances::spare();
    CHECK(drain(ch).empty());
    CHECK(ch.push(value) == outcome::ok);
    CHECK(drain(ch) == ints{1});
  }
  support::check_books();
}

// ---- recursion

namespace {

/// How deep the stack is at most where it is asked.
struct depth {
  std::uintptr_t top = here();
  std::uintptr_t most = 0;
  [[gnu::noinline]] static std::uintptr_t here() noexcept {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  }
  void look() noexcept {
    const std::uintptr_t now = here();
    most = std::max(most, now < top ? top - now : now - top);
  }
};
constexpr std::uintptr_t a_few_frames = watched ? 65536 : 16384;

coroutine player(channel<int>& from, channel<int>& to, int last, depth& d) {
  while (auto ball = co_await from.async_pop()) {
    d.look();
    if (*ball == last) break;
    const outcome o = co_await to.async_push(*ball + 1);
    if (o != outcome::ok) break;
  }
  to.close();
}

}  // namespace

TEST_CASE("ping-pong does not grow the stack") {
  constexpr int exchanges = watched ? 100000 : 1000000;
  channel<int> left(2);
  channel<int> right(2);
  depth d;
  const coroutine a = player(left, right, 2 * exchanges, d);
  const coroutine b = player(right, left, 2 * exchanges, d);
  CHECK(left.push(1) == outcome::ok);
  CHECK(a.done());
  CHECK(b.done());
  CHECK(d.most < a_few_frames);
}

TEST_CASE("many to many, suspended on both sides: the stack grows with their number, not with their work") {
  constexpr int each = 8;
  constexpr int n = watched ? 2000 : 20000;
  channel<int> ch(2);
  depth d;
  int sum = 0;
  std::vector<coroutine> all;
  const auto produce = [](channel<int>& to, depth& look) -> coroutine {
    for (int i = 1; i <= n; ++i) {
      look.look();
      const outcome o = co_await to.async_push(1);
      if (o != outcome::ok) break;
    }
  };
  const auto consume = [](channel<int>& from, depth& look, int& total) -> coroutine {
    while (auto v = co_await from.async_pop()) {
      look.look();
      total += *v;
    }
  };
  const bool producers_first = GENERATE(true, false);
  for (int i = 0; i < each; ++i) {
    all.push_back(producers_first ? produce(ch, d) : consume(ch, d, sum));
  }
  for (int i = 0; i < each; ++i) {
    all.push_back(producers_first ? consume(ch, d, sum) : produce(ch, d));
  }
  ch.close();
  CHECK(sum == each * n);
  CHECK(std::all_of(all.begin(), all.end(), [](const coroutine& c) { return c.done(); }));
  CHECK(d.most < 2 * each * a_few_frames);
}

TEST_CASE("a chain of coroutines") {
  constexpr std::size_t length = 200;
  constexpr int n = 500;
  std::vector<std::unique_ptr<channel<int>>> links;
  for (std::size_t i = 0; i <= length; ++i) links.push_back(std::make_unique<channel<int>>(2));
  const auto link = [](channel<int>& from, channel<int>& to) -> coroutine {
    while (auto v = co_await from.async_pop()) {
      const outcome o = co_await to.async_push(*v + 1);
      if (o != outcome::ok) break;
    }
    to.close();
  };
  std::vector<coroutine> all;
  ints got;
  for (std::size_t i = 0; i < length; ++i) all.push_back(link(*links[i], *links[i + 1]));
  all.push_back(pop_all(*links[length], got));
  for (int i = 0; i < n; ++i) REQUIRE(links[0]->push(i) == outcome::ok);
  links[0]->close();
  CHECK(got == numbers(length, n));
  CHECK(std::all_of(all.begin(), all.end(), [](const coroutine& c) { return c.done(); }));
}

// ---- watermarks

TEST_CASE("watermarks count what coroutines move") {
  channel<int> ch(4);
  std::vector<bool> levels;
  ch.watch_level({3, 1}, [&](bool high) { levels.push_back(high); });
  ints got;
  {
    const coroutine c = pop_all(ch, got);
    for (int i = 1; i <= 10; ++i) REQUIRE(ch.push(i) == outcome::ok);
  }
  CHECK(got == numbers(1, 10));
  CHECK(levels.empty());
  const coroutine pushing = push_numbers(ch, 1, 6);
  CHECK(levels == std::vector{true});
  CHECK(ch.try_pop() == 1);
  CHECK(ch.try_pop() == 2);  // both made room for one that was suspended
  CHECK(pushing.done());
  CHECK(ch.size_approx() == 4);
  CHECK(ch.try_pop() == 3);
  CHECK(ch.try_pop() == 4);
  CHECK(levels == std::vector{true});
  const coroutine popping = pop_all(ch, got);
  CHECK(levels == std::vector{true, false});
  CHECK(got.size() == 12);
  manual_executor loop;
  outcome answers[4] = {unanswered, unanswered, unanswered, unanswered};
  int value = 0;
  ch.close();
  CHECK(push_one(ch, value, answers[0]).done());
  CHECK(levels.size() == 2);
}
