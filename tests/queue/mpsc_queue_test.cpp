// Every verb and edge of mpsc_queue: every kind of value, allocations and moves that fail, the gap between a producer's
// two steps, closing under a channel. What many threads do is the business of histories_test and stalls_test too.
#include "millrace/queue/mpsc_queue.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/instances.hpp"
#include "support/stalling_sync.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using millrace::channel;
using millrace::mpsc_queue;
using millrace::outcome;
using millrace::use_allocator;
using millrace::use_patience;
using millrace::use_sync;
using support::check_books;
using support::drain;
using support::instances;
using support::make;
using support::number;
using support::numbers;
using support::stall;
using support::stalling_sync;
using support::watching_sync;

#define ALL_KINDS                                                                                            \
  int, support::eight, std::unique_ptr<int>, std::string, support::block, support::copied, support::moved,   \
      support::steady, support::aligned

template <class T>
using stalling_queue = mpsc_queue<T, use_sync<stalling_sync>, use_patience<2>>;
template <class T>
using endless = channel<T, mpsc_queue<T>>;

static_assert(mpsc_queue<int>::many_producers && !mpsc_queue<int>::many_consumers);
static_assert(!mpsc_queue<int>::is_bounded && !millrace::unbounded_queue<int>::is_bounded);
static_assert(millrace::mpmc_queue<int>::is_bounded);
static_assert(sizeof(mpsc_queue<std::string>) == 2 * millrace::hot_separation);
static_assert(!std::is_copy_constructible_v<mpsc_queue<int>>);

/// Runs `push` in a thread that is suspended at `step` of it, until go_on().
class suspended {
 public:
  template <class Push>
  suspended(int step, Push push)
      : suspension_(step),
        thread_([this, push] {
          suspension_.arm();
          push();
          suspension_.disarm();
        }),
        was_(suspension_.await()) {}
  suspended(const suspended&) = delete;
  suspended& operator=(const suspended&) = delete;
  ~suspended() { go_on(); }
  /// False: there is no such step, and it is done.
  [[nodiscard]] bool was() const { return was_; }
  void go_on() {
    if (!thread_.joinable()) return;
    suspension_.resume();
    thread_.join();
  }

 private:
  stall suspension_;
  std::thread thread_;
  bool was_;
};

/// A push counts itself, ends its node, exchanges, and links.
constexpr int in_the_gap = 3;

}  // namespace

TEMPLATE_TEST_CASE("in order, whatever the number", "", ALL_KINDS) {
  instances::reset();
  {
    mpsc_queue<TestType> q;
    CHECK_FALSE(q.try_pop());
    CHECK(q.empty_approx());
    for (int round = 0; round < 3; ++round) {
      for (const int n : {1, 2, 3, 7, 100}) {
        for (int i = 0; i < n; ++i) q.push(make<TestType>(i));
        CHECK(q.size_approx() == static_cast<std::size_t>(n));
        CHECK_FALSE(q.empty_approx());
        CHECK(drain(q) == numbers(0, n));
        CHECK(q.size_approx() == 0);
      }
    }
  }
  check_books();
}

TEMPLATE_TEST_CASE("destroyed in any state", "", ALL_KINDS) {
  for (int pushed = 0; pushed < 8; ++pushed) {
    for (int popped = 0; popped <= pushed; ++popped) {
      instances::reset();
      {
        mpsc_queue<TestType> q;
        for (int i = 0; i < pushed; ++i) q.push(make<TestType>(i));
        for (int i = 0; i < popped; ++i) CHECK(number(*q.try_pop()) == i);
      }
      check_books();
    }
  }
}

TEST_CASE("every verb") {
  mpsc_queue<std::string> q;
  const std::vector<std::string> words = {"a", "b", "c"};
  std::vector<std::string> moved = {"a word that is too long to be stored in place", "n"};
  q.push(words[0]);
  q.push(std::string("x"));
  q.emplace(3u, 'y');
  q.push_n(words.begin(), words.size());
  q.push_n(words.begin(), 0);
  q.push_n(std::move_iterator(moved.begin()), moved.size());
  CHECK(words[0] == "a");
  CHECK(moved[0].empty());
  CHECK(q.size_approx() == 8);
  std::string out;
  CHECK(q.try_pop(out));
  CHECK(out == "a");
  CHECK(q.try_pop() == "x");
  std::vector<std::string> rest;
  CHECK(q.try_pop_n(std::back_inserter(rest), 0) == 0);
  CHECK(q.try_pop_n(std::back_inserter(rest), 4) == 4);
  CHECK(q.try_pop_n(std::back_inserter(rest), 4) == 2);
  CHECK(rest ==
        std::vector<std::string>{"yyy", "a", "b", "c", "a word that is too long to be stored in place", "n"});
  out = "untouched";
  CHECK_FALSE(q.try_pop(out));
  CHECK(out == "untouched");
}

TEST_CASE("over-aligned values lie where they must") {
  struct alignas(256) wide {
    explicit wide(int n) : number(n), home(this) {}
    wide(wide&& o) noexcept : number(o.number), home(this), from_home(o.home == &o) {}
    int number;
    const wide* home;
    bool from_home = true;
  };
  mpsc_queue<wide> q;
  for (int i = 0; i < 20; ++i) q.emplace(i);
  for (int i = 0; i < 20; ++i) {
    const auto v = q.try_pop();
    REQUIRE(v);
    CHECK(v->number == i);
    CHECK(v->from_home);
    CHECK(reinterpret_cast<std::uintptr_t>(&*v) % 256 == 0);
  }
}

TEST_CASE("an empty queue has allocated nothing; a value costs one allocation, given back one pop later") {
  const long before = support::allocations;
  mpsc_queue<int> unused;
  CHECK(support::allocations == before);

  support::allocator_books books;
  using allocator = support::counting_allocator<int>;
  {
    mpsc_queue<int, use_allocator<allocator>> q{allocator(books)};
    CHECK(books.allocations == 0);
    for (int i = 0; i < 10; ++i) q.push(i + 0);
    CHECK(books.allocations == 10);
    CHECK(books.bytes <= sizeof(int) + sizeof(void*) + 4);
    CHECK(books.deallocations == 0);
    CHECK(drain(q) == numbers(0, 10));
    CHECK(books.deallocations == 9);
    for (int i = 0; i < 1000; ++i) {
      q.push(i + 0);
      CHECK(q.try_pop() == i);
      CHECK(books.allocations - books.deallocations == 1);
    }
  }
  CHECK(books.allocations == books.deallocations);
}

TEMPLATE_TEST_CASE("a construction that throws in a push leaves the queue as it was", "", support::copied,
                   support::steady, support::aligned) {
  instances::reset();
  {
    mpsc_queue<TestType> q;
    int expected = 0;
    int thrown = 0;
    for (int n = 0; n < 20; ++n) {
      const TestType value(expected);
      instances::throw_at(n % 2 + 1);
      try {
        q.push(value);
        ++expected;
      } catch (const support::thrown&) {
        ++thrown;
      }
      instances::spare();
      CHECK(q.size_approx() == static_cast<std::size_t>(expected));
    }
    CHECK(thrown == 10);
    CHECK(drain(q) == numbers(0, expected));
  }
  check_books();
}

TEST_CASE("a move that throws in a push takes nothing away") {
  instances::reset();
  {
    mpsc_queue<support::moved> q;
    support::moved value(7);
    instances::throw_at(1);
    CHECK_THROWS_AS(q.push(std::move(value)), support::thrown);
    CHECK(value.value() == 7);
    CHECK(q.empty_approx());
    q.push(std::move(value));
    CHECK(drain(q) == numbers(7, 1));
  }
  check_books();
}

TEST_CASE("a push_n that throws has pushed what came before") {
  instances::reset();
  {
    mpsc_queue<support::copied> q;
    std::vector<support::copied> some;
    for (int i = 0; i < 5; ++i) some.emplace_back(i);
    for (int n = 1; n <= 6; ++n) {
      instances::throw_at(n);
      bool thrown = false;
      try {
        q.push_n(some.begin(), some.size());
      } catch (const support::thrown&) {
        thrown = true;
      }
      instances::spare();
      CHECK(thrown == (n <= 5));
      CHECK(q.size_approx() == static_cast<std::size_t>(n - 1));
      CHECK(drain(q) == numbers(0, n - 1));
    }
  }
  check_books();
}

TEST_CASE("a move that throws in a pop loses its value and no other") {
  instances::reset();
  {
    mpsc_queue<support::moved> q;
    for (int i = 0; i < 6; ++i) q.push(support::moved(i));
    instances::throw_at(1);
    CHECK_THROWS_AS(q.try_pop(), support::thrown);
    support::moved out(99);
    instances::throw_at(1);
    CHECK_THROWS_AS(q.try_pop(out), support::thrown);
    CHECK(out.value() == 99);
    CHECK(q.size_approx() == 4);
    CHECK(drain(q) == numbers(2, 4));
  }
  check_books();
}

TEMPLATE_TEST_CASE("an allocation that fails loses nothing, whichever it is", "", int, std::unique_ptr<int>,
                   support::block, std::string) {
  using allocator = support::counting_allocator<TestType>;
  bool through = false;
  for (long n = 1; !through; ++n) {
    REQUIRE(n < 100);
    support::allocator_books books;
    books.refuse_at = n;
    {
      mpsc_queue<TestType, use_allocator<allocator>> q{allocator(books)};
      int popped = 0;
      int refused = 0;
      for (int i = 0; i < 20; ++i) {
        TestType value = make<TestType>(i);
        try {
          q.push(std::move(value));
        } catch (const std::bad_alloc&) {
          ++refused;
          CHECK(number(value) == i);
          CHECK(q.size_approx() == static_cast<std::size_t>(i - popped));
          q.push(std::move(value));
        }
        if (i % 3 == 2) CHECK(number(*q.try_pop()) == popped++);
      }
      CHECK(drain(q) == numbers(popped, 20 - popped));
      through = refused == 0;
    }
    CHECK(books.allocations == books.deallocations);
  }
}

TEST_CASE("an allocation that fails under a channel is refused untouched") {
  using allocator = support::counting_allocator<std::unique_ptr<int>>;
  struct queue : mpsc_queue<std::unique_ptr<int>, use_allocator<allocator>> {
    queue() : mpsc_queue(allocator(books())) {}
    static support::allocator_books& books() {
      static support::allocator_books b;
      return b;
    }
  };
  {
    channel<std::unique_ptr<int>, queue> ch;
    REQUIRE(ch.push(std::make_unique<int>(0)) == outcome::ok);
    queue::books().refuse_at = 1;
    auto v = std::make_unique<int>(1);
    CHECK_THROWS_AS(ch.push(std::move(v)), std::bad_alloc);
    REQUIRE(v != nullptr);
    CHECK(ch.push(std::move(v)) == outcome::ok);
    CHECK(drain(ch) == numbers(0, 2));
  }
  CHECK(queue::books().allocations == queue::books().deallocations);
}

TEST_CASE("a value whose move, or whose end, pushes into the queue that it is in") {
  mpsc_queue<support::hooked> q;
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

  struct returning {
    mpsc_queue<returning>* to = nullptr;
    int left = 0;
    returning(mpsc_queue<returning>* q_, int n) : to(q_), left(n) {}
    returning(returning&& o) noexcept : to(std::exchange(o.to, nullptr)), left(o.left) {}
    ~returning() {
      if (to != nullptr && left > 0) to->push(returning(to, left - 1));
    }
  };
  mpsc_queue<returning> circle;
  circle.push(returning(&circle, 3));
  int rounds = 0;
  while (circle.try_pop()) ++rounds;
  CHECK(rounds == 4);
  circle.push(returning(&circle, 3));  // and so while the queue is destroyed
}

// ---- the gap

TEST_CASE("in front of a gap everything is there, and a pop at it sleeps") {
  const support::watchdog dog("asleep at a gap");
  const int in_front = GENERATE(0, 1, 3);
  stalling_queue<int> q;
  std::vector<int> others(200'000);
  for (int i = 0; i < in_front; ++i) q.push(i + 0);
  stalling_sync::parks = 0;
  suspended gap(in_the_gap, [&] { q.push(1000); });
  REQUIRE(gap.was());
  for (int i = 0; i < in_front; ++i) CHECK(q.try_pop() == i);
  std::optional<int> got;
  std::thread consumer([&] { got = q.try_pop(); });
  stalling_sync::await_parks(1);
  // While others push, which takes a while, it sleeps. It may still be on its way there, hence the allowance.
  const auto before = support::used_by(consumer);
  for (const int v : others) q.push(v);
  CHECK(support::used_by(consumer) - before < std::chrono::milliseconds(2));
  CHECK(stalling_sync::parks == 1);
  gap.go_on();
  consumer.join();
  CHECK(got == 1000);
  CHECK(drain(q) == others);
}

TEST_CASE("a producer that has no place yet leaves no gap") {
  const support::watchdog dog("before the exchange");
  for (int step = 0; step < in_the_gap; ++step) {
    stalling_queue<int> q;
    suspended late(step, [&] { q.push(1); });
    REQUIRE(late.was());
    CHECK_FALSE(q.try_pop());
    q.push(2);
    CHECK(q.try_pop() == 2);
    late.go_on();
    CHECK(q.try_pop() == 1);
  }
}

TEST_CASE("many threads, each suspended in gaps as the scheduler likes, with nobody patient") {
  const support::watchdog dog("many producers");
  constexpr int producers = 4;
  constexpr int each = 20'000;
  mpsc_queue<std::unique_ptr<int>, use_patience<0>> q;
  std::vector<std::thread> threads;
  for (int p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      for (int i = 0; i < each; i += 2) {
        q.push(std::make_unique<int>(p * each + i));
        std::array<std::unique_ptr<int>, 1> one = {std::make_unique<int>(p * each + i + 1)};
        q.push_n(std::move_iterator(one.begin()), 1);
      }
    });
  }
  std::array<int, producers> next{};
  bool in_order = true;
  for (int n = 0; n < producers * each;) {
    const auto v = q.try_pop();
    if (!v) {
      std::this_thread::yield();
      continue;
    }
    ++n;
    in_order = in_order && next[std::size_t(**v / each)]++ == **v % each;
  }
  for (std::thread& t : threads) t.join();
  CHECK(in_order);
  CHECK_FALSE(q.try_pop());
}

TEST_CASE("who pops the last value may destroy the queue, while its push returns") {
  const support::watchdog dog("destroyed after the last pop");
  using hasty = mpsc_queue<int, use_patience<0>>;
  std::atomic<hasty*> next{nullptr};
  std::atomic<bool> stop{false};
  std::thread producer([&] {
    while (!stop) {
      if (hasty* const q = next.exchange(nullptr)) {
        q->push(1);
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (int round = 0; round < 5'000; ++round) {
    auto q = std::make_unique<hasty>();
    next = q.get();
    while (!q->try_pop()) std::this_thread::yield();
  }
  stop = true;
  producer.join();
}

// ---- under a channel

TEMPLATE_TEST_CASE("under a channel: a push never waits, close is exact", "", int, std::unique_ptr<int>,
                   support::block, support::moved) {
  instances::reset();
  {
    endless<TestType> ch;
    CHECK(ch.policy() == millrace::overflow::block);
    for (int i = 0; i < 1000; ++i) CHECK(ch.try_push(make<TestType>(i)) == outcome::ok);
    CHECK(ch.push_for(make<TestType>(1000), std::chrono::hours(1)) == outcome::ok);
    CHECK(ch.size_approx() == 1001);
    CHECK_FALSE(ch.is_closed());
    ch.close();
    ch.close();
    TestType late = make<TestType>(7);
    CHECK(ch.push(std::move(late)) == outcome::closed);
    CHECK(ch.try_push(std::move(late)) == outcome::closed);
    CHECK(number(late) == 7);
    CHECK(ch.size_approx() == 1001);
    int expected = 0;
    for (TestType& v : ch) CHECK(number(v) == expected++);
    CHECK(expected == 1001);
    CHECK_FALSE(ch.pop());
    CHECK_FALSE(ch.try_pop());
    CHECK(ch.try_push(std::move(late)) == outcome::closed);
    endless<TestType> left;
    for (int i = 0; i < 3; ++i) CHECK(left.push(make<TestType>(i)) == outcome::ok);
    left.close();
  }
  check_books();
}

TEST_CASE("under a channel: every constructor without a capacity") {
  millrace::manual_clock time;
  channel<int, mpsc_queue<int>, millrace::manual_clock> timed(time);
  int out = 0;
  CHECK(timed.pop_until(out, time.now()) == outcome::timeout);
  CHECK(timed.push(1) == outcome::ok);
  CHECK(timed.pop_until(out, time.now()) == outcome::ok);
  channel<int, mpsc_queue<int>> never_full;
  for (int i = 0; i < 100; ++i) CHECK(never_full.try_push(i + 0) == outcome::ok);
  CHECK(never_full.dropped() == 0);
}

TEMPLATE_TEST_CASE("close against a push at every step of it: in, or refused and untouched", "", int,
                   std::unique_ptr<int>, support::copied, support::moved) {
  const support::watchdog dog("close against a push");
  instances::reset();
  const bool others_push = GENERATE(false, true);
  int in = 0;
  int refused = 0;
  for (int step = 0; step < 100; ++step) {
    channel<TestType, stalling_queue<TestType>> ch;
    TestType value = make<TestType>(7);
    outcome result = outcome::timeout;
    suspended push(step, [&] { result = ch.push(std::move(value)); });
    if (!push.was()) break;
    if (others_push) CHECK(ch.push(make<TestType>(1)) == outcome::ok);
    ch.close();
    push.go_on();
    int sevens = 0;
    int ones = 0;
    while (auto v = ch.try_pop()) (number(*v) == 7 ? sevens : ones) += 1;
    CHECK(ones == (others_push ? 1 : 0));
    CHECK((result == outcome::ok || result == outcome::closed));
    CHECK(sevens == (result == outcome::ok ? 1 : 0));
    if (result == outcome::closed) CHECK(number(value) == 7);
    ++(result == outcome::ok ? in : refused);
    TestType out = make<TestType>(0);
    CHECK(ch.try_pop(out) == outcome::closed);
  }
  CHECK(in >= 1);       // suspended between its two steps, or after them
  CHECK(refused >= 4);  // before the first
  instances::spare();
}

TEST_CASE("under a channel: who waits sleeps, and is woken by a push and by close") {
  const support::watchdog dog("asleep in pop");
  watching_sync::reset();
  channel<int, mpsc_queue<int, use_sync<watching_sync>>> ch;
  std::optional<int> first;
  std::optional<int> second;
  std::thread consumer([&] {
    first = ch.pop();
    second = ch.pop();
  });
  watching_sync::await_parked(1);
  CHECK(ch.push(5) == outcome::ok);
  while (watching_sync::parks < 2) std::this_thread::yield();
  watching_sync::await_parked(1);
  ch.close();
  consumer.join();
  CHECK(first == 5);
  CHECK_FALSE(second);
}

TEST_CASE("under a channel: threads push, one pops, and somebody closes meanwhile") {
  const support::watchdog dog("threads at a channel over mpsc_queue");
  for (int round = 0; round < 50; ++round) {
    channel<std::unique_ptr<int>, mpsc_queue<std::unique_ptr<int>, use_patience<0>>> ch;
    std::atomic<long> in{0};
    long out = 0;
    std::vector<std::thread> producers;
    for (int t = 0; t < 3; ++t) {
      producers.emplace_back([&] {
        for (int i = 0; ch.push(std::make_unique<int>(i)) == outcome::ok; ++i) in += i;
      });
    }
    std::thread consumer([&] {
      for (const auto& v : ch) {
        out += *v;
        if (*v == 500) ch.close();
      }
    });
    for (std::thread& t : producers) t.join();
    consumer.join();
    CHECK(in == out);
  }
}
