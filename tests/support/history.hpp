// Records what real threads do to a real queue, in many short rounds, and has each round judged.
//
// A round: a few hundred operations by producers and consumers that start together, with random pauses, from
// a queue that is empty or filled beforehand; then the queue is drained. Queues that can be closed are closed
// by a producer in the middle of the round. Several rounds are run back to back, then all threads check them.
//
// A queue under test offers
//   Q(std::size_t capacity), capacity()
//   bool try_push(std::uint64_t)                  or outcome try_push(std::uint64_t)
//   std::optional<std::uint64_t> try_pop()        or outcome try_pop(std::uint64_t&), which goes first
//   close()                                       if it can be closed: a fresh queue for each round
// Verbs that wait may stand behind these names in an adapter that says `static constexpr bool waits = true`.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/sync.hpp"
#include "support/freezer.hpp"
#include "support/linearizable.hpp"
#include "support/stamp.hpp"

namespace support {

struct shape {
  unsigned producers = 1;
  unsigned consumers = 1;
};

[[nodiscard]] inline std::string describe(shape s) {
  return std::to_string(s.producers) + 'P' + std::to_string(s.consumers) + 'C';
}

struct recording {
  shape crew;
  std::size_t capacity = 8;
  std::size_t operations = 10'000;  // in all, at least
  std::size_t per_round = 300;
  std::uint64_t seed = 1;
  bool freeze = false;
  full_rule full = full_rule::exact;
  std::chrono::steady_clock::duration limit = std::chrono::hours(24);  // ends early, without a fault
};

struct tally {
  std::uint64_t operations = 0;
  std::uint64_t popped = 0;
  std::uint64_t full = 0;
  std::uint64_t empty = 0;
  std::uint64_t closed = 0;
  std::uint64_t rounds = 0;
  std::uint64_t searched = 0;  // rounds in which the exhaustive search had to decide
  std::uint64_t freezes = 0;
  double seconds = 0;
  fault found = fault::none;
  std::string message;  // the first violation, what it took to get there, and its smallest history

  tally& operator+=(const tally& other) {
    operations += other.operations;
    popped += other.popped;
    full += other.full;
    empty += other.empty;
    closed += other.closed;
    rounds += other.rounds;
    searched += other.searched;
    freezes += other.freezes;
    seconds += other.seconds;
    if (found == fault::none) found = other.found, message = other.message;
    return *this;
  }
};

[[nodiscard]] inline std::string describe(const tally& t) {
  const auto n = [](std::uint64_t count, const char* what) { return std::to_string(count) + ' ' + what; };
  return n(t.operations, "operations, ") + n(t.popped, "values passed, ") + n(t.full, "full, ") +
         n(t.empty, "empty, ") + n(t.closed, "closed, ") + n(t.rounds, "rounds (") +
         n(t.searched, "searched), ") + n(t.freezes, "freezes, ") +
         n(static_cast<std::uint64_t>(t.seconds * 1000), "ms, ") +
         n(static_cast<std::uint64_t>(static_cast<double>(t.operations) / t.seconds), "operations a second");
}

/// The same violation in fewer operations: takes values and answers away as long as it stays.
[[nodiscard]] inline history shrink(history h) {
  fifo_checker checker;
  checker.search_budget = 20'000;
  const fault found = checker.check(h).found;
  for (bool smaller = found != fault::none; smaller;) {
    smaller = false;
    for (std::size_t i = h.operations.size(); i-- > 0;) {
      if (i >= h.operations.size()) continue;
      const operation gone = h.operations[i];
      history less = h;
      std::erase_if(less.operations, [&](const operation& op) {
        const bool same = op.start == gone.start && op.end == gone.end && op.thread == gone.thread;
        return same || (gone.answer == outcome::ok && op.answer == outcome::ok && gone.what != verb::close &&
                        op.what != verb::close && op.value == gone.value);
      });
      if (checker.check(less).found != found) continue;
      h = std::move(less);
      smaller = true;
    }
  }
  return h;
}

namespace detail {

template <class Queue>
concept closable = requires(Queue& q) { q.close(); };

template <class Queue>
[[nodiscard]] outcome offer(Queue& queue, std::uint64_t value) {
  if constexpr (std::same_as<decltype(queue.try_push(std::uint64_t{value})), bool>) {
    return queue.try_push(std::uint64_t{value}) ? outcome::ok : outcome::full;
  } else {
    return queue.try_push(std::uint64_t{value});
  }
}

template <class Queue>
[[nodiscard]] outcome take(Queue& queue, std::uint64_t& value) {
  if constexpr (requires {
                  { queue.try_pop(value) } -> std::same_as<outcome>;
                }) {
    return queue.try_pop(value);
  } else {
    const std::optional<std::uint64_t> got = queue.try_pop();
    if (!got) return outcome::empty;
    value = *got;
    return outcome::ok;
  }
}

class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u) {
    if (state_ == 0) state_ = 1;
    for (int i = 0; i < 4; ++i) (*this)();
  }
  std::uint64_t operator()() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545F4914F6CDD1Du >> 16;
  }
  std::uint64_t below(std::uint64_t n) noexcept { return (*this)() % n; }

 private:
  std::uint64_t state_;
};

/// Where all threads meet; the last one does something before any goes on.
class meeting {
 public:
  explicit meeting(unsigned threads)
      : threads_(threads), spins_(threads <= std::thread::hardware_concurrency() ? 20'000 : 0) {}

  template <class Last>
  void operator()(Last&& last) {
    const std::uint32_t now = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      last();
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(now + 1, std::memory_order_release);
      phase_.notify_all();
      return;
    }
    for (int i = 0; i < spins_; ++i) {
      if (phase_.load(std::memory_order_acquire) != now) return;
      millrace::std_sync::pause();
    }
    phase_.wait(now, std::memory_order_acquire);
  }

 private:
  const unsigned threads_;
  const int spins_;
  std::atomic<std::uint32_t> arrived_{0};
  std::atomic<std::uint32_t> phase_{0};
};

template <class Queue>
class recorder {
 public:
  recorder(const recording& plan, bool clock)
      : plan_(plan),
        clock_(clock),
        crew_(plan.crew.producers + plan.crew.consumers),
        meet_(crew_),
        inside_(crew_ + 1),
        logs_(rounds_at_once, std::vector<std::vector<operation>>(crew_ + 1)) {}

  [[nodiscard]] tally run() {
    const auto began = std::chrono::steady_clock::now();
    stop_at_ = began + plan_.limit;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < crew_; ++t) threads.emplace_back([this, t] { work(t); });
    std::uint64_t freezes = 0;
#if defined(__unix__)
    if (plan_.freeze) {
      std::vector<pthread_t> victims;
      for (std::thread& thread : threads) victims.push_back(thread.native_handle());
      freezer cold(std::move(victims), inside_, plan_.seed);
      while (!over_.load(std::memory_order_acquire)) over_.wait(false, std::memory_order_acquire);
      freezes = cold.stop();
    }
#endif
    for (std::thread& thread : threads) thread.join();
    sum_.freezes = freezes;
    sum_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return sum_;
  }

 private:
  static constexpr std::size_t rounds_at_once = 16;

  void work(unsigned me) {
    fifo_checker checker;
    history h;
    tally mine;
    for (;;) {
      meet_([&] { begin_batch(); });
      if (stop_) break;
      for (std::size_t r = 0; r < rounds_at_once; ++r) {
        if (r != 0) meet_([&] { drain(r - 1), prepare(r); });
        play(me, r);
      }
      meet_([&] { drain(rounds_at_once - 1), to_check_.store(0, std::memory_order_relaxed); });
      for (;;) {
        const std::size_t r = to_check_.fetch_add(1, std::memory_order_relaxed);
        if (r >= rounds_at_once) break;
        judge(r, checker, h, mine);
      }
    }
    const std::lock_guard hold(mutex_);
    sum_ += mine;
    over_.store(true, std::memory_order_release);
    over_.notify_all();
  }

  void begin_batch() {
    stop_ = recorded_ >= plan_.operations || failed_.load(std::memory_order_relaxed) ||
            std::chrono::steady_clock::now() >= stop_at_;
    if (!stop_) ++batch_, prepare(0);
  }

  [[nodiscard]] dice dice_for(unsigned who, std::size_t r) const {
    return dice(plan_.seed ^ (batch_ * rounds_at_once + r) * 1'000'003 ^ (std::uint64_t{who} << 40));
  }

  [[nodiscard]] std::uint64_t value_of(unsigned who, std::size_t count) const {
    return std::uint64_t{who} * 1'000'000 + count;
  }

  // The queue, empty since the last round, or a new one; every other round of a large queue begins nearly
  // full.
  void prepare(std::size_t r) {
    if (!queue_ || closable<Queue>) queue_ = std::make_unique<Queue>(plan_.capacity);
    std::vector<operation>& log = logs_[r][crew_];
    log.clear();
    dice random = dice_for(crew_, r);
    const std::size_t capacity = std::min<std::size_t>(queue_->capacity(), 1024);
    if (capacity < 16 || random.below(2) == 0) return;
    const std::size_t filled = capacity - random.below(std::min<std::size_t>(capacity, 32));
    for (std::size_t i = 0; i < filled && push(log, crew_, value_of(crew_, i)) == outcome::ok; ++i) {
    }
  }

  void drain(std::size_t r) {
    std::vector<operation>& log = logs_[r][crew_];
    while (pop(log, crew_) == outcome::ok) {
    }
    for (const std::vector<operation>& thread : logs_[r]) recorded_ += thread.size();
  }

  [[nodiscard]] std::uint64_t now() const noexcept {
    return clock_ ? clock_stamps::now() : counted_stamps::now();
  }

  outcome push(std::vector<operation>& log, unsigned who, std::uint64_t value) {
    operation op{0, 0, value, who, verb::push, outcome::ok};
    inside_[who].raised.store(true, std::memory_order_relaxed);
    op.start = now();
    op.answer = offer(*queue_, value);
    op.end = now();
    inside_[who].raised.store(false, std::memory_order_relaxed);
    log.push_back(op);
    return op.answer;
  }

  outcome pop(std::vector<operation>& log, unsigned who) {
    operation op{0, 0, 0, who, verb::pop, outcome::ok};
    inside_[who].raised.store(true, std::memory_order_relaxed);
    op.start = now();
    op.answer = take(*queue_, op.value);
    op.end = now();
    inside_[who].raised.store(false, std::memory_order_relaxed);
    log.push_back(op);
    return op.answer;
  }

  // How a thread dawdles between its operations; one manner per round, and one side may be the slower.
  class pauses {
   public:
    pauses(std::uint64_t round_dice, bool producer)
        : manner_(round_dice % 4), slow_((round_dice >> 8) % 3 == (producer ? 0 : 1)) {}
    void operator()(dice& random) const {
      std::uint64_t spins = slow_ ? random.below(100) : 0;
      if (manner_ == 1 && random.below(4) == 0) spins += random.below(64);
      if (manner_ == 2 && random.below(16) == 0) std::this_thread::yield();
      if (manner_ == 3 && random.below(32) == 0) spins += random.below(600);
      for (; spins > 0; --spins) millrace::std_sync::pause();
    }

   private:
    std::uint64_t manner_;
    bool slow_;
  };

  // Where threads outnumber processors, one that is refused lets another change that, most of the time.
  void step_aside(dice& random) const {
    if (crew_ > processors_ && random.below(4) != 0) std::this_thread::yield();
  }

  void play(unsigned me, std::size_t r) {
    std::vector<operation>& log = logs_[r][me];
    log.clear();
    const bool producer = me < plan_.crew.producers;
    const pauses pause(dice_for(crew_ + 1, r)(), producer);
    dice random = dice_for(me, r);
    if (producer) {
      const std::size_t share = plan_.per_round / 2 / plan_.crew.producers;
      const std::size_t closes_at = closable<Queue> && me == 0 ? random.below(share) : share;
      std::size_t refused = 0;
      for (std::size_t i = 0; i < share && refused < 3; ++i) {
        pause(random);
        if (i == closes_at) close(log, me);
        const outcome answer = push(log, me, value_of(me, i));
        refused += answer == outcome::closed;
        if (answer != outcome::ok) step_aside(random);
      }
    } else {
      const std::size_t share = plan_.per_round / 2 / plan_.crew.consumers;
      for (std::size_t i = 0; i < share || waits(); ++i) {
        pause(random);
        const outcome answer = pop(log, me);
        if (answer == outcome::closed) break;
        if (answer != outcome::ok) step_aside(random);
      }
    }
  }

  void close(std::vector<operation>& log, unsigned who) {
    if constexpr (closable<Queue>) {
      operation op{0, 0, 0, who, verb::close, outcome::ok};
      op.start = now();
      queue_->close();
      op.end = now();
      log.push_back(op);
    }
  }

  static constexpr bool waits() {
    if constexpr (requires { Queue::waits; }) return Queue::waits;
    return false;
  }

  void judge(std::size_t r, fifo_checker& checker, history& h, tally& mine) {
    h.operations.clear();
    h.capacity = queue_->capacity();
    h.full = plan_.full;
    for (const std::vector<operation>& log : logs_[r])
      h.operations.insert(h.operations.end(), log.begin(), log.end());
    const fifo_checker::verdict& v = checker.check(h);
    for (const operation& op : h.operations) {
      mine.popped += op.what == verb::pop && op.answer == outcome::ok;
      mine.full += op.answer == outcome::full;
      mine.empty += op.answer == outcome::empty;
      mine.closed += op.answer == outcome::closed;
    }
    mine.operations += h.operations.size();
    ++mine.rounds;
    mine.searched += v.searched;
    if (v || failed_.exchange(true)) return;
    mine.found = v.found;
    mine.message = v.message + "\n" + describe(plan_.crew) + ", seed " + std::to_string(plan_.seed) +
                   ", batch " + std::to_string(batch_) + ", round " + std::to_string(r) +
                   "; at its smallest: " + describe(shrink(h));
  }

  const recording plan_;
  const bool clock_;  // rather than the counter
  const unsigned crew_;
  const unsigned processors_ = std::thread::hardware_concurrency();
  meeting meet_;
  std::vector<inside_flag> inside_;
  std::vector<std::vector<std::vector<operation>>>
      logs_;  // [round][thread], the last for filling and draining
  std::unique_ptr<Queue> queue_;
  std::uint64_t batch_ = 0;
  std::uint64_t recorded_ = 0;
  bool stop_ = false;
  std::chrono::steady_clock::time_point stop_at_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> over_{false};
  std::atomic<std::size_t> to_check_{0};
  std::mutex mutex_;
  tally sum_;
};

}  // namespace detail

/// Records at least plan.operations operations and judges them; ends at the first violation.
template <class Queue>
[[nodiscard]] tally record(const recording& plan) {
  static const bool clocks_agree = clock_stamps::sound();
  return detail::recorder<Queue>(plan, clocks_agree).run();
}

}  // namespace support
