// The pauses: random, growing, bounded, and none before the first loss.
#include "millrace/core/backoff.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "millrace/core/sync.hpp"
#include "support/catch.hpp"

namespace {

struct counting_sync {
  static inline std::uint32_t pauses = 0;
  static inline std::uint32_t seed = 1;
  static inline int asked = 0;
  static void pause() noexcept { ++pauses; }
  static std::uint32_t entropy() noexcept {
    ++asked;
    return seed;
  }
};

template <class Wait>
std::uint32_t pauses_of(Wait& wait) {
  counting_sync::pauses = 0;
  wait();
  return counting_sync::pauses;
}

using millrace::exponential_backoff;
using millrace::no_backoff;
static_assert(sizeof(exponential_backoff<>::in<counting_sync>) == 8);

}  // namespace

TEST_CASE("the n-th call pauses between 1 and min(First * 2^(n-1), Most) times") {
  std::vector<std::uint32_t> longest(12, 0);
  for (std::uint32_t seed = 0; seed < 4000; ++seed) {
    counting_sync::seed = seed * 0x9E3779B1u;
    exponential_backoff<4, 256>::in<counting_sync> wait;
    for (std::size_t n = 0; n < longest.size(); ++n) {
      const std::uint32_t limit = std::min(256u, 4u << n);
      const std::uint32_t pauses = pauses_of(wait);
      REQUIRE(pauses >= 1);
      REQUIRE(pauses <= limit);
      longest[n] = std::max(longest[n], pauses);
    }
  }
  // The limit is reached, so it is what is claimed and not less.
  for (std::size_t n = 0; n < longest.size(); ++n) CHECK(longest[n] > std::min(256u, 4u << n) * 9 / 10);
}

TEST_CASE("limits that are no powers of two, and the smallest and largest") {
  exponential_backoff<3, 7>::in<counting_sync> odd;
  exponential_backoff<1, 1>::in<counting_sync> least;
  exponential_backoff<1, 0xFFFFFFFFu>::in<counting_sync> most;
  std::uint32_t longest = 0;
  for (int i = 0; i < 1000; ++i) {
    longest = std::max(longest, pauses_of(odd));
    REQUIRE(pauses_of(least) == 1);
  }
  CHECK(longest == 7);
  for (std::uint32_t n = 0; n < 16; ++n) {
    const std::uint32_t pauses = pauses_of(most);
    REQUIRE(pauses >= 1);
    REQUIRE(pauses <= 1u << n);
  }
}

TEST_CASE("an attempt that never loses pays nothing, not even the seed") {
  counting_sync::asked = 0;
  counting_sync::pauses = 0;
  {
    [[maybe_unused]] exponential_backoff<>::in<counting_sync> wait;
  }
  CHECK(counting_sync::asked == 0);
  CHECK(counting_sync::pauses == 0);
  exponential_backoff<>::in<counting_sync> wait;
  wait();
  wait();
  CHECK(counting_sync::asked == 1);
}

TEST_CASE("two threads that lose together part ways") {
  std::set<std::vector<std::uint32_t>> courses;
  for (const std::uint32_t seed : {0u, 2u, 4u, 0xFFFFFFFEu, 77u * 2}) {
    counting_sync::seed = seed;
    exponential_backoff<>::in<counting_sync> wait;
    std::vector<std::uint32_t> course;
    for (int i = 0; i < 8; ++i) course.push_back(pauses_of(wait));
    courses.insert(course);
  }
  CHECK(courses.size() == 5);
}

TEST_CASE("no_backoff does nothing") {
  no_backoff::in<counting_sync> wait;
  CHECK(pauses_of(wait) == 0);
}
