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

}  // namespace support
