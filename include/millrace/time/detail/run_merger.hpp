// Sorts the entries that are due at the same tick by deadline, and those of the same deadline by when they were scheduled.
// It goes on step by step, so that a call can stop in the middle, and lets go of any entry at any time.
//
// A few are sorted in an array by insertion, from which they are also taken: most ticks have no more. When the array is
// full, it becomes a run, a list, and the runs are merged. Arrays that come in order, or in the opposite order, make one
// run.
//
// Source: insertion sort, and the natural merge sort of lists, D. E. Knuth, The Art of Computer Programming, vol. 3, 5.2.1
// and 5.2.4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/time/detail/timer_slab.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Slab: operator[](index) gives a timer_node.
template <class Slab>
class run_merger {
  using index = timer_node::index;
  static constexpr index none = timer_node::none;

 public:
  explicit run_merger(Slab& slab) noexcept : slab_(slab) {}
  run_merger(const run_merger&) = delete;
  run_merger& operator=(const run_merger&) = delete;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  /// One more entry, of no list; before the first step.
  void add(index i, const timer_node& n) noexcept {
    if (few_size_ == most) make_run();
    ++size_;
    const key k{n.deadline, n.order, i};
    unsigned at = few_size_++;
    for (; at > 0 && few_[at - 1] < k; --at) few_[at] = few_[at - 1];
    few_[at] = k;
  }

  /// A step towards the order; false: it is there.
  [[nodiscard]] bool step() noexcept { return size_ != few_size_ && merge(); }

  /// The next one in order; after step() has said that there is an order, and if there is one left.
  [[nodiscard]] index pop() noexcept {
    const index i = few_size_ > 0 ? few_[--few_size_].who : detach_first(lists_[sorted]);
    forget_one();
    return i;
  }

  /// Lets go of an entry.
  void remove(index i) noexcept {
    for (unsigned at = 0; at < few_size_; ++at) {
      if (few_[at].who != i) continue;
      for (--few_size_; at < few_size_; ++at) few_[at] = few_[at + 1];
      return forget_one();
    }
    const timer_node& n = slab_[i];
    if (n.previous != none) slab_[n.previous].next = n.next;
    if (n.next != none) slab_[n.next].previous = n.previous;
    if (n.previous == none || n.next == none) {
      for (list& l : lists_) {
        if (l.first == i) l.first = n.next;
        if (l.last == i) l.last = n.previous;
      }
    }
    forget_one();
  }

 private:
  /// What the order of an entry depends on.
  struct key {
    std::int64_t deadline;
    std::uint64_t order;
    index who;
    friend bool operator<(const key& a, const key& b) noexcept {
      return a.deadline != b.deadline ? a.deadline < b.deadline : a.order < b.order;
    }
  };
  struct list {
    index first = none;
    index last = none;
  };
  enum : unsigned { growing, unsorted, left, right, sorted, all_lists };
  enum class phase : unsigned char { feeding, taking_left, taking_right, merging, done };
  static constexpr unsigned most = 32;

  [[nodiscard]] key key_of(index i) const noexcept { return {slab_[i].deadline, slab_[i].order, i}; }
  [[nodiscard]] bool before(index a, index b) const noexcept { return key_of(a) < key_of(b); }

  [[nodiscard]] bool merge() noexcept {
    list& from = lists_[unsorted];
    list& a = lists_[left];
    list& b = lists_[right];
    switch (phase_) {
      case phase::feeding:
        make_run();
        if (from.first == none) {
          lists_[sorted] = take(growing);
          phase_ = phase::done;
          return false;
        }
        close_run();
        phase_ = phase::taking_left;
        return true;
      case phase::taking_left:
        if (!extend(a)) phase_ = phase::taking_right;
        return true;
      case phase::taking_right:
        if (!extend(b)) phase_ = phase::merging;
        return true;
      case phase::merging:
        if (a.first != none && b.first != none) {
          append(lists_[sorted], detach_first(before(a.first, b.first) ? a : b));
          return true;
        }
        concatenate(lists_[sorted], take(a.first != none ? left : right));
        ++pairs_;
        phase_ = phase::taking_left;
        if (from.first != none) return true;
        if (pairs_ > 1) {
          from = take(sorted);
          pairs_ = 0;
          return true;
        }
        phase_ = phase::done;
        return false;
      case phase::done: break;
    }
    return false;
  }

  /// All that is in the array, as a list that is in order.
  void make_run() noexcept {
    list more;
    while (few_size_ > 0) append(more, few_[--few_size_].who);
    list& run = lists_[growing];
    if (more.first == none || run.first == none || before(run.last, more.first)) {
      concatenate(run, more);
    } else {
      if (before(more.last, run.first)) {
        concatenate(more, take(growing));
      } else {
        close_run();
      }
      run = more;
    }
  }
  void append(list& l, index i) noexcept {
    timer_node& n = slab_[i];
    n.previous = l.last;
    n.next = none;
    (l.last != none ? slab_[l.last].next : l.first) = i;
    l.last = i;
  }
  void concatenate(list& l, list more) noexcept {
    if (more.first == none) return;
    slab_[more.first].previous = l.last;
    (l.last != none ? slab_[l.last].next : l.first) = more.first;
    l.last = more.last;
  }
  index detach_first(list& l) noexcept {
    const index i = l.first;
    l.first = slab_[i].next;
    (l.first != none ? slab_[l.first].previous : l.last) = none;
    return i;
  }
  list take(unsigned which) noexcept { return std::exchange(lists_[which], list()); }
  void close_run() noexcept { concatenate(lists_[unsorted], take(growing)); }

  /// Takes the next unsorted entry to the end of `run`, if it belongs there.
  bool extend(list& run) noexcept {
    list& from = lists_[unsorted];
    if (from.first == none || (run.last != none && !before(run.last, from.first))) return false;
    append(run, detach_first(from));
    return true;
  }
  void forget_one() noexcept {
    if (--size_ != 0) return;
    phase_ = phase::feeding;
    pairs_ = 0;
  }

  Slab& slab_;
  key few_[most];  // in order, the first one last
  unsigned few_size_ = 0;
  list lists_[all_lists];
  std::size_t size_ = 0;
  std::size_t pairs_ = 0;  // of runs that this pass has merged
  phase phase_ = phase::feeding;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
