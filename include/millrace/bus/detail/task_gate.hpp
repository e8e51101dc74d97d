// What lies between a bus and the executor that its tasks run in: shut until the bus starts, and gone around when it stops.
//
//   made    tasks wait here
//   open    each goes to the executor, as a ticket
//   closed  who posts one runs it
//
// Nobody can take back what the host's executor has been given. So that is a ticket, and the task stays here until the ticket's
// turn has come, or close() takes it; a ticket that comes later finds nothing.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/flow/executor.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class task_gate final : public executor, public std::enable_shared_from_this<task_gate> {
 public:
  void post(task t) noexcept override {
    if (!t) return;
    std::unique_lock lock(mutex_);
    if (state_ == state::closed) {
      lock.unlock();
      return t();
    }
    const ticket given = keep(std::move(t));
    if (state_ == state::made) return;
    ++posting_;
    lock.unlock();
    hand_on(given);
    done_posting();
  }
  [[nodiscard]] bool wants_small_tasks() const noexcept override {
    const std::lock_guard lock(mutex_);
    return state_ == state::open && to_->wants_small_tasks();
  }
  /// What waits goes to `to`, which must last until close() has returned.
  void open(executor& to) {
    std::size_t waiting = 0;
    {
      const std::lock_guard lock(mutex_);
      if (state_ != state::made) return;
      waiting = places_.size();
      state_ = state::open;
      to_ = &to;
      ++posting_;
    }
    for (ticket t = 0; t < waiting; ++t) hand_on(t);
    done_posting();
  }
  /// Runs what waits, in this thread; nothing is given to the executor any more. Idempotent.
  void close() noexcept {
    std::vector<place> waiting;
    {
      std::unique_lock lock(mutex_);
      state_ = state::closed;
      nobody_posts_.wait(lock, [this] { return posting_ == 0; });
      waiting.swap(places_);
    }
    std::sort(waiting.begin(), waiting.end(),
              [](const place& a, const place& b) { return a.number < b.number; });
    for (place& p : waiting) {
      if (p.number != 0) p.held();
    }
  }

 private:
  enum class state : std::uint8_t { made, open, closed };
  using ticket = std::size_t;  // a place
  struct place {
    std::uint64_t number = 0;  // which post it was; 0: none
    task held;
  };

  // With the mutex held:

  ticket keep(task t) {
    if (free_.empty()) {
      if (free_.capacity() <= places_.size()) free_.reserve(2 * places_.size() + 1);  // take() must not
      free_.push_back(places_.size());
      places_.emplace_back();
    }
    const ticket at = free_.back();
    free_.pop_back();
    places_[at].number = ++posts_;
    places_[at].held = std::move(t);
    return at;
  }

  // Without:

  task take(ticket at) noexcept {
    const std::lock_guard lock(mutex_);
    if (places_.empty()) return nullptr;  // close() has taken them all
    places_[at].number = 0;
    free_.push_back(at);
    return std::move(places_[at].held);
  }
  void hand_on(ticket given) noexcept {
    to_->post([me = shared_from_this(), given] {
      if (task t = me->take(given)) t();
    });
  }
  void done_posting() noexcept {
    const std::lock_guard lock(mutex_);
    if (--posting_ == 0) nobody_posts_.notify_all();
  }

  mutable std::mutex mutex_;
  state state_ = state::made;  // \ guarded by mutex_
  std::vector<place> places_;  // |
  std::vector<ticket> free_;   // |
  std::uint64_t posts_ = 0;    // |
  std::size_t posting_ = 0;    // / how many are giving something to to_
  std::condition_variable nobody_posts_;
  executor* to_ = nullptr;  // before state_ is open
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
