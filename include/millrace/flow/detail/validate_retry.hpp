// A retry policy that is an option of something with a name.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/delivery/retry_policy.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// As validate(), and says whose it is.
inline void validate_retry(std::string_view whose, const retry_policy& p) {
#if MILLRACE_HAS_EXCEPTIONS
  try {
    validate(p);
  } catch (const std::invalid_argument& e) {
    fail<std::invalid_argument>(std::string(whose).append(": ").append(e.what()).c_str());
  }
#else
  static_cast<void>(whose);
  validate(p);
#endif
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
