// Where the entries of a wheel live: numbered, never moved, taken and given back in constant time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// What a wheel knows of an entry, apart from its payload. 32 bytes.
struct timer_node {
  using index = std::uint32_t;
  static constexpr index none = ~index{0};
  // Where it is: 0 .. 2559: in that slot, or
  enum : std::uint16_t { is_free = 0xFFFF, is_due = 0xFFFE, is_firing = 0xFFFD };

  std::int64_t deadline = 0;  // in units of the clock, since its epoch
  std::uint64_t order = 0;    // when it was scheduled, which decides between equal deadlines
  index previous = none;      // \ in its list; a free one has `next` alone
  index next = none;          // /
  std::uint32_t generation = 1;
  std::uint16_t place = is_free;
  bool periodic = false;
  bool catches_up = false;
};
static_assert(sizeof(timer_node) == 32);

/// Where the entry of that number lies. Chunk c holds 64 << c entries, so the table of chunks is small and fixed.
struct timer_spot {
  static constexpr unsigned chunks = 26;
  [[nodiscard]] static constexpr std::size_t size_of(unsigned c) noexcept { return std::size_t{64} << c; }

  explicit timer_spot(timer_node::index i) noexcept {
    const std::uint64_t n = std::uint64_t{i} + 64;
    chunk = static_cast<unsigned>(std::bit_width(n)) - 7;
    offset = static_cast<std::size_t>(n ^ (std::uint64_t{64} << chunk));
  }
  unsigned chunk;
  std::size_t offset;
};

template <class Payload, class Allocator>
class timer_slab {
 public:
  using index = timer_node::index;

  struct entry : timer_node {
    entry() noexcept {}
    entry(const entry&) = delete;
    entry& operator=(const entry&) = delete;
    ~entry() {}
    union {
      Payload payload;  // of an entry that is not free
    };
  };

  explicit timer_slab(const Allocator& from) : allocator_(from) {}
  timer_slab(const timer_slab&) = delete;
  timer_slab& operator=(const timer_slab&) = delete;
  /// All payloads must have been destroyed.
  ~timer_slab() {
    for_entries from(allocator_);
    for_periods from_periods(allocator_);
    for (unsigned c = 0; c < timer_spot::chunks && chunks_[c].entries != nullptr; ++c) {
      std::allocator_traits<for_entries>::deallocate(from, chunks_[c].entries, timer_spot::size_of(c));
      if (chunks_[c].periods != nullptr) {
        std::allocator_traits<for_periods>::deallocate(from_periods, chunks_[c].periods,
                                                       timer_spot::size_of(c));
      }
    }
  }

  [[nodiscard]] entry& operator[](index i) noexcept {
    const timer_spot s(i);
    return std::to_address(chunks_[s.chunk].entries)[s.offset];
  }
  [[nodiscard]] const entry& operator[](index i) const noexcept {
    const timer_spot s(i);
    return std::to_address(chunks_[s.chunk].entries)[s.offset];
  }
  /// How many entries have ever been in use at the same time.
  [[nodiscard]] index used() const noexcept { return used_; }

  /// A free entry; it stays free until its place says otherwise.
  [[nodiscard]] index acquire() {
    if (free_ != timer_node::none) return std::exchange(free_, (*this)[free_].next);
    const timer_spot s(used_);
    if (s.chunk == timer_spot::chunks)
      fail<std::length_error>("timing_wheel: there are 2^32 - 2^6 entries at the most");
    chunk& c = chunks_[s.chunk];
    if (c.entries == nullptr) {
      for_entries from(allocator_);
      c.entries = std::allocator_traits<for_entries>::allocate(from, timer_spot::size_of(s.chunk));
    }
    ::new (static_cast<void*>(std::to_address(c.entries) + s.offset)) entry;
    return used_++;
  }
  /// Makes its handles void.
  void retire(index i) noexcept {
    entry& e = (*this)[i];
    e.place = timer_node::is_free;
    ++e.generation;
  }
  /// Gives it back, after that.
  void release(index i) noexcept {
    entry& e = (*this)[i];
    // why: with its last generation it is given up, because the next one would revive the handles of the first
    if (e.generation == (std::numeric_limits<std::uint32_t>::max)()) return;
    e.next = free_;
    free_ = i;
  }

  /// Only few entries are periodic, so the periods are kept apart, and only where there are some.
  void set_period(index i, std::int64_t period) {
    const timer_spot s(i);
    chunk& c = chunks_[s.chunk];
    if (c.periods == nullptr) {
      for_periods from(allocator_);
      c.periods = std::allocator_traits<for_periods>::allocate(from, timer_spot::size_of(s.chunk));
    }
    ::new (static_cast<void*>(std::to_address(c.periods) + s.offset)) std::int64_t(period);
  }
  [[nodiscard]] std::int64_t period(index i) const noexcept {
    const timer_spot s(i);
    return std::to_address(chunks_[s.chunk].periods)[s.offset];
  }

 private:
  using for_entries = typename std::allocator_traits<Allocator>::template rebind_alloc<entry>;
  using for_periods = typename std::allocator_traits<Allocator>::template rebind_alloc<std::int64_t>;

  struct chunk {
    typename std::allocator_traits<for_entries>::pointer entries = nullptr;
    typename std::allocator_traits<for_periods>::pointer periods = nullptr;
  };

  MILLRACE_NO_UNIQUE_ADDRESS Allocator allocator_;
  index used_ = 0;
  index free_ = timer_node::none;
  chunk chunks_[timer_spot::chunks] = {};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
