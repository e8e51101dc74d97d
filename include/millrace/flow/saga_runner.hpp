// millrace/flow/saga_runner.hpp - carries out sagas, any number of one definition at a time: orchestration.
//
// A saga is started with an id and a context, and then goes its way without anybody: its steps are tasks of an executor, its
// time-outs and pauses timers. In the end it is completed (all steps are done), compensated (what was done is taken back), or
// stuck: a compensation, or a step behind the pivot, has failed too often, or of a pivot nothing is known. It is told of
// then, and waits for retry_stuck.
//
// Use it when : one place is to know, and to decide, how far a piece of work of several steps is.
// Use instead : see saga.hpp.
// Threads     : any, for everything but stop(), which is called by one at a time, and not in an action, a task of the
//               executor or a handler of the timer service; the same for drain().
// Order       : of one saga as in saga.hpp; several in any. What an action has written is visible to the next one's.
// Progress    : mutexes are held for a moment, and never while something of the host's is called: actions, the store, the
//               executor, timers, topics. A saga takes one thread at a time, and none while it waits; a task is one step.
//               Nothing polls. Sagas do not wait for each other. A store that takes its time holds a thread of the executor.
// Errors      : saga_answer. At least once: a step, or compensation, is called again, with its key, when an attempt has failed,
//               has timed out or was interrupted by a stop or a restart, and only then. An attempt that was interrupted counts as
//               one. An action may still run while it is tried again or taken back, if it has timed out: see saga.hpp on keys.
//               If the timer service is stopped first, sagas that have to wait stay where they are, until another runner resumes
//               them. One runner at a time for the sagas of one name in one store.
// Exceptions  : std::invalid_argument from the constructor for a saga without steps or an option out of its range, from start for
//               an empty id. From start, resume, resume_all, retry_stuck, state and drain std::bad_alloc, and what the store
//               throws; the saga is not run then. In a task, a lack of memory for a transition ends the program, as in
//               executor::post; for a timer, it is as if its time had come.
// Memory      : 1,150 bytes and two contexts a saga that waits for an answer, with its attempt and its time-out; 250 more in a
//               memory_saga_store. What is finished or stuck is kept by the store alone.
// Cost        : 2 us a step, with a memory_saga_store, and actions that do nothing, with one thread; 2.6 with two on two cores.
//               A task, a timer, a save and three allocations each.
// Source      : H. Garcia-Molina & K. Salem, Sagas, SIGMOD 1987; that only one event can be the next one: ours.
// Checked by  : tests/flow/saga_runner_test.cpp, tests/flow/saga_books_test.cpp, tests/flow/saga_threads_test.cpp
//
// Example:
//   millrace::memory_saga_store<transfer> store;
//   millrace::saga_runner runner(money, store, workers, timers, {.events = &events, .dead_letters = &lost});
//   runner.resume_all();                                               // what was there before a restart
//   auto a = runner.start("t-17", {.from = anna, .to = ben, .amount = 100});   // exists: somebody has done so before
//   runner.state("t-17");                                              // saga_state::running
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/flow/detail/saga_core.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/saga.hpp"
#include "millrace/flow/saga_event.hpp"
#include "millrace/flow/saga_store.hpp"
#include "millrace/time/timer_service.hpp"

namespace millrace {
inline namespace v0 {

/// `Timers` is a timer service, whose clock is the runner's.
template <class Context, class Timers = timer_service>
class saga_runner {
  using core = detail::saga_core<Context, Timers>;

 public:
  using options = saga_runner_options<Context>;
  using time_point = typename Timers::time_point;

  /// All of them must outlive stop().
  saga_runner(saga<Context>& of, saga_store<Context>& store, executor& workers, Timers& timers,
              options chosen = {})
      : core_(std::make_shared<core>(of, store, workers, timers, chosen)) {}
  saga_runner(const saga_runner&) = delete;
  saga_runner& operator=(const saga_runner&) = delete;
  /// As stop().
  ~saga_runner() { stop(); }

  /// A new one: ok, exists or closed. It is in the store when this returns. `id`: not empty.
  saga_answer start(std::string_view id, Context context) { return core_->start(id, std::move(context)); }
  /// One that the store has and that does not run: ok, running, not_found, finished, stuck or closed.
  saga_answer resume(std::string_view id) { return core_->resume(id, false); }
  /// All that are not finished and not stuck. How many it has resumed.
  std::size_t resume_all() { return core_->resume_all(); }
  /// As resume, and also one that is stuck: it goes on where it is, with all attempts before it. For somebody who has seen to the
  /// reason. `running`: it has only just got stuck, try again.
  saga_answer retry_stuck(std::string_view id) { return core_->resume(id, true); }

  /// As the store knows it. Nothing: there is none.
  [[nodiscard]] std::optional<saga_state> state(std::string_view id) const { return core_->state(id); }
  [[nodiscard]] saga_stats stats() const { return core_->stats(); }

  /// Starts and resumes no more, and waits until nothing runs, or the deadline. How many still run.
  std::size_t drain(time_point deadline) { return core_->drain(deadline); }
  /// Waits for actions that are running, keeps their answers, and begins nothing more. What is not finished can be resumed.
  /// Attempts that are to be answered later can not be, any more: they are interrupted. Idempotent.
  void stop() noexcept { core_->stop(); }

 private:
  std::shared_ptr<core> core_;
};

}  // namespace v0
}  // namespace millrace
