// What one would do with this library's queues alone: a channel for each reader.
#include <cstddef>
#include <iterator>
#include <type_traits>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using millrace::outcome;
using topics::waits;

template <class T, waits How, bool Many>
class link {
 public:
  link(std::size_t places, unsigned) : channel_(places) {}
  void push(unsigned, const T& v) {
    if constexpr (How == waits::parking) {
      static_cast<void>(channel_.push(v));
    } else {
      for (topics::spinning wait; channel_.try_push(v) != outcome::ok;) wait();
    }
  }
  std::size_t take(T* to, std::size_t most) {
    if constexpr (How == waits::parking) {
      return channel_.pop_n(to, most);
    } else {
      for (topics::spinning wait; channel_.try_pop(to[0]) != outcome::ok;) wait();
      std::size_t n = 1;
      while (n < most && channel_.try_pop(to[n]) == outcome::ok) ++n;
      return n;
    }
  }

 private:
  using queue = std::conditional_t<Many, millrace::mpmc_queue<T>, millrace::spsc_queue<T>>;
  millrace::channel<T, queue> channel_;
};

template <class T, waits How, bool Many>
class channels : public topics::queues<T, link<T, How, Many>> {
 public:
  using topics::queues<T, link<T, How, Many>>::queues;
};

}  // namespace

void bench::add_topic_channels(suite& s) {
  auto enter = s.add_topic<channels>("millrace::channel per reader", role::peer);
  enter.plans();
  enter.crowds();
  enter.wakes();
}
