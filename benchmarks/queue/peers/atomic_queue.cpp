// atomic_queue in its two layouts, sized at run time: values that are atomics themselves (8 bytes, never 0), and
// values beside a byte of state. Through its try-verbs; its push and pop spin until they succeed, which more
// threads than cores turn into a standstill, so they are not among the blocking contenders.
#include "support/suite.hpp"

#if __has_include(<atomic_queue/atomic_queue.h>)
#include <atomic_queue/atomic_queue.h>

#include <cstddef>
#include <memory>
#include <utility>

namespace {

template <class T, class Queue, bool OneToOne>
class adapter {
 public:
  using value_type = T;
  static constexpr bool one_to_one = OneToOne;
  explicit adapter(std::size_t capacity) : queue_(static_cast<unsigned>(capacity)) {}
  bool try_push(T&& v) { return queue_.try_push(std::move(v)); }
  bool try_pop(T& v) { return queue_.try_pop(v); }

 protected:
  Queue queue_;
};

template <class T, bool OneToOne = false>
using atoms =
    adapter<T, atomic_queue::AtomicQueueB<T, std::allocator<T>, T{}, true, false, OneToOne>, OneToOne>;

template <class T, bool OneToOne = false>
class states
    : public adapter<T, atomic_queue::AtomicQueueB2<T, std::allocator<T>, true, false, OneToOne>, OneToOne> {
 public:
  using states::adapter::adapter;
  // It rounds anything less up to 4096.
  static bool holds(std::size_t capacity) { return capacity >= 4096; }
};

}  // namespace

void bench::add_atomic_queue(suite& s) {
  s.add<atoms<word>>("atomic_queue::AtomicQueueB", role::peer);
  s.add<states<word>>("atomic_queue::AtomicQueueB2", role::peer);
  s.add<states<block>>("atomic_queue::AtomicQueueB2", role::peer);
  s.add<states<pointer>>("atomic_queue::AtomicQueueB2", role::peer);
  s.add<atoms<word, true>>("atomic_queue::AtomicQueueB, SPSC", role::peer);
  s.add<states<block, true>>("atomic_queue::AtomicQueueB2, SPSC", role::peer);
}
#else
void bench::add_atomic_queue(suite& s) { s.missing("atomic_queue: libatomic-queue-dev"); }
#endif
