// The list of many producers and one consumer, under every schedule and stale reading within bounds: the gap between a
// producer's two steps, the consumer that sleeps there and is woken, the end of the stream, nodes and queues freed by who
// popped last. Both queues over it go through the same worlds. Histories are judged for linearizability.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/intrusive_mpsc_queue.hpp"
#include "millrace/queue/mpsc_queue.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"
#include "support/model_values.hpp"
#include "support/recorded.hpp"

namespace {

using millrace::outcome;
using model::in_place;

// Pauses before a pop sleeps: with 0 every gap is slept at; with 1 it may also end while the consumer spins.
template <unsigned Patience>
using queue =
    millrace::mpsc_queue<in_place, millrace::use_sync<explore::sync>,
                         millrace::use_allocator<explore::arena<in_place>>,
                         millrace::use_backoff<millrace::no_backoff>, millrace::use_patience<Patience>>;

/// Under a channel it appends with a compare-and-swap, by itself with an exchange. The same values and verbs for both.
template <unsigned Patience>
struct by_itself {
  using value_type = in_place;
  queue<Patience> q;
  outcome offer(in_place&& v) {
    q.push(std::move(v));
    return outcome::ok;
  }
  template <class Receive>
  outcome take(Receive& receive) {
    return millrace::channel_access::take(q, receive);
  }
};

/// Nodes of our own, each freed as soon as it is popped.
template <unsigned Patience>
struct intrusive {
  using value_type = in_place;
  struct node : millrace::basic_mpsc_hook<explore::sync> {
    explicit node(in_place&& v) : value(std::move(v)) {}
    in_place value;
  };
  using polled = typename millrace::intrusive_mpsc_queue<node, millrace::use_sync<explore::sync>>::polled;
  millrace::intrusive_mpsc_queue<node, millrace::use_sync<explore::sync>, millrace::use_patience<Patience>> q;
  explore::arena<node> from;

  outcome offer(in_place&& v) {
    q.push(*std::construct_at(from.allocate(1), std::move(v)));
    return outcome::ok;
  }
  template <class Receive>
  outcome take(Receive& receive) {
    return give(q.try_pop(), receive);
  }
  template <class Receive>
  outcome give(node* n, Receive& receive) {
    if (n == nullptr) return outcome::empty;
    receive(std::move(n->value));
    std::destroy_at(n);
    from.deallocate(n, 1);
    return outcome::ok;
  }
};

template <class Queue>
struct recorded : model::recorded<Queue> {
  recorded() : model::recorded<Queue>({1000, true}) {}
  void finish() {
    this->drain();
    this->history.judge();
  }
};

/// Pushes and pops, the queue empty now and then.
template <class Queue, int Producers, int Values, int Pops>
struct flow : recorded<Queue> {
  static constexpr int threads = Producers + 1;
  void thread(int i) {
    if (i == Producers) {
      for (int k = 0; k < Pops; ++k) std::ignore = this->pop();
    } else {
      for (int k = 0; k < Values; ++k)
        std::ignore = this->push(10 * std::uint64_t(i) + 10 + std::uint64_t(k));
    }
  }
};

/// The consumer pushes too, behind a producer that may stand in a gap.
template <class Queue>
struct consumer_pushes : recorded<Queue> {
  static constexpr int threads = 2;
  void thread(int i) {
    std::ignore = this->push(10 * std::uint64_t(i) + 10);
    if (i == 0) return;
    for (int k = 0; k < 2; ++k) std::ignore = this->pop();
    std::ignore = this->push(30);
    std::ignore = this->pop();
  }
};

/// Who popped the last value destroys the queue, while the push of it returns.
template <class Queue>
struct destroyed_at_once {
  static constexpr int threads = 3;
  std::optional<Queue> q{std::in_place};
  void thread(int i) {
    using access = millrace::channel_access;
    if (i < 2) {
      std::ignore = access::offer(*q, in_place(std::uint64_t(i) + 1));
      return;
    }
    std::uint64_t sum = 0;
    while (sum != 3) {
      const auto add = [&](in_place&& v) { sum += std::uint64_t(v); };
      if (access::take(*q, add) != outcome::ok) explore::sync::pause();
    }
    q.reset();
  }
  void finish() {}
};

/// A node that was popped is pushed again, by who popped it and by another thread.
struct again {
  struct node : millrace::basic_mpsc_hook<explore::sync> {
    explore::plain<int> owner{0};
  };
  static constexpr int threads = 2;
  using nodes =
      millrace::intrusive_mpsc_queue<node, millrace::use_sync<explore::sync>, millrace::use_patience<0>>;
  std::array<node, 2> all;
  nodes there;
  nodes back;
  again() {
    for (node& n : all) there.push(n);
  }
  void thread(int i) {
    nodes& from = i == 0 ? there : back;
    nodes& to = i == 0 ? back : there;
    for (int k = 0; k < 3; ++k) {
      if (node* const n = from.try_pop()) {
        n->owner.set(i);
        to.push(*n);
      }
    }
  }
  void finish() {
    int n = 0;
    while (there.try_pop() != nullptr || back.try_pop() != nullptr) ++n;
    explore::check(n == 2, "both are still there");
  }
};

/// poll: after a push has returned it does not say empty; and a producer that has stopped for good anywhere, or the
/// consumer, holds up no other producer, and no poll.
struct polling {
  static constexpr int threads = 3;
  using boxes = intrusive<0>;
  boxes q;
  int pushed = 0;  // by pushes that have returned
  int popped = 0;
  void thread(int i) {
    if (i < 2) {
      for (std::uint64_t k = 0; k < 2; ++k) {
        std::ignore = q.offer(in_place(k));
        ++pushed;
      }
      return;
    }
    for (int k = 0; k < 4; ++k) poll();
  }
  void poll() {
    const int before = pushed;
    const auto found = q.q.poll();
    explore::check(found.node != nullptr || found.busy || popped >= before, "empty, but for what was pushed");
    explore::check(found.node == nullptr || !found.busy, "a node, or busy");
    const auto count = [&](in_place&&) { ++popped; };
    std::ignore = q.give(found.node, count);
  }
  void finish() {
    while (popped < 4) poll();  // nobody is left to be busy
    poll();
    explore::check(popped == 4, "every node came out");
  }
};

/// A piece of three stays in one.
template <unsigned Patience>
struct pieces {
  static constexpr int threads = 3;
  queue<Patience> q;
  std::array<std::uint64_t, 5> out{};
  std::size_t n = 0;
  void thread(int i) {
    if (i == 0) {
      const std::array<std::uint64_t, 3> piece = {1, 2, 3};
      q.push_n(piece.begin(), piece.size());
    } else if (i == 1) {
      q.push(in_place(9));
    } else {
      for (int k = 0; k < 3; ++k) pop();
    }
  }
  bool pop() {
    const auto v = q.try_pop();
    if (v) out[n++] = std::uint64_t(*v);
    return v.has_value();
  }
  void finish() {
    while (pop()) {
    }
    explore::check(n == 4 && (out == std::array<std::uint64_t, 5>{1, 2, 3, 9} ||
                              out == std::array<std::uint64_t, 5>{9, 1, 2, 3}),
                   "in one piece");
  }
};

/// Close against pushes and pops.
template <class Queue, int Producers>
struct closing : recorded<Queue> {
  static constexpr int threads = Producers + 2;
  void thread(int i) {
    if (i == 0) {
      this->close();
      explore::check(this->push(30) == outcome::closed, "after close every push is refused");
      this->close();
    } else if (i == 1) {
      for (int k = 0; k < 3; ++k) std::ignore = this->pop();
    } else {
      std::ignore = this->push(10 * std::uint64_t(i));
      std::ignore = this->push(10 * std::uint64_t(i) + 1);
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

/// What was written before close() is visible to whoever learns of it.
struct news_of_the_end {
  static constexpr int threads = 4;
  using access = millrace::channel_access;
  explore::plain<int> last_words{0};
  queue<0> q;
  void thread(int i) {
    if (i == 0) {
      last_words.set(1);
      access::close(q);
    } else if (i == 1) {
      if (access::take(q, [](in_place&&) {}) == outcome::closed) heard();
    } else if (access::offer(q, in_place(1)) == outcome::closed) {
      heard();
    }
  }
  void heard() { explore::check(last_words.get() == 1, "what was written before close is visible"); }
  void finish() {}
};

/// The channel over it: who waits is woken, close drains.
template <int Producers>
struct through_a_channel {
  static constexpr int threads = Producers + 1;
  millrace::channel<in_place, queue<0>, explore::clock> ch;
  int open = Producers;
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  void thread(int i) {
    if (i == Producers) {
      in_place v(0);
      while (ch.pop(v) == outcome::ok) out += std::uint64_t(v);
      explore::check(ch.try_pop(v) == outcome::closed, "closed is final");
      return;
    }
    for (std::uint64_t k = 1; k < 3; ++k) {
      in_place v(k);
      const outcome result = ch.push(std::move(v));
      if (result == outcome::ok) {
        in += k;
      } else {
        explore::check(result == outcome::closed && std::uint64_t(v) == k, "refused, and untouched");
      }
    }
    if (i == 0) ch.close();
  }
  void finish() { explore::check(in == out, "what was accepted came out"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  using alone = by_itself<0>;
  using nodes = intrusive<0>;
  return model::main(
      argc, argv,
      {
          world<flow<alone, 1, 3, 3>>("1P1C", {.preemptions = 3, .stale_reads = 2}),
          world<flow<alone, 2, 2, 3>>("2P1C", {.preemptions = 2, .stale_reads = 1}),
          world<flow<by_itself<1>, 2, 1, 3>>("2P1C, patient", {.preemptions = 3, .stale_reads = 1}),
          world<flow<alone, 3, 1, 3>>("3P1C", {.preemptions = 2, .stale_reads = 0}),
          world<flow<queue<0>, 2, 2, 3>>("2P1C, as in a channel", {.preemptions = 2, .stale_reads = 1}),
          world<flow<nodes, 1, 3, 3>>("nodes 1P1C", {.preemptions = 3, .stale_reads = 2}),
          world<flow<nodes, 2, 2, 3>>("nodes 2P1C", {.preemptions = 2, .stale_reads = 1}),
          world<flow<intrusive<1>, 2, 1, 3>>("nodes 2P1C, patient", {.preemptions = 3, .stale_reads = 1}),
          world<flow<nodes, 3, 1, 3>>("nodes 3P1C", {.preemptions = 2, .stale_reads = 0}),
          world<consumer_pushes<alone>>("the consumer pushes", {.preemptions = 3, .stale_reads = 1}),
          world<consumer_pushes<nodes>>("nodes, the consumer pushes", {.preemptions = 3, .stale_reads = 1}),
          world<destroyed_at_once<alone>>("destroyed at once", {.preemptions = 2, .stale_reads = 1}),
          world<destroyed_at_once<queue<0>>>("destroyed at once, as in a channel",
                                             {.preemptions = 2, .stale_reads = 1}),
          world<destroyed_at_once<nodes>>("nodes, destroyed at once", {.preemptions = 2, .stale_reads = 1}),
          world<again>("nodes pushed again", {.preemptions = 2, .stale_reads = 1}),
          world<polling>("polling", {.preemptions = 2, .stale_reads = 1}),
          world<polling>("polling, one stops", {.preemptions = 1, .stale_reads = 0, .frozen = 1}),
          world<pieces<0>>("pieces", {.preemptions = 3, .stale_reads = 1}),
          world<closing<queue<0>, 1>>("closing 1P1C", {.preemptions = 2, .stale_reads = 1}),
          world<closing<queue<0>, 2>>("closing 2P1C", {.preemptions = 1, .stale_reads = 1}),
          world<closing_an_empty_one<queue<0>>>("closing an empty one", {.preemptions = 2, .stale_reads = 3}),
          world<news_of_the_end>("news of the end", {.preemptions = 2, .stale_reads = 2}),
          world<through_a_channel<1>>("channel 1P1C", {.preemptions = 2, .stale_reads = 1}),
          world<through_a_channel<2>>("channel 2P1C", {.preemptions = 2, .stale_reads = 0}),
      },
      {"queue/detail/mpsc_list.hpp", "queue/mpsc_queue.hpp", "queue/intrusive_mpsc_queue.hpp"});
}
