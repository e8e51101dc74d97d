// refused: select: its limits and ticks must go by the same clock
#include <chrono>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/select.hpp"
#include "millrace/queue/ticker.hpp"

int main() {
  using namespace std::chrono_literals;
  millrace::manual_clock clock;
  millrace::ticker beat(1s, clock);
  return millrace::select(
#ifdef MUST_NOT_COMPILE
      millrace::after(1s, [] { return 2; }),
#else
      millrace::otherwise([] { return 0; }),
#endif
      millrace::on_tick(beat, [] { return 1; }));
}
