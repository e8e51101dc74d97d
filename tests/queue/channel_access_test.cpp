// A queue of somebody else's under a channel: a deque behind a mutex, with the few members that channel_access asks for.
#include "millrace/queue/channel_access.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/queue/channel.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::outcome;

template <class T>
class locked_queue {
 public:
  using value_type = T;
  using sync_type = millrace::std_sync;
  static constexpr bool is_bounded = true;
  static constexpr bool many_producers = true;
  static constexpr bool many_consumers = true;

  explicit locked_queue(std::size_t capacity) : capacity_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t size_approx() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  friend millrace::channel_access;

  template <class... Args>
  outcome offer(Args&&... args) {
    const std::lock_guard lock(mutex_);
    if (closed_) return outcome::closed;
    if (values_.size() == capacity_) return outcome::full;
    values_.emplace_back(std::forward<Args>(args)...);
    return outcome::ok;
  }
  template <class Receive>
  outcome take(Receive&& receive) {
    const std::lock_guard lock(mutex_);
    if (values_.empty()) return closed_ ? outcome::closed : outcome::empty;
    receive(std::move(values_.front()));
    values_.pop_front();
    return outcome::ok;
  }
  void close() noexcept {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<T> values_;
  bool closed_ = false;
};

}  // namespace

TEST_CASE("a channel takes any queue that knows when it is full, empty and closed") {
  const support::watchdog guard("a queue of somebody else's");
  millrace::channel<int, locked_queue<int>> ch(2);
  CHECK(ch.capacity() == 2);
  int out = 0;
  CHECK(ch.try_pop(out) == outcome::empty);
  CHECK(ch.push(1) == outcome::ok);
  CHECK(ch.push(2) == outcome::ok);
  CHECK(ch.try_push(3) == outcome::full);
  CHECK(ch.push_for(3, 1ms) == outcome::timeout);

  long sum = 0;
  std::thread consumer([&] {
    for (const int v : ch) sum += v;
  });
  for (int i = 3; i <= 1000; ++i) {
    if (ch.push(i) != outcome::ok) FAIL("it waits for room");
  }
  ch.close();
  consumer.join();
  CHECK(sum == 500'500);
  CHECK(ch.push(1) == outcome::closed);
  CHECK(ch.try_pop(out) == outcome::closed);
}
