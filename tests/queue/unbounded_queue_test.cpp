// Every verb and edge of unbounded_queue: growth, memory that comes and goes, allocations that fail. What many threads do
// is the business of histories_test and stalls_test.
#include "millrace/queue/unbounded_queue.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace {

using millrace::outcome;
using millrace::unbounded_queue;
using millrace::use_allocator;
using support::check_books;
using support::drain;
using support::instances;
using support::make;
using support::number;
using support::numbers;

#define ALL_KINDS                                                                                            \
  int, support::eight, std::unique_ptr<int>, std::string, support::block, support::copied, support::moved,   \
      support::aligned

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("the rings' places are checked, by name and range") {
  for (const std::size_t bad : {std::size_t{0}, (std::size_t{1} << 31) + 1, ~std::size_t{0}}) {
    const std::string text = refusal([&] { const unbounded_queue<int> q(bad); });
    INFO(text);
    CHECK(text.find("unbounded_queue: first_ring must be 1 to 2147483648") != std::string::npos);
  }
  CHECK(refusal([] {
          const unbounded_queue<int> q(4, (std::size_t{1} << 31) + 1);
        }).find("unbounded_queue: largest_ring must be first_ring to 2147483648") != std::string::npos);
  CHECK(refusal([] { const unbounded_queue<int> q(16, 8); }).find("largest_ring must be first_ring to") !=
        std::string::npos);
  CHECK(unbounded_queue<int>(3, 3).capacity() == 4);
  CHECK(unbounded_queue<int>(1, 1).capacity() == 2);
  CHECK(unbounded_queue<int>(100'000).capacity() == 131'072);
}

TEMPLATE_TEST_CASE("in order, whatever the number", "", ALL_KINDS) {
  instances::reset();
  {
    unbounded_queue<TestType> q(2, 8);
    CHECK_FALSE(q.try_pop());
    for (int round = 0; round < 5; ++round) {
      for (const int n : {1, 2, 3, 7, 100}) {
        for (int i = 0; i < n; ++i) q.push(make<TestType>(i));
        CHECK(q.size_approx() == static_cast<std::size_t>(n));
        CHECK(drain(q) == numbers(0, n));
        CHECK(q.empty_approx());
      }
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("destroyed in any state", "", ALL_KINDS) {
  for (int pushed = 0; pushed < 40; ++pushed) {
    for (int popped = 0; popped <= pushed; popped += 3) {
      instances::reset();
      {
        unbounded_queue<TestType> q(2, 4);
        for (int i = 0; i < pushed; ++i) q.push(make<TestType>(i));
        for (int i = 0; i < popped; ++i) CHECK(number(*q.try_pop()) == i);
      }
      check_books();
    }
  }
}

TEST_CASE("while the backlog fits a ring, nothing is allocated") {
  unbounded_queue<std::uint64_t> q(64);
  q.push(0);
  const long before = support::allocations;
  for (std::uint64_t i = 1; i < 100'000; ++i) {
    q.push(i + 0);
    CHECK(q.try_pop() == i - 1);
  }
  CHECK(support::allocations == before);
  CHECK(q.capacity() == 64);
  CHECK(q.high_water() == 64);
}

TEST_CASE("a backlog of constant size circles through its rings") {
  support::allocator_books books;
  using allocator = support::counting_allocator<int>;
  {
    unbounded_queue<int, use_allocator<allocator>> q(8, 8, allocator(books));
    for (int i = 0; i < 12; ++i) q.push(i + 0);
    for (int i = 0; i < 64; ++i) {
      q.push(12 + i);
      CHECK(q.try_pop() == i);
    }
    const long before = books.allocations;
    for (int i = 64; i < 10'000; ++i) {
      q.push(12 + i);
      CHECK(q.try_pop() == i);
    }
    CHECK(books.allocations == before);
  }
  CHECK(books.allocations == books.deallocations);
}

TEST_CASE("capacity and high water tell what a burst took, and that it was given back") {
  unbounded_queue<int> q(2, 16);
  CHECK(q.capacity() == 2);
  for (int i = 0; i < 1000; ++i) q.push(i + 0);
  const std::size_t most = q.capacity();
  CHECK(most >= 1000);
  CHECK(most <= 1000 + 16);
  CHECK(drain(q) == numbers(0, 1000));
  CHECK(q.capacity() <= 3 * 16);  // the one in use, and two to spare
  CHECK(q.high_water() == most);
}

TEST_CASE("batches, parts and copies") {
  unbounded_queue<std::string> q(2, 4);
  const std::vector<std::string> words = {"a", "b", "c", "d", "e"};
  q.push_n(words.begin(), words.size());
  q.push(words[0]);
  q.emplace(3u, 'x');
  std::vector<std::string> moved = {"m", "n"};
  q.push_n(std::move_iterator(moved.begin()), moved.size());
  std::vector<std::string> out;
  CHECK(q.try_pop_n(std::back_inserter(out), 7) == 7);
  CHECK(q.try_pop_n(std::back_inserter(out), 7) == 2);
  CHECK(out == std::vector<std::string>{"a", "b", "c", "d", "e", "a", "xxx", "m", "n"});
  CHECK(words[0] == "a");
  unbounded_queue<support::eight> eights(2, 2);
  for (int i = 0; i < 5; ++i) eights.emplace(i);
  CHECK(drain(eights) == numbers(0, 5));
}

TEMPLATE_TEST_CASE("what throws in a push leaves the queue as it was", "", support::copied, support::steady) {
  instances::reset();
  {
    unbounded_queue<TestType> q(2, 4);
    int expected = 0;
    for (long n = 1; n < 30; ++n) {
      const TestType value(expected);
      instances::throw_at(n % 3 + 1);
      try {
        q.push(value);
        ++expected;
      } catch (const support::thrown&) {
      }
      instances::spare();
      CHECK(value.value() == number(value));
    }
    CHECK(drain(q) == numbers(0, expected));
  }
  check_books();
}

TEMPLATE_TEST_CASE("an allocation that fails loses nothing, whichever it is", "", int, std::unique_ptr<int>,
                   support::block) {
  using allocator = support::counting_allocator<TestType>;
  using queue = unbounded_queue<TestType, use_allocator<allocator>>;
  bool through = false;
  for (long n = 1; !through; ++n) {
    REQUIRE(n < 1000);
    support::allocator_books books;
    books.refuse_at = n;
    std::unique_ptr<queue> q;
    try {
      q = std::make_unique<queue>(2, 8, allocator(books));
    } catch (const std::bad_alloc&) {
      CHECK(books.allocations == books.deallocations);
      continue;
    }
    int pushed = 0;
    int popped = 0;
    int refused = 0;
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < 20; ++i) {
        TestType value = make<TestType>(pushed);
        try {
          q->push(std::move(value));
        } catch (const std::bad_alloc&) {
          ++refused;
          CHECK(number(value) == pushed);
          q->push(std::move(value));
        }
        ++pushed;
      }
      for (int i = 0; i < 15; ++i) CHECK(number(*q->try_pop()) == popped++);
    }
    CHECK(drain(*q) == numbers(popped, pushed - popped));
    CHECK(refused <= 1);
    through = books.refuse_at > 0;
    q.reset();
    CHECK(books.allocations == books.deallocations);
  }
}

TEST_CASE("a value whose move uses the queue that it is in") {
  unbounded_queue<support::hooked> q(2, 2);
  for (int i = 0; i < 5; ++i) {
    q.push(support::hooked(i, [&](int move) {
      if (move == 2) q.push(support::hooked(100));  // the pop's
    }));
  }
  int popped = 0;
  while (auto v = q.try_pop()) {
    if (++popped <= 5) CHECK(v->value() == popped - 1);
  }
  CHECK(popped == 10);
}

TEST_CASE("a thread that ends gives its hazard pointer back") {
  using home = millrace::detail::hazard_home<millrace::std_sync>;
  unbounded_queue<int> q(2, 2);
  for (int i = 0; i < 200; ++i) std::thread([&] { q.push(i + 0); }).join();
  CHECK(drain(q) == numbers(0, 200));
  // One of those that need no allocation is free, though there are only 64.
  auto& all = home::all();
  auto& slot = all.take();
  const auto* const from = reinterpret_cast<const std::byte*>(&all);
  const auto* const at = reinterpret_cast<const std::byte*>(&slot);
  CHECK((at >= from && at < from + sizeof all));
  all.give_back(slot);
}

#if defined(__linux__)
namespace {
std::size_t resident_bytes() {
  long pages = 0;
  if (std::FILE* const f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
    std::fclose(f);
  }
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}
}  // namespace

TEST_CASE("ten million at once, and the memory goes back") {
  if (support::watched) return;  // a sanitizer keeps what is freed
  constexpr std::uint64_t burst = 10'000'000;
  constexpr std::size_t ring = 16'384 * 16;
  unbounded_queue<std::uint64_t> q;
  for (std::uint64_t i = 0; i < 100'000; ++i) q.push(i + 0);
  while (q.try_pop()) {
  }
  const std::size_t before = resident_bytes();
  // Twice: an allocator may learn from the first burst to keep what it is given back.
  for (int time = 0; time < 2; ++time) {
    for (std::uint64_t i = 0; i < burst; ++i) q.push(i + 0);
    const std::size_t most = resident_bytes();
    CHECK(q.size_approx() == burst);
    std::uint64_t in_order = 0;
    while (const auto v = q.try_pop()) in_order += *v == in_order ? 1 : 0;
    const std::size_t after = resident_bytes();
    std::printf("resident: %zu KiB, %zu with ten million, %zu after; %.1f bytes each\n", before / 1024,
                most / 1024, after / 1024, static_cast<double>(most - before) / static_cast<double>(burst));
    CHECK(in_order == burst);
    CHECK(most - before <= burst * 16 * 5 / 4);
    CHECK(after <= before + before / 10 + ring);
  }
}
#endif

TEST_CASE("under a channel: a push never waits, close is exact") {
  millrace::channel<int, unbounded_queue<int>> c;
  for (int i = 0; i < 1000; ++i) CHECK(c.try_push(i + 0) == outcome::ok);
  c.close();
  CHECK(c.push(7) == outcome::closed);
  int expected = 0;
  for (const int v : c) CHECK(v == expected++);
  CHECK(expected == 1000);
  CHECK(c.pop() == std::nullopt);
}

TEST_CASE("under a channel: threads push, pop, and close meanwhile") {
  const support::watchdog dog("threads at a channel over unbounded_queue");
  for (int round = 0; round < 50; ++round) {
    millrace::channel<std::unique_ptr<int>, unbounded_queue<std::unique_ptr<int>>> c;
    std::atomic<long> in{0};
    std::atomic<long> out{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; c.push(std::make_unique<int>(i)) == outcome::ok; ++i) in += i;
      });
      threads.emplace_back([&] {
        for (const auto& v : c) {
          out += *v;
          if (*v == 500) c.close();
        }
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(in == out);
  }
}
