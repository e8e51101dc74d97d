// What can be delivered, the higher priority first, and of the same in order of arrival.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/delivery/detail/group_entry.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class ready_lists {
 public:
  static constexpr unsigned levels = 8;

  [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] group_entry* first() const noexcept {
    return used_ == 0 ? nullptr : lists_[std::bit_width(used_) - 1].first();
  }
  void push_back(group_entry& e) noexcept {
    lists_[e.priority].push_back(e);
    added(e);
  }
  void push_front(group_entry& e) noexcept {
    lists_[e.priority].push_front(e);
    added(e);
  }
  void remove(group_entry& e) noexcept {
    lists_[e.priority].remove(e);
    if (lists_[e.priority].empty()) used_ &= ~(1U << e.priority);
    --size_;
  }

 private:
  void added(group_entry& e) noexcept {
    e.is = group_entry::ready;
    used_ |= 1U << e.priority;
    ++size_;
  }

  entry_list lists_[levels];
  unsigned used_ = 0;  // a bit for each list that is not empty
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
