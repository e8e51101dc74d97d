// moodycamel's queues are unbounded: a push never waits, and the queue may grow far beyond the capacity of the
// others, which is to its advantage. Blocks for the asked capacity are allocated beforehand for every producer.
// No tokens: the plain verbs, as the others'. Bulk verbs for batches.
#include "support/suite.hpp"

#if __has_include(<concurrentqueue/blockingconcurrentqueue.h>)
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <iterator>
#include <utility>

namespace {

template <class T>
class plain {
 public:
  using value_type = T;
  explicit plain(std::size_t capacity) : queue_(capacity, 0, bench::most_pairs) {}
  bool try_push(T&& v) { return queue_.enqueue(std::move(v)); }
  bool try_pop(T& v) { return queue_.try_dequeue(v); }
  std::size_t try_push_n(T* first, std::size_t n) {
    return queue_.enqueue_bulk(std::move_iterator<T*>(first), n) ? n : 0;
  }
  std::size_t try_pop_n(T* out, std::size_t n) { return queue_.try_dequeue_bulk(out, n); }

 private:
  moodycamel::ConcurrentQueue<T> queue_;
};

template <class T>
class bounded {
 public:
  using value_type = T;
  explicit bounded(std::size_t capacity) : queue_(capacity, 0, bench::most_pairs) {}
  bool try_push(T&& v) { return queue_.try_enqueue(std::move(v)); }
  bool try_pop(T& v) { return queue_.try_dequeue(v); }

 private:
  moodycamel::ConcurrentQueue<T> queue_;
};

template <class T>
class blocking {
 public:
  using value_type = T;
  explicit blocking(std::size_t capacity) : queue_(capacity, 0, bench::most_pairs) {}
  void push(T&& v) { queue_.enqueue(std::move(v)); }
  void pop(T& v) { queue_.wait_dequeue(v); }

 private:
  moodycamel::BlockingConcurrentQueue<T> queue_;
};

}  // namespace

void bench::add_moodycamel(suite& s) {
  const char* name = "moodycamel::ConcurrentQueue";
  s.add<plain<word>>(name, role::lock_free_peer);
  s.add<plain<block>>(name, role::lock_free_peer);
  s.add<plain<pointer>>(name, role::lock_free_peer);
  s.add_unbounded<plain<word>>(name, role::lock_free_peer);
  s.add_unbounded<plain<block>>(name, role::lock_free_peer);
  s.add_unbounded<plain<pointer>>(name, role::lock_free_peer);
  const char* no_growth = "moodycamel::ConcurrentQueue, try_enqueue";
  s.add<bounded<word>>(no_growth, role::lock_free_peer);
  s.add<bounded<block>>(no_growth, role::lock_free_peer);
  const char* waits = "moodycamel::BlockingConcurrentQueue";
  s.add<blocking<word>>(waits, role::peer);
  s.add<blocking<block>>(waits, role::peer);
  s.add<blocking<pointer>>(waits, role::peer);
  s.add_unbounded<blocking<word>>(waits, role::peer);
  s.add_unbounded<blocking<block>>(waits, role::peer);
  s.add_unbounded<blocking<pointer>>(waits, role::peer);
}
#else
void bench::add_moodycamel(suite& s) { s.missing("moodycamel::ConcurrentQueue: libconcurrentqueue-dev"); }
#endif
