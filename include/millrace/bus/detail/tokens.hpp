// The tokens of a subject or a pattern, one after the other.
#pragma once

#include <cstddef>
#include <string_view>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

inline constexpr std::string_view any_token = "*";
inline constexpr std::string_view all_the_rest = ">";

class subject_tokens {
 public:
  explicit subject_tokens(std::string_view text) noexcept : rest_(text) {}
  [[nodiscard]] bool is_empty() const noexcept { return ended_; }
  /// It must not be empty.
  std::string_view take() noexcept {
    const std::size_t dot = rest_.find('.');
    const std::string_view first = rest_.substr(0, dot);
    ended_ = dot == std::string_view::npos;
    if (!ended_) rest_.remove_prefix(dot + 1);
    return first;
  }

 private:
  std::string_view rest_;
  bool ended_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
