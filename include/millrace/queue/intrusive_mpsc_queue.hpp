// millrace/queue/intrusive_mpsc_queue.hpp - a FIFO of the user's own nodes, many producers, one consumer.
//
// Use it when : what is queued lives somewhere already (timers, requests, coroutine frames), and a push must neither
//               allocate nor fail nor loop.
// Use instead : `mpsc_queue` if the values have no home of their own; `unbounded_queue` as soon as a second thread pops.
// Threads     : push from any number of threads; poll and try_pop from one thread at a time.
// Order       : linearizable; strict FIFO, also across producers. What was written before a push is visible after the
//               pop that returns its node.
// Progress    : push is wait-free: two exchanges. poll is wait-free. try_pop waits for one thing: a producer that is
//               suspended between its two steps, while everything in front of the gap is popped but for one node.
//               It spins for a moment, then sleeps until that producer goes on, and then goes on with it.
// Errors      : a push does not fail. try_pop answers nullptr only if the queue was empty at an instant inside the
//               call; poll says whether it was that or such a gap. To push a node that is in a queue is a contract
//               violation.
// Exceptions  : none.
// Memory      : a pointer in every node, and 256 bytes for the queue; it allocates nothing. Nodes are the user's: one
//               that has been popped may be freed or pushed again at once, by any thread; those still in when the queue
//               is destroyed are left alone. So may the queue be destroyed by who popped the last node, while the
//               push of it is still returning.
// Cost        : two exchanges a push; a pop is two loads, and two exchanges more whenever it takes the last node.
// Source      : D. Vyukov, Intrusive MPSC node-based queue, 2010; the waiting is ours, see detail/mpsc_list.hpp.
// Checked by  : tests/queue/intrusive_mpsc_queue_test.cpp, tests/models/mpsc_models.cpp (all interleavings).
//
// Example:
//   struct request : millrace::mpsc_hook { int id; };
//   millrace::intrusive_mpsc_queue<request> inbox;
//   inbox.push(r);                                   // any thread; `r` must live until it is popped
//   while (request* next = inbox.try_pop()) serve(*next);
#pragma once

#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/queue/detail/mpsc_list.hpp"
#include "millrace/queue/options.hpp"

namespace millrace {
inline namespace v0 {

/// A node derives from it, publicly and not virtually, and is in one queue at a time.
using mpsc_hook = basic_mpsc_hook<std_sync>;

/// Options: use_patience (pauses before a pop sleeps at a gap), use_sync (and nodes of basic_mpsc_hook<Sync> then).
template <class Node, class... Options>
class intrusive_mpsc_queue {
  using options = detail::queue_options<void*, Options...>;
  using list = detail::mpsc_list<typename options::sync, typename options::backoff, options::patience>;

 public:
  using value_type = Node;
  using sync_type = typename options::sync;
  using hook_type = basic_mpsc_hook<sync_type>;
  static constexpr bool many_producers = true;
  static constexpr bool many_consumers = false;
  static constexpr bool is_bounded = false;

  intrusive_mpsc_queue() noexcept = default;
  intrusive_mpsc_queue(const intrusive_mpsc_queue&) = delete;
  intrusive_mpsc_queue& operator=(const intrusive_mpsc_queue&) = delete;

  /// The queue's until it is popped.
  void push(Node& node) noexcept {
    static_assert(std::is_base_of_v<hook_type, Node>,
                  "intrusive_mpsc_queue: Node must derive from mpsc_hook");
    list_.append(node, node);
  }

  /// Waits at a gap. nullptr: empty.
  [[nodiscard]] Node* try_pop() noexcept {
    for (;;) {
      const polled found = poll();
      if (!found.busy) return found.node;
      static_cast<void>(list_.await(*first_));
    }
  }

  struct polled {
    Node* node;
    bool busy;  // no node, yet not empty: a producer is between its two steps, or was a moment ago
  };
  /// Never waits.
  [[nodiscard]] polled poll() noexcept {
    hook_type* next = list::after(*first_);
    if (first_ == &own_) {
      if (next == nullptr) return {nullptr, list_.end_at(own_) == outcome::ok};
      first_ = next;
      next = list::after(*first_);
    }
    if (next == nullptr) {
      // The last node cannot leave before another one stands behind it.
      if (list_.end_at(*first_) == outcome::ok) return {nullptr, true};
      list_.append(own_, own_);
      next = list::after(*first_);
      if (next == nullptr) return {nullptr, true};
    }
    return {static_cast<Node*>(std::exchange(first_, next)), false};
  }

 private:
  alignas(hot_separation) list list_{own_};  // the producers' line
  alignas(
      hot_separation) hook_type own_;  // the consumer's; in the list unless a node of the user is the last
  hook_type* first_ = &own_;           // not popped yet, unless it is own_
};

}  // namespace v0
}  // namespace millrace
