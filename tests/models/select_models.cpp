// A select under every schedule within bounds: it does one thing and no other, no wake-up is lost with it, and closing
// ends it.
#include "millrace/queue/select.hpp"

#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::on_pop;
using millrace::on_push;
using millrace::outcome;
using millrace::select;

using word = std::uint64_t;
using queue = millrace::mpmc_queue<word, millrace::use_sync<explore::sync>,
                                   millrace::use_backoff<millrace::no_backoff>>;
using channel = millrace::channel<word, queue, explore::clock>;

/// A value into each of two channels, by two threads, and a select for each: all come out, one at a time.
struct two_channels {
  static constexpr int threads = 3;
  channel a{2};
  channel b{2};
  word sum = 0;
  void thread(int i) {
    if (i == 0) {
      for (int k = 0; k < 2; ++k) {
        sum += select(on_pop(a, [](std::optional<word> v) { return *v; }),
                      on_pop(b, [](std::optional<word> v) { return *v; }));
      }
    } else {
      explore::check((i == 1 ? a : b).push(word(i)) == outcome::ok, "there is room");
    }
  }
  void finish() {
    explore::check(sum == 3, "both came out");
    explore::check(!a.try_pop() && !b.try_pop(), "and nothing is left");
  }
};

/// The news that a select does not use goes on to the one who sleeps behind it.
struct passing_on {
  static constexpr int threads = 4;
  channel a{2};
  channel b{2};
  word in_a = 0;
  word in_b = 0;
  void thread(int i) {
    if (i == 0) {
      select(on_pop(a, [&](std::optional<word> v) { in_a += *v; }),
             on_pop(b, [&](std::optional<word> v) { in_b += *v; }));
      // It may have been called for both. What it took of a is the other's.
      if (in_a != 0) std::ignore = a.push(4);
    } else if (i == 1) {
      std::ignore = a.pop();
    } else if (i == 2) {
      explore::check(a.push(1) == outcome::ok, "there is room");
    } else {
      explore::check(b.push(2) == outcome::ok, "there is room");
    }
  }
  void finish() { explore::check(in_a + in_b != 0, "it did one of them"); }
};

/// A select that takes a value it was not called for, as that came before it stood in line, may meanwhile be called for
/// the next one: that call, too, goes on.
struct called_while_taking {
  static constexpr int threads = 4;
  channel a{2};
  channel b{2};
  word sum[2] = {0, 0};
  void thread(int i) {
    if (i == 0) {
      select(on_pop(b, [](std::optional<word>) {}), on_pop(a, [&](std::optional<word> v) { sum[0] = *v; }));
    } else if (i == 1) {
      sum[1] = *a.pop();
    } else {
      explore::check(a.push(word(i)) == outcome::ok, "there is room");
    }
  }
  void finish() { explore::check(sum[0] + sum[1] == 5, "each took one"); }
};

/// Pop and push in one: what goes out through the select comes in through it, and nothing is pushed that was not taken.
struct both_ways {
  static constexpr int threads = 2;
  channel in{2};
  channel out{2};
  int popped = 0;
  int pushed = 0;
  both_ways() {
    std::ignore = out.try_push(10);
    std::ignore = out.try_push(11);
  }
  void thread(int i) {
    if (i == 0) {
      for (int k = 0; k < 2; ++k) {
        select(on_pop(in, [&](std::optional<word> v) { popped += v.has_value(); }),
               on_push(out, word(12), [&](outcome o) { pushed += o == outcome::ok; }));
      }
    } else {
      word v = 0;
      explore::check(out.try_pop(v) == outcome::ok && v == 10, "in order");
      explore::check(in.try_push(1) == outcome::ok, "there is room");
      explore::check(out.try_pop(v) == outcome::ok && v == 11, "in order");
    }
  }
  void finish() {
    explore::check(popped + pushed == 2, "two things were done");
    int left = 0;
    while (in.try_pop()) ++left;
    explore::check(popped + left == 1, "the value was popped, or is there");
    left = 0;
    while (auto v = out.try_pop()) {
      explore::check(*v == 12, "what was pushed");
      ++left;
    }
    explore::check(left == pushed, "as often as was said");
  }
};

/// Closed at any moment: the select comes home, and what was accepted is still to be had.
struct against_close {
  static constexpr int threads = 3;
  channel a{2};
  channel b{2};
  bool accepted = false;
  int got = 0;
  void thread(int i) {
    if (i == 0) {
      bool open_a = true;
      bool open_b = true;
      while (open_a || open_b) {
        const auto from = [&](bool& open) {
          return [&](std::optional<word> v) {
            if (v) ++got;
            if (!v) open = false;
          };
        };
        if (open_a && open_b) {
          select(on_pop(a, from(open_a)), on_pop(b, from(open_b)));
        } else {
          select(on_pop(open_a ? a : b, from(open_a ? open_a : open_b)));
        }
      }
    } else if (i == 1) {
      a.close();
      b.close();
    } else {
      accepted = b.push(1) == outcome::ok;
    }
  }
  void finish() { explore::check(got == accepted, "what was accepted came out, and nothing else"); }
};

/// A limit that may pass at any moment: afterwards the thread is in no line, and the news is not lost with it.
struct limits {
  static constexpr int threads = 3;
  channel a{2};
  channel b{2};
  int got = 0;
  void thread(int i) {
    if (i == 0) {
      const bool in_time = select(
          on_pop(a, [](std::optional<word>) { return true; }),
          on_pop(b, [](std::optional<word>) { return true; }),
          millrace::until(explore::clock::time_point(std::chrono::nanoseconds(1)), [] { return false; }));
      if (in_time) explore::check(a.push(2) == outcome::ok, "for the other one, who waits without a limit");
    } else if (i == 1) {
      got += a.pop().has_value();
    } else {
      explore::check(a.push(1) == outcome::ok, "there is room");
    }
  }
  void finish() { explore::check(got == 1, "the one without a limit got it"); }
};

/// Two selects and two channels, each filled once: each takes one.
struct two_selects {
  static constexpr int threads = 3;
  channel a{2};
  channel b{2};
  word sum = 0;
  void thread(int i) {
    if (i < 2) {
      channel* const both[] = {&a, &b};
      select(millrace::on_pop_any(both, [&](std::size_t, std::optional<word> v) { sum += *v; }));
    } else {
      explore::check(b.push(2) == outcome::ok && a.push(1) == outcome::ok, "there is room");
    }
  }
  void finish() { explore::check(sum == 3, "each took one"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<two_channels>("two channels", {.preemptions = 2, .stale_reads = 0}),
          world<two_channels>("two channels, stale", {.preemptions = 1, .stale_reads = 1}),
          world<passing_on>("passing on", {.preemptions = 1, .stale_reads = 0}),
          world<called_while_taking>("called while taking", {.preemptions = 2, .stale_reads = 0}),
          world<both_ways>("both ways", {.preemptions = 2, .stale_reads = 0}),
          world<against_close>("against close", {.preemptions = 2, .stale_reads = 0}),
          world<limits>("limits", {.preemptions = 2, .stale_reads = 0}),
          world<two_selects>("two selects", {.preemptions = 1, .stale_reads = 0}),
          world<two_channels>("two channels, random",
                              {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
          world<passing_on>("passing on, random", {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
          world<two_selects>("two selects, random",
                             {.preemptions = 2, .stale_reads = 3, .executions = 30000}),
      },
      {"core/detail/gate.hpp"});
}
