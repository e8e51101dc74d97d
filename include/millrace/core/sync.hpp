// millrace/core/sync.hpp - the seam through which threads share memory.
//
// Every concurrent header is a template over a `Sync` and shares memory through nothing else: `std_sync` in a
// normal build, a model checker's or a stall injector's in tests. A `Sync` offers
//
//   atomic<T>           std::atomic's interface
//   atomic_pair         two adjacent 64-bit words, read apart and exchanged together
//   mutex               lock(), unlock(); cold paths only; may be left out, and is std::mutex then
//   pause()             a breath inside a spin
//   yield()             lets another thread run on this processor, if one wants to
//   prefetch_to_write(p) asks for the cache line at p, to write to it soon; never faults
//   fence_after_rmw()   a full barrier, given that the caller's last write was a read-modify-write
//   light_fence()       together with a heavy_fence() of another thread, each is a full barrier; two light ones
//   heavy_fence()       are none. The light one is for free where the system can pay for it (membarrier(2)).
//   prepare_fences()    before the first light one; by a constructor
//   park(word, old)     sleeps while `word` holds `old`; may return for no reason
//   park_until(...)     likewise, with a limit; false: the limit passed
//   unpark(word)        wakes one thread parked on `word`; never reads through the reference
//   spinning_helps()    whether another thread can run while this one spins
//   this_thread()       a number that tells living threads apart
//   entropy()           a few bits that differ between threads
//   random_below(n)     a number from 0 to n - 1, n > 0; fair, not secret
//
// Use it when : you write a concurrent component, or a policy to test one under.
// Use instead : the queues and channels; users of those need nothing from here.
// Threads     : any.
// Order       : every operation takes its memory order; compare-exchange of a pair is at least what is asked.
// Progress    : all of it is lock-free but mutex and park; `atomic_pair` on ARM64 without LSE rests on the
//               machine's own forward progress for load-exclusive/store-exclusive.
// Errors      : none.
// Exceptions  : none.
// Memory      : nothing but the words themselves; an `atomic_pair` is 16 bytes, aligned to 16.
// Cost        : none over the standard's; `fence_after_rmw` compiles to nothing on x86-64, where a locked
//               instruction is a full barrier already. With membarrier(2) a light fence is for free and a heavy one a
//               system call that interrupts the process's other processors; without, both are full barriers.
// Source      : Intel SDM vol. 2 (CMPXCHG16B), Arm ARM (CASP, LDXP/STXP), futex(2), membarrier(2).
// Checked by  : tests/core/sync_test.cpp; every model check runs on the checker's own Sync.
//
// Example:
//   template <class Sync> struct flag { typename Sync::template atomic<bool> raised{false}; };
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/word_pair.hpp"

#if defined(__linux__)
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#else
#include <chrono>
#include <thread>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if MILLRACE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace millrace {
inline namespace v0 {

namespace detail {

#if MILLRACE_HAS_DWCAS
/// Two adjacent words: each can be read alone, both are exchanged at once.
// why: assembly and not std::atomic<word_pair>: the compilers take the instruction only under a flag (-mcx16),
// and otherwise call libatomic, which g++ counts as not lock-free.
class alignas(16) atomic_pair {
 public:
  explicit constexpr atomic_pair(word_pair v) noexcept : first_(v.first), second_(v.second) {}
  atomic_pair(const atomic_pair&) = delete;
  atomic_pair& operator=(const atomic_pair&) = delete;

  [[nodiscard]] std::uint64_t first(std::memory_order order) const noexcept { return first_.load(order); }
  [[nodiscard]] std::uint64_t second(std::memory_order order) const noexcept { return second_.load(order); }

  /// Replaces `expected` by `desired`. On failure `expected` holds what stood there: each half is a true
  /// reading, though perhaps of two instants.
  bool compare_exchange(word_pair& expected, word_pair desired, std::memory_order) noexcept {
#if MILLRACE_TSAN
    __tsan_release(this);
#endif
#if defined(__x86_64__)
    bool done;
    asm volatile("lock cmpxchg16b %[cell]"
                 : "=@ccz"(done), [cell] "+m"(*this), "+a"(expected.first), "+d"(expected.second)
                 : "b"(desired.first), "c"(desired.second)
                 : "memory");
#elif defined(__aarch64__) && defined(__ARM_FEATURE_ATOMICS)
    // casp wants neighbouring registers, the first of each pair even.
    register std::uint64_t old_first asm("x0") = expected.first;
    register std::uint64_t old_second asm("x1") = expected.second;
    register std::uint64_t new_first asm("x2") = desired.first;
    register std::uint64_t new_second asm("x3") = desired.second;
    asm volatile("caspal %[o0], %[o1], %[n0], %[n1], [%[cell]]"
                 : [o0] "+r"(old_first), [o1] "+r"(old_second)
                 : [n0] "r"(new_first), [n1] "r"(new_second), [cell] "r"(this)
                 : "memory");
    const bool done = old_first == expected.first && old_second == expected.second;
    expected = {old_first, old_second};
#elif defined(__aarch64__)
    std::uint64_t old_first;
    std::uint64_t old_second;
    std::uint32_t failed;
    asm volatile(
        "1: ldaxp %[o0], %[o1], [%[cell]]\n"
        "   cmp %[o0], %[e0]\n"
        "   ccmp %[o1], %[e1], #0, eq\n"
        "   mov %w[failed], #1\n"
        "   b.ne 2f\n"
        "   stlxp %w[failed], %[n0], %[n1], [%[cell]]\n"
        "   cbnz %w[failed], 1b\n"
        "   b 3f\n"
        "2: clrex\n"
        "3:\n"
        : [o0] "=&r"(old_first), [o1] "=&r"(old_second), [failed] "=&r"(failed)
        : [e0] "r"(expected.first), [e1] "r"(expected.second), [n0] "r"(desired.first),
          [n1] "r"(desired.second), [cell] "r"(this)
        : "cc", "memory");
    const bool done = failed == 0;
    expected = {old_first, old_second};
#elif defined(_MSC_VER)
    // Not tried there yet. The intrinsic is a full barrier on both machines.
    __int64 old[2] = {static_cast<__int64>(expected.first), static_cast<__int64>(expected.second)};
    const bool done = _InterlockedCompareExchange128(reinterpret_cast<volatile __int64*>(this),
                                                     static_cast<__int64>(desired.second),
                                                     static_cast<__int64>(desired.first), old) != 0;
    expected = {static_cast<std::uint64_t>(old[0]), static_cast<std::uint64_t>(old[1])};
#endif
#if MILLRACE_TSAN
    __tsan_acquire(this);
#endif
    return done;
  }

 private:
  std::atomic<std::uint64_t> first_;
  std::atomic<std::uint64_t> second_;
};
static_assert(sizeof(atomic_pair) == 16 && alignof(atomic_pair) == 16);
#endif  // MILLRACE_HAS_DWCAS

}  // namespace detail

/// The normal build's seam: the standard library, the machine and the kernel.
struct std_sync {
  template <class T>
  using atomic = std::atomic<T>;
#if MILLRACE_HAS_DWCAS
  using atomic_pair = detail::atomic_pair;
#endif

  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    // why: isb and not yield, which most cores retire at once; isb takes about as long as x86's pause.
    asm volatile("isb" ::: "memory");
#elif defined(_MSC_VER) && defined(_M_X64)
    _mm_pause();
#endif
  }

  static void yield() noexcept {
#if defined(__linux__)
    ::sched_yield();
#else
    std::this_thread::yield();
#endif
  }

  static void prefetch_to_write(const void* p) noexcept {
#if defined(__x86_64__)
    // why: assembly; without a flag the compilers emit the prefetch for reading. Processors that lack it do nothing.
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(p)));
#elif defined(__GNUC__)
    __builtin_prefetch(p, 1);
#elif defined(_MSC_VER) && defined(_M_X64)
    _m_prefetchw(p);
#else
    static_cast<void>(p);
#endif
  }

  static void fence_after_rmw() noexcept {
#if defined(__x86_64__)
    // A locked instruction drains the store buffer; only the compiler has to be held back.
    std::atomic_signal_fence(std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }

  static void prepare_fences() noexcept {
#if defined(__linux__)
    static const bool registered =
        ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0;
    asymmetric.store(registered, std::memory_order_relaxed);
#endif
  }
  static void light_fence() noexcept {
    if (asymmetric.load(std::memory_order_relaxed)) [[likely]] {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      full_fence();
    }
  }
  static void heavy_fence() noexcept {
#if defined(__linux__)
    if (asymmetric.load(std::memory_order_relaxed)) {
      ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
      return;
    }
#endif
    full_fence();
  }

  static void park(std::atomic<std::uint32_t>& word, std::uint32_t old) noexcept {
#if defined(__linux__)
    futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, old, nullptr);
#else
    word.wait(old, std::memory_order_acquire);
#endif
  }

  /// Until a time of steady_clock or of system_clock; of that one also if it is set meanwhile.
  // why: a template, so that <chrono> is not included for every queue
  template <class TimePoint>
  static bool park_until(std::atomic<std::uint32_t>& word, std::uint32_t old, TimePoint limit) noexcept {
    using clock = typename TimePoint::clock;
#if defined(__linux__)
    // libstdc++ and libc++ both read CLOCK_MONOTONIC for steady_clock, and CLOCK_REALTIME for system_clock; so does
    // FUTEX_WAIT_BITSET.
    constexpr int by = clock::is_steady ? 0 : FUTEX_CLOCK_REALTIME;
    using unit = typename TimePoint::period;
    constexpr std::int64_t second = unit::den;
    static_assert(unit::num == 1 && 1'000'000'000 % second == 0);
    const std::int64_t since = limit.time_since_epoch().count();
    if (since <= 0) return false;
    timespec at{};
    at.tv_sec = static_cast<decltype(at.tv_sec)>(since / second);
    at.tv_nsec = static_cast<decltype(at.tv_nsec)>(since % second * (1'000'000'000 / second));
    futex(&word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | by, old, &at);
    return clock::now() < limit;
#else
    // why: std::atomic has no wait with a limit, and macOS and Windows each have their own; until one of
    // them is supported in earnest, a timed wait naps there.
    if (word.load(std::memory_order_acquire) == old)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return clock::now() < limit;
#endif
  }

  static void unpark(std::atomic<std::uint32_t>& word) noexcept {
#if defined(__linux__)
    futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr);
#else
    word.notify_one();
#endif
  }

  static bool spinning_helps() noexcept {
#if defined(__linux__)
    cpu_set_t mine;
    return sched_getaffinity(0, sizeof mine, &mine) != 0 || CPU_COUNT(&mine) > 1;
#else
    return std::thread::hardware_concurrency() > 1;
#endif
  }

  static std::uintptr_t this_thread() noexcept {
    static thread_local char mine;
    return reinterpret_cast<std::uintptr_t>(&mine);
  }

  static std::uint32_t entropy() noexcept {
    // A stack address tells threads apart, and needs no per-thread state.
    const char here = 0;
    const auto address = reinterpret_cast<std::uintptr_t>(&here);
    return static_cast<std::uint32_t>((address >> 4) * 0x9E3779B1u);
  }

  static std::size_t random_below(std::size_t n) noexcept {
    // xorshift64 (G. Marsaglia, Xorshift RNGs, 2003)
    static thread_local std::uint64_t state = 0;
    if (state == 0) state = (std::uint64_t{entropy()} << 32) | 0x9E3779B9u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::size_t>((state >> 11) % n);
  }

 private:
  // why: an exchange, where ThreadSanitizer would complain that it does not see through fences
  static void full_fence() noexcept {
#if MILLRACE_TSAN
    std::atomic<int> any{0};
    any.exchange(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }
  static inline std::atomic<bool> asymmetric{false};

#if defined(__linux__)
  static void futex(std::atomic<std::uint32_t>* word, int operation, std::uint32_t value,
                    const timespec* limit) noexcept {
    // The result is not needed: every caller looks at its word again.
    ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), operation, value, limit, nullptr,
              FUTEX_BITSET_MATCH_ANY);
  }
#endif
};

}  // namespace v0
}  // namespace millrace
