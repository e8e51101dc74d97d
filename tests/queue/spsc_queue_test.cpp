// Every verb and edge of spsc_queue; its two threads together at the end.
#include "millrace/queue/spsc_queue.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
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

using millrace::spsc_queue;
using millrace::use_allocator;
using millrace::use_first_position;
using support::check_books;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::number;
using support::numbers;

#define ALL_VALUES                                                                                           \
  int, support::eight, std::unique_ptr<int>, std::string, support::block, support::copied, support::moved,   \
      support::aligned

/// A seam whose atomics can only be loaded and stored: what compiles on it uses nothing else.
struct plain_sync : millrace::std_sync {
  template <class T>
  class atomic {
   public:
    constexpr atomic(T v) noexcept : value_(v) {}
    [[nodiscard]] T load(std::memory_order order) const noexcept { return value_.load(order); }
    void store(T v, std::memory_order order) noexcept { value_.store(v, order); }

   private:
    std::atomic<T> value_;
  };
};

template <class T>
ints numbers_of(std::span<T> values) {
  ints v;
  for (const T& value : values) v.push_back(number(value));
  return v;
}

/// `f` throws an E; its message.
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

TEST_CASE("capacity: rounded up, and refused by name and range") {
  const auto [asked, given] = GENERATE(table<std::size_t, std::size_t>(
      {{1, 2}, {2, 2}, {3, 4}, {5, 8}, {1000, 1024}, {1024, 1024}, {1025, 2048}}));
  CHECK(spsc_queue<int>(asked).capacity() == given);
  for (const std::size_t bad : {std::size_t{0}, (std::size_t{1} << 31) + 1, ~std::size_t{0}}) {
    const std::string text = message_of<std::length_error>([&] { const spsc_queue<int> q(bad); });
    INFO(text);
    CHECK(text.find("spsc_queue") != std::string::npos);
    CHECK(text.find("capacity must be 1 to 2147483648") != std::string::npos);
  }
  support::allocator_books books;
  using allocator = support::counting_allocator<int>;
  using queue = spsc_queue<int, use_allocator<allocator>>;
  CHECK_THROWS_AS(queue(std::size_t{1} << 31, allocator(books)), std::bad_alloc);
  CHECK(books.bytes >= (std::size_t{1} << 31) * sizeof(int));
}

TEMPLATE_TEST_CASE("full and empty are exact, in order, over many laps", "", ALL_VALUES) {
  instances::reset();
  {
    const std::size_t asked = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{8});
    spsc_queue<TestType> q(asked);
    const int n = static_cast<int>(q.capacity());
    int pushed = 0;
    int popped = 0;
    CHECK_FALSE(q.try_pop().has_value());
    CHECK(q.front() == nullptr);
    CHECK(q.readable().empty());
    for (int lap = 0; lap < 40; ++lap) {
      for (int fill = 1; fill <= n; ++fill) {
        for (int i = 0; i < fill; ++i) REQUIRE(q.try_push(make<TestType>(pushed++)));
        REQUIRE(q.size_approx() == static_cast<std::size_t>(fill));
        if (fill == n) {
          TestType extra = make<TestType>(12345);
          REQUIRE_FALSE(q.try_push(std::move(extra)));
          REQUIRE(number(extra) == 12345);
        }
        for (int i = 0; i < fill; ++i) {
          REQUIRE(number(*q.front()) == popped);
          if (i % 2 == 0) {
            auto v = q.try_pop();
            REQUIRE(v.has_value());
            REQUIRE(number(*v) == popped++);
          } else {
            q.pop();
            ++popped;
          }
        }
        TestType out = make<TestType>(54321);
        REQUIRE_FALSE(q.try_pop(out));
        REQUIRE(number(out) == 54321);
        REQUIRE(q.front() == nullptr);
        REQUIRE(q.empty_approx());
      }
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("both pops, both pushes, emplace", "", ALL_VALUES) {
  instances::reset();
  {
    spsc_queue<TestType> q(8);
    REQUIRE(q.try_push(make<TestType>(1)));
    TestType two = make<TestType>(2);
    if constexpr (std::is_copy_constructible_v<TestType>) {
      REQUIRE(q.try_push(std::as_const(two)));
      CHECK(number(two) == 2);
    } else {
      REQUIRE(q.try_push(std::move(two)));
    }
    REQUIRE(q.try_emplace(make<TestType>(3)));
    TestType out = make<TestType>(0);
    CHECK(q.try_pop(out));
    CHECK(number(out) == 1);
    CHECK(drain(q) == ints{2, 3});
  }
  check_books();
}

TEST_CASE("emplace constructs from parts, and spares them when full") {
  spsc_queue<std::string> q(2);
  std::string text = "long enough not to fit into the string itself";
  REQUIRE(q.try_emplace(std::size_t{3}, 'x'));
  REQUIRE(q.try_emplace());
  CHECK_FALSE(q.try_emplace(std::move(text)));
  CHECK(text == "long enough not to fit into the string itself");
  CHECK(q.try_pop() == "xxx");
  CHECK(q.try_pop() == "");
}

TEST_CASE("a value that can neither be copied nor moved lives its life in place") {
  struct pinned {
    explicit pinned(int v) : n(v), here(this) {}
    pinned(const pinned&) = delete;
    pinned& operator=(const pinned&) = delete;
    int n;
    const pinned* here;
  };
  spsc_queue<pinned> q(2);
  REQUIRE(q.try_emplace(1));
  REQUIRE(q.try_emplace(2));
  CHECK_FALSE(q.try_emplace(3));
  CHECK(q.front()->n == 1);
  CHECK(q.front()->here == q.front());
  q.pop();
  CHECK(q.front()->n == 2);
}

TEMPLATE_TEST_CASE("positions wrap, wherever they begin", "", int, std::unique_ptr<int>) {
  const auto run = []<std::uint64_t First>(std::integral_constant<std::uint64_t, First>) {
    CAPTURE(First);
    spsc_queue<TestType, use_first_position<First>> q(4);
    int pushed = 0;
    int popped = 0;
    for (int lap = 0; lap < 20; ++lap) {
      for (int i = 0; i < 4; ++i) REQUIRE(q.try_push(make<TestType>(pushed++)));
      REQUIRE_FALSE(q.try_push(make<TestType>(-1)));
      REQUIRE(q.size_approx() == 4);
      ints seen;
      while (seen.size() < 4) {
        const std::span<TestType> some = q.readable();
        REQUIRE_FALSE(some.empty());
        for (const auto& v : some) seen.push_back(number(v));
        q.pop(some.size());
      }
      REQUIRE(seen == numbers(popped, 4));
      popped += 4;
      REQUIRE(q.size_approx() == 0);
      // and one step on, so that laps begin at another place of the ring
      REQUIRE(q.try_push(make<TestType>(pushed++)));
      REQUIRE(number(*q.try_pop()) == popped++);
    }
  };
  run(std::integral_constant<std::uint64_t, (std::uint64_t{1} << 62) - 11>{});
  run(std::integral_constant<std::uint64_t, (std::uint64_t{1} << 63) - 11>{});
  run(std::integral_constant<std::uint64_t, ~std::uint64_t{0} - 11>{});
  run(std::integral_constant<std::uint64_t, ~std::uint64_t{0}>{});
}

TEMPLATE_TEST_CASE("batches: what fits, in order", "", ALL_VALUES) {
  instances::reset();
  {
    spsc_queue<TestType> q(8);
    std::vector<TestType> source;
    for (int i = 0; i < 12; ++i) source.push_back(make<TestType>(i));
    CHECK(q.try_push_n(std::make_move_iterator(source.begin()), 0) == 0);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin()), 5) == 5);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin() + 5), 7) == 3);
    for (int i = 8; i < 12; ++i) CHECK(number(source[static_cast<std::size_t>(i)]) == i);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin() + 8), 4) == 0);

    std::vector<TestType> sink;
    CHECK(q.try_pop_n(std::back_inserter(sink), 0) == 0);
    CHECK(q.try_pop_n(std::back_inserter(sink), 3) == 3);
    CHECK(q.try_push_n(std::make_move_iterator(source.begin() + 8), 2) == 2);
    CHECK(q.try_pop_n(std::back_inserter(sink), 100) == 7);
    CHECK(q.try_pop_n(std::back_inserter(sink), 100) == 0);
    REQUIRE(sink.size() == 10);
    for (int i = 0; i < 10; ++i) CHECK(number(sink[static_cast<std::size_t>(i)]) == i);
  }
  check_books();
}

TEMPLATE_TEST_CASE("readable and pop(n): in place, as much as lies together", "", int, support::copied,
                   std::unique_ptr<int>) {
  instances::reset();
  {
    spsc_queue<TestType> q(4);
    const auto push = [&](int from, int n) {
      for (int i = from; i < from + n; ++i) REQUIRE(q.try_push(make<TestType>(i)));
    };
    push(0, 3);
    CHECK(numbers_of(q.readable()) == ints{0, 1, 2});
    CHECK(numbers_of(q.readable()) == ints{0, 1, 2});  // looking takes nothing
    CHECK(q.readable().data() == q.front());
    q.pop(0);
    q.pop(2);
    CHECK(numbers_of(q.readable()) == ints{2});
    push(3, 3);
    CHECK(numbers_of(q.readable()) == ints{2, 3});  // up to the end of the ring
    q.pop(2);
    CHECK(numbers_of(q.readable()) == ints{4, 5});
    push(6, 2);
    CHECK(numbers_of(q.readable()) == ints{4, 5, 6, 7});
    q.pop(4);  // all of it, in one go
    CHECK(q.readable().empty());
    push(8, 3);
    q.pop(1);
    push(11, 2);
    CHECK(q.readable().size() == 3);
    q.pop(4);  // across the end of the ring
    CHECK(q.empty_approx());
    CHECK_FALSE(q.try_pop().has_value());
  }
  check_books();
}

TEST_CASE("popping more than there is: out_of_range, and nothing is popped") {
  spsc_queue<std::string> q(4);
  const std::string text = message_of<std::out_of_range>([&] { q.pop(); });
  INFO(text);
  CHECK(text.find("spsc_queue::pop") != std::string::npos);
  CHECK(text.find("n must be 0 to the number of values") != std::string::npos);
  REQUIRE(q.try_push("a"));
  REQUIRE(q.try_push("b"));
  CHECK_THROWS_AS(q.pop(3), std::out_of_range);
  CHECK_THROWS_AS(q.pop(~std::size_t{0}), std::out_of_range);
  CHECK_THROWS_AS(q.pop(std::size_t{1} << 63), std::out_of_range);
  CHECK(q.size_approx() == 2);
  q.pop(0);
  q.pop(2);
  CHECK_NOTHROW(q.pop(0));
  CHECK(q.empty_approx());
}

TEMPLATE_TEST_CASE("a throwing copy or move in a push leaves the queue as it was", "", support::copied,
                   support::moved, support::aligned) {
  instances::reset();
  {
    spsc_queue<TestType> q(4);
    int pushed = 0;
    int popped = 0;
    for (int round = 0; round < 20; ++round) {
      const int fill = round % 4;
      for (int i = 0; i < fill; ++i) REQUIRE(q.try_push(TestType(pushed++)));
      TestType value(777);
      for (int again = 0; again < 5; ++again) {
        instances::throw_at(1);
        REQUIRE_THROWS_AS(q.try_push(std::move(value)), support::thrown);
        instances::throw_at(1);
        REQUIRE_THROWS_AS(q.try_emplace(778), support::thrown);
      }
      CHECK(value.value() == 777);
      CHECK(instances::live == fill + 1);
      for (int i = fill; i < 4; ++i) REQUIRE(q.try_push(TestType(pushed++)));
      CHECK_FALSE(q.try_push(std::move(value)));
      REQUIRE(drain(q) == numbers(popped, 4));
      popped += 4;
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("a throwing move in a pop loses that element, and no other", "", support::copied,
                   support::moved, support::aligned) {
  instances::reset();
  {
    spsc_queue<TestType> q(4);
    for (int round = 0; round < 9; ++round) {
      for (int i = 0; i < 4; ++i) REQUIRE(q.try_push(TestType(i)));
      instances::throw_at(1);
      REQUIRE_THROWS_AS(q.try_pop(), support::thrown);
      TestType out(99);
      instances::throw_at(1);
      REQUIRE_THROWS_AS(q.try_pop(out), support::thrown);
      CHECK(out.value() == 99);
      CHECK(instances::live == 3);
      REQUIRE(q.try_push(TestType(4)));
      REQUIRE(q.try_push(TestType(5)));
      CHECK_FALSE(q.try_push(TestType(6)));
      REQUIRE(drain(q) == numbers(2, 4));
    }
  }
  check_books();
}

TEST_CASE("a throw in the middle of a batch") {
  instances::reset();
  {
    spsc_queue<support::copied> q(8);
    std::vector<support::copied> source;
    source.reserve(6);
    for (int i = 0; i < 6; ++i) source.emplace_back(i);
    for (int at = 1; at <= 6; ++at) {
      instances::throw_at(at);
      REQUIRE_THROWS_AS(q.try_push_n(source.begin(), 6), support::thrown);
      REQUIRE(drain(q) == numbers(0, at - 1));
    }
    for (int at = 1; at <= 6; ++at) {
      REQUIRE(q.try_push_n(source.begin(), 6) == 6);
      std::vector<support::copied> sink(6, support::copied(-7));
      instances::throw_at(at);
      REQUIRE_THROWS_AS(q.try_pop_n(sink.begin(), 6), support::thrown);
      for (int i = 0; i < 6; ++i) REQUIRE(sink[static_cast<std::size_t>(i)].value() == (i < at - 1 ? i : -7));
      REQUIRE(drain(q) == numbers(at, 6 - at));
    }
  }
  check_books();
}

TEST_CASE("the destructor destroys what is left, wherever it lies") {
  instances::reset();
  for (int first = 0; first < 8; ++first) {
    for (int left = 0; left <= 4; ++left) {
      {
        spsc_queue<support::moved> q(4);
        for (int i = 0; i < first; ++i) {
          REQUIRE(q.try_emplace(i));
          q.pop();
        }
        for (int i = 0; i < left; ++i) REQUIRE(q.try_emplace(i));
        REQUIRE(instances::live == left);
      }
      REQUIRE(instances::live == 0);
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("one allocation at construction, none afterwards", "", int, support::aligned) {
  support::allocator_books books;
  using allocator = support::counting_allocator<TestType>;
  {
    const long before = support::allocations;
    spsc_queue<TestType, use_allocator<allocator>> q(8, allocator(books));
    bool good = true;
    for (int i = 0; i < 100; ++i) {
      good = good && q.try_emplace(i) && q.readable().size() == 1 && number(*q.front()) == i;
      if (i % 2 == 0) {
        q.pop();
      } else {
        good = good && q.try_pop().has_value();
      }
    }
    const long used = support::allocations;
    CHECK(used == before + 1);
    CHECK(good);
    CHECK(books.allocations == 1);
    CHECK(books.bytes >= 8 * sizeof(TestType));
    CHECK(books.deallocations == 0);
  }
  CHECK(books.deallocations == 1);
}

TEST_CASE("over-aligned values lie where they should, side by side") {
  spsc_queue<support::aligned> q(4);
  for (int i = 0; i < 4; ++i) REQUIRE(q.try_emplace(i));
  const auto all = q.readable();
  REQUIRE(all.size() == 4);
  CHECK(reinterpret_cast<std::uintptr_t>(all.data()) % 128 == 0);
  CHECK(numbers_of(all) == ints{0, 1, 2, 3});
}

TEST_CASE("no read-modify-write: the seam has none to offer") {
  spsc_queue<int, millrace::use_sync<plain_sync>> q(4);
  const int source[] = {1, 2, 3};
  REQUIRE(q.try_push(0));
  REQUIRE(q.try_push_n(source, 3) == 3);
  int out = -1;
  CHECK(q.try_pop(out));
  CHECK(*q.front() == 1);
  q.pop();
  CHECK(drain(q) == ints{2, 3});
}

TEMPLATE_TEST_CASE("two threads: every value once, in order, by every verb", "", int, std::string,
                   support::copied, std::unique_ptr<int>) {
  const support::watchdog guard("spsc_queue with two threads");
  instances::reset();
  const std::size_t capacity = GENERATE(std::size_t{2}, std::size_t{64});
  constexpr int n = 60'000;
  {
    spsc_queue<TestType> q(capacity);
    std::thread producer([&] {
      std::vector<TestType> batch;
      for (int i = 0; i < n;) {
        if (i % 3 == 0) {
          batch.clear();
          for (int j = i; j < i + 5 && j < n; ++j) batch.push_back(make<TestType>(j));
          const std::size_t done = q.try_push_n(std::make_move_iterator(batch.begin()), batch.size());
          i += static_cast<int>(done);
          if (done == 0) std::this_thread::yield();
        } else {
          TestType v = make<TestType>(i);
          if (q.try_push(std::move(v))) {
            ++i;
          } else {
            std::this_thread::yield();
          }
        }
      }
    });
    int next = 0;
    bool in_order = true;
    std::vector<TestType> sink;
    while (next < n) {
      const int before = next;
      if (next % 4 == 0) {
        const auto some = q.readable();
        for (const auto& v : some) in_order = in_order && number(v) == next++;
        q.pop(some.size());
      } else if (next % 4 == 1) {
        sink.clear();
        static_cast<void>(q.try_pop_n(std::back_inserter(sink), 3));
        for (const auto& v : sink) in_order = in_order && number(v) == next++;
      } else if (next % 4 == 2) {
        if (const auto v = q.try_pop()) in_order = in_order && number(*v) == next++;
      } else if (const TestType* v = q.front()) {
        in_order = in_order && number(*v) == next++;
        q.pop();
      }
      if (next == before) std::this_thread::yield();
    }
    producer.join();
    CHECK(in_order);
    CHECK(next == n);
    CHECK(q.empty_approx());
  }
  check_books();
}
