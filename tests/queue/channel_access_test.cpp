// A queue of somebody else's under a channel: a deque behind a mutex, with the few members that channel_access asks for.
#include "millrace/queue/channel_access.hpp"

#include <chrono>
#include <thread>

#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel.hpp"
#include "support/catch.hpp"
#include "support/locked_queue.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::outcome;
using support::locked_queue;

}  // namespace

TEST_CASE("a channel takes any queue that knows when it is full, empty and closed") {
  const support::watchdog guard("a queue of somebody else's");
  millrace::channel<int, locked_queue<int>> ch(2);
  CHECK(ch.capacity() == 2);
  int out = 0;
  CHECK(ch.try_pop(out) == outcome::empty);
  CHECK(ch.push(1) == outcome::ok);
  CHECK(ch.push(2) == outcome::ok);
  CHECK(ch.try_push(3) == outcome::full);
  CHECK(ch.push_for(3, 1ms) == outcome::timeout);

  long sum = 0;
  std::thread consumer([&] {
    for (const int v : ch) sum += v;
  });
  for (int i = 3; i <= 1000; ++i) {
    if (ch.push(i) != outcome::ok) FAIL("it waits for room");
  }
  ch.close();
  consumer.join();
  CHECK(sum == 500'500);
  CHECK(ch.push(1) == outcome::closed);
  CHECK(ch.try_pop(out) == outcome::closed);
}
