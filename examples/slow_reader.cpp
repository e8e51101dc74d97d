// The same stream past a reader that reads ten messages and then is busy while 990 more are published, under each overrun
// rule; a second reader keeps up all the time.
//
//                                    block        publishers wait for it, once the log is full
//   1 ... 1000 ===> [ topic(100) ]   drop_oldest  moved on: it gets the newest hundred or so
//                     |       '-->   drop_newest  it gets what it had, and misses what came meanwhile
//                  fast       slow   disconnect   its stream ends
//
// Under the last three nobody waits for it, and missed() counts what it did not get: the sums come out.
#include <cstddef>
#include <cstdio>

#include "millrace/topic/topic.hpp"

using millrace::outcome;
using millrace::overrun;

static bool stream(const char* name, overrun rule) {
  // Small segments, because the log drops whole ones.
  millrace::topic<int> topic(100, {.keep = {.messages = 0}, .segment = 2});
  auto fast = topic.subscribe();
  auto slow = topic.subscribe({.when_full = rule});

  int published = 0;
  int seen = 0;
  int refused = 0;
  const auto publish_until = [&](int end) {
    while (published < end) {
      // A publisher that would rather do something else than wait.
      if (topic.try_publish(published + 1) != outcome::ok) return static_cast<void>(++refused);
      ++published;
      seen += static_cast<int>(fast.poll([](int) {}));
    }
  };
  publish_until(10);
  int got = static_cast<int>(slow.poll([](int) {}));
  publish_until(1000);
  const int last_before = published;

  int first = 0;
  int last = 0;
  const auto take = [&](int value) {
    if (first == 0) first = value;
    last = value;
  };
  while (const std::size_t n = slow.poll(take)) got += static_cast<int>(n);
  std::printf("%-12s %4d published, %s; the slow one then read from %d to %d: got %d, missed %d%s\n", name,
              last_before, refused != 0 ? "then full" : "never full", first, last, got,
              static_cast<int>(slow.missed()), slow.disconnected() ? ", disconnected" : "");
  return seen == published && (slow.disconnected() || got + static_cast<int>(slow.missed()) == published);
}

int main() {
  const bool right[] = {stream("block", overrun::block), stream("drop_oldest", overrun::drop_oldest),
                        stream("drop_newest", overrun::drop_newest),
                        stream("disconnect", overrun::disconnect)};
  for (const bool r : right) {
    if (!r) return std::fputs("the sums do not come out\n", stderr), 1;
  }
}
