// What has been measured, and what follows from it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/suite.hpp"

namespace bench {

/// Of a sorted list the value at `part` (0 .. 1), between its neighbours where there is none just there.
inline double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  const double at = part * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

struct spread {
  double median;
  double q1;
  double q3;
};
inline spread spread_of(const std::vector<double>& values) {
  return {quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75)};
}

/// One contender in one cell: nanoseconds an item, round by round.
struct series {
  const entry* who;
  std::uint64_t items;  // a sample
  std::vector<double> ns;
};

/// One cell's contenders.
struct contest {
  cell where;
  std::vector<series> all;

  [[nodiscard]] const series* ours() const {
    for (const series& s : all) {
      if (s.who->as == role::ours) return &s;
    }
    return nullptr;
  }
};

/// How many times faster `a` is than `b`, round by round: what the machine did to one of them in a round, it did
/// to the other as well, more or less.
inline spread ratio(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) ratios.push_back(b[i] / a[i]);
  return spread_of(ratios);
}
inline spread ratio(const series& a, const series& b) { return ratio(a.ns, b.ns); }

/// One contender's bursts, round by round.
struct burst_series {
  const burst_entry* who;
  std::vector<burst_costs> rounds;

  [[nodiscard]] double median(double burst_costs::* of) const {
    std::vector<double> values;
    for (const burst_costs& c : rounds) values.push_back(c.*of);
    return quantile(values, 0.5);
  }
  [[nodiscard]] double peak_bytes_an_item() const {
    return median(&burst_costs::peak) / static_cast<double>(burst_items);
  }
  [[nodiscard]] double megabytes_left() const { return median(&burst_costs::left) * 1e-6; }
};

/// One contender in all the workloads of timers, round by round: a list of rounds for each figure, empty where the
/// contender has none.
struct timer_series {
  std::string name;
  role as;
  std::array<std::vector<double>, timer_figures> figures;

  [[nodiscard]] const std::vector<double>& operator[](timer_figure f) const {
    return figures[static_cast<std::size_t>(f)];
  }
  void note(const timer_costs& costs) {
    for (std::size_t f = 0; f < timer_figures; ++f) {
      if (!std::isnan(costs.figures[f])) figures[f].push_back(costs.figures[f]);
    }
  }
};

/// One contender in one cell of a table, round by round.
struct table_series {
  std::string table;
  table_column column;
  std::string name;
  role as;
  std::vector<double> rounds;
};

struct timer_verdict {
  const timer_target* goal;
  const timer_series* rival;  // the best of those that count; nullptr: the goal has none
  double ours;                // median
  spread reached;             // against the rival

  [[nodiscard]] bool met() const {
    return rival != nullptr ? reached.median >= goal->bound : ours <= goal->bound;
  }
};

/// Nothing if ours was not measured, or none of the rivals.
inline std::optional<timer_verdict> judge(const timer_target& t, const std::vector<timer_series>& all) {
  const timer_series* ours = nullptr;
  const timer_series* rival = nullptr;
  for (const timer_series& s : all) {
    if (s[t.of].empty()) continue;
    if (s.as == role::ours) ours = &s;
    if (std::find(t.rivals.begin(), t.rivals.end(), s.name) == t.rivals.end()) continue;
    if (rival == nullptr || quantile(s[t.of], 0.5) < quantile((*rival)[t.of], 0.5)) rival = &s;
  }
  if (ours == nullptr || (rival == nullptr && !t.rivals.empty())) return std::nullopt;
  const std::vector<double>& mine = (*ours)[t.of];
  return timer_verdict{&t, rival, quantile(mine, 0.5),
                       rival != nullptr ? ratio(mine, (*rival)[t.of]) : spread{}};
}

struct verdict {
  const target* goal;
  const contest* in;
  const series* rival;      // the one with the lowest median among those that count
  const series* lock_free;  // the same among the lock-free ones; nullptr: none counts
  spread reached;           // against the rival

  [[nodiscard]] bool met() const { return reached.median >= goal->at_least; }
};

/// The fastest of those in `c` that `counts`, or nullptr.
template <class Counts>
const series* fastest(const contest& c, Counts counts) {
  const series* best = nullptr;
  for (const series& s : c.all) {
    if (counts(s) && (best == nullptr || quantile(s.ns, 0.5) < quantile(best->ns, 0.5))) best = &s;
  }
  return best;
}

/// Nothing if the cell was not measured, or without a rival.
inline std::optional<verdict> judge(const target& t, const std::vector<contest>& contests) {
  for (const contest& c : contests) {
    const series* ours = c.ours();
    if (to_string(c.where) != t.cell || ours == nullptr) continue;
    const auto counts = [&](const series& s) {
      return is_peer(s.who->as) &&
             (t.rivals.empty() || std::find(t.rivals.begin(), t.rivals.end(), s.who->name) != t.rivals.end());
    };
    const series* rival = fastest(c, counts);
    if (rival == nullptr) return std::nullopt;
    const series* lock_free =
        fastest(c, [&](const series& s) { return counts(s) && s.who->as == role::lock_free_peer; });
    return verdict{&t, &c, rival, lock_free, ratio(*ours, *rival)};
  }
  return std::nullopt;
}

}  // namespace bench
