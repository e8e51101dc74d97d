// libuv in a thread of its own. Other threads may only call uv_async_send: they leave what is to be scheduled in a list,
// and the loop takes it from there. There is no cancelling from outside.
#include "support/suite.hpp"

#if BENCH_LIBUV
#include <uv.h>

#include <deque>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "time/peers/pool.hpp"

namespace {

using namespace bench;

class libuv {
  struct timer {
    uv_timer_t waits;
    word payload;
    libuv* loop;
  };
  struct request {
    stopwatch::time_point deadline;
    word payload;
  };

 public:
  libuv(unsigned, on_fire fired) : fired_(std::move(fired)) {
    if (uv_loop_init(&loop_) != 0 || uv_async_init(&loop_, &asked_, hear) != 0) {
      throw std::runtime_error("uv_loop_init, uv_async_init");
    }
    asked_.data = this;
    thread_ = std::thread([this] { uv_run(&loop_, UV_RUN_DEFAULT); });
  }
  libuv(const libuv&) = delete;
  libuv& operator=(const libuv&) = delete;
  // As in libuv.cpp, nothing is closed.
  ~libuv() { stop(); }

  void schedule(unsigned, stopwatch::time_point now, stopwatch::duration wait, word payload) {
    const request r{now + wait, payload};
    if (std::this_thread::get_id() == thread_.get_id()) return start(r);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(r);
    }
    uv_async_send(&asked_);
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    uv_async_send(&asked_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  static void hear(uv_async_t* asked) {
    libuv& self = *static_cast<libuv*>(asked->data);
    {
      const std::lock_guard lock(self.mutex_);
      self.heard_.swap(self.requests_);
      if (self.stopping_) uv_stop(&self.loop_);
    }
    for (const request& r : self.heard_) self.start(r);
    self.heard_.clear();
  }
  static void fire(uv_timer_t* t) {
    timer* const who = static_cast<timer*>(t->data);
    who->loop->timers_.give_back(who);
    who->loop->fired_(who->payload);
  }
  void start(const request& r) {
    timer* const t = timers_.take([this](std::deque<timer>& all) -> timer& {
      timer& one = all.emplace_back();
      uv_timer_init(&loop_, &one.waits);
      one.waits.data = &one;
      one.loop = this;
      return one;
    });
    t->payload = r.payload;
    const nanos deadline = static_cast<nanos>(r.deadline.time_since_epoch().count());
    const nanos at = (deadline + tick - 1) / tick;
    const nanos from = uv_now(&loop_);
    uv_timer_start(&t->waits, fire, at > from ? at - from : 0, 0);
  }

  on_fire fired_;
  uv_loop_t loop_;
  uv_async_t asked_;
  peers::pool<timer> timers_;
  std::mutex mutex_;
  std::vector<request> requests_;
  std::vector<request> heard_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

void bench::add_libuv_thread(suite& s) { s.add_timer_threads<libuv>("libuv", role::peer); }
#else
void bench::add_libuv_thread(suite&) {}
#endif
