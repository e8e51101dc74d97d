// refused: nodiscard
#include "millrace/queue/channel.hpp"

int main() {
  millrace::channel<int> channel(4);
#ifdef MUST_NOT_COMPILE
  channel.push(1);
#else
  return channel.push(1) == millrace::outcome::ok ? 0 : 1;
#endif
}
