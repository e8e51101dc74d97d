// The express lane: order between levels, turns by weight, and each level a channel of its own.
#include "millrace/queue/priority_channel.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/select.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
using millrace::overflow;
using millrace::priority_channel;
using support::check_books;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::number;
using support::watchdog;

#define ALL_VALUES                                                                                           \
  int, support::eight, std::unique_ptr<int>, std::string, support::block, support::copied, support::moved,   \
      support::aligned

template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing thrown";
}

}  // namespace

TEMPLATE_TEST_CASE("higher levels first, FIFO inside each", "", ALL_VALUES) {
  instances::reset();
  {
    priority_channel<TestType, 3> ch(8);
    for (const int n : {20, 10, 21, 0, 11, 1, 22}) {
      CHECK(ch.at(static_cast<std::size_t>(n / 10)).push(make<TestType>(n)) == outcome::ok);
    }
    CHECK(ch.size_approx() == 7);
    CHECK(ch.at(2).size_approx() == 3);
    CHECK(number(*ch.try_pop()) == 0);
    CHECK(ch.at(0).push(make<TestType>(2)) == outcome::ok);  // overtakes what is there
    CHECK(drain(ch) == ints{1, 2, 10, 11, 20, 21, 22});
    CHECK(ch.empty_approx());
    CHECK(ch.at(1).push(make<TestType>(7)) == outcome::ok);  // left in it
  }
  check_books();
}

TEST_CASE("each level is full by itself") {
  priority_channel<int, 2> ch(2);
  CHECK(ch.at(0).capacity() == 2);
  CHECK(ch.at(0).try_push(1) == outcome::ok);
  CHECK(ch.at(0).try_push(2) == outcome::ok);
  CHECK(ch.at(0).try_push(3) == outcome::full);
  CHECK(ch.at(1).try_push(4) == outcome::ok);
  CHECK(drain(ch) == ints{1, 2, 4});
}

TEST_CASE("weights: turns are spread, and what a level does not use goes to the others") {
  priority_channel<int, 3> ch(64, {4, 2, 1});
  for (int i = 0; i < 14; ++i) {
    for (const int level : {0, 1, 2})
      REQUIRE(ch.at(static_cast<std::size_t>(level)).push(level + 0) == outcome::ok);
  }
  for (int round = 0; round < 3; ++round) {
    std::array<int, 3> popped{};
    for (int i = 0; i < 7; ++i) ++popped[static_cast<std::size_t>(*ch.try_pop())];
    CHECK(popped == std::array{4, 2, 1});
  }
  // Level 0 has two left; after that its turns are taken by the next one that has something.
  const ints rest = drain(ch);
  CHECK(rest.size() == 42 - 21);
  CHECK(std::count(rest.begin(), rest.begin() + 7, 0) == 2);
  CHECK(std::count(rest.begin(), rest.begin() + 7, 2) >= 1);
}

TEST_CASE("strict priority starves, weighted does not") {
  const bool weighted = GENERATE(false, true);
  std::optional<priority_channel<int, 2>> ch;
  weighted ? ch.emplace(4, std::array<std::uint32_t, 2>{9, 1}) : ch.emplace(4);
  REQUIRE(ch->at(1).push(7) == outcome::ok);
  int low = 0;
  for (int i = 0; i < 1000; ++i) {
    while (ch->at(0).try_push(0) == outcome::ok) {
    }
    if (*ch->try_pop() == 7) {
      ++low;
      REQUIRE(ch->at(1).push(7) == outcome::ok);
    }
  }
  CHECK(low == (weighted ? 100 : 0));
}

TEST_CASE("weights of a single turn each, and the largest there are") {
  priority_channel<int, 2> even(2, {1, 1});
  for (int i = 0; i < 2; ++i) {
    CHECK(even.at(0).push(0) == outcome::ok);
    CHECK(even.at(1).push(1) == outcome::ok);
  }
  CHECK(drain(even) == ints{0, 1, 0, 1});
  priority_channel<int, 2> uneven(2, {65534, 1});
  CHECK(uneven.at(1).push(1) == outcome::ok);
  CHECK(uneven.pop() == 1);
}

TEST_CASE("what cannot be is refused, and named") {
  using channel = priority_channel<int, 3>;
  CHECK_THROWS_AS(channel(0), std::length_error);
  CHECK(message_of<std::invalid_argument>([] { channel(4, {1, 0, 1}); }) ==
        "priority_channel: each of shares must be 1 to 65535");
  CHECK(message_of<std::invalid_argument>([] { channel(4, {65534, 1, 1}); }) ==
        "priority_channel: the sum of shares must be 2 to 65535");
  channel ch(4);
  CHECK(message_of<std::out_of_range>([&] { static_cast<void>(ch.at(3)); }) ==
        "priority_channel::at: number must be 0 to Levels - 1");
}

TEST_CASE("overflow is each level's own, and told with its number") {
  std::vector<std::pair<std::size_t, int>> dropped;
  priority_channel<int, 2> ch(2, overflow::drop_oldest,
                              [&](std::size_t level, int&& v) { dropped.emplace_back(level, v); });
  for (int i = 0; i < 3; ++i) {
    CHECK(ch.at(0).push(i + 0) == outcome::ok);
    CHECK(ch.at(1).push(10 + i) == outcome::ok);
  }
  CHECK(dropped == std::vector<std::pair<std::size_t, int>>{{0, 0}, {1, 10}});
  CHECK(ch.at(0).dropped() == 1);
  CHECK(ch.dropped() == 2);
  CHECK(drain(ch) == ints{1, 2, 11, 12});
}

TEST_CASE("close: refuses on every level, lets pops drain, is final") {
  priority_channel<int, 3> ch(4);
  CHECK(ch.at(2).push(2) == outcome::ok);
  CHECK(ch.at(0).push(0) == outcome::ok);
  CHECK_FALSE(ch.is_closed());
  ch.close();
  ch.close();
  CHECK(ch.is_closed());
  int v = 5;
  for (std::size_t l = 0; l < 3; ++l) CHECK(ch.at(l).push(v) == outcome::closed);
  ints got;
  for (const int value : ch) got.push_back(value);
  CHECK(got == ints{0, 2});
  CHECK(ch.try_pop(v) == outcome::closed);
  CHECK(v == 5);
}

TEST_CASE("limits go by the clock") {
  const watchdog guard("limits of a priority_channel");
  manual_clock time;
  priority_channel<int, 2, millrace::mpmc_queue<int>, manual_clock> ch(2, time);
  int v = 0;
  outcome popped = outcome::ok;
  std::thread popper([&] { popped = ch.pop_for(v, 10s); });
  time.await_waiters(1);
  time.advance(10s);
  popper.join();
  CHECK(popped == outcome::timeout);
  CHECK(ch.at(1).push(1) == outcome::ok);
  CHECK(ch.at(1).push(2) == outcome::ok);
  outcome pushed = outcome::ok;
  std::thread pusher([&] { pushed = ch.at(1).push_for(3, 10s); });
  time.await_waiters(1);
  time.advance(10s);
  pusher.join();
  CHECK(pushed == outcome::timeout);
  CHECK(drain(ch) == ints{1, 2});
}

TEST_CASE("sleepers are woken by any level, and by room in theirs") {
  const watchdog guard("sleepers at a priority_channel");
  priority_channel<int, 3> ch(2);
  for (std::size_t l = 0; l < 3; ++l) {
    std::optional<int> got;
    std::thread popper([&] { got = ch.pop(); });
    CHECK(ch.at(l).push(7) == outcome::ok);
    popper.join();
    CHECK(got == 7);
  }
  for (int i = 0; i < 2; ++i) CHECK(ch.at(1).push(i + 0) == outcome::ok);
  outcome pushed = outcome::full;
  std::thread pusher([&] { pushed = ch.at(1).push(2); });
  CHECK(ch.pop() == 0);
  pusher.join();
  CHECK(pushed == outcome::ok);
  CHECK(drain(ch) == ints{1, 2});
}

TEST_CASE("select and ready_fd know it") {
  priority_channel<int, 2> ch(2);
  const auto get = [](std::optional<int> v) { return v.value_or(-1); };
  CHECK(select(millrace::on_pop(ch, get), millrace::otherwise([] { return -2; })) == -2);
  CHECK(select(millrace::on_push(ch.at(1), 5, [](outcome o) { return static_cast<int>(o); })) == 0);
  CHECK(select(millrace::on_pop(ch, get)) == 5);
#if MILLRACE_HAS_EVENT_FD
  CHECK(ch.ready_fd() >= 0);
#endif
}

TEST_CASE("over queues for one producer and one consumer") {
  const watchdog guard("a priority_channel over spsc_queue");
  priority_channel<int, 2, millrace::spsc_queue<int>> ch(8);
  constexpr int each = 20'000;
  std::array<std::thread, 2> pushers;
  for (std::size_t l = 0; l < 2; ++l) {
    pushers[l] = std::thread([&, l] {
      for (int i = 0; i < each; ++i) static_cast<void>(ch.at(l).push(2 * i + static_cast<int>(l)));
    });
  }
  std::array<int, 2> next{};
  for (int i = 0; i < 2 * each; ++i) {
    const int v = *ch.pop();
    const auto l = static_cast<std::size_t>(v % 2);
    REQUIRE(v / 2 == next[l]++);
  }
  for (std::thread& t : pushers) t.join();
}

TEST_CASE("threads at every level: everything comes out once, each level in the order of its producer") {
  const watchdog guard("threads at a priority_channel");
  const bool weighted = GENERATE(false, true);
  std::optional<priority_channel<int, 3>> ch;
  weighted ? ch.emplace(16, std::array<std::uint32_t, 3>{4, 2, 1}) : ch.emplace(16);
  constexpr int each = 20'000;
  std::vector<std::thread> pushers;
  for (int l = 0; l < 3; ++l) {
    pushers.emplace_back([&, l] {
      for (int i = 0; i < each; ++i) static_cast<void>(ch->at(static_cast<std::size_t>(l)).push(3 * i + l));
    });
  }
  std::atomic<int> wrong{0};
  std::atomic<long> sum{0};
  std::vector<std::thread> poppers;
  for (int t = 0; t < 2; ++t) {
    poppers.emplace_back([&] {
      std::array<int, 3> last{-1, -1, -1};
      for (const int v : *ch) {
        int& l = last[static_cast<std::size_t>(v % 3)];
        if (v <= l) ++wrong;
        l = v;
        sum += v;
      }
    });
  }
  for (std::thread& t : pushers) t.join();
  ch->close();
  for (std::thread& t : poppers) t.join();
  CHECK(wrong == 0);
  CHECK(sum == 3L * each * (3 * each - 1) / 2);
}
