// What the standard library has: a heap, in which a cancelled timer stays until its time, and a tree.
#include <cstdint>
#include <map>
#include <optional>
#include <queue>
#include <vector>

#include "support/suite.hpp"

namespace {

using namespace bench;

class lazy_heap {
 public:
  struct handle {
    std::uint32_t number;
    std::uint32_t generation;
  };

  explicit lazy_heap(nanos) {}
  handle schedule(nanos deadline, word payload) {
    std::uint32_t n = free_;
    if (n != none) {
      free_ = static_cast<std::uint32_t>(timers_[n].payload);
      timers_[n].payload = payload;
    } else {
      n = static_cast<std::uint32_t>(timers_.size());
      timers_.push_back({payload, 0});
    }
    heap_.push({deadline, n, timers_[n].generation});
    return {n, timers_[n].generation};
  }
  void cancel(handle h) {
    if (h.generation != timers_[h.number].generation) return;
    ++timers_[h.number].generation;
    timers_[h.number].payload = free_;
    free_ = h.number;
  }
  handle reschedule(handle h, nanos deadline) {
    if (h.generation != timers_[h.number].generation) return h;
    const std::uint32_t g = ++timers_[h.number].generation;
    heap_.push({deadline, h.number, g});
    return {h.number, g};
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    while (!heap_.empty() && heap_.top().deadline <= now) {
      const key k = heap_.top();
      heap_.pop();
      if (k.generation != timers_[k.number].generation) continue;
      fired(timers_[k.number].payload);
      cancel({k.number, k.generation});
    }
  }
  /// It may be that of one that was cancelled.
  [[nodiscard]] std::optional<nanos> next() const {
    if (heap_.empty()) return std::nullopt;
    return heap_.top().deadline;
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  struct key {
    nanos deadline;
    std::uint32_t number;
    std::uint32_t generation;
    bool operator<(const key& other) const { return deadline > other.deadline; }
  };
  struct timer {
    word payload;  // of a free one: the next free one
    std::uint32_t generation;
  };
  std::priority_queue<key> heap_;
  std::vector<timer> timers_;
  std::uint32_t free_ = none;
};

class tree {
  using type = std::multimap<nanos, word>;

 public:
  using handle = type::iterator;
  explicit tree(nanos) {}
  handle schedule(nanos deadline, word payload) { return map_.emplace(deadline, payload); }
  void cancel(handle h) { map_.erase(h); }
  handle reschedule(handle h, nanos deadline) {
    auto node = map_.extract(h);
    node.key() = deadline;
    return map_.insert(std::move(node));
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    while (!map_.empty() && map_.begin()->first <= now) {
      fired(map_.begin()->second);
      map_.erase(map_.begin());
    }
  }
  [[nodiscard]] std::optional<nanos> next() const {
    if (map_.empty()) return std::nullopt;
    return map_.begin()->first;
  }

 private:
  type map_;
};

}  // namespace

void bench::add_ordered(suite& s) {
  s.add_timers<lazy_heap>("std::priority_queue, lazy cancel", role::peer);
  s.add_timers<tree>("std::multimap", role::peer);
}
