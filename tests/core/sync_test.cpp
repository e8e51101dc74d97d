// The machine's own seam: the pair exchange, parking and waking.
#include "millrace/core/sync.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/watchdog.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace {

using namespace std::chrono_literals;
using millrace::std_sync;
static_assert(std::is_same_v<std_sync::atomic<int>, std::atomic<int>>, "nothing over the standard's");

}  // namespace

#if MILLRACE_HAS_DWCAS

namespace {
using millrace::detail::word_pair;
using pair = std_sync::atomic_pair;
constexpr auto acquire = std::memory_order_acquire;
}  // namespace

static_assert(sizeof(pair) == 16 && alignof(pair) == 16);

TEST_CASE("a pair is exchanged whole, or not at all") {
  pair p({1, 2});
  CHECK(p.first(acquire) == 1);
  CHECK(p.second(acquire) == 2);
  word_pair expected{1, 2};
  CHECK(p.compare_exchange(expected, {3, 4}, acquire));
  CHECK(p.first(acquire) == 3);
  CHECK(p.second(acquire) == 4);
  CHECK(expected.first == 1);
  CHECK(expected.second == 2);

  // Either half that differs is enough, and what stood there is told.
  for (const word_pair wrong : {word_pair{9, 4}, word_pair{3, 9}, word_pair{9, 9}, word_pair{4, 3}}) {
    expected = wrong;
    CHECK_FALSE(p.compare_exchange(expected, {7, 8}, acquire));
    CHECK(expected.first == 3);
    CHECK(expected.second == 4);
    CHECK(p.first(acquire) == 3);
    CHECK(p.second(acquire) == 4);
  }
  constexpr std::uint64_t all = ~std::uint64_t{0};
  expected = {3, 4};
  CHECK(p.compare_exchange(expected, {all, all - 1}, acquire));
  expected = {all, all - 1};
  CHECK(p.compare_exchange(expected, {0, all}, acquire));
  CHECK(p.first(acquire) == 0);
  CHECK(p.second(acquire) == all);
}

TEST_CASE("two threads that exchange a pair lose no step, and never see half of one") {
  const support::watchdog guard("a pair under contention");
  constexpr std::uint64_t each = 500'000;
  // Often, so that they run side by side at least once on a busy machine.
  for (int round = 0; round < 8; ++round) {
    pair p({0, ~std::uint64_t{0}});
    std::barrier start(2);
    const auto climb = [&] {
      start.arrive_and_wait();
      for (std::uint64_t i = 0; i < each;) {
        const std::uint64_t first = p.first(acquire);
        word_pair expected{first, ~first};  // the second half mirrors the first
        if (p.compare_exchange(expected, {first + 1, ~(first + 1)}, std::memory_order_acq_rel)) ++i;
      }
    };
    std::thread other(climb);
    climb();
    other.join();
    CHECK(p.first(acquire) == 2 * each);
    CHECK(p.second(acquire) == ~(2 * each));
  }
}

TEST_CASE("what was written before an exchange is seen after it") {
  const support::watchdog guard("publication by a pair");
  pair p({0, 0});
  int data = 0;
  std::thread reader([&] {
    while (p.first(acquire) == 0) std_sync::pause();
    data += 1;
  });
  data = 41;
  word_pair expected{0, 0};
  CHECK(p.compare_exchange(expected, {1, 0}, std::memory_order_release));
  reader.join();
  CHECK(data == 42);
}

#endif

// Store buffering (Dekker): without the heavy fence both miss the other in a few of ten thousand rounds.
TEST_CASE(
    "of two threads that announce themselves, one with a light and one with a heavy fence, one sees the "
    "other") {
  const support::watchdog guard("asymmetric fences");
  std_sync::prepare_fences();
  constexpr int rounds = 100'000;
  std::atomic<int> turn[2] = {0, 0};
  struct alignas(128) side {
    std::atomic<int> announced{0};
    std::atomic<int> saw{0};
  } sides[2];
  int missed = 0;
  // They meet before each round by spinning, because a barrier would keep them further apart than a store is buffered.
  const auto meet = [&](int i, int round) {
    turn[i].store(round, std::memory_order_release);
    for (int looks = 0; turn[1 - i].load(std::memory_order_acquire) < round; ++looks) {
      if (looks > 1000) std::this_thread::yield();
    }
  };
  const auto announce = [&](int i, auto fence) {
    for (int round = 1; round <= rounds; ++round) {
      meet(i, 2 * round);
      sides[i].announced.store(round, std::memory_order_relaxed);
      fence();
      sides[i].saw.store(sides[1 - i].announced.load(std::memory_order_relaxed), std::memory_order_relaxed);
      meet(i, 2 * round + 1);
      if (i == 0 && sides[0].saw.load(std::memory_order_relaxed) != round &&
          sides[1].saw.load(std::memory_order_relaxed) != round) {
        ++missed;
      }
    }
  };
  std::thread other(announce, 1, [] { std_sync::heavy_fence(); });
  announce(0, [] { std_sync::light_fence(); });
  other.join();
  CHECK(missed == 0);
}

TEST_CASE("park returns at once when the word has changed") {
  std::atomic<std::uint32_t> word{1};
  std_sync::park(word, 0);
  CHECK(std_sync::park_until(word, 0, std::chrono::steady_clock::now() + 24h));
}

TEST_CASE("a parked thread is woken") {
  const support::watchdog guard("park and unpark");
  int woken = 0;
  for (int round = 0; round < 200; ++round) {
    std::atomic<std::uint32_t> word{0};
    std::thread sleeper([&] {
      while (word.load() == 0) {
        if (round % 2 == 0) {
          std_sync::park(word, 0);
        } else {
          static_cast<void>(std_sync::park_until(word, 0, (std::chrono::steady_clock::time_point::max)()));
        }
      }
      ++woken;
    });
    word = 1;
    std_sync::unpark(word);
    sleeper.join();
  }
  CHECK(woken == 200);
}

TEMPLATE_TEST_CASE("a limit that has passed is told, and one that is near is kept", "",
                   std::chrono::steady_clock, std::chrono::system_clock) {
  const support::watchdog guard("a limit");
  std::atomic<std::uint32_t> word{0};
  using time_point = typename TestType::time_point;
  CHECK_FALSE(std_sync::park_until(word, 0, (time_point::min)()));
  CHECK_FALSE(std_sync::park_until(word, 0, time_point(-1ns)));
  CHECK_FALSE(std_sync::park_until(word, 0, time_point(0ns)));
  CHECK_FALSE(std_sync::park_until(word, 0, time_point(1ns)));
  CHECK_FALSE(std_sync::park_until(word, 0, TestType::now()));
  const auto limit = TestType::now() + 3ms;
  while (std_sync::park_until(word, 0, limit)) {
  }
  CHECK(TestType::now() >= limit);
}

TEST_CASE("spinning helps where there is another processor") {
#if defined(__linux__)
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CHECK(std_sync::spinning_helps() == (CPU_COUNT(&before) > 1));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  }
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK_FALSE(std_sync::spinning_helps());
  REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
#else
  CHECK(std_sync::spinning_helps() == (std::thread::hardware_concurrency() > 1));
#endif
}

TEST_CASE("entropy differs between threads") {
  // All at once, so that no two share a stack.
  constexpr int n = 8;
  std::vector<std::uint32_t> bits(n);
  std::atomic<int> there{0};
  std::vector<std::thread> threads;
  for (auto& mine : bits) {
    threads.emplace_back([&] {
      mine = std_sync::entropy();
      ++there;
      while (there != n) std::this_thread::yield();
    });
  }
  for (auto& t : threads) t.join();
  CHECK(std::set<std::uint32_t>(bits.begin(), bits.end()).size() == n);
}

TEST_CASE("random numbers below n: every one comes, about as often, and not in turns") {
  constexpr std::size_t n = 7;
  constexpr int draws = 70'000;
  std::vector<int> times(n);
  int ascending = 0;
  std::size_t before = 0;
  for (int i = 0; i < draws; ++i) {
    const std::size_t r = std_sync::random_below(n);
    REQUIRE(r < n);
    ++times[r];
    ascending += r == (before + 1) % n;
    before = r;
  }
  for (const int t : times)
    CHECK(std::abs(t - draws / static_cast<int>(n)) < 600);  // six standard deviations
  CHECK(std::abs(ascending - draws / static_cast<int>(n)) < 600);
  CHECK(std_sync::random_below(1) == 0);
}
