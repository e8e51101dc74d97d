#include <millrace/metrics/build_info.hpp>
#include <millrace/queue/channel.hpp>

int main() {
  if (!millrace::check_headers().ok()) return 1;
  millrace::channel<int> numbers(4);
  if (numbers.push(42) != millrace::outcome::ok) return 1;
  numbers.close();
  return numbers.pop() == 42 && !numbers.pop() ? 0 : 1;
}
