// The model checker, checked: the litmus tests whose answers are known, and faults of every kind it claims to find.
#include <cstdint>
#include <string>
#include <tuple>

#include "support/catch.hpp"
#include "support/explore.hpp"

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto seq_cst = std::memory_order_seq_cst;

using word = explore::atomic<std::uint32_t>;

bool mentions(const explore::verdict& v, const char* what) {
  return v.failure.find(what) != std::string::npos;
}

constexpr explore::options wide{.preemptions = 4, .stale_reads = 4};

/// Message passing: data is written before a flag.
template <std::memory_order Publish, std::memory_order Look>
struct message {
  static constexpr int threads = 2;
  explore::plain<int> data{0};
  word flag{0};
  void thread(int i) {
    if (i == 0) {
      data.set(1);
      flag.store(1, Publish);
    } else if (flag.load(Look) == 1) {
      explore::check(data.get() == 1, "the message has arrived");
    }
  }
  void finish() {}
};

/// Store buffering: each writes its own and reads the other's.
template <std::memory_order Write, std::memory_order Read, bool Fence>
struct store_buffer {
  static constexpr int threads = 2;
  word mine[2] = {{0}, {0}};
  std::uint32_t saw[2] = {};
  void thread(int i) {
    mine[i].store(1, Write);
    if (Fence) explore::sync::fence_after_rmw();
    saw[i] = mine[1 - i].load(Read);
  }
  void finish() { explore::check(saw[0] == 1 || saw[1] == 1, "one of them saw the other"); }
};

/// Independent reads of independent writes: do two observers agree on the order of two writes?
template <std::memory_order Write, std::memory_order Read>
struct observers {
  static constexpr int threads = 4;
  word x{0};
  word y{0};
  std::uint32_t first[2] = {};
  std::uint32_t second[2] = {};
  void thread(int i) {
    if (i == 0) return x.store(1, Write);
    if (i == 1) return y.store(1, Write);
    first[i - 2] = (i == 2 ? x : y).load(Read);
    second[i - 2] = (i == 2 ? y : x).load(Read);
  }
  void finish() {
    explore::check(!(first[0] == 1 && second[0] == 0 && first[1] == 1 && second[1] == 0), "they agree");
  }
};

/// Coherence: who has read the newer value never reads the older one again.
struct coherence {
  static constexpr int threads = 2;
  word x{0};
  void thread(int i) {
    if (i == 0) {
      x.store(1, relaxed);
      x.store(2, relaxed);
      return;
    }
    const std::uint32_t a = x.load(relaxed);
    const std::uint32_t b = x.load(relaxed);
    explore::check(a <= b, "time does not run back");
  }
  void finish() {}
};

/// A release sequence: a relaxed read-modify-write hands on what the store before it released.
struct release_sequence {
  static constexpr int threads = 3;
  explore::plain<int> data{0};
  word flag{0};
  void thread(int i) {
    if (i == 0) {
      data.set(1);
      flag.store(1, release);
    } else if (i == 1) {
      std::uint32_t one = 1;
      flag.compare_exchange_strong(one, 2, relaxed);
    } else if (flag.load(acquire) == 2) {
      explore::check(data.get() == 1, "the message was handed on");
    }
  }
  void finish() {}
};

struct lost_update {
  static constexpr int threads = 2;
  word count{0};
  void thread(int) { count.store(count.load(seq_cst) + 1, seq_cst); }
  void finish() { explore::check(count.load(relaxed) == 2, "both counted"); }
};

struct two_locks {
  static constexpr int threads = 2;
  explore::mutex lock[2];
  void thread(int i) {
    lock[i].lock();
    lock[1 - i].lock();
    lock[1 - i].unlock();
    lock[i].unlock();
  }
  void finish() {}
};

struct locked {
  static constexpr int threads = 3;
  explore::mutex lock;
  explore::plain<int> count{0};
  void thread(int) {
    lock.lock();
    count.set(count.get() + 1);
    lock.unlock();
  }
  void finish() { explore::check(count.get() == 3, "all counted"); }
};

template <bool LooksAgain>
struct sleeper {
  static constexpr int threads = 2;
  word ready{0};
  void thread(int i) {
    if (i == 0) {
      ready.store(1, seq_cst);
      explore::sync::unpark(ready);
    } else if (ready.load(seq_cst) == 0) {
      // The kernel compares once more before it puts the thread to sleep; comparing with what is never there
      // takes that away.
      explore::sync::park(ready, LooksAgain ? 0 : ready.load(seq_cst));
    }
  }
  void finish() {}
};

struct spinner {
  static constexpr int threads = 2;
  word never{0};
  void thread(int i) {
    while (i == 0 && never.load(relaxed) == 0) explore::sync::pause();
  }
  void finish() {}
};

struct leak {
  static constexpr int threads = 1;
  explore::plain<int>* lost = nullptr;
  void thread(int) { lost = new explore::plain<int>(1); }
  void finish() {}
};

struct lost_pointer {
  static constexpr int threads = 1;
  int* nowhere = nullptr;
  void thread(int) { *const_cast<int* volatile&>(nowhere) = 1; }
  void finish() {}
};

struct reused_storage {
  static constexpr int threads = 2;
  alignas(explore::plain<int>) unsigned char storage[sizeof(explore::plain<int>)];
  word free{0};
  reused_storage() { new (storage) explore::plain<int>(1); }
  void thread(int i) {
    auto* value = reinterpret_cast<explore::plain<int>*>(storage);
    if (i == 0) {
      value->~plain();
      free.store(1, relaxed);  // the fault: what happened to the storage is not released
    } else if (free.load(acquire) == 1) {
      new (storage) explore::plain<int>(2);
    }
  }
  void finish() {}
};

/// Each announces itself and looks for the other; one fence is for free only if the other one pays for both.
template <bool Paid>
struct asymmetric_fences {
  static constexpr int threads = 2;
  word mine[2] = {{0}, {0}};
  std::uint32_t saw[2] = {};
  void thread(int i) {
    mine[i].store(1, relaxed);
    if (i == 0 || !Paid) {
      explore::sync::light_fence();
    } else {
      explore::sync::heavy_fence();
    }
    saw[i] = mine[1 - i].load(relaxed);
  }
  void finish() { explore::check(saw[0] == 1 || saw[1] == 1, "one of them saw the other"); }
};

/// A pointer is handed over, and its receiver frees what it points to.
template <std::memory_order Publish, bool LooksTooLate>
struct handed_over {
  static constexpr int threads = 2;
  explore::atomic<word*> shared{nullptr};
  void thread(int i) {
    explore::arena<word> from;
    if (i == 0) {
      word* const w = new (from.allocate(1)) word(1);
      shared.store(w, Publish);
      if (LooksTooLate) w->load(relaxed);
    } else if (word* const w = shared.exchange(nullptr, acquire)) {
      explore::check(w->load(relaxed) == 1, "it was built before");
      w->~word();
      from.deallocate(w, 1);
    }
  }
  void finish() {
    word* const w = shared.load(relaxed);
    if (w == nullptr) return;
    w->~word();
    explore::arena<word>().deallocate(w, 1);
  }
};

/// The last user leaves with a relaxed step, so that whoever destroys has not heard of its uses.
struct destroyed_unheard {
  static constexpr int threads = 2;
  word* w = new (explore::arena<word>().allocate(1)) word(0);
  word left{0};
  void thread(int i) {
    if (i == 0) {
      w->store(1, relaxed);
      left.store(1, relaxed);
    } else if (left.load(acquire) == 1) {
      w->~word();
    }
  }
  void finish() {}
};

/// The last use comes after the release, so that whoever acquires has heard of everything but that.
template <class Value>
struct used_after_release {
  static constexpr int threads = 2;
  Value* v = new (explore::arena<Value>().allocate(1)) Value(0);
  word left{0};
  void thread(int i) {
    if (i == 0) {
      left.store(1, release);
      use(*v);
    } else if (left.load(acquire) == 1) {
      v->~Value();
    }
  }
  static void use(explore::plain<int>& p) { std::ignore = p.get(); }
  static void use(word& w) { std::ignore = w.load(relaxed); }
  void finish() {}
};

struct used_when_gone {
  static constexpr int threads = 1;
  word* w = new (explore::arena<word>().allocate(1)) word(0);
  void thread(int) {
    w->~word();
    std::ignore = w->load(relaxed);
  }
  void finish() {}
};

/// A check that fails where nothing can be thrown.
struct fails_in_noexcept {
  static constexpr int threads = 1;
  void thread(int) {}
  void finish() noexcept { explore::check(false, "not to be"); }
};

struct arena_leak {
  static constexpr int threads = 1;
  void thread(int) { std::ignore = explore::arena<word>().allocate(1); }
  void finish() {}
};

/// A lock that spins, and a thread that stops for good: with the lock, or anywhere in lock-free code.
template <bool Locks>
struct one_stops {
  static constexpr int threads = 2;
  word lock{0};
  word count{0};
  void thread(int) {
    std::uint32_t open = 0;
    while (Locks && !lock.compare_exchange_strong(open, 1, acquire)) {
      open = 0;
      explore::sync::pause();
    }
    count.fetch_add(1, relaxed);
    if (Locks) lock.store(0, release);
  }
  void finish() {}
};

}  // namespace

TEST_CASE("message passing needs release and acquire") {
  CHECK(explore::exhaust<message<release, acquire>>(wide).ok);
  CHECK(mentions(explore::exhaust<message<relaxed, acquire>>(wide), "data race"));
  CHECK(mentions(explore::exhaust<message<release, relaxed>>(wide), "data race"));
}

TEST_CASE("store buffering needs sequential consistency or a fence") {
  CHECK(explore::exhaust<store_buffer<seq_cst, seq_cst, false>>(wide).ok);
  CHECK(explore::exhaust<store_buffer<relaxed, relaxed, true>>(wide).ok);
  CHECK_FALSE(explore::exhaust<store_buffer<release, acquire, false>>(wide).ok);
  CHECK_FALSE(explore::exhaust<store_buffer<seq_cst, acquire, false>>(wide).ok);
  CHECK_FALSE(explore::exhaust<store_buffer<release, seq_cst, false>>(wide).ok);
}

TEST_CASE("observers of two writes agree only under sequential consistency") {
  CHECK(explore::exhaust<observers<seq_cst, seq_cst>>(wide).ok);
  CHECK_FALSE(explore::exhaust<observers<release, acquire>>(wide).ok);
}

TEST_CASE("each location is coherent, and release sequences hold") {
  CHECK(explore::exhaust<coherence>(wide).ok);
  CHECK(explore::exhaust<release_sequence>(wide).ok);
}

TEST_CASE("faults of every kind are found") {
  CHECK(mentions(explore::exhaust<lost_update>(wide), "both counted"));
  CHECK(mentions(explore::exhaust<two_locks>(wide), "deadlock"));
  CHECK(explore::exhaust<locked>(wide).ok);
  CHECK(explore::exhaust<sleeper<true>>(wide).ok);
  CHECK(mentions(explore::exhaust<sleeper<false>>(wide), "lost wake-up"));
  CHECK(mentions(explore::exhaust<spinner>(wide), "livelock"));
  CHECK(mentions(explore::exhaust<leak>(wide), "leak"));
  CHECK(mentions(explore::exhaust<reused_storage>(wide), "data race"));
  CHECK(mentions(explore::exhaust<lost_pointer>(wide), "memory that is not there"));
  CHECK(mentions(explore::exhaust<lost_pointer>(wide), "memory that is not there"));  // also the second time
  CHECK(mentions(explore::exhaust<fails_in_noexcept>(wide), "not to be"));
}

TEST_CASE("a light fence needs a heavy one on the other side") {
  CHECK(explore::exhaust<asymmetric_fences<true>>(wide).ok);
  CHECK(mentions(explore::exhaust<asymmetric_fences<false>>(wide), "one of them saw the other"));
}

TEST_CASE("building and destroying an atomic has to be heard of") {
  constexpr explore::options one_after_the_other{.preemptions = 0, .stale_reads = 0};
  CHECK(explore::exhaust<handed_over<release, false>>(wide).ok);
  CHECK(mentions(explore::exhaust<handed_over<relaxed, false>>(wide), "another thread just built"));
  CHECK(
      mentions(explore::exhaust<handed_over<release, true>>(wide), "destroyed while another thread uses it"));
  CHECK(mentions(explore::exhaust<used_when_gone>(wide), "after it was destroyed"));
  CHECK(mentions(explore::exhaust<destroyed_unheard>(wide), "destroyed while another thread uses it"));
  CHECK_FALSE(explore::exhaust<used_after_release<word>>(one_after_the_other).ok);
  CHECK_FALSE(explore::exhaust<used_after_release<explore::plain<int>>>(one_after_the_other).ok);
  CHECK(mentions(explore::exhaust<arena_leak>(wide), "leak: 1 pieces of storage"));
}

TEST_CASE("a thread that stops for good shows who is not lock-free") {
  constexpr explore::options stopping{.preemptions = 2, .stale_reads = 0, .frozen = 1};
  CHECK(mentions(explore::exhaust<one_stops<true>>(stopping), "livelock"));
  CHECK(explore::exhaust<one_stops<false>>(stopping).ok);
}

TEST_CASE("no preemption hides what one preemption shows") {
  CHECK(explore::exhaust<lost_update>({.preemptions = 0, .stale_reads = 0}).ok);
  CHECK_FALSE(explore::exhaust<lost_update>({.preemptions = 1, .stale_reads = 0}).ok);
}

TEST_CASE("random executions find it too, and repeat by their seed") {
  const explore::options random{.preemptions = 2, .stale_reads = 2, .executions = 10000, .seed = 7};
  const explore::verdict once = explore::exhaust<lost_update>(random);
  const explore::verdict again = explore::exhaust<lost_update>(random);
  CHECK_FALSE(once.ok);
  CHECK(once.failure == again.failure);
}

TEST_CASE("an order is weakened where it stands, and only there") {
  std::set<explore::site> sites;
  explore::options collecting = wide;
  collecting.sites = &sites;
  REQUIRE(explore::exhaust<message<release, acquire>>(collecting).ok);
  REQUIRE(sites.size() == 2);
  for (const explore::site& s : sites) {
    explore::options weaker = wide;
    weaker.weakened = &s;
    CHECK(mentions(explore::exhaust<message<release, acquire>>(weaker), "data race"));
  }
}
