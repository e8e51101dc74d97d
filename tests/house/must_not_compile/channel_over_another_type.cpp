// refused: the queue is of another type
#include "millrace/queue/channel.hpp"

int main() {
#ifdef MUST_NOT_COMPILE
  millrace::channel<int, millrace::mpmc_queue<long>> channel(4);
#else
  millrace::channel<int, millrace::mpmc_queue<int>> channel(4);
#endif
  return static_cast<int>(channel.size_approx());
}
