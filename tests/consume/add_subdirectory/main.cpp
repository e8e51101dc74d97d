#include <millrace/queue/mpmc_queue.hpp>

int main() {
  millrace::mpmc_queue<int> numbers(4);
  if (!numbers.try_push(42)) return 1;
  return numbers.try_pop() == 42 && !numbers.try_pop() ? 0 : 1;
}
