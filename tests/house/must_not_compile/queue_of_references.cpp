// refused: T must be an object
#include "millrace/queue/mpmc_queue.hpp"

int main() {
#ifdef MUST_NOT_COMPILE
  millrace::mpmc_queue<int&> queue(4);
#else
  millrace::mpmc_queue<int*> queue(4);
#endif
  return static_cast<int>(queue.size_approx());
}
