// An allocator that keeps books, and refuses what is larger than the test wants to pay for.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace support {

struct allocator_books {
  long allocations = 0;
  long deallocations = 0;
  std::size_t bytes = 0;                          // asked for last
  std::size_t most_bytes = std::size_t{1} << 30;  // more than that: std::bad_alloc
  long refuse_at = 0;                             // the n-th from now on: std::bad_alloc; 0: none
};

template <class T>
struct counting_allocator {
  using value_type = T;

  explicit counting_allocator(allocator_books& b) noexcept : books(&b) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& o) noexcept : books(o.books) {}

  [[nodiscard]] T* allocate(std::size_t n) {
    books->bytes = n * sizeof(T);
    if (books->bytes > books->most_bytes) throw std::bad_alloc();
    if (books->refuse_at > 0 && --books->refuse_at == 0) throw std::bad_alloc();
    ++books->allocations;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) noexcept {
    ++books->deallocations;
    std::allocator<T>().deallocate(p, n);
  }
  [[nodiscard]] bool operator==(const counting_allocator& o) const noexcept { return books == o.books; }

  allocator_books* books;
};

}  // namespace support
