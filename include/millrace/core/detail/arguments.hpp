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
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
