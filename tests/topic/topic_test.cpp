// What a publisher sees of a topic, for both kinds of publishers: room, waiting, refusals, exceptions, the end; and what
// the log keeps and gives back. Time is a manual_clock's, and sleepers are met at the seam.
#include "millrace/topic/topic.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::earliest;
using millrace::manual_clock;
using millrace::outcome;
using millrace::overrun;
using millrace::producers;
using millrace::topic;
using millrace::topic_options;
using millrace::unlimited;
using millrace::wait_strategy;
using support::instances;
using support::watchdog;
using support::watching_sync;

template <producers P>
struct kind {
  static constexpr producers value = P;
  template <class T, class Clock = std::chrono::steady_clock, class Sync = watching_sync>
  using topic = millrace::topic<T, P, Clock, Sync>;
};
#define BOTH_KINDS kind<producers::single>, kind<producers::multi>

template <class Subscription>
auto read_all(Subscription& s) {
  std::vector<typename Subscription::value_type> all;
  while (const auto* m = s.try_next()) all.push_back(*m);
  return all;
}
using ints = std::vector<int>;

}  // namespace

TEMPLATE_TEST_CASE("every reader gets every message, in order, and then the end", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(8, {.segment = 2});
  auto a = t.subscribe();
  auto b = t.subscribe();
  for (int i = 0; i < 8; ++i) REQUIRE(t.publish(i) == outcome::ok);
  REQUIRE(t.tail() == 8);
  REQUIRE(read_all(a) == ints{0, 1, 2, 3, 4, 5, 6, 7});
  REQUIRE(read_all(b) == ints{0, 1, 2, 3, 4, 5, 6, 7});
  t.close();
  t.close();
  REQUIRE(t.is_closed());
  const int* out = nullptr;
  REQUIRE(a.next(out) == outcome::closed);
  REQUIRE(a.next() == nullptr);
  REQUIRE(t.publish(9) == outcome::closed);
  REQUIRE(t.try_publish(9) == outcome::closed);
  REQUIRE(t.emplace(9) == outcome::closed);
  REQUIRE(t.tail() == 8);
}

TEMPLATE_TEST_CASE("no reader is no error, and what was published then can be read later", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(4, {.segment = 2});
  for (int i = 0; i < 100; ++i) REQUIRE(t.try_publish(i) == outcome::ok);
  auto late = t.subscribe({.from = earliest});
  const ints got = read_all(late);
  REQUIRE(got.size() >= 4);
  REQUIRE(got.size() <= 6);  // whole segments
  REQUIRE(got.back() == 99);
  REQUIRE(late.missed() == 0);
}

TEMPLATE_TEST_CASE("full at the capacity and not before, and not with one less", "", BOTH_KINDS) {
  for (const std::size_t capacity : {1u, 2u, 3u, 5u, 64u, 100u}) {
    typename TestType::template topic<int> t(capacity, {.segment = 2});
    auto slow = t.subscribe();
    auto fast = t.subscribe();
    for (std::size_t i = 0; i < capacity; ++i) REQUIRE(t.try_publish(int(i)) == outcome::ok);
    for (int again = 0; again < 3; ++again) {
      REQUIRE(t.try_publish(-1) == outcome::full);
      REQUIRE(t.try_emplace(-1) == outcome::full);
    }
    static_cast<void>(read_all(fast));
    REQUIRE(t.try_publish(-1) == outcome::full);
    REQUIRE(slow.lag() == capacity);
    REQUIRE(fast.lag() == 0);
    REQUIRE(slow.poll([](int) {}, 1) == 1);
    REQUIRE(t.try_publish(int(capacity)) == outcome::ok);
    REQUIRE(t.try_publish(-1) == outcome::full);
    ints rest;
    slow.poll([&](int v) { rest.push_back(v); });
    REQUIRE(rest.size() == capacity);
    REQUIRE(rest.back() == int(capacity));
  }
}

TEMPLATE_TEST_CASE("a lossy reader, and one that leaves, make nobody wait", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(4, {.segment = 2});
  auto lossy = t.subscribe({.when_full = overrun::drop_oldest});
  {
    auto lossless = t.subscribe();
    for (int i = 0; i < 4; ++i) REQUIRE(t.try_publish(i) == outcome::ok);
    REQUIRE(t.try_publish(4) == outcome::full);
  }
  for (int i = 4; i < 50; ++i) REQUIRE(t.try_publish(i) == outcome::ok);
}

TEMPLATE_TEST_CASE("publish sleeps while there is no room; a read, a leave and a close wake it", "",
                   BOTH_KINDS) {
  const watchdog guard("publishing into a full topic");
  const auto blocked = [](auto end, outcome expected) {
    typename TestType::template topic<int> t(2, {.segment = 2});
    auto reader = std::make_unique<decltype(t.subscribe())>(t.subscribe());
    for (int i = 0; i < 2; ++i) REQUIRE(t.publish(i) == outcome::ok);
    watching_sync::reset();
    outcome result = outcome::full;
    std::thread publisher([&] { result = t.publish(2); });
    watching_sync::await_parked(1);
    end(t, reader);
    publisher.join();
    REQUIRE(result == expected);
  };
  blocked([](auto&, auto& r) { static_cast<void>(r->next()), static_cast<void>(r->try_next()); },
          outcome::ok);
  blocked([](auto&, auto& r) { r->poll([](int) {}, 1); }, outcome::ok);
  blocked([](auto&, auto& r) { r.reset(); }, outcome::ok);
  blocked([](auto&, auto& r) { r->seek(millrace::latest); }, outcome::ok);
  blocked([](auto& t, auto&) { t.close(); }, outcome::closed);
}

TEMPLATE_TEST_CASE("a stop ends a publish that waits for room, and the value stays", "", BOTH_KINDS) {
  const watchdog guard("publishing with a stop");
  typename TestType::template topic<std::unique_ptr<int>> t(1, {.segment = 2});
  auto reader = t.subscribe();
  std::stop_source stop;
  auto p = std::make_unique<int>(1);
  REQUIRE(t.publish(std::move(p), stop.get_token()) == outcome::ok);
  p = std::make_unique<int>(2);
  watching_sync::reset();
  outcome result = outcome::full;
  std::thread publisher([&] { result = t.publish(std::move(p), stop.get_token()); });
  watching_sync::await_parked(1);
  stop.request_stop();
  publisher.join();
  REQUIRE(result == outcome::cancelled);
  REQUIRE(t.publish(std::move(p), stop.get_token()) == outcome::cancelled);
  REQUIRE(*p == 2);
  reader.seek(millrace::latest);
  REQUIRE(t.publish(std::move(p), stop.get_token()) == outcome::ok);
  REQUIRE(**reader.next() == 2);

  typename TestType::template topic<int> words(1, {.segment = 2});
  auto slow = words.subscribe();
  const int word = 7;
  REQUIRE(words.publish(word, stop.get_token()) == outcome::ok);
  REQUIRE(words.publish(word, stop.get_token()) == outcome::cancelled);
  REQUIRE(read_all(slow) == ints{7});
}

TEMPLATE_TEST_CASE("how long publishers have waited is known, also while they wait", "", BOTH_KINDS) {
  const watchdog guard("blocked_time");
  manual_clock clock;
  millrace::topic<int, TestType::value, manual_clock> t(2, clock, {.segment = 2});
  auto reader = t.subscribe();
  for (int i = 0; i < 2; ++i) REQUIRE(t.publish(i) == outcome::ok);
  REQUIRE(t.try_publish(2) == outcome::full);
  clock.advance(1s);
  CHECK(t.blocked_time() == 0s);
  std::thread publisher([&] { static_cast<void>(t.publish_for(2, 5s)); });
  clock.await_waiters(1);
  clock.advance(3s);
  CHECK(t.blocked_time() == 3s);
  CHECK(t.publish_for(2, 0s) == outcome::timeout);
  clock.advance(2s);
  publisher.join();
  CHECK(t.blocked_time() == 5s);
  clock.advance(10s);
  CHECK(t.blocked_time() == 5s);
  reader.seek(millrace::latest);
  CHECK(t.publish(2) == outcome::ok);
  CHECK(t.blocked_time() == 5s);
}

TEMPLATE_TEST_CASE("publish_for and publish_until wait by the clock that was given, and no longer", "",
                   BOTH_KINDS) {
  const watchdog guard("publishing with a limit");
  manual_clock clock;
  typename TestType::template topic<std::string, manual_clock> t(1, clock, {.segment = 2});
  auto reader = t.subscribe();
  REQUIRE(t.publish_for("first", 1s) == outcome::ok);
  outcome results[2] = {};
  std::string values[2] = {"a long enough string to be moved", "another long enough string"};
  std::thread waiting([&] { results[0] = t.publish_for(std::move(values[0]), 10s); });
  clock.await_waiters(1);
  clock.advance(9s);
  clock.advance(1s);
  waiting.join();
  REQUIRE(results[0] == outcome::timeout);
  REQUIRE(values[0] == "a long enough string to be moved");
  REQUIRE(t.publish_until(values[1], clock.now()) == outcome::timeout);
  std::thread in_time([&] { results[1] = t.publish_until(values[1], clock.now() + 10s); });
  clock.await_waiters(1);
  REQUIRE(reader.poll([](const std::string&) {}, 1) == 1);
  in_time.join();
  REQUIRE(results[1] == outcome::ok);
  REQUIRE(*reader.next() == values[1]);
}

TEMPLATE_TEST_CASE("the strategies that never sleep wait as well", "", BOTH_KINDS) {
  const watchdog guard("publishing, yielding and spinning");
  for (const wait_strategy how : {wait_strategy::yield, wait_strategy::spin, wait_strategy::park}) {
    manual_clock clock;
    typename TestType::template topic<int, manual_clock, millrace::std_sync> t(2, clock,
                                                                               {.wait = how, .segment = 2});
    auto reader = t.subscribe({.wait = how});
    std::thread publisher([&] {
      for (int i = 0; i < 1000; ++i) {
        if (t.publish(i) != outcome::ok) std::abort();
      }
    });
    for (int i = 0; i < 1000; ++i) REQUIRE(*reader.next() == i);
    publisher.join();
    static_cast<void>(reader.try_next());
    for (int i = 0; i < 2; ++i) REQUIRE(t.publish(i) == outcome::ok);
    REQUIRE(t.publish_until(7, clock.now()) == outcome::timeout);
    t.close();
    REQUIRE(t.publish(7) == outcome::closed);
  }
}

TEMPLATE_TEST_CASE("a refused value is untouched, one that can only be moved is moved", "", BOTH_KINDS) {
  typename TestType::template topic<std::unique_ptr<int>> t(1, {.segment = 2});
  auto reader = t.subscribe();
  auto p = std::make_unique<int>(1);
  REQUIRE(t.publish(std::move(p)) == outcome::ok);
  REQUIRE(p == nullptr);
  p = std::make_unique<int>(2);
  REQUIRE(t.try_publish(std::move(p)) == outcome::full);
  REQUIRE(t.try_emplace(std::move(p)) == outcome::full);
  t.close();
  REQUIRE(t.publish(std::move(p)) == outcome::closed);
  REQUIRE(*p == 2);
  REQUIRE(**reader.next() == 1);
}

TEMPLATE_TEST_CASE("publish_n: all, as many as there is room for, and a part when one throws", "",
                   BOTH_KINDS) {
  typename TestType::template topic<int> t(100, {.segment = 8});
  auto reader = t.subscribe();
  ints values(250);
  for (int i = 0; i < 250; ++i) values[std::size_t(i)] = i;
  REQUIRE(t.try_publish_n(values.begin(), 0) == 0);
  REQUIRE(t.publish_n(values.begin(), 30) == 30);
  REQUIRE(t.try_publish_n(values.begin() + 30, 220) == 70);
  ints got = read_all(reader);
  REQUIRE(got == ints(values.begin(), values.begin() + 100));
  static_cast<void>(reader.try_next());
  {
    const watchdog guard("publish_n");
    watching_sync::reset();
    std::thread publisher([&] {
      if (t.publish_n(values.begin() + 100, 150) != 150) std::abort();
    });
    watching_sync::await_parked(1);
    while (got.size() < 250) {
      const ints more = read_all(reader);
      got.insert(got.end(), more.begin(), more.end());
    }
    publisher.join();
  }
  REQUIRE(got == values);
  static_cast<void>(reader.try_next());
  t.close();
  REQUIRE(t.publish_n(values.begin(), 3) == 0);

  instances::reset();
  {
    typename TestType::template topic<support::copied> u(100, {.segment = 4});
    auto r = u.subscribe();
    const std::vector<support::copied> from = [] {
      std::vector<support::copied> v;
      v.reserve(10);
      for (int i = 0; i < 10; ++i) v.emplace_back(i);
      return v;
    }();
    instances::throw_at(7);
    std::size_t done = 0;
    REQUIRE_THROWS_AS(done = u.publish_n(from.begin(), 10), support::thrown);
    instances::spare();
    REQUIRE(done == 0);
    REQUIRE(u.publish_n(from.begin(), 2) == 2);
    ints all;
    while (const auto* m = r.try_next()) all.push_back(m->value());
    REQUIRE(all == ints{0, 1, 2, 3, 4, 5, 0, 1});
  }
  REQUIRE(instances::live == 0);
  REQUIRE(instances::broken == 0);
}

namespace {

/// An iterator that throws once it has given out `last`.
struct breaking {
  using iterator_concept = std::input_iterator_tag;
  using value_type = int;
  using difference_type = std::ptrdiff_t;
  int at;
  int last;
  int operator*() const { return at; }
  breaking& operator++() { return at == last ? throw std::runtime_error("breaking") : ++at, *this; }
  void operator++(int) { ++*this; }
};

}  // namespace

TEMPLATE_TEST_CASE("publish_n of an iterator that throws: what it has given out is published", "",
                   BOTH_KINDS) {
  instances::reset();
  {
    typename TestType::template topic<support::copied> t(64, {.segment = 4});
    auto reader = t.subscribe();
    auto other = t.subscribe();
    for (const int last : {2, 3, 5}) {
      REQUIRE_THROWS_AS(t.publish_n(breaking{0, last}, 8), std::runtime_error);
      ints got;
      while (const auto* m = reader.try_next()) got.push_back(m->value());
      REQUIRE(int(got.size()) == last + 1);
      REQUIRE(got.back() == last);
    }
    int n = 0;
    while (other.try_next() != nullptr) ++n;
    REQUIRE(n == 3 + 4 + 6);
  }
  REQUIRE(instances::live == 0);
  REQUIRE(instances::broken == 0);
}

namespace {

/// Consumes a string, and lets others do something in the middle of that.
struct letter {
  explicit letter(std::string&& from) : text(std::move(from)) {
    if (in_the_middle) std::exchange(in_the_middle, nullptr)();
  }
  letter(letter&& o) : text(std::move(o.text)) {
    if (throws) throw std::runtime_error("letter");
  }
  letter& operator=(letter&&) = default;
  std::string text;
  inline static std::function<void()> in_the_middle;
  inline static bool throws = false;
};
struct note : letter {
  using letter::letter;
  note(note&& o) noexcept : letter(std::move(o)) {}
};
using many = kind<producers::multi>;

}  // namespace

TEST_CASE("somebody takes the last place while a message is made: what it consumes is not lost") {
  const auto with = [](auto tag) {
    using value = typename decltype(tag)::type;
    typename many::topic<value> t(4);
    auto reader = t.subscribe();
    const auto fill = [&] {
      while (t.try_emplace(std::string("another")) == outcome::ok) {
      }
    };
    letter::in_the_middle = fill;
    REQUIRE(t.try_emplace(std::string("mine")) == outcome::ok);
    int mine = 0;
    int others = 0;
    while (const auto* m = reader.try_next()) ++(m->text == "mine" ? mine : others);
    REQUIRE(mine == 1);
    REQUIRE(others >= 3);

    // Nor is it if a reader has given its place up meanwhile.
    letter::in_the_middle = [&] {
      fill();
      static_cast<void>(reader.try_next());
      static_cast<void>(reader.try_next());
      fill();
    };
    REQUIRE(t.try_emplace(std::string("mine")) == outcome::ok);
    while (const auto* m = reader.try_next()) mine += m->text == "mine";
    REQUIRE(mine == 2);
  };
  with(std::type_identity<letter>());
  with(std::type_identity<note>());
}

TEST_CASE("a message that throws as it is published anew leaves nothing behind") {
  typename many::topic<letter> t(16, {.keep = {.messages = 0}, .segment = 2});
  auto reader = t.subscribe();
  const auto read = [&] {
    while (reader.try_next() != nullptr) {
    }
  };
  std::size_t bytes = 0;
  for (int i = 0; i < 200; ++i) {
    letter::in_the_middle = [&] {
      REQUIRE(t.try_emplace(std::string("another")) == outcome::ok);
      read();
      letter::throws = true;
    };
    REQUIRE_THROWS_AS(static_cast<void>(t.try_emplace(std::string("mine"))), std::runtime_error);
    letter::throws = false;
    read();
    if (i == 20) bytes = t.bytes();
  }
  REQUIRE(t.bytes() <= bytes);
}

namespace {

/// Refers to texts, and lets others do something while one is asked for.
struct referring {
  using iterator_concept = std::input_iterator_tag;
  using value_type = std::string_view;
  using difference_type = std::ptrdiff_t;
  std::string_view* at;
  std::function<void()>* in_the_middle;
  std::string_view& operator*() const {
    if (*in_the_middle) std::exchange(*in_the_middle, nullptr)();
    return *at;
  }
  referring& operator++() { return ++at, *this; }
  void operator++(int) { ++*this; }
};

}  // namespace

TEST_CASE("publish_n that comes too late for the end: what it was given is as it was") {
  typename many::topic<std::string> t(4);
  auto reader = t.subscribe();
  std::function<void()> in_the_middle = [&] {
    REQUIRE(t.try_publish("another") == outcome::ok);
    t.close();
    REQUIRE(reader.try_next() != nullptr);
  };
  const char* const text = "a text that is longer than what fits into a string itself";
  std::string_view texts[] = {text};
  REQUIRE(t.publish_n(referring{texts, &in_the_middle}, 1) == 0);
  REQUIRE(texts[0].data() == text);
}

TEMPLATE_TEST_CASE("a constructor that throws leaves no hole and loses nothing", "", BOTH_KINDS) {
  instances::reset();
  const auto with = [](auto tag) {
    using value = typename decltype(tag)::type;
    typename TestType::template topic<value> t(64, {.segment = 4});
    auto reader = t.subscribe();
    int published = 0;
    for (int i = 0; i < 20; ++i) {
      instances::throw_at(i % 3 == 0 ? 1 : 0);
      try {
        if (t.emplace(i) != outcome::ok) std::abort();
        ++published;
      } catch (const support::thrown&) {
      }
      instances::spare();
    }
    REQUIRE(published == 13);
    int seen = 0;
    while (const auto* m = reader.try_next()) {
      REQUIRE(m->value() % 3 != 0);
      ++seen;
    }
    REQUIRE(seen == published);
    REQUIRE(reader.missed() == 0);

    typename TestType::template topic<value> small(64, {.keep = {.messages = 0}, .segment = 4});
    auto fast = small.subscribe();
    for (int i = 0; i < 2000; ++i) {
      instances::throw_at(i % 3 == 0 ? 1 : 0);
      try {
        if (small.emplace(i) != outcome::ok) std::abort();
      } catch (const support::thrown&) {
      }
      instances::spare();
      while (fast.try_next() != nullptr) {
      }
    }
    REQUIRE(small.bytes() < 20 * (4 * (sizeof(value) + 16) + 512));
  };
  with(std::type_identity<support::steady>());
  with(std::type_identity<support::copied>());
  with(std::type_identity<support::aligned>());
  REQUIRE(instances::live == 0);
  REQUIRE(instances::broken == 0);
}

TEMPLATE_TEST_CASE("what is dropped is destroyed, at once when nobody needs it", "", BOTH_KINDS) {
  instances::reset();
  {
    typename TestType::template topic<support::steady> t(8, {.keep = {.messages = 0}, .segment = 2});
    auto reader = t.subscribe();
    for (int i = 0; i < 8; ++i) REQUIRE(t.emplace(i) == outcome::ok);
    REQUIRE(instances::live == 8);
    REQUIRE(reader.poll([](const support::steady&) {}) == 8);
    REQUIRE(instances::live <= 2);  // the last segment stays
    for (int i = 0; i < 1000; ++i) {
      REQUIRE(t.emplace(i) == outcome::ok);
      REQUIRE(reader.poll([](const support::steady&) {}) == 1);
      REQUIRE(instances::live <= 4);
    }
  }
  REQUIRE(instances::live == 0);
  REQUIRE(instances::broken == 0);
}

TEMPLATE_TEST_CASE("retention by number, by bytes and by age", "", BOTH_KINDS) {
  manual_clock clock;
  using topic = typename TestType::template topic<std::uint64_t, manual_clock>;
  const auto kept = [](topic& t) {
    auto late = t.subscribe({.from = earliest});
    return read_all(late).size();
  };
  {
    topic t(1000, clock, {.keep = {.messages = 10}, .segment = 4});
    for (std::uint64_t i = 0; i < 101; ++i) REQUIRE(t.publish(i) == outcome::ok);
    REQUIRE(kept(t) >= 10);
    REQUIRE(kept(t) <= 10 + 4);
    REQUIRE(t.first_kept() + kept(t) == t.tail());
  }
  {
    const std::size_t each = TestType::value == producers::single ? 8 : 16;
    topic t(1000, clock, {.keep = {.bytes = 20 * each}, .segment = 4});
    for (std::uint64_t i = 0; i < 101; ++i) REQUIRE(t.publish(i) == outcome::ok);
    REQUIRE(kept(t) >= 20);
    REQUIRE(kept(t) <= 20 + 4);
  }
  {
    topic t(1000, clock, {.keep = {.age = 10s}, .segment = 4});
    for (std::uint64_t i = 0; i < 100; ++i) {
      REQUIRE(t.publish(i) == outcome::ok);
      clock.advance(1s);
    }
    REQUIRE(kept(t) >= 10);
    REQUIRE(kept(t) <= 10 + 4);
    clock.advance(1h);
    REQUIRE(kept(t) <= 4);  // nobody publishes, and who comes finds no more than the last segment
  }
}

TEMPLATE_TEST_CASE("a message takes its slot, a reader its record; a burst is given back", "", BOTH_KINDS) {
  const std::size_t each = TestType::value == producers::single ? 64 : 72;
  typename TestType::template topic<support::block> t(100'000, {.keep = {.messages = 0}, .segment = 1024});
  auto reader = t.subscribe();
  const std::size_t empty = t.bytes();
  REQUIRE(empty < 1024 * each + 4096);
  for (int i = 0; i < 100'000; ++i) REQUIRE(t.try_publish(support::block{}) == outcome::ok);
  REQUIRE(t.bytes() >= 100'000 * each);
  REQUIRE(t.bytes() <= 101'376 * each + 64 * 1024);  // and the headers of the segments
  REQUIRE(reader.poll([](const support::block&) {}) == 100'000);
  REQUIRE(t.bytes() <= 10 * 1024 * each + 64 * 1024);
  REQUIRE(sizeof(millrace::detail::reader_record<millrace::std_sync>) == 128);
}

TEMPLATE_TEST_CASE("once it has what it needs, it allocates nothing", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(64, {.segment = 8});
  auto a = t.subscribe();
  auto b = t.subscribe({.when_full = overrun::drop_oldest});
  const auto round = [&] {
    for (int i = 0; i < 60; ++i) static_cast<void>(t.try_publish(i));
    a.poll([](int) {});
    b.poll([](int) {}, 10);
    auto guest = t.subscribe({.from = earliest});
    guest.poll([](int) {});
  };
  for (int i = 0; i < 20; ++i) round();
  const long before = support::allocations;
  for (int i = 0; i < 1000; ++i) round();
  REQUIRE(support::allocations == before);
}

TEMPLATE_TEST_CASE("when there is no storage, publishing says so and nothing is lost", "", BOTH_KINDS) {
  if (!support::allocations_can_be_refused) return;
  typename TestType::template topic<int> t(1000, {.segment = 2});
  auto reader = t.subscribe();
  int next = 0;
  int refused = 0;
  for (long n = 1; n < 20; ++n) {
    support::allocation_to_refuse = n;
    for (int i = 0; i < 20; ++i) {
      try {
        if (t.publish(next) == outcome::ok) ++next;
      } catch (const std::bad_alloc&) {
        ++refused;
      }
    }
    support::allocation_to_refuse = 0;
  }
  REQUIRE(refused > 0);
  const ints got = read_all(reader);
  REQUIRE(got.size() == std::size_t(next));
  for (int i = 0; i < next; ++i) REQUIRE(got[std::size_t(i)] == i);
  bool threw = false;
  std::vector<decltype(t.subscribe())> some;
  some.reserve(4);
  support::allocation_to_refuse = 1;
  try {
    some.push_back(t.subscribe());
    some.push_back(t.subscribe());
  } catch (const std::bad_alloc&) {
    threw = true;
  }
  support::allocation_to_refuse = 0;
  REQUIRE(threw);
}

TEMPLATE_TEST_CASE("a thousand readers", "", BOTH_KINDS) {
  typename TestType::template topic<int> t(256);
  std::vector<typename TestType::template topic<int>::subscription> readers;
  for (int i = 0; i < 1000; ++i) {
    readers.push_back(t.subscribe({.when_full = i % 2 == 0 ? overrun::block : overrun::drop_oldest}));
  }
  long sum = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 200; ++i) REQUIRE(t.try_publish(1) == outcome::ok);
    for (auto& r : readers) r.poll([&](int v) { sum += v; });
  }
  REQUIRE(sum == 20L * 200 * 1000);
  for (const auto& r : readers) REQUIRE(r.missed() == 0);
}

TEST_CASE("many threads publish: nothing lost, nothing twice, each one's in its order") {
  const watchdog guard("four publishers");
  topic<std::uint64_t> t(512);
  auto reader = t.subscribe();
  constexpr std::uint64_t each = 50'000;
  std::vector<std::thread> publishers;
  for (std::uint64_t p = 0; p < 4; ++p) {
    publishers.emplace_back([&t, p] {
      for (std::uint64_t i = 0; i < each; ++i) {
        if (t.publish(p << 32 | i) != outcome::ok) std::abort();
      }
    });
  }
  std::uint64_t next[4] = {};
  for (std::uint64_t n = 0; n < 4 * each; ++n) {
    const std::uint64_t m = *reader.next();
    if (m % (std::uint64_t{1} << 32) != next[m >> 32]++) FAIL("out of order");
  }
  for (auto& p : publishers) p.join();
  REQUIRE(reader.try_next() == nullptr);
}

TEST_CASE("the values of publish_n stay in their order while others publish") {
  const watchdog guard("publish_n from two threads");
  topic<std::uint64_t> t(256, {.segment = 16});
  auto reader = t.subscribe();
  constexpr std::uint64_t each = 50'000;
  std::vector<std::thread> publishers;
  for (std::uint64_t p = 0; p < 3; ++p) {
    publishers.emplace_back([&t, p] {
      std::array<std::uint64_t, 20> some{};
      for (std::uint64_t i = 0; i < each; i += 20) {
        for (std::uint64_t k = 0; k < 20; ++k) some[k] = p << 32 | (i + k);
        if (t.publish_n(some.begin(), 20) != 20) std::abort();
      }
    });
  }
  std::uint64_t next[3] = {};
  for (std::uint64_t n = 0; n < 3 * each; ++n) {
    const std::uint64_t m = *reader.next();
    if (m % (std::uint64_t{1} << 32) != next[m >> 32]++) FAIL("out of order");
  }
  for (auto& p : publishers) p.join();
  REQUIRE(reader.try_next() == nullptr);
}
