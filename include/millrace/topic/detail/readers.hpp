// Who reads a topic, and how far they are: what publishers have to leave alone.
//
// A record says which part of the log its reader stands on. Before a segment is used again, the floor of the log is raised
// above it, and then all records are looked at; a reader that goes somewhere says so in its record, and then looks at the
// floor. All four are sequentially consistent, so one of the two sees the other. (The scheme of hazard pointers, M. M.
// Michael, 2004, with a position for a pointer.)
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/plain_word.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// cursor: [ rule : 2 | offset : 62 ]. Everything before the offset the reader has done with.
struct cursor_word {
  enum rules : std::uint64_t {
    block,    // needs all from its offset on
    segment,  // needs the segment that it is in
    window,   // needs as much from its offset on as the topic holds
    absent,   // needs nothing
  };
  static constexpr std::uint64_t most = (std::uint64_t{1} << 62) - 1;

  std::uint64_t word;
  static constexpr cursor_word of(rules rule, std::uint64_t offset) noexcept {
    return {std::uint64_t{rule} << 62 | offset};
  }
  [[nodiscard]] rules rule() const noexcept { return static_cast<rules>(word >> 62); }
  [[nodiscard]] std::uint64_t offset() const noexcept { return word & most; }
};

template <class Sync>
struct alignas(hot_separation) reader_record {
  template <class U>
  using atomic = typename Sync::template atomic<U>;

  atomic<std::uint64_t> cursor{cursor_word::of(cursor_word::absent, 0).word};
  atomic<std::uint32_t> uses{0};                       // its reader, and the readers behind it
  atomic<std::uint64_t> missed{0};                     // written by its reader
  const void* log = nullptr;                           // \ written before it is linked
  typename plain_of<Sync, reader_record*>::type next;  // /

  /// Where it is: all before that it has passed. Readers behind a reader that has left pass it too.
  [[nodiscard]] std::uint64_t passed() const noexcept {
    // (2) acquire; pairs with (1): a slot that it has passed is settled
    const cursor_word c{cursor.load(std::memory_order_acquire)};
    return c.rule() == cursor_word::absent ? cursor_word::most : c.offset();
  }
};

/// All records of a log. Recycled, freed with the log.
template <class Sync>
class reader_list {
 public:
  using record = reader_record<Sync>;

  explicit reader_list(const void* log) noexcept : log_(log) {}
  reader_list(const reader_list&) = delete;
  reader_list& operator=(const reader_list&) = delete;
  ~reader_list() {
    for (record* r = first_.load(std::memory_order_relaxed); r != nullptr;) {
      record* const next = r->next.get();
      delete r;
      r = next;
    }
  }

  /// One that nobody has. Throws std::bad_alloc.
  [[nodiscard]] record& take() {
    for (record* r = first_.load(std::memory_order_acquire); r != nullptr; r = r->next.get()) {
      std::uint32_t none = 0;
      if (r->uses.load(std::memory_order_relaxed) == 0 &&
          r->uses.compare_exchange_strong(none, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        r->missed.store(0, std::memory_order_relaxed);
        return *r;
      }
    }
    auto* const r = new record;
    r->uses.store(1, std::memory_order_relaxed);
    r->log = log_;
    record* first = first_.load(std::memory_order_relaxed);
    // seq_cst: who raises the floor after this sees it in the list
    do {
      r->next.set(first);
    } while (!first_.compare_exchange_weak(first, r, std::memory_order_seq_cst, std::memory_order_relaxed));
    return *r;
  }
  /// Whether there has been more than one at a time.
  [[nodiscard]] bool are_several() const noexcept {
    const record* const r = first_.load(std::memory_order_acquire);
    return r != nullptr && r->next.get() != nullptr;
  }
  static void give_back(record& r) noexcept { r.uses.fetch_sub(1, std::memory_order_release); }

  /// f(cursor_word) of all that are there.
  template <class F>
  void each(F f) const {
    for (record* r = first_.load(std::memory_order_seq_cst); r != nullptr; r = r->next.get()) {
      const cursor_word c{r->cursor.load(std::memory_order_seq_cst)};
      if (c.rule() != cursor_word::absent) f(c);
    }
  }

 private:
  const void* const log_;
  typename Sync::template atomic<record*> first_{nullptr};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
