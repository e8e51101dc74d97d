// The bulkhead under every schedule within bounds: never more in than places, what those who have left wrote is there for who
// enters, and nobody sleeps while a place is free or once it is closed.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "millrace/core/outcome.hpp"
#include "millrace/delivery/bulkhead.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using millrace::outcome;
using bulkhead = millrace::bulkhead<explore::clock, explore::sync>;

/// One place, and it guards a value: an entry sees what was written before the last one left.
template <int Threads>
struct guarded {
  static constexpr int threads = Threads;
  bulkhead b{1};
  explore::plain<int> value{0};
  void thread(int) {
    const auto place = b.enter();
    explore::check(bool(place), "nobody closes it");
    value.set(value.get() + 1);
  }
  void finish() { explore::check(value.get() == Threads && b.in_use() == 0, "each was in, alone"); }
};

/// The same, without waiting.
struct tried {
  static constexpr int threads = 2;
  bulkhead b{1};
  explore::plain<int> value{0};
  int entered = 0;
  void thread(int) {
    const auto place = b.try_enter();
    if (!place) return;
    value.set(value.get() + 1);
    ++entered;
  }
  void finish() { explore::check(value.get() == entered && entered >= 1, "each that was in was in alone"); }
};

/// Three for two places.
struct two_places {
  static constexpr int threads = 3;
  bulkhead b{2};
  int in = 0;
  void thread(int) {
    const auto place = b.enter();
    explore::check(++in <= 2, "two at once");
    explore::sync::yield();
    --in;
  }
  void finish() { explore::check(b.in_use() == 0, "all have left"); }
};

/// Who tries after a place has been left, or made, or after the end, finds it, with nothing else between the two threads.
enum class change { left, made, ended };
template <change What>
struct after {
  static constexpr int threads = 2;
  bulkhead b{1};
  bulkhead::permit mine = b.enter();
  bool changed = false;  // what has really happened: no thread hears of it
  void thread(int i) {
    if (i == 0) {
      if (What == change::left) mine.leave();
      if (What == change::made) b.resize(2);
      if (What == change::ended) b.close();
      changed = true;
      return;
    }
    const bool before = changed;
    const outcome o = b.try_enter().answer();
    const outcome then = What == change::ended ? outcome::closed : outcome::ok;
    explore::check(o == then || (o == outcome::full && !before), "it was changed before");
    if (What == change::ended && before) explore::check(b.is_closed(), "and says so");
  }
  void finish() {
    mine.leave();
    explore::check(b.in_use() == 0, "all have left");
  }
};

/// Its end is told to who tries, and to who sleeps, with what was written before; and somebody leaves meanwhile.
template <bool Waits, bool Leaves>
struct ended {
  static constexpr int threads = Leaves ? 3 : 2;
  bulkhead b{1};
  bulkhead::permit mine = b.enter();
  explore::plain<int> value{0};
  ended() {
    if (!Waits && !Leaves) mine.leave();
  }
  void thread(int i) {
    if (i == 0) {
      value.set(1);
      b.close();
    } else if (i == 1) {
      const auto place = Waits ? b.enter() : b.try_enter();
      if (place.answer() == outcome::closed) {
        explore::check(value.get() == 1, "what was written before the end is there");
      } else {
        explore::check(place.answer() == outcome::ok || (!Waits && place.answer() == outcome::full),
                       "in, or it is over");
      }
    } else {
      mine.leave();
    }
  }
  void finish() {
    mine.leave();
    explore::check(b.is_closed() && b.in_use() == 0, "it is over");
  }
};

/// Seen by who only looks.
struct end_seen {
  static constexpr int threads = 2;
  bulkhead b{1};
  explore::plain<int> value{0};
  bool changed = false;
  void thread(int i) {
    if (i == 0) {
      value.set(1);
      b.close();
      changed = true;
      return;
    }
    const bool before = changed;
    const bool closed = b.is_closed();
    explore::check(closed || !before, "it was closed before");
    if (closed) explore::check(value.get() == 1, "what was written before the end is there");
  }
  void finish() {}
};

/// Two sleep, and are called when there are more places, whatever else happens.
struct grown {
  static constexpr int threads = 3;
  bulkhead b{1};
  bulkhead::permit mine = b.enter();
  std::array<bulkhead::permit, 2> others{b.try_enter(), b.try_enter()};
  void thread(int i) {
    if (i == 0) {
      b.resize(3);
    } else {
      others[std::size_t(i - 1)] = b.enter();  // and stays
    }
  }
  void finish() {
    explore::check(others[0] && others[1] && b.in_use() == 3, "all are in");
    mine.leave();
    for (auto& o : others) o.leave();
  }
};

/// Made smaller and larger while one leaves and one waits.
struct resized {
  static constexpr int threads = 3;
  bulkhead b{2};
  bulkhead::permit first = b.enter();
  bulkhead::permit second = b.enter();
  void thread(int i) {
    if (i == 0) {
      b.resize(1);
      b.resize(2);
    } else if (i == 1) {
      first.leave();
    } else {
      explore::check(bool(b.enter()), "it gets the place");
    }
  }
  void finish() {
    second.leave();
    explore::check(b.in_use() == 0 && b.places() == 2, "all have left");
  }
};

/// A limit that passes at any moment, while a place is left for two: nobody sleeps beside a free one.
struct limited {
  static constexpr int threads = 3;
  bulkhead b{1};
  bulkhead::permit mine = b.enter();
  void thread(int i) {
    if (i == 0) {
      mine.leave();
    } else if (i == 1) {
      explore::check(bool(b.enter()), "it has no limit");
    } else {
      const auto place = b.enter_until(explore::clock::time_point(std::chrono::nanoseconds(1)));
      explore::check(place.answer() == outcome::ok || place.answer() == outcome::timeout, "in, or too late");
    }
  }
  void finish() { explore::check(b.in_use() == 0, "all have left"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<guarded<2>>("guarded by two", {.preemptions = 3, .stale_reads = 2}),
          world<guarded<3>>("guarded by three", {.preemptions = 2, .stale_reads = 1}),
          world<tried>("tried", {.preemptions = 4, .stale_reads = 3}),
          world<two_places>("three for two places", {.preemptions = 2, .stale_reads = 1}),
          world<after<change::left>>("after one has left", {.preemptions = 4, .stale_reads = 3}),
          world<after<change::made>>("after there are more", {.preemptions = 4, .stale_reads = 3}),
          world<after<change::ended>>("after the end", {.preemptions = 4, .stale_reads = 3}),
          world<ended<false, false>>("the end, tried", {.preemptions = 4, .stale_reads = 3}),
          world<ended<true, false>>("the end, asleep", {.preemptions = 3, .stale_reads = 2}),
          world<ended<true, true>>("the end, and one leaves", {.preemptions = 2, .stale_reads = 1}),
          world<end_seen>("the end, seen", {.preemptions = 4, .stale_reads = 3}),
          world<grown>("grown", {.preemptions = 2, .stale_reads = 1}),
          world<resized>("resized", {.preemptions = 2, .stale_reads = 1}),
          world<limited>("a limit", {.preemptions = 2, .stale_reads = 1}),
      },
      {"delivery/bulkhead.hpp"});
}
