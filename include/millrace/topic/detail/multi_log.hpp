// A topic's log with any number of publishers: each claims a slot with one fetch-add, and a message is there once its slot
// says so.
//
// A publisher may be suspended between the two. A reader that has waited a while for its slot, and finds something behind it,
// gives the slot up and goes on; the publisher notices, and publishes anew. Until it has, its hold keeps the segment. How
// the two agree is in state_slot.hpp.
//
// A publisher may also be suspended before its claim, with a segment in its hand that has long been dropped. The claim tells:
// it is refused, or it is of the segment's life now, and as good as any.
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
#include "millrace/core/detail/arguments.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/detail/log_core.hpp"
#include "millrace/topic/detail/state_slot.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T, clock Clock, class Sync>
class multi_log : public log_core<multi_log<T, Clock, Sync>, state_slot<T, Sync>, Clock, Sync> {
  using slot = state_slot<T, Sync>;
  using word = typename slot::word;
  using core = log_core<multi_log, slot, Clock, Sync>;
  template <class U>
  using atomic = typename core::template atomic<U>;
  using life = segment_life;
  using name = segment_name;

 public:
  using typename core::reserve_type;
  using typename core::segment_type;
  static constexpr bool many = true;

  multi_log(std::size_t capacity, const topic_options& options, clock_ref<Clock> clock)
      : core(capacity, options, clock), stamped_(options.stamp == stamps::each_message) {
    segment_type& s = core::at(0);
    s.claims.store(claims_word::of(0).word, std::memory_order_relaxed);
    current_.store(name::of(0, s.index).word, std::memory_order_relaxed);
  }
  ~multi_log() {
    this->table_.find_if([&](segment_type& s) {
      const life l = s.lives(std::memory_order_relaxed);
      if (l.phase() == life::live) destroy_all(s, l.number());
      return false;
    });
  }

  /// Publishes T(args...): ok, full or closed. An exception leaves no trace.
  template <class... Args>
  MILLRACE_INLINE outcome offer(Args&&... args) {
    using arguments = detail::arguments<T, Args...>;
    static_assert(
        arguments::spared || std::is_move_constructible_v<T>,
        "topic: with producers::multi, arguments that a message consumes need a T that can be moved");
    if constexpr (!std::is_nothrow_constructible_v<T, Args...> && std::is_nothrow_move_constructible_v<T>) {
      // why so early: an exception must not find a slot claimed
      if (const outcome o = look(); o != outcome::ok) return o;
      T built(std::forward<Args>(args)...);
      const outcome o = offer_built(std::move(built));
      if (o != outcome::ok) static_cast<void>(arguments::give_back(std::move(built), args...));
      return o;
    } else {
      for (;;) {
        place p;
        if (const outcome o = claim(p); o != outcome::ok) return o;
        construct(p, std::forward<Args>(args)...);
        if (publish(p)) [[likely]]
          return outcome::ok;
        if constexpr (!arguments::spared) return offer_anew(p, std::forward<Args>(args)...);
        std::destroy_at(p.at->value());
        let_go(p);
      }
    }
  }

  /// As many of the n values at `from` as there is room for, in this order.
  template <class Iterator>
  outcome offer_n(Iterator& from, std::size_t n, std::size_t& done) {
    while (done < n) {
      const std::uint64_t there = tail();
      const std::uint64_t limit = this->limit_.load(std::memory_order_relaxed);
      std::uint64_t want = n - done;
      if (want > most_at_once) want = most_at_once;
      if (there + want > limit) want = there < limit ? limit - there : 1;
      place p;
      if (const outcome o = claim(p, want); o != outcome::ok) return o;
      // What is left of the claim when something throws, or a slot turns out to be dead, is given up: what comes later
      // must not stand before it.
      on_exception give_up([&] {
        for (; want != 0; --want, next(p)) abandon(p);
        this->tell_published();
      });
      while (want != 0) {
        ::new (static_cast<void*>(p.at->bytes)) T(*from);
        stamp(p);
        if (!put(p)) break;
        ++done;
        --want;
        next(p);
        ++from;  // why last: it may throw
      }
      if (want == 0) {
        give_up.dismiss();
        this->tell_published();
        continue;
      }
      const place given_up = p;
      --want;
      next(p);
      T rescued(taken_out(given_up));
      for (; want != 0; --want, next(p)) abandon(p);
      const outcome o = offer_built(std::move(rescued));
      if (o != outcome::ok) {
        // Only what has been moved out of there is put back.
        if constexpr (std::is_same_v<decltype(*from), T&&>) *from = std::move(rescued);
        return o;
      }
      ++done;
      ++from;
    }
    return outcome::ok;
  }

  /// By who has a permit: whatever room there is, and though it may have been closed.
  void offer_anyway(T&& value, reserve_type& reserve) noexcept {
    place p;
    for (;;) {
      static_cast<void>(claim(p, std::uint64_t{1}, false, &reserve));  // ok: there is no end, and storage
      construct(p, std::move(value));
      if (publish(p)) [[likely]]
        return;
      take_back(p, value);
    }
  }
  [[nodiscard]] bool has_room() const noexcept { return tail() < this->limit_of_readers(); }

  void seal() noexcept {
    // (1) release; pairs with who is told: what was written before is visible to it. With the claims, so a message is either
    // before the end or refused.
    for (;;) {
      auto [w, c] = newest();
      segment_type& s = this->at(w.index());
      if (c.closed()) break;
      if (c.taken() < this->size_) {
        if (s.claims.compare_exchange_strong(c.word, c.close().word, std::memory_order_release,
                                             std::memory_order_relaxed)) {
          break;
        }
      } else {
        std::uint64_t next = s.next.load(std::memory_order_acquire);  // (8)
        if (next == name::of(w.number(), name::closed).word) break;
        if (next != name::of(w.number(), name::none).word) {
          go_on(w, name{next});
        } else if (s.next.compare_exchange_strong(next, name::of(w.number(), name::closed).word,
                                                  std::memory_order_release, std::memory_order_relaxed)) {
          break;
        }
      }
    }
    this->tell_all();
  }

  // --- for readers ---

  /// Behind the last one claimed.
  [[nodiscard]] std::uint64_t tail() const noexcept { return end_of(newest()); }
  /// Whether the stream ends at `offset`, in segment `s`.
  [[nodiscard]] bool ends_at(const segment_type& s, std::uint64_t number,
                             std::uint64_t offset) const noexcept {
    const std::uint64_t i = offset - this->first_of(number);
    if (i == this->size_) {
      return s.next.load(std::memory_order_acquire) == name::of(number, name::closed).word;
    }
    const claims_word c{s.claims.load(std::memory_order_acquire)};
    return c.is_of(number) && c.closed() && c.end() == i;
  }

  /// How many of the `n` messages at `first` and behind there are: the last look, if somebody suspects the segment.
  [[nodiscard]] std::uint64_t confirmed(segment_type& s, std::uint64_t number, slot* first,
                                        std::uint64_t n) const noexcept {
    Sync::light_fence();
    if (!s.suspected.load(std::memory_order_relaxed)) [[likely]]
      return n;
    std::uint64_t i = 0;
    while (i != n && first[i].judge(number, slot::full(number)).is == slot::full(number)) ++i;
    return i;
  }
  /// Whether nothing will ever be in the slot.
  [[nodiscard]] static bool is_dead(const segment_type& s, std::uint64_t number, const slot& at) noexcept {
    // why relaxed is enough: nothing in it is read
    return at.state.load(std::memory_order_relaxed) == slot::dead(number) ||
           (s.suspected.load(std::memory_order_relaxed) &&
            at.verdict.load(std::memory_order_relaxed) == slot::dead(number));
  }

  /// The slot at `offset` has had nothing in it for a while. True: now it is settled, because there is something to go on to.
  bool pass_over(segment_type& s, std::uint64_t number, std::uint64_t offset) noexcept {
    const std::uint64_t i = offset - this->first_of(number);
    slot& at = s.cells()[i];
    if (!something_behind(s, number, i)) return false;
    for (unsigned p = 0; p < patience; ++p) {
      Sync::pause();
      if (at.settled(number)) return true;
    }
    s.suspected.store(true, std::memory_order_relaxed);
    Sync::heavy_fence();
    if (at.settled(number)) return true;
    // Relaxed: this reader's cursor tells of it, and the publisher's end of the hold may as well come first.
    s.holds.fetch_add(1, std::memory_order_relaxed);
    if (!at.judge(number, slot::dead(number)).is_mine) s.holds.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }

  bool clear(segment_type& s) noexcept {
    const std::uint64_t number = s.lives(std::memory_order_relaxed).number();
    for (std::uint64_t i = 0; i < this->size_; ++i) {
      if (!s.cells()[i].settled(number)) return false;
    }
    if (s.suspected.load(std::memory_order_relaxed)) {
      for (std::uint64_t i = 0; i < this->size_; ++i) {
        s.cells()[i].verdict.store(0, std::memory_order_relaxed);
      }
    }
    destroy_all(s, number);
    return true;
  }

 private:
  // why not in a model check: whoever pauses there lets the publisher come first
  static constexpr unsigned patience = requires { Sync::impatient; } ? 0 : 64;
  static constexpr std::uint64_t most_at_once = 1024;  // see claims_word
  static constexpr std::size_t ahead = prefetch_distance(sizeof(slot), 4, 128);

  // why passed by value to what is not inlined: otherwise it lies in memory, between two fetch-adds, which wait for it
  struct place {
    segment_type* in;
    slot* at;
    std::uint64_t number;
    std::int64_t stamp;
  };

  struct head {
    name segment;
    claims_word claims;
  };
  /// The segment in which messages are claimed now.
  [[nodiscard]] head newest() const noexcept {
    for (;;) {
      const name w{current_.load(std::memory_order_acquire)};  // (9)
      const claims_word c{this->at(w.index()).claims.load(std::memory_order_relaxed)};
      if (c.is_of(w.number())) return {w, c};
    }
  }
  [[nodiscard]] std::uint64_t end_of(const head& h) const noexcept {
    return this->first_of(h.segment.number()) + claimed(h.claims);
  }
  [[nodiscard]] std::uint64_t claimed(claims_word c) const noexcept {
    if (c.closed()) return c.end();
    return c.taken() < this->size_ ? c.taken() : this->size_;
  }
  [[nodiscard]] bool something_behind(const segment_type& s, std::uint64_t number,
                                      std::uint64_t i) const noexcept {
    const claims_word c{s.claims.load(std::memory_order_relaxed)};
    const std::uint64_t to = claimed(c);
    if (!c.is_of(number) || to <= i) return false;
    if (c.closed()) return true;
    for (std::uint64_t k = i + 1; k < to; ++k) {
      if (s.cells()[k].settled(number)) return true;
    }
    return to == this->size_ && s.next.load(std::memory_order_relaxed) != name::of(number, name::none).word;
  }

  // --- claiming ---

  /// ok, full or closed.
  MILLRACE_INLINE outcome look() {
    if ((this->flags_.load(std::memory_order_relaxed) & core::refusing) == 0) [[likely]]
      return outcome::ok;
    return look_closely();
  }
  MILLRACE_NOINLINE outcome look_closely() {
    if ((this->flags_.load(std::memory_order_acquire) & core::closing) != 0) return outcome::closed;
    const std::uint64_t limit = refresh_limit();
    const head h = newest();
    if (end_of(h) >= limit) return outcome::full;
    if (h.claims.taken() >= this->size_) {
      if (const outcome o = advance(h.segment, this->at(h.segment.index()), nullptr); o != outcome::ok)
        return o;
    }
    this->flags_.fetch_and(~std::uint32_t{core::full}, std::memory_order_relaxed);
    return outcome::ok;
  }

  /// `n` slots in a row, or as many less as there are left in the segment.
  template <class Count = std::uint64_t>
  MILLRACE_INLINE outcome claim(place& p, Count&& n = 1, bool looks_for_room = true,
                                reserve_type* reserve = nullptr) {
    for (;;) {
      if (looks_for_room) {
        if (const outcome o = look(); o != outcome::ok) return o;
      }
      const name w{current_.load(std::memory_order_acquire)};
      segment_type& s = this->at(w.index());
      // why before the claim: so it is not later than the next segment's, by which a seek goes
      const std::int64_t stamp = stamped_ ? this->now() : 0;
      // acquire; pairs with (4): what lay in the segment before is gone
      const claims_word c{s.claims.fetch_add(n, std::memory_order_acquire)};
      if (c.closed()) [[unlikely]]
        return outcome::closed;
      const std::uint64_t i = c.taken();
      if (i >= this->size_) [[unlikely]] {
        if (const outcome o = advance(w, s, reserve); o != outcome::ok) return o;
        continue;
      }
      p = {&s, &s.cells()[i], s.lives(std::memory_order_relaxed).number(), stamp};
      prefetch_behind<Sync>(p.at, ahead);
      if (n > this->size_ - i) {
        if constexpr (std::is_lvalue_reference_v<Count>) n = this->size_ - i;
      }
      const std::uint64_t end = this->first_of(p.number) + i + n;
      if (end >= this->limit_.load(std::memory_order_relaxed)) [[unlikely]]
        near_limit(end);
      return outcome::ok;
    }
  }
  std::uint64_t refresh_limit() noexcept {
    const std::uint64_t limit = this->limit_of_readers();
    this->limit_.store(limit, std::memory_order_relaxed);
    return limit;
  }
  MILLRACE_NOINLINE void near_limit(std::uint64_t end) noexcept {
    if (end >= refresh_limit()) this->flags_.fetch_or(core::full, std::memory_order_relaxed);
  }

  /// The segment `s`, which was `w`, is exhausted: goes on to the next one, which it makes if need be.
  MILLRACE_NOINLINE outcome advance(name w, segment_type& s, reserve_type* reserve) {
    std::uint64_t next = s.next.load(std::memory_order_acquire);  // (8)
    if (next == name::of(w.number(), name::none).word) {
      this->trim();
      const std::uint64_t number = w.number() + 1;
      segment_type* fresh = nullptr;
      {
        // Until there is storage again, look before claiming.
        on_exception note([&] { this->flags_.fetch_or(core::full, std::memory_order_relaxed); });
        fresh = reserve == nullptr ? &this->table_.take(number) : &reserve->take(number);
        note.dismiss();
      }
      this->open(*fresh, number, s.opened.load(std::memory_order_relaxed));
      fresh->suspected.store(false, std::memory_order_relaxed);
      // Exhausted, as it was in its last life, but of the one before: however long it has lain about, the bits of its
      // number are not by chance those of this one.
      fresh->claims.store(claims_word::of(number - 1).word | this->size_, std::memory_order_relaxed);
      // (7) release; pairs with (8) and with readers: the storage is ready
      if (s.next.compare_exchange_strong(next, name::of(number, fresh->index).word, std::memory_order_release,
                                         std::memory_order_relaxed)) {
        next = name::of(number, fresh->index).word;
        refresh_limit();
      } else {
        reserve == nullptr ? this->table_.give_back(*fresh, number) : reserve->put_back(*fresh, number);
        return outcome::ok;  // somebody else was faster; look again
      }
    }
    if (next == name::of(w.number(), name::closed).word) return outcome::closed;
    go_on(w, name{next});
    return outcome::ok;
  }
  /// Any number of threads may do this for the same segment, at any time.
  void go_on(name w, name next) noexcept {
    if (next.number() != w.number() + 1) return;
    segment_type& s = this->at(next.index());
    std::uint64_t prepared = life::of(next.number(), life::preparing).word;
    // release: with the storage that (8) has shown
    s.life.compare_exchange_strong(prepared, life::of(next.number(), life::live).word,
                                   std::memory_order_release, std::memory_order_relaxed);
    // From what they were when it was prepared. Those of a later life are not, and should so many segments have gone by
    // that their bits are the same again, it is seen that its life is another one.
    claims_word c{s.claims.load(std::memory_order_relaxed)};
    while (c.is_of(w.number())) {
      if (s.lives(std::memory_order_relaxed).number() != next.number()) return;
      // (4) release: with the storage that is ready. Until here every claim found the segment exhausted.
      if (s.claims.compare_exchange_weak(c.word, claims_word::of(next.number()).word,
                                         std::memory_order_release, std::memory_order_relaxed)) {
        break;
      }
    }
    std::uint64_t old = w.word;
    // (9) release; pairs with who takes its segment from here: that one is in the table
    current_.compare_exchange_strong(old, next.word, std::memory_order_release, std::memory_order_relaxed);
  }

  // --- publishing ---

  template <class... Args>
  MILLRACE_INLINE void construct(const place& p, Args&&... args) {
    if constexpr (std::is_nothrow_constructible_v<T, Args...>) {
      ::new (static_cast<void*>(p.at->bytes)) T(std::forward<Args>(args)...);
    } else {
      on_exception undo([&] {
        abandon(p);
        this->tell_published();
      });
      ::new (static_cast<void*>(p.at->bytes)) T(std::forward<Args>(args)...);
      undo.dismiss();
    }
    stamp(p);
  }
  void stamp(const place& p) noexcept {
    if (stamped_) [[unlikely]]
      p.in->stamps()[p.at - p.in->cells()] = p.stamp;
  }
  /// False: the slot is dead.
  [[nodiscard]] MILLRACE_INLINE bool put(const place& p) noexcept {
    p.at->state.store(slot::full(p.number),
                      std::memory_order_release);  // (5) pairs with the readers' look at the state
    Sync::light_fence();
    if (!p.in->suspected.load(std::memory_order_relaxed)) [[likely]]
      return true;
    return settle(p);
  }
  [[nodiscard]] MILLRACE_INLINE bool publish(const place& p) noexcept {
    if (!put(p)) return false;
    this->tell_published();
    return true;
  }
  /// A claimed slot that nothing will be in.
  void abandon(const place& p) noexcept {
    p.at->state.store(slot::dead(p.number), std::memory_order_release);  // (6)
    Sync::light_fence();
    if (p.in->suspected.load(std::memory_order_relaxed) && !settle(p)) let_go(p);
  }
  /// By the slot's publisher, which has said what is in it: with the verdict `full`, that counts. False: a reader has given
  /// it up.
  [[nodiscard]] MILLRACE_NOINLINE static bool settle(place p) noexcept {
    word v = p.at->verdict.load(std::memory_order_relaxed);
    for (;;) {
      if (v == slot::dead(p.number)) return false;
      if (v == slot::full(p.number)) return true;
      // The segment's life has ended already: not before this slot was settled, and not by a reader, whose hold would keep
      // it. Otherwise what has been read is not of a later life, which would have begun before the heavy fence of who gave
      // the slot up then; so no verdict of one is overwritten.
      Sync::light_fence();
      if (p.in->lives(std::memory_order_relaxed).number() != p.number) return true;
      if (p.at->verdict.compare_exchange_weak(v, slot::full(p.number), std::memory_order_relaxed,
                                              std::memory_order_relaxed)) {
        return true;
      }
    }
  }
  /// Of a slot that a reader has given up, once nothing is in it any more.
  void let_go(const place& p) noexcept {
    p.at->state.store(slot::dead(p.number), std::memory_order_relaxed);  // told by the end of the hold
    p.in->holds.fetch_sub(1, std::memory_order_release);
  }
  void next(place& p) noexcept { ++p.at; }

  /// The value in `p`, whose slot is dead.
  template <class... Args>
  MILLRACE_NOINLINE outcome offer_anew(place p, Args&&... args) {
    T rescued(taken_out(p));
    const outcome o = offer_built(std::move(rescued));
    if (o != outcome::ok) static_cast<void>(arguments<T, Args...>::give_back(std::move(rescued), args...));
    return o;
  }
  [[nodiscard]] T taken_out(place p) {
    struct emptied {
      multi_log& in;
      place p;
      emptied(multi_log& l, place q) noexcept : in(l), p(q) {}
      emptied(const emptied&) = delete;
      emptied& operator=(const emptied&) = delete;
      ~emptied() {
        std::destroy_at(p.at->value());
        in.let_go(p);
      }
    };
    const emptied last(*this, p);
    return T(std::move(*p.at->value()));
  }
  /// ok or closed; `value` is untouched then. It does not ask for room again, which was there when it was looked for: what
  /// the value has been made of may be gone.
  MILLRACE_INLINE outcome offer_built(T&& value) {
    for (;;) {
      place p;
      if (const outcome o = claim(p, std::uint64_t{1}, false); o != outcome::ok) return o;
      construct(p, std::move(value));
      if (publish(p)) [[likely]]
        return outcome::ok;
      take_back(p, value);
    }
  }
  MILLRACE_NOINLINE void take_back(place p, T& value) {
    if constexpr (std::is_nothrow_move_constructible_v<T>) {
      std::destroy_at(&value);
      std::construct_at(&value, std::move(*p.at->value()));
    } else {
      value = std::move(*p.at->value());
    }
    std::destroy_at(p.at->value());
    let_go(p);
  }

  void destroy_all(segment_type& s, std::uint64_t number) noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (std::uint64_t i = 0; i < this->size_; ++i) {
        if (s.cells()[i].state.load(std::memory_order_relaxed) == slot::full(number)) {
          std::destroy_at(s.cells()[i].value());
        }
      }
    } else {
      static_cast<void>(s);
      static_cast<void>(number);
    }
  }

  const bool stamped_;
  // Where new messages go. Read by all publishers, and written once a segment.
  alignas(hot_separation) atomic<std::uint64_t> current_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
