// millrace/core/function.hpp - a callable held in place.
//
// Use it when : a component stores one callback and must not allocate for it.
// Use instead : a template parameter where the callable's type may show; `absl::AnyInvocable` on cold paths of
//               the compiled half, for callables of any size.
// Threads     : one at a time, as the callable itself.
// Order       : does not apply.
// Progress    : that of the callable.
// Errors      : a callable that is too large, over-aligned or may throw when moved does not compile. Calling an
//               empty function is undefined, as calling a null pointer is: test it first.
// Exceptions  : whatever the callable throws.
// Memory      : `Capacity` bytes in place and two pointers; never allocates.
// Cost        : one indirect call.
// Source      : std::move_only_function of C++23, less the allocation.
// Checked by  : tests/core/function_test.cpp
//
// Example:
//   millrace::function<void(int)> on_drop = [&](int v) { log(v); };
//   if (on_drop) on_drop(7);
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/is_null.hpp"

namespace millrace {
inline namespace v0 {

template <class Signature, std::size_t Capacity = 6 * sizeof(void*)>
class function;

/// Move-only, called through `operator()`. Empty, if it is made of a null pointer, or of a function object that is empty.
template <class Result, class... Args, std::size_t Capacity>
class function<Result(Args...), Capacity> {
 public:
  function() noexcept = default;
  function(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor): as a null pointer

  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, function> &&
             std::is_invocable_r_v<Result, std::decay_t<F>&, Args...>)
  function(F&& f) {  // NOLINT(google-explicit-constructor): a lambda is passed where a function is wanted
    using Held = std::decay_t<F>;
    static_assert(sizeof(Held) <= Capacity,
                  "function: the callable is larger than Capacity; capture a pointer");
    static_assert(alignof(Held) <= alignof(std::max_align_t), "function: the callable is over-aligned");
    static_assert(std::is_nothrow_move_constructible_v<Held>, "function: the callable may throw when moved");
    if (detail::is_null(f)) return;
    ::new (static_cast<void*>(storage_)) Held(std::forward<F>(f));
    call_ = [](void* held, Args... args) -> Result {
      auto& callee = *std::launder(static_cast<Held*>(held));
      if constexpr (std::is_void_v<Result>) {
        std::invoke(callee, std::forward<Args>(args)...);  // whatever it returns is dropped
      } else {
        return std::invoke(callee, std::forward<Args>(args)...);
      }
    };
    relocate_ = [](void* from, void* to) noexcept {
      auto* held = std::launder(static_cast<Held*>(from));
      if (to != nullptr) ::new (to) Held(std::move(*held));
      held->~Held();
    };
  }

  function(function&& other) noexcept { take(other); }
  function& operator=(function&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~function() { reset(); }

  [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
  [[nodiscard]] friend bool operator==(const function& f, std::nullptr_t) noexcept { return !f; }
  Result operator()(Args... args) { return call_(storage_, std::forward<Args>(args)...); }

 private:
  void reset() noexcept {
    if (call_ != nullptr) relocate_(storage_, nullptr);
    call_ = nullptr;
  }
  void take(function& other) noexcept {
    if (other.call_ == nullptr) return;
    other.relocate_(other.storage_, storage_);
    relocate_ = other.relocate_;
    call_ = std::exchange(other.call_, nullptr);
  }

  Result (*call_)(void*, Args...) = nullptr;
  void (*relocate_)(void* from, void* to) noexcept = nullptr;  // to == nullptr: destroys
  alignas(std::max_align_t) std::byte storage_[Capacity];
};

}  // namespace v0
}  // namespace millrace
