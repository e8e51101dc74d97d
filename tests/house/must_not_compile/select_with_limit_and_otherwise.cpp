// refused: select: with otherwise it never waits, and a limit has no meaning
#include <chrono>

#include "millrace/queue/select.hpp"

int main() {
  using namespace std::chrono_literals;
  return millrace::select(
#ifdef MUST_NOT_COMPILE
      millrace::after(0s, [] { return 1; }),
#endif
      millrace::otherwise([] { return 0; }));
}
