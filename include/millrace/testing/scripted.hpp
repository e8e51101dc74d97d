// millrace/testing/scripted.hpp - a stub consumer: it succeeds, fails, stalls, throttles and rejects as a script says.
//
// It stands where a handler does, of a group or of bus::subscribe, and answers one delivery after the other, whatever group and message
// it is. Where the script ends it succeeds. To succeed is to call what it was given, if anything, and to acknowledge: so it is a stub
// that only answers, or a real handler with failures before it.
//
// Use it when : you test what is made of an outage: retries, pauses, dead letters, breakers, answers that come late or never.
// Use instead : a lambda, where what it does depends on the message.
// Threads     : any number of handlers at once. A handle, to be copied; copies are the same stub.
// Order       : answers are given in the order of the calls.
// Progress    : a mutex, not held while a handler is called. What stalls holds no thread: the delivery is kept by the timers.
// Errors      : what is stalled when the timers stop is nacked.
// Exceptions  : std::bad_alloc; `then_fail` throws std::runtime_error in the handler's place. Without exceptions it is a nack, and the
//               reason is lost.
// Memory      : a copy of each message it is called with, if T can be copied, and some 40 bytes.
// Cost        : does not matter.
// Source      : ours; the "responses" of stubs in G. Meszaros, xUnit Test Patterns, 2007.
// Checked by  : tests/testing/scripted_test.cpp
//
// Example:
//   millrace::testing::scripted<order> bank(t->timers());
//   bank.then_succeed(2).then_fail("down", 3).then_stall(5s).then_throttle(1s).then_reject("no such account");
//   REQUIRE(t->subscribe<order>("orders.placed", "billing", bank).ok());
//   ...
//   CHECK(bank.calls()[3].attempt == 2);
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

template <class T>
class scripted {
 public:
  using value_type = T;

  /// What it was called with.
  struct call {
    std::conditional_t<std::is_copy_constructible_v<T>, T, std::monostate> value;
    std::uint32_t attempt;
    std::uint64_t offset;
    std::chrono::nanoseconds at;  // since the clock's epoch
  };

  /// `timers`: what stalls comes back by them; they must outlive the topic's use of this, and end before the topic. A bus's timers() do.
  template <class Timers>
  explicit scripted(Timers& timers) : scripted(timers, [](const T&) {}) {}
  /// `handler`: what it is to succeed, a handler as for a group: of (const T&) or (delivery<T>&).
  template <class Timers, class Handler>
  scripted(Timers& timers, Handler handler)
      : state_(std::make_shared<state_of<Timers, Handler>>(timers, std::move(handler))) {}

  // --- the script: each adds to its end, for the next `n` calls; `unlimited`: for ever ---

  scripted& then_succeed(std::size_t n = 1) {
    return then(n, [](state& s, delivery<T>& d) { s.succeed(d); });
  }
  scripted& then_fail(std::string reason, std::size_t n = 1) {
    return then(n, [r = std::move(reason)](state&, delivery<T>& d) { fail(d, r); });
  }
  /// It succeeds, but so much later.
  scripted& then_stall(std::chrono::nanoseconds time, std::size_t n = 1) {
    return then(n, [time](state& s, delivery<T>& d) { s.succeed_in(time, std::move(d)); });
  }
  /// It never answers.
  scripted& then_stall_for_ever(std::size_t n = 1) {
    return then_stall((std::chrono::nanoseconds::max)(), n);
  }
  /// "Too many requests": the group pauses for so long, and the attempt does not count.
  scripted& then_throttle(std::chrono::nanoseconds retry_after, std::size_t n = 1) {
    return then(n, [retry_after](state&, delivery<T>& d) { d.throttle(retry_after); });
  }
  /// No attempt can succeed: a dead letter.
  scripted& then_reject(std::string reason, std::size_t n = 1) {
    return then(n, [r = std::move(reason)](state&, delivery<T>& d) { d.reject(r); });
  }

  // --- as a handler ---

  void operator()(delivery<T>& d) const {
    if (const std::shared_ptr<answer> a = state_->next(d)) {
      (*a)(*state_, d);
    } else {
      state_->succeed(d);
    }
  }

  // --- what came of it ---

  [[nodiscard]] std::vector<call> calls() const {
    const std::lock_guard lock(state_->mutex);
    return state_->calls;
  }
  /// How many of the script's answers have not been given, without those for ever.
  [[nodiscard]] std::size_t left() const {
    const std::lock_guard lock(state_->mutex);
    std::size_t n = 0;
    for (const line& l : state_->script) n += l.left != unlimited ? l.left : 0;
    return n;
  }

 private:
  struct state;
  using answer = function<void(state&, delivery<T>&)>;
  struct line {
    std::size_t left;
    std::shared_ptr<answer> what;
  };

  struct state : std::enable_shared_from_this<state> {
    virtual ~state() = default;
    virtual void call_handler(delivery<T>& d) = 0;
    [[nodiscard]] virtual std::chrono::nanoseconds now() const = 0;
    virtual void succeed_in(std::chrono::nanoseconds time, delivery<T> d) = 0;

    void succeed(delivery<T>& d) {
      call_handler(d);
      if (d) d.ack();
    }
    /// By a timer.
    void succeed_late(delivery<T>& d) {
#if MILLRACE_HAS_EXCEPTIONS
      try {
        succeed(d);
      } catch (...) {
        d.nack();  // as a group does with what a handler throws
      }
#else
      succeed(d);
#endif
    }
    /// nullptr: the script has ended.
    std::shared_ptr<answer> next(const delivery<T>& d) {
      call made = about(d);
      const std::lock_guard lock(mutex);
      calls.push_back(std::move(made));
      while (!script.empty() && script.front().left == 0) script.pop_front();
      if (script.empty()) return nullptr;
      if (script.front().left != unlimited) --script.front().left;
      return script.front().what;
    }
    [[nodiscard]] call about(const delivery<T>& d) const {
      if constexpr (std::is_copy_constructible_v<T>) {
        return {*d, d.attempt(), d.offset(), now()};
      } else {
        return {{}, d.attempt(), d.offset(), now()};
      }
    }

    std::mutex mutex;
    std::deque<line> script;  // \ guarded by mutex
    std::vector<call> calls;  // /
  };
  template <class Timers, class Handler>
  struct state_of final : state {
    state_of(Timers& t, Handler h) : timers(t), handler(std::move(h)) {}
    void call_handler(delivery<T>& d) override {
      if constexpr (std::is_invocable_v<Handler&, delivery<T>&>) {
        handler(d);
      } else {
        handler(*d);
      }
    }
    [[nodiscard]] std::chrono::nanoseconds now() const override { return timers.now().time_since_epoch(); }
    void succeed_in(std::chrono::nanoseconds time, delivery<T> d) override {
      timers.schedule_after(
          time, [me = this->shared_from_this(), kept = std::move(d)]() mutable { me->succeed_late(kept); });
    }

    Timers& timers;
    Handler handler;
  };

  scripted& then(std::size_t n, answer what) {
    const std::lock_guard lock(state_->mutex);
    state_->script.push_back({n, std::make_shared<answer>(std::move(what))});
    return *this;
  }
  static void fail(delivery<T>& d, const std::string& reason) {
#if MILLRACE_HAS_EXCEPTIONS
    static_cast<void>(d);
    throw std::runtime_error(reason);
#else
    static_cast<void>(reason);
    d.nack();
#endif
  }

  std::shared_ptr<state> state_;
};

}  // namespace testing
}  // namespace v0
}  // namespace millrace
