// A clock for model checks of what sleeps until a deadline.
#pragma once

#include <chrono>

namespace support {

/// Goes on to what is near whenever somebody waits for that, and never to what is far: who sleeps until then and should
/// have been woken sleeps for ever.
struct slow_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<slow_clock>;
  [[nodiscard]] time_point now() const noexcept { return t; }
  struct alarm {
    alarm(slow_clock& c, time_point deadline, void (*fire)(void*) noexcept, void* context) noexcept {
      if (deadline > c.t + duration(10)) return;
      c.t = deadline;
      fire(context);
    }
  };
  time_point t{};
};

}  // namespace support
