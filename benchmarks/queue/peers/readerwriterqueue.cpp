// moodycamel's queues for one producer and one consumer: a chain of blocks, used within the blocks that were
// allocated beforehand, and a ring.
#include "support/suite.hpp"

#if __has_include(<readerwriterqueue/readerwriterqueue.h>) && \
    __has_include(<readerwriterqueue/readerwritercircularbuffer.h>)
#include <readerwriterqueue/readerwritercircularbuffer.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include <cstddef>
#include <utility>

namespace {

template <class T>
class chain {
 public:
  using value_type = T;
  static constexpr bool one_to_one = true;
  explicit chain(std::size_t capacity) : queue_(capacity) {}
  bool try_push(T&& v) { return queue_.try_enqueue(std::move(v)); }
  bool try_pop(T& v) { return queue_.try_dequeue(v); }

 private:
  moodycamel::ReaderWriterQueue<T> queue_;
};

template <class T>
class ring {
 public:
  using value_type = T;
  static constexpr bool one_to_one = true;
  explicit ring(std::size_t capacity) : queue_(capacity) {}
  bool try_push(T&& v) { return queue_.try_enqueue(std::move(v)); }
  bool try_pop(T& v) { return queue_.try_dequeue(v); }
  void push(T&& v) { queue_.wait_enqueue(std::move(v)); }
  void pop(T& v) { queue_.wait_dequeue(v); }

 private:
  moodycamel::BlockingReaderWriterCircularBuffer<T> queue_;
};

}  // namespace

void bench::add_readerwriterqueue(suite& s) {
  const char* name = "moodycamel::ReaderWriterQueue";
  s.add<chain<word>>(name, role::lock_free_peer);
  s.add<chain<block>>(name, role::lock_free_peer);
  s.add<chain<pointer>>(name, role::lock_free_peer);
  const char* circular = "moodycamel::BlockingReaderWriterCircularBuffer";
  s.add<ring<word>>(circular, role::peer);
  s.add<ring<block>>(circular, role::peer);
}
#else
void bench::add_readerwriterqueue(suite& s) {
  s.missing("moodycamel::ReaderWriterQueue: libreaderwriterqueue-dev");
}
#endif
