// What a saga does next: its record, what an answer makes of it, and what there is to tell of it. Nothing here waits, stores
// or calls; that is saga_core.hpp's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/flow/detail/retry_draw.hpp"
#include "millrace/flow/detail/saga_attempt.hpp"
#include "millrace/flow/saga.hpp"
#include "millrace/flow/saga_event.hpp"
#include "millrace/flow/saga_store.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

enum class saga_plan : std::uint8_t {
  attempt,  // of the step where it is
  pause,    // and then that
  end,
};

template <class Context>
class saga_machine {
  using nanoseconds = std::chrono::nanoseconds;
  using definition = saga<Context>;
  using part = typename definition::part;

 public:
  struct note {
    saga_transition what;
    std::string step;
    std::uint32_t attempt;
    std::string reason;
    nanoseconds time;
  };

  saga_machine(definition& of, saga_record<Context> r) : of_(of), record_(std::move(r)) {}

  [[nodiscard]] const saga_record<Context>& record() const noexcept { return record_; }
  [[nodiscard]] saga_plan plan() const noexcept { return plan_; }
  [[nodiscard]] nanoseconds pause() const noexcept { return pause_; }
  [[nodiscard]] bool is_stuck() const noexcept { return record_.state == saga_state::stuck; }

  // --- what happens to it ---

  void start(nanoseconds now) {
    go_to(0);
    add(saga_transition::started, now);
  }
  /// With a record that was loaded, and is not finished.
  void resume(nanoseconds now) {
    if (is_stuck()) {
      record_.state = record_.compensates ? saga_state::compensating : saga_state::running;
      record_.attempt = 0;
      is_dirty_ = true;
    }
    add(saga_transition::resumed, now);
    plan_ = saga_plan::attempt;
    at_ = find(record_.step);
    if (at_ == of_.steps_.size() || (record_.compensates && !here().compensation)) {
      stick("the saga has no such step", now);
    } else if (record_.attempt != 0 && !has_more()) {
      give_up("interrupted", now);
    }
  }
  void take(saga_news<Context>&& n, nanoseconds now) {
    if (n.what == saga_verdict::none) return;
    is_begun_ = false;
    is_dirty_ = true;
    if (n.what == saga_verdict::done) {
      record_.context = std::move(n.from->context);
      return done(now);
    }
    const bool failed = n.what == saga_verdict::failed;
    if (failed) record_.unknown = was_unknown_;
    if (record_.compensates) {
      add(failed ? saga_transition::compensation_failed : saga_transition::compensation_timed_out, now,
          n.reason);
    } else {
      add(failed ? saga_transition::step_failed : saga_transition::step_timed_out, now, n.reason);
    }
    try_again_or_not(n, now);
  }
  /// The attempt that is planned: from here on it may be done, as long as nobody knows more.
  void begin(nanoseconds now) {
    if (std::exchange(is_begun_, true)) return;
    is_dirty_ = true;
    if (record_.attempt != unlimited_attempts) ++record_.attempt;
    was_unknown_ = std::exchange(record_.unknown, true);
    add(record_.compensates ? saga_transition::compensation_started : saga_transition::step_started, now);
  }
  /// The pause that was planned has begun.
  void await_pause() noexcept { plan_ = saga_plan::attempt; }

  // --- what is to be kept and told of it ---

  [[nodiscard]] bool is_dirty() const noexcept { return is_dirty_; }
  void is_saved() noexcept { is_dirty_ = false; }
  /// A letter is due, and was not sent.
  [[nodiscard]] bool owes_letter() const noexcept { return is_stuck() && !has_letter_; }
  void has_letter() noexcept { has_letter_ = true; }
  [[nodiscard]] std::vector<note>& notes() noexcept { return notes_; }

  // --- the attempt ---

  [[nodiscard]] saga_call call() const {
    const std::string& step = here().name;
    return {record_.compensates ? saga_compensation_key(record_.saga, record_.id, step)
                                : saga_key(record_.saga, record_.id, step),
            record_.id, step, record_.attempt, record_.compensates};
  }
  [[nodiscard]] auto& callee() const noexcept {
    return record_.compensates ? here().compensation : here().action;
  }
  [[nodiscard]] nanoseconds limit() const noexcept { return here().chosen.timeout; }

 private:
  [[nodiscard]] part& here() const noexcept { return of_.steps_[at_]; }
  [[nodiscard]] retry_policy& policy() const noexcept {
    return record_.compensates ? here().chosen.compensation_retry : here().chosen.retry;
  }
  [[nodiscard]] bool has_more() const noexcept {
    return policy().attempts == unlimited_attempts || record_.attempt < policy().attempts;
  }
  [[nodiscard]] std::size_t find(const std::string& step) const noexcept {
    std::size_t i = 0;
    while (i != of_.steps_.size() && of_.steps_[i].name != step) ++i;
    return i;
  }

  void done(nanoseconds now) {
    if (record_.compensates) {
      add(saga_transition::compensation_done, now);
      return go_back(at_, now);
    }
    add(saga_transition::step_done, now);
    if (at_ + 1 != of_.steps_.size()) return go_to(at_ + 1);
    record_.unknown = false;
    record_.reason.clear();
    finish(saga_state::completed, saga_transition::completed, now);
  }
  void try_again_or_not(const saga_news<Context>& n, nanoseconds now) {
    retry_policy& p = policy();
    const decision d = p.decide ? p.decide(failure{n.error, n.reason, record_.attempt}) : decision::retry();
    const std::uint32_t attempt = record_.attempt;
    if (d.what() == decision::action::release) --record_.attempt;
    if (d.what() == decision::action::reject || !has_more()) return give_up(n.reason, now);
    pause_ = d.what() == decision::action::retry_in ? d.pause() : backoff(p, attempt, retry_draw(p));
    plan_ = saga_plan::pause;
  }
  void give_up(const std::string& reason, nanoseconds now) {
    // why a pivot of which nothing is known: it may have decided
    const bool has_decided = of_.pivot_ < at_ || (of_.pivot_ == at_ && record_.unknown);
    if (record_.compensates || has_decided) return stick(reason, now);
    is_dirty_ = true;
    record_.reason = reason;
    record_.state = saga_state::compensating;
    record_.compensates = true;
    add(saga_transition::compensating, now, reason);
    go_back(record_.unknown ? at_ + 1 : at_, now);
  }
  /// To the last one of the first `n` steps that has something to take back.
  void go_back(std::size_t n, nanoseconds now) {
    while (n != 0 && !of_.steps_[n - 1].compensation) --n;
    if (n != 0) return go_to(n - 1);
    record_.unknown = false;
    finish(saga_state::compensated, saga_transition::compensated, now);
  }
  void go_to(std::size_t step) {
    at_ = step;
    record_.step = here().name;
    record_.attempt = 0;
    record_.unknown = false;
    plan_ = saga_plan::attempt;
  }
  void stick(const std::string& reason, nanoseconds now) {
    is_dirty_ = true;
    record_.reason = reason;
    finish(saga_state::stuck, saga_transition::stuck, now, reason);
  }
  void finish(saga_state s, saga_transition what, nanoseconds now, const std::string& reason = {}) {
    record_.state = s;
    plan_ = saga_plan::end;
    add(what, now, reason);
  }
  void add(saga_transition what, nanoseconds now, const std::string& reason = {}) {
    notes_.push_back({what, record_.step, record_.attempt, reason, now});
  }

  definition& of_;
  saga_record<Context> record_;
  std::size_t at_ = 0;
  saga_plan plan_ = saga_plan::attempt;
  nanoseconds pause_{0};
  bool was_unknown_ = false;  // before the attempt that has begun
  bool is_begun_ = false;     // an attempt, in the record
  bool is_dirty_ = false;     // it is not what the store has
  bool has_letter_ = false;
  std::vector<note> notes_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
