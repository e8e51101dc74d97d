// A question and its answer, and what it costs to hand over two words instead.
#include "millrace/flow/request.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/delivery/consumer_group.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/flow.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using namespace std::chrono_literals;
using flow::check;
using millrace::outcome;

constexpr std::size_t capacity = 1024;
constexpr std::size_t window = 64;

word answered(word v) noexcept { return 3 * v + 1; }

class requests {
  using topic = millrace::topic<millrace::query<word, word>>;

 public:
  /// In this thread.
  word ask(word v) {
    auto a = requester_.ask(v, 10s);
    auto d = group_.try_receive();
    d->reply(answered(d->value));
    d.ack();
    return a.get().value.value();
  }

  void begin() {
    timers_.start();
    group_.run(1, [](const millrace::query<word, word>& q) { q.reply(answered(q.value)); });
  }
  /// Of the thread that begin() has started.
  word ask(word first, std::size_t n) {
    if (n == 1) return requester_.ask(first, 10s).get().value.value();
    answers_.clear();
    for (std::size_t i = 0; i < n; ++i) answers_.push_back(requester_.ask(first + i, 10s));
    word sum = 0;
    for (auto& a : answers_) sum += a.get().value.value();
    return sum;
  }
  void end() {
    topic_.close();
    group_.join();
    group_.stop();
  }
  [[nodiscard]] bool has_answered(std::uint64_t n) const { return requester_.stats().answered == n; }

 private:
  millrace::timer_service timers_;
  topic topic_{capacity};
  millrace::consumer_group<topic> group_ = topic_.group("answering");
  millrace::requester<topic> requester_{topic_, timers_};
  std::vector<millrace::requester<topic>::answer> answers_;
};

/// Two channels and a thread that knows both.
class ping_pong {
 public:
  word ask(word v) {
    static_cast<void>(there_.push(v));
    static_cast<void>(there_.pop(v));
    static_cast<void>(back_.push(answered(v)));
    static_cast<void>(back_.pop(v));
    return v;
  }

  void begin() {
    answering_ = std::jthread([this] {
      for (word v = 0; there_.pop(v) == outcome::ok;) static_cast<void>(back_.push(answered(v)));
    });
  }
  word ask(word first, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) static_cast<void>(there_.push(first + i));
    word sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      word v = 0;
      static_cast<void>(back_.pop(v));
      sum += v;
    }
    return sum;
  }
  void end() {
    there_.close();
    answering_.join();
  }
  [[nodiscard]] static bool has_answered(std::uint64_t) { return true; }

 private:
  millrace::channel<word> there_{capacity};
  millrace::channel<word> back_{capacity};
  std::jthread answering_;
};

void verify(word sum, std::uint64_t n) {
  check(sum == 3 * (n * (n + 1) / 2) + n, "an answer is not that to its question");
}

template <class C>
double sample_alone(std::uint64_t n) {
  const auto one = std::make_unique<C>();
  word sum = 0;
  const auto begin = stopwatch::now();
  for (std::uint64_t i = 1; i <= n; ++i) sum += one->ask(i);
  const double ns = flow::nanoseconds_each(begin, n);
  verify(sum, n);
  check(one->has_answered(n), "not every question has been answered once");
  return ns;
}
template <class C>
double sample(std::uint64_t n, std::size_t at_once) {
  const auto one = std::make_unique<C>();
  n = (n + at_once - 1) / at_once * at_once;
  one->begin();
  word sum = 0;
  const auto begin = stopwatch::now();
  for (std::uint64_t i = 1; i <= n; i += at_once) sum += one->ask(i, at_once);
  const double ns = flow::nanoseconds_each(begin, n);
  one->end();
  verify(sum, n);
  check(one->has_answered(n), "not every question has been answered once");
  return ns;
}

template <class C>
void enter(suite& s, const char* name, role as) {
  constexpr std::uint64_t enough = 500'000;
  const auto column = [&](const char* table, const char* title,
                          std::function<std::vector<double>(std::uint64_t)> take) {
    s.flow.push_back({table, {{title, "ns"}}, name, as, std::move(take), true, enough});
  };
  column(flow::alone_table, "one thread", [](std::uint64_t n) { return std::vector{sample_alone<C>(n)}; });
  column(flow::request_table, "two threads", [](std::uint64_t n) { return std::vector{sample<C>(n, 1)}; });
  column(flow::request_table, "two threads, 64 at once",
         [](std::uint64_t n) { return std::vector{sample<C>(n, window)}; });
}

}  // namespace

void bench::add_request(suite& s) {
  const char* bare = "two millrace::channels, bare ping-pong";
  enter<requests>(s, "millrace::request", role::ours);
  enter<ping_pong>(s, bare, role::reference);
  s.flow_targets.push_back({flow::request_table, 1.0 / 3, {bare}});
}
