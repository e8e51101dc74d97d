// Whether a callable is none.
#pragma once

#include <cstddef>
#include <type_traits>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// A null pointer, to a function or a member; or an empty `function`, std::function or the like, that is, whatever can be made of
/// nullptr and equals it.
// why made of, too: a lambda without captures can be compared, as the pointer that it turns into
template <class F>
[[nodiscard]] constexpr bool is_null(const F& f) noexcept {
  if constexpr (std::is_constructible_v<F, std::nullptr_t> && requires { f == nullptr; }) {
    return f == nullptr;
  } else {
    return false;
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
