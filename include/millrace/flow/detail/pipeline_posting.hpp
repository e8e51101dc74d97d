// Tasks that a pipeline is about to post.
//
// An executor that has been stopped runs a task in the call of post. So that they do not stand one in the other on the stack,
// until there is no more of it, such a task is only noted, and run by the outermost post when that has returned.
#pragma once

#include <bit>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// One for each bit, all of the same time between a start and a stop.
struct pipeline_tasks {
  std::uint64_t which = 0;
  std::uint32_t epoch = 0;

  void add(std::uint32_t number) noexcept { which |= std::uint64_t{1} << number; }
  [[nodiscard]] std::uint32_t take_first() noexcept {
    const auto number = static_cast<std::uint32_t>(std::countr_zero(which));
    which &= which - 1;
    return number;
  }
};

/// Stands on the stack of a thread as long as that posts for `who`.
class pipeline_posting {
 public:
  explicit pipeline_posting(const void* who) noexcept : who_(who), outer_(innermost) { innermost = this; }
  pipeline_posting(const pipeline_posting&) = delete;
  pipeline_posting& operator=(const pipeline_posting&) = delete;
  ~pipeline_posting() { innermost = outer_; }

  /// This thread's, or nullptr.
  [[nodiscard]] static pipeline_posting* of(const void* who) noexcept {
    pipeline_posting* p = innermost;
    while (p != nullptr && p->who_ != who) p = p->outer_;
    return p;
  }
  void note(pipeline_tasks t) noexcept {
    if (noted.epoch != t.epoch) noted = {0, t.epoch};  // those before a stop have nothing to do any more
    noted.which |= t.which;
  }

  pipeline_tasks noted;

 private:
  inline static thread_local pipeline_posting* innermost = nullptr;
  const void* const who_;
  pipeline_posting* const outer_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
