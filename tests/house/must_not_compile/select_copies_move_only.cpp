// refused: no matching function|is_constructible
#include <memory>
#include <utility>

#include "millrace/queue/select.hpp"

int main() {
  millrace::channel<std::unique_ptr<int>> channel(4);
  auto value = std::make_unique<int>(1);
#ifdef MUST_NOT_COMPILE
  return millrace::select(millrace::on_push(channel, value, [](millrace::outcome) { return 0; }));
#else
  return millrace::select(millrace::on_push(channel, std::move(value), [](millrace::outcome) { return 0; }));
#endif
}
