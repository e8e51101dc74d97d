// An order's way through a shop: five stages, each with its own workers, and the slow one is given more of them while it runs.
//
//   orders ===> create --> risk --> stock --> pay --> ship ===> shipped, in the order in which they came
//    group        1          2        1      1..8      1
//                            |                 |
//                      refused: done     never payable: dead letters, with the stage's name
//
// Paying takes 2 ms, the rest nearly nothing. So what is behind paying has nothing to do, what is before it is full, and the
// orders wait in the topic: that is back-pressure, up to the source. stats() tells which stage holds the others up; with eight
// workers instead of one it does so several times less.
#include <chrono>
#include <cstdio>
#include <latch>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/pipeline.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

using namespace std::chrono_literals;
using millrace::outcome;

struct order {
  int number;
};
struct checked {
  int number;
  int cents;
};
struct paid {
  int number;
  int receipt;
};

static constexpr int orders = 800;
static constexpr int by_one = 100;    // shipped before the payment stage gets more workers
static constexpr int by_eight = 500;  // and after

/// What the stages have room for, with what their workers are at.
static constexpr std::size_t most_inside = 3 * 64 + 16 + 1 + 1 + 2 + 1 + 1 + 1;

static bool is_refused(int n) { return n % 50 == 49; }   // by the risk stage
static bool is_hopeless(int n) { return n % 200 == 7; }  // no payment will ever succeed

int main() {
  millrace::thread_executor threads(12);
  millrace::timer_service timers;
  timers.start();
  millrace::dead_letters<order> lost(100);
  millrace::topic<order> placed(1024);

  // What comes out, by one at a time.
  std::vector<int> shipped;
  std::latch first_part(by_one);
  std::latch second_part(by_eight);
  int pieces = orders;

  auto line =
      millrace::from(placed.group("shop", {.dead_letters = &lost}))
          .stage("create", [](const order& o) { return o; })
          .stage("risk", {.workers = 2},
                 [](const order& o) -> std::optional<checked> {
                   if (is_refused(o.number)) return std::nullopt;
                   return checked{o.number, o.number % 90 + 10};
                 })
          .stage("stock",
                 [&](const checked& c) {
                   --pieces;  // one worker: nobody else is at it
                   return c;
                 })
          .stage("pay", {.workers = 1, .capacity = 16, .retry = {.attempts = 3, .first = 1ms, .most = 5ms}},
                 [](const checked& c) {
                   std::this_thread::sleep_for(2ms);  // the payment provider
                   if (is_hopeless(c.number)) throw std::runtime_error("card expired");
                   return paid{c.number, c.number + 1'000'000};
                 })
          .ordered()
          .to([&](const paid& p) {
            shipped.push_back(p.number);
            if (shipped.size() <= by_one) return first_part.count_down();
            if (shipped.size() <= by_one + by_eight) second_part.count_down();
          });
  millrace::pipeline shop("shop", std::move(line), threads, timers);

  for (int i = 0; i < orders; ++i) {
    if (placed.publish({i}) != outcome::ok) return 1;
  }
  using clock = std::chrono::steady_clock;
  const auto begin = clock::now();
  shop.start();
  first_part.wait();
  const auto middle = clock::now();
  const millrace::pipeline_stats before = shop.stats();
  const bool is_bounded = before.inside <= most_inside;
  std::printf(
      "with 1 worker  for paying: %s holds up the others; %s\n", std::string(before.bottleneck()).c_str(),
      is_bounded ? "a few hundred orders are inside, the others wait in the topic" : "TOO MANY ARE INSIDE");

  shop.scale("pay", 8);
  second_part.wait();
  const auto end = clock::now();
  const double one = std::chrono::duration<double>(middle - begin).count() / by_one;
  const double eight = std::chrono::duration<double>(end - middle).count() / by_eight;
  std::printf("with 8 workers for paying: %s\n",
              one > 3 * eight ? "more than three times as fast" : "NOT MUCH FASTER");

  placed.close();
  shop.join();  // everything is through
  const millrace::pipeline_stats s = shop.stats();
  std::printf("%-7s %8s %6s %6s %9s %9s %6s\n", "stage", "workers", "in", "out", "filtered", "failures",
              "dead");
  for (const millrace::stage_stats& stage : s.stages) {
    std::printf("%-7s %8zu %6llu %6llu %9llu %9llu %6llu\n", stage.name.c_str(), stage.workers,
                static_cast<unsigned long long>(stage.in), static_cast<unsigned long long>(stage.out),
                static_cast<unsigned long long>(stage.filtered),
                static_cast<unsigned long long>(stage.failed), static_cast<unsigned long long>(stage.dead));
  }
  std::size_t letters = 0;
  auto clerk = lost.letters().subscribe({.from = millrace::earliest});
  std::string reason;
  while (const auto* letter = clerk.try_next()) {
    letters += is_hopeless(letter->value.number);
    reason = letter->reason;
  }

  std::vector<int> expected;
  for (int i = 0; i < orders; ++i) {
    if (!is_refused(i) && !is_hopeless(i)) expected.push_back(i);
  }
  std::printf("%zu shipped, in order; %zu dead letters: %s\n", shipped.size(), letters, reason.c_str());
  const bool fine = is_bounded && shipped == expected && letters == 4 && s.taken == orders &&
                    s.done + s.filtered + s.dead == orders && before.bottleneck() == "pay" &&
                    one > 3 * eight && pieces == orders - 784;
  if (!fine) std::puts("THAT IS NOT AS IT SHOULD BE");
  return fine ? 0 : 1;
}
