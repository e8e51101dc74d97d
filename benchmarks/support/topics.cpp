#include "support/topics.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "support/results.hpp"

namespace bench::topics {

const std::vector<plan>& plans() {
  using enum task;
  constexpr std::size_t large = 65536;
  constexpr std::size_t small = 8192;
  static const std::vector<plan> all{
      {"unicast", 1, false, large, {{add, {}}}},
      {"unicast, multi", 1, true, large, {{add, {}}}},
      {"sequencer", 3, true, large, {{add, {}}}},
      {"pipeline", 1, false, small, {{add, {}}, {add_three, {0}}, {add_fours, {1}}}},
      {"multicast", 1, false, small, {{add, {}}, {subtract, {}}, {conjoin, {}}}},
      {"diamond", 1, false, small, {{add_threes, {}}, {add_fives, {}}, {add_fifteens, {0, 1}}}},
  };
  return all;
}

plan crowd(unsigned n) { return {std::to_string(n), 1, false, 8192, std::vector<reader_plan>(n)}; }
plan nobody(bool many) { return {"nobody", 1, many, 8192, {}}; }

std::uint64_t for_crowd(std::uint64_t messages, unsigned readers) {
  constexpr std::uint64_t two_laps = 16384;
  return std::max(messages / readers, two_laps);
}

void verify(task what, std::uint64_t n, std::uint64_t value) {
  std::uint64_t right = first_value;
  with(what, [&](auto constant) {
    for (std::uint64_t i = 1; i <= n; ++i) apply<decltype(constant)::value>(right, number(i));
  });
  if (value != right) throw std::runtime_error("what a reader has read is not what was published");
}

wake_times::wake_times(std::size_t n) : publish(n), handler(n) {}

// why so long: those that spin before they sleep are to be asleep, too.
void let_sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

std::vector<double> medians(const wake_times& t) {
  constexpr double micro = 1e-3;
  return {micro * quantile(t.publish, 0.5), micro * quantile(t.handler, 0.5)};
}

std::uint64_t clock_now() {
  const std::chrono::nanoseconds since = stopwatch::now().time_since_epoch();
  return static_cast<std::uint64_t>(since.count());
}

const std::vector<table_column>& wake_columns() {
  static const std::vector<table_column> both{{"reader asleep: publish", "us"},
                                              {"until its handler runs", "us"}};
  return both;
}
table_column publish_column(bool many) {
  return {many ? "no reader, several producers allowed" : "no reader, one producer", "ns"};
}
std::string table_of(waits how, const char* item) { return std::string(to_string(how)) + "/" + item; }
table_column column_of(const plan& p) { return {p.name, "ns"}; }

}  // namespace bench::topics
