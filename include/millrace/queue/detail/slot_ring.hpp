// SlotRing: a bounded FIFO of any movable type, stored in place, in which no thread ever waits long for another.
//
//   cell     [ state : 64 ][ storage of one T ]
//   state    [ position : 60 | closed : 1 | tag : 3 ]     the tag of FREE is free_cell, the others' their names
//
//   FREE(p)     position p may be claimed here       push  FREE(p) -> WRITING(p), construct, -> FULL(p)
//   WRITING(p)  a producer constructs its value      pop   FULL(p) -> READING(p), move out, -> FREE(p + n)
//   FULL(p)     position p holds a value
//   READING(p)  a consumer moves the value out
//   BUSY(q)     somebody still stands in this cell; its positions up to q are dead, and whoever leaves it
//               makes it FREE(q + n)
//
// Position p lives in cell p mod n, and positions are claimed strictly in order, as in word_ring.hpp, whose
// notes on hints, wrapping and the closed bit hold here too. What is new is that constructing and moving a T
// takes time, in which a thread may be suspended:
//   - a consumer that meets WRITING(h) waits a bounded patience, marks the cell BUSY(h) and goes on; the
//     producer finds out when it publishes, takes its value back and pushes it at a later position;
//   - a producer that meets READING(p - n), or BUSY of an earlier position, waits likewise, marks the cell
//     BUSY(p), gives position p up and goes on. After n such positions in one call it answers full: every cell
//     is held by somebody, and without that bound it would circle for ever.
// So a suspended thread costs one cell until it wakes. A constructor that throws makes its position dead in the
// same way. Full and empty are read from cells, never from the hints.
//
// Memory orders: as in word_ring.hpp, looking and claiming (giving a position up is claiming it) are sequentially
// consistent. Publishing and leaving need only release: an older reading is WRITING or READING, which nobody
// mistakes for empty or free.
//
// Progress: lock-free. Empty is exact; full means that at an instant inside the call all n places were held: by
// values, by operations in flight, by positions given up and not yet passed by the head.
// Source: as word_ring.hpp; the skipping of a slow thread's position is that of R. Nikolaev (SCQ), DISC 2019,
// and A. Morrison & Y. Afek (LCRQ), PPoPP 2013, carried over to storage in place.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/hints.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T, class Sync, class Backoff, unsigned Patience>
class slot_ring : public hints<Sync> {
  using hints<Sync>::later;

  enum tag : std::uint64_t { free_cell, writing, full, reading, busy };

 public:
  using hints<Sync>::tail;
  using hints<Sync>::head;
  using hints<Sync>::settle_tail;
  using hints<Sync>::settle_head;

  class cell {
   public:
    explicit cell(std::uint64_t state) noexcept : state_(state) {}
    /// Destroys the value, if there is one. Nobody else may look at the cell any more.
    ~cell() {
      if ((state_.load(std::memory_order_relaxed) & tag_bits) == full) value().~T();
    }

   private:
    friend slot_ring;
    [[nodiscard]] T& value() noexcept { return *std::launder(reinterpret_cast<T*>(storage_)); }

    typename Sync::template atomic<std::uint64_t> state_;
    alignas(T) std::byte storage_[sizeof(T)];
  };

  /// `cells`: n of them, n a power of two of at least 2, each built from `initial(its index, n, first)`.
  slot_ring(cell* cells, std::uint64_t n, std::uint64_t first) noexcept
      : hints<Sync>(first), cells_(cells), mask_(n - 1) {}

  /// What cell `index` holds before position `first` is claimed.
  [[nodiscard]] static std::uint64_t initial(std::uint64_t index, std::uint64_t n,
                                             std::uint64_t first) noexcept {
    return at(first + ((index - first) & (n - 1)), free_cell);
  }

  /// full, if a push would find it so; ok promises nothing.
  [[nodiscard]] outcome look(std::uint64_t p) const noexcept {
    const std::uint64_t s = cells_[p & mask_].state_.load(std::memory_order_seq_cst);
    return distance(s, p) < 0 && (s & (tag_bits | closed_bit)) == full ? outcome::full : outcome::ok;
  }

  /// `make(place)` constructs a T there. `give_back(T&&)` is called when the answer is not ok although `make`
  /// has been; it returns false if it cannot, and then the push goes on until there is a place.
  template <class Make, class GiveBack>
  [[nodiscard]] MILLRACE_INLINE outcome push(std::uint64_t& p, Make&& make, GiveBack&& give_back) {
    const outcome claimed = claim_for_push(p);
    if (claimed != outcome::ok) return claimed;
    cell& c = cells_[p & mask_];
    construct(c, p, make);
    if (publish(c, p)) {
      ++p;
      return outcome::ok;
    }
    const claim pushed = push_again(p, give_back);
    p = pushed.cursor;
    return pushed.result;
  }

  /// `take(T&&)` receives the value, which is destroyed afterwards, also if `take` throws.
  template <class Take>
  [[nodiscard]] MILLRACE_INLINE outcome pop(std::uint64_t& h, Take&& take) {
    const outcome claimed = claim_for_pop(h);
    if (claimed != outcome::ok) return claimed;
    const leaving at_the_end{*this, cells_[h & mask_], at(h, reading)};
    ++h;
    take(std::move(at_the_end.c.value()));
    return outcome::ok;
  }

  /// Ends the stream after everything accepted so far. Idempotent.
  void close() noexcept {
    std::uint64_t p = tail();
    for (;;) {
      cell& c = cells_[p & mask_];
      std::uint64_t s = c.state_.load(std::memory_order_relaxed);
      const std::int64_t ahead = distance(s, p);
      if (ahead < 0 || (s & ~closed_bit) == at(p, free_cell)) {
        if ((s & closed_bit) != 0) return;
        if (c.state_.compare_exchange_strong(s, s | closed_bit, std::memory_order_seq_cst,
                                             std::memory_order_relaxed)) {
          return;
        }
        continue;
      }
      p = next_tail(p, s, ahead);
    }
  }

 private:
  static constexpr std::uint64_t tag_bits = 7;
  static constexpr std::uint64_t closed_bit = 8;
  static constexpr int position_shift = 4;
  static constexpr unsigned pauses_per_look = 8;

  [[nodiscard]] static std::uint64_t at(std::uint64_t p, tag t) noexcept { return p << position_shift | t; }

  /// `s` with its position and closed bit, and another tag.
  [[nodiscard]] static std::uint64_t retag(std::uint64_t s, tag t) noexcept { return (s & ~tag_bits) | t; }

  /// How far the position in state `s` is ahead of `p`.
  [[nodiscard]] static std::int64_t distance(std::uint64_t s, std::uint64_t p) noexcept {
    return static_cast<std::int64_t>(s - (p << position_shift)) >> position_shift;
  }

  /// The answer and the cursor after it.
  struct claim {
    outcome result;
    std::uint64_t cursor;
  };

  /// ok: cell p is WRITING(p), and ours.
  [[nodiscard]] MILLRACE_INLINE outcome claim_for_push(std::uint64_t& p) noexcept {
    // relaxed: only the exchange believes it
    const bool free = cells_[p & mask_].state_.load(std::memory_order_relaxed) == at(p, free_cell);
    if (free && start_writing(p)) return outcome::ok;
    const claim c = go_on_claiming_for_push(p, free);
    p = c.cursor;
    return c.result;
  }

  /// ok: cell h is READING(h), and ours.
  [[nodiscard]] MILLRACE_INLINE outcome claim_for_pop(std::uint64_t& h) noexcept {
    const std::uint64_t s = cells_[h & mask_].state_.load(std::memory_order_relaxed);  // as above
    const bool there = (s & ~closed_bit) == at(h, full);
    if (there && start_reading(h, s)) return outcome::ok;
    const claim c = go_on_claiming_for_pop(h, there);
    h = c.cursor;
    return c.result;
  }

  /// FREE(p) -> WRITING(p). False: somebody was first.
  MILLRACE_INLINE bool start_writing(std::uint64_t p) noexcept {
    std::uint64_t s = at(p, free_cell);
    fetch(p);
    if (!cells_[p & mask_].state_.compare_exchange_strong(s, at(p, writing), std::memory_order_seq_cst,
                                                          std::memory_order_relaxed)) {
      return false;
    }
    settle_tail(p + 1);
    fetch(p + 2);
    return true;
  }

  /// `s`, which is FULL(h), -> READING(h). False: somebody was first.
  MILLRACE_INLINE bool start_reading(std::uint64_t h, std::uint64_t s) noexcept {
    fetch(h);
    if (!cells_[h & mask_].state_.compare_exchange_strong(s, retag(s, reading), std::memory_order_seq_cst,
                                                          std::memory_order_relaxed)) {
      return false;
    }
    settle_head(h + 1);
    fetch(h + 2);
    return true;
  }

  // why: the first try of a claim is in line, the loops are out of it, with all that they know in registers.

  /// `lost`: the first try was, to another thread.
  [[nodiscard]] MILLRACE_NOINLINE claim go_on_claiming_for_push(std::uint64_t p, bool lost) noexcept {
    typename Backoff::template in<Sync> backoff;
    std::uint64_t given_up = 0;
    for (unsigned waited = 0;;) {
      if (lost) backoff();
      cell& c = cells_[p & mask_];
      std::uint64_t s = c.state_.load(std::memory_order_seq_cst);  // (3) pairs with (6)
      lost = s == at(p, free_cell);
      if (lost) {
        if (start_writing(p)) return {outcome::ok, p};
        continue;
      }
      const std::int64_t ahead = distance(s, p);
      if (ahead < 0) {
        if ((s & closed_bit) != 0) return {outcome::closed, p};
        const std::uint64_t t = s & tag_bits;
        if (t == full || t == writing) return {outcome::full, p};
        // READING(p - n), or BUSY
        if (waited < Patience) {
          ++waited;
          Sync::pause();
          continue;
        }
        waited = 0;
        if (c.state_.compare_exchange_strong(s, at(p, busy), std::memory_order_seq_cst,
                                             std::memory_order_relaxed)) {
          settle_tail(++p);
          if (++given_up > mask_) return {outcome::full, p};
        }
        continue;
      }
      if (s == (at(p, free_cell) | closed_bit)) return {outcome::closed, p};
      p = next_tail(p, s, ahead);
      waited = 0;
    }
  }

  [[nodiscard]] MILLRACE_NOINLINE claim go_on_claiming_for_pop(std::uint64_t h, bool lost) noexcept {
    typename Backoff::template in<Sync> backoff;
    for (unsigned waited = 0;;) {
      if (lost) backoff();
      cell& c = cells_[h & mask_];
      std::uint64_t s = c.state_.load(std::memory_order_seq_cst);  // (4) pairs with (5)
      const std::int64_t ahead = distance(s, h);
      const std::uint64_t t = s & tag_bits;
      lost = ahead == 0 && t == full;
      if (lost) {
        if (start_reading(h, s)) return {outcome::ok, h};
        continue;
      }
      // READING or BUSY of an earlier position: nobody has claimed h yet
      if (ahead < 0 || (ahead == 0 && t == free_cell)) {
        return {(s & closed_bit) != 0 ? outcome::closed : outcome::empty, h};
      }
      if (ahead == 0 && t == writing) {
        if (waited < Patience) {
          // A few pauses a look, for each look takes the line from the producer.
          for (unsigned i = 0; i < pauses_per_look && waited < Patience; ++i, ++waited) Sync::pause();
          continue;
        }
        waited = 0;
        if (c.state_.compare_exchange_strong(s, retag(s, busy), std::memory_order_relaxed)) {
          settle_head(++h);
        }
        continue;
      }
      h = next_head(h, t, ahead);
      waited = 0;
    }
  }

  // why: a claim needs the cell's lines for itself, and the look before it brought a shared copy of the first. Asked
  // for all at once, and two cells ahead, they cost one trip between cores instead of one each. Of a large T the
  // first few lines are enough: the processor follows a copy by itself.
  void fetch(std::uint64_t p) const noexcept {
    constexpr std::size_t most = 4 * cache_line_size;
    const auto* const bytes = reinterpret_cast<const std::byte*>(&cells_[p & mask_]);
    for (std::size_t i = 0; i < (sizeof(cell) < most ? sizeof(cell) : most); i += cache_line_size) {
      Sync::prefetch_to_write(bytes + i);
    }
  }

  /// At the end of its scope: destroys the value and leaves the cell, which we hold.
  struct leaving {
    slot_ring& ring;
    cell& c;
    std::uint64_t state;
    ~leaving() {
      c.value().~T();
      ring.leave(c, state);
    }
  };

  template <class Make>
  void construct(cell& c, std::uint64_t p, Make& make) {
    struct giving_up {
      slot_ring& ring;
      cell& c;
      std::uint64_t state;
      bool made = false;
      ~giving_up() {
        if (!made) ring.leave(c, state);
      }
    } guard{*this, c, at(p, writing)};
    make(static_cast<void*>(c.storage_));
    guard.made = true;
  }

  /// False: a consumer gave the position up; the cell is BUSY and still ours.
  [[nodiscard]] bool publish(cell& c, std::uint64_t p) noexcept {
    std::uint64_t s = at(p, writing);
    while (!c.state_.compare_exchange_strong(s, retag(s, full),
                                             std::memory_order_release,  // (5) pairs with (4)
                                             std::memory_order_relaxed)) {
      if ((s & tag_bits) == busy) return false;
    }
    return true;
  }

  /// Leaves a cell that we hold: `s`, unless it has become BUSY or closed meanwhile.
  void leave(cell& c, std::uint64_t s) noexcept {
    while (!c.state_.compare_exchange_strong(s, retag(s, free_cell) + ((mask_ + 1) << position_shift),
                                             std::memory_order_release, std::memory_order_relaxed)) {  // (6)
    }
  }

  /// The value has been constructed in cell p, and the position was given up by a consumer.
  template <class GiveBack>
  MILLRACE_NOINLINE claim push_again(std::uint64_t p, GiveBack& give_back) {
    std::optional<T> value;
    for (;;) {
      take_back(p, value);
      for (;;) {
        const outcome claimed = claim_for_push(p);
        if (claimed == outcome::ok) break;
        if (give_back(std::move(*value)) || claimed == outcome::closed) return {claimed, p};
        Sync::pause();
      }
      cell& c = cells_[p & mask_];
      auto make = [&](void* place) { ::new (place) T(std::move(*value)); };
      construct(c, p, make);
      if (publish(c, p)) {
        return {outcome::ok, p + 1};
      }
    }
  }

  void take_back(std::uint64_t p, std::optional<T>& value) {
    const leaving at_the_end{*this, cells_[p & mask_], at(p, busy)};
    value.emplace(std::move(at_the_end.c.value()));
  }

  // Cell p holds a later position q = p + ahead, or its own, taken. Unless the cell is free, q has been claimed;
  // in any case everything up to q - n has.
  [[nodiscard]] std::uint64_t next_tail(std::uint64_t p, std::uint64_t s, std::int64_t ahead) const noexcept {
    const std::uint64_t q = p + static_cast<std::uint64_t>(ahead);
    return later(later(p + 1, (s & tag_bits) != free_cell ? q + 1 : q - mask_), tail());
  }

  // A value at position x keeps every claim below x + n. So if q has been claimed, no value is left at or
  // before q - n; if only q - n has been (the cell is free), none at or before q - 2n: a dead position may stand
  // ahead of the head.
  [[nodiscard]] std::uint64_t next_head(std::uint64_t h, std::uint64_t t, std::int64_t ahead) const noexcept {
    const std::uint64_t q = h + static_cast<std::uint64_t>(ahead);
    return later(later(h + 1, t != free_cell ? q - mask_ : q - mask_ - (mask_ + 1)), head());
  }

  // read only, and so apart from the hints
  alignas(hot_separation) cell* const cells_;
  const std::uint64_t mask_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
