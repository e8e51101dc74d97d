// The entries of a group, and the segments of the log that their messages hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/delivery/detail/group_entry.hpp"
#include "millrace/topic/log_access.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Entry derives from group_entry. Entries are kept, and used again, the last one first.
template <class Topic, class Entry>
class entry_store {
  using segment = typename log_cursor<Topic>::segment;

 public:
  explicit entry_store(log_cursor<Topic>& at) noexcept : at_(at) {}
  entry_store(const entry_store&) = delete;
  entry_store& operator=(const entry_store&) = delete;
  /// All entries have been given back.
  ~entry_store() {
    drop_current();
    while (held_segment* const h = free_held_) {
      free_held_ = h->next;
      delete h;
    }
  }

  /// One for the message that the cursor has just given out, and holds it. std::bad_alloc; nothing has changed then.
  [[nodiscard]] Entry& take() {
    if (free_ == nullptr) grow();
    hold_segment();
    auto& e = static_cast<Entry&>(*free_);
    free_ = e.next;
    e.offset = at_.offset();
    e.held = current_;
    e.attempt = 0;
    e.failed = 0;
    e.dying = false;
    ++current_->messages;
    ++used_;
    return e;
  }
  void give_back(Entry& e) noexcept {
    if (--e.held->messages == 0 && e.held != current_) let_go(*e.held);
    e.held = nullptr;
    e.next = free_;
    free_ = &e;
    --used_;
  }
  /// Gives their memory back, if all entries have been.
  void shrink() noexcept {
    if (used_ != 0) return;
    free_ = nullptr;
    chunks_.clear();
  }
  /// Nothing more is taken from the segment that the cursor is in.
  void drop_current() noexcept {
    held_segment* const h = std::exchange(current_, nullptr);
    if (h != nullptr && h->messages == 0) let_go(*h);
  }

  [[nodiscard]] std::int64_t published_at(const group_entry& e) const noexcept {
    return at_.published_at(*static_cast<segment*>(e.held->segment), e.offset);
  }
  /// f(entry) of all that have a message.
  template <class F>
  void each(F f) const {
    for (const auto& chunk : chunks_) {
      for (std::size_t i = 0; i < chunk_size; ++i) {
        if (chunk[i].held != nullptr) f(chunk[i]);
      }
    }
  }

 private:
  static constexpr std::size_t chunk_size = 64;

  void grow() {
    chunks_.push_back(std::make_unique<Entry[]>(chunk_size));
    for (std::size_t i = 0; i < chunk_size; ++i) {
      chunks_.back()[i].next = free_;
      free_ = &chunks_.back()[i];
    }
  }
  void hold_segment() {
    if (current_ != nullptr && current_->number == at_.segment_number()) return;
    if (free_held_ == nullptr) free_held_ = new held_segment;
    drop_current();
    current_ = std::exchange(free_held_, free_held_->next);
    current_->segment = &at_.keep();
    current_->number = at_.segment_number();
  }
  void let_go(held_segment& h) noexcept {
    at_.release(*static_cast<segment*>(h.segment));
    h.next = free_held_;
    free_held_ = &h;
  }

  log_cursor<Topic>& at_;
  std::vector<std::unique_ptr<Entry[]>> chunks_;
  group_entry* free_ = nullptr;
  std::size_t used_ = 0;
  held_segment* current_ = nullptr;  // the segment that the cursor is in
  held_segment* free_held_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
