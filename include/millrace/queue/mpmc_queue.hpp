// millrace/queue/mpmc_queue.hpp - a bounded FIFO for any number of producers and consumers, lock-free in earnest.
//
// Use it when : threads hand each other values through a buffer of fixed size, and none of them may ever be held
//               up by another one that the scheduler has stopped: in real-time threads, under oversubscription,
//               with priorities.
// Use instead : `channel` if somebody should wait for a value or for room, or the stream has an end;
//               `spsc_queue` for exactly one producer and one consumer, which is several times faster.
// Threads     : any number may call any function at any time, but for construction and destruction.
// Order       : linearizable; strict FIFO, also across producers. What was written before a push is visible
//               after the pop that returns its value.
// Progress    : lock-free for every T: a thread suspended at any instruction, inside T's constructor or move
//               too, holds up nobody. A T stored in place costs one place until its suspended thread goes on.
//               One exception: try_emplace from parts that it cannot give back (see there).
// Errors      : try_push answers false when the queue was full at an instant inside the call, and its argument
//               still holds its value. try_pop answers false when the queue was empty at an instant inside the
//               call. Nothing fails spuriously. Full means that `capacity()` places were held: by values, and
//               for a T stored in place also by operations in flight and by places given up for a suspended
//               thread that no pop has passed yet.
// Exceptions  : std::length_error for a capacity outside 1 .. 2^31, and what the allocator throws, from the
//               constructor only. A copy or constructor that throws in a push leaves the queue as it was. So does
//               a move that throws, but its place is free again only once the pops have passed it. One that throws
//               in a pop loses the element being moved, and no other.
// Memory      : one allocation at construction: 16 bytes a place for words (below), otherwise sizeof(T) + 8,
//               rounded up to alignof(T). Capacity is rounded up to a power of two, at least 2.
// Cost        : for words one double-width compare-and-swap a verb; otherwise two compare-and-swaps of 8 bytes.
//               Words are trivially copyable types of at most 8 bytes, std::unique_ptr, and what
//               word_traits.hpp is told of. The figures are in benchmarks/README.md.
// Source      : see detail/word_ring.hpp and detail/slot_ring.hpp.
// Checked by  : tests/queue/mpmc_queue_test.cpp, tests/queue/histories_test.cpp (linearizability),
//               tests/queue/stalls_test.cpp (lock-freedom), tests/models/ring_models.cpp (all interleavings).
//
// Example:
//   millrace::mpmc_queue<std::unique_ptr<job>> q(1024);
//   if (!q.try_push(std::move(j))) j->run();         // full: `j` is still ours
//   while (auto j = q.try_pop()) (*j)->run();
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/arguments.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel_access.hpp"
#include "millrace/queue/detail/cells.hpp"
#include "millrace/queue/detail/slot_ring.hpp"
#include "millrace/queue/detail/word_ring.hpp"
#include "millrace/queue/options.hpp"
#include "millrace/queue/word_traits.hpp"

namespace millrace {
inline namespace v0 {

namespace detail {

/// T travels as a word, and the seam can exchange two of them.
template <class T, class Sync>
concept travels_as_word = word_like<T> && requires { typename Sync::atomic_pair; };

template <bool AsWord, class T, class Options>
struct ring_for {
  using type = word_ring<typename Options::sync, typename Options::backoff>;
};
template <class T, class Options>
struct ring_for<false, T, Options> {
  using type = slot_ring<T, typename Options::sync, typename Options::backoff, Options::patience>;
};

}  // namespace detail

template <class T, class... Options>
class mpmc_queue {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "mpmc_queue: T must be an object");
  static_assert(std::is_move_constructible_v<T>, "mpmc_queue: T must be movable");
  static_assert(std::is_nothrow_destructible_v<T>, "mpmc_queue: T's destructor must not throw");

  using options = detail::queue_options<T, Options...>;
  using sync = typename options::sync;

  static constexpr bool as_word = detail::travels_as_word<T, sync>;
  using ring = typename detail::ring_for<as_word, T, options>::type;
  using cells = detail::cells<typename ring::cell, typename options::allocator>;

 public:
  using value_type = T;
  using allocator_type = typename options::allocator;
  using sync_type = sync;
  static constexpr bool is_bounded = true;
  static constexpr bool many_producers = true;
  static constexpr bool many_consumers = true;
  static constexpr bool is_lock_free = std::atomic<std::uint64_t>::is_always_lock_free;

  /// Room for `capacity` values, 1 .. 2^31, rounded up to a power of two and to at least 2.
  explicit mpmc_queue(std::size_t capacity) : mpmc_queue(capacity, allocator_type()) {}
  mpmc_queue(std::size_t capacity, const allocator_type& allocator)
      : cells_(detail::rounded_capacity(capacity, "mpmc_queue: capacity must be 1 to 2147483648 (2^31)"),
               allocator, &initial),
        ring_(cells_.data(), cells_.size(), options::first_position) {}

  mpmc_queue(const mpmc_queue&) = delete;
  mpmc_queue& operator=(const mpmc_queue&) = delete;

  /// Destroys what is left. Every other call must have returned.
  ~mpmc_queue() { drain(); }

  /// False: full, and `value` still holds its value. If T's move throws, what is left of `value` is up to T.
  [[nodiscard]] bool try_push(T&& value) { return offer(std::move(value)) == outcome::ok; }
  [[nodiscard]] bool try_push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return offer(value) == outcome::ok;
  }

  /// Constructs the value in its place, or, if that may throw and the move may not, before a place is claimed for
  /// it. False: full, and `args` hold their values. Only parts that are lvalues,
  /// or of trivially copyable type, or one T can be left alone or given back by a push that lost its place (its
  /// thread was suspended in the constructor) and then met a full queue; with other parts it waits there for
  /// room. A T that travels as a word is built before its place is known, and so takes no other parts at all.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  [[nodiscard]] bool try_emplace(Args&&... args) {
    return offer(std::forward<Args>(args)...) == outcome::ok;
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

  /// Pushes `*first`, `*++first`, ..., n at the most, until the queue is full; returns how many. Each is a push of
  /// its own: those of other threads may come between. Moves from a move_iterator, copies otherwise. If a copy
  /// throws, those before it have been pushed.
  template <class It>
  [[nodiscard]] std::size_t try_push_n(It first, std::size_t n) {
    std::uint64_t p = ring_.tail();
    std::size_t done = 0;
    for (; done < n && offer_at(p, *first) == outcome::ok; ++done) ++first;
    ring_.settle_tail(p);
    return done;
  }

  /// Pops into `*out++`, `max` at the most, until the queue is empty; returns how many.
  template <class Out>
  [[nodiscard]] std::size_t try_pop_n(Out out, std::size_t max) {
    std::uint64_t h = ring_.head();
    std::size_t done = 0;
    while (done < max && take_at(h, [&](T&& value) { *out = std::move(value); }) == outcome::ok) {
      ++out;
      ++done;
    }
    ring_.settle_head(h);
    return done;
  }

  /// How many values there are, roughly: 0 .. capacity(), out of date as soon as it is read. After threads have raced
  /// it may be off even when all is quiet, until the next push and the next pop.
  [[nodiscard]] std::size_t size_approx() const noexcept {
    const std::uint64_t head = ring_.head();
    const auto size = static_cast<std::int64_t>(ring_.tail() - head);
    if (size <= 0) return 0;
    return static_cast<std::uint64_t>(size) < capacity() ? static_cast<std::size_t>(size) : capacity();
  }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return cells_.size(); }

 private:
  friend channel_access;

  template <class... Args>
  MILLRACE_INLINE outcome offer(Args&&... args) {
    std::uint64_t p = ring_.tail();
    const outcome result = offer_at(p, std::forward<Args>(args)...);
    ring_.settle_tail(p);
    return result;
  }

  template <class... Args>
  MILLRACE_INLINE outcome offer_at(std::uint64_t& p, Args&&... args) {
    using arguments = detail::arguments<T, Args...>;
    if constexpr (as_word) {
      if constexpr (arguments::one_rvalue || (arguments::one_value && std::is_trivially_copyable_v<T>)) {
        return offer_word(p, args...);
      } else {
        static_assert(
            arguments::one_value || (std::is_trivially_copyable_v<T> && arguments::spared),
            "mpmc_queue: a refused push could not give these arguments back; construct the T and push it");
        T value(std::forward<Args>(args)...);
        return offer_word(p, value);
      }
    } else if constexpr (!std::is_nothrow_constructible_v<T, Args...> && arguments::spared &&
                         std::is_nothrow_move_constructible_v<T>) {
      // What may throw is done before a place is claimed, so that nothing has to be given up if it does.
      if (ring_.look(p) == outcome::full) return outcome::full;
      return offer_at(p, T(std::forward<Args>(args)...));
    } else {
      return ring_.push(
          p, [&](void* place) { ::new (place) T(std::forward<Args>(args)...); },
          arguments::giving_back(args...));
    }
  }

  MILLRACE_INLINE outcome offer_word(std::uint64_t& p, const T& value) noexcept {
    const outcome result = ring_.push(p, word_traits<T>::peek(value));
    // why: the word in the queue owns what `value` owned, and `value` is one that was given away by the caller,
    // or a copy of our own, or of a type for which release does nothing.
    if (result == outcome::ok) word_traits<T>::release(const_cast<T&>(value));
    return result;
  }

  template <class Take>
  MILLRACE_INLINE outcome take(Take&& receive) {
    std::uint64_t h = ring_.head();
    // A `receive` that throws leaves the hint behind, which the next pop makes good.
    const outcome result = take_at(h, receive);
    ring_.settle_head(h);
    return result;
  }

  template <class Take>
  MILLRACE_INLINE outcome take_at(std::uint64_t& h, Take&& receive) {
    if constexpr (as_word) {
      std::uint64_t word;
      const outcome result = ring_.pop(h, word);
      if (result == outcome::ok) receive(word_traits<T>::adopt(word));
      return result;
    } else {
      return ring_.pop(h, receive);
    }
  }

  void close() noexcept { ring_.close(); }

  /// As it was when it was new. Nobody else may look.
  void reopen() noexcept {
    drain();
    cells_.rebuild(&initial);
    std::destroy_at(&ring_);
    std::construct_at(&ring_, cells_.data(), cells_.size(), options::first_position);
  }

  static auto initial(std::uint64_t i, std::uint64_t n) noexcept {
    return ring::initial(i, n, options::first_position);
  }

  // Cells of words do not know what to destroy; others do it themselves.
  void drain() noexcept {
    if constexpr (as_word && !std::is_trivially_destructible_v<T>) {
      while (take([](T&&) noexcept {}) == outcome::ok) {
      }
    }
  }

  cells cells_;
  ring ring_;
};

}  // namespace v0
}  // namespace millrace
