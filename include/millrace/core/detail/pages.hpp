// An allocator whose large pieces come from the system and go back to it at once. The usual one keeps what lies below a
// piece that is still in use, and a burst is absorbed for good.
#pragma once

#include <cstddef>
#include <exception>
#include <new>

#include "millrace/core/config.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T>
struct page_allocator {
  using value_type = T;
  /// Bytes from which on a piece is the system's.
  static constexpr std::size_t large = std::size_t{128} * 1024;

  page_allocator() = default;
  template <class U>
  page_allocator(const page_allocator<U>&) noexcept {
  }  // NOLINT(google-explicit-constructor): as allocators are

  [[nodiscard]] T* allocate(std::size_t n) {
    if (n > ~std::size_t{0} / sizeof(T)) throw_bad_alloc();
    const std::size_t bytes = n * sizeof(T);
#if defined(__linux__)
    if (bytes >= large) {
      // why populated: a ring is built from end to end at once, and a fault for every page costs more than all together
      constexpr int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
      void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, how, -1, 0);
      if (pages == MAP_FAILED) throw_bad_alloc();
      return static_cast<T*>(pages);
    }
#endif
    return static_cast<T*>(::operator new(bytes, std::align_val_t{alignof(T)}));
  }
  void deallocate(T* p, std::size_t n) noexcept {
#if defined(__linux__)
    if (n * sizeof(T) >= large) {
      ::munmap(p, n * sizeof(T));
      return;
    }
#endif
    ::operator delete(p, std::align_val_t{alignof(T)});
  }

  template <class U>
  bool operator==(const page_allocator<U>&) const noexcept {
    return true;
  }

 private:
  [[noreturn]] static void throw_bad_alloc() {
#if MILLRACE_HAS_EXCEPTIONS
    throw std::bad_alloc();
#else
    std::terminate();
#endif
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
