#include "millrace/bus/export_metrics.hpp"

#include <string>
#include <utility>

#include "millrace/metrics/metric.hpp"
#include "millrace/metrics/names.hpp"

namespace millrace {
inline namespace v0 {
namespace {

double seconds(std::chrono::nanoseconds t) { return std::chrono::duration<double>(t).count(); }

label_set of_topic(const std::string& topic) {
  return {{label_names::system, "millrace"}, {label_names::destination, topic}};
}
label_set of_group(std::string_view topic, std::string_view group) {
  return {{label_names::system, "millrace"},
          {label_names::destination, std::string(topic)},
          {label_names::consumer_group, std::string(group)}};
}

void give(sample_sink& to, const std::string& topic, const group_info& g) {
  const group_stats& s = g.stats;
  const label_set labels = of_group(topic, g.name);
  to.counter(names::consumed_messages, labels, s.delivered);
  to.counter(names::group_acked, labels, s.acked);
  to.counter(names::group_dead_letters, labels, s.dead);
  to.counter(names::group_missed, labels, s.missed);
  to.counter(names::group_redelivered, labels, s.redelivered);
  to.counter(names::group_expired, labels, s.expired);
  to.counter(names::group_duplicates, labels, s.duplicates);
  to.counter(names::group_timed_out, labels, s.timed_out);
  to.gauge(names::group_lag, labels, s.backlog);
  to.gauge(names::group_lag_age, labels, seconds(s.oldest));
  to.gauge(names::group_in_flight, labels, s.in_flight);
  to.gauge(names::group_retry_waiting, labels, s.waiting);
  to.gauge(names::group_parked, labels, s.parked);
}

}  // namespace

void give_samples(sample_sink& to, const bus_info& from) {
  for (const topic_info& t : from.topics) {
    const label_set labels = of_topic(t.name);
    to.counter(names::sent_messages, labels, t.published);
    to.gauge(names::topic_depth, labels, t.published - t.first_kept);
    to.counter(names::publish_blocked, labels, seconds(t.blocked));
    for (const group_info& g : t.groups) give(to, t.name, g);
  }
  const label_set whose{{label_names::bus, from.name}};
  to.counter(names::timer_errors, whose, from.timer_errors);
  to.counter(names::timers_skipped, whose, from.timers_skipped);
}

void give_samples(sample_sink& to, std::string_view name, const pipeline_stats& stats) {
  for (const stage_stats& s : stats.stages) {
    const label_set labels{{label_names::pipeline, std::string(name)}, {label_names::stage, s.name}};
    to.gauge(names::stage_depth, labels, s.depth);
    to.counter(names::stage_processed, labels, s.out + s.filtered + s.dead);
    to.counter(names::stage_busy, labels, seconds(s.busy));
    to.gauge(names::stage_workers, labels, s.workers);
  }
}

handler_times::handler_times(metric_registry& registry, std::string_view topic, std::string_view group) {
  const label_set labels = of_group(topic, group);
  const absl::StatusOr<histogram*> times = registry.add_histogram(names::process_duration, labels);
  const absl::StatusOr<counter*> failures = registry.add_counter(names::process_failures, labels);
  status_.Update(times.status());
  status_.Update(failures.status());
  if (!status_.ok()) return;
  times_ = *times;
  failures_ = *failures;
}
void handler_times::handled(std::chrono::nanoseconds took, std::size_t n) noexcept {
  if (times_ != nullptr) times_->record(static_cast<std::uint64_t>(took.count()) / n, n);
}
void handler_times::failed(const failure&, std::uint64_t, decision) noexcept {
  if (failures_ != nullptr) failures_->add();
}

absl::StatusOr<function<void(std::chrono::nanoseconds)>> record_lateness(metric_registry& registry) {
  const absl::StatusOr<histogram*> late = registry.add_histogram(names::timer_lateness);
  if (!late.ok()) return late.status();
  return function<void(std::chrono::nanoseconds)>([to = *late](std::chrono::nanoseconds by) {
    // why: one that stop() fires before its time is not late
    to->record(by < by.zero() ? by.zero() : by);
  });
}

}  // namespace v0
}  // namespace millrace
