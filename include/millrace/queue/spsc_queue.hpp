// millrace/queue/spsc_queue.hpp - a bounded FIFO for one producer and one consumer, wait-free.
//
// Use it when : exactly one thread pushes and exactly one thread pops.
// Use instead : `mpmc_queue` as soon as a second one may do either; `channel<T, spsc_queue<T>>` if somebody should
//               wait for a value or for room, or the stream has an end.
// Threads     : the push verbs from one thread at a time, the pop verbs (try_pop, front, pop, readable) from one
//               thread at a time, both at once; the observers from any.
// Order       : FIFO. What was written before a push is visible after the pop of its value, and what was done
//               with a value before its place was given back is visible to the push that takes the place.
// Progress    : wait-free; no read-modify-write at all.
// Errors      : try_push answers false when the queue is full, and its argument still holds its value. try_pop
//               answers false when it is empty. `pop` of more than there is: std::out_of_range.
// Exceptions  : std::length_error for a capacity outside 1 .. 2^31, and what the allocator throws, from the
//               constructor. A copy or move that throws in a push leaves the queue as it was; one that throws in
//               a pop loses the element being moved, and no other.
// Memory      : one allocation at construction, sizeof(T) a place, contiguous. Capacity is rounded up to a power of
//               two, at least 2.
// Cost        : a store and, as long as the other side's last known index allows, no look at its cache line.
// Source      : L. Lamport, Specifying Concurrent Program Modules, TOPLAS 1983 (the ring); P. P. C. Lee, T. Bu,
//               G. Chandranmenon, A Lock-Free, Cache-Efficient Multi-Core Synchronization Mechanism for Line-Rate
//               Network Traffic Monitoring, IPDPS 2010 (the cached index of the other side).
// Checked by  : tests/queue/spsc_queue_test.cpp, tests/queue/histories_test.cpp, tests/models/ring_models.cpp
//
// Example:
//   millrace::spsc_queue<sample> q(4096);
//   while (!q.try_push(next)) {}                              // producer
//   auto batch = q.readable();                                // consumer: all that is there, in place
//   write(fd, batch.data(), batch.size_bytes());
//   q.pop(batch.size());
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/arguments.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel_access.hpp"
#include "millrace/queue/detail/cells.hpp"
#include "millrace/queue/options.hpp"

namespace millrace {
inline namespace v0 {

template <class T, class... Options>
class mpmc_queue;

template <class T, class... Options>
class spsc_queue {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "spsc_queue: T must be an object");
  static_assert(std::is_nothrow_destructible_v<T>, "spsc_queue: T's destructor must not throw");

  using options = detail::queue_options<T, Options...>;
  using sync = typename options::sync;
  struct cell {
    explicit cell(std::uint64_t) noexcept {}
    alignas(T) std::byte storage[sizeof(T)];
  };
  using cells = detail::cells<cell, typename options::allocator>;

 public:
  using value_type = T;
  using allocator_type = typename options::allocator;
  using sync_type = sync;
  static constexpr bool is_bounded = true;
  static constexpr bool many_producers = false;
  static constexpr bool many_consumers = false;
  using with_many_consumers = mpmc_queue<T, Options...>;
  static constexpr bool is_lock_free = std::atomic<std::uint64_t>::is_always_lock_free;

  /// Room for `capacity` values, 1 .. 2^31, rounded up to a power of two and to at least 2.
  explicit spsc_queue(std::size_t capacity) : spsc_queue(capacity, allocator_type()) {}
  spsc_queue(std::size_t capacity, const allocator_type& allocator)
      : cells_(detail::rounded_capacity(capacity, "spsc_queue: capacity must be 1 to 2147483648 (2^31)"),
               allocator, [](std::uint64_t i, std::uint64_t) noexcept { return i; }),
        data_(cells_.data()),
        mask_(cells_.size() - 1) {}

  spsc_queue(const spsc_queue&) = delete;
  spsc_queue& operator=(const spsc_queue&) = delete;

  /// Destroys what is left. Every other call must have returned.
  ~spsc_queue() {
    const std::uint64_t end = open(tail_.load(std::memory_order_relaxed));
    for (std::uint64_t h = head_.load(std::memory_order_relaxed); h != end; h += one) at(h)->~T();
  }

  /// False: full, and `value` still holds its value.
  [[nodiscard]] bool try_push(T&& value) { return try_emplace(std::move(value)); }
  [[nodiscard]] bool try_push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return try_emplace(value);
  }
  /// Constructs the value in its place. False: full, and `args` hold their values.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  [[nodiscard]] bool try_emplace(Args&&... args) {
    const std::uint64_t t = tail_.load(std::memory_order_relaxed);  // relaxed: ours alone
    if (!has_room(t)) return false;
    ::new (place(t)) T(std::forward<Args>(args)...);
    tail_.store(t + one, std::memory_order_release);  // (1) release; pairs with (2)
    fetch_next_line(t);
    return true;
  }

  /// Pushes `*first`, `*++first`, ..., n at the most, until the queue is full; returns how many. All of them
  /// become visible at once. Moves from a move_iterator, copies otherwise. If a copy throws, those before it have
  /// been pushed.
  template <class It>
  [[nodiscard]] std::size_t try_push_n(It first, std::size_t n) {
    const std::uint64_t t = tail_.load(std::memory_order_relaxed);
    struct publishing {
      spsc_queue& q;
      std::uint64_t from;
      std::uint64_t to;
      ~publishing() {
        if (to != from) q.tail_.store(to, std::memory_order_release);  // (1) as above
      }
    } end{*this, t, t};
    std::size_t done = 0;
    for (; done < n && has_room(end.to); ++done) {
      ::new (place(end.to)) T(*first);
      ++first;
      end.to += one;
    }
    return done;
  }

  /// False: empty, and `out` is untouched.
  [[nodiscard]] bool try_pop(T& out)
    requires std::is_move_assignable_v<T>
  {
    T* const value = front();
    if (value == nullptr) return false;
    const popping at_the_end{*this, 1};
    out = std::move(*value);
    return true;
  }
  /// Nothing: empty.
  [[nodiscard]] std::optional<T> try_pop() {
    std::optional<T> out;
    if (T* value = front(); value != nullptr) {
      const popping at_the_end{*this, 1};
      out.emplace(std::move(*value));
    }
    return out;
  }
  /// Pops into `*out++`, `max` at the most, until the queue is empty; returns how many. Their places become free
  /// together.
  template <class Out>
  [[nodiscard]] std::size_t try_pop_n(Out out, std::size_t max) {
    const std::uint64_t from = head_.load(std::memory_order_relaxed);  // relaxed: ours alone
    popping done{*this, 0};
    for (; done.n < max && has_value(from + done.n * one); ++out)
      *out = std::move(*at(from + done.n++ * one));
    return done.n;
  }

  /// The oldest value, in place; nullptr: empty. It stays there until `pop`.
  [[nodiscard]] T* front() noexcept {
    const std::uint64_t h = head_.load(std::memory_order_relaxed);
    return has_value(h) ? at(h) : nullptr;
  }
  /// The oldest values, in place, as many as lie together: all of them, or those up to the end of the ring.
  [[nodiscard]] std::span<T> readable() noexcept {
    const std::uint64_t h = head_.load(std::memory_order_relaxed);
    known_tail_ = open(tail_.load(std::memory_order_acquire));  // (2)
    const std::uint64_t there = (known_tail_ - h) / one;
    const std::uint64_t to_end = cells_.size() - (h / one & mask_);
    return {at(h), static_cast<std::size_t>(there < to_end ? there : to_end)};
  }
  /// Destroys the `n` oldest values and frees their places. std::out_of_range if there are fewer.
  void pop(std::size_t n = 1) {
    const std::uint64_t h = head_.load(std::memory_order_relaxed);
    if ((known_tail_ - h) / one < n) {
      known_tail_ = open(tail_.load(std::memory_order_acquire));  // (2)
      if ((known_tail_ - h) / one < n) {
        detail::fail<std::out_of_range>("spsc_queue::pop: n must be 0 to the number of values in the queue");
      }
    }
    const popping all{*this, n};
  }

  /// How many values there are, roughly: 0 .. capacity(), out of date as soon as it is read.
  [[nodiscard]] std::size_t size_approx() const noexcept {
    const std::uint64_t h = head_.load(std::memory_order_acquire);
    const std::uint64_t size = (tail_.load(std::memory_order_acquire) - h) / one;
    return static_cast<std::size_t>(size < cells_.size() ? size : cells_.size());
  }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return cells_.size(); }

 private:
  friend channel_access;

  // tail_: [ position : 63 | closed : 1 ], and all other positions in the same units, so that they wrap alike
  static constexpr std::uint64_t closed_bit = 1;
  static constexpr std::uint64_t one = 2;
  static constexpr std::uint64_t start = options::first_position * one;
  [[nodiscard]] static std::uint64_t open(std::uint64_t tail) noexcept { return tail & ~closed_bit; }

  /// Destroys n values and gives their places back, also on the way out of a move that throws.
  struct popping {
    spsc_queue& q;
    std::uint64_t n;
    ~popping() {
      if (n == 0) return;
      const std::uint64_t h = q.head_.load(std::memory_order_relaxed);
      for (std::uint64_t i = 0; i < n; ++i) q.at(h + i * one)->~T();
      q.head_.store(h + n * one, std::memory_order_release);  // (3) release; pairs with (4)
    }
  };

  [[nodiscard]] void* place(std::uint64_t p) noexcept { return data_[p / one & mask_].storage; }
  [[nodiscard]] T* at(std::uint64_t p) noexcept {
    return std::launder(reinterpret_cast<T*>(data_[p / one & mask_].storage));
  }

  // why: the consumer has read the line that comes next, one lap ago, and the first store to it would have to wait
  // for it. Asked for a line ahead, or two values of more than a line, it is here by then.
  void fetch_next_line(std::uint64_t t) noexcept {
    constexpr std::uint64_t ahead = sizeof(T) < cache_line_size ? cache_line_size / sizeof(T) : 2;
    if (t / one % ahead != 0 && sizeof(T) < cache_line_size) return;
    const auto* const bytes = data_[(t / one + ahead) & mask_].storage;
    constexpr std::size_t most = 4 * cache_line_size;
    for (std::size_t i = 0; i < (sizeof(T) < most ? sizeof(T) : most); i += cache_line_size) {
      sync::prefetch_to_write(bytes + i);
    }
  }

  [[nodiscard]] bool has_room(std::uint64_t t) noexcept {
    if ((t - known_head_) / one <= mask_) return true;
    known_head_ = head_.load(std::memory_order_acquire);  // (4) acquire; pairs with (3)
    return (t - known_head_) / one <= mask_;
  }
  [[nodiscard]] bool has_value(std::uint64_t h) noexcept {
    if (h != known_tail_) return true;
    known_tail_ = open(tail_.load(std::memory_order_acquire));  // (2) acquire; pairs with (1), (5)
    return h != known_tail_;
  }

  // For a channel: as try_emplace and try_pop, but each ends in a read-modify-write. That of the producer fails
  // if the stream has been closed since it looked, so nothing enters behind the end.
  template <class... Args>
  outcome offer(Args&&... args) {
    using arguments = detail::arguments<T, Args...>;
    static_assert(arguments::one_rvalue || arguments::spared,
                  "spsc_queue: the arguments could not be given back");
    std::uint64_t t = tail_.load(std::memory_order_relaxed);
    if ((t & closed_bit) != 0) return outcome::closed;
    if (!has_room(t)) return outcome::full;
    ::new (place(t)) T(std::forward<Args>(args)...);
    if (tail_.compare_exchange_strong(t, t + one, std::memory_order_release,
                                      std::memory_order_relaxed)) {  // (5)
      return outcome::ok;
    }
    arguments::give_back(std::move(*at(t)), args...);
    at(t)->~T();
    return outcome::closed;
  }
  template <class Receive>
  outcome take(Receive&& receive) {
    const std::uint64_t h = head_.load(std::memory_order_relaxed);
    if (h == known_tail_) {
      const std::uint64_t t = tail_.load(std::memory_order_acquire);  // (2)
      known_tail_ = open(t);
      if (h == known_tail_) return (t & closed_bit) != 0 ? outcome::closed : outcome::empty;
    }
    struct leaving {
      spsc_queue& q;
      std::uint64_t h;
      ~leaving() {
        q.at(h)->~T();
        q.head_.exchange(h + one, std::memory_order_acq_rel);  // (3)
      }
    } const at_the_end{*this, h};
    receive(std::move(*at(h)));
    return outcome::ok;
  }
  void close() noexcept { tail_.fetch_or(closed_bit, std::memory_order_relaxed); }

  cells cells_;
  cell* const data_;
  const std::uint64_t mask_;
  alignas(hot_separation) typename sync::template atomic<std::uint64_t> tail_{start};  // the producer's line
  std::uint64_t known_head_ = start;
  alignas(hot_separation) typename sync::template atomic<std::uint64_t> head_{start};  // the consumer's line
  std::uint64_t known_tail_ = start;
};

}  // namespace v0
}  // namespace millrace
