// Freezes threads at random instructions: a signal arrives and its handler sleeps. What a thread was in the
// middle of stays that way, as if it had been preempted there, only far more often.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#if defined(__unix__)
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <cerrno>
#endif

namespace support {

/// Raised by a thread while it is inside an operation, where it is worth freezing.
struct alignas(128) inside_flag {
  std::atomic<bool> raised{false};
};

#if defined(__unix__)

class freezer {
 public:
  /// Begins at once; the threads must be joined only after the freezer is gone. One flag per victim.
  freezer(std::vector<pthread_t> victims, const std::vector<inside_flag>& inside, std::uint64_t seed)
      : victims_(std::move(victims)), inside_(inside), random_(seed | 1) {
    struct sigaction action{};
    action.sa_handler = &nap;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, &before_);
    helper_ = std::thread([this] { run(); });
  }
  freezer(const freezer&) = delete;
  freezer& operator=(const freezer&) = delete;
  ~freezer() {
    stop();
    // why: a signal still under way would meet the default action, which ends the process; ignored it is
    // safe.
    struct sigaction action{};
    action.sa_handler = before_.sa_handler == SIG_DFL ? SIG_IGN : before_.sa_handler;
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, nullptr);
  }

  /// Ends it, and tells how often a thread was frozen.
  std::uint64_t stop() {
    {
      const std::lock_guard hold(mutex_);
      stopped_ = true;
    }
    wake_.notify_one();
    if (helper_.joinable()) helper_.join();
    return freezes_;
  }

 private:
  static void nap(int) {
    const int kept = errno;
    const timespec length{0, 200'000};
    nanosleep(&length, nullptr);
    errno = kept;
  }

  std::uint64_t random() noexcept {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  void run() {
    std::unique_lock hold(mutex_);
    while (!stopped_) {
      // Whoever is inside an operation as the signal is sent is likely to be inside one as it arrives.
      constexpr int looks = 3'000;
      std::size_t v = random() % victims_.size();
      int look = 0;
      while (look < looks && !inside_[v].raised.load(std::memory_order_relaxed)) {
        v = (v + 1) % victims_.size();
        ++look;
      }
      if (look < looks) {
        pthread_kill(victims_[v], SIGUSR1);
        ++freezes_;
      }
      wake_.wait_for(hold, std::chrono::microseconds(20 + random() % 300), [this] { return stopped_; });
    }
  }

  const std::vector<pthread_t> victims_;
  const std::vector<inside_flag>& inside_;
  std::uint64_t random_;
  struct sigaction before_{};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
  std::uint64_t freezes_ = 0;
  std::thread helper_;
};

#endif

}  // namespace support
