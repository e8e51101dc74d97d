// Where the timers of a service live: any thread takes a cell and writes a timer into it, and the owner of the wheel gives
// it back. Cells are numbered and never moved or freed before the service is, so a handle can always be looked up.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <type_traits>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/queue/intrusive_mpsc_queue.hpp"
#include "millrace/time/detail/timer_slab.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Payload, class Sync>
struct timer_cell : timer_node, basic_mpsc_hook<Sync> {
  timer_cell() noexcept {}
  timer_cell(const timer_cell&) = delete;
  timer_cell& operator=(const timer_cell&) = delete;
  ~timer_cell() {}

  // word: [ generation : 32 | 0 : 23 | insists : 1 | repeats : 1 | idle : 1 | last : 1 | noted : 1 | taking : 1 | moving : 1 |
  //         running : 1 | over : 1 ]
  static constexpr std::uint64_t over = 1;     // it will not fire (again)
  static constexpr std::uint64_t running = 2;  // its handler is
  static constexpr std::uint64_t moving = 4;   // somebody writes a deadline
  static constexpr std::uint64_t taking = 8;   // somebody has cancelled it, and has the payload
  static constexpr std::uint64_t noted = 16;   // it is in the inbox, or about to be
  static constexpr std::uint64_t last = 32;  // cancelled while running: its handler cannot have it fire again
  static constexpr std::uint64_t idle = 64;  // and over: it is free; it may still be noted
  static constexpr std::uint64_t repeats = 128;  // it has a period
  static constexpr std::uint64_t insists = 256;  // it fires also when the others are dropped
  typename Sync::template atomic<std::uint64_t> word{(std::uint64_t{1} << 32) | idle | over};
  typename Sync::template atomic<std::int64_t> asked{0};  // the deadline that the owner is to see to
  typename Sync::template atomic<index> next_free{none};
  index number = none;
  std::int64_t period = 0;
  bool owed = false;  // the owner's: it has come up while somebody was at it, who is to note it
  union {
    Payload payload;  // of a timer
  };
};

template <class Payload, class Sync>
class timer_cells {
 public:
  using cell = timer_cell<Payload, Sync>;
  using index = timer_node::index;

  timer_cells() = default;
  timer_cells(const timer_cells&) = delete;
  timer_cells& operator=(const timer_cells&) = delete;
  /// All payloads must have been destroyed.
  ~timer_cells() {
    for (index i = 0; i < used_; ++i) (*this)[i].~cell();
    for (unsigned c = 0; c < chunks::most && chunks_[c] != nullptr; ++c) {
      std::allocator<cell>().deallocate(chunks_[c], chunks::size_of(c));
    }
  }

  /// Of a number that acquire() has given.
  [[nodiscard]] cell& operator[](index i) noexcept { return *cells_.at(i); }
  [[nodiscard]] const cell& operator[](index i) const noexcept { return *cells_.at(i); }

  /// A cell for the caller alone. It has been used before, or `is_new`.
  [[nodiscard]] index acquire(bool& is_new) {
    is_new = false;
    std::uint64_t head = free_.load(std::memory_order_acquire);  // (1) pairs with (2)
    while (index_in(head) != timer_node::none) {
      // Relaxed: if it is not its successor any more, the head has changed.
      const index next = (*this)[index_in(head)].next_free.load(std::memory_order_relaxed);
      if (free_.compare_exchange_weak(head, succeed(head, next), std::memory_order_relaxed)) {
        return index_in(head);
      }
      head = free_.load(std::memory_order_acquire);  // (1)
    }
    is_new = true;
    return make();
  }
  /// By who has it alone.
  void release(index i) noexcept {
    std::uint64_t head = free_.load(std::memory_order_relaxed);
    do {
      (*this)[i].next_free.store(index_in(head), std::memory_order_relaxed);
      // (2) release; pairs with (1)
    } while (!free_.compare_exchange_weak(head, succeed(head, i), std::memory_order_release,
                                          std::memory_order_relaxed));
  }

 private:
  using chunks = timer_chunks<cell>;

  // free_: [ changes : 32 | index of the first free cell : 32 ]. why the changes: a cell that has been taken and given back
  // meanwhile is not the one that was seen. A thread would have to sleep through 2^32 of them to mistake it.
  [[nodiscard]] static index index_in(std::uint64_t head) noexcept { return static_cast<index>(head); }
  [[nodiscard]] static std::uint64_t succeed(std::uint64_t head, index i) noexcept {
    return (((head >> 32) + 1) << 32) | i;
  }

  [[nodiscard]] MILLRACE_NOINLINE index make() {
    const std::lock_guard lock(growing_);
    const index i = used_;
    if (i == room_) {
      const unsigned c = chunks::chunk_of(i);
      if (c == chunks::most)
        fail<std::length_error>("timer_service: there are 2^32 - 2^6 timers at the most");
      chunks_[c] = std::allocator<cell>().allocate(chunks::size_of(c));
      cells_.set(c, chunks_[c]);
      room_ += static_cast<index>(chunks::size_of(c));
    }
    ::new (static_cast<void*>(cells_.at(i))) cell;
    cells_.at(i)->number = i;
    return used_++;
  }

  typename Sync::template atomic<std::uint64_t> free_{timer_node::none};
  alignas(hot_separation) typename mutex_of<Sync>::type growing_;
  index used_ = 0;
  index room_ = 0;  // cells of all chunks
  // why plain: a chunk's address is written before the first number of a cell in it is told to anybody
  chunks cells_;
  cell* chunks_[chunks::most] = {};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
