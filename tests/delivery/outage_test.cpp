// What a group is for: a burst that is worked off at the pace of those who are called, and a downstream that is dead for an
// hour. On a clock that is moved by hand, so the figures are exact.
// MILLRACE_SOAK=1 makes it the whole hour at 5,000 a second.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::blocked_by;
using millrace::manual_clock;
using millrace::outcome;
using millrace::producers;

struct order {
  std::uint64_t number;
};
using topic = millrace::topic<order, producers::single, manual_clock>;

}  // namespace

TEST_CASE("100,000 a second for ten seconds, worked off at 5,000 a second") {
  constexpr std::uint64_t in = SUPPORT_SANITIZED ? 10'000 : 100'000;  // a second
  constexpr std::uint64_t out = in / 20;
  manual_clock clock;
  topic t(11 * in, clock);
  millrace::rate_limiter<manual_clock> bank(clock, out, 1s, out < 1000 ? 1 : out / 1000);
  auto g = t.group("billing", {.limiter = &bank});
  std::uint64_t published = 0;
  std::uint64_t refused = 0;
  std::uint64_t acked = 0;
  std::uint64_t sum = 0;
  const auto work_off = [&] {
    while (auto d = g.try_receive()) {
      sum += d->number;
      d.ack();
      ++acked;
    }
  };
  // Every millisecond of the burst, and then at each of the times at which the group says that it goes on.
  for (int ms = 1; ms <= 10'000; ++ms) {
    clock.advance(1ms);
    for (std::uint64_t i = 0; i < in / 1000; ++i) refused += t.try_publish(order{published++}) != outcome::ok;
    work_off();
    if (ms % 1000 == 0) {
      const auto s = g.stats();
      REQUIRE(s.backlog + s.ready == (in - out) * std::uint64_t(ms) / 1000);
      REQUIRE(s.acked == out * std::uint64_t(ms) / 1000);
      REQUIRE(s.blocked == blocked_by::rate);
    }
  }
  CHECK(refused == 0);
  CHECK(g.stats().backlog + g.stats().ready == 950 * in / 100);
  std::uint64_t looks = 0;
  while (acked != published) {
    const auto next = g.next_event();
    if (!next) break;
    clock.set(*next);
    work_off();
    ++looks;
  }
  CHECK(acked == published);
  // 190 s after the burst, and nobody has looked in vain
  CHECK(clock.now() > manual_clock::time_point(200s - 2ms));
  CHECK(clock.now() < manual_clock::time_point(200s + 2ms));
  CHECK(looks == 190 * out);
  CHECK(sum == published * (published - 1) / 2);
  CHECK(g.stats().in_flight + g.stats().backlog + g.stats().ready == 0);
}

TEST_CASE("a downstream that is dead for an hour") {
  // a second; all of it, 18 million messages, in the soak
  const std::uint64_t rate = SUPPORT_SANITIZED ? 100 : std::getenv("MILLRACE_SOAK") != nullptr ? 5'000 : 500;
  constexpr std::uint64_t hour = 3600;
  manual_clock clock;
  topic t(rate * (hour + 100), clock, {.keep = {.messages = 0}});
  millrace::circuit_breaker<manual_clock> bank(
      clock, {.window = 10, .minimum = 10, .open_for = 5s, .growth = 2, .open_for_at_most = 1min});
  auto g = t.group("billing", {.retry = millrace::retry_policy::fixed(1s, 3), .breaker = &bank});
  std::uint64_t published = 0;
  std::uint64_t refused = 0;
  std::uint64_t settled = 0;
  std::uint64_t sum = 0;
  bool alive = false;
  std::uint64_t attempts_while_dead = 0;
  const auto work = [&] {
    while (auto d = g.try_receive()) {
      if (!alive) {
        ++attempts_while_dead;
        d.nack();
        continue;
      }
      sum += d->number;
      d.ack();
      ++settled;
    }
  };
  for (std::uint64_t second = 0; second < hour; ++second) {
    clock.advance(1s);
    for (std::uint64_t i = 0; i < rate; ++i) refused += t.try_publish(order{published++}) != outcome::ok;
    work();
  }
  CHECK(refused == 0);
  const auto dead = g.stats();
  const std::size_t bytes = t.bytes();
  CHECK(dead.blocked == blocked_by::breaker);
  CHECK(attempts_while_dead < 100);  // the breaker spares the dead, and the messages their attempts
  CHECK(dead.acked == 0);
  CHECK(dead.backlog + dead.ready + dead.waiting + dead.parked == published);
  // 8 bytes a message, and not more than a segment or two beside it
  CHECK(bytes <= published * sizeof(order) + 4 * 1024 * sizeof(order) + published / 1024 * 512);
  std::printf("%llu messages wait, %.1f bytes each\n", static_cast<unsigned long long>(published),
              static_cast<double>(bytes) / static_cast<double>(published));
  alive = true;
  clock.advance(1min);
  work();
  while (g.stats().waiting + g.stats().ready + g.stats().backlog != 0) {
    clock.advance(1s);
    work();
  }
  const auto after = g.stats();
  CHECK(after.parked < 50);  // those on which it was tried whether the downstream lives
  CHECK(settled + after.parked == published);
  CHECK(g.unpark() == after.parked);
  work();
  CHECK(settled == published);
  CHECK(sum == published * (published - 1) / 2);
  t.trim();
  CHECK(t.bytes() < bytes / 10);  // and the memory is given back, but for what tells segments apart
}
