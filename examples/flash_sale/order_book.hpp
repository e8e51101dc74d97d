// What is for sale, and what became of each order.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "chance.hpp"

using order_id = std::uint32_t;

struct order {
  order_id id;
  std::uint32_t buyer;
  std::uint32_t cents;
};

//                 .--> billed --+--> paid
//   accepted -----+             '--> cancelled
//                 '--> dead
enum class order_state : std::uint8_t { accepted, billed, paid, cancelled, dead };
constexpr std::size_t order_states = 5;

/// One compare-and-swap decides between those who come at the same time: a payment and the end of its time.
class order_book {
 public:
  /// For so many orders.
  explicit order_book(std::size_t most) : states_(most) {}

  order_id open() { return opened_.fetch_add(1); }
  /// Whoever is told true does what follows from that; the others do nothing.
  bool turn(order_id id, order_state from, order_state to) {
    if (!states_[id].compare_exchange_strong(from, to)) return false;
    turned_[static_cast<std::size_t>(to)].fetch_add(1);
    return true;
  }
  [[nodiscard]] order_state now(order_id id) const { return states_[id]; }

  [[nodiscard]] count opened() const { return opened_; }
  [[nodiscard]] count turned(order_state to) const { return turned_[static_cast<std::size_t>(to)]; }
  /// All that have been opened have come to their end.
  [[nodiscard]] bool is_settled() const {
    using enum order_state;
    return turned(paid) + turned(cancelled) + turned(dead) == opened();
  }
  /// How many are in that state, one by one.
  [[nodiscard]] count counted(order_state s) const {
    count n = 0;
    for (order_id id = 0; id < opened_; ++id) n += states_[id] == s;
    return n;
  }

 private:
  std::vector<std::atomic<order_state>> states_;
  std::array<std::atomic<count>, order_states> turned_{};
  std::atomic<order_id> opened_ = 0;
};

/// The pieces that are left.
class shelf {
 public:
  explicit shelf(count pieces) : left_(pieces) {}

  bool take() {
    count left = left_;
    do {
      if (left == 0) return false;
    } while (!left_.compare_exchange_weak(left, left - 1));
    return true;
  }
  void put_back() {
    left_.fetch_add(1);
    returned_.fetch_add(1);
  }
  [[nodiscard]] count left() const { return left_; }
  [[nodiscard]] count returned() const { return returned_; }

 private:
  std::atomic<count> left_;
  std::atomic<count> returned_ = 0;
};
