// Boost.Asio's timers on the steady clock: one thread runs the io_context, others use timers of their own.
#include "support/suite.hpp"

#if __has_include(<boost/asio/steady_timer.hpp>)
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "time/peers/pool.hpp"

namespace {

using namespace bench;

class asio {
  using timer = boost::asio::steady_timer;

 public:
  using handle = timer*;
  asio(unsigned callers, on_fire fired)
      : fired_(std::move(fired)),
        work_(io_.get_executor()),
        timers_(callers),
        thread_([this] { io_.run(); }) {}
  asio(const asio&) = delete;
  asio& operator=(const asio&) = delete;
  ~asio() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  handle schedule(unsigned caller, stopwatch::time_point now, stopwatch::duration wait, word payload) {
    const handle h =
        timers_[caller].take([this](std::deque<timer>& all) -> timer& { return all.emplace_back(io_); });
    h->expires_at(now + wait);
    h->async_wait([this, payload](const boost::system::error_code& e) {
      if (!e) fired_(payload);
    });
    return h;
  }
  bool cancel(unsigned caller, handle h) {
    const bool cancelled = h->cancel() == 1;
    timers_[caller].give_back(h);
    return cancelled;
  }
  /// Once the handlers of those that were cancelled have run.
  void stop() {
    work_.reset();
    thread_.join();
  }

 private:
  on_fire fired_;
  boost::asio::io_context io_{1};  // one thread runs it
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<peers::pool_of_caller<timer>> timers_;
  std::thread thread_;
};

}  // namespace

void bench::add_asio_thread(suite& s) { s.add_timer_threads<asio>("Boost.Asio timers", role::peer); }
#else
void bench::add_asio_thread(suite&) {}
#endif
