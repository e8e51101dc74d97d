// The chain of rings, under every schedule and stale reading within bounds: growth, closing, reclamation. The first ring
// has two places, so that three values make a second one. Every history is judged for linearizability, and whoever
// touches a ring that has been freed is reported.
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "millrace/queue/unbounded_queue.hpp"
#include "support/explore.hpp"
#include "support/explore_hazards.hpp"
#include "support/model.hpp"
#include "support/model_values.hpp"
#include "support/recorded.hpp"

namespace {

using millrace::channel_access;
using millrace::outcome;
using model::by_pointer;
using model::in_place;

template <class T, class... Options>
using queue = millrace::unbounded_queue<T, millrace::use_sync<explore::sync>,
                                        millrace::use_allocator<explore::arena<T>>,
                                        millrace::use_backoff<millrace::no_backoff>, Options...>;
using words = queue<std::uint64_t>;
using pointers = queue<by_pointer>;
using slots = queue<in_place, millrace::use_patience<0>>;

/// Recorded, and never full. `Largest`: of the rings; 2: drained ones are used again.
template <class Queue, std::size_t Largest = 4>
struct recorded : model::recorded<Queue> {
  recorded() : model::recorded<Queue>({1000, true}, 2, Largest) {}

  void finish() {
    this->drain();
    this->history.judge();
  }
};

/// Two producers grow the chain, both at once perhaps.
template <class Queue, std::size_t Largest>
struct growing : recorded<Queue, Largest> {
  static constexpr int threads = 3;
  growing() { std::ignore = this->push(1); }
  void thread(int i) {
    if (i == 2) {
      std::ignore = this->pop();
      std::ignore = this->pop();
    } else {
      std::ignore = this->push(10 * std::uint64_t(i) + 10);
      std::ignore = this->push(10 * std::uint64_t(i) + 11);
    }
  }
};

/// Two consumers go on to the second ring, and one of them takes the first one out of the chain.
template <class Queue, std::size_t Largest>
struct draining : recorded<Queue, Largest> {
  static constexpr int threads = 3;
  draining() {
    for (std::uint64_t v = 1; v < 4; ++v) std::ignore = this->push(v);
  }
  void thread(int i) {
    if (i == 2) {
      std::ignore = this->push(20);
    } else {
      std::ignore = this->pop();
      std::ignore = this->pop();
    }
  }
};

/// A producer that is slow, in a ring that the others fill, drain and take out of the chain.
template <class Queue, std::size_t Largest>
struct passing_by : recorded<Queue, Largest> {
  static constexpr int threads = 2;
  passing_by() {
    std::ignore = this->push(1);
    std::ignore = this->push(2);
  }
  void thread(int i) {
    if (i == 0) {
      std::ignore = this->push(10);
    } else {
      std::ignore = this->push(20);
      for (int k = 0; k < 3; ++k) std::ignore = this->pop();
      std::ignore = this->push(21);
    }
  }
};

/// One drains a ring, another one uses it again.
template <class Queue>
struct handing_on : recorded<Queue, 2> {
  static constexpr int threads = 2;
  handing_on() {
    for (std::uint64_t v = 1; v < 4; ++v) std::ignore = this->push(v);
  }
  void thread(int i) {
    if (i == 0) {
      for (int k = 0; k < 3; ++k) std::ignore = this->pop();
    } else {
      for (std::uint64_t v = 4; v < 6; ++v) std::ignore = this->push(v);
      std::ignore = this->pop();
    }
  }
};

/// Three consumers take rings out of the chain and find each other in them.
template <class Queue>
struct sweeping : recorded<Queue, 2> {
  static constexpr int threads = 3;
  sweeping() {
    for (std::uint64_t v = 1; v < 6; ++v) std::ignore = this->push(v);
  }
  void thread(int) {
    std::ignore = this->pop();
    std::ignore = this->pop();
  }
};

/// One takes a ring out of the chain, another one puts it away.
template <class Queue>
struct putting_away : recorded<Queue> {
  static constexpr int threads = 2;
  putting_away() {
    for (std::uint64_t v = 1; v < 8; ++v) std::ignore = this->push(v);
  }
  void thread(int i) {
    for (int k = 0; k < 3 + 2 * i; ++k) std::ignore = this->pop();
  }
};

/// Three producers find the ring full: one closes it, one appends a ring, one goes on to it.
template <class Queue>
struct three_producers : recorded<Queue> {
  static constexpr int threads = 3;
  three_producers() {
    std::ignore = this->push(1);
    std::ignore = this->push(2);
  }
  void thread(int i) { std::ignore = this->push(10 + std::uint64_t(i)); }
};

/// Who appends a ring is slow, and meanwhile the one before it is drained, left, and found by another producer.
template <class Queue, std::size_t Largest>
struct slow_appender : recorded<Queue, Largest> {
  static constexpr int threads = 3;
  slow_appender() {
    std::ignore = this->push(1);
    std::ignore = this->push(2);
  }
  void thread(int i) {
    if (i == 0) {
      std::ignore = this->push(10);
    } else if (i == 1) {
      for (int k = 0; k < 3; ++k) std::ignore = this->pop();
    } else {
      std::ignore = this->push(20);
    }
  }
};

/// Whoever asks after close has returned hears of it.
template <class Queue>
struct closing_an_empty_one : recorded<Queue> {
  static constexpr int threads = 2;
  void thread(int i) {
    if (i == 0) {
      this->close();
    } else {
      std::ignore = this->pop();
      std::ignore = this->pop();
    }
  }
};

/// The slots themselves: one is ready, more are made, nobody has another's.
struct slots_of_hazards {
  static constexpr int threads = 3;
  using pool = millrace::detail::hazards<explore::sync, 1>;
  pool all;
  std::map<pool::slot*, explore::plain<int>> owners;
  void thread(int i) {
    for (int k = 0; k < 2; ++k) {
      pool::slot& s = all.take();
      owners[&s].set(i);
      explore::check(s.guards.load(std::memory_order_relaxed) == nullptr, "it guards nothing yet");
      s.guards.store(this, std::memory_order_release);
      s.guards.store(nullptr, std::memory_order_release);
      explore::check(owners[&s].get() == i, "nobody else has it");
      all.give_back(s);
      explore::check(!all.any_guards(&owners), "nobody guards that");
    }
  }
  void finish() {}
};

/// Close against a push that grows the chain, and a pop.
template <class Queue>
struct closing : recorded<Queue> {
  static constexpr int threads = 3;
  closing() {
    std::ignore = this->push(1);
    std::ignore = this->push(2);
  }
  void thread(int i) {
    if (i == 0) {
      std::ignore = this->push(10);
      std::ignore = this->push(11);
    } else if (i == 1) {
      std::ignore = this->pop();
    } else {
      this->close();
      explore::check(this->push(30) == outcome::closed, "after close every push is refused");
    }
  }
};

/// One thread may stop for good anywhere; the others must still come to an end.
template <class Queue>
struct one_stops_for_good {
  static constexpr int threads = 2;
  Queue q{2, 2};
  one_stops_for_good() {
    for (std::uint64_t v = 0; v < 2; ++v) q.push(typename Queue::value_type(v));
  }
  void thread(int i) {
    q.push(typename Queue::value_type(10 * std::uint64_t(i)));
    std::ignore = q.try_pop();
    std::ignore = q.try_pop();
  }
  void finish() {}
  void finish_without_frozen() {}
};

/// Two queues: whoever pushes into one, into a new ring, and then finds the other empty was first. Not both.
template <class Queue>
struct two_queues {
  static constexpr int threads = 2;
  struct one {
    Queue q{2, 2};
    one() {
      for (std::uint64_t v = 0; v < 2; ++v) q.push(typename Queue::value_type(v));
    }
  } queues[2];
  bool found[2] = {};
  void thread(int i) {
    queues[i].q.push(typename Queue::value_type(3));
    for (int k = 0; k < 2; ++k) std::ignore = queues[1 - i].q.try_pop();
    found[i] = queues[1 - i].q.try_pop().has_value();
  }
  void finish() { explore::check(found[0] || found[1], "one of them was second"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<growing<words, 4>>("growing, words", {.preemptions = 2, .stale_reads = 0}),
          world<growing<pointers, 4>>("growing, pointers, stale", {.preemptions = 1, .stale_reads = 2}),
          world<growing<slots, 4>>("growing, slots", {.preemptions = 1, .stale_reads = 1}),
          world<draining<words, 4>>("draining, words", {.preemptions = 2, .stale_reads = 0}),
          world<draining<pointers, 4>>("draining, pointers, stale", {.preemptions = 1, .stale_reads = 2}),
          world<draining<slots, 2>>("draining, slots, recycled", {.preemptions = 1, .stale_reads = 1}),
          world<passing_by<words, 4>>("passing by, words", {.preemptions = 2, .stale_reads = 1}),
          world<passing_by<pointers, 2>>("passing by, pointers, recycled",
                                         {.preemptions = 2, .stale_reads = 1}),
          world<passing_by<slots, 4>>("passing by, slots", {.preemptions = 2, .stale_reads = 0}),
          world<closing<words>>("closing, words", {.preemptions = 2, .stale_reads = 1}),
          world<closing<slots>>("closing, slots", {.preemptions = 2, .stale_reads = 0}),
          world<one_stops_for_good<words>>("stopped, words",
                                           {.preemptions = 1, .stale_reads = 0, .frozen = 1}),
          world<one_stops_for_good<slots>>("stopped, slots",
                                           {.preemptions = 1, .stale_reads = 0, .frozen = 1}),
          world<handing_on<pointers>>("handing on, pointers", {.preemptions = 2, .stale_reads = 1}),
          world<handing_on<slots>>("handing on, slots", {.preemptions = 1, .stale_reads = 1}),
          world<sweeping<words>>("sweeping, words", {.preemptions = 2, .stale_reads = 0}),
          world<sweeping<words>>("sweeping, words, stale", {.preemptions = 1, .stale_reads = 1}),
          world<putting_away<words>>("putting away", {.preemptions = 2, .stale_reads = 0}),
          world<slow_appender<words, 4>>("slow appender", {.preemptions = 2, .stale_reads = 0}),
          world<slow_appender<words, 4>>("slow appender, stale", {.preemptions = 1, .stale_reads = 1}),
          world<slow_appender<words, 2>>("slow appender, recycled", {.preemptions = 2, .stale_reads = 0}),
          world<three_producers<words>>("three producers", {.preemptions = 2, .stale_reads = 0}),
          world<closing_an_empty_one<words>>("closing an empty one", {.preemptions = 2, .stale_reads = 3}),
          world<slots_of_hazards>("slots of hazards", {.preemptions = 2, .stale_reads = 1}),
          world<two_queues<pointers>>("two queues", {.preemptions = 2, .stale_reads = 1}),
      },
      {"queue/unbounded_queue.hpp", "core/detail/hazards.hpp"});
}
