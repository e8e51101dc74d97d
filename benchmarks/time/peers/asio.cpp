// Boost.Asio's timers over a clock that is told. In the kernel Asio sets a timer for the first deadline; as our time is not
// the kernel's, it is told that this has come already, so that each poll looks at the heap.
#include "support/suite.hpp"

#if __has_include(<boost/asio/basic_waitable_timer.hpp>) && __has_include(<boost/asio/io_context.hpp>)
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <deque>

#include "time/peers/pool.hpp"

namespace {

using namespace bench;

struct told {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<told>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept { return time; }
  static time_point at(nanos t) noexcept { return time_point(duration(static_cast<std::int64_t>(t))); }
  static inline time_point time;
};
struct at_once {
  static told::duration to_wait_duration(const told::duration&) { return {}; }
  static told::duration to_wait_duration(const told::time_point&) { return {}; }
};

class asio {
  struct timer {
    explicit timer(boost::asio::io_context& io) : waits(io) {}
    boost::asio::basic_waitable_timer<told, at_once> waits;
    word payload = 0;
  };

 public:
  using handle = timer*;
  explicit asio(nanos now) : work_(io_.get_executor()) { told::time = told::at(now); }

  handle schedule(nanos deadline, word payload) {
    const handle h = timers_.take([&](std::deque<timer>& all) -> timer& { return all.emplace_back(io_); });
    h->payload = payload;
    wait(h, deadline);
    return h;
  }
  void cancel(handle h) {
    h->waits.cancel();
    timers_.give_back(h);
  }
  handle reschedule(handle h, nanos deadline) {
    wait(h, deadline);
    return h;
  }
  /// Runs the handlers of those that were cancelled.
  void settle() { io_.poll(); }
  void advance(nanos now, fired_list& fired) {
    told::time = told::at(now);
    fired_ = &fired;
    io_.poll();
  }

 private:
  void wait(handle h, nanos deadline) {
    h->waits.expires_at(told::at(deadline));  // cancels the wait that there may be
    h->waits.async_wait([this, h](const boost::system::error_code& e) {
      if (e == boost::asio::error::operation_aborted) return;
      (*fired_)(h->payload);
      timers_.give_back(h);
    });
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  peers::pool<timer> timers_;
  fired_list* fired_ = nullptr;
};

}  // namespace

void bench::add_asio(suite& s) { s.add_timers<asio>("Boost.Asio timers", role::peer); }
#else
void bench::add_asio(suite& s) { s.missing("Boost.Asio: libboost-dev"); }
#endif
