// A deduplicator under every schedule within bounds: of those that begin an id one has it, and it is committed once. Its ids
// race if two threads are ever at the same one without an order, and its nodes are found out if they are touched once gone.
#include "millrace/delivery/deduplicator.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using explore::plain;
using millrace::dedup_status;
using std::chrono::nanoseconds;

struct id {
  explicit id(int n) : number(n) {}
  plain<int> number;
  friend bool operator==(const id& a, const id& b) { return a.number.get() == b.number.get(); }
};
/// Every id in the same bucket.
struct alike {
  std::size_t operator()(const id&) const { return 1; }
};
/// Goes on when it is told to, which anybody may see at any time.
struct told_clock {
  using duration = nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<told_clock>;
  [[nodiscard]] time_point now() const noexcept {
    return time_point(nanoseconds(static_cast<rep>(t.load(std::memory_order_relaxed))));
  }
  explore::atomic<std::uint64_t> t{0};
};
using dedup = millrace::deduplicator<id, alike, told_clock, explore::sync>;
using ticket = dedup::ticket;

struct base {
  told_clock clock;
  dedup d{clock, {.capacity = 2, .window = nanoseconds(10)}};
  plain<int> inside{0};  // what the handlers of id 1 do: in an order, or it is a race
  plain<int> done{0};

  void enter() {
    explore::check(inside.get() == 0, "nobody else has it");
    inside.set(1);
  }
  /// With a ticket, until it is a duplicate.
  void handle(bool fails_first) {
    for (;;) {
      ticket t = d.begin(id(1));
      if (t.status() == dedup_status::duplicate) break;
      if (t.status() == dedup_status::in_progress) {
        explore::sync::pause();
        continue;
      }
      enter();
      inside.set(0);
      if (std::exchange(fails_first, false)) continue;
      done.set(done.get() + 1);
      explore::check(t.commit(), "it was there to commit");
    }
    explore::check(done.get() == 1, "what was done before the commit is seen by who is told of it");
  }
  /// Without one.
  void handle_by_id(bool fails_first) {
    for (;;) {
      const dedup_status s = d.try_begin(id(1));
      if (s == dedup_status::duplicate) break;
      if (s == dedup_status::in_progress) {
        explore::sync::pause();
        continue;
      }
      enter();
      inside.set(0);
      if (std::exchange(fails_first, false)) {
        explore::check(d.abort(id(1)), "it was there to abort");
        continue;
      }
      done.set(done.get() + 1);
      explore::check(d.commit(id(1)), "it was there to commit");
    }
    explore::check(done.get() == 1, "what was done before the commit is seen by who is told of it");
  }
};

/// Some begin the same id, one of them fails at first.
template <int Threads, bool ById>
struct same_id : base {
  static constexpr int threads = Threads;
  void thread(int i) {
    if (ById && i == 0) {
      handle_by_id(true);
    } else {
      handle(!ById && i == 0);
    }
  }
  void finish() {
    explore::check(done.get() == 1, "once");
    explore::check(d.duplicates() == std::uint64_t(threads),
                   "all the others are duplicates, and who has done it too");
    explore::check(d.size() == 1 && d.in_progress() == 0, "it is remembered");
  }
};

/// A ticket is settled while others settle by the id: it is the ticket's.
struct not_yours : base {
  static constexpr int threads = 2;
  ticket t = d.begin(id(1));
  void thread(int i) {
    if (i == 0) {
      explore::check(t.commit(), "it was there to commit");
    } else {
      explore::check(!d.abort(id(1)) && !d.commit(id(1)), "it is the ticket's, or settled");
      explore::check(d.begin(id(1)).status() != dedup_status::fresh, "it is not to be had");
    }
  }
  void finish() { explore::check(d.contains(id(1)), "it is remembered"); }
};

/// Ids go by their number, by their age, by hand and all at once, while others begin and commit.
struct forgotten : base {
  static constexpr int threads = 3;
  forgotten() {
    for (const int n : {1, 2}) d.begin(id(n)).commit();
  }
  int fresh = 0;
  void thread(int i) {
    if (i == 0) {
      handle_again();
    } else if (i == 1) {
      static_cast<void>(d.begin(id(3)).commit());
      static_cast<void>(d.forget(id(2)));
    } else {
      clock.t.store(10, std::memory_order_relaxed);
      static_cast<void>(d.contains(id(1)));
      d.clear();
    }
  }
  void handle_again() {
    ticket t = d.begin(id(1));
    if (t.status() != dedup_status::fresh) return;
    enter();
    inside.set(0);
    fresh = 1;
    t.commit();
  }
  void finish() {
    explore::check(d.in_progress() == 0 && d.size() <= 2, "nothing is begun, and no more than fits");
    explore::check(d.duplicates() == std::uint64_t(1 - fresh), "it was one or the other");
  }
};

/// All are forgotten at once, in a thread that has seen nothing else.
struct cleared : base {
  static constexpr int threads = 3;
  void thread(int i) {
    if (i == 0) {
      d.clear();
    } else {
      explore::check(d.begin(id(i)).commit(), "nobody else wants it");
    }
  }
  void finish() {
    explore::check(d.in_progress() == 0 && d.size() <= 2, "nothing is begun");
    d.clear();
    explore::check(d.size() == 0, "nothing is left");
  }
};

/// What is in progress stays, whatever becomes of all others.
struct kept : base {
  static constexpr int threads = 2;
  void thread(int i) {
    if (i == 0) {
      ticket t = d.begin(id(1));
      explore::check(t.status() == dedup_status::fresh, "nobody else wants it");
      explore::check(d.try_begin(id(1)) == dedup_status::in_progress, "it stays");
      explore::check(t.commit(), "it was there to commit");
    } else {
      clock.t.store(20, std::memory_order_relaxed);
      static_cast<void>(d.begin(id(2)).commit());
      static_cast<void>(d.forget(id(1)));
      d.clear();
      explore::check(d.size() <= 1, "only the other one is left");
    }
  }
  void finish() { explore::check(d.in_progress() == 0 && d.size() <= 1, "nothing is begun"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(argc, argv,
                     {
                         world<same_id<2, false>>("two with tickets", {.preemptions = 4, .stale_reads = 1}),
                         world<same_id<2, true>>("a ticket and an id", {.preemptions = 4, .stale_reads = 1}),
                         world<same_id<3, false>>("three with tickets", {.preemptions = 3, .stale_reads = 0}),
                         world<same_id<3, true>>("three, one by id", {.preemptions = 3, .stale_reads = 0}),
                         world<not_yours>("not yours", {.preemptions = 4, .stale_reads = 1}),
                         world<forgotten>("forgotten", {.preemptions = 3, .stale_reads = 1}),
                         world<cleared>("cleared", {.preemptions = 4, .stale_reads = 1}),
                         world<kept>("kept", {.preemptions = 4, .stale_reads = 1}),
                     },
                     {});
}
