// Ends the program, with a message, if a test hangs: a lost wake-up then shows as a failure and not as
// silence.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace support {

class watchdog {
 public:
  /// `limit` is many times what the guarded block needs.
  explicit watchdog(const char* what, std::chrono::seconds limit = std::chrono::seconds(120))
      : thread_([this, what, limit] {
          std::unique_lock lock(mutex_);
          if (called_off_.wait_for(lock, limit, [this] { return done_; })) return;
          std::fprintf(stderr, "watchdog: %s did not end\n", what);
          std::abort();
        }) {}
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    called_off_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable called_off_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace support
