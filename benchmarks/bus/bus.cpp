// Whether a publish notices how many subscriptions a bus has.
#include "millrace/bus/bus.hpp"

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/bus/named_topic.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"
#include "support/flow.hpp"
#include "support/later.hpp"
#include "support/results.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using flow::check;

constexpr std::size_t capacity = 4096;
constexpr std::uint64_t lap = capacity / 2;

/// Publishes laps, and has each of them handled when it is there. Nanoseconds a publish, of the median lap.
template <class Topic>
double publish_laps(Topic& to, later& workers, std::uint64_t messages) {
  std::vector<double> laps;
  for (std::uint64_t i = 0; i <= messages / lap; ++i) {
    const auto begin = stopwatch::now();
    for (std::uint64_t k = i * lap + 1; k <= (i + 1) * lap; ++k) {
      if (to.publish(k) != millrace::outcome::ok) check(false, "a message was refused");
    }
    laps.push_back(flow::nanoseconds_each(begin, lap));
    workers.run();
  }
  return quantile(laps, 0.5);
}
void verify(std::uint64_t sum, std::uint64_t messages, std::size_t matches) {
  const std::uint64_t n = (messages / lap + 1) * lap;
  check(sum == matches * (n * (n + 1) / 2), "not every message was handled once by each group");
}

void subscribe(millrace::bus& to, const std::string& pattern, std::string_view group, std::uint64_t& sum) {
  const absl::Status s = to.subscribe<word>(pattern, group, [&sum](const word& v) { sum += v; });
  if (!s.ok()) throw std::runtime_error(s.ToString());
}

/// Patterns that match the topic, in turn.
std::string matching(std::size_t i) {
  static const std::vector<std::string> patterns{"orders.*", "orders.>", "*.paid", ">"};
  return patterns[i % patterns.size()];
}
std::string name(const char* prefix, std::size_t i) {
  std::string s = prefix;
  return s += std::to_string(i);
}

class crowded_bus {
 public:
  explicit crowded_bus(std::size_t others) {
    for (std::size_t i = 0; i < others; ++i) {
      subscribe(bus_, i % 2 == 0 ? name("elsewhere.", i) + ".*" : name("*.elsewhere.", i) + ".>", "far away",
                sum_);
    }
    if (const absl::Status s = bus_.start(); !s.ok()) throw std::runtime_error(s.ToString());
  }
  double publish(std::size_t matches, std::uint64_t messages) {
    for (std::size_t i = 0; i < matches; ++i) subscribe(bus_, matching(i), name("g", i), sum_);
    const auto orders = bus_.topic<word>("orders.paid", {.capacity = capacity});
    if (!orders.ok()) throw std::runtime_error(orders.status().ToString());
    const double ns = publish_laps(**orders, workers_, messages);
    verify(sum_, messages, matches);
    return ns;
  }
  /// Microseconds to subscribe, and to make a topic.
  std::vector<double> make() {
    constexpr std::size_t some = 100;
    constexpr double micro = 1e-3;
    auto begin = stopwatch::now();
    for (std::size_t i = 0; i < some; ++i) subscribe(bus_, name("here.", i) + ".*", "one", sum_);
    const double subscribing = micro * flow::nanoseconds_each(begin, some);
    for (std::size_t i = 0; i < some; ++i) subscribe(bus_, name("here.", i) + ".>", "two", sum_);
    begin = stopwatch::now();
    for (std::size_t i = 0; i < some; ++i) {
      if (!bus_.topic<word>(name("here.", i) + ".there").ok()) check(false, "there is no such topic");
    }
    const double making = micro * flow::nanoseconds_each(begin, some);
    check(bus_.snapshot().topics.size() == some, "there are other topics");
    return {subscribing, making};
  }

 private:
  later workers_;
  std::uint64_t sum_ = 0;
  millrace::bus bus_{{.name = "bench", .executor = &workers_}};
};

/// A topic with as many groups, and no bus.
double publish_without(std::size_t matches, std::uint64_t messages) {
  later workers;
  std::uint64_t sum = 0;
  millrace::timer_service timers;
  millrace::topic<word> orders(capacity);
  std::vector<millrace::consumer_group<millrace::topic<word>>> groups;
  for (std::size_t i = 0; i < matches; ++i) {
    groups.push_back(orders.group(name("g", i)));
    groups.back().run_on(millrace::post_to{workers}, timers, 1, [&sum](const word& v) { sum += v; });
  }
  workers.run();
  const double ns = publish_laps(orders, workers, messages);
  verify(sum, messages, matches);
  orders.close();
  workers.run();
  for (auto& g : groups) g.stop();
  return ns;
}

}  // namespace

void bench::add_bus(suite& s) {
  const char* ours = "millrace::bus, among 10,000 subscriptions";
  const char* alone = "millrace::bus, no other subscription";
  const std::vector<std::pair<std::size_t, std::pair<const char*, role>>> rows{
      {10'000, {ours, role::ours}},
      {100, {"millrace::bus, among 100", role::variant}},
      {0, {alone, role::variant}},
  };
  constexpr std::uint64_t enough = 500'000;
  for (const std::size_t matches : {0U, 1U, 8U}) {
    const table_column column{
        matches == 0 ? "no match" : name("", matches) + (matches == 1 ? " match" : " matches"), "ns"};
    for (const auto& row : rows) {
      const auto take = [others = row.first, matches](std::uint64_t messages) {
        return std::vector{crowded_bus(others).publish(matches, messages)};
      };
      s.flow.push_back(
          {flow::publish_table, {column}, row.second.first, row.second.second, take, false, enough});
    }
    s.flow.push_back(
        {flow::publish_table,
         {column},
         "millrace::topic with these groups",
         role::reference,
         [matches](std::uint64_t messages) { return std::vector{publish_without(matches, messages)}; },
         false,
         enough});
  }
  for (const auto& row : rows) {
    s.flow.push_back({flow::subscribe_table,
                      {{"subscribe", "us"}, {"make a topic", "us"}},
                      row.second.first,
                      row.second.second,
                      [others = row.first](std::uint64_t) { return crowded_bus(others).make(); },
                      false});
  }
  s.flow_targets.push_back({flow::publish_table, 0.9, {alone}});
}
