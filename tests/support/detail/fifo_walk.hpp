// Looks for an order of a history that a plain FIFO queue could have gone through, quickly: it first settles
// in which order the values pass, and then only when each passes.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/detail/timeline.hpp"

namespace support {
namespace detail {

class fifo_walk {
 public:
  explicit fifo_walk(const timeline& in) : in_(in) {}

  /// What the last walk, sweep or mend that succeeded went through: indices into the history.
  [[nodiscard]] const std::vector<std::uint32_t>& order() const noexcept { return order_; }

  /// Puts the values in an order that no push and no pop contradicts. Value a must precede b if its push
  /// ended before b's began, or its pop before b's. What remains first by the end of its push, or first by
  /// the end of its pop, can always go next, unless the two relations contradict each other.
  [[nodiscard]] bool rank(bool pops_lead) {
    queue_.clear();
    ranked_.assign(in_.lives.size(), false);
    ranks_.resize(in_.lives.size());
    std::size_t a = 0;
    std::size_t b = 0;
    while (queue_.size() < in_.lives.size()) {
      while (ranked_[in_.by_push_end[a]]) ++a;
      while (ranked_[in_.by_pop_end[b]]) ++b;
      const std::uint32_t x = in_.by_push_end[a];
      const std::uint32_t y = in_.by_pop_end[b];
      const bool x_can = in_.lives[x].pop_start <= in_.lives[y].pop_end;
      const bool y_can = in_.lives[y].push_start <= in_.lives[x].push_end;
      if (!x_can && !y_can) return false;
      const std::uint32_t next = y_can && (pops_lead || !x_can) ? y : x;
      ranked_[next] = true;
      ranks_[next] = static_cast<std::uint32_t>(queue_.size());
      queue_.push_back(next);
    }
    return true;
  }

  /// Goes through the deadlines in time and does each thing as late as it may, but whatever is asked to see
  /// the queue empty (or full) is shown it as soon as it is, and before it is left once more.
  [[nodiscard]] bool walk() {
    order_.clear();
    empties_.clear();
    fulls_.clear();
    done_.assign(in_.tasks.size(), false);
    pushed_ = popped_ = 0;
    std::size_t started = 0;
    for (std::size_t t = 0; t < in_.tasks.size(); ++t) {
      now_ = in_.tasks[t].end;
      for (; started < in_.watchers.size() && in_.tasks[in_.watchers[started]].start <= now_; ++started) {
        const std::uint32_t w = in_.watchers[started];
        (in_.tasks[w].what == task::see_empty ? empties_ : fulls_).push_back(w);
      }
      show();
      const task& due = in_.tasks[t];
      if (due.value == nobody) {
        if (done_[t]) continue;
        due.what == task::see_empty ? drain() : fill();
        if (!done_[t]) return false;
      } else if (due.what == task::push) {
        while (pushed_ <= ranks_[due.value]) {
          if (!push_next()) return false;
        }
      } else {
        while (popped_ <= ranks_[due.value]) {
          if (!pop_next()) return false;
        }
      }
    }
    return true;
  }

  /// Like walk(), but follows every way to go at once: exact for the order of the values that rank() chose.
  [[nodiscard]] bool sweep() {
    order_.clear();
    trace_.clear();
    nodes_.assign(1, node{});
    waiting_.clear();
    free_slots_ = ~std::uint64_t{0};
    std::size_t started = 0;
    for (std::size_t t = 0; t < in_.tasks.size(); ++t) {
      now_ = in_.tasks[t].end;
      for (; started < in_.watchers.size() && in_.tasks[in_.watchers[started]].start <= now_; ++started) {
        if (free_slots_ == 0) return false;
        const int slot = std::countr_zero(free_slots_);
        free_slots_ &= free_slots_ - 1;
        waiting_.push_back({in_.watchers[started], std::uint64_t{1} << slot});
      }
      const task& due = in_.tasks[t];
      const bool push = due.value != nobody && due.what == task::push;
      const std::uint64_t bit = due.value != nobody ? 0 : slot_of(static_cast<std::uint32_t>(t));
      for (node& p : nodes_) look(p);
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const node p = nodes_[i];
        if (p.pushed < queue_.size() && p.pushed - p.popped < in_.capacity &&
            in_.lives[queue_[p.pushed]].push_start <= now_) {
          go(p, 1, 0, in_.lives[queue_[p.pushed]].push);
        }
        if (p.popped < p.pushed && in_.lives[queue_[p.popped]].pop_start <= now_) {
          go(p, 0, 1, in_.lives[queue_[p.popped]].pop);
        }
      }
      pushed_ = nodes_.back().pushed;
      popped_ = nodes_.back().popped;
      std::erase_if(nodes_, [&](const node& p) {
        if (due.value == nobody) return (p.shown & bit) == 0;
        return (push ? p.pushed : p.popped) <= ranks_[due.value];
      });
      if (nodes_.empty()) return false;
      if (bit != 0) {
        for (node& p : nodes_) p.shown &= ~bit;
        free_slots_ |= bit;
        std::erase_if(waiting_, [&](const wait& w) { return w.bit == bit; });
      }
    }
    for (std::uint32_t s = nodes_.front().from; s != nobody; s = trace_[s].from) {
      order_.push_back(trace_[s].index);
    }
    std::reverse(order_.begin(), order_.end());
    return true;
  }

  /// Where a sweep stops, two values that overlapped may be in the wrong order: neighbours are exchanged
  /// there at random, and what leads farther is kept.
  [[nodiscard]] bool mend() {
    constexpr int tries = 1'000;
    constexpr std::size_t back = 20;  // how far before the place
    constexpr std::size_t span = 24;
    std::uint64_t random = 1;
    std::uint64_t reached = now_;
    std::size_t pushed = pushed_;
    std::size_t popped = popped_;
    for (int i = 0; i < tries; ++i) {
      random = mix(random);
      const std::size_t near = (random & 1) != 0 ? pushed : popped;
      const std::size_t r = near + ((random >> 8) % span);
      if (r < back || r - back + 1 >= queue_.size()) continue;
      if (!exchange(r - back)) continue;
      if (sweep()) return true;
      if (now_ < reached) {
        exchange(r - back);
        continue;
      }
      reached = now_;
      pushed = pushed_;
      popped = popped_;
    }
    return false;
  }

 private:
  // How many values were pushed and popped by now, and who of those that wait was shown the queue.
  struct node {
    std::size_t pushed = 0;
    std::size_t popped = 0;
    std::uint64_t shown = 0;      // one bit for each in waiting_
    std::uint32_t from = nobody;  // the step that led here, in trace_
  };
  struct step {
    std::uint32_t index;  // into the history
    std::uint32_t from;
  };
  struct wait {
    std::uint32_t task;
    std::uint64_t bit;
  };

  // Exchanges the values at ranks r and r + 1 if they may pass in either order.
  bool exchange(std::size_t r) {
    const life& x = in_.lives[queue_[r]];
    const life& y = in_.lives[queue_[r + 1]];
    if (x.push_end < y.push_start || x.pop_end < y.pop_start) return false;
    std::swap(ranks_[queue_[r]], ranks_[queue_[r + 1]]);
    std::swap(queue_[r], queue_[r + 1]);
    return true;
  }

  [[nodiscard]] std::uint64_t slot_of(std::uint32_t t) const {
    return std::find_if(waiting_.begin(), waiting_.end(), [&](const wait& w) { return w.task == t; })->bit;
  }

  void note(node& p, std::uint32_t index) {
    trace_.push_back({index, p.from});
    p.from = static_cast<std::uint32_t>(trace_.size() - 1);
  }

  void look(node& p) {
    for (const wait& w : waiting_) {
      const bool empty = in_.tasks[w.task].what == task::see_empty;
      if ((p.shown & w.bit) != 0 || p.pushed - p.popped != (empty ? 0 : in_.capacity)) continue;
      p.shown |= w.bit;
      note(p, in_.tasks[w.task].index);
    }
  }

  void go(node p, std::size_t push, std::size_t pop, std::uint32_t index) {
    p.pushed += push;
    p.popped += pop;
    note(p, index);
    look(p);
    for (const node& other : nodes_) {
      if (other.pushed == p.pushed && other.popped == p.popped && (other.shown | p.shown) == other.shown)
        return;
    }
    nodes_.push_back(p);
  }

  bool push_next() {
    if (pushed_ == queue_.size()) return false;
    const life& l = in_.lives[queue_[pushed_]];
    if (l.push_start > now_) return false;
    if (!empties_.empty()) drain();
    if (pushed_ - popped_ == in_.capacity && !pop_next()) return false;
    ++pushed_;
    order_.push_back(l.push);
    show();
    return true;
  }

  bool pop_next() {
    if (popped_ == pushed_ && !push_next()) return false;
    if (!fulls_.empty()) fill();
    const life& l = in_.lives[queue_[popped_]];
    if (l.pop_start > now_) return false;
    ++popped_;
    order_.push_back(l.pop);
    show();
    return true;
  }

  // All the way or not at all.
  void drain() {
    for (std::size_t i = popped_; i < pushed_; ++i) {
      if (in_.lives[queue_[i]].pop_start > now_) return;
    }
    while (popped_ < pushed_) {
      order_.push_back(in_.lives[queue_[popped_++]].pop);
      show();
    }
  }

  void fill() {
    if (queue_.size() - popped_ < in_.capacity) return;
    for (std::size_t i = pushed_; i < popped_ + in_.capacity; ++i) {
      if (in_.lives[queue_[i]].push_start > now_) return;
    }
    while (pushed_ - popped_ < in_.capacity) {
      order_.push_back(in_.lives[queue_[pushed_++]].push);
      show();
    }
  }

  void show() {
    if (pushed_ == popped_) release(empties_);
    if (pushed_ - popped_ == in_.capacity) release(fulls_);
  }

  void release(std::vector<std::uint32_t>& waiting) {
    for (const std::uint32_t t : waiting) {
      done_[t] = true;
      order_.push_back(in_.tasks[t].index);
    }
    waiting.clear();
  }

  const timeline& in_;
  std::vector<std::uint32_t> order_;

  std::vector<std::uint32_t> queue_;  // all values, in the order in which they pass
  std::vector<std::uint32_t> ranks_;  // where in queue_ each value stands
  std::vector<bool> ranked_;
  std::vector<bool> done_;
  std::vector<std::uint32_t> empties_;  // started, not shown the queue yet
  std::vector<std::uint32_t> fulls_;
  std::size_t pushed_ = 0;
  std::size_t popped_ = 0;
  std::uint64_t now_ = 0;

  std::vector<node> nodes_;
  std::vector<step> trace_;
  std::vector<wait> waiting_;
  std::uint64_t free_slots_ = 0;
};

}  // namespace detail
}  // namespace support
