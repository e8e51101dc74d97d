// A channel in an event loop: worker threads hand results to a program that lives in Boost.Asio, beside its sockets and
// timers, and nobody polls.
//
//   worker ─┐
//   worker ─┼─► channel ──► ready_fd ──► io_context: on_readable, pop until empty
//   worker ─┘
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdio>
#include <thread>
#include <vector>

#include "millrace/queue/channel.hpp"

namespace asio = boost::asio;

/// Calls `handle` with each value of `from`, on the loop's thread, until the channel is closed and drained.
template <class T, class Handle>
class bridge {
 public:
  bridge(asio::io_context& loop, millrace::channel<T>& from, Handle handle)
      : from_(from), handle_(handle), ready_(loop, from.ready_fd()) {
    wait();
  }
  // The descriptor is the channel's, which closes it.
  ~bridge() { ready_.release(); }

 private:
  void wait() {
    ready_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code failed) {
      if (failed) return;
      T value;
      millrace::outcome result = millrace::outcome::ok;
      while ((result = from_.try_pop(value)) == millrace::outcome::ok) handle_(value);
      if (result != millrace::outcome::closed) wait();
    });
  }

  millrace::channel<T>& from_;
  Handle handle_;
  asio::posix::stream_descriptor ready_;
};

int main() {
  millrace::channel<int> results(64);
  asio::io_context loop;
  int received = 0;
  long sum = 0;
  const bridge to_loop(loop, results, [&](int value) {
    ++received;
    sum += value;
  });

  std::vector<std::thread> workers;
  for (int w = 0; w < 3; ++w) {
    workers.emplace_back([&] {
      for (int i = 1; i <= 1000; ++i) {
        if (results.push(i) != millrace::outcome::ok) return;
      }
    });
  }
  std::thread last([&] {
    for (std::thread& w : workers) w.join();
    results.close();
  });
  loop.run();  // until the bridge has nothing to wait for any more
  last.join();
  std::printf("the loop received %d results, sum %ld\n", received, sum);
}
