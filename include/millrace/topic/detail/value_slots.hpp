// A register for values of any type: who reads holds on to the value of the moment, who writes puts another one in its place,
// and whoever is the last to let go of a replaced value destroys it.
//
//   current  [ slot | closed : 1 | came : CameBits ]   `came`: how often somebody has come to this slot to hold it
//   left     of each slot: how often somebody has left it; the writer that replaces its value subtracts how many came, so
//            that from then on it is 0 when, and only when, nobody holds it any more
//   free     of each block of slots: a bit for each that has no value
//
// To come is one fetch_add, to leave another one, and to give a free slot back a third. A writer holds the value that it
// replaces as a reader does: that slot cannot come back with another value then, so that neither the exchange nor the number
// of the version can be mistaken. It tries again if somebody came, or another writer was faster.
//
// `came` cannot run over: whoever comes when half of it is used up takes off, here and there, those who have left. That
// would have to fail 2^(CameBits - 1) times in a row, each time because of another thread in that very moment; and those
// who have not left are as many objects in memory.
//
// Progress: come, leave and look are wait-free, replace and update lock-free, allocation and T aside.
// Source: split reference counting (A. Williams, C++ Concurrency in Action, 2012, for a stack) as in the ARC register: M. Ianni,
// A. Pellegrini & F. Quaglia, A Wait-free Multi-word Atomic (1,N) Register for Large-scale Data Sharing, CLUSTER 2017; for many
// writers, with free slots found in constant time, and as many as it takes.
#pragma once

#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T, class Sync, unsigned PerBlock = 64, unsigned CameBits = 43>
class value_slots {
  static_assert(PerBlock >= 1 && PerBlock <= 64);
  using word = std::uint64_t;
  static constexpr word one = 1;
  static constexpr word closed_bit = one << CameBits;
  static constexpr word many = one << (CameBits - 1);
  static constexpr word most_slots = one << (63 - CameBits);

  struct block;

 public:
  enum class state { same, changed, closed };

  class slot {
   public:
    [[nodiscard]] const T& value() const noexcept {
      return *std::launder(reinterpret_cast<const T*>(storage_));
    }
    /// How many values came before this one.
    [[nodiscard]] std::uint64_t version() const noexcept { return version_; }

   private:
    friend value_slots;
    slot(block& home, unsigned place, word number) noexcept : home_(&home), place_(place), number_(number) {}

    alignas(cache_line_size) typename Sync::template atomic<word> left_{0};
    // why apart: readers come and go beside those who read
    alignas(cache_line_size) block* const home_;
    const unsigned place_;
    const word number_;
    std::uint64_t version_ = 0;
    alignas(T) std::byte storage_[sizeof(T)];
  };

  /// The first value, built by make(where).
  template <class Make>
  explicit value_slots(Make make) {
    draft first(*this);
    first.write(make);
    current_.store(first.publish().number_ << (CameBits + 1), std::memory_order_relaxed);
  }
  value_slots(const value_slots&) = delete;
  value_slots& operator=(const value_slots&) = delete;
  /// Nobody may hold a value any more.
  ~value_slots() {
    const word now = current_.load(std::memory_order_relaxed);
    slot& last = at(number_of(now));
    assert(last.left_.load(std::memory_order_relaxed) == came_to(now) &&
           "latest_value: destroyed while a reader holds its value");
    destroy(last);
    assert(all_free() && "latest_value: destroyed while a reader holds an old value");
  }

  // --- readers ---

  /// The newest value, which stays until the caller leaves it.
  [[nodiscard]] slot& come() noexcept {
    // (1) acquire; pairs with (3): the value, its version, and all before it
    const word now = current_.fetch_add(1, std::memory_order_acquire);
    slot& s = at(number_of(now));
    if (came_to(now) >= many) settle(s);
    return s;
  }
  void leave(slot& s) noexcept {
    // (2) release; pairs with itself and (4), acquire: who destroys the value does so after all have read it
    if (s.left_.fetch_add(1, std::memory_order_acq_rel) + 1 == 0) reclaim(s);
  }
  /// Whether the value that the caller holds is the newest one. Relaxed: that it is not is all it tells; what came instead,
  /// come() tells.
  [[nodiscard]] bool is_newest(const slot& held) const noexcept {
    return number_of(current_.load(std::memory_order_relaxed)) == held.number_;
  }
  /// A newer one, or else none will ever come.
  [[nodiscard]] state look(const slot& held) const noexcept {
    const word now = current_.load(std::memory_order_acquire);  // (6) acquire; pairs with (5)
    if (number_of(now) != held.number_) return state::changed;
    return is_closed(now) ? state::closed : state::same;
  }

  // --- writers; false: closed, and nothing was done ---

  /// Puts the value built by make(where) in the place of the newest one.
  template <class Make>
  bool replace(Make make) {
    if (is_closed()) return false;
    draft next(*this);
    next.write(make);
    for (;;) {
      slot& held = come();
      const result r = exchange(held, next);
      if (r == result::done) return true;
      leave(held);
      if (r == result::closed) return false;
    }
  }
  /// Likewise make(newest, where), anew until no other writer was faster.
  template <class Make>
  bool update(Make make) {
    if (is_closed()) return false;
    draft next(*this);
    for (;;) {
      holder held(*this, come());
      next.write([&](void* where) { make(held.held->value(), where); });
      const result r = exchange(*held.held, next);
      if (r == result::done) {
        held.held = nullptr;
        return true;
      }
      if (r == result::closed) return false;
      next.erase();
    }
  }

  // (5) release; pairs with (6): what was done before
  void close() noexcept { current_.fetch_or(closed_bit, std::memory_order_release); }
  [[nodiscard]] bool is_closed() const noexcept {
    return is_closed(current_.load(std::memory_order_acquire));
  }  // (6)

 private:
  struct block {
    typename Sync::template atomic<word> free{~word{0} >> (64 - PerBlock)};
    typename Sync::template atomic<block*> next{nullptr};
    // each written once, by the first one that has its bit
    alignas(cache_line_size) slot* all[PerBlock] = {};
  };
  /// Of all slots, and of all blocks but the first.
  struct memory {
    block first;

    memory() = default;
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;
    ~memory() {
      for (block* b = &first; b != nullptr;) {
        for (slot* const s : b->all) delete s;
        block* const next = b->next.load(std::memory_order_relaxed);
        if (b != &first) delete b;
        b = next;
      }
    }
  };
  enum class result { done, closed, overtaken };

  /// A slot that nobody else has yet.
  class draft {
   public:
    explicit draft(value_slots& of) : of_(of), slot_(&of.take()) {}
    draft(const draft&) = delete;
    draft& operator=(const draft&) = delete;
    ~draft() {
      if (slot_ == nullptr) return;
      if (written_) erase();
      of_.give_back(*slot_);
    }
    template <class Make>
    void write(Make&& make) {
      make(static_cast<void*>(slot_->storage_));
      written_ = true;
    }
    void erase() noexcept {
      written_ = false;
      destroy(*slot_);
    }
    [[nodiscard]] slot& get() const noexcept { return *slot_; }
    slot& publish() noexcept { return *std::exchange(slot_, nullptr); }

   private:
    value_slots& of_;
    slot* slot_;
    bool written_ = false;
  };
  struct holder {
    holder(value_slots& o, slot& s) noexcept : of(o), held(&s) {}
    holder(const holder&) = delete;
    holder& operator=(const holder&) = delete;
    ~holder() {
      if (held != nullptr) of.leave(*held);
    }
    value_slots& of;
    slot* held;
  };

  [[nodiscard]] static word number_of(word w) noexcept { return w >> (CameBits + 1); }
  [[nodiscard]] static word came_to(word w) noexcept { return w & (closed_bit - 1); }
  [[nodiscard]] static bool is_closed(word w) noexcept { return (w & closed_bit) != 0; }

  /// The caller holds `held`; not any more, if it was done.
  result exchange(slot& held, draft& next) noexcept {
    next.get().version_ = held.version_ + 1;
    const word desired = next.get().number_ << (CameBits + 1);
    word now = current_.load(std::memory_order_relaxed);  // a guess
    do {
      if (is_closed(now)) return result::closed;
      if (number_of(now) != held.number_) return result::overtaken;
      // (3) release; pairs with (1). On failure relaxed: nothing is read through it.
    } while (
        !current_.compare_exchange_weak(now, desired, std::memory_order_release, std::memory_order_relaxed));
    next.publish();
    const word others = came_to(now) - 1;
    // (4) acquire; pairs with (2); release: it may be another one that destroys what was read here
    if (held.left_.fetch_sub(others, std::memory_order_acq_rel) == others) reclaim(held);
    return result::done;
  }

  /// By one who has come: takes off those who have left. Relaxed: every change of these words is a read-modify-write, which
  /// passes on what the others have released.
  MILLRACE_NOINLINE void settle(slot& s) noexcept {
    // First there: until it is back, or taken off here, `left` only tells of fewer than have left.
    const word gone = s.left_.exchange(0, std::memory_order_relaxed);
    word now = current_.load(std::memory_order_relaxed);
    if (number_of(now) == s.number_ &&
        current_.compare_exchange_strong(now, now - gone, std::memory_order_relaxed,
                                         std::memory_order_relaxed)) {
      return;
    }
    s.left_.fetch_add(gone, std::memory_order_relaxed);
  }

  // --- free slots ---

  [[nodiscard]] slot& take() {
    word first = 0;  // of the block
    for (block* b = &memory_.first;; first += PerBlock) {
      word there = b->free.load(std::memory_order_relaxed);  // a guess
      while (there != 0) {
        const word bit = there & (~there + 1);
        // (8) acquire; pairs with (7): its last value is gone
        if (!b->free.compare_exchange_weak(there, there & ~bit, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
          continue;
        }
        return made(*b, place_of(bit), first);
      }
      block* next = b->next.load(std::memory_order_acquire);  // (10) acquire; pairs with (9)
      b = next != nullptr ? next : &append(*b, first + PerBlock);
    }
  }
  [[nodiscard]] slot& made(block& b, unsigned place, word first) {
    if (b.all[place] == nullptr) {
      returning back{b, one << place};
      b.all[place] = new slot(b, place, first + place);
      back.bit = 0;
    }
    return *b.all[place];
  }
  /// Gives the bit back if there is no memory for the slot.
  struct returning {
    block& to;
    word bit;
    ~returning() {
      if (bit != 0) to.free.fetch_or(bit, std::memory_order_relaxed);  // nothing was written
    }
  };
  MILLRACE_NOINLINE block& append(block& to, word first) {
    if (first + PerBlock > most_slots)
      fail<std::length_error>("latest_value: readers hold on to more than a million values");
    auto mine = std::make_unique<block>();
    block* there = nullptr;
    // (9) release; pairs with (10): the block, empty
    if (to.next.compare_exchange_strong(there, mine.get(), std::memory_order_release,
                                        std::memory_order_acquire)) {
      return *mine.release();
    }
    return *there;  // (10) likewise
  }
  void reclaim(slot& s) noexcept {
    destroy(s);
    give_back(s);
  }
  static void destroy(slot& s) noexcept { s.value().~T(); }
  // (7) release; pairs with (8)
  static void give_back(slot& s) noexcept {
    s.home_->free.fetch_or(one << s.place_, std::memory_order_release);
  }

  /// Of a slot that the caller has heard of. Relaxed: it has heard of the block with it.
  [[nodiscard]] slot& at(word number) noexcept {
    block* b = &memory_.first;
    for (; number >= PerBlock; number -= PerBlock) b = b->next.load(std::memory_order_relaxed);
    return *b->all[number];
  }
  [[nodiscard]] static unsigned place_of(word bit) noexcept {
    return static_cast<unsigned>(std::countr_zero(bit));
  }
  [[nodiscard]] bool all_free() const noexcept {
    word busy = 0;
    for (const block* b = &memory_.first; b != nullptr; b = b->next.load(std::memory_order_relaxed)) {
      for (word left = ~b->free.load(std::memory_order_relaxed) & (~word{0} >> (64 - PerBlock)); left != 0;
           left &= left - 1)
        ++busy;
    }
    return busy == 1;  // the last value's own
  }

  alignas(hot_separation) typename Sync::template atomic<word> current_{0};
  alignas(hot_separation) memory memory_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
