// The file descriptor of a channel under every schedule within bounds: a loop that sleeps until it is readable, and pops
// until the channel is empty, misses nothing; and it takes no wake-up from a thread.
#include <cstdint>
#include <tuple>
#include <utility>

#include "millrace/queue/channel.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::outcome;
using word = std::uint64_t;
using queue = millrace::mpmc_queue<word, millrace::use_sync<explore::sync>,
                                   millrace::use_backoff<millrace::no_backoff>>;
using channel = millrace::channel<word, queue, explore::clock>;

explore::sync::event_fd& fd_of(channel& ch) { return millrace::detail::ends_of<channel>::ready(ch); }

/// What a loop does until the channel has ended; the sum of what it got.
word drain(channel& ch) {
  word sum = 0;
  for (;;) {
    fd_of(ch).await();
    word v = 0;
    outcome result = outcome::ok;
    while ((result = ch.try_pop(v)) == outcome::ok) sum += v;
    if (result == outcome::closed) return sum;
  }
}

template <int Loops>
struct loops {
  static constexpr int threads = Loops + 1;
  channel ch{2};
  word got = 0;
  void thread(int i) {
    if (i < Loops) {
      got += drain(ch);
    } else {
      explore::check(ch.push(1) == outcome::ok && ch.push(2) == outcome::ok, "there is room");
      ch.close();
    }
  }
  void finish() { explore::check(got == 3, "everything came out"); }
};

/// A thread sleeps in the same line. The loop only looks on, and the thread is woken.
struct beside_a_thread {
  static constexpr int threads = 3;
  channel ch{2};
  word got = 0;
  void thread(int i) {
    if (i == 0) {
      std::ignore = ch.try_pop();
      fd_of(ch).await();
    } else if (i == 1) {
      got = *ch.pop();
    } else {
      explore::check(ch.push(1) == outcome::ok && ch.push(2) == outcome::ok, "there is room");
    }
  }
  void finish() { explore::check(got != 0, "the thread was woken"); }
};

/// Asked for by two at once, it is one and the same.
struct asked_for_twice {
  static constexpr int threads = 2;
  channel ch{2};
  explore::sync::event_fd* first = nullptr;
  explore::sync::event_fd* second = nullptr;
  void thread(int i) { (i == 0 ? first : second) = &fd_of(ch); }
  void finish() { explore::check(first == second, "the same"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<loops<1>>("a loop", {.preemptions = 3, .stale_reads = 1}),
          world<loops<2>>("two loops", {.preemptions = 2, .stale_reads = 0}),
          world<beside_a_thread>("beside a thread", {.preemptions = 2, .stale_reads = 0}),
          world<asked_for_twice>("asked for twice", {.preemptions = 3, .stale_reads = 3}),
          world<loops<2>>("two loops, random", {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
      },
      {"queue/detail/readiness.hpp"});
}
