// Two coroutines and a thread, with channels in between.
//
//              push                   async_pop      async_push                async_pop
//   thread ----------> [ numbers ] ------------> squares ------------> [ squared ] ------------> report
//                      channel(4)               coroutine              channel(4)               coroutine
//
// A coroutine that has nothing to pop, or no room to push, is suspended: it waits in the channel's line as a thread
// would, but holds up nobody. Here the thread that pushes a number resumes it, inside that push, and so all of it runs
// in one thread; with an executor of your own it is resumed wherever you want it. Closing goes down the line as well.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <thread>

#include "millrace/queue/channel.hpp"

using millrace::channel;
using millrace::outcome;

/// The least that a coroutine needs: it starts at once, and ends with this.
struct task {
  struct promise_type {
    task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() { std::terminate(); }
  };
  ~task() { handle.destroy(); }
  std::coroutine_handle<promise_type> handle;
};

static task square(channel<int>& numbers, channel<int>& squared) {
  while (const auto n = co_await numbers.async_pop()) {
    const outcome answer = co_await squared.async_push(*n * *n);
    if (answer != outcome::ok) break;
  }
  squared.close();
}

static task report(channel<int>& squared, int& sum) {
  while (const auto n = co_await squared.async_pop()) {
    std::printf("%d\n", *n);
    sum += *n;
  }
  std::printf("the end\n");
}

int main() {
  channel<int> numbers(4);
  channel<int> squared(4);
  int sum = 0;
  const task first = square(numbers, squared);
  const task second = report(squared, sum);
  std::printf("both are suspended: %s\n", first.handle.done() || second.handle.done() ? "no" : "yes");

  std::jthread([&numbers] {
    for (int n = 1; n <= 5; ++n) {
      if (numbers.push(n) != outcome::ok) return;
    }
    numbers.close();
  }).join();

  const bool ended = first.handle.done() && second.handle.done();
  std::printf("both have ended: %s; the sum is %d\n", ended ? "yes" : "no", sum);
  return ended && sum == 55 ? 0 : 1;
}
