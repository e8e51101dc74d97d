#include "support/delivery.hpp"

#include <stdexcept>

bench::table_column bench::delivery::column_of(unsigned workers) {
  return {std::to_string(workers) + (workers == 1 ? " worker" : " workers"), "ns"};
}

void bench::delivery::check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

double bench::delivery::nanoseconds(stopwatch::duration d) {
  return std::chrono::duration<double, std::nano>(d).count();
}
