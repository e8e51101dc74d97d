// A topic's log with any number of publishers: each claims a slot with one fetch-add, and a message is there once its slot
// says so.
//
// A publisher may be suspended between the two. Readers that have waited a while for its slot, and find something behind it,
// mark the slot dead and go on; the publisher notices, and publishes anew. Until it has, its hold keeps the segment.
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

namespace millrace {
inline namespace v0 {
namespace detail {

/// state: [ number of the segment : 62 | full, or dead : 2 ]; another number: nothing yet.
template <class T, class Sync>
struct state_slot {
  static constexpr std::uint64_t full(std::uint64_t number) noexcept { return number << 2 | 1; }
  static constexpr std::uint64_t dead(std::uint64_t number) noexcept { return number << 2 | 2; }
  [[nodiscard]] T* value() noexcept { return std::launder(reinterpret_cast<T*>(bytes)); }

  typename Sync::template atomic<std::uint64_t> state{0};
  alignas(T) std::byte bytes[sizeof(T)];
};

/// claims: [ closed : 1 | number, its low bits : 22 | end, if closed : 17 | taken : 24 ]
// why so many bits for `taken`: every publisher that finds the segment exhausted adds one too.
struct claims_word {
  static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 63;
  static constexpr std::uint64_t numbers = (std::uint64_t{1} << 22) - 1;

  std::uint64_t word;
  static constexpr claims_word of(std::uint64_t number) noexcept { return {(number & numbers) << 41}; }
  [[nodiscard]] bool closed() const noexcept { return (word & closed_bit) != 0; }
  [[nodiscard]] bool is_of(std::uint64_t number) const noexcept {
    return (word >> 41 & numbers) == (number & numbers);
  }
  [[nodiscard]] std::uint64_t end() const noexcept { return word >> 24 & 0x1FFFF; }
  [[nodiscard]] std::uint64_t taken() const noexcept { return word & 0xFFFFFF; }
  [[nodiscard]] claims_word close() const noexcept { return {word | closed_bit | taken() << 24}; }
};

template <class T, clock Clock, class Sync>
class multi_log : public log_core<multi_log<T, Clock, Sync>, state_slot<T, Sync>, Clock, Sync> {
  using slot = state_slot<T, Sync>;
  using core = log_core<multi_log, slot, Clock, Sync>;
  template <class U>
  using atomic = typename core::template atomic<U>;
  using life = segment_life;
  using name = segment_name;

 public:
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
        ++from;
        ++done;
        --want;
        next(p);
      }
      if (want == 0) {
        give_up.dismiss();
        this->tell_published();
        continue;
      }
      T rescued(std::move(*p.at->value()));
      std::destroy_at(p.at->value());
      let_go(p);
      for (--want, next(p); want != 0; --want, next(p)) abandon(p);
      const outcome o = offer_built(std::move(rescued));
      if (o != outcome::ok) {
        if constexpr (std::is_assignable_v<decltype(*from), T>) *from = std::move(rescued);
        return o;
      }
      ++from;
      ++done;
    }
    return outcome::ok;
  }

  void close() noexcept {
    // (1) release; pairs with who is told: what was written before is visible to it. With the claims, so a message is either
    // before the end or refused.
    for (;;) {
      const name w{current_.load(std::memory_order_acquire)};
      segment_type& s = this->at(w.index());
      claims_word c{s.claims.load(std::memory_order_relaxed)};
      if (!c.is_of(w.number())) continue;
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
    this->flags_.fetch_or(core::closing, std::memory_order_release);
    this->tell_all();
  }

  // --- for readers ---

  /// Behind the last one claimed.
  [[nodiscard]] std::uint64_t tail() const noexcept {
    for (;;) {
      const name w{current_.load(std::memory_order_acquire)};
      const claims_word c{this->at(w.index()).claims.load(std::memory_order_relaxed)};
      if (!c.is_of(w.number())) continue;
      return this->first_of(w.number()) + claimed(c);
    }
  }
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

  /// The slot at `offset` has had nothing in it for a while. True: now it is settled, because there is something to go on to.
  bool pass_over(segment_type& s, std::uint64_t number, std::uint64_t offset) noexcept {
    const std::uint64_t i = offset - this->first_of(number);
    slot& at = s.cells[i];
    if (!something_behind(s, number, i)) return false;
    for (unsigned p = 0; p < patience; ++p) {
      Sync::pause();
      if (settled(at, number)) return true;
    }
    std::uint64_t nothing = at.state.load(std::memory_order_relaxed);
    if (settled_as(nothing, number)) return true;
    // Relaxed: this reader's cursor tells of it, and the publisher's end of the hold may as well come first.
    s.holds.fetch_add(1, std::memory_order_relaxed);
    if (!at.state.compare_exchange_strong(nothing, slot::dead(number), std::memory_order_relaxed,
                                          std::memory_order_relaxed)) {
      s.holds.fetch_sub(1, std::memory_order_relaxed);
    }
    return true;
  }

  bool clear(segment_type& s) noexcept {
    const std::uint64_t number = s.lives(std::memory_order_relaxed).number();
    for (std::uint64_t i = 0; i < this->size_; ++i) {
      if (!settled(s.cells[i], number)) return false;
    }
    destroy_all(s, number);
    return true;
  }

 private:
  static constexpr unsigned patience = 64;
  static constexpr std::uint64_t most_at_once = 1024;  // see claims_word

  struct place {
    segment_type* in;
    slot* at;
    std::uint64_t number;
    std::int64_t stamp;
  };

  [[nodiscard]] std::uint64_t claimed(claims_word c) const noexcept {
    if (c.closed()) return c.end();
    return c.taken() < this->size_ ? c.taken() : this->size_;
  }
  [[nodiscard]] static bool settled_as(std::uint64_t state, std::uint64_t number) noexcept {
    return state == slot::full(number) || state == slot::dead(number);
  }
  [[nodiscard]] static bool settled(const slot& s, std::uint64_t number) noexcept {
    return settled_as(s.state.load(std::memory_order_acquire), number);
  }
  [[nodiscard]] bool something_behind(const segment_type& s, std::uint64_t number,
                                      std::uint64_t i) const noexcept {
    const claims_word c{s.claims.load(std::memory_order_relaxed)};
    const std::uint64_t to = claimed(c);
    if (!c.is_of(number) || to <= i) return false;
    if (c.closed()) return true;
    for (std::uint64_t k = i + 1; k < to; ++k) {
      if (settled(s.cells[k], number)) return true;
    }
    return to == this->size_ && s.next.load(std::memory_order_relaxed) != name::of(number, name::none).word;
  }

  // --- claiming ---

  /// ok, full or closed.
  MILLRACE_INLINE outcome look() {
    if (this->flags_.load(std::memory_order_relaxed) == 0) [[likely]]
      return outcome::ok;
    return look_closely();
  }
  MILLRACE_NOINLINE outcome look_closely() {
    if ((this->flags_.load(std::memory_order_acquire) & core::closing) != 0) return outcome::closed;
    const std::uint64_t limit = refresh_limit();
    if (tail() >= limit) return outcome::full;
    const name w{current_.load(std::memory_order_acquire)};
    segment_type& s = this->at(w.index());
    const claims_word c{s.claims.load(std::memory_order_relaxed)};
    if (c.is_of(w.number()) && c.taken() >= this->size_) {
      if (const outcome o = advance(w, s); o != outcome::ok) return o;
    }
    this->flags_.fetch_and(~std::uint32_t{core::full}, std::memory_order_relaxed);
    return outcome::ok;
  }

  /// `n` slots in a row, or as many less as there are left in the segment.
  template <class Count = std::uint64_t>
  MILLRACE_INLINE outcome claim(place& p, Count&& n = 1) {
    for (;;) {
      if (const outcome o = look(); o != outcome::ok) return o;
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
        if (const outcome o = advance(w, s); o != outcome::ok) return o;
        continue;
      }
      p = {&s, &s.cells[i], s.lives(std::memory_order_relaxed).number(), stamp};
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
  MILLRACE_NOINLINE outcome advance(name w, segment_type& s) {
    std::uint64_t next = s.next.load(std::memory_order_acquire);  // (8)
    if (next == name::of(w.number(), name::none).word) {
      this->trim();
      const std::uint64_t number = w.number() + 1;
      segment_type* fresh = nullptr;
      {
        // Until there is storage again, look before claiming.
        on_exception note([&] { this->flags_.fetch_or(core::full, std::memory_order_relaxed); });
        fresh = &this->table_.take(number);
        note.dismiss();
      }
      this->open(*fresh, number, s.opened.load(std::memory_order_relaxed));
      // Exhausted, as it was in its last life, but of the one before: however long it has lain about, the bits of its
      // number are not by chance those of this one.
      fresh->claims.store(claims_word::of(number - 1).word | this->size_, std::memory_order_relaxed);
      // (7) release; pairs with (8) and with readers: the storage is ready
      if (s.next.compare_exchange_strong(next, name::of(number, fresh->index).word, std::memory_order_release,
                                         std::memory_order_relaxed)) {
        next = name::of(number, fresh->index).word;
        refresh_limit();
      } else {
        this->table_.give_back(*fresh, number);
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
    for (;;) {
      // acquire: if the claims are of a later life already, so is the life that is read after them
      claims_word c{s.claims.load(std::memory_order_acquire)};
      if (c.is_of(next.number())) break;
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
      p.in->stamps[p.at - p.in->cells] = p.stamp;
  }
  /// False: the slot is dead.
  [[nodiscard]] MILLRACE_INLINE bool put(const place& p) noexcept {
    std::uint64_t was = p.at->state.load(std::memory_order_relaxed);
    // (5) release; pairs with the readers' look at the state
    return was != slot::dead(p.number) &&
           p.at->state.compare_exchange_strong(was, slot::full(p.number), std::memory_order_release,
                                               std::memory_order_relaxed);
  }
  [[nodiscard]] MILLRACE_INLINE bool publish(const place& p) noexcept {
    if (!put(p)) return false;
    this->tell_published();
    return true;
  }
  /// A claimed slot that nothing will be in.
  void abandon(const place& p) noexcept {
    std::uint64_t was = p.at->state.load(std::memory_order_relaxed);
    if (was == slot::dead(p.number) ||
        !p.at->state.compare_exchange_strong(was, slot::dead(p.number), std::memory_order_release,  // (6)
                                             std::memory_order_relaxed)) {
      let_go(p);
    }
  }
  /// Of a slot that somebody else marked dead, once nothing is in it any more.
  void let_go(const place& p) noexcept { p.in->holds.fetch_sub(1, std::memory_order_release); }
  void next(place& p) noexcept { ++p.at; }

  /// The value in `p`, whose slot is dead.
  template <class... Args>
  MILLRACE_NOINLINE outcome offer_anew(const place& p, Args&&... args) {
    T rescued(std::move(*p.at->value()));
    std::destroy_at(p.at->value());
    let_go(p);
    const outcome o = offer_built(std::move(rescued));
    if (o != outcome::ok) static_cast<void>(arguments<T, Args...>::give_back(std::move(rescued), args...));
    return o;
  }
  /// `value` is untouched unless the answer is ok.
  MILLRACE_INLINE outcome offer_built(T&& value) {
    for (;;) {
      place p;
      if (const outcome o = claim(p); o != outcome::ok) return o;
      construct(p, std::move(value));
      if (publish(p)) [[likely]]
        return outcome::ok;
      take_back(p, value);
    }
  }
  MILLRACE_NOINLINE void take_back(const place& p, T& value) {
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
        if (s.cells[i].state.load(std::memory_order_relaxed) == slot::full(number)) {
          std::destroy_at(s.cells[i].value());
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
