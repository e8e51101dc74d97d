#include "millrace/bus/subject.hpp"

#include <fmt/format.h>

#include "millrace/bus/detail/tokens.hpp"

namespace millrace {
inline namespace v0 {
namespace {

using detail::all_the_rest;
using detail::any_token;
using detail::subject_tokens;

bool is_wild(std::string_view token) { return token == any_token || token == all_the_rest; }

bool is_printable(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code > 0x20 && code != 0x7f;
}

absl::Status refused(const char* what, std::string_view text, std::string_view rule) {
  // why cut: it may be anything, also a whole file
  return absl::InvalidArgumentError(
      fmt::format("{} \"{}\": {}", what, text.substr(0, longest_subject), rule));
}

absl::Status check(const char* what, std::string_view text, bool may_be_wild) {
  if (text.empty() || text.size() > longest_subject) {
    return refused(what, text, fmt::format("must be 1 to {} characters", longest_subject));
  }
  for (subject_tokens left(text); !left.is_empty();) {
    const std::string_view token = left.take();
    if (token.empty()) return refused(what, text, "tokens, which have dots between them, must not be empty");
    for (const char c : token) {
      if (!is_printable(c)) return refused(what, text, "must have neither spaces nor control characters");
    }
    if (token.find_first_of("*>") == std::string_view::npos) continue;
    if (!may_be_wild) return refused(what, text, "must have no wildcards, * and >; a pattern may");
    if (!is_wild(token)) return refused(what, text, "the wildcards * and > must be tokens of their own");
    if (token == all_the_rest && !left.is_empty()) return refused(what, text, "> must be the last token");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status check_subject(std::string_view subject) { return check("subject", subject, false); }
absl::Status check_pattern(std::string_view pattern) { return check("pattern", pattern, true); }

bool matches(std::string_view pattern, std::string_view subject) noexcept {
  subject_tokens wanted(pattern);
  subject_tokens given(subject);
  while (!wanted.is_empty() && !given.is_empty()) {
    const std::string_view w = wanted.take();
    if (w == all_the_rest) return true;
    const std::string_view g = given.take();
    if (w != any_token && w != g) return false;
  }
  return wanted.is_empty() && given.is_empty();
}

bool is_subject(std::string_view pattern) noexcept {
  return pattern.find_first_of("*>") == std::string_view::npos;
}

}  // namespace v0
}  // namespace millrace
