// A history as the checker sees it: the lives of its values, and what has to be given an instant, by time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace support {
namespace detail {

inline constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::uint32_t nobody = std::numeric_limits<std::uint32_t>::max();

/// One accepted value: the intervals of its push and its pop. Never popped: both ends of the pop are `never`.
struct life {
  std::uint64_t push_start;
  std::uint64_t push_end;
  std::uint64_t pop_start = never;
  std::uint64_t pop_end = never;
  std::uint32_t push;          // \ into the history
  std::uint32_t pop = nobody;  // /
};

/// An operation that must be given an instant in its interval.
struct task {
  enum kind : std::uint8_t { push, pop, see_empty, see_full };
  std::uint64_t start;
  std::uint64_t end;
  std::uint32_t index;  // into the history
  std::uint32_t value;  // into the lives; nobody: it moves no value, but wants to see the queue empty or full
  kind what;
};

struct timeline {
  std::size_t capacity = 0;
  std::vector<life> lives;
  std::vector<task> tasks;              // by the end of their call
  std::vector<std::uint32_t> watchers;  // tasks that move no value, by the start of their call
  std::vector<std::uint32_t> by_push_end;
  std::vector<std::uint32_t> by_pop_end;  // lives, those that never end last

  void clear(std::size_t places) {
    capacity = places;
    lives.clear();
    tasks.clear();
  }

  /// Once the lives and those tasks that move no value are known.
  void arrange() {
    for (std::uint32_t v = 0; v < lives.size(); ++v) {
      const life& l = lives[v];
      tasks.push_back({l.push_start, l.push_end, l.push, v, task::push});
      if (l.pop != nobody) tasks.push_back({l.pop_start, l.pop_end, l.pop, v, task::pop});
    }
    std::sort(tasks.begin(), tasks.end(), [](const task& a, const task& b) { return a.end < b.end; });
    watchers.clear();
    by_push_end.clear();
    by_pop_end.clear();
    for (std::uint32_t t = 0; t < tasks.size(); ++t) {
      if (tasks[t].value == nobody) {
        watchers.push_back(t);
      } else {
        (tasks[t].what == task::push ? by_push_end : by_pop_end).push_back(tasks[t].value);
      }
    }
    for (const std::uint32_t v : by_push_end) {
      if (lives[v].pop == nobody) by_pop_end.push_back(v);
    }
    std::sort(watchers.begin(), watchers.end(),
              [&](std::uint32_t a, std::uint32_t b) { return tasks[a].start < tasks[b].start; });
  }
};

inline std::uint64_t mix(std::uint64_t x) noexcept {  // splitmix64, S. Vigna
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace detail
}  // namespace support
