#include "alternatives/cascading_wheel.hpp"

#include "support/suite.hpp"

namespace {

using namespace bench;

class wheel {
  using type = alternatives::cascading_wheel<word>;
  static nanos at(nanos deadline) { return (deadline + tick - 1) / tick; }

 public:
  using handle = type::handle;
  explicit wheel(nanos now) : wheel_(now / tick) {}
  handle schedule(nanos deadline, word payload) { return wheel_.push(at(deadline), payload); }
  void cancel(handle h) { wheel_.erase(h); }
  handle reschedule(handle h, nanos deadline) {
    wheel_.move(h, at(deadline));
    return h;
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    wheel_.advance(now / tick, [&](word payload) { fired(payload); });
  }

 private:
  type wheel_;
};

}  // namespace

void bench::add_cascading_wheel(suite& s) {
  s.add_timers<wheel>("cascading wheel (textbook)", role::reference);
}
