// millrace/flow/saga_event.hpp - what a runner of sagas tells, and to whom: answers, transitions, what is stuck, and how many.
//
// Use it when : you have given a saga_runner topics for its events and dead letters, and read them.
// Use instead : saga_runner::state, if you want to know of one saga where it is.
// Threads     : plain values.
// Order       : the events of one saga come in the order in which they happened; those of several in any.
// Progress    : does not apply.
// Errors      : an event that finds the topic full, closed or without memory is lost, and counted (saga_stats::events_lost): a
//               runner waits for no reader. A saga that is stuck is told of at least once, and before its store says so;
//               while there is no room for that the runner tries again, and the saga stays what it was.
// Exceptions  : std::bad_alloc.
// Memory      : about 160 bytes an event.
// Cost        : a publish each.
// Source      : ours.
// Checked by  : tests/flow/saga_event_test.cpp, tests/flow/saga_books_test.cpp
//
// Example:
//   millrace::topic<millrace::saga_event> events(10'000);
//   millrace::topic<millrace::saga_failure<transfer>> lost(1000);
//   millrace::saga_runner runner(money, store, workers, timers, {.events = &events, .dead_letters = &lost});
//   auto audit = events.subscribe();
//   audit.poll([](const millrace::saga_event& e) { log(e.time, e.id, to_string(e.what), e.step, e.reason); });
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/topic/options.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// What a runner says of a saga that it was asked to start, or to go on with.
enum class [[nodiscard]] saga_answer : std::uint8_t {
  ok,         // it runs
  exists,     // start: there is one of this id
  running,    // resume: it runs already
  not_found,  // resume: there is none of this id
  finished,   // resume: it is completed or compensated
  stuck,      // resume: somebody has to look at it, and then retry_stuck
  closed,     // the runner has been drained or stopped
};

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(saga_answer a) noexcept {
  switch (a) {
    case saga_answer::ok: return "ok";
    case saga_answer::exists: return "exists";
    case saga_answer::running: return "running";
    case saga_answer::not_found: return "not_found";
    case saga_answer::finished: return "finished";
    case saga_answer::stuck: return "stuck";
    case saga_answer::closed: return "closed";
  }
  return "invalid";
}

enum class saga_transition : std::uint8_t {
  started,
  resumed,       // by a runner that found it in the store, or because somebody said so
  step_started,  // an attempt
  step_done,
  step_failed,     // it has changed nothing
  step_timed_out,  // no answer came: it may be done, or not
  compensating,    // from here on it goes backward
  compensation_started,
  compensation_done,
  compensation_failed,
  compensation_timed_out,
  completed,
  compensated,
  stuck,
};
inline constexpr std::size_t saga_transitions = 14;

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(saga_transition t) noexcept {
  switch (t) {
    case saga_transition::started: return "started";
    case saga_transition::resumed: return "resumed";
    case saga_transition::step_started: return "step_started";
    case saga_transition::step_done: return "step_done";
    case saga_transition::step_failed: return "step_failed";
    case saga_transition::step_timed_out: return "step_timed_out";
    case saga_transition::compensating: return "compensating";
    case saga_transition::compensation_started: return "compensation_started";
    case saga_transition::compensation_done: return "compensation_done";
    case saga_transition::compensation_failed: return "compensation_failed";
    case saga_transition::compensation_timed_out: return "compensation_timed_out";
    case saga_transition::completed: return "completed";
    case saga_transition::compensated: return "compensated";
    case saga_transition::stuck: return "stuck";
  }
  return "invalid";
}

struct saga_event {
  std::string saga;
  std::string id;
  saga_transition what = saga_transition::started;
  std::string step = {};      // where it is
  std::uint32_t attempt = 0;  // of that step, or of its compensation; 0: none yet
  std::string reason = {};  // of what failed, compensates or is stuck: what was thrown, "timeout", "dropped"
  std::chrono::nanoseconds time;  // of the timer service's clock, since its epoch
};

/// A saga that is stuck: the dead letter.
template <class Context>
struct saga_failure {
  std::string saga;
  std::string id;
  std::string step;
  bool compensates;  // it was the step's compensation
  std::string reason;
  std::uint32_t attempts;
  Context context;  // as it was before that step
  std::chrono::nanoseconds time;
};

struct saga_stats {
  std::uint64_t running = 0;  // now, in this runner

  // Sagas, since the runner began:

  std::uint64_t started = 0;
  std::uint64_t resumed = 0;
  std::uint64_t completed = 0;
  std::uint64_t compensated = 0;
  std::uint64_t stuck = 0;

  // Attempts, likewise, of actions and compensations:

  std::uint64_t attempts = 0;
  std::uint64_t compensations = 0;  // of these
  std::uint64_t failed = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t late = 0;  // answered when nobody waited for it any more

  std::uint64_t events_lost = 0;
  std::uint64_t letters_lost = 0;  // of sagas that are stuck: the topic was closed
  std::uint64_t store_errors = 0;  // exceptions of save, or of a copy of the context; it was tried again
};

/// Any topic of `T`, whatever its clock.
template <class T>
class saga_topic {
 public:
  // NOLINTBEGIN(google-explicit-constructor): `.events = &events`
  saga_topic(std::nullptr_t = nullptr) noexcept {}
  template <clock Clock, class Sync>
  saga_topic(topic<T, producers::multi, Clock, Sync>* to) noexcept
      : to_(to), publish_([](void* held, T&& value) {
          return static_cast<topic<T, producers::multi, Clock, Sync>*>(held)->try_publish(std::move(value));
        }) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] explicit operator bool() const noexcept { return to_ != nullptr; }
  /// As topic::try_publish.
  [[nodiscard]] outcome try_publish(T&& value) const { return publish_(to_, std::move(value)); }

 private:
  void* to_ = nullptr;
  outcome (*publish_)(void*, T&&) = nullptr;
};

template <class Context>
struct saga_runner_options {
  /// Each transition. nullptr: none, as for the other one. Both must outlive the runner.
  saga_topic<saga_event> events = {};
  saga_topic<saga_failure<Context>> dead_letters = {};
  /// How long it waits, more than 0, until it tries again what the store has thrown at, or the dead letters had no room for.
  std::chrono::nanoseconds again_after = std::chrono::seconds(1);
};

}  // namespace v0
}  // namespace millrace
