// millrace/bus/export_metrics.hpp - what a bus, a pipeline, a group's handlers and a timer service have to say, for a metric_registry.
//
// Most of it is counted anyway, so that it only has to be asked for when somebody collects: publishing and consuming cost the
// same with it as without. Only times have to be taken where they pass.
//
// Use it when : Prometheus, or a test, is to see what goes on in a bus.
// Use instead : bus::snapshot and pipeline::stats, for what the program itself wants to know.
// Threads     : any. The result of export_metrics goes before the bus or the pipeline; removing it waits for a collect that is
//               just going on.
// Order       : does not apply.
// Progress    : a collect takes the mutexes of the bus and of each group, one after the other, for an instant.
// Errors      : names that clash with others in the registry are left out of the collect, and told of in its errors; handler_times
//               answers such a clash by its status().
// Exceptions  : std::bad_alloc.
// Memory      : for each, what a source of the registry takes; 16 KiB for a histogram.
// Cost        : nothing but in a collect; handler_times 2 to 10 ns for each batch, record_lateness 30 ns a timer.
// Source      : names after OpenTelemetry's semantic conventions for messaging (2024), see metrics/names.hpp.
// Checked by  : tests/bus/export_metrics_test.cpp
//
// Example:
//   millrace::metric_registry registry;
//   millrace::handler_times billing_times(registry, "orders.paid", "billing");       // outlives the bus
//   millrace::bus shop({.name = "shop", .workers = 4}, {.on_fire = millrace::record_lateness(registry).value()});
//   auto exported = millrace::export_metrics(shop, registry);
//   shop.subscribe<order>("orders.paid", "billing", {.group = [&](auto& g) { g.observer = &billing_times; }}, charge);
//   std::string page = millrace::to_prometheus(registry);                            // what a scrape gets
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "millrace/bus/bus.hpp"
#include "millrace/bus/bus_info.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/delivery/group_observer.hpp"
#include "millrace/flow/pipeline.hpp"
#include "millrace/flow/pipeline_stats.hpp"
#include "millrace/metrics/counter.hpp"
#include "millrace/metrics/histogram.hpp"
#include "millrace/metrics/metric_registry.hpp"

namespace millrace {
inline namespace v0 {

// --- what is known already, said to a sink: for sources of one's own ---

void give_samples(sample_sink& to, const bus_info& from);
/// `name`: the pipeline's.
void give_samples(sample_sink& to, std::string_view name, const pipeline_stats& stats);

// --- and asked for at each collect, until the result goes ---

template <clock Clock>
[[nodiscard]] sample_source export_metrics(const basic_bus<Clock>& from, metric_registry& registry) {
  return registry.add_source([&from](sample_sink& to) { give_samples(to, from.snapshot()); });
}
template <clock Clock>
[[nodiscard]] sample_source export_metrics(const basic_pipeline<Clock>& from, metric_registry& registry) {
  return registry.add_source([&from](sample_sink& to) { give_samples(to, from.name(), from.stats()); });
}

// --- times, taken as they pass ---

/// For group_options::observer: how long the handlers of a group take, and what they throw. Messages that are handled at once
/// count with their mean.
class handler_times final : public group_observer {
 public:
  /// The registry must outlive it.
  handler_times(metric_registry& registry, std::string_view topic, std::string_view group);

  /// Not ok: the registry has other instruments of these names, and nothing is recorded.
  [[nodiscard]] const absl::Status& status() const noexcept { return status_; }

  void handled(std::chrono::nanoseconds took, std::size_t n) noexcept override;
  void failed(const failure& f, std::uint64_t offset, decision next) noexcept override;

 private:
  absl::Status status_;
  histogram* times_ = nullptr;
  counter* failures_ = nullptr;
};

/// For timer_service::hooks::on_fire. The registry must outlive it.
[[nodiscard]] absl::StatusOr<function<void(std::chrono::nanoseconds)>> record_lateness(
    metric_registry& registry);

}  // namespace v0
}  // namespace millrace
