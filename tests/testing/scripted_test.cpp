#include "millrace/testing/scripted.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/testing/expect_published.hpp"
#include "millrace/testing/leak_check.hpp"
#include "millrace/testing/stepped_bus.hpp"
#include "millrace/time/timer_service.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::dead_letter;
using millrace::delivery;
using millrace::manual_clock;
using millrace::outcome;
using millrace::retry_policy;
using millrace::unlimited;
using millrace::testing::expect_all_settled;
using millrace::testing::expect_published;
using millrace::testing::scripted;
using millrace::testing::stepped_bus;
using options = millrace::subscribe_options<int, manual_clock>;

// value, attempt, milliseconds
using history = std::vector<std::tuple<int, std::uint32_t, long>>;

history of(const scripted<int>& stub) {
  history h;
  for (const auto& c : stub.calls()) h.emplace_back(c.value, c.attempt, static_cast<long>(c.at / 1ms));
  return h;
}

// A bus with a topic "orders" and a group that the stub answers for.
struct shop {
  stepped_bus t;
  scripted<int> bank;
  millrace::named_topic<int, manual_clock> orders = t->topic<int>("orders").value();

  shop() : bank(t->timers()) {}
  template <class Handler>
  explicit shop(Handler handler) : t(), bank(t->timers(), std::move(handler)) {}

  void open(std::uint32_t attempts = 5) {
    REQUIRE(t->subscribe<int>(
                 "orders", "billing",
                 options{.dead_letters = "lost",
                         .group = [attempts](auto& g) { g.retry = retry_policy::fixed(100ms, attempts); }},
                 bank)
                .ok());
  }
  void place(int id) { REQUIRE(orders->publish(id) == outcome::ok); }
  [[nodiscard]] millrace::group_stats stats() { return t->snapshot().topics.at(0).groups.at(0).stats; }
  [[nodiscard]] long now() { return static_cast<long>(t.clock().now().time_since_epoch() / 1ms); }
};

TEST_CASE("without a script it succeeds, and remembers what it was called with") {
  shop s;
  s.open();
  s.place(7);
  s.t.advance(1s);
  s.place(8);
  s.t.run_until_idle();
  CHECK(of(s.bank) == history{{7, 1, 0}, {8, 1, 1000}});
  CHECK(s.bank.calls().at(1).offset == 1);
  CHECK(s.stats().acked == 2);
  CHECK(expect_all_settled(s.t.bus()));
}

TEST_CASE("it answers call by call as the script says, and then succeeds") {
  shop s;
  s.bank.then_succeed(2).then_fail("down", 3).then_stall(5s).then_throttle(1s).then_reject("no such account");
  CHECK(s.bank.left() == 8);
  s.open();
  s.place(1);
  s.place(2);
  s.t.run_until_idle();
  CHECK(s.bank.left() == 6);
  s.place(3);
  s.t.advance(300ms);  // fails at 0, 100 and 200; stalls at 300
  CHECK(of(s.bank) == history{{1, 1, 0}, {2, 1, 0}, {3, 1, 0}, {3, 2, 100}, {3, 3, 200}, {3, 4, 300}});
  CHECK(s.stats().in_flight == 1);
  s.place(4);
  s.t.run_until_idle();
  CHECK(s.stats().released == 1);
  CHECK(s.stats().blocked == millrace::blocked_by::paused);
  s.t.advance(1s);  // and then it is rejected
  s.place(5);
  s.t.run_until_idle();
  CHECK(of(s.bank) == history{{1, 1, 0},
                              {2, 1, 0},
                              {3, 1, 0},
                              {3, 2, 100},
                              {3, 3, 200},
                              {3, 4, 300},
                              {4, 1, 300},
                              {4, 1, 1300},
                              {5, 1, 1300}});
  CHECK(expect_published<dead_letter<int>>(
      s.t.bus(), "lost", [](const auto& l) { return l.value == 4 && l.reason == "no such account"; }));
  CHECK(s.bank.left() == 0);
  CHECK(s.stats().in_flight == 1);
  s.t.advance(3999ms);
  CHECK(s.stats().in_flight == 1);
  s.t.advance(1ms);
  CHECK(s.stats().acked == 4);
  CHECK(expect_all_settled(s.t.bus()));
}

TEST_CASE("for ever, until the attempts are used up") {
  shop s;
  s.bank.then_fail("down", unlimited).then_succeed();
  CHECK(s.bank.left() == 1);
  s.open(3);
  s.place(1);
  s.place(2);
  s.t.advance(1h);
  CHECK(s.bank.calls().size() == 6);
  CHECK(s.stats().dead == 2);
  CHECK(expect_published<dead_letter<int>>(
      s.t.bus(), "lost", [](const auto& l) { return l.reason == "down"; }, 2));
  CHECK(expect_all_settled(s.t.bus()));
}

TEST_CASE("what succeeds is handed to a real handler, also late; what fails is not") {
  std::vector<std::pair<int, long>> done;
  const manual_clock* clock = nullptr;
  shop s([&](const int& id) {
    done.emplace_back(id, static_cast<long>(clock->now().time_since_epoch() / 1ms));
  });
  clock = &s.t.clock();
  s.bank.then_fail("down").then_stall(2s);
  s.open();
  s.place(1);
  s.place(2);
  s.t.advance(1h);
  CHECK(done == std::vector<std::pair<int, long>>{{1, 100}, {2, 2000}});
  CHECK(expect_all_settled(s.t.bus()));
}

TEST_CASE("a handler may settle for itself, and its exceptions count, also late") {
  int calls = 0;
  shop s([&](delivery<int>& d) {
    ++calls;
    if (*d == 1) {
      d.reject("by the handler");
    } else if (d.attempt() == 1) {
      throw std::runtime_error("not yet");
    }
  });
  s.bank.then_stall(1s, 2);
  s.open();
  s.place(1);
  s.place(2);
  s.t.run_until_idle();
  CHECK(calls == 0);
  s.t.advance(1s);
  CHECK(calls == 2);
  CHECK(s.stats().rejected == 1);
  CHECK(s.stats().nacked == 1);
  s.t.advance(99ms);
  CHECK(calls == 2);
  s.t.advance(1ms);
  CHECK(calls == 3);
  CHECK(s.stats().acked == 1);
  CHECK(s.stats().late == 0);  // each is settled once
  CHECK(s.t->timers().errors() == 0);
  CHECK(expect_all_settled(s.t.bus()));
}

TEST_CASE("what never answers is in flight, and is given back when the bus stops") {
  shop s;
  s.bank.then_stall_for_ever();
  s.open();
  s.place(1);
  s.place(2);
  s.t.advance(24h * 365);
  CHECK(s.stats().in_flight == 1);
  CHECK(s.stats().acked == 1);
  CHECK_FALSE(expect_all_settled(s.t.bus()));
  s.t->stop();
  CHECK(s.stats().in_flight == 0);
  CHECK(s.stats().nacked == 1);
}

TEST_CASE("a copy is the same stub, in several groups, and outlives the bus") {
  std::unique_ptr<scripted<int>> stub;
  {
    stepped_bus t;
    stub = std::make_unique<scripted<int>>(t->timers());
    scripted<int> copy = *stub;
    copy.then_stall(1h, 2);
    REQUIRE(t->subscribe<int>("a", "one", copy).ok());
    REQUIRE(t->subscribe<int>("*", "two", *stub).ok());
    REQUIRE(t->topic<int>("a").value()->publish(1) == outcome::ok);
    REQUIRE(t->topic<int>("b").value()->publish(2) == outcome::ok);
    t.run_until_idle();
  }
  CHECK(stub->calls().size() == 3);
  CHECK(stub->left() == 0);
}

TEST_CASE("of what cannot be copied it remembers the rest") {
  stepped_bus t;
  using parcel = std::unique_ptr<int>;
  scripted<parcel> stub(t->timers());
  stub.then_fail("broken");
  REQUIRE(t->subscribe<parcel>("parcels", "post",
                               millrace::subscribe_options<parcel, manual_clock>{
                                   .group = [](auto& g) { g.retry = retry_policy::fixed(1s, 2); }},
                               stub)
              .ok());
  REQUIRE(t->topic<parcel>("parcels").value()->publish(std::make_unique<int>(7)) == outcome::ok);
  t.advance(1s);
  REQUIRE(stub.calls().size() == 2);
  CHECK(stub.calls().at(1).attempt == 2);
  CHECK(stub.calls().at(1).at == 1s);
  CHECK(expect_all_settled(t.bus()));
}

TEST_CASE("on a topic without a bus, with threads") {
  millrace::topic<int> orders(1024);
  millrace::timer_service timers;
  timers.start();
  scripted<int> stub(timers);
  stub.then_fail("down", 100).then_stall(1ms, 100).then_throttle(1us, 10);
  auto billing = orders.group("billing", {.retry = retry_policy::fixed(1ms, 1000)});
  billing.run(4, stub);
  for (int i = 0; i < 1000; ++i) REQUIRE(orders.publish(i) == outcome::ok);
  orders.close();
  billing.join();
  const auto stats = billing.stats();
  CHECK(stats.acked == 1000);
  CHECK(stats.nacked == 100);
  CHECK(stub.calls().size() == 1110);
  // What a worker had taken when it was throttled, and not begun, has been released as well, and delivered once more.
  CHECK(stats.released >= 10);
  CHECK(stats.delivered == 1110 + (stats.released - 10));
  CHECK(stub.left() == 0);
  billing.stop();
  timers.stop();
}

}  // namespace
