#include "support/timer_threads.hpp"

#include <algorithm>
#include <stop_token>

#include "support/results.hpp"

bench::timer_costs bench::timers::lateness_list::costs(timer_figure first) const {
  check(!micros_.empty() && *std::min_element(micros_.begin(), micros_.end()) >= 0,
        "a timer has fired early");
  constexpr std::array<double, 4> parts{0.5, 0.99, 0.999, 1};
  timer_costs costs;
  for (unsigned i = 0; i < parts.size(); ++i) costs[nth(first, i)] = quantile(micros_, parts[i]);
  return costs;
}

bench::timers::load::load() {
  for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) {
    threads_.emplace_back([i](const std::stop_token& enough) {
      dice random(i);
      while (!enough.stop_requested()) {
        const std::uint64_t n = random.below(1000);
        // why: or else the compiler sees that nobody reads it
        asm volatile("" : : "r"(n));
      }
    });
  }
}
