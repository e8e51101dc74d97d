// A wheel without the things that it is a wheel of: entries by number wait for their deadlines, and come up in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/time/detail/run_merger.hpp"
#include "millrace/time/detail/timer_slab.hpp"
#include "millrace/time/detail/wheel_levels.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Slab: operator[](index) gives a timer_node. Ticks: a tick_count. An entry is in the wheel from put() until remove(), or
/// until advance() gives it to `fire`. Nothing here allocates or throws.
template <class Slab, class Ticks>
class wheel_core {
  using node = timer_node;
  using index = node::index;

 public:
  wheel_core(Slab& slab, std::uint64_t now) noexcept : slab_(slab), waiting_(slab, now), due_(slab) {}
  wheel_core(const wheel_core&) = delete;
  wheel_core& operator=(const wheel_core&) = delete;

  /// The tick that it has come to.
  [[nodiscard]] std::uint64_t now() const noexcept { return waiting_.now(); }

  /// Whether an entry is in the wheel. Here and below, the node is that of the index: it takes a while to find.
  [[nodiscard]] static bool holds(const node& n) noexcept {
    return wheel_levels<Slab, Ticks>::holds(n) || n.place == node::is_due;
  }
  /// Puts an entry in; it was not.
  void put(index i, node& n, std::int64_t deadline) noexcept {
    n.deadline = deadline;
    n.order = orders_++;
    waiting_.put(i, n);
  }
  /// Gives an entry of the wheel another deadline.
  void move(index i, node& n, std::int64_t deadline) noexcept {
    if (waiting_.holds(n) && waiting_.stays(n, deadline)) {
      n.order = orders_++;
    } else {
      remove(i, n);
      put(i, n, deadline);
    }
  }
  /// Takes an entry of the wheel out.
  void remove(index i, node& n) noexcept {
    waiting_.holds(n) ? waiting_.remove(i, n) : due_.remove(i);
    n.place = node::is_firing;
  }

  /// Goes on to `target`, or stays, if that is not later, and gives what has come due to fire(i), in order. At most `left`
  /// steps, from which it counts down; false: they were used up. An exception from `fire` leaves the rest for the next time.
  template <class Fire>
  [[nodiscard]] bool advance(std::uint64_t target, std::size_t& left, std::size_t& moved, Fire fire) {
    if (due_.empty() && waiting_.skip_to(target)) return true;
    for (;;) {
      for (index i = node::none; left > 0 && (i = waiting_.pop()) != node::none; --left) {
        node& n = slab_[i];
        if (Ticks::from(n.deadline) <= now()) {
          n.place = node::is_due;
          due_.add(i, n);
        } else {
          waiting_.put(i, n);
          ++moved;
        }
      }
      for (; left > 0 && !due_.empty(); --left) {
        if (due_.step()) continue;
        const index i = due_.pop();
        slab_[i].place = node::is_firing;
        fire(i);
      }
      if (left == 0) return false;
      if (now() >= target) return true;
      if (!waiting_.go_to(waiting_.next_stop(target), left, moved)) return false;
    }
  }

  /// Goes back to an earlier tick: whatever is there waits for its deadline anew. Takes time for every entry.
  void go_back(std::uint64_t target) noexcept {
    none_is_due();
    index all = node::none;
    for (index i; (i = waiting_.pop_any()) != node::none; all = i) slab_[i].next = all;
    waiting_.begin_at(target);
    while (all != node::none) {
      const index i = std::exchange(all, slab_[all].next);
      waiting_.put(i, slab_[i]);
    }
  }

  /// The tick at which the next one comes up; exact.
  [[nodiscard]] std::optional<std::uint64_t> next_expiry() const noexcept {
    return due_.empty() ? waiting_.next_expiry() : now();
  }
  /// When somebody who sleeps should advance it next.
  [[nodiscard]] std::optional<std::uint64_t> next_wakeup() const noexcept {
    return due_.empty() ? waiting_.next_wakeup() : now();
  }

  /// Gives everything to fire(i), in order of deadline. What is put in meanwhile stays, and so does the rest if `fire`
  /// throws.
  template <class Fire>
  void take_all(Fire fire) {
    struct put_back {
      wheel_core& w;
      ~put_back() { w.none_is_due(); }
    } const if_it_throws{*this};
    none_is_due();  // they may be half in order, and all begin anew
    for (index i = waiting_.pop_any(); i != node::none; i = waiting_.pop_any()) {
      node& n = slab_[i];
      n.place = node::is_due;
      due_.add(i, n);
    }
    while (!due_.empty()) {
      if (due_.step()) continue;
      const index i = due_.pop();
      slab_[i].place = node::is_firing;
      fire(i);
    }
  }

 private:
  void none_is_due() noexcept {
    while (!due_.empty()) {
      if (due_.step()) continue;
      const index i = due_.pop();
      waiting_.put(i, slab_[i]);
    }
  }

  Slab& slab_;
  wheel_levels<Slab, Ticks> waiting_;
  run_merger<Slab> due_;  // what has been waiting for the tick that has come
  std::uint64_t orders_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
