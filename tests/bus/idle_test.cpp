// Waiting costs nothing: a started bus with topics, subscriptions and a message that waits for its retry uses next to no processor
// time. A test that really waits, because that is what it measures.
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "millrace/bus/bus.hpp"
#include "support/catch.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"

namespace {
using namespace std::chrono_literals;
}

TEST_CASE("a bus with nothing to do for a second: under 5 ms of processor time") {
  const support::watchdog guard("idle bus");
  millrace::bus b({.workers = 4});
  for (int i = 0; i < 20; ++i) {
    const std::string n = std::to_string(i);
    REQUIRE(b.subscribe<int>("a.*", "g" + n,
                             {.workers = 2, .group = [](auto& g) { g.retry.most = g.retry.first = 1h; }},
                             [i](const int&) {
                               if (i == 0) throw std::runtime_error("later");
                             })
                .ok());
    REQUIRE(b.topic<int>("a." + n).ok());
  }
  REQUIRE(b.start().ok());
  const auto t = *b.topic<int>("a.0");
  REQUIRE(t->publish(1) == millrace::outcome::ok);
  REQUIRE(t.publish_after(1h, 2));
  while (unsettled(b.snapshot()) != 1) std::this_thread::yield();
  REQUIRE(support::used_by_program() != std::chrono::nanoseconds::max());  // it can be measured
  CHECK(support::used_in_a_second_at_rest() < 5ms);
  CHECK(unsettled(b.snapshot()) == 1);
  b.stop();
}
