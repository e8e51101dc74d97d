// refused: on_push: the value must be of the channel's type
#include "millrace/queue/select.hpp"

int main() {
  millrace::channel<long> channel(4);
#ifdef MUST_NOT_COMPILE
  const int value = 1;
#else
  const long value = 1;
#endif
  return millrace::select(millrace::on_push(channel, value, [](millrace::outcome) { return 0; }));
}
