// refused: select: one otherwise at the most
#include "millrace/queue/select.hpp"

int main() {
  return millrace::select(
#ifdef MUST_NOT_COMPILE
      millrace::otherwise([] { return 1; }),
#endif
      millrace::otherwise([] { return 0; }));
}
