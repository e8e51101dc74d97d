// The unit tests of a module that lives on a bus: an order service, which charges, and cancels what is not paid in 30 minutes.
//
//   orders.placed --> [ desk ] --> payments.wanted --> [ bank ] --> payments.made --> [ desk ] --> orders.paid
//                        '- - after 30 min - -> orders.unpaid --> [ desk ] --> orders.cancelled
//
// The desk is the module. The bank is somebody else's, and here a stub that fails, stalls and throttles by a script. Everything
// runs in this one thread, on a clock that the tests move: half an hour takes no time, no test sleeps, and none is flaky. Each
// test is a function with a verdict; a framework would say REQUIRE(v), or EXPECT_TRUE(v), which print its message, too.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "millrace/bus/bus.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/testing/expect_published.hpp"
#include "millrace/testing/leak_check.hpp"
#include "millrace/testing/scripted.hpp"
#include "millrace/testing/search_orders.hpp"
#include "millrace/testing/stepped_bus.hpp"

using namespace std::chrono_literals;

// --- the module, as a program has it: with a bus of any clock ---

struct order {
  int id = 0;
  int cents = 0;
  friend bool operator==(const order&, const order&) = default;
  friend std::ostream& operator<<(std::ostream& to, const order& o) { return to << "order " << o.id; }
};

template <class Clock>
class order_desk {
  using bus = millrace::basic_bus<Clock>;
  using topic = millrace::named_topic<order, Clock>;

 public:
  explicit order_desk(bus& b) : bus_(b) {
    serve("orders.placed", [this](const order& o) { place(o); });
    serve("payments.made", [this](const order& o) { settle(o, "orders.paid", "payments.refunded"); });
    serve("orders.unpaid", [this](const order& o) { settle(o, "orders.cancelled", nullptr); });
  }

 private:
  void place(const order& o) {
    {
      const std::lock_guard lock(mutex_);
      if (open_.contains(o.id)) return;  // it came twice
      open_.emplace(o.id, named("orders.unpaid").publish_after(30min, o));
    }
    publish("payments.wanted", o);
  }
  // Whichever comes first closes the order: the payment, or the end of the 30 minutes.
  void settle(const order& o, const char* if_first, const char* if_late) {
    typename topic::timer unpaid;
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      if (const auto at = open_.find(o.id); at != open_.end()) {
        first = true;
        unpaid = at->second;
        open_.erase(at);
      }
    }
    named("orders.unpaid").cancel(unpaid);
    if (first) publish(if_first, o);
    if (!first && if_late != nullptr) publish(if_late, o);
  }
  template <class Handler>
  void serve(const char* name, Handler handler) {
    const absl::Status s = bus_.template subscribe<order>(name, "desk", handler);
    if (!s.ok() || !bus_.template topic<order>(name).ok()) throw std::runtime_error(s.ToString());
  }
  topic named(const char* name) { return bus_.template topic<order>(name).value(); }
  void publish(const char* name, const order& o) {
    if (named(name)->publish(o) != millrace::outcome::ok) throw std::runtime_error("the bus has stopped");
  }

  bus& bus_;
  std::mutex mutex_;
  std::map<int, typename topic::timer> open_;  // guarded by mutex_
};

// --- its tests ---

namespace kit = millrace::testing;
using kit::verdict;

struct shop {
  kit::stepped_bus t;
  order_desk<millrace::manual_clock> desk{t.bus()};
  kit::scripted<order> bank{t->timers(), [this](const order& o) { put("payments.made", o); }};

  explicit shop(std::uint64_t seed = 0) : t(seed) {
    const auto s = t->subscribe<order>("payments.wanted", "bank", {.dead_letters = "payments.refused"}, bank);
    if (!s.ok()) throw std::runtime_error(s.ToString());
    for (const char* name : {"orders.paid", "orders.cancelled", "payments.refunded"}) {
      static_cast<void>(t->topic<order>(name).value());
    }
  }
  void put(const char* name, const order& o) { static_cast<void>(t->topic<order>(name).value()->publish(o)); }
  verdict once(const char* name, const order& o) { return kit::expect_published<order>(t.bus(), name, o); }
  verdict nothing(const char* name) { return kit::expect_nothing_published<order>(t.bus(), name); }
  verdict nothing_left() { return kit::expect_all_settled(t.bus()); }
};

constexpr order cup{7, 450};

static verdict paid_at_once() {
  shop s;
  s.put("orders.placed", cup);
  s.t.run_until_idle();
  return all(s.once("orders.paid", cup), s.nothing("orders.cancelled"), s.nothing_left());
}
static verdict bank_fails_three_times() {
  shop s;
  s.bank.then_fail("no connection", 3);
  s.put("orders.placed", cup);
  s.t.advance(10s);  // four attempts, and the pauses between them
  const auto calls = s.bank.calls();
  return all(s.once("orders.paid", cup),
             verdict(calls.size() == 4 && calls.back().attempt == 4, "four attempts"), s.nothing_left());
}
static verdict bank_takes_its_time() {
  shop s;
  s.bank.then_stall(5s);
  s.put("orders.placed", cup);
  s.t.advance(5s - 1ms);
  const verdict before = s.nothing("orders.paid");
  s.t.advance(1ms);
  return all(before, s.once("orders.paid", cup), s.nothing_left());
}
static verdict bank_is_busy() {
  shop s;
  s.bank.then_throttle(2s);
  for (int id = 1; id <= 3; ++id) s.put("orders.placed", {id, 100});
  s.t.run_until_idle();
  const verdict before = kit::expect_published<order>(s.t.bus(), "orders.paid", order{1, 100}, 0);
  s.t.advance(2s);
  bool first_attempts = true;
  for (const auto& call : s.bank.calls()) first_attempts = first_attempts && call.attempt == 1;
  return all(before,
             kit::expect_published<order>(
                 s.t.bus(), "orders.paid", [](const order&) { return true; }, 3),
             verdict(first_attempts, "nothing but first attempts"), s.nothing_left());
}
static verdict unpaid_after_half_an_hour() {
  shop s;
  s.bank.then_reject("card declined");
  s.put("orders.placed", cup);
  s.t.advance(30min - 1ms);
  const verdict before = s.nothing("orders.cancelled");
  s.t.advance(1ms);
  return all(before, s.once("orders.cancelled", cup), s.nothing("orders.paid"), s.nothing_left());
}
static verdict payment_races_cancellation() {
  bool was_paid = false;
  bool was_cancelled = false;
  const verdict each = kit::search_orders(200, [&](std::uint64_t seed) {
    shop s(seed);
    s.bank.then_stall(30min);  // the payment comes when the time is just over
    s.put("orders.placed", cup);
    s.t.advance(1h);
    const bool is_paid{s.once("orders.paid", cup)};
    (is_paid ? was_paid : was_cancelled) = true;
    if (is_paid) return all(s.nothing("orders.cancelled"), s.nothing("payments.refunded"), s.nothing_left());
    return all(s.once("orders.cancelled", cup), s.once("payments.refunded", cup), s.nothing_left());
  });
  return all(each, verdict(was_paid && was_cancelled, "both have been first in some order"));
}
static verdict a_leak_is_found() {
  shop s;
  std::vector<millrace::delivery<order>> forgotten;
  static_cast<void>(
      s.t->subscribe<order>("orders.paid", "parcels", [&](auto& d) { forgotten.push_back(std::move(d)); }));
  s.put("orders.placed", cup);
  s.t.advance(1h);
  const verdict leak = s.nothing_left();
  return {!leak, leak.message()};
}

int main() {
  bool good = true;
  const auto test = [&](const char* name, verdict (*body)()) {
    const verdict v = body();
    good = good && v;
    std::printf("%-6s %s%s%s\n", v ? "ok" : "FAILED", name, v ? "" : ": ", v ? "" : v.message().c_str());
  };
  test("an order is paid at once", paid_at_once);
  test("the bank fails three times, and is asked a fourth time", bank_fails_three_times);
  test("the bank takes five seconds", bank_takes_its_time);
  test("the bank is busy for two seconds, which uses up no attempt", bank_is_busy);
  test("an order that is not paid is cancelled after 30 minutes", unpaid_after_half_an_hour);
  test("payment and cancellation in the same moment, in 200 orders: one of them, and not both",
       payment_races_cancellation);
  test("a delivery that somebody has kept is found", a_leak_is_found);
  return good ? 0 : 1;
}
