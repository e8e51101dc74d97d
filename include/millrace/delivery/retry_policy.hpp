// millrace/delivery/retry_policy.hpp - whether, and when, a message whose handler failed is tried again.
//
// The pause grows from failure to failure, up to a limit, and is spread at random, so that messages that failed together do
// not come back together. After the last attempt a message is a dead letter.
//
// Use it when : handlers call something that may be down, busy or in error for a while.
// Use instead : `retry_policy::none()` where a second attempt can not succeed, or must not be made.
// Threads     : a value; `backoff` and `validate` keep nothing. Whoever uses a policy says in which threads it calls
//               `decide`.
// Order       : does not apply.
// Progress    : wait-free; `backoff` takes 32 rounds of a loop at the most.
// Errors      : a policy is refused by who is given it, by `validate`; the message names the field and its range.
// Exceptions  : std::invalid_argument from `validate`; from `backoff` for a policy that `validate` refuses, for attempt 0
//               and for a random number that is not from 0 to 1.
// Memory      : about 190 bytes, `decide` and `random` in place; never allocates. It is moved and not copied, since what they hold
//               may be more than a value; where several need the same one, write a function that makes it.
// Cost        : some 10 ns for a `backoff`.
// Source      : exponential backoff: R. Metcalfe & D. Boggs, Ethernet, CACM 1976; that the delays must differ at random:
//               S. Floyd & V. Jacobson, The Synchronization of Periodic Routing Messages, 1994.
// Checked by  : tests/delivery/retry_policy_test.cpp
//
// Example:
//   millrace::retry_policy patient{.attempts = 10, .most = 5min};
//   patient.decide = [](const millrace::failure& f) {
//     return f.reason == "no such account" ? millrace::decision::reject() : millrace::decision::retry();
//   };
//   millrace::validate(patient);
//   auto pause = millrace::backoff(patient, attempt, random());  // 100 ms, 200 ms, 400 ms ..., up to 20 % more or less
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string_view>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"

namespace millrace {
inline namespace v0 {

/// What is known of an attempt that failed.
struct failure {
  std::exception_ptr error = {};  // what the handler threw, or nothing
  std::string_view reason = {};   // what it said, or nothing; for as long as the call
  std::uint32_t attempt = 1;      // which attempt of this message it was, counted from 1
};

/// What becomes of a message that failed.
class decision {
 public:
  enum class action : std::uint8_t { retry, retry_in, reject, release };

  /// As the policy says: again after its pause, or no more, if that was the last attempt.
  [[nodiscard]] static constexpr decision retry() noexcept { return {action::retry, {}}; }
  /// Again after `pause`, which may be longer than `most` and is not spread; at once if it is 0 or less. If that was not the
  /// last attempt.
  template <class Rep, class Period>
  [[nodiscard]] static constexpr decision retry_in(std::chrono::duration<Rep, Period> pause) noexcept {
    using from_zero = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
    return {action::retry_in, detail::saturating_deadline(from_zero(), pause).time_since_epoch()};
  }
  /// A dead letter, now: no attempt can succeed.
  [[nodiscard]] static constexpr decision reject() noexcept { return {action::reject, {}}; }
  /// Not the message's fault: back as if it had not been tried, the attempt is not counted.
  [[nodiscard]] static constexpr decision release() noexcept { return {action::release, {}}; }

  [[nodiscard]] constexpr action what() const noexcept { return what_; }
  /// Of retry_in; 0 otherwise.
  [[nodiscard]] constexpr std::chrono::nanoseconds pause() const noexcept { return pause_; }
  friend constexpr bool operator==(const decision&, const decision&) noexcept = default;

 private:
  constexpr decision(action what, std::chrono::nanoseconds pause) noexcept : what_(what), pause_(pause) {}
  action what_;
  std::chrono::nanoseconds pause_;
};

/// Never a dead letter by the number of its attempts.
inline constexpr std::uint32_t unlimited_attempts = (std::numeric_limits<std::uint32_t>::max)();

struct retry_policy {
  /// With the first one; 1 to 4,294,967,294, or unlimited_attempts.
  std::uint32_t attempts = 5;
  /// The pause after the first one; more than 0.
  std::chrono::nanoseconds first = std::chrono::milliseconds(100);
  /// By which it grows from failure to failure; 1 or more, and finite.
  double factor = 2;
  /// It grows no further; `first` or more.
  std::chrono::nanoseconds most = std::chrono::seconds(30);
  /// Each pause is this part of itself shorter or longer at the most; 0 to 1.
  double jitter = 0.2;
  /// Asked after each failure; without it the answer is always retry(). It must not throw.
  function<decision(const failure&)> decide = {};
  /// Draws from 0 to 1, for the jitter; without it the machine's randomness is used. For runs that are to be repeated.
  function<double()> random = {};

  /// Always the same pause.
  [[nodiscard]] static retry_policy fixed(std::chrono::nanoseconds pause, std::uint32_t attempts) noexcept {
    return {.attempts = attempts, .first = pause, .factor = 1, .most = pause, .jitter = 0};
  }
  /// One attempt.
  [[nodiscard]] static retry_policy none() noexcept { return {.attempts = 1}; }
};

/// Refuses what is out of its range.
inline void validate(const retry_policy& p) {
  using refused = std::invalid_argument;
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (p.attempts == 0) {
    detail::fail<refused>("retry_policy: attempts must be 1 to 4294967294, or unlimited_attempts");
  }
  if (p.first <= std::chrono::nanoseconds::zero())
    detail::fail<refused>("retry_policy: first must be more than 0");
  // why asked for what is in range: so that a NaN is refused
  const bool grows = p.factor >= 1 && p.factor < infinite;
  if (!grows) {
    detail::fail<refused>("retry_policy: factor must be 1 or more, and finite");
  }
  if (p.most < p.first) detail::fail<refused>("retry_policy: most must be first or more");
  const bool spreads = p.jitter >= 0 && p.jitter <= 1;
  if (!spreads) detail::fail<refused>("retry_policy: jitter must be 0 to 1");
}

namespace detail {

/// The n-th pause without jitter: first * factor^(n - 1), to the nearest nanosecond, and at most `most`. Of a valid policy.
[[nodiscard]] constexpr std::chrono::nanoseconds grown_pause(std::chrono::nanoseconds first, double factor,
                                                             std::chrono::nanoseconds most,
                                                             std::uint32_t n) noexcept {
  if (n == 1) return first;
  const auto limit = static_cast<double>(most.count());
  auto pause = static_cast<double>(first.count());
  if (pause >= limit) return most;
  // By squares of the factor: the power that is reached here is always below the limit, so that nothing runs over.
  double power = factor;
  for (std::uint32_t left = n - 1; left != 0; left >>= 1) {
    if (power >= limit) return most;
    if ((left & 1) != 0) pause *= power;
    if (pause >= limit) return most;
    power *= power;
  }
  // NOLINTNEXTLINE(bugprone-incorrect-roundings): it is positive, and the compiler cannot compute std::lround
  return std::chrono::nanoseconds(static_cast<std::int64_t>(pause + 0.5));
}

/// `pause` * (1 - jitter) at 0, `pause` * (1 + jitter) at 1; held at what a duration can be.
[[nodiscard]] constexpr std::chrono::nanoseconds spread_pause(std::chrono::nanoseconds pause, double jitter,
                                                              double random) noexcept {
  using std::chrono::nanoseconds;
  const double by = static_cast<double>(pause.count()) * jitter * (2 * random - 1);
  if (by < 0) {
    // why compared: the double of a long pause may be more than the pause
    if (-by >= static_cast<double>(pause.count())) return nanoseconds::zero();
    return pause - nanoseconds(static_cast<std::int64_t>(-by));
  }
  const nanoseconds room = (nanoseconds::max)() - pause;
  if (by >= static_cast<double>(room.count())) return (nanoseconds::max)();
  return pause + nanoseconds(static_cast<std::int64_t>(by));
}

}  // namespace detail

/// The pause after attempt number `attempt` has failed, counted from 1: first * factor^(attempt - 1), at most `most`; then
/// up to `jitter` of it more or less, by `random`, a number from 0 to 1 that the caller draws evenly. So it is 0 at the
/// least, and at the most most * (1 + jitter), or what nanoseconds can hold. To a nanosecond, and as exact as a double.
/// Whether there are attempts left is not looked at.
// why 1 is not refused: some standard libraries draw it, once in a very long while, where they promise less than 1
[[nodiscard]] inline std::chrono::nanoseconds backoff(const retry_policy& p, std::uint32_t attempt,
                                                      double random) {
  validate(p);
  if (attempt == 0) detail::fail<std::invalid_argument>("backoff: attempt must be 1 or more");
  const bool drawn = random >= 0 && random <= 1;
  if (!drawn) detail::fail<std::invalid_argument>("backoff: random must be 0 to 1");
  return detail::spread_pause(detail::grown_pause(p.first, p.factor, p.most, attempt), p.jitter, random);
}

}  // namespace v0
}  // namespace millrace
