// Hazard pointers: who reads through a pointer that another thread may take out and free says so first, and who wants
// to free looks whether anybody does.
//
//   reader     slot = p; light fence; the source still holds p? then what p points to stays
//   reclaimer  takes p out of the source; heavy fence; no slot holds p? then nobody will
//
// One list of slots for the process and each Sync; a thread keeps one for as long as it lives, and borrows more for
// operations inside operations (of a T's constructor, say). Slots are recycled, never freed: there are as many as there
// were ever readers at the same time, the first 64 without an allocation.
//
// Progress: lock-free, allocation aside.
// Source: M. M. Michael, Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects, IEEE TPDS 2004; the asymmetric
// fences, D. Dice, M. Moir & W. Scherer, Quickly reacquirable locks, 2003, and membarrier(2).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync, std::size_t Ready = 64>
class hazards {
 public:
  struct alignas(hot_separation) slot {
    typename Sync::template atomic<const void*> guards{nullptr};
    typename Sync::template atomic<bool> taken{false};
    slot* next = nullptr;  // written before it is linked
  };

  hazards() = default;
  hazards(const hazards&) = delete;
  hazards& operator=(const hazards&) = delete;

  /// One that nobody else has. Throws std::bad_alloc, if a new one is needed.
  [[nodiscard]] slot& take() {
    for (slot& s : first_) {
      if (claim(s)) return s;
    }
    for (slot* s = more_.load(std::memory_order_acquire); s != nullptr; s = s->next) {
      if (claim(*s)) return *s;
    }
    auto* const s = new slot;
    s->taken.store(true, std::memory_order_relaxed);
    s->next = more_.load(std::memory_order_relaxed);
    while (!more_.compare_exchange_weak(s->next, s, std::memory_order_release, std::memory_order_relaxed)) {
    }
    return *s;
  }
  void give_back(slot& s) noexcept { s.taken.store(false, std::memory_order_release); }

  /// Whether a reader may hold on to `p`. Exact after a heavy fence, if `p` is nowhere to be had any more.
  [[nodiscard]] bool any_guards(const void* p) const noexcept {
    const auto guards = [&](const slot& s) { return s.guards.load(std::memory_order_acquire) == p; };
    for (const slot& s : first_) {
      if (guards(s)) return true;
    }
    for (slot* s = more_.load(std::memory_order_acquire); s != nullptr; s = s->next) {
      if (guards(*s)) return true;
    }
    return false;
  }

 private:
  static bool claim(slot& s) noexcept {
    if (s.taken.load(std::memory_order_relaxed)) return false;
    bool free = false;
    return s.taken.compare_exchange_strong(free, true, std::memory_order_acquire, std::memory_order_relaxed);
  }

  std::array<slot, Ready> first_;
  typename Sync::template atomic<slot*> more_{nullptr};
};

/// Where the slots of a Sync are, and which is the calling thread's.
template <class Sync>
struct hazard_home {
  using slot = typename hazards<Sync>::slot;

  /// By the constructor of whatever is to be guarded.
  static void prepare() noexcept {
    Sync::prepare_fences();
    static_cast<void>(all());
  }
  /// Never destroyed: a thread may end after the main one.
  [[nodiscard]] static hazards<Sync>& all() noexcept {
    alignas(hazards<Sync>) static std::byte storage[sizeof(hazards<Sync>)];
    static auto* const there = ::new (static_cast<void*>(storage)) hazards<Sync>;
    return *there;
  }
  [[nodiscard]] static slot& take() {
    slot& s = all().take();
    if (mine() == nullptr) {
      mine() = &s;
      static_cast<void>(&at_end);  // from here on it is destroyed with the thread
    }
    return s;
  }
  [[nodiscard]] static MILLRACE_INLINE slot*& mine() noexcept { return of_this_thread; }

 private:
  struct end_of_thread {
    ~end_of_thread() {
      // A destructor that runs still later in this thread takes a slot anew, for good.
      if (slot* const s = std::exchange(of_this_thread, nullptr)) all().give_back(*s);
    }
  };
  static inline constinit thread_local slot* of_this_thread = nullptr;
  static inline thread_local end_of_thread at_end;
};

/// Holds on to one object at a time.
template <class Sync>
class guard {
  using home = hazard_home<Sync>;

 public:
  MILLRACE_INLINE guard()
      : slot_(home::mine() != nullptr && home::mine()->guards.load(std::memory_order_relaxed) == nullptr
                  ? home::mine()
                  : &borrow()) {}
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  MILLRACE_INLINE ~guard() {
    let_go();
    if (slot_ != home::mine()) give_back(*slot_);
  }

  /// What `from` points to, which stays until let_go(), another protect(), or the end.
  template <class Atomic>
  [[nodiscard]] MILLRACE_INLINE auto protect(const Atomic& from) noexcept {
    for (auto* p = from.load(std::memory_order_relaxed);;) {
      // release: who finds another pointer here knows that we are done with the one before
      slot_->guards.store(p, std::memory_order_release);
      Sync::light_fence();
      auto* const now = from.load(std::memory_order_acquire);
      if (now == p) return p;
      p = now;
    }
  }
  MILLRACE_INLINE void let_go() noexcept { slot_->guards.store(nullptr, std::memory_order_release); }

 private:
  // why: out of line, as they are needed once a thread, and in operations inside operations; in line they make a verb
  // so large that it is not taken into its caller any more.
  [[nodiscard]] static MILLRACE_NOINLINE typename home::slot& borrow() { return home::take(); }
  static MILLRACE_NOINLINE void give_back(typename home::slot& s) noexcept { home::all().give_back(s); }

  typename home::slot* const slot_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
