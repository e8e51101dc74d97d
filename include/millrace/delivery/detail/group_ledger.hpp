// A consumer group: what it has taken from the log, who has it, and what comes next.
//
//   log --read--> ready --claim--> in flight --settle--> gone
//                   ^ ^               |
//                   | +-- behind      | failed, or its time is up
//                   +---- waiting <---+----> dead letters, or parked
//
// All of it is guarded by one mutex, which is held for some ten instructions a message; a batch is claimed, and settled, at
// once. Decision 41 says why.
#pragma once

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/delivery/detail/admission.hpp"
#include "millrace/delivery/detail/entry_store.hpp"
#include "millrace/delivery/detail/group_entry.hpp"
#include "millrace/delivery/detail/group_timers.hpp"
#include "millrace/delivery/detail/group_view.hpp"
#include "millrace/delivery/detail/key_lanes.hpp"
#include "millrace/delivery/detail/ready_lists.hpp"
#include "millrace/delivery/group_stats.hpp"
#include "millrace/delivery/options.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/topic/log_access.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Topic>
class group_ledger {
 public:
  using value_type = typename Topic::value_type;
  using clock_type = typename Topic::clock_type;
  using sync = typename Topic::subscription::sync_type;
  using options = group_options<Topic>;
  static constexpr std::int64_t never = INT64_MAX;
  static constexpr std::int64_t long_ago = INT64_MIN;

  /// A message and what is needed to settle it.
  struct claimed {
    group_entry* entry;
    std::uint32_t generation;
    std::uint32_t attempt;
  };

  group_ledger(std::string name, log_cursor<Topic>&& at, clock_ref<clock_type> clock, options&& chosen)
      : clock_(clock), name_(std::move(name)), chosen_(std::move(chosen)), at_(std::move(at)) {}
  group_ledger(const group_ledger&) = delete;
  group_ledger& operator=(const group_ledger&) = delete;
  /// Its deliveries are gone.
  ~group_ledger() { forget_all(); }

  [[nodiscard]] std::int64_t now() const noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(clock_.now().time_since_epoch()).count();
  }

  /// Without the mutex: whether what has been claimed and is not begun is to come back.
  [[nodiscard]] bool holds_back() const noexcept {
    // why relaxed is enough: it is a matter of a message more or less
    return is_held_.load(std::memory_order_relaxed) || admission_.has_opened();
  }

  // --- with the mutex held ---

  /// `n` messages, 1 at least and `want` at the most: ok. Otherwise empty, and event() says when to look again without being
  /// told; or closed.
  outcome claim(claimed* out, std::size_t want, std::size_t& n, bool leased, std::int64_t now) {
    n = 0;
    if (removed_) return outcome::closed;
    pass_time(now);
    // why not each time: a publisher that waits for room would be woken for one message, again and again
    const on_exit said([&] {
      if (n == 0 || at_.uncommitted() > at_.capacity() / 4) at_.commit();
    });
#if MILLRACE_HAS_EXCEPTIONS
    try {
      take(out, want, n, leased, now);
    } catch (...) {
      if (n == 0) throw;  // otherwise it throws again next time
    }
#else
    take(out, want, n, leased, now);
#endif
    if (n != 0) return outcome::ok;
    return has_ended() ? outcome::closed : outcome::empty;
  }
  /// What is due by the clock happens.
  void pass_time(std::int64_t now) noexcept {
    while (!leased_.empty() && leased_.first()->until <= now)
      time_out(static_cast<entry&>(*leased_.first()), now);
    timers_.advance(now, [&](group_entry& e) { due(static_cast<entry&>(e), now); });
  }
  /// Whether a claim would find something, or there is something to wait for with a clock in hand.
  [[nodiscard]] bool has_more(std::int64_t now) {
    if (removed_) return true;
    pass_time(now);
    const on_exit said([&] { at_.commit(); });
    return (may_deliver(now) && !ready_.empty()) || has_ended() || event() < watched_;
  }
  /// When something happens by itself.
  [[nodiscard]] std::int64_t event() const noexcept {
    std::int64_t at = timers_.next();
    if (!leased_.empty() && leased_.first()->until < at) at = leased_.first()->until;
    if (blocked_ == blocked_by::paused && !paused_ && paused_until_ < at)
      at = paused_until_ != long_ago ? paused_until_ : now();  // it has been resumed
    const bool is_refused = blocked_ == blocked_by::rate || blocked_ == blocked_by::breaker;
    if (is_refused && admission_.next() < at) at = admission_.next();
    return at;
  }
  /// For who goes to sleep: until when; never, if somebody else watches the clock.
  [[nodiscard]] std::int64_t watch() noexcept {
    const std::int64_t at = event();
    if (at >= watched_) return never;
    return watched_ = at;
  }
  void unwatch(std::int64_t at) noexcept {
    if (at == watched_) watched_ = never;
  }
  /// Whether somebody who sleeps has something to do.
  [[nodiscard]] bool is_news() const noexcept {
    return !ready_.empty() || (blocked_ != blocked_by::none && blocked_ != blocked_by::empty) ||
           has_ended() || event() < watched_;
  }
  /// No message will come any more.
  [[nodiscard]] bool has_ended() const noexcept { return removed_ || (log_ended_ && live_ == 0); }
  [[nodiscard]] bool is_quiet() const noexcept { return in_flight() == 0; }
  /// Everything that has been published is settled, or parked.
  [[nodiscard]] bool is_settled() const noexcept { return removed_ || (live_ == 0 && at_.backlog() == 0); }
  [[nodiscard]] bool is_removed() const noexcept { return removed_; }

  /// False: it is too late.
  bool settle(group_entry& given, std::uint32_t generation, verdict what, std::int64_t delay,
              std::string_view reason, std::int64_t now) noexcept {
    auto& e = static_cast<entry&>(given);
    --e.references;
    if (generation != e.generation || e.is != group_entry::in_flight) {
      ++count_.late;
      free_if_done(e);
      return false;
    }
    take_back(e);
    switch (what) {
      case verdict::ack:
        ++count_.acked;
        e.permit.success();
        admission_.commit(message_of(e));
        finish(e);
        break;
      case verdict::nack:
      case verdict::nack_in:
        ++count_.nacked;
        e.permit.failure();
        fail(e, what == verdict::nack ? backoff_of(e) : delay, reason.empty() ? "nack" : reason, now);
        break;
      case verdict::throttle: pause_until(later(now, delay)); [[fallthrough]];
      case verdict::release:
        ++count_.released;
        --e.attempt;
        again(e);
        break;
      case verdict::reject:
        ++count_.rejected;
        e.permit = {};
        admission_.abort(message_of(e));
        note_failure(e, now);
        bury(e, reason, now);
        break;
    }
    return true;
  }
  bool extend(group_entry& given, std::uint32_t generation, std::int64_t by, std::int64_t now) noexcept {
    auto& e = static_cast<entry&>(given);
    if (generation != e.generation || e.is != group_entry::in_flight) {
      ++count_.late;
      return false;
    }
    const std::int64_t until = later(now, by);
    if (until <= e.until || is_running(e)) return true;
    e.until = until;
    if (e.leased) {
      // Leases as they are given out end in order; this one does not.
      leased_.remove(e);
      e.leased = false;
      running_.push_back(e);
    }
    if (!timers_.set(e, e.timer))
      e.until = never;  // without memory for a timer it has all the time that it needs
    return true;
  }
  void pause() noexcept {
    paused_ = true;
    is_held_.store(true, std::memory_order_relaxed);
  }
  void pause_until(std::int64_t until) noexcept {
    is_held_.store(true, std::memory_order_relaxed);
    if (until > paused_until_) paused_until_ = until;
  }
  void resume() noexcept {
    paused_ = false;
    paused_until_ = long_ago;
  }
  /// What is in flight is taken from those who have it, and is ready again.
  std::size_t take_all_back() noexcept {
    std::size_t n = 0;
    for (entry_list* list : {&leased_, &running_}) {
      // why from behind: each goes in front of all others
      while (group_entry* const e = list->last()) {
        take_back(static_cast<entry&>(*e));
        again(static_cast<entry&>(*e));
        ++n;
      }
    }
    return n;
  }
  template <class Where>
  void seek(Where where) {
    // why: publishers would wait for it again
    if (removed_) return;
    at_.moved().seek(where);  // may throw
    forget_all();
    log_ended_ = false;
  }
  /// Nobody gets anything any more, and publishers do not wait for it.
  void remove() noexcept {
    if (removed_) return;
    removed_ = true;
    forget_all();
    timers_.drop();
    entries_.drop_current();
    entries_.shrink();
    at_.leave();
  }
  /// Parked messages are delivered again, with all attempts before them. How many.
  std::size_t unpark() noexcept {
    std::size_t n = 0;
    while (group_entry* const e = parked_.first()) {
      parked_.remove(*e);
      ++live_;
      e->attempt = 0;
      e->failed = 0;
      ready_.push_back(*e);
      ++n;
    }
    return n;
  }
  void note_late() noexcept { ++count_.late; }
  [[nodiscard]] group_stats stats(std::int64_t now) const noexcept {
    group_stats s = count_;
    s.backlog = removed_ ? 0 : at_.backlog();
    s.ready = ready_.size();
    s.behind = lanes_.behind();
    s.in_flight = in_flight();
    s.waiting = waiting_;
    s.parked = parked_.size();
    s.missed = at_.reader().missed();
    s.blocked = blocked_;
    s.oldest = std::chrono::nanoseconds(oldest(now));
    return s;
  }
  [[nodiscard]] auto& published() noexcept { return at_.published(); }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] retry_policy& retry() noexcept { return chosen_.retry; }
  [[nodiscard]] group_observer* observer() const noexcept { return chosen_.observer; }
  [[nodiscard]] std::int64_t published_at(const group_entry& e) const noexcept {
    return entries_.published_at(e);
  }

 private:
  using timers = group_timers<clock_type>;
  struct entry : group_entry {
    typename timers::timer timer;
    typename admission<options>::permit permit;
    std::string reason;  // of who is dying
  };
  template <class F>
  struct on_exit {
    F f;
    explicit on_exit(F g) noexcept : f(g) {}
    on_exit(const on_exit&) = delete;
    on_exit& operator=(const on_exit&) = delete;
    ~on_exit() { f(); }
  };

  static const value_type& message_of(const group_entry& e) noexcept {
    return *static_cast<const value_type*>(e.message);
  }
  [[nodiscard]] std::size_t in_flight() const noexcept { return leased_.size() + running_.size(); }
  /// never, where that is later than a time can be; `wait` is 0 or more.
  static std::int64_t later(std::int64_t now, std::int64_t wait) noexcept {
    return now > never - wait ? never : now + wait;
  }
  /// In the hands of run(): it has no lease.
  static bool is_running(const entry& e) noexcept { return e.until == never; }

  // --- from the log to ready ---

  /// Whether something may be delivered; then it is ready, if there is anything.
  bool may_deliver(std::int64_t now) {
    if (paused_ || now < paused_until_) return is_blocked(blocked_by::paused);
    if (is_held_.load(std::memory_order_relaxed)) is_held_.store(false, std::memory_order_relaxed);
    if (in_flight() >= chosen_.max_in_flight) return is_blocked(blocked_by::in_flight);
    blocked_ = blocked_by::none;
    while (ready_.empty() || (chosen_.prioritized && ready_.size() < chosen_.lookahead)) {
      if (chosen_.order == ordering::strict && live_ != 0) {
        blocked_ = blocked_by::order;
        break;
      }
      if (waiting_ >= chosen_.max_waiting) {
        blocked_ = blocked_by::retries;
        break;
      }
      if (lanes_.behind() >= chosen_.lookahead) {
        blocked_ = blocked_by::order;
        break;
      }
      if (!read(now)) {
        blocked_ =
            live_ != 0 && ready_.empty() && lanes_.behind() != 0 ? blocked_by::order : blocked_by::empty;
        log_ended_ = at_.has_ended();
        break;
      }
    }
    if (!ready_.empty()) blocked_ = blocked_by::none;
    return true;
  }
  bool is_blocked(blocked_by why) noexcept {
    blocked_ = why;
    return false;
  }

  /// One message from the log. False: there is none.
  bool read(std::int64_t now) {
    const value_type* const m = at_.next();
    if (m == nullptr) return false;
    if (chosen_.filter && !chosen_.filter(*m)) {
      at_.step();
      return true;
    }
    if (has_expired(*m, now)) {
      ++count_.expired;
      at_.step();
      return true;
    }
    entry& e = entries_.take();
    on_exception give_back([&] { entries_.give_back(e); });
    e.message = m;
    e.priority = priority_of(chosen_, *m);
    e.has_key = find_key(chosen_, *m, e.key);
    const bool goes_on = !e.has_key || lanes_.enter(e);
    give_back.dismiss();
    at_.step();
    ++live_;
    if (goes_on) go_on(e, now);
    return true;
  }
  /// Nothing is before it any more, but perhaps its time.
  void go_on(entry& e, std::int64_t now) noexcept {
    if (const std::int64_t t = not_before(message_of(e)); t > now) {
      wait(e, t);
    } else {
      ready_.push_back(e);
    }
  }

  // --- from ready to in flight ---

  void take(claimed* out, std::size_t want, std::size_t& n, bool leased, std::int64_t now) {
    while (n < want && may_deliver(now)) {
      auto* const e = static_cast<entry*>(ready_.first());
      if (e == nullptr) return;
      if (!is_wanted(*e, now)) continue;
      if (const blocked_by who = admission_.ask(e->permit, now); who != blocked_by::none) {
        admission_.abort(message_of(*e));
        blocked_ = who;
        return;
      }
      deliver(*e, now, leased);
      out[n++] = {e, e->generation, e->attempt};
    }
  }
  /// False: it is not ready any more.
  bool is_wanted(entry& e, std::int64_t now) {
    if (has_expired(message_of(e), now)) {
      ++count_.expired;
    } else {
      const dedup_status seen = admission_.begin(message_of(e));
      if (seen == dedup_status::fresh) return true;
      if (seen == dedup_status::in_progress) {
        ready_.remove(e);
        wait(e, later(now, chosen_.retry.first.count()));  // the other one may still fail
        return false;
      }
      ++count_.duplicates;
    }
    ready_.remove(e);
    finish(e);
    return false;
  }
  void deliver(entry& e, std::int64_t now, bool leased) noexcept {
    ready_.remove(e);
    e.is = group_entry::in_flight;
    ++e.generation;
    if (e.attempt != unlimited_attempts) ++e.attempt;
    ++e.references;
    e.leased = leased;
    e.until = leased ? later(now, chosen_.ack_timeout.count()) : never;
    (leased ? leased_ : running_).push_back(e);
    ++count_.delivered;
    if (e.attempt > 1) ++count_.redelivered;
  }

  // --- from in flight to wherever ---

  void take_back(entry& e) noexcept {
    (e.leased ? leased_ : running_).remove(e);
    if (!e.leased && !is_running(e)) timers_.cancel(e.timer);
  }
  /// It is delivered again at once.
  void again(entry& e) noexcept {
    e.permit = {};
    admission_.abort(message_of(e));
    ready_.push_front(e);
  }
  void note_failure(entry& e, std::int64_t now) noexcept {
    if (e.failed == 0) e.failed = now;
  }
  void fail(entry& e, std::int64_t delay, std::string_view reason, std::int64_t now) noexcept {
    admission_.abort(message_of(e));
    note_failure(e, now);
    if (chosen_.retry.attempts != unlimited_attempts && e.attempt >= chosen_.retry.attempts) {
      bury(e, reason, now);
    } else {
      wait(e, later(now, delay));
    }
  }
  std::int64_t backoff_of(const entry& e) noexcept {
    retry_policy& p = chosen_.retry;
    if (p.jitter == 0) return backoff(p, e.attempt, 0).count();
    constexpr std::uint32_t steps = 1U << 24;
    const double drawn = p.random ? p.random() : static_cast<double>(sync::random_below(steps)) / steps;
    return backoff(p, e.attempt, drawn >= 0 && drawn <= 1 ? drawn : 0.5).count();
  }
  void wait(entry& e, std::int64_t until) noexcept {
    e.until = until;
    if (!timers_.set(e, e.timer)) return ready_.push_front(e);
    e.is = group_entry::waiting;
    ++waiting_;
  }
  void bury(entry& e, std::string_view reason, std::int64_t now) noexcept {
    if constexpr (std::is_copy_constructible_v<value_type>) {
      if (chosen_.dead_letters != nullptr) {
        switch (
            chosen_.dead_letters->accept(message_of(e), name_, reason, e.offset, e.attempt, e.failed, now)) {
          case outcome::ok: ++count_.dead; return finish(e);
          case outcome::full: {
            // why: it must be there before this one is let go
            constexpr std::int64_t a_while = 1'000'000'000;
            keep_reason(e, reason);
            return wait(e, later(now, a_while));
          }
          default: break;  // closed
        }
      }
    }
    e.is = group_entry::parked;
    leave_lane(e);
    parked_.push_back(e);
    --live_;
  }
  void keep_reason(entry& e, std::string_view reason) noexcept {
    e.dying = true;
#if MILLRACE_HAS_EXCEPTIONS
    try {
      e.reason = reason;
    } catch (...) {
      e.reason.clear();  // there is no memory for it
    }
#else
    e.reason = reason;
#endif
  }
  /// It is settled.
  void finish(entry& e) noexcept {
    leave_lane(e);
    e.is = group_entry::settled;
    --live_;
    free_if_done(e);
  }
  void leave_lane(entry& e) noexcept {
    if (!std::exchange(e.has_key, false)) return;
    group_entry* const next = lanes_.leave(e);
    if (next == nullptr) return;
    go_on(static_cast<entry&>(*next), long_ago);  // who has a time waits for the next look at the clock
  }

  // --- time ---

  void due(entry& e, std::int64_t now) noexcept {
    if (e.is == group_entry::in_flight) return time_out(e, now);
    --waiting_;
    if (std::exchange(e.dying, false)) return bury(e, std::string(std::move(e.reason)), now);
    ready_.push_back(e);
  }
  void time_out(entry& e, std::int64_t now) noexcept {
    take_back(e);
    ++count_.timed_out;
    e.permit.failure();
    fail(e, backoff_of(e), "ack timeout", now);
  }
  void free_if_done(entry& e) noexcept {
    if (e.is != group_entry::settled || e.references != 0) return;
    e.permit = {};
    entries_.give_back(e);
    if (removed_) entries_.shrink();
  }
  /// As if nothing had been taken from the log; who has a delivery is too late.
  void forget_all() noexcept {
    static_cast<void>(take_all_back());
    timers_.drain([&](group_entry& e) { forget(static_cast<entry&>(e)); });
    waiting_ = 0;
    while (group_entry* const e = ready_.first()) {
      ready_.remove(*e);
      forget(static_cast<entry&>(*e));
    }
    while (group_entry* const e = parked_.first()) {
      parked_.remove(*e);
      ++live_;
      forget(static_cast<entry&>(*e));
    }
    lanes_.clear([&](group_entry& e) { forget(static_cast<entry&>(e)); });
    assert(live_ == 0);
  }
  void forget(entry& e) noexcept {
    e.is = group_entry::settled;
    e.has_key = false;
    --live_;
    free_if_done(e);
  }
  std::int64_t oldest(std::int64_t now) const noexcept {
    std::int64_t since = never;
    entries_.each([&](const entry& e) {
      if (e.is == group_entry::settled || e.is == group_entry::parked) return;
      const std::int64_t t = published_at(e);
      if (t < since) since = t;
    });
    return since == never || since > now ? 0 : now - since;
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<clock_type> clock_;
  const std::string name_;
  options chosen_;
  admission<options> admission_{chosen_};
  log_cursor<Topic> at_;
  entry_store<Topic, entry> entries_{at_};
  ready_lists ready_;
  key_lanes lanes_;
  entry_list leased_;   // in flight, by the end of their leases
  entry_list running_;  // in flight, and in the hands of run(), or with a lease that has been extended
  entry_list parked_;
  timers timers_{clock_};  // what waits, and extended leases
  std::int64_t paused_until_ = long_ago;
  std::int64_t watched_ = never;  // somebody sleeps until then
  std::size_t live_ = 0;          // neither settled nor parked
  std::size_t waiting_ = 0;
  group_stats count_;
  blocked_by blocked_ = blocked_by::none;
  bool paused_ = false;
  typename sync::template atomic<bool> is_held_{false};  // it has been paused since the last look
  bool removed_ = false;
  bool log_ended_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
