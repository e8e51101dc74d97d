// Where the producers and the consumers of a ring start looking: two positions, each stored only after it has been
// settled, so that it never runs ahead of the truth; it may run far behind, and nothing but time depends on it. So
// all of it is relaxed. Positions wrap, and are compared by their difference.
#pragma once

#include <atomic>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync>
class hints {
 public:
  explicit hints(std::uint64_t first) noexcept : tail_(first), head_(first) {}

  // The verbs of a ring take a cursor: begin with tail() or head(), use it for a batch, hand it to settle_*().
  [[nodiscard]] std::uint64_t tail() const noexcept { return tail_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t head() const noexcept { return head_.load(std::memory_order_relaxed); }
  void settle_tail(std::uint64_t p) noexcept { advance(tail_, p); }
  void settle_head(std::uint64_t h) noexcept { advance(head_, h); }

 protected:
  [[nodiscard]] static std::uint64_t later(std::uint64_t a, std::uint64_t b) noexcept {
    return static_cast<std::int64_t>(b - a) > 0 ? b : a;
  }

 private:
  using hint = typename Sync::template atomic<std::uint64_t>;

  static void advance(hint& h, std::uint64_t to) noexcept {
    if (static_cast<std::int64_t>(to - h.load(std::memory_order_relaxed)) > 0) {
      h.store(to, std::memory_order_relaxed);
    }
  }

  alignas(hot_separation) hint tail_;
  alignas(hot_separation) hint head_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
