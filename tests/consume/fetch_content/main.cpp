#include <memory>
#include <millrace/queue/channel.hpp>

int main() {
  millrace::channel<std::unique_ptr<int>> numbers(4);
  if (numbers.push(std::make_unique<int>(42)) != millrace::outcome::ok) return 1;
  numbers.close();
  int sum = 0;
  for (auto& number : numbers) sum += *number;
  return sum == 42 ? 0 : 1;
}
