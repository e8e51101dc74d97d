// What wheel_script is run with: kinds of wheels, and times at which they begin.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <ratio>

#include "millrace/time/timing_wheel.hpp"
#include "support/wheel_script.hpp"

namespace support {

struct wheel_run {
  const char* differs = nullptr;  // where the wheel did not do what the sorted set did
  std::uint64_t fired = 0;
};

inline constexpr unsigned wheel_kinds = 5;

namespace detail {
template <class Tick, class Duration, class Source>
[[nodiscard]] wheel_run run_wheel(Source& source) {
  using wheel = millrace::timing_wheel<std::uint64_t, Tick, named_clock<Duration>>;
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t first = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t a_while = std::int64_t{1} << 45;
  static constexpr std::int64_t starts[] = {
      0,   -1, 1'700'000'000'000'000'000, first, first + 1, -a_while, last - a_while, last - 1'000'000'000,
      last};
  wheel_script<wheel, Source> script(source, starts[source.below(std::size(starts))]);
  const std::optional<std::uint64_t> fired = script.run();
  return {script.what(), fired.value_or(0)};
}
}  // namespace detail

/// Source: as wheel_script's.
template <class Source>
[[nodiscard]] wheel_run run_wheel(unsigned kind, Source& source) {
  using namespace std::chrono;
  switch (kind % wheel_kinds) {
    case 0: return detail::run_wheel<milliseconds, nanoseconds>(source);
    case 1: return detail::run_wheel<nanoseconds, nanoseconds>(source);
    case 2: return detail::run_wheel<duration<std::int64_t, std::ratio<1, 100>>, nanoseconds>(source);
    case 3: return detail::run_wheel<duration<int, std::ratio<3, 1000>>, milliseconds>(source);
    default: return detail::run_wheel<hours, milliseconds>(source);
  }
}

}  // namespace support
