// Money between the accounts of two banks, which no transaction reaches together: a saga for each transfer.
//
//    debit ------> screen ------> decide ------> credit        forward, each tried again while it fails
//      |             |            (pivot)                      behind the pivot nothing is taken back any more
//      '<-- void <---'                                         and backward, if one before it fails for good
//
// Both banks are out of order now and then: a call fails, or it does its work and the answer gets lost, so that nobody knows.
// Half-way the program that runs the transfers ends, and another one goes on with what the store has. Both banks know the
// key of each call, and do nothing twice. In the end every cent is accounted for.
//
// In one thread, on a clock that is moved by hand, so that every run is the same.
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/saga.hpp"
#include "millrace/flow/saga_runner.hpp"
#include "millrace/flow/saga_store.hpp"
#include "millrace/testing/step_executor.hpp"
#include "millrace/time/timer_service.hpp"

using namespace std::chrono_literals;
using millrace::saga_attempt;
using millrace::saga_state;
using cents = std::int64_t;
using timer_service = millrace::basic_timer_service<millrace::manual_clock>;

struct transfer {
  int from;
  int to;
  cents amount;
};

/// Knows what it has done by key: done again, or voided before it came, nothing happens.
struct bank {
  std::map<int, cents> accounts;
  std::set<std::string> done;
  std::set<std::string> voided;

  void move(int account, cents by, const std::string& key) {
    if (voided.contains(key) || done.contains(key)) return;
    if (accounts[account] + by < 0) throw std::runtime_error("not enough money");
    accounts[account] += by;
    done.insert(key);
  }
  void undo(int account, cents by, const std::string& key) {
    if (!voided.insert(key).second || !done.contains(key)) return;
    accounts[account] -= by;
  }
};

/// What goes wrong between here and a bank.
struct bad_line {
  std::mt19937 random{2024};
  std::vector<saga_attempt<transfer>> lost;  // nobody will answer these
  int failures = 0;

  template <class Deed>
  void call(saga_attempt<transfer>& a, Deed deed) {
    const auto luck = random() % 100;
    if (luck < 25) {
      ++failures;
      throw std::runtime_error("no connection");
    }
    deed();
    if (luck < 35) lost.push_back(std::move(a));
  }
};

int main() {
  constexpr int people = 20;
  constexpr int transfers = 500;
  constexpr cents begin_with = 300'000;
  bank ours;
  bank theirs;
  bad_line line;
  for (int i = 0; i < people; ++i) ours.accounts[i] = theirs.accounts[i] = begin_with;

  // What a retry cannot mend is given up at once.
  const auto sensible = [](std::uint32_t attempts) {
    millrace::retry_policy p{.attempts = attempts, .first = 100ms, .jitter = 0};
    p.decide = [](const millrace::failure& f) {
      const bool hopeless = f.reason == "not enough money" || f.reason == "screened";
      return hopeless ? millrace::decision::reject() : millrace::decision::retry();
    };
    return p;
  };
  millrace::saga<transfer> money("transfer");
  money
      .step(
          "debit", {.retry = sensible(3), .compensation_retry = sensible(3), .timeout = 5s},
          [&](saga_attempt<transfer>& a) {
            line.call(a, [&] { ours.move(a->from, -a->amount, a.call().key); });
          },
          [&](saga_attempt<transfer>& a) {
            line.call(a, [&] {
              ours.undo(a->from, -a->amount, millrace::saga_key("transfer", a.call().id, "debit"));
            });
          })
      .step("screen", {.retry = sensible(1)},
            [](transfer& t, const millrace::saga_call&) {
              if (t.to % 9 == 4) throw std::runtime_error("screened");
            })
      .pivot("decide", {}, [](transfer&, const millrace::saga_call&) {})
      .step("credit", {.retry = sensible(millrace::unlimited_attempts), .timeout = 5s},
            [&](saga_attempt<transfer>& a) {
              line.call(a, [&] { theirs.move(a->to, a->amount, a.call().key); });
            });

  millrace::manual_clock clock;
  millrace::testing::step_executor steps;
  timer_service timers(clock);
  millrace::memory_saga_store<transfer> store;
  millrace::topic<millrace::saga_failure<transfer>> stuck(1000);
  auto letters = stuck.subscribe();
  std::uint64_t compensations = 0;
  const auto run = [&](std::size_t most) {
    for (;;) {
      if (steps.run_until_idle(most) == most) return;  // that is when it ends
      const auto next = timers.poll(clock.now());
      if (!steps.is_idle()) continue;
      if (!next) break;
      clock.set(*next);
    }
  };

  {
    millrace::saga_runner first(money, store, steps, timers, {.dead_letters = &stuck});
    for (int i = 0; i < transfers; ++i) {
      const auto amount = static_cast<cents>(line.random() % 20'000);
      const auto from = static_cast<int>(line.random() % people);
      const auto to = static_cast<int>(line.random() % people);
      if (first.start("t-" + std::to_string(i), {from, to, amount}) != millrace::saga_answer::ok) return 1;
    }
    run(1800);
    compensations += first.stats().compensations;
  }
  millrace::saga_runner second(money, store, steps, timers, {.dead_letters = &stuck});
  std::printf("%zu of %d transfers were under way when the program ended, and are taken up again\n",
              second.resume_all(), transfers);
  run(1'000'000);

  // A compensation that fails too often is nothing that a program can settle: somebody sees to it.
  while (const auto* letter = letters.try_next()) {
    std::printf("stuck: %s at %s, %s\n", letter->id.c_str(), letter->step.c_str(), letter->reason.c_str());
    while (second.state(letter->id) == saga_state::stuck) {
      if (second.retry_stuck(letter->id) != millrace::saga_answer::ok) return 1;
      run(1'000'000);
    }
  }

  compensations += second.stats().compensations;

  int completed = 0;
  int compensated = 0;
  for (int i = 0; i < transfers; ++i) {
    const auto state = second.state("t-" + std::to_string(i));
    completed += state == saga_state::completed;
    compensated += state == saga_state::compensated;
  }
  cents here = 0;
  cents there = 0;
  for (int i = 0; i < people; ++i) {
    here += ours.accounts[i];
    there += theirs.accounts[i];
  }
  // What the banks have done, told from their own books and not from ours.
  std::size_t debits = 0;
  for (const std::string& key : ours.done) debits += !ours.voided.contains(key);
  std::printf("%d completed, %d taken back; %d calls failed, %zu answers were lost, %llu compensations\n",
              completed, compensated, line.failures, line.lost.size(),
              static_cast<unsigned long long>(compensations));
  std::printf("debits that stand %zu = credits %zu = completed %d\n", debits, theirs.done.size(), completed);
  std::printf("our bank %lld + their bank %lld = %lld, as in the beginning\n", static_cast<long long>(here),
              static_cast<long long>(there), static_cast<long long>(here + there));
  const bool balances = completed + compensated == transfers && here + there == 2 * people * begin_with &&
                        debits == theirs.done.size() && debits == static_cast<std::size_t>(completed);
  std::puts(balances ? "The books balance." : "THE BOOKS DO NOT BALANCE");
  return balances ? 0 : 1;
}
