// refused: a Tick must be a whole number of the clock's units
#include <chrono>
#include <ratio>

#include "millrace/time/timing_wheel.hpp"

int main() {
#ifdef MUST_NOT_COMPILE
  using tick = std::chrono::duration<long long, std::ratio<1, 3'000>>;
#else
  using tick = std::chrono::duration<long long, std::ratio<1, 2'000>>;
#endif
  const millrace::timing_wheel<int, tick> wheel({});
  return static_cast<int>(wheel.size());
}
