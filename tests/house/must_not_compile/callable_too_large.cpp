// refused: larger than Capacity
#include "millrace/core/function.hpp"

int main() {
#ifdef MUST_NOT_COMPILE
  struct {
    char bytes[1000];
  } load{};
#else
  struct {
    char bytes[10];
  } load{};
#endif
  millrace::function<int()> f = [load] { return static_cast<int>(load.bytes[0]); };
  return f();
}
