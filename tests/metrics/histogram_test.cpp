#include "millrace/metrics/histogram.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"

namespace {

using millrace::histogram;
using millrace::histogram_snapshot;
using namespace std::chrono_literals;

template <class Duration>
std::uint64_t recorded(Duration d) {
  histogram h;
  h.record(d);
  return h.snapshot().largest();
}

constexpr std::uint64_t longest = static_cast<std::uint64_t>((std::numeric_limits<std::int64_t>::max)());

}  // namespace

TEST_CASE("a value is recorded as often as is said") {
  histogram h;
  h.record(17);
  h.record(40, 3);
  h.record(999, 0);
  const histogram_snapshot s = h.snapshot();
  CHECK(s.count() == 4);
  CHECK(s.sum() == 137);
  CHECK(s.smallest() == 17);
  CHECK(s.largest() == 40);
  CHECK(s.count_up_to(39) == 1);
}

TEST_CASE("a duration is recorded in nanoseconds") {
  CHECK(recorded(1ns) == 1);
  CHECK(recorded(15us) == 15'000);
  CHECK(recorded(2h) == 7'200'000'000'000);
  CHECK(recorded(std::chrono::duration<double>(0.25)) == 250'000'000);
  CHECK(recorded(std::chrono::duration<double, std::nano>(3.9)) == 3);
  CHECK(recorded(std::chrono::duration<std::int64_t, std::pico>(3999)) == 3);
  CHECK(recorded(0s) == 0);
}

TEST_CASE("a duration that is none, or has no end") {
  CHECK(recorded(-1ns) == 0);
  CHECK(recorded(std::chrono::hours::min()) == 0);
  CHECK(recorded(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())) == 0);
  CHECK(recorded(std::chrono::hours::max()) == longest);
  CHECK(recorded(std::chrono::duration<double>(std::numeric_limits<double>::infinity())) == longest);
  CHECK(recorded(std::chrono::nanoseconds::max()) == longest);
}

TEST_CASE("its memory is fixed") {
  CHECK(sizeof(histogram) == 15'616);
  const long before = support::allocations;
  histogram h;
  for (std::uint64_t v = 1; v != 0; v <<= 1) h.record(v);
  h.record(std::chrono::seconds(1));
  CHECK(support::allocations == before);
  CHECK(h.snapshot().count() == 65);
}

TEST_CASE("no record of any thread is lost, nor an extreme") {
  constexpr std::uint64_t each = SUPPORT_SANITIZED ? 10'000 : 100'000;
  histogram h;
  histogram gathered;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        histogram own;
        // Up for two of them, down for the others, so that every record moves an extreme.
        for (std::uint64_t i = 0; i < each; ++i) {
          const std::uint64_t v = 1'000'000 + (t % 2 == 0 ? i * 4 : 0) - (t % 2 == 1 ? i * 4 : 0) + t;
          h.record(v);
          own.record(v);
        }
        gathered.merge(own.snapshot());
      });
    }
  }
  const histogram_snapshot s = h.snapshot();
  const std::uint64_t step = (each - 1) * 4;
  CHECK(s.count() == 4 * each);
  CHECK(s.largest() == 1'000'000 + step + 2);
  CHECK(s.smallest() == 1'000'000 - step + 1);
  CHECK(s.sum() == static_cast<double>(4 * each * 1'000'000 + each * 6));
  const histogram_snapshot g = gathered.snapshot();
  CHECK(g.count() == s.count());
  CHECK(g.sum() == s.sum());
  CHECK(g.largest() == s.largest());
  CHECK(g.smallest() == s.smallest());
  for (int k = 0; k <= 100; ++k) CHECK(g.quantile(k / 100.0) == s.quantile(k / 100.0));
}

TEST_CASE("an extreme that has been recorded stays one") {
  constexpr std::uint64_t values = SUPPORT_SANITIZED ? 3000 : 30'000;
  histogram h;
  std::atomic<std::uint64_t> drawn{0};
  std::atomic<int> lost{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (std::uint64_t i = drawn++; i < values; i = drawn++) {
          // Both ways at once, and always beside the other thread's.
          h.record(1'000'000 + i);
          h.record(1'000'000 - i);
          const histogram_snapshot s = h.snapshot();
          if (s.largest() < 1'000'000 + i || s.smallest() > 1'000'000 - i) ++lost;
        }
      });
    }
  }
  CHECK(lost.load() == 0);
  CHECK(h.snapshot().count() == 2 * values);
}

TEST_CASE("a snapshot beside records fits together, and later ones have more") {
  constexpr std::uint64_t each = SUPPORT_SANITIZED ? 10'000 : 100'000;
  histogram h;
  std::atomic<int> recording{2};
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < each; ++i) h.record((i * 977) << t);
      --recording;
    });
  }
  bool fits = true;
  histogram_snapshot last;
  while (recording.load() != 0) {
    const histogram_snapshot now = h.snapshot();
    const histogram_snapshot added = now.since(last);  // throws if there is less of anything
    fits = fits && now.smallest() <= now.quantile(0.5) && now.quantile(0.5) <= now.largest() &&
           now.count() == last.count() + added.count() && now.count_up_to(now.largest()) == now.count() &&
           added.smallest() <= added.largest();
    last = now;
  }
  CHECK(fits);
  CHECK(h.snapshot().count() == 2 * each);
}
