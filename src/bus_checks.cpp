#include "millrace/bus/detail/bus_checks.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <string>

namespace millrace {
inline namespace v0 {
namespace detail {
namespace {

/// What is compared when a topic is asked for again; "" when they are the same.
template <class Value>
std::string difference(std::string_view field, const Value& there, const Value& asked) {
  if (there == asked) return {};
  return fmt::format("options.{} is {}, and not {}", field, there, asked);
}

}  // namespace

absl::Status out_of_range(std::string_view field, std::string_view range) {
  return absl::InvalidArgumentError(fmt::format("bus: {} must be {}", field, range));
}

absl::Status check_options(const bus_options& chosen) {
  if (chosen.executor != nullptr && chosen.workers != 0) {
    return out_of_range("options.workers", "0 where options.executor is given");
  }
  if (chosen.executor == nullptr && (chosen.workers < 1 || chosen.workers > thread_executor::most)) {
    return out_of_range("options.workers", "1 to 1024, or options.executor be given");
  }
  return absl::OkStatus();
}

absl::Status check_options(const named_topic_options& chosen) {
  constexpr std::size_t most = std::size_t{1} << 31;
  constexpr std::size_t most_segments = 32'768;
  if (chosen.capacity < 1 || chosen.capacity > most) return out_of_range("options.capacity", "1 to 2^31");
  if (chosen.log.keep.age < std::chrono::nanoseconds::zero())
    return out_of_range("options.log.keep.age", "0 or more");
  const std::size_t segment = chosen.log.segment;
  if (segment != 0 && (!std::has_single_bit(segment) || segment < 2 || segment > 65'536 ||
                       chosen.capacity / segment > most_segments)) {
    return out_of_range("options.log.segment",
                        "0, or a power of two, 2 to 65,536, and at least options.capacity / 32,768");
  }
  return absl::OkStatus();
}

absl::Status check_workers(std::size_t workers) {
  if (workers < 1 || workers > thread_executor::most) return out_of_range("options.workers", "1 to 1024");
  return absl::OkStatus();
}

absl::Status check_options(const retry_policy& chosen) {
  constexpr std::chrono::nanoseconds zero{0};
  if (chosen.attempts == 0) {
    return out_of_range("group.retry.attempts", "1 to 4294967294, or unlimited_attempts");
  }
  if (chosen.first <= zero) return out_of_range("group.retry.first", "more than 0");
  if (!std::isfinite(chosen.factor) || chosen.factor < 1) {
    return out_of_range("group.retry.factor", "1 or more, and finite");
  }
  if (chosen.most < chosen.first) return out_of_range("group.retry.most", "group.retry.first or more");
  if (std::isnan(chosen.jitter) || chosen.jitter < 0 || chosen.jitter > 1) {
    return out_of_range("group.retry.jitter", "0 to 1");
  }
  return absl::OkStatus();
}

absl::Status check_same(std::string_view name, const named_topic_options& there,
                        const named_topic_options& asked) {
  const retention& a = there.log.keep;
  const retention& b = asked.log.keep;
  for (const std::string& differs :
       {difference("capacity", there.capacity, asked.capacity),
        difference("log.keep.messages", a.messages, b.messages),
        difference("log.keep.bytes", a.bytes, b.bytes),
        difference("log.keep.age, in ns,", a.age.count(), b.age.count()),
        difference("log.wait", static_cast<int>(there.log.wait), static_cast<int>(asked.log.wait)),
        difference("log.stamp", static_cast<int>(there.log.stamp), static_cast<int>(asked.log.stamp)),
        difference("log.segment", there.log.segment, asked.log.segment)}) {
    if (!differs.empty()) {
      return absl::AlreadyExistsError(fmt::format("bus: topic \"{}\" is there, and its {}", name, differs));
    }
  }
  return absl::OkStatus();
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
