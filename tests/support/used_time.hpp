// What one thread has used of a processor, its part of the kernel's work included.
#pragma once

#include <pthread.h>

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

}  // namespace support
