// Random calls of a timing_wheel, and the same ones of a sorted set (support/wheel_script.hpp). A difference is told with
// its seed. MILLRACE_SOAK=1 keeps on for MILLRACE_SOAK_SECONDS (600); MILLRACE_SEED=n runs that one alone.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"
#include "support/wheel_runs.hpp"

namespace {

/// splitmix64 (Steele, Lea, Flood 2014).
class seeded {
 public:
  seeded(std::uint64_t seed, std::uint64_t draws) : state_(seed * 0xD1342543DE82EF95), left_(draws) {}
  [[nodiscard]] std::uint64_t below(std::uint64_t n) {
    if (left_ > 0) --left_;
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (z ^ (z >> 31)) % n;
  }
  [[nodiscard]] bool done() const { return left_ == 0; }

 private:
  std::uint64_t state_;
  std::uint64_t left_;
};

/// Many short ones, and a few long ones of each kind, in which thousands of timers wait.
std::uint64_t draws_of(std::uint64_t seed) {
  return seed % (20 * support::wheel_kinds) < support::wheel_kinds ? 100'000 : 5'000;
}

void run_seed(std::uint64_t seed, std::uint64_t& fired) {
  const std::string name = "MILLRACE_SEED=" + std::to_string(seed);
  const support::watchdog guard(name.c_str(), std::chrono::seconds(60));
  seeded source(seed, draws_of(seed));
  const support::wheel_run run =
      support::run_wheel(static_cast<unsigned>(seed % support::wheel_kinds), source);
  if (run.differs != nullptr) FAIL(name << ": " << run.differs);
  fired += run.fired;
}

double soak_seconds() {
  const char* wish = std::getenv("MILLRACE_SOAK");
  if (wish == nullptr || std::string(wish) == "0") return 0;
  const char* seconds = std::getenv("MILLRACE_SOAK_SECONDS");
  return seconds == nullptr ? 600 : std::atof(seconds);
}

}  // namespace

TEST_CASE("a wheel and a sorted set of timers agree") {
  using clock = std::chrono::steady_clock;
  std::uint64_t fired = 0;
  if (const char* const one = std::getenv("MILLRACE_SEED")) {
    run_seed(std::strtoull(one, nullptr, 10), fired);
    return;
  }
  const std::uint64_t enough = SUPPORT_SANITIZED ? 1'000'000 : 3'000'000;
  const auto end = clock::now() + std::chrono::duration<double>(soak_seconds());
  std::uint64_t seeds = 0;
  for (std::uint64_t draws = 0; draws < enough || clock::now() < end; ++seeds) {
    run_seed(seeds, fired);
    draws += draws_of(seeds);
  }
  std::printf("timing_wheel: seeds 0 to %llu, %llu timers fired\n",
              static_cast<unsigned long long>(seeds - 1), static_cast<unsigned long long>(fired));
  CHECK(fired > enough / 50);
}
