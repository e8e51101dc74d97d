// Lets an event loop wait for a channel: a file descriptor that is readable while something can be popped.
//
// The descriptor watches the line of those who wait to pop. A push makes it readable, and then it is out of the line: the
// pushes after that pay nothing. Who finds the channel empty makes it unreadable and lines it up again, and then looks
// once more, because a push may have come in between. So it is readable if there is something; it may also be, for a
// while, if somebody else was faster.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/event_fd.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync>
class readiness {
  using line = basic_event_count<Sync>;
  using event_fd = typename event_fd_of<Sync>::type;

 public:
  readiness() noexcept = default;
  readiness(const readiness&) = delete;
  readiness& operator=(const readiness&) = delete;
  ~readiness() { delete watcher_.load(std::memory_order_relaxed); }

  /// Made when it is first asked for, and readable then, until somebody finds the channel empty.
  event_fd& fd(line& to_pop) {
    watcher* there = watcher_.load(std::memory_order_acquire);  // (2) pairs with (1)
    if (there == nullptr) {
      auto made = std::make_unique<watcher>(to_pop);
      made->fd.signal();
      if (watcher_.compare_exchange_strong(there, made.get(), std::memory_order_release,  // (1)
                                           std::memory_order_relaxed)) {
        return made.release()->fd;
      }
      there = watcher_.load(std::memory_order_acquire);  // (2)
    }
    return there->fd;
  }

  /// After `take` has found nothing.
  template <class Take>
  outcome look_again(Take take) {
    watcher* const w = watcher_.load(std::memory_order_acquire);  // (2)
    return w == nullptr ? outcome::empty : w->look_again(take);
  }

 private:
  struct watcher : line::place {
    explicit watcher(line& l)
        : line::place([](typename line::place& p) noexcept { static_cast<watcher&>(p).wake(); }), to_pop(l) {}
    ~watcher() { static_cast<void>(to_pop.leave(*this)); }

    void wake() noexcept {
      on_the_way.fetch_add(1, std::memory_order_relaxed);  // told by (3)
      readable.store(true, std::memory_order_release);     // (3) pairs with (4)
      fd.signal();
      on_the_way.fetch_sub(1, std::memory_order_relaxed);
    }

    template <class Take>
    MILLRACE_NOINLINE outcome look_again(Take& take) {
      if (!readable.load(std::memory_order_relaxed)) {
        // It is in the line, or another one is about to line it up and look again.
        if (settled.load(std::memory_order_relaxed) != asked.load(std::memory_order_relaxed)) drain();
        return outcome::empty;
      }
      asked.fetch_add(1, std::memory_order_relaxed);
      bool was = true;
      if (!readable.compare_exchange_strong(was, false, std::memory_order_acquire,  // (4)
                                            std::memory_order_relaxed)) {
        return outcome::empty;
      }
      drain();
      to_pop.watch(*this);
      const outcome result = take();
      // There may be more, or there will never be any.
      if (result != outcome::empty && to_pop.leave(*this)) wake();
      return result;
    }

    // Who wakes, and who lines up, can be suspended in the middle of it. A descriptor that is left readable meanwhile, or
    // becomes so when it is in the line again, would keep the loop awake for nothing. So whoever finds the channel empty
    // drains it, until that was done once with no signal on the way. Relaxed: who has drained a signal has heard of what
    // was done before it, from the system.
    void drain() noexcept {
      const std::uint32_t now = asked.load(std::memory_order_relaxed);
      const bool last = on_the_way.load(std::memory_order_relaxed) == 0;
      fd.drain();
      if (readable.load(std::memory_order_relaxed)) fd.signal();  // what was drained may have been a new one
      if (last) settled.store(now, std::memory_order_relaxed);
    }

    line& to_pop;
    event_fd fd;
    typename Sync::template atomic<bool> readable{true};  // or about to be
    typename Sync::template atomic<std::uint32_t> on_the_way{0};
    typename Sync::template atomic<std::uint32_t> asked{0};    // \ how often to drain it, and how far that
    typename Sync::template atomic<std::uint32_t> settled{0};  // / has been seen to
  };

  typename Sync::template atomic<watcher*> watcher_{nullptr};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
