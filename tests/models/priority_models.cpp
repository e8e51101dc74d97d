// The priority channel under every schedule within bounds: levels filled by different threads, closing, sleeping.
#include "millrace/queue/priority_channel.hpp"

#include <cstdint>
#include <tuple>
#include <utility>

#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::outcome;
using word = std::uint64_t;
using queue = millrace::mpmc_queue<word, millrace::use_sync<explore::sync>,
                                   millrace::use_backoff<millrace::no_backoff>>;
using channel = millrace::priority_channel<word, 2, queue, explore::clock>;

template <bool Weighted>
struct built {
  channel ch;
  built()
    requires(!Weighted)
      : ch(2) {}
  built()
    requires Weighted
      : ch(2, channel::weights{1, 1}) {}
};

/// One sleeper, woken by whichever level: it misses nothing, and each level is in order.
template <bool Weighted>
struct flow : built<Weighted> {
  static constexpr int threads = 3;
  word low = 0;
  word high = 0;
  void thread(int i) {
    if (i < 2) {
      for (word k = 1; k <= 2; ++k) {
        explore::check(this->ch.at(std::size_t(i)).push(10 * word(i) + k) == outcome::ok, "there is room");
      }
      return;
    }
    for (int k = 0; k < 4; ++k) {
      const word v = *this->ch.pop();
      word& last = v > 10 ? low : high;
      explore::check(v == (last == 0 ? (v > 10 ? 11u : 1u) : last + 1), "in order");
      last = v;
    }
  }
  void finish() { explore::check(low == 12 && high == 2, "everything came out"); }
};

/// What was pushed before to the higher level comes first.
struct first_things_first {
  static constexpr int threads = 2;
  channel ch{2};
  explore::atomic<bool> both{false};
  void thread(int i) {
    if (i == 0) {
      explore::check(ch.at(1).push(11) == outcome::ok && ch.at(0).push(1) == outcome::ok, "there is room");
      both.store(true, std::memory_order_release);
    } else if (both.load(std::memory_order_acquire)) {
      explore::check(*ch.pop() == 1 && *ch.pop() == 11, "the higher one first");
    } else {
      explore::check(ch.pop().has_value() && ch.pop().has_value(), "both, in some order");
    }
  }
  void finish() {}
};

/// Closed at any moment: what was accepted on either level comes out, and everybody comes home.
template <bool Weighted>
struct closing : built<Weighted> {
  static constexpr int threads = 4;
  word in[2] = {};
  word out = 0;
  void thread(int i) {
    if (i == 0) {
      this->ch.close();
    } else if (i < 3) {
      const word v = word(i);
      if (this->ch.at(std::size_t(i) - 1).push(v) == outcome::ok) in[i - 1] = v;
    } else {
      while (auto v = this->ch.pop()) out += *v;
    }
  }
  void finish() { explore::check(out == in[0] + in[1], "what was accepted came out"); }
};

/// A producer asleep at a full level is told of the end; and who learns of it sees what was written before.
struct end_of_all {
  static constexpr int threads = 3;
  channel ch{2};
  explore::plain<int> last_words{0};
  end_of_all() {
    for (word k = 1; k <= 2; ++k) std::ignore = ch.at(1).try_push(k + 0);
  }
  void thread(int i) {
    if (i == 0) {
      last_words.set(1);
      ch.close();
    } else if (i == 1) {
      explore::check(ch.at(1).push(3) == outcome::closed, "it will never have room");
    } else if (ch.is_closed()) {
      explore::check(last_words.get() == 1, "what was written before close is visible");
    }
  }
  void finish() {}
};

/// A producer asleep at a full level hears of room in it, and not of room in another one.
struct room {
  static constexpr int threads = 2;
  channel ch{2};
  room() {
    for (word k = 1; k <= 2; ++k) {
      for (std::size_t l = 0; l < 2; ++l) std::ignore = ch.at(l).try_push(k + 0);
    }
  }
  void thread(int i) {
    if (i == 0) {
      explore::check(ch.at(1).push(3) == outcome::ok, "there will be room");
    } else {
      for (int k = 0; k < 3; ++k) explore::check(ch.pop().has_value(), "something is there");
    }
  }
  void finish() { explore::check(*ch.try_pop() == 2 && *ch.try_pop() == 3, "the rest of the lower level"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<flow<false>>("strict", {.preemptions = 2, .stale_reads = 0}),
          world<flow<true>>("weighted", {.preemptions = 2, .stale_reads = 0}),
          world<first_things_first>("first things first", {.preemptions = 3, .stale_reads = 1}),
          world<closing<false>>("closing", {.preemptions = 1, .stale_reads = 0}),
          world<closing<true>>("closing, weighted", {.preemptions = 1, .stale_reads = 0}),
          world<end_of_all>("the end of all", {.preemptions = 3, .stale_reads = 1}),
          world<room>("room", {.preemptions = 3, .stale_reads = 0}),
          world<closing<false>>("closing, random", {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
      },
      {"queue/priority_channel.hpp"});
}
