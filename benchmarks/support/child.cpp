#include "support/child.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

struct pipe_ends {
  int in = -1;
  int out = -1;
  pipe_ends() {
    int ends[2];
    if (::pipe(ends) != 0) fail("pipe");
    in = ends[0];
    out = ends[1];
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  ~pipe_ends() {
    ::close(in);
    if (out >= 0) ::close(out);
  }
};

}  // namespace

double bench::allocated() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const auto now = ::mallinfo2();
  return static_cast<double>(now.uordblks + now.hblkhd);
#else
  return resident_memory().now;
#endif
}

bench::resident bench::resident_memory() {
  resident r;
  std::ifstream status("/proc/self/status");
  for (std::string field; status >> field;) {
    if (field == "VmRSS:") status >> r.now;
    if (field == "VmHWM:") status >> r.most;
  }
  constexpr double kib = 1024;
  return {r.now * kib, r.most * kib};
}

void bench::call_in_child(void* answer, std::size_t size, const std::function<void(void*)>& body) {
  pipe_ends report;
  const auto complete = static_cast<ssize_t>(size);
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    // Nothing of the parent's is to be flushed or destroyed twice.
    try {
      body(answer);
      ::_exit(::write(report.out, answer, size) == complete ? 0 : 1);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(1);
    }
  }
  ::close(std::exchange(report.out, -1));
  const bool whole = ::read(report.in, answer, size) == complete;
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0 || !whole) {
    throw std::runtime_error("the process that measured it has failed");
  }
}
