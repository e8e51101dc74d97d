// refused: could not give these arguments back
#include <memory>

#include "millrace/queue/mpmc_queue.hpp"

int main() {
  millrace::mpmc_queue<std::unique_ptr<int>> queue(4);
  int* raw = new int(1);
#ifdef MUST_NOT_COMPILE
  return queue.try_emplace(raw) ? 0 : 1;
#else
  return queue.try_emplace(std::unique_ptr<int>(raw)) ? 0 : 1;
#endif
}
