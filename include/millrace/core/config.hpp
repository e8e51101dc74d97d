// millrace/core/config.hpp - the only macros of the library, and what they say of the machine.
//
// Use it when : you need the version at preprocessing time, or the sizes that keep threads out of each other's
//               cache lines.
// Use instead : `library_build()` of metrics/build_info.hpp for the version that was linked.
// Threads     : constants only.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : an unsupported compiler stops with #error.
// Exceptions  : none.
// Memory      : none.
// Cost        : preprocessing only.
// Source      : Intel 64 Optimization Reference Manual, section on adjacent cache-line prefetch (for the 128 bytes).
// Checked by  : tests/core/config_test.cpp; the house tests, which read the version from here.
//
// Example:
//   static_assert(MILLRACE_VERSION_MAJOR == 0, "written against 0.x");
#pragma once

#include <cstddef>

// The version lives here and nowhere else: CMake, pkg-config and the compiled half read these three lines.
#define MILLRACE_VERSION_MAJOR 0
#define MILLRACE_VERSION_MINOR 1
#define MILLRACE_VERSION_PATCH 0

#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : __cplusplus < 202002L
#error "millrace needs C++20"
#endif

// Whether the host is built with exceptions. Without them an error that would throw prints and terminates.
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define MILLRACE_HAS_EXCEPTIONS 1
#else
#define MILLRACE_HAS_EXCEPTIONS 0
#endif

// Whether ThreadSanitizer watches: it sees neither inline assembly nor standalone fences.
#if defined(__SANITIZE_THREAD__)
#define MILLRACE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MILLRACE_TSAN 1
#endif
#endif
#ifndef MILLRACE_TSAN
#define MILLRACE_TSAN 0
#endif

// Whether two adjacent words can be compared and swapped at once without a flag from the user.
// MSVC has the intrinsic on both of its 64-bit machines; not tried there yet.
#if (defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))) ||                                  \
    (defined(_MSC_VER) && (defined(_M_X64) || defined(_M_ARM64)))
#define MILLRACE_HAS_DWCAS 1
#else
#define MILLRACE_HAS_DWCAS 0
#endif

// Whether the system has eventfd(2), which an event loop can wait for.
#if defined(__linux__)
#define MILLRACE_HAS_EVENT_FD 1
#else
#define MILLRACE_HAS_EVENT_FD 0
#endif

// MSVC keeps the standard attribute without effect for its ABI's sake.
#if defined(_MSC_VER)
#define MILLRACE_NO_UNIQUE_ADDRESS [[msvc::no_unique_address]]
#else
#define MILLRACE_NO_UNIQUE_ADDRESS [[no_unique_address]]
#endif

// NOINLINE keeps a rare path out of its caller, INLINE the short common one in it, also where a compiler has taken in
// so much that it would stop: a cursor or a value handed over through memory is felt around a locked instruction,
// which waits for the stores before it.
#if defined(_MSC_VER)
#define MILLRACE_NOINLINE __declspec(noinline)
#define MILLRACE_INLINE __forceinline
#else
#define MILLRACE_NOINLINE __attribute__((noinline))
#define MILLRACE_INLINE __attribute__((always_inline)) inline
#endif

namespace millrace {
inline namespace v0 {

/// Bytes that travel together between cores.
// why: a constant and not std::hardware_destructive_interference_size, which depends on tuning flags and
// would let two translation units disagree about a layout (g++ 12 warns of just that).
inline constexpr std::size_t cache_line_size = 64;

/// Bytes that keep two hot words apart: two lines, as prefetchers fetch lines in pairs.
inline constexpr std::size_t hot_separation = 128;

}  // namespace v0
}  // namespace millrace
