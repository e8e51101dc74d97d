// millrace/flow/saga.hpp - work of several steps, each with what takes it back: in the end all are done, or none.
//
// What it says of a saga is a definition, made once; saga_runner.hpp runs any number of it. A step has an action, and a
// compensation that takes back what the action has done. If an action fails for good, the compensations of the steps before
// it are run, the last one first. If it is not known whether an action has done its work, because no answer came in time,
// its own compensation is run, too, before the others. A pivot is the step that decides: once it may be done nothing is
// taken back any more, and it and what is behind it are only tried again, by their retry policies.
//
// Use it when : several services, accounts or topics have to change together, and no transaction reaches all of them.
// Use instead : one transaction of a data base, where one reaches; the retries of a `consumer_group`, if there is one step;
//               events alone, if nobody needs to know how far it is (choreography: services that react to each other's, by
//               consumer groups and with saga_key; tests/flow/saga_choreography_test.cpp shows it).
// Threads     : defined in one, before a runner has it, and not changed after that. Actions, compensations, and `decide` and
//               `random` of the retry policies are called by all threads of the runner's executor, also at the same time.
//               A saga_attempt: one at a time; it may be moved to another thread and answered there.
// Order       : a saga's steps one after the other, as they were defined; compensations in strict reverse.
// Progress    : answering takes a mutex for a moment, and posts a task.
// Errors      : done() and failed() are false if nobody waits for that answer any more: it came too late, or the runner has been
//               stopped. The runner counts it (stats().late); nothing else happens. An attempt that is dropped has no known
//               outcome, and is taken for one that has timed out.
// Exceptions  : std::invalid_argument for a name, an option, an action or a compensation that is not allowed. What an action
//               throws is a failed attempt, with what() for a reason, and is expected to have changed nothing.
// Memory      : 600 bytes a step. An attempt: about 200 bytes, and a copy of the context, until it is answered.
// Cost        : an allocation, and a copy of the context, for each attempt.
// Source      : H. Garcia-Molina & K. Salem, Sagas, SIGMOD 1987; pivot and retriable steps: C. Richardson, Microservices
//               Patterns, 2018.
// Checked by  : tests/flow/saga_test.cpp, tests/flow/saga_runner_test.cpp, tests/flow/saga_books_test.cpp,
//               tests/flow/saga_choreography_test.cpp
//
// Whoever does what an action asks for must know its key: the same key again is not done again, and a compensation whose
// action never came makes that void, should it still come. Keys are the same for all attempts of a step, also after a restart.
// And since an answer may be lost, a compensation finds what it takes back by the key, or by what was in the context before.
//
// Example:
//   struct transfer { account from, to; cents amount; };
//   millrace::saga<transfer> money("transfer");
//   money.step("debit", {.timeout = 5s}, [](transfer& t, const saga_call& c) { bank.debit(t.from, t.amount, c.key); },
//              [](transfer& t, const saga_call& c) { bank.void_debit(t.from, t.amount, c.key); })
//       .pivot("commit", {}, [](saga_attempt<transfer>& a) {
//         const std::string key = a.call().key;   // as the attempt moves away, and is answered later
//         ledger.ask(key, std::move(a));
//       })
//       .step("credit", {.retry = {.attempts = unlimited_attempts}}, credit);
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/is_null.hpp"
#include "millrace/core/function.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/flow/detail/saga_attempt.hpp"
#include "millrace/flow/detail/validate_retry.hpp"

namespace millrace {
inline namespace v0 {

/// `saga/id/step`: the idempotency key of a step's action.
[[nodiscard]] inline std::string saga_key(std::string_view saga, std::string_view id, std::string_view step) {
  std::string key;
  key.reserve(saga.size() + id.size() + step.size() + 2 + std::string_view("/compensate").size());
  return key.append(saga).append("/").append(id).append("/").append(step);
}
/// `saga/id/step/compensate`: that of its compensation.
[[nodiscard]] inline std::string saga_compensation_key(std::string_view saga, std::string_view id,
                                                       std::string_view step) {
  return saga_key(saga, id, step).append("/compensate");
}

/// One attempt of an action or a compensation, in the hands of whoever makes it; to be answered once.
template <class Context>
class saga_attempt {
 public:
  /// None.
  saga_attempt() noexcept = default;
  saga_attempt(saga_attempt&&) noexcept = default;
  saga_attempt& operator=(saga_attempt&& o) noexcept {
    if (this != &o) {
      drop();
      open_ = std::move(o.open_);
    }
    return *this;
  }
  /// Not answered: nobody knows whether it is done.
  ~saga_attempt() { drop(); }

  /// Whether it is one that has not been answered by it.
  [[nodiscard]] explicit operator bool() const noexcept { return open_ != nullptr; }
  /// A copy of the saga's context, which becomes that of the saga with done(), and is dropped otherwise.
  [[nodiscard]] Context& operator*() const noexcept { return open_->context; }
  [[nodiscard]] Context* operator->() const noexcept { return &open_->context; }
  [[nodiscard]] const saga_call& call() const noexcept { return open_->call; }

  // --- answering it ---

  bool done() noexcept { return answer({.what = detail::saga_verdict::done}); }
  /// It has changed nothing.
  bool failed(std::string_view reason = "failed") noexcept {
    return answer({.what = detail::saga_verdict::failed, .reason = std::string(reason)});
  }

 private:
  using open_attempt = detail::saga_open_attempt<Context>;
  template <class, class>
  friend class detail::saga_core;

  explicit saga_attempt(std::unique_ptr<open_attempt> open) noexcept : open_(std::move(open)) {}

  bool answer(detail::saga_news<Context> n) noexcept {
    if (open_ == nullptr) return false;
    // why shared: the desk may keep what is left of the attempt longer than the attempt keeps the desk
    const std::shared_ptr<detail::saga_desk<Context>> desk = open_->desk;
    n.from = std::move(open_);
    return desk->settle(std::move(n));
  }
  void drop() noexcept {
    if (open_ != nullptr) answer({.what = detail::saga_verdict::unknown, .reason = "dropped"});
  }

  std::unique_ptr<open_attempt> open_;
};

struct saga_step_options {
  /// For the action.
  retry_policy retry = {};
  retry_policy compensation_retry = {};
  /// How long an attempt, of either, may take; more than 0. After that its outcome is unknown, and its answer too late.
  std::chrono::nanoseconds timeout = std::chrono::seconds(30);
  /// For a step without one.
  static constexpr std::chrono::nanoseconds no_timeout = (std::chrono::nanoseconds::max)();
};

/// `Context` is what the actions work on: a value, of which a copy is kept in the store.
template <class Context>
class saga {
  static_assert(std::is_copy_constructible_v<Context> && std::is_nothrow_move_constructible_v<Context> &&
                    std::is_nothrow_move_assignable_v<Context>,
                "saga: Context must be copyable, and must not throw when it is moved");

 public:
  using context_type = Context;

  /// `name`: not empty, without a '/'.
  explicit saga(std::string name) : name_(std::move(name)) {
    if (!is_name(name_)) {
      detail::fail<std::invalid_argument>("saga: name must be 1 character or more, without '/'");
    }
  }

  // An action or a compensation takes (Context&, const saga_call&), or (saga_attempt<Context>&) and may answer that itself, or
  // move it away and have it answered later, from any thread. When it returns and has done neither, it is done; when it
  // throws, it has failed. An attempt may still run when the next one begins, as each has a context of its own.

  /// A step with nothing to take back, or behind the pivot.
  template <class Action>
  saga& step(std::string name, saga_step_options chosen, Action action) {
    return add(std::move(name), std::move(chosen), wrapped(std::move(action)), {});
  }
  template <class Action, class Compensation>
  saga& step(std::string name, saga_step_options chosen, Action action, Compensation compensation) {
    if (pivot_ < steps_.size()) {
      detail::fail<std::invalid_argument>("saga::step: compensation must be none behind the pivot");
    }
    if (detail::is_null(compensation)) refuse(name, "its compensation must be set, or left out");
    return add(std::move(name), std::move(chosen), wrapped(std::move(action)),
               wrapped(std::move(compensation)));
  }
  /// The step that decides; one at the most.
  template <class Action>
  saga& pivot(std::string name, saga_step_options chosen, Action action) {
    if (pivot_ < steps_.size()) {
      detail::fail<std::invalid_argument>("saga::pivot: a saga has one pivot at the most");
    }
    add(std::move(name), std::move(chosen), wrapped(std::move(action)), {});
    pivot_ = steps_.size() - 1;
    return *this;
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// How many steps.
  [[nodiscard]] std::size_t size() const noexcept { return steps_.size(); }

 private:
  template <class>
  friend class detail::saga_machine;
  using called = function<void(saga_attempt<Context>&)>;

  struct part {
    std::string name;
    saga_step_options chosen;
    called action;
    called compensation;  // empty: none
  };

  [[nodiscard]] static bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.find('/') == std::string_view::npos;
  }
  template <class Callable>
  [[nodiscard]] static called wrapped(Callable f) {
    constexpr bool answers = std::is_invocable_v<Callable&, saga_attempt<Context>&>;
    static_assert(answers || std::is_invocable_v<Callable&, Context&, const saga_call&>,
                  "saga: an action takes (Context&, const saga_call&), or (saga_attempt<Context>&)");
    if (detail::is_null(f)) return nullptr;
    return [f = std::make_unique<Callable>(std::move(f))](saga_attempt<Context>& a) {
      if constexpr (answers) {
        static_cast<void>((*f)(a));
      } else {
        static_cast<void>((*f)(*a, a.call()));
      }
    };
  }
  [[nodiscard]] static std::string told_of(std::string_view step, std::string_view what) {
    return std::string("saga: step '").append(step).append("': ").append(what);
  }
  [[noreturn]] static void refuse(std::string_view step, std::string_view what) {
    detail::fail<std::invalid_argument>(told_of(step, what).c_str());
  }
  saga& add(std::string name, saga_step_options chosen, called action, called compensation) {
    // why not "compensate": the key of such a step would be that of another one's compensation, for some ids
    if (!is_name(name) || name == "compensate") {
      detail::fail<std::invalid_argument>(
          "saga: a step's name must be 1 character or more, without '/', and not 'compensate'");
    }
    if (!action) refuse(name, "its action must be set");
    for (const part& p : steps_) {
      if (p.name == name) refuse(name, "name must be that of one step");
    }
    if (chosen.timeout <= std::chrono::nanoseconds::zero()) refuse(name, "timeout must be more than 0");
    detail::validate_retry(told_of(name, "retry"), chosen.retry);
    detail::validate_retry(told_of(name, "compensation_retry"), chosen.compensation_retry);
    steps_.push_back({std::move(name), std::move(chosen), std::move(action), std::move(compensation)});
    return *this;
  }

  std::string name_;
  std::vector<part> steps_;
  std::size_t pivot_ = ~std::size_t{0};  // none
};

}  // namespace v0
}  // namespace millrace
