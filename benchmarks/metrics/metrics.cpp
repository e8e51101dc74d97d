// What it costs to count, alone and on the way of a message.
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "millrace/bus/bus.hpp"
#include "millrace/bus/export_metrics.hpp"
#include "millrace/metrics/counter.hpp"
#include "millrace/metrics/exposition.hpp"
#include "millrace/metrics/histogram.hpp"
#include "millrace/metrics/metric_registry.hpp"
#include "millrace/metrics/names.hpp"
#include "support/flow.hpp"
#include "support/later.hpp"
#include "support/results.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using flow::check;

// --- instruments ---

struct counting {
  static constexpr const char* column = "counter";
  void note(std::uint64_t) noexcept { all.add(); }
  [[nodiscard]] std::uint64_t noted() const { return all.value(); }
  millrace::counter all;
};
struct atomic_counting {
  static constexpr const char* column = "counter";
  void note(std::uint64_t) noexcept { all.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t noted() const { return all.load(); }
  std::atomic<std::uint64_t> all{0};
};
struct recording {
  static constexpr const char* column = "histogram";
  void note(std::uint64_t i) noexcept { all.record(i * 0x9E3779B97F4A7C15U >> 50); }
  [[nodiscard]] std::uint64_t noted() const { return all.snapshot().count(); }
  millrace::histogram all;
};

template <class C>
double sample_instrument(unsigned threads, std::uint64_t n) {
  const auto one = std::make_unique<C>();
  const bodies all(threads, [&](tally&) {
    for (std::uint64_t i = 0; i < n; ++i) one->note(i);
  });
  const double ns = 1e9 * race(all) / static_cast<double>(n);
  check(one->noted() == threads * n, "not all was counted");
  return ns;
}

template <class C>
void enter_instrument(suite& s, const char* name, role as) {
  for (const unsigned threads : {1U, 2U}) {
    const std::string title =
        std::string(C::column) + ", " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
    s.flow.push_back({flow::instruments_table, {{title, "ns"}}, name, as, [threads](std::uint64_t n) {
                        return std::vector{sample_instrument<C>(threads, n)};
                      }});
  }
}

// --- on the way of a message ---

constexpr std::size_t capacity = 4096;

/// with: as a program does that is scraped. counted_by_hand: and its handler counts and records for itself.
enum class metrics : unsigned char { without, with, counted_by_hand };

/// A topic, a group, and who looks at them.
class shop {
 public:
  /// `workers`: nullptr: a thread of the bus's own.
  shop(metrics how, millrace::executor* workers, std::uint64_t messages)
      : how_(how), messages_(messages), bus_(options(workers), hooks()) {
    millrace::subscribe_options<word> chosen;
    if (how_ != metrics::without) {
      times_.emplace(registry_, "orders.paid", "billing");
      throw_if_bad(times_->status());
      chosen.group = [this](auto& g) { g.observer = &*times_; };
      exported_ = millrace::export_metrics(bus_, registry_);
    }
    if (how_ == metrics::counted_by_hand) {
      throw_if_bad(bus_.subscribe<word>("orders.paid", "billing", std::move(chosen), [this](const word& v) {
        sent_.add();
        sizes_.record(v & 1023);
        handle(v);
      }));
    } else {
      throw_if_bad(bus_.subscribe<word>("orders.paid", "billing", std::move(chosen),
                                        [this](const word& v) { handle(v); }));
    }
    throw_if_bad(bus_.start());
    auto orders = bus_.topic<word>("orders.paid", {.capacity = capacity});
    throw_if_bad(orders.status());
    orders_.emplace(*std::move(orders));
  }

  void publish(std::uint64_t first, std::uint64_t n) {
    auto& to = **orders_;
    for (std::uint64_t i = first; i < first + n; ++i) {
      if (to.publish(i) != millrace::outcome::ok) check(false, "a message was refused");
    }
  }
  /// Somebody scrapes.
  void look() {
    if (how_ != metrics::without)
      check(!millrace::to_prometheus(registry_).empty(), "there is nothing to see");
  }
  void await_all() { all_handled_.acquire(); }
  void verify() {
    bus_.stop();
    check(handled_ == messages_ && sum_ == messages_ * (messages_ + 1) / 2,
          "not every message was handled once");
    if (how_ == metrics::without) return;
    const millrace::metric_collection all = registry_.collect();
    check(all.errors.empty(), "a metric was left out");
    std::uint64_t counted = 0;
    for (const millrace::metric_family& f : all.families) {
      if (f.name != millrace::names::process_duration.name) continue;
      for (const millrace::metric_sample& one : f.samples) counted += one.distribution.count();
    }
    check(counted == messages_, "not every message was counted");
  }

 private:
  static void throw_if_bad(const absl::Status& s) {
    if (!s.ok()) throw std::runtime_error(s.ToString());
  }
  static millrace::bus_options options(millrace::executor* workers) {
    return {.name = "bench", .workers = workers == nullptr ? 1U : 0U, .executor = workers};
  }
  millrace::bus::timer_service::hooks hooks() {
    if (how_ == metrics::without) return {};
    return {.on_fire = millrace::record_lateness(registry_).value()};
  }
  /// By one thread at a time.
  void handle(word v) {
    sum_ += v;
    if (++handled_ == messages_) all_handled_.release();
  }

  const metrics how_;
  const std::uint64_t messages_;
  std::uint64_t handled_ = 0;
  word sum_ = 0;
  std::binary_semaphore all_handled_{0};
  millrace::metric_registry registry_;
  millrace::counter sent_;
  millrace::histogram sizes_;
  std::optional<millrace::handler_times> times_;
  millrace::bus bus_;
  std::optional<millrace::named_topic<word>> orders_;
  millrace::sample_source exported_;
};

/// A thread publishes and handles in turn, so that neither waits for the other. Of the median turn, as a few in a hundred are so
/// few that what else runs on the machine would be seen before them.
double sample_in_turn(metrics how, std::uint64_t messages) {
  constexpr std::uint64_t lap = capacity / 2;
  const std::uint64_t laps = messages / lap + 1;
  later workers;
  const auto one = std::make_unique<shop>(how, &workers, laps * lap);
  std::vector<double> took;
  for (std::uint64_t i = 0; i < laps; ++i) {
    const auto begin = stopwatch::now();
    one->publish(i * lap + 1, lap);
    workers.run();
    took.push_back(flow::nanoseconds_each(begin, lap));
    if (i == laps / 2) one->look();
  }
  one->verify();
  return quantile(took, 0.5);
}
/// One publishes, and another one handles. Who scrapes does so afterwards: once in a sample would be a hundred times a second.
double sample_beside(metrics how, std::uint64_t messages) {
  const auto one = std::make_unique<shop>(how, nullptr, messages);
  const auto begin = stopwatch::now();
  one->publish(1, messages);
  one->await_all();
  const double ns = flow::nanoseconds_each(begin, messages);
  one->look();
  one->verify();
  return ns;
}

void enter(suite& s, metrics how, const char* name, role as) {
  s.flow.push_back({flow::overhead_table, {{"in turn", "ns"}}, name, as, [how](std::uint64_t n) {
                      return std::vector{sample_in_turn(how, n)};
                    }});
  s.flow.push_back({flow::overhead_table, {{"two threads", "ns"}}, name, as, [how](std::uint64_t n) {
                      return std::vector{sample_beside(how, n)};
                    }});
}

}  // namespace

void bench::add_metrics(suite& s) {
  enter_instrument<counting>(s, "millrace::counter, histogram", role::ours);
  enter_instrument<recording>(s, "millrace::counter, histogram", role::ours);
  enter_instrument<atomic_counting>(s, "one std::atomic", role::reference);

  const char* without = "without metrics";
  enter(s, metrics::with, "with metrics", role::ours);
  enter(s, metrics::without, without, role::variant);
  enter(s, metrics::counted_by_hand, "with metrics, and a counter and a histogram in the handler",
        role::variant);
  s.flow_targets.push_back({flow::overhead_table, 0.95, {without}});
}
