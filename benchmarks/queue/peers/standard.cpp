// What one writes without a library: a mutex, a deque, and a condition variable for either side.
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

#include "support/suite.hpp"

namespace {

template <class T>
class mutex_queue {
 public:
  using value_type = T;
  explicit mutex_queue(std::size_t capacity) : capacity_(capacity) {}

  bool try_push(T&& v) {
    const std::lock_guard lock(mutex_);
    if (items_.size() == capacity_) return false;
    items_.push_back(std::move(v));
    return true;
  }
  bool try_pop(T& v) {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return false;
    take(v);
    return true;
  }
  void push(T&& v) {
    {
      std::unique_lock lock(mutex_);
      not_full_.wait(lock, [&] { return items_.size() < capacity_; });
      items_.push_back(std::move(v));
    }
    not_empty_.notify_one();
  }
  void pop(T& v) {
    {
      std::unique_lock lock(mutex_);
      not_empty_.wait(lock, [&] { return !items_.empty(); });
      take(v);
    }
    not_full_.notify_one();
  }

 private:
  void take(T& v) {
    v = std::move(items_.front());
    items_.pop_front();
  }

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable not_empty_;
  std::deque<T> items_;
};

template <class T>
class growing : public mutex_queue<T> {
 public:
  explicit growing(std::size_t) : mutex_queue<T>(bench::unbounded) {}
};

}  // namespace

void bench::add_standard(suite& s) {
  const char* name = "mutex and deque";
  s.add<mutex_queue<word>>(name, role::peer);
  s.add<mutex_queue<block>>(name, role::peer);
  s.add<mutex_queue<pointer>>(name, role::peer);
  s.add_unbounded<growing<word>>(name, role::peer);
  s.add_unbounded<growing<block>>(name, role::peer);
  s.add_unbounded<growing<pointer>>(name, role::peer);
}
