// Every header at once, among hostile macros, without exceptions and without run-time type information; and the
// queues and the wheel work there.
#include "hostile_headers.hpp"  // generated: the standard headers, hostile_macros.hpp, then ours

#include <chrono>
#include <cstdio>
#include <memory>

namespace {

int failures = 0;

void expect(bool held, const char* what) {
  if (held) return;
  std::printf("does not hold: %s\n", what);
  ++failures;
}

}  // namespace

int main() {
  millrace::mpmc_queue<int> words(2);
  expect(words.try_push(1) && words.try_push(2) && !words.try_push(3), "a queue of two words holds two");
  expect(words.try_pop() == 1 && words.try_pop() == 2 && !words.try_pop(), "words come out in order");

  struct wide {
    long parts[4];
  };
  millrace::mpmc_queue<wide> places(2);
  expect(places.try_push(wide{{1, 2, 3, 4}}), "a queue of structures takes one");
  const auto out = places.try_pop();
  expect(out && out->parts[3] == 4, "and gives it back");

  millrace::spsc_queue<std::unique_ptr<int>> pipe(4);
  expect(pipe.try_push(std::make_unique<int>(7)) && **pipe.front() == 7, "a pipe carries a unique_ptr");

  millrace::channel<std::unique_ptr<int>> stream(4);
  expect(stream.push(std::make_unique<int>(8)) == millrace::outcome::ok, "a channel takes a unique_ptr");
  stream.close();
  millrace::channel<std::unique_ptr<int>, millrace::mpsc_queue<std::unique_ptr<int>>> mailbox;
  expect(mailbox.push(std::make_unique<int>(9)) == millrace::outcome::ok, "a mailbox takes a unique_ptr");
  expect(**mailbox.try_pop() == 9, "and gives it back");

  struct node : millrace::mpsc_hook {};
  node one;
  millrace::intrusive_mpsc_queue<node> nodes;
  nodes.push(one);
  expect(nodes.try_pop() == &one && nodes.try_pop() == nullptr, "a list of nodes gives its node back");

  int sum = 0;
  for (std::unique_ptr<int>& item : stream) sum += *item;
  expect(sum == 8, "a closed channel gives what it accepted");

  using wheel = millrace::timing_wheel<std::unique_ptr<int>>;
  wheel timers{wheel::time_point()};
  const auto second = std::chrono::seconds(1);
  const auto timer = timers.schedule(timers.now() + second, std::make_unique<int>(10));
  timers.schedule_every(timers.now() + second, second, std::make_unique<int>(20));
  expect(timers.next_wakeup() <= timers.next_expiry(), "a wheel knows when to be called");
  expect(**timers.extract(timer) == 10, "and gives back what has not fired");
  const auto done =
      timers.advance(timers.now() + 5 * second, [&](std::unique_ptr<int>& item) { sum += *item; });
  expect(done.fired == 1 && sum == 28 && timers.size() == 1, "and fires what has come due");
  expect(timers.drain([](std::unique_ptr<int>&) {}) == 1, "and all the rest when told to");

  millrace::rate_limiter limit(1, std::chrono::hours(1));
  expect(limit.try_acquire() && !limit.try_acquire(), "a limiter grants its burst, and no more");
  millrace::circuit_breaker fuse({.window = 1, .minimum = 1});
  if (auto leave = fuse.try_acquire()) leave.failure();
  expect(!fuse.try_acquire(), "a breaker opens");
  millrace::bulkhead berths(1);
  const auto seat = berths.enter();
  expect(seat && !berths.try_enter(), "a bulkhead has its places");

  millrace::topic<int> events(8);
  auto workers = events.group("workers", {.limiter = &limit});
  auto others = events.group("others");
  expect(events.publish(11) == millrace::outcome::ok, "a topic takes a message");
  events.close();
  expect(!workers.try_receive(), "a limited group waits");
  expect(others.work({}, [&](const int& v) { sum += v; }) == millrace::outcome::closed && sum == 39,
         "others do not");
  return failures == 0 ? 0 : 1;
}
