// How a verb waits for the other side, written once for all: try, spin a little, sleep.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// How long to wait. start() is called once the first try has failed, so that a verb that need not wait does not
// read the clock.

struct no_limit {
  void start() noexcept {}
  [[nodiscard]] bool passed() const noexcept { return false; }
  template <class Events>
  bool sleep(Events& events, typename Events::waiter& me) noexcept {
    events.wait(me);
    return true;
  }
};

template <clock Clock>
struct limit_at {
  clock_ref<Clock> clock;
  typename Clock::time_point deadline;

  void start() noexcept {}
  [[nodiscard]] bool passed() const noexcept { return clock.now() >= deadline; }
  template <class Events>
  bool sleep(Events& events, typename Events::waiter& me) noexcept {
    return events.template wait_until<Clock>(me, deadline, clock);
  }
};

template <clock Clock, class Duration>
struct limit_for : limit_at<Clock> {
  limit_for(clock_ref<Clock> c, Duration w) noexcept : limit_at<Clock>{c, {}}, wait(w) {}
  Duration wait;

  void start() noexcept { this->deadline = saturating_deadline(this->clock.now(), wait); }
};

/// Runs `f` unless dismissed.
template <class F>
class on_exception {
 public:
  explicit on_exception(F f) noexcept : f_(f) {}
  on_exception(const on_exception&) = delete;
  on_exception& operator=(const on_exception&) = delete;
  ~on_exception() {
    if (armed_) f_();
  }
  void dismiss() noexcept { armed_ = false; }

 private:
  F f_;
  bool armed_ = true;
};

/// Where the threads of one side wait for the other side.
template <class Sync>
class alignas(hot_separation) waiting_room {
 public:
  basic_event_count<Sync> events;

  waiting_room() noexcept = default;
  /// See event_count.hpp.
  explicit waiting_room(bool sleepers_pay) noexcept : events(sleepers_pay) {}

  /// Repeats `attempt` until it answers something else than `blocked`, asleep in between; timeout: the limit
  /// passed first.
  template <class Limit, class Attempt>
  outcome await(outcome blocked, Limit& limit, Attempt attempt) {
    const outcome result = spin(blocked, attempt);
    return result != blocked ? result : sleep(blocked, limit, attempt);
  }
  /// Likewise, without a spin.
  template <class Limit, class Attempt>
  outcome sleep(outcome blocked, Limit& limit, Attempt attempt) {
    typename basic_event_count<Sync>::waiter me;
    for (;;) {
      events.prepare_wait(me);
      on_exception back_out([&] { events.cancel_wait(me); });
      outcome result = attempt();
      back_out.dismiss();
      if (result != blocked) {
        events.cancel_wait(me);
        return result;
      }
      const bool woken = limit.sleep(events, me);
      result = attempt();
      if (result != blocked) return result;
      if (!woken) return outcome::timeout;
    }
  }

  /// Likewise, with no sleep: about twice as long as it has paid off lately (as the adaptive mutexes of C libraries do),
  /// some 2 to 20 us at the most, which is what sleeping and waking cost.
  template <class Attempt>
  outcome spin(outcome blocked, Attempt&& attempt) {
    if (!spinning_helps_) return blocked;
    const std::uint32_t usual =
        usual_spins_.load(std::memory_order_relaxed);  // a guess, whoever wrote it last
    const std::uint32_t most = 2 * usual + least_spins < most_spins ? 2 * usual + least_spins : most_spins;
    for (std::uint32_t i = 0; i < most; ++i) {
      for (unsigned p = 0; p < pauses_per_spin; ++p) Sync::pause();
      const outcome result = attempt();
      if (result != blocked) {
        adapt(usual, i);
        return result;
      }
    }
    adapt(usual, 0);
    return blocked;
  }

 private:
  void adapt(std::uint32_t usual, std::uint32_t spins) noexcept {
    const auto step = (static_cast<std::int32_t>(spins) - static_cast<std::int32_t>(usual)) / 8;
    const auto next = static_cast<std::uint32_t>(static_cast<std::int32_t>(usual) + step);
    if (next != usual) usual_spins_.store(next, std::memory_order_relaxed);
  }

  static constexpr std::uint32_t least_spins = 40;
  static constexpr std::uint32_t most_spins = 120;
  static constexpr unsigned pauses_per_spin = 4;

  const bool spinning_helps_ = Sync::spinning_helps();
  // why apart: whoever may have to wake somebody looks at `events`, and is not to miss it each time somebody has spun
  alignas(hot_separation) typename Sync::template atomic<std::uint32_t> usual_spins_{16};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
