// millrace/queue/mpsc_queue.hpp - an unbounded FIFO for many producers and one consumer, small while it is empty.
//
// Use it when : there are many queues, each with one reader, and most are empty most of the time: mailboxes, per-thread
//               work, results that come home. Or a push must be done in a fixed number of steps.
// Use instead : `unbounded_queue` for a few busy queues: it allocates per ring and not per value, and any thread may
//               pop. `intrusive_mpsc_queue` if the values live somewhere already. A bounded `channel` wherever a limit
//               is to be had.
// Threads     : the push verbs and the observers from any number of threads, the pop verbs from one thread at a time.
// Order       : linearizable; strict FIFO, also across producers. What was written before a push is visible
//               after the pop that returns its value.
// Progress    : push is wait-free but for the allocation: two exchanges and a count. A pop waits for one thing: a
//               producer that is suspended between its two exchanges, once everything in front of the gap has been
//               popped. It spins for a moment, then sleeps until that producer goes on; so try_pop can wait, and so can
//               pop_for and try_pop of a channel, past their limit. Under a channel a push is lock-free: it repeats
//               a compare-and-swap that another push won.
// Errors      : a push does not fail. try_pop answers false when the queue was empty at an instant inside the call.
// Exceptions  : what the allocator or T's constructor throws from a push, with nothing lost and the queue as it was. A
//               move that throws in a pop loses the element being moved, and no other.
// Memory      : 256 bytes, and one allocation a value: sizeof(T) and a pointer. It is freed by the pop after the one that
//               took the value. The allocator is called by all threads at once.
// Cost        : the allocation, three read-modify-writes of which two are on one line; a pop is a load and a free.
// Source      : D. Vyukov, Intrusive MPSC node-based queue, 2010; waiting and closing are ours, see detail/mpsc_list.hpp.
// Checked by  : tests/queue/mpsc_queue_test.cpp, tests/queue/histories_test.cpp (linearizability),
//               tests/queue/stalls_test.cpp (a stopped producer), tests/models/mpsc_models.cpp (all interleavings).
//
// Example:
//   millrace::mpsc_queue<std::function<void()>> mailbox;
//   mailbox.push([&] { refresh(view); });            // any thread
//   while (auto task = mailbox.try_pop()) (*task)();  // the owner
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
#include "millrace/queue/detail/mpsc_list.hpp"
#include "millrace/queue/options.hpp"

namespace millrace {
inline namespace v0 {

template <class T, class... Options>
class mpsc_queue {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "mpsc_queue: T must be an object");
  static_assert(std::is_move_constructible_v<T>, "mpsc_queue: T must be movable");
  static_assert(std::is_nothrow_destructible_v<T>, "mpsc_queue: T's destructor must not throw");

  using options = detail::queue_options<T, Options...>;
  using sync = typename options::sync;
  using list = detail::mpsc_list<sync, typename options::backoff, options::patience>;
  using hook = typename list::node;

 public:
  using value_type = T;
  using allocator_type = typename options::allocator;
  using sync_type = sync;
  static constexpr bool many_producers = true;
  static constexpr bool many_consumers = false;
  static constexpr bool is_bounded = false;

  mpsc_queue() : mpsc_queue(allocator_type()) {}
  explicit mpsc_queue(const allocator_type& from) : allocator_(from) {}
  mpsc_queue(const mpsc_queue&) = delete;
  mpsc_queue& operator=(const mpsc_queue&) = delete;

  /// Destroys what is left. Every other call must have returned.
  ~mpsc_queue() {
    while (take([](T&&) noexcept {}) == outcome::ok) {
    }
    free_taken();
  }

  void push(T&& value) { emplace(std::move(value)); }
  void push(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    emplace(value);
  }
  /// Constructs the value in its place.
  template <class... Args>
    requires std::is_constructible_v<T, Args...>
  void emplace(Args&&... args) {
    node& n = make(std::forward<Args>(args)...);
    count(1);
    list_.append(n, n);
  }
  /// Pushes `*first`, `*++first`, ..., n, in one piece: nobody else's come between, and all become visible at once.
  /// Moves from a move_iterator, copies otherwise. If a copy or an allocation throws, those before it have been pushed.
  template <class It>
  void push_n(It first, std::size_t n) {
    struct piece {
      mpsc_queue& q;
      node* from = nullptr;
      node* to = nullptr;
      std::size_t size = 0;
      ~piece() {
        if (size == 0) return;
        q.count(size);
        q.list_.append(*from, *to);
      }
    } all{*this};
    for (; all.size < n; ++first) {
      node& one = make(*first);
      all.size++ == 0 ? static_cast<void>(all.from = &one) : list::chain(*all.to, one);
      all.to = &one;
    }
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

  /// How many values there are, roughly, those of pushes under way included; out of date as soon as it is read.
  [[nodiscard]] std::size_t size_approx() const noexcept {
    const std::uint64_t out = popped_.load(std::memory_order_relaxed);
    const auto size = static_cast<std::int64_t>(pushed_.load(std::memory_order_relaxed) - out);
    return size > 0 ? static_cast<std::size_t>(size) : 0;
  }
  [[nodiscard]] bool empty_approx() const noexcept { return size_approx() == 0; }

 private:
  friend channel_access;

  // A node outlives its value: it stays until the consumer holds the next one, because that is where the next one will
  // be linked.
  struct node : hook {
    template <class... Args>
    explicit node(std::in_place_t, Args&&... args) : value(std::forward<Args>(args)...) {}
    node(const node&) = delete;
    node& operator=(const node&) = delete;
    ~node() {}
    union {
      T value;
    };
  };
  using nodes = typename std::allocator_traits<allocator_type>::template rebind_traits<node>;

  // For a channel: nothing enters behind the end.
  template <class... Args>
  outcome offer(Args&&... args) {
    using arguments = detail::arguments<T, Args...>;
    static_assert(arguments::one_rvalue || arguments::spared,
                  "mpsc_queue: the arguments could not be given back");
    if (list_.is_closed()) return outcome::closed;
    struct refusal {
      mpsc_queue& q;
      node* n;
      ~refusal() {
        if (n == nullptr) return;
        n->value.~T();
        q.discard(*n);
      }
    } unless_in{*this, &make(std::forward<Args>(args)...)};
    count(1);
    if (list_.append_unless_closed(*unless_in.n)) {
      unless_in.n = nullptr;
      return outcome::ok;
    }
    pushed_.fetch_sub(1, std::memory_order_relaxed);
    arguments::give_back(std::move(unless_in.n->value), args...);
    return outcome::closed;
  }

  template <class Receive>
  outcome take(Receive&& receive) {
    hook* next = list::after(*taken_);
    if (next == nullptr) {
      const outcome end = list_.end_at(*taken_);
      if (end != outcome::ok) return end;
      next = &list_.await(*taken_);
    }
    struct leaving {
      mpsc_queue& q;
      node& n;
      ~leaving() {
        n.value.~T();
        q.free_taken();
        q.taken_ = &n;
        q.popped_.store(q.popped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      }
    } const at_the_end{*this, static_cast<node&>(*next)};
    receive(std::move(at_the_end.n.value));
    return outcome::ok;
  }

  void close() noexcept { list_.close(); }

  // why before the append: with it the consumer may take the value, and destroy the queue
  void count(std::size_t n) noexcept { pushed_.fetch_add(n, std::memory_order_relaxed); }

  template <class... Args>
  [[nodiscard]] node& make(Args&&... args) {
    typename nodes::allocator_type from(allocator_);
    struct memory {
      typename nodes::allocator_type& from;
      typename nodes::pointer p;
      ~memory() {
        if (p != nullptr) nodes::deallocate(from, p, 1);
      }
    } room{from, nodes::allocate(from, 1)};
    node* const n =
        ::new (static_cast<void*>(std::to_address(room.p))) node(std::in_place, std::forward<Args>(args)...);
    room.p = nullptr;
    return *n;
  }
  void discard(node& n) noexcept {
    std::destroy_at(&n);
    typename nodes::allocator_type from(allocator_);
    nodes::deallocate(from, std::pointer_traits<typename nodes::pointer>::pointer_to(n), 1);
  }
  void free_taken() noexcept {
    if (taken_ != &own_) discard(static_cast<node&>(*taken_));
  }

  // read only
  MILLRACE_NO_UNIQUE_ADDRESS allocator_type allocator_;
  // the producers' line
  alignas(hot_separation) list list_{own_};
  typename sync::template atomic<std::uint64_t> pushed_{0};
  // the consumer's
  alignas(hot_separation) hook own_;  // the first to be held
  hook* taken_ = &own_;               // its value, if it had one, has been taken
  typename sync::template atomic<std::uint64_t> popped_{0};
};

}  // namespace v0
}  // namespace millrace
