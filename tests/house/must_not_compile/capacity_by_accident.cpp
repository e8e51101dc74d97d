// refused: invalid initialization of reference|no known conversion
#include "millrace/queue/mpmc_queue.hpp"

using queue = millrace::mpmc_queue<int>;
std::size_t room_in(const queue& q) { return q.capacity(); }

int main() {
#ifdef MUST_NOT_COMPILE
  return room_in(4) == 4 ? 0 : 1;
#else
  return room_in(queue(4)) == 4 ? 0 : 1;
#endif
}
