// refused: is_copy_constructible_v
#include <memory>

#include "millrace/topic/latest_value.hpp"

int main() {
  millrace::latest_value<std::unique_ptr<int>> newest(std::make_unique<int>(0));
#ifdef MUST_NOT_COMPILE
  return *newest.load();
#else
  return *millrace::latest_reader(newest).read();
#endif
}
