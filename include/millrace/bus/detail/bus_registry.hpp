// The topics and subscriptions of a bus, and what has come of their patterns.
//
// A topic is seen by others only when the groups of all patterns that match it are there, and a subscription is done when its
// groups are on all topics that it matches. Groups are made without the mutex, as that calls the host's functions; who then
// finds that something has been added meanwhile makes what is missing, and looks again.
//
// Nothing is taken out before the bus goes.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/bus/bus_info.hpp"
#include "millrace/bus/detail/entries.hpp"
#include "millrace/bus/detail/type_tag.hpp"
#include "millrace/bus/options.hpp"
#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class bus_registry {
 public:
  explicit bus_registry(std::string bus_name);
  bus_registry(const bus_registry&) = delete;
  bus_registry& operator=(const bus_registry&) = delete;
  ~bus_registry();

  /// The topic of that name; nullptr: there is none, and one may be made. An error: it is of another type, or `chosen` are other
  /// options than its own, or are out of their range.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<topic_on_bus>> find(std::string_view name,
                                                                   const type_tag& type,
                                                                   const named_topic_options* chosen) const;
  /// `made`, or the one of that name that somebody else has made first.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<topic_on_bus>> add(const std::shared_ptr<topic_on_bus>& made,
                                                                  const named_topic_options* chosen);
  [[nodiscard]] absl::Status add(const std::shared_ptr<subscription_on_bus>& made);

  [[nodiscard]] bus_state state() const;
  /// From made to running. The groups are still to be started, those of this moment.
  [[nodiscard]] std::vector<std::shared_ptr<group_on_bus>> run();
  /// To stopped: nothing is added any more. False: it was before.
  bool stop() noexcept;
  /// Once it is stopped.
  [[nodiscard]] const std::vector<std::shared_ptr<topic_on_bus>>& topics() const noexcept;
  [[nodiscard]] const std::vector<std::shared_ptr<group_on_bus>>& groups() const noexcept;

  [[nodiscard]] std::vector<std::shared_ptr<group_on_bus>> groups_now() const;
  /// How many messages have been published on all topics together.
  [[nodiscard]] std::uint64_t published() const;
  /// Name, state, topics and subscriptions.
  void look(bus_info& out) const;
  /// Ok, if everything is settled; or the error of that code, and which groups have how many left.
  [[nodiscard]] absl::Status settled_or(absl::StatusCode code, std::string_view why) const;

 private:
  struct content;
  const std::unique_ptr<content> in_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
