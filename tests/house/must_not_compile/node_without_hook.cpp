// refused: Node must derive from mpsc_hook
#include "millrace/queue/intrusive_mpsc_queue.hpp"

#ifdef MUST_NOT_COMPILE
struct node {};
#else
struct node : millrace::mpsc_hook {};
#endif

int main() {
  node one;
  millrace::intrusive_mpsc_queue<node> queue;
  queue.push(one);
  return queue.try_pop() == nullptr;
}
