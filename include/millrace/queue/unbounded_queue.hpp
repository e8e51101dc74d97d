// millrace/queue/unbounded_queue.hpp - a FIFO without a limit for any number of producers and consumers, lock-free.
//
// Use it when : a burst has to be taken in whatever its size, and producers can neither wait nor drop.
// Use instead : `mpmc_queue` or a bounded `channel` wherever a limit is to be had: a backlog without one hides that
//               somebody is too slow, until the memory is gone.
// Threads     : any number may call any function at any time, but for construction and destruction.
// Order       : linearizable; strict FIFO, also across producers. What was written before a push is visible
//               after the pop that returns its value.
// Progress    : lock-free for every T, as mpmc_queue, but for the allocation of a ring. A suspended thread keeps at
//               most the ring that it stands in from being freed.
// Errors      : a push does not fail. try_pop answers false when the queue was empty at an instant inside the call.
// Exceptions  : std::length_error from the constructor; what the allocator throws from a push, with nothing lost and
//               the queue usable; what T's copy or move throws, see mpmc_queue. From the 65th living thread on that
//               has used an unbounded queue, the first use allocates 128 bytes; if there are none left, a verb
//               throws std::bad_alloc, and functions that are noexcept terminate.
// Memory      : a chain of rings of 16 bytes a place for words, sizeof(T) + 8 otherwise. A ring that is full is followed
//               by one of twice the size, up to the largest; while the backlog fits a ring, that ring serves for ever
//               and nothing is allocated. A ring that has been drained is kept for the next burst (two at the most)
//               or freed, and then its memory goes back to the system (a ring of 128 KiB or more, as the largest are
//               unless you ask for smaller ones).
// Cost        : mpmc_queue's, and a store and a look back at the chain; a new ring every `largest_ring` pushes while
//               the backlog is larger than that.
// Source      : chained rings, A. Morrison & Y. Afek (LCRQ), PPoPP 2013; reclamation, see core/detail/hazards.hpp.
// Checked by  : tests/queue/unbounded_queue_test.cpp, tests/queue/histories_test.cpp (linearizability),
//               tests/queue/stalls_test.cpp (lock-freedom), tests/models/unbounded_models.cpp (all interleavings).
//
// Example:
//   millrace::unbounded_queue<std::unique_ptr<event>> q;
//   q.push(std::move(e));
//   while (auto e = q.try_pop()) (*e)->handle();
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/arguments.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/hazards.hpp"
#include "millrace/core/detail/pages.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel_access.hpp"
#include "millrace/queue/detail/cells.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/options.hpp"

namespace millrace {
inline namespace v0 {

template <class T, class... Options>
class unbounded_queue {
  using options = detail::queue_options<T, Options...>;
  using allocator =
      typename detail::pick<detail::allocator_option, detail::page_allocator<T>, Options...>::type;
  using sync = typename options::sync;
  using ring = mpmc_queue<T, use_allocator<allocator>, use_backoff<typename options::backoff>,
                          use_patience<options::patience>, use_sync<sync>,
                          use_first_position<options::first_position>>;
  using access = channel_access;
  using home = detail::hazard_home<sync>;
  using guard = detail::guard<sync>;
  template <class U>
  using atomic = typename sync::template atomic<U>;

 public:
  using value_type = T;
  using allocator_type = allocator;
  using sync_type = sync;
  static constexpr bool is_bounded = false;
  static constexpr bool many_producers = true;
  static constexpr bool many_consumers = true;
  static constexpr bool is_lock_free = ring::is_lock_free;

  /// The places of the first ring, 1 .. 2^31, and of the largest, first_ring .. 2^31 (0: 16,384, or first_ring if that
  /// is more), rounded up to powers of two of at least 2.
  explicit unbounded_queue(std::size_t first_ring = 64, std::size_t largest_ring = 0,
                           const allocator_type& from = allocator_type())
      : allocator_(from), largest_(largest_of(first_ring, largest_ring)) {
    home::prepare();
    segment* const first = build(rounded(first_ring));
    tail_.store(first, std::memory_order_relaxed);
    head_.store(first, std::memory_order_relaxed);
  }
  unbounded_queue(const unbounded_queue&) = delete;
  unbounded_queue& operator=(const unbounded_queue&) = delete;

  /// Destroys what is left. Every other call must have returned.
  ~unbounded_queue() {
    for (segment* s = head_.load(std::memory_order_relaxed); s != nullptr && s != end();) {
      tear_down(std::exchange(s, s->next.load(std::memory_order_relaxed)));
    }
    for (segment* s = retired_.load(std::memory_order_relaxed); s != nullptr;) tear_down(pick_up(s));
    for (atomic<segment*>& spare : spares_) {
      if (segment* const s = spare.load(std::memory_order_relaxed)) tear_down(s);
    }
  }

  void push(T&& value) { static_cast<void>(offer(std::move(value))); }
  void push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    static_cast<void>(offer(value));
  }
  /// Constructs the value in its place if `args` can be left alone or given back, see mpmc_queue::try_emplace, and
  /// otherwise before.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  void emplace(Args&&... args) {
    using arguments = detail::arguments<T, Args...>;
    if constexpr (arguments::one_value || (arguments::spared && !word_like<T>)) {
      static_cast<void>(offer(std::forward<Args>(args)...));
    } else {
      static_cast<void>(offer(T(std::forward<Args>(args)...)));
    }
  }
  /// Pushes `*first`, `*++first`, ..., n. Each is a push of its own: those of other threads may come between. Moves
  /// from a move_iterator, copies otherwise. If a copy or an allocation throws, those before it have been pushed.
  template <class It>
  void push_n(It first, std::size_t n) {
    for (; n != 0; --n, ++first) static_cast<void>(offer(*first));
  }

  /// False: empty, and `out` is untouched.
  [[nodiscard]] bool try_pop(T& out)
    requires std::is_move_assignable_v<T>
  {
    return take([&](T&& value) { out = std::move(value); }) == outcome::ok;
  }
  /// Nothing: empty.
  [[nodiscard]] std::optional<T> try_pop() {
    std::optional<T> out;
    static_cast<void>(take([&](T&& value) { out.emplace(std::move(value)); }));
    return out;
  }
  /// Pops into `*out++`, `max` at the most, until the queue is empty; returns how many.
  template <class Out>
  [[nodiscard]] std::size_t try_pop_n(Out out, std::size_t max) {
    std::size_t done = 0;
    while (done < max && take([&](T&& value) { *out = std::move(value); }) == outcome::ok) {
      ++out;
      ++done;
    }
    return done;
  }

  /// How many values there are, roughly, and out of date as soon as it is read.
  [[nodiscard]] std::size_t size_approx() const noexcept {
    guard first;
    const segment* const h = first.protect(head_);
    guard last;
    const segment* const t = last.protect(tail_);
    if (h == t) return h->values.size_approx();
    const std::size_t between = t->places_before - h->places_before - h->values.capacity();
    return h->values.size_approx() + between + t->values.size_approx();
  }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }

  /// Places in all rings there are now, in use or spare; and the most there have been at once.
  [[nodiscard]] std::size_t capacity() const noexcept { return places_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t high_water() const noexcept {
    return high_water_.load(std::memory_order_relaxed);
  }

 private:
  friend channel_access;

  // A ring is followed by another only after it has been closed, so a position in the chain is as final as one in a
  // ring. A ring that is closed and drained leaves the chain when the head goes past it. The tail may still be there, but
  // then whoever appended the next ring guards this one, until it has seen to it that the tail has gone on.
  struct segment {
    segment(std::size_t places, const allocator& from) : values(places, from) {}
    ring values;
    atomic<segment*> next{nullptr};  // end(): nothing will ever follow
    std::size_t places_before = 0;   // in the chain
    atomic<segment*> retired_before{nullptr};
  };
  using segments = typename std::allocator_traits<allocator>::template rebind_traits<segment>;

  [[nodiscard]] static std::size_t rounded(std::size_t places) {
    constexpr const char* range = "unbounded_queue: first_ring must be 1 to 2147483648 (2^31)";
    return static_cast<std::size_t>(detail::rounded_capacity(places, range));
  }
  [[nodiscard]] static std::size_t largest_of(std::size_t first, std::size_t largest) {
    constexpr std::size_t usual = 16384;
    constexpr const char* range = "unbounded_queue: largest_ring must be first_ring to 2147483648 (2^31)";
    first = rounded(first);
    if (largest == 0) return first < usual ? usual : first;
    largest = static_cast<std::size_t>(detail::rounded_capacity(largest, range));
    if (largest < first) detail::fail<std::length_error>(range);
    return largest;
  }

  /// Stands where a next ring would.
  [[nodiscard]] segment* end() const noexcept {
    return reinterpret_cast<segment*>(const_cast<unbounded_queue*>(this));
  }

  template <class... Args>
  MILLRACE_INLINE outcome offer(Args&&... args) {
    guard here;
    for (;;) {
      segment* const s = here.protect(tail_);
      const outcome result = access::offer(s->values, std::forward<Args>(args)...);
      if (result == outcome::ok) return result;
      if (!go_on(s, result)) return outcome::closed;
    }
  }

  /// `s` takes no more. False: nor does any other, the stream has ended.
  MILLRACE_NOINLINE bool go_on(segment* s, outcome why) {
    segment* next = nullptr;
    if (why == outcome::closed) next = s->next.load(std::memory_order_acquire);
    if (next == nullptr) next = append(s);
    if (next == end()) return false;
    pass(tail_, s, next);
    return true;
  }

  /// Closes `s`, and returns what follows it.
  segment* append(segment* s) {
    // why: first of all, so that if it throws nothing has happened
    const std::size_t places = s->values.capacity();
    segment* const fresh = new_ring(places < largest_ ? 2 * places : places);
    fresh->places_before = s->places_before + places;
    access::close(s->values);
    segment* next = nullptr;
    if (s->next.compare_exchange_strong(next, fresh, std::memory_order_seq_cst, std::memory_order_acquire)) {
      return fresh;
    }
    put_away(fresh);
    return next;
  }

  template <class Receive>
  MILLRACE_INLINE outcome take(Receive&& receive) {
    guard here;
    for (;;) {
      segment* const s = here.protect(head_);
      const outcome result = access::take(s->values, receive);
      if (result == outcome::ok) return result;
      if (result == outcome::empty) {
        if (retired_.load(std::memory_order_relaxed) != nullptr) sweep();
        return result;
      }
      segment* const next = s->next.load(std::memory_order_seq_cst);
      // Nobody has pushed into a ring that is not there yet.
      if (next == nullptr) return outcome::empty;
      if (next == end()) return result;
      if (pass(head_, s, next)) {
        here.let_go();
        retire(s);
      }
    }
  }

  void close() noexcept {
    guard here;
    for (;;) {
      segment* const s = here.protect(tail_);
      access::close(s->values);
      segment* next = nullptr;
      if (s->next.compare_exchange_strong(next, end(), std::memory_order_seq_cst,
                                          std::memory_order_acquire) ||
          next == end()) {
        return;
      }
      pass(tail_, s, next);
    }
  }

  static bool pass(atomic<segment*>& from, segment* s, segment* next) noexcept {
    return from.compare_exchange_strong(s, next, std::memory_order_release, std::memory_order_relaxed);
  }

  // --- rings that are no longer in the chain ---

  void retire(segment* s) noexcept {
    lay_down(s);
    sweep();
  }
  void lay_down(segment* s) noexcept {
    segment* before = retired_.load(std::memory_order_relaxed);
    do {
      s->retired_before.store(before, std::memory_order_relaxed);
    } while (
        !retired_.compare_exchange_weak(before, s, std::memory_order_release, std::memory_order_relaxed));
  }
  [[nodiscard]] static segment* pick_up(segment*& from) noexcept {
    return std::exchange(from, from->retired_before.load(std::memory_order_relaxed));
  }

  /// Puts away those in which nobody stands any more.
  MILLRACE_NOINLINE void sweep() noexcept {
    segment* all = retired_.exchange(nullptr, std::memory_order_acquire);
    segment* left = nullptr;
    while (all != nullptr) {
      segment* const s = pick_up(all);
      // A first look, so that the fence is paid for only if it is likely to help.
      if (home::all().any_guards(s)) {
        lay_down(s);
      } else {
        s->retired_before.store(std::exchange(left, s), std::memory_order_relaxed);
      }
    }
    if (left == nullptr) return;
    sync::heavy_fence();
    while (left != nullptr) {
      segment* const s = pick_up(left);
      if (home::all().any_guards(s)) {
        lay_down(s);
      } else {
        put_away(s);
      }
    }
  }

  /// A ring that is ours alone: kept for later, if it is of the largest and there is a shelf for it.
  void put_away(segment* s) noexcept {
    if (s->values.capacity() == largest_) {
      access::reopen(s->values);
      s->next.store(nullptr, std::memory_order_relaxed);
      for (atomic<segment*>& shelf : spares_) {
        segment* none = nullptr;
        if (shelf.compare_exchange_strong(none, s, std::memory_order_release, std::memory_order_relaxed))
          return;
      }
    }
    tear_down(s);
  }
  [[nodiscard]] segment* new_ring(std::size_t places) {
    if (places == largest_) {
      for (atomic<segment*>& shelf : spares_) {
        if (shelf.load(std::memory_order_relaxed) == nullptr) continue;
        if (segment* const s = shelf.exchange(nullptr, std::memory_order_acquire)) return s;
      }
    }
    return build(places);
  }

  [[nodiscard]] segment* build(std::size_t places) {
    typename segments::allocator_type from(allocator_);
    struct memory {
      typename segments::allocator_type& from;
      typename segments::pointer p;
      ~memory() {
        if (p != nullptr) segments::deallocate(from, p, 1);
      }
    } room{from, segments::allocate(from, 1)};
    auto* const s = ::new (static_cast<void*>(std::to_address(room.p))) segment(places, allocator_);
    room.p = nullptr;
    const std::size_t now = places_.fetch_add(places, std::memory_order_relaxed) + places;
    std::size_t most = high_water_.load(std::memory_order_relaxed);
    while (most < now && !high_water_.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
    }
    return s;
  }
  void tear_down(segment* s) noexcept {
    places_.fetch_sub(s->values.capacity(), std::memory_order_relaxed);
    std::destroy_at(s);
    typename segments::allocator_type from(allocator_);
    segments::deallocate(from, std::pointer_traits<typename segments::pointer>::pointer_to(*s), 1);
  }

  // read only
  MILLRACE_NO_UNIQUE_ADDRESS allocator allocator_;
  const std::size_t largest_;
  // read by all, seldom written
  alignas(hot_separation) atomic<segment*> tail_{nullptr};
  atomic<segment*> head_{nullptr};
  atomic<segment*> retired_{nullptr};
  std::array<atomic<segment*>, 2> spares_{};
  atomic<std::size_t> places_{0};
  atomic<std::size_t> high_water_{0};
};

}  // namespace v0
}  // namespace millrace
