// What every topic's log has, whoever publishes into it: segments in a chain, readers, a floor, and the lines to wait in.
//
//   ... dropped | 4 | 5 | 6 | 7 | nothing yet
//                 floor        tail ^
//
// Segments below the floor cannot be joined any more. One of them is used again once no reader stands on it.
//
// why seq_cst on the floor and the cursors: see readers.hpp
#pragma once

#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/detail/blocked_time.hpp"
#include "millrace/topic/detail/readers.hpp"
#include "millrace/topic/detail/segment_reserve.hpp"
#include "millrace/topic/detail/segments.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Derived has tail(), the offset behind the last message claimed; clear(segment&): destroys what lies in it, or answers
/// false, because a publisher is still at work there; and seal(): the stream ends, and everybody is told. Idempotent.
template <class Derived, class Slot, clock Clock, class Sync>
class log_core {
 public:
  template <class U>
  using atomic = typename Sync::template atomic<U>;
  using sync_type = Sync;
  using table_type = segment_table<Sync, Slot>;
  using segment_type = typename table_type::segment_type;
  using record = reader_record<Sync>;
  using reserve_type = segment_reserve<Sync, Slot>;
  using line = waiting_room<Sync>;
  using life = segment_life;
  using name = segment_name;

  log_core(std::size_t capacity, const topic_options& options, clock_ref<Clock> clock)
      : clock_(clock),
        capacity_(checked(capacity)),
        size_(segment_size(capacity, options.segment)),
        shift_(std::countr_zero(size_)),
        keep_(kept(capacity, options)),
        age_(checked(options.keep.age).count()),
        wait_(options.wait),
        table_(size_, options.stamp == stamps::each_message),
        readers_(this) {
    segment_type& s = table_.take(0);
    open(s, 0, std::int64_t{0});
    s.life.store(life::of(0, life::live).word, std::memory_order_relaxed);
  }
  log_core(const log_core&) = delete;
  log_core& operator=(const log_core&) = delete;

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t segment_size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return table_.bytes(); }
  [[nodiscard]] clock_ref<Clock> clock() const noexcept { return clock_; }
  [[nodiscard]] wait_strategy wait_of_publishers() const noexcept { return wait_; }
  [[nodiscard]] reader_list<Sync>& readers() noexcept { return readers_; }
  [[nodiscard]] reserve_type reserve() noexcept { return reserve_type(table_); }
  [[nodiscard]] const void* identity() const noexcept { return static_cast<const void*>(this); }
  [[nodiscard]] segment_type& at(std::uint64_t index) const noexcept { return table_.at(index); }
  [[nodiscard]] bool is_closed() const noexcept {
    return (flags_.load(std::memory_order_acquire) & closing) != 0;
  }

  [[nodiscard]] std::uint64_t number_of(std::uint64_t offset) const noexcept { return offset >> shift_; }
  [[nodiscard]] std::uint64_t first_of(std::uint64_t number) const noexcept { return number << shift_; }
  /// Of the segment that a reader at `offset` stands on. At a segment's begin that is the one before, whose end it is at.
  [[nodiscard]] std::uint64_t stand(std::uint64_t offset) const noexcept {
    return number_of(offset == 0 ? 0 : offset - 1);
  }

  /// The lowest segment that can be joined.
  [[nodiscard]] std::uint64_t floor() const noexcept { return floor_.load(std::memory_order_seq_cst); }
  [[nodiscard]] std::uint64_t floor_approx() const noexcept { return floor_.load(std::memory_order_relaxed); }

  /// The segment of that number, nullptr if there is none. Stable if the floor is not above it and a cursor is on it.
  [[nodiscard]] segment_type* find(std::uint64_t number) const noexcept {
    return table_.find_if([&](const segment_type& s) {
      const life l = s.lives(std::memory_order_acquire);
      return l.phase() == life::live && l.number() == number;
    });
  }
  /// The last segment that began at `time` or before, or the first there is.
  [[nodiscard]] std::uint64_t number_at(std::int64_t time) const noexcept {
    std::uint64_t found = floor();
    table_.find_if([&](const segment_type& s) {
      const life l = s.lives(std::memory_order_acquire);
      // why relaxed is enough: what is read is of this life, or of a later one, and then it is later
      if (l.phase() == life::live && l.number() > found && s.opened.load(std::memory_order_relaxed) <= time) {
        found = l.number();
      }
      return false;
    });
    return found;
  }
  [[nodiscard]] std::int64_t now() const noexcept { return ticks(clock_.now()); }
  [[nodiscard]] static std::int64_t ticks(typename Clock::time_point t) noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
  }

  /// Drops what nobody needs and the retention does not keep.
  void trim() noexcept {
    const std::uint64_t tail = self().tail();
    std::uint64_t lowest = kept_by_retention(tail);
    if (lowest > stand(tail)) lowest = stand(tail);
    readers_.each([&](cursor_word c) {
      const bool lapped = c.rule() != cursor_word::block && tail > capacity_ && c.offset() < tail - capacity_;
      const std::uint64_t needs = lapped ? number_of(tail - capacity_) : stand(c.offset());
      if (needs < lowest) lowest = needs;
    });
    std::uint64_t now = floor_.load(std::memory_order_relaxed);
    while (now < lowest &&
           !floor_.compare_exchange_weak(now, lowest, std::memory_order_seq_cst, std::memory_order_relaxed)) {
    }
    recycle();
  }
  /// By a reader that has come to `offset`: whether a trim would do something.
  [[nodiscard]] bool may_trim(std::uint64_t offset) const noexcept {
    return offset > keep_ && number_of(offset - keep_) > floor_.load(std::memory_order_relaxed);
  }

  /// By a lossless reader that has joined, or gone back, to `offset`. A publisher that has not heard of it yet finds out
  /// when it opens a segment, at the latest.
  void lower_limit(std::uint64_t offset) noexcept {
    const std::uint64_t to = offset + capacity_;
    std::uint64_t now = limit_.load(std::memory_order_relaxed);
    while (now > to &&
           !limit_.compare_exchange_weak(now, to, std::memory_order_relaxed, std::memory_order_relaxed)) {
    }
  }

  // --- ending ---

  /// No publish is accepted from now on but by who has a permit; the last one of those ends the stream.
  void close() noexcept {
    // (3) release; pairs with who is told: what was written before is visible to it. acquire; pairs with (4)
    const std::uint32_t were = flags_.fetch_or(closing, std::memory_order_acq_rel);
    if (were < one_permit) {
      self().seal();
    } else {
      tell_all();  // publishers that wait for room
    }
  }
  /// While there is one, the stream does not end. False: closed.
  [[nodiscard]] bool take_permit() noexcept {
    for (;;) {
      std::uint32_t now = flags_.load(std::memory_order_acquire);  // pairs with (3)
      if ((now & closing) != 0) return false;
      // Relaxed: who ends the stream sees the count, as it is in the same word, and what is done before it is back, by (4).
      if (flags_.compare_exchange_weak(now, now + one_permit, std::memory_order_relaxed,
                                       std::memory_order_relaxed)) {
        return true;
      }
    }
  }
  void return_permit() noexcept {
    // (4) release; pairs with who ends the stream: what was published before is before the end. acquire; pairs with (3)
    const std::uint32_t were = flags_.fetch_sub(one_permit, std::memory_order_acq_rel);
    if ((were & closing) != 0 && were < 2 * one_permit) self().seal();
  }

  // --- telling ---

  // why light fences: who goes to sleep in one of these lines issues a heavy one
  // why each by itself: who is called may be a coroutine, and destroy another one that stands in the same line
  MILLRACE_INLINE void tell_published() noexcept {
    Sync::light_fence();
    if (published.events.waiters_approx() != 0 ||
        (orphans_.load(std::memory_order_relaxed) && advanced.events.waiters_approx() != 0)) [[unlikely]] {
      wake_readers();
    }
  }
  /// By a reader whose cursor has moved.
  MILLRACE_INLINE void tell_advanced() noexcept {
    Sync::light_fence();
    if (advanced.events.waiters_approx() != 0) advanced.events.notify_each();
    if (room.events.waiters_approx() != 0) room.events.notify_each();
  }
  /// By a reader that leaves others behind it, or goes behind one that has left: they go by what is published from then on.
  void leave_orphans() noexcept { orphans_.store(true, std::memory_order_relaxed); }
  void tell_all() noexcept {
    published.events.notify_each();
    advanced.events.notify_each();
    room.events.notify_each();
  }

  line published{true};  // readers
  line advanced{true};   // readers behind others
  line room{true};       // publishers
  alignas(hot_separation) blocked_time<Sync> blocked;

 protected:
  enum flags : std::uint32_t {
    closing = 1,  // no publish will be accepted
    sealed = 2,   // and none is under way that does not know
    full = 4,     // look first
    refusing = closing | sealed | full,
    // And above these, how many have a permit, see publish_permit.hpp.
    one_permit = 8,
  };

  [[nodiscard]] Derived& self() noexcept { return static_cast<Derived&>(*this); }

  /// Makes `s`, which the caller has alone, ready to be linked.
  void open(segment_type& s, std::uint64_t number, std::int64_t since) noexcept {
    std::int64_t opened = now();
    if (opened < since) opened = since;  // a clock that runs back would hide segments from a seek
    s.opened.store(opened, std::memory_order_relaxed);
    s.next.store(name::of(number, name::none).word, std::memory_order_relaxed);
  }

  /// Up to where the slowest lossless reader leaves room.
  [[nodiscard]] std::uint64_t limit_of_readers() const noexcept {
    std::uint64_t lowest = cursor_word::most - capacity_;
    readers_.each([&](cursor_word c) {
      if (c.rule() == cursor_word::block && c.offset() < lowest) lowest = c.offset();
    });
    return lowest + capacity_;
  }

  alignas(hot_separation) MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  const std::uint64_t capacity_;
  const std::uint64_t size_;
  const int shift_;
  const std::uint64_t keep_;
  const std::int64_t age_;
  const wait_strategy wait_;
  table_type table_;
  reader_list<Sync> readers_;
  // Read by all, seldom written:
  alignas(hot_separation) atomic<std::uint64_t> floor_{0};
  atomic<std::uint64_t> limit_{cursor_word::most};
  atomic<std::uint32_t> flags_{0};
  atomic<bool> orphans_{false};

 private:
  [[nodiscard]] std::size_t spare_segments() const noexcept {
    const std::uint64_t all = capacity_ / size_ + 1;
    return all < 8 ? static_cast<std::size_t>(all) : 8;
  }

  static std::uint64_t checked(std::size_t capacity) {
    if (capacity < 1 || capacity > std::size_t{1} << 31) {
      fail<std::length_error>("topic: capacity must be 1 to 2^31 messages");
    }
    return capacity;
  }
  static std::chrono::nanoseconds checked(std::chrono::nanoseconds age) {
    if (age < std::chrono::nanoseconds::zero()) {
      fail<std::invalid_argument>("topic: options.keep.age must be 0 or more");
    }
    return age;
  }
  static std::uint64_t segment_size(std::size_t capacity, std::size_t wanted) {
    constexpr std::size_t most = 65'536;
    constexpr std::size_t most_segments = 32'768;
    if (wanted != 0) {
      if (!std::has_single_bit(wanted) || wanted < 2 || wanted > most || capacity / wanted > most_segments) {
        fail<std::invalid_argument>(
            "topic: options.segment must be 0 or a power of two, 2 to 65,536, and at least capacity / "
            "32,768");
      }
      return wanted;
    }
    std::size_t size = 64;
    while (size < 1024 && size < capacity / 4) size *= 2;
    while (capacity / size > most_segments) size *= 2;
    return size;
  }
  static std::uint64_t kept(std::size_t capacity, const topic_options& options) noexcept {
    std::uint64_t keep = capacity;
    if (options.keep.messages < keep) keep = options.keep.messages;
    const std::size_t each =
        sizeof(Slot) + (options.stamp == stamps::each_message ? sizeof(std::int64_t) : 0);
    if (options.keep.bytes / each < keep) keep = options.keep.bytes / each;
    return keep;
  }

  [[nodiscard]] std::uint64_t kept_by_retention(std::uint64_t tail) const noexcept {
    std::uint64_t lowest = tail > keep_ ? number_of(tail - keep_) : 0;
    if (age_ == (std::chrono::nanoseconds::max)().count()) return lowest;
    // What lies before a segment that began long enough ago is older than that.
    const std::uint64_t old = number_at(now() - age_);
    return old > lowest ? old : lowest;
  }

  void recycle() noexcept {
    const std::uint64_t floor = this->floor();
    table_.find_if([&](segment_type& s) {
      life l = s.lives(std::memory_order_relaxed);
      if (l.phase() != life::live || l.number() >= floor) return false;
      // why twice: a group may hold many segments, and to look at all readers for each of them takes longer
      if (s.holds.load(std::memory_order_relaxed) != 0 || stood_on(l.number())) return false;
      // (2) acquire; pairs with the end of a hold: who was late has taken its message out, who kept one has read it
      if (s.holds.load(std::memory_order_acquire) != 0) return false;
      // (5) acquire; pairs with (6). The tail, which has been looked at, tells of who opened it.
      if (!s.life.compare_exchange_strong(l.word, life::of(l.number(), life::dropping).word,
                                          std::memory_order_acquire, std::memory_order_relaxed)) {
        return false;
      }
      if (self().clear(s)) {
        table_.give_back(s, l.number());
      } else {
        // (6) release: it has been looked at, and its storage may be given back by who has it next
        s.life.store(l.word, std::memory_order_release);
      }
      return false;
    });
    table_.shrink(spare_segments());
  }
  [[nodiscard]] bool stood_on(std::uint64_t number) const noexcept {
    bool found = false;
    readers_.each([&](cursor_word c) {
      const std::uint64_t from = stand(c.offset());
      const std::uint64_t to = c.rule() == cursor_word::block     ? number
                               : c.rule() == cursor_word::segment ? number_of(c.offset())
                                                                  : number_of(c.offset() + capacity_);
      found = found || (from <= number && number <= to);
    });
    return found;
  }

  MILLRACE_NOINLINE void wake_readers() noexcept {
    published.events.notify_each();
    if (orphans_.load(std::memory_order_relaxed)) advanced.events.notify_each();
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
