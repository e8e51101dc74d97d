// refused: select: one after or until at the most
#include <chrono>

#include "millrace/queue/select.hpp"

int main() {
  using namespace std::chrono_literals;
  return millrace::select(
#ifdef MUST_NOT_COMPILE
      millrace::until(std::chrono::steady_clock::now(), [] { return 1; }),
#endif
      millrace::after(0s, [] { return 0; }));
}
