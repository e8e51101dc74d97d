// millrace/delivery/consumer_group.hpp - consumers that share a topic's messages, each of which is settled once.
//
// The name decides: consumers of one group share the work, groups of different names get everything each, and a new group
// changes no line of the publisher.
//
// Use it when : messages are work: each is to be done by one of several workers, again if that fails, and not lost.
// Use instead : `subscription`, if every reader wants every message and nothing is to be acknowledged; `channel`, if a failure is
//               the worker's own affair.
// Threads     : any number, for everything. A group is a handle; copies of it are the same group.
// Order       : by options.order. With ordering::none as the log's, but for retries and what runs beside.
// Progress    : consumers meet in a mutex, held for some ten instructions a message; run claims and settles many at once while
//               its handlers take no time. receive and run sleep when there is nothing to do, and nothing polls. A consumer that
//               is suspended with a message in its hands stops nobody else; publishers neither wait for messages in
//               flight nor for those that wait for a retry, but only while the group is `capacity` messages behind with taking.
// Errors      : at least once while the process lives: a message that was published while the group was there is acked, moved to
//               the dead letters, expired, a duplicate, or still in the group (stats() counts each), and never with two
//               consumers at a time unless its ack timeout or the deadline of a drain has passed, or the group has been moved
//               by a seek. An empty delivery: none, closed, timeout or cancelled.
// Exceptions  : std::invalid_argument and std::length_error for what is out of its range, and for a handler that is none;
//               std::out_of_range for an offset where nothing has been published; std::bad_alloc, when a message is taken, which
//               stays then, and, as std::system_error where the system has no thread, from run, run_on and scale, which leave
//               the workers as they were. What a handler throws is a failed attempt. What options.filter, key, priority or
//               duplicates throw comes out of receive and work; with run and run_on, where nobody would hear of it, they must
//               not throw.
// Memory      : 35 KiB a group once something has to wait, and 150 bytes for each message taken and not settled, kept until
//               the group is removed; and the segments of the log in which such messages lie. Of a removed group 3 KiB stay
//               until the topic is gone: a group is for a kind of work, and not for each session.
// Cost        : 60 to 100 ns a message by run, 150 to 230 by receive and ack; see benchmarks/README.md.
// Source      : consumer groups as Kafka's (J. Kreps et al., 2011), acknowledgement as AMQP's and NATS JetStream's.
// Checked by  : tests/delivery/consumer_group_test.cpp, tests/delivery/books_test.cpp, tests/models/group_models.cpp
//
// Example:
//   millrace::topic<order> orders(100'000);
//   auto billing = orders.group("billing", {.max_in_flight = 64, .limiter = &bank_limit, .breaker = &bank_breaker});
//   billing.run(4, [](const order& o) { charge(o); });   // four threads; returning acks, throwing is tried again
//   auto audit = orders.group("audit");
//   while (auto d = audit.receive()) { write(*d); d.ack(); }
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/is_null.hpp"
#include "millrace/core/detail/stop_callback.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/delivery/detail/group_state.hpp"
#include "millrace/delivery/detail/group_tasks.hpp"
#include "millrace/delivery/detail/group_worker.hpp"
#include "millrace/delivery/group_stats.hpp"
#include "millrace/delivery/options.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// Made by topic::group; the topic must outlive it and its deliveries.
template <class Topic>
class consumer_group {
  using state = detail::group_state<Topic>;
  using ledger = typename state::ledger;
  using claimed = typename state::claimed;
  using clock_type = typename Topic::clock_type;
  using time_point = typename clock_type::time_point;
  using nanoseconds = std::chrono::nanoseconds;

 public:
  using value_type = typename Topic::value_type;
  using delivery = millrace::delivery<value_type>;
  using options = group_options<Topic>;

  [[nodiscard]] const std::string& name() const noexcept { return state_->name(); }

  // --- taking one message ---

  /// Waits. None: closed, or the group has been removed.
  [[nodiscard]] delivery receive() {
    delivery d;
    static_cast<void>(receive(d));
    return d;
  }
  /// Does not wait. None: there is nothing to deliver just now (stats().blocked says why), or closed.
  [[nodiscard]] delivery try_receive() {
    delivery d;
    static_cast<void>(try_receive(d));
    return d;
  }
  // ok, empty, closed, timeout or cancelled

  [[nodiscard]] outcome receive(delivery& out) { return wait(out, state::never, std::stop_token()); }
  [[nodiscard]] outcome receive(delivery& out, const std::stop_token& stop) {
    return wait(out, state::never, stop);
  }
  [[nodiscard]] outcome try_receive(delivery& out) {
    claimed one;
    std::size_t n = 0;
    out = delivery();
    const outcome o = state_->try_claim(&one, 1, n, true);
    if (o == outcome::ok) out = made(one);
    return o;
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome receive_for(delivery& out, std::chrono::duration<Rep, Period> limit) {
    return wait(out, ticks(detail::saturating_deadline(now(), limit)), std::stop_token());
  }
  [[nodiscard]] outcome receive_until(delivery& out, time_point deadline) {
    return wait(out, ticks(deadline), std::stop_token());
  }
  /// What is there, `n` at the most, into the deliveries at `out`. How many. Does not wait.
  template <class Iterator>
  std::size_t try_receive_n(Iterator out, std::size_t n) {
    std::size_t done = 0;
    while (done != n) {
      constexpr std::size_t most = 32;
      claimed batch[most];
      const std::size_t want = n - done < most ? n - done : most;
      std::size_t got = 0;
#if MILLRACE_HAS_EXCEPTIONS
      try {
#endif
        static_cast<void>(state_->try_claim(batch, want, got, true));
#if MILLRACE_HAS_EXCEPTIONS
      } catch (...) {
        if (done == 0) throw;  // otherwise next time
      }
#endif
      for (std::size_t i = 0; i < got; ++i, ++out) *out = made(batch[i]);
      done += got;
      if (got != want) break;
    }
    return done;
  }

  /// When something may come without a publish or a settle: a retry is due, an ack timeout has passed, a limiter or a breaker
  /// lets go. As of the last look of a consumer; nothing: never. For a loop of the host's around try_receive.
  [[nodiscard]] std::optional<time_point> next_event() const {
    const std::int64_t at = state_->look([](const ledger& l) { return l.event(); });
    if (at == state::never) return std::nullopt;
    return time_point(std::chrono::ceil<typename clock_type::duration>(nanoseconds(at)));
  }

  // --- having a handler called ---

  // A handler takes (const T&), or (delivery<T>&) and may settle that itself. When it returns and has not, the message is
  // acknowledged; when it throws, it has failed, and the retry policy decides. Its delivery has no ack timeout.

  /// In this thread, until the topic is closed and everything is settled (closed), or a stop is requested (cancelled).
  template <class Handler>
  outcome work(const std::stop_token& stop, Handler&& handler) {
    refuse_null(handler);
    const auto wake = [s = state_]() noexcept { s->wake_all(); };
    typename detail::stop_callback_of<std::stop_token, decltype(wake)>::type on_stop(stop, wake);
    return detail::group_worker<Topic, std::remove_reference_t<Handler>>(*state_, handler).run(stop);
  }
  /// In `workers` threads of its own, 1 or more, until stop(), or the end of the stream. All call the same handler, at the same
  /// time. Not in a handler. std::logic_error if they run already.
  template <class Handler>
  void run(std::size_t workers, Handler handler) {
    refuse_null(handler);
    auto shared = std::make_shared<Handler>(std::move(handler));
    start(workers, [&] {
      return std::make_unique<detail::group_threads>(
          [group = *this, shared](const std::stop_token& stop) mutable {
            static_cast<void>(group.work(stop, *shared));
          });
    });
  }
  /// Likewise, by `workers` tasks in threads of the host's: post(f) has f() called soon, in one of them, and f may be copied; it
  /// must not throw. A task takes what there is, and is posted again when there is more, or when `timers`, a timer service of
  /// the topic's clock that somebody runs, says that it is time. Both must outlive stop().
  template <class Post, class Timers, class Handler>
  void run_on(Post post, Timers& timers, std::size_t workers, Handler handler) {
    refuse_null(handler);
    using tasks = detail::group_tasks<Topic, Post, Timers, Handler>;
    start(workers,
          [&] { return std::make_unique<tasks>(*state_, std::move(post), timers, std::move(handler)); });
  }
  /// So many from now on. Those that are one too many finish what they are at. Not in a handler. False: run() has not been called.
  bool scale(std::size_t workers) { return state_->crew().scale(workers); }
  /// Ends what run() has begun, and waits until its handlers have returned. Not in a handler.
  void stop() { state_->crew().stop(); }
  /// Waits until the stream has ended for the workers of run(): the topic is closed, and everything settled; or until somebody
  /// calls stop(), or scale(0). Not in a handler.
  void join() { state_->crew().join(); }
  [[nodiscard]] std::size_t workers() const { return state_->crew().size(); }

  // --- taking without a thread ---

  /// A consumer that takes when it has room, as a pipeline does, and is told when it may be worth while: wake(), in some thread,
  /// once after each take that found nothing, and not after stand_back(). Its deliveries have no ack timeout. `timers` is a timer
  /// service of the topic's clock that somebody runs. wake is copied for its call, which may outlast the puller, and must not
  /// throw. By one thread at a time; what it uses must outlive it.
  template <class Timers, class Wake>
  class puller : private state::events::place {
    using place = typename state::events::place;

   public:
    puller(consumer_group from, Timers& timers, Wake wake)
        : place([](place& p) noexcept { static_cast<puller&>(p).called(); }),
          from_(from),
          timers_(timers),
          wake_(std::move(wake)) {}
    ~puller() { stand_back(); }

    /// Up to `n` messages, 32 at the most, into empty deliveries at `out`: ok, empty or closed.
    [[nodiscard]] outcome take(delivery* out, std::size_t n, std::size_t& got) {
      constexpr std::size_t most = 32;
      claimed batch[most];
      const std::size_t want = n < most ? n : most;
      state& group = *from_.state_;
      std::int64_t watched = leave();
      outcome o = group.try_claim(batch, want, got, false);
      if (o == outcome::empty) {
        group.unwatch(std::exchange(watched, state::never));
        in_line_ = true;
        group.line().enter(*this);
        group.listen();
        o = group.claim_or_watch(batch, want, got, false, watched_);
        if (o == outcome::empty) {
          if (watched_ != state::never) {
            timer_ = timers_.schedule_at(state::time_at(watched_), [this] {
              Wake wake(wake_);
              wake();
            });
          }
          return o;
        }
        static_cast<void>(leave());
      }
      group.pass_on(watched);
      for (std::size_t i = 0; i < got; ++i) out[i] = from_.made(batch[i]);
      return o;
    }
    /// Others are told instead, until the next take.
    void stand_back() { from_.state_->pass_on(leave()); }

   private:
    void called() noexcept {
      Wake wake(wake_);
      calls_.fetch_add(1, std::memory_order_release);  // (1) the last touch
      wake();
    }
    std::int64_t leave() noexcept {
      if (std::exchange(in_line_, false) && !from_.state_->line().leave(*this)) {
        ++called_;
        while (calls_.load(std::memory_order_acquire) != called_) state::sync::yield();  // pairs with (1)
      }
      static_cast<void>(timers_.cancel_and_wait(std::exchange(timer_, {})));
      return std::exchange(watched_, state::never);
    }

    consumer_group from_;
    Timers& timers_;
    const Wake wake_;
    typename Timers::timer timer_;
    std::int64_t watched_ = state::never;
    bool in_line_ = false;
    std::uint32_t called_ = 0;  // how many calls of its place it knows of
    typename state::sync::template atomic<std::uint32_t> calls_{0};
  };

  // --- the whole group ---

  /// Nothing is delivered until resume(). What is in flight goes on; what a worker has taken and not begun comes back.
  void pause() {
    state_->change([](ledger& l) { l.pause(); });
  }
  /// Likewise, until that time at least.
  void pause_until(time_point until) {
    state_->change([&](ledger& l) { l.pause_until(ticks(until)); });
  }
  void resume() {
    state_->change([](ledger& l) { l.resume(); });
  }
  /// Pauses, and waits until nothing is in flight any more: 0. At the deadline what is comes back to the group, and whoever has it
  /// is too late: how many that are.
  std::size_t drain(time_point deadline) { return state_->drain(ticks(deadline)); }
  std::size_t drain() { return state_->drain(state::never); }

  /// Until everything that has been published is settled, or parked: ok, timeout, closed (the group has been removed), or
  /// cancelled. It does not do the work, nor watch the clock for who does. While others go on publishing there may be no such
  /// moment. Not in a handler.
  [[nodiscard]] outcome wait_until_settled(time_point deadline, const std::stop_token& stop = {}) {
    const auto wake = [s = state_]() noexcept { s->wake_who_waits_for_quiet(); };
    typename detail::stop_callback_of<std::stop_token, decltype(wake)>::type on_stop(stop, wake);
    return state_->wait_until_settled(ticks(deadline), stop);
  }

  /// Begins anew at the first kept message at `where` or behind: an offset, a time, earliest or latest. Attempts begin anew, too;
  /// whoever has a delivery is too late; parked messages are as all others, and stats() counts them as parked no more.
  /// std::out_of_range, and nothing is done, for an offset where nothing is yet. Nothing is done if the group has been removed.
  void seek(earliest_t where) { seek_to(where); }
  void seek(latest_t where) { seek_to(where); }
  void seek(std::uint64_t offset) { seek_to(offset); }
  void seek(time_point time) { seek_to(time); }
  /// Parked messages are delivered again, out of order, and with all attempts before them. How many.
  std::size_t unpark() {
    return state_->change([](ledger& l) { return l.unpark(); });
  }
  /// Ends it: consumers are told closed, publishers do not wait for it any more, and its name is free. What is in flight may
  /// still be looked at, and is late; what waits or is parked is forgotten, and no more in stats(). Some 3 KiB of it
  /// stay until the topic is gone.
  void remove() { state_->remove(); }

  [[nodiscard]] group_stats stats() const {
    const std::int64_t now = state_->now();
    return state_->look([&](const ledger& l) { return l.stats(now); });
  }

 private:
  template <class, producers, clock, class>
  friend class topic;

  explicit consumer_group(state& s) noexcept : state_(&s) {}

  template <class Where>
  void seek_to(Where where) {
    state_->change([&](ledger& l) { l.seek(where); });
  }
  [[nodiscard]] delivery made(const claimed& c) const noexcept {
    return delivery(*state_, *c.entry, c.generation, c.attempt);
  }
  [[nodiscard]] outcome wait(delivery& out, std::int64_t deadline, const std::stop_token& stop) {
    const auto wake = [s = state_]() noexcept { s->wake_all(); };
    typename detail::stop_callback_of<std::stop_token, decltype(wake)>::type on_stop(stop, wake);
    claimed one;
    std::size_t n = 0;
    out = delivery();
    const outcome o = state_->claim(&one, 1, n, true, deadline, stop);
    if (o == outcome::ok) out = made(one);
    return o;
  }
  template <class Handler>
  static void refuse_null(const Handler& handler) {
    if (detail::is_null(handler)) {
      detail::fail<std::invalid_argument>("consumer_group: handler must be set");
    }
  }
  template <class Make>
  void start(std::size_t workers, Make make) {
    if (workers < 1) detail::fail<std::invalid_argument>("consumer_group::run: workers must be 1 or more");
    if (!state_->crew().start(workers, make)) {
      detail::fail<std::logic_error>(
          "consumer_group::run: it runs already; scale() changes the number of workers");
    }
  }
  [[nodiscard]] time_point now() const noexcept { return state_->clock().now(); }
  static std::int64_t ticks(time_point t) noexcept {
    if (t == (time_point::max)()) return state::never;
    return std::chrono::duration_cast<nanoseconds>(t.time_since_epoch()).count();
  }

  state* state_;
};

namespace detail {

template <class Topic>
void validate(const group_options<Topic>& o) {
  using refused = std::invalid_argument;
  if (o.max_in_flight < 1) fail<refused>("topic::group: options.max_in_flight must be 1 or more");
  if (o.max_waiting < 1) fail<refused>("topic::group: options.max_waiting must be 1 or more");
  if (o.lookahead < 1) fail<refused>("topic::group: options.lookahead must be 1 or more");
  if (o.ack_timeout <= o.ack_timeout.zero())
    fail<refused>("topic::group: options.ack_timeout must be more than 0");
  if (o.key && o.order != ordering::by_key) {
    fail<refused>("topic::group: options.key is for options.order = ordering::by_key");
  }
  if (o.priority && !o.prioritized)
    fail<refused>("topic::group: options.priority is for options.prioritized = true");
  if (o.prioritized && o.order == ordering::strict) {
    fail<refused>("topic::group: options.prioritized must be false with ordering::strict");
  }
  // Without these all messages would be alike.
  if constexpr (!is_message<typename Topic::value_type>) {
    if (!o.key && o.order == ordering::by_key) {
      fail<refused>(
          "topic::group: options.key must be set with ordering::by_key where values are no message<T>");
    }
    if (!o.priority && o.prioritized)
      fail<refused>(
          "topic::group: options.priority must be set with prioritized where values are no message<T>");
  }
  if (o.when_full == overrun::disconnect) {
    // why: it would be a stream that has ended, as if its topic had been closed
    fail<refused>("topic::group: options.when_full must be block, drop_oldest or drop_newest");
  }
  validate(o.retry);
}

}  // namespace detail

template <class T, producers Producers, clock Clock, class Sync>
consumer_group<topic<T, Producers, Clock, Sync>> topic<T, Producers, Clock, Sync>::group(
    std::string_view name, group_options<topic> chosen) {
  using state = detail::group_state<topic>;
  state& found = companions_.template find_or_add<state>(
      [&](const state& s) { return !s.is_removed() && s.name() == name; },
      [&] {
        if (name.empty()) detail::fail<std::invalid_argument>("topic::group: name must not be empty");
        detail::validate(chosen);
        log_cursor<topic> at(subscribe({.from = chosen.from, .when_full = chosen.when_full}));
        return new state(std::string(name), std::move(at), log_.clock(), std::move(chosen));
      });
  return consumer_group<topic>(found);
}

}  // namespace v0
}  // namespace millrace
