// The books of a group balance: random consumers that ack, nack, release, reject, throttle, drop, throw, keep a message beyond
// its time, are scaled, paused and drained. Every message ends settled once, is nowhere twice at a time unless its time has
// passed, and keeps the order that the group promises. MILLRACE_SOAK=1 keeps on for MILLRACE_SOAK_SECONDS (600).
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "millrace/delivery/consumer_group.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::ordering;
using millrace::outcome;

struct order {
  std::uint32_t number;
  std::uint32_t key;
};
using topic = millrace::topic<order>;
using group = millrace::consumer_group<topic>;
using delivery = group::delivery;

struct plan {
  ordering rule = ordering::none;
  std::uint32_t messages = 0;
  bool times_out = false;
  bool with_dead_letters = true;
  bool by_run = false;
  std::uint32_t seed = 0;
};

constexpr std::uint32_t keys = 17;
constexpr unsigned publishers = 2;
constexpr unsigned consumers = 4;

/// What is known of a message, written by those who have it.
struct page {
  std::atomic<int> hands{0};
  std::atomic<int> settled{0};  // for good
};

class trial {
 public:
  explicit trial(const plan& p)
      : plan_(p),
        pages_(p.messages),
        dead_(p.messages + 1),
        orders_(256),
        group_(orders_.group("g", chosen())) {}

  /// What is wrong, or nothing.
  std::string run() {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < publishers; ++i) threads.emplace_back([this, i] { publish(i); });
    if (plan_.by_run) {
      group_.run(consumers, [this](delivery& d) { handle(d); });
    } else {
      for (unsigned i = 0; i < consumers; ++i) threads.emplace_back([this, i] { consume(i); });
    }
    std::thread meddler([this] { meddle(); });
    for (std::thread& t : threads) t.join();
    if (plan_.by_run) {
      over_ = true;
      meddler.join();
      group_.join();
    } else {
      over_ = true;
      meddler.join();
    }
    return audit();
  }
  [[nodiscard]] millrace::group_stats stats() const { return group_.stats(); }

 private:
  millrace::group_options<topic> chosen() {
    millrace::group_options<topic> o{
        .order = plan_.rule,
        .max_in_flight = 8,
        .ack_timeout = plan_.times_out ? std::chrono::nanoseconds(1ms) : std::chrono::nanoseconds(1h),
        .retry = {.attempts = 4, .first = 100us, .most = 1ms},
        .dead_letters = plan_.with_dead_letters ? &dead_ : nullptr};
    if (plan_.rule == ordering::by_key) o.key = [](const order& m) { return m.key; };
    return o;
  }
  void wrong(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (wrong_.empty()) wrong_ = what;
  }

  void publish(unsigned who) {
    for (std::uint32_t n = who; n < plan_.messages; n += publishers) {
      if (orders_.publish(order{n, n % keys}) != outcome::ok) wrong("refused");
    }
    if (published_.fetch_add(1) + 1 == publishers) orders_.close();
  }

  void take(const delivery& d) {
    page& p = pages_[d->number];
    // why not of those who are too slow: its time may have passed, and another one have settled it, before this line
    if (p.settled.load() != 0 && !plan_.times_out)
      wrong("delivered again after it was settled: " + std::to_string(d->number));
    if (p.hands.fetch_add(1) != 0 && !plan_.times_out)
      wrong("delivered twice at a time: " + std::to_string(d->number));
    if (plan_.rule == ordering::none || plan_.times_out) return;
    // Whoever has it has its key, or everything, for itself.
    const std::uint32_t lane = plan_.rule == ordering::strict ? 0 : d->key;
    if (lanes_[lane].fetch_add(1) != 0) wrong("two of a key at a time");
    if (d.offset() < done_[lane]) wrong("out of order: " + std::to_string(d->number));
  }
  void give(std::uint32_t number, std::uint32_t key, std::uint64_t offset, bool for_good) {
    if (plan_.rule != ordering::none && !plan_.times_out) {
      const std::uint32_t lane = plan_.rule == ordering::strict ? 0 : key;
      if (for_good) done_[lane] = offset;
      lanes_[lane].fetch_sub(1);
    }
    pages_[number].hands.fetch_sub(1);
  }
  void note(std::uint32_t number, bool counted) {
    if (counted && pages_[number].settled.fetch_add(1) != 0)
      wrong("settled twice: " + std::to_string(number));
  }

  void consume(unsigned who) {
    std::minstd_rand random(plan_.seed * 16 + who + 1);
    delivery d;
    while (group_.receive(d) == outcome::ok) {
      take(d);
      settle(d, random);
    }
  }
  /// why given back before it is settled: afterwards somebody else may have it
  void settle(delivery& d, std::minstd_rand& random) {
    const std::uint32_t number = d->number;
    const std::uint32_t key = d->key;
    const bool last = d.attempt() == 4;
    const auto draw = random() % 64;
    if (plan_.times_out && draw >= 60) std::this_thread::yield();
    if (plan_.times_out && draw == 63) std::this_thread::sleep_for(2ms);  // it is to be too slow
    give(number, key, d.offset(), draw < 40 || draw == 52 || last);
    if (draw < 40) {
      const bool in_time = d.ack();
      if (!in_time && !plan_.times_out && !drained_) wrong("too late, without having been late");
      note(number, in_time);
    } else if (draw < 46) {
      d.nack();
    } else if (draw < 50) {
      d.nack(50us);
    } else if (draw < 52) {
      d.release();
    } else if (draw == 52) {
      d.reject("at random");
    } else if (draw == 53) {
      d.throttle(20us);
    } else if (draw < 57) {
      d = delivery();
    } else {
      d.extend(1ms);
      note(number, d.ack());
    }
  }
  void handle(delivery& d) {
    thread_local std::minstd_rand random(std::random_device{}());
    take(d);
    const std::uint32_t number = d->number;
    // why again and again: so that some of even a few messages die
    const auto draw = d.attempt() == 1 ? random() % 16 : 10 + random() % 6;
    give(number, d->key, d.offset(), draw < 12 || d.attempt() == 4);
    if (draw == 15) throw std::runtime_error("at random");
    if (draw == 14) throw 14;
    if (draw == 13) {
      d.nack();
      throw std::runtime_error("afterwards");
    }
    if (draw == 12) {
      d.release();
      return;
    }
    if (draw < 6) note(number, d.ack());
    if (draw >= 6) note(number, true);  // by returning
  }

  void meddle() {
    std::minstd_rand random(plan_.seed + 77);
    while (!over_) {
      switch (random() % 4) {
        case 0:
          group_.pause();
          std::this_thread::yield();
          group_.resume();
          break;
        case 1:
          if (plan_.by_run) group_.scale(1 + random() % (2 * consumers));
          break;
        case 2:
          if (!plan_.times_out) {
            static_cast<void>(group_.drain());
            if (group_.stats().in_flight != 0) wrong("drained, and something is in flight");
            group_.resume();
          } else if (plan_.rule == ordering::none && random() % 16 == 0) {
            // why seldom: what comes back here does not time out
            drained_ = true;
            static_cast<void>(group_.drain(std::chrono::steady_clock::now() + 100us));
            group_.resume();
          }
          break;
        default: static_cast<void>(group_.stats()); break;
      }
      for (int i = 0; i < 50; ++i) std::this_thread::yield();
    }
  }

  std::string audit() {
    const auto s = group_.stats();
    std::uint64_t settled = 0;
    for (page& p : pages_) settled += std::uint64_t(p.settled.load());
    auto letters = dead_.letters().subscribe({.from = millrace::earliest});
    std::uint64_t dead = 0;
    while (const auto* l = letters.try_next()) {
      ++dead;
      if (pages_[l->value.number].settled.fetch_add(1) != 0)
        wrong("dead, and done: " + std::to_string(l->value.number));
    }
    if (s.in_flight + s.ready + s.waiting + s.behind + s.backlog != 0) wrong("something is left");
    if (s.acked != settled) wrong("acked " + std::to_string(s.acked) + ", told " + std::to_string(settled));
    if (s.dead != dead) wrong("dead " + std::to_string(s.dead) + ", letters " + std::to_string(dead));
    if (s.acked + s.dead + s.parked != plan_.messages) {
      wrong("acked " + std::to_string(s.acked) + ", dead " + std::to_string(s.dead) + ", parked " +
            std::to_string(s.parked) + " of " + std::to_string(plan_.messages));
    }
    if (s.delivered != plan_.messages + s.redelivered + 0 && s.released == 0)
      wrong("deliveries do not add up");
    return wrong_;
  }

  const plan plan_;
  std::vector<page> pages_;
  std::atomic<int> lanes_[keys]{};
  std::uint64_t done_[keys]{};  // the last offset; by who has the lane
  millrace::dead_letters<order> dead_;
  topic orders_;
  group group_;
  std::atomic<unsigned> published_{0};
  std::atomic<bool> over_{false};
  std::atomic<bool> drained_{false};
  std::mutex mutex_;
  std::string wrong_;
};

double soak_seconds() {
  if (std::getenv("MILLRACE_SOAK") == nullptr) return 0;
  const char* seconds = std::getenv("MILLRACE_SOAK_SECONDS");
  return seconds != nullptr ? std::atof(seconds) : 600;
}

void trials(const char* name, plan p) {
  const support::watchdog guard(name, std::chrono::seconds(120 + static_cast<int>(soak_seconds())));
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(soak_seconds() / 8);
  std::uint64_t messages = 0;
  millrace::group_stats sum;
  do {
    p.messages = SUPPORT_SANITIZED ? 2'000 : 8'000;
    ++p.seed;
    trial t(p);
    const std::string wrong = t.run();
    if (!wrong.empty()) FAIL(name << ", seed " << p.seed << ": " << wrong);
    const auto s = t.stats();
    messages += p.messages;
    sum.acked += s.acked, sum.dead += s.dead, sum.parked += s.parked, sum.delivered += s.delivered,
        sum.timed_out += s.timed_out, sum.late += s.late;
  } while (std::chrono::steady_clock::now() < end);
  std::printf(
      "%-28s %llu messages, %llu deliveries: %llu acked, %llu dead, %llu parked; %llu timed out, %llu late\n",
      name, static_cast<unsigned long long>(messages), static_cast<unsigned long long>(sum.delivered),
      static_cast<unsigned long long>(sum.acked), static_cast<unsigned long long>(sum.dead),
      static_cast<unsigned long long>(sum.parked), static_cast<unsigned long long>(sum.timed_out),
      static_cast<unsigned long long>(sum.late));
  CHECK(sum.delivered > messages);
  CHECK(sum.dead + sum.parked > 0);
  if (p.times_out) CHECK(sum.timed_out > 0);
}

}  // namespace

TEST_CASE("the books of consumers that receive") {
  trials("in any order", {.rule = ordering::none});
  trials("in any order, parked", {.rule = ordering::none, .with_dead_letters = false});
  trials("in any order, too slow", {.rule = ordering::none, .times_out = true});
  trials("by key", {.rule = ordering::by_key});
  trials("by key, too slow", {.rule = ordering::by_key, .times_out = true});
  trials("strict", {.rule = ordering::strict});
}
TEST_CASE("the books of run") {
  trials("run, in any order", {.rule = ordering::none, .by_run = true});
  trials("run, by key", {.rule = ordering::by_key, .by_run = true});
}
