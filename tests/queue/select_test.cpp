// Every case of select, ready at once and waited for: that it does one thing and no other, wakes and is woken, passes on
// what it was called for and did not use, and leaves every line behind it whatever is thrown. Time is a manual_clock's,
// and sleepers are met at the seam: nothing here waits for time to pass.
#include "millrace/queue/select.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::after;
using millrace::channel;
using millrace::manual_clock;
using millrace::mpmc_queue;
using millrace::on_pop;
using millrace::on_pop_any;
using millrace::on_push;
using millrace::otherwise;
using millrace::outcome;
using millrace::overflow;
using millrace::select;
using millrace::spsc_queue;
using millrace::unbounded_queue;
using millrace::until;
using support::block;
using support::drain;
using support::instances;
using support::ints;
using support::make;
using support::number;
using support::watchdog;
using support::watching_sync;

/// The watching seam, with a hold on what threads do between the steps of a wait.
struct steered_sync : watching_sync {
  /// What this thread does once, before it takes the next lock of an event count.
  static inline thread_local std::function<void()> before_lock;
  /// While true, who wakes up goes no further.
  static inline std::atomic<bool> held{false};

  static void hold() { held = true; }
  static void let_go() {
    held = false;
    held.notify_all();
  }
  static void park(std::atomic<std::uint32_t>& word, std::uint32_t old) noexcept {
    watching_sync::park(word, old);
    held.wait(true);
  }
  class mutex {
   public:
    void lock() {
      if (before_lock) std::exchange(before_lock, nullptr)();
      mutex_.lock();
    }
    void unlock() { mutex_.unlock(); }

   private:
    std::mutex mutex_;
  };
};

template <class T, class Queue = mpmc_queue<T, millrace::use_sync<watching_sync>>>
using watched_channel = channel<T, Queue>;
template <class T>
using steered_channel = channel<T, mpmc_queue<T, millrace::use_sync<steered_sync>>>;

template <class Channel>
std::unique_ptr<Channel> open_channel(std::size_t capacity = 4) {
  if constexpr (Channel::queue_type::is_bounded) {
    return std::make_unique<Channel>(capacity);
  } else {
    return std::make_unique<Channel>();
  }
}

/// Pushes until there is no room: how many.
template <class Channel>
int fill(Channel& ch, int value = 0) {
  int n = 0;
  while (ch.try_push(make<typename Channel::value_type>(value)) == outcome::ok) ++n;
  return n;
}

/// Handlers for cases whose result is a number.
const auto popped = [](auto v) { return v ? number(*v) : -1; };
const auto pushed = [](outcome o) { return o == outcome::ok ? 1000 : -1000; };
const auto nothing_ready = [] { return -7; };
const auto limit_passed = [] { return -8; };

template <class Queue>
using over = channel<typename Queue::value_type, Queue>;
#define ALL_CHANNELS                                                                                         \
  over<mpmc_queue<int>>, over<mpmc_queue<block>>, over<spsc_queue<int>>, over<spsc_queue<std::string>>,      \
      over<unbounded_queue<int>>, over<unbounded_queue<block>>

}  // namespace

// ---- each case, ready at once

TEMPLATE_TEST_CASE("on_pop: a value, then none, then the end", "", ALL_CHANNELS) {
  using T = typename TestType::value_type;
  const auto ch = open_channel<TestType>();
  const auto pop = [&] { return select(on_pop(*ch, popped), otherwise(nothing_ready)); };
  CHECK(pop() == -7);
  REQUIRE(ch->push(make<T>(1)) == outcome::ok);
  REQUIRE(ch->push(make<T>(2)) == outcome::ok);
  CHECK(pop() == 1);
  CHECK(select(on_pop(*ch, popped)) == 2);  // alone, it is a pop
  CHECK(pop() == -7);
  REQUIRE(ch->push(make<T>(3)) == outcome::ok);
  ch->close();
  CHECK(pop() == 3);
  CHECK(pop() == -1);
  CHECK(select(on_pop(*ch, popped)) == -1);
}

TEMPLATE_TEST_CASE("on_push: ok, no room, closed, and the value is untouched unless it is ok", "",
                   over<mpmc_queue<int>>, over<mpmc_queue<block>>, over<mpmc_queue<std::string>>,
                   over<spsc_queue<int>>, over<spsc_queue<std::string>>) {
  using T = typename TestType::value_type;
  TestType ch(2);
  T v = make<T>(1);
  const T kept = make<T>(2);
  CHECK(select(on_push(ch, v, pushed), otherwise(nothing_ready)) == 1000);
  CHECK(number(v) == 1);  // an lvalue is copied
  CHECK(select(on_push(ch, kept, pushed)) == 1000);
  CHECK(number(kept) == 2);
  CHECK(select(on_push(ch, std::move(v), pushed), otherwise(nothing_ready)) == -7);
  CHECK(number(v) == 1);
  CHECK(drain(ch) == ints{1, 2});
  CHECK(select(on_push(ch, std::move(v), pushed)) == 1000);
  if constexpr (std::is_same_v<T, std::string>) CHECK(v.empty());
  CHECK(select(on_push(ch, make<T>(3), pushed)) == 1000);
  v = make<T>(4);
  ch.close();
  CHECK(select(on_push(ch, std::move(v), pushed)) == -1000);
  CHECK(select(on_push(ch, std::as_const(v), pushed), otherwise(nothing_ready)) == -1000);
  CHECK(number(v) == 4);
  CHECK(drain(ch) == ints{1, 3});
  CHECK(select(on_push(ch, std::move(v), pushed)) == -1000);  // room does not reopen it
}

TEMPLATE_TEST_CASE("on_push without a limit of places is always ready", "", unbounded_queue<int>,
                   unbounded_queue<block>) {
  using T = typename TestType::value_type;
  over<TestType> ch;
  for (int i = 0; i < 1000; ++i) {
    CHECK(select(on_push(ch, make<T>(i), pushed), otherwise(nothing_ready)) == 1000);
  }
  CHECK(drain(ch) == support::numbers(0, 1000));
  ch.close();
  CHECK(select(on_push(ch, make<T>(1), pushed)) == -1000);
}

TEST_CASE("on_push and on_pop of values that only move") {
  channel<std::unique_ptr<int>> ch(2);
  auto v = std::make_unique<int>(5);
  CHECK(select(on_push(ch, std::move(v), pushed)) == 1000);
  CHECK(v == nullptr);
  const auto out = select(on_pop(ch, [](std::optional<std::unique_ptr<int>> o) { return std::move(*o); }));
  static_assert(std::is_same_v<decltype(out), const std::unique_ptr<int>>);
  CHECK(*out == 5);
}

TEST_CASE("on_pop_any: of an array, a vector, a span, and of none") {
  channel<int> a(4);
  channel<int> b(4);
  channel<int>* const raw[] = {&a, &b};
  const std::array<channel<int>*, 2> array{&a, &b};
  std::vector<channel<int>*> vector{&a, &b};
  const std::span<channel<int>*> span(vector);
  const std::span<channel<int>* const> span_of_const(raw);
  const auto which = [](std::size_t i, std::optional<int> v) {
    return v ? static_cast<int>(i) * 100 + *v : -static_cast<int>(i) - 1;
  };
  const auto from = [&](const auto& list) {
    return select(on_pop_any(list, which), otherwise(nothing_ready));
  };
  const auto check = [&](const auto& list) {
    CHECK(from(list) == -7);
    REQUIRE(b.push(5) == outcome::ok);
    CHECK(from(list) == 105);
    REQUIRE(a.push(6) == outcome::ok);
    CHECK(from(list) == 6);
    REQUIRE(a.push(7) == outcome::ok);
    CHECK(select(on_pop_any(list, which)) == 7);
  };
  check(raw);
  check(array);
  check(vector);
  check(span);
  check(span_of_const);
  b.close();
  CHECK(from(raw) == -2);
  CHECK(select(on_pop_any(vector, which)) == -2);

  vector.clear();
  CHECK(from(vector) == -7);
  manual_clock time;
  CHECK(select(on_pop_any(vector, which), after(time, 0s, limit_passed)) == -8);
  REQUIRE(a.push(8) == outcome::ok);
  CHECK(select(on_pop_any(vector, which), on_pop(a, popped)) == 8);
}

TEST_CASE("what is ready comes before a limit, and before otherwise") {
  channel<int> ch(4);
  manual_clock time(manual_clock::time_point(1h));
  const auto past = std::chrono::steady_clock::now() - 1s;
  for (int i = 0; i < 5; ++i) REQUIRE(ch.try_push(i + 0) == (i < 4 ? outcome::ok : outcome::full));
  CHECK(select(otherwise(nothing_ready), on_pop(ch, popped)) == 0);
  CHECK(select(after(-1s, limit_passed), on_pop(ch, popped)) == 1);
  CHECK(select(on_pop(ch, popped), until(past, limit_passed)) == 2);
  CHECK(select(on_pop(ch, popped), until(time, manual_clock::time_point(0s), limit_passed)) == 3);

  CHECK(select(on_pop(ch, popped), after(0s, limit_passed)) == -8);
  CHECK(select(on_pop(ch, popped), after(-1h, limit_passed)) == -8);
  CHECK(select(until(past, limit_passed), on_pop(ch, popped)) == -8);
  CHECK(select(on_pop(ch, popped), until(std::chrono::system_clock::time_point{}, limit_passed)) == -8);
  CHECK(select(on_pop(ch, popped), until(time, time.now(), limit_passed)) == -8);
  CHECK(select(on_pop(ch, popped), after(time, 0ns, limit_passed)) == -8);
  CHECK(select(on_pop(ch, popped), after(time, (std::chrono::nanoseconds::min)(), limit_passed)) == -8);
}

TEST_CASE("select without a channel: otherwise, or the limit") {
  CHECK(select(otherwise(nothing_ready)) == -7);
  CHECK(select(after(0s, limit_passed)) == -8);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(select(after(2ms, limit_passed)) == -8);  // it passes by itself
  CHECK(std::chrono::steady_clock::now() - begin >= 2ms);
}

// ---- results

TEST_CASE("the result: the handlers' common type, decayed; nothing, if one gives nothing") {
  channel<int> ch(4);
  const auto refill = [&] { REQUIRE(ch.try_push(1) == outcome::ok); };
  int number = 3;
  const std::string text = "text";

  refill();
  auto wide = select(on_pop(ch, [](auto) { return 1; }), otherwise([] { return 2.5; }));
  static_assert(std::is_same_v<decltype(wide), double>);
  CHECK(wide == 1.0);
  wide = select(on_pop(ch, [](auto) { return 1; }), otherwise([] { return 2.5; }));
  CHECK(wide == 2.5);

  auto copy = select(otherwise([&]() -> int& { return number; }));
  static_assert(std::is_same_v<decltype(copy), int>);
  const auto string = select(on_pop(ch, [&](auto) -> const std::string& { return text; }),
                             otherwise([]() { return "other"; }));
  static_assert(std::is_same_v<decltype(string), const std::string>);
  CHECK(string == "other");

  struct base {
    virtual ~base() = default;
    virtual int kind() { return 1; }
  };
  struct derived : base {
    int kind() override { return 2; }
  };
  refill();
  const auto made = select(on_pop(ch, [](auto) { return std::make_unique<derived>(); }),
                           otherwise([] { return std::make_unique<base>(); }));
  static_assert(std::is_same_v<decltype(made), const std::unique_ptr<base>>);
  CHECK(made->kind() == 2);

  static_assert(std::is_void_v<decltype(select(on_pop(ch, [](auto) { return 1; }), otherwise([] {})))>);
  static_assert(std::is_void_v<decltype(select(on_pop(ch, [](auto) {}), otherwise([] {})))>);
  int calls = 0;
  refill();
  select(on_pop(ch, [&](auto) { return ++calls; }), otherwise([&] { calls += 100; }));
  CHECK(calls == 1);
}

TEST_CASE("handlers: called where they are, as what they are") {
  channel<int> ch(4);
  struct fussy {
    int calls = 0;
    int operator()(std::optional<int>) & { return ++calls; }
    int operator()(std::optional<int>) && { return 100; }
    int operator()(std::optional<int>) const& { return 200; }
  };
  fussy mine;
  for (int i = 0; i < 3; ++i) REQUIRE(ch.try_push(1) == outcome::ok);
  CHECK(select(on_pop(ch, mine)) == 1);
  CHECK(mine.calls == 1);
  CHECK(select(on_pop(ch, std::as_const(mine))) == 200);
  CHECK(select(on_pop(ch, fussy())) == 100);

  auto once = [p = std::make_unique<int>(4)]() mutable { return std::move(p); };  // cannot be copied
  CHECK(*select(otherwise(std::move(once))) == 4);
}

// ---- one thing and no other

TEST_CASE("of several that are ready one is done, and the others are left as they were") {
  std::vector<std::unique_ptr<channel<int>>> pops;
  std::vector<std::unique_ptr<channel<int>>> pushes;
  std::vector<channel<int>*> any;
  for (int i = 0; i < 3; ++i) {
    pops.push_back(open_channel<channel<int>>(1024));
    pushes.push_back(open_channel<channel<int>>(1024));
    any.push_back(open_channel<channel<int>>(1024).release());
    for (int k = 0; k < 400; ++k) {
      REQUIRE(pops.back()->push(k + 0) == outcome::ok);
      REQUIRE(any.back()->push(k + 0) == outcome::ok);
    }
  }
  int handled = 0;
  int taken[6] = {};
  int given[3] = {};
  bool in_order = true;
  const auto take = [&](int i) {
    return [&, i](std::optional<int> v) {
      ++handled;
      in_order = in_order && *v == taken[i]++;
    };
  };
  const auto give = [&](int i) {
    return [&, i](outcome) {
      ++handled;
      ++given[i];
    };
  };
  for (int n = 1; n <= 390; ++n) {
    select(on_pop(*pops[0], take(0)), on_push(*pushes[0], n + 0, give(0)), on_pop(*pops[1], take(1)),
           on_push(*pushes[1], n + 0, give(1)),
           on_pop_any(any,
                      [&](std::size_t i, std::optional<int> v) {
                        ++handled;
                        in_order = in_order && *v == taken[3 + i]++;
                      }),
           on_pop(*pops[2], take(2)), on_push(*pushes[2], n + 0, give(2)),
           otherwise([&] { handled += 1000; }));
    REQUIRE(handled == n);
  }
  CHECK(in_order);
  int done = 0;
  for (int i = 0; i < 3; ++i) {
    const auto k = static_cast<std::size_t>(i);
    CHECK(drain(*pops[k]) == support::numbers(taken[i], 400 - taken[i]));
    CHECK(drain(*any[k]) == support::numbers(taken[3 + i], 400 - taken[3 + i]));
    const ints pushed_now = drain(*pushes[k]);
    CHECK(static_cast<int>(pushed_now.size()) == given[i]);
    CHECK(std::ranges::is_sorted(pushed_now));
    done += taken[i] + taken[3 + i] + given[i];
    delete any[k];
  }
  CHECK(done == 390);
}

TEST_CASE("the same channel in several cases") {
  channel<int> ch(2);
  channel<int>* const thrice[] = {&ch, &ch, &ch};
  int sum = 0;
  const auto add = [&](std::optional<int> v) { sum += *v; };
  for (int i = 0; i < 100; ++i) {
    REQUIRE(ch.push(1) == outcome::ok);
    select(on_pop(ch, add), on_pop(ch, add), on_pop_any(thrice, [&](std::size_t, auto v) { add(v); }));
    REQUIRE(ch.empty_approx());
  }
  CHECK(sum == 100);

  // Both ends: empty it can only push, full only pop, and in between either.
  int in = 0;
  int out = 0;
  const auto step = [&] {
    return select(on_pop(ch, [&](std::optional<int>) { return ++out, -1; }),
                  on_push(ch, 5, [&](outcome) { return ++in, 1; }));
  };
  CHECK(step() == 1);
  for (int i = 0; i < 1000; ++i) {
    const std::size_t before = ch.size_approx();
    const int way = step();
    REQUIRE(ch.size_approx() == before + static_cast<std::size_t>(way));
  }
  CHECK(in - out == static_cast<int>(ch.size_approx()));
  CHECK(in > 0);
  CHECK(out > 0);
}

TEST_CASE("the same channel in several cases, asleep: one value is taken, by one case") {
  const watchdog guard("the same channel, asleep");
  watched_channel<int> ch(2);
  for (int round = 0; round < 50; ++round) {
    watching_sync::reset();
    int calls = 0;
    std::thread sleeper([&] {
      watched_channel<int>* const twice[] = {&ch, &ch};
      const auto count = [&](std::optional<int> v) { calls += *v; };
      select(on_pop(ch, count), on_pop(ch, count), on_pop_any(twice, [&](std::size_t, auto v) { count(v); }));
    });
    watching_sync::await_parked(1);
    REQUIRE(ch.push(1) == outcome::ok);
    REQUIRE(ch.push(1) == outcome::ok);
    sleeper.join();
    CHECK(calls == 1);
    CHECK(drain(ch) == ints{1});
  }
}

TEST_CASE("a channel that is closed stays ready, and does not keep the others from their turn") {
  channel<int> closed(2);
  channel<int> open(1024);
  closed.close();
  int ends = 0;
  int values = 0;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(open.push(i + 0) == outcome::ok);
    select(on_pop(closed, [&](std::optional<int> v) { ends += !v; }),
           on_push(closed, 1, [&](outcome o) { ends += o == outcome::closed; }),
           on_pop(open, [&](std::optional<int> v) { values += v.has_value(); }));
  }
  CHECK(ends + values == 1000);
  CHECK(ends > 333);
  CHECK(values > 167);
}

// ---- overflow policies

TEST_CASE("on_push under overflow::fail waits for room, as under block") {
  const watchdog guard("room under overflow::fail");
  const overflow policy = GENERATE(overflow::block, overflow::fail);
  watching_sync::reset();
  watched_channel<int> ch(2, policy);
  const int n = fill(ch, 1);
  CHECK(select(on_push(ch, 2, pushed), otherwise(nothing_ready)) == -7);
  int result = 0;
  std::thread pusher([&] { result = select(on_push(ch, 2, pushed)); });
  watching_sync::await_parked(1);
  CHECK(ch.try_pop() == 1);
  pusher.join();
  CHECK(result == 1000);
  ints expected(static_cast<std::size_t>(n), 1);
  expected.back() = 2;
  CHECK(drain(ch) == expected);
  CHECK(ch.dropped() == 0);
}

TEMPLATE_TEST_CASE("on_push that may drop is always ready", "", mpmc_queue<int>, mpmc_queue<block>,
                   spsc_queue<int>) {
  using T = typename TestType::value_type;
  const overflow policy = GENERATE(overflow::drop_newest, overflow::drop_oldest);
  ints seen;
  over<TestType> ch(2, policy, [&](T&& v) { seen.push_back(number(v)); });
  for (int i = 0; i < 5; ++i) {
    CHECK(select(on_push(ch, make<T>(i), pushed), otherwise(nothing_ready)) == 1000);
  }
  CHECK(ch.dropped() == 3);
  CHECK(seen == (policy == overflow::drop_newest ? ints{2, 3, 4} : ints{0, 1, 2}));
  CHECK(drain(ch) == (policy == overflow::drop_newest ? ints{0, 1} : ints{3, 4}));
}

// ---- fairness

TEST_CASE("of cases that are always ready each is chosen at least half its share") {
  constexpr int selects = 10'000;
  const auto check = [&](const auto& chosen) {
    const int share = selects / static_cast<int>(std::size(chosen)) / 2;
    int all = 0;
    for (const int n : chosen) {
      CHECK(n >= share);
      all += n;
    }
    CHECK(all == selects);
  };

  std::vector<std::unique_ptr<channel<int>>> full;
  std::vector<channel<int>*> any;
  for (int i = 0; i < 7; ++i) {
    full.push_back(open_channel<channel<int>>(4));
    any.push_back(full.back().get());
    REQUIRE(any.back()->push(i + 0) == outcome::ok);
  }
  const auto put_back = [&](std::optional<int> v) {
    REQUIRE(any[static_cast<std::size_t>(*v)]->push(*v + 0) == outcome::ok);
    return *v;
  };
  channel<int> heap(2, overflow::drop_newest);

  std::array<int, 2> two{};
  std::array<int, 7> seven{};
  std::array<int, 4> mixed{};
  for (int i = 0; i < selects; ++i) {
    two[static_cast<std::size_t>(select(on_pop(*any[0], put_back), on_pop(*any[1], put_back)))]++;
    seven[select(on_pop_any(any, [&](std::size_t k, std::optional<int> v) { return put_back(v), k; }))]++;
    const std::span<channel<int>* const> first_two(any.data(), 2);
    mixed[select(on_pop_any(first_two, [&](std::size_t k, std::optional<int> v) { return put_back(v), k; }),
                 on_push(heap, 1, [](outcome) { return std::size_t{2}; }),
                 on_pop(*any[2], [&](std::optional<int> v) { return put_back(v), std::size_t{3}; }))]++;
  }
  check(two);
  check(seven);
  check(mixed);
}

// ---- waiting

TEMPLATE_TEST_CASE("a sleeping select is woken by a push, whichever channel it is", "",
                   (mpmc_queue<int, millrace::use_sync<watching_sync>>),
                   (mpmc_queue<block, millrace::use_sync<watching_sync>>),
                   (spsc_queue<int, millrace::use_sync<watching_sync>>),
                   (unbounded_queue<int, millrace::use_sync<watching_sync>>)) {
  const watchdog guard("woken by a push");
  using T = typename TestType::value_type;
  const auto a = open_channel<over<TestType>>();
  const auto b = open_channel<over<TestType>>();
  const auto c = open_channel<over<TestType>>();
  for (int i = 0; i < 6; ++i) {
    watching_sync::reset();
    over<TestType>* const others[] = {b.get(), c.get()};
    int got = 0;
    std::thread sleeper([&] {
      if (i < 3) {
        got = select(on_pop(*a, popped), on_pop(*b, popped), on_pop(*c, popped));
      } else {
        got = select(on_pop(*a, popped), on_pop_any(others, [](std::size_t, auto v) { return popped(v); }));
      }
    });
    watching_sync::await_parked(1);
    REQUIRE((i % 3 == 0 ? a : i % 3 == 1 ? b : c)->push(make<T>(10 + i)) == outcome::ok);
    sleeper.join();
    CHECK(got == 10 + i);
    CHECK(watching_sync::parks <= 2);  // the second one for the notifier's last step
  }
}

TEST_CASE("a sleeping select is woken by a pop, and by closing") {
  const watchdog guard("woken by a pop, and by closing");
  for (int i = 0; i < 4; ++i) {
    watching_sync::reset();
    watched_channel<std::string> full(2);
    watched_channel<std::string> empty(2);
    fill(full, 1);
    int result = 0;
    std::string mine = make<std::string>(7);
    std::thread sleeper(
        [&] { result = select(on_push(full, std::move(mine), pushed), on_pop(empty, popped)); });
    watching_sync::await_parked(1);
    if (i == 0) CHECK(number(*full.pop()) == 1);
    if (i == 1) REQUIRE(empty.push(make<std::string>(8)) == outcome::ok);
    if (i == 2) full.close();
    if (i == 3) empty.close();
    sleeper.join();
    CHECK(result == std::array{1000, 8, -1000, -1}[static_cast<std::size_t>(i)]);
    if (i != 0) CHECK(number(mine) == 7);
    ints rest = drain(full);
    CHECK(rest.back() == (i == 0 ? 7 : 1));
  }
}

TEST_CASE("a select that pushes and one that pops meet in a channel") {
  const watchdog guard("two selects meet");
  const int rounds = support::watched ? 3000 : 20'000;
  channel<int> there(2);
  channel<int> back(2);
  channel<int> never(2);
  bool in_order = true;
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) {
      const int got = select(on_pop(there, popped), on_pop(never, popped));
      in_order = in_order && got == i;
      in_order = in_order && select(on_push(back, got + 0, pushed), on_pop(never, popped)) == 1000;
    }
  });
  for (int i = 0; i < rounds; ++i) {
    REQUIRE(select(on_pop(never, popped), on_push(there, i + 0, pushed)) == 1000);
    REQUIRE(select(on_pop(never, popped), on_pop(back, popped)) == i);
  }
  other.join();
  CHECK(in_order);
}

TEST_CASE("two selects that sleep wake each other") {
  const watchdog guard("sleeping selects");
  watching_sync::reset();
  watched_channel<int> full(2);
  watched_channel<int> empty(2);
  const int n = fill(full, 1);
  int first = 0;
  int second = 0;
  std::thread pusher([&] { first = select(on_push(full, 2, pushed), on_pop(empty, popped)); });
  watching_sync::await_parked(1);
  std::thread popper([&] { second = select(on_pop(full, popped), on_pop(empty, popped)); });
  popper.join();  // it finds something, and what it takes makes room
  pusher.join();
  CHECK(second == 1);
  CHECK(first == 1000);
  CHECK(static_cast<int>(drain(full).size()) == n);
}

TEST_CASE("limits on a manual clock: not before the deadline, and at it") {
  const watchdog guard("limits on a manual clock");
  manual_clock time;
  channel<int> empty(2);
  channel<int> full(2);
  fill(full);
  channel<int>* const any[] = {&empty, &empty};
  std::atomic<bool> done{false};
  int result = 0;
  const auto expect_limit = [&](auto verb) {
    done = false;
    std::thread waiting([&] {
      result = verb();
      done = true;
    });
    time.await_waiters(1);
    time.advance(10s - 1ns);
    time.await_waiters(1);  // still there
    CHECK_FALSE(done);
    time.advance(1ns);
    waiting.join();
    CHECK(result == -8);
  };
  expect_limit([&] { return select(on_pop(empty, popped), after(time, 10s, limit_passed)); });
  expect_limit([&] { return select(after(time, 10'000ms, limit_passed), on_push(full, 1, pushed)); });
  expect_limit([&] {
    return select(on_pop(empty, popped), until(time, time.now() + 10s, limit_passed),
                  on_push(full, 1, pushed));
  });
  expect_limit([&] {
    return select(on_pop_any(any, [](std::size_t, auto v) { return popped(v); }),
                  after(time, 10s, limit_passed));
  });
  expect_limit([&] { return select(after(time, 10s, limit_passed)); });
  CHECK(empty.empty_approx());

  // In time, and after it.
  std::thread waiting([&] { result = select(on_pop(empty, popped), after(time, 10s, limit_passed)); });
  time.await_waiters(1);
  time.advance(9s);
  REQUIRE(empty.push(3) == outcome::ok);
  waiting.join();
  CHECK(result == 3);
  time.advance(10s);
  REQUIRE(empty.push(4) == outcome::ok);
  CHECK(select(on_pop(empty, popped), after(time, 10s, limit_passed)) == 4);
}

TEST_CASE("limits without end, and clocks that tick by themselves") {
  const watchdog guard("limits without end");
  channel<int> ch(2);
  manual_clock time;
  const auto woken = [&](auto verb) {
    int result = 0;
    std::thread sleeper([&] { result = verb(); });
    REQUIRE(ch.push(6) == outcome::ok);
    sleeper.join();
    CHECK(result == 6);
  };
  woken([&] { return select(on_pop(ch, popped), after((std::chrono::hours::max)(), limit_passed)); });
  woken([&] {
    return select(on_pop(ch, popped), until((std::chrono::steady_clock::time_point::max)(), limit_passed));
  });
  woken([&] {
    return select(on_pop(ch, popped), until((std::chrono::system_clock::time_point::max)(), limit_passed));
  });
  woken([&] { return select(on_pop(ch, popped), after(time, (std::chrono::years::max)(), limit_passed)); });
  CHECK(select(on_pop(ch, popped), after(1ms, limit_passed)) == -8);
  CHECK(select(on_pop(ch, popped), until(std::chrono::system_clock::now() + 1ms, limit_passed)) == -8);
}

TEST_CASE("spurious wake-ups change nothing in a select") {
  const watchdog guard("spurious wake-ups");
  watching_sync::reset();
  watching_sync::restless = 2;
  watched_channel<int> a(2);
  watched_channel<int> b(2);
  constexpr int n = 2000;
  long sum = 0;
  std::thread consumer([&] {
    for (int i = 0; i < n; ++i) sum += select(on_pop(a, popped), on_pop(b, popped), after(24h, limit_passed));
  });
  for (int i = 1; i <= n; ++i) REQUIRE((i % 2 == 0 ? a : b).push(i + 0) == outcome::ok);
  consumer.join();
  CHECK(sum == static_cast<long>(n) * (n + 1) / 2);
}

// ---- what it was called for and did not use

TEST_CASE("called for two things a select does one, and the other wakes who sleeps behind it") {
  const watchdog guard("passing on");
  for (const bool other_way_round : {false, true}) {
    watching_sync::reset();
    steered_channel<int> a(2);
    steered_channel<int> b(2);
    int first = 0;
    int second = 0;
    std::thread selecting([&] {
      first = other_way_round ? select(on_pop(b, popped), on_pop(a, popped))
                              : select(on_pop(a, popped), on_pop(b, popped));
    });
    watching_sync::await_parked(1);
    std::thread behind([&] { second = *b.pop(); });
    watching_sync::await_parked(2);
    steered_sync::hold();
    REQUIRE(a.push(1) == outcome::ok);
    REQUIRE(b.push(2) == outcome::ok);
    steered_sync::let_go();
    selecting.join();
    if (first == 2) REQUIRE(b.push(2) == outcome::ok);
    behind.join();
    CHECK(second == 2);
    CHECK((first == 1 || a.try_pop() == 1));
  }
}

TEST_CASE("called for two places a select takes one, and the other wakes who sleeps behind it") {
  const watchdog guard("passing on places");
  watching_sync::reset();
  steered_channel<int> a(2);
  steered_channel<int> b(2);
  fill(a);
  fill(b);
  int first = 0;
  outcome second{};
  outcome third{};
  std::thread selecting([&] { first = select(on_push(a, 1, pushed), on_push(b, 1, pushed)); });
  watching_sync::await_parked(1);
  std::thread behind_a([&] { second = a.push(2); });
  watching_sync::await_parked(2);
  std::thread behind_b([&] { third = b.push(2); });
  watching_sync::await_parked(3);
  steered_sync::hold();
  CHECK(a.try_pop() == 0);
  CHECK(b.try_pop() == 0);
  steered_sync::let_go();
  selecting.join();
  CHECK(first == 1000);
  // One of the two behind has the other place; the next one is for who is left.
  CHECK(a.try_pop() == 0);
  CHECK(b.try_pop() == 0);
  behind_a.join();
  behind_b.join();
  CHECK(second == outcome::ok);
  CHECK(third == outcome::ok);
}

TEST_CASE("called for a second value while it takes the first: the second wakes who sleeps behind it") {
  // The first comes after the select has looked, and before it stands in line; so it takes that one without having
  // been called, and meanwhile is called for the next one, at the head of the line.
  const watchdog guard("called while taking");
  watching_sync::reset();
  steered_channel<support::hooked> other(2);
  steered_channel<support::hooked> ch(2);
  int second = 0;
  std::thread behind;
  const auto while_it_takes = [&](int move) {
    if (move != 2) return;
    behind = std::thread([&] { second = ch.pop()->value(); });
    watching_sync::await_parked(1);
    CHECK(ch.try_push(support::hooked(2)) == outcome::ok);
  };
  steered_sync::before_lock = [&] { CHECK(ch.try_push(support::hooked(1, while_it_takes)) == outcome::ok); };
  CHECK(select(on_pop(other, popped), on_pop(ch, popped)) == 1);
  behind.join();
  CHECK(second == 2);
}

TEST_CASE("a limit that passes while it is called: the value is taken, or wakes who sleeps behind it") {
  const watchdog guard("a limit and a call");
  for (int round = 0; round < (support::watched ? 200 : 2000); ++round) {
    manual_clock time;
    channel<int> a(2);
    channel<int> b(2);
    int first = 0;
    int second = 0;
    std::thread selecting(
        [&] { first = select(on_pop(a, popped), on_pop(b, popped), after(time, 1s, limit_passed)); });
    time.await_waiters(1);
    std::thread behind([&] { second = *b.pop(); });
    std::thread clock([&] { time.advance(1s); });
    REQUIRE(b.push(1) == outcome::ok);
    selecting.join();
    if (first == 1) REQUIRE(b.push(2) == outcome::ok);
    behind.join();
    clock.join();
    REQUIRE(first + second == (first == 1 ? 3 : -7));
  }
}

// ---- exceptions

TEST_CASE("a throw when something is ready: nobody else loses by it") {
  const watchdog guard("a throw at once");
  instances::reset();
  {
    using support::copied;
    watching_sync::reset();
    watched_channel<copied> ch(2);
    watched_channel<copied> other(2);
    const int n = fill(ch, 1);
    outcome result{};
    std::thread producer([&] { result = ch.push(copied(3)); });
    watching_sync::await_parked(1);
    instances::throw_at(1);
    CHECK_THROWS_AS(select(on_pop(ch, popped), on_pop(other, popped)), support::thrown);
    producer.join();  // the value is lost, its place is not
    CHECK(result == outcome::ok);
    CHECK(static_cast<int>(drain(ch).size()) == n);

    const copied v(4);
    instances::throw_at(1);
    CHECK_THROWS_AS(select(on_push(ch, v, pushed)), support::thrown);
    CHECK(v.value() == 4);
    CHECK(select(on_push(other, v, pushed)) == 1000);
    CHECK_THROWS_AS(select(on_pop(other, [](auto) -> int { throw support::thrown(); })), support::thrown);
    CHECK_THROWS_AS(select(on_pop(other, popped), otherwise([]() -> int { throw support::thrown(); })),
                    support::thrown);
    CHECK_THROWS_AS(select(on_pop(other, popped), after(0s, []() -> int { throw support::thrown(); })),
                    support::thrown);
    CHECK(drain(other).empty());
  }
  support::check_books();
}

TEST_CASE("a move that throws after the sleep: the select is out of all lines, and its calls go on") {
  const watchdog guard("a throw after the sleep");
  for (const bool pop_throws : {true, false}) {
    watching_sync::reset();
    steered_channel<support::hooked> bad(2);
    steered_channel<support::hooked> good(2);
    const auto throws = [](int) { throw support::thrown(); };
    if (!pop_throws) fill(bad, 1);
    bool threw = false;
    std::thread selecting([&] {
      try {
        if (pop_throws) {
          select(on_pop(bad, popped), on_pop(good, popped));
        } else {
          select(on_push(bad, support::hooked(3, throws), pushed), on_pop(good, popped));
        }
      } catch (const support::thrown&) {
        threw = true;
      }
    });
    watching_sync::await_parked(1);
    int got = 0;
    std::thread behind([&] { got = good.pop()->value(); });
    watching_sync::await_parked(2);
    steered_sync::hold();
    if (pop_throws) {
      REQUIRE(bad.push(support::hooked(1, [](int move) {
        if (move == 2) throw support::thrown();
      })) == outcome::ok);
    } else {
      CHECK(bad.try_pop()->value() == 1);
    }
    REQUIRE(good.push(support::hooked(2)) == outcome::ok);
    steered_sync::let_go();
    selecting.join();
    CHECK(threw);
    behind.join();
    CHECK(got == 2);
  }
}

TEST_CASE("a move that throws between the announcement and the sleep") {
  const watchdog guard("a throw before the sleep");
  watching_sync::reset();
  steered_channel<support::hooked> other(2);
  steered_channel<support::hooked> ch(2);
  int second = 0;
  std::thread behind;
  const auto while_it_takes = [&](int move) {
    if (move != 2) return;
    behind = std::thread([&] { second = ch.pop()->value(); });
    watching_sync::await_parked(1);
    CHECK(ch.try_push(support::hooked(2)) == outcome::ok);  // calls the select
    throw support::thrown();
  };
  steered_sync::before_lock = [&] { CHECK(ch.try_push(support::hooked(1, while_it_takes)) == outcome::ok); };
  CHECK_THROWS_AS(select(on_pop(other, popped), on_pop(ch, popped)), support::thrown);
  behind.join();
  CHECK(second == 2);
}

TEST_CASE("a handler that throws after the sleep: its value is gone, all else goes on") {
  const watchdog guard("a handler throws");
  watching_sync::reset();
  steered_channel<int> a(2);
  steered_channel<int> b(2);
  bool threw = false;
  std::thread selecting([&] {
    const auto throws = [](std::optional<int>) { throw support::thrown(); };
    try {
      select(on_pop(a, throws), on_pop(b, throws));
    } catch (const support::thrown&) {
      threw = true;
    }
  });
  watching_sync::await_parked(1);
  int from_a = 0;
  int from_b = 0;
  std::thread behind_a([&] { from_a = *a.pop(); });
  watching_sync::await_parked(2);
  std::thread behind_b([&] { from_b = *b.pop(); });
  watching_sync::await_parked(3);
  steered_sync::hold();
  REQUIRE(a.push(1) == outcome::ok);
  REQUIRE(b.push(2) == outcome::ok);
  steered_sync::let_go();
  selecting.join();
  CHECK(threw);
  REQUIRE(a.push(3) == outcome::ok);
  REQUIRE(b.push(4) == outcome::ok);
  behind_a.join();
  behind_b.join();
  // One of the first two values is gone, the other one came to who slept behind.
  CHECK(((from_a == 3 && from_b == 2) || (from_a == 1 && from_b == 4)));
}

// ---- memory

TEST_CASE("only on_pop_any allocates, and only to wait") {
  const watchdog guard("allocations");
  channel<int> a(2);
  channel<int> b(2);
  manual_clock time;
  std::vector<channel<int>*> any{&a, &b};
  const auto of_any = [](std::size_t, std::optional<int> v) { return popped(v); };
  REQUIRE(a.push(1) == outcome::ok);
  REQUIRE(b.push(2) == outcome::ok);
  const long before = support::allocations;
  const int limit = select(on_push(a, 5, pushed), otherwise(nothing_ready)) == 1000
                        ? select(on_push(a, 5, pushed), after(time, 0s, limit_passed))
                        : 0;
  const int first = select(on_pop_any(any, of_any)) + select(on_pop_any(any, of_any));
  select(on_pop_any(any, of_any));
  const int nothing = select(on_pop_any(any, of_any), otherwise(nothing_ready));
  const int waited = select(on_pop(a, popped), on_pop(b, popped), after(time, 0s, limit_passed));
  CHECK(support::allocations == before);
  CHECK(limit == -8);
  CHECK(first > 0);
  CHECK(nothing == -7);
  CHECK(waited == -8);
  CHECK(select(on_pop_any(any, of_any), after(time, 0s, limit_passed)) == -8);
  CHECK(support::allocations == before + 1);
}

TEST_CASE("no memory to wait with: bad_alloc, and the channels are as before") {
  if (!support::allocations_can_be_refused) return;
  channel<int> a(2);
  channel<int> b(2);
  manual_clock time;
  std::vector<channel<int>*> any{&a, &b};
  const auto of_any = [](std::size_t, std::optional<int> v) { return popped(v); };
  bool refused = false;
  support::allocation_to_refuse = 1;
  try {
    select(on_pop_any(any, of_any), on_push(a, 1, pushed));  // need not wait
    select(on_pop_any(any, of_any));                         // likewise
    select(on_pop_any(any, of_any));
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  support::allocation_to_refuse = 0;
  CHECK(refused);
  for (int i = 0; i < 4; ++i) {
    REQUIRE((i % 2 == 0 ? a : b).push(i + 0) == outcome::ok);
    CHECK(select(on_pop_any(any, of_any)) == i);
  }
  CHECK(select(on_pop_any(any, of_any), after(time, 0s, limit_passed)) == -8);
}

// ---- crowds

TEST_CASE(
    "sixty-four channels, four producers, three selects: nothing is lost or repeated, and all is in order") {
  const watchdog guard("sixty-four channels");
  constexpr std::size_t n = 64;
  constexpr std::size_t producers = 4;
  constexpr std::size_t consumers = 3;
  const std::uint32_t each = support::watched ? 4'000 : 40'000;
  // value: [ producer : 32 | number among that producer's in that channel : 32 ]
  using word = std::uint64_t;
  std::vector<std::unique_ptr<channel<word>>> channels;
  std::vector<channel<word>*> all;
  for (std::size_t i = 0; i < n; ++i) {
    channels.push_back(open_channel<channel<word>>(2 + i % 3));
    all.push_back(channels.back().get());
  }
  std::vector<std::vector<std::uint32_t>> sent(producers, std::vector<std::uint32_t>(n));
  std::vector<std::thread> pushing;
  for (std::size_t p = 0; p < producers; ++p) {
    pushing.emplace_back([&, p] {
      std::uint64_t random = 88172645463325252u + p;
      for (std::uint32_t i = 0; i < each; ++i) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        const std::size_t k = random % n;
        const std::size_t other = (k + 1 + random / n % (n - 1)) % n;
        auto& mine = sent[p];
        if (i % 4 != 0) {
          if (all[k]->push(word{p} << 32 | mine[k]) == outcome::ok) ++mine[k];
        } else {
          select(on_push(*all[k], word{p} << 32 | mine[k], [&](outcome o) { mine[k] += o == outcome::ok; }),
                 on_push(*all[other], word{p} << 32 | mine[other],
                         [&](outcome o) { mine[other] += o == outcome::ok; }));
        }
      }
    });
  }
  // What each consumer got of each channel, in its order.
  std::vector<std::vector<std::vector<word>>> got(consumers, std::vector<std::vector<word>>(n));
  std::vector<std::thread> popping;
  for (std::size_t c = 0; c < consumers; ++c) {
    popping.emplace_back([&, c] {
      std::vector<std::size_t> index(n);
      for (std::size_t i = 0; i < n; ++i) index[i] = i;
      auto open = all;
      while (!open.empty()) {
        select(on_pop_any(open, [&](std::size_t i, std::optional<word> v) {
          if (v) {
            got[c][index[i]].push_back(*v);
          } else {
            open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
            index.erase(index.begin() + static_cast<std::ptrdiff_t>(i));
          }
        }));
      }
    });
  }
  for (std::thread& t : pushing) t.join();
  for (channel<word>* ch : all) ch->close();
  for (std::thread& t : popping) t.join();

  bool in_order = true;
  std::uint64_t total = 0;
  for (std::size_t k = 0; k < n; ++k) {
    std::vector<word> everything;
    for (std::size_t c = 0; c < consumers; ++c) {
      std::vector<word> last(producers);
      for (const word v : got[c][k]) {
        word& before = last[v >> 32];
        in_order = in_order && (v & 0xffffffff) + 1 > before;
        before = (v & 0xffffffff) + 1;
      }
      everything.insert(everything.end(), got[c][k].begin(), got[c][k].end());
    }
    std::vector<word> expected;
    for (std::size_t p = 0; p < producers; ++p) {
      for (std::uint32_t i = 0; i < sent[p][k]; ++i) expected.push_back(word{p} << 32 | i);
    }
    std::ranges::sort(everything);
    REQUIRE(everything == expected);
    total += everything.size();
  }
  CHECK(in_order);
  CHECK(total == std::uint64_t{producers} * each);
}

TEST_CASE("selects and plain verbs on the same channels, both ways, and nobody is left asleep") {
  const watchdog guard("selects and plain verbs");
  const int each = support::watched ? 2'000 : 20'000;
  channel<int> a(2);
  channel<int> b(2);
  std::atomic<long> in{0};
  std::atomic<long> out{0};
  std::vector<std::thread> pushing;
  std::vector<std::thread> popping;
  for (int t = 0; t < 2; ++t) {
    pushing.emplace_back([&] {
      for (int i = 1; i <= each; ++i) {
        select(on_push(a, i + 0, [&](outcome) { in += i; }), on_push(b, i + 0, [&](outcome) { in += i; }));
      }
    });
    pushing.emplace_back([&, t] {
      for (int i = 1; i <= each; ++i) {
        if ((t == 0 ? a : b).push(i + 0) == outcome::ok) in += i;
      }
    });
    popping.emplace_back([&] {
      bool open_a = true;
      bool open_b = true;
      const auto add = [&](bool& open) {
        return
            [&](std::optional<int> v) { v ? static_cast<void>(out += *v) : static_cast<void>(open = false); };
      };
      while (open_a && open_b) select(on_pop(a, add(open_a)), on_pop(b, add(open_b)));
      while (open_a) select(on_pop(a, add(open_a)));
      while (open_b) select(on_pop(b, add(open_b)));
    });
    popping.emplace_back([&, t] {
      for (const int v : t == 0 ? a : b) out += v;
    });
  }
  for (std::thread& t : pushing) t.join();
  a.close();
  b.close();
  for (std::thread& t : popping) t.join();
  CHECK(in == 4L * each * (each + 1) / 2);
  CHECK(out == in);
}
