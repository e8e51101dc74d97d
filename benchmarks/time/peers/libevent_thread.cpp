// libevent with its locks: one thread runs the loop, others add and delete timers of their own. It is asked to look at the
// clock for each timer and to take the exact one: what it remembers, and the coarse one, lag behind, and timers that are
// counted from there fire before their time.
#include "support/suite.hpp"

#if BENCH_LIBEVENT_PTHREADS
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

#include <chrono>
#include <deque>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "time/peers/pool.hpp"

namespace {

using namespace bench;

class libevent {
  struct timer {
    event waits;
    word payload;
    libevent* loop;
  };

 public:
  using handle = timer*;
  libevent(unsigned callers, on_fire fired)
      : fired_(std::move(fired)),
        base_(make()),
        timers_(callers),
        thread_([this] { event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY); }) {}
  libevent(const libevent&) = delete;
  libevent& operator=(const libevent&) = delete;
  ~libevent() {
    stop();
    event_base_free(base_);
  }

  handle schedule(unsigned caller, stopwatch::time_point, stopwatch::duration wait, word payload) {
    const handle h = timers_[caller].take([this](std::deque<timer>& all) -> timer& {
      timer& one = all.emplace_back();
      evtimer_assign(&one.waits, base_, fire, &one);
      one.loop = this;
      return one;
    });
    h->payload = payload;
    const auto micros = std::chrono::ceil<std::chrono::microseconds>(wait).count();
    timeval in{};
    in.tv_sec = static_cast<time_t>(micros / 1'000'000);
    in.tv_usec = static_cast<suseconds_t>(micros % 1'000'000);
    evtimer_add(&h->waits, &in);
    return h;
  }
  bool cancel(unsigned caller, handle h) {
    const bool cancelled = evtimer_del(&h->waits) == 0;
    timers_[caller].give_back(h);
    return cancelled;
  }
  void stop() {
    event_base_loopbreak(base_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  static event_base* make() {
    evthread_use_pthreads();
    event_config* const how = event_config_new();
    if (how == nullptr) throw std::runtime_error("event_config_new");
    event_config_set_flag(how, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_base* const base = event_base_new_with_config(how);
    event_config_free(how);
    if (base == nullptr) throw std::runtime_error("event_base_new_with_config");
    return base;
  }
  static void fire(evutil_socket_t, short, void* who) {
    const timer* const t = static_cast<timer*>(who);
    t->loop->fired_(t->payload);
  }

  on_fire fired_;
  event_base* base_;
  std::vector<peers::pool_of_caller<timer>> timers_;
  std::thread thread_;
};

}  // namespace

void bench::add_libevent_thread(suite& s) { s.add_timer_threads<libevent>("libevent", role::peer); }
#else
void bench::add_libevent_thread(suite& s) {
  if (BENCH_LIBEVENT != 0) s.missing("libevent's locks: libevent-dev");
}
#endif
