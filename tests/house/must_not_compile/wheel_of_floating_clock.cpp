// refused: the clock must count in 64-bit integers
#include <chrono>

#include "millrace/time/timing_wheel.hpp"

struct some_clock {
#ifdef MUST_NOT_COMPILE
  using rep = double;
#else
  using rep = long long;
#endif
  using period = std::milli;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<some_clock>;
  static time_point now() noexcept { return time_point(); }
};

int main() {
  const millrace::timing_wheel<int, std::chrono::milliseconds, some_clock> wheel({});
  return static_cast<int>(wheel.size());
}
