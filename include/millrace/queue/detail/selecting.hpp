// What a select does: one place in the line of each of its channels, all behind the same gate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/gate.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/queue/detail/ends.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

// A case is tried with attempt(i), i < size(), which is true if that was done; line(i) is where to wait for it, or nullptr if
// nobody else makes it ready. After a successful attempt conclude() calls the handler. A case that has a deadline() is looked
// at again when that has come.

template <class Channel, class Handler>
class pop_case {
 public:
  using sync = typename Channel::queue_type::sync_type;
  static constexpr std::size_t alternatives = 1;

  pop_case(Channel& from, Handler& handler) : from_(from), handler_(handler) {}
  [[nodiscard]] std::size_t size() const noexcept { return 1; }
  [[nodiscard]] auto* line(std::size_t) const noexcept { return &ends_of<Channel>::to_pop(from_); }
  bool attempt(std::size_t) {
    return ends_of<Channel>::pop_now(from_, [&](auto&& value) { value_.emplace(std::move(value)); }) !=
           outcome::empty;
  }
  decltype(auto) conclude() { return std::forward<Handler>(handler_)(std::move(value_)); }

 private:
  Channel& from_;
  std::remove_reference_t<Handler>& handler_;
  std::optional<typename Channel::value_type> value_;
};

template <class Channel, class Handler>
class pop_any_case {
 public:
  using sync = typename Channel::queue_type::sync_type;
  static constexpr std::size_t alternatives = 0;  // as many as there are

  pop_any_case(std::span<Channel* const> from, Handler& handler) : from_(from), handler_(handler) {}
  [[nodiscard]] std::size_t size() const noexcept { return from_.size(); }
  [[nodiscard]] auto* line(std::size_t i) const noexcept { return &ends_of<Channel>::to_pop(*from_[i]); }
  bool attempt(std::size_t i) {
    chosen_ = i;
    return ends_of<Channel>::pop_now(*from_[i], [&](auto&& value) { value_.emplace(std::move(value)); }) !=
           outcome::empty;
  }
  decltype(auto) conclude() { return std::forward<Handler>(handler_)(chosen_, std::move(value_)); }

 private:
  std::span<Channel* const> from_;
  std::remove_reference_t<Handler>& handler_;
  std::size_t chosen_ = 0;
  std::optional<typename Channel::value_type> value_;
};

template <class Lane, class Value, class Handler>
class push_case {
 public:
  using sync = typename Lane::sync;
  static constexpr std::size_t alternatives = 1;

  push_case(Lane& to, std::remove_reference_t<Value>& value, Handler& handler)
      : to_(to), value_(value), handler_(handler) {}
  [[nodiscard]] std::size_t size() const noexcept { return 1; }
  [[nodiscard]] auto* line(std::size_t) const noexcept { return &to_.not_full.events; }
  bool attempt(std::size_t) {
    result_ = to_.push_now(static_cast<Value&&>(value_));
    return result_ != outcome::full;
  }
  decltype(auto) conclude() { return std::forward<Handler>(handler_)(result_); }

 private:
  Lane& to_;
  std::remove_reference_t<Value>& value_;
  std::remove_reference_t<Handler>& handler_;
  outcome result_ = outcome::full;
};

template <class Ticker, class Handler>
class tick_case {
 public:
  using sync = void;
  using clock_type = typename Ticker::clock_type;
  static constexpr std::size_t alternatives = 1;

  tick_case(Ticker& beat, Handler& handler) : beat_(beat), handler_(handler) {}
  [[nodiscard]] std::size_t size() const noexcept { return 1; }
  [[nodiscard]] std::nullptr_t line(std::size_t) const noexcept { return nullptr; }
  [[nodiscard]] auto deadline() const noexcept { return beat_.next(); }
  [[nodiscard]] auto clock() const noexcept { return beat_.clock(); }
  bool attempt(std::size_t) {
    const auto missed = beat_.try_tick();
    if (missed) missed_ = *missed;
    return missed.has_value();
  }
  decltype(auto) conclude() {
    if constexpr (std::is_invocable_v<Handler, std::uint64_t>) {
      return std::forward<Handler>(handler_)(missed_);
    } else {
      return std::forward<Handler>(handler_)();
    }
  }

 private:
  Ticker& beat_;
  std::remove_reference_t<Handler>& handler_;
  std::uint64_t missed_ = 0;
};

/// Neither deadline nor default can be attempted: they come when nothing else did.
struct last_resort {
  using sync = void;
  static constexpr std::size_t alternatives = 0;
  [[nodiscard]] std::size_t size() const noexcept { return 0; }
};

template <class Clock, class Handler>
class deadline_case : public last_resort {
 public:
  using clock_type = Clock;
  static constexpr bool is_deadline = true;
  deadline_case(clock_ref<Clock> c, typename Clock::time_point d, Handler& h)
      : clock_(c), deadline_(d), handler_(h) {}
  [[nodiscard]] auto deadline() const noexcept { return deadline_; }
  [[nodiscard]] auto clock() const noexcept { return clock_; }
  decltype(auto) conclude() { return std::forward<Handler>(handler_)(); }

 private:
  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  typename Clock::time_point deadline_;
  std::remove_reference_t<Handler>& handler_;
};

template <class Handler>
struct default_case : last_resort {
  static constexpr bool is_default = true;
  explicit default_case(Handler& h) : handler(h) {}
  decltype(auto) conclude() { return std::forward<Handler>(handler)(); }

  std::remove_reference_t<Handler>& handler;
};

template <class Case>
concept is_limit = requires { requires Case::is_deadline; };
template <class Case>
concept never_waits = requires { requires Case::is_default; };
template <class Case>
concept can_be_tried = !is_limit<Case> && !never_waits<Case>;
template <class Case>
concept of_channels = can_be_tried<Case> && !std::is_void_v<typename Case::sync>;
template <class Case>
concept has_deadline = requires { typename Case::clock_type; };

template <class... Results>
struct common_result {
  using type = std::common_type_t<Results...>;
};
template <class... Results>
  requires(std::is_void_v<Results> || ...)
struct common_result<Results...> {
  using type = void;
};

template <class... Cases>
struct sync_of {
  using type = std_sync;  // no channel among them
};
template <class Case, class... Others>
struct sync_of<Case, Others...> {
  using type = typename sync_of<Others...>::type;
};
template <of_channels Case, class... Others>
struct sync_of<Case, Others...> {
  using type = typename Case::sync;
};

/// The clock by which the cases have their deadlines; void, if none has one.
template <class... Cases>
struct clock_of {
  using type = void;
};
template <class Case, class... Others>
struct clock_of<Case, Others...> {
  using type = typename clock_of<Others...>::type;
};
template <has_deadline Case, class... Others>
struct clock_of<Case, Others...> {
  using type = typename Case::clock_type;
  using others = typename clock_of<Others...>::type;
  static_assert(std::is_void_v<others> || std::is_same_v<others, type>,
                "select: its limits and ticks must go by the same clock");
};

template <class... Cases>
class selection {
  static constexpr std::size_t deadlines = (std::size_t{is_limit<Cases>} + ...);
  static constexpr std::size_t defaults = (std::size_t{never_waits<Cases>} + ...);
  static_assert(deadlines <= 1, "select: one after or until at the most");
  static_assert(defaults <= 1, "select: one otherwise at the most");
  static_assert(deadlines + defaults <= 1,
                "select: with otherwise it never waits, and a limit has no meaning");

  using sync = typename sync_of<Cases...>::type;
  using returned = typename common_result<decltype(std::declval<Cases&>().conclude())...>::type;
  using line = basic_event_count<sync>;

 public:
  explicit selection(Cases&... cases) : cases_(cases...), total_((cases.size() + ... + 0)) {}

  returned run() {
    if (!look_from(anywhere()) && defaults == 0) wait();
    return conclude();
  }

 private:
  static constexpr unsigned spins = 40;
  static constexpr unsigned pauses_per_spin = 4;
  static constexpr std::size_t none = ~std::size_t{0};
  static constexpr bool fixed = ((Cases::alternatives > 0 || !can_be_tried<Cases>) && ...);
  static constexpr std::size_t fixed_total = (Cases::alternatives + ... + 0);

  // A place in one line. The notifier opens the gate of all first, and this entry's own in its last touch: when that
  // is open the entry may go. The sleeper is woken after that, so that it need not wait once more.
  struct entry : line::place {
    entry() noexcept
        : line::place([](typename line::place& p) noexcept {
            auto& me = static_cast<entry&>(p);
            gate<sync>& of_all = *me.all;
            const bool asleep = of_all.open_quietly();
            me.own.open();
            if (asleep) gate<sync>::wake(of_all);
          }) {}
    gate<sync>* all = nullptr;
    gate<sync> own;
    bool notified = false;
  };

  /// In all the lines, until it leaves. In the end, whatever that is, it passes on what it was called for and has not
  /// looked at.
  class stay {
   public:
    stay(selection& s, entry* entries, gate<sync>& all) : s_(s), entries_(entries) {
      for (std::size_t i = 0; i < s_.total(); ++i) {
        entries_[i].all = &all;
        entries_[i].own.close();
        entries_[i].notified = false;
        if (line* const l = s_.line_at(i)) l->enter(entries_[i]);
      }
    }
    stay(const stay&) = delete;
    stay& operator=(const stay&) = delete;
    ~stay() {
      // What it took before it left the lines it had not been called for.
      const std::size_t used = left_ ? s_.chosen_ : none;
      if (!left_) leave();
      for (std::size_t i = 0; i < s_.total(); ++i) {
        if (entries_[i].notified && i != used) s_.line_at(i)->notify_one();
      }
    }
    /// The first one that was called; `none`: none was.
    std::size_t leave() noexcept {
      left_ = true;
      std::size_t first = none;
      for (std::size_t i = s_.total(); i-- != 0;) {
        line* const l = s_.line_at(i);
        if (l == nullptr || l->leave(entries_[i])) continue;
        entries_[i].own.wait();
        entries_[i].notified = true;
        first = i;
      }
      return first;
    }
    /// All have been looked at.
    void forget() noexcept {
      for (std::size_t i = 0; i < s_.total(); ++i) entries_[i].notified = false;
    }

   private:
    selection& s_;
    entry* entries_;
    bool left_ = false;
  };

  MILLRACE_NOINLINE void wait() {
    // As the verbs do: what comes soon is cheaper to wait for awake.
    for (unsigned i = total() != 0 && sync::spinning_helps() ? spins : 0; i != 0; --i) {
      for (unsigned p = 0; p < pauses_per_spin; ++p) sync::pause();
      if (look_from(anywhere())) return;
    }
    if constexpr (fixed) {
      std::array<entry, (fixed_total > 0 ? fixed_total : 1)> entries;
      wait_with(entries.data());
    } else {
      const auto entries = std::make_unique<entry[]>(total());
      wait_with(entries.get());
    }
  }
  void wait_with(entry* entries) {
    for (bool in_time = true; in_time;) {
      gate<sync> all;
      stay here(*this, entries, all);
      if (look_from(anywhere())) return;
      in_time = sleep(all);
      const std::size_t called = here.leave();
      if (look_from(called != none ? called : anywhere())) return;
      here.forget();
    }
  }
  /// Until somebody opens the gate, or a deadline has come. False: it is that of the limit.
  bool sleep(gate<sync>& all) {
    using clock = typename clock_of<Cases...>::type;
    if constexpr (std::is_void_v<clock>) {
      all.wait();
      return true;
    } else {
      std::optional<clock_ref<clock>> by;
      typename clock::time_point earliest{};
      bool is_the_limit = false;
      const auto look = [&](auto& c) {
        using one = std::remove_cvref_t<decltype(c)>;
        if constexpr (has_deadline<one>) {
          if (by && c.deadline() >= earliest) return;
          by.emplace(c.clock());
          earliest = c.deadline();
          is_the_limit = is_limit<one>;
        }
      };
      std::apply([&](auto&... c) { (look(c), ...); }, cases_);
      return all.wait_until(earliest, *by) || !is_the_limit;
    }
  }

  // why not always total_: where there is no channel at all g++ would see lines that are not there, and warn
  [[nodiscard]] std::size_t total() const noexcept { return fixed ? fixed_total : total_; }
  [[nodiscard]] std::size_t anywhere() const { return total() > 1 ? sync::random_below(total()) : 0; }

  /// Tries all, beginning with the i-th; true: one of them was done.
  bool look_from(std::size_t i) {
    for (std::size_t n = 0; n < total(); ++n, i = i + 1 < total() ? i + 1 : 0) {
      if (at(i, [](auto& c, std::size_t k) { return c.attempt(k); })) {
        chosen_ = i;
        return true;
      }
    }
    return false;
  }
  /// nullptr: it has none.
  [[nodiscard]] line* line_at(std::size_t i) {
    line* found = nullptr;
    at(i, [&](auto& c, std::size_t k) {
      found = c.line(k);
      return true;
    });
    return found;
  }
  /// f(case, k) for the i-th alternative of all, the k-th of its case.
  template <class F>
  bool at(std::size_t i, F f) {
    bool done = false;
    const auto here = [&](auto& c) {
      if constexpr (can_be_tried<std::remove_cvref_t<decltype(c)>>) {
        if (i < c.size()) {
          done = f(c, i);
          return true;
        }
        i -= c.size();
      }
      return false;
    };
    std::apply([&](auto&... c) { static_cast<void>((here(c) || ...)); }, cases_);
    return done;
  }

  template <std::size_t Nth = 0>
  returned conclude(std::size_t before = 0) {
    auto& c = std::get<Nth>(cases_);
    if constexpr (Nth + 1 < sizeof...(Cases)) {
      const bool mine = can_be_tried<std::remove_cvref_t<decltype(c)>>
                            ? chosen_ != none && chosen_ - before < c.size()
                            : chosen_ == none;
      if (!mine) return conclude<Nth + 1>(before + c.size());
    }
    if constexpr (std::is_void_v<returned>) {
      static_cast<void>(c.conclude());
    } else {
      return c.conclude();
    }
  }

  std::tuple<Cases&...> cases_;
  const std::size_t total_;
  std::size_t chosen_ = none;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
