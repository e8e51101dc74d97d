// Drives a timing_wheel and a sorted set of the same timers with the same random calls, and compares all that can be seen:
// what fires, when, in what order, what every call answers.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "millrace/time/timing_wheel.hpp"

namespace support {

/// A clock that nobody reads.
template <class Duration>
struct named_clock {
  using duration = Duration;
  using rep = typename duration::rep;
  using period = typename duration::period;
  using time_point = std::chrono::time_point<named_clock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept { return time_point(); }
};

/// Source: below(n) gives a number from 0 to n - 1, and done() says when it is enough. `Wheel`: payload is std::uint64_t.
template <class Wheel, class Source>
class wheel_script {
  using handle = typename Wheel::handle;
  using expiry = typename Wheel::expiry;
  using time_point = typename Wheel::time_point;
  using duration = typename Wheel::duration;
  using rule = millrace::missed_periods;
  __extension__ using wide = __int128;  // so that the oracle need not care about overflow

  static constexpr wide units =
      std::ratio_divide<typename Wheel::tick::period, typename duration::period>::num;
  static constexpr wide earliest = std::numeric_limits<std::int64_t>::min();
  static constexpr wide latest = std::numeric_limits<std::int64_t>::max();

 public:
  wheel_script(Source& source, std::int64_t start)
      : source_(source), wheel_(at(start)), now_(floor(start)), clock_(start) {}

  /// How many timers have fired, or nothing: the two differ, and what() says where.
  std::optional<std::uint64_t> run() {
    while (!source_.done() && what_ == nullptr) step(true);
    if (what_ == nullptr) finish();
    if (what_ != nullptr) return std::nullopt;
    return fired_;
  }
  [[nodiscard]] const char* what() const noexcept { return what_; }

 private:
  struct timer {
    handle h;
    wide deadline;
    wide tick;  // at which it comes
    std::uint64_t order;
    wide period;  // 0: once
    rule missed;
  };
  using key = std::tuple<wide, wide, std::uint64_t, std::uint64_t>;  // tick, deadline, order, name

  static time_point at(wide t) { return time_point(duration(static_cast<std::int64_t>(t))); }
  static wide floor(wide t) { return t / units - (t % units < 0 ? 1 : 0); }
  static wide ceiling(wide t) { return -floor(-t); }
  static wide clamp(wide t) { return std::clamp(t, earliest, latest); }
  static time_point time_of(wide tick) { return at(clamp(tick * units)); }

  bool check(bool holds, const char* what) {
    if (!holds && what_ == nullptr) what_ = what;
    return holds;
  }

  // --- the oracle ---

  key key_of(std::uint64_t name) const {
    const timer& t = timers_.at(name);
    return {t.tick, t.deadline, t.order, name};
  }
  void enter(std::uint64_t name, wide deadline) {
    timer& t = timers_.at(name);
    t.deadline = deadline;
    t.tick = std::max(ceiling(deadline), now_ + 1);
    t.order = orders_++;
    line_.insert(key_of(name));
  }
  void leave(std::uint64_t name) { line_.erase(key_of(name)); }
  void stop_repeating(timer& t) {
    if (t.period != 0 && t.missed == rule::catch_up) catching_up_.erase(catching_up_.find(t.period));
    t.period = 0;
  }
  void erase(std::uint64_t name) {
    stop_repeating(timers_.at(name));
    timers_.erase(name);
  }

  // --- what happens ---

  wide some_distance() {
    static constexpr int shifts[] = {0, 3, 8, 9, 16, 17, 24, 25, 32, 33, 40, 41, 50, 62};
    const wide base = wide{1} << shifts[source_.below(14)];
    wide distance = base * units;
    switch (source_.below(4)) {
      case 0: break;
      case 1: distance += units * static_cast<wide>(source_.below(5)) - 2 * units; break;
      case 2: distance = distance * static_cast<wide>(source_.below(1000)) / 500; break;
      default: distance = units * static_cast<wide>(source_.below(700)); break;
    }
    if (source_.below(2) == 0) distance += static_cast<wide>(source_.below(64)) * units / 64;
    return distance;
  }
  wide some_deadline() {
    if (source_.below(60) == 0) return source_.below(2) == 0 ? latest : earliest;
    const wide distance = some_distance();
    return clamp(clock_ + (source_.below(12) == 0 ? -distance : distance));
  }
  /// One that catches up comes back for every period.
  wide not_too_late(wide deadline, wide period, rule missed) const {
    if (period == 0 || missed == rule::skip) return deadline;
    return clamp(std::max(deadline, clock_ - 64 * period));
  }
  std::uint64_t somebody() {
    // Mostly one of the last, and sometimes one that has gone.
    const std::uint64_t span = source_.below(4) == 0 ? names_.size() : 64;
    return names_.size() - 1 - source_.below(std::min<std::uint64_t>(span, names_.size()));
  }

  void step(bool outside) {
    switch (source_.below(outside ? 16 : 9)) {
      case 0:
      case 1:
      case 2: schedule(); break;
      case 3: schedule_every(); break;
      case 4: cancel(); break;
      case 5: extract(); break;
      case 6:
      case 7:
      case 8: reschedule(); break;
      case 9: back(); break;
      case 10: look(); break;
      case 11:
        if (source_.below(200) == 0) drain();
        if (source_.below(4) == 0) crowd();
        break;
      default: advance(); break;
    }
  }

  void schedule() { enter_new(some_deadline()); }
  void enter_new(wide deadline) {
    const std::uint64_t name = names_.size();
    const handle h = wheel_.schedule(at(deadline), name);
    names_.push_back(h);
    timers_.emplace(name, timer{h, 0, 0, 0, 0, rule::skip});
    enter(name, deadline);
  }
  /// Many for about the same tick, so that a budget ends in the middle of them.
  void crowd() {
    const wide around = source_.below(2) == 0 ? some_deadline() : clamp(clock_ + units);
    for (std::uint64_t n = source_.below(200); n > 0 && !source_.done(); --n) {
      enter_new(clamp(around + static_cast<wide>(source_.below(128)) * units / 64));
    }
  }
  void schedule_every() {
    const wide period = clamp(std::max(units, some_distance() + 1));
    const rule missed = source_.below(3) == 0 ? rule::catch_up : rule::skip;
    const wide first = not_too_late(some_deadline(), period, missed);
    const std::uint64_t name = names_.size();
    const handle h =
        wheel_.schedule_every(at(first), duration(static_cast<std::int64_t>(period)), name, missed);
    names_.push_back(h);
    timers_.emplace(name, timer{h, 0, 0, 0, period, missed});
    if (missed == rule::catch_up) catching_up_.insert(period);
    enter(name, first);
  }
  void cancel() {
    if (names_.empty()) return;
    const std::uint64_t name = somebody();
    check(wheel_.cancel(names_[name]) == forget(name), "cancel");
    check(!wheel_.is_scheduled(names_[name]), "is_scheduled after cancel");
  }
  void extract() {
    if (names_.empty()) return;
    const std::uint64_t name = somebody();
    const auto payload = wheel_.extract(names_[name]);
    const bool mine = name == firing_;
    const bool was = forget(name);
    if (mine) {
      check(!payload, "extract in its own handler");
    } else {
      check(payload.has_value() == was && payload.value_or(name) == name, "extract");
    }
  }
  /// Whether it was scheduled.
  bool forget(std::uint64_t name) {
    const auto found = timers_.find(name);
    if (found == timers_.end()) return false;
    if (name == firing_) {
      const bool was = revived_ || found->second.period != 0;
      if (revived_) leave(name);
      revived_ = false;
      stop_repeating(found->second);
      return was;
    }
    leave(name);
    erase(name);
    return true;
  }
  void reschedule() {
    if (names_.empty()) return;
    const std::uint64_t name = somebody();
    wide deadline = some_deadline();
    const bool there = timers_.count(name) != 0;
    if (there) deadline = not_too_late(deadline, timers_.at(name).period, timers_.at(name).missed);
    check(wheel_.reschedule(names_[name], at(deadline)) == there, "reschedule");
    if (!there) return;
    if (name == firing_ ? std::exchange(revived_, true) : true) leave(name);
    enter(name, deadline);
    check(wheel_.is_scheduled(names_[name]), "is_scheduled after reschedule");
  }

  void back() {
    const wide before = clamp(now_ * units - std::max<wide>(some_distance(), 0));
    // Only what is left over from an advance that its budget ended.
    const auto done = advance_to(before, floor(before), Wheel::no_budget);
    check(!done || !done->more, "more behind the time");
    check(wheel_.now() == time_of(now_), "now, after time ran back");
  }
  void advance() {
    wide distance = source_.below(2) == 0 ? static_cast<wide>(source_.below(4)) * units : some_distance();
    if (!catching_up_.empty()) distance = std::min(distance, 64 * *catching_up_.begin());
    clock_ = clamp(clock_ + distance);
    const wide target = std::max(floor(clock_), now_);
    const std::size_t budget = source_.below(2) == 0 ? 1 + source_.below(40) : Wheel::no_budget;
    const auto done = advance_to(clock_, target, budget);
    ;
    if (!done || done->more) {
      if (done) check(done->fired + done->moved <= budget, "budget");
      // Somewhere on the way; what is due may wait, but nothing that came before.
      const wide there = floor(wheel_.now().time_since_epoch().count());
      check(there >= now_ && there <= target, "now, in between");
      check(line_.empty() || std::get<0>(*line_.begin()) >= there, "late, in between");
      now_ = std::max(now_, there);
    } else {
      check(line_.empty() || std::get<0>(*line_.begin()) > target, "late");
      now_ = target;
      check(wheel_.now() == time_of(now_), "now");
    }
  }
  struct thrown {};  // by a handler

  /// Nothing: a handler has thrown.
  auto advance_to(wide time, wide target, std::size_t budget) {
    const std::uint64_t before = fired_;
    std::optional<typename Wheel::progress> done;
    try {
      done = wheel_.advance(
          at(time),
          [&](std::uint64_t& name, const expiry& e) {
            fired(name, e, target);
            if (source_.below(100) == 1) throw thrown();
          },
          budget);
      check(done->fired == fired_ - before, "how many have fired");
    } catch (const thrown&) {
    }
    return done;
  }
  void fired(std::uint64_t name, const expiry& e, wide target) {
    if (!check(!line_.empty() && std::get<3>(*line_.begin()) == name, "order")) return;
    ++fired_;
    timer& t = timers_.at(name);
    check(t.tick <= std::max(target, now_), "early");
    check(e.timer == t.h && e.deadline == at(t.deadline), "expiry");
    now_ = t.tick;
    check(wheel_.now() == time_of(now_), "now, in a handler");
    line_.erase(line_.begin());
    wide next = 0;
    std::uint64_t missed = 0;
    if (t.period != 0) {
      next = t.deadline + t.period;
      if (t.missed == rule::skip && ceiling(next) <= std::max(target, now_)) {
        const wide late = std::max(target, now_) * units - next;
        missed = static_cast<std::uint64_t>(late / t.period) + 1;
        next += t.period * (late / t.period + 1);
      }
      next = clamp(next);
    }
    check(e.missed == missed, "missed");
    firing_ = name;
    revived_ = false;
    while (source_.below(3) == 0 && !source_.done()) step(false);
    firing_ = nobody;
    if (revived_) return;
    if (t.period != 0) {
      enter(name, next);
    } else {
      erase(name);
    }
  }
  void drain() {
    std::vector<std::pair<key, std::uint64_t>> all;
    for (const auto& [name, t] : timers_) all.push_back({{0, t.deadline, t.order, name}, name});
    std::sort(all.begin(), all.end());
    std::size_t n = 0;
    const std::size_t last = source_.below(2) == 0 ? source_.below(all.size() + 1) : all.size();
    try {
      const std::size_t done = wheel_.drain([&](std::uint64_t& name) {
        check(n < all.size() && all[n].second == name, "drain");
        if (n++ == last) throw thrown();
      });
      check(done == all.size() && n == done, "drained");
    } catch (const thrown&) {
      check(n == last + 1, "drained until one throws");
    }
    line_.clear();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::uint64_t name = all[i].second;
      if (i < n) {
        erase(name);
      } else {
        timer& t = timers_.at(name);
        t.tick = std::max(ceiling(t.deadline), now_ + 1);
        line_.insert(key_of(name));
      }
    }
  }

  void look() {
    check(wheel_.size() == timers_.size() && wheel_.empty() == timers_.empty(), "size");
    const auto expiry_time = wheel_.next_expiry();
    const auto wakeup = wheel_.next_wakeup();
    check(wakeup.has_value() == expiry_time.has_value(), "next_wakeup is there");
    if (line_.empty()) {
      check(!expiry_time, "next_expiry of nothing");
    } else if (std::get<0>(*line_.begin()) < floor(latest)) {
      const wide next = std::max(std::get<0>(*line_.begin()), now_);
      check(expiry_time == time_of(next), "next_expiry");
      check(wakeup <= expiry_time && wakeup >= wheel_.now(), "next_wakeup");
    }
    if (names_.empty()) return;
    const std::uint64_t name = somebody();
    const bool there = timers_.count(name) != 0;
    check(wheel_.is_scheduled(names_[name]) == there, "is_scheduled");
    std::uint64_t* const payload = wheel_.find(names_[name]);
    check((payload != nullptr) == there && (payload == nullptr || *payload == name), "find");
    check(!wheel_.is_scheduled(handle()) && !wheel_.cancel(handle()), "a void handle");
  }
  /// Wakes as the wheel asks to be woken, until nothing is left or it is far: each wake-up is worth it, and none is late.
  void finish() {
    for (int wakes = 0; wakes < 200 && what_ == nullptr; ++wakes) {
      look();
      const auto wakeup = wheel_.next_wakeup();
      if (!wakeup || *wakeup == time_point::max()) break;
      clock_ = std::max<wide>(clock_, wakeup->time_since_epoch().count());
      const wide target = std::max(floor(clock_), now_);
      if (!advance_to(clock_, target, Wheel::no_budget)) {
        now_ = std::max(now_, floor(wheel_.now().time_since_epoch().count()));
        continue;
      }
      check(line_.empty() || std::get<0>(*line_.begin()) > target, "late");
      now_ = target;
    }
    while (!wheel_.empty() && what_ == nullptr) drain();
    look();
  }

  static constexpr std::uint64_t nobody = ~std::uint64_t{0};

  Source& source_;
  Wheel wheel_;
  wide now_;    // the tick that it has come to
  wide clock_;  // the latest time it was told
  std::uint64_t orders_ = 0;
  std::uint64_t fired_ = 0;
  std::uint64_t firing_ = nobody;
  bool revived_ = false;
  const char* what_ = nullptr;
  std::vector<handle> names_;  // of all that have ever been
  std::map<std::uint64_t, timer> timers_;
  std::set<key> line_;
  std::multiset<wide> catching_up_;  // their periods
};

}  // namespace support
