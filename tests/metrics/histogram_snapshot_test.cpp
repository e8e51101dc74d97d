#include "millrace/metrics/histogram_snapshot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "millrace/metrics/histogram.hpp"
#include "support/catch.hpp"

namespace {

using millrace::histogram;
using millrace::histogram_snapshot;
using millrace::detail::log_linear;

constexpr std::uint64_t most = (std::numeric_limits<std::uint64_t>::max)();

histogram_snapshot of(const std::vector<std::uint64_t>& values) {
  histogram h;
  for (const std::uint64_t v : values) h.record(v);
  return h.snapshot();
}

/// As far as the contract allows: less than 1/64, or not at all.
bool close_to(std::uint64_t found, std::uint64_t exact) {
  const std::uint64_t off = found < exact ? exact - found : found - exact;
  return off == 0 || off < exact / 64 + (exact % 64 != 0 ? 1 : 0);
}

/// The rank of a quantile of so many thousandths, in whole numbers.
std::size_t rank(std::size_t thousandths, std::size_t count) {
  return (std::max)((thousandths * count + 999) / 1000, std::size_t{1});
}

struct distribution {
  std::string name;
  std::function<std::uint64_t(std::mt19937_64&)> draw;
};

std::uint64_t clipped(double d) {
  if (!(d > 0)) return 0;
  return d < 0x1p64 ? static_cast<std::uint64_t>(d) : most;
}

const std::vector<distribution>& distributions() {
  static const std::vector<distribution> all{
      {"uniform to a billion",
       [](auto& g) { return std::uniform_int_distribution<std::uint64_t>(0, 1'000'000'000)(g); }},
      {"uniform to 200", [](auto& g) { return std::uniform_int_distribution<std::uint64_t>(0, 200)(g); }},
      {"uniform over all", [](auto& g) { return g(); }},
      {"exponential", [](auto& g) { return clipped(std::exponential_distribution<>(1e-6)(g)); }},
      {"log-normal", [](auto& g) { return clipped(std::lognormal_distribution<>(12, 2)(g)); }},
      {"heavy tail",
       [](auto& g) {
         return clipped(1000 * std::pow(std::uniform_real_distribution<>(1e-12, 1)(g), -1 / 0.6));
       }},
      {"constant", [](auto&) { return std::uint64_t{123'457}; }},
      {"two far apart", [](auto& g) { return g() % 10 == 0 ? most : std::uint64_t{0}; }},
      {"powers of two, and what is beside them",
       [](auto& g) { return (std::uint64_t{1} << (g() % 64)) + g() % 3 - 1; }},
  };
  return all;
}

}  // namespace

TEST_CASE("the buckets follow each other without a gap, and cover everything") {
  std::uint64_t next = 0;
  for (std::size_t b = 0; b < log_linear::buckets; ++b) {
    INFO("bucket " << b);
    REQUIRE(log_linear::lowest(b) == next);
    REQUIRE(log_linear::highest(b) >= next);
    REQUIRE(log_linear::index(log_linear::lowest(b)) == b);
    REQUIRE(log_linear::index(log_linear::highest(b)) == b);
    REQUIRE(log_linear::index(log_linear::middle(b)) == b);
    REQUIRE(close_to(log_linear::middle(b), log_linear::lowest(b)));
    REQUIRE(close_to(log_linear::middle(b), log_linear::highest(b)));
    next = log_linear::highest(b) + 1;
  }
  CHECK(next == 0);  // the last bucket ends at 2^64 - 1
  CHECK(log_linear::highest(63) == 63);
}

TEST_CASE("every thousandth is within the bound of the exact one") {
  const distribution& from = distributions()[GENERATE(range(std::size_t{0}, distributions().size()))];
  const std::size_t count = GENERATE(as<std::size_t>{}, 1, 2, 7, 100, 1000, 40000);
  std::mt19937_64 random(count);
  std::vector<std::uint64_t> values(count);
  for (auto& v : values) v = from.draw(random);
  const histogram_snapshot s = of(values);
  std::sort(values.begin(), values.end());
  INFO(from.name << ", " << count << " values");
  REQUIRE(s.count() == count);
  CHECK(s.smallest() == values.front());
  CHECK(s.largest() == values.back());
  for (std::size_t k = 0; k <= 1000; ++k) {
    const std::uint64_t exact = values[rank(k, count) - 1];
    const std::uint64_t found = s.quantile(static_cast<double>(k) / 1000);
    INFO(k << " thousandths: " << found << ", exactly " << exact);
    REQUIRE(close_to(found, exact));
  }
  CHECK(s.quantile(0) == values.front());
  CHECK(s.quantile(1) == values.back());
  double sum = 0;
  for (const std::uint64_t v : values) sum += static_cast<double>(v);
  CHECK(std::abs(s.sum() - sum) <= sum / (sum < 0x1p69 ? 1e12 : 64));
  CHECK(std::abs(s.mean() * static_cast<double>(count) - s.sum()) <= s.sum() * 1e-12);
}

TEST_CASE("how many are up to a value, but for those that are close to it") {
  const distribution& from = distributions()[GENERATE(range(std::size_t{0}, distributions().size()))];
  std::mt19937_64 random(5);
  std::vector<std::uint64_t> values(5000);
  for (auto& v : values) v = from.draw(random);
  const histogram_snapshot s = of(values);
  std::sort(values.begin(), values.end());
  const auto up_to = [&](std::uint64_t v) {
    return static_cast<std::uint64_t>(std::upper_bound(values.begin(), values.end(), v) - values.begin());
  };
  std::vector<std::uint64_t> limits{0, 1, 63, 64, 65, 1000, 1'000'000, most - 1, most};
  for (int i = 0; i < 500; ++i) limits.push_back(from.draw(random));
  std::sort(limits.begin(), limits.end());
  std::uint64_t last = 0;
  for (const std::uint64_t v : limits) {
    INFO(from.name << ", up to " << v);
    const std::uint64_t found = s.count_up_to(v);
    const std::uint64_t off = v < 64 ? 0 : v / 63 + 1;
    REQUIRE(found >= up_to(v - off));
    REQUIRE(found <= up_to(v > most - off ? most : v + off));
    REQUIRE(found >= last);
    last = found;
  }
  CHECK(s.count_up_to(s.largest()) == s.count());
  if (s.smallest() > 0) CHECK(s.count_up_to(s.smallest() - 1) == 0);
  for (const double q : {0.01, 0.5, 0.9, 0.999}) {
    CHECK(static_cast<double>(s.count_up_to(s.quantile(q))) >= q * 5000);
  }
}

TEST_CASE("equal values are exact") {
  const std::uint64_t v = GENERATE(0u, 63u, 64u, 1000u, 999'999'937u, most);
  histogram h;
  h.record(v, 1000);
  const histogram_snapshot s = h.snapshot();
  CHECK(s.count() == 1000);
  for (const double q : {0.0, 0.25, 0.5, 0.99, 1.0}) CHECK(s.quantile(q) == v);
  CHECK(s.count_up_to(v) == 1000);
  if (v > 0) CHECK(s.count_up_to(v - 1) == 0);
  CHECK(s.mean() == static_cast<double>(v));
}

TEST_CASE("a rank is that of the decimal that was meant") {
  histogram h;
  for (std::uint64_t v = 0; v < 50; ++v) h.record(v);
  const histogram_snapshot s = h.snapshot();
  for (std::uint64_t v = 1; v <= 50; ++v) CHECK(s.quantile(static_cast<double>(v) / 50) == v - 1);
  histogram hundred;
  for (std::uint64_t v = 1; v <= 100; ++v) hundred.record(v <= 7 ? 1 : 2);
  CHECK(hundred.snapshot().quantile(0.07) == 1);  // 0.07 * 100 is 7.000000000000001
  CHECK(hundred.snapshot().quantile(0.0701) == 2);
}

TEST_CASE("counts that no double holds") {
  histogram h;
  h.record(10, std::uint64_t{1} << 62);
  h.record(20, std::uint64_t{1} << 62);
  const histogram_snapshot s = h.snapshot();
  CHECK(s.count() == std::uint64_t{1} << 63);
  CHECK(s.quantile(0) == 10);
  CHECK(s.quantile(0.25) == 10);
  CHECK(s.quantile(0.75) == 20);
  CHECK(s.quantile(1) == 20);
}

TEST_CASE("a sum may be larger than 64 bits") {
  histogram h;
  h.record(most, 5);
  h.record(1000);
  CHECK(h.snapshot().sum() == 5 * 0x1p64);  // rounded to a double
  h.record(most, 1000);
  CHECK(std::abs(h.snapshot().sum() / (1005 * 0x1p64) - 1) < 1.0 / 64);
  // Exactly as many as fit.
  histogram exact;
  exact.record(std::uint64_t{1} << 63, 3);
  exact.record(5 << 20);
  CHECK(exact.snapshot().sum() == 3 * 0x1p63 + static_cast<double>(5 << 20));
}

TEST_CASE("nothing recorded") {
  const histogram_snapshot none;
  CHECK(none.count() == 0);
  CHECK(none.sum() == 0);
  CHECK(none.mean() == 0);
  CHECK(none.smallest() == 0);
  CHECK(none.largest() == 0);
  CHECK(none.quantile(0.5) == 0);
  CHECK(none.count_up_to(most) == 0);
  CHECK(histogram().snapshot().count() == 0);
  CHECK(histogram().snapshot().quantile(1) == 0);
  CHECK(histogram().snapshot().smallest() == 0);
}

TEST_CASE("what is no quantile is refused") {
  const histogram_snapshot s = of({1, 2, 3});
  const double q = GENERATE(-0.001, 1.001, std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_WITH(s.quantile(q), "histogram_snapshot: q of quantile must be 0 to 1");
  CHECK_THROWS_AS(histogram_snapshot().quantile(q), std::invalid_argument);
}

TEST_CASE("merged snapshots are those of one histogram") {
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> left;
  std::vector<std::uint64_t> right;
  for (int i = 0; i < 3000; ++i) left.push_back(7 + (random() >> (20 + random() % 40)));
  for (int i = 0; i < 500; ++i) right.push_back(5 + (random() >> (1 + random() % 63)));
  std::vector<std::uint64_t> both = left;
  both.insert(both.end(), right.begin(), right.end());
  const histogram_snapshot whole = of(both);
  REQUIRE(whole.smallest() >= 5);

  const auto same = [&](const histogram_snapshot& s) {
    CHECK(s.count() == whole.count());
    CHECK(s.sum() == whole.sum());
    CHECK(s.smallest() == whole.smallest());
    CHECK(s.largest() == whole.largest());
    for (int k = 0; k <= 100; ++k) CHECK(s.quantile(k / 100.0) == whole.quantile(k / 100.0));
  };
  histogram_snapshot a = of(left);
  a.merge(of(right));
  same(a);
  histogram_snapshot b = of(right);
  b.merge(of(left));
  same(b);
  histogram_snapshot c;
  c.merge(whole);
  c.merge({});
  same(c);
  histogram h;
  h.merge(of(left));
  h.merge({});
  h.merge(of(right));
  same(h.snapshot());
}

TEST_CASE("what came since an earlier snapshot") {
  histogram h;
  for (std::uint64_t v : {5u, 5u, 100'000u, 7u}) h.record(v);
  const histogram_snapshot earlier = h.snapshot();
  CHECK(earlier.since(earlier).count() == 0);
  CHECK(earlier.since(earlier).largest() == 0);
  CHECK(earlier.since({}).count() == 4);
  CHECK(earlier.since({}).largest() == 100'000);
  for (std::uint64_t v : {5u, 1000u, 1010u}) h.record(v);
  const histogram_snapshot between = h.snapshot().since(earlier);
  CHECK(between.count() == 3);
  CHECK(between.sum() == 2015);
  CHECK(between.smallest() == 5);
  CHECK(between.largest() >= 1010);
  CHECK(between.largest() <= 1010 + 1010 / 32);
  CHECK(close_to(between.quantile(0.5), 1000));

  CHECK_THROWS_WITH(earlier.since(h.snapshot()),
                    "histogram_snapshot: earlier of since must be an earlier snapshot of the same histogram");
  CHECK_THROWS_AS(earlier.since(of({most})), std::invalid_argument);
}
