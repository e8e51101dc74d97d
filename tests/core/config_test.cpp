// What the macros say of the machine agrees with what the compiler says of it.
#include "millrace/core/config.hpp"

#include <atomic>
#include <string>

#include "support/catch.hpp"

static_assert(MILLRACE_VERSION_MAJOR >= 0 && MILLRACE_VERSION_MINOR >= 0 && MILLRACE_VERSION_PATCH >= 0);
static_assert(millrace::hot_separation == 2 * millrace::cache_line_size);
static_assert((millrace::cache_line_size & (millrace::cache_line_size - 1)) == 0);
#if defined(__x86_64__) || defined(__aarch64__)
static_assert(MILLRACE_HAS_DWCAS == 1);
#endif

namespace {

struct nothing {};
struct holder {
  MILLRACE_NO_UNIQUE_ADDRESS nothing none;
  int n;
};
static_assert(sizeof(holder) == sizeof(int));

MILLRACE_NOINLINE int far_away(int n) { return n + 1; }

// Whether exceptions are there is tried, not asked.
bool thrown() {
#if MILLRACE_HAS_EXCEPTIONS
  try {
    throw 1;
  } catch (int) {
    return true;
  }
#else
  return false;
#endif
}

}  // namespace

TEST_CASE("exceptions are there when the macro says so") {
  CHECK(thrown() == (MILLRACE_HAS_EXCEPTIONS == 1));
#if defined(__cpp_exceptions)
  CHECK(MILLRACE_HAS_EXCEPTIONS == 1);
#endif
  CHECK(far_away(1) == 2);
}

TEST_CASE("ThreadSanitizer is seen") {
#if defined(__SANITIZE_THREAD__)
  CHECK(MILLRACE_TSAN == 1);
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  CHECK(MILLRACE_TSAN == 1);
#else
  CHECK(MILLRACE_TSAN == 0);
#endif
#else
  CHECK(MILLRACE_TSAN == 0);
#endif
}
