// A burst: one thread pushes all items, then pops them all. What a queue without a limit costs while it grows, how
// much memory it takes at its largest, and how much of that it keeps.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "support/cell.hpp"
#include "support/child.hpp"
#include "support/drive.hpp"

namespace bench {

inline constexpr std::uint64_t burst_items = 10'000'000;

struct burst_costs {
  double push_ns = 0;   // an item
  double drain_ns = 0;  // an item
  double peak = 0;      // bytes resident when there was most, above those before
  double left = 0;      // bytes resident after the drain, likewise; the queue still stands
};

template <class Q>
burst_costs burst(std::uint64_t items) {
  return in_child([items] {
    const double before = resident_memory().now;
    const auto queue = std::make_unique<Q>(first_places);
    hands<verbs::trying, Q> hand(*queue);
    const auto begin = stopwatch::now();
    std::uint64_t put = 0;
    for (std::uint64_t n = 1; n <= items; ++n) put += hand.put(n);
    const auto full = stopwatch::now();
    std::uint64_t got = 0;
    for (std::uint64_t n = 1; n <= items; ++n) got += hand.get();
    const auto end = stopwatch::now();
    if (put != got) throw std::runtime_error("what came out is not what went in");

    const resident after = resident_memory();
    const auto ns = [&](auto from, auto to) {
      return std::chrono::duration<double, std::nano>(to - from).count() / static_cast<double>(items);
    };
    return burst_costs{ns(begin, full), ns(full, end), after.most - before, after.now - before};
  });
}

}  // namespace bench
