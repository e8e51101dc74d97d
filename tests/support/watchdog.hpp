// Ends the program, with a message, if a test hangs: a lost wake-up then shows as a failure and not as silence. On Linux
// it says beside what each thread does: runs (R), or sleeps (S) and in which system call, by number and arguments.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
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
          tell_of_threads();
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
  static void tell_of_threads() {
    std::error_code none;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", none)) {
      std::string stat;
      std::string call;
      std::getline(std::ifstream(thread.path() / "stat"), stat);
      std::getline(std::ifstream(thread.path() / "syscall"), call);
      const std::size_t state = stat.rfind(')');  // behind the name
      std::fprintf(stderr, "  %s%s, %s\n", thread.path().filename().c_str(),
                   state != std::string::npos ? stat.substr(state + 1, 2).c_str() : "", call.c_str());
    }
  }

  std::mutex mutex_;
  std::condition_variable called_off_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace support
