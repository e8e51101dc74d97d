// Looks for an order of a history that a plain FIFO queue could have gone through, in every way there is:
// depth first, a state being the set of what has been done and the contents of the queue. J. Wing & C. Gong,
// Testing and verifying concurrent objects, JPDC 1993; the memory of states is G. Lowe's, Testing for
// linearizability, 2017.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_set>
#include <vector>

#include "support/detail/timeline.hpp"

namespace support {
namespace detail {

class fifo_search {
 public:
  enum class answer : std::uint8_t { found, none, gave_up };

  explicit fifo_search(const timeline& in) : in_(in) {}

  [[nodiscard]] answer run(std::size_t budget) {
    budget_ = budget;
    steps_ = 0;
    order_.clear();
    done_.assign(in_.tasks.size(), false);
    by_start_.resize(in_.tasks.size());
    for (std::uint32_t t = 0; t < in_.tasks.size(); ++t) by_start_[t] = t;
    std::sort(by_start_.begin(), by_start_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return in_.tasks[a].start < in_.tasks[b].start; });
    contents_.clear();
    visited_.clear();
    trail_.clear();
    entered_.assign(in_.lives.size(), false);
    if (descend(0, 0, 0, {})) return answer::found;
    return steps_ > budget_ ? answer::gave_up : answer::none;
  }

  /// Of the last run that found one: indices into the history.
  [[nodiscard]] const std::vector<std::uint32_t>& order() const noexcept { return order_; }
  [[nodiscard]] std::size_t states() const noexcept { return visited_.size(); }

 private:
  struct state {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    bool operator==(const state&) const = default;
  };
  struct state_hash {
    std::size_t operator()(const state& s) const noexcept { return static_cast<std::size_t>(s.a); }
  };

  // 128 bits, so that two states meeting by accident is out of the question.
  [[nodiscard]] state fingerprint(state taken) const {
    for (const std::uint32_t v : contents_) {
      taken.a = mix(taken.a ^ v);
      taken.b = mix(taken.b + v * 0xD6E8FEB86659FD93u);
    }
    return taken;
  }

  // The next of each list that is still to be done, from where the caller stood.
  bool descend(std::size_t due, std::size_t first, std::size_t next_pop, state taken) {
    const std::size_t mark = order_.size();
    const std::size_t undo = trail_.size();
    if (!watch(due, first, taken)) return true;
    const auto take_back = [&] {
      for (; trail_.size() > undo; trail_.pop_back()) done_[trail_.back()] = false;
      order_.resize(mark);
      return false;
    };
    if (++steps_ > budget_ || !visited_.insert(fingerprint(taken)).second) return take_back();
    while (next_pop < in_.by_pop_end.size() && entered_[in_.by_pop_end[next_pop]]) ++next_pop;
    const std::uint64_t must =
        next_pop < in_.by_pop_end.size() ? in_.lives[in_.by_pop_end[next_pop]].pop_end : never;
    const std::uint64_t limit = in_.tasks[due].end;
    for (std::size_t i = first; i < by_start_.size() && in_.tasks[by_start_[i]].start <= limit; ++i) {
      const std::uint32_t t = by_start_[i];
      if (done_[t] || in_.tasks[t].value == nobody) continue;
      const std::uint32_t v = in_.tasks[t].value;
      const bool push = in_.tasks[t].what == task::push;
      if (push ? contents_.size() == in_.capacity : contents_.empty() || contents_.front() != v) continue;
      // A value that must leave before this one has to enter before it.
      if (push && must < in_.lives[v].pop_start) continue;
      done_[t] = true;
      order_.push_back(in_.tasks[t].index);
      if (push) {
        contents_.push_back(v);
        entered_[v] = true;
      } else {
        contents_.pop_front();
      }
      if (descend(due, first, next_pop, {taken.a ^ mix(t), taken.b ^ mix(~std::uint64_t{t})})) return true;
      if (push) {
        contents_.pop_back();
        entered_[v] = false;
      } else {
        contents_.push_front(v);
      }
      order_.pop_back();
      done_[t] = false;
    }
    return take_back();
  }

  // Shows the queue to those who are asked to see it as it is now: always safe, as they change nothing.
  // False: nothing is left to do.
  bool watch(std::size_t& due, std::size_t& first, state& taken) {
    for (;;) {
      while (due < in_.tasks.size() && done_[due]) ++due;
      if (due == in_.tasks.size()) return false;
      while (done_[by_start_[first]]) ++first;
      const std::uint64_t limit = in_.tasks[due].end;
      bool shown = false;
      for (std::size_t i = first; i < by_start_.size() && in_.tasks[by_start_[i]].start <= limit; ++i) {
        const std::uint32_t t = by_start_[i];
        if (done_[t] || in_.tasks[t].value != nobody) continue;
        const bool empty = in_.tasks[t].what == task::see_empty;
        if (contents_.size() != (empty ? 0 : in_.capacity)) continue;
        done_[t] = shown = true;
        trail_.push_back(t);
        order_.push_back(in_.tasks[t].index);
        taken = {taken.a ^ mix(t), taken.b ^ mix(~std::uint64_t{t})};
      }
      if (!shown) return true;
    }
  }

  const timeline& in_;
  std::vector<std::uint32_t> order_;
  std::vector<std::uint32_t> by_start_;
  std::vector<bool> done_;
  std::vector<bool> entered_;           // values that have been pushed
  std::vector<std::uint32_t> trail_;    // tasks that were shown the queue
  std::deque<std::uint32_t> contents_;  // values
  std::unordered_set<state, state_hash> visited_;
  std::size_t budget_ = 0;
  std::size_t steps_ = 0;
};

}  // namespace detail
}  // namespace support
