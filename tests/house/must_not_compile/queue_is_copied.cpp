// refused: deleted
#include "millrace/queue/mpmc_queue.hpp"

int main() {
  millrace::mpmc_queue<int> queue(4);
#ifdef MUST_NOT_COMPILE
  auto other = queue;
  return static_cast<int>(other.capacity());
#endif
}
