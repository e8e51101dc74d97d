// The bus without any thread: on a step_executor and a manual_clock. What threads can break is in bus_threads_test.cpp.
#include "millrace/bus/bus.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using Catch::Contains;
using millrace::bus_state;
using millrace::manual_clock;
using millrace::outcome;
using code = absl::StatusCode;
using ints = std::vector<int>;
using bus = millrace::basic_bus<manual_clock>;
template <class T>
using named = millrace::named_topic<T, manual_clock>;

struct order {
  int id;
};
struct refund {
  int id;
};

struct world {
  world() = default;
  explicit world(std::uint64_t seed) : steps(seed) {}
  manual_clock clock;
  millrace::testing::step_executor steps;
  std::optional<bus> made{std::in_place, clock, millrace::bus_options{.name = "shop", .executor = &steps}};

  bus& operator*() { return *made; }
  bus* operator->() { return &*made; }
  void run() {
    do {
      steps.run_until_idle();
      made->timers().poll(clock.now());
    } while (!steps.is_idle());
  }
  void go_on(std::chrono::nanoseconds by) {
    clock.advance(by);
    run();
  }
  template <class T>
  named<T> topic(std::string_view name) {
    return *made->topic<T>(name);
  }
};

void is(const absl::Status& s, code expected, const std::string& part) {
  CHECK(s.code() == expected);
  CHECK_THAT(std::string(s.message()), Contains(part));
}

std::optional<millrace::group_info> group_of(const millrace::bus_info& b, std::string_view topic,
                                             std::string_view group) {
  for (const auto& t : b.topics) {
    if (t.name != topic) continue;
    for (const auto& g : t.groups) {
      if (g.name == group) return g;
    }
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("a name is one topic, of one type; another type is an error that names both") {
  world w;
  const auto orders = w.topic<order>("orders.paid");
  CHECK(w.topic<order>("orders.paid") == orders);
  const absl::Status s = w->topic<refund>("orders.paid").status();
  is(s, code::kInvalidArgument, "topic \"orders.paid\" is of type ");
  CHECK_THAT(std::string(s.message()), Contains("::order, and not of ") && Contains("::refund"));
  is(w->topic<int>("orders.*").status(), code::kInvalidArgument, "no wildcards");
  is(w->dead_letters<order>("orders.paid").status(), code::kInvalidArgument, "dead_letter<");
  CHECK(w->snapshot().topics.size() == 1);
  CHECK(w->snapshot().topics[0].type.find("order") != std::string::npos);
}

TEST_CASE("types of one name in other places are other types") {
  struct order {};  // not the one above
  world w;
  CHECK(w->topic<::order>("a").ok());
  CHECK_FALSE(w->topic<order>("a").ok());
  using millrace::detail::type_tag;
  // One in two shared libraries is one; two in unnamed namespaces are two.
  const char here = 0;
  const char there = 0;
  CHECK(type_tag{&here, "order"} == type_tag{&there, "order"});
  CHECK_FALSE(type_tag{&here, "order"} == type_tag{&there, "refund"});
  CHECK_FALSE(type_tag{&here, "(anonymous namespace)::order"} ==
              type_tag{&there, "(anonymous namespace)::order"});
  CHECK_FALSE(type_tag{&here, "{anonymous}::order"} == type_tag{&there, "{anonymous}::order"});
  CHECK(type_tag{&here, "{anonymous}::order"} == type_tag{&here, "{anonymous}::order"});
  CHECK(millrace::detail::name_of_type<int>() == "int");
  CHECK(millrace::detail::name_of_type<std::vector<int>>().substr(0, 16) == "std::vector<int>");
}

TEST_CASE("a pattern's handler gets what is published on every topic that matches, made before or after") {
  world w;
  std::multiset<int> got;
  const auto before = w.topic<order>("orders.paid");
  CHECK(w->subscribe<order>("orders.*", "billing", [&](const order& o) { got.insert(o.id); }).ok());
  const auto after = w.topic<order>("orders.late");
  const auto other = w.topic<order>("stock.paid");
  const auto deeper = w.topic<order>("orders.paid.eu");
  CHECK(w->start().ok());
  const auto running = w.topic<order>("orders.new");
  CHECK(before->publish({1}) == outcome::ok);
  CHECK(after->publish({2}) == outcome::ok);
  CHECK(other->publish({3}) == outcome::ok);
  CHECK(deeper->publish({4}) == outcome::ok);
  CHECK(running->publish({5}) == outcome::ok);
  CHECK(got.empty());
  w.run();
  CHECK(got == std::multiset<int>{1, 2, 5});

  CHECK(w->subscribe<order>(">", "audit", [&](const order& o) { got.insert(10 * o.id); }).ok());
  for (const auto& t : {before, after, other, deeper, running}) CHECK(t->publish({7}) == outcome::ok);
  w.run();
  CHECK(got == std::multiset<int>{1, 2, 5, 7, 7, 7, 70, 70, 70, 70, 70});
  CHECK(w->drain(w.clock.now()).ok());
  const auto b = w->snapshot();
  REQUIRE(b.subscriptions.size() == 2);
  CHECK(b.subscriptions[0].topics == 3);
  CHECK(b.subscriptions[1].topics == 5);
  CHECK(group_of(b, "orders.late", "billing")->stats.acked == 2);
  CHECK(group_of(b, "orders.late", "billing")->pattern == "orders.*");
  CHECK_FALSE(group_of(b, "stock.paid", "billing"));
}

TEST_CASE("what is published before the start is kept") {
  world w;
  ints got;
  const auto t = w.topic<int>("t");
  CHECK(t->publish(0) == outcome::ok);  // nobody wants it
  CHECK(w->subscribe<int>("t", "g", [&](const int& v) { got.push_back(v); }).ok());
  for (int v = 1; v < 4; ++v) CHECK(t->publish(v) == outcome::ok);
  w->executor().post([&] { got.push_back(-1); });
  w.run();
  CHECK(got.empty());
  CHECK(w.steps.is_idle());
  CHECK(unsettled(w->snapshot()) == 3);
  is(w->drain(w.clock.now() + 1h), code::kFailedPrecondition,
     "it does not run; group \"g\" on \"t\" has 3 left");
  CHECK(w->start().ok());
  w.run();
  CHECK(got == ints{-1, 1, 2, 3});
}

TEST_CASE("groups of other names get everything each, workers of one share it") {
  world w;
  std::map<std::string, ints> got;
  for (const char* const name : {"a", "b", "c"}) {
    CHECK(w->subscribe<int>("t", name, {.workers = 3}, [&got, name](const int& v) {
             got[name].push_back(v);
           }).ok());
  }
  const auto t = w.topic<int>("t");
  CHECK(w->start().ok());
  w.run();
  for (int v = 0; v < 100; ++v) CHECK(t->publish(v) == outcome::ok);
  w.run();
  REQUIRE(got.size() == 3);
  for (auto& [name, values] : got) {
    std::sort(values.begin(), values.end());
    CHECK(values.size() == 100);
    CHECK(std::unique(values.begin(), values.end()) == values.end());
  }
  CHECK(group_of(w->snapshot(), "t", "b")->workers == 3);
}

TEST_CASE("topics of another type are passed over, and that is told") {
  world w;
  ints orders;
  ints refunds;
  CHECK(w->topic<refund>("shop.back").ok());
  // One name, two types: each gets its own.
  CHECK(w->subscribe<order>("shop.>", "audit", [&](const order& o) { orders.push_back(o.id); }).ok());
  CHECK(w->subscribe<refund>("shop.>", "audit", [&](const refund& r) { refunds.push_back(r.id); }).ok());
  const auto late = w.topic<refund>("shop.late");
  const auto paid = w.topic<order>("shop.paid");
  CHECK(w->start().ok());
  CHECK(late->publish({1}) == outcome::ok);
  CHECK(paid->publish({2}) == outcome::ok);
  w.run();
  CHECK(orders == ints{2});
  CHECK(refunds == ints{1});
  const auto b = w->snapshot();
  CHECK(b.subscriptions[0].topics == 1);
  CHECK(b.subscriptions[0].passed_over == std::vector<std::string>{"shop.back", "shop.late"});
  CHECK(b.subscriptions[1].topics == 2);
  CHECK(b.subscriptions[1].passed_over == std::vector<std::string>{"shop.paid"});
  CHECK_THAT(w->describe(), Contains("passed over: shop.back, shop.late"));
}

TEST_CASE("a name without wildcards must be of the subscription's type, whoever comes first") {
  const auto nothing = [](const auto&) {};
  world w;
  CHECK(w->topic<order>("a").ok());
  is(w->subscribe<refund>("a", "g", nothing), code::kInvalidArgument, "topic \"a\" is of type ");
  CHECK(w->subscribe<refund>("b", "g", nothing).ok());
  const absl::Status s = w->topic<order>("b").status();
  is(s, code::kInvalidArgument, "topic \"b\" is of type ");
  CHECK_THAT(std::string(s.message()), Contains("::refund, and not of ") && Contains("::order"));
  is(w->subscribe<order>("b", "h", nothing), code::kInvalidArgument, "topic \"b\" is of type ");
  CHECK(w->topic<refund>("b").ok());
  CHECK(w->snapshot().subscriptions.size() == 1);
  CHECK(w->snapshot().subscriptions[0].topics == 1);
}

TEST_CASE("a group has one handler for a topic") {
  const auto nothing = [](const auto&) {};
  world w;
  CHECK(w->subscribe<int>("a.*", "g", nothing).ok());
  is(w->subscribe<int>("a.*", "g", nothing), code::kAlreadyExists,
     "group \"g\" has a handler for \"a.*\", which has topics in common with \"a.*\"");
  for (const char* const common : {"a.b", "*.b", ">", "a.>", "*.*", "*.>"}) {
    CAPTURE(common);
    CHECK(w->subscribe<int>(common, "g", nothing).code() == code::kAlreadyExists);
  }
  for (const char* const apart : {"a", "b.*", "a.b.c", "c.>"}) {
    CAPTURE(apart);
    CHECK(w->subscribe<int>(apart, "g", nothing).ok());
  }
  CHECK(w->subscribe<int>("a.*", "other", nothing).ok());
  CHECK(w->subscribe<long>("a.*", "g", nothing).ok());
}

TEST_CASE(
    "a handler may take the delivery, settle it, keep it; a failure is tried again by the bus's timers") {
  world w;
  ints got;
  std::vector<millrace::delivery<int>> kept;
  CHECK(w->subscribe<int>("t", "g",
                          {.group = [](auto& g) { g.retry = millrace::retry_policy::fixed(1s, 5); }},
                          [&](millrace::delivery<int>& d) {
                            const int v = *d;
                            got.push_back(v);
                            if (v == 1 && d.attempt() == 1) throw std::runtime_error("once");
                            if (v == 2 && d.attempt() == 1) d.nack(5s);
                            if (v == 3) kept.push_back(std::move(d));
                          })
            .ok());
  const auto t = w.topic<int>("t");
  CHECK(w->start().ok());
  for (int v = 0; v < 4; ++v) CHECK(t->publish(v) == outcome::ok);
  w.run();
  CHECK(got == ints{0, 1, 2, 3});
  is(w->drain(w.clock.now()), code::kDeadlineExceeded,
     "bus \"shop\": the deadline has passed; group \"g\" on \"t\" has 3 left (backlog 0, ready 0, behind 0, "
     "in flight 1, "
     "waiting 2, blocked by empty)");
  w.go_on(1s);
  CHECK(got == ints{0, 1, 2, 3, 1});
  w.go_on(4s);
  CHECK(got == ints{0, 1, 2, 3, 1, 2});
  is(w->drain(w.clock.now()), code::kDeadlineExceeded, "has 1 left");
  CHECK(kept[0].ack());
  CHECK(w->drain(w.clock.now()).ok());
}

TEST_CASE("the group function sets each group, once for its topic") {
  world w;
  int calls = 0;
  std::map<int, ints> by_key;
  int failures = 0;
  CHECK(w->subscribe<order>("*", "g",
                            {.workers = 4,
                             .group =
                                 [&](auto& g) {
                                   ++calls;
                                   g.from = millrace::earliest;
                                   g.order = millrace::ordering::by_key;
                                   g.key = [](const order& o) {
                                     return static_cast<std::uint64_t>(o.id % 3);
                                   };
                                   g.filter = [](const order& o) { return o.id != 5; };
                                   g.retry = millrace::retry_policy::fixed(1s, 3);
                                 }},
                            [&](const order& o) {
                              if (o.id == 1 && failures++ == 0) throw std::runtime_error("once");
                              by_key[o.id % 3].push_back(o.id);
                            })
            .ok());
  CHECK(calls == 1);  // to see whether it is in range
  CHECK(w->start().ok());
  const auto a = w.topic<order>("a");
  CHECK(calls == 2);
  CHECK(w.topic<order>("a") == a);
  CHECK(calls == 2);
  CHECK(w->topic<order>("b").ok());
  CHECK(calls == 3);
  for (int id = 0; id < 9; ++id) CHECK(a->publish({id}) == outcome::ok);
  w.run();
  CHECK(by_key[1].empty());
  w.go_on(1s);
  CHECK(by_key[0] == ints{0, 3, 6});
  CHECK(by_key[1] == ints{1, 4, 7});
  CHECK(by_key[2] == ints{2, 8});
}

TEST_CASE("a function of the host's that throws leaves nothing behind") {
  world w;
  const auto a = *w->topic<int>("a", {.capacity = 2, .log = {.segment = 2}});
  const auto b = *w->topic<int>("b", {.capacity = 2, .log = {.segment = 2}});
  CHECK(w->start().ok());
  int calls = 0;
  ints got;
  const auto subscribe = [&](int good) {
    calls = 0;
    return w->subscribe<int>("*", "g",
                             {.group =
                                  [&calls, good](auto&) {
                                    if (calls++ == good) throw std::runtime_error("not now");
                                  }},
                             [&](const int& v) { got.push_back(v); });
  };
  for (const int good : {0, 1, 2}) {
    CHECK_THROWS_WITH(subscribe(good), "not now");
    CHECK(w->snapshot().subscriptions.empty());
    CHECK(w->snapshot().topics[0].groups.empty());
    CHECK(w->snapshot().topics[1].groups.empty());
    // No group that nobody serves holds up who publishes.
    for (int v = 0; v < 20; ++v) {
      REQUIRE(a->try_publish(v) == outcome::ok);
      REQUIRE(b->try_publish(v) == outcome::ok);
    }
  }
  // Not even after it has begun well: a topic that cannot have its group is not made.
  CHECK(subscribe(3).ok());
  CHECK_THROWS_WITH(w->topic<int>("c"), "not now");
  CHECK(w->snapshot().topics.size() == 2);
  CHECK(w->topic<int>("c").ok());
  CHECK(a->try_publish(77) == outcome::ok);
  w.run();
  CHECK(got == ints{77});
  // Nor does an offset that is not there yet.
  CHECK_THROWS_AS(
      w->subscribe<int>("a", "later", {.group = [](auto& g) { g.from = 1000; }}, [](const int&) {}),
      std::out_of_range);
  CHECK(w->snapshot().subscriptions.size() == 1);
}

TEST_CASE("what is given up goes to a topic of dead letters, and can be handled there, and redriven") {
  world w;
  bool is_well = false;
  ints got;
  std::vector<std::string> clerk;
  const auto options = [] {
    return millrace::subscribe_options<int, manual_clock>{.dead_letters = "lost.ints", .group = [](auto& g) {
                                                            g.retry = millrace::retry_policy::fixed(1s, 2);
                                                          }};
  };
  const auto handler = [&](const int& v) {
    if (!is_well && v % 2 != 0) throw std::runtime_error("odd");
    got.push_back(v);
  };
  // A pattern that matches both: the letters are of another type.
  CHECK(w->subscribe<int>("*.ints", "g", options(), handler).ok());
  CHECK(w->subscribe<millrace::dead_letter<int>>("lost.>", "clerk", [&](const millrace::dead_letter<int>& d) {
           clerk.push_back(std::to_string(d.value) + " " + d.reason + " " + d.group);
         }).ok());
  CHECK(w->subscribe<int>("more", "h", options(), handler).ok());
  const auto a = w.topic<int>("a.ints");
  const auto more = w.topic<int>("more");
  CHECK(w->start().ok());
  for (int v = 0; v < 4; ++v) CHECK(a->publish(v) == outcome::ok);
  CHECK(more->publish(5) == outcome::ok);
  w.run();
  CHECK(clerk.empty());
  w.go_on(1s);
  std::sort(clerk.begin(), clerk.end());
  CHECK(clerk == std::vector<std::string>{"1 odd g", "3 odd g", "5 odd h"});
  CHECK(got == ints{0, 2});
  CHECK(w->drain(w.clock.now()).ok());
  CHECK(group_of(w->snapshot(), "a.ints", "g")->stats.dead == 2);

  is_well = true;
  const auto letters = w->dead_letters<int>("lost.ints");
  REQUIRE(letters.ok());
  CHECK((*letters)->redrive(*a) == 3);
  w.run();
  std::sort(got.begin(), got.end());
  CHECK(got == ints{0, 1, 2, 3, 5});

  CHECK(w->topic<millrace::dead_letter<int>>("lost.ints").ok());
  CHECK(w->topic<millrace::dead_letter<int>>("mine").ok());
  is(w->dead_letters<int>("mine").status(), code::kFailedPrecondition, "topic \"mine\" was made by topic()");
  is(w->subscribe<int>("x", "i", {.dead_letters = "more"}, handler), code::kInvalidArgument,
     "topic \"more\" is of type int");
}

TEST_CASE("dead letters outlive the groups that bury in them, whatever was made first") {
  world w;
  const auto t = w.topic<int>("t");
  bool is_ill = true;
  const auto fails = [&](const auto&) {
    if (is_ill) throw std::runtime_error("always");
  };
  const auto none = [](auto& g) { g.retry = millrace::retry_policy::none(); };
  CHECK(w->subscribe<int>("t", "g", {.dead_letters = "l", .group = none}, fails).ok());
  CHECK(
      w->subscribe<millrace::dead_letter<int>>("l", "g", {.dead_letters = "ll", .group = none}, fails).ok());
  CHECK(w->start().ok());
  CHECK(t->publish(1) == outcome::ok);
  w.run();
  CHECK(w.topic<millrace::dead_letter<millrace::dead_letter<int>>>("ll")->tail() == 1);
  w.made.reset();
  CHECK(w.steps.run_until_idle() < 10);
}

TEST_CASE("what is parked does not keep a drain, and is told") {
  world w;
  CHECK(w->subscribe<int>("t", "g", [](millrace::delivery<int>& d) {
           if (*d == 1) d.reject("no");
         }).ok());
  CHECK(w.topic<int>("t")->publish(1) == outcome::ok);
  CHECK(w->start().ok());
  w.run();
  CHECK(w->drain(w.clock.now()).ok());
  CHECK(group_of(w->snapshot(), "t", "g")->stats.parked == 1);
}

TEST_CASE("a drain at the deadline says which groups have what left, the first eight by name") {
  world w;
  for (int i = 0; i < 11; ++i) {
    const std::string name = "t" + std::to_string(i);
    CHECK(w->subscribe<int>(name, "g", [](const int&) {}).ok());
    CHECK(w.topic<int>(name)->publish(i) == outcome::ok);
  }
  CHECK(w->start().ok());
  const absl::Status s = w->drain(w.clock.now());
  is(s, code::kDeadlineExceeded, "group \"g\" on \"t0\" has 1 left");
  is(s, code::kDeadlineExceeded, "on \"t7\" has 1 left");
  is(s, code::kDeadlineExceeded, ", and 3 more groups have some");
  CHECK_FALSE(Contains("t8").match(std::string(s.message())));
  w.run();
  CHECK(w->drain(w.clock.now()).ok());
}

TEST_CASE("a stop leaves what no handler has had where it is, and nothing of it runs afterwards") {
  world w;
  ints got;
  CHECK(w->subscribe<int>(">", "g", {.workers = 2}, [&](const int& v) {
           got.push_back(v);
           if (v == 2) throw std::runtime_error("again, later");
         }).ok());
  const auto t = w.topic<int>("t");
  CHECK(w->start().ok());
  for (int v = 1; v < 3; ++v) CHECK(t->publish(v) == outcome::ok);
  w.run();
  const auto own = w->timers().schedule_after(1h, [&] { got.push_back(-1); });
  for (int v = 3; v < 6; ++v) CHECK(t->publish(v) == outcome::ok);
  CHECK_FALSE(w.steps.is_idle());  // somebody is about to come
  w->stop();
  CHECK(w->snapshot().state == bus_state::stopped);
  CHECK(t->publish(6) == outcome::closed);
  CHECK(w->timers().cancel(own) != millrace::cancel_result::cancelled);
  w.go_on(2h);
  CHECK(got == ints{1, 2});
  const auto stats = group_of(w->snapshot(), "t", "g")->stats;
  CHECK(stats.acked == 1);
  CHECK(unsettled(stats) == 4);
  is(w->drain(w.clock.now() + 1h), code::kFailedPrecondition, "group \"g\" on \"t\" has 4 left");
  is(w->start(), code::kFailedPrecondition, "it has been stopped");
  is(w->subscribe<int>("x", "h", [](const int&) {}), code::kFailedPrecondition,
     "bus \"shop\": it has been stopped");
  is(w->topic<int>("x").status(), code::kFailedPrecondition, "bus \"shop\": it has been stopped");
  CHECK(w->topic<int>("t").ok());
  bool ran = false;
  w->executor().post([&] { ran = true; });
  CHECK(ran);
}

TEST_CASE("the bus may go while its executor still has tickets") {
  world w;
  CHECK(w->subscribe<int>("t", "g", {.workers = 3}, [](const int&) {}).ok());
  const auto t = w.topic<int>("t");
  CHECK(w->start().ok());
  CHECK(t->publish(1) == outcome::ok);
  CHECK(w.steps.size() >= 3);
  w.made.reset();
  CHECK(w.steps.run_until_idle() >= 3);
}

TEST_CASE("nothing is posted, and no timer is set, while there is nothing to do") {
  world w;
  for (int i = 0; i < 20; ++i) {
    CHECK(w->subscribe<int>("a.*", "g" + std::to_string(i), {.workers = 2}, [](const int&) {}).ok());
    CHECK(w->topic<int>("a." + std::to_string(i)).ok());
  }
  CHECK(w->start().ok());
  const auto t = w.topic<int>("a.0");
  CHECK(t->publish(1) == outcome::ok);
  w.run();
  for (int i = 0; i < 10; ++i) {
    w.clock.advance(1h);
    CHECK_FALSE(w->timers().poll(w.clock.now()));
    CHECK(w.steps.is_idle());
  }
  // Looking is not doing.
  CHECK(w->drain(w.clock.now()).ok());
  CHECK_FALSE(w->describe().empty());
  CHECK(w.steps.is_idle());
}

TEST_CASE("every sequence of four of what a host may call, in any order, twice or never") {
  enum op { start, drain, stop, publish, subscribe, topic };
  int sequences = 0;
  for (int n = 0; n < 6 * 6 * 6 * 6; ++n, ++sequences) {
    world w;
    bus_state state = bus_state::made;
    bool has_topic = false;
    bool has_group = false;
    int left = 0;
    int handled = 0;
    int seen = 0;
    std::string so_far;
    for (int i = 0, rest = n; i < 4; ++i, rest /= 6) {
      so_far += std::to_string(rest % 6);
      CAPTURE(so_far);
      const bool is_over = state == bus_state::stopped;
      switch (rest % 6) {
        case start: {
          REQUIRE(w->start().code() == (is_over ? code::kFailedPrecondition : code::kOk));
          if (!is_over) state = bus_state::running;
          break;
        }
        case drain: {
          w.run();
          if (state == bus_state::running) handled += std::exchange(left, 0);
          REQUIRE(w->drain(w.clock.now()).code() == (left == 0 ? code::kOk : code::kFailedPrecondition));
          break;
        }
        case stop: {
          w->stop();
          state = bus_state::stopped;
          break;
        }
        case publish: {
          if (!has_topic) break;
          REQUIRE(w.topic<int>("a.b")->publish(1) == (is_over ? outcome::closed : outcome::ok));
          if (!is_over && has_group) ++left;
          break;
        }
        case subscribe: {
          const absl::Status s = w->subscribe<int>("a.*", "g", [&](const int&) { ++seen; });
          REQUIRE(s.code() == (is_over     ? code::kFailedPrecondition
                               : has_group ? code::kAlreadyExists
                                           : code::kOk));
          if (!is_over) has_group = true;
          break;
        }
        case topic: {
          REQUIRE(w->topic<int>("a.b").status().code() ==
                  (is_over && !has_topic ? code::kFailedPrecondition : code::kOk));
          if (!is_over) has_topic = true;
          break;
        }
        default: break;
      }
      const auto b = w->snapshot();
      REQUIRE(b.state == state);
      REQUIRE(b.topics.size() == (has_topic ? 1 : 0));
      REQUIRE(b.subscriptions.size() == (has_group ? 1 : 0));
      REQUIRE(seen == handled);
      REQUIRE(unsettled(b) == static_cast<std::uint64_t>(left));
      if (has_topic) REQUIRE(b.topics[0].groups.size() == (has_group ? 1 : 0));
    }
  }
  CHECK(sequences == 1296);
}

TEST_CASE(
    "whatever the order of tasks: cascades, failures and late topics; each message is handled once, or is "
    "still there") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    world w(seed);
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    std::map<int, int> attempts;
    std::multiset<int> billed;
    std::multiset<int> mailed;
    std::multiset<int> audited;
    const auto options = [](std::size_t workers) {
      return millrace::subscribe_options<int, manual_clock>{
          .workers = workers, .group = [](auto& g) { g.retry = millrace::retry_policy::fixed(1s, 10); }};
    };
    // Each order that is billed becomes a mail, on a topic that perhaps is not there yet.
    REQUIRE(w->subscribe<int>("orders.*", "billing", options(1 + below(3)), [&](const int& v) {
               if (v % 3 == 0 && attempts[v]++ < 2) throw std::runtime_error("not yet");
               const auto mail = w->topic<int>("mail." + std::to_string(v % 2));
               CHECK((*mail)->try_publish(v) == outcome::ok);
               billed.insert(v);
             }).ok());
    REQUIRE(w->subscribe<int>(">", "audit", options(1 + below(3)), [&](const int& v) {
               audited.insert(v);
             }).ok());
    const bool late_mail = below(2) == 0;
    const auto post = [&] {
      return w->subscribe<int>("mail.>", "post", options(1), [&](const int& v) { mailed.insert(v); });
    };
    if (!late_mail) REQUIRE(post().ok());
    const std::uint64_t starts_at = below(20);
    const std::uint64_t stops_at = below(4) == 0 ? below(60) : 1000;
    int published = 0;
    for (std::uint64_t i = 0; i < 60; ++i) {
      if (i == starts_at) REQUIRE(w->start().ok() == (stops_at >= starts_at));
      if (i == stops_at) w->stop();
      const auto t = w->topic<int>("orders." + std::to_string(below(3)));
      if (t.ok() && (*t)->try_publish(published) == outcome::ok) ++published;
      for (std::uint64_t steps = below(4); steps != 0; --steps) w.steps.step();
      if (below(4) == 0) {
        w.clock.advance(500ms);
        w->timers().poll(w.clock.now());
      }
    }
    if (stops_at < 60) {
      const std::size_t before = billed.size() + mailed.size() + audited.size();
      w.go_on(1h);
      REQUIRE(billed.size() + mailed.size() + audited.size() == before);
    } else {
      for (int i = 0; i < 4; ++i) w.go_on(1s);
      REQUIRE(w->drain(w.clock.now()).ok());
      REQUIRE(billed.size() == std::size_t(published));
      REQUIRE(std::set<int>(billed.begin(), billed.end()).size() == std::size_t(published));
      REQUIRE(audited.size() == 2 * std::size_t(published));
      REQUIRE((late_mail || mailed == billed));
      if (late_mail) {
        REQUIRE(post().ok());
        w.run();
        REQUIRE(mailed.empty());  // from now on
      }
    }
    // The books: what a group had is acked, or unsettled.
    const auto b = w->snapshot();
    for (const auto& t : b.topics) {
      for (const auto& g : t.groups) {
        if (g.name != "post" || !late_mail) REQUIRE(g.stats.acked + unsettled(g.stats) == t.published);
      }
    }
    std::uint64_t acked = 0;
    for (const auto& t : b.topics) {
      for (const auto& g : t.groups) acked += g.stats.acked;
    }
    REQUIRE(acked == billed.size() + mailed.size() + audited.size());
  }
}

TEST_CASE("ten thousand subscriptions: a topic has those that match, and no others") {
  world w;
  int calls = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string n = std::to_string(i);
    REQUIRE(w->subscribe<int>("a." + n + ".*", "g" + n, [&](const int&) { ++calls; }).ok());
  }
  for (const char* const pattern : {"a.*.x", "a.77.>"}) {
    REQUIRE(w->subscribe<int>(pattern, "more", [&](const int&) { ++calls; }).code() ==
            (pattern == std::string_view("a.77.>") ? code::kAlreadyExists : code::kOk));
  }
  CHECK(w->start().ok());
  const auto t = w.topic<int>("a.77.x");
  CHECK(t->publish(1) == outcome::ok);
  w.run();
  CHECK(calls == 2);
  const auto b = w->snapshot();
  CHECK(b.subscriptions.size() == 10'001);
  CHECK(b.topics[0].groups.size() == 2);
}
