// The generic cell rate algorithm in whole numbers: the arithmetic that the limiters of one key and of many share.
//
// The state is the theoretical arrival time: when a limiter is at rest again, if nothing more is taken. A permit costs
// per / permits. Taking n moves the state on by n costs, and is granted if that leaves it `burst` costs ahead of the clock
// at the most. Rates are rational and the clock counts nanoseconds, so the state is a nanosecond and a fraction:
//
//   state    [ ns, rounded up : 64, signed | what rounding up added, in 1/denominator ns : 64 ]
//
// A reading of the clock stands for the nanosecond before it: a state that lies in there is not moved on to the reading,
// and so a limiter that somebody always waits for does not drift.
//
// Let each grant count at the reading of its call, or, if it is a reservation, at the time that it was told. Then always,
// for every grant j,
//
//   (*)  state > t(j) - 1 ns + cost * (what was granted from j on)
//
// and as a grant leaves the state at most burst * cost after its own t, there are less than d / cost + burst permits in d
// nanoseconds on end. A state that is later than need be does no harm: not when the clock is set back, either.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/word_pair.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class gcra {
 public:
  /// A reading that does not come.
  static constexpr std::int64_t never = (std::numeric_limits<std::int64_t>::max)();

  gcra(std::uint64_t permits, std::chrono::nanoseconds per, std::uint64_t burst)
      : permits_(permits), burst_(burst), per_(per) {
    if (permits < 1 || permits > most) {
      fail<std::invalid_argument>("rate_limiter: permits must be 1 to 2^32 - 1");
    }
    if (per <= std::chrono::nanoseconds::zero()) {
      fail<std::invalid_argument>("rate_limiter: per must be 1 ns or more");
    }
    if (burst < 1 || burst > most) {
      fail<std::invalid_argument>("rate_limiter: burst must be 1 to 2^32 - 1");
    }
    const auto ns = static_cast<std::uint64_t>(per.count());
    const std::uint64_t common = std::gcd(ns, permits);
    denominator_ = permits / common;
    one_ = {ns / common / denominator_, ns / common % denominator_};
    if (one_.whole > longest / burst) {
      fail<std::invalid_argument>("rate_limiter: burst * per / permits must be 100 years at the most");
    }
  }

  [[nodiscard]] std::uint64_t permits() const noexcept { return permits_; }
  [[nodiscard]] std::chrono::nanoseconds per() const noexcept { return per_; }
  [[nodiscard]] std::uint64_t burst() const noexcept { return burst_; }

  void check_n(std::uint64_t n) const {
    if (n < 1 || n > burst_) fail<std::invalid_argument>("rate_limiter: n must be 1 to burst()");
  }

  [[nodiscard]] static word_pair at_rest(std::int64_t now) noexcept {
    return {static_cast<std::uint64_t>(now), 0};
  }
  [[nodiscard]] static bool is_at_rest(word_pair s, std::int64_t now) noexcept {
    return static_cast<std::int64_t>(s.first) <= now;
  }

  struct turn {
    std::int64_t at;  // the first reading that grants it: `now` or a later one
    word_pair after;  // the state once it is taken; none if the time is `never`
  };
  /// n permits, 1 .. burst, at the reading `now`.
  [[nodiscard]] turn take(word_pair s, std::uint64_t n, std::int64_t now) const noexcept {
    turn t{due(s, n, now), static_cast<std::int64_t>(s.first) < now ? at_rest(now) : s};
    const amount price = cost(n);
    const bool borrows = t.after.second < price.part;
    const std::uint64_t later = price.whole + (borrows ? 1 : 0);
    if (later > static_cast<std::uint64_t>(never) - t.after.first) t.at = never;
    t.after.first += later;
    t.after.second = t.after.second + (borrows ? denominator_ : 0) - price.part;
    return t;
  }
  /// Whether it is too early for n whatever the state's second half is.
  [[nodiscard]] bool is_early(std::uint64_t first, std::uint64_t n, std::int64_t now) const noexcept {
    return due({first, denominator_ - 1}, n, now) > now;
  }

  /// Moves the state back by what is left of the worth of n permits that were taken at the reading `taken` or later. False:
  /// by nothing.
  // Without them, (*) asks less by n costs of the grants before them. Of those after them it asks the same, and they may be
  // as late as `now`; or later, while a reservation is still to come, and then nothing is safe.
  [[nodiscard]] bool give_back(word_pair& s, std::uint64_t n, std::int64_t taken,
                               std::int64_t now) const noexcept {
    const amount worth = cost(n);
    const std::uint64_t held =
        taken < now ? static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(taken) : 0;
    if (static_cast<std::int64_t>(s.first) < now || due(s, 0, now) > now || held > worth.whole) return false;
    const std::uint64_t part = s.second + worth.part;
    s.first -= worth.whole - held + part / denominator_;
    s.second = part % denominator_;
    return true;
  }

 private:
  static constexpr std::uint64_t most = 0xFFFF'FFFF;
  static constexpr std::uint64_t longest = 100ull * 365 * 24 * 3600 * 1'000'000'000;

  struct amount {
    std::uint64_t whole;  // ns
    std::uint64_t part;   // of one more, in 1/denominator ns
  };
  // Neither product overflows: burst costs are `longest` at the most, and n and the denominator have 32 bits.
  [[nodiscard]] amount cost(std::uint64_t n) const noexcept {
    const std::uint64_t parts = n * one_.part;
    return {n * one_.whole + parts / denominator_, parts % denominator_};
  }

  /// The first reading, `now` or later, to which n permits more would leave the state no more than burst costs ahead.
  [[nodiscard]] std::int64_t due(word_pair s, std::uint64_t n, std::int64_t now) const noexcept {
    if (is_at_rest(s, now)) return now;
    const amount spare = cost(burst_ - n);
    const std::uint64_t back = spare.whole + (s.second + spare.part >= denominator_ ? 1 : 0);
    // why the distance, unsigned: the two may lie further apart than a signed number holds
    if (s.first - static_cast<std::uint64_t>(now) <= back) return now;
    return static_cast<std::int64_t>(s.first - back);
  }

  std::uint64_t permits_;
  std::uint64_t burst_;
  std::chrono::nanoseconds per_;
  std::uint64_t denominator_ = 1;
  amount one_{};
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
