// The books of a pipeline balance: functions that fail at every call there is, one after the other; random ones that fail and
// filter, with tasks in a random order, while stages are scaled, the group is paused, and the pipeline stopped, drained and started;
// and the same with threads. Every message ends once, as done, filtered or dead, and those that come out keep their order.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/pipeline.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"
#include "support/large_steps.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::from;
using millrace::manual_clock;
using millrace::outcome;
using millrace::pipeline_stats;
using millrace::retry_policy;
using support::watchdog;

/// What becomes of a message, each at most once.
struct fate {
  std::atomic<int> done{0};
  std::atomic<int> filtered{0};
  std::atomic<int> dead{0};
};
class fates {
 public:
  explicit fates(std::size_t n) : all_(n) {}
  [[nodiscard]] fate& of(int i) { return all_[static_cast<std::size_t>(i)]; }
  /// What is wrong, or nothing.
  [[nodiscard]] std::string audit(const pipeline_stats& s) {
    std::uint64_t done = 0;
    std::uint64_t filtered = 0;
    std::uint64_t dead = 0;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const fate& f = all_[i];
      if (f.done + f.filtered + f.dead != 1) {
        return "message " + std::to_string(i) + ": done " + std::to_string(f.done) + ", filtered " +
               std::to_string(f.filtered) + ", dead " + std::to_string(f.dead);
      }
      done += static_cast<std::uint64_t>(f.done);
      filtered += static_cast<std::uint64_t>(f.filtered);
      dead += static_cast<std::uint64_t>(f.dead);
    }
    if (s.done != done) return "done " + std::to_string(s.done) + " and not " + std::to_string(done);
    if (s.filtered != filtered) return "filtered " + std::to_string(s.filtered);
    if (s.dead != dead) return "dead " + std::to_string(s.dead) + " and not " + std::to_string(dead);
    if (s.inside != 0) return "inside " + std::to_string(s.inside);
    return balance(s);
  }
  [[nodiscard]] static std::string balance(const pipeline_stats& s) {
    if (s.taken != s.done + s.filtered + s.dead + s.given_back + s.inside) return "the books do not balance";
    return {};
  }

 private:
  std::vector<fate> all_;
};

struct shape {
  bool by_channel = false;
  bool keeps_order = false;
  std::uint32_t attempts = 3;
};

/// A pipeline of three stages and an end, without threads.
class trial {
  static constexpr const char* names[] = {"a", "b", "c"};
  static constexpr std::size_t capacities[] = {3, 1, 2};
  static constexpr std::size_t most_workers = 3;

  template <class Line>
  auto line(Line first) {
    auto middle = std::move(first)
                      .stage("a", {.workers = 2, .capacity = capacities[0], .retry = retry()},
                             [this](const int& i) { return works("a", i), i + 0.5; })
                      .stage("b", {.capacity = capacities[1], .retry = retry()},
                             [this](double d) -> std::optional<std::string> {
                               const int i = static_cast<int>(d);
                               works("b", i);
                               if (i % 7 == 3) {
                                 ++fates_.of(i).filtered;
                                 return std::nullopt;
                               }
                               return std::to_string(i);
                             })
                      .stage("c", {.workers = 3, .capacity = capacities[2], .retry = retry()},
                             [this](const std::string& s) {
                               works("c", std::stoi(s));
                               return std::stoi(s);
                             });
    const auto sink = [this](int i) {
      works("to", i);
      ++fates_.of(i).done;
      if (shape_.keeps_order && !has_put_back_ && i < last_) wrong("out of order: " + std::to_string(i));
      last_ = i;
    };
    if (shape_.keeps_order) return std::move(middle).ordered().to(sink, retry());
    return std::move(middle).to(sink, retry());
  }

 public:
  using clock = manual_clock;
  using topic = millrace::topic<int, millrace::producers::multi, clock>;
  using channel = millrace::channel<int, millrace::unbounded_queue<int>, clock>;
  using group = millrace::consumer_group<topic>;

  trial(const shape& s, int messages, std::uint64_t seed)
      : shape_(s),
        messages_(messages),
        steps_(seed),
        random_(seed),
        fates_(static_cast<std::size_t>(messages)) {
    millrace::executor& where = seed % 2 == 0 ? static_cast<millrace::executor&>(steps_) : large_;
    if (s.by_channel) {
      pipeline_.emplace("p",
                        line(from(values_, {.on_dead = [this](int&& i, std::string_view,
                                                              std::string_view) { ++fates_.of(i).dead; }})),
                        where, timers_);
    } else {
      pipeline_.emplace("p", line(from(group_)), where, timers_);
    }
  }

  std::uint64_t fails_at = 0;      // that call; 0: none
  std::uint64_t fails_each = 0;    // one of so many; 0: none
  std::uint64_t fails_random = 0;  // likewise, drawn

  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  [[nodiscard]] pipeline_stats stats() const { return pipeline_->stats(); }

  void publish(int n) {
    for (; n != 0 && published_ != messages_; --n, ++published_) {
      if (shape_.by_channel ? values_.try_push(published_) != outcome::ok
                            : topic_.publish(published_) != outcome::ok)
        wrong("refused");
    }
  }
  void start() { pipeline_->start(); }
  /// Until the stream has ended. What is wrong, or nothing.
  std::string finish() {
    publish(messages_);
    group_.resume();
    start();
    put_back();
    values_.close();
    topic_.close();
    for (int i = 0; i < 10'000 && !pipeline_->has_ended(); ++i) pass(10ms);
    if (!pipeline_->has_ended()) wrong("it does not end");
    if (!steps_.is_idle() || timers_.poll(clock_.now())) wrong("it is not idle at the end");
    collect_letters();
    if (wrong_.empty()) wrong_ = fates_.audit(stats());
    if (!shape_.by_channel) {
      const auto g = group_.stats();
      if (g.acked + g.dead != static_cast<std::uint64_t>(messages_)) wrong("acked and dead are not all");
      if (g.nacked + g.timed_out + g.late != 0) wrong("a delivery was nacked, timed out or late");
      if (g.released != stats().given_back) wrong("released is not what was given back");
    } else if (stats().parked != 0) {
      wrong("something is parked");
    }
    return wrong_;
  }

  /// Does one thing at random.
  void meddle() {
    switch (random_() % 12) {
      case 0:
      case 1: publish(1 + static_cast<int>(random_() % 4)); break;
      case 2: pass(std::chrono::milliseconds(random_() % 20)); break;
      case 3: pipeline_->scale(names[random_() % 3], 1 + random_() % most_workers); break;
      case 4: random_() % 2 == 0 ? group_.pause() : group_.resume(); break;
      case 5:
        if (random_() % 4 == 0) static_cast<void>(pipeline_->drain(clock_.now()));
        break;
      case 6:
        if (random_() % 4 == 0) pipeline_->stop();
        break;
      case 7: start(); break;
      default: steps_.run_until_idle(random_() % 4); break;
    }
    inspect();
  }
  /// In any state.
  void inspect() {
    const pipeline_stats s = stats();
    if (const std::string b = fates::balance(s); !b.empty()) wrong(b);
    std::size_t room = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const auto& one = s.stages[i];
      room += capacities[i] + most_workers;
      if (one.depth + one.retrying > capacities[i] + most_workers)
        wrong("more in a stage than it has room for");
      if (one.in < one.out + one.filtered + one.dead) wrong("more out than in");
    }
    if (s.inside > room) wrong("more inside than there is room for");
    if (!shape_.by_channel && group_.stats().in_flight != s.inside) wrong("in flight is not inside");
  }

 private:
  retry_policy retry() {
    return {.attempts = shape_.attempts, .first = 1ms, .most = 20ms, .jitter = 1, .random = [this] {
              return static_cast<double>(random_() % 1001) / 1000;
            }};
  }
  void works(const char* stage, int i) {
    ++calls_;
    const bool fails = calls_ == fails_at || (fails_each != 0 && calls_ % fails_each == 0) ||
                       (fails_random != 0 && random_() % fails_random == 0);
    if (fails) throw std::runtime_error(std::string(stage) + std::to_string(i));
  }
  void pass(std::chrono::nanoseconds by) {
    clock_.advance(by);
    timers_.poll(clock_.now());
    steps_.run_until_idle();
  }
  /// What a channel cannot take back.
  void put_back() {
    for (const int i : pipeline_->take_parked<int>()) {
      has_put_back_ = true;
      if (values_.try_push(i) != outcome::ok) wrong("refused");
    }
  }
  void collect_letters() {
    while (const auto* letter = letters_.try_next()) {
      ++fates_.of(letter->value).dead;
      if (letter->reason.rfind("stage ", 0) != 0) wrong("a dead letter without a stage");
    }
  }
  void wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }

  const shape shape_;
  const int messages_;
  clock clock_;
  millrace::basic_timer_service<clock> timers_{millrace::clock_ref<clock>(clock_)};
  millrace::testing::step_executor steps_;
  support::large_steps large_{steps_};
  std::minstd_rand random_;
  fates fates_;
  millrace::dead_letters<int, clock> lost_{1024, clock_};
  typename millrace::dead_letters<int, clock>::topic_type::subscription letters_{lost_.letters().subscribe()};
  topic topic_{1024, clock_};
  group group_{topic_.group("g", {.ack_timeout = 1s, .dead_letters = &lost_})};
  channel values_{clock_};
  int published_ = 0;
  std::uint64_t calls_ = 0;
  int last_ = -1;
  bool has_put_back_ = false;
  std::string wrong_;
  std::optional<millrace::basic_pipeline<clock>> pipeline_;
};

std::vector<shape> shapes(std::uint32_t attempts) {
  return {{false, false, attempts}, {false, true, attempts}, {true, false, attempts}, {true, true, attempts}};
}

TEST_CASE("one call fails, each that there is, until a run passes with none") {
  for (const std::uint32_t attempts : {1U, 2U}) {
    for (const shape& s : shapes(attempts)) {
      for (const std::uint64_t seed : {1U, 2U, 3U}) {
        for (std::uint64_t k = 1;; ++k) {
          trial t(s, 9, seed);
          t.fails_at = k;
          t.start();
          const std::string wrong = t.finish();
          INFO("channel " << s.by_channel << ", ordered " << s.keeps_order << ", attempts " << attempts
                          << ", seed " << seed << ", call " << k);
          REQUIRE(wrong == "");
          const auto stats = t.stats();
          const bool has_failed = t.calls() >= k;
          std::uint64_t failed = 0;
          for (const auto& one : stats.stages) failed += one.failed;
          REQUIRE(failed == (has_failed ? 1 : 0));
          REQUIRE(stats.dead == (has_failed && attempts == 1 ? 1 : 0));
          if (!has_failed) {
            REQUIRE(k == 9 * 4 - 2 + 1);  // one is filtered in the second of four
            break;
          }
        }
      }
    }
  }
}

TEST_CASE("every k-th call fails, until a run passes with none") {
  for (const shape& s : shapes(1000)) {
    for (std::uint64_t k = 2;; ++k) {
      trial t(s, 20, k);
      t.fails_each = k;
      t.start();
      const std::string wrong = t.finish();
      INFO("channel " << s.by_channel << ", ordered " << s.keeps_order << ", call " << k);
      REQUIRE(wrong == "");
      const auto stats = t.stats();
      REQUIRE(stats.dead == 0);
      std::uint64_t failed = 0;
      for (const auto& one : stats.stages) failed += one.failed;
      REQUIRE(failed == t.calls() / k);
      if (failed == 0) break;
    }
  }
}

TEST_CASE("random failures, orders, times, and meddling") {
  std::uint64_t given_back = 0;
  std::uint64_t dead = 0;
  std::uint64_t retried = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto all = shapes(2 + static_cast<std::uint32_t>(seed % 2));
    const shape& s = all[seed % all.size()];
    trial t(s, 60, seed);
    t.fails_random = 2 + seed % 7;
    for (int i = 0; i < 300; ++i) t.meddle();
    const std::string wrong = t.finish();
    INFO("seed " << seed << ", channel " << s.by_channel << ", ordered " << s.keeps_order);
    REQUIRE(wrong == "");
    const auto stats = t.stats();
    given_back += stats.given_back;
    dead += stats.dead;
    for (const auto& one : stats.stages) retried += one.failed - one.dead;
  }
  // All of that has happened.
  CHECK(given_back > 1000);
  CHECK(dead > 1000);
  CHECK(retried > 1000);
}

// --- with threads ---

std::string storm(const shape& s, std::uint32_t seed, int messages) {
  fates all(static_cast<std::size_t>(messages));
  std::atomic<bool> out_of_order{false};
  std::atomic<bool> has_put_back{false};
  std::atomic<int> at_the_end{0};
  std::atomic<bool> two_at_the_end{false};
  int last = -1;
  std::atomic<unsigned> calls{seed};

  millrace::timer_service timers;
  timers.start();
  millrace::thread_executor threads(3);
  millrace::dead_letters<int> lost(static_cast<std::size_t>(messages));
  auto letters = lost.letters().subscribe();
  millrace::topic<int> in(64);
  auto group = in.group("g", {.ack_timeout = 1h, .dead_letters = &lost});
  millrace::channel<int> values(64);

  const auto works = [&](int i) {
    const unsigned n = calls.fetch_add(1) * 2654435761U;
    for (unsigned spin = n % 64; spin != 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    if (n % 256 == 0) std::this_thread::yield();
    if ((n >> 8) % 8 == 0) throw i;
  };
  const auto retry = [&](std::uint32_t attempts) {
    return retry_policy{.attempts = attempts, .first = 1us, .most = 2ms, .jitter = 1};
  };
  const auto line = [&](auto first) {
    auto middle = std::move(first)
                      .stage("a", {.workers = 2, .capacity = 8, .retry = retry(s.attempts)},
                             [&](const int& i) { return works(i), long{i}; })
                      .stage("b", {.workers = 3, .capacity = 2, .retry = retry(s.attempts)},
                             [&](const long& l) -> std::optional<int> {
                               const int i = static_cast<int>(l);
                               works(i);
                               if (i % 7 == 3) {
                                 ++all.of(i).filtered;
                                 return std::nullopt;
                               }
                               return i;
                             })
                      .stage("c", {.capacity = 1, .retry = retry(s.attempts)},
                             [&](const int& i) { return works(i), i; });
    const auto sink = [&](int i) {
      if (at_the_end.fetch_add(1) != 0) two_at_the_end = true;
      if (s.keeps_order && !has_put_back && i < last) out_of_order = true;
      last = i;
      ++all.of(i).done;
      at_the_end.fetch_sub(1);
    };
    return s.keeps_order ? std::move(middle).ordered().to(sink) : std::move(middle).to(sink);
  };
  const auto on_dead = [&](int&& i, std::string_view, std::string_view) { ++all.of(i).dead; };
  std::optional<millrace::pipeline> p;
  if (s.by_channel) {
    p.emplace("p", line(from(values, {.on_dead = on_dead})), threads, timers);
  } else {
    p.emplace("p", line(from(group)), threads, timers);
  }

  std::atomic<bool> published{false};
  std::thread publisher([&] {
    for (int i = 0; i < messages; ++i) {
      if (s.by_channel ? values.push(i) != outcome::ok : in.publish(i) != outcome::ok) std::abort();
    }
    published = true;
  });
  const auto put_back = [&] {
    for (const int i : p->take_parked<int>()) {
      has_put_back = true;
      p->start();
      if (values.push(i) != outcome::ok) std::abort();
    }
  };
  std::minstd_rand random(seed);
  for (int k = 0; !published || k < 20; ++k) {
    switch (random() % 8) {
      case 0: p->stop(); break;
      case 1:
        static_cast<void>(
            p->drain(std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 2000)));
        break;
      case 2: group.pause(); break;
      case 3: p->scale("b", 1 + random() % 4); break;
      default: static_cast<void>(p->stats()); break;
    }
    put_back();
    p->start();
    for (unsigned i = random() % 64; i != 0; --i) std::this_thread::yield();
    group.resume();
  }
  publisher.join();
  values.close();
  in.close();
  p->start();
  p->join();
  while (const auto* letter = letters.try_next()) ++all.of(letter->value).dead;
  if (two_at_the_end) return "two at the end";
  if (out_of_order) return "out of order";
  if (group.stats().in_flight != 0) return "in flight";
  if (group.stats().nacked != 0) return "nacked";
  return all.audit(p->stats());
}

TEST_CASE("threads: random failures and times, scaled, paused, stopped, drained and started again") {
  const watchdog guard("storm");
  const int messages = SUPPORT_SANITIZED != 0 ? 500 : 1000;
  for (std::uint32_t seed = 1; seed <= 8; ++seed) {
    const auto all = shapes(1 + seed % 3);
    const shape& s = all[seed % all.size()];
    INFO("seed " << seed << ", channel " << s.by_channel << ", ordered " << s.keeps_order);
    CHECK(storm(s, seed, messages) == "");
  }
}

}  // namespace
