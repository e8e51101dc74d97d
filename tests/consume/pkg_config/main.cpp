#include <millrace/queue/mpmc_queue.hpp>
#include <string>

int main() {
  millrace::mpmc_queue<std::string> texts(4);
  if (!texts.try_push("forty-two")) return 1;
  return texts.try_pop() == "forty-two" && !texts.try_pop() ? 0 : 1;
}
