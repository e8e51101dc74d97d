// What a runner of sagas makes known: events, dead letters, and counts.
#pragma once

#include <chrono>
#include <mutex>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/flow/detail/saga_machine.hpp"
#include "millrace/flow/saga_event.hpp"
#include "millrace/flow/saga_store.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Context>
class saga_reports {
  using machine = saga_machine<Context>;
  using record = saga_record<Context>;

 public:
  explicit saga_reports(const saga_runner_options<Context>& chosen) noexcept
      : events_(chosen.events), letters_(chosen.dead_letters) {}

  /// False: there is no room for it just now.
  [[nodiscard]] bool send_letter(machine& m, std::chrono::nanoseconds now) {
    if (letters_) {
      const record& r = m.record();
      const outcome o =
          letters_.try_publish({r.saga, r.id, r.step, r.compensates, r.reason, r.attempt, r.context, now});
      if (o == outcome::full) return false;
      if (o != outcome::ok) add([](saga_stats& s) { ++s.letters_lost; });
    }
    m.has_letter();
    return true;
  }
  void publish_notes(machine& m) noexcept {
    for (auto& n : m.notes()) {
      count(n.what);
      if (events_ && !has_published(m.record(), n)) add([](saga_stats& s) { ++s.events_lost; });
    }
    m.notes().clear();
  }
  void late() noexcept {
    add([](saga_stats& s) { ++s.late; });
  }
  void store_error() noexcept {
    add([](saga_stats& s) { ++s.store_errors; });
  }
  [[nodiscard]] saga_stats stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  template <class F>
  void add(F f) noexcept {
    const std::lock_guard lock(mutex_);
    f(stats_);
  }
  [[nodiscard]] bool has_published(const record& r, typename machine::note& n) noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      return events_.try_publish({r.saga, r.id, n.what, std::move(n.step), n.attempt, std::move(n.reason),
                                  n.time}) == outcome::ok;
#if MILLRACE_HAS_EXCEPTIONS
    } catch (...) {
      return false;
    }
#endif
  }
  void count(saga_transition t) noexcept {
    add([t](saga_stats& s) {
      switch (t) {
        case saga_transition::started: ++s.started; break;
        case saga_transition::resumed: ++s.resumed; break;
        case saga_transition::compensation_started: ++s.compensations; [[fallthrough]];
        case saga_transition::step_started: ++s.attempts; break;
        case saga_transition::step_failed:
        case saga_transition::compensation_failed: ++s.failed; break;
        case saga_transition::step_timed_out:
        case saga_transition::compensation_timed_out: ++s.timed_out; break;
        case saga_transition::completed: ++s.completed; break;
        case saga_transition::compensated: ++s.compensated; break;
        case saga_transition::stuck: ++s.stuck; break;
        case saga_transition::step_done:
        case saga_transition::compensating:
        case saga_transition::compensation_done: break;
      }
    });
  }

  const saga_topic<saga_event> events_;
  const saga_topic<saga_failure<Context>> letters_;
  mutable std::mutex mutex_;
  saga_stats stats_;  // guarded by mutex_
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
