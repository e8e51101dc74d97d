// millrace/metrics/metric_registry.hpp - all metrics of a program in one place, for whoever shows them.
//
// Use it when : somebody outside is to see what counters, gauges and histograms say; and what is kept anyway, as the
//               statistics of a consumer group, which a source gives when it is asked.
// Use instead : a counter, gauge or histogram by itself, which need no registry.
// Threads     : any number, at any time. A source is called by the thread that collects, by one at a time.
// Order       : a collection is not of one moment: each number is read for itself. Families are sorted by name, samples by
//               labels; where two sources disagree, what was added earlier counts, and what is added comes first.
// Progress    : blocking: all verbs take a lock, held while the registry's own numbers are read. A source is called under
//               none but one of its own, which only another collect and the removal of that source wait for.
// Errors      : InvalidArgument names the argument and the rule; AlreadyExists names both types. What a source says wrong
//               is left out and reported among the errors of the collection, as a source that throws.
// Exceptions  : std::bad_alloc.
// Memory      : a map entry for each series, with its instrument, for as long as the registry is there; a collection is
//               a copy. What comes and goes is better a source.
// Cost        : none for those who count. collect: about a microsecond for a counter or a gauge, 4 for a histogram.
// Source      : ours; pulled metrics are the collectors of Prometheus' client libraries and OpenTelemetry's asynchronous
//               instruments, names are checked by the rules of Prometheus' data model.
// Checked by  : tests/metrics/metric_registry_test.cpp
//
// Example:
//   millrace::metric_registry all;
//   millrace::counter& sent = **all.add_counter({"mails_sent_total", "Mails that were sent."}, {{"kind", "receipt"}});
//   const millrace::sample_source depth = all.add_source([&](millrace::sample_sink& sink) {
//     sink.gauge({"mails_waiting", "Mails that wait to be sent."}, {}, outbox.size());
//   });  // until `depth` goes
//   std::string text = millrace::to_prometheus(all);
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/metrics/counter.hpp"
#include "millrace/metrics/gauge.hpp"
#include "millrace/metrics/histogram.hpp"
#include "millrace/metrics/histogram_snapshot.hpp"
#include "millrace/metrics/metric.hpp"

namespace millrace {
inline namespace v0 {

namespace detail {
class metric_collector;
struct metric_source;
struct metric_registry_state;
}  // namespace detail

/// Where a source says what it has, for as long as it is called.
class sample_sink {
 public:
  sample_sink(const sample_sink&) = delete;
  sample_sink& operator=(const sample_sink&) = delete;

  /// What has been counted since the beginning: any number that is not negative.
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void counter(const metric& what, label_set labels, Number value) {
    number(metric_type::counter, what, std::move(labels), static_cast<double>(value));
  }
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void gauge(const metric& what, label_set labels, Number value) {
    number(metric_type::gauge, what, std::move(labels), static_cast<double>(value));
  }
  void histogram(const metric& what, label_set labels, histogram_snapshot distribution,
                 const histogram_scale& scale = in_seconds);

 private:
  friend class metric_registry;
  explicit sample_sink(detail::metric_collector& to) noexcept : to_(to) {}
  void number(metric_type type, const metric& what, label_set labels, double value);

  detail::metric_collector& to_;
};

/// A source's place in a registry, which may be gone already.
class [[nodiscard]] sample_source {
 public:
  sample_source() noexcept = default;
  sample_source(sample_source&&) noexcept = default;
  sample_source& operator=(sample_source&& other) noexcept {
    if (this != &other) {
      remove();
      entry_ = std::move(other.entry_);
    }
    return *this;
  }
  /// As remove().
  ~sample_source() { remove(); }

  /// The callable is not called any more, nor just being called, and destroyed. Idempotent. Not from within the callable,
  /// and not while the caller holds what the callable waits for.
  void remove() noexcept;

 private:
  friend class metric_registry;
  explicit sample_source(std::shared_ptr<detail::metric_source> entry) noexcept : entry_(std::move(entry)) {}

  std::shared_ptr<detail::metric_source> entry_;
};

struct metric_collection {
  std::vector<metric_family> families;
  /// One for every sample that was left out, and for every source that threw. If there is any, families has
  /// millrace_scrape_errors with their number.
  std::vector<absl::Status> errors;
};

class metric_registry {
 public:
  metric_registry();
  metric_registry(const metric_registry&) = delete;
  metric_registry& operator=(const metric_registry&) = delete;
  ~metric_registry();

  /// The instrument of that name and labels, new or known, never null; it lives as long as the registry. The name of a
  /// counter ends in _total. The first help that a name was given stays.
  [[nodiscard]] absl::StatusOr<counter*> add_counter(const metric& what, label_set labels = {});
  [[nodiscard]] absl::StatusOr<gauge*> add_gauge(const metric& what, label_set labels = {});
  [[nodiscard]] absl::StatusOr<histogram*> add_histogram(const metric& what, label_set labels = {},
                                                         const histogram_scale& scale = in_seconds);

  /// `give` is called in every collect until the result goes. It may add to the registry, but not collect.
  sample_source add_source(function<void(sample_sink&)> give);

  [[nodiscard]] metric_collection collect() const;

 private:
  std::unique_ptr<detail::metric_registry_state> state_;
};

}  // namespace v0
}  // namespace millrace
