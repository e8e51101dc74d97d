// How a constructor or a cold path refuses an argument: an exception where the host has them, a message and
// std::terminate where it has not. The message names the function, the argument and its valid range.
#pragma once

#include <cstdio>
#include <exception>
#include <stdexcept>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Exception>
[[noreturn]] MILLRACE_NOINLINE void fail(const char* message) {
#if MILLRACE_HAS_EXCEPTIONS
  throw Exception(message);
#else
  std::fprintf(stderr, "millrace: %s\n", message);
  std::terminate();
#endif
}

}  // namespace detail
}  // namespace v0
}  // namespace millrace
