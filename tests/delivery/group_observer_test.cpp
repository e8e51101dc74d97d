// What a group tells its observer. Time is a manual_clock's, which the handlers move.
#include "millrace/delivery/group_observer.hpp"

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::decision;
using millrace::manual_clock;
using millrace::outcome;
using topic = millrace::topic<int, millrace::producers::multi, manual_clock>;

struct book final : millrace::group_observer {
  struct failure {
    std::string reason;
    std::uint32_t attempt;
    std::uint64_t offset;
    decision next;
    bool operator==(const failure&) const = default;
  };
  void handled(std::chrono::nanoseconds took, std::size_t n) noexcept override {
    time += took;
    messages += n;
    ++batches;
  }
  void failed(const millrace::failure& f, std::uint64_t offset, decision next) noexcept override {
    failures.push_back({std::string(f.reason), f.attempt, offset, next});
  }
  std::chrono::nanoseconds time{0};
  std::size_t messages = 0;
  std::size_t batches = 0;
  std::vector<failure> failures;
};

TEST_CASE("an observer hears how long handlers take, all of them") {
  manual_clock clock;
  book observer;
  topic numbers(256, clock);
  auto group = numbers.group("g", {.observer = &observer});
  for (int i = 1; i <= 100; ++i) REQUIRE(numbers.try_publish(i) == outcome::ok);
  numbers.close();
  int calls = 0;
  CHECK(group.work(std::stop_token(), [&](int i) {
    ++calls;
    clock.advance(std::chrono::nanoseconds(i));
  }) == outcome::closed);
  CHECK(calls == 100);
  CHECK(observer.messages == 100);
  CHECK(observer.time == 5050ns);
  CHECK(observer.batches < 50);  // more than one at a time, as they are quick
  CHECK(observer.failures.empty());
}

TEST_CASE("an observer hears only of those that were called when a stop comes") {
  manual_clock clock;
  book observer;
  topic numbers(256, clock);
  auto group = numbers.group("g", {.observer = &observer});
  for (int i = 0; i < 40; ++i) REQUIRE(numbers.try_publish(i) == outcome::ok);
  std::stop_source stop;
  std::vector<int> seen;
  CHECK(group.work(stop.get_token(), [&](int i) {
    seen.push_back(i);
    if (i == 20) stop.request_stop();
  }) == outcome::cancelled);
  CHECK(seen.size() == 21);
  CHECK(observer.messages == 21);
  CHECK(group.stats().in_flight == 0);
  CHECK(group.stats().acked == 21);

  // The rest is there for others, in order.
  auto next = group.try_receive();
  REQUIRE(next);
  CHECK(*next == 21);
  CHECK(next.attempt() == 1);
}

TEST_CASE("an observer hears of what handlers throw, and what comes of it") {
  manual_clock clock;
  book observer;
  topic numbers(64, clock);
  millrace::retry_policy retry{.attempts = 2, .first = 1ms, .jitter = 0};
  retry.decide = [](const millrace::failure& f) {
    return f.reason == "hopeless" ? decision::reject() : decision::retry();
  };
  auto group = numbers.group("g", {.retry = std::move(retry), .observer = &observer});
  for (int i = 0; i < 3; ++i) REQUIRE(numbers.try_publish(i) == outcome::ok);
  numbers.close();
  // The clock goes on by what the handler does, so that the retry comes.
  std::stop_source stop;
  int attempts = 0;
  const outcome ended = group.work(stop.get_token(), [&](int i) {
    clock.advance(1ms);
    if (i == 0) throw std::runtime_error("hopeless");
    if (i == 1) {
      ++attempts;
      throw std::runtime_error("busy");
    }
    if (attempts == 2) return;
  });
  // A group without dead letters parks what it gives up: the stream has ended.
  CHECK(ended == outcome::closed);
  CHECK(observer.messages == 4);
  CHECK(observer.failures == std::vector<book::failure>{{"hopeless", 1, 0, decision::reject()},
                                                        {"busy", 1, 1, decision::retry()},
                                                        {"busy", 2, 1, decision::retry()}});
  CHECK(group.stats().parked == 2);
}

}  // namespace
