// What coroutines and channels are known for: a sieve, ping-pong, a ring, a storm of cancellation, fans, with exact results.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"

namespace {

using millrace::channel;
using millrace::inline_executor;
using millrace::outcome;
using millrace::overflow;
using support::coroutine;
using support::manual_executor;
using support::watchdog;
using support::watched;

using ints = std::vector<int>;
template <class Channel>
using many = std::vector<std::unique_ptr<Channel>>;

bool all_done(const std::vector<coroutine>& all) {
  return std::all_of(all.begin(), all.end(), [](const coroutine& c) { return c.done(); });
}

// ---- prime sieve: a chain that grows by one filter with each prime it finds

using sieve_link = channel<int, millrace::spsc_queue<int>>;

coroutine sieve_numbers(sieve_link& to) {
  for (int i = 2;; ++i) {
    const outcome o = co_await to.async_push(i);
    if (o != outcome::ok) break;
  }
}
coroutine without_multiples(sieve_link& from, sieve_link& to, int prime) {
  while (auto v = co_await from.async_pop()) {
    if (*v % prime == 0) continue;
    const outcome o = co_await to.async_push(*v);
    if (o != outcome::ok) break;
  }
  from.close();
  to.close();
}

// ---- a ring: each knows its own number, and its neighbour

struct message {
  bool elected;
  int number;
};
using mailbox = channel<message, millrace::unbounded_queue<message>>;

/// The election of Chang and Roberts: a number travels as long as it is the largest that it has met; the one whose own
/// number comes back is the leader, and tells all.
coroutine candidate(mailbox& mine, mailbox& next, int number, int& leader, int& passed) {
  outcome o = co_await next.async_push(message{false, number});
  while (auto m = co_await mine.async_pop()) {
    ++passed;
    if (m->elected) {
      leader = m->number;
      if (m->number != number) o = co_await next.async_push(std::move(*m));
      break;
    }
    if (m->number == number) {
      o = co_await next.async_push(message{true, number});
    } else if (m->number > number) {
      o = co_await next.async_push(std::move(*m));
    }
    if (o != outcome::ok) break;
  }
}
/// The same, resumed by a loop; the last one that hears of it stops the loops.
coroutine candidate_on(manual_executor& loop, mailbox& mine, mailbox& next, int number, int& leader,
                       std::atomic<std::size_t>& waiting, std::vector<manual_executor>& loops) {
  outcome o = co_await next.async_push(message{false, number}, loop.poster());
  while (auto m = co_await mine.async_pop(loop.poster())) {
    if (m->elected) {
      leader = m->number;
      if (m->number != number) o = co_await next.async_push(std::move(*m), loop.poster());
      break;
    }
    if (m->number == number) {
      o = co_await next.async_push(message{true, number}, loop.poster());
    } else if (m->number > number) {
      o = co_await next.async_push(std::move(*m), loop.poster());
    }
    if (o != outcome::ok) break;
  }
  if (waiting.fetch_sub(1) == 1) {
    for (auto& l : loops) l.stop();
  }
}

// ---- ping-pong

coroutine play(channel<int>& in, channel<int>& out, int rounds, int& hits) {
  while (auto ball = co_await in.async_pop()) {
    ++hits;
    if (*ball == rounds) break;
    const outcome o = co_await out.async_push(*ball + 1);
    if (o != outcome::ok) break;
  }
  out.close();
}

// ---- fans

coroutine produce(channel<int>& to, int from, int n) {
  for (int i = from; i < from + n; ++i) {
    const outcome o = co_await to.async_push(i);
    if (o != outcome::ok) break;
  }
}
coroutine forward(channel<int>& from, channel<int>& to, std::atomic<int>& passed, std::atomic<int>& running) {
  while (auto v = co_await from.async_pop()) {
    ++passed;
    const outcome o = co_await to.async_push(*v);
    if (o != outcome::ok) break;
  }
  if (running.fetch_sub(1) == 1) to.close();
}
coroutine collect(channel<int>& from, ints& all) {
  while (auto v = co_await from.async_pop()) all.push_back(*v);
}

}  // namespace

TEST_CASE("prime sieve") {
  constexpr std::size_t wanted = watched ? 60 : 300;
  std::vector<std::unique_ptr<sieve_link>> links;
  std::vector<coroutine> chain;
  ints primes;
  links.push_back(std::make_unique<sieve_link>(2));
  chain.push_back(sieve_numbers(*links.back()));
  while (primes.size() < wanted) {
    sieve_link& last = *links.back();
    primes.push_back(last.pop().value_or(0));
    links.push_back(std::make_unique<sieve_link>(2));
    chain.push_back(without_multiples(last, *links.back(), primes.back()));
  }
  ints expected;
  for (int i = 2; expected.size() < wanted; ++i) {
    if (std::none_of(expected.begin(), expected.end(), [i](int p) { return i % p == 0; }))
      expected.push_back(i);
  }
  CHECK(primes == expected);
  CHECK(std::none_of(chain.begin(), chain.end(), [](const coroutine& c) { return c.done(); }));
  SECTION("closed at its end: the news goes up the chain") {
    links.back()->close();
    CHECK(all_done(chain));
  }
  SECTION("destroyed where it stands, from either end") {
    if (GENERATE(true, false)) std::reverse(chain.begin(), chain.end());
    while (!chain.empty()) chain.pop_back();
  }
}

TEST_CASE("10,000 pairs play ping-pong") {
  constexpr int pairs = watched ? 1000 : 10000;
  constexpr int rounds = 20;
  struct table {
    channel<int> left{2};
    channel<int> right{2};
    int hits = 0;
  };
  std::vector<std::unique_ptr<table>> tables;
  std::vector<coroutine> players;
  for (int i = 0; i < pairs; ++i) {
    tables.push_back(std::make_unique<table>());
    table& t = *tables.back();
    players.push_back(play(t.left, t.right, rounds, t.hits));
    players.push_back(play(t.right, t.left, rounds, t.hits));
  }
  for (auto& t : tables) REQUIRE(t->left.push(1) == outcome::ok);
  CHECK(all_done(players));
  CHECK(std::all_of(tables.begin(), tables.end(), [](auto& t) { return t->hits == rounds; }));
}

TEST_CASE("pairs of which one plays by hand, from two threads at once") {
  const watchdog guard("ping-pong with threads");
  constexpr int rounds = watched ? 3000 : 30000;
  const auto match = [] {
    channel<int> left(2);
    channel<int> right(2);
    int hits = 0;
    const coroutine player = play(left, right, 2 * rounds + 1, hits);
    int ball = 1;
    for (int i = 0; i < rounds; ++i) {
      static_cast<void>(left.push(ball));
      ball = right.pop().value_or(-1) + 1;
    }
    left.close();
    return ball == 2 * rounds + 1 && hits == rounds && player.done() && right.is_closed();
  };
  bool one = false;
  std::thread other([&] { one = match(); });
  CHECK(match());
  other.join();
  CHECK(one);
}

TEST_CASE("a leader is elected on a ring") {
  constexpr std::size_t size = watched ? 200 : 1000;
  // The order around the ring that takes the most messages, the one that takes the fewest, and any.
  const int order = GENERATE(0, 1, 2);
  ints numbers(size);
  std::iota(numbers.begin(), numbers.end(), 1);
  if (order == 0) std::reverse(numbers.begin(), numbers.end());
  if (order == 2) std::shuffle(numbers.begin(), numbers.end(), std::mt19937(7));
  many<mailbox> ring;
  for (std::size_t i = 0; i < size; ++i) ring.push_back(std::make_unique<mailbox>());
  ints leaders(size, 0);
  std::vector<coroutine> all;
  SECTION("each resumes the next") {
    int passed = 0;
    for (std::size_t i = 0; i < size; ++i) {
      all.push_back(candidate(*ring[i], *ring[(i + 1) % size], numbers[i], leaders[i], passed));
    }
    const int n = static_cast<int>(size);
    // Falling numbers: the k-th largest goes k steps. Rising: all but the largest go one step. Then one more round.
    if (order == 0) CHECK(passed == n * (n + 1) / 2 + n);
    if (order == 1) CHECK(passed == (n - 1) + n + n);
  }
  SECTION("a loop resumes all") {
    std::vector<manual_executor> loops(1);
    std::atomic<std::size_t> waiting{size};
    for (std::size_t i = 0; i < size; ++i) {
      all.push_back(
          candidate_on(loops[0], *ring[i], *ring[(i + 1) % size], numbers[i], leaders[i], waiting, loops));
    }
    loops[0].run_all();
    CHECK(waiting == 0);
  }
  CHECK(all_done(all));
  CHECK(leaders == ints(size, static_cast<int>(size)));
  CHECK(std::all_of(ring.begin(), ring.end(), [](auto& m) { return m->empty_approx(); }));
}

TEST_CASE("a leader is elected on a ring that two loops run") {
  const watchdog guard("a ring on two threads");
  constexpr std::size_t size = watched ? 100 : 400;
  ints numbers(size);
  std::iota(numbers.begin(), numbers.end(), 1);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(11));
  many<mailbox> ring;
  for (std::size_t i = 0; i < size; ++i) ring.push_back(std::make_unique<mailbox>());
  ints leaders(size, 0);
  std::atomic<std::size_t> waiting{size};
  std::vector<manual_executor> loops(2);
  std::thread runners[] = {std::thread([&] { loops[0].run_until_stopped(); }),
                           std::thread([&] { loops[1].run_until_stopped(); })};
  std::vector<coroutine> all;
  for (std::size_t i = 0; i < size; ++i) {
    all.push_back(
        candidate_on(loops[i % 2], *ring[i], *ring[(i + 1) % size], numbers[i], leaders[i], waiting, loops));
  }
  for (auto& t : runners) t.join();
  CHECK(all_done(all));
  CHECK(leaders == ints(size, static_cast<int>(size)));
}

TEST_CASE("fan-out and fan-in: each job is done once") {
  constexpr int producers = 10;
  constexpr int each = watched ? 200 : 2000;
  constexpr int workers = 100;
  channel<int> jobs(4);
  channel<int> results(4);
  std::atomic<int> passed{0};
  std::atomic<int> running{workers};
  ints got;
  std::vector<coroutine> all;
  const auto start = [&](int what) {
    if (what == 0) {
      for (int i = 0; i < producers; ++i) all.push_back(produce(jobs, i * each, each));
    } else if (what == 1) {
      for (int i = 0; i < workers; ++i) all.push_back(forward(jobs, results, passed, running));
    } else {
      all.push_back(collect(results, got));
    }
  };
  ints order = {0, 1, 2};
  for (int skip = GENERATE(0, 1, 2, 3, 4, 5); skip > 0; --skip)
    std::next_permutation(order.begin(), order.end());
  for (const int what : order) start(what);
  jobs.close();
  CHECK(all_done(all));
  CHECK(running == 0);
  CHECK(passed == producers * each);
  std::sort(got.begin(), got.end());
  ints expected(static_cast<std::size_t>(producers * each));
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(got == expected);
}

TEST_CASE("fan-out and fan-in with threads at both ends: each job is done once") {
  const watchdog guard("fans between threads");
  constexpr int each = watched ? 3000 : 30000;
  constexpr int workers = 50;
  channel<int> jobs(16);
  channel<int> results(16);
  std::atomic<int> passed{0};
  std::atomic<int> running{workers};
  std::vector<coroutine> all;
  for (int i = 0; i < workers; ++i) all.push_back(forward(jobs, results, passed, running));
  ints got[2];
  std::vector<std::thread> threads;
  std::atomic<int> producing{2};
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < each; ++k) static_cast<void>(jobs.push(i * each + k));
      if (producing.fetch_sub(1) == 1) jobs.close();
    });
    threads.emplace_back([&, i] {
      for (const int v : results) got[i].push_back(v);
    });
  }
  for (auto& t : threads) t.join();
  CHECK(all_done(all));
  CHECK(passed == 2 * each);
  got[0].insert(got[0].end(), got[1].begin(), got[1].end());
  std::sort(got[0].begin(), got[0].end());
  ints expected(2 * each);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(got[0] == expected);
}

namespace {

coroutine wait_for_one(channel<int>& from, std::stop_token stop, int& slot) {
  const auto v = co_await from.async_pop(inline_executor(), std::move(stop));
  slot = v.value_or(-1);
}
coroutine wait_for_one(channel<int>& from, std::stop_token stop, int& slot, manual_executor& loop) {
  const auto v = co_await from.async_pop(loop.poster(), std::move(stop));
  slot = v.value_or(-1);
}

}  // namespace

TEST_CASE("a storm of cancellation: every coroutine gets a value or is cancelled, every value is somewhere") {
  const watchdog guard("a storm of cancellation");
  constexpr int waiting = watched ? 2000 : 10000;
  constexpr int pushed = waiting / 2;  // by each of two threads, to as many channels
  const bool looped = GENERATE(false, true);
  for (int round = 0; round < 5; ++round) {
    channel<int> channels[] = {channel<int>(waiting), channel<int>(waiting)};
    manual_executor loop;
    std::stop_source stop;
    ints slots(waiting, -2);
    std::vector<coroutine> all;
    for (std::size_t i = 0; i < waiting; ++i) {
      channel<int>& from = channels[i % 2];
      all.push_back(looped && i % 3 == 0 ? wait_for_one(from, stop.get_token(), slots[i], loop)
                                         : wait_for_one(from, stop.get_token(), slots[i]));
    }
    std::atomic<int> so_far{0};
    const auto push_into = [&](int which) {
      for (int k = 0; k < pushed; ++k) {
        static_cast<void>(channels[which].push(2 * k + which));
        so_far.fetch_add(1, std::memory_order_relaxed);
      }
    };
    std::thread first(push_into, 0);
    std::thread second(push_into, 1);
    std::thread runner([&] { loop.run_until_stopped(); });
    while (so_far.load(std::memory_order_relaxed) < waiting / 10 * (round + 1)) std::this_thread::yield();
    stop.request_stop();
    first.join();
    second.join();
    loop.stop();
    runner.join();
    CHECK(all_done(all));
    ints values;
    for (std::size_t i = 0; i < waiting; ++i) {
      if (slots[i] == -1) continue;
      REQUIRE(slots[i] % 2 == static_cast<int>(i % 2));
      values.push_back(slots[i]);
    }
    for (auto& ch : channels) {
      while (const auto v = ch.try_pop()) values.push_back(*v);
      CHECK(ch.dropped() == 0);
    }
    std::sort(values.begin(), values.end());
    ints expected(2 * pushed);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(values == expected);
  }
}
