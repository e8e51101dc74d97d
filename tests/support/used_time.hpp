// What one thread, or the whole program, has used of the processors, its part of the kernel's work included.
#pragma once

#include <pthread.h>
#include <sys/resource.h>

#include <chrono>
#include <ctime>
#include <thread>

namespace support {

inline std::chrono::nanoseconds used_by(std::thread& t) {
  clockid_t clock{};
  timespec used{};
  if (pthread_getcpuclockid(t.native_handle(), &clock) != 0 || clock_gettime(clock, &used) != 0) {
    return std::chrono::nanoseconds::max();
  }
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

inline std::chrono::nanoseconds used_by_program() {
  rusage used{};
  if (getrusage(RUSAGE_SELF, &used) != 0) return std::chrono::nanoseconds::max();
  const auto time = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return time(used.ru_utime) + time(used.ru_stime);
}

/// What the program uses in a second in which nothing happens. What spins does so for a moment before it sleeps, or this never ends.
/// The only way to see that is to let the second pass.
inline std::chrono::nanoseconds used_in_a_second_at_rest() {
  using namespace std::chrono_literals;
  const auto used_in = [](std::chrono::milliseconds time) {
    const auto before = used_by_program();
    std::this_thread::sleep_for(time);
    return used_by_program() - before;
  };
  while (used_in(50ms) > 1ms) {
  }
  return used_in(1s);
}

}  // namespace support
