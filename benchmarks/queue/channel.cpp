#include "millrace/queue/channel.hpp"

#include <cstddef>
#include <utility>

#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/suite.hpp"

namespace {

template <class T, class Queue = millrace::mpmc_queue<T>>
class channel {
 public:
  using value_type = T;
  static constexpr bool one_to_one = !Queue::many_producers;
  explicit channel(std::size_t capacity)
    requires Queue::is_bounded
      : channel_(capacity) {}
  explicit channel(std::size_t)
    requires(!Queue::is_bounded)
  {}
  void push(T&& v) { static_cast<void>(channel_.push(std::move(v))); }
  void pop(T& v) { static_cast<void>(channel_.pop(v)); }

 private:
  millrace::channel<T, Queue> channel_;
};

}  // namespace

void bench::add_channel(suite& s) {
  const char* name = "millrace::channel";
  s.add<channel<word>>(name, role::ours);
  s.add<channel<block>>(name, role::ours);
  s.add<channel<pointer>>(name, role::ours);
  const char* single = "millrace::channel over spsc_queue";
  s.add<channel<word, millrace::spsc_queue<word>>>(single, role::variant);
  s.add<channel<block, millrace::spsc_queue<block>>>(single, role::variant);
  s.add<channel<pointer, millrace::spsc_queue<pointer>>>(single, role::variant);

  const char* endless = "millrace::channel over unbounded_queue";
  s.add_unbounded<channel<word, millrace::unbounded_queue<word>>>(endless, role::ours);
  s.add_unbounded<channel<block, millrace::unbounded_queue<block>>>(endless, role::ours);
  s.add_unbounded<channel<pointer, millrace::unbounded_queue<pointer>>>(endless, role::ours);

  const std::vector<std::string> rivals{"moodycamel::BlockingConcurrentQueue", "mutex and deque"};
  for (const char* who : {"1P1C", "2P2C", "4P4C", "1P4C", "4P1C"}) {
    s.targets.push_back({std::string("blocking/8B/4096/") + who, 1.5, rivals});
  }
}
