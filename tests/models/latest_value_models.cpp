// The newest value under every schedule and stale reading within bounds: nobody reads one that is being destroyed or built,
// or an older one after a newer one, and nobody sleeps through a change or the end.
#include "millrace/topic/latest_value.hpp"

#include <cstdint>
#include <new>
#include <tuple>
#include <utility>

#include "millrace/queue/select.hpp"
#include "support/explore.hpp"
#include "support/explore_coroutine.hpp"
#include "support/explore_stop.hpp"
#include "support/model.hpp"

namespace {

using explore::plain;
using millrace::outcome;

using word = std::uint64_t;

/// Races with whoever reads it while it is built or destroyed, and leaks if it is lost.
struct traced {
  explicit traced(word n) : number(n) {}
  traced(const traced&) = default;
  traced& operator=(const traced&) = delete;
  ~traced() { number.set(gone); }
  [[nodiscard]] word get() const {
    const word n = number.get();
    explore::check(n != gone, "it is there");
    return n;
  }
  static constexpr word gone = ~word{0};
  plain<word> number;
};

using latest = millrace::latest_value<traced, explore::clock, explore::sync>;
using reader = millrace::latest_reader<traced, explore::clock, explore::sync>;

auto building(word n) {
  return [n](void* where) { ::new (where) traced(n); };
}
traced one_more(const traced& t) { return traced(t.get() + 1); }

/// Reads and looks that nothing goes back.
struct watchful {
  explicit watchful(const latest& v) : mine(v) { look(); }
  void look() {
    const word n = mine.read().get();
    explore::check(n >= number && mine.version() >= version, "nothing older comes after it");
    explore::check((n == number) == (mine.version() == version), "a value has one version");
    number = n;
    version = mine.version();
  }
  reader mine;
  word number = 0;
  word version = 0;
};

/// One sets 1 and 2; one reads again and again, one now and then.
struct set_and_read {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  void thread(int i) {
    if (i == 0) {
      v.emplace(word{1});
      v.emplace(word{2});
    } else if (i == 1) {
      watchful w(v);
      for (int k = 0; k < 2; ++k) w.look();
    } else {
      const word first = v.load().get();
      explore::check(v.load().get() >= first, "nothing older comes after it");
    }
  }
  void finish() {
    const reader r(v);
    explore::check(r.value().get() == 2 && r.version() == 2, "the last one stays");
  }
};

/// Two write, and one of them again: the versions have no gaps, and the same order for all.
struct two_writers {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  word seen[4] = {0, 0, 0, 0};  // by version
  void note(const reader& r) {
    const word n = r.value().get();
    word& known = seen[r.version()];
    explore::check(known == 0 || known == n, "a version is of one value");
    known = n;
  }
  void thread(int i) {
    if (i == 2) {
      reader r(v);
      word before = 0;
      for (int k = 0; k < 3; ++k) {
        std::ignore = r.read();
        explore::check(r.version() >= before, "no version goes back");
        before = r.version();
        note(r);
      }
    } else {
      v.emplace(word(10 * i + 1));
      note(reader(v));
      if (i == 1) v.emplace(word(12));
    }
  }
  void finish() {
    const reader r(v);
    note(r);
    explore::check(r.version() == 3, "each set counts");
    explore::check(r.value().get() != 11, "one of the last ones stays");
  }
};

/// Updates add up, whoever reads beside.
template <int Updaters>
struct updates {
  static constexpr int threads = Updaters + 1;
  latest v{std::in_place, word{0}};
  void thread(int i) {
    if (i < Updaters) {
      v.update(one_more);
    } else {
      watchful w(v);
      w.look();
      explore::check(w.number == w.version, "one is added each time");
    }
  }
  void finish() { explore::check(v.load().get() == Updaters, "none is lost"); }
};

/// What two readers have in common is destroyed by the one who is the last to have it, and its slot is used again.
struct last_one {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  reader a{v};
  reader b{v};
  void thread(int i) {
    if (i == 0) {
      v.emplace(word{1});
      v.emplace(word{2});
      v.emplace(word{3});
    } else {
      reader& mine = i == 1 ? a : b;
      const word n = mine.value().get();
      explore::check(n == 0 && mine.read().get() <= 3, "each has its own");
    }
  }
  void finish() { explore::check(a.read().get() == 3 && b.read().get() == 3, "the last one stays"); }
};

/// An update leaves what it has read to a reader, who destroys it.
struct update_and_leave {
  static constexpr int threads = 2;
  latest v{std::in_place, word{0}};
  reader r{v};
  void thread(int i) {
    if (i == 0) {
      v.update(one_more);
    } else {
      std::ignore = r.read();
    }
  }
  void finish() { explore::check(r.read().get() == 1, "it was updated"); }
};

/// Who waits hears of the last set, whoever makes it.
template <int Writers, int Waiters>
struct waiting {
  static constexpr int threads = Writers + Waiters;
  latest v{std::in_place, word{0}};
  void thread(int i) {
    if (i < Writers) {
      for (int k = Writers; k <= 2; ++k) v.update(one_more);
      return;
    }
    watchful w(v);
    while (w.number < 2) {
      explore::check(w.mine.wait() == outcome::ok, "it is not closed");
      explore::check(w.mine.changed(), "there is a newer one");
      const word before = w.number;
      w.look();
      explore::check(w.number > before, "and it is read");
    }
  }
  void finish() {}
};

/// Closed at any moment: who waits hears of it, and of what was done before; and of the last value first.
struct closing {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  plain<int> before{0};
  bool accepted = false;
  word last = 0;
  void thread(int i) {
    if (i == 0) {
      before.set(1);
      v.close();
      explore::check(!v.emplace(word{9}), "no value comes any more");
    } else if (i == 1) {
      accepted = v.emplace(word{1});
    } else {
      watchful w(v);
      while (w.mine.wait() == outcome::ok) w.look();
      explore::check(before.get() == 1, "what was done before is seen");
      explore::check(!w.mine.changed(), "it is the last one");
      last = w.number;
    }
  }
  void finish() {
    explore::check(last == word(accepted) && v.load().get() == last, "what was accepted was read");
  }
};
/// Likewise who asks.
struct asking {
  static constexpr int threads = 2;
  latest v{std::in_place, word{0}};
  plain<int> before{0};
  void thread(int i) {
    if (i == 0) {
      before.set(1);
      v.close();
    } else if (v.is_closed()) {
      explore::check(before.get() == 1, "what was done before is seen");
    }
  }
  void finish() {}
};

/// A limit that may pass at any moment, beside one without.
struct limits {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  void thread(int i) {
    if (i == 0) {
      v.emplace(word{1});
    } else if (i == 1) {
      reader r(v);
      if (r.value().get() == 0)
        explore::check(r.wait() == outcome::ok && r.read().get() == 1, "it hears of it");
    } else {
      const reader r(v);
      const outcome o = r.wait_until(explore::clock::time_point(std::chrono::nanoseconds(1)));
      explore::check(o == outcome::timeout || r.changed(), "ok is that there is one");
    }
  }
  void finish() {}
};

/// One thread may stop for good anywhere; the others come to an end, and read what holds.
template <bool Updating>
struct one_stops_for_good {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  void thread(int i) {
    if (i == 2) {
      reader r(v);
      const word before = r.version();
      explore::check(r.read().get() <= 2 && r.version() >= before, "nothing older comes after it");
    } else if (Updating) {
      v.update(one_more);
    } else {
      v.emplace(word(i + 1));
    }
  }
  void finish() {}
  void finish_without_frozen() { explore::check(v.emplace(word{5}) && v.load().get() == 5, "it goes on"); }
};

/// Blocks of one slot: two writers need another one at the same time, a reader finds its way to it.
struct growing {
  static constexpr int threads = 3;
  using values = millrace::detail::value_slots<traced, explore::sync, 1>;
  values v{building(0)};
  void thread(int i) {
    if (i < 2) {
      v.replace(building(word(i + 1)));
    } else {
      auto& s = v.come();
      explore::check(s.value().get() <= 2, "one of them");
      v.leave(s);
    }
  }
  void finish() {
    auto& s = v.come();
    explore::check(s.version() == 2, "both came");
    v.leave(s);
  }
};

/// A count of three bits, half of it used up: whoever comes takes off those who have left, while others come, leave, hold on
/// and replace it.
template <bool Replacing>
struct settling {
  static constexpr int threads = 3;
  using values = millrace::detail::value_slots<traced, explore::sync, 1, 3>;
  values v{building(0)};
  typename values::slot* held = nullptr;
  settling() {
    for (int k = 0; k < 3; ++k) v.leave(v.come());
    held = &v.come();
  }
  void thread(int i) {
    if (i == 0 && Replacing) {
      v.replace(building(1));
    } else if (i == 1) {
      explore::check(held->value().get() == 0, "it stays");
      v.leave(*held);
    } else {
      auto& s = v.come();
      explore::check(s.value().get() == s.version(), "it is there");
      v.leave(s);
    }
  }
  void finish() {
    auto& s = v.come();
    explore::check(s.value().get() == word(Replacing), "it was replaced");
    v.leave(s);
  }
};

explore::coroutine follow(reader& r, plain<word>& got, bool& closed, explore::stop_source::token stop = {}) {
  for (;;) {
    const outcome o = co_await r.async_wait(millrace::inline_executor(), stop);
    closed = o == outcome::closed;
    if (o != outcome::ok) co_return;
    got.set(r.read().get());
  }
}

/// A coroutine and a thread in the same line: both hear of the set, and of the end.
struct side_by_side {
  static constexpr int threads = 3;
  latest v{std::in_place, word{0}};
  reader of_coroutine{v};
  reader of_thread{v};
  plain<word> got{0};
  bool closed = false;
  word also = 0;
  std::coroutine_handle<> h;
  void thread(int i) {
    if (i == 0) {
      h = follow(of_coroutine, got, closed).handle;
    } else if (i == 1) {
      while (of_thread.wait() == outcome::ok) also = of_thread.read().get();
    } else {
      v.emplace(word{1});
      v.close();
    }
  }
  void finish() {
    explore::check(h.done() && closed, "it came to its end");
    explore::check(got.get() == 1 && also == 1, "both got it");
    h.destroy();
  }
};

/// Cancelled, while a value comes.
struct cancelled {
  static constexpr int threads = 2;
  latest v{std::in_place, word{0}};
  reader r{v};
  explore::stop_source stop;
  plain<word> got{0};
  bool closed = false;
  std::coroutine_handle<> h;
  cancelled() { h = follow(r, got, closed, stop.get_token()).handle; }
  void thread(int i) {
    if (i == 0) {
      stop.request_stop();
    } else {
      v.emplace(word{1});
    }
  }
  void finish() {
    explore::check(h.done() && !closed && got.get() <= 1, "it came to its end");
    h.destroy();
  }
};

/// In a select beside another one: each change is heard of.
struct selecting {
  static constexpr int threads = 3;
  latest a{std::in_place, word{0}};
  latest b{std::in_place, word{0}};
  reader of_a{a};
  reader of_b{b};
  word sum = 0;
  void thread(int i) {
    if (i == 0) {
      for (int k = 0; k < 2; ++k) {
        millrace::select(millrace::on_change(of_a, [&](const traced* now) { sum += now->get(); }),
                         millrace::on_change(of_b, [&](const traced* now) { sum += now->get(); }));
      }
    } else {
      (i == 1 ? a : b).emplace(word(i));
    }
  }
  void finish() { explore::check(sum == 3, "both came"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<set_and_read>("set and read", {.preemptions = 2, .stale_reads = 1}),
          world<two_writers>("two writers", {.preemptions = 3, .stale_reads = 0}),
          world<two_writers>("two writers, stale", {.preemptions = 1, .stale_reads = 2}),
          world<updates<2>>("two updates", {.preemptions = 3, .stale_reads = 1}),
          world<updates<3>>("three updates", {.preemptions = 2, .stale_reads = 0}),
          world<last_one>("the last one", {.preemptions = 2, .stale_reads = 1}),
          world<update_and_leave>("update and leave", {.preemptions = 3, .stale_reads = 2}),
          world<waiting<1, 1>>("waiting", {.preemptions = 3, .stale_reads = 1}),
          world<waiting<2, 1>>("waiting for two", {.preemptions = 2, .stale_reads = 0}),
          world<waiting<1, 2>>("two waiting", {.preemptions = 2, .stale_reads = 0}),
          world<closing>("closing", {.preemptions = 2, .stale_reads = 1}),
          world<asking>("asking", {.preemptions = 2, .stale_reads = 2}),
          world<limits>("limits", {.preemptions = 2, .stale_reads = 0}),
          world<one_stops_for_good<false>>("stopped in set",
                                           {.preemptions = 2, .stale_reads = 0, .frozen = 1}),
          world<one_stops_for_good<true>>("stopped in update",
                                          {.preemptions = 2, .stale_reads = 0, .frozen = 1}),
          world<growing>("growing", {.preemptions = 3, .stale_reads = 1}),
          world<settling<false>>("settling", {.preemptions = 4, .stale_reads = 1}),
          world<settling<true>>("settling, replaced", {.preemptions = 4, .stale_reads = 1}),
          world<side_by_side>("side by side", {.preemptions = 2, .stale_reads = 0}),
          world<cancelled>("cancelled", {.preemptions = 3, .stale_reads = 1}),
          world<selecting>("selecting", {.preemptions = 2, .stale_reads = 0}),
          world<two_writers>("two writers, random",
                             {.preemptions = 2, .stale_reads = 3, .executions = 20000}),
          world<waiting<2, 2>>("waiting, random", {.preemptions = 2, .stale_reads = 3, .executions = 20000}),
      },
      {"topic/latest_value.hpp", "topic/detail/value_slots.hpp"});
}
