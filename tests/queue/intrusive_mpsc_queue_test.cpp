// Every verb and edge of intrusive_mpsc_queue: order, nodes that come and go, the gap between a producer's two steps.
// A producer is put into the gap at the seam; nothing here waits for time to pass.
#include "millrace/queue/intrusive_mpsc_queue.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/stalling_sync.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"

namespace {

using millrace::intrusive_mpsc_queue;
using support::stall;
using support::stalling_sync;

struct job : millrace::mpsc_hook {
  explicit job(int n = 0) : number(n) {}
  int number;
};
using jobs = intrusive_mpsc_queue<job>;

static_assert(std::is_copy_constructible_v<job> && std::is_copy_assignable_v<job>);
static_assert(!std::is_copy_constructible_v<jobs>);
static_assert(std::is_nothrow_default_constructible_v<jobs>);
static_assert(jobs::many_producers && !jobs::many_consumers && !jobs::is_bounded);
static_assert(sizeof(jobs) == 2 * millrace::hot_separation);

struct stalling_job : millrace::basic_mpsc_hook<stalling_sync> {
  explicit stalling_job(int n = 0) : number(n) {}
  int number;
};
template <unsigned Patience = 2>
using stalling_jobs =
    intrusive_mpsc_queue<stalling_job, millrace::use_sync<stalling_sync>, millrace::use_patience<Patience>>;

/// The steps of a push: it ends its node, exchanges (from here on the node has its place), and links.
constexpr int before_the_exchange = 1;
constexpr int in_the_gap = 2;

/// A producer that pushes `node`, suspended at `step` until go_on().
template <class Queue>
class suspended_push {
 public:
  suspended_push(Queue& q, stalling_job& node, int step)
      : suspension_(step), thread_([this, &q, &node] {
          suspension_.arm();
          q.push(node);
          suspension_.disarm();
        }) {
    REQUIRE(suspension_.await());
  }
  suspended_push(const suspended_push&) = delete;
  suspended_push& operator=(const suspended_push&) = delete;
  ~suspended_push() { go_on(); }
  void go_on() {
    if (!thread_.joinable()) return;
    suspension_.resume();
    thread_.join();
  }

 private:
  stall suspension_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("in order, whatever the number, and empty in between") {
  jobs q;
  std::array<job, 100> all;
  for (int i = 0; i < 100; ++i) all[std::size_t(i)].number = i;
  CHECK(q.try_pop() == nullptr);
  for (int round = 0; round < 5; ++round) {
    for (const std::size_t n : {1u, 2u, 3u, 7u, 100u}) {
      for (std::size_t i = 0; i < n; ++i) q.push(all[i]);
      for (std::size_t i = 0; i < n; ++i) CHECK(q.try_pop() == &all[i]);
      CHECK(q.try_pop() == nullptr);
      CHECK(q.try_pop() == nullptr);
    }
  }
}

TEST_CASE("every way to push and pop in turn") {
  // Bit i of the plan: step i pushes, else pops; against a model that counts.
  for (unsigned plan = 0; plan < 1u << 12; ++plan) {
    jobs q;
    std::array<job, 12> all;
    std::size_t in = 0;
    std::size_t out = 0;
    for (unsigned i = 0; i < 12; ++i) {
      if ((plan >> i & 1) != 0) {
        q.push(all[in++]);
      } else {
        job* const expected = out < in ? &all[out++] : nullptr;
        if (q.try_pop() != expected) FAIL("plan " << plan << ", step " << i);
      }
    }
  }
}

TEST_CASE("a node that was popped may be pushed again, there or elsewhere, changed or freed") {
  jobs here;
  jobs there;
  job one(1);
  for (int i = 0; i < 10; ++i) {
    here.push(one);
    there.push(*here.try_pop());
    CHECK(there.try_pop()->number == i + 1);
    ++one.number;
  }
  for (int i = 0; i < 10; ++i) {
    auto* const fresh = new job(i);
    here.push(*fresh);
    const std::unique_ptr<job> back(here.try_pop());
    CHECK(back.get() == fresh);
  }
  CHECK(here.try_pop() == nullptr);
}

TEST_CASE("a copy of a node is in no queue, and assigning to one leaves it where it is") {
  jobs q;
  job first(1);
  job second(2);
  q.push(first);
  q.push(second);
  job copy(first);
  first = job(3);
  jobs other;
  other.push(copy);
  CHECK(other.try_pop() == &copy);
  CHECK(other.try_pop() == nullptr);
  CHECK(q.try_pop()->number == 3);
  CHECK(q.try_pop() == &second);
  CHECK(q.try_pop() == nullptr);
}

TEST_CASE("nodes that are left when the queue goes are the user's, and as good as new") {
  for (int popped = 0; popped < 4; ++popped) {
    std::array<job, 3> all;
    {
      jobs q;
      for (job& j : all) q.push(j);
      for (int i = 0; i < popped; ++i) static_cast<void>(q.try_pop());
    }
    jobs next;
    for (job& j : all) next.push(j);
    for (job& j : all) CHECK(next.try_pop() == &j);
    CHECK(next.try_pop() == nullptr);
  }
}

TEST_CASE("poll: a node, empty or busy") {
  const support::watchdog dog("poll at a gap");
  stalling_jobs<> q;
  stalling_job a(1);
  stalling_job b(2);
  stalling_job c(3);
  CHECK(q.poll().node == nullptr);
  CHECK_FALSE(q.poll().busy);
  {
    suspended_push late(q, a, before_the_exchange);
    CHECK_FALSE(q.poll().busy);  // it has no place yet
    CHECK(q.try_pop() == nullptr);
    q.push(b);
    CHECK(q.poll().node == &b);
  }
  CHECK(q.poll().node == &a);
  CHECK_FALSE(q.poll().busy);

  suspended_push gap(q, a, in_the_gap);
  for (int i = 0; i < 3; ++i) {
    CHECK(q.poll().node == nullptr);
    CHECK(q.poll().busy);
  }
  q.push(b);  // who stands in the gap holds up no other producer
  q.push(c);
  CHECK(q.poll().busy);
  gap.go_on();
  CHECK(q.poll().node == &a);
  CHECK(q.poll().node == &b);
  CHECK(q.poll().node == &c);
  CHECK(q.poll().node == nullptr);
  CHECK_FALSE(q.poll().busy);
}

TEST_CASE("in front of a gap all nodes but one are there") {
  const support::watchdog dog("in front of a gap");
  stalling_jobs<> q;
  std::array<stalling_job, 5> all;
  for (std::size_t i = 0; i < 3; ++i) q.push(all[i]);
  suspended_push gap(q, all[3], in_the_gap);
  q.push(all[4]);
  CHECK(q.try_pop() == &all[0]);
  CHECK(q.poll().node == &all[1]);
  CHECK(q.poll().node == nullptr);
  CHECK(q.poll().busy);
  gap.go_on();
  for (std::size_t i = 2; i < 5; ++i) CHECK(q.try_pop() == &all[i]);
  CHECK(q.try_pop() == nullptr);
}

TEST_CASE("a gap behind the last node, met while it is taken out") {
  const support::watchdog dog("a gap behind the last node");
  stalling_jobs<> q;
  stalling_job a(1);
  stalling_job b(2);
  q.push(a);
  suspended_push gap(q, b, in_the_gap);
  CHECK(q.poll().busy);
  gap.go_on();
  CHECK(q.try_pop() == &a);
  CHECK(q.try_pop() == &b);
  CHECK(q.try_pop() == nullptr);
}

TEST_CASE("a pop at a gap sleeps, uses no processor, and is woken by the link") {
  const support::watchdog dog("asleep at a gap");
  const int in_front = GENERATE(0, 1);
  stalling_jobs<64> q;
  std::vector<stalling_job> others(200'000);
  stalling_job front(1);
  stalling_job late(2);
  if (in_front == 1) q.push(front);
  suspended_push gap(q, late, in_the_gap);
  stalling_sync::parks = 0;
  std::atomic<stalling_job*> got{nullptr};
  std::thread consumer([&] { got = q.try_pop(); });
  stalling_sync::await_parks(1);
  // While others push, which takes a while, it sleeps. It may still be on its way there, hence the allowance.
  const auto before = support::used_by(consumer);
  for (stalling_job& j : others) q.push(j);
  CHECK(support::used_by(consumer) - before < std::chrono::milliseconds(2));
  CHECK(stalling_sync::parks == 1);
  CHECK(got == nullptr);
  gap.go_on();
  consumer.join();
  CHECK(got == (in_front == 1 ? &front : &late));
  if (in_front == 1) CHECK(q.try_pop() == &late);
  for (stalling_job& j : others) {
    if (q.try_pop() != &j) FAIL("out of order");
  }
  CHECK(q.try_pop() == nullptr);
}

TEST_CASE("gap after gap: each wakes the pop that sleeps there") {
  const support::watchdog dog("gap after gap");
  stalling_jobs<0> q;
  stalling_sync::parks = 0;
  for (int i = 0; i < 100; ++i) {
    stalling_job late(i);
    suspended_push gap(q, late, in_the_gap);
    stalling_job* got = nullptr;
    std::thread consumer([&] { got = q.try_pop(); });
    stalling_sync::await_parks(i + 1);
    gap.go_on();
    consumer.join();
    CHECK(got == &late);
  }
  CHECK(stalling_sync::parks == 100);
}

TEST_CASE("many threads: every node once, each producer's in order") {
  const support::watchdog dog("many producers of nodes");
  constexpr int producers = 4;
  constexpr int each = 50'000;
  // why no patience: the consumer sleeps at every gap that it meets
  intrusive_mpsc_queue<job, millrace::use_patience<0>> q;
  std::vector<std::vector<job>> all(producers, std::vector<job>(each));
  std::vector<std::thread> threads;
  for (int p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      for (int i = 0; i < each; ++i) {
        all[std::size_t(p)][std::size_t(i)].number = p * each + i;
        q.push(all[std::size_t(p)][std::size_t(i)]);
      }
    });
  }
  std::array<int, producers> next{};
  bool in_order = true;
  for (int n = 0; n < producers * each;) {
    const job* const j = q.try_pop();
    if (j == nullptr) continue;
    ++n;
    in_order = in_order && next[std::size_t(j->number / each)]++ == j->number % each;
  }
  for (std::thread& t : threads) t.join();
  CHECK(in_order);
  CHECK(q.try_pop() == nullptr);
}

TEST_CASE("who pops the last node may destroy node and queue, while its push returns") {
  const support::watchdog dog("destroyed after the last pop");
  using hasty = intrusive_mpsc_queue<job, millrace::use_patience<0>>;
  std::atomic<hasty*> next{nullptr};
  std::atomic<bool> stop{false};
  std::thread producer([&] {
    while (!stop) {
      if (hasty* const q = next.exchange(nullptr)) {
        q->push(*new job(1));
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (int round = 0; round < 5'000; ++round) {
    auto q = std::make_unique<hasty>();
    next = q.get();
    job* got = nullptr;
    while ((got = q->try_pop()) == nullptr) std::this_thread::yield();
    delete got;
  }
  stop = true;
  producer.join();
}
