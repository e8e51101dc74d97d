// The same burst of ten into a channel with room for four, under each overflow policy.
//
//                                          block        waits until the consumer has made room
//   1 2 3 ... 10 ===> [ | | | ] ---> ?     fail         refuses the value: the caller decides
//    producer        channel(4)            drop_newest  takes no more in: the first ones stay
//                                          drop_oldest  makes room: the last ones stay
//
// Under the last three a push never waits. What a channel drops it counts, and hands to a callback if it was
// given one: nothing disappears in silence.
#include <cstdio>
#include <string>
#include <thread>

#include "millrace/queue/channel.hpp"

using millrace::outcome;
using millrace::overflow;

static void burst(const char* name, overflow policy) {
  std::string lost;
  std::string received;
  millrace::channel<int> channel(4, policy, [&lost](int&& value) { lost += ' ' + std::to_string(value); });
  const auto consume = [&] {
    for (const int value : channel) received += ' ' + std::to_string(value);
  };

  // Under `block` somebody must take while the burst goes on; the others get a consumer that comes late.
  std::jthread consumer;
  if (policy == overflow::block) consumer = std::jthread(consume);

  int accepted = 0;
  int refused = 0;
  for (int value = 1; value <= 10; ++value) {
    const outcome answer = channel.push(value);
    if (answer == outcome::ok) ++accepted;
    if (answer == outcome::full) ++refused;
  }
  channel.close();
  if (consumer.joinable()) {
    consumer.join();
  } else {
    consume();
  }

  std::printf("%-11s  %2d accepted, %d refused, %d dropped%-14s -> %s\n", name, accepted, refused,
              static_cast<int>(channel.dropped()), lost.c_str(), received.c_str() + 1);
}

int main() {
  burst("block", overflow::block);
  burst("fail", overflow::fail);
  burst("drop_newest", overflow::drop_newest);
  burst("drop_oldest", overflow::drop_oldest);
}
