// Counts what is in a channel and on its way in, and says when that has become much, and when it is little again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/function.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync>
class level_watch {
 public:
  level_watch(std::size_t low, std::size_t high, function<void(bool)> tell) noexcept
      : low_(low), high_(high), tell_(std::move(tell)) {}

  // The value is counted before it is there and until after it has gone, so that there is never less than nothing.
  void coming() noexcept { state_.fetch_add(one, std::memory_order_relaxed); }
  void gone() noexcept { state_.fetch_sub(one, std::memory_order_relaxed); }

  /// After either. Calls are made one at a time, and the last one tells what holds.
  void look() {
    if (!crossed(state_.load(std::memory_order_relaxed))) return;
    const std::lock_guard lock(mutex_);
    std::uint64_t s = state_.load(std::memory_order_relaxed);
    while (crossed(s)) {
      if (state_.compare_exchange_strong(s, s ^ told, std::memory_order_relaxed)) {
        return tell_((s & told) == 0);  // who crosses a mark meanwhile comes here next
      }
    }
  }

 private:
  // state_: [ values : 63 | told : 1 ]. Relaxed is enough: it is a single word, so its changes have one order, and who
  // crosses a mark looks at the word after that.
  static constexpr std::uint64_t told = 1;
  static constexpr std::uint64_t one = 2;

  [[nodiscard]] bool crossed(std::uint64_t s) const noexcept {
    return (s & told) != 0 ? s / one <= low_ : s / one >= high_;
  }

  const std::size_t low_;
  const std::size_t high_;
  typename Sync::template atomic<std::uint64_t> state_{0};
  typename mutex_of<Sync>::type mutex_;
  function<void(bool)> tell_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
