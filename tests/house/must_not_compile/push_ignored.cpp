// refused: nodiscard
#include "millrace/queue/mpmc_queue.hpp"

int main() {
  millrace::mpmc_queue<int> queue(4);
#ifdef MUST_NOT_COMPILE
  queue.try_push(1);
#else
  return queue.try_push(1) ? 0 : 1;
#endif
}
