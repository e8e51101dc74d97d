// The channel under every schedule within bounds: closing against pushing, popping and sleeping; sleepers on both
// sides; limits; overflow; a producer that stops for good inside a constructor.
#include <cstdint>
#include <tuple>
#include <utility>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::outcome;
using millrace::overflow;
using namespace std::chrono_literals;

template <class T>
using queue = millrace::mpmc_queue<T, millrace::use_sync<explore::sync>,
                                   millrace::use_backoff<millrace::no_backoff>, millrace::use_patience<0>>;
template <class T, class Queue = queue<T>>
using channel = millrace::channel<T, Queue, explore::clock>;

/// Stored in place; may stop its thread for good, or throw, when constructed from certain values.
struct in_place {
  static constexpr std::uint64_t stops = 77;
  static constexpr std::uint64_t throws = 78;
  struct thrown {};
  explicit in_place(std::uint64_t v) : value(v) {}
  in_place(in_place&& o) : value(o.value.get()) {
    if (value.get() == stops) explore::stop_for_good();
    if (value.get() == throws) throw thrown();
  }
  in_place& operator=(in_place&& o) = default;
  explicit operator std::uint64_t() const { return value.get(); }
  explore::plain<std::uint64_t> value;
};

using words = channel<std::uint64_t>;
using slots = channel<in_place>;
using one_each = channel<in_place, millrace::spsc_queue<in_place, millrace::use_sync<explore::sync>>>;
using spsc = millrace::spsc_queue<std::uint64_t, millrace::use_sync<explore::sync>,
                                  millrace::use_backoff<millrace::no_backoff>, millrace::use_patience<0>>;

/// More values than places, and as many pops: everybody comes to an end.
template <class Channel, int Producers, int Consumers, int Values>
struct flow {
  using value = typename Channel::value_type;
  static constexpr int threads = Producers + Consumers;
  Channel ch{2};
  std::uint64_t sum = 0;
  void thread(int i) {
    if (i < Producers) {
      for (int k = 0; k < Values / Producers; ++k) {
        explore::check(ch.push(value(1u + unsigned(k))) == outcome::ok, "an open channel takes it");
      }
    } else {
      for (int k = 0; k < Values / Consumers; ++k) {
        value v(0);
        explore::check(ch.pop(v) == outcome::ok, "an open channel gives it");
        sum += std::uint64_t(v);
      }
    }
  }
  void finish() {
    const std::uint64_t per = Values / Producers;
    explore::check(sum == Producers * per * (per + 1) / 2, "every value came out");
  }
};

/// Close at any moment: what was accepted comes out, what was not is untouched, and everybody comes home.
template <class Channel, int Producers, int Consumers, int Values>
struct closing {
  using value = typename Channel::value_type;
  static constexpr int threads = Producers + Consumers + 1;
  Channel ch{2};
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  void thread(int i) {
    if (i == 0) {
      ch.close();
      explore::check(ch.is_closed(), "it is closed");
      value late(9);
      explore::check(ch.try_push(std::move(late)) == outcome::closed && std::uint64_t(late) == 9,
                     "after close every push is refused, and its argument untouched");
    } else if (i <= Producers) {
      for (int k = 0; k < Values; ++k) {
        value v(1u + unsigned(k));
        const outcome result = ch.push(std::move(v));
        explore::check(
            result == outcome::ok || (result == outcome::closed && std::uint64_t(v) == 1u + unsigned(k)),
            "accepted, or refused and untouched");
        if (result == outcome::ok) in += 1u + unsigned(k);
      }
    } else {
      value v(0);
      while (ch.pop(v) == outcome::ok) out += std::uint64_t(v);
      explore::check(ch.try_pop(v) == outcome::closed, "closed is final");
    }
  }
  void finish() {
    value v(0);
    while (ch.try_pop(v) == outcome::ok) out += std::uint64_t(v);
    explore::check(in == out, "what was accepted came out");
  }
};

/// A limit that passes at any moment.
struct limits {
  static constexpr int threads = 3;
  words ch{2};
  int in = 2;
  int out = 0;
  void thread(int i) {
    std::uint64_t v = 0;
    if (i == 0) {
      explore::check(ch.push(1) == outcome::ok, "there is room");
    } else if (i == 1) {
      const outcome result = ch.pop_for(v, 1ns);
      explore::check(result == outcome::ok || result == outcome::timeout, "one of the two");
      if (result == outcome::timeout) {
        --in;
        return;
      }
      ++out;
      explore::check(ch.push(2) == outcome::ok, "there is room");
    } else {
      explore::check(ch.pop(v) == outcome::ok, "one is left for who waits without a limit");
      ++out;
    }
  }
  void finish() { explore::check(in == out, "each value once"); }
};

/// What was written before close() is visible to whoever learns of it.
template <class Channel>
struct news_of_the_end {
  using value = typename Channel::value_type;
  static constexpr int threads = 4;
  explore::plain<int> last_words{0};
  Channel ch{2};
  void thread(int i) {
    value v(1);
    if (i == 0) {
      last_words.set(1);
      ch.close();
    } else if (i == 1   ? ch.is_closed()
               : i == 2 ? ch.try_pop(v) == outcome::closed
                        : ch.try_push(std::move(v)) == outcome::closed) {
      explore::check(last_words.get() == 1, "what was written before close is visible");
    }
  }
  void finish() {}
};

/// A producer stops for good inside the constructor of its value. Nobody else may sleep for ever.
struct stopped_inside {
  static constexpr int threads = 3;
  slots ch{2};
  void thread(int i) {
    for (std::uint64_t k = 0; k < 3; ++k) {
      if (i == 0) {
        std::ignore = ch.push(in_place(in_place::stops));
      } else if (i == 1) {
        explore::check(ch.push(in_place(k)) == outcome::ok, "it waits for room, and gets it");
      } else {
        in_place v(0);
        explore::check(ch.pop(v) == outcome::ok && std::uint64_t(v) == k, "in order");
      }
    }
  }
  void finish() {}
};

/// A move that throws gives its place up: whoever sleeps for it hears of it.
struct thrown_inside {
  static constexpr int threads = 3;
  slots ch{2};
  void thread(int i) {
    if (i == 0) {
      for (int k = 0; k < 2; ++k) {
        try {
          std::ignore = ch.push(in_place(in_place::throws));
        } catch (const in_place::thrown&) {
        }
      }
    } else if (i == 1) {
      for (std::uint64_t k = 0; k < 3; ++k)
        explore::check(ch.push(in_place(k)) == outcome::ok, "it gets its place");
    } else {
      for (std::uint64_t k = 0; k < 3; ++k) {
        in_place v(9);
        explore::check(ch.pop(v) == outcome::ok && std::uint64_t(v) == k, "in order");
      }
    }
  }
  void finish() { explore::check(!ch.try_pop().has_value(), "nothing is left"); }
};

/// Likewise with nobody popping: only the one that throws can say it.
struct thrown_alone {
  static constexpr int threads = 2;
  struct thrown {};
  struct value {
    explicit value(explore::atomic<bool>* s) : started(s) {}
    value(value&& o) : started(o.started) {
      if (started == nullptr) return;
      started->exchange(true, std::memory_order_relaxed);
      throw thrown();
    }
    value& operator=(value&&) = default;
    explore::atomic<bool>* started;  // not null: throws when moved, and says when it is about to
  };
  explore::atomic<bool> started{false};
  channel<value> ch{2};
  void thread(int i) {
    if (i == 0) {
      try {
        std::ignore = ch.push(value(&started));
      } catch (const thrown&) {
      }
      return;
    }
    while (!started.load(std::memory_order_relaxed)) explore::sync::pause();
    explore::check(ch.push(value(nullptr)) == outcome::ok, "there is room");
    explore::check(ch.push(value(nullptr)) == outcome::ok, "there is room again");
  }
  void finish() {}
};

/// Overflow by dropping: every value is popped, dropped or left; nobody waits.
template <overflow Policy, class Queue = queue<std::uint64_t>, int Producers = 2>
struct dropping {
  static constexpr int threads = Producers + 1;
  static constexpr int each = 4 / Producers;
  int dropped = 0;
  int out = 0;
  channel<std::uint64_t, Queue> ch{2, Policy, [this](std::uint64_t&&) { ++dropped; }};
  void thread(int i) {
    std::uint64_t v = 0;
    for (std::uint64_t k = 0; k < each; ++k) {
      if (i < Producers) {
        explore::check(ch.push(10 * std::uint64_t(i) + k) == outcome::ok,
                       "a push that drops always succeeds");
      } else if (ch.try_pop(v) == outcome::ok) {
        ++out;
      }
    }
  }
  void finish() {
    std::uint64_t v = 0;
    while (ch.try_pop(v) == outcome::ok) ++out;
    explore::check(out + dropped == 4 && ch.dropped() == std::uint64_t(dropped), "nothing is lost uncounted");
  }
};

/// Up and down at the marks: calls come one at a time and in turns, and the last one tells what holds.
struct levels {
  static constexpr int threads = 3;
  words ch{4};
  explore::plain<int> calls{0};
  bool high = false;
  levels() {
    ch.watch_level({.high = 2, .low = 1}, [this](bool now) {
      explore::check(now != high, "in turns");
      high = now;
      calls.set(calls.get() + 1);
    });
    explore::check(ch.try_push(1) == outcome::ok, "there is room");
  }
  void thread(int i) {
    std::uint64_t v = 0;
    if (i < 2) {
      explore::check(ch.try_push(1) == outcome::ok, "there is room");
    } else {
      explore::check(ch.try_pop(v) == outcome::ok, "there is one");
    }
  }
  void finish() {
    explore::check(high, "two are in it");
    std::uint64_t v = 0;
    explore::check(ch.try_pop(v) == outcome::ok && !high, "one is in it");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<flow<words, 1, 1, 4>>("words 1P1C", {.preemptions = 2, .stale_reads = 1}),
          world<flow<words, 2, 1, 4>>("words 2P1C", {.preemptions = 1, .stale_reads = 0}),
          world<flow<words, 1, 2, 4>>("words 1P2C", {.preemptions = 1, .stale_reads = 0}),
          world<flow<slots, 1, 1, 4>>("slots 1P1C", {.preemptions = 2, .stale_reads = 0}),
          world<flow<one_each, 1, 1, 4>>("spsc", {.preemptions = 2, .stale_reads = 1}),
          world<closing<words, 1, 1, 3>>("words closing 1P1C", {.preemptions = 2, .stale_reads = 0}),
          world<closing<words, 1, 2, 2>>("words closing 1P2C", {.preemptions = 1, .stale_reads = 0}),
          world<closing<words, 2, 1, 2>>("words closing 2P1C", {.preemptions = 1, .stale_reads = 0}),
          world<closing<words, 2, 0, 2>>("words closing 2P", {.preemptions = 2, .stale_reads = 0}),
          world<closing<slots, 1, 1, 3>>("slots closing 1P1C", {.preemptions = 2, .stale_reads = 0}),
          world<closing<slots, 1, 2, 2>>("slots closing 1P2C", {.preemptions = 1, .stale_reads = 0}),
          world<closing<one_each, 1, 1, 3>>("spsc closing", {.preemptions = 2, .stale_reads = 1}),
          world<limits>("limits", {.preemptions = 2, .stale_reads = 0}),
          world<news_of_the_end<words>>("words, news of the end", {.preemptions = 2, .stale_reads = 2}),
          world<news_of_the_end<slots>>("slots, news of the end", {.preemptions = 2, .stale_reads = 2}),
          world<stopped_inside>("stopped inside", {.preemptions = 2, .stale_reads = 0}),
          world<thrown_inside>("thrown inside", {.preemptions = 2, .stale_reads = 0}),
          world<thrown_alone>("thrown alone", {.preemptions = 3, .stale_reads = 0}),
          world<dropping<overflow::drop_oldest>>("drop oldest", {.preemptions = 2, .stale_reads = 0}),
          world<dropping<overflow::drop_newest>>("drop newest", {.preemptions = 2, .stale_reads = 0}),
          world<dropping<overflow::drop_oldest, spsc, 1>>("spsc, drop oldest",
                                                          {.preemptions = 3, .stale_reads = 0}),
          world<levels>("levels", {.preemptions = 2, .stale_reads = 1}),
          world<flow<words, 2, 2, 4>>("words 2P2C, random",
                                      {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
          world<flow<slots, 2, 2, 4>>("slots 2P2C, random",
                                      {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
          world<closing<slots, 2, 2, 2>>("slots closing 2P2C, random",
                                         {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
      },
      {"queue/channel.hpp", "queue/detail/lane.hpp", "queue/detail/level_watch.hpp"});
}
