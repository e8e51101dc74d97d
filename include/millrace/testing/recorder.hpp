// millrace/testing/recorder.hpp - what is published on a topic from now on, kept for a test to look at.
//
// It is a reader like any other, that reads when it is asked, so that it changes nothing about what is tested: no task, no group, and
// no publisher waits for it.
//
// Use it when : a test wants to see what has been published, by part, or in order with what follows.
// Use instead : expect_published(bus, name, ...), for one look at what a topic still keeps.
// Threads     : one at a time. Publishers may be others.
// Order       : that of the log.
// Progress    : reads what is there, and does not wait.
// Errors      : what is published in between, and is more than the topic's capacity, is lost to it: missed() counts it, and every
//               expectation then fails. Look more often, or give the topic more capacity.
// Exceptions  : std::invalid_argument for a bus that has no such topic and can make none (a bad name, or another type); std::bad_alloc;
//               what copying a message throws.
// Memory      : a copy of each message, or what is kept of it.
// Cost        : a copy of each message.
// Source      : ours.
// Checked by  : tests/testing/recorder_test.cpp
//
// Example:
//   millrace::testing::recorder<order> paid(t.bus(), "orders.paid");
//   millrace::testing::recorder<parcel, int> numbers(parcels, &parcel::number);   // which cannot be copied
//   ...
//   CHECK(paid.messages() == std::vector<order>{{.id = 7}});
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/bus/bus.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/function.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

/// `Kept` is what it keeps of each T.
template <class T, class Kept = T>
class recorder {
 public:
  using value_type = T;
  using kept_type = Kept;
  using projection = function<Kept(const T&)>;

  /// The topic must outlive it.
  template <producers Producers, clock Clock, class Sync>
  explicit recorder(topic<T, Producers, Clock, Sync>& of, projection keep = as_it_is())
      : recorder("the topic", reading(of, std::move(keep))) {}
  /// The topic of that name, made if there is none; the bus must outlive it.
  template <clock Clock>
  recorder(basic_bus<Clock>& bus, std::string_view name, projection keep = as_it_is())
      : recorder('"' + std::string(name) + '"', reading(named(bus, name), std::move(keep))) {}

  /// All since it was made, or clear().
  [[nodiscard]] const std::vector<Kept>& messages() const {
    reader_->pull(messages_);
    return messages_;
  }
  [[nodiscard]] std::size_t size() const { return messages().size(); }
  void clear() {
    reader_->pull(messages_);
    messages_.clear();
  }
  /// How many it has not got, as the topic did not keep them long enough.
  [[nodiscard]] std::uint64_t missed() const {
    reader_->pull(messages_);
    return reader_->missed();
  }
  /// For messages.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  struct reader {
    virtual ~reader() = default;
    virtual void pull(std::vector<Kept>& to) = 0;
    [[nodiscard]] virtual std::uint64_t missed() const = 0;
  };
  template <class Topic>
  struct reader_of final : reader {
    reader_of(Topic& of, projection k)
        : from(of.subscribe({.when_full = overrun::drop_oldest})), keep(std::move(k)) {}
    void pull(std::vector<Kept>& to) override {
      while (const T* const message = from.try_next()) to.push_back(keep(*message));
    }
    [[nodiscard]] std::uint64_t missed() const override { return from.missed(); }

    typename Topic::subscription from;
    projection keep;
  };

  recorder(std::string name, std::unique_ptr<reader> reads)
      : name_(std::move(name)), reader_(std::move(reads)) {}

  template <class Topic>
  static std::unique_ptr<reader> reading(Topic& of, projection keep) {
    return std::make_unique<reader_of<Topic>>(of, std::move(keep));
  }
  static projection as_it_is() {
    static_assert(std::constructible_from<Kept, const T&>,
                  "recorder: T cannot be copied to what is kept: give a projection");
    return [](const T& message) { return Kept(message); };
  }
  template <class Bus>
  static auto& named(Bus& bus, std::string_view name) {
    auto found = bus.template topic<T>(name);
    if (!found.ok()) detail::fail<std::invalid_argument>(std::string(found.status().message()).c_str());
    return **found;
  }

  std::string name_;
  std::unique_ptr<reader> reader_;
  mutable std::vector<Kept> messages_;
};

}  // namespace testing
}  // namespace v0
}  // namespace millrace
