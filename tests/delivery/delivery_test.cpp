// Every verb of a delivery in every state that it can be in, on a clock that stands.
#include "millrace/delivery/delivery.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::blocked_by;
using millrace::group_stats;
using millrace::manual_clock;
using millrace::outcome;

using topic = millrace::topic<int, millrace::producers::multi, manual_clock>;
using group = millrace::consumer_group<topic>;
using delivery = group::delivery;

constexpr auto ack_timeout = 30s;

struct fixture {
  manual_clock clock{manual_clock::time_point(1h)};
  millrace::dead_letters<int, manual_clock> dead{16, clock};
  topic t{64, clock};
  group g;
  explicit fixture(bool with_dead = true)
      : g(t.group("g", {.retry = millrace::retry_policy::fixed(1s, 3),
                        .dead_letters = with_dead ? &dead : nullptr})) {}
  delivery one(int value = 7) {
    REQUIRE(t.publish(value) == outcome::ok);
    delivery d = g.try_receive();
    REQUIRE(d);
    REQUIRE(*d == value);
    return d;
  }
  /// What the next attempt is, after `wait`; 0: there is none.
  std::uint32_t attempt_after(std::chrono::nanoseconds wait) {
    clock.advance(wait);
    delivery d = g.try_receive();
    const std::uint32_t a = d ? d.attempt() : 0;
    if (d) d.ack();
    return a;
  }
};

struct verb {
  const char* name;
  std::function<bool(delivery&)> call;
};
const std::vector<verb>& verbs() {
  static const std::vector<verb> all = {
      {"ack", [](delivery& d) { return d.ack(); }},
      {"nack", [](delivery& d) { return d.nack(); }},
      {"nack in", [](delivery& d) { return d.nack(5s); }},
      {"release", [](delivery& d) { return d.release(); }},
      {"reject", [](delivery& d) { return d.reject("bad"); }},
      {"throttle", [](delivery& d) { return d.throttle(5s); }},
      {"extend", [](delivery& d) { return d.extend(60s); }},
  };
  return all;
}

}  // namespace

TEST_CASE("a delivery in hand") {
  fixture f;
  delivery d = f.one();
  CHECK(d.attempt() == 1);
  CHECK(d.offset() == 0);
  CHECK(d.published_at() == 1h);
  CHECK(d.properties() == nullptr);
  CHECK(f.g.stats().in_flight == 1);

  SECTION("acked") {
    CHECK(d.ack());
    CHECK_FALSE(d);
    CHECK(f.g.stats().acked == 1);
    CHECK(f.g.stats().in_flight == 0);
    CHECK(f.attempt_after(2h) == 0);
  }
  SECTION("nacked") {
    CHECK(d.nack());
    CHECK(f.g.stats().nacked == 1);
    CHECK(f.g.stats().waiting == 1);
    CHECK(f.attempt_after(999ms) == 0);
    CHECK(f.attempt_after(1ms) == 2);
  }
  SECTION("nacked with a delay") {
    CHECK(d.nack(5s));
    CHECK(f.attempt_after(4999ms) == 0);
    CHECK(f.attempt_after(1ms) == 2);
  }
  SECTION("nacked with a delay below 0, or for ever") {
    CHECK(d.nack(-5s));
    CHECK(f.attempt_after(1ms) == 2);
    delivery e = f.one(8);
    CHECK(e.nack(std::chrono::hours::max()));
    CHECK(f.attempt_after(24h * 365 * 99) == 0);
  }
  SECTION("released") {
    CHECK(d.release());
    CHECK(f.g.stats().released == 1);
    CHECK(f.attempt_after(0s) == 1);
  }
  SECTION("rejected") {
    CHECK(d.reject("no such account"));
    CHECK(f.g.stats().rejected == 1);
    CHECK(f.g.stats().dead == 1);
    auto letters = f.dead.letters().subscribe({.from = millrace::earliest});
    const auto* letter = letters.try_next();
    REQUIRE(letter != nullptr);
    CHECK(letter->value == 7);
    CHECK(letter->reason == "no such account");
    CHECK(letter->group == "g");
    CHECK(letter->attempts == 1);
    CHECK(letter->offset == 0);
    CHECK(letter->first == 1h);
    CHECK(letter->last == 1h);
    CHECK(f.attempt_after(2h) == 0);
  }
  SECTION("throttled") {
    REQUIRE(f.t.publish(8) == outcome::ok);
    CHECK(d.throttle(5s));
    CHECK(f.g.stats().released == 1);
    CHECK(f.attempt_after(4999ms) == 0);
    CHECK(f.g.stats().blocked == blocked_by::paused);
    CHECK(f.attempt_after(1ms) == 1);  // the same
    CHECK(f.attempt_after(0s) == 1);   // and the other one
  }
  SECTION("extended") {
    f.clock.advance(20s);
    CHECK(d.extend(60s));
    CHECK(d);
    CHECK(f.attempt_after(59999ms) == 0);
    CHECK(f.g.stats().in_flight == 1);
    f.clock.advance(1ms);
    CHECK_FALSE(f.g.try_receive());  // waits for the backoff
    CHECK(f.g.stats().timed_out == 1);
    CHECK(f.attempt_after(1s) == 2);
  }
  SECTION("extended by less than it has") {
    CHECK(d.extend(1s));
    CHECK(f.attempt_after(29999ms) == 0);
    CHECK(f.g.stats().in_flight == 1);
    CHECK(f.attempt_after(1ms) == 0);
    CHECK(f.g.stats().timed_out == 1);
  }
  SECTION("extended twice") {
    CHECK(d.extend(40s));
    CHECK(d.extend(80s));
    CHECK(f.attempt_after(79999ms) == 0);
    CHECK(f.g.stats().in_flight == 1);
    CHECK(d.ack());
    CHECK(f.attempt_after(1h) == 0);
  }
  SECTION("extended and acked: its timer is gone") {
    CHECK(d.extend(40s));
    CHECK(d.ack());
    delivery e = f.one(8);  // perhaps in the same entry
    CHECK(f.attempt_after(29999ms) == 0);
    CHECK(f.g.stats().in_flight == 1);
    CHECK(e.ack());
  }
  SECTION("destroyed") {
    {
      const delivery gone = std::move(d);
    }
    CHECK(f.g.stats().nacked == 1);
    CHECK(f.attempt_after(1s) == 2);
  }
  SECTION("assigned over") {
    d = delivery();
    CHECK(f.g.stats().nacked == 1);
  }
  SECTION("moved, it is the other's") {
    delivery other = std::move(d);
    CHECK_FALSE(d);  // NOLINT(bugprone-use-after-move): what is promised of it
    CHECK(*other == 7);
    CHECK(other.ack());
    CHECK(f.g.stats().acked == 1);
    CHECK(f.g.stats().late == 0);
  }
}

TEST_CASE("a second settle does nothing but count") {
  for (const verb& first : verbs()) {
    if (std::string(first.name) == "extend") continue;
    for (const verb& second : verbs()) {
      INFO(first.name << ", and then " << second.name);
      fixture f;
      delivery d = f.one();
      REQUIRE(first.call(d));
      group_stats before = f.g.stats();
      CHECK_FALSE(second.call(d));
      group_stats after = f.g.stats();
      CHECK(after.late == before.late + 1);
      before.late = after.late;
      CHECK(after.acked == before.acked);
      CHECK(after.nacked == before.nacked);
      CHECK(after.released == before.released);
      CHECK(after.rejected == before.rejected);
      CHECK(after.dead == before.dead);
      CHECK(after.waiting == before.waiting);
      CHECK(after.ready == before.ready);
    }
  }
}

TEST_CASE("whoever is too late is told, and the message stays readable") {
  for (const verb& late : verbs()) {
    for (const std::string how :
         {"timed out", "redelivered", "acked by another", "dead", "seek", "removed", "drained"}) {
      INFO(how << ", and then " << late.name);
      fixture f;
      delivery d = f.one();
      delivery other;
      if (how == "timed out") {
        f.clock.advance(ack_timeout);
        CHECK_FALSE(f.g.try_receive());
        CHECK(f.g.stats().waiting == 1);
      } else if (how == "redelivered" || how == "acked by another") {
        f.clock.advance(ack_timeout);
        CHECK_FALSE(f.g.try_receive());
        f.clock.advance(1s);
        other = f.g.try_receive();
        REQUIRE(other);
        CHECK(other.attempt() == 2);
        if (how == "acked by another") CHECK(other.ack());
      } else if (how == "dead") {
        f.clock.advance(ack_timeout);
        for (int i = 0; i < 2; ++i) {
          CHECK_FALSE(f.g.try_receive());
          f.clock.advance(1s);
          other = f.g.try_receive();
          REQUIRE(other);
          CHECK(other.nack());
        }
        CHECK(f.g.stats().dead == 1);
      } else if (how == "seek") {
        f.g.seek(millrace::earliest);
      } else if (how == "removed") {
        f.g.remove();
      } else {
        CHECK(f.g.drain(f.clock.now()) == 1);
      }
      CHECK(*d == 7);
      const group_stats before = f.g.stats();
      CHECK_FALSE(late.call(d));
      if (std::string(late.name) == "extend") d = delivery();
      const group_stats after = f.g.stats();
      CHECK(after.late > before.late);
      CHECK(after.acked == before.acked);
      CHECK(after.nacked == before.nacked);
      CHECK(after.rejected == before.rejected);
      CHECK(after.waiting == before.waiting);
      CHECK(after.in_flight == before.in_flight);
      if (how == "redelivered") CHECK(other.ack());
      if (how == "seek") {
        other = f.g.try_receive();
        REQUIRE(other);
        CHECK(other.attempt() == 1);
        CHECK(other.ack());
      }
      if (how == "removed") CHECK(f.g.try_receive(other) == outcome::closed);
      if (how == "drained") {
        CHECK_FALSE(f.g.try_receive());
        f.g.resume();
        other = f.g.try_receive();
        REQUIRE(other);
        CHECK(other.attempt() == 2);  // it was out once
        CHECK(other.ack());
      }
    }
  }
}

TEST_CASE("attempts end among the dead letters, or parked") {
  const bool with_dead = GENERATE(true, false);
  fixture f(with_dead);
  delivery d = f.one();
  f.clock.advance(1s);
  CHECK(d.nack());
  f.clock.advance(1s);
  d = f.g.try_receive();
  REQUIRE(d);
  CHECK(d.attempt() == 2);
  CHECK(d.nack());
  f.clock.advance(1s);
  d = f.g.try_receive();
  REQUIRE(d);
  CHECK(d.attempt() == 3);
  CHECK(d.nack());
  const group_stats s = f.g.stats();
  CHECK(s.waiting == 0);
  CHECK(s.dead == (with_dead ? 1 : 0));
  CHECK(s.parked == (with_dead ? 0 : 1));
  CHECK(f.attempt_after(10min) == 0);
  if (with_dead) {
    auto letters = f.dead.letters().subscribe({.from = millrace::earliest});
    const auto* letter = letters.try_next();
    REQUIRE(letter != nullptr);
    CHECK(letter->attempts == 3);
    CHECK(letter->first == 1h + 1s);
    CHECK(letter->last == 1h + 3s);
  } else {
    CHECK(f.g.unpark() == 1);
    CHECK(f.g.stats().parked == 0);
    CHECK(f.attempt_after(0s) == 1);
  }
}

TEST_CASE("a message is kept as long as a delivery refers to it") {
  manual_clock clock;
  millrace::topic<std::shared_ptr<int>, millrace::producers::multi, manual_clock> t(
      8, clock, {.keep = {.messages = 0}, .segment = 2});
  auto g = t.group("g");
  auto value = std::make_shared<int>(5);
  REQUIRE(t.publish(value) == outcome::ok);
  auto held = g.try_receive();
  REQUIRE(held);
  const auto go_round = [&] {
    for (int i = 0; i < 100; ++i) {
      REQUIRE(t.publish(std::make_shared<int>(i)) == outcome::ok);
      auto d = g.try_receive();
      REQUIRE(d);
      REQUIRE(**d == i);
      d.ack();
    }
  };
  go_round();
  CHECK(value.use_count() == 2);
  CHECK(**held == 5);
  clock.advance(ack_timeout);
  CHECK_FALSE(g.try_receive());
  clock.advance(1min);
  auto again = g.try_receive();
  REQUIRE(again);
  CHECK(again.ack());
  go_round();
  CHECK(value.use_count() == 2);  // the first one still looks at it
  CHECK(**held == 5);
  CHECK_FALSE(held.ack());
  go_round();
  CHECK(value.use_count() == 1);
}
