// millrace/metrics/format.hpp - fmt prints an outcome, and a histogram in a line.
//
// Use it when : you log with fmt.
// Use instead : to_string(outcome), which needs no fmt; exposition.hpp for machines.
// Threads     : any; formatters without state.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : a bad format is an error of fmt's, when it compiles.
// Exceptions  : those of fmt.
// Memory      : none kept.
// Cost        : that of fmt; a histogram is looked through twice.
// Source      : ours. Both take the fill, alignment, width and precision of a text.
// Checked by  : tests/metrics/format_test.cpp
//
// Example:
//   fmt::print("{:>10}\n", jobs.try_push(j));        //       full
//   fmt::print("{}\n", handler_time.snapshot());     // count=3 p50=1200 p99=7100 max=7188
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/metrics/histogram_snapshot.hpp"

template <>
struct fmt::formatter<millrace::outcome> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(millrace::outcome o, Context& to) const {
    return fmt::formatter<std::string_view>::format(millrace::to_string(o), to);
  }
};

/// In the units that were recorded: nanoseconds, for durations.
template <>
struct fmt::formatter<millrace::histogram_snapshot> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const millrace::histogram_snapshot& s, Context& to) const {
    fmt::memory_buffer text;
    fmt::format_to(fmt::appender(text), "count={} p50={} p99={} max={}", s.count(), s.quantile(0.5),
                   s.quantile(0.99), s.largest());
    return fmt::formatter<std::string_view>::format(std::string_view(text.data(), text.size()), to);
  }
};
