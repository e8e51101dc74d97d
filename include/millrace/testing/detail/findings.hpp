// What an expectation has found among the messages of a topic, and its verdict on that.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "millrace/core/config.hpp"
#include "millrace/testing/verdict.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// As operator<< prints it; empty: it cannot be printed.
template <class T>
[[nodiscard]] std::string printed(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return '"' + std::string(std::string_view(value)) + '"';
  } else if constexpr (requires(std::ostream& to) { to << value; }) {
    std::ostringstream to;
    to << value;
    return to.str();
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::underlying_type_t<T>>(value));
  } else {
    return {};
  }
}

/// A predicate of the message, or what is equal to it.
template <class What, class Message>
[[nodiscard]] bool is_sought(What& what, const Message& message) {
  if constexpr (std::predicate<What&, const Message&>) {
    return std::invoke(what, message);
  } else {
    return static_cast<bool>(message == what);
  }
}
template <class Message, class What>
[[nodiscard]] std::string description(const What& what) {
  if constexpr (std::predicate<What&, const Message&>) {
    return "that the predicate accepts";
  } else if (const std::string text = printed(what); text.empty()) {
    return "equal to the one given";
  } else {
    return "equal to " + text;
  }
}

class findings {
 public:
  template <class Message>
  void note(const Message& message, bool is_sought) {
    if (is_sought) ++found_;
    if (++seen_ > most_listed) return;
    if (const std::string text = printed(message); !text.empty()) list_ += (list_.empty() ? "" : ", ") + text;
  }
  [[nodiscard]] std::size_t found() const noexcept { return found_; }

  /// `least` to `most` of them, `what`, on `where`, where `missed` have not been looked at. An empty `what`: anything.
  [[nodiscard]] testing::verdict count(std::string_view where, std::string_view what, std::size_t least,
                                       std::size_t most, std::uint64_t missed) const;
  /// `n` of them, described by `what`.
  [[nodiscard]] testing::verdict order(std::string_view where, std::string_view what, std::size_t n,
                                       std::uint64_t missed) const;

 private:
  static constexpr std::size_t most_listed = 8;

  [[nodiscard]] std::string all_seen(std::uint64_t missed) const;

  std::size_t seen_ = 0;
  std::size_t found_ = 0;
  std::string list_;  // of the first ones
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
