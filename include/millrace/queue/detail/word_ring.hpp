// WordRing: a bounded FIFO of 64-bit words for any number of producers and consumers, in which no thread ever
// waits for another.
//
//   cell     [ state : 64 ][ value : 64 ]          both change together, by one double-width compare-and-swap
//   state    [ position : 62 | closed : 1 | full : 1 ]
//
//   FREE(p)  position p may be filled here         push: FREE(p) -> FULL(p)
//   FULL(p)  position p holds a value              pop:  FULL(p) -> FREE(p + n)
//
// Position p lives in cell p mod n. Cells fill and drain strictly in the order of their positions, because who
// finds its cell taken goes on to the next position, and stops at the first one that is not. The exchange is the
// linearization point, and there is nothing in between: a thread suspended anywhere holds up nobody.
//
// `tail_` and `head_` are hints where to start looking. A hint is stored only after its position is settled, so
// it never runs ahead of the truth; it may run far behind (a thread can be suspended before its store), and then
// the cells themselves tell how far to jump. Positions wrap after 2^62 and are compared by their difference.
//
// closed: the first position that this cell offers from now on is the end of the stream. The bit stays through
// the pop of an older value, so nothing enters at or after it, and everything before it is popped first.
//
// Memory orders: looking at a state to answer by it, and exchanging it, are sequentially consistent. Acquire and
// release would publish the values, but then a push could return and a pop that begins later, on another core, still
// answer empty, as the store may sit in a store buffer. It costs nothing: on x86-64 and ARM64 these are the
// instructions of acquire and release.
//
// Progress: lock-free; full and empty are exact. Source: positions in cells, C. Evequoz, ICPP 2008; array and
// hints, P. Tsigas & Y. Zhang, SPAA 2001; the pair, A. Morrison & Y. Afek (LCRQ), PPoPP 2013.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/word_pair.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/detail/hints.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync, class Backoff>
class word_ring : public hints<Sync> {
  using hints<Sync>::later;

 public:
  using hints<Sync>::tail;
  using hints<Sync>::head;
  using cell = typename Sync::atomic_pair;

  /// `cells`: n of them, n a power of two of at least 2, each built from `initial(its index, n, first)`.
  word_ring(cell* cells, std::uint64_t n, std::uint64_t first) noexcept
      : hints<Sync>(first), cells_(cells), mask_(n - 1) {}

  /// What cell `index` holds before position `first` is filled.
  [[nodiscard]] static word_pair initial(std::uint64_t index, std::uint64_t n, std::uint64_t first) noexcept {
    return {free_at(first + ((index - first) & (n - 1))), 0};
  }

  [[nodiscard]] MILLRACE_INLINE outcome push(std::uint64_t& p, std::uint64_t value) noexcept {
    // relaxed: only the exchange believes it
    const bool free = cells_[p & mask_].first(std::memory_order_relaxed) == free_at(p);
    if (free && fill(p, value)) {
      ++p;
      return outcome::ok;
    }
    const pushed r = push_on(p, value, free);
    p = r.cursor;
    return r.result;
  }

  [[nodiscard]] MILLRACE_INLINE outcome pop(std::uint64_t& h, std::uint64_t& value) noexcept {
    const std::uint64_t s = cells_[h & mask_].first(std::memory_order_relaxed);  // as above
    const bool full = (s & ~closed_bit) == (free_at(h) | full_bit);
    if (full && drain(h, s, value)) {
      ++h;
      return outcome::ok;
    }
    const popped r = pop_on(h, full);
    h = r.cursor;
    value = r.value;
    return r.result;
  }

  /// Ends the stream after everything accepted so far. Idempotent.
  void close() noexcept {
    std::uint64_t p = tail();
    for (;;) {
      cell& c = cells_[p & mask_];
      const std::uint64_t s = c.first(std::memory_order_relaxed);
      const std::int64_t ahead = distance(s, p);
      if (ahead < 0 || (s & ~closed_bit) == free_at(p)) {
        if ((s & closed_bit) != 0) return;
        word_pair expected{s, c.second(std::memory_order_relaxed)};
        if (c.compare_exchange(expected, {s | closed_bit, expected.second}, std::memory_order_seq_cst))
          return;
        continue;
      }
      p = next_tail(p, s, ahead);
    }
  }

 private:
  static constexpr std::uint64_t full_bit = 1;
  static constexpr std::uint64_t closed_bit = 2;
  static constexpr int position_shift = 2;

  [[nodiscard]] static std::uint64_t free_at(std::uint64_t p) noexcept { return p << position_shift; }

  /// How far the position in state `s` is ahead of `p`.
  [[nodiscard]] static std::int64_t distance(std::uint64_t s, std::uint64_t p) noexcept {
    return static_cast<std::int64_t>(s - (p << position_shift)) >> position_shift;
  }

  struct pushed {
    outcome result;
    std::uint64_t cursor;
  };
  struct popped {
    outcome result;
    std::uint64_t cursor;
    std::uint64_t value;
  };

  /// FREE(p) -> FULL(p). False: somebody was first.
  MILLRACE_INLINE bool fill(std::uint64_t p, std::uint64_t value) noexcept {
    word_pair expected{free_at(p), 0};
    // (4) publishes the value, and what it points to; pairs with (6)
    const bool done = cells_[p & mask_].compare_exchange(expected, {free_at(p) | full_bit, value},
                                                         std::memory_order_seq_cst);
    if (done) fetch_next_line(p);
    return done;
  }

  /// `s`, which is FULL(h), -> FREE(h + n). False: somebody was first.
  MILLRACE_INLINE bool drain(std::uint64_t h, std::uint64_t s, std::uint64_t& value) noexcept {
    cell& c = cells_[h & mask_];
    // relaxed: a value of another lap is caught by the exchange, which compares it with its state
    word_pair expected{s, c.second(std::memory_order_relaxed)};
    // (5) tells producers that there is room; pairs with (3)
    if (!c.compare_exchange(expected, {free_at(h + mask_ + 1) | (s & closed_bit), 0},
                            std::memory_order_seq_cst)) {
      return false;
    }
    fetch_next_line(h);
    value = expected.second;
    return true;
  }

  // why: push and pop are one try, in line; the loops are out of it, with all that they know in registers.

  /// `lost`: the first try was, to another thread.
  MILLRACE_NOINLINE pushed push_on(std::uint64_t p, std::uint64_t value, bool lost) noexcept {
    typename Backoff::template in<Sync> backoff;
    for (;;) {
      if (lost) backoff();
      const std::uint64_t s = cells_[p & mask_].first(std::memory_order_seq_cst);  // (3) pairs with (5)
      lost = s == free_at(p);
      if (lost) {
        if (fill(p, value)) return {outcome::ok, p + 1};
        continue;
      }
      const std::int64_t ahead = distance(s, p);
      if (ahead < 0) return {(s & closed_bit) != 0 ? outcome::closed : outcome::full, p};  // FULL(p - n)
      if (s == (free_at(p) | closed_bit)) return {outcome::closed, p};
      p = next_tail(p, s, ahead);
    }
  }

  MILLRACE_NOINLINE popped pop_on(std::uint64_t h, bool lost) noexcept {
    typename Backoff::template in<Sync> backoff;
    for (;;) {
      if (lost) backoff();
      const std::uint64_t s = cells_[h & mask_].first(std::memory_order_seq_cst);  // (6) pairs with (4)
      const std::int64_t ahead = distance(s, h);
      lost = ahead == 0;
      if (lost) {
        if ((s & full_bit) == 0) return {(s & closed_bit) != 0 ? outcome::closed : outcome::empty, h, 0};
        if (std::uint64_t value; drain(h, s, value)) return {outcome::ok, h + 1, value};
        continue;
      }
      h = next_head(h, ahead);
    }
  }

  // why: the exchange needs the line for itself, and a look at it first brings a shared copy, so a line costs two
  // trips between cores. Asked for one line ahead, in one go, it is here when its first cell comes up.
  void fetch_next_line(std::uint64_t p) const noexcept {
    constexpr std::uint64_t cells_per_line = cache_line_size / (2 * sizeof(std::uint64_t));
    if (p % cells_per_line == 0) Sync::prefetch_to_write(&cells_[(p + cells_per_line) & mask_]);
  }

  // Cell p holds a later position q = p + ahead (or its own, filled). Everything before q - n has been filled
  // and popped, and q itself has been filled if the cell is full.
  [[nodiscard]] std::uint64_t next_tail(std::uint64_t p, std::uint64_t s, std::int64_t ahead) const noexcept {
    const std::uint64_t q = p + static_cast<std::uint64_t>(ahead);
    p = later(p + 1, (s & full_bit) != 0 ? q + 1 : q - mask_);
    return later(p, tail());
  }
  [[nodiscard]] std::uint64_t next_head(std::uint64_t h, std::int64_t ahead) const noexcept {
    if (ahead < 0) return head();  // a reading older than the hint that led here: look again
    const std::uint64_t q = h + static_cast<std::uint64_t>(ahead);
    return later(later(h + 1, q - mask_), head());
  }

  // read only, and so apart from the hints
  alignas(hot_separation) cell* const cells_;
  const std::uint64_t mask_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
