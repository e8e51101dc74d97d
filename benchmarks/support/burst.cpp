#include "support/burst.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

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

bench::burst_costs bench::in_child(const std::function<burst_costs()>& body) {
  pipe_ends report;
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    // Nothing of the parent's is to be flushed or destroyed twice.
    try {
      const burst_costs costs = body();
      ::_exit(::write(report.out, &costs, sizeof costs) == sizeof costs ? 0 : 1);
    } catch (const std::exception&) {
      ::_exit(1);
    }
  }
  ::close(std::exchange(report.out, -1));
  burst_costs costs;
  const bool complete = ::read(report.in, &costs, sizeof costs) == sizeof costs;
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0 || !complete) {
    throw std::runtime_error("the burst's process has failed, or what came out is not what went in");
  }
  return costs;
}
