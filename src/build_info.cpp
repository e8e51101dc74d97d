#include "millrace/metrics/build_info.hpp"

#include <fmt/format.h>

namespace millrace {
inline namespace v0 {
namespace {

#if defined(__clang__)
constexpr const char* compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
constexpr const char* compiler = "g++ " __VERSION__;
#else
constexpr const char* compiler = "an unknown compiler";
#endif

std::string dotted(const version& v) { return fmt::format("{}.{}.{}", v.major, v.minor, v.patch); }

bool serves(const version& library, const version& headers) {
  if (library.major != headers.major) return false;
  return library.major == 0 ? library.minor == headers.minor : library.minor >= headers.minor;
}

}  // namespace

build_info library_build() noexcept {
  return {header_version, compiler, MILLRACE_HAS_DWCAS == 1, MILLRACE_HAS_EXCEPTIONS == 1};
}

std::string to_string(const build_info& build) {
  return fmt::format("millrace {}, {}, {}, {}", dotted(build.number), build.compiler,
                     build.word_ring ? "word ring" : "no word ring",
                     build.exceptions ? "exceptions" : "no exceptions");
}

absl::Status check_headers(version headers) {
  if (serves(header_version, headers)) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format("compiled with the headers of millrace {}, linked with {}",
                                                   dotted(headers), dotted(header_version)));
}

}  // namespace v0
}  // namespace millrace
