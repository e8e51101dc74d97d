// The file descriptor of a channel, in the hands of poll and epoll.
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

#if MILLRACE_HAS_EVENT_FD
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

using millrace::channel;
using millrace::outcome;

bool readable(int fd, int wait_ms = 0) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, wait_ms) == 1;
}

/// As an event loop does after each readiness.
template <class Channel>
int pop_all(Channel& ch) {
  int n = 0;
  while (ch.try_pop()) ++n;
  return n;
}

template <class Channel>
std::unique_ptr<Channel> make_channel() {
  if constexpr (Channel::queue_type::is_bounded) {
    return std::make_unique<Channel>(16);
  } else {
    return std::make_unique<Channel>();
  }
}

}  // namespace

TEMPLATE_TEST_CASE("readable while something can be popped, and after close", "", channel<int>,
                   (channel<int, millrace::spsc_queue<int>>), (channel<int, millrace::unbounded_queue<int>>),
                   channel<std::string>) {
  using T = typename TestType::value_type;
  const auto ch = make_channel<TestType>();
  const int fd = ch->ready_fd();
  CHECK(ch->ready_fd() == fd);
  CHECK(pop_all(*ch) == 0);
  CHECK_FALSE(readable(fd));
  for (int round = 0; round < 3; ++round) {
    REQUIRE(ch->push(T()) == outcome::ok);
    CHECK(readable(fd));
    REQUIRE(ch->push(T()) == outcome::ok);
    CHECK(ch->try_pop());
    CHECK(readable(fd));  // one is left
    CHECK(ch->try_pop());
    CHECK(readable(fd));  // nobody has found it empty yet
    CHECK_FALSE(ch->try_pop());
    CHECK_FALSE(readable(fd));
    CHECK_FALSE(ch->try_pop());
    CHECK_FALSE(readable(fd));
  }
  REQUIRE(ch->push(T()) == outcome::ok);
  ch->close();
  CHECK(readable(fd));
  CHECK(pop_all(*ch) == 1);
  CHECK(readable(fd));
  T out{};
  CHECK(ch->try_pop(out) == outcome::closed);
  CHECK(readable(fd));
}

TEST_CASE("asked for late, it is readable if something is there") {
  channel<int> ch(4);
  REQUIRE(ch.push(1) == outcome::ok);
  CHECK(readable(ch.ready_fd()));
  CHECK(pop_all(ch) == 1);
  CHECK_FALSE(readable(ch.ready_fd()));
}

TEST_CASE("closed while it is empty") {
  channel<int> ch(4);
  const int fd = ch.ready_fd();
  CHECK(pop_all(ch) == 0);
  CHECK_FALSE(readable(fd));
  ch.close();
  CHECK(readable(fd));
}

TEST_CASE("it does not outlive its channel, and is not inherited") {
  int fd = -1;
  {
    channel<int> ch(4);
    fd = ch.ready_fd();
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(::fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("no file descriptor left: says so, and the channel works on") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  channel<int> ch(4);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  std::string what;
  try {
    static_cast<void>(ch.ready_fd());
  } catch (const std::runtime_error& e) {
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) ==
            0);  // first, as sanitizers want descriptors to look at `e`
    what = e.what();
  }
  CHECK(what.find("ready_fd") != std::string::npos);
  CHECK(ch.push(1) == outcome::ok);
  CHECK(readable(ch.ready_fd()));
  CHECK(pop_all(ch) == 1);
}

TEST_CASE("a thread asleep in the same line is woken all the same") {
  const support::watchdog guard("a thread beside a file descriptor");
  channel<int> ch(4);
  const int fd = ch.ready_fd();
  CHECK(pop_all(ch) == 0);
  std::optional<int> got;
  std::thread sleeper([&] { got = ch.pop(); });
  REQUIRE(ch.push(7) == outcome::ok);
  sleeper.join();
  CHECK(got == 7);
  static_cast<void>(readable(fd));  // the sleeper may have found it empty since
  CHECK(pop_all(ch) == 0);
  CHECK_FALSE(readable(fd));
}

TEST_CASE("two event loops, level and edge triggered, lose nothing and come to rest") {
  const support::watchdog guard("event loops");
  const bool edge = GENERATE(false, true);
  channel<int> ch(64);
  const int fd = ch.ready_fd();
  constexpr int each = 50'000;
  std::atomic<long> sum{0};
  std::atomic<long> idle_rounds{0};
  std::atomic<int> without_fd{0};
  const auto loop = [&] {
    const int ep = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event e{};
    e.events = EPOLLIN | (edge ? static_cast<unsigned>(EPOLLET) : 0u);
    if (::epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0) {
      ++without_fd;
      return;
    }
    for (bool open = true; open;) {
      if (::epoll_wait(ep, &e, 1, -1) != 1) continue;
      int v = 0;
      long got = 0;
      outcome result = outcome::ok;
      while ((result = ch.try_pop(v)) == outcome::ok) {
        sum += v;
        ++got;
      }
      idle_rounds += got == 0;
      open = result != outcome::closed;
    }
    ::close(ep);
  };
  std::vector<std::thread> threads;
  threads.emplace_back(loop);
  threads.emplace_back(loop);
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 1; i <= each; ++i) static_cast<void>(ch.push(i + 0));
    });
  }
  threads[2].join();
  threads[3].join();
  ch.close();
  threads[0].join();
  threads[1].join();
  REQUIRE(without_fd == 0);
  CHECK(sum == 2L * each * (each + 1) / 2);
  CHECK(idle_rounds < 2L * each);  // a loop that is woken for nothing again and again has millions
}
#endif
