// A channel as a whole: closing, alone and in races; exceptions while others sleep; crowds; watermarks.
#include "millrace/queue/channel.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/channels.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::channel;
using millrace::manual_clock;
using millrace::mpmc_queue;
using millrace::outcome;
using millrace::overflow;
using millrace::spsc_queue;
using millrace::unbounded_queue;
using support::block;
using support::channel_over;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::number;
using support::watchdog;
using support::watched_mpmc;
using support::watched_spsc;
using support::watching_sync;

}  // namespace

// ---- closing

TEMPLATE_TEST_CASE("close: idempotent, refuses pushes, lets pops drain", "", ALL_QUEUES) {
  using T = typename TestType::value_type;
  const int before = GENERATE(0, 1, 3, 4);
  const int popped = GENERATE(0, 1);
  channel_over<TestType> ch(4);
  for (int i = 0; i < before; ++i) REQUIRE(ch.push(make<T>(i)) == outcome::ok);
  for (int i = 0; i < std::min(popped, before); ++i) REQUIRE(ch.try_pop().has_value());
  CHECK_FALSE(ch.is_closed());
  ch.close();
  ch.close();
  CHECK(ch.is_closed());
  const T v = make<T>(99);
  CHECK(ch.push(v) == outcome::closed);
  CHECK(ch.try_push(v) == outcome::closed);
  T out = make<T>(77);
  for (int i = std::min(popped, before); i < before; ++i) {
    CHECK(ch.try_push(v) == outcome::closed);  // room does not reopen it
    REQUIRE(ch.pop(out) == outcome::ok);
    CHECK(number(out) == i);
  }
  ch.close();
  out = make<T>(77);
  CHECK(ch.pop(out) == outcome::closed);
  CHECK(ch.pop_for(out, 1h) == outcome::closed);
  CHECK(ch.pop_for(out, -1h) == outcome::closed);
  CHECK(ch.pop_until(out, std::chrono::steady_clock::time_point::max()) == outcome::closed);
  CHECK(ch.try_pop(out) == outcome::closed);
  CHECK(number(out) == 77);
  CHECK_FALSE(ch.pop().has_value());
  CHECK_FALSE(ch.try_pop().has_value());
  CHECK(ch.pop_n(&out, 1) == 0);
  CHECK(ch.push(v) == outcome::closed);
}

TEST_CASE("close wakes every sleeper on the empty side") {
  const watchdog guard("sleepers in pop");
  watching_sync::reset();
  channel_over<watched_mpmc<int>> ch(4);
  std::vector<std::thread> sleepers;
  std::atomic<int> closed{0};
  for (int i = 0; i < 3; ++i) {
    sleepers.emplace_back([&] { closed += !ch.pop().has_value(); });
    sleepers.emplace_back([&] {
      int out = 0;
      closed += ch.pop_for(out, 24h) == outcome::closed;
    });
    sleepers.emplace_back([&] {
      int out[4];
      closed += ch.pop_n(out, 4) == 0;
    });
  }
  watching_sync::await_parked(9);
  ch.close();
  for (auto& t : sleepers) t.join();
  CHECK(closed == 9);
}

TEST_CASE("close wakes every sleeper on the full side, and what they hold stays theirs") {
  const watchdog guard("sleepers in push");
  watching_sync::reset();
  channel_over<watched_mpmc<std::string>> ch(2);
  REQUIRE(ch.push("a") == outcome::ok);
  REQUIRE(ch.push("b") == outcome::ok);
  std::vector<std::thread> sleepers;
  std::atomic<int> closed{0};
  for (int i = 0; i < 6; ++i) {
    sleepers.emplace_back([&, i] {
      std::string v = make<std::string>(i);
      const outcome result = i % 2 == 0 ? ch.push(std::move(v)) : ch.push_for(std::move(v), 24h);
      closed += result == outcome::closed && number(v) == i;
    });
  }
  watching_sync::await_parked(6);
  ch.close();
  for (auto& t : sleepers) t.join();
  CHECK(closed == 6);
  CHECK(ch.pop() == "a");
  CHECK(ch.pop() == "b");
  CHECK_FALSE(ch.pop().has_value());
}

TEMPLATE_TEST_CASE("the end reaches everybody: the last value goes to one, and the others do not stay asleep",
                   "", watched_mpmc<int>, watched_mpmc<block>) {
  const watchdog guard("the last value");
  using T = typename TestType::value_type;
  for (int round = 0; round < 300; ++round) {
    watching_sync::reset();
    channel_over<TestType> ch(4);
    std::atomic<int> got{0};
    std::atomic<int> ended{0};
    std::vector<std::thread> sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.emplace_back([&] {
        while (ch.pop().has_value()) ++got;
        ++ended;
      });
    }
    watching_sync::await_parked(4);
    std::barrier start(2);
    bool accepted = false;
    std::thread producer([&] {
      start.arrive_and_wait();
      accepted = ch.push(make<T>(1)) == outcome::ok;
    });
    start.arrive_and_wait();
    ch.close();
    producer.join();
    for (auto& t : sleepers) t.join();
    REQUIRE(got == (accepted ? 1 : 0));
    REQUIRE(ended == 4);
  }
}

TEMPLATE_TEST_CASE("close races push and pop: what was accepted is popped once, the rest is refused", "",
                   mpmc_queue<int>, mpmc_queue<block>, mpmc_queue<std::unique_ptr<int>>, watched_mpmc<int>,
                   watched_mpmc<block>) {
  const watchdog guard("close against push and pop");
  watching_sync::reset();
  using T = typename TestType::value_type;
  constexpr int producers = 2;
  constexpr int consumers = 2;
  constexpr int most = 60;
  int accepted_in_all = 0;
  int refused_in_all = 0;
  for (int round = 0; round < 400; ++round) {
    channel_over<TestType> ch(static_cast<std::size_t>(1 + round % 8));
    std::barrier start(producers + consumers + 1);
    std::vector<std::atomic<int>> accepted(producers * most);
    std::vector<std::atomic<int>> popped(producers * most);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int p = 0; p < producers; ++p) {
      threads.emplace_back([&, p] {
        start.arrive_and_wait();
        for (int i = p * most; i < (p + 1) * most; ++i) {
          T v = make<T>(i);
          const outcome result = i % 3 == 0 ? ch.try_push(std::move(v)) : ch.push(std::move(v));
          if (result == outcome::ok) ++accepted[static_cast<std::size_t>(i)];
          if (result != outcome::ok && number(v) != i) ++wrong;
          if (result == outcome::closed && !ch.is_closed() && ch.try_push(std::move(v)) != outcome::closed)
            ++wrong;
        }
      });
    }
    for (int c = 0; c < consumers; ++c) {
      threads.emplace_back([&, c] {
        start.arrive_and_wait();
        std::vector<T> some;
        for (;;) {
          some.clear();
          if (c == 0) {
            if (ch.pop_n(std::back_inserter(some), 3) == 0) break;
          } else {
            auto v = ch.pop();
            if (!v.has_value()) break;
            some.push_back(std::move(*v));
          }
          for (const T& v : some) ++popped[static_cast<std::size_t>(number(v))];
        }
        if (ch.try_pop().has_value()) ++wrong;  // `closed` is final
      });
    }
    start.arrive_and_wait();
    for (int i = 0; i < round * 7 % 400; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    if (round % 3 == 0) std::this_thread::yield();
    ch.close();
    for (auto& t : threads) t.join();
    REQUIRE(wrong == 0);
    for (std::size_t i = 0; i < accepted.size(); ++i) {
      REQUIRE(popped[i] == accepted[i]);
      (accepted[i] == 1 ? accepted_in_all : refused_in_all) += 1;
    }
  }
  CHECK(accepted_in_all > 0);  // both sides of the race have been seen
  CHECK(refused_in_all > 0);
}

// ---- exceptions

TEST_CASE("a throwing move in a pop: the sleeping producer gets the place") {
  const watchdog guard("a throw in pop");
  instances::reset();
  {
    watching_sync::reset();
    channel_over<watched_mpmc<support::copied>> ch(2);
    REQUIRE(ch.push(support::copied(1)) == outcome::ok);
    REQUIRE(ch.push(support::copied(2)) == outcome::ok);
    outcome result{};
    std::thread producer([&] { result = ch.push(support::copied(3)); });
    watching_sync::await_parked(1);
    instances::throw_at(1);
    CHECK_THROWS_AS(ch.pop(), support::thrown);
    producer.join();
    CHECK(result == outcome::ok);
    CHECK(drain(ch) == ints{2, 3});
  }
  CHECK(instances::live == 0);
}

TEST_CASE("a throwing copy in a push: sleepers on both sides get what is theirs") {
  const watchdog guard("a throw in push");
  instances::reset();
  {
    watching_sync::reset();
    channel_over<watched_mpmc<support::copied>> ch(2);
    int got = 0;
    std::thread consumer([&] { got = ch.pop()->value(); });
    watching_sync::await_parked(1);
    const support::copied v(1);
    for (int i = 0; i < 5; ++i) {
      instances::throw_at(1);
      CHECK_THROWS_AS(ch.push(v), support::thrown);
    }
    REQUIRE(ch.push(v) == outcome::ok);
    consumer.join();
    CHECK(got == 1);
  }
  CHECK(instances::live == 0);
}

TEST_CASE("a sleeping producer whose turn ends in a throw is out of line, and the next one's turn comes") {
  const watchdog guard("a throw after the wake-up");
  watching_sync::reset();
  channel_over<watched_mpmc<support::hooked>> ch(2);
  REQUIRE(ch.push(support::hooked(1)) == outcome::ok);
  REQUIRE(ch.push(support::hooked(2)) == outcome::ok);
  bool threw = false;
  std::thread first([&] {
    try {
      static_cast<void>(ch.push(support::hooked(3, [](int) { throw support::thrown(); })));
    } catch (const support::thrown&) {
      threw = true;
    }
  });
  watching_sync::await_parked(1);
  outcome result{};
  std::thread second([&] { result = ch.push(support::hooked(4)); });
  watching_sync::await_parked(2);
  CHECK(ch.try_pop()->value() == 1);  // one place, and the first in line throws
  first.join();
  CHECK(threw);
  CHECK(ch.try_pop()->value() == 2);
  second.join();
  CHECK(result == outcome::ok);
  CHECK(drain(ch) == ints{4});
}

TEST_CASE("a producer whose push throws after its sleep leaves the line in order") {
  const watchdog guard("a throw after the announcement");
  manual_clock time;
  channel<support::hooked, mpmc_queue<support::hooked>, manual_clock> ch(2, time);
  REQUIRE(ch.push(support::hooked(1)) == outcome::ok);
  REQUIRE(ch.push(support::hooked(2)) == outcome::ok);
  for (int round = 0; round < 4; ++round) {
    bool threw = false;
    std::thread producer([&] {
      try {
        static_cast<void>(ch.push_for(support::hooked(3, [](int) { throw support::thrown(); }), 1h));
      } catch (const support::thrown&) {
        threw = true;
      }
    });
    time.await_waiters(1);
    CHECK(ch.try_pop()->value() == 1);
    producer.join();
    CHECK(threw);
    CHECK(drain(ch) == ints{2});
    REQUIRE(ch.push(support::hooked(1)) == outcome::ok);
    REQUIRE(ch.push(support::hooked(2)) == outcome::ok);
  }
  CHECK(drain(ch) == ints{1, 2});
}

TEST_CASE("room made by a consumer that only passed a stalled position is told to producers") {
  const watchdog guard("room without a pop");
  watching_sync::reset();
  channel_over<watched_mpmc<support::hooked>> ch(2);
  std::atomic<bool> stalled{false};
  std::atomic<bool> go_on{false};
  outcome late{};
  std::thread slow([&] {
    late = ch.push(support::hooked(1, [&](int move) {
      if (move != 1) return;
      stalled = true;
      stalled.notify_one();
      go_on.wait(false);
    }));
  });
  stalled.wait(false);
  // The second position is spoilt by an exception, so the ring is full to producers and holds nothing.
  CHECK_THROWS_AS(ch.push(support::hooked(2, [](int) { throw support::thrown(); })), support::thrown);
  outcome result{};
  std::thread producer([&] { result = ch.push(support::hooked(3)); });
  watching_sync::await_parked(1);
  CHECK(ch.pop()->value() == 3);  // sleeps, after it has told the producer of the place
  producer.join();
  CHECK(result == outcome::ok);
  go_on = true;
  go_on.notify_one();
  slow.join();
  CHECK(late == outcome::ok);
  CHECK(drain(ch) == ints{1});
}

// ---- crowds

TEMPLATE_TEST_CASE("thirty-two threads, few places: everything arrives, everybody gets on", "",
                   mpmc_queue<int>, mpmc_queue<block>) {
  const watchdog guard("thirty-two threads");
  using T = typename TestType::value_type;
  constexpr int side = 16;
  constexpr int each = 2000;
  channel_over<TestType> ch(4);
  std::vector<std::atomic<int>> popped(side * each);
  std::vector<std::thread> producers;
  std::vector<std::thread> consumers;
  for (int t = 0; t < side; ++t) {
    producers.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        if (ch.push(make<T>(t * each + i)) != outcome::ok) return;
      }
    });
    consumers.emplace_back([&] {
      for (const T& v : ch) ++popped[static_cast<std::size_t>(number(v))];
    });
  }
  for (auto& t : producers) t.join();
  ch.close();
  for (auto& t : consumers) t.join();
  CHECK(std::ranges::count_if(popped, [](const auto& times) { return times == 1; }) == side * each);
}

TEST_CASE("a sleeper's turn comes: nobody starves beside a greedy thread") {
  const watchdog guard("fairness");
  channel<int> ch(4);
  std::atomic<bool> stop{false};
  // Greedy: pushes without end. Modest: four threads that each want a few values through.
  std::thread greedy([&] {
    while (!stop) static_cast<void>(ch.push(0));
  });
  std::atomic<int> finished{0};
  std::vector<std::thread> modest;
  for (int t = 1; t <= 4; ++t) {
    modest.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) static_cast<void>(ch.push(t));
      ++finished;
    });
  }
  int seen[5] = {};
  while (finished != 4 || ch.size_approx() != 0) {
    if (auto v = ch.try_pop()) ++seen[*v];
    if (finished == 4) stop = true;
  }
  for (auto& t : modest) t.join();
  ch.close();
  greedy.join();
  while (auto v = ch.try_pop()) ++seen[*v];
  for (int t = 1; t <= 4; ++t) CHECK(seen[t] == 50);
}

TEMPLATE_TEST_CASE("one producer, one consumer over an spsc_queue, asleep and awake", "", spsc_queue<int>,
                   watched_spsc<int>, spsc_queue<std::unique_ptr<int>>) {
  const watchdog guard("channel over spsc_queue");
  watching_sync::reset();
  using T = typename TestType::value_type;
  constexpr int n = 30'000;
  channel_over<TestType> ch(2);
  int next = 0;
  bool in_order = true;
  std::thread consumer([&] {
    for (const T& v : ch) in_order = in_order && number(v) == next++;
  });
  for (int i = 0; i < n; ++i) REQUIRE(ch.push(make<T>(i)) == outcome::ok);
  ch.close();
  consumer.join();
  CHECK(in_order);
  CHECK(next == n);
}

TEST_CASE("close against a push over an spsc_queue: refused with its value, or popped") {
  const watchdog guard("close against spsc push");
  std::optional<channel<std::string, spsc_queue<std::string>>> ch;
  std::barrier turn(2);
  bool more = true;
  bool ok = false;
  bool kept = false;
  const auto linger = [](int n) {
    if (n % 3 == 0) std::this_thread::yield();
    for (int i = 0; i < n % 128; ++i) millrace::std_sync::pause();
  };
  std::thread producer([&] {
    for (int round = 0;; ++round) {
      std::string v = make<std::string>(round);
      turn.arrive_and_wait();
      if (!more) return;
      linger(round * 7);
      ok = ch->push(std::move(v)) == outcome::ok;
      kept = number(v) == round;
      turn.arrive_and_wait();
    }
  });
  int accepted = 0;
  int refused = 0;
  int wrong = 0;
  // Until both have been seen often.
  while (accepted < 200 || refused < 200) {
    ch.emplace(std::size_t{2});
    turn.arrive_and_wait();
    linger((accepted + refused) * 11);
    ch->close();
    turn.arrive_and_wait();
    wrong += ch->pop().has_value() != ok || kept == ok;
    ++(ok ? accepted : refused);
  }
  more = false;
  turn.arrive_and_wait();
  producer.join();
  CHECK(wrong == 0);
}

// ---- watermarks

namespace {
template <class Queue>
using channel_with_levels = channel<typename Queue::value_type, Queue>;

template <class Channel>
std::unique_ptr<Channel> open_channel() {
  if constexpr (Channel::queue_type::is_bounded) {
    return std::make_unique<Channel>(64);
  } else {
    return std::make_unique<Channel>();
  }
}
}  // namespace

TEMPLATE_TEST_CASE("watermarks: told at the high mark, and not again before the low one", "", ALL_QUEUES,
                   unbounded_queue<int>, unbounded_queue<block>) {
  using T = typename TestType::value_type;
  const auto ch = open_channel<channel_with_levels<TestType>>();
  std::vector<bool> told;
  ch->watch_level({.high = 4, .low = 1}, [&](bool high) { told.push_back(high); });
  const auto push = [&](int n) {
    while (n-- > 0) REQUIRE(ch->push(make<T>(n)) == outcome::ok);
  };
  const auto pop = [&](int n) {
    while (n-- > 0) REQUIRE(ch->try_pop());
  };
  using calls = std::vector<bool>;
  push(3);
  CHECK(told.empty());
  push(1);
  CHECK(told == calls{true});
  push(10);
  pop(12);
  CHECK(told == calls{true});  // two are left
  push(5);
  CHECK(told == calls{true});
  pop(6);
  CHECK(told == calls{true, false});
  push(2);
  pop(3);
  CHECK_FALSE(ch->try_pop());
  CHECK(told == calls{true, false});
  push(4);
  CHECK(told == calls{true, false, true});
  ch->close();
  CHECK(ch->push(make<T>(1)) == outcome::closed);
  pop(4);
  CHECK(told == calls{true, false, true, false});
}

TEST_CASE("watermarks: what is refused or dropped does not count, nor what throws") {
  instances::reset();
  std::vector<bool> told;
  const auto note = [&](bool high) { told.push_back(high); };
  {
    const overflow policy = GENERATE(overflow::fail, overflow::drop_newest, overflow::drop_oldest);
    channel<support::steady> ch(4, policy);
    ch.watch_level({.high = 4, .low = 0}, note);
    for (int i = 0; i < 3; ++i) REQUIRE(ch.push(support::steady(i)) == outcome::ok);
    const support::steady bad(7);
    instances::throw_at(1);
    CHECK_THROWS_AS(ch.push(bad), support::thrown);
    CHECK(told.empty());
    for (int i = 0; i < 10; ++i) static_cast<void>(ch.push(support::steady(i)));
    for (int left = 4; left > 0; --left) {
      CHECK(told == std::vector<bool>{true});
      CHECK(ch.try_pop());
    }
    CHECK(told == std::vector<bool>{true, false});
  }
  told.clear();
  {
    channel<support::copied> ch(2);
    ch.watch_level({.high = 2, .low = 1}, note);
    for (int i = 0; i < 2; ++i) REQUIRE(ch.push(support::copied(i)) == outcome::ok);
    instances::throw_at(1);
    CHECK_THROWS_AS(ch.try_pop(), support::thrown);  // it is lost, as pops of such types say
    CHECK(drain(ch) == ints{1});
    CHECK(told == std::vector<bool>{true, false});
  }
  CHECK(instances::live == 0);
}

TEST_CASE("watermarks that make no sense are refused") {
  channel<int> ch(64);
  const auto refusal = [&](millrace::watermarks m) -> std::string {
    try {
      ch.watch_level(m, [](bool) {});
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(refusal({.high = 0, .low = 0}) == "channel::watch_level: marks.low must be 0 to marks.high - 1");
  CHECK(refusal({.high = 4, .low = 4}) == "channel::watch_level: marks.low must be 0 to marks.high - 1");
  CHECK(refusal({.high = 65, .low = 4}) == "channel::watch_level: marks.high must be 1 to capacity()");
  CHECK(refusal({.high = 64, .low = 63}) == "accepted");
}

TEST_CASE("watermarks under threads: one call at a time, in turns, and the last one tells what holds") {
  const watchdog guard("watermarks under threads");
  for (int round = 0; round < 20; ++round) {
    channel<int, unbounded_queue<int>> ch;
    std::atomic<int> inside{0};
    bool high_now = false;
    int wrong = 0;
    ch.watch_level({.high = 8, .low = 2}, [&](bool high) {
      if (inside.fetch_add(1) != 0 || high == high_now) ++wrong;
      high_now = high;
      inside.fetch_sub(1);
    });
    std::vector<std::thread> threads;
    constexpr int each = 5000;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) static_cast<void>(ch.push(i + 0));
      });
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) static_cast<void>(ch.pop());
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
    CHECK_FALSE(high_now);
    for (int i = 0; i < 8; ++i) CHECK(ch.push(i + 0) == outcome::ok);
    CHECK(high_now);
  }
}
