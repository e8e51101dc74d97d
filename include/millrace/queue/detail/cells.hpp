// The array of cells behind a bounded queue: allocated and built once, in one piece.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

inline constexpr std::uint64_t most_capacity = std::uint64_t{1} << 31;

/// The power of two, at least 2, that holds `asked`; throws std::length_error(`message`) outside 1 .. 2^31.
[[nodiscard]] constexpr std::uint64_t rounded_capacity(std::size_t asked, const char* message) {
  if (asked == 0 || asked > most_capacity) fail<std::length_error>(message);
  return std::bit_ceil(asked < 2 ? std::uint64_t{2} : std::uint64_t{asked});
}

/// Begins at a cache line, whatever the cell, so that a ring knows where lines begin.
template <class Cell, class Allocator>
class cells {
  struct alignas(alignof(Cell) > cache_line_size ? alignof(Cell) : cache_line_size) block {
    std::byte bytes[alignof(Cell) > cache_line_size ? alignof(Cell) : cache_line_size];
  };
  using traits = typename std::allocator_traits<Allocator>::template rebind_traits<block>;
  using allocator = typename traits::allocator_type;

 public:
  /// `n` cells, cell i built from `initial(i, n)`, which must not throw.
  template <class Initial>
  cells(std::size_t n, const Allocator& from, Initial initial)
      : allocator_(from),
        size_(n),
        blocks_(traits::allocate(allocator_, block_count())),
        first_(reinterpret_cast<Cell*>(std::to_address(blocks_))) {
    build(initial);
  }
  cells(const cells&) = delete;
  cells& operator=(const cells&) = delete;
  ~cells() {
    std::destroy_n(first_, size_);
    traits::deallocate(allocator_, blocks_, block_count());
  }

  /// All of them anew. Nobody else may look.
  template <class Initial>
  void rebuild(Initial initial) noexcept {
    std::destroy_n(first_, size_);
    build(initial);
  }

  [[nodiscard]] Cell* data() const noexcept { return first_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  template <class Initial>
  void build(Initial initial) noexcept {
    for (std::size_t i = 0; i < size_; ++i) ::new (static_cast<void*>(first_ + i)) Cell(initial(i, size_));
  }
  [[nodiscard]] std::size_t block_count() const noexcept {
    return (size_ * sizeof(Cell) + sizeof(block) - 1) / sizeof(block);
  }

  MILLRACE_NO_UNIQUE_ADDRESS allocator allocator_;
  std::size_t size_;
  typename traits::pointer blocks_;
  Cell* first_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
