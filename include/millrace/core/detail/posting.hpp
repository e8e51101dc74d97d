// What is about to be posted.
//
// An executor that has been stopped runs a task in the call of post. So that tasks do not stand one in the other on the stack,
// until there is no more of it, such a task is only noted, and run by who has posted it when post has returned.
#pragma once

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Stands on the stack of a thread as long as that posts for `who`.
template <class Noted>
class posting {
 public:
  explicit posting(const void* who) noexcept : who_(who), outer_(innermost) { innermost = this; }
  posting(const posting&) = delete;
  posting& operator=(const posting&) = delete;
  ~posting() { innermost = outer_; }

  /// This thread's, or nullptr.
  [[nodiscard]] static posting* of(const void* who) noexcept {
    posting* p = innermost;
    while (p != nullptr && p->who_ != who) p = p->outer_;
    return p;
  }

  Noted noted{};

 private:
  inline static thread_local posting* innermost = nullptr;
  const void* const who_;
  posting* const outer_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
