// millrace/queue/channel_access.hpp - what a channel needs of a queue beyond its public verbs.
//
// Use it when : you write a queue that is to go into a `channel`, or something that waits as a channel does.
// Use instead : `channel` itself, or the verbs of a queue.
// Threads     : as the queue's.
// Order       : as the queue's. What a call does for others to see must be a read-modify-write: the event counts rest on its
//               being a full barrier (see sync.hpp, fence_after_rmw). A hint stored after it does no harm.
// Progress    : as the queue's.
// Errors      : ok, full or closed from offer, ok, empty or closed from take: an end of the stream that is exact.
// Exceptions  : as the queue's.
// Memory      : none.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/queue/channel_access_test.cpp, tests/models/ring_models.cpp
//
// Example:
//   class my_queue {                          // beside value_type, sync_type and the other names of a queue
//     friend millrace::channel_access;
//     template <class... Args> outcome offer(Args&&... args);            // as try_emplace otherwise
//     template <class Receive> outcome take(Receive receive);            // receive(T&&) gets the value
//     void close() noexcept;                    // after it no offer succeeds that has not already; idempotent
//   };
#pragma once

#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {

/// A friend of every queue.
struct channel_access {
  template <class Queue, class... Args>
  static outcome offer(Queue& queue, Args&&... args) {
    return queue.offer(std::forward<Args>(args)...);
  }
  template <class Queue, class Receive>
  static outcome take(Queue& queue, Receive&& receive) {
    return queue.take(receive);
  }
  template <class Queue>
  static void close(Queue& queue) noexcept {
    queue.close();
  }
  /// Of a ring that is used again: as it was when it was new. Nobody else may look.
  template <class Queue>
  static void reopen(Queue& queue) noexcept {
    queue.reopen();
  }
};

}  // namespace v0
}  // namespace millrace
