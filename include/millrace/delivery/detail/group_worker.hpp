// One thread of a group's run: claims, calls the handler, settles; several messages at a time while they take no time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/gathering.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/delivery/detail/group_state.hpp"
#include "millrace/delivery/group_observer.hpp"
#include "millrace/delivery/retry_policy.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Topic, class Handler>
class group_worker {
  using state = group_state<Topic>;
  using value_type = typename state::value_type;
  using claimed = typename state::claimed;

 public:
  group_worker(state& group, Handler& handler) noexcept : group_(group), handler_(handler) {}

  /// Until the group's stream has ended (closed), or a stop is requested (cancelled).
  template <class Stop>
  outcome run(const Stop& stop) {
    gathering<typename state::sync> gather(64, 128);
    for (;;) {
      claimed batch[most];
      std::size_t n = 0;
      if (stop.stop_requested()) return outcome::cancelled;
      const outcome o = group_.claim(batch, want_, n, false, state::never, stop);
      if (o != outcome::ok) return o;
      if (handle(batch, n, stop)) gather.after(2 * n);
    }
  }
  /// A batch is one message from now on.
  void go_singly() noexcept { limit_ = want_ = 1; }
  /// One batch: ok, or there is none: empty, closed.
  template <class Stop>
  outcome step(const Stop& stop) {
    claimed batch[most];
    std::size_t n = 0;
    const outcome o = group_.try_claim(batch, want_, n, false);
    if (o == outcome::ok) handle(batch, n, stop);
    return o;
  }
  /// Likewise; if empty, `watched` is until when to watch the clock.
  template <class Stop>
  outcome step_or_watch(const Stop& stop, std::int64_t& watched) {
    claimed batch[most];
    std::size_t n = 0;
    const outcome o = group_.claim_or_watch(batch, want_, n, false, watched);
    if (o == outcome::ok) handle(batch, n, stop);
    return o;
  }

 private:
  // why so short: what is claimed and not begun is out of reach for other workers
  static constexpr std::int64_t quick = 20'000;
  static constexpr std::size_t most = 32;

  /// Whether that took no time.
  template <class Stop>
  bool handle(claimed* batch, std::size_t n, const Stop& stop) {
    const std::int64_t began = group_.now();
    std::size_t acked = 0;  // these stand in front then
    std::size_t called = 0;
    while (called < n && !stop.stop_requested() && !group_.holds_back()) {
      const claimed c = batch[called++];
      if (call(c)) batch[acked++] = c;
    }
    // why from behind: each goes in front of all others
    for (std::size_t i = n; i-- != called;)
      group_.settle(*batch[i].entry, batch[i].generation, verdict::release, 0, {});
    const std::int64_t took = group_.now() - began;
    if (group_observer* const o = group_.observer(); o != nullptr) {
      if (called != 0) o->handled(std::chrono::nanoseconds(took), called);
    }
    group_.settle_done(batch, acked);
    const bool was_quick = took < quick;
    if (!was_quick) {
      want_ = 1;
    } else if (n == want_ && want_ < limit_) {
      want_ *= 2;
    }
    return was_quick;
  }

  /// Whether it is to be acknowledged.
  bool call(const claimed& c) {
#if MILLRACE_HAS_EXCEPTIONS
    try {
      return call_bare(c);
    } catch (const std::exception& e) {
      failed(c, {std::current_exception(), e.what(), c.attempt});
    } catch (...) {
      failed(c, {std::current_exception(), "exception", c.attempt});
    }
    return false;
#else
    return call_bare(c);
#endif
  }
  bool call_bare(const claimed& c) {
    if constexpr (std::is_invocable_v<Handler&, delivery<value_type>&>) {
      delivery<value_type> d(group_, *c.entry, c.generation, c.attempt);
      struct take_back {
        delivery<value_type>& d;
        bool& is_open;
        ~take_back() { is_open = std::exchange(d.entry_, nullptr) != nullptr; }
      } const afterwards{d, is_open_};
      handler_(d);
      return static_cast<bool>(d);
    } else {
      handler_(*static_cast<const value_type*>(c.entry->message));
      return true;
    }
  }
  void failed(const claimed& c, const failure& f) noexcept {
    if (!std::exchange(is_open_, true)) return;  // the handler has settled it, and then thrown
    decision what = decision::retry();
    auto& decide = group_.decide();
    if (decide) what = decide(f);
    if (group_observer* const o = group_.observer(); o != nullptr) o->failed(f, c.entry->offset, what);
    verdict v = verdict::nack;
    switch (what.what()) {
      case decision::action::retry: break;
      case decision::action::retry_in: v = verdict::nack_in; break;
      case decision::action::reject: v = verdict::reject; break;
      case decision::action::release: v = verdict::release; break;
    }
    group_.settle(*c.entry, c.generation, v, what.pause().count(), f.reason);
  }

  state& group_;
  Handler& handler_;
  std::size_t want_ = 1;  // at once
  std::size_t limit_ = most;
  bool is_open_ = true;  // the handler has not settled what it was given
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
