#include "millrace/metrics/counter.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"

namespace {

using millrace::counter;

constexpr std::uint64_t adds = SUPPORT_SANITIZED ? 20'000 : 200'000;

}  // namespace

TEST_CASE("a counter counts") {
  counter c;
  CHECK(c.value() == 0);
  c.add();
  c.add(41);
  c.add(0);
  CHECK(c.value() == 42);
  c.add(~std::uint64_t{0} - 41);
  CHECK(c.value() == 0);  // 2^64
}

TEST_CASE("threads have numbers of their own") {
  std::array<std::size_t, 8> numbers{};
  std::array<std::size_t, 8> again{};
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      threads.emplace_back([&, i] {
        numbers[i] = millrace::detail::thread_number();
        again[i] = millrace::detail::thread_number();
      });
    }
  }
  CHECK(std::set<std::size_t>(numbers.begin(), numbers.end()).size() == numbers.size());
  CHECK(numbers == again);
}

TEST_CASE("no add of any thread is lost") {
  constexpr std::uint64_t count = 2 * counter::most_stripes + 2;  // each stripe has two at least
  counter c;
  counter other;
  std::atomic<bool> all_there{false};
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 1; t <= count; ++t) {
      threads.emplace_back([&, t] {
        all_there.wait(false);
        for (std::uint64_t i = 0; i < adds / 2; ++i) c.add(t);
        other.add();
      });
    }
    all_there = true;
    all_there.notify_all();
  }
  CHECK(c.value() == adds / 2 * (count * (count + 1) / 2));
  CHECK(other.value() == count);
}

TEST_CASE("what one thread reads never goes down, and ends at the sum") {
  counter c;
  std::atomic<int> adding{2};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < adds; ++i) c.add();
      --adding;
    });
  }
  bool down = false;
  std::uint64_t last = 0;
  while (adding.load() != 0) {
    const std::uint64_t now = c.value();
    down = down || now < last;
    last = now;
  }
  CHECK_FALSE(down);
  CHECK(c.value() == 2 * adds);
}

TEST_CASE("only the constructor allocates") {
  const long before = support::allocations;
  counter c;
  CHECK(support::allocations == before + 1);
  for (int i = 0; i < 100; ++i) c.add();
  CHECK(c.value() == 100);
  CHECK(support::allocations == before + 1);
}
