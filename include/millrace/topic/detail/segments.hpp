// The storage of a topic's log: segments of slots, numbered along the log, used again when nobody needs them any more.
//
// What tells a segment's life apart from its next one is never freed while the log lives, so whoever comes late to it
// finds another number, and nothing worse. The slots behind it are given back when a log shrinks.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/pages.hpp"
#include "millrace/core/detail/plain_word.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// why here: a model check brings storage of its own, in which every touch after the end is seen
template <class Sync, class T>
struct allocator_of {
  using type = page_allocator<T>;
};
template <class Sync, class T>
  requires requires { typename Sync::template allocator<T>; }
struct allocator_of<Sync, T> {
  using type = typename Sync::template allocator<T>;
};

/// life: [ number : 60 | phase : 4 ]
struct segment_life {
  enum phases : std::uint64_t {
    bare,       // no slots
    free,       // nobody needs it
    preparing,  // one thread has it, to append it
    live,       // in the log
    // why not `preparing`: who has been slow in appending it, long ago, would take it for not yet in the log
    dropping,  // one thread has it, to put it away
  };
  std::uint64_t word;
  static constexpr segment_life of(std::uint64_t number, phases phase) noexcept {
    return {number << 4 | phase};
  }
  [[nodiscard]] std::uint64_t number() const noexcept { return word >> 4; }
  [[nodiscard]] phases phase() const noexcept { return static_cast<phases>(word & 15); }
};

/// Which segment has which number. word: [ number : 48 | index : 16 ]
struct segment_name {
  static constexpr std::uint64_t none = 0xFFFF;    // as an index: nothing follows yet
  static constexpr std::uint64_t closed = 0xFFFE;  // nothing ever will

  std::uint64_t word;
  static constexpr segment_name of(std::uint64_t number, std::uint64_t index) noexcept {
    return {number << 16 | index};
  }
  [[nodiscard]] std::uint64_t number() const noexcept { return word >> 16; }
  [[nodiscard]] std::uint64_t index() const noexcept { return word & 0xFFFF; }
};

template <class Sync, class Slot>
struct alignas(hot_separation) segment {
  template <class U>
  using atomic = typename Sync::template atomic<U>;

  atomic<std::uint64_t> life{segment_life::of(0, segment_life::bare).word};
  // What follows it: [ own number + 1 | index ], or [ own number | none ], or [ own number | closed ].
  atomic<std::uint64_t> next{0};
  atomic<std::int64_t> opened{0};  // when it became part of the log, in ticks of the topic's clock
  typename plain_of<Sync, Slot*>::type storage;        // \ written while it is prepared
  typename plain_of<Sync, std::int64_t*>::type times;  // /  of each message, if the topic takes them
  std::uint64_t index = 0;                             // its own, in the table
  atomic<bool> suspected{false};                       // \ see multi_log.hpp
  atomic<std::uint32_t> holds{0};                      // |
  // Every publisher writes it for every message, so it keeps apart from what readers look at.
  alignas(cache_line_size) atomic<std::uint64_t> claims{~std::uint64_t{0}};  // /

  [[nodiscard]] Slot* cells() const noexcept { return storage.get(); }
  [[nodiscard]] std::int64_t* stamps() const noexcept { return times.get(); }
  [[nodiscard]] segment_life lives(std::memory_order order) const noexcept { return {life.load(order)}; }
};

/// Asks for the line that many bytes behind a slot which is about to be written: readers have had it in their last lap, or,
/// being close, in advance. Past a segment's end that is nobody's, or another's, and does no harm.
template <class Sync, class Slot>
MILLRACE_INLINE void prefetch_behind(const Slot* slot, std::size_t bytes) noexcept {
  Sync::prefetch_to_write(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(slot) + bytes));
}
/// How many bytes that is for `n` slots of `size` bytes; `least` at least, and a page at the most.
constexpr std::size_t prefetch_distance(std::size_t size, std::size_t n, std::size_t least) noexcept {
  constexpr std::size_t most = 4096;
  const std::size_t bytes = size * n;
  return bytes < least ? least : bytes > most ? most : bytes;
}

/// All segments of a log, by index. Grows; lock-free.
template <class Sync, class Slot>
class segment_table {
  template <class U>
  using atomic = typename Sync::template atomic<U>;
  using life = segment_life;

 public:
  using segment_type = segment<Sync, Slot>;

  /// `size` slots each, a power of two.
  segment_table(std::size_t size, bool with_stamps) noexcept : size_(size), with_stamps_(with_stamps) {}
  segment_table(const segment_table&) = delete;
  segment_table& operator=(const segment_table&) = delete;
  /// What lay in the slots has been destroyed.
  ~segment_table() {
    for (std::size_t b = 0; b < blocks; ++b) {
      segment_type* const block = blocks_[b].load(std::memory_order_relaxed);
      if (block == nullptr) break;
      for (std::size_t i = 0; i < first << b; ++i) strip(block[i]);
      drop_block(block, b);
    }
  }

  [[nodiscard]] segment_type& at(std::uint64_t index) const noexcept {
    const std::uint64_t i = index + first;
    const auto b = static_cast<std::size_t>(std::bit_width(i)) - std::size_t(std::bit_width(first));
    // why relaxed is enough: who has the index has got it from who had the segment
    return blocks_[b].load(std::memory_order_relaxed)[i - (first << b)];
  }

  /// f(segment&) for all there are, until it is true of one: that one, or nullptr.
  template <class F>
  segment_type* find_if(F f) const {
    for (std::size_t b = 0; b < blocks; ++b) {
      segment_type* const block = blocks_[b].load(std::memory_order_acquire);  // (2) pairs with (1)
      if (block == nullptr) return nullptr;
      for (std::size_t i = 0; i < first << b; ++i) {
        if (f(block[i])) return block + i;
      }
    }
    return nullptr;
  }

  /// One that nobody has, for the caller alone, and with slots: the one that has been free for longest, because its
  /// lines are the coldest in the readers' caches. Throws std::bad_alloc; nothing is lost then.
  [[nodiscard]] segment_type& take(std::uint64_t number) {
    return take_as([=](life) { return life::of(number, life::preparing); });
  }
  /// Likewise, to be kept in hand, under its last number, until prepare() makes of it what take() gives out.
  [[nodiscard]] segment_type& take_aside() {
    return take_as([](life was) { return life::of(was.number(), life::dropping); });
  }
  // why relaxed is enough: nobody else has it
  static void prepare(segment_type& s, std::uint64_t number) noexcept {
    s.life.store(life::of(number, life::preparing).word, std::memory_order_relaxed);
  }
  static void put_aside(segment_type& s, std::uint64_t number) noexcept {
    s.life.store(life::of(number, life::dropping).word, std::memory_order_relaxed);
  }
  /// The caller has it alone.
  void give_back(segment_type& s, std::uint64_t number, typename life::phases as = life::free) noexcept {
    s.life.store(life::of(number, as).word, std::memory_order_release);  // (4)
  }

  /// Frees the slots of all but `spare` of those that nobody has.
  void shrink(std::size_t spare) noexcept {
    find_if([&](segment_type& s) {
      life l = s.lives(std::memory_order_relaxed);
      if (l.phase() != life::free || spare-- > 0) return false;
      spare = 0;
      if (s.life.compare_exchange_strong(l.word, life::of(l.number(), life::dropping).word,
                                         std::memory_order_acquire, std::memory_order_relaxed)) {  // (3)
        strip(s);
        give_back(s, l.number(), life::bare);
      }
      return false;
    });
  }

  [[nodiscard]] std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    find_if([&](const segment_type& s) {
      sum += sizeof s;
      if (s.lives(std::memory_order_relaxed).phase() != life::bare) sum += segment_bytes();
      return false;
    });
    return sum;
  }
  [[nodiscard]] std::size_t segment_bytes() const noexcept {
    return size_ * (sizeof(Slot) + (with_stamps_ ? sizeof(std::int64_t) : 0));
  }

 private:
  static constexpr std::uint64_t first =
      2;  // segments of the first block; each one has twice as many as the one before
  static constexpr std::size_t blocks = 15;
  using slot_allocator = typename allocator_of<Sync, Slot>::type;
  using stamp_allocator = typename allocator_of<Sync, std::int64_t>::type;
  using block_allocator = typename allocator_of<Sync, segment_type>::type;

  template <class Made>
  [[nodiscard]] segment_type& take_as(Made made) {
    for (;;) {
      segment_type* best = nullptr;
      life was{};
      find_if([&](segment_type& s) {
        const life l = s.lives(std::memory_order_relaxed);
        const bool better = best == nullptr || (l.phase() == life::free) > (was.phase() == life::free) ||
                            (l.phase() == was.phase() && l.number() < was.number());
        if ((l.phase() == life::free || l.phase() == life::bare) && better) {
          best = &s;
          was = l;
        }
        return false;
      });
      if (best == nullptr) {
        grow();
        continue;
      }
      // (3) acquire; pairs with (4): what lay in it is gone
      if (best->life.compare_exchange_strong(was.word, made(was).word, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
        if (best->cells() == nullptr) furnish(*best, was.number());
        return *best;
      }
    }
  }
  void furnish(segment_type& s, std::uint64_t was) {
    struct undo {
      segment_type* s;
      std::uint64_t was;
      ~undo() {
        if (s != nullptr)
          s->life.store(life::of(was, life::bare).word, std::memory_order_relaxed);  // nothing was written
      }
    } on_failure{&s, was};
    Slot* const cells = slot_allocator().allocate(size_);
    if (with_stamps_) {
      struct give_back {
        Slot* cells;
        std::size_t size;
        ~give_back() {
          if (cells != nullptr) slot_allocator().deallocate(cells, size);
        }
      } slots_too{cells, size_};
      s.times.set(stamp_allocator().allocate(size_));
      slots_too.cells = nullptr;
    }
    std::uninitialized_default_construct_n(cells, size_);
    s.storage.set(cells);
    on_failure.s = nullptr;
  }
  void strip(segment_type& s) noexcept {
    if (s.cells() == nullptr) return;
    std::destroy_n(s.cells(), size_);
    slot_allocator().deallocate(s.cells(), size_);
    s.storage.set(nullptr);
    if (with_stamps_) stamp_allocator().deallocate(s.stamps(), size_);
    s.times.set(nullptr);
  }

  void grow() {
    std::size_t b = 0;
    while (b < blocks && blocks_[b].load(std::memory_order_relaxed) != nullptr) ++b;
    if (b == blocks)
      fail<std::length_error>(
          "topic: readers and publishers hold more than 65,534 segments; wants larger ones");
    segment_type* const block = block_allocator().allocate(first << b);
    for (std::size_t i = 0; i < first << b; ++i) {
      ::new (static_cast<void*>(block + i)) segment_type;
      block[i].index = (first << b) - first + i;
    }
    segment_type* there = nullptr;
    if (!blocks_[b].compare_exchange_strong(there, block, std::memory_order_release,  // (1)
                                            std::memory_order_relaxed)) {
      drop_block(block, b);
    }
  }
  static void drop_block(segment_type* block, std::size_t b) noexcept {
    std::destroy_n(block, first << b);
    block_allocator().deallocate(block, first << b);
  }

  const std::size_t size_;
  const bool with_stamps_;
  atomic<segment_type*> blocks_[blocks]{};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
