// moodycamel's queues, one for each reader, with a token for each producer and for the reader, and bulk verbs to take.
// They have no bound that holds: their own semaphore counts the places, and a producer takes a sixteenth of them at once.
#include "support/suite.hpp"

#if __has_include(<concurrentqueue/blockingconcurrentqueue.h>)
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <deque>
#include <type_traits>

namespace {

using namespace bench;
using topics::waits;

template <class T, waits How>
class link {
 public:
  link(std::size_t places, unsigned producers)
      : queue_(places, producers, 0), places_(static_cast<count>(places)), consumer_(queue_) {
    share_ = static_cast<count>(places / 16);
    for (unsigned p = 0; p < producers; ++p) producers_.emplace_back(queue_);
  }
  void push(unsigned producer, const T& v) {
    side& mine = producers_[producer];
    if (mine.places == 0) mine.places = claim();
    --mine.places;
    queue_.enqueue(mine.token, v);
  }
  std::size_t take(T* to, std::size_t most) {
    std::size_t n = 0;
    if constexpr (How == waits::parking) {
      n = queue_.wait_dequeue_bulk(consumer_, to, most);
    } else {
      topics::spinning wait;
      while ((n = queue_.try_dequeue_bulk(consumer_, to, most)) == 0) wait();
    }
    places_.signal(static_cast<count>(n));
    return n;
  }

 private:
  using queue = std::conditional_t<How == waits::parking, moodycamel::BlockingConcurrentQueue<T>,
                                   moodycamel::ConcurrentQueue<T>>;
  using count = std::make_signed_t<std::size_t>;
  struct alignas(128) side {
    explicit side(queue& q) : token(q) {}
    moodycamel::ProducerToken token;
    count places = 0;
  };

  count claim() {
    if constexpr (How == waits::parking) {
      return places_.waitMany(share_);
    } else {
      count got = 0;
      for (topics::spinning wait; (got = places_.tryWaitMany(share_)) == 0;) wait();
      return got;
    }
  }

  queue queue_;
  alignas(128) moodycamel::LightweightSemaphore places_;
  count share_ = 0;
  alignas(128) moodycamel::ConsumerToken consumer_;
  std::deque<side> producers_;
};

template <class T, waits How, bool>
class per_reader : public topics::queues<T, link<T, How>> {
 public:
  using topics::queues<T, link<T, How>>::queues;
};

}  // namespace

void bench::add_topic_moodycamel(suite& s) {
  const char* name = "moodycamel's queue per reader";
  auto enter = s.add_topic<per_reader>(name, role::peer);
  enter.plans();
  enter.crowds();
  enter.wakes();
}
#else
void bench::add_topic_moodycamel(suite& s) { s.missing_topic("moodycamel's queues: libconcurrentqueue-dev"); }
#endif
