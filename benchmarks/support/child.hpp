// A measurement in a process of its own, which begins with what this one has and shares nothing with it afterwards, so
// that no contender finds the heap that another one has left.
#pragma once

#include <cstddef>
#include <functional>
#include <type_traits>

namespace bench {

/// Bytes of this process.
struct resident {
  double now = 0;
  double most = 0;
};
[[nodiscard]] resident resident_memory();
/// Bytes that are allocated in this process.
[[nodiscard]] double allocated();

/// Calls `body` in a child process, with room for `size` bytes of answer. Throws std::runtime_error if the child fails,
/// with what it has said of that.
void call_in_child(void* answer, std::size_t size, const std::function<void(void* answer)>& body);

template <class F>
[[nodiscard]] auto in_child(F body) {
  using answer = std::invoke_result_t<F&>;
  static_assert(std::is_trivially_copyable_v<answer>, "it comes through a pipe");
  answer out;
  call_in_child(&out, sizeof out, [&](void* to) { *static_cast<answer*>(to) = body(); });
  return out;
}

}  // namespace bench
