// A topic's log with one publisher at a time: a message is there once the tail is behind it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/detail/log_core.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T>
struct plain_slot {
  [[nodiscard]] T* value() noexcept { return std::launder(reinterpret_cast<T*>(bytes)); }
  alignas(T) std::byte bytes[sizeof(T)];
};

template <class T, clock Clock, class Sync>
class single_log : public log_core<single_log<T, Clock, Sync>, plain_slot<T>, Clock, Sync> {
  using core = log_core<single_log, plain_slot<T>, Clock, Sync>;
  template <class U>
  using atomic = typename core::template atomic<U>;
  using life = segment_life;
  using name = segment_name;

 public:
  using typename core::reserve_type;
  using typename core::segment_type;
  static constexpr bool many = false;

  single_log(std::size_t capacity, const topic_options& options, clock_ref<Clock> clock)
      : core(capacity, options, clock),
        last_(&core::at(0)),
        slots_(last_->cells()),
        mask_(core::size_ - 1),
        stamped_(options.stamp == stamps::each_message) {
    this->limit_.store(core::size_, std::memory_order_relaxed);
  }
  ~single_log() {
    this->table_.find_if([&](segment_type& s) {
      if (s.lives(std::memory_order_relaxed).phase() == life::live) clear(s);
      return false;
    });
  }

  /// Publishes T(args...): ok, full or closed. An exception leaves no trace.
  template <class... Args>
  MILLRACE_INLINE outcome offer(Args&&... args) {
    const std::uint64_t at = tail_.load(std::memory_order_relaxed);
    if (at >= this->limit_.load(std::memory_order_relaxed)) [[unlikely]] {
      if (const outcome o = prepare(at); o != outcome::ok) return o;
    }
    if (!claim(at, at + 1)) [[unlikely]]
      return outcome::closed;
    if constexpr (std::is_nothrow_constructible_v<T, Args...>) {
      put(at, std::forward<Args>(args)...);
    } else {
      on_exception undo([&] { withdraw(at); });
      put(at, std::forward<Args>(args)...);
      undo.dismiss();
    }
    tail_.store(at + 1, std::memory_order_release);  // (1) pairs with (2)
    this->tell_published();
    return outcome::ok;
  }

  /// As many of the n values at `from` as there is room for, seen all at once or a segment at a time.
  template <class Iterator>
  outcome offer_n(Iterator& from, std::size_t n, std::size_t& done) {
    while (done < n) {
      const std::uint64_t at = tail_.load(std::memory_order_relaxed);
      std::uint64_t to = this->limit_.load(std::memory_order_relaxed);
      if (at >= to) {
        if (const outcome o = prepare(at); o != outcome::ok) return o;
        continue;  // a reader may just have gone back
      }
      if (to - at > n - done) to = at + (n - done);
      if (!claim(at, to)) return outcome::closed;
      std::uint64_t next = at;
      const auto publish = [&] {
        if (next != to) claimed_.store(next, std::memory_order_relaxed);  // told by (1)
        tail_.store(next, std::memory_order_release);                     // (1)
        done += next - at;
        this->tell_published();
        if (next != to) this->tell_advanced();
      };
      on_exception part(publish);
      for (; next != to; ++next, ++from) put(next, *from);
      part.dismiss();
      publish();
    }
    return outcome::ok;
  }

  /// By who has a permit: whatever room there is, and though it may have been closed.
  void offer_anyway(T&& value, reserve_type& reserve) noexcept {
    const std::uint64_t at = tail_.load(std::memory_order_relaxed);
    if (at == this->first_of(last_->lives(std::memory_order_relaxed).number() + 1)) open_next(at, &reserve);
    claimed_.store(at + 1, std::memory_order_relaxed);  // told by (1), and by the end of the permit
    put(at, std::move(value));
    tail_.store(at + 1, std::memory_order_release);  // (1)
    this->tell_published();
  }
  [[nodiscard]] bool has_room() const noexcept { return tail() < this->limit_of_readers(); }

  void seal() noexcept {
    // A publisher has claimed before the closing flag was there, and then the claim is seen, or sees it, and takes it back.
    Sync::heavy_fence();
    this->flags_.fetch_or(core::sealed, std::memory_order_release);  // (4) pairs with (5)
    this->tell_all();
  }

  // --- for readers ---

  [[nodiscard]] std::uint64_t tail() const noexcept { return tail_.load(std::memory_order_acquire); }  // (2)

  /// Whether the stream ends at `offset`.
  [[nodiscard]] bool ends_at(std::uint64_t offset) const noexcept {
    if ((this->flags_.load(std::memory_order_acquire) & core::sealed) == 0) return false;  // (5)
    // Relaxed: every claim that led to a message was made before the heavy fence.
    const std::uint64_t claimed = claimed_.load(std::memory_order_relaxed);
    return claimed == offset && tail() == offset;
  }

  bool clear(segment_type& s) noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      const std::uint64_t first = this->first_of(s.lives(std::memory_order_relaxed).number());
      const std::uint64_t there =
          tail_.load(std::memory_order_relaxed) - first;  // who drops it has looked at it
      for (std::uint64_t i = 0; i < this->size_ && i < there; ++i) std::destroy_at(s.cells()[i].value());
    }
    return true;
  }

 private:
  static constexpr std::size_t ahead = prefetch_distance(sizeof(T), 16, 256);

  [[nodiscard]] MILLRACE_INLINE bool claim(std::uint64_t at, std::uint64_t to) noexcept {
    claimed_.store(to, std::memory_order_relaxed);
    Sync::light_fence();
    if ((this->flags_.load(std::memory_order_relaxed) & core::closing) == 0) [[likely]]
      return true;
    // acquire, again: what was written before the close is visible to who is told of it
    static_cast<void>(this->flags_.load(std::memory_order_acquire));
    withdraw(at);
    return false;
  }
  MILLRACE_NOINLINE void withdraw(std::uint64_t at) noexcept {
    claimed_.store(at, std::memory_order_relaxed);
    this->tell_published();
    this->tell_advanced();  // it may be the end, and readers before them have nothing to tell of
  }

  template <class... Args>
  MILLRACE_INLINE void put(std::uint64_t at, Args&&... args) {
    const std::uint64_t i = at & mask_;
    prefetch_behind<Sync>(slots_ + i, ahead);
    ::new (static_cast<void*>(slots_[i].bytes)) T(std::forward<Args>(args)...);
    if (stamped_) [[unlikely]]
      last_->stamps()[i] = this->now();
  }

  /// The limit has been reached: that of the readers, or the segment's end.
  MILLRACE_NOINLINE outcome prepare(std::uint64_t at) {
    if (this->is_closed()) return outcome::closed;
    std::uint64_t end = this->first_of(last_->lives(std::memory_order_relaxed).number() + 1);
    const std::uint64_t limit = this->limit_of_readers();
    if (at >= limit) return outcome::full;
    if (at == end) {
      open_next(at, nullptr);
      end += this->size_;
    }
    this->limit_.store(limit < end ? limit : end, std::memory_order_relaxed);
    return outcome::ok;
  }
  void open_next(std::uint64_t at, reserve_type* reserve) {
    this->trim();
    const std::uint64_t number = this->number_of(at);
    segment_type& s = reserve == nullptr ? this->table_.take(number) : reserve->take(number);
    this->open(s, number, last_->opened.load(std::memory_order_relaxed));
    s.life.store(life::of(number, life::live).word, std::memory_order_release);
    last_->next.store(name::of(number, s.index).word, std::memory_order_release);
    last_ = &s;
    slots_ = s.cells();
  }

  // The publisher's own:
  alignas(hot_separation) segment_type* last_;
  plain_slot<T>* slots_;
  const std::uint64_t mask_;
  const bool stamped_;
  // And these it writes:
  alignas(hot_separation) atomic<std::uint64_t> tail_{0};
  atomic<std::uint64_t> claimed_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
