// What tells the types of messages apart, and names them, where there is no RTTI.
#pragma once

#include <cstddef>
#include <string_view>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T>
[[nodiscard]] constexpr std::string_view spelled() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
  return __FUNCSIG__;
#else
  return __PRETTY_FUNCTION__;
#endif
}
/// As the compiler spells it: what stands in the function's name where `double` would.
template <class T>
[[nodiscard]] constexpr std::string_view name_of_type() noexcept {
  constexpr std::string_view known = "double";
  constexpr std::string_view with_known = spelled<double>();
  constexpr std::size_t before = with_known.find(known);
  constexpr std::size_t behind = with_known.size() - before - known.size();
  constexpr std::string_view all = spelled<T>();
  // g++ explains its std::string_view behind it, once for each function
  return all.substr(before, all.size() - before - behind);
}

template <class T>
inline constexpr char address_of_type = 0;

struct type_tag {
  const char* address;
  std::string_view name;

  // why the name, too: shared libraries may have each an address of its own for one type. In unnamed namespaces two types may have
  // one name, so these go by the address alone.
  friend bool operator==(const type_tag& a, const type_tag& b) noexcept {
    return a.address == b.address || (a.name == b.name && a.name.find("anonymous") == std::string_view::npos);
  }
};

template <class T>
[[nodiscard]] constexpr type_tag type_tag_of() noexcept {
  return {&address_of_type<T>, name_of_type<T>()};
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
