// A consumer group as its consumers meet it: one at a time in its books, asleep when there is nothing to do.
//
// Consumers sleep in a line of the group's own. While somebody does, the group has a place in the line of the topic's readers:
// a publish calls it, and it wakes one consumer. Who then leaves with a message sees to it that another one keeps watch, and
// wakes it if there is more. One of the sleepers, at least, sleeps only until something is due by the clock.
#pragma once

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/plain_word.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/delivery/detail/group_crew.hpp"
#include "millrace/delivery/detail/group_ledger.hpp"
#include "millrace/topic/log_access.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Topic>
class group_state final : public companion, public group_desk {
 public:
  using ledger = group_ledger<Topic>;
  using claimed = typename ledger::claimed;
  using value_type = typename ledger::value_type;
  using clock_type = typename ledger::clock_type;
  using sync = typename ledger::sync;
  using options = typename ledger::options;
  using events = basic_event_count<sync>;
  static constexpr std::int64_t never = ledger::never;

  group_state(std::string name, log_cursor<Topic>&& at, clock_ref<clock_type> clock, options&& chosen)
      : companion(&kind_of<group_state>),
        clock_(clock),
        ledger_(std::move(name), std::move(at), clock, std::move(chosen)) {}
  ~group_state() override {
    crew_.stop();
    // why nobody is about to call it: the topic goes, so every publish has returned
    if (listening_.load(std::memory_order_relaxed)) static_cast<void>(ledger_.published().leave(listener_));
  }

  [[nodiscard]] const std::string& name() const noexcept { return ledger_.name(); }
  [[nodiscard]] bool is_removed() const noexcept { return removed_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t now() const noexcept { return ledger_.now(); }
  [[nodiscard]] clock_ref<clock_type> clock() const noexcept { return clock_; }
  static typename clock_type::time_point time_at(std::int64_t t) noexcept {
    return typename clock_type::time_point(
        std::chrono::ceil<typename clock_type::duration>(std::chrono::nanoseconds(t)));
  }
  [[nodiscard]] crew_holder& crew() noexcept { return crew_; }
  /// f(ledger), and nobody else is in it; then whoever sleeps looks again.
  template <class F>
  auto change(F f) {
    struct tell {
      group_state& me;
      ~tell() {
        me.bell_.events.notify_each();
        me.quiet_.events.notify_each();
      }
    } const afterwards{*this};
    const guard locked(*this);
    return f(ledger_);
  }
  template <class F>
  auto look(F f) {
    const guard locked(*this);
    return f(ledger_);
  }

  // --- claiming ---

  /// ok, empty or closed.
  outcome try_claim(claimed* out, std::size_t want, std::size_t& n, bool leased) {
    return claim_and(out, want, n, leased, [](outcome) {});
  }
  /// ok, closed, timeout, or cancelled.
  template <class Stop>
  outcome claim(claimed* out, std::size_t want, std::size_t& n, bool leased, std::int64_t deadline,
                const Stop& stop) {
    outcome o = try_claim(out, want, n, leased);
    if (o != outcome::empty) return o;
    o = bell_.spin(outcome::empty, [&] {
      if (stop.stop_requested()) return outcome::cancelled;
      return try_claim(out, want, n, leased);
    });
    // why: who sleeps after a few messages, and has to be woken for the next one, keeps a publisher from its work
    const unsigned yields = sync::spinning_helps() ? 2 : 0;
    for (unsigned i = 0; i < yields && o == outcome::empty; ++i) {
      sync::yield();
      o = try_claim(out, want, n, leased);
    }
    if (o != outcome::empty) return o;
    typename events::waiter me;
    for (;;) {
      bell_.events.prepare_wait(me);
      on_exception back_out([&] { bell_.events.cancel_wait(me); });
      listen();
      std::int64_t watched = never;
      o = stop.stop_requested() ? outcome::cancelled : claim_or_watch(out, want, n, leased, watched);
      back_out.dismiss();
      if (o != outcome::empty) {
        bell_.events.cancel_wait(me);
        pass_on(never);
        return o;
      }
      const std::int64_t until = watched < deadline ? watched : deadline;
      if (until == never) {
        bell_.events.wait(me);
      } else {
        static_cast<void>(bell_.events.template wait_until<clock_type>(me, time_at(until), clock_));
      }
      on_exception leave([&] { pass_on(watched); });
      o = stop.stop_requested() ? outcome::cancelled : try_claim(out, want, n, leased);
      leave.dismiss();
      if (o == outcome::empty && deadline != never && now() >= deadline) o = outcome::timeout;
      if (o != outcome::empty) {
        pass_on(watched);
        return o;
      }
      unwatch(watched);
    }
  }
  /// Of the retry policy; called without the mutex.
  [[nodiscard]] auto& decide() noexcept { return ledger_.retry().decide; }
  [[nodiscard]] bool holds_back() const noexcept { return ledger_.holds_back(); }
  [[nodiscard]] group_observer* observer() const noexcept { return ledger_.observer(); }
  void wake_all() noexcept { bell_.events.notify_each(); }

  // --- for who waits in a way of its own: into the line, listen(), claim_or_watch(), and afterwards pass_on() ---

  [[nodiscard]] events& line() noexcept { return bell_.events; }
  void listen() noexcept {
    // (1) acquire; pairs with (2): who has called it is done with it
    if (listening_.exchange(true, std::memory_order_acquire)) return;
    assert(!listener_.in_line.get());
    listener_.in_line.set(true);
    ledger_.published().enter(listener_);
  }
  outcome claim_or_watch(claimed* out, std::size_t want, std::size_t& n, bool leased, std::int64_t& watched) {
    return claim_and(out, want, n, leased, [&](outcome o) {
      if (o == outcome::empty) watched = ledger_.watch();
    });
  }
  /// By who has slept, or was about to, and does not any more.
  void pass_on(std::int64_t watched) {
    const bool alone = bell_.events.waiters_approx() == 0;
    if (alone && watched == never) return;
    if (!alone) listen();
    const std::int64_t now = this->now();
    bool more = false;
    bool quiet = false;
    {
      const guard locked(*this);
      ledger_.unwatch(watched);
      more = !alone && ledger_.has_more(now);
      quiet = !more && somebody_waits_for_quiet();
    }
    if (more) bell_.events.notify_one();
    if (quiet) quiet_.events.notify_all();
  }
  void unwatch(std::int64_t watched) noexcept {
    if (watched != never) look([&](ledger& l) { l.unwatch(watched); });
  }

  // --- settling ---

  bool settle(group_entry& e, std::uint32_t generation, verdict what, std::int64_t delay,
              std::string_view reason) noexcept override {
    const std::int64_t now = what == verdict::ack ? 0 : this->now();
    bool done = false;
    wakes w;
    {
      const guard locked(*this);
      done = ledger_.settle(e, generation, what, delay, reason, now);
      w = whom_to_wake();
    }
    wake(w);
    return done;
  }
  void settle_done(const claimed* done, std::size_t n) noexcept {
    if (n == 0) return;
    wakes w;
    {
      const guard locked(*this);
      for (std::size_t i = 0; i < n; ++i) {
        static_cast<void>(ledger_.settle(*done[i].entry, done[i].generation, verdict::ack, 0, {}, 0));
      }
      w = whom_to_wake();
    }
    wake(w);
  }
  bool extend(group_entry& e, std::uint32_t generation, std::int64_t by) noexcept override {
    const std::int64_t now = this->now();
    return look([&](ledger& l) { return l.extend(e, generation, by, now); });
  }
  [[nodiscard]] std::int64_t published_at(const group_entry& e) const noexcept override {
    return ledger_.published_at(e);
  }
  void note_second_settle() noexcept override {
    look([](ledger& l) { l.note_late(); });
  }

  // --- the rest ---

  /// ok: everything is settled; closed: the group has been removed; timeout, or cancelled.
  template <class Stop>
  outcome wait_until_settled(std::int64_t deadline, const Stop& stop) {
    typename events::waiter me;
    for (;;) {
      quiet_.events.prepare_wait(me);
      outcome o = look([](const ledger& l) {
        if (l.is_removed()) return outcome::closed;
        return l.is_settled() ? outcome::ok : outcome::empty;
      });
      if (o == outcome::empty && stop.stop_requested()) o = outcome::cancelled;
      if (o == outcome::empty && deadline != never && now() >= deadline) o = outcome::timeout;
      if (o != outcome::empty) {
        quiet_.events.cancel_wait(me);
        return o;
      }
      if (deadline == never) {
        quiet_.events.wait(me);
      } else {
        static_cast<void>(quiet_.events.template wait_until<clock_type>(me, time_at(deadline), clock_));
      }
    }
  }
  void wake_who_waits_for_quiet() noexcept { quiet_.events.notify_each(); }
  /// Nothing is delivered any more; waits until nothing is in flight, or for the deadline, and then takes back what is. How many
  /// that were.
  std::size_t drain(std::int64_t deadline) {
    look([](ledger& l) { l.pause(); });
    typename events::waiter me;
    for (;;) {
      quiet_.events.prepare_wait(me);
      const std::int64_t now = this->now();
      std::int64_t until = deadline;
      const bool is_quiet = look([&](ledger& l) {
        l.pass_time(now);  // an ack timeout is an end, too
        if (l.event() < until) until = l.event();
        return l.is_quiet();
      });
      if (is_quiet || now >= deadline) {
        quiet_.events.cancel_wait(me);
        return is_quiet ? 0 : change([](ledger& l) { return l.take_all_back(); });
      }
      if (until == never) {
        quiet_.events.wait(me);
      } else {
        static_cast<void>(quiet_.events.template wait_until<clock_type>(me, time_at(until), clock_));
      }
    }
  }
  void remove() noexcept {
    removed_.store(true, std::memory_order_relaxed);
    change([](ledger& l) { l.remove(); });
  }

 private:
  using place = typename events::place;
  struct listener final : place {
    explicit listener(group_state& g) noexcept
        : place([](place& p) noexcept { static_cast<listener&>(p).group.on_published(); }), group(g) {}
    group_state& group;
    typename plain_of<sync, bool>::type in_line;
  };
  struct guard {
    group_state& g;
    explicit guard(group_state& s) noexcept : g(s) { g.mutex_.lock(); }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;
    ~guard() { g.mutex_.unlock(); }
  };
  /// And then(outcome), with the mutex held.
  template <class F>
  outcome claim_and(claimed* out, std::size_t want, std::size_t& n, bool leased, F then) {
    const std::int64_t now = this->now();
    outcome o = outcome::empty;
    bool quiet = false;
    {
      const guard locked(*this);
      o = ledger_.claim(out, want, n, leased, now);
      then(o);
      // what was left may have been nothing that is delivered
      quiet = n == 0 && somebody_waits_for_quiet();
    }
    if (quiet) quiet_.events.notify_all();
    return o;
  }
  struct wakes {
    bool one = false;
    bool all = false;
    bool quiet = false;
  };

  /// With the mutex held: who waits has lined up before it looked, with the mutex held, for the last time.
  wakes whom_to_wake() const noexcept {
    wakes w;
    if (bell_.events.waiters_approx() != 0) {
      w.all = ledger_.has_ended();
      w.one = ledger_.is_news();
    }
    w.quiet = somebody_waits_for_quiet();
    return w;
  }
  bool somebody_waits_for_quiet() const noexcept {
    return quiet_.events.waiters_approx() != 0 && ledger_.is_quiet();
  }
  void wake(wakes w) noexcept {
    if (w.all) {
      bell_.events.notify_each();
    } else if (w.one) {
      bell_.events.notify_one();
    }
    if (w.quiet) quiet_.events.notify_all();
  }

  // --- the place in the topic's line ---

  void on_published() noexcept {
    listener_.in_line.set(false);
    listening_.store(false, std::memory_order_release);  // (2)
    bell_.events.notify_one();
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<clock_type> clock_;
  typename mutex_of<sync>::type mutex_;
  ledger ledger_;             // guarded by mutex_, but for what it says itself
  waiting_room<sync> bell_;   // consumers
  waiting_room<sync> quiet_;  // who drains, or waits until all is settled
  listener listener_{*this};
  typename sync::template atomic<bool> listening_{false};
  typename sync::template atomic<bool> removed_{false};
  crew_holder crew_;  // last: gone before what it uses
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
