// refused: T must be an object
#include "millrace/topic/latest_value.hpp"

int main() {
  int one = 1;
#ifdef MUST_NOT_COMPILE
  millrace::latest_value<int&> newest(one);
#else
  millrace::latest_value<int*> newest(&one);
#endif
  return *newest.load() - 1;
}
