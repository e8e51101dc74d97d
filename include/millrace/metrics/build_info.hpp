// millrace/metrics/build_info.hpp - what the linked library was built from, and whether it fits these headers.
//
// Use it when : a program starts and wants to say which millrace it runs, or to refuse a shared library of another
//               version than the headers it was compiled with.
// Use instead : the MILLRACE_VERSION_* macros of core/config.hpp, when only the headers' version is asked for.
// Threads     : any thread, at any time.
// Order       : does not apply.
// Progress    : wait-free but for the allocation of the text or the error.
// Errors      : check_headers answers FailedPrecondition and names both versions.
// Exceptions  : std::bad_alloc from to_string.
// Memory      : no state; build_info is a few words.
// Cost        : a function call; to_string and a failing check allocate one string.
// Source      : zlibVersion() and ZLIB_VERSION (J. Gailly and M. Adler), the same check between header and library.
// Checked by  : tests/metrics/build_info_test.cpp
//
// Example:
//   if (absl::Status s = millrace::check_headers(); !s.ok()) { fmt::print(stderr, "{}\n", s.ToString()); return 1; }
//   fmt::print("{}\n", millrace::to_string(millrace::library_build()));  // millrace 0.1.0, g++ 12.2.0, ...
#pragma once

#include <absl/status/status.h>

#include <string>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

struct version {
  int major;
  int minor;
  int patch;

  friend bool operator==(const version&, const version&) = default;
};

struct build_info {
  version number;
  const char* compiler;  // name and version, a string with static lifetime
  bool word_ring;        // whether small items travel by double-width compare-and-swap here
  bool exceptions;       // whether the library was built with exceptions
};

/// The version of the headers that this translation unit sees.
// why: not inline, so that each translation unit has its own and answers for the headers it was compiled with.
constexpr version header_version{MILLRACE_VERSION_MAJOR, MILLRACE_VERSION_MINOR, MILLRACE_VERSION_PATCH};

/// What the linked library was built from.
[[nodiscard]] build_info library_build() noexcept;

/// One line for a log: "millrace 0.1.0, g++ 12.2.0, word ring, exceptions".
[[nodiscard]] std::string to_string(const build_info& build);

/// Ok if a program compiled with headers of that version may use the linked library. While the major number is 0,
/// major and minor must be equal; from 1 on, major must be equal and the library not the older one.
[[nodiscard]] absl::Status check_headers(version headers = header_version);

}  // namespace v0
}  // namespace millrace
