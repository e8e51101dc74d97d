// What one writes around a timing wheel without timer_service: a mutex, and a thread that sleeps until the next deadline
// and is woken for an earlier one. Handlers are of the same type as timer_service's, and run without the mutex, as they may
// schedule.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/function.hpp"
#include "millrace/time/timing_wheel.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;

class locked_wheel {
  using handler = millrace::function<void()>;
  using type = millrace::timing_wheel<handler>;

 public:
  using handle = type::handle;
  locked_wheel(unsigned, on_fire fired) : fired_(std::move(fired)), thread_([this] { loop(); }) {}
  locked_wheel(const locked_wheel&) = delete;
  locked_wheel& operator=(const locked_wheel&) = delete;
  ~locked_wheel() { stop(); }

  handle schedule(unsigned, stopwatch::time_point now, stopwatch::duration wait, word payload) {
    const auto deadline = now + wait;
    bool earlier = false;
    handle h;
    {
      const std::lock_guard lock(mutex_);
      h = wheel_.schedule(deadline, [this, payload] { fired_(payload); });
      earlier = deadline < asleep_until_;
      if (earlier) asleep_until_ = deadline;
    }
    if (earlier) wake_.notify_one();
    return h;
  }
  bool cancel(unsigned, handle h) {
    const std::lock_guard lock(mutex_);
    return wheel_.cancel(h);
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  static constexpr auto awake = stopwatch::time_point::min();

  void loop() {
    std::vector<handler> due;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      wheel_.advance(stopwatch::now(), [&](handler& h) { due.push_back(std::move(h)); });
      if (!due.empty()) {
        lock.unlock();
        for (handler& h : due) h();
        due.clear();
        lock.lock();
        continue;
      }
      if (const auto next = wheel_.next_wakeup()) {
        asleep_until_ = *next;
        wake_.wait_until(lock, *next);
      } else {
        asleep_until_ = stopwatch::time_point::max();
        wake_.wait(lock);
      }
      asleep_until_ = awake;
    }
  }

  on_fire fired_;
  std::mutex mutex_;
  std::condition_variable wake_;
  type wheel_{stopwatch::now()};
  stopwatch::time_point asleep_until_ = awake;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

void bench::add_mutex_and_wheel(suite& s) {
  s.add_timer_threads<locked_wheel>("mutex and millrace::timing_wheel", role::variant);
}
