#include "support/timers.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "support/results.hpp"

void bench::timers::touch_memory() {
#if defined(__GLIBC__)
  // Then all comes from one heap, which keeps what it has once had.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  constexpr std::size_t plenty = std::size_t{512} << 20;
  void* const memory = std::malloc(plenty);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 1, plenty);
  // why: or else the compiler sees that nobody reads it
  asm volatile("" : : "r"(memory) : "memory");
  std::free(memory);
}

void bench::timers::check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

std::vector<bench::nanos> bench::timers::deadlines(dice& random, std::size_t n, nanos from, nanos to) {
  std::vector<nanos> all(n);
  for (nanos& d : all) d = from + 1 + random.below(to - from);
  return all;
}

double bench::timers::ticks::worst() const { return quantile(micros_, 1); }
double bench::timers::ticks::p999() const { return quantile(micros_, 0.999); }
