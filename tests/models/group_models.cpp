// Consumer groups under every schedule and stale reading within bounds. Messages race if their segment is used again while a
// delivery refers to them, and leak if one is lost; a consumer that nobody wakes is a deadlock.
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "millrace/delivery/consumer_group.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"
#include "support/model_values.hpp"

namespace {

using explore::check;
using millrace::outcome;
using millrace::producers;
using millrace::wait_strategy;
using model::in_place;

template <producers P>
struct world {
  using topic_type = millrace::topic<in_place, P, explore::clock, explore::sync>;
  using group_type = millrace::consumer_group<topic_type>;
  using delivery = typename group_type::delivery;
  using options = millrace::group_options<topic_type>;
  topic_type t;
  group_type g;

  explicit world(options o = {}, std::size_t capacity = 4)
      : t((explore::sync::time() = 0, capacity),
          {.keep = {.messages = 0}, .wait = wait_strategy::park, .segment = 2}),
        g(t.group("g", patient(std::move(o)))) {}
  /// Whoever sleeps until a lease ends does so at once here, and nothing has happened by then.
  static options patient(options o) {
    if (o.ack_timeout == options().ack_timeout) o.ack_timeout = (std::chrono::nanoseconds::max)();
    return o;
  }
  bool publish(std::uint64_t v) { return t.try_publish(in_place(v)) == outcome::ok; }
};

/// How often each message was settled as done.
struct books {
  explore::plain<int> acked[8];
  void note(std::uint64_t v) { acked[v].set(acked[v].get() + 1); }
};

/// Messages are shared among consumers that sleep in between, each of them once, until the end.
template <producers P, int N, int Consumers>
struct sharing : world<P> {
  static constexpr int threads = 1 + Consumers;
  books b;
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < N; ++v) check(this->publish(v), "there is room");
      this->t.close();
    } else {
      while (auto d = this->g.receive()) {
        b.note(d->value.get());
        check(d.ack(), "it is in time");
      }
    }
  }
  void finish() {
    for (int v = 0; v < N; ++v) check(b.acked[v].get() == 1, "every message is dealt with once");
    check(this->g.stats().acked == N, "and counted");
  }
};

/// Consumers that want one message each, and come to sleep at the same time.
template <producers P>
struct one_each : world<P> {
  static constexpr int threads = 3;
  void thread(int i) {
    if (i == 0) {
      check(this->publish(0) && this->publish(1), "there is room");
    } else {
      auto d = this->g.receive();
      check(d && d.ack(), "there is one for each");
    }
  }
  void finish() { check(this->g.stats().acked == 2, "both are done"); }
};

/// One may be in flight; who waits for that is woken by the settle.
struct credit : world<producers::single> {
  static constexpr int threads = 2;
  std::optional<delivery> held;
  credit() : world<producers::single>({.max_in_flight = 1}) {
    check(publish(0) && publish(1), "there is room");
    held.emplace(g.try_receive());
  }
  void thread(int i) {
    if (i == 0) {
      check(held->ack(), "it is in time");
    } else {
      auto d = g.receive();
      check(d && d->value.get() == 1 && d.ack(), "the next one");
    }
  }
  void finish() {}
};

/// Of a key one is in flight; the next one of it is delivered when that is settled.
struct same_key : world<producers::single> {
  static constexpr int threads = 3;
  explore::plain<int> order{0};
  same_key()
      : world<producers::single>(
            {.order = millrace::ordering::by_key, .key = [](const in_place&) { return 1U; }}) {
    check(publish(0) && publish(1), "there is room");
  }
  void thread(int i) {
    if (i == 2) return t.close();
    while (auto d = g.receive()) {
      check(order.get() == int(d->value.get()), "in order, and one at a time");
      order.set(order.get() + 1);
      check(d.ack(), "it is in time");
    }
  }
  void finish() { check(order.get() == 2, "both are done"); }
};

/// A delivery's time is up while its consumer settles it: it is done once, by one of the two.
struct late : world<producers::single> {
  static constexpr int threads = 2;
  std::optional<delivery> held;
  explore::plain<int> done[2];
  late()
      : world<producers::single>({.ack_timeout = std::chrono::nanoseconds(10),
                                  .retry = millrace::retry_policy::fixed(std::chrono::nanoseconds(1), 2)}) {
    check(publish(0), "there is room");
    held.emplace(g.try_receive());
    explore::sync::time() = 10;
  }
  void thread(int i) {
    if (i == 0) {
      check((*held)->value.get() == 0, "it can still be read");
      done[0].set(held->ack() ? 1 : 0);
    } else {
      static_cast<void>(g.try_receive());  // finds that its time is up
    }
  }
  void finish() {
    const auto s = g.stats();
    check(s.acked == std::uint64_t(done[0].get()), "done by who has been told so");
    check(s.acked + s.waiting == 1, "or to be done again");
    check(s.late == 1 - s.acked, "and the other one is counted");
    explore::sync::time() = 10'000'000;
    if (s.acked == 0) {
      auto d = g.try_receive();
      check(d && d.attempt() == 2 && d.ack(), "again");
    }
  }
};

/// A delivery's time is up while its consumer asks for more: it has got it, or is told that it is too late.
struct extended : world<producers::single> {
  static constexpr int threads = 2;
  std::optional<delivery> held;
  bool in_time = false;
  extended()
      : world<producers::single>({.ack_timeout = std::chrono::nanoseconds(10),
                                  .retry = millrace::retry_policy::fixed(std::chrono::nanoseconds(1), 2)}) {
    check(publish(0), "there is room");
    held.emplace(g.try_receive());
    explore::sync::time() = 10;
  }
  void thread(int i) {
    if (i == 0) {
      in_time = held->extend(std::chrono::hours(1));
    } else {
      check(!g.try_receive(), "in flight, or waiting");
    }
  }
  void finish() {
    check(g.stats().timed_out == (in_time ? 0 : 1), "as it was told");
    check(held->ack() == in_time, "and so it stays");
    check(g.stats().acked + g.stats().waiting == 1, "it is done, or will be done again");
  }
};

/// A message is in somebody's hands while the log goes round.
template <producers P>
struct held : world<P> {
  static constexpr int threads = 2;
  std::optional<typename world<P>::delivery> mine;
  held() : world<P>({}, 2) {
    check(this->publish(0), "there is room");
    mine.emplace(this->g.try_receive());
  }
  void thread(int i) {
    if (i == 0) {
      check((*mine)->value.get() == 0, "nobody touches it");
      check(mine->ack(), "it is in time");
    } else {
      for (std::uint64_t v = 1; v < 6; ++v) {
        check(this->publish(v), "a message in flight stops nobody");
        auto d = this->g.try_receive();
        check(d && d->value.get() == v && d.ack(), "the next one");
      }
    }
  }
  void finish() {}
};

/// The last message of a segment is settled while a publisher looks for one to use again.
struct let_go : world<producers::single> {
  static constexpr int threads = 2;
  std::optional<delivery> mine;
  let_go() : world<producers::single>({}, 4) {
    check(publish(0), "there is room");
    mine.emplace(g.try_receive());
    for (std::uint64_t v = 1; v < 5; ++v) {
      check(publish(v), "there is room");
      check(g.try_receive().ack(), "it is in time");
    }
    check(!g.try_receive(), "that was all, and publishers know");
  }
  void thread(int i) {
    if (i == 0) {
      check((*mine)->value.get() == 0, "nobody touches it");
      check(mine->ack(), "it is in time");
    } else {
      for (std::uint64_t v = 5; v < 9; ++v) check(publish(v), "there is room");
    }
  }
  void finish() {}
};

/// Removed while one consumer waits and another one settles.
struct removed : world<producers::single> {
  static constexpr int threads = 3;
  std::optional<delivery> mine;
  removed() {
    check(publish(0), "there is room");
    mine.emplace(g.try_receive());
  }
  void thread(int i) {
    if (i == 0) {
      g.remove();
    } else if (i == 1) {
      check((*mine)->value.get() == 0, "it can still be read");
      static_cast<void>(mine->ack());
    } else {
      delivery d;
      check(g.receive(d) == outcome::closed, "nothing comes any more");
    }
  }
  void finish() {
    for (std::uint64_t v = 1; v < 12; ++v) check(publish(v), "publishers do not wait for it");
  }
};

/// Goes back to the beginning while a message is in flight: everything comes again, and the one in flight is late.
struct sought : world<producers::single> {
  static constexpr int threads = 2;
  std::optional<delivery> mine;
  bool acked = false;
  sought() {
    check(publish(0) && publish(1), "there is room");
    mine.emplace(g.try_receive());
  }
  void thread(int i) {
    if (i == 0) {
      g.seek(0);
    } else {
      acked = mine->ack();
    }
  }
  void finish() {
    for (std::uint64_t v = 0; v < 2; ++v) {
      auto d = g.try_receive();
      check(d && d->value.get() == v && d.attempt() == 1 && d.ack(), "from the beginning");
    }
    check(g.stats().acked == 2U + (acked ? 1U : 0U), "counted");
  }
};

/// Drains while a consumer settles, and another one would like to have the next message.
struct draining : world<producers::single> {
  static constexpr int threads = 2;
  std::optional<delivery> mine;
  draining() {
    check(publish(0) && publish(1), "there is room");
    mine.emplace(g.try_receive());
  }
  void thread(int i) {
    if (i == 0) {
      check(g.drain() == 0, "what is in flight was settled");
      check(g.stats().in_flight == 0, "and nothing is delivered afterwards");
    } else {
      check(mine->ack(), "it is in time");
      if (auto d = g.try_receive()) check(d.ack(), "likewise");
    }
  }
  void finish() {}
};

/// Somebody waits until all is settled: what a consumer acks, and what it only looks at, as it is not for it.
template <int Filtered>
struct settling : world<producers::single> {
  static constexpr int threads = 2;
  settling()
      : world<producers::single>({.filter = [](const in_place& v) { return v.value.get() >= Filtered; }}) {
    check(publish(0) && publish(1), "there is room");
  }
  void thread(int i) {
    if (i == 0) {
      check(g.wait_until_settled((explore::clock::time_point::max)()) == outcome::ok, "it has no other end");
      check(g.stats().backlog == 0 && g.stats().in_flight == 0, "nothing is left");
    } else {
      while (auto d = g.try_receive()) check(d.ack(), "it is in time");
    }
  }
  void finish() {}
};

/// Likewise, but the one who looks at it is a consumer whose time is up, and who sees whether there is something for another one
/// that sleeps.
struct settling_by_who_leaves : world<producers::single> {
  static constexpr int threads = 3;
  settling_by_who_leaves()
      : world<producers::single>({.filter = [](const in_place& v) { return v.value.get() == 0; }}) {}
  void thread(int i) {
    if (i == 0) {
      check(publish(1) && publish(1), "there is room");
      check(g.wait_until_settled((explore::clock::time_point::max)()) == outcome::ok, "it has no other end");
      check(g.stats().backlog == 0, "nothing is left");
      t.close();
    } else {
      delivery d;
      const outcome o = i == 1 ? g.receive(d) : g.receive_for(d, std::chrono::nanoseconds(1));
      check(o == outcome::closed || (o == outcome::timeout && i == 2), "nothing is for them");
    }
  }
  void finish() {}
};

/// For run_on where nothing is to be done at a certain time.
struct no_timers {
  struct timer {};
  template <class F>
  timer schedule_at(explore::clock::time_point, F) {
    check(false, "nobody watches the clock");
    return {};
  }
  void cancel_and_wait(timer) {}
};

/// Tasks that run where the news come: both publishers may be about to wake the same one.
template <int Tasks>
struct tasks : world<producers::multi> {
  static constexpr int threads = 2;
  no_timers timers;
  books b;
  tasks() {
    g.run_on([](auto step) { step(); }, timers, Tasks, [this](const in_place& m) { b.note(m.value.get()); });
  }
  void thread(int i) { check(publish(std::uint64_t(i)), "there is room"); }
  void finish() {
    for (int v = 0; v < 2; ++v) check(b.acked[v].get() == 1, "every message is dealt with once");
    g.stop();
    check(g.stats().acked == 2, "and counted");
  }
};

/// Stopped while messages come: they are dealt with, or still there.
template <producers P>
struct stopped : world<P> {
  static constexpr int threads = P == producers::multi ? 3 : 2;
  no_timers timers;
  stopped() {
    this->g.run_on([](auto step) { step(); }, timers, 1,
                   [](const in_place& m) { static_cast<void>(m.value.get()); });
  }
  void thread(int i) {
    if (i == threads - 1) return this->g.stop();
    check(this->publish(0), "there is room");
    if (threads == 2) check(this->publish(1), "there is room");
  }
  void finish() {
    const auto s = this->g.stats();
    check(s.acked + s.backlog + s.ready == 2 && s.in_flight == 0, "nothing is lost");
  }
};

/// Consumers that are told when it may be worth while, and sleep themselves until then.
template <int Pullers>
struct pulling : world<producers::single> {
  static constexpr int threads = 1 + Pullers;
  struct bell {
    explore::sync::atomic<int> rings{0};
    millrace::basic_event_count<explore::sync> line;
  };
  struct ring {
    bell* to;
    void operator()() const noexcept {
      to->rings.fetch_add(1, std::memory_order_relaxed);
      to->line.notify_all();
    }
  };
  no_timers timers;
  bell bells[Pullers];
  books b;

  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < 2; ++v) check(publish(v), "there is room");
      t.close();
    } else {
      bell& mine = bells[i - 1];
      group_type::puller<no_timers, ring> from(g, timers, {&mine});
      typename millrace::basic_event_count<explore::sync>::waiter me;
      for (;;) {
        const int before = mine.rings.load(std::memory_order_relaxed);
        delivery d;
        std::size_t n = 0;
        const outcome o = from.take(&d, 1, n);
        if (o == outcome::closed) return;
        if (o == outcome::ok) {
          b.note(d->value.get());
          check(d.ack(), "it is in time");
          continue;
        }
        mine.line.prepare_wait(me);
        if (mine.rings.load(std::memory_order_relaxed) != before) {
          mine.line.cancel_wait(me);
        } else {
          mine.line.wait(me);
        }
      }
    }
  }
  void finish() {
    for (int v = 0; v < 2; ++v) check(b.acked[v].get() == 1, "every message is dealt with once");
  }
};

/// One goes just when it is called.
struct pulling_no_more : world<producers::single> {
  static constexpr int threads = 2;
  struct nothing {
    void operator()() const noexcept {}
  };
  no_timers timers;
  std::optional<group_type::puller<no_timers, nothing>> from;
  pulling_no_more() {
    from.emplace(g, timers, nothing());
    delivery d;
    std::size_t n = 0;
    check(from->take(&d, 1, n) == outcome::empty, "there is nothing");
  }
  void thread(int i) {
    if (i == 0) {
      check(publish(0), "there is room");
    } else {
      from.reset();
    }
  }
  void finish() { check(g.try_receive().ack(), "somebody else gets it"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  constexpr auto single = producers::single;
  constexpr auto multi = producers::multi;
  return model::main(
      argc, argv,
      {
          world<one_each<single>>("one each", {.preemptions = 1, .stale_reads = 1}),
          world<one_each<multi>>("one each, multi", {.preemptions = 1, .stale_reads = 0}),
          world<sharing<single, 2, 1>>("alone", {.preemptions = 2, .stale_reads = 1}),
          world<sharing<single, 3, 2>>("sharing", {.preemptions = 1, .stale_reads = 1}),
          world<sharing<multi, 2, 2>>("sharing, multi", {.preemptions = 1, .stale_reads = 0}),
          world<credit>("credit", {.preemptions = 2, .stale_reads = 1}),
          world<same_key>("same key", {.preemptions = 1, .stale_reads = 0}),
          world<late>("late", {.preemptions = 2, .stale_reads = 1}),
          world<extended>("extended", {.preemptions = 2, .stale_reads = 1}),
          world<held<single>>("held", {.preemptions = 1, .stale_reads = 1}),
          world<held<multi>>("held, multi", {.preemptions = 1, .stale_reads = 0}),
          world<let_go>("let go", {.preemptions = 2, .stale_reads = 1}),
          world<removed>("removed", {.preemptions = 1, .stale_reads = 0}),
          world<tasks<1>>("a task", {.preemptions = 2, .stale_reads = 1}),
          world<tasks<2>>("tasks", {.preemptions = 1, .stale_reads = 0}),
          world<stopped<single>>("stopped", {.preemptions = 2, .stale_reads = 1}),
          world<stopped<multi>>("stopped, two publishers", {.preemptions = 2, .stale_reads = 0}),
          world<sought>("sought", {.preemptions = 2, .stale_reads = 1}),
          world<draining>("draining", {.preemptions = 2, .stale_reads = 0}),
          world<pulling<1>>("pulling", {.preemptions = 2, .stale_reads = 1}),
          world<pulling<2>>("two pull", {.preemptions = 1, .stale_reads = 0}),
          world<pulling_no_more>("pulling no more", {.preemptions = 2, .stale_reads = 1}),
          world<settling<1>>("settling", {.preemptions = 2, .stale_reads = 1}),
          world<settling<2>>("settling what is not wanted", {.preemptions = 2, .stale_reads = 1}),
          world<settling_by_who_leaves>("settling by who leaves", {.preemptions = 2, .stale_reads = 0}),
      },
      {"delivery/", "topic/log_access.hpp"});
}
