// The half messages of one topic: what their handles, timers and tasks have in common, and keep alive.
//
//   in_doubt -> asking -> in_doubt ...      a question is posted, or being asked
//   in_doubt, asking -> committed           being published, or waiting for room
//
// and gone from there: published, rolled back, or lost. A step is taken under the mutex, and what it leads to is done outside.
// Timers and tasks name the step that they belong to, and do nothing if another one has been taken since.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/flow/detail/retry_draw.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/half_options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Topic, class Timers>
class half_core : public std::enable_shared_from_this<half_core<Topic, Timers>> {
  using value_type = typename Topic::value_type;
  using options = half_options<value_type>;
  using nanoseconds = std::chrono::nanoseconds;

 public:
  half_core(Topic& to, Timers& timers, executor& where, options&& chosen)
      : to_(to), timers_(timers), where_(where), options_(std::move(chosen)) {}

  /// Its number; 0: stopped.
  std::uint64_t prepare(value_type&& value) {
    std::uint64_t id = 0;
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return 0;
      id = last_ + 1;
      records_.emplace(id, std::move(value));
      last_ = id;
      ++count_.prepared;
      ++busy_;
    }
    struct at_the_end {
      half_core& me;
      std::uint64_t id;
      bool failed = true;
      ~at_the_end() {
        node gone;
        if (failed) {
          const std::lock_guard lock(me.mutex_);
          gone = me.records_.extract(id);
          --me.count_.prepared;
        }
        me.leave();
      }
    } guard{*this, id};
    schedule(id, 0, options_.ask_after);
    guard.failed = false;
    return id;
  }

  /// False: it has been decided, or is gone.
  bool decide(std::uint64_t id, bool commits) noexcept {
    node gone;
    typename Timers::timer timer;
    record* r = nullptr;
    {
      const std::lock_guard lock(mutex_);
      const auto at = records_.find(id);
      if (at == records_.end() || stopped_) return false;
      r = &at->second;
      if (r->decision != half_decision::unknown) return false;
      r->decision = commits ? half_decision::commit : half_decision::rollback;
      if (r->is == state::asking) return true;  // the value is being looked at
      timer = r->timer;
      if (commits) {
        begin_to_send(*r);
      } else {
        ++count_.rolled_back;
        gone = records_.extract(at);
      }
      ++busy_;
    }
    static_cast<void>(timers_.cancel(timer));
    if (commits) send(id, *r);
    leave();
    return true;
  }

  void stop() noexcept {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    event_count::waiter me;
    for (;;) {
      idle_.prepare_wait(me);
      if (is_idle()) break;
      idle_.wait(me);
    }
    idle_.cancel_wait(me);
    for (;;) {
      node gone;
      bool is_lost = true;
      {
        const std::lock_guard lock(mutex_);
        if (records_.empty()) break;
        gone = records_.extract(records_.begin());
        is_lost = gone.mapped().decision != half_decision::rollback;
        if (gone.mapped().is == state::committed) --count_.committed;
        ++(is_lost ? count_.stopped : count_.rolled_back);
      }
      static_cast<void>(timers_.cancel(gone.mapped().timer));
      if (is_lost) options_.lost(std::move(gone.mapped().value), half_loss::stopped);
    }
    options_ = options();  // why: a timer may keep all this for a while
  }

  [[nodiscard]] half_stats stats() const {
    const std::lock_guard lock(mutex_);
    half_stats s = count_;
    s.in_doubt = records_.size() - s.committed;
    return s;
  }

 private:
  enum class state : std::uint8_t { in_doubt, asking, committed };
  struct record {
    explicit record(value_type&& v) noexcept : value(std::move(v)) {}
    value_type value;
    state is = state::in_doubt;
    half_decision decision = half_decision::unknown;  // that of a handle
    std::uint32_t step = 0;
    std::uint32_t asked = 0;  // of who asks
    typename Timers::timer timer{};
  };
  using records = std::unordered_map<std::uint64_t, record>;
  using node = typename records::node_type;

  /// What timers and tasks hold.
  struct due {
    std::shared_ptr<half_core> core;
    std::uint64_t id;
    std::uint32_t step;
  };
  struct on_time : due {
    void operator()() const noexcept { this->core->post(*this); }
  };
  struct on_turn : due {
    void operator()() const noexcept { this->core->run(*this); }
  };

  // --- who is at work here, so that stop() waits for it ---

  void leave() noexcept {
    bool last = false;
    {
      const std::lock_guard lock(mutex_);
      last = --busy_ == 0 && stopped_;
    }
    if (last) idle_.notify_all();
  }
  [[nodiscard]] bool is_idle() const noexcept {
    const std::lock_guard lock(mutex_);
    return busy_ == 0;
  }
  /// The record, if that step is still the last one, and the caller is at work; with the mutex.
  [[nodiscard]] record* enter(const due& d) noexcept {
    if (stopped_) return nullptr;
    const auto at = records_.find(d.id);
    if (at == records_.end() || at->second.step != d.step) return nullptr;
    ++busy_;
    return &at->second;
  }

  // --- timers and tasks ---

  void schedule(std::uint64_t id, std::uint32_t step, nanoseconds pause) {
    const auto timer = timers_.schedule_after(pause, on_time{{this->shared_from_this(), id, step}});
    const std::lock_guard lock(mutex_);
    const auto at = records_.find(id);
    if (at != records_.end() && at->second.step == step) at->second.timer = timer;
  }
  void schedule_or_post(std::uint64_t id, std::uint32_t step, nanoseconds pause) noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    try {
      schedule(id, step, pause);
    } catch (...) {
      post({this->shared_from_this(), id, step});  // without memory for a timer, at once
    }
#else
    schedule(id, step, pause);
#endif
  }
  void post(const due& d) noexcept {
    {
      const std::lock_guard lock(mutex_);
      record* const r = enter(d);
      if (r == nullptr) return;
      if (r->is == state::in_doubt) r->is = state::asking;
    }
    where_.post(on_turn{d});
    leave();
  }
  void run(const due& d) noexcept {
    record* r = nullptr;
    bool is_decided = false;
    {
      const std::lock_guard lock(mutex_);
      r = enter(d);
      if (r == nullptr) return;
      is_decided = r->decision != half_decision::unknown;
    }
    if (r->is == state::committed) {
      send(d.id, *r);
    } else if (is_decided) {
      conclude(d.id, *r, half_decision::unknown, std::nullopt);
    } else {
      ask(d.id, *r);
    }
    leave();
  }

  // --- asking ---

  void ask(std::uint64_t id, record& r) noexcept {
    half_decision answer = half_decision::unknown;
    failure why;
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      answer = options_.ask(r.value);
#if MILLRACE_HAS_EXCEPTIONS
    } catch (const std::exception& e) {
      why = {.error = std::current_exception(), .reason = e.what()};
    } catch (...) {
      why = {.error = std::current_exception(), .reason = "exception"};
    }
#endif
    if (r.asked != unlimited_attempts) ++r.asked;
    why.attempt = r.asked;
    const std::optional<nanoseconds> pause =
        answer == half_decision::unknown ? pause_after(why, r) : std::nullopt;
    {
      const std::lock_guard lock(mutex_);
      ++count_.asked;
    }
    conclude(id, r, answer, pause);
  }
  void conclude(std::uint64_t id, record& r, half_decision answer,
                const std::optional<nanoseconds>& pause) noexcept {
    node gone;
    std::uint32_t step = 0;
    {
      const std::lock_guard lock(mutex_);
      if (r.decision != half_decision::unknown) answer = r.decision;  // it came meanwhile, and is final
      if (answer == half_decision::commit) {
        r.decision = answer;
        begin_to_send(r);
      } else if (answer == half_decision::unknown && pause) {
        r.is = state::in_doubt;
        step = ++r.step;
      } else {
        ++(answer == half_decision::rollback ? count_.rolled_back : count_.undecided);
        gone = records_.extract(id);
      }
    }
    if (answer == half_decision::commit) {
      send(id, r);
    } else if (gone.empty()) {
      schedule_or_post(id, step, *pause);
    } else if (answer == half_decision::unknown) {
      options_.lost(std::move(gone.mapped().value), half_loss::undecided);
    }
  }
  /// Nothing: it is not asked again.
  [[nodiscard]] std::optional<nanoseconds> pause_after(failure& why, record& r) noexcept {
    retry_policy& p = options_.asking;
    const decision d = p.decide ? p.decide(why) : decision::retry();
    if (d.what() == decision::action::reject) return std::nullopt;
    if (d.what() == decision::action::release) {
      --r.asked;
    } else if (p.attempts != unlimited_attempts && r.asked >= p.attempts) {
      return std::nullopt;
    }
    if (d.what() == decision::action::retry_in) return d.pause();
    return backoff(p, why.attempt, retry_draw(p));
  }

  // --- publishing ---

  /// With the mutex; send() is to follow.
  void begin_to_send(record& r) noexcept {
    r.is = state::committed;
    ++r.step;
    ++count_.committed;
  }
  /// By one thread at a time.
  void send(std::uint64_t id, record& r) noexcept {
    const outcome o = try_publish(r.value);
    node gone;
    std::uint32_t step = 0;
    {
      const std::lock_guard lock(mutex_);
      if (o == outcome::full) {
        ++count_.waited;
        step = ++r.step;
      } else {
        --count_.committed;
        ++(o == outcome::ok ? count_.published : count_.closed);
        gone = records_.extract(id);
      }
    }
    if (gone.empty()) {
      schedule_or_post(id, step, options_.room_pause);
    } else if (o != outcome::ok) {
      options_.lost(std::move(gone.mapped().value), half_loss::closed);
    }
  }
  [[nodiscard]] outcome try_publish(value_type& value) noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    try {
      return to_.try_publish(std::move(value));
    } catch (...) {
      return outcome::full;  // there is no storage just now; the value is untouched
    }
#else
    return to_.try_publish(std::move(value));
#endif
  }

  Topic& to_;
  Timers& timers_;
  executor& where_;
  options options_;

  mutable std::mutex mutex_;
  records records_;         // \ guarded by mutex_
  half_stats count_;        // |
  std::uint64_t last_ = 0;  // |
  std::size_t busy_ = 0;    // |
  bool stopped_ = false;    // /
  event_count idle_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
