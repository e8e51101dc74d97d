// libuv. It reads the clock in each pass of its loop, counts milliseconds, and takes a delay from the time of the last
// pass. A pass is uv_run(UV_RUN_NOWAIT). A timer that has been stopped is used again without uv_close, which is more
// than most programs spare it.
#include "support/suite.hpp"

#if BENCH_LIBUV
#include <uv.h>

#include <deque>
#include <optional>
#include <stdexcept>

#include "time/peers/pool.hpp"
#include "time/peers/pretended_clock.hpp"

namespace {

using namespace bench;

class libuv {
  struct timer {
    uv_timer_t waits;
    word payload;
    libuv* loop;
  };

 public:
  using handle = timer*;
  explicit libuv(nanos now) : now_(now) {
    const peers::pretended_time pretended(now_);
    if (uv_loop_init(&loop_) != 0) throw std::runtime_error("uv_loop_init");
  }
  libuv(const libuv&) = delete;
  libuv& operator=(const libuv&) = delete;
  // The loop would ask for every timer to be closed first, one by one. It has nothing else; the process ends soon.
  ~libuv() = default;

  handle schedule(nanos deadline, word payload) {
    const handle h = timers_.take([&](std::deque<timer>& all) -> timer& {
      timer& one = all.emplace_back();
      uv_timer_init(&loop_, &one.waits);
      one.waits.data = &one;
      one.loop = this;
      return one;
    });
    h->payload = payload;
    return reschedule(h, deadline);
  }
  void cancel(handle h) {
    uv_timer_stop(&h->waits);
    timers_.give_back(h);
  }
  handle reschedule(handle h, nanos deadline) {
    const nanos at = (deadline + tick - 1) / tick;
    const nanos from = uv_now(&loop_);
    uv_timer_start(&h->waits, fire, at > from ? at - from : 0, 0);
    return h;
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    now_ = now;
    fired_ = &fired;
    const peers::pretended_time pretended(now_);
    uv_run(&loop_, UV_RUN_NOWAIT);
  }
  [[nodiscard]] std::optional<nanos> next() const {
    const int in = uv_backend_timeout(&loop_);
    if (in < 0 || uv_loop_alive(&loop_) == 0) return std::nullopt;
    return (uv_now(&loop_) + static_cast<nanos>(in)) * tick;
  }

 private:
  static void fire(uv_timer_t* t) {
    timer* const who = static_cast<timer*>(t->data);
    (*who->loop->fired_)(who->payload);
    who->loop->timers_.give_back(who);
  }

  nanos now_;
  uv_loop_t loop_;
  peers::pool<timer> timers_;
  fired_list* fired_ = nullptr;
};

}  // namespace

void bench::add_libuv(suite& s) { s.add_timers<libuv>("libuv", role::peer); }
#else
void bench::add_libuv(suite& s) { s.missing("libuv: libuv1-dev"); }
#endif
