// A word that threads share without an atomic.
#pragma once

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Shared, but not atomic; what makes it visible stands elsewhere. A model check looks whether it does.
template <class T>
class plain_word {
 public:
  [[nodiscard]] T get() const noexcept { return value_; }
  void set(T v) noexcept { value_ = v; }

 private:
  T value_{};
};
template <class Sync, class T>
struct plain_of {
  using type = plain_word<T>;
};
template <class Sync, class T>
  requires requires { typename Sync::template plain<T>; }
struct plain_of<Sync, T> {
  using type = typename Sync::template plain<T>;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
