// What a push may do with its arguments once it has made a value from them and then cannot keep its place.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T, class... Args>
struct arguments {
  static constexpr bool one_value =
      sizeof...(Args) == 1 && (std::is_same_v<std::remove_cvref_t<Args>, T> && ...);
  static constexpr bool one_rvalue = one_value && (std::is_same_v<std::remove_reference_t<Args>, T> && ...) &&
                                     (!std::is_lvalue_reference_v<Args> && ...);
  /// Construction leaves them as they were.
  static constexpr bool spared =
      ((std::is_lvalue_reference_v<Args> || std::is_trivially_copyable_v<std::remove_cvref_t<Args>>) && ...);

  /// Whoever is to try again is given a copy, and not where they are.
  // why: a call that may look at them keeps the value in memory, however seldom it is made. It is written there in small
  // pieces and read from there in larger ones, for which the processor waits until all its writes are done.
  static constexpr bool passed_as_copy =
      one_value && std::is_trivially_copyable_v<T> && sizeof(T) <= 2 * cache_line_size;

  /// Puts `value` back where it came from. False: impossible.
  static bool give_back(T&& value, std::remove_reference_t<Args>&... args) {
    if constexpr (one_rvalue && std::is_move_assignable_v<T>) {
      ((args = std::move(value)), ...);
      return true;
    } else if constexpr (one_rvalue && std::is_nothrow_move_constructible_v<T>) {
      (std::destroy_at(&args), ...);
      (std::construct_at(&args, std::move(value)), ...);
      return true;
    } else {
      (static_cast<void>(args), ...);
      return spared;
    }
  }
  /// Does that, and knows nothing of them if they were spared.
  static auto giving_back(std::remove_reference_t<Args>&... args) {
    if constexpr (spared) {
      (static_cast<void>(args), ...);
      return [](T&&) { return true; };
    } else {
      return [&](T&& value) { return give_back(std::move(value), args...); };
    }
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
