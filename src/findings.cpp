#include "millrace/testing/detail/findings.hpp"

#include <fmt/format.h>

#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {
namespace {

std::string wanted(std::size_t least, std::size_t most) {
  if (least == most) return fmt::format("exactly {}", least);
  if (most == unlimited) return fmt::format("at least {}", least);
  if (least == 0) return fmt::format("at most {}", most);
  return fmt::format("{} to {}", least, most);
}

}  // namespace

testing::verdict findings::count(std::string_view where, std::string_view what, std::size_t least,
                                 std::size_t most, std::uint64_t missed) const {
  const bool holds = least <= found_ && found_ <= most && missed == 0;
  if (what.empty()) return {holds, fmt::format("{}: wanted no messages, found {}", where, all_seen(missed))};
  return {holds, fmt::format("{}: wanted {} message{} {}, found {} among {}", where, wanted(least, most),
                             least == 1 && most == 1 ? "" : "s", what, found_, all_seen(missed))};
}

testing::verdict findings::order(std::string_view where, std::string_view what, std::size_t n,
                                 std::uint64_t missed) const {
  return {found_ == n && missed == 0,
          fmt::format("{}: wanted in this order messages {}; found the first {} of {} among {}", where, what,
                      found_, n, all_seen(missed))};
}

std::string findings::all_seen(std::uint64_t missed) const {
  std::string text = fmt::format("{}", seen_);
  if (!list_.empty()) text += ": " + list_;
  if (!list_.empty() && seen_ > most_listed) text += ", ...";
  if (missed != 0) text += fmt::format("; and {} are not kept any more, so that nobody can tell", missed);
  return text;
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
