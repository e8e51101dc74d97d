#include "millrace/bus/named_topic.hpp"

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "millrace/bus/bus.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
using ints = std::vector<int>;
template <class T>
using named = millrace::named_topic<T, manual_clock>;

struct world {
  manual_clock clock;
  millrace::testing::step_executor steps;
  millrace::basic_bus<manual_clock> bus{clock, {.name = "shop", .executor = &steps}};

  void go_to(std::chrono::nanoseconds t) {
    clock.set(manual_clock::time_point(t));
    bus.timers().poll(clock.now());
  }
  [[nodiscard]] millrace::topic_info info() const { return bus.snapshot().topics.at(0); }
};

ints read(auto& reader) {
  ints out;
  while (const auto* m = reader.try_next()) out.push_back(*m);
  return out;
}

}  // namespace

TEST_CASE("a handle is the topic, and copies are the same") {
  world w;
  const named<int> t = *w.bus.topic<int>("a.b");
  const named<int> same = t;
  const named<int> other = *w.bus.topic<int>("a.c");
  CHECK(t.name() == "a.b");
  CHECK(t == same);
  CHECK_FALSE(t == other);
  auto reader = t->subscribe();
  CHECK((*same).publish(1) == outcome::ok);
  CHECK(other->publish(2) == outcome::ok);
  CHECK(read(reader) == ints{1});
}

TEST_CASE("what is delayed is published when it is due, in that order, unless it is cancelled") {
  world w;
  const auto t = *w.bus.topic<int>("t");
  auto reader = t->subscribe();
  CHECK(t.publish_after(3s, 3));
  CHECK(t.publish_at(manual_clock::time_point(1s), 1));
  const auto second = t.publish_after(2s, 2);
  CHECK(t.publish_after(0s, 0));
  CHECK(w.info().delayed == 4);
  w.go_to(1ms);  // a tick
  CHECK(read(reader) == ints{0});
  w.go_to(1s - 1ms);
  CHECK(read(reader).empty());
  w.go_to(1s);
  CHECK(read(reader) == ints{1});
  CHECK(t.cancel(second));
  CHECK_FALSE(t.cancel(second));
  CHECK(w.info().delayed == 1);
  w.go_to(10s);
  CHECK(read(reader) == ints{3});
  CHECK(w.info().delayed == 0);
  CHECK(w.info().dropped == 0);
  CHECK(w.info().published == 3);
}

TEST_CASE("what finds the topic full is tried again, every 10 ms, and can be cancelled still") {
  world w;
  const auto t = *w.bus.topic<int>("t", {.capacity = 2, .log = {.segment = 2}});
  auto reader = t->subscribe();
  int full = 0;
  while (t->try_publish(full) == outcome::ok) ++full;
  REQUIRE(full >= 2);
  const auto one = t.publish_after(1s, 100);
  const auto two = t.publish_after(1s, 200);
  w.go_to(1s);
  w.go_to(1s + 10ms);
  CHECK(w.info().delayed == 2);
  CHECK(w.info().dropped == 0);
  CHECK(t.cancel(one));
  CHECK(w.info().dropped == 0);
  CHECK(read(reader).size() == std::size_t(full));
  w.go_to(1s + 19ms);
  CHECK(read(reader).empty());
  w.go_to(1s + 20ms);
  CHECK(read(reader) == ints{200});
  CHECK_FALSE(t.cancel(two));
  CHECK(w.info().delayed == 0);
}

TEST_CASE("what is delayed and comes to nothing is counted: the topic is closed, the bus stops") {
  world w;
  const auto t = *w.bus.topic<int>("t");
  CHECK(t.publish_after(1s, 1));
  CHECK(t.publish_after(9s, 9));
  t->close();
  w.go_to(1s);
  CHECK(w.info().dropped == 1);
  CHECK(w.info().delayed == 1);
  w.bus.stop();
  CHECK(w.info().dropped == 2);
  CHECK(w.info().delayed == 0);
  CHECK_FALSE(t.publish_after(1s, 2));
  CHECK(w.info().dropped == 3);
  CHECK(w.info().published == 0);
}

TEST_CASE("what a message throws when it is due is counted, as an error and as dropped") {
  struct angry {
    explicit angry(int n) : moves(n) {}
    angry(angry&& o) : moves(o.moves - 1) {
      if (moves < 0) throw std::runtime_error("once too often");
    }
    angry& operator=(angry&&) = default;
    int moves;
  };
  world w;
  const auto t = *w.bus.topic<angry>("t");
  auto reader = t->subscribe();
  // How often it is moved on its way is nobody's affair; from some number on it goes well.
  int n = 0;
  for (bool more = true; more && n < 100; ++n) {
    try {
      static_cast<void>(t.publish_after(1s, angry(n)));
      more = false;
    } catch (const std::runtime_error&) {
    }
  }
  CHECK(w.info().delayed == 1);
  w.go_to(1s);
  CHECK(w.info().delayed == 0);
  CHECK(w.info().dropped == 1);
  CHECK(w.bus.snapshot().timer_errors == 1);
  CHECK(reader.try_next() == nullptr);
  CHECK(t.publish_after(1s, angry(n + 1)));
  w.go_to(2s);
  CHECK(w.info().dropped == 1);
  CHECK(reader.try_next() != nullptr);
}
