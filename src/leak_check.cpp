#include "millrace/testing/leak_check.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>

namespace millrace {
inline namespace v0 {
namespace testing {
namespace {

/// "1 in flight, 2 parked"; empty: nothing is left.
class list {
 public:
  void add(std::uint64_t n, std::string_view what) {
    if (n != 0) fmt::format_to(std::back_inserter(text_), "{}{} {}", text_.empty() ? "" : ", ", n, what);
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

std::string left_in(const group_stats& s) {
  list l;
  l.add(s.backlog, "to take");
  l.add(s.ready, "to deliver");
  l.add(s.behind, "behind others of their key");
  l.add(s.in_flight, "in flight");
  l.add(s.waiting, "waiting for a retry or their time");
  l.add(s.parked, "parked");
  l.add(s.missed, "missed");
  return l.text();
}

std::string left_in(const topic_info& t) {
  list l;
  l.add(t.delayed, "to be published later");
  l.add(t.dropped, "dropped, which were to be published later");
  return l.text();
}

}  // namespace

verdict expect_all_settled(const bus_info& bus) {
  std::string text;
  const auto add = [&](const std::string& what, const std::string& left) {
    if (!left.empty())
      fmt::format_to(std::back_inserter(text), "{}{} has {}", text.empty() ? "" : "; ", what, left);
  };
  for (const topic_info& t : bus.topics) {
    add(fmt::format("topic \"{}\"", t.name), left_in(t));
    for (const group_info& g : t.groups) {
      add(fmt::format("group \"{}\" on \"{}\"", g.name, t.name), left_in(g.stats));
    }
  }
  const bool is_settled = text.empty();
  return {is_settled, fmt::format("bus \"{}\": {}", bus.name, is_settled ? "everything is settled" : text)};
}

verdict expect_all_settled(std::string_view group, const group_stats& stats) {
  const std::string left = left_in(stats);
  return {left.empty(), left.empty() ? fmt::format("group \"{}\": everything is settled", group)
                                     : fmt::format("group \"{}\" has {}", group, left)};
}

}  // namespace testing
}  // namespace v0
}  // namespace millrace
