// refused: nodiscard
#include "millrace/time/timing_wheel.hpp"

int main() {
  millrace::timing_wheel<int> wheel({});
  const auto timer = wheel.schedule({}, 1);
#ifdef MUST_NOT_COMPILE
  wheel.extract(timer);
  return 0;
#else
  return wheel.extract(timer) == 1 ? 0 : 1;
#endif
}
