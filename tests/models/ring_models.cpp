// The rings, under every schedule and stale reading within bounds. Capacity is 2 throughout and the positions wrap
// at least twice: faults of recycling show only then. Every history is judged for linearizability.
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"
#include "support/model_values.hpp"
#include "support/recorded.hpp"

namespace {

using millrace::channel_access;
using millrace::outcome;
using model::by_pointer;
using model::in_place;

template <class T, class... Options>
using queue = millrace::mpmc_queue<T, millrace::use_sync<explore::sync>,
                                   millrace::use_backoff<millrace::no_backoff>, Options...>;

using word_queue = queue<by_pointer, millrace::use_first_position<~std::uint64_t{0} - 1>>;  // wraps at once
using bare_words = queue<std::uint64_t>;
using slot_queue = queue<in_place, millrace::use_patience<0>>;  // every wait becomes a skip
using patient_slots = queue<in_place, millrace::use_patience<1>>;

/// Of two places, and recorded: at its end nothing is lost, and no place either.
template <class Queue>
struct recorded : model::recorded<Queue> {
  recorded() : model::recorded<Queue>({2, millrace::word_like<typename Queue::value_type>}, 2) {}

  void finish(bool closed = false) {
    this->drain();
    if (!closed) {
      explore::check(this->push(98) == outcome::ok && this->push(99) == outcome::ok,
                     "both places are to be had again");
    }
    this->history.judge();
  }
};

/// Two of each, each twice.
template <class Queue>
struct two_and_two : recorded<Queue> {
  static constexpr int threads = 4;
  void thread(int i) {
    for (std::uint64_t k = 0; k < 2; ++k)
      std::ignore = i < 2 ? this->push(10 * std::uint64_t(i) + k + 1) : this->pop();
  }
};

/// One thread goes round and round, so that the others meet cells of other laps.
template <class Queue>
struct round_and_round : recorded<Queue> {
  static constexpr int threads = 3;
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t k = 1; k < 4; ++k) {
        std::ignore = this->push(k);
        std::ignore = this->pop();
      }
    } else {
      std::ignore = i == 1 ? this->push(20) : this->pop();
    }
  }
};

/// A thread may stand in a cell while another pushes past it, and a third must see what was pushed.
template <class Queue>
struct past_a_reader : recorded<Queue> {
  static constexpr int threads = 3;
  past_a_reader() { std::ignore = this->push(1); }
  void thread(int i) {
    if (i == 1) {
      std::ignore = this->push(2);
      std::ignore = this->pop();
      std::ignore = this->push(3);
    } else {
      std::ignore = this->pop();
    }
  }
};

/// One of each, thrice: enough to fill, to drain and to wrap.
template <class Queue>
struct one_and_one : recorded<Queue> {
  static constexpr int threads = 2;
  void thread(int i) {
    for (std::uint64_t k = 1; k < 5; ++k) std::ignore = i == 0 ? this->push(k) : this->pop();
  }
};

/// Two producers against one consumer that stops at the end of the stream; a third thread closes.
template <class Queue>
struct closing : recorded<Queue> {
  static constexpr int threads = 3;
  void thread(int i) {
    if (i == 0) {
      std::ignore = this->push(1);
      std::ignore = this->push(2);
      std::ignore = this->push(3);
    } else if (i == 1) {
      std::ignore = this->pop();
      std::ignore = this->pop();
    } else {
      this->close();
      explore::check(this->push(9) == outcome::closed, "after close every push is refused");
    }
  }
  void finish() { recorded<Queue>::finish(true); }
};

/// One thread may stop for good anywhere; the others must still come to an end.
template <class Queue>
struct one_stops_for_good {
  static constexpr int threads = 3;
  Queue q{2};
  void thread(int i) {
    for (std::uint64_t k = 0; k < 2; ++k) {
      std::ignore = q.try_push(typename Queue::value_type(10 * std::uint64_t(i) + k));
      std::ignore = q.try_pop();
    }
  }
  void finish() {}
  void finish_without_frozen() {}
};

/// A constructor that throws, among others that do not: no hole, no place lost. `InPlace`: it throws with a place
/// claimed already, because the move may throw too.
template <bool InPlace>
struct throwing {
  static constexpr int threads = 3;
  struct thrower {};
  struct value : in_place {
    explicit value(std::uint64_t v) : in_place(v == 7 ? throw thrower() : v) {}
    value(value&& o) noexcept(!InPlace) : in_place(std::move(o)) {}
  };
  queue<value, millrace::use_patience<0>> q{2};
  int in = 0;
  int out = 0;

  void thread(int i) {
    for (std::uint64_t k = 0; k < 2; ++k) {
      if (i == 2) {
        if (q.try_pop()) ++out;
        continue;
      }
      try {
        const std::uint64_t v = i == 0 && k == 0 ? 7 : 1;
        if (q.try_emplace(v)) ++in;
      } catch (const thrower&) {
      }
    }
  }
  void finish() {
    while (q.try_pop()) ++out;
    explore::check(in == out, "what went in came out");
    explore::check(q.try_emplace(std::uint64_t{1}) && q.try_emplace(std::uint64_t{2}), "no place is lost");
  }
};

/// A pop tells a push that there is room: whoever hears of it finds it.
template <class Queue>
struct room_is_heard_of {
  static constexpr int threads = 2;
  Queue q{2};
  explore::atomic<bool> popped{false};
  room_is_heard_of() {
    std::ignore = q.try_push(typename Queue::value_type(1));
    std::ignore = q.try_push(typename Queue::value_type(2));
  }
  void thread(int i) {
    if (i == 0) {
      explore::check(q.try_pop().has_value(), "there are two");
      popped.store(true, std::memory_order_release);
    } else if (popped.load(std::memory_order_acquire)) {
      explore::check(q.try_push(typename Queue::value_type(3)), "there is room");
    }
  }
  void finish() {}
};

/// Two queues: whoever pushes into one and then finds the other empty was first. Not both.
template <class Queue>
struct two_queues {
  static constexpr int threads = 2;
  Queue q[2] = {Queue(2), Queue(2)};
  bool found[2] = {};
  void thread(int i) {
    explore::check(q[i].try_push(typename Queue::value_type(1)), "there is room");
    found[i] = q[1 - i].try_pop().has_value();
  }
  void finish() { explore::check(found[0] || found[1], "one of them was second"); }
};

/// Likewise with room instead of values.
template <class Queue>
struct two_full_queues {
  static constexpr int threads = 2;
  Queue q[2] = {Queue(2), Queue(2)};
  bool found[2] = {};
  two_full_queues() {
    for (Queue& each : q) {
      while (each.try_push(typename Queue::value_type(1))) {
      }
    }
  }
  void thread(int i) {
    explore::check(q[i].try_pop().has_value(), "there are two");
    found[i] = q[1 - i].try_push(typename Queue::value_type(2));
  }
  void finish() { explore::check(found[0] || found[1], "one of them was second"); }
};

/// Likewise with values that are built before a place is claimed for them, after a look at whether there is one.
template <class Queue>
struct two_full_queues_looked_at : two_full_queues<Queue> {
  void thread(int i) {
    explore::check(this->q[i].try_pop().has_value(), "there are two");
    this->found[i] = this->q[1 - i].try_emplace(std::uint64_t{2});
  }
};

/// Close against close: it is over in both, or one was first.
template <class Queue>
struct two_closings {
  static constexpr int threads = 2;
  Queue q[2] = {Queue(2), Queue(2)};
  bool refused[2] = {};
  void thread(int i) {
    channel_access::close(q[i]);
    refused[i] = channel_access::offer(q[1 - i], typename Queue::value_type(2)) == outcome::closed;
  }
  void finish() { explore::check(refused[0] || refused[1], "one of them was second"); }
};

using one_word_each = millrace::spsc_queue<in_place, millrace::use_sync<explore::sync>,
                                           millrace::use_first_position<(~std::uint64_t{0} >> 1)>>;

/// The verbs without a read-modify-write.
struct spsc_verbs {
  static constexpr int threads = 2;
  one_word_each q{2};
  std::uint64_t pushed = 0;
  std::uint64_t popped = 0;
  void thread(int i) {
    for (int k = 0; k < 4; ++k) {
      if (i == 0) {
        if (q.try_push(in_place(pushed + 1))) ++pushed;
      } else if (k == 1) {
        const auto all = q.readable();
        for (in_place& v : all) explore::check(std::uint64_t(v) == ++popped, "in order");
        q.pop(all.size());
      } else if (auto v = q.try_pop()) {
        explore::check(std::uint64_t(*v) == ++popped, "in order");
      }
    }
  }
  void finish() {
    while (auto v = q.try_pop()) explore::check(std::uint64_t(*v) == ++popped, "in order");
    explore::check(pushed == popped, "what went in came out");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<two_and_two<bare_words>>("word 2P2C", {.preemptions = 2, .stale_reads = 0}),
          world<two_and_two<word_queue>>("word 2P2C, stale", {.preemptions = 1, .stale_reads = 1}),
          world<round_and_round<word_queue>>("word round and round", {.preemptions = 2, .stale_reads = 1}),
          world<closing<word_queue>>("word closing", {.preemptions = 2, .stale_reads = 2}),
          world<one_stops_for_good<bare_words>>("word stopped",
                                                {.preemptions = 1, .stale_reads = 0, .frozen = 1}),
          world<room_is_heard_of<word_queue>>("word room", {.preemptions = 4, .stale_reads = 4}),
          world<two_queues<word_queue>>("word two queues", {.preemptions = 3, .stale_reads = 2}),
          world<two_full_queues<word_queue>>("word two full queues", {.preemptions = 3, .stale_reads = 2}),
          world<two_closings<word_queue>>("word two closings", {.preemptions = 3, .stale_reads = 2}),
          world<two_and_two<word_queue>>("word 2P2C, random",
                                         {.preemptions = 2, .stale_reads = 4, .executions = 100000}),
          world<one_and_one<slot_queue>>("slot 1P1C", {.preemptions = 3, .stale_reads = 1}),
          world<two_and_two<slot_queue>>("slot 2P2C", {.preemptions = 2, .stale_reads = 0}),
          world<two_and_two<slot_queue>>("slot 2P2C, stale", {.preemptions = 1, .stale_reads = 1}),
          world<round_and_round<slot_queue>>("slot round and round", {.preemptions = 2, .stale_reads = 0}),
          world<round_and_round<patient_slots>>("slot round, patient", {.preemptions = 2, .stale_reads = 0}),
          world<past_a_reader<slot_queue>>("slot past a reader", {.preemptions = 2, .stale_reads = 2}),
          world<closing<slot_queue>>("slot closing", {.preemptions = 2, .stale_reads = 2}),
          world<one_stops_for_good<slot_queue>>("slot stopped",
                                                {.preemptions = 1, .stale_reads = 0, .frozen = 1}),
          world<one_stops_for_good<slot_queue>>("slot, two stopped",
                                                {.preemptions = 0, .stale_reads = 0, .frozen = 2}),
          world<throwing<true>>("slot throwing in place", {.preemptions = 2, .stale_reads = 0}),
          world<throwing<false>>("slot throwing before", {.preemptions = 2, .stale_reads = 0}),
          world<room_is_heard_of<slot_queue>>("slot room", {.preemptions = 4, .stale_reads = 4}),
          world<two_queues<slot_queue>>("slot two queues", {.preemptions = 3, .stale_reads = 2}),
          world<two_full_queues<slot_queue>>("slot two full queues", {.preemptions = 3, .stale_reads = 2}),
          world<two_full_queues_looked_at<slot_queue>>("slot two full queues, looked at",
                                                       {.preemptions = 3, .stale_reads = 2}),
          world<two_closings<slot_queue>>("slot two closings", {.preemptions = 3, .stale_reads = 2}),
          world<two_and_two<slot_queue>>("slot 2P2C, random",
                                         {.preemptions = 2, .stale_reads = 4, .executions = 100000}),
          world<round_and_round<slot_queue>>("slot round, random",
                                             {.preemptions = 2, .stale_reads = 4, .executions = 100000}),
          world<spsc_verbs>("spsc", {.preemptions = 4, .stale_reads = 2}),
          // last, because it takes longest, and others catch most of what it would
          world<one_and_one<word_queue>>("word 1P1C", {.preemptions = 4, .stale_reads = 2}),
      },
      {"millrace/queue/"});
}
