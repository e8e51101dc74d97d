// Two threads and a queue between them.
//
//             try_push                    try_pop
//   producer ----------> [ | | | ] -----------> consumer
//                      mpmc_queue, 4 places
//
// The queue never waits. A push that finds it full answers false and leaves the value where it was; a pop
// that finds it empty answers nothing. What to do then is the caller's choice; `channel` would wait (see
// workers_and_close.cpp).
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "millrace/queue/mpmc_queue.hpp"

int main() {
  millrace::mpmc_queue<std::unique_ptr<std::string>> queue(4);

  // One thread alone: first in, first out, and full means full.
  for (const char* word : {"the", "river", "feeds", "the", "mill"}) {
    auto message = std::make_unique<std::string>(word);
    if (!queue.try_push(std::move(message))) std::printf("full, \"%s\" is still ours\n", message->c_str());
  }
  while (const auto message = queue.try_pop()) std::printf("%s\n", (*message)->c_str());

  // Two threads: each value arrives once, and in order.
  constexpr int last = 100000;
  std::jthread producer([&queue] {
    for (int i = 1; i <= last; ++i) {
      auto message = std::make_unique<std::string>(std::to_string(i));
      while (!queue.try_push(std::move(message))) std::this_thread::yield();
    }
  });
  int received = 0;
  bool in_order = true;
  while (received < last) {
    if (const auto message = queue.try_pop()) {
      in_order = in_order && **message == std::to_string(received + 1);
      ++received;
    } else {
      std::this_thread::yield();
    }
  }
  std::printf("%d messages from the other thread, %s\n", received, in_order ? "in order" : "OUT OF ORDER");
  return in_order ? 0 : 1;
}
