// The newest value, from every side: who gets which, when the old ones go, what is left when something throws, who wakes
// whom, and that a thread that stops anywhere stops nobody. Time is a manual_clock's, and sleepers are met at the seam.
#include "millrace/topic/latest_value.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/select.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/instances.hpp"
#include "support/stalling_sync.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::latest_reader;
using millrace::latest_value;
using millrace::manual_clock;
using millrace::on_change;
using millrace::outcome;
using support::instances;
using support::manual_executor;
using support::stall;
using support::stalling_sync;
using support::watchdog;
using support::watching_sync;
using steady = std::chrono::steady_clock;

template <class T>
using watched_value = latest_value<T, steady, watching_sync>;
template <class T>
using slots_of_two = millrace::detail::value_slots<T, millrace::std_sync, 2>;
template <class T>
using short_counts = millrace::detail::value_slots<T, millrace::std_sync, 64, 3>;

template <class T>
auto building(int n) {
  return [n](void* where) { ::new (where) T(n); };
}

/// Neither copied nor moved.
struct fixed {
  fixed(int a, int b) : sum(a + b) {}
  fixed(const fixed&) = delete;
  fixed& operator=(const fixed&) = delete;
  int sum;
};

/// Runs something in the middle of its construction.
struct interrupted {
  explicit interrupted(int v, const std::function<void()>& meanwhile = {}) : value(v) {
    if (meanwhile) meanwhile();
  }
  support::counted<> value;
};

}  // namespace

TEST_CASE("a reader has the newest value, and keeps it until it reads again") {
  latest_value<std::string> name(support::make<std::string>(0));
  latest_reader r(name);
  CHECK(support::number(r.value()) == 0);
  CHECK(r.version() == 0);
  CHECK_FALSE(r.changed());
  const std::string& first = r.read();
  for (int i = 1; i < 4; ++i) CHECK(name.set(support::make<std::string>(i)));
  CHECK(r.changed());
  CHECK(support::number(first) == 0);
  CHECK(support::number(r.value()) == 0);
  CHECK(r.version() == 0);
  CHECK(support::number(name.load()) == 3);
  CHECK(support::number(r.read()) == 3);
  CHECK(r.version() == 3);
  CHECK_FALSE(r.changed());
  CHECK(&r.read() == &r.value());
}

TEST_CASE("values that can only be moved, or not even that") {
  latest_value<std::unique_ptr<int>> p(std::make_unique<int>(1));
  latest_reader of_p(p);
  CHECK(p.set(std::make_unique<int>(2)));
  CHECK(*of_p.read() == 2);
  CHECK(p.update([](const std::unique_ptr<int>& old) { return std::make_unique<int>(*old + 1); }));
  CHECK(*of_p.read() == 3);

  latest_value<fixed> f(std::in_place, 1, 2);
  latest_reader of_f(f);
  CHECK(of_f.read().sum == 3);
  CHECK(f.emplace(3, 4));
  CHECK(of_f.read().sum == 7);
  CHECK(f.update([](const fixed& old) { return fixed(old.sum, 1); }));
  CHECK(of_f.read().sum == 8);

  latest_value<support::aligned> wide(support::aligned(5));
  latest_reader of_wide(wide);
  CHECK(wide.set(support::aligned(6)));
  CHECK(reinterpret_cast<std::uintptr_t>(&of_wide.read()) % alignof(support::aligned) == 0);

  static_assert(!std::is_copy_constructible_v<latest_value<int>> &&
                !std::is_move_constructible_v<latest_value<int>>);
  static_assert(!std::is_copy_constructible_v<latest_reader<int>>);
  static_assert(std::is_nothrow_move_constructible_v<latest_reader<int>>);
  static_assert(std::is_nothrow_move_assignable_v<latest_reader<int>>);
}

TEST_CASE("an old value goes as soon as nobody has it") {
  instances::reset();
  {
    latest_value<support::copied> v(support::copied(0));
    CHECK(instances::live == 1);
    for (int i = 1; i < 100; ++i) {
      v.set(support::copied(i));
      CHECK(instances::live == 1);
    }
    {
      latest_reader a(v);
      latest_reader b(v);
      v.set(support::copied(100));
      v.set(support::copied(101));
      CHECK(instances::live == 2);  // the readers' own, and the newest
      CHECK(a.read().value() == 101);
      CHECK(instances::live == 2);
      CHECK(b.value().value() == 99);
      CHECK(b.read().value() == 101);
      CHECK(instances::live == 1);
      latest_reader c(std::move(a));
      v.set(support::copied(102));
      latest_reader d(v);
      CHECK(instances::live == 2);
      d = std::move(c);  // lets 102 go, and has 101 now
      v.set(support::copied(103));
      CHECK(instances::live == 2);
      CHECK(d.value().value() == 101);
      d = std::move(b);
      CHECK(d.value().value() == 101);
      CHECK(instances::live == 2);
    }
    CHECK(instances::live == 1);
    CHECK(v.load().value() == 103);
    CHECK(instances::live == 1);
  }
  support::check_books();
}

TEST_CASE("what throws leaves the value as it was") {
  instances::reset();
  {
    latest_value<support::copied> v(support::copied(1));
    latest_reader r(v);
    const support::copied other(2);
    const auto refused = [&](auto&& act) {
      instances::throw_at(1);
      CHECK_THROWS_AS(act(), support::thrown);
      instances::spare();
      CHECK_FALSE(r.changed());
      CHECK(instances::live == 2);
      CHECK(v.load().value() == 1);
    };
    refused([&] { v.set(other); });
    refused([&] { v.emplace(3); });
    refused([&] { std::ignore = v.load(); });
    refused([&] { v.update([](const support::copied& old) { return support::copied(old.value() + 1); }); });
    CHECK_THROWS_AS(v.update([](const support::copied&) -> support::copied { throw support::thrown(); }),
                    support::thrown);
    CHECK(instances::live == 2);
    CHECK(v.set(other));
    CHECK(r.read().value() == 2);
    CHECK(r.version() == 1);
    CHECK(instances::live == 2);

    instances::throw_at(1);
    CHECK_THROWS_AS(latest_value<support::copied>(std::in_place, 1), support::thrown);
    instances::spare();
  }
  support::check_books();
}

TEST_CASE("an update sees the value that it replaces") {
  instances::reset();
  {
    latest_value<support::copied> v(support::copied(1));
    int calls = 0;
    CHECK(v.update([&](const support::copied& old) {
      if (++calls == 1) v.set(support::copied(10));  // somebody is faster
      return support::copied(old.value() + 1);
    }));
    CHECK(calls == 2);
    CHECK(v.load().value() == 11);
    CHECK(latest_reader(v).version() == 2);
    // A reader that comes and goes meanwhile is no reason to begin anew.
    CHECK(v.update([&](const support::copied& old) {
      ++calls;
      return support::copied(old.value() + v.load().value());
    }));
    CHECK(calls == 3);
    CHECK(v.load().value() == 22);
    CHECK(instances::live == 1);
  }
  support::check_books();
}

TEST_CASE("closed: no other value comes, and the last one stays") {
  instances::reset();
  {
    latest_value<support::copied> v(support::copied(1));
    latest_reader r(v);
    v.set(support::copied(2));
    CHECK_FALSE(v.is_closed());
    v.close();
    v.close();
    CHECK(v.is_closed());
    support::copied mine(3);
    CHECK_FALSE(v.set(std::move(mine)));
    CHECK(mine.value() == 3);
    CHECK_FALSE(v.emplace(4));
    CHECK_FALSE(v.update([](const support::copied& old) { return support::copied(old.value()); }));
    CHECK(r.wait() == outcome::ok);  // there is still the last one
    CHECK(r.read().value() == 2);
    CHECK(r.wait() == outcome::closed);
    CHECK(r.wait_for(1h) == outcome::closed);
    CHECK(v.load().value() == 2);
    CHECK(instances::live == 2);
  }
  {
    // While the value is under construction.
    latest_value<interrupted> v(std::in_place, 1);
    CHECK_FALSE(v.emplace(2, [&] { v.close(); }));
    CHECK(instances::live == 1);
    CHECK(latest_reader(v).version() == 0);
  }
  {
    latest_value<support::copied> v(support::copied(1));
    CHECK_FALSE(v.update([&](const support::copied&) {
      v.close();
      return support::copied(2);
    }));
    CHECK(instances::live == 1);
    CHECK(v.load().value() == 1);
  }
  support::check_books();
}

TEST_CASE("who waits is woken by a set, everybody, and each reads the newest") {
  const watchdog guard("woken by a set");
  watching_sync::reset();
  watched_value<int> v(0);
  constexpr int n = 3;
  std::atomic<int> sum{0};
  std::atomic<int> closed{0};
  std::vector<latest_reader<int, steady, watching_sync>> readers;
  for (int i = 0; i < n; ++i) readers.emplace_back(v);
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      auto& r = readers[static_cast<std::size_t>(i)];
      while (r.wait() == outcome::ok) sum += r.read();
      ++closed;
    });
  }
  watching_sync::await_parks(n);
  watching_sync::await_parked(n);
  v.set(1);
  watching_sync::await_parks(2 * n);  // each has read, and is asleep again
  watching_sync::await_parked(n);
  CHECK(sum == n);
  CHECK(watching_sync::parks == 2 * n);
  v.close();
  for (auto& t : threads) t.join();
  CHECK(closed == n);
}

TEST_CASE("waiting with a limit") {
  const watchdog guard("waiting with a limit");
  manual_clock clock;
  latest_value<int, manual_clock> v(0, clock);
  latest_reader r(v);
  outcome result = outcome::ok;
  CHECK(r.wait_for(0s) == outcome::timeout);
  CHECK(r.wait_until(clock.now()) == outcome::timeout);
  {
    std::thread t([&] { result = r.wait_for(30min); });
    clock.await_waiters(1);
    clock.advance(30min);
    t.join();
    CHECK(result == outcome::timeout);
  }
  {
    std::thread t([&] { result = r.wait_until(clock.now() + 1h); });
    clock.await_waiters(1);
    clock.advance(30min);
    v.set(1);
    t.join();
    CHECK(result == outcome::ok);
  }
  CHECK(r.wait_for(0s) == outcome::ok);
  CHECK(r.read() == 1);
  {
    std::thread t([&] { result = r.wait_for(1h); });
    clock.await_waiters(1);
    v.close();
    t.join();
    CHECK(result == outcome::closed);
  }
  latest_value<fixed, manual_clock> in_place(std::in_place, clock, 1, 2);
  CHECK(latest_reader(in_place).wait_for(0s) == outcome::timeout);
}

namespace {

/// Counts the locks that are taken.
struct locking_sync : watching_sync {
  static inline std::atomic<int> locks{0};
  class mutex {
   public:
    void lock() {
      ++locks;
      mutex_.lock();
    }
    void unlock() { mutex_.unlock(); }

   private:
    std::mutex mutex_;
  };
};

}  // namespace

TEST_CASE("with nobody asleep a set takes no lock, makes no system call and in the long run no allocation") {
  watching_sync::reset();
  locking_sync::locks = 0;
  latest_value<support::block, steady, locking_sync> v(support::make<support::block>(0));
  latest_reader often(v);
  std::optional<latest_reader<support::block, steady, locking_sync>> seldom(v);
  int wrong = 0;
  const auto turn = [&](int i) {
    v.set(support::make<support::block>(i));
    if (support::number(often.read()) != i || support::number(v.load()) != i) ++wrong;
    if (i % 10 == 0) seldom.emplace(v);
    v.update([](const support::block& old) { return old; });
  };
  for (int i = 0; i < 20; ++i) turn(i);
  const long before = support::allocations;
  for (int i = 0; i < 1000; ++i) turn(i);
  CHECK(support::allocations == before);
  CHECK(wrong == 0);
  CHECK(locking_sync::locks == 0);
  CHECK(watching_sync::unparks == 0);
  CHECK(watching_sync::parks == 0);
}

TEST_CASE("without memory for another slot the value stays") {
  if constexpr (support::allocations_can_be_refused) {
    latest_value<int> v(1);
    support::allocation_to_refuse = 1;
    CHECK_THROWS_AS(v.set(2), std::bad_alloc);
    CHECK(v.load() == 1);
    CHECK(v.set(2));
    CHECK(v.load() == 2);
  }
}

TEST_CASE("readers that hold on to many old values") {
  instances::reset();
  {
    latest_value<support::copied> v(support::copied(0));
    constexpr int n = 300;  // several blocks of slots
    const auto hold = [&] {
      std::vector<latest_reader<support::copied>> holders;
      holders.reserve(n);
      const int first = v.load().value();
      for (int i = 0; i < n; ++i) {
        holders.emplace_back(v);
        v.set(support::copied(first + i + 1));
      }
      CHECK(instances::live == n + 1);
      bool as_they_were = true;
      for (int i = 0; i < n; ++i) {
        as_they_were = as_they_were && holders[static_cast<std::size_t>(i)].value().value() == first + i;
      }
      CHECK(as_they_were);
      // From the middle outwards, so that places become free everywhere.
      for (int i = 0; i < n; i += 2) std::ignore = holders[static_cast<std::size_t>(i)].read();
      CHECK(instances::live == n / 2 + 1);
    };
    hold();
    CHECK(instances::live == 1);
    const long before = support::allocations;
    hold();
    CHECK(support::allocations == before + 1);  // the vector
    CHECK(instances::live == 1);
  }
  support::check_books();
}

TEST_CASE("blocks of two slots: all are found again") {
  instances::reset();
  {
    slots_of_two<support::copied> v(building<support::copied>(0));
    const auto hold = [&](int n) {
      std::vector<slots_of_two<support::copied>::slot*> held;
      held.reserve(static_cast<std::size_t>(n));
      for (int i = 0; i < n; ++i) {
        held.push_back(&v.come());
        CHECK(v.replace(building<support::copied>(i)));
      }
      CHECK(instances::live == n + 1);
      for (auto* s : held) v.leave(*s);
      CHECK(instances::live == 1);
    };
    hold(7);
    const long before = support::allocations;
    hold(7);
    hold(6);
    CHECK(support::allocations == before + 2);
    hold(8);
  }
  support::check_books();
}

TEST_CASE("who has left is taken off before the count runs over") {
  instances::reset();
  {
    short_counts<support::copied> v(building<support::copied>(0));
    auto& first = v.come();
    for (int i = 0; i < 1000; ++i) v.leave(v.come());
    CHECK(instances::live == 1);
    CHECK_FALSE(v.is_closed());
    auto& again = v.come();
    CHECK(&again == &first);
    CHECK(v.replace(building<support::copied>(1)));
    CHECK(instances::live == 2);
    for (int i = 0; i < 1000; ++i) v.leave(v.come());
    v.leave(first);
    CHECK(instances::live == 2);
    v.leave(again);
    CHECK(instances::live == 1);
    v.close();
    for (int i = 0; i < 1000; ++i) v.leave(v.come());
    CHECK(v.is_closed());
    CHECK_FALSE(v.replace(building<support::copied>(2)));
  }
  support::check_books();
}

namespace {

template <class Reader, class Executor = millrace::inline_executor>
support::coroutine follow(Reader& r, std::vector<int>& got, outcome& last, Executor executor = {},
                          std::stop_token stop = {}) {
  for (;;) {
    last = co_await r.async_wait(executor, stop);
    if (last != outcome::ok) co_return;
    got.push_back(r.read());
  }
}

}  // namespace

TEST_CASE("a coroutine waits") {
  const watchdog guard("a coroutine waits", 20s);
  latest_value<int> v(0);
  latest_reader r(v);
  std::vector<int> got;
  outcome last = outcome::full;
  SECTION("resumed inside the set, until it is closed") {
    auto c = follow(r, got, last);
    v.set(1);
    v.set(2);
    CHECK(got == std::vector<int>{1, 2});
    CHECK_FALSE(c.done());
    v.close();
    CHECK(c.done());
    CHECK(last == outcome::closed);
  }
  SECTION("by an executor, when there may be a newer one already") {
    manual_executor loop;
    auto c = follow(r, got, last, loop.poster());
    v.set(1);
    v.set(2);
    CHECK(got.empty());
    CHECK(loop.run_all() == 1);
    CHECK(got == std::vector<int>{2});
    v.set(3);
    v.close();
    CHECK(loop.run_all() == 1);
    CHECK(got == std::vector<int>{2, 3});
    CHECK(c.done());
    CHECK(last == outcome::closed);
  }
  SECTION("a stop ends it") {
    std::stop_source stop;
    auto c = follow(r, got, last, millrace::inline_executor(), stop.get_token());
    v.set(1);
    stop.request_stop();
    CHECK(c.done());
    CHECK(last == outcome::cancelled);
    CHECK(got == std::vector<int>{1});
  }
  SECTION("destroyed, it is in no line any more") {
    auto c = follow(r, got, last);
    c.destroy();
    v.set(1);
    CHECK(got.empty());
  }
  SECTION("one that is resumed may destroy another one that waits behind it") {
    latest_reader other(v);
    support::coroutine second;
    const auto killer = [](latest_reader<int>& mine, support::coroutine& victim) -> support::coroutine {
      const outcome o = co_await mine.async_wait();
      if (o == outcome::ok) victim.destroy();
    };
    auto first = killer(other, second);
    second = follow(r, got, last);
    v.set(1);
    CHECK(first.done());
    CHECK(got.empty());
  }
}

TEST_CASE("a case of select") {
  const watchdog guard("a case of select");
  manual_clock clock;
  latest_value<int> v(0);
  millrace::channel<int> ch(4);
  latest_reader r(v);
  const auto look = [&] {
    return millrace::select(on_change(r, [](const int* now) { return now == nullptr ? -1 : *now; }),
                            millrace::on_pop(ch, [](std::optional<int> n) { return 100 + n.value_or(0); }),
                            millrace::otherwise([] { return -2; }));
  };
  CHECK(look() == -2);
  v.set(1);
  v.set(2);
  CHECK(look() == 2);
  CHECK(look() == -2);
  CHECK(ch.push(5) == outcome::ok);
  CHECK(look() == 105);
  v.set(3);
  v.close();
  CHECK(look() == 3);
  CHECK(look() == -1);
  CHECK(r.value() == 3);

  // Asleep in it.
  watching_sync::reset();
  watched_value<int> w(0);
  latest_reader of_w(w);
  using queue = millrace::mpmc_queue<int, millrace::use_sync<watching_sync>>;
  millrace::channel<int, queue> other(4);
  std::vector<int> got;
  std::thread t([&] {
    for (bool go_on = true; go_on;) {
      millrace::select(on_change(of_w,
                                 [&](const int* now) {
                                   go_on = now != nullptr;
                                   if (now != nullptr) got.push_back(*now);
                                 }),
                       millrace::on_pop(other, [&](std::optional<int> n) { got.push_back(*n); }));
    }
  });
  watching_sync::await_parks(1);
  w.set(1);
  watching_sync::await_parks(2);
  std::ignore = other.push(2);
  watching_sync::await_parks(3);
  w.close();
  t.join();
  CHECK(got == std::vector<int>{1, 2});

  std::thread limited([&] {
    millrace::latest_value<int> never(0);
    latest_reader of_never(never);
    got.push_back(millrace::select(on_change(of_never, [](const int*) { return 1; }),
                                   millrace::after(clock, 1h, [] { return 7; })));
  });
  clock.await_waiters(1);
  clock.advance(1h);
  limited.join();
  CHECK(got.back() == 7);
}

namespace {

/// Who set it, which of his it is, and enough of it to be torn.
struct ticket {
  ticket(int writer, int number) : by(writer) {
    all.fill(number);
    ++live;
  }
  ticket(const ticket& o) : by(o.by), all(o.all) { ++live; }
  ticket& operator=(const ticket&) = delete;
  ~ticket() {
    all.fill(-1);
    --live;
  }
  [[nodiscard]] int number() const {
    return std::all_of(all.begin(), all.end(), [this](int n) { return n == all[0]; }) ? all[0] : -1;
  }
  int by;
  std::array<int, 16> all{};
  static inline std::atomic<int> live{0};
};

/// Neither torn, nor older than what was seen before.
class witness {
 public:
  void see(const ticket& t) {
    const int n = t.number();
    if (n < 0 || t.by < 0 || t.by >= 8 || n < last_[static_cast<std::size_t>(t.by)]) ++wrong;
    if (wrong == 0) last_[static_cast<std::size_t>(t.by)] = n;
  }
  void see(const ticket& t, std::uint64_t version) {
    see(t);
    if (version < version_) ++wrong;
    version_ = version;
  }
  int wrong = 0;

 private:
  std::array<int, 8> last_{};
  std::uint64_t version_ = 0;
};

}  // namespace

TEST_CASE("many writers and many readers: nothing torn, nothing older after something newer") {
  const watchdog guard("many of both");
  constexpr int writers = 3;
  constexpr int each = support::watched ? 3'000 : 600'000;
  {
    latest_value<ticket> v(std::in_place, 0, 0);
    std::atomic<int> wrong{0};
    std::atomic<std::uint64_t> reads{0};
    std::barrier start(writers + 3);
    std::vector<std::thread> threads;
    for (int w = 0; w < writers; ++w) {
      threads.emplace_back([&, w] {
        start.arrive_and_wait();
        for (int i = 1; i <= each; ++i) {
          if (i % 16 == 0) {
            v.update([&](const ticket& old) { return old.number() < 0 ? ticket(-1, -1) : ticket(w, i); });
          } else {
            v.emplace(w, i);
          }
        }
      });
    }
    threads.emplace_back([&] {
      witness eyes;
      latest_reader r(v);
      start.arrive_and_wait();
      do {
        eyes.see(r.read(), r.version());
        reads.fetch_add(1, std::memory_order_relaxed);
      } while (r.wait() == outcome::ok);
      if (r.version() != std::uint64_t(writers) * each) ++wrong;
      wrong += eyes.wrong;
    });
    threads.emplace_back([&] {
      witness eyes;
      start.arrive_and_wait();
      while (!v.is_closed()) eyes.see(v.load());
      wrong += eyes.wrong;
    });
    threads.emplace_back([&] {
      // Some that hold on to old ones, and are only asked now and then.
      witness eyes;
      std::vector<latest_reader<ticket>> some;
      for (int i = 0; i < 70; ++i) some.emplace_back(v);
      start.arrive_and_wait();
      for (std::size_t i = 0; !v.is_closed(); ++i) {
        auto& one = some[i % some.size()];
        if (one.value().number() < 0) ++wrong;
        eyes.see(one.read(), one.version());
      }
      wrong += eyes.wrong;
    });
    for (int w = 0; w < writers; ++w) threads[static_cast<std::size_t>(w)].join();
    v.close();
    for (std::size_t t = writers; t < threads.size(); ++t) threads[t].join();
    CHECK(wrong == 0);
    CHECK(reads > 0);
    CHECK(ticket::live == 1);
  }
  CHECK(ticket::live == 0);
}

TEST_CASE("updates of many threads add up") {
  const watchdog guard("updates");
  constexpr int threads = 4;
  constexpr int each = support::watched ? 1'000 : 200'000;
  latest_value<int> v(0);
  std::barrier start(threads);
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&] {
      start.arrive_and_wait();
      for (int i = 0; i < each; ++i) v.update([](int n) { return n + 1; });
    });
  }
  for (auto& t : all) t.join();
  CHECK(v.load() == threads * each);
}

TEST_CASE("sets and sleepers in a hurry: nobody sleeps through the last one") {
  const watchdog guard("in a hurry");
  constexpr int rounds = support::watched ? 2'000 : 50'000;
  watching_sync::reset();
  watched_value<int> there(0);
  watched_value<int> back(0);
  latest_reader of_there(there);
  std::thread echo([&] {
    while (of_there.wait() == outcome::ok) back.set(of_there.read());
  });
  latest_reader r(back);
  int wrong = 0;
  for (int i = 1; i <= rounds; ++i) {
    there.set(i);
    while (r.read() != i) {
      if (r.wait() != outcome::ok) ++wrong;
    }
  }
  there.close();
  echo.join();
  CHECK(wrong == 0);
}

namespace {

using stalling_value = latest_value<ticket, steady, stalling_sync>;

enum class doing { set, update, load, read, begin };

/// Suspends a victim before step 0, 1, 2, ... of what it does, and lets others set and read meanwhile. How many steps it was.
int suspend_everywhere(doing what, std::string& fault) {
  for (int step = 0;; ++step) {
    stalling_value v(std::in_place, 0, 0);
    stall suspension(step);
    latest_reader victims(v);
    v.emplace(0, 1);
    std::thread victim([&] {
      suspension.arm();
      switch (what) {
        case doing::set: v.emplace(7, 1); break;
        case doing::update: v.update([](const ticket& old) { return ticket(7, old.number()); }); break;
        case doing::load: std::ignore = v.load(); break;
        case doing::read: std::ignore = victims.read(); break;
        case doing::begin: std::ignore = latest_reader(v).value(); break;
      }
      suspension.disarm();
    });
    const bool suspended = suspension.await();
    if (suspended) {
      std::atomic<int> wrong{0};
      std::atomic<int> most{0};
      std::vector<std::thread> others;
      for (int t = 0; t < 2; ++t) {
        others.emplace_back([&, t] {
          witness eyes;
          latest_reader r(v);
          for (int i = 2; i < (support::watched ? 200 : 2'000); ++i) {
            if (!v.emplace(t + 1, i)) ++wrong;
            v.update([&](const ticket& old) { return ticket(old.by, old.number()); });
            eyes.see(r.read(), r.version());
            eyes.see(v.load());
            const int live = ticket::live;
            int known = most;
            while (known < live && !most.compare_exchange_weak(known, live)) {
            }
          }
          wrong += eyes.wrong;
        });
      }
      for (auto& t : others) t.join();
      if (wrong != 0) fault = "torn, or out of order";
      // The newest; what the victim holds, writes or has replaced, and its reader's; of the others each one that it holds,
      // one that it has replaced, one that it writes, and a copy.
      if (most > 1 + 3 + 2 * 4) fault = std::to_string(most) + " values at a time";
      suspension.resume();
    }
    victim.join();
    if (!suspended || !fault.empty()) return step;
  }
}

}  // namespace

TEST_CASE("a thread suspended for good at any step stops nobody") {
  const watchdog guard("suspended at every step", std::chrono::seconds(300));
  for (const doing what : {doing::set, doing::update, doing::load, doing::read, doing::begin}) {
    CAPTURE(static_cast<int>(what));
    std::string fault;
    CHECK(suspend_everywhere(what, fault) >= 1);
    CHECK(fault.empty());
    if (!fault.empty()) WARN(fault);
    CHECK(ticket::live == 0);
  }
}
