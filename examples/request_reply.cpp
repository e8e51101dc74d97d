// A question through a topic, and the answer back: who asks does not know who answers, nor how many of them there are.
//
//                                   .-----> pricing 1 ---.
//   ask("GOOG") ===> [ quotes ] ----+-----> pricing 2 ---+---> the reply goes straight to who asked
//                    a topic        '-----> pricing 3 ---'
//
// The query carries the place for its reply. There is no topic for replies, and no table to tell which one is whose. Several
// askers, several responders in a group that share the load, coroutines, a question that nobody can answer, and one that is
// answered too late.
#include <atomic>
#include <cstdio>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "millrace/delivery/consumer_group.hpp"
#include "millrace/flow/request.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

using namespace std::chrono_literals;
using millrace::request_outcome;
using quote = millrace::query<std::string, int>;

static int price_of(const std::string& name) {
  int sum = 0;
  for (const char c : name) sum += c;
  return sum;
}

struct fire_and_forget {
  struct promise_type {
    static fire_and_forget get_return_object() { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    static void unhandled_exception() { std::terminate(); }
  };
};

/// In a coroutine: no thread waits for the answer.
template <class Asker>
static fire_and_forget ask_without_a_thread(Asker& asker, std::string name, int& price, std::latch& done) {
  const millrace::response<int> r = co_await asker.ask(name, 5s);
  price = r.value.value_or(-1);
  done.count_down();
}

int main() {
  millrace::timer_service timers;
  timers.start();
  millrace::topic<quote> quotes(1024);
  millrace::requester asker(quotes, timers);

  auto pricing = quotes.group("pricing");
  std::atomic<int> asked{0};
  std::optional<quote> held;
  std::latch is_held(1);
  pricing.run(3, [&](const quote& q) {
    ++asked;
    if (q.value == "????") return static_cast<void>(q.fail("no such name"));
    if (q.value == "SLOW") {
      held.emplace(q);  // a copy is the same request: it can be answered from elsewhere
      return is_held.count_down();
    }
    q.reply(price_of(q.value));
  });

  // Four threads ask 1,000 times each.
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 1000; ++i) {
          const std::string name = std::to_string(t) + "/" + std::to_string(i);
          const auto r = asker.ask(name, 5s).get();
          right += r.value == price_of(name);
        }
      });
    }
  }
  std::printf("4,000 questions by 4 threads, %d right answers by 3 responders\n", right.load());

  // A hundred at once, by one thread: ask all, then look at the answers.
  std::vector<decltype(asker.ask("", 1s))> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(asker.ask("X" + std::to_string(i), 5s));
  int sum = 0;
  for (auto& a : answers) sum += a.get().value.value_or(0);
  std::printf("100 at once, together worth %d\n", sum);

  int price = 0;
  std::latch resumed(1);
  ask_without_a_thread(asker, "GOOG", price, resumed);
  resumed.wait();
  std::printf("a coroutine was told %d\n", price);

  const auto refused = asker.ask("????", 5s).get();
  std::printf("????: %s, %s\n", millrace::to_string(refused.what), refused.reason.c_str());

  const auto late = asker.ask("SLOW", 50ms).get();
  is_held.wait();
  const bool accepted = held->reply(1);
  std::printf("SLOW: %s after 50 ms; the reply that came later was %s\n", millrace::to_string(late.what),
              accepted ? "accepted" : "refused");
  held.reset();

  pricing.stop();
  quotes.close();
  const auto closed = asker.ask("GOOG", 5s).get();
  std::printf("when the topic is closed: %s\n", millrace::to_string(closed.what));

  const auto s = asker.stats();
  std::printf("%llu sent = %llu answered + %llu failed + %llu timed out + %llu refused; %llu late\n",
              static_cast<unsigned long long>(s.sent), static_cast<unsigned long long>(s.answered),
              static_cast<unsigned long long>(s.failed), static_cast<unsigned long long>(s.timed_out),
              static_cast<unsigned long long>(s.refused), static_cast<unsigned long long>(s.late));
  const bool fine = right == 4000 && price == price_of("GOOG") && asked == 4103 && !accepted &&
                    refused.what == request_outcome::failed && late.what == request_outcome::timeout &&
                    closed.what == request_outcome::closed && s.sent == 4104 && s.answered == 4101 &&
                    s.failed == 1 && s.timed_out == 1 && s.refused == 1 && s.late == 1;
  if (!fine) std::puts("THAT IS NOT AS IT SHOULD BE");
  return fine ? 0 : 1;
}
