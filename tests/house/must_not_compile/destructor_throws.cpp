// refused: destructor must not throw
#include "millrace/queue/mpmc_queue.hpp"

struct exploding {
#ifdef MUST_NOT_COMPILE
  ~exploding() noexcept(false) {}
#else
  ~exploding() {}
#endif
};

int main() {
  millrace::mpmc_queue<exploding> queue(4);
  return static_cast<int>(queue.size_approx());
}
