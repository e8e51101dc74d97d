// A saga without anybody who knows all of it: each service reads the topic of what has happened, does its part, and says so;
// when one cannot, those who have done theirs hear of it and take it back. What the library gives are consumer groups, and keys.
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/saga.hpp"
#include "millrace/testing/step_executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;

enum class fact { ordered, reserved, paid, shipped, not_reserved, not_paid };
struct event {
  fact what;
  int order;
};

/// What a service does, at most once under a key, and what it takes back.
struct books {
  std::set<std::string> done;
  int n = 0;
  void apply(const std::string& key) { n += done.insert(key).second; }
  void take_back(const std::string& key) { n -= done.erase(key) == 1; }
};

struct shop {
  using clock_type = millrace::manual_clock;
  using topic_type = millrace::topic<event, millrace::producers::multi, clock_type>;

  explicit shop(std::uint64_t seed) : steps(seed) {}
  ~shop() {
    for (auto* g : {&stock, &bank, &carrier}) g->remove();
    steps.run_until_idle();
    for (auto* g : {&stock, &bank, &carrier}) g->stop();
  }
  void say(fact f, int order) { static_cast<void>(events.try_publish({f, order})); }
  static std::string key(int order, const char* step) {
    return millrace::saga_key("buy", std::to_string(order), step);
  }

  void open() {
    stock.run_on(millrace::post_to{steps}, timers, 1, [this](const event& e) {
      if (e.what == fact::ordered) {
        if (e.order % 5 == 0) return say(fact::not_reserved, e.order);
        reserved.apply(key(e.order, "reserve"));
        say(fact::reserved, e.order);
      } else if (e.what == fact::not_paid) {
        reserved.take_back(key(e.order, "reserve"));
      }
    });
    bank.run_on(millrace::post_to{steps}, timers, 1, [this](const event& e) {
      if (e.what != fact::reserved) return;
      if (e.order % 3 == 0) return say(fact::not_paid, e.order);
      paid.apply(key(e.order, "pay"));
      // Fails after it has done its part: it hears of it again, and the key holds.
      if (e.order % 7 == 0 && ++failures[e.order] == 1) throw std::runtime_error("crash");
      say(fact::paid, e.order);
    });
    carrier.run_on(millrace::post_to{steps}, timers, 1, [this](const event& e) {
      if (e.what != fact::paid) return;
      shipped.apply(key(e.order, "ship"));
      say(fact::shipped, e.order);
    });
  }

  clock_type clock;
  millrace::basic_timer_service<clock_type> timers{clock};
  millrace::testing::step_executor steps;
  topic_type events{1000, clock};
  millrace::consumer_group<topic_type> stock = events.group("stock");
  millrace::consumer_group<topic_type> bank = events.group("bank");
  millrace::consumer_group<topic_type> carrier = events.group("carrier");
  books reserved, paid, shipped;
  std::map<int, int> failures;
};

}  // namespace

TEST_CASE("services that react to each other's events are a saga, too") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    shop s(seed);
    s.open();
    constexpr int orders = 60;
    for (int i = 1; i <= orders; ++i) s.say(fact::ordered, i);
    for (int i = 0; i < 100; ++i) {
      s.steps.run_until_idle();
      s.clock.advance(100ms);
      static_cast<void>(s.timers.poll(s.clock.now()));
    }
    int expected = 0;
    for (int i = 1; i <= orders; ++i) expected += i % 5 != 0 && i % 3 != 0;
    CHECK(s.reserved.n == expected);
    CHECK(s.paid.n == expected);
    CHECK(s.shipped.n == expected);
    int failures = 0;
    for (const auto& [order, n] : s.failures) failures += n;
    CHECK(failures > static_cast<int>(s.failures.size()));  // some have been done twice, under one key
    CHECK(s.bank.stats().redelivered == s.failures.size());
    for (auto* g : {&s.stock, &s.bank, &s.carrier}) CHECK(g->stats().backlog == 0);
  }
}
