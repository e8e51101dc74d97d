// millrace/metrics/exposition.hpp - the text that Prometheus scrapes.
//
// Use it when : the host answers GET /metrics, or writes a file for node_exporter's textfile collector.
// Use instead : metric_registry::collect for another format.
// Threads     : any.
// Order       : as collected: sorted, so that equal numbers give equal text.
// Progress    : as metric_registry::collect.
// Errors      : errors of the collection stand at the end as comments, and their number as millrace_scrape_errors.
// Exceptions  : std::bad_alloc.
// Memory      : one string: about 60 bytes for a sample, and its labels; 28 times that for a histogram in seconds.
// Cost        : about 0.3 microseconds for a counter or a gauge, 25 for a histogram; and what collect takes.
// Source      : Prometheus' text-based format, version 0.0.4. Of a histogram's bounds: a value less than 1/64 away from one
//               may be counted on its other side (histogram_snapshot::count_up_to); _count is exact.
// Checked by  : tests/metrics/exposition_test.cpp, which also asks promtool
//
// Example:
//   http.get("/metrics", [&] { return answer(millrace::to_prometheus(all), millrace::prometheus_content_type); });
#pragma once

#include <string>

#include "millrace/core/config.hpp"
#include "millrace/metrics/metric_registry.hpp"

namespace millrace {
inline namespace v0 {

inline constexpr const char* prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

[[nodiscard]] std::string to_prometheus(const metric_collection& collected);

/// Of what the registry collects now.
[[nodiscard]] std::string to_prometheus(const metric_registry& from);

}  // namespace v0
}  // namespace millrace
