// millrace/delivery/circuit_breaker.hpp - stops calling what fails, and tries it again after a while.
//
//             too many of the last calls failed                 open_for has passed, and somebody asks
//   closed  ------------------------------------->   open   ------------------------------------------>   half-open
//      ^    <------------- reset() ---------------    ^                                                    |    |
//      |                                              +-------------------- a probe failed ----------------+    |
//      +------------------------------------- as many probes as wanted succeeded -------------------------------+
//
// Use it when : what is called may be down for a while, and calling it all the same costs time, or keeps it down.
// Use instead : `retry_policy` alone for failures of single calls; `bulkhead` if calls are slow rather than wrong.
// Threads     : any; a permit belongs to one thread at a time. Construction and destruction: before and after everything
//               else, permits included.
// Order       : the verdicts have one order for all. A permit counts in the state that gave it, and for nothing once that has
//               changed. Who asks after a change has returned finds it.
// Progress    : try_acquire of a closed one is wait-free: a load; of an open one too, until its time has passed. Half-open ones
//               and verdicts take a mutex for a few instructions.
// Errors      : a permit that is none: rejected. A probe that never ends keeps its place: give what is called a limit.
// Exceptions  : std::invalid_argument for an option out of its range, and std::bad_alloc, from the constructor; from call()
//               what its function throws.
// Memory      : 220 bytes, and a bit for each call of the window; a permit is 16.
// Cost        : closed 1 ns to ask, and 10 for a verdict; open 10, and the clock's.
// Source      : M. Nygard, Release It!, 2007; the window over calls and the probes as in Hystrix and Resilience4j.
// Checked by  : tests/delivery/circuit_breaker_test.cpp, tests/models/circuit_breaker_models.cpp
//
// Example:
//   millrace::circuit_breaker bank({.failure_rate = 0.3, .open_for = 10s});
//   if (auto permit = bank.try_acquire()) {
//     send(order) ? permit.success() : permit.failure();        // neither: it is not counted
//   } else {
//     retry_at(bank.opens_at());
//   }
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/sync.hpp"

namespace millrace {
inline namespace v0 {

enum class circuit_state : std::uint8_t {
  closed,     // everybody may call
  open,       // nobody may
  half_open,  // some may, to find out
};

struct circuit_breaker_options {
  std::size_t window = 20;    // how many of the last calls are looked at, 1 to 1,048,576
  std::size_t minimum = 10;   // it does not open before it has seen so many, 1 to window
  double failure_rate = 0.5;  // it opens when such a part of them failed, more than 0, up to 1
  std::chrono::nanoseconds open_for = std::chrono::seconds(5);  // more than 0
  /// Each time that it opens again without having been closed, it stays so for so many times as long; 1 or more.
  double growth = 1;
  std::chrono::nanoseconds open_for_at_most = (std::chrono::nanoseconds::max)();  // at least open_for
  std::size_t probes = 1;  // successes that close it, which is also how many are tried at once; 1 or more
};

template <clock Clock = std::chrono::steady_clock, class Sync = std_sync>
class circuit_breaker {
 public:
  using clock_type = Clock;
  using time_point = typename Clock::time_point;
  using options = circuit_breaker_options;

  /// Leave for one call. Its first verdict counts, and its destruction without one does not: a probe is given back then.
  class [[nodiscard]] permit {
   public:
    /// None.
    permit() noexcept = default;
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), word_(other.word_) {}
    permit& operator=(permit&& other) noexcept {
      if (this == &other) return *this;
      let_go();
      of_ = std::exchange(other.of_, nullptr);
      word_ = other.word_;
      return *this;
    }
    ~permit() { let_go(); }

    /// Whether it is one, and no verdict was given.
    [[nodiscard]] explicit operator bool() const noexcept { return of_ != nullptr; }
    void success() noexcept { settle(true); }
    void failure() noexcept { settle(false); }

   private:
    friend circuit_breaker;
    permit(circuit_breaker& of, std::uint64_t word) noexcept : of_(&of), word_(word) {}
    void settle(bool succeeded) noexcept {
      if (of_ != nullptr) std::exchange(of_, nullptr)->settle(word_, succeeded);
    }
    void let_go() noexcept {
      if (of_ != nullptr) std::exchange(of_, nullptr)->give_back(word_);
    }

    circuit_breaker* of_ = nullptr;
    std::uint64_t word_ = 0;  // the breaker's when it gave it
  };

  /// Closed.
  explicit circuit_breaker(const options& chosen = {})
    requires stateless_clock<Clock>
      : circuit_breaker(clock_ref<Clock>(), chosen) {}
  /// By `clock`, which must outlive it.
  explicit circuit_breaker(clock_ref<Clock> clock, const options& chosen = {})
      : clock_(clock), chosen_(valid(chosen)), open_for_(chosen.open_for), failed_(chosen.window) {}
  circuit_breaker(const circuit_breaker&) = delete;
  circuit_breaker& operator=(const circuit_breaker&) = delete;
  ~circuit_breaker() = default;

  /// None: rejected.
  permit try_acquire() noexcept {
    const std::uint64_t word = look();
    if (state_of(word) == circuit_state::closed) return permit(*this, word);
    if (state_of(word) == circuit_state::open && is_early()) return reject();
    return try_probe();
  }

  /// Runs f() if it may; its exception is a failure, and goes on. Its result, or for void whether it was run.
  template <std::invocable F>
  auto call(F&& f) {
    using result = std::invoke_result_t<F>;
    struct verdict {
      permit mine;
      bool returned = false;
      ~verdict() { returned ? mine.success() : mine.failure(); }
    };
    verdict v{try_acquire()};
    if constexpr (std::is_void_v<result>) {
      if (!v.mine) return false;
      std::invoke(std::forward<F>(f));
      v.returned = true;
      return true;
    } else {
      std::optional<std::remove_cvref_t<result>> answer;
      if (!v.mine) return answer;
      answer.emplace(std::invoke(std::forward<F>(f)));
      v.returned = true;
      return answer;
    }
  }

  /// Opens it, whatever it was; an open one stays so for its time again.
  void trip() noexcept {
    const std::lock_guard lock(mutex_);
    open();
  }
  /// Closes it, whatever it was, with nothing in its window.
  void reset() noexcept {
    const std::lock_guard lock(mutex_);
    close();
  }

  /// An open one stays `open`, also after its time, until somebody asks for a permit.
  [[nodiscard]] circuit_state state() const noexcept { return state_of(look()); }
  /// When an open one lets probes through; time_point::min() if it is not open.
  [[nodiscard]] time_point opens_at() const noexcept {
    return state() == circuit_state::open ? until() : (time_point::min)();
  }
  /// How often it has opened.
  [[nodiscard]] std::uint64_t opened() const noexcept { return opened_.load(std::memory_order_relaxed); }
  /// How many have been rejected.
  [[nodiscard]] std::uint64_t rejected() const noexcept { return rejected_.load(std::memory_order_relaxed); }

 private:
  // word_    [ how often the state has changed : 62 | state : 2 ]
  static constexpr int state_bits = 2;

  [[nodiscard]] static circuit_state state_of(std::uint64_t word) noexcept {
    return static_cast<circuit_state>(word & ((1u << state_bits) - 1));
  }
  [[nodiscard]] std::uint64_t look() const noexcept {
    return word_.load(std::memory_order_seq_cst);  // (1) pairs with (2)
  }
  // Relaxed: the time was stored before the state that (1) has found, or it is of an opening that came later. In time, it
  // is looked at again with the mutex held.
  [[nodiscard]] time_point until() const noexcept {
    return time_point(typename Clock::duration(until_.load(std::memory_order_relaxed)));
  }
  [[nodiscard]] bool is_early() const noexcept { return clock_.now() < until(); }

  permit reject() noexcept {
    rejected_.fetch_add(1, std::memory_order_relaxed);  // a counter, nothing hangs on it
    return permit();
  }

  MILLRACE_NOINLINE permit try_probe() noexcept {
    const std::lock_guard lock(mutex_);
    const circuit_state now = state_of(mine());
    if (now == circuit_state::open) {
      if (is_early()) return reject();
      places_ = wanted_ = chosen_.probes;
      change_to(circuit_state::half_open);
    } else if (now == circuit_state::half_open && places_ == 0) {
      return reject();
    }
    if (now != circuit_state::closed) --places_;
    return permit(*this, mine());
  }

  void settle(std::uint64_t word, bool succeeded) noexcept {
    const std::lock_guard lock(mutex_);
    if (word != mine()) return;
    if (state_of(word) == circuit_state::closed) {
      count(!succeeded);
      // why a quotient: it is rounded as the number that the user wrote, and a product is not
      if (seen_ >= chosen_.minimum &&
          static_cast<double>(failures_) / static_cast<double>(seen_) >= chosen_.failure_rate) {
        open();
      }
    } else if (!succeeded) {
      open();
    } else if (--wanted_ == 0) {
      close();
    }
  }
  void give_back(std::uint64_t word) noexcept {
    if (state_of(word) == circuit_state::closed) return;
    const std::lock_guard lock(mutex_);
    if (word == mine()) ++places_;
  }

  // --- with the mutex held ---

  /// Relaxed: it is changed with the mutex held.
  [[nodiscard]] std::uint64_t mine() const noexcept { return word_.load(std::memory_order_relaxed); }

  void change_to(circuit_state s) noexcept {
    const std::uint64_t changes = (mine() >> state_bits) + 1;
    // (2) seq_cst; pairs with (1): who looks later finds it, with nothing else between the two
    word_.store(changes << state_bits | static_cast<std::uint64_t>(s), std::memory_order_seq_cst);
  }
  void open() noexcept {
    if (state_of(mine()) == circuit_state::half_open) open_for_ = longer();
    const time_point until = detail::saturating_deadline(clock_.now(), open_for_);
    until_.store(until.time_since_epoch().count(), std::memory_order_relaxed);  // see until()
    opened_.fetch_add(1, std::memory_order_relaxed);
    change_to(circuit_state::open);
  }
  void close() noexcept {
    open_for_ = chosen_.open_for;
    seen_ = failures_ = at_ = 0;
    change_to(circuit_state::closed);
  }
  [[nodiscard]] std::chrono::nanoseconds longer() const noexcept {
    const double grown = static_cast<double>(open_for_.count()) * chosen_.growth;
    // why compared first: what is more than the type holds must not be converted
    if (grown >= static_cast<double>(chosen_.open_for_at_most.count())) return chosen_.open_for_at_most;
    return std::chrono::nanoseconds(static_cast<std::int64_t>(grown));
  }
  /// Into the window, in place of the oldest once it is full.
  void count(bool failed) noexcept {
    if (seen_ == chosen_.window) {
      if (failed_[at_]) --failures_;
    } else {
      ++seen_;
    }
    failed_[at_] = failed;
    if (failed) ++failures_;
    at_ = at_ + 1 == chosen_.window ? 0 : at_ + 1;
  }

  [[nodiscard]] static options valid(const options& o) {
    const auto demand = [](bool holds, const char* message) {
      if (!holds) detail::fail<std::invalid_argument>(message);
    };
    demand(o.window >= 1 && o.window <= 1'048'576, "circuit_breaker: window must be 1 to 1,048,576");
    demand(o.minimum >= 1 && o.minimum <= o.window, "circuit_breaker: minimum must be 1 to window");
    demand(o.failure_rate > 0 && o.failure_rate <= 1,
           "circuit_breaker: failure_rate must be more than 0, up to 1");
    demand(o.open_for > std::chrono::nanoseconds::zero(), "circuit_breaker: open_for must be more than 0");
    demand(o.growth >= 1, "circuit_breaker: growth must be 1 or more");
    demand(o.open_for_at_most >= o.open_for, "circuit_breaker: open_for_at_most must be open_for or more");
    demand(o.probes >= 1, "circuit_breaker: probes must be 1 or more");
    return o;
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  const options chosen_;
  typename Sync::template atomic<std::uint64_t> word_{0};
  typename Sync::template atomic<typename Clock::duration::rep> until_{0};
  typename Sync::template atomic<std::uint64_t> opened_{0};
  typename Sync::template atomic<std::uint64_t> rejected_{0};
  typename detail::mutex_of<Sync>::type mutex_;
  std::chrono::nanoseconds open_for_;  // \ guarded by mutex_
  std::vector<bool> failed_;           // | the window, a ring
  std::size_t seen_ = 0;               // | how much of it
  std::size_t failures_ = 0;           // |
  std::size_t at_ = 0;                 // | where the next one goes
  std::size_t places_ = 0;             // | for probes
  std::size_t wanted_ = 0;             // / successes
};

template <clock Clock>
circuit_breaker(Clock&, const circuit_breaker_options& = {}) -> circuit_breaker<Clock>;

}  // namespace v0
}  // namespace millrace
