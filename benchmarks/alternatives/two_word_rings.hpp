// A bounded queue of any type out of two word rings: one holds the indices of free slots, the other those of full
// ones, in order (R. Nikolaev, SCQ, DISC 2019, builds his queue of pointers like this). Lock-free, and simpler than
// SlotRing: no position is ever given up, and a constructor that throws costs nothing. It lost to SlotRing: four
// double-width exchanges an item on four cells, against four narrow ones on one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "millrace/queue/mpmc_queue.hpp"

namespace alternatives {

template <class T>
class two_word_rings {
 public:
  using value_type = T;

  /// `capacity`: a power of two.
  explicit two_word_rings(std::size_t capacity)
      : free_(capacity), full_(capacity), slots_(new slot[capacity]) {
    for (std::uint64_t i = 0; i < capacity; ++i) static_cast<void>(free_.try_push(i));
  }
  ~two_word_rings() {
    while (const auto i = full_.try_pop()) at(*i).~T();
  }

  bool try_push(T&& value) {
    std::uint64_t i = 0;
    if (!free_.try_pop(i)) return false;
    ::new (static_cast<void*>(slots_[i].bytes)) T(std::move(value));
    return full_.try_push(i);  // there is room for every index
  }

  bool try_pop(T& out) {
    std::uint64_t i = 0;
    if (!full_.try_pop(i)) return false;
    out = std::move(at(i));
    at(i).~T();
    return free_.try_push(i);
  }

 private:
  struct slot {
    alignas(T) std::byte bytes[sizeof(T)];
  };
  T& at(std::uint64_t i) { return *std::launder(reinterpret_cast<T*>(slots_[i].bytes)); }

  millrace::mpmc_queue<std::uint64_t> free_;
  millrace::mpmc_queue<std::uint64_t> full_;
  std::unique_ptr<slot[]> slots_;
};

}  // namespace alternatives
