// What a consumer group knows of a message that it has taken from the log and that is not settled yet.
#pragma once

#include <cstddef>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// A segment of the log that holds messages which the group has taken. Guarded by the group's mutex.
struct held_segment {
  void* segment = nullptr;
  std::uint64_t number = 0;
  std::size_t messages = 0;
  held_segment* next = nullptr;  // of those that are free
};

/// A message that is not settled, or is referred to by a delivery. Guarded by the group's mutex.
struct group_entry {
  enum states : std::uint8_t {
    settled,    // only deliveries that came too late refer to it
    ready,      // can be delivered
    behind,     // another one of its key comes first
    in_flight,  // a consumer has it
    waiting,    // for its time
    parked,     // out of attempts, and there are no dead letters to go to
  };

  const void* message = nullptr;
  held_segment* held = nullptr;
  group_entry* previous = nullptr;  // \ in the list of its state
  group_entry* next = nullptr;      // /
  std::uint64_t offset = 0;
  std::uint64_t key = 0;
  std::int64_t until = 0;        // in flight: when its lease ends; waiting: when it is due
  std::int64_t failed = 0;       // for the first time
  std::uint32_t generation = 0;  // deliveries of this entry; who has an older one is too late
  std::uint32_t attempt = 0;
  std::uint32_t references = 0;  // deliveries that have not been settled or destroyed
  states is = settled;
  std::uint8_t priority = 0;
  bool has_key = false;
  bool leased = false;  // it comes back when its time is up
  bool dying = false;   // waiting for room among the dead letters
};

/// In order of arrival.
class entry_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] group_entry* first() const noexcept { return first_; }
  [[nodiscard]] group_entry* last() const noexcept { return last_; }
  void push_back(group_entry& e) noexcept {
    e.previous = last_;
    e.next = nullptr;
    (last_ != nullptr ? last_->next : first_) = &e;
    last_ = &e;
    ++size_;
  }
  void push_front(group_entry& e) noexcept {
    e.previous = nullptr;
    e.next = first_;
    (first_ != nullptr ? first_->previous : last_) = &e;
    first_ = &e;
    ++size_;
  }
  void remove(group_entry& e) noexcept {
    (e.previous != nullptr ? e.previous->next : first_) = e.next;
    (e.next != nullptr ? e.next->previous : last_) = e.previous;
    --size_;
  }

 private:
  group_entry* first_ = nullptr;
  group_entry* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
