#include "support/flow.hpp"

#include <chrono>
#include <map>
#include <stdexcept>
#include <thread>

namespace bench::flow {

void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

double nanoseconds_each(stopwatch::time_point begin, std::uint64_t n) {
  return std::chrono::duration<double, std::nano>(stopwatch::now() - begin).count() / static_cast<double>(n);
}

unsigned threads() {
  const unsigned n = std::thread::hardware_concurrency();
  return n != 0 ? n : 2;
}

void fill(source& to, std::uint64_t messages) {
  for (std::uint64_t i = 1; i <= messages; ++i) static_cast<void>(to.push(i));
  to.close();
}

results expected(std::uint64_t n, size s, word (*finish)(word)) {
  // why kept: to find out takes as long as the sample; and all samples of a cell but one have the same number of messages
  static std::map<size, std::map<std::uint64_t, results>> known;
  auto& of = known[s];
  const auto at = of.find(n);
  if (at != of.end()) return at->second;
  results right;
  for (std::uint64_t i = 1; i <= n; ++i) right.take(finish(i));
  return of[n] = right;
}

void verify(const results& out, const results& right, order how) {
  check(out.messages == right.messages && out.sum == right.sum, "what came out is not what went in");
  check(how == order::any || out.chain == right.chain, "it came out in another order");
}

std::string pipeline_table(size s) { return s == size::tiny ? "pipeline/tiny" : "pipeline/1us"; }
table_column column_of(order how) { return {how == order::any ? "any order" : "order kept", "ns"}; }

}  // namespace bench::flow
