// refused: select: make the cases in the call
#include <utility>

#include "millrace/queue/select.hpp"

int main() {
  auto kept = millrace::otherwise([] { return 0; });
#ifdef MUST_NOT_COMPILE
  return millrace::select(kept);
#else
  return millrace::select(std::move(kept));
#endif
}
