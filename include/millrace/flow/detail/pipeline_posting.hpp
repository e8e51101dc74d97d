// Tasks that a pipeline is about to post.
#pragma once

#include <bit>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/posting.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// One for each bit, all of the same time between a start and a stop.
struct pipeline_tasks {
  std::uint64_t which = 0;
  std::uint32_t epoch = 0;

  void add(std::uint32_t number) noexcept { which |= std::uint64_t{1} << number; }
  void add(pipeline_tasks t) noexcept {
    if (epoch != t.epoch) *this = {0, t.epoch};  // those before a stop have nothing to do any more
    which |= t.which;
  }
  [[nodiscard]] std::uint32_t take_first() noexcept {
    const auto number = static_cast<std::uint32_t>(std::countr_zero(which));
    which &= which - 1;
    return number;
  }
};

using pipeline_posting = posting<pipeline_tasks>;

}  // namespace detail
}  // namespace v0
}  // namespace millrace
