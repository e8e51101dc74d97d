// What a bus keeps, whatever the type of the messages: topics, subscriptions, and the groups that come of the two.
#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "millrace/bus/bus_info.hpp"
#include "millrace/bus/detail/type_tag.hpp"
#include "millrace/bus/options.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class topic_on_bus {
 public:
  topic_on_bus(std::string name, type_tag type, const named_topic_options& chosen)
      : name_(std::move(name)), type_(type), chosen_(chosen) {}
  topic_on_bus(const topic_on_bus&) = delete;
  topic_on_bus& operator=(const topic_on_bus&) = delete;
  virtual ~topic_on_bus() = default;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const type_tag& type() const noexcept { return type_; }
  [[nodiscard]] const named_topic_options& chosen() const noexcept { return chosen_; }
  virtual void close() noexcept = 0;
  [[nodiscard]] virtual std::uint64_t tail() const noexcept = 0;
  /// Capacity, what is published and kept, and bytes.
  virtual void look(topic_info& out) const = 0;
  /// A `dead_letters` whose topic this is, or nullptr.
  [[nodiscard]] virtual void* letters() noexcept { return nullptr; }

  std::atomic<std::uint64_t> delayed{0};
  std::atomic<std::uint64_t> dropped{0};
  /// Where its groups bury; gone after what derives from this. Guarded by the registry's mutex.
  std::vector<std::shared_ptr<topic_on_bus>> needs;

 private:
  const std::string name_;
  const type_tag type_;
  const named_topic_options chosen_;
};

class group_on_bus;

/// One call of bus::subscribe.
class subscription_on_bus {
 public:
  subscription_on_bus(std::string pattern, std::string group, type_tag type)
      : pattern_(std::move(pattern)), group_(std::move(group)), type_(type) {}
  subscription_on_bus(const subscription_on_bus&) = delete;
  subscription_on_bus& operator=(const subscription_on_bus&) = delete;
  virtual ~subscription_on_bus() = default;

  [[nodiscard]] const std::string& pattern() const noexcept { return pattern_; }
  [[nodiscard]] const std::string& group() const noexcept { return group_; }
  [[nodiscard]] const type_tag& type() const noexcept { return type_; }
  /// A group on that topic, which is of its type.
  [[nodiscard]] virtual absl::StatusOr<std::shared_ptr<group_on_bus>> make(topic_on_bus& on) = 0;

  enum class phase : std::uint8_t { reserved, ready, withdrawn };
  phase is = phase::reserved;            // \ guarded by the registry's mutex
  std::size_t topics = 0;                // |
  std::vector<std::string> passed_over;  // /

 private:
  const std::string pattern_;
  const std::string group_;
  const type_tag type_;
};

/// The handlers of one subscription, on one topic.
class group_on_bus {
 public:
  group_on_bus(topic_on_bus& on, subscription_on_bus& by) : on_(on), by_(by) {}
  group_on_bus(const group_on_bus&) = delete;
  group_on_bus& operator=(const group_on_bus&) = delete;
  virtual ~group_on_bus() = default;

  [[nodiscard]] topic_on_bus& on() const noexcept { return on_; }
  [[nodiscard]] subscription_on_bus& by() const noexcept { return by_; }
  [[nodiscard]] virtual group_stats stats() const = 0;
  [[nodiscard]] virtual std::size_t workers() const = 0;
  virtual void pause() = 0;
  /// As consumer_group's; `deadline` since the epoch of the topic's clock, or nanoseconds::max().
  [[nodiscard]] virtual outcome wait_until_settled(std::chrono::nanoseconds deadline,
                                                   const std::stop_token& stop) = 0;
  /// Once, and not after stop().
  void start() {
    const std::lock_guard lock(mutex_);
    if (phase_ != phase::made) return;
    phase_ = phase::running;
    run();
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    if (phase_ == phase::running) end();
    phase_ = phase::stopped;
  }

  std::shared_ptr<topic_on_bus> buries_in;  // nullptr: nowhere
  /// It is the bus's now; before, it ends the group when it goes.
  bool is_kept = false;

 private:
  virtual void run() = 0;
  virtual void end() = 0;

  enum class phase : std::uint8_t { made, running, stopped };
  topic_on_bus& on_;
  subscription_on_bus& by_;
  std::mutex mutex_;
  phase phase_ = phase::made;  // guarded by mutex_
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
