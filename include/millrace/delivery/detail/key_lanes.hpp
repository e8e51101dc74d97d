// Which keys are taken: of each, one message is ready, in flight or waiting, and the others stand behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/delivery/detail/group_entry.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class key_lanes {
 public:
  /// True: its key was free, and is its own now. False: it stands behind others. May throw std::bad_alloc; nothing is done then.
  bool enter(group_entry& e) {
    const auto [at, is_new] = lanes_.try_emplace(e.key);
    if (is_new) return true;
    at->second.push_back(e);
    e.is = group_entry::behind;
    ++behind_;
    return false;
  }
  /// The one that had the key is settled: the next one, which has it now, or nullptr.
  group_entry* leave(const group_entry& e) noexcept {
    const auto at = lanes_.find(e.key);
    group_entry* const next = at->second.first();
    if (next == nullptr) {
      lanes_.erase(at);
    } else {
      at->second.remove(*next);
      --behind_;
    }
    return next;
  }
  /// How many stand behind others.
  [[nodiscard]] std::size_t behind() const noexcept { return behind_; }
  /// f(entry) of all that stand behind others; then there are no keys any more.
  template <class F>
  void clear(F f) {
    for (auto& [key, lane] : lanes_) {
      while (group_entry* const e = lane.first()) {
        lane.remove(*e);
        f(*e);
      }
    }
    lanes_.clear();
    behind_ = 0;
  }

 private:
  std::unordered_map<std::uint64_t, entry_list> lanes_;
  std::size_t behind_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
