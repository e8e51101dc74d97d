#include "millrace/delivery/dead_letters.hpp"

#include <chrono>
#include <stdexcept>
#include <string>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "support/catch.hpp"
#include "support/touchy.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::earliest;
using millrace::manual_clock;
using millrace::outcome;
using topic = millrace::topic<std::string, millrace::producers::multi, manual_clock>;
using letters = millrace::dead_letters<std::string, manual_clock>;
using support::touchy;

}  // namespace

TEST_CASE("dead letters tell whose they are, and are a topic") {
  manual_clock clock(manual_clock::time_point(5s));
  letters dead(8, clock);
  topic t(8, clock);
  auto a = t.group("a", {.dead_letters = &dead});
  auto b = t.group("b", {.dead_letters = &dead});
  REQUIRE(t.publish("x") == outcome::ok);
  CHECK(a.try_receive().reject("bad"));
  clock.advance(1s);
  CHECK(b.try_receive().reject("worse"));
  auto reader = dead.letters().subscribe({.from = earliest});
  const auto* first = reader.try_next();
  REQUIRE(first != nullptr);
  CHECK(first->group == "a");
  CHECK(first->reason == "bad");
  CHECK(first->last == 5s);
  const auto* second = reader.try_next();
  REQUIRE(second != nullptr);
  CHECK(second->group == "b");
  CHECK(second->last == 6s);
}

TEST_CASE("redriven once, the oldest first, as many as wanted") {
  manual_clock clock;
  letters dead(8, clock);
  topic t(4, clock, {.keep = {.messages = 0}});
  auto g = t.group("g", {.dead_letters = &dead});
  for (const char* v : {"1", "2", "3"}) {
    REQUIRE(t.publish(v) == outcome::ok);
    CHECK(g.try_receive().reject("no"));
  }
  CHECK(dead.redrive(t, 1) == 1);
  auto d = g.try_receive();
  REQUIRE(d);
  CHECK(*d == "1");
  CHECK(d.attempt() == 1);
  CHECK(d.ack());
  CHECK(dead.redrive(t) == 2);
  CHECK(dead.redrive(t) == 0);
  CHECK(*g.try_receive() == "2");
}

TEST_CASE("a letter that finds no room in the topic is redriven next time") {
  manual_clock clock;
  letters dead(8, clock);
  topic t(2, clock, {.keep = {.messages = 0}});
  auto g = t.group("g", {.dead_letters = &dead});
  for (const char* v : {"1", "2", "3"}) {
    REQUIRE(t.publish(v) == outcome::ok);
    CHECK(g.try_receive().reject("no"));
  }
  CHECK(dead.redrive(t) == 2);
  CHECK(g.try_receive().ack());
  CHECK(g.try_receive().ack());
  CHECK(dead.redrive(t) == 1);
  auto d = g.try_receive();
  CHECK(*d == "3");
  d.ack();
}

TEST_CASE("a letter whose redrive throws is redriven next time") {
  manual_clock clock;
  bool angry = false;
  millrace::dead_letters<touchy, manual_clock> dead(8, clock);
  millrace::topic<touchy, millrace::producers::multi, manual_clock> t(8, clock);
  auto g = t.group("g", {.dead_letters = &dead});
  for (int v = 1; v <= 3; ++v) {
    REQUIRE(t.publish(touchy(v, &angry)) == outcome::ok);
    CHECK(g.try_receive().reject("no"));
  }
  CHECK(dead.redrive(t, 1) == 1);
  angry = true;
  for (int i = 0; i < 2; ++i) CHECK_THROWS_AS(dead.redrive(t), std::runtime_error);
  angry = false;
  CHECK(dead.redrive(t) == 2);
  for (int v = 1; v <= 3; ++v) {
    auto d = g.try_receive();
    REQUIRE(d);
    CHECK(d->value == v);
    d.ack();
  }
  CHECK(dead.missed() == 0);
}

TEST_CASE("when the dead letters are full, a message stays in its group and tries again") {
  manual_clock clock;
  letters dead(2, clock, {.keep = {.messages = 0}, .segment = 2});
  auto clerk = dead.letters().subscribe();  // loses nothing
  topic t(8, clock);
  auto g = t.group("g", {.dead_letters = &dead});
  for (const char* v : {"1", "2", "3"}) {
    REQUIRE(t.publish(v) == outcome::ok);
    CHECK(g.try_receive().reject("no"));
  }
  CHECK(g.stats().dead == 2);
  CHECK(g.stats().waiting == 1);
  REQUIRE(clerk.try_next() != nullptr);
  REQUIRE(clerk.try_next() != nullptr);
  REQUIRE(clerk.try_next() == nullptr);
  clock.advance(999ms);
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().dead == 2);
  clock.advance(1ms);
  CHECK_FALSE(g.try_receive());
  CHECK(g.stats().dead == 3);
  CHECK(g.stats().waiting == 0);
  const auto* last = clerk.try_next();
  REQUIRE(last != nullptr);
  CHECK(last->value == "3");
  CHECK(last->reason == "no");
}

TEST_CASE("when they are closed, messages are parked") {
  manual_clock clock;
  letters dead(2, clock);
  dead.letters().close();
  topic t(8, clock);
  auto g = t.group("g", {.dead_letters = &dead});
  REQUIRE(t.publish("1") == outcome::ok);
  CHECK(g.try_receive().reject("no"));
  CHECK(g.stats().parked == 1);
  CHECK(g.stats().dead == 0);
}
