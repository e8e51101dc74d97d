#include "millrace/metrics/build_info.hpp"

#include "support/catch.hpp"

using millrace::build_info;
using millrace::check_headers;
using millrace::header_version;
using millrace::version;

TEST_CASE("the linked library tells the version of the headers it was built from") {
  const build_info build = millrace::library_build();
  CHECK(build.number == header_version);
  CHECK(build.number == version{MILLRACE_VERSION_MAJOR, MILLRACE_VERSION_MINOR, MILLRACE_VERSION_PATCH});
  CHECK(build.word_ring == (MILLRACE_HAS_DWCAS == 1));
}

TEST_CASE("a build is told in one line") {
  const build_info plain{{3, 20, 100}, "cc 1.2", true, true};
  CHECK(millrace::to_string(plain) == "millrace 3.20.100, cc 1.2, word ring, exceptions");

  const build_info bare{{0, 0, 0}, "cc", false, false};
  CHECK(millrace::to_string(bare) == "millrace 0.0.0, cc, no word ring, no exceptions");
}

TEST_CASE("headers of the library's own version are accepted") {
  CHECK(check_headers().ok());
  CHECK(check_headers({header_version.major, header_version.minor, header_version.patch + 1}).ok());
}

TEST_CASE("headers of another version are refused, and both versions are named") {
  const version other = GENERATE(version{header_version.major + 1, header_version.minor, 0},
                                 version{header_version.major, header_version.minor + 1, 7});
  const absl::Status status = check_headers(other);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);

  const auto dotted = [](const version& v) {
    return std::to_string(v.major) + '.' + std::to_string(v.minor) + '.' + std::to_string(v.patch);
  };
  const std::string message(status.message());
  CHECK(message.find("headers of millrace " + dotted(other)) != std::string::npos);
  CHECK(message.find("linked with " + dotted(header_version)) != std::string::npos);
}
