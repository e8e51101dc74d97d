// The wheel itself: slots of five widths, in which entries wait for their tick.
//
// At level k a slot is 256^k ticks wide, and the slot of number s (its first tick is s * 256^k) is at s % 512: a level has
// twice as many slots as one of the next level is worth. So while it is the turn of the slot before a wide one, all that
// is in the wide one has room in the level below, and moves there bit by bit, a share with every tick. No tick moves a
// whole slot. At the first tick of a slot of any level but the lowest, the slot is empty, or has only a few entries: they
// stay until the first of them is due, so that timers which are far from all others need no stop on the way.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "millrace/core/config.hpp"
#include "millrace/time/detail/occupancy.hpp"
#include "millrace/time/detail/timer_slab.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Slab: operator[](index) gives a timer_node. Ticks: a tick_count.
template <class Slab, class Ticks>
class wheel_levels {
  using node = timer_node;
  using index = node::index;

 public:
  wheel_levels(Slab& slab, std::uint64_t now) noexcept : slab_(slab), now_(now) {}
  wheel_levels(const wheel_levels&) = delete;
  wheel_levels& operator=(const wheel_levels&) = delete;

  /// All ticks until then have come.
  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }

  /// Makes that the time; there must be no entries.
  void begin_at(std::uint64_t tick) noexcept { now_ = tick; }

  /// Whether a node is in one of the slots.
  [[nodiscard]] static bool holds(const node& n) noexcept { return n.place < all_slots; }

  /// The next tick that meets the deadline.
  [[nodiscard]] std::uint64_t tick_for(std::int64_t deadline) const noexcept {
    const std::uint64_t at = Ticks::from(deadline);
    return at > now_ ? at : now_ + 1;
  }

  /// Puts an entry where its deadline says. The node is that of the index.
  void put(index i, node& n) noexcept {
    // The lowest level that reaches as far.
    unsigned level = 0;
    std::uint64_t number = tick_for(n.deadline);
    std::uint64_t here = now_;
    for (; number - here >= slot_count; ++level) {
      if (level == levels - 1) {
        // Too far off: it waits in the last slot, and is put again from there.
        number = here + slot_count - 1;
        break;
      }
      number >>= bits;
      here >>= bits;
    }
    const unsigned place = place_of(level, number);
    slot& s = slots_[place];
    if (s.size++ == 0) occupied_[level].set(place % slot_count);
    n.place = static_cast<std::uint16_t>(place);
    index& first = s.first[i % lanes];
    n.previous = node::none;
    n.next = first;
    if (first != node::none) slab_[first].previous = i;
    first = i;
    if (s.size <= few + 1) expect(level, number);  // occupied, or due earlier, or few no more
  }
  void remove(index i, const node& n) noexcept {
    slot& s = slots_[n.place];
    (n.previous != node::none ? slab_[n.previous].next : s.first[i % lanes]) = n.next;
    if (n.next != node::none) slab_[n.next].previous = n.previous;
    if (--s.size == 0) occupied_[n.place / slot_count].clear(n.place % slot_count);
  }
  /// Gives an entry this deadline if it can stay in its slot with it. Then it will be put again when the slot's turn comes, if
  /// that is too early.
  [[nodiscard]] bool stays(node& n, std::int64_t deadline) noexcept {
    if (deadline >= n.deadline && deadline > Ticks::time_of(now_)) {  // the usual case, told quickly
      n.deadline = deadline;
      return true;
    }
    const unsigned level = n.place / slot_count;
    const std::uint64_t here = number_at(level, now_);
    const std::uint64_t number = here + (n.place - here) % slot_count;
    const std::uint64_t start = start_of(level, number);
    // why: an advance may have ended in the middle of this tick's own slot, and what has passed comes with the next
    if (start > now_ ? tick_for(deadline) < start : Ticks::from(deadline) <= now_) return false;
    n.deadline = deadline;
    expect(level, number);
    return true;
  }

  /// Goes to `target` at once if there is nothing to do on the way. False: there may be.
  [[nodiscard]] bool skip_to(std::uint64_t target) noexcept {
    if (target >= work_) return false;
    if (target > now_) now_ = target;
    return true;
  }
  /// The next tick that needs a stop, `target` at the latest.
  [[nodiscard]] std::uint64_t next_stop(std::uint64_t target) noexcept {
    if (stop_ <= now_ || work_ <= now_) look_ahead();
    return stop_ < target ? stop_ : target;
  }
  /// Goes to `next`, which must be the next stop, and takes out of the wider slots what has to be nearer then: all of a
  /// slot that begins there, of one that begins later its share of the time until then, and a few if one of them is due. An
  /// entry is a step, and none is made when `left` has come to 0: false then, and `next` has not been reached.
  [[nodiscard]] bool go_to(std::uint64_t next, std::size_t& left, std::size_t& moved) noexcept {
    const std::uint64_t from = now_;
    now_ = next - 1;  // until then there is no stop
    // why the highest first: what comes out of a level may have to leave the next one, too
    for (unsigned level = levels - 1; level > 0; --level) {
      const std::uint64_t here = number_at(level, now_);
      for (const std::uint64_t number : {here, here + 1}) {
        slot& s = slots_[place_of(level, number)];
        if (s.size == 0) continue;
        for (std::uint64_t n = share_of(level, number, from, next); n > 0; --n) {
          if (left == 0) return false;
          --left;
          const index i = s.one_of(s.size);
          node& one = slab_[i];
          remove(i, one);
          put(i, one);
          ++moved;
        }
      }
    }
    now_ = next;
    return true;
  }
  /// An entry that was waiting for now(), or `none`. It may have been given a later deadline.
  [[nodiscard]] index pop() noexcept {
    const slot& s = slots_[place_of(0, now_)];
    if (s.size == 0) return node::none;
    const index i = s.one_of(0);  // one lane after the other, because each is in order, or nearly so
    remove(i, slab_[i]);
    return i;
  }

  /// Any entry, or `none`: there is none.
  [[nodiscard]] index pop_any() noexcept {
    for (unsigned level = 0; level < levels; ++level) {
      if (!occupied_[level].any()) continue;
      const index i = slots_[place_of(level, occupied_[level].first_from(0))].one_of(0);
      remove(i, slab_[i]);
      return i;
    }
    return node::none;
  }

  /// The tick of the first deadline.
  [[nodiscard]] std::optional<std::uint64_t> next_expiry() const noexcept {
    std::optional<std::uint64_t> found;
    for (unsigned level = 0; level < levels; ++level) {
      if (!occupied_[level].any()) continue;
      const std::uint64_t here = number_at(level, now_);
      for (std::uint64_t ahead = 0; ahead < slot_count; ++ahead) {
        const std::uint64_t number = next_occupied(level, here + ahead);
        ahead = number - here;
        const std::uint64_t start = start_of(level, number);
        if (ahead >= slot_count || (found && start >= *found)) break;
        for (const index first : slots_[place_of(level, number)].first) {
          for (index i = first; i != node::none; i = slab_[i].next) {
            const std::uint64_t meets = Ticks::from(slab_[i].deadline);
            const std::uint64_t at = meets > start ? meets : start;  // it may have come too late for its tick
            if (!found || at < *found) found = at;
          }
        }
      }
    }
    return found;
  }
  /// The next tick at which somebody who sleeps should come.
  [[nodiscard]] std::optional<std::uint64_t> next_wakeup() const noexcept {
    std::optional<std::uint64_t> found;
    for (unsigned level = 0; level < levels; ++level) {
      first_slots(level, [&](std::uint64_t number) {
        const std::uint64_t at = wakeup_for(level, number);
        if (!found || at < *found) found = at;
      });
    }
    return found;
  }

 private:
  static constexpr std::uint64_t never = ~std::uint64_t{0};
  static constexpr unsigned levels = 5;
  static constexpr unsigned bits = 8;
  static constexpr unsigned slot_count = occupancy::size;
  static constexpr unsigned all_slots = levels * slot_count;
  /// So many may stay in a slot that has begun.
  static constexpr std::uint32_t few = 4;
  /// Who sleeps is woken before more than this have to be brought nearer at once.
  static constexpr std::uint64_t crowd = 64;

  /// A slot's entries are in two lists, by their index, which are emptied by turns: entries are far apart in memory, and
  /// of a single list the processor could not ask for the next one before it has the last.
  static constexpr index lanes = 2;
  struct slot {
    index first[lanes];
    std::uint32_t size = 0;
    slot() noexcept {
      for (index& f : first) f = node::none;
    }
    /// There must be one. From that lane, or from the next one that is not empty.
    [[nodiscard]] index one_of(index lane) const noexcept {
      while (first[lane % lanes] == node::none) ++lane;
      return first[lane % lanes];
    }
  };

  [[nodiscard]] static std::uint64_t number_at(unsigned level, std::uint64_t tick) noexcept {
    return tick >> (bits * level);
  }
  [[nodiscard]] static std::uint64_t start_of(unsigned level, std::uint64_t number) noexcept {
    return number << (bits * level);
  }
  /// When the slot begins to be emptied: a slot's width before its start.
  [[nodiscard]] static std::uint64_t opening_of(unsigned level, std::uint64_t number) noexcept {
    return level == 0 ? number : start_of(level, number - 1);
  }
  [[nodiscard]] static unsigned place_of(unsigned level, std::uint64_t number) noexcept {
    return level * slot_count + static_cast<unsigned>(number % slot_count);
  }
  /// The number of the first occupied slot from that one on; there must be one in the level.
  [[nodiscard]] std::uint64_t next_occupied(unsigned level, std::uint64_t number) const noexcept {
    return number +
           (occupied_[level].first_from(static_cast<unsigned>(number % slot_count)) - number) % slot_count;
  }

  /// f(number) for the slots of a level that decide when there is something to do next: the first occupied one, and if it
  /// has but a few entries the one after it, which may have to be emptied meanwhile.
  template <class F>
  void first_slots(unsigned level, F f) const noexcept {
    if (!occupied_[level].any()) return;
    const std::uint64_t number = next_occupied(level, number_at(level, now_));
    f(number);
    if (has_few(level, number) && slots_[place_of(level, number + 1)].size > few) f(number + 1);
  }
  [[nodiscard]] bool has_few(unsigned level, std::uint64_t number) const noexcept {
    return level > 0 && slots_[place_of(level, number)].size <= few;
  }
  /// When a few entries leave their slot: with the first one's tick, or with the slot's last.
  [[nodiscard]] std::uint64_t leave_at(unsigned level, std::uint64_t number) const noexcept {
    std::uint64_t at = start_of(level, number + 1) - 1;
    for (const index first : slots_[place_of(level, number)].first) {
      for (index i = first; i != node::none; i = slab_[i].next) {
        const std::uint64_t comes = tick_for(slab_[i].deadline);
        if (comes < at) at = comes;
      }
    }
    return at;
  }
  /// How many of a slot's entries have to leave it between two times.
  [[nodiscard]] std::uint64_t share_of(unsigned level, std::uint64_t number, std::uint64_t from,
                                       std::uint64_t to) const noexcept {
    if (has_few(level, number))
      return leave_at(level, number) <= to ? slots_[place_of(level, number)].size : 0;
    const std::uint64_t start = start_of(level, number);
    const std::uint64_t opens = opening_of(level, number);
    const std::uint64_t since = from > opens ? from : opens;
    const std::uint64_t span = start - since;
    return (slots_[place_of(level, number)].size * (to - since) + span - 1) / span;
  }

  /// There is something in that slot.
  MILLRACE_NOINLINE void expect(unsigned level, std::uint64_t number) noexcept {
    const bool are_few = has_few(level, number);
    const std::uint64_t stop = are_few ? leave_at(level, number) : start_of(level, number);
    const std::uint64_t work = are_few ? stop : opening_of(level, number);
    if (stop < stop_) stop_ = stop;
    if (work < work_) work_ = work;
  }
  void look_ahead() noexcept {
    stop_ = work_ = never;
    for (unsigned level = 0; level < levels; ++level) {
      first_slots(level, [&](std::uint64_t number) { expect(level, number); });
    }
  }
  [[nodiscard]] std::uint64_t wakeup_for(unsigned level, std::uint64_t number) const noexcept {
    if (has_few(level, number)) return leave_at(level, number);
    const std::uint64_t start = start_of(level, number);
    const std::uint64_t size = slots_[place_of(level, number)].size;
    if (level == 0 || size <= crowd) return start;
    const std::uint64_t opens = opening_of(level, number);
    const std::uint64_t from = opens > now_ ? opens : now_;
    const std::uint64_t step = (start - from) * crowd / size;
    return from + (step > 0 ? step : 1);
  }

  Slab& slab_;
  std::uint64_t now_;
  std::uint64_t stop_ = never;  // no occupied slot begins before it, nor do a few leave one, or it has passed
  std::uint64_t work_ = never;  // nor is any to be emptied before
  occupancy occupied_[levels];
  slot slots_[all_slots];
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
