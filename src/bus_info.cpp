#include "millrace/bus/bus_info.hpp"

#include <fmt/format.h>

#include <chrono>
#include <iterator>

namespace millrace {
inline namespace v0 {
namespace {

using buffer = std::back_insert_iterator<std::string>;

const char* plural(std::size_t n) { return n == 1 ? "" : "s"; }

void write(buffer out, const group_info& g) {
  const group_stats& s = g.stats;
  fmt::format_to(
      out, "    group {} ({}), {} worker{}: backlog {}, ready {}, behind {}, in flight {}, waiting {}",
      g.name, g.pattern, g.workers, plural(g.workers), s.backlog, s.ready, s.behind, s.in_flight, s.waiting);
  fmt::format_to(out, "; acked {}, dead {}, parked {}, missed {}; blocked by {}\n", s.acked, s.dead, s.parked,
                 s.missed, to_string(s.blocked));
}

void write(buffer out, const topic_info& t) {
  fmt::format_to(out, "  topic {}, {}: capacity {}, published {}, kept from {}, {} bytes", t.name, t.type,
                 t.capacity, t.published, t.first_kept, t.bytes);
  if (t.blocked.count() != 0) {
    fmt::format_to(out, ", publishers blocked {:.3f} s", std::chrono::duration<double>(t.blocked).count());
  }
  if (t.delayed != 0) fmt::format_to(out, ", delayed {}", t.delayed);
  if (t.dropped != 0) fmt::format_to(out, ", dropped {}", t.dropped);
  fmt::format_to(out, "\n");
  for (const group_info& g : t.groups) write(out, g);
}

void write(buffer out, const subscription_info& s) {
  fmt::format_to(out, "  subscription {} by {}, {}: {} topic{}", s.pattern, s.group, s.type, s.topics,
                 plural(s.topics));
  if (!s.passed_over.empty()) {
    fmt::format_to(out, "; of another type, and passed over: {}", fmt::join(s.passed_over, ", "));
  }
  fmt::format_to(out, "\n");
}

}  // namespace

std::uint64_t unsettled(const bus_info& bus) noexcept {
  std::uint64_t n = 0;
  for (const topic_info& t : bus.topics) {
    for (const group_info& g : t.groups) n += unsettled(g.stats);
  }
  return n;
}

std::string to_string(const bus_info& bus) {
  std::string text;
  const buffer out(text);
  fmt::format_to(out, "bus {}, {}, ", bus.name, to_string(bus.state));
  if (bus.workers != 0) {
    fmt::format_to(out, "{} worker{}", bus.workers, plural(bus.workers));
  } else {
    fmt::format_to(out, "in the host's executor");
  }
  fmt::format_to(out, ": {} topic{}, {} subscription{}\n", bus.topics.size(), plural(bus.topics.size()),
                 bus.subscriptions.size(), plural(bus.subscriptions.size()));
  for (const topic_info& t : bus.topics) write(out, t);
  for (const subscription_info& s : bus.subscriptions) write(out, s);
  fmt::format_to(out, "  timers: {} error{}, {} skipped\n", bus.timer_errors, plural(bus.timer_errors),
                 bus.timers_skipped);
  return text;
}

}  // namespace v0
}  // namespace millrace
