// What one writes without a library: a ring, a place for each reader, one mutex around both, and a condition variable for
// either side. A reader reads in place, without the mutex, all that is there for it, a quarter of the ring at the most.
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "support/suite.hpp"

namespace {

using namespace bench;
using topics::waits;

template <class T, waits How, bool>
class mutex_broadcast {
 public:
  explicit mutex_broadcast(const topics::plan& p) : slots_(p.ring), readers_(p.readers.size()) {
    for (std::size_t r = 0; r < p.readers.size(); ++r) {
      readers_[r].behind = p.readers[r].behind;
      for (const unsigned b : readers_[r].behind) readers_[b].followed = true;
    }
  }

  void publish(unsigned, const T& v) {
    {
      std::unique_lock lock(mutex_);
      wait(lock, not_full_, [&] { return has_room(); });
      slots_[head_ % slots_.size()] = v;
      ++head_;
    }
    if constexpr (How == waits::parking) readable_.notify_all();
  }

  template <class F>
  void read(unsigned reader, std::uint64_t n, F handle) {
    place& mine = readers_[reader];
    std::unique_lock lock(mutex_);
    while (n > 0) {
      wait(lock, readable_, [&] { return limit(mine) > mine.next; });
      const std::uint64_t from = mine.next;
      const std::uint64_t k = std::min({limit(mine) - from, n, std::uint64_t{slots_.size() / 4}});
      lock.unlock();
      for (std::uint64_t i = from; i < from + k; ++i) handle(slots_[i % slots_.size()]);
      n -= k;
      lock.lock();
      mine.next = from + k;
      if constexpr (How == waits::parking) {
        not_full_.notify_all();
        if (mine.followed) readable_.notify_all();
      }
    }
  }

 private:
  struct place {
    std::uint64_t next = 0;
    std::vector<unsigned> behind;
    bool followed = false;
  };

  template <class Ready>
  static void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changes, Ready ready) {
    if constexpr (How == waits::parking) {
      changes.wait(lock, ready);
    } else {
      topics::spinning wait;
      while (!ready()) {
        lock.unlock();
        wait();
        lock.lock();
      }
    }
  }
  bool has_room() {
    if (head_ - slowest_ < slots_.size()) return true;
    slowest_ = head_;
    for (const place& r : readers_) slowest_ = std::min(slowest_, r.next);
    return head_ - slowest_ < slots_.size();
  }
  std::uint64_t limit(const place& mine) const {
    std::uint64_t least = head_;
    for (const unsigned b : mine.behind) least = std::min(least, readers_[b].next);
    return least;
  }

  std::vector<T> slots_;
  std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable readable_;
  std::uint64_t head_ = 0;
  std::uint64_t slowest_ = 0;  // of the readers, when that was last looked at
  std::vector<place> readers_;
};

}  // namespace

void bench::add_mutex_broadcast(suite& s) {
  auto enter = s.add_topic<mutex_broadcast>("mutex broadcast", role::peer);
  enter.plans();
  enter.crowds();
  enter.alone();
  enter.wakes();
}
