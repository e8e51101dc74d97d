// Every verb and edge of mpmc_queue, on both rings and with every kind of value. Two threads only where the
// point is that there are two; what many of them do is the business of histories_test and stalls_test.
#include "millrace/queue/mpmc_queue.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"

namespace {

using millrace::mpmc_queue;
using millrace::use_allocator;
using millrace::use_first_position;
using millrace::use_patience;
using millrace::use_sync;
using support::check_books;
using support::drain;
using support::instances;
using support::make;
using support::number;
using support::numbers;

/// A seam without a double-width exchange: on it an int is stored in place too.
struct slots_only : millrace::std_sync {
 private:
  using atomic_pair = void;
};

/// Which queue of which T a test runs on.
template <class T, class... Options>
struct kind {
  using type = T;
  using queue = mpmc_queue<T, Options...>;
};

#define ALL_KINDS                                                                                            \
  kind<int>, (kind<int, use_sync<slots_only>>), kind<support::eight>, kind<std::unique_ptr<int>>,            \
      kind<std::string>, kind<support::block>, kind<support::copied>, kind<support::moved>,                  \
      kind<support::aligned>, (kind<support::block, use_patience<0>>)

template <class Queue, class... Args>
concept emplaces = requires(Queue& q, Args&&... args) { q.try_emplace(std::forward<Args>(args)...); };
template <class Queue, class Value>
concept pushes = requires(Queue& q, Value&& value) { q.try_push(std::forward<Value>(value)); };

}  // namespace

TEST_CASE("capacity: rounded up to a power of two, at least two") {
  const auto [asked, given] = GENERATE(table<std::size_t, std::size_t>(
      {{1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}, {1024, 1024}, {1025, 2048}}));
  CHECK(mpmc_queue<int>(asked).capacity() == given);
  CHECK(mpmc_queue<support::block>(asked).capacity() == given);
}

TEMPLATE_TEST_CASE("capacity: 0 and above 2^31 are refused, by name and range", "", int, support::block) {
  const auto message = [](std::size_t capacity) -> std::string {
    try {
      const mpmc_queue<TestType> q(capacity);
    } catch (const std::length_error& e) {
      return e.what();
    }
    return "accepted";
  };
  const std::size_t bad = GENERATE(std::size_t{0}, (std::size_t{1} << 31) + 1, ~std::size_t{0});
  const std::string text = message(bad);
  INFO(text);
  CHECK(text.find("mpmc_queue") != std::string::npos);
  CHECK(text.find("capacity") != std::string::npos);
  CHECK(text.find("1 to 2147483648") != std::string::npos);
}

TEMPLATE_TEST_CASE("capacity: 2^31 is in range, and reaches the allocator whole", "", int, support::block) {
  support::allocator_books books;
  using allocator = support::counting_allocator<TestType>;
  using queue = mpmc_queue<TestType, use_allocator<allocator>>;
  CHECK_THROWS_AS(queue(std::size_t{1} << 31, allocator(books)), std::bad_alloc);
  CHECK(books.bytes >= (std::size_t{1} << 31) * sizeof(TestType));
  CHECK_THROWS_AS(queue((std::size_t{1} << 30) + 1, allocator(books)), std::bad_alloc);
  CHECK(books.bytes >= (std::size_t{1} << 31) * sizeof(TestType));
  CHECK(books.deallocations == 0);
}

TEMPLATE_TEST_CASE("full and empty are exact, in order, over many laps", "", ALL_KINDS) {
  using T = typename TestType::type;
  instances::reset();
  {
    const std::size_t asked = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{8});
    typename TestType::queue q(asked);
    const int n = static_cast<int>(q.capacity());
    int pushed = 0;
    int popped = 0;
    CHECK_FALSE(q.try_pop().has_value());
    // Every fill level is reached and left again, at every place in the ring.
    for (int lap = 0; lap < 40; ++lap) {
      for (int fill = 1; fill <= n; ++fill) {
        for (int i = 0; i < fill; ++i) REQUIRE(q.try_push(make<T>(pushed++)));
        REQUIRE(q.size_approx() == static_cast<std::size_t>(fill));
        if (fill == n) {
          T extra = make<T>(12345);
          REQUIRE_FALSE(q.try_push(std::move(extra)));
          REQUIRE(number(extra) == 12345);
        }
        for (int i = 0; i < fill; ++i) {
          auto v = q.try_pop();
          REQUIRE(v.has_value());
          REQUIRE(number(*v) == popped++);
        }
        REQUIRE_FALSE(q.try_pop().has_value());
        T out = make<T>(54321);
        REQUIRE_FALSE(q.try_pop(out));
        REQUIRE(number(out) == 54321);
        REQUIRE(q.empty_approx());
      }
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("both pops, both pushes, emplace", "", ALL_KINDS) {
  using T = typename TestType::type;
  instances::reset();
  {
    typename TestType::queue q(8);
    REQUIRE(q.try_push(make<T>(1)));
    if constexpr (std::is_copy_constructible_v<T>) {
      const T two = make<T>(2);
      REQUIRE(q.try_push(two));
      CHECK(number(two) == 2);
    } else {
      static_assert(!pushes<typename TestType::queue, const T&>, "a move-only type is not copied");
      REQUIRE(q.try_push(make<T>(2)));
    }
    REQUIRE(q.try_emplace(make<T>(3)));
    T out = make<T>(0);
    CHECK(q.try_pop(out));
    CHECK(number(out) == 1);
    CHECK(drain(q) == std::vector{2, 3});
  }
  check_books();
}

TEST_CASE("emplace constructs from parts, and spares them when full") {
  SECTION("in place") {
    mpmc_queue<std::string> q(2);
    std::string text = "kept whatever happens, as it is an lvalue";
    REQUIRE(q.try_emplace(std::size_t{3}, 'x'));
    REQUIRE(q.try_emplace(text));
    CHECK_FALSE(q.try_emplace(text));
    CHECK_FALSE(q.try_emplace(std::move(text)));
    CHECK(text == "kept whatever happens, as it is an lvalue");
    CHECK(q.try_pop() == "xxx");
    CHECK(q.try_pop() == text);
  }
  SECTION("from nothing") {
    mpmc_queue<std::string> q(2);
    REQUIRE(q.try_emplace());
    CHECK(q.try_pop() == "");
    mpmc_queue<int> words(2);
    REQUIRE(words.try_emplace());
    CHECK(words.try_pop() == 0);
  }
  SECTION("as a word") {
    mpmc_queue<support::eight> q(2);
    REQUIRE(q.try_emplace(7));
    REQUIRE(q.try_emplace(8));
    CHECK_FALSE(q.try_emplace(9));
    CHECK(drain(q) == std::vector{7, 8});
  }
  static_assert(!emplaces<mpmc_queue<support::eight>>, "there is no such constructor");
  static_assert(emplaces<mpmc_queue<support::eight>, int>);
}

TEMPLATE_TEST_CASE("positions wrap, wherever they begin", "", int, support::block, std::unique_ptr<int>) {
  const auto run = []<std::uint64_t First>(std::integral_constant<std::uint64_t, First>) {
    CAPTURE(First);
    mpmc_queue<TestType, use_first_position<First>> q(4);
    int pushed = 0;
    int popped = 0;
    REQUIRE_FALSE(q.try_pop().has_value());
    for (int lap = 0; lap < 20; ++lap) {
      for (int i = 0; i < 4; ++i) REQUIRE(q.try_push(make<TestType>(pushed++)));
      REQUIRE_FALSE(q.try_push(make<TestType>(-1)));
      REQUIRE(q.size_approx() == 4);
      for (int i = 0; i < 3; ++i) REQUIRE(number(*q.try_pop()) == popped++);
      REQUIRE(q.size_approx() == 1);
      REQUIRE(q.try_push(make<TestType>(pushed++)));
      REQUIRE(drain(q) == std::vector{popped, popped + 1});
      popped += 2;
      REQUIRE(q.size_approx() == 0);
    }
  };
  // 60 bits of position in one ring, 62 in the other, and the whole word
  constexpr auto below = [](int bits) constexpr {
    return (bits == 64 ? std::uint64_t{0} : std::uint64_t{1} << bits) - 11;
  };
  run(std::integral_constant<std::uint64_t, below(59)>{});
  run(std::integral_constant<std::uint64_t, below(60)>{});
  run(std::integral_constant<std::uint64_t, below(61)>{});
  run(std::integral_constant<std::uint64_t, below(62)>{});
  run(std::integral_constant<std::uint64_t, below(63)>{});
  run(std::integral_constant<std::uint64_t, below(64)>{});
  run(std::integral_constant<std::uint64_t, ~std::uint64_t{0}>{});
}

TEMPLATE_TEST_CASE("batches: what fits, in order", "", ALL_KINDS) {
  using T = typename TestType::type;
  instances::reset();
  {
    typename TestType::queue q(8);
    std::vector<T> source;
    for (int i = 0; i < 12; ++i) source.push_back(make<T>(i));
    CHECK(q.try_push_n(std::make_move_iterator(source.begin()), 0) == 0);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin()), 5) == 5);
    // A partial fit: three of seven, and the other four still hold their values.
    CHECK(q.try_push_n(std::make_move_iterator(source.begin() + 5), 7) == 3);
    for (int i = 8; i < 12; ++i) CHECK(number(source[static_cast<std::size_t>(i)]) == i);
    CHECK(q.size_approx() == 8);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin() + 8), 4) == 0);
    CHECK(number(source[8]) == 8);

    std::vector<T> sink;
    CHECK(q.try_pop_n(std::back_inserter(sink), 0) == 0);
    CHECK(q.try_pop_n(std::back_inserter(sink), 3) == 3);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin() + 8), 2) == 2);
    CHECK(q.try_pop_n(std::back_inserter(sink), 100) == 7);
    CHECK(q.try_pop_n(std::back_inserter(sink), 100) == 0);
    CHECK(q.empty_approx());
    REQUIRE(sink.size() == 10);
    for (int i = 0; i < 10; ++i) CHECK(number(sink[static_cast<std::size_t>(i)]) == i);

    if constexpr (std::is_copy_constructible_v<T>) {
      const std::vector<T> kept(sink.begin(), sink.begin() + 4);
      CHECK(q.try_push_n(kept.begin(), 4) == 4);
      CHECK(drain(q) == numbers(0, 4));
      CHECK(number(kept[3]) == 3);
    }
  }
  check_books();
}

TEST_CASE("batches take what an iterator gives: other types, generated values, one pass only") {
  mpmc_queue<long> q(4);
  const std::vector<short> shorts{1, 2, 3};
  CHECK(q.try_push_n(shorts.begin(), 3) == 3);
  CHECK(q.try_pop() == 1L);

  struct countdown {
    int* left;
    int operator*() const { return *left; }
    countdown& operator++() {
      --*left;
      return *this;
    }
  };
  int left = 9;
  CHECK(q.try_push_n(countdown{&left}, 10) == 2);
  CHECK(left == 7);  // stepped once for each that went in, and not for the one that was refused
  std::vector<long> out;
  CHECK(q.try_pop_n(std::back_inserter(out), 10) == 4);
  CHECK(out == std::vector<long>{2, 3, 9, 8});
}

TEST_CASE("a throwing copy or constructor leaves the queue as it was, room included") {
  instances::reset();
  {
    mpmc_queue<support::steady> q(4);
    const support::steady value(777);
    for (int fill = 0; fill < 4; ++fill) {
      for (int i = 0; i < fill; ++i) REQUIRE(q.try_emplace(i));
      for (int again = 0; again < 9; ++again) {
        instances::throw_at(1);
        REQUIRE_THROWS_AS(q.try_push(value), support::thrown);
        instances::throw_at(1);
        REQUIRE_THROWS_AS(q.try_emplace(5), support::thrown);
        instances::throw_at(1);
        REQUIRE_THROWS_AS(q.try_push_n(&value, 1), support::thrown);
      }
      REQUIRE(q.size_approx() == static_cast<std::size_t>(fill));
      for (int i = fill; i < 4; ++i) REQUIRE(q.try_emplace(i));
      REQUIRE(drain(q) == numbers(0, 4));
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("a throwing copy or move in a push: nothing goes in, nothing is lost", "", support::copied,
                   support::moved, support::aligned) {
  instances::reset();
  {
    mpmc_queue<TestType> q(4);
    int pushed = 0;
    int popped = 0;
    // At every fill level, round the ring: the place that the exception spoilt must be passed by both sides.
    for (int round = 0; round < 60; ++round) {
      const int fill = round % 4;
      for (int i = 0; i < fill; ++i) REQUIRE(q.try_push(TestType(pushed++)));
      {
        TestType value(777);
        instances::throw_at(1);
        const int verb = round / 4 % 3;
        if (verb == 0) REQUIRE_THROWS_AS(q.try_push(std::move(value)), support::thrown);
        if (verb == 1) REQUIRE_THROWS_AS(q.try_emplace(778), support::thrown);
        if (verb == 2) {
          if constexpr (std::is_copy_constructible_v<TestType>) {
            REQUIRE_THROWS_AS(q.try_push(std::as_const(value)), support::thrown);
          }
          instances::spare();
        }
        CHECK(value.value() == 777);
      }
      REQUIRE(instances::live == fill);
      REQUIRE(drain(q) == numbers(popped, fill));
      popped += fill;
    }
    // Once passed, the spoilt places have not cost any room.
    for (int i = 0; i < 4; ++i) REQUIRE(q.try_push(TestType(pushed++)));
    TestType extra(1);
    CHECK_FALSE(q.try_push(std::move(extra)));
    CHECK(drain(q) == numbers(popped, 4));
  }
  check_books();
}

TEMPLATE_TEST_CASE("a throwing move in a pop loses that element, and no other", "", support::copied,
                   support::moved, support::aligned) {
  instances::reset();
  {
    mpmc_queue<TestType> q(4);
    for (int round = 0; round < 20; ++round) {
      for (int i = 0; i < 4; ++i) REQUIRE(q.try_push(TestType(i)));
      instances::throw_at(1);
      REQUIRE_THROWS_AS(q.try_pop(), support::thrown);
      TestType out(99);
      instances::throw_at(1);
      REQUIRE_THROWS_AS(q.try_pop(out), support::thrown);
      CHECK(out.value() == 99);
      CHECK(instances::live == 3);  // two in the queue, and `out`
      REQUIRE(q.try_push(TestType(4)));
      REQUIRE(q.try_push(TestType(5)));
      CHECK_FALSE(q.try_push(TestType(6)));
      REQUIRE(drain(q) == numbers(2, 4));
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("a throw in the middle of a batch", "", support::copied, support::aligned) {
  instances::reset();
  {
    mpmc_queue<TestType> q(8);
    const std::vector<TestType> source = [] {
      std::vector<TestType> v;
      v.reserve(6);
      for (int i = 0; i < 6; ++i) v.emplace_back(i);
      return v;
    }();
    for (int at = 1; at <= 6; ++at) {
      instances::throw_at(at);
      REQUIRE_THROWS_AS(q.try_push_n(source.begin(), 6), support::thrown);
      REQUIRE(drain(q) == numbers(0, at - 1));
    }
    for (int at = 1; at <= 6; ++at) {
      REQUIRE(q.try_push_n(source.begin(), 6) == 6);
      std::vector<TestType> sink(6, TestType(-7));
      instances::throw_at(at);
      REQUIRE_THROWS_AS(q.try_pop_n(sink.begin(), 6), support::thrown);
      for (int i = 0; i < 6; ++i) REQUIRE(sink[static_cast<std::size_t>(i)].value() == (i < at - 1 ? i : -7));
      REQUIRE(drain(q) == numbers(at, 6 - at));
    }
    CHECK_FALSE(instances::pending());
  }
  check_books();
}

TEST_CASE("a throw while a word is made or handed out") {
  struct fussy {
    bool* throws;
    explicit fussy(bool* t) : throws(t) {
      if (*t) throw support::thrown();
    }
  };
  mpmc_queue<fussy> q(2);
  bool throws = true;
  REQUIRE_THROWS_AS(q.try_emplace(&throws), support::thrown);
  CHECK_FALSE(q.try_pop().has_value());

  // The receiving iterator throws: that element is lost, and freed.
  struct thrower {
    thrower& operator*() { return *this; }
    thrower& operator++() { return *this; }
    thrower& operator=(std::unique_ptr<support::counted<>>&&) { throw support::thrown(); }
  };
  instances::reset();
  {
    mpmc_queue<std::unique_ptr<support::counted<>>> owners(2);
    REQUIRE(owners.try_push(std::make_unique<support::counted<>>(1)));
    REQUIRE(owners.try_push(std::make_unique<support::counted<>>(2)));
    REQUIRE_THROWS_AS(owners.try_pop_n(thrower{}, 2), support::thrown);
    CHECK(instances::live == 1);
    CHECK((*owners.try_pop())->value() == 2);
    CHECK(owners.empty_approx());
  }
  check_books();
}

TEMPLATE_TEST_CASE("the destructor destroys what is left, wherever it lies", "", support::copied,
                   support::moved, support::aligned, std::unique_ptr<support::copied>) {
  instances::reset();
  const auto value = [](int i) {
    if constexpr (std::is_same_v<TestType, std::unique_ptr<support::copied>>) {
      return std::make_unique<support::copied>(i);
    } else {
      return TestType(i);
    }
  };
  for (int first = 0; first < 8; ++first) {
    for (int left = 0; left <= 4; ++left) {
      {
        mpmc_queue<TestType> q(4);
        for (int i = 0; i < first; ++i) {
          REQUIRE(q.try_push(value(i)));
          REQUIRE(q.try_pop().has_value());
        }
        for (int i = 0; i < left; ++i) REQUIRE(q.try_push(value(i)));
        REQUIRE(instances::live == left);
      }
      REQUIRE(instances::live == 0);
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("one allocation at construction, none afterwards", "", int, support::block,
                   support::aligned, std::unique_ptr<int>) {
  support::allocator_books books;
  using allocator = support::counting_allocator<TestType>;
  static_assert(
      std::is_same_v<typename mpmc_queue<TestType, use_allocator<allocator>>::allocator_type, allocator>);
  std::vector<TestType> values;
  for (int i = 0; i < 10; ++i) values.push_back(make<TestType>(i));
  std::vector<TestType> sink;
  sink.reserve(10);
  {
    // why counts are kept: a CHECK may allocate
    const long before = support::allocations;
    mpmc_queue<TestType, use_allocator<allocator>> q(8, allocator(books));
    const long constructed = support::allocations;
    bool good = true;
    for (int lap = 0; lap < 10; ++lap) {
      good = good && q.try_push_n(std::make_move_iterator(values.begin()), 10) == 8;
      good = good && !q.try_push(std::move(values[8]));
      good = good && q.try_pop_n(std::back_inserter(sink), 10) == 8 && !q.try_pop().has_value();
      for (std::size_t i = 0; i < 8; ++i) values[i] = std::move(sink[i]);
      sink.clear();
    }
    const long used = support::allocations;
    CHECK(constructed == before + 1);
    CHECK(used == constructed);
    CHECK(good);
    CHECK(books.allocations == 1);
    CHECK(books.bytes >= 8 * sizeof(TestType));
    CHECK(books.deallocations == 0);
  }
  CHECK(books.allocations == 1);
  CHECK(books.deallocations == 1);
}

TEST_CASE("over-aligned values lie where they should") {
  struct alignas(256) wide {
    explicit wide(int v) : n(v), here(this) {}
    wide(wide&& o) noexcept : n(o.n), here(this) {}
    int n;
    const void* here;
  };
  const void* inside = nullptr;
  mpmc_queue<wide> q(4);
  for (int i = 0; i < 9; ++i) {
    REQUIRE(q.try_emplace(i));
    struct looker {
      const void** inside;
      looker& operator*() { return *this; }
      looker& operator++() { return *this; }
      looker& operator=(wide&& w) {
        *inside = &w;
        return *this;
      }
    };
    REQUIRE(q.try_pop_n(looker{&inside}, 1) == 1);
    CHECK(reinterpret_cast<std::uintptr_t>(inside) % 256 == 0);
  }
}

TEST_CASE("what words are: told by the type, not by chance") {
  using millrace::detail::travels_as_word;
  CHECK(travels_as_word<int, millrace::std_sync> == (MILLRACE_HAS_DWCAS == 1));
  CHECK_FALSE(travels_as_word<int, slots_only>);
  CHECK_FALSE(travels_as_word<support::block, millrace::std_sync>);
  CHECK(mpmc_queue<int>::is_lock_free);
  CHECK(mpmc_queue<support::block>::is_lock_free);
}

// SlotRing's rare paths. A `hooked` value runs the test's code in the middle of its move, which is the place where
// a thread would be suspended; what it does there to the queue is what other threads would do.

TEST_CASE("a producer that is slow loses its position, and its value arrives later") {
  mpmc_queue<support::hooked> q(4);
  std::vector<int> seen;
  support::hooked slow(1, [&](int move) {
    if (move != 1) return;
    REQUIRE(q.try_emplace(2));
    REQUIRE(q.try_emplace(3));
    seen.push_back(q.try_pop()->value());  // passes the position of 1
  });
  REQUIRE(q.try_push(std::move(slow)));
  CHECK(seen == std::vector{2});
  CHECK(drain(q) == std::vector{3, 1});
  CHECK_FALSE(q.try_pop().has_value());
  for (int i = 0; i < 4; ++i) REQUIRE(q.try_emplace(i));
  CHECK_FALSE(q.try_emplace(4));
  CHECK(drain(q) == numbers(0, 4));
}

TEST_CASE("a producer loses its position again and again") {
  mpmc_queue<support::hooked> q(4);
  int lost = 0;
  // Odd moves go into a cell, even ones back out of it.
  support::hooked slow(1, [&](int move) {
    if (move % 2 == 0 || move > 19) return;
    ++lost;
    REQUIRE_FALSE(q.try_pop().has_value());
  });
  REQUIRE(q.try_push(std::move(slow)));
  CHECK(lost == 10);
  CHECK(drain(q) == std::vector{1});
  for (int i = 0; i < 4; ++i) REQUIRE(q.try_emplace(i));
  CHECK_FALSE(q.try_emplace(4));
}

TEST_CASE("a producer loses its position, then the queue is full: the argument comes back") {
  mpmc_queue<support::hooked> q(4);
  int others = 0;
  support::hooked slow(1, [&](int move) {
    if (move != 1) return;
    REQUIRE_FALSE(q.try_pop().has_value());
    while (q.try_emplace(10 + others)) ++others;
  });
  CHECK_FALSE(q.try_push(std::move(slow)));
  CHECK(slow.value() == 1);
  CHECK(others == 3);  // one of the four places was held all the time
  CHECK(drain(q) == numbers(10, 3));
  REQUIRE(q.try_push(std::move(slow)));
  CHECK(drain(q) == std::vector{1});
}

TEST_CASE("the same with a type that cannot be assigned to") {
  struct fixed {
    explicit fixed(int v, support::hooked::hook h = {}) : n(v), hook(std::move(h)) {}
    fixed(fixed&& o) noexcept : n(std::exchange(o.n, -1)), hook(std::move(o.hook)) {
      if (auto h = std::exchange(hook, nullptr)) h(1);
    }
    fixed& operator=(fixed&&) = delete;
    int n;
    support::hooked::hook hook;
  };
  mpmc_queue<fixed> q(2);
  fixed slow(1, [&](int) {
    static_cast<void>(q.try_pop());
    while (q.try_emplace(10)) {
    }
  });
  CHECK_FALSE(q.try_push(std::move(slow)));
  CHECK(slow.n == 1);
  CHECK(q.try_pop()->n == 10);
}

TEST_CASE("a producer loses its position in a batch, then the queue is full") {
  mpmc_queue<support::hooked> q(4);
  std::vector<support::hooked> batch;
  batch.reserve(3);  // why: the vector's own moves would run the hook
  batch.emplace_back(0);
  batch.emplace_back(1, [&](int move) {
    if (move != 1) return;
    REQUIRE(q.try_pop()->value() == 0);
    REQUIRE_FALSE(q.try_pop().has_value());
    for (int i = 0; i < 3; ++i) REQUIRE(q.try_emplace(10 + i));
    REQUIRE_FALSE(q.try_emplace(13));
  });
  batch.emplace_back(2);
  CHECK(q.try_push_n(std::make_move_iterator(batch.begin()), 3) == 1);
  CHECK(batch[1].value() == 1);
  CHECK(batch[2].value() == 2);
  CHECK(drain(q) == numbers(10, 3));
}

TEST_CASE("a consumer that is slow costs one place, and producers go round it") {
  mpmc_queue<support::hooked> q(4);
  REQUIRE(q.try_emplace(0, [&](int) {
    // The move out of the cell: the value was constructed there.
    for (int i = 1; i < 4; ++i) REQUIRE(q.try_emplace(i));
    REQUIRE_FALSE(q.try_emplace(4));
    REQUIRE(q.try_pop()->value() == 1);
    REQUIRE(q.try_emplace(4));
    REQUIRE_FALSE(q.try_emplace(5));
    for (int lap = 0; lap < 20; ++lap) {
      REQUIRE(q.try_pop()->value() == 2 + lap);
      REQUIRE(q.try_emplace(5 + lap));
    }
  }));
  CHECK(q.try_pop()->value() == 0);
  CHECK(drain(q) == numbers(22, 3));
  for (int i = 0; i < 4; ++i) REQUIRE(q.try_emplace(i));
  CHECK_FALSE(q.try_emplace(4));
  CHECK(drain(q) == numbers(0, 4));
}

TEST_CASE("as many slow consumers as places: full, and empty, until they go on") {
  mpmc_queue<support::hooked> q(4);
  int deepest = 0;
  const auto pop_the_next = [&](int) {
    const int next = ++deepest;
    if (next < 4) {
      REQUIRE(q.try_pop()->value() == next);
      return;
    }
    for (int i = 0; i < 3; ++i) REQUIRE_FALSE(q.try_emplace(9));
    REQUIRE_FALSE(q.try_pop().has_value());
    CHECK(q.size_approx() <= 4);
  };
  for (int i = 0; i < 4; ++i)
    REQUIRE(q.try_emplace(i, [&, i](int move) {
      if (move == 1) pop_the_next(i);
    }));
  CHECK(q.try_pop()->value() == 0);
  CHECK(deepest == 4);
  CHECK_FALSE(q.try_pop().has_value());
  for (int i = 0; i < 4; ++i) REQUIRE(q.try_emplace(i));
  CHECK_FALSE(q.try_emplace(4));
  CHECK(drain(q) == numbers(0, 4));
}

TEST_CASE("as many slow producers as places: full and empty at once, and then no value is lost") {
  mpmc_queue<support::hooked> q(4);
  int deepest = 0;
  std::vector<int> accepted;
  const auto push = [&](support::hooked& value, int n) {
    if (q.try_push(std::move(value))) {
      accepted.push_back(n);
    } else {
      CHECK(value.value() == n);
    }
  };
  std::vector<support::hooked> values;
  values.reserve(4);
  for (int i = 0; i < 4; ++i) {
    values.emplace_back(i, [&](int move) {
      if (move != 1) return;
      const int next = ++deepest;
      if (next < 4) {
        push(values[static_cast<std::size_t>(next)], next);
        return;
      }
      support::hooked extra(9);
      REQUIRE_FALSE(q.try_push(std::move(extra)));
      REQUIRE(extra.value() == 9);
      REQUIRE_FALSE(q.try_pop().has_value());  // gives all four positions up
      REQUIRE_FALSE(q.try_push(std::move(extra)));
      REQUIRE(extra.value() == 9);
    });
  }
  push(values[0], 0);
  CHECK(accepted.size() >= 2);
  CHECK(drain(q) == accepted);  // in the order in which their pushes ended
  for (int i = 0; i < 4; ++i) REQUIRE(q.try_emplace(i));
  CHECK_FALSE(q.try_emplace(4));
}

TEST_CASE("a throw after the position was lost: the queue goes on") {
  mpmc_queue<support::hooked> q(2);
  // 1: into the cell, where the position is lost; 2: back out of it; 3: into the next cell.
  const int at = GENERATE(1, 2, 3);
  for (int round = 0; round < 8; ++round) {
    support::hooked slow(1, [&, at](int move) {
      if (move == 1) REQUIRE_FALSE(q.try_pop().has_value());
      if (move == at) throw support::thrown();
    });
    REQUIRE_THROWS_AS(q.try_push(std::move(slow)), support::thrown);
    CHECK_FALSE(q.try_pop().has_value());
    REQUIRE(q.try_emplace(5));
    REQUIRE(q.try_emplace(6));
    CHECK_FALSE(q.try_emplace(7));
    CHECK(drain(q) == std::vector{5, 6});
  }
}

namespace {
template <std::size_t Size>
struct nested {
  nested(mpmc_queue<nested>& q, int n) noexcept : value(n) {
    if (n > 0) pushed = q.try_emplace(q, n - 1);
  }
  int value;
  bool pushed = true;
  std::array<char, Size - 2 * sizeof(int)> rest{};
};
}  // namespace

TEST_CASE("a value whose constructor pushes into the same queue") {
  // Six values for four places. In place the outer ones come first, as they hold their places already; a word
  // is built before its place is known (as is what may throw), so there the inner ones do.
  mpmc_queue<nested<64>> slots(4);
  REQUIRE(slots.try_emplace(slots, 5));
  std::vector<int> order;
  while (auto v = slots.try_pop()) {
    order.push_back(v->value);
    CHECK(v->pushed == (v->value != 2));
  }
  CHECK(order == std::vector{5, 4, 3, 2});

  struct word {
    word(mpmc_queue<word>& q, int n) noexcept : value(n) {
      if (n > 0) pushed = q.try_emplace(q, n - 1);
    }
    int value;
    bool pushed = true;
  };
  mpmc_queue<word> words(4);
  CHECK(words.try_emplace(words, 5) == (MILLRACE_HAS_DWCAS == 0));
  order.clear();
  while (auto v = words.try_pop()) order.push_back(v->value);
  CHECK(order == (MILLRACE_HAS_DWCAS == 0 ? std::vector{5, 4, 3, 2} : std::vector{0, 1, 2, 3}));
}

// The same with real threads: one is parked inside T while the other works.

TEST_CASE("a thread parked in a constructor holds up nobody") {
  const support::watchdog guard("a thread parked in a constructor");
  mpmc_queue<support::hooked> q(4);
  std::latch parked(1);
  std::latch go_on(1);
  bool accepted = false;
  std::thread producer([&] {
    support::hooked slow(1, [&](int move) {
      if (move != 1) return;
      parked.count_down();
      go_on.wait();
    });
    accepted = q.try_push(std::move(slow));
  });
  parked.wait();
  for (int i = 100; i < 10'000; ++i) {
    REQUIRE(q.try_emplace(i));
    auto v = q.try_pop();
    REQUIRE(v.has_value());
    REQUIRE(v->value() == i);
  }
  go_on.count_down();
  producer.join();
  CHECK(accepted);
  CHECK(drain(q) == std::vector{1});
}

TEST_CASE("a thread parked in a constructor, then a full queue: it gets its value back") {
  const support::watchdog guard("a thread parked in a constructor, then a full queue");
  mpmc_queue<support::hooked> q(4);
  std::latch parked(1);
  std::latch go_on(1);
  bool accepted = true;
  int left = 0;
  std::thread producer([&] {
    support::hooked slow(1, [&](int move) {
      if (move != 1) return;
      parked.count_down();
      go_on.wait();
    });
    accepted = q.try_push(std::move(slow));
    left = slow.value();
  });
  parked.wait();
  CHECK_FALSE(q.try_pop().has_value());
  int others = 0;
  while (q.try_emplace(10 + others)) ++others;
  go_on.count_down();
  producer.join();
  CHECK_FALSE(accepted);
  CHECK(left == 1);
  CHECK(drain(q) == numbers(10, others));
}

TEST_CASE("a thread parked in a move out holds up nobody") {
  const support::watchdog guard("a thread parked in a move out");
  mpmc_queue<support::hooked> q(2);
  std::latch parked(1);
  std::latch go_on(1);
  REQUIRE(q.try_emplace(1, [&](int move) {
    if (move != 1) return;
    parked.count_down();
    go_on.wait();
  }));
  int got = 0;
  std::thread consumer([&] { got = q.try_pop()->value(); });
  parked.wait();
  for (int i = 100; i < 10'000; ++i) {
    REQUIRE(q.try_emplace(i));
    auto v = q.try_pop();
    REQUIRE(v.has_value());
    REQUIRE(v->value() == i);
  }
  go_on.count_down();
  consumer.join();
  CHECK(got == 1);
  REQUIRE(q.try_emplace(1));
  REQUIRE(q.try_emplace(2));
  CHECK_FALSE(q.try_emplace(3));
}

TEMPLATE_TEST_CASE("size_approx stays within 0 and capacity while others work", "", int, support::block) {
  const support::watchdog guard("size_approx under load");
  mpmc_queue<TestType> q(4);
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int w = 0; w < 2; ++w) {
    workers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        static_cast<void>(q.try_push(make<TestType>(1)));
        static_cast<void>(q.try_pop());
      }
    });
  }
  std::size_t largest = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::size_t size = q.size_approx();
    largest = size > largest ? size : largest;
  }
  stop = true;
  for (auto& w : workers) w.join();
  CHECK(largest <= 4);
  // The hints may have been left behind; a pop and a push put them right.
  static_cast<void>(drain(q));
  CHECK(q.try_push(make<TestType>(1)));
  CHECK(q.size_approx() == 1);
}

TEMPLATE_TEST_CASE("what goes in comes out once, in each producer's order", "", int, support::block,
                   std::unique_ptr<int>, support::copied) {
  const support::watchdog guard("two producers, two consumers");
  instances::reset();
  constexpr int each = 20'000;
  {
    mpmc_queue<TestType> q(16);
    std::atomic<int> taken{0};
    std::vector<std::vector<int>> got(2);
    std::vector<std::thread> threads;
    for (int p = 0; p < 2; ++p) {
      threads.emplace_back([&, p] {
        for (int i = 0; i < each; ++i) {
          TestType v = make<TestType>(p * each + i);
          while (!q.try_push(std::move(v))) std::this_thread::yield();
        }
      });
      threads.emplace_back([&, p] {
        while (taken.load() < 2 * each) {
          if (auto v = q.try_pop()) {
            got[static_cast<std::size_t>(p)].push_back(number(*v));
            ++taken;
          } else {
            std::this_thread::yield();
          }
        }
      });
    }
    for (auto& t : threads) t.join();
    std::vector<int> seen(2 * each, 0);
    for (const auto& mine : got) {
      int last[2] = {-1, -1};
      for (const int n : mine) {
        REQUIRE(n >= 0);
        ++seen[static_cast<std::size_t>(n)];
        REQUIRE(last[n / each] < n);
        last[n / each] = n;
      }
    }
    CHECK(seen == std::vector<int>(2 * each, 1));
  }
  check_books();
}
