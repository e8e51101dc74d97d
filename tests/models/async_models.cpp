// Coroutines at a channel under every schedule within bounds: woken, cancelled and destroyed at any moment.
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "millrace/queue/channel.hpp"
#include "support/explore.hpp"
#include "support/explore_coroutine.hpp"
#include "support/explore_stop.hpp"
#include "support/model.hpp"

namespace {

using explore::coroutine;
using explore::shelf;
using millrace::inline_executor;
using millrace::outcome;

using word = std::uint64_t;
using queue = millrace::mpmc_queue<word, millrace::use_sync<explore::sync>,
                                   millrace::use_backoff<millrace::no_backoff>>;
using channel = millrace::channel<word, queue, explore::clock>;
using token = explore::stop_source::token;

template <class Executor>
coroutine pop(channel& ch, explore::plain<word>& got, Executor executor, token stop = {}) {
  if (auto v = co_await ch.async_pop(executor, stop)) got.set(*v);
}
coroutine push(channel& ch, word v, explore::plain<word>& done) {
  const outcome result = co_await ch.async_push(word(v));
  if (result == outcome::ok) done.set(1);
}

/// Coroutines and threads in the same line: every value comes out once.
struct side_by_side {
  static constexpr int threads = 3;
  channel ch{2};
  explore::plain<word> first{0};
  word second = 0;
  std::coroutine_handle<> h;
  void thread(int i) {
    if (i == 0) {
      h = pop(ch, first, inline_executor{}).handle;
    } else if (i == 1) {
      second = *ch.pop();
    } else {
      explore::check(ch.push(1) == outcome::ok && ch.push(2) == outcome::ok, "there is room");
    }
  }
  void finish() {
    explore::check(h.done(), "it was resumed");
    explore::check(first.get() + second == 3, "each got one");
    h.destroy();
  }
};

/// Coroutines on both sides of a full channel, and a thread that makes room.
struct both_sides {
  static constexpr int threads = 2;
  channel ch{2};
  explore::plain<word> pushed{0};
  explore::plain<word> got{0};
  std::coroutine_handle<> in;
  std::coroutine_handle<> out;
  both_sides() {
    std::ignore = ch.try_push(1);
    std::ignore = ch.try_push(2);
  }
  void thread(int i) {
    if (i == 0) {
      in = push(ch, 3, pushed).handle;
    } else {
      for (word expected = 1; expected <= 2; ++expected) explore::check(*ch.pop() == expected, "in order");
      out = pop(ch, got, inline_executor{}).handle;
    }
  }
  void finish() {
    explore::check(pushed.get() == 1 && got.get() == 3, "it went through");
    in.destroy();
    out.destroy();
  }
};

/// What was taken for a coroutine makes room, and the one who waits for it hears of that.
struct making_room {
  static constexpr int threads = 2;
  channel ch{2};
  explore::plain<word> got{0};
  std::coroutine_handle<> h;
  making_room() { h = pop(ch, got, inline_executor{}).handle; }
  void thread(int i) {
    for (int k = 0; k <= i; ++k) explore::check(ch.push(1) == outcome::ok, "there is room, or will be");
  }
  void finish() {
    explore::check(got.get() == 1, "it was resumed");
    h.destroy();
  }
};

/// Destroyed while others push and pop: it leaves the line, and its news goes on to the thread behind it; or the executor
/// was given its handle before, and then the value is counted as dropped.
struct destroyed {
  static constexpr int threads = 3;
  channel ch{2};
  shelf ready;
  explore::plain<word> got{0};
  word behind = 0;
  std::coroutine_handle<> h;
  destroyed() { h = pop(ch, got, ready.executor()).handle; }
  void thread(int i) {
    if (i == 0) {
      h.destroy();
      std::ignore = ready.take();
      if (ch.dropped() != 0) explore::check(ch.push(2) == outcome::ok, "for the one behind");
    } else if (i == 1) {
      behind = *ch.pop();
    } else {
      explore::check(ch.push(1) == outcome::ok, "there is room");
    }
  }
  void finish() {
    explore::check(got.get() == 0, "it did not live to get it");
    explore::check(behind == (ch.dropped() != 0 ? 2u : 1u), "the other one got what was left");
  }
};

/// Resumed by a loop of its own, while the one who handed it over is still on the way back.
struct loop {
  static constexpr int threads = 2;
  channel ch{2};
  shelf ready;
  explore::plain<word> got{0};
  std::coroutine_handle<> h;
  void thread(int i) {
    if (i == 0) {
      h = pop(ch, got, ready.executor()).handle;
      while (!h.done()) {
        if (const auto r = ready.take()) {
          r.resume();
        } else {
          explore::sync::pause();
        }
      }
      h.destroy();
    } else {
      explore::check(ch.push(1) == outcome::ok, "there is room");
    }
  }
  void finish() { explore::check(got.get() == 1, "it got it"); }
};

/// Cancelled at any moment: it gets the value, or leaves it to the thread behind it.
struct cancelled {
  static constexpr int threads = 3;
  channel ch{2};
  explore::stop_source stop;
  explore::plain<word> got{0};
  word behind = 0;
  std::coroutine_handle<> h;
  void thread(int i) {
    if (i == 0) {
      stop.request_stop();
    } else if (i == 1) {
      h = pop(ch, got, inline_executor{}, stop.get_token()).handle;
      behind = ch.try_pop().value_or(0);
    } else {
      explore::check(ch.push(1) == outcome::ok, "there is room");
    }
  }
  void finish() {
    explore::check(h.done(), "it came to its end");
    explore::check(got.get() + behind + ch.try_pop().value_or(0) == 1, "the value is somewhere");
    h.destroy();
  }
};

/// Closed at any moment: it is resumed with nothing, unless there was something.
struct closing {
  static constexpr int threads = 3;
  channel ch{2};
  explore::plain<word> got{0};
  bool accepted = false;
  std::coroutine_handle<> h;
  void thread(int i) {
    if (i == 0) {
      h = pop(ch, got, inline_executor{}).handle;
    } else if (i == 1) {
      ch.close();
    } else {
      accepted = ch.push(1) == outcome::ok;
    }
  }
  void finish() {
    explore::check(h.done(), "it came to its end");
    explore::check(got.get() + ch.try_pop().value_or(0) == accepted, "what was accepted came out");
    h.destroy();
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<side_by_side>("side by side", {.preemptions = 2, .stale_reads = 0}),
          world<both_sides>("both sides", {.preemptions = 3, .stale_reads = 1}),
          world<making_room>("making room", {.preemptions = 3, .stale_reads = 1}),
          world<destroyed>("destroyed", {.preemptions = 3, .stale_reads = 0}),
          world<loop>("loop", {.preemptions = 3, .stale_reads = 1}),
          world<cancelled>("cancelled", {.preemptions = 3, .stale_reads = 1}),
          world<closing>("closing", {.preemptions = 3, .stale_reads = 0}),
          world<destroyed>("destroyed, random", {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
          world<cancelled>("cancelled, random", {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
      },
      {"core/detail/awaiter.hpp", "core/detail/gate.hpp"});
}
