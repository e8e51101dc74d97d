// What a bus and a pipeline tell a registry, on a clock that the test moves: figures are exact.
#include "millrace/bus/export_metrics.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/pipeline.hpp"
#include "millrace/metrics/exposition.hpp"
#include "millrace/metrics/metric_registry.hpp"
#include "millrace/metrics/names.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/testing/step_executor.hpp"
#include "millrace/testing/stepped_bus.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
namespace names = millrace::names;
namespace label_names = millrace::label_names;

/// The sample of `what` whose label `by` is `value`.
std::optional<millrace::metric_sample> sample(const millrace::metric_registry& registry,
                                              const millrace::metric& what, std::string_view by = "",
                                              std::string_view value = "") {
  const auto all = registry.collect();
  for (const auto& e : all.errors) FAIL(std::string(e.message()));
  for (const auto& family : all.families) {
    if (family.name != what.name) continue;
    for (const auto& s : family.samples) {
      if (by.empty()) return s;
      for (const auto& l : s.labels) {
        if (l.name == by && l.value == value) return s;
      }
    }
  }
  return std::nullopt;
}
double value_of(const millrace::metric_registry& registry, const millrace::metric& what, std::string_view by,
                std::string_view value) {
  const auto s = sample(registry, what, by, value);
  REQUIRE(s);
  return s->value;
}

TEST_CASE("a bus tells what its topics and groups have") {
  millrace::metric_registry registry;
  millrace::handler_times times(registry, "orders.paid", "billing");
  REQUIRE(times.status().ok());
  millrace::testing::stepped_bus t;
  auto exported = millrace::export_metrics(t.bus(), registry);
  const auto orders = t->topic<int>("orders.paid").value();
  REQUIRE(t->subscribe<int>("orders.*", "billing",
                            {.group =
                                 [&](auto& g) {
                                   g.retry = {.attempts = 3, .first = 10s, .jitter = 0};
                                   g.observer = &times;
                                 }},
                            [&](int i) {
                              t.clock().advance(2ms);
                              if (i < 0) throw std::runtime_error("down");
                            })
              .ok());
  for (const int i : {1, 2, -3, 4}) REQUIRE(orders->try_publish(i) == outcome::ok);
  const auto of_group = [&](const millrace::metric& what) {
    return value_of(registry, what, label_names::consumer_group, "billing");
  };
  CHECK(of_group(names::group_lag) == 4);
  t.run_until_idle();
  CHECK(value_of(registry, names::sent_messages, label_names::destination, "orders.paid") == 4);
  CHECK(value_of(registry, names::topic_depth, label_names::destination, "orders.paid") == 4);
  CHECK(of_group(names::consumed_messages) == 4);
  CHECK(of_group(names::group_acked) == 3);
  CHECK(of_group(names::group_retry_waiting) == 1);
  CHECK(of_group(names::group_lag) == 0);
  CHECK(of_group(names::process_failures) == 1);
  t.clock().advance(5s);
  CHECK(of_group(names::group_lag_age) == Approx(5.008));

  t.advance(1min);
  CHECK(of_group(names::consumed_messages) == 6);
  CHECK(of_group(names::group_redelivered) == 2);
  CHECK(of_group(names::group_parked) == 1);
  CHECK(of_group(names::process_failures) == 3);
  const auto took = sample(registry, names::process_duration);
  REQUIRE(took);
  CHECK(took->distribution.count() == 6);
  CHECK(took->distribution.sum() == 12'000'000);

  const std::string page = millrace::to_prometheus(registry);
  CHECK(page.find("messaging_client_consumed_messages_total{messaging_consumer_group_name=\"billing\","
                  "messaging_destination_name=\"orders.paid\",messaging_system=\"millrace\"} 6\n") !=
        std::string::npos);
  exported.remove();
  CHECK_FALSE(sample(registry, names::sent_messages));
}

TEST_CASE("a bus tells how long publishers have waited, and what went wrong with timers") {
  millrace::metric_registry registry;
  millrace::bus_info b{.name = "shop", .timer_errors = 2, .timers_skipped = 3};
  b.topics.push_back({.name = "orders", .blocked = 1500ms});
  auto exported = registry.add_source([&](millrace::sample_sink& to) { millrace::give_samples(to, b); });
  CHECK(value_of(registry, names::publish_blocked, label_names::destination, "orders") == 1.5);
  CHECK(value_of(registry, names::timer_errors, label_names::bus, "shop") == 2);
  CHECK(value_of(registry, names::timers_skipped, label_names::bus, "shop") == 3);
}

TEST_CASE("a pipeline tells what its stages have") {
  manual_clock clock;
  millrace::basic_timer_service<manual_clock> timers(clock);
  millrace::testing::step_executor steps;
  millrace::channel<int> in(64);
  millrace::channel<int> out(64);
  millrace::basic_pipeline line("shop",
                                millrace::from(in)
                                    .stage("slow", {.workers = 3},
                                           [&](const int& i) {
                                             clock.advance(1s);
                                             return i;
                                           })
                                    .to(out),
                                steps, timers);
  millrace::metric_registry registry;
  const auto exported = millrace::export_metrics(line, registry);
  line.start();
  for (int i = 0; i < 5; ++i) REQUIRE(in.try_push(i) == outcome::ok);
  do {
    steps.run_until_idle();
    timers.poll(clock.now());
  } while (!steps.is_idle());
  CHECK(value_of(registry, names::stage_processed, label_names::stage, "slow") == 5);
  CHECK(value_of(registry, names::stage_busy, label_names::stage, "slow") == 5);
  CHECK(value_of(registry, names::stage_workers, label_names::stage, "slow") == 3);
  CHECK(value_of(registry, names::stage_depth, label_names::stage, "slow") == 0);
  CHECK(value_of(registry, names::stage_processed, label_names::pipeline, "shop") == 5);
}

TEST_CASE("how late timers are is recorded, and what comes before its time is not late") {
  millrace::metric_registry registry;
  manual_clock clock;
  {
    millrace::basic_timer_service<manual_clock> timers(
        clock, {.on_fire = millrace::record_lateness(registry).value()});
    timers.schedule_after(1ms, [] {});
    timers.schedule_after(3ms, [] {});
    timers.schedule_after(1h, [] {});
    clock.advance(4ms);
    timers.poll(clock.now());
    timers.stop(millrace::pending_timers::fire);
  }
  const auto late = sample(registry, names::timer_lateness);
  REQUIRE(late);
  CHECK(late->distribution.count() == 3);
  CHECK(late->distribution.sum() == 4'000'000);
}

TEST_CASE("a name that is taken by another kind of instrument is told of, and nothing is recorded") {
  millrace::metric_registry registry;
  REQUIRE(registry.add_gauge(names::process_duration).ok());
  REQUIRE(registry.add_gauge(names::timer_lateness).ok());
  millrace::handler_times times(registry, "t", "g");
  CHECK(times.status().code() == absl::StatusCode::kAlreadyExists);
  times.handled(1ms, 1);
  times.failed({}, 0, millrace::decision::retry());
  CHECK_FALSE(millrace::record_lateness(registry).ok());
}

}  // namespace
