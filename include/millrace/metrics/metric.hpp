// millrace/metrics/metric.hpp - what a metric is called, and what a registry found: families of samples with labels.
//
// Use it when : you name a metric, or read what metric_registry::collect has given.
// Use instead : exposition.hpp for the text that Prometheus reads.
// Threads     : plain values.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : none; metric_registry.hpp says which names it takes.
// Exceptions  : std::bad_alloc from copies.
// Memory      : a metric is two views, of text that must stay, as a literal does; the rest owns what it says.
// Cost        : none.
// Source      : the data model of Prometheus; families and samples are its words.
// Checked by  : tests/metrics/metric_test.cpp, tests/metrics/metric_registry_test.cpp
//
// Example:
//   constexpr millrace::metric orders{"shop_orders_total", "Orders that were placed."};
//   const millrace::label_set here{{"shop", "berlin"}, {"till", "4"}};
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/metrics/histogram_snapshot.hpp"

namespace millrace {
inline namespace v0 {

struct metric {
  std::string_view name;
  std::string_view help;  // a sentence for somebody who meets the name on a dashboard
};

struct label {
  std::string name;
  std::string value;  // empty: as if the label were not there

  friend bool operator==(const label&, const label&) = default;
  friend auto operator<=>(const label&, const label&) = default;
};

using label_set = std::vector<label>;

enum class metric_type : std::uint8_t { counter, gauge, histogram };

/// The name, a string with static lifetime; "invalid" for a value that is none of them.
[[nodiscard]] constexpr const char* to_string(metric_type t) noexcept {
  switch (t) {
    case metric_type::counter: return "counter";
    case metric_type::gauge: return "gauge";
    case metric_type::histogram: return "histogram";
  }
  return "invalid";
}

/// How the whole numbers of a histogram are shown: in the unit that its name ends in, and counted up to 1, 2.5 and 5 of
/// every power of ten from the first bound to the last.
struct histogram_scale {
  double unit;  // what 1 in the histogram is in that unit
  double first_bound;
  double last_bound;

  friend bool operator==(const histogram_scale&, const histogram_scale&) = default;
};

/// Nanoseconds, under a name that ends in _seconds: from a microsecond to 100 seconds.
inline constexpr histogram_scale in_seconds{1e-9, 1e-6, 100};

/// As they are: from 1 to a million.
inline constexpr histogram_scale in_numbers{1, 1, 1e6};

struct metric_sample {
  label_set labels;                 // sorted by name
  double value = 0;                 // of a counter or a gauge
  histogram_snapshot distribution;  // of a histogram
};

struct metric_family {
  std::string name;
  std::string help;
  metric_type type;
  histogram_scale scale;               // of a histogram
  std::vector<metric_sample> samples;  // sorted by their labels
};

}  // namespace v0
}  // namespace millrace
