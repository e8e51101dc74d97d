// libevent. It reads the clock at each evtimer_add, outside of its loop, and in each pass of that. A pass is
// event_base_loop(EVLOOP_NONBLOCK), which asks the kernel for events, too. It tells nobody when it wants to be called.
#include "support/suite.hpp"

#if BENCH_LIBEVENT
#include <event2/event.h>
#include <event2/event_struct.h>

#include <deque>
#include <stdexcept>

#include "time/peers/pool.hpp"
#include "time/peers/pretended_clock.hpp"

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
  explicit libevent(nanos now) : now_(now) {
    const peers::pretended_time pretended(now_);
    base_ = event_base_new();
    if (base_ == nullptr) throw std::runtime_error("event_base_new");
  }
  libevent(const libevent&) = delete;
  libevent& operator=(const libevent&) = delete;
  ~libevent() { event_base_free(base_); }

  handle schedule(nanos deadline, word payload) {
    const handle h = timers_.take([&](std::deque<timer>& all) -> timer& {
      timer& one = all.emplace_back();
      evtimer_assign(&one.waits, base_, fire, &one);
      one.loop = this;
      return one;
    });
    h->payload = payload;
    return reschedule(h, deadline);
  }
  void cancel(handle h) {
    evtimer_del(&h->waits);
    timers_.give_back(h);
  }
  handle reschedule(handle h, nanos deadline) {
    const peers::pretended_time pretended(now_);
    const nanos micros = deadline > now_ ? (deadline - now_ + 999) / 1000 : 0;
    timeval in{};
    in.tv_sec = static_cast<time_t>(micros / 1'000'000);
    in.tv_usec = static_cast<suseconds_t>(micros % 1'000'000);
    evtimer_add(&h->waits, &in);
    return h;
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    now_ = now;
    fired_ = &fired;
    const peers::pretended_time pretended(now_);
    event_base_loop(base_, EVLOOP_NONBLOCK);
  }

 private:
  static void fire(evutil_socket_t, short, void* who) {
    timer* const t = static_cast<timer*>(who);
    (*t->loop->fired_)(t->payload);
    t->loop->timers_.give_back(t);
  }

  nanos now_;
  event_base* base_;
  peers::pool<timer> timers_;
  fired_list* fired_ = nullptr;
};

}  // namespace

void bench::add_libevent(suite& s) { s.add_timers<libevent>("libevent", role::peer); }
#else
void bench::add_libevent(suite& s) { s.missing("libevent: libevent-dev"); }
#endif
