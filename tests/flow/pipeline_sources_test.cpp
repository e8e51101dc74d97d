// What a pipeline takes from: the puller of a consumer group by itself, and sources of several kinds and shapes.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/message.hpp"
#include "millrace/flow/pipeline.hpp"
#include "millrace/queue/priority_channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::from;
using millrace::manual_clock;
using millrace::outcome;
using support::watchdog;

using timer_service = millrace::basic_timer_service<manual_clock>;
using topic = millrace::topic<int, millrace::producers::multi, manual_clock>;
using group = millrace::consumer_group<topic>;
using delivery = group::delivery;

struct count_wakes {
  std::atomic<int>* n;
  void operator()() const noexcept { ++*n; }
};
using puller = group::puller<timer_service, count_wakes>;

struct shop {
  manual_clock clock;
  timer_service timers{millrace::clock_ref<manual_clock>(clock)};
  topic in{64, clock};
  group all = in.group("g", {.ack_timeout = 1s, .retry = {.first = 10s, .jitter = 0}});
  std::atomic<int> wakes{0};
  std::atomic<int> other_wakes{0};
};

std::vector<int> taken(puller& from, std::size_t n, outcome expected = outcome::ok) {
  delivery batch[64];
  std::size_t got = 99;
  CHECK(from.take(batch, n, got) == expected);
  std::vector<int> values;
  for (std::size_t i = 0; i < got; ++i) {
    values.push_back(*batch[i]);
    CHECK(batch[i].attempt() >= 1);
    batch[i].ack();
  }
  return values;
}

TEST_CASE("a puller takes what it asks for, and is told once when there was none") {
  shop s;
  puller p(s.all, s.timers, {&s.wakes});
  for (int i = 0; i < 40; ++i) REQUIRE(s.in.publish(i) == outcome::ok);
  CHECK(taken(p, 3) == std::vector<int>{0, 1, 2});
  CHECK(taken(p, 64).size() == 32);
  CHECK(taken(p, 64).size() == 5);
  CHECK(s.all.stats().acked == 40);
  REQUIRE(s.in.publish(40) == outcome::ok);
  CHECK(s.wakes == 0);  // so far it has always found something
  CHECK(taken(p, 1) == std::vector<int>{40});
  CHECK(taken(p, 1, outcome::empty).empty());
  CHECK(s.wakes == 0);
  for (int i = 41; i < 44; ++i) REQUIRE(s.in.publish(i) == outcome::ok);
  CHECK(s.wakes == 1);
  CHECK(taken(p, 64) == std::vector<int>{41, 42, 43});
  CHECK(taken(p, 64, outcome::empty).empty());
  s.in.close();
  CHECK(s.wakes == 2);
  CHECK(taken(p, 1, outcome::closed).empty());
}

TEST_CASE("what a puller has taken has no ack timeout") {
  shop s;
  puller p(s.all, s.timers, {&s.wakes});
  REQUIRE(s.in.publish(7) == outcome::ok);
  delivery d;
  std::size_t got = 0;
  REQUIRE(p.take(&d, 1, got) == outcome::ok);
  s.clock.advance(24h);
  CHECK(s.all.stats().timed_out == 0);
  CHECK_FALSE(s.all.try_receive());
  CHECK(d.ack());
}

TEST_CASE("a puller is told by a timer when a retry is due, and has no timer when it stands back") {
  shop s;
  puller p(s.all, s.timers, {&s.wakes});
  REQUIRE(s.in.publish(7) == outcome::ok);
  delivery d;
  std::size_t got = 0;
  REQUIRE(p.take(&d, 1, got) == outcome::ok);
  CHECK(d.nack());
  CHECK(taken(p, 1, outcome::empty).empty());
  REQUIRE(s.timers.poll(s.clock.now()));
  s.clock.advance(9s);
  s.timers.poll(s.clock.now());
  CHECK(s.wakes == 0);
  s.clock.advance(1s);
  s.timers.poll(s.clock.now());
  CHECK(s.wakes == 1);
  REQUIRE(p.take(&d, 1, got) == outcome::ok);
  CHECK(d.attempt() == 2);
  CHECK(d.nack());
  CHECK(taken(p, 1, outcome::empty).empty());
  CHECK(s.timers.poll(s.clock.now()));
  p.stand_back();
  CHECK_FALSE(s.timers.poll(s.clock.now()));
  s.clock.advance(1h);
  s.timers.poll(s.clock.now());
  CHECK(s.wakes == 1);
}

TEST_CASE("who is told and does not want it, or leaves something, passes it on") {
  shop s;
  puller first(s.all, s.timers, {&s.wakes});
  puller second(s.all, s.timers, {&s.other_wakes});
  const auto both_wait = [&] {
    CHECK(taken(first, 1, outcome::empty).empty());
    CHECK(taken(second, 1, outcome::empty).empty());
    s.wakes = 0;
    s.other_wakes = 0;
  };
  both_wait();
  REQUIRE(s.in.publish(0) == outcome::ok);
  CHECK(s.wakes == 1);
  CHECK(s.other_wakes == 0);
  first.stand_back();
  CHECK(s.other_wakes == 1);
  CHECK(taken(second, 1) == std::vector<int>{0});

  second.stand_back();
  both_wait();
  REQUIRE(s.in.publish(1) == outcome::ok);
  REQUIRE(s.in.publish(2) == outcome::ok);
  CHECK(s.wakes == 1);
  CHECK(taken(first, 1) == std::vector<int>{1});
  CHECK(s.other_wakes == 1);
  CHECK(taken(second, 1) == std::vector<int>{2});

  // And who is gone is not told.
  both_wait();
  {
    puller third(s.all, s.timers, {&s.wakes});
    CHECK(taken(third, 1, outcome::empty).empty());
  }
  first.stand_back();
  REQUIRE(s.in.publish(3) == outcome::ok);
  CHECK(s.wakes == 0);
  CHECK(s.other_wakes == 1);
}

TEST_CASE("threads: two pullers and a receiver share a group") {
  const watchdog guard("pullers");
  millrace::timer_service timers;
  timers.start();
  millrace::topic<int> in(16);
  auto all = in.group("g");
  std::atomic<int> sum{0};
  struct notify {
    std::shared_ptr<std::atomic<int>> n;  // a wake may outlast its puller
    void operator()() const noexcept {
      ++*n;
      n->notify_one();
    }
  };
  const auto pull = [&] {
    const auto wakes = std::make_shared<std::atomic<int>>(0);
    decltype(all)::puller<millrace::timer_service, notify> p(all, timers, {wakes});
    for (outcome o = outcome::ok; o != outcome::closed;) {
      const int before = *wakes;
      millrace::delivery<int> batch[4];
      std::size_t got = 0;
      o = p.take(batch, 4, got);
      for (std::size_t i = 0; i < got; ++i) {
        sum += *batch[i];
        batch[i].ack();
      }
      if (o == outcome::empty) wakes->wait(before);
    }
  };
  std::thread a(pull);
  std::thread b(pull);
  std::thread c([&] {
    while (auto d = all.receive()) {
      sum += *d;
      d.ack();
    }
  });
  for (int i = 0; i < 5000; ++i) REQUIRE(in.publish(1) == outcome::ok);
  in.close();
  a.join();
  b.join();
  c.join();
  CHECK(sum == 5000);
}

// --- in a pipeline ---

struct world : shop {
  millrace::testing::step_executor steps;
};
using pipeline = millrace::basic_pipeline<manual_clock>;

TEST_CASE("a pipeline without room leaves messages, and the news of them, to others of its group") {
  world w;
  bool is_up = false;
  pipeline p("p",
             from(w.all).stage("a", {.capacity = 2, .retry = {.attempts = 100, .first = 1h, .most = 1h}},
                               [&](int) {
                                 if (!is_up) throw 1;
                               }),
             w.steps, w.timers);
  p.start();
  w.steps.run_until_idle();
  puller other(w.all, w.timers, {&w.other_wakes});
  CHECK(taken(other, 1, outcome::empty).empty());
  for (int i = 0; i < 2; ++i) REQUIRE(w.in.publish(i) == outcome::ok);
  w.steps.run_until_idle();
  CHECK(p.stats().inside == 2);
  for (int i = 2; i < 4; ++i) REQUIRE(w.in.publish(i) == outcome::ok);
  w.steps.run_until_idle();
  CHECK(p.stats().inside == 2);
  CHECK(w.other_wakes >= 1);
  CHECK(taken(other, 9) == std::vector<int>{2, 3});
  CHECK(taken(other, 1, outcome::empty).empty());
  w.other_wakes = 0;
  // What it gives back is news.
  p.stop();
  CHECK(w.other_wakes == 1);
  CHECK(taken(other, 9) == std::vector<int>{0, 1});
}

TEST_CASE("a pipeline that is told of a message for which it has lost the room passes the news on") {
  world w;
  pipeline p("p",
             from(w.all)
                 .stage("a", {.workers = 9, .capacity = 1}, [](int i) { return i; })
                 .stage("b", {.capacity = 16, .retry = {.attempts = 100, .first = 1h, .most = 1h}},
                        [](int i) {
                          if (i == 0) throw 1;
                          return i;
                        })
                 .ordered()
                 .to([](int) {}),
             w.steps, w.timers);
  p.start();
  // One holds up all others at the end. There is room for 27, and it waits for more.
  for (int i = 0; i < 20; ++i) REQUIRE(w.in.publish(i) == outcome::ok);
  w.steps.run_until_idle();
  CHECK(p.stats().inside == 20);
  puller other(w.all, w.timers, {&w.other_wakes});
  CHECK(taken(other, 1, outcome::empty).empty());
  p.scale("a", 1);  // for 19
  REQUIRE(w.in.publish(20) == outcome::ok);
  CHECK(w.other_wakes == 0);
  w.steps.run_until_idle();
  CHECK(p.stats().inside == 20);
  CHECK(w.other_wakes == 1);
  CHECK(taken(other, 1) == std::vector<int>{20});
  // With room again it asks by itself.
  REQUIRE(w.in.publish(21) == outcome::ok);
  p.scale("a", 4);
  w.steps.run_until_idle();
  CHECK(p.stats().inside == 21);
}

TEST_CASE("a pipeline takes from channels of any kind, and from a topic of messages with properties") {
  world w;
  std::vector<int> out;
  const auto sink = [&](int i) { out.push_back(i); };
  {
    millrace::channel<int, millrace::spsc_queue<int>, manual_clock> one(8, w.clock);
    pipeline p("p", from(one).stage("a", [](int i) { return i; }).to(sink), w.steps, w.timers);
    p.start();
    for (int i = 0; i < 3; ++i) REQUIRE(one.try_push(i) == outcome::ok);
    w.steps.run_until_idle();
    CHECK(out == std::vector<int>{0, 1, 2});
    out.clear();
  }
  {
    millrace::priority_channel<int, 2, millrace::mpmc_queue<int>, manual_clock> levels(8, w.clock);
    pipeline p("p", from(levels).stage("a", [](int i) { return i; }).to(sink), w.steps, w.timers);
    for (int i = 0; i < 2; ++i) REQUIRE(levels.at(1).try_push(i) == outcome::ok);
    REQUIRE(levels.at(0).try_push(9) == outcome::ok);
    levels.close();
    p.start();
    w.steps.run_until_idle();
    CHECK(out == std::vector<int>{9, 0, 1});
    CHECK(p.has_ended());
    out.clear();
  }
  {
    using letter = millrace::message<int>;
    millrace::topic<letter, millrace::producers::single, manual_clock> in(8, w.clock);
    millrace::topic<letter, millrace::producers::multi, manual_clock> results(8, w.clock);
    auto reader = results.subscribe();
    pipeline p(
        "p",
        from(in.group("g"))
            .stage("a", [](const letter& l) { return l.value + (l.properties() != nullptr ? 100 : 0); })
            .to(results),  // which makes messages of them
        w.steps, w.timers);
    p.start();
    REQUIRE(in.publish(letter(1)) == outcome::ok);
    REQUIRE(in.publish(letter(2, {.id = "x"})) == outcome::ok);
    w.steps.run_until_idle();
    CHECK(reader.try_next()->value == 1);
    CHECK(reader.try_next()->value == 102);
    CHECK(reader.try_next() == nullptr);
  }
}

TEST_CASE("without memory parked messages stay where they are, whole") {
  if constexpr (support::allocations_can_be_refused) {
    world w;
    millrace::channel<std::string, millrace::unbounded_queue<std::string>, manual_clock> in(w.clock);
    pipeline p(
        "p",
        from(in).stage("a", {.retry = millrace::retry_policy::none()}, [](const std::string&) { throw 1; }),
        w.steps, w.timers);
    p.start();
    std::vector<std::string> all;
    for (int i = 0; i < 9; ++i) {
      all.push_back("a text that needs storage of its own, number " + std::to_string(i));
      REQUIRE(in.try_push(all.back()) == outcome::ok);
    }
    w.steps.run_until_idle();
    REQUIRE(p.stats().parked == 9);
    std::vector<std::string> taken;
    int refused = 0;
    for (long n = 1; taken.empty(); ++n) {
      REQUIRE(n < 20);
      support::allocation_to_refuse = n;
      try {
        taken = p.take_parked<std::string>();
      } catch (const std::bad_alloc&) {
        ++refused;
      }
      support::allocation_to_refuse = 0;
    }
    CHECK(refused != 0);
    CHECK(taken == all);
    CHECK(p.stats().parked == 0);
  } else {
    SUCCEED("a sanitizer cannot be made to refuse");
  }
}

}  // namespace
