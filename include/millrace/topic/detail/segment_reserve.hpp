// Segments that somebody keeps in hand, so as not to want for storage in the middle of something.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/topic/detail/segments.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Sync, class Slot>
class segment_reserve {
  using table_type = segment_table<Sync, Slot>;
  using segment_type = typename table_type::segment_type;

 public:
  explicit segment_reserve(table_type& from) noexcept : from_(&from) {}
  segment_reserve(segment_reserve&& o) noexcept : from_(o.from_), kept_(std::exchange(o.kept_, {})) {}
  segment_reserve& operator=(segment_reserve&&) = delete;
  ~segment_reserve() {
    for (segment_type* s : kept_) from_->give_back(*s, s->lives(std::memory_order_relaxed).number());
  }

  /// Keeps `n` at least. Throws std::bad_alloc.
  void fill(std::size_t n) {
    kept_.reserve(n);
    while (kept_.size() < n) kept_.push_back(&from_->take_aside());
  }
  /// As the table's. If there are none left, because others have used up what this one had appended, it waits until there is
  /// storage.
  [[nodiscard]] segment_type& take(std::uint64_t number) noexcept {
    if (kept_.empty()) return wait_for_one(number);
    segment_type& s = *kept_.back();
    kept_.pop_back();
    table_type::prepare(s, number);
    return s;
  }
  /// What take() has given out was not needed.
  void put_back(segment_type& s, std::uint64_t number) noexcept {
    if (kept_.size() == kept_.capacity()) return from_->give_back(s, number);
    table_type::put_aside(s, number);
    kept_.push_back(&s);
  }

 private:
  MILLRACE_NOINLINE segment_type& wait_for_one(std::uint64_t number) noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    for (;;) {
      try {
        return from_->take(number);
      } catch (...) {
        Sync::yield();
      }
    }
#else
    return from_->take(number);
#endif
  }

  table_type* from_;
  std::vector<segment_type*> kept_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
