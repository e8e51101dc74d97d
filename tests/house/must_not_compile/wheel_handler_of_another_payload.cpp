// refused: no matching function|constraints not satisfied
#include <string>

#include "millrace/time/timing_wheel.hpp"

int main() {
  millrace::timing_wheel<std::string> wheel({});
#ifdef MUST_NOT_COMPILE
  wheel.advance(wheel.now(), [](int&) {});
#else
  wheel.advance(wheel.now(), [](std::string&) {});
#endif
  return 0;
}
