// The pauses of a retry policy, number by number; what is out of range is refused; and what a handler's error may decide.
#include "millrace/delivery/retry_policy.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::backoff;
using millrace::decision;
using millrace::failure;
using millrace::retry_policy;
using std::chrono::nanoseconds;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::uint32_t last_attempt = std::numeric_limits<std::uint32_t>::max();

template <class F>
std::string refused(F f) {
  try {
    f();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "accepted";
}
std::string verdict(const retry_policy& p) {
  const std::string of_validate = refused([&] { millrace::validate(p); });
  const std::string of_backoff = refused([&] { static_cast<void>(backoff(p, 1, 0.5)); });
  return of_validate == of_backoff ? of_validate : "they disagree";
}
std::vector<nanoseconds> pauses(const retry_policy& p, std::uint32_t attempts, double random) {
  std::vector<nanoseconds> all;
  for (std::uint32_t n = 1; n <= attempts; ++n) all.push_back(backoff(p, n, random));
  return all;
}
using list = std::vector<nanoseconds>;

}  // namespace

TEST_CASE("the defaults of the field") {
  const retry_policy p;
  CHECK(p.attempts == 5);
  CHECK(p.first == 100ms);
  CHECK(p.factor == 2);
  CHECK(p.most == 30s);
  CHECK(p.jitter == 0.2);
  CHECK_FALSE(p.decide);
  CHECK(verdict(p) == "accepted");
  const failure f;
  CHECK(f.error == nullptr);
  CHECK(f.reason.empty());
  CHECK(f.attempt == 1);
}

TEST_CASE("each pause is the one before, times the factor, up to the limit") {
  CHECK(pauses({}, 11, 0.5) ==
        list{100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 12800ms, 25600ms, 30s, 30s});
  CHECK(pauses({.first = 100ms, .factor = 1.5, .most = 1s}, 8, 0.5) ==
        list{100ms, 150ms, 225ms, 337500us, 506250us, 759375us, 1s, 1s});
  CHECK(pauses({.first = 7ns, .factor = 1}, 4, 0.5) == list{7ns, 7ns, 7ns, 7ns});
  CHECK(pauses({.first = 3s, .factor = 10, .most = 3s}, 3, 0.5) == list{3s, 3s, 3s});
  CHECK(pauses({.first = 1ns, .factor = 1e300, .most = 1h}, 3, 0.5) == list{1ns, 1h, 1h});
  // to the nearest nanosecond: 1.25, 1.5625, 1.953125, 2.44
  CHECK(pauses({.first = 1ns, .factor = 1.25}, 5, 0.5) == list{1ns, 1ns, 2ns, 2ns, 2ns});
  // it comes to the limit and not beyond
  CHECK(pauses({.first = 1ns, .factor = 2, .most = 8ns}, 5, 0.5) == list{1ns, 2ns, 4ns, 8ns, 8ns});
}

TEST_CASE("the jitter goes as far down as up, evenly") {
  const retry_policy p;
  CHECK(pauses(p, 3, 0) == list{80ms, 160ms, 320ms});
  CHECK(pauses(p, 3, 0.25) == list{90ms, 180ms, 360ms});
  CHECK(pauses(p, 3, 0.75) == list{110ms, 220ms, 440ms});
  CHECK(pauses(p, 3, 1) == list{120ms, 240ms, 480ms});
  CHECK(backoff(p, 40, 0) == 24s);
  CHECK(backoff(p, 40, 1) == 36s);  // spread after it was limited
  CHECK(backoff({.jitter = 1}, 1, 0) == 0ns);
  CHECK(backoff({.jitter = 1}, 1, 1) == 200ms);
  CHECK(backoff({.jitter = 0}, 1, 0) == 100ms);
  CHECK(backoff({.jitter = 0}, 1, 0.999) == 100ms);
}

TEST_CASE("it can be computed by the compiler, which refuses what runs over") {
  constexpr nanoseconds fourth = millrace::detail::grown_pause(100ms, 2, 30s, 4);
  constexpr nanoseconds longest =
      millrace::detail::grown_pause(100ms, 1e300, nanoseconds::max(), last_attempt);
  constexpr nanoseconds creeping = millrace::detail::grown_pause(1ns, 1.0000001, 30s, last_attempt);
  constexpr nanoseconds least = millrace::detail::spread_pause(100ms, 0.2, 0);
  constexpr nanoseconds asked = decision::retry_in(1min).pause();
  CHECK(fourth == 800ms);
  CHECK(longest == nanoseconds::max());
  CHECK(creeping == 30s);
  CHECK(least == 80ms);
  CHECK(asked == 60s);
}

TEST_CASE("huge attempts, pauses and factors end at the limit") {
  CHECK(backoff({}, last_attempt, 0.5) == 30s);
  CHECK(backoff({}, last_attempt, 1) == 36s);
  const retry_policy endless{.most = nanoseconds::max(), .jitter = 1};
  CHECK(backoff(endless, last_attempt, 1) == nanoseconds::max());
  CHECK(backoff(endless, last_attempt, 0.5) == nanoseconds::max());
  CHECK(backoff(endless, last_attempt, 0) == 0ns);
  CHECK(backoff(endless, 37, 0.5) == nanoseconds(100'000'000LL << 36));  // the last one below 2^63
  CHECK(backoff(endless, 38, 0.5) == nanoseconds::max());
  CHECK(backoff({.first = 1ns, .factor = 1.7e308, .most = nanoseconds::max()}, 2, 0.5) == nanoseconds::max());
  const retry_policy longest{.first = nanoseconds::max(), .most = nanoseconds::max(), .jitter = 0.5};
  CHECK(backoff(longest, 1, 0.5) == nanoseconds::max());
  CHECK(backoff(longest, 1, 1) == nanoseconds::max());
  CHECK(backoff(longest, 9, 0.5) == nanoseconds::max());
  // first is exact, also where a double is not
  const retry_policy odd{.first = nanoseconds((1LL << 53) + 1), .most = nanoseconds::max(), .jitter = 0};
  CHECK(backoff(odd, 1, 0.5) == odd.first);
}

TEST_CASE("what is out of range is refused, and the message says what would do") {
  const std::string attempts = "retry_policy: attempts must be 1 to 4294967294, or unlimited_attempts";
  const std::string first = "retry_policy: first must be more than 0";
  const std::string factor = "retry_policy: factor must be 1 or more, and finite";
  const std::string most = "retry_policy: most must be first or more";
  const std::string jitter = "retry_policy: jitter must be 0 to 1";

  CHECK(verdict({.attempts = 0}) == attempts);
  CHECK(verdict({.attempts = 1}) == "accepted");
  CHECK(verdict({.attempts = last_attempt - 1}) == "accepted");
  CHECK(verdict({.attempts = millrace::unlimited_attempts}) == "accepted");
  CHECK(verdict({.first = 0ns}) == first);
  CHECK(verdict({.first = -1ns}) == first);
  CHECK(verdict({.first = 1ns}) == "accepted");
  for (const double f : {0.0, -2.0, std::nextafter(1.0, 0.0), not_a_number, infinity, -infinity}) {
    CAPTURE(f);
    CHECK(verdict({.factor = f}) == factor);
  }
  CHECK(verdict({.factor = 1}) == "accepted");
  CHECK(verdict({.factor = std::numeric_limits<double>::max()}) == "accepted");
  CHECK(verdict({.first = 1s, .most = 1s - 1ns}) == most);
  CHECK(verdict({.first = 1s, .most = nanoseconds::min()}) == most);
  CHECK(verdict({.first = 1s, .most = 1s}) == "accepted");
  for (const double j :
       {std::nextafter(1.0, 2.0), std::nextafter(0.0, -1.0), not_a_number, infinity, -infinity}) {
    CAPTURE(j);
    CHECK(verdict({.jitter = j}) == jitter);
  }
  CHECK(verdict({.jitter = 0}) == "accepted");
  CHECK(verdict({.jitter = 1}) == "accepted");

  const auto answer = [](std::uint32_t attempt, double random) {
    return refused([&] { static_cast<void>(backoff({}, attempt, random)); });
  };
  CHECK(answer(0, 0.5) == "backoff: attempt must be 1 or more");
  for (const double r : {-0.001, std::nextafter(1.0, 2.0), not_a_number, infinity, -infinity}) {
    CAPTURE(r);
    CHECK(answer(1, r) == "backoff: random must be 0 to 1");
  }
  CHECK(answer(1, 0) == "accepted");
  CHECK(answer(1, 1) == "accepted");
}

TEST_CASE(
    "whatever the policy: within its bounds, near what mathematics says, growing, and as even as the random "
    "number") {
  std::mt19937_64 rng(7);
  const auto any = [&](double from, double to) {
    return std::uniform_real_distribution<double>(from, to)(rng);
  };
  for (int round = 0; round < 20'000; ++round) {
    retry_policy p;
    p.first = nanoseconds(static_cast<std::int64_t>(std::exp2(any(0, 62.9))));
    p.most = round % 8 == 0
                 ? nanoseconds::max()
                 : std::max(p.first, nanoseconds(static_cast<std::int64_t>(std::exp2(any(0, 62.9)))));
    p.factor = round % 2 == 0 ? 1 + std::exp2(any(-40, 2)) : std::exp2(any(0, 1000));
    p.jitter = round % 5 == 0 ? 1 : any(0, 1);
    const auto attempt = static_cast<std::uint32_t>(std::exp2(any(0, 31.9)));
    const double random = any(0, 1);
    CAPTURE(p.first.count(), p.most.count(), p.factor, p.jitter, attempt, random);
    REQUIRE(verdict(p) == "accepted");

    using real = long double;
    const real grown = std::min(static_cast<real>(p.first.count()) *
                                    std::pow(static_cast<real>(p.factor), static_cast<real>(attempt - 1)),
                                static_cast<real>(p.most.count()));
    const real limit = static_cast<real>(nanoseconds::max().count());
    const real wanted = std::min(grown * (1 + p.jitter * (2 * static_cast<real>(random) - 1)), limit);
    const nanoseconds pause = backoff(p, attempt, random);
    REQUIRE(std::abs(static_cast<real>(pause.count()) - wanted) <= 2 + 4e-6L * grown);

    REQUIRE(pause >= 0ns);
    const real top = static_cast<real>(p.most.count()) * (1 + static_cast<real>(p.jitter));
    REQUIRE(static_cast<real>(pause.count()) <= top * (1 + 1e-15L));
    REQUIRE(backoff(p, attempt, random / 2) <= pause);
    REQUIRE(backoff(p, attempt, 0) <= pause);
    REQUIRE(pause <= backoff(p, attempt, 1));
    const nanoseconds middle = backoff(p, attempt, 0.5);
    REQUIRE(middle <= p.most);
    REQUIRE(middle >= p.first);
    REQUIRE((attempt == 1 || backoff(p, attempt - 1, 0.5) <= middle));
  }
}

TEST_CASE("the two that are wanted most often") {
  const retry_policy same = retry_policy::fixed(3s, 7);
  CHECK(verdict(same) == "accepted");
  CHECK(same.attempts == 7);
  CHECK(pauses(same, 3, 0) == list{3s, 3s, 3s});
  CHECK(pauses(same, 3, 0.9) == list{3s, 3s, 3s});
  CHECK(backoff(same, last_attempt, 0.3) == 3s);
  CHECK(verdict(retry_policy::fixed(0s, 7)) == "retry_policy: first must be more than 0");
  CHECK(retry_policy::fixed(1s, millrace::unlimited_attempts).attempts == millrace::unlimited_attempts);

  CHECK(retry_policy::none().attempts == 1);
  CHECK(verdict(retry_policy::none()) == "accepted");
}

TEST_CASE("what a decision says, and any pause that a duration can name") {
  using action = decision::action;
  CHECK(decision::retry().what() == action::retry);
  CHECK(decision::reject().what() == action::reject);
  CHECK(decision::release().what() == action::release);
  CHECK(decision::retry_in(5s).what() == action::retry_in);
  CHECK(decision::retry_in(5s).pause() == 5s);
  CHECK(decision::retry().pause() == 0ns);
  CHECK(decision::retry_in(5s) == decision::retry_in(5000ms));
  CHECK_FALSE(decision::retry_in(5s) == decision::retry_in(6s));
  CHECK_FALSE(decision::retry_in(0s) == decision::retry());

  using seconds = std::chrono::duration<double>;
  CHECK(decision::retry_in(-1s).pause() == 0ns);
  CHECK(decision::retry_in(seconds(0.25)).pause() == 250ms);
  CHECK(decision::retry_in(seconds(not_a_number)).pause() == 0ns);
  CHECK(decision::retry_in(seconds(infinity)).pause() == nanoseconds::max());
  CHECK(decision::retry_in(std::chrono::hours::max()).pause() == nanoseconds::max());
  CHECK(decision::retry_in(std::chrono::hours::min()).pause() == 0ns);
}

TEST_CASE("a policy moves, with what decides, which sees the error, the reason and the attempt") {
  static_assert(!std::is_copy_constructible_v<retry_policy> && !std::is_copy_assignable_v<retry_policy>);
  static_assert(std::is_nothrow_move_constructible_v<retry_policy>);
  static_assert(std::is_nothrow_move_assignable_v<retry_policy>);

  int asked = 0;
  retry_policy from{.attempts = 3, .decide = [&asked](const failure& f) {
                      ++asked;
                      if (f.reason == "busy") return decision::retry_in(f.attempt * 1s);
                      if (f.error == nullptr) return decision::release();
                      try {
                        std::rethrow_exception(f.error);
                      } catch (const std::invalid_argument&) {
                        return decision::reject();
                      } catch (...) {
                        return decision::retry();
                      }
                    }};
  retry_policy p = std::move(from);
  REQUIRE(p.decide);
  CHECK(p.attempts == 3);
  CHECK(p.decide({.reason = "busy", .attempt = 4}) == decision::retry_in(4s));
  CHECK(p.decide({}) == decision::release());
  CHECK(p.decide({.error = std::make_exception_ptr(std::invalid_argument("no"))}) == decision::reject());
  CHECK(p.decide({.error = std::make_exception_ptr(7)}) == decision::retry());
  CHECK(asked == 4);
}
