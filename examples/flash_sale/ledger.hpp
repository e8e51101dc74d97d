// What a group notes of each order: how often it was delivered, and how often the group has seen to it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "books.hpp"
#include "order_book.hpp"

class ledger {
 public:
  /// For so many orders.
  explicit ledger(std::size_t most) : seen_(most), done_(most) {}

  void note_delivery(const order& o) { seen_[o.id].fetch_add(1); }
  void note_done(const order& o) {
    done_[o.id].fetch_add(1);
    cents_.fetch_add(o.cents);
  }
  [[nodiscard]] group_account account(std::string name) const {
    group_account a{.name = std::move(name), .cents = cents_};
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      a.deliveries += seen_[i];
      a.seen += seen_[i] >= 1;
      a.once += done_[i] == 1;
      a.more += done_[i] > 1;
    }
    return a;
  }

 private:
  using notes = std::vector<std::atomic<std::uint16_t>>;
  notes seen_;
  notes done_;
  std::atomic<count> cents_ = 0;
};
