// Counts what a thread takes from the free store, and refuses it on demand. It replaces operator new, so one file of a
// program may include it, and only one; a sanitizer, which replaces it too, is asked instead, and cannot be made to
// refuse.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "support/sanitized.hpp"

namespace support {
/// Of the calling thread alone: a watchdog that starts late has its own to make.
inline thread_local long allocations = 0;
/// The n-th allocation of the program from now on is refused with std::bad_alloc, and only that one; 0: none is. Not in sanitized builds.
inline std::atomic<long> allocation_to_refuse{0};
inline constexpr bool allocations_can_be_refused = !SUPPORT_SANITIZED;
}  // namespace support

#if SUPPORT_SANITIZED

// The sanitizers' own; Debian's g++ comes without their <sanitizer/allocator_interface.h>.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                                         void (*)(const volatile void*));

namespace support {
inline const int counting = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { ++allocations; }, [](const volatile void*) {});
}  // namespace support

#else

namespace support {
inline void* counted_allocation(std::size_t size, std::size_t align) {
  ++allocations;
  if (allocation_to_refuse.load() > 0 && allocation_to_refuse.fetch_sub(1) == 1) throw std::bad_alloc();
  // aligned_alloc wants a multiple of the alignment
  void* const p = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace support

// The other forms of new and delete end in these.
// why noinline: g++ takes an inlined free() for a mismatch with the operator new that it did not inline
[[gnu::noinline]] void* operator new(std::size_t size) {
  return support::counted_allocation(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t align) {
  return support::counted_allocation(size, static_cast<std::size_t>(align));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

#endif
