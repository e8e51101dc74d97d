// Something that an event loop can wait for beside its sockets: readable from signal() on until drain().
#pragma once

#include "millrace/core/config.hpp"

#if MILLRACE_HAS_EVENT_FD
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>

#include "millrace/core/detail/error.hpp"
#endif

namespace millrace {
inline namespace v0 {
namespace detail {

#if MILLRACE_HAS_EVENT_FD
class event_fd {
 public:
  event_fd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) fail<std::runtime_error>("ready_fd: the system has no file descriptor left for an eventfd");
  }
  event_fd(const event_fd&) = delete;
  event_fd& operator=(const event_fd&) = delete;
  ~event_fd() { ::close(fd_); }

  [[nodiscard]] int number() const noexcept { return fd_; }
  // The results are not needed: both can only say that it is in that state already.
  void signal() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(::write(fd_, &one, sizeof one) > 0);
  }
  void drain() noexcept {
    std::uint64_t count = 0;
    static_cast<void>(::read(fd_, &count, sizeof count) > 0);
  }

 private:
  const int fd_;
};
#else
/// Nobody can ask for its number.
struct event_fd {
  void signal() noexcept {}
  void drain() noexcept {}
};
#endif

// why here and not in std_sync: a queue that nobody waits for does not include it
template <class Sync>
struct event_fd_of {
  using type = event_fd;
};
template <class Sync>
  requires requires { typename Sync::event_fd; }
struct event_fd_of<Sync> {
  using type = typename Sync::event_fd;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
