// The hierarchical wheel as it is usually built: levels of 256 slots, a timer where its tick first differs from the current
// one, byte by byte, and whenever a byte is carried over, the next level's slot emptied into those below, all at once. It is
// what a wheel costs without the care for the longest advance: that of a slot that is full. It sorts nothing within a tick.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace alternatives {

template <class Payload>
class cascading_wheel {
 public:
  struct handle {
    std::uint32_t number;
    std::uint32_t generation;
  };

  explicit cascading_wheel(std::uint64_t now) : now_(now), slots_(levels * slots, none) {}

  handle push(std::uint64_t at, const Payload& payload) {
    std::uint32_t n = free_;
    if (n != none) {
      free_ = timers_[n].next;
    } else {
      n = static_cast<std::uint32_t>(timers_.size());
      timers_.emplace_back();
    }
    timers_[n].payload = payload;
    timers_[n].at = at > now_ ? at : now_ + 1;
    link(n);
    return {n, timers_[n].generation};
  }
  bool erase(handle h) {
    if (timers_[h.number].generation != h.generation) return false;
    unlink(h.number);
    release(h.number);
    return true;
  }
  bool move(handle h, std::uint64_t at) {
    if (timers_[h.number].generation != h.generation) return false;
    unlink(h.number);
    timers_[h.number].at = at > now_ ? at : now_ + 1;
    link(h.number);
    return true;
  }
  template <class F>
  void advance(std::uint64_t target, F fire) {
    while (now_ < target) {
      // To the next tick at which the lowest level that holds anything has a slot to be emptied.
      unsigned idle = 0;
      while (idle < levels && sizes_[idle] == 0) ++idle;
      const std::uint64_t next = idle < levels ? ((now_ >> (bits * idle)) + 1) << (bits * idle) : target;
      if (next > target) {
        now_ = target;
        return;
      }
      now_ = next;
      for (unsigned level = carried(now_); level > 0; --level) {
        for (std::uint32_t n = slot(level, now_); n != none;) {
          const std::uint32_t after = timers_[n].next;
          unlink(n);
          link(n);
          n = after;
        }
      }
      while (slot(0, now_) != none) {
        const std::uint32_t n = slot(0, now_);
        const Payload payload = timers_[n].payload;
        unlink(n);
        release(n);
        fire(payload);
      }
    }
  }

 private:
  static constexpr unsigned levels = 5;
  static constexpr unsigned bits = 8;
  static constexpr unsigned slots = 1u << bits;
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  struct timer {
    std::uint64_t at = 0;
    std::uint32_t previous = none;
    std::uint32_t next = none;
    std::uint32_t generation = 0;
    std::uint32_t place = 0;
    Payload payload{};
  };

  /// How many of the lowest bytes are 0: the highest level of which a slot begins at that tick.
  [[nodiscard]] static unsigned carried(std::uint64_t tick) noexcept {
    const unsigned level = static_cast<unsigned>(std::countr_zero(tick)) / bits;
    return level < levels ? level : levels - 1;
  }
  [[nodiscard]] static std::uint32_t place_of(unsigned level, std::uint64_t tick) noexcept {
    return level * slots + static_cast<std::uint32_t>((tick >> (bits * level)) % slots);
  }
  [[nodiscard]] std::uint32_t& slot(unsigned level, std::uint64_t tick) {
    return slots_[place_of(level, tick)];
  }

  void link(std::uint32_t n) {
    timer& t = timers_[n];
    const std::uint64_t differs = t.at ^ now_;
    unsigned level = differs == 0 ? 0 : static_cast<unsigned>(std::bit_width(differs) - 1) / bits;
    if (level >= levels) level = levels - 1;
    t.place = place_of(level, t.at);
    t.previous = none;
    t.next = slots_[t.place];
    if (t.next != none) timers_[t.next].previous = n;
    slots_[t.place] = n;
    ++sizes_[level];
  }
  void unlink(std::uint32_t n) {
    const timer& t = timers_[n];
    (t.previous != none ? timers_[t.previous].next : slots_[t.place]) = t.next;
    if (t.next != none) timers_[t.next].previous = t.previous;
    --sizes_[t.place / slots];
  }
  void release(std::uint32_t n) {
    ++timers_[n].generation;
    timers_[n].next = free_;
    free_ = n;
  }

  std::uint64_t now_;
  std::vector<std::uint32_t> slots_;
  std::size_t sizes_[levels] = {};
  std::vector<timer> timers_;
  std::uint32_t free_ = none;
};

}  // namespace alternatives
