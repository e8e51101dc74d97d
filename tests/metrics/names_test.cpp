#include "millrace/metrics/names.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "millrace/metrics/metric_registry.hpp"
#include "support/catch.hpp"

namespace {

namespace names = millrace::names;
namespace label_names = millrace::label_names;
using millrace::metric;
using millrace::metric_type;

const std::vector<std::pair<metric, metric_type>> all{
    {names::sent_messages, metric_type::counter},      {names::topic_depth, metric_type::gauge},
    {names::publish_blocked, metric_type::counter},    {names::consumed_messages, metric_type::counter},
    {names::process_duration, metric_type::histogram}, {names::group_lag, metric_type::gauge},
    {names::process_failures, metric_type::counter},   {names::group_lag_age, metric_type::gauge},
    {names::group_in_flight, metric_type::gauge},      {names::group_retry_waiting, metric_type::gauge},
    {names::group_parked, metric_type::gauge},         {names::group_acked, metric_type::counter},
    {names::group_dead_letters, metric_type::counter}, {names::group_missed, metric_type::counter},
    {names::group_redelivered, metric_type::counter},  {names::group_expired, metric_type::counter},
    {names::group_duplicates, metric_type::counter},   {names::group_timed_out, metric_type::counter},
    {names::stage_depth, metric_type::gauge},          {names::stage_processed, metric_type::counter},
    {names::stage_busy, metric_type::counter},         {names::stage_workers, metric_type::gauge},
    {names::timer_lateness, metric_type::histogram},   {names::timer_errors, metric_type::counter},
    {names::timers_skipped, metric_type::counter},     {names::scrape_errors, metric_type::gauge},
};

}  // namespace

TEST_CASE("a registry takes every name, with every label") {
  millrace::metric_registry r;
  const millrace::label_set labels{
      {label_names::system, "millrace"},
      {label_names::destination, "orders.paid"},
      {label_names::consumer_group, "b"},
      {label_names::operation, "ack"},
      {label_names::error_type, "timeout"},
      {label_names::pipeline, "p"},
      {label_names::stage, "s"},
  };
  for (const auto& [what, type] : all) {
    INFO(what.name);
    switch (type) {
      case metric_type::counter: CHECK(r.add_counter(what, labels).ok()); break;
      case metric_type::gauge: CHECK(r.add_gauge(what, labels).ok()); break;
      case metric_type::histogram: CHECK(r.add_histogram(what, labels).ok()); break;
    }
    CHECK(what.help.ends_with('.'));
  }
  const millrace::metric_collection c = r.collect();
  CHECK(c.errors.empty());
  CHECK(c.families.size() == all.size());
  for (const auto& f : c.families) CHECK(f.samples.at(0).labels.size() == labels.size());
}

TEST_CASE("no two have a name or a help in common") {
  std::set<std::string> seen;
  for (const auto& [what, type] : all) {
    INFO(what.name);
    CHECK(seen.emplace(what.name).second);
    CHECK(seen.emplace(what.help).second);
  }
}

TEST_CASE("what OpenTelemetry has a name for has that one") {
  CHECK(names::sent_messages.name == "messaging_client_sent_messages_total");
  CHECK(names::consumed_messages.name == "messaging_client_consumed_messages_total");
  CHECK(names::process_duration.name == "messaging_process_duration_seconds");
  CHECK(std::string(label_names::destination) == "messaging_destination_name");
  CHECK(std::string(label_names::consumer_group) == "messaging_consumer_group_name");
  for (const auto& [what, type] : all) {
    CHECK((what.name.starts_with("messaging_") || what.name.starts_with("millrace_")));
  }
}
