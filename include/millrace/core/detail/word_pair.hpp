// Two words that change together: the currency between a ring and its seam's `atomic_pair`.
#pragma once

#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

struct word_pair {
  std::uint64_t first;
  std::uint64_t second;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
