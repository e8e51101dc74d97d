#include "time/peers/pretended_clock.hpp"

#include <dlfcn.h>
#include <time.h>

namespace {

using reader = int (*)(clockid_t, timespec*);
// Found before main, and so before there are threads.
const reader real = reinterpret_cast<reader>(::dlsym(RTLD_NEXT, "clock_gettime"));
std::uint64_t pretended = 0;  // 0: not now

}  // namespace

extern "C" int clock_gettime(clockid_t which, timespec* out) noexcept {
  if (pretended == 0) [[likely]] {
    if (real != nullptr) return real(which, out);
    // Something that is set up even earlier.
    return reinterpret_cast<reader>(::dlsym(RTLD_NEXT, "clock_gettime"))(which, out);
  }
  constexpr std::uint64_t a_second = 1'000'000'000;
  out->tv_sec = static_cast<time_t>(pretended / a_second);
  out->tv_nsec = static_cast<long>(pretended % a_second);
  return 0;
}

peers::pretended_time::pretended_time(std::uint64_t nanoseconds) noexcept { pretended = nanoseconds; }
peers::pretended_time::~pretended_time() { pretended = 0; }
