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
  std::uint32_t generation = 1;
  std::uint16_t place = is_free;
  bool periodic = false;
  bool catches_up = false;
  index previous = none;  // \ in its list; a free one has `next` alone
  index next = none;      // /
};
static_assert(sizeof(timer_node) == 32);

/// Where numbered entries lie: in chunks, of which number c holds 64 << c, so that their table is small and fixed.
template <class Entry>
class timer_chunks {
  using index = timer_node::index;

 public:
  static constexpr unsigned most = 26;
  [[nodiscard]] static constexpr std::size_t size_of(unsigned c) noexcept { return std::size_t{64} << c; }
  /// Its first entry.
  [[nodiscard]] static constexpr index first_of(unsigned c) noexcept {
    return static_cast<index>(size_of(c) - 64);
  }
  /// The chunk of an entry, and its place there.
  [[nodiscard]] static unsigned chunk_of(index i) noexcept {
    return static_cast<unsigned>(std::bit_width(std::uint64_t{i} + 64)) - 7;
  }
  [[nodiscard]] static std::size_t place_of(index i) noexcept { return i - first_of(chunk_of(i)); }

  /// That chunk lies there.
  void set(unsigned c, Entry* begin) noexcept {
    origins_[c] = reinterpret_cast<std::uintptr_t>(begin) - size_of(c) * sizeof(Entry);
  }
  /// Of an entry whose chunk has been set.
  [[nodiscard]] Entry* at(index i) const noexcept {
    return reinterpret_cast<Entry*>(origins_[chunk_of(i)] + (std::uint64_t{i} + 64) * sizeof(Entry));
  }

 private:
  // For each chunk, where the entry 64 before the first would be, if all were like it. why not where it begins: then every
  // access would have to find out how far into the chunk it goes. Who owns the chunks keeps that as well; tools that look
  // for leaks would not find them by this.
  std::uintptr_t origins_[most] = {};
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
    for (unsigned c = 0; c < chunks::most && chunks_[c].entries != nullptr; ++c) {
      std::allocator_traits<for_entries>::deallocate(from, chunks_[c].entries, chunks::size_of(c));
      if (chunks_[c].periods != nullptr) {
        std::allocator_traits<for_periods>::deallocate(from_periods, chunks_[c].periods, chunks::size_of(c));
      }
    }
  }

  [[nodiscard]] entry& operator[](index i) noexcept { return *entries_.at(i); }
  [[nodiscard]] const entry& operator[](index i) const noexcept { return *entries_.at(i); }
  /// How many entries have ever been in use at the same time.
  [[nodiscard]] index used() const noexcept { return used_; }

  /// A free entry; it stays free until its place says otherwise.
  [[nodiscard]] index acquire() {
    if (free_ != timer_node::none) return std::exchange(free_, (*this)[free_].next);
    if (used_ == room_) grow();
    ::new (static_cast<void*>(entries_.at(used_))) entry;
    return used_++;
  }
  /// Makes its handles void.
  void retire(entry& e) noexcept {
    e.place = timer_node::is_free;
    ++e.generation;
  }
  /// Gives it back, after that.
  void release(index i, entry& e) noexcept {
    // why: with its last generation it is given up, because the next one would revive the handles of the first
    if (e.generation == (std::numeric_limits<std::uint32_t>::max)()) return;
    e.next = free_;
    free_ = i;
  }

  /// Only few entries are periodic, so the periods are kept apart, and only where there are some.
  void set_period(index i, std::int64_t period) {
    const unsigned c = chunks::chunk_of(i);
    if (chunks_[c].periods == nullptr) {
      for_periods from(allocator_);
      chunks_[c].periods = std::allocator_traits<for_periods>::allocate(from, chunks::size_of(c));
    }
    ::new (static_cast<void*>(std::to_address(chunks_[c].periods) + chunks::place_of(i)))
        std::int64_t(period);
  }
  [[nodiscard]] std::int64_t period(index i) const noexcept {
    return std::to_address(chunks_[chunks::chunk_of(i)].periods)[chunks::place_of(i)];
  }

 private:
  using for_entries = typename std::allocator_traits<Allocator>::template rebind_alloc<entry>;
  using for_periods = typename std::allocator_traits<Allocator>::template rebind_alloc<std::int64_t>;

  using chunks = timer_chunks<entry>;
  struct chunk {
    typename std::allocator_traits<for_entries>::pointer entries = nullptr;
    typename std::allocator_traits<for_periods>::pointer periods = nullptr;
  };

  MILLRACE_NOINLINE void grow() {
    const unsigned c = chunks::chunk_of(room_);
    if (c == chunks::most) fail<std::length_error>("timing_wheel: there are 2^32 - 2^6 entries at the most");
    for_entries from(allocator_);
    chunks_[c].entries = std::allocator_traits<for_entries>::allocate(from, chunks::size_of(c));
    entries_.set(c, std::to_address(chunks_[c].entries));
    room_ += static_cast<index>(chunks::size_of(c));
  }

  MILLRACE_NO_UNIQUE_ADDRESS Allocator allocator_;
  index used_ = 0;
  index room_ = 0;  // entries of all chunks
  index free_ = timer_node::none;
  chunks entries_;
  chunk chunks_[chunks::most] = {};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
