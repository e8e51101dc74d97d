// A heap in which every node has four children, and knows where each timer is, so that it can be taken out or moved from
// anywhere. The keys stand in the heap itself, the four children of a node on one cache line; what is with a timer, its
// place included, stands in a table, which is written for every step of a timer, and never read to compare.
// Equal deadlines come in any order: to keep one, as the wheel does, it would have to carry and compare a count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace peers {

template <class Payload>
class indexed_heap {
 public:
  struct handle {
    std::uint32_t number;
    std::uint32_t generation;
  };

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::uint64_t first() const noexcept { return keys_[root].deadline; }

  handle push(std::uint64_t deadline, const Payload& payload) {
    if (size_ == room_) grow();
    std::uint32_t n = free_;
    if (n != none) {
      free_ = timers_[n].place;
      timers_[n].payload = payload;
    } else {
      n = static_cast<std::uint32_t>(timers_.size());
      timers_.push_back({0, 0, payload});
    }
    rise(root + size_++, {deadline, n});
    return {n, timers_[n].generation};
  }

  bool erase(handle h) {
    if (!holds(h)) return false;
    const std::size_t at = timers_[h.number].place;
    release(h.number);
    const key last = keys_[root + --size_];
    if (at != root + size_) settle(at, last);
    return true;
  }

  bool move(handle h, std::uint64_t deadline) {
    if (!holds(h)) return false;
    settle(timers_[h.number].place, {deadline, h.number});
    return true;
  }

  /// The one with the first deadline.
  Payload pop() {
    const std::uint32_t n = keys_[root].number;
    const Payload payload = timers_[n].payload;
    release(n);
    const key last = keys_[root + --size_];
    if (size_ > 0) sink_from_root(last);
    return payload;
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  // The root is at 3, so that the children of i, 4 * (i - 2), and the three after it, begin a line.
  static constexpr std::size_t root = 3;
  static constexpr std::size_t children(std::size_t i) noexcept { return 4 * (i - 2); }
  static constexpr std::size_t parent(std::size_t i) noexcept { return i / 4 + 2; }

  struct key {
    std::uint64_t deadline;
    std::uint32_t number;
  };
  struct timer {
    std::uint32_t place;  // of a free one: the next free one
    std::uint32_t generation;
    Payload payload;
  };
  struct give_back {
    void operator()(key* k) const noexcept { ::operator delete(k, std::align_val_t{64}); }
  };

  [[nodiscard]] bool holds(handle h) const noexcept {
    return h.number < timers_.size() && timers_[h.number].generation == h.generation;
  }
  void release(std::uint32_t n) noexcept {
    ++timers_[n].generation;
    timers_[n].place = free_;
    free_ = n;
  }
  void put(std::size_t at, key k) noexcept {
    keys_[at] = k;
    timers_[k.number].place = static_cast<std::uint32_t>(at);
  }
  void rise(std::size_t at, key k) noexcept {
    while (at != root && k.deadline < keys_[parent(at)].deadline) {
      put(at, keys_[parent(at)]);
      at = parent(at);
    }
    put(at, k);
  }
  [[nodiscard]] std::size_t first_child(std::size_t at) const noexcept {
    const std::size_t begin = children(at);
    const std::size_t end = root + size_;
    if (begin + 4 <= end) {
      const std::size_t a = begin + (keys_[begin + 1].deadline < keys_[begin].deadline ? 1 : 0);
      const std::size_t b = begin + 2 + (keys_[begin + 3].deadline < keys_[begin + 2].deadline ? 1 : 0);
      return keys_[b].deadline < keys_[a].deadline ? b : a;
    }
    std::size_t best = begin;
    for (std::size_t i = begin + 1; i < end; ++i) {
      if (keys_[i].deadline < keys_[best].deadline) best = i;
    }
    return best;
  }
  void sink(std::size_t at, key k) noexcept {
    while (children(at) < root + size_) {
      const std::size_t child = first_child(at);
      if (keys_[child].deadline >= k.deadline) break;
      put(at, keys_[child]);
      at = child;
    }
    put(at, k);
  }
  /// For a key from the bottom, where it is likely to belong: all the way down without comparing it, and up from there.
  void sink_from_root(key k) noexcept {
    std::size_t at = root;
    while (children(at) < root + size_) {
      const std::size_t child = first_child(at);
      put(at, keys_[child]);
      at = child;
    }
    rise(at, k);
  }
  void settle(std::size_t at, key k) noexcept {
    if (at != root && k.deadline < keys_[parent(at)].deadline) {
      rise(at, k);
    } else {
      sink(at, k);
    }
  }
  void grow() {
    const std::size_t room = room_ == 0 ? 64 : 2 * room_;
    std::unique_ptr<key, give_back> more(
        static_cast<key*>(::operator new((root + room) * sizeof(key), std::align_val_t{64})));
    if (size_ > 0) std::memcpy(more.get() + root, keys_ + root, size_ * sizeof(key));
    memory_ = std::move(more);
    keys_ = memory_.get();
    room_ = room;
  }

  std::unique_ptr<key, give_back> memory_;
  key* keys_ = nullptr;
  std::size_t room_ = 0;
  std::size_t size_ = 0;
  std::vector<timer> timers_;
  std::uint32_t free_ = none;
};

}  // namespace peers
