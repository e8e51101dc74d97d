// Options against their ranges: a status that names the field.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <string_view>

#include "millrace/bus/options.hpp"
#include "millrace/core/config.hpp"
#include "millrace/delivery/message.hpp"
#include "millrace/delivery/options.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// "bus: `field` must be `range`"
[[nodiscard]] absl::Status out_of_range(std::string_view field, std::string_view range);
[[nodiscard]] absl::Status check_options(const bus_options& chosen);
[[nodiscard]] absl::Status check_options(const named_topic_options& chosen);
[[nodiscard]] absl::Status check_workers(std::size_t workers);
[[nodiscard]] absl::Status check_options(const retry_policy& chosen);
/// Whether a topic with `there` may be asked for with `asked`.
[[nodiscard]] absl::Status check_same(std::string_view name, const named_topic_options& there,
                                      const named_topic_options& asked);

template <class Topic>
[[nodiscard]] absl::Status check_options(const group_options<Topic>& o) {
  if (o.max_in_flight < 1) return out_of_range("group.max_in_flight", "1 or more");
  if (o.max_waiting < 1) return out_of_range("group.max_waiting", "1 or more");
  if (o.lookahead < 1) return out_of_range("group.lookahead", "1 or more");
  if (o.ack_timeout <= o.ack_timeout.zero()) return out_of_range("group.ack_timeout", "more than 0");
  if (o.key && o.order != ordering::by_key) {
    return out_of_range("group.order", "ordering::by_key where group.key is given");
  }
  if (o.priority && !o.prioritized)
    return out_of_range("group.prioritized", "true where group.priority is given");
  if (o.prioritized && o.order == ordering::strict) {
    return out_of_range("group.prioritized", "false with group.order = ordering::strict");
  }
  if constexpr (!is_message<typename Topic::value_type>) {
    if (!o.key && o.order == ordering::by_key) {
      return out_of_range("group.key", "set with ordering::by_key where values are no message<T>");
    }
    if (!o.priority && o.prioritized)
      return out_of_range("group.priority", "set with group.prioritized where values are no message<T>");
  }
  if (o.when_full == overrun::disconnect)
    return out_of_range("group.when_full", "block, drop_oldest or drop_newest");
  return check_options(o.retry);
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
