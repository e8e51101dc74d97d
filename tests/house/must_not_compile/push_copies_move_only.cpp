// refused: cannot bind|no matching|deleted
#include <memory>

#include "millrace/queue/mpmc_queue.hpp"

int main() {
  millrace::mpmc_queue<std::unique_ptr<int>> queue(4);
  auto value = std::make_unique<int>(1);
#ifdef MUST_NOT_COMPILE
  return queue.try_push(value);
#else
  return queue.try_push(std::move(value));
#endif
}
