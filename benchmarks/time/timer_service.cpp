#include "millrace/time/timer_service.hpp"

#include <utility>

#include "support/suite.hpp"

namespace {

using namespace bench;

class service {
 public:
  using handle = millrace::timer_service::timer;
  service(unsigned, on_fire fired) : fired_(std::move(fired)) { service_.start(); }
  handle schedule(unsigned, stopwatch::time_point now, stopwatch::duration wait, word payload) {
    return service_.schedule_at(now + wait, [this, payload] { fired_(payload); });
  }
  bool cancel(unsigned, handle h) { return service_.cancel(h) == millrace::cancel_result::cancelled; }
  void stop() { service_.stop(); }

 private:
  on_fire fired_;
  millrace::timer_service service_;
};

}  // namespace

void bench::add_timer_service(suite& s) {
  s.add_timer_threads<service>("millrace::timer_service", role::ours);
}
