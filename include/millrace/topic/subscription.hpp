// millrace/topic/subscription.hpp - one reader of a topic: a place of its own in the common log.
//
// Use it when : you have got one from topic::subscribe.
// Use instead : `latest_value`, if only the newest message counts.
// Threads     : one at a time for everything but position(), lag(), missed() and disconnected(), which any thread may ask for. It
//               may be moved from thread to thread, and made and destroyed in any. Not while a verb, or a coroutine, waits in it,
//               nor in a handler that it calls; seek, poll and run say so there.
// Order       : that of the log, the same for all readers, without a gap but for what missed() counts and a filter leaves out.
//               What was written before a publish is visible to the handler.
// Progress    : try_next, poll and seek do not wait; lock-free, whatever other readers and publishers are suspended in: a
//               message that its publisher does not finish is passed over. next and run sleep, by the wait strategy.
// Errors      : empty, closed (the topic has been closed and everything has been read, or the reader was disconnected),
//               timeout or cancelled, see core/outcome.hpp. A null pointer is any of these.
// Exceptions  : what a handler of poll and run or a filter throws; the reader stays at that message, and gets it again. (on_next
//               gives its message out before its handler is called, as next does.) std::logic_error from seek, poll and run in
//               a handler of the same subscription; std::out_of_range from seek.
// Memory      : a record of 128 bytes in the topic, used again by later readers; nothing for a message.
// Cost        : 1 to 10 ns a message, and a store for each batch; with next(), a store for each message.
// Source      : cursors on a shared log, as LMAX's Disruptor (M. Thompson et al., 2011) and Kafka (J. Kreps et al., 2011).
// Checked by  : tests/topic/subscription_test.cpp, tests/topic/histories_test.cpp, tests/models/topic_models.cpp
//
// Example:
//   auto live = log.subscribe();
//   std::jthread counting([&](std::stop_token stop) {
//     auto outcome = live.run(stop, [&](const line& l) { ++count[l.level]; });
//   });
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/awaiter.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/gathering.hpp"
#include "millrace/core/detail/stop_callback.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/topic/detail/multi_log.hpp"
#include "millrace/topic/detail/reading.hpp"
#include "millrace/topic/detail/single_log.hpp"
#include "millrace/topic/detail/strategy.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {

template <class T, producers Producers = producers::multi, clock Clock = std::chrono::steady_clock,
          class Sync = std_sync>
class topic;

namespace detail {

template <class Subscription>
class next_operation;

struct never_stops {
  [[nodiscard]] static constexpr bool stop_requested() noexcept { return false; }
};

/// For gates, for topic, for log_access.hpp, and for model checks.
struct subscription_access {
  template <class Subscription>
  static auto& at(Subscription& s) noexcept {
    return s.at_;
  }
  template <class Subscription>
  static auto& record(const Subscription& s) noexcept {
    return s.at_.who();
  }
  template <class Subscription>
  static auto& log(const Subscription& s) noexcept {
    return s.at_.log();
  }
};

}  // namespace detail

/// Made by topic::subscribe; the topic must outlive it. Destroying it unsubscribes.
template <class T, producers Producers = producers::multi, clock Clock = std::chrono::steady_clock,
          class Sync = std_sync>
class subscription {
  using log = std::conditional_t<Producers == producers::single, detail::single_log<T, Clock, Sync>,
                                 detail::multi_log<T, Clock, Sync>>;
  using reading = detail::reading<log, T, Sync>;
  using time_point = typename Clock::time_point;

 public:
  using value_type = T;
  using sync_type = Sync;
  using segment = typename log::segment_type;  // for log_access.hpp

  subscription(subscription&&) noexcept = default;
  subscription& operator=(subscription&&) = delete;
  ~subscription() = default;

  // --- one at a time: the message stays until the next call of any of these verbs ---

  /// Waits for the next message; nullptr: closed.
  [[nodiscard]] const T* next() {
    const T* out = nullptr;
    static_cast<void>(wait(detail::no_limit(), out));
    return out;
  }
  /// The next message; nullptr: there is none yet, or closed.
  [[nodiscard]] const T* try_next() {
    release();
    return attempt(true);
  }
  // ok, empty, closed or timeout; `out` is null unless it is ok

  [[nodiscard]] outcome next(const T*& out) { return wait(detail::no_limit(), out); }
  [[nodiscard]] outcome try_next(const T*& out) {
    out = try_next();
    return out != nullptr ? outcome::ok : nothing();
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome next_for(const T*& out, std::chrono::duration<Rep, Period> limit) {
    return wait(detail::limit_for(at_.log().clock(), limit), out);
  }
  [[nodiscard]] outcome next_until(const T*& out, time_point deadline) {
    return wait(detail::limit_at<Clock>{at_.log().clock(), deadline}, out);
  }

  /// const T*; nullptr: closed or cancelled. To co_await at once; see queue/verbs.hpp for what an executor is.
  template <class Executor = inline_executor, class Stop = std::stop_token>
    requires std::invocable<Executor&, std::coroutine_handle<>>
  [[nodiscard]] auto async_next(Executor executor = {}, Stop stop = {}) {
    using operation = detail::next_operation<subscription>;
    return detail::awaiter<Sync, operation, Executor, Stop>(operation(*this), std::move(executor),
                                                            std::move(stop));
  }

  /// A loop over it is one over next().
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    [[nodiscard]] const T& operator*() const noexcept { return *message_; }
    [[nodiscard]] const T* operator->() const noexcept { return message_; }
    iterator& operator++() {
      message_ = from_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return message_ == nullptr; }

   private:
    friend subscription;
    explicit iterator(subscription& from) : from_(&from), message_(from.next()) {}
    subscription* from_;
    const T* message_;
  };
  [[nodiscard]] iterator begin() { return iterator(*this); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

  // --- many at a time ---

  // A handler is called with (const T&), (const T&, std::uint64_t offset), or (const T&, std::uint64_t offset, bool
  // end_of_batch): the last one of what was there, of `max`, of a segment, or before a stop.

  /// Calls `handler` for what is there, `max` at the most, and with many publishers for as many as the capacity; how many it
  /// were. Does not wait.
  template <class Handler>
  std::size_t poll(Handler&& handler, std::size_t max = unlimited) {
    refuse_in_handler("subscription::poll: not in a handler of the same subscription");
    release();
    std::uint64_t looked_at = 0;
    return take(detail::never_stops(), handler, max, true, looked_at);
  }

  /// Calls `handler` for every message, and waits in between, until the topic is closed and all has been read (closed), or
  /// a stop is requested (cancelled): it is called once more then at the most, to be told that the batch ends. Between small
  /// batches it takes a breath of some microseconds at the most, so that it does not hold up publishers; not with
  /// wait_strategy::spin.
  template <class Handler>
  outcome run(Handler&& handler) {
    return run_until(detail::never_stops(), handler);
  }
  template <class Stop, class Handler>
  outcome run(Stop stop, Handler&& handler) {
    const auto wake = [line = &at_.line().events]() noexcept { line->notify_each(); };
    typename detail::stop_callback_of<Stop, decltype(wake)>::type on_stop(stop, wake);
    return run_until(stop, handler);
  }

  // --- where it is ---

  /// All messages before this offset it has done with; said once a batch, and before it waits.
  [[nodiscard]] std::uint64_t position() const noexcept {
    const std::uint64_t passed = at_.who().passed();
    return passed == detail::cursor_word::most ? at_.log().tail() : passed;
  }
  /// How many messages have been published behind its position; with many publishers, those that have come to nothing since
  /// something threw are counted as well, here and by missed().
  [[nodiscard]] std::uint64_t lag() const noexcept {
    const std::uint64_t position = this->position();
    const std::uint64_t tail = at_.log().tail();
    return tail > position ? tail - position : 0;
  }
  /// How many messages it did not get because it was too slow for its overrun rule. A lossy reader that begins where the
  /// retention is just dropping the log may miss what is dropped.
  [[nodiscard]] std::uint64_t missed() const noexcept {
    return at_.who().missed.load(std::memory_order_relaxed);
  }
  /// It was too slow for overrun::disconnect; its position is the tail then. A seek connects it again.
  [[nodiscard]] bool disconnected() const noexcept { return at_.who().passed() == detail::cursor_word::most; }

  // --- going somewhere else, not in a handler: what it is to read again, or to leave out; missed() does not count that ---

  void seek(earliest_t) { jump(0); }
  void seek(latest_t) { jump(at_.log().tail()); }
  /// To the message with this offset, or the first one that is kept, if that is later. std::out_of_range if nothing has
  /// been published there yet.
  void seek(std::uint64_t offset) {
    if (offset > at_.log().tail()) {
      detail::fail<std::out_of_range>("subscription::seek: offset must be 0 to the topic's tail()");
    }
    jump(offset);
  }
  /// To the first message that was published at `time` or later, or the first one that is kept. With
  /// stamps::each_segment up to a segment before that.
  void seek(time_point time) {
    begin_anew();
    at_.go_to_time(log::ticks(time));
  }

 private:
  template <class, producers, clock, class>
  friend class topic;
  friend class detail::next_operation<subscription>;
  friend struct detail::subscription_access;

  subscription(reading&& at, wait_strategy how) noexcept : at_(std::move(at)), wait_(how) {}

  template <class Handler>
  static constexpr bool wants_flag = std::is_invocable_v<Handler&, const T&, std::uint64_t, bool>;

  void jump(std::uint64_t offset) {
    begin_anew();
    at_.go_to(offset);
  }
  void begin_anew() {
    refuse_in_handler("subscription::seek: not in a handler of the same subscription");
    at_.log().trim();
    out_ = false;
  }
  // why: the row that is being handed out lies where the reader stands
  void refuse_in_handler(const char* what) const {
    if (handing_out_) detail::fail<std::logic_error>(what);
  }

  // Done with the message that next gave out.
  void release() noexcept {
    if (!std::exchange(out_, false)) return;
    at_.step();
    at_.commit(at_.at());
  }
  const T* attempt(bool thoroughly) {
    const T* const message = at_.look(thoroughly);
    out_ = message != nullptr;
    at_.commit(at_.at());  // what it left out
    return message;
  }
  [[nodiscard]] outcome nothing() const noexcept {
    return at_.has_ended() ? outcome::closed : outcome::empty;
  }

  template <class Limit>
  outcome wait(Limit&& limit, const T*& out) {
    release();
    out = attempt(false);
    if (out != nullptr) return outcome::ok;
    limit.start();
    return detail::wait_by<Sync>(
        wait_, at_.line(), outcome::empty, is_crowded(), limit, [&](bool thoroughly) {
          out = attempt(thoroughly);
          return out != nullptr ? outcome::ok : thoroughly ? nothing() : outcome::empty;
        });
  }

  // One reader alone would only let more publishers run at once, who then get in each other's way.
  [[nodiscard]] bool is_crowded() const noexcept { return at_.log().readers().are_several(); }

  template <class Stop, class Handler>
  outcome run_until(const Stop& stop, Handler& handler) {
    refuse_in_handler("subscription::run: not in a handler of the same subscription");
    release();
    // why more of them with many publishers: each waits for the lines that a reader has taken, and does nothing meanwhile
    detail::gathering<Sync> gather(log::many ? 512 : 64, log::many ? 256 : 128);
    for (;;) {
      if (stop.stop_requested()) return outcome::cancelled;
      std::uint64_t looked_at = 0;
      take(stop, handler, unlimited, false, looked_at);
      if (looked_at != 0) {
        if (wait_ != wait_strategy::spin) gather.after(looked_at);
        continue;
      }
      detail::no_limit limit;
      const outcome o =
          detail::wait_by<Sync>(wait_, at_.line(), outcome::empty, is_crowded(), limit, [&](bool thoroughly) {
            if (stop.stop_requested()) return outcome::cancelled;
            const bool found = at_.row(1, thoroughly).size != 0;
            at_.commit(at_.at());
            return found ? outcome::ok : thoroughly ? nothing() : outcome::empty;
          });
      if (o != outcome::ok) return o;
    }
  }

  template <class Handler>
  static MILLRACE_INLINE void call(Handler& handler, const T& message, std::uint64_t offset, bool last) {
    if constexpr (wants_flag<Handler>) {
      handler(message, offset, last);
    } else if constexpr (std::is_invocable_v<Handler&, const T&, std::uint64_t>) {
      static_cast<void>(last);
      handler(message, offset);
    } else {
      static_cast<void>(offset);
      static_cast<void>(last);
      handler(message);
    }
  }

  /// Calls `handler` for what is there; `looked_at`: at how many messages, of which the filter may have left out some.
  template <class Stop, class Handler>
  std::size_t take(const Stop& stop, Handler& handler, std::size_t max, bool thoroughly,
                   std::uint64_t& looked_at) {
    // why: with many publishers it may never come to the end
    const std::uint64_t most = log::many ? at_.log().capacity() : unlimited;
    std::size_t done = 0;
    handing_out_ = true;
    detail::on_exception over([&] { handing_out_ = false; });
    at_.forget();
    for (bool more = true; more && done < max && looked_at < most && !stop.stop_requested();) {
      const bool all = at_.is_plain();
      const std::uint64_t want = all && max - done < most - looked_at ? max - done : most - looked_at;
      const auto row = at_.row(want, thoroughly && looked_at == 0);
      if (row.size == 0) break;
      const std::uint64_t from = at_.at();
      done += all ? hand_out(stop, handler, row.size) : hand_out_wanted(stop, handler, row.size, max - done);
      looked_at += at_.at() - from;
      more = row.more;
    }
    over.dismiss();
    handing_out_ = false;
    at_.commit(at_.at());
    return done;
  }

  template <class Stop, class Handler>
  std::size_t hand_out(const Stop& stop, Handler& handler, std::uint64_t n) {
    auto* const cells = at_.first_slot();
    const std::uint64_t from = at_.at();
    std::uint64_t i = 0;
    bool last = false;
    detail::on_exception stay([&] { done_with(i); });
    // why in pieces: who waits for this reader is to hear of it in time
    for (const std::uint64_t piece = at_.log().capacity() / 4 + 1; n - i > piece && !last;
         at_.commit(from + i)) {
      for (const std::uint64_t end = i + piece; i != end && !last; ++i) {
        last = stop.stop_requested();
        call(handler, *cells[i].value(), from + i, last);
      }
    }
    for (; i != n && !last; ++i) {
      last = i + 1 == n || stop.stop_requested();
      call(handler, *cells[i].value(), from + i, last);
    }
    stay.dismiss();
    done_with(i);
    return i;
  }
  /// Those that the filter leaves, `max` at the most. One is held back, until it is known whether it is the last.
  template <class Stop, class Handler>
  std::size_t hand_out_wanted(const Stop& stop, Handler& handler, std::uint64_t n, std::size_t max) {
    auto* const cells = at_.first_slot();
    const std::uint64_t from = at_.at();
    std::size_t done = 0;
    std::uint64_t held = n;  // none
    std::uint64_t i = 0;
    detail::on_exception stay([&] { done_with(held != n ? held : i); });
    const auto hand_out_held = [&](bool last) {
      if (held == n) return;
      call(handler, *cells[held].value(), from + held, last);
      held = n;
      ++done;
    };
    const auto is_wanted = [&] {
#if MILLRACE_HAS_EXCEPTIONS
      try {
        return at_.is_wanted(*cells[i].value(), from + i);
      } catch (...) {
        hand_out_held(true);  // so that the reader stays at the one that the filter could not judge
        throw;
      }
#else
      return at_.is_wanted(*cells[i].value(), from + i);
#endif
    };
    for (; i != n && done + (held != n) < max && !stop.stop_requested(); ++i) {
      if (!is_wanted()) continue;
      hand_out_held(false);
      held = i;
    }
    hand_out_held(true);
    stay.dismiss();
    done_with(i);
    return done;
  }
  void done_with(std::uint64_t n) noexcept {
    at_.skip(n);
    at_.commit(at_.at());
  }

  reading at_;
  wait_strategy wait_;
  bool out_ = false;          // the message at its place has been given out
  bool handing_out_ = false;  // messages to a handler
};

namespace detail {

// See core/detail/awaiter.hpp.
template <class Subscription>
class next_operation {
  using message = const typename Subscription::value_type*;

 public:
  explicit next_operation(Subscription& from) noexcept : from_(&from) {}
  [[nodiscard]] auto& line() noexcept { return from_->at_.line().events; }
  bool try_now() {
    from_->release();
    const bool done = attempt();
    tell_of_waiting()();
    return done;
  }
  bool attempt() {
    found_ = from_->at_.look(true);
    from_->out_ = found_ != nullptr;
    // why it stays: it is tried for several times before anybody is told
    if (from_->at_.commit_quietly(from_->at_.at())) untold_ = true;
    return found_ != nullptr || from_->at_.has_ended();
  }
  [[nodiscard]] auto tell() noexcept { return tell_of_waiting(); }
  [[nodiscard]] auto tell_of_waiting() noexcept {
    return [from = &from_->at_.log(), untold = std::exchange(untold_, false)] {
      if (untold) from->tell_advanced();
    };
  }
  void cancel() noexcept { from_->out_ = false; }
  [[nodiscard]] message answer() const noexcept { return from_->out_ ? found_ : nullptr; }
  void abandon() noexcept { from_->out_ = false; }  // it is still the next one

 private:
  Subscription* from_;
  message found_ = nullptr;
  bool untold_ = false;
};

// See queue/detail/selecting.hpp.
template <class Subscription, class Handler>
class next_case {
 public:
  using sync = typename Subscription::sync_type;
  static constexpr std::size_t alternatives = 1;

  next_case(Subscription& from, Handler& handler) noexcept : operation_(from), handler_(handler) {}
  [[nodiscard]] std::size_t size() const noexcept { return 1; }
  [[nodiscard]] auto* line(std::size_t) noexcept { return &operation_.line(); }
  bool attempt(std::size_t) { return operation_.try_now(); }
  decltype(auto) conclude() { return std::forward<Handler>(handler_)(operation_.answer()); }

 private:
  next_operation<Subscription> operation_;
  std::remove_reference_t<Handler>& handler_;
};

}  // namespace detail

/// A case of select, see queue/select.hpp: handler(const T*), as with next(); nullptr: closed.
template <class Subscription, class Handler>
[[nodiscard]] auto on_next(Subscription& from, Handler&& handler) {
  return detail::next_case<Subscription, Handler>(from, handler);
}

}  // namespace v0
}  // namespace millrace
