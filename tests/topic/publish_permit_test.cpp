// Who has a permit publishes: over the capacity, after a close, and without storage that was not reserved before.
#include "millrace/topic/publish_permit.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/topic/topic.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
using millrace::producers;
using millrace::publish_permit;
using support::watching_sync;

template <producers P>
struct kind {
  template <class T, class Clock = std::chrono::steady_clock, class Sync = watching_sync>
  using topic = millrace::topic<T, P, Clock, Sync>;
};
#define BOTH_KINDS kind<producers::single>, kind<producers::multi>

using ints = std::vector<int>;
template <class Subscription>
ints read_all(Subscription& s) {
  ints all;
  while (const auto* m = s.try_next()) all.push_back(*m);
  return all;
}
template <class Subscription>
outcome end_of(Subscription& s) {
  const int* out = nullptr;
  return s.try_next(out);
}

}  // namespace

TEMPLATE_TEST_CASE("what is published by permit comes between the others", "", BOTH_KINDS) {
  using topic = typename TestType::template topic<int>;
  topic t(8, {.segment = 2});
  auto in = t.subscribe();
  REQUIRE(t.publish(0) == outcome::ok);
  {
    publish_permit<topic> permit(t);
    REQUIRE(static_cast<bool>(permit));
    permit.reserve(4);
    permit.publish(1);
    REQUIRE(t.publish(2) == outcome::ok);
    permit.publish(3);
    CHECK(permit.has_room());
  }
  REQUIRE(t.publish(4) == outcome::ok);
  CHECK(read_all(in) == ints{0, 1, 2, 3, 4});
  CHECK(end_of(in) == outcome::empty);
}

TEMPLATE_TEST_CASE("a close waits for the last permit, and refuses the others at once", "", BOTH_KINDS) {
  using topic = typename TestType::template topic<int>;
  topic t(8, {.segment = 2});
  auto in = t.subscribe();
  std::optional<publish_permit<topic>> first(t);
  std::optional<publish_permit<topic>> second(t);
  first->reserve(1);
  second->reserve(1);
  t.close();
  t.close();
  CHECK(t.is_closed());
  CHECK(t.try_publish(9) == outcome::closed);
  CHECK(t.publish(9) == outcome::closed);
  CHECK_FALSE(static_cast<bool>(publish_permit<topic>(t)));
  CHECK(end_of(in) == outcome::empty);
  first->publish(1);
  first.reset();
  CHECK(read_all(in) == ints{1});
  CHECK(end_of(in) == outcome::empty);
  second->publish(2);
  publish_permit<topic> moved(std::move(*second));
  second.reset();
  CHECK(read_all(in) == ints{2});
  CHECK(end_of(in) == outcome::empty);
  {
    const publish_permit<topic> last(std::move(moved));
  }
  CHECK(end_of(in) == outcome::closed);
  CHECK(t.tail() == 2);
}

TEMPLATE_TEST_CASE("a permit that is given back before the close changes nothing", "", BOTH_KINDS) {
  using topic = typename TestType::template topic<int>;
  topic t(8);
  auto in = t.subscribe();
  {
    const publish_permit<topic> permit(t);
  }
  t.close();
  CHECK(end_of(in) == outcome::closed);
  CHECK_FALSE(static_cast<bool>(publish_permit<topic>(t)));
}

TEMPLATE_TEST_CASE("it asks for no room, and the topic is full by that much more", "", BOTH_KINDS) {
  using topic = typename TestType::template topic<int>;
  topic t(4, {.segment = 2});
  auto in = t.subscribe();
  for (int i = 0; i < 4; ++i) REQUIRE(t.try_publish(i) == outcome::ok);
  publish_permit<topic> permit(t);
  CHECK_FALSE(permit.has_room());
  permit.reserve(6);
  for (int i = 4; i < 10; ++i) permit.publish(int(i));
  CHECK(in.lag() == 10);
  for (int i = 0; i < 6; ++i) {
    REQUIRE(t.try_publish(-1) == outcome::full);
    REQUIRE_FALSE(permit.has_room());
    const int* m = in.try_next();
    REQUIRE(m != nullptr);
    REQUIRE(*m == i);
  }
  static_cast<void>(in.try_next());  // done with the sixth, and has the seventh
  static_cast<void>(in.try_next());
  CHECK(permit.has_room());
  CHECK(t.try_publish(10) == outcome::ok);
  CHECK(read_all(in) == ints{8, 9, 10});
}

TEMPLATE_TEST_CASE("after reserve() no storage is wanted, also if others have filled what there was", "",
                   BOTH_KINDS) {
  using topic = typename TestType::template topic<int>;
  for (const std::size_t n :
       {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{8}}) {
    for (int others = 0; others < 3; ++others) {
      topic t(64, {.segment = 2});
      auto in = t.subscribe();
      publish_permit<topic> permit(t);
      permit.reserve(n);
      for (int i = 0; i < others; ++i) REQUIRE(t.try_publish(-1) == outcome::ok);
      const long before = support::allocations;
      for (std::size_t i = 0; i < n; ++i) permit.publish(static_cast<int>(i));
      const long taken = support::allocations - before;
      CHECK(taken == 0);
      CHECK(read_all(in).size() == n + static_cast<std::size_t>(others));
    }
  }
}

TEMPLATE_TEST_CASE("what was reserved and not needed is used again", "", BOTH_KINDS) {
  using topic = typename TestType::template topic<int>;
  topic t(8, {.segment = 2});
  const auto rounds = [&](int n) {
    for (int i = 0; i < n; ++i) {
      publish_permit<topic> permit(t);
      permit.reserve(4);
      permit.reserve(8);
      permit.publish(1);
    }
    return t.bytes();
  };
  const std::size_t bytes = rounds(20);
  CHECK(rounds(200) == bytes);
}

TEMPLATE_TEST_CASE("without storage for what is to be published nothing is, and nothing is lost", "",
                   BOTH_KINDS) {
  if constexpr (support::allocations_can_be_refused) {
    using topic = typename TestType::template topic<std::shared_ptr<int>>;
    auto shared = std::make_shared<int>(1);
    int refused = 0;
    for (long n = 1; n < 8; ++n) {
      topic t(64, {.segment = 2});
      auto in = t.subscribe();
      {
        publish_permit<topic> permit(t);
        support::allocation_to_refuse = n;
        try {
          permit.reserve(6);
        } catch (const std::bad_alloc&) {
          ++refused;
        }
        support::allocation_to_refuse = 0;
        permit.reserve(6);
        for (int i = 0; i < 6; ++i) permit.publish(std::shared_ptr<int>(shared));
      }
      int got = 0;
      while (in.try_next() != nullptr) ++got;
      CHECK(got == 6);
    }
    CHECK(refused > 2);
    CHECK(shared.use_count() == 1);
  } else {
    SUCCEED("a sanitizer cannot be made to refuse");
  }
}

TEMPLATE_TEST_CASE("room is waited for until somebody has read, a limit passes, or the topic is closed", "",
                   BOTH_KINDS) {
  using topic = typename TestType::template topic<int, manual_clock>;
  using permit = publish_permit<topic>;
  const support::watchdog watchdog("publish_permit, room");
  manual_clock clock;
  topic t(2, clock, {.wait = millrace::wait_strategy::park});
  auto in = t.subscribe();
  CHECK(permit::await_room(t) == outcome::ok);
  REQUIRE(t.try_publish(0) == outcome::ok);
  REQUIRE(t.try_publish(1) == outcome::ok);
  CHECK(permit::now(t) == clock.now());
  CHECK(permit::await_room_until(t, clock.now()) == outcome::timeout);
  CHECK(t.blocked_time() == 0s);

  outcome what = outcome::empty;
  watching_sync::reset();
  std::thread waiting([&] { what = permit::await_room(t); });
  watching_sync::await_parked(1);
  CHECK(in.poll([](int) {}, 1) == 1);
  waiting.join();
  CHECK(what == outcome::ok);

  REQUIRE(t.try_publish(2) == outcome::ok);
  waiting = std::thread([&] { what = permit::await_room_until(t, clock.now() + 5s); });
  clock.await_waiters(1);
  clock.advance(5s);
  waiting.join();
  CHECK(what == outcome::timeout);
  CHECK(t.blocked_time() == 5s);

  // A permit of somebody else does not keep them.
  std::optional<permit> other(t);
  watching_sync::reset();
  outcome publisher = outcome::empty;
  waiting = std::thread([&] { what = permit::await_room(t); });
  std::thread second([&] { publisher = t.publish(3); });
  watching_sync::await_parked(2);
  t.close();
  waiting.join();
  second.join();
  CHECK(what == outcome::closed);
  CHECK(publisher == outcome::closed);
}

TEST_CASE("many with permits, many without, and a close in the middle") {
  const support::watchdog watchdog("publish_permit, many");
  using topic = millrace::topic<int>;
  for (int round = 0; round < 60; ++round) {
    topic t(16, {.segment = 4});
    auto in = t.subscribe();
    constexpr int each = 40;
    int promised = 0;
    int accepted = 0;
    std::thread holder([&] {
      for (int i = 0; i < each; ++i) {
        publish_permit<topic> permit(t);
        if (!permit) break;
        permit.reserve(3);
        for (int k = 0; k < 3; ++k) permit.publish(1000 + 3 * i + k);
        promised += 3;
      }
    });
    std::thread other([&] {
      for (int i = 0; i < 3 * each; ++i) {
        if (t.publish(i) != outcome::ok) break;
        ++accepted;
      }
    });
    std::thread closer([&] {
      while (t.tail() < static_cast<std::uint64_t>(round)) std::this_thread::yield();
      t.close();
    });
    ints held;
    ints plain;
    while (const int* m = in.next()) (*m >= 1000 ? held : plain).push_back(*m);
    holder.join();
    other.join();
    closer.join();
    REQUIRE(held.size() == static_cast<std::size_t>(promised));
    REQUIRE(plain.size() == static_cast<std::size_t>(accepted));
    for (int i = 0; i < promised; ++i) REQUIRE(held[static_cast<std::size_t>(i)] == 1000 + i);
  }
}
