#include "millrace/time/timing_wheel.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

#include "support/suite.hpp"

namespace {

using namespace bench;

/// Time is told.
struct told {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<told>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept { return {}; }
};

class wheel {
  using type = millrace::timing_wheel<word, std::chrono::milliseconds, told>;
  static told::time_point at(nanos t) noexcept {
    return told::time_point(told::duration(static_cast<std::int64_t>(t)));
  }

 public:
  using handle = type::handle;
  explicit wheel(nanos now) : wheel_(at(now)) {}
  handle schedule(nanos deadline, word payload) { return wheel_.schedule(at(deadline), payload); }
  void cancel(handle h) { wheel_.cancel(h); }
  handle reschedule(handle h, nanos deadline) {
    wheel_.reschedule(h, at(deadline));
    return h;
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    wheel_.advance(at(now), [&](const word& payload) { fired(payload); });
  }
  [[nodiscard]] std::optional<nanos> next() const {
    const auto wakeup = wheel_.next_wakeup();
    if (!wakeup) return std::nullopt;
    return static_cast<nanos>(wakeup->time_since_epoch().count());
  }

 private:
  type wheel_;
};

}  // namespace

void bench::add_timing_wheel(suite& s) {
  s.add_timers<wheel>("millrace::timing_wheel", role::ours);
  const std::vector<std::string> heap{"4-ary heap"};
  const std::vector<std::string> loops{"Boost.Asio timers", "libevent", "libuv"};
  s.timer_targets = {
      {timer_figure::schedule, heap, 2.0},      {timer_figure::schedule, loops, 5.0},
      {timer_figure::both, heap, 1.2},          {timer_figure::both, loops, 5.0},
      {timer_figure::fire, heap, 1.5},          {timer_figure::worst_firing, heap, 1.0},
      {timer_figure::worst_keeping, heap, 1.0}, {timer_figure::later, heap, 1.0},
      {timer_figure::later, loops, 5.0},        {timer_figure::day_by_wakeups, {}, 2.0},
      {timer_figure::day_at_once, {}, 2.0},     {timer_figure::memory, {}, 48.0},
  };
}
