// millrace/delivery/rate_limiter.hpp - so many in such a time, and no more: for all together, or for each key.
//
// In d nanoseconds on end, wherever they begin, there are at most permits * d / per + burst permits; and who has left it
// alone for long enough finds `burst` of them at once. No window begins anew, so there is none that two bursts can meet at.
// A permit counts at the moment at which its call read the clock, or, reserved, at the time that was told.
//
// Use it when : a third party allows so many calls a second, or a tenant is to have no more than its part.
// Use instead : `bulkhead` for how many do something at once; a `ticker` for what is to be done every so often.
// Threads     : any. Construction and destruction: before and after everything else.
// Order       : what is granted has one order for all. A permit is no lock: it tells nothing of what other threads wrote.
// Progress    : rate_limiter is lock-free: a thread tries again when another one was faster. keyed_rate_limiter takes a mutex,
//               one of 16, for a look into a table.
// Errors      : false: it is too early, and nothing is taken. A clock that is set back makes it early for longer, until the
//               clock is where it was. rate_limiter needs a machine that exchanges 16 bytes at once, as x86-64 and ARM64,
//               and does not compile elsewhere; keyed_rate_limiter does.
// Exceptions  : std::invalid_argument for an argument out of its range: permits and burst 1 to 2^32 - 1, per 1 ns or more, burst
//               * per / permits 100 years at the most; n 1 to burst(). std::length_error from reserve, where the clock's time
//               ends; std::bad_alloc from keyed_rate_limiter, and what copying a key throws: nothing is taken then. Hashing and
//               comparing keys must not throw.
// Memory      : 64 bytes. keyed_rate_limiter: 2 KiB, and for each key that was granted something within the last
//               burst * per / permits sizeof(Key) and about 70 bytes more. Others are forgotten as calls go on, two with each
//               call; the table of a sixteenth of the keys does not shrink below 8 bytes for each of the most there were.
// Cost        : the clock's, and 20 ns: a locked instruction and two divisions to grant; no write to refuse. A key: 25 ns.
// Source      : generic cell rate algorithm, virtual scheduling: ITU-T I.371 and ATM Forum, Traffic Management 4.0, 1996.
// Checked by  : tests/delivery/rate_limiter_test.cpp, tests/models/rate_limiter_models.cpp
//
// Any rate is kept to the nanosecond: at 3 a second, permit k of a limiter that somebody always waits for comes k / 3 s after
// the first one, rounded up, after an hour as well.
//
// Example:
//   millrace::rate_limiter calls(100, 1s, 10);                  // 100 a second, 10 of them at once
//   if (!calls.try_acquire()) park_until(calls.next_at());
//   const auto before = calls.now();
//   if (calls.try_acquire(8)) calls.give_back(8 - send(8), before);   // what was not used
//   millrace::keyed_rate_limiter<std::string> each(5, 1min);
//   if (!each.try_acquire(tenant)) throttle(each.next_at(tenant));
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <ratio>
#include <stdexcept>
#include <unordered_map>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/word_pair.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/delivery/detail/gcra.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// A clock's readings as whole nanoseconds, and back.
template <clock Clock>
struct nanosecond_readings {
  using time_point = typename Clock::time_point;
  static_assert(std::ratio_less_equal_v<std::nano, typename Clock::duration::period>,
                "rate_limiter: the clock must count nanoseconds or longer times");

  // why not to the end: a reading that does not come is to stay one
  [[nodiscard]] static std::int64_t reading(time_point t) noexcept {
    const std::int64_t ns = std::chrono::floor<std::chrono::nanoseconds>(t.time_since_epoch()).count();
    return ns < gcra::never ? ns : gcra::never - 1;
  }
  [[nodiscard]] static time_point time(std::int64_t reading) noexcept {
    if (reading == gcra::never) return (time_point::max)();
    return time_point(std::chrono::ceil<typename Clock::duration>(std::chrono::nanoseconds(reading)));
  }
  /// When n permits would be granted: `now` or later.
  [[nodiscard]] static time_point next(const gcra& rate, word_pair s, std::uint64_t n,
                                       time_point now) noexcept {
    const std::int64_t at = rate.take(s, n, reading(now)).at;
    return at <= reading(now) ? now : time(at);
  }
};

}  // namespace detail

template <clock Clock = std::chrono::steady_clock, class Sync = std_sync>
class rate_limiter {
  static_assert(
      requires { typename Sync::atomic_pair; },
      "rate_limiter: needs a machine that can exchange 16 bytes at once, as x86-64 and ARM64");
  using readings = detail::nanosecond_readings<Clock>;
  using word_pair = detail::word_pair;

 public:
  using clock_type = Clock;
  using time_point = typename Clock::time_point;

  /// `permits` in any `per`, and `burst` of them at once. It begins at rest.
  rate_limiter(std::uint64_t permits, std::chrono::nanoseconds per, std::uint64_t burst = 1)
    requires stateless_clock<Clock>
      : rate_limiter(clock_ref<Clock>(), permits, per, burst) {}
  /// By `clock`, which must outlive it.
  rate_limiter(clock_ref<Clock> clock, std::uint64_t permits, std::chrono::nanoseconds per,
               std::uint64_t burst = 1)
      : clock_(clock),
        rate_(permits, per, burst),
        state_(detail::gcra::at_rest(readings::reading(clock.now()))) {}
  rate_limiter(const rate_limiter&) = delete;
  rate_limiter& operator=(const rate_limiter&) = delete;
  ~rate_limiter() = default;

  /// Takes n permits, all of them or none.
  [[nodiscard]] bool try_acquire(std::uint64_t n = 1) {
    rate_.check_n(n);
    // (1) seq_cst; pairs with (2): a refusal by a state that somebody has put right before would be wrong. The other half
    // may be of another instant (relaxed): nothing is granted or refused by it that an exchange does not find there.
    word_pair s{state_.first(std::memory_order_seq_cst), state_.second(std::memory_order_relaxed)};
    for (;;) {
      // why after the state, and anew each time: it was early then if it is early by a clock that is later
      const std::int64_t now = reading();
      const auto turn = rate_.take(s, n, now);
      if (turn.at <= now) {
        // relaxed, as all that take: all changes have one order, and nothing hangs on a permit
        if (state_.compare_exchange(s, turn.after, std::memory_order_relaxed)) return true;
      } else if (rate_.is_early(s.first, n, now) ||
                 state_.compare_exchange(s, s, std::memory_order_relaxed)) {
        return false;
      }
    }
  }

  /// When try_acquire(n) would be granted, if nobody else took anything: now, or a time to come. Out of date as soon as it is
  /// read. time_point::max() if the clock's time ends before.
  [[nodiscard]] time_point next_at(std::uint64_t n = 1) const {
    rate_.check_n(n);
    word_pair s = look();
    // The exchange is there to read both halves at once.
    while (!state_.compare_exchange(s, s, std::memory_order_relaxed)) {
    }
    return readings::next(rate_, s, n, clock_.now());
  }

  /// Takes n permits whenever they may be used, and tells when: now, or a time to come. Who comes later is told a later time,
  /// and try_acquire refuses until those who have been told a time are through.
  [[nodiscard]] time_point reserve(std::uint64_t n = 1) {
    rate_.check_n(n);
    word_pair s = look();
    for (;;) {
      const time_point now = clock_.now();
      const auto turn = rate_.take(s, n, readings::reading(now));
      if (turn.at == detail::gcra::never) {
        detail::fail<std::length_error>("rate_limiter::reserve: the time must be one that the clock gets to");
      }
      if (state_.compare_exchange(s, turn.after, std::memory_order_relaxed)) {
        return turn.at <= readings::reading(now) ? now : readings::time(turn.at);
      }
    }
  }

  /// n permits, 0 to burst(), that were taken and not used. `taken` is what now() said before that, or what reserve() said.
  /// Given back at once, it is as if they had not been taken; later, the time since then goes off their worth, as it may
  /// have brought others permits that would not have been there besides. While a reservation is still to come nothing is
  /// given back. So the rate holds for what is used, whatever is given back when.
  void give_back(std::uint64_t n, time_point taken) {
    if (n > rate_.burst()) {
      detail::fail<std::invalid_argument>("rate_limiter::give_back: n must be 0 to burst()");
    }
    word_pair s = look();
    for (word_pair less = s; rate_.give_back(less, n, readings::reading(taken), reading()); less = s) {
      if (state_.compare_exchange(s, less, std::memory_order_seq_cst)) return;  // (2) seq_cst; pairs with (1)
    }
  }

  /// What its clock says.
  [[nodiscard]] time_point now() const noexcept { return clock_.now(); }
  [[nodiscard]] std::uint64_t permits() const noexcept { return rate_.permits(); }
  [[nodiscard]] std::chrono::nanoseconds per() const noexcept { return rate_.per(); }
  [[nodiscard]] std::uint64_t burst() const noexcept { return rate_.burst(); }

 private:
  [[nodiscard]] std::int64_t reading() const noexcept { return readings::reading(clock_.now()); }
  /// A guess, relaxed: only an exchange believes it.
  [[nodiscard]] word_pair look() const noexcept {
    return {state_.first(std::memory_order_relaxed), state_.second(std::memory_order_relaxed)};
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  const detail::gcra rate_;
  mutable typename Sync::atomic_pair state_;
};

template <clock Clock>
rate_limiter(Clock&, std::uint64_t, std::chrono::nanoseconds, std::uint64_t = 1) -> rate_limiter<Clock>;

/// A limiter of the same rate for each key.
template <class Key, clock Clock = std::chrono::steady_clock, class Hash = std::hash<Key>,
          class Equal = std::equal_to<Key>, class Sync = std_sync>
class keyed_rate_limiter {
  using readings = detail::nanosecond_readings<Clock>;

 public:
  using key_type = Key;
  using clock_type = Clock;
  using time_point = typename Clock::time_point;

  /// As rate_limiter's.
  keyed_rate_limiter(std::uint64_t permits, std::chrono::nanoseconds per, std::uint64_t burst = 1)
    requires stateless_clock<Clock>
      : keyed_rate_limiter(clock_ref<Clock>(), permits, per, burst) {}
  keyed_rate_limiter(clock_ref<Clock> clock, std::uint64_t permits, std::chrono::nanoseconds per,
                     std::uint64_t burst = 1)
      : clock_(clock), rate_(permits, per, burst) {}
  keyed_rate_limiter(const keyed_rate_limiter&) = delete;
  keyed_rate_limiter& operator=(const keyed_rate_limiter&) = delete;
  ~keyed_rate_limiter() = default;

  /// As rate_limiter's, for `key`, of which a copy is kept until it is at rest again.
  [[nodiscard]] bool try_acquire(const Key& key, std::uint64_t n = 1) {
    rate_.check_n(n);
    shard& s = shard_of(key);
    const std::lock_guard lock(s.mutex);
    const std::int64_t now = readings::reading(clock_.now());
    const auto found = s.keys.find(key);
    const bool known = found != s.keys.end();
    const auto turn = rate_.take(known ? found->second.state : detail::gcra::at_rest(now), n, now);
    const bool granted = turn.at <= now;
    if (granted) {
      auto& kept = *(known ? found : s.keys.try_emplace(key).first);
      kept.second.state = turn.after;
      if (known) s.unlink(kept.second);
      s.link(kept);
    }
    s.forget(now);
    return granted;
  }

  [[nodiscard]] time_point next_at(const Key& key, std::uint64_t n = 1) const {
    rate_.check_n(n);
    shard& s = shard_of(key);
    const std::lock_guard lock(s.mutex);
    const time_point now = clock_.now();
    const auto found = s.keys.find(key);
    if (found == s.keys.end()) return now;
    return readings::next(rate_, found->second.state, n, now);
  }

  /// How many keys it knows of; the others are at rest, and some of these.
  [[nodiscard]] std::size_t size_approx() const {
    std::size_t n = 0;
    for (shard& s : shards_) {
      const std::lock_guard lock(s.mutex);
      n += s.keys.size();
    }
    return n;
  }

  [[nodiscard]] std::uint64_t permits() const noexcept { return rate_.permits(); }
  [[nodiscard]] std::chrono::nanoseconds per() const noexcept { return rate_.per(); }
  [[nodiscard]] std::uint64_t burst() const noexcept { return rate_.burst(); }

 private:
  struct limit;
  using table = std::unordered_map<Key, limit, Hash, Equal>;
  struct limit {
    detail::word_pair state{};
    limit* older = nullptr;  // \ in the order of the last grant
    limit* newer = nullptr;  // /
    const Key* key = nullptr;
  };

  struct alignas(hot_separation) shard {
    typename detail::mutex_of<Sync>::type mutex;
    table keys;               // \ guarded by mutex
    limit* oldest = nullptr;  // |
    limit* newest = nullptr;  // /

    void link(typename table::value_type& kept) noexcept {
      limit& l = kept.second;
      l.key = &kept.first;
      l.older = newest;
      l.newer = nullptr;
      (newest != nullptr ? newest->newer : oldest) = &l;
      newest = &l;
    }
    void unlink(limit& l) noexcept {
      (l.older != nullptr ? l.older->newer : oldest) = l.newer;
      (l.newer != nullptr ? l.newer->older : newest) = l.older;
    }
    // why two: a call adds one key at the most, so that those at rest become fewer. The oldest is at rest
    // burst * per / permits after its last grant, and so are those before it.
    void forget(std::int64_t now) {
      for (int i = 0; i < 2 && oldest != nullptr && detail::gcra::is_at_rest(oldest->state, now); ++i) {
        limit& gone = *oldest;
        unlink(gone);
        keys.erase(keys.find(*gone.key));
      }
    }
  };

  static constexpr int shard_bits = 4;
  [[nodiscard]] shard& shard_of(const Key& key) const {
    // Fibonacci hashing (D. Knuth, The Art of Computer Programming 3, 6.4): the high bits, as the table takes the low ones
    const std::uint64_t spread = static_cast<std::uint64_t>(Hash()(key)) * 0x9E37'79B9'7F4A'7C15u;
    return shards_[static_cast<std::size_t>(spread >> (64 - shard_bits))];
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  const detail::gcra rate_;
  mutable std::array<shard, std::size_t{1} << shard_bits> shards_;
};

}  // namespace v0
}  // namespace millrace
