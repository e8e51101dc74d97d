// refused: T must be movable
#include "millrace/queue/mpmc_queue.hpp"

struct pinned {
  pinned() = default;
#ifdef MUST_NOT_COMPILE
  pinned(pinned&&) = delete;
#else
  pinned(pinned&&) = default;
#endif
};

int main() {
  millrace::mpmc_queue<pinned> queue(4);
  return static_cast<int>(queue.size_approx());
}
