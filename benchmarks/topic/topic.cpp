#include "millrace/topic/topic.hpp"

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/suite.hpp"

namespace {

using namespace bench;
using millrace::outcome;
using millrace::overrun;
using millrace::wait_strategy;
using topics::waits;

/// How its threads sleep is a parameter; in the tables called spinning they do not.
template <class T, waits How, bool Many, wait_strategy Asleep>
class log {
  using topic = millrace::topic<T, Many ? millrace::producers::multi : millrace::producers::single>;
  using subscription = decltype(std::declval<topic&>().subscribe());
  static constexpr wait_strategy strategy = How == waits::spinning ? wait_strategy::yield : Asleep;

 public:
  explicit log(const topics::plan& p) : topic_(p.ring, {.wait = strategy}) {
    readers_.reserve(p.readers.size());
    for (const topics::reader_plan& r : p.readers) readers_.push_back(subscribe(r.behind));
  }

  void publish(unsigned, const T& v) {
    if (topic_.publish(v) != outcome::ok) throw std::runtime_error("a message was refused");
  }

  template <class F>
  void read(unsigned reader, std::uint64_t n, F handle) {
    std::stop_source enough;
    static_cast<void>(readers_[reader].run(enough.get_token(), [handle, n, &enough](const T& v) mutable {
      handle(v);
      if (--n == 0) enough.request_stop();
    }));
  }

 private:
  subscription subscribe(const std::vector<unsigned>& behind) {
    switch (behind.size()) {
      case 0: return topic_.subscribe({.wait = strategy});
      case 1: return topic_.subscribe({.after = {readers_[behind[0]]}, .wait = strategy});
      case 2:
        return topic_.subscribe({.after = {readers_[behind[0]], readers_[behind[1]]}, .wait = strategy});
      default: throw std::invalid_argument("no plan has more");
    }
  }

  topic topic_;
  std::vector<subscription> readers_;
};

template <class T, waits How, bool Many>
class adaptive : public log<T, How, Many, wait_strategy::adaptive> {
 public:
  using log<T, How, Many, wait_strategy::adaptive>::log;
};
template <class T, waits How, bool Many>
class parking : public log<T, How, Many, wait_strategy::park> {
 public:
  using log<T, How, Many, wait_strategy::park>::log;
};

double nanoseconds(stopwatch::duration d) { return std::chrono::duration<double, std::nano>(d).count(); }

/// Two readers, one of which stands still at first; its rule says what becomes of it and of the publisher.
std::vector<double> stalled(overrun rule, std::uint64_t messages) {
  constexpr auto stands_still = std::chrono::milliseconds(200);
  millrace::topic<word, millrace::producers::single> log(8192);
  auto live = log.subscribe();
  auto stuck = log.subscribe({.when_full = rule});
  stopwatch::time_point begin;
  stopwatch::time_point published;
  stopwatch::time_point read;
  std::uint64_t value = topics::first_value;
  std::uint64_t got = 0;
  bool in_order = true;
  race({[&](tally&) {
          begin = stopwatch::now();
          for (std::uint64_t i = 1; i <= messages; ++i) static_cast<void>(log.publish(topics::number(i)));
          published = stopwatch::now();
          log.close();
        },
        [&](tally&) {
          static_cast<void>(live.run(std::stop_token(), [&](const word& v) { value += v; }));
          read = stopwatch::now();
        },
        [&](tally&) {
          std::this_thread::sleep_for(stands_still);
          word last = 0;
          static_cast<void>(stuck.run(std::stop_token(), [&](const word& v) {
            in_order = in_order && v > last;
            last = v;
            ++got;
          }));
        }});
  topics::verify(topics::task::add, messages, value);
  if (!in_order || got > messages)
    throw std::runtime_error("the stalled reader has read what was not published");
  if (rule == overrun::block && got != messages)
    throw std::runtime_error("a lossless reader has missed something");
  const auto all = static_cast<double>(messages);
  return {nanoseconds(published - begin) / all, nanoseconds(read - begin) / all,
          100 * (all - static_cast<double>(got)) / all};
}

}  // namespace

void bench::add_topic(suite& s) {
  auto ours = s.add_topic<adaptive>("millrace::topic", role::ours);
  ours.plans();
  ours.crowds();
  ours.alone();
  ours.wakes();
  auto at_once = s.add_topic<parking>("millrace::topic, no spin before sleep", role::variant);
  at_once.plans(waits::parking);
  at_once.wakes();

  const std::pair<overrun, const char*> rules[] = {{overrun::block, "block"},
                                                   {overrun::drop_oldest, "drop_oldest"},
                                                   {overrun::drop_newest, "drop_newest"},
                                                   {overrun::disconnect, "disconnect"}};
  for (const auto& [rule, name] : rules) {
    s.topics.push_back(
        {topics::stalled_table,
         {{"publisher", "ns"}, {"the other reader", "ns"}, {"missed by the one that stood still", "%"}},
         std::string("millrace::topic, ") + name,
         role::variant,
         [of = rule](std::uint64_t messages) { return stalled(of, messages); },
         false});
  }
}
