// What a channel needs of a queue beyond its public verbs: answers that tell closed from full and empty, and an
// end of the stream that is exact. A queue makes this struct its friend and has the members
//
//   outcome offer(Args&&...)   ok | full | closed; as try_emplace otherwise
//   outcome take(Receive)      ok | empty | closed; `receive(T&&)` gets the value
//   void close() noexcept      after it no offer succeeds that has not already; idempotent
//
// such that what each of them does for others to see is a read-modify-write: the event counts rest on its being a
// full barrier (see sync.hpp, fence_after_rmw). A hint stored after it does no harm.
#pragma once

#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

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

}  // namespace detail
}  // namespace v0
}  // namespace millrace
