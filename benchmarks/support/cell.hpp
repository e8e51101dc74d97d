// One cell of the matrix: what is done, by whom, with which items, in a queue of which capacity.
#pragma once

#include <compare>
#include <cstddef>
#include <limits>
#include <string>

namespace bench {

enum class verbs : unsigned char {
  trying,     // try_push, try_pop, and the waiting rule of drive.hpp in between
  blocking,   // push and pop, which wait in their own way
  batches,    // try_push_n and try_pop_n, or what the queue calls them
  one_each,   // as trying, for queues that allow one producer and one consumer
  selecting,  // push into one of `capacity` channels, and a select over all of them
  handing,    // push and pop, by coroutines and threads that wait for each other
};

/// single: one thread pushes and pops in turn. ping_pong: two threads, two queues, a round trip is one item.
/// crowd: `producers` push and `consumers` pop, an equal share each.
enum class work : unsigned char { single, ping_pong, crowd };

struct shape {
  work what;
  unsigned producers = 1;
  unsigned consumers = 1;

  auto operator<=>(const shape&) const = default;
};

/// In place of a capacity: there is none, and a push is never refused.
inline constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();
/// The places that a queue without a limit is asked to begin with.
inline constexpr std::size_t first_places = 64;

struct cell {
  verbs how;
  const char* item;
  std::size_t capacity;
  shape who;

  [[nodiscard]] std::size_t places() const { return capacity == unbounded ? first_places : capacity; }
};

inline constexpr std::size_t batch_size = 32;

inline const char* to_string(verbs v) {
  switch (v) {
    case verbs::trying: return "try";
    case verbs::blocking: return "blocking";
    case verbs::batches: return "batch";
    case verbs::one_each: return "spsc";
    case verbs::selecting: return "select";
    case verbs::handing: return "hand-off";
  }
  return "";
}

inline std::string to_string(const shape& s) {
  switch (s.what) {
    case work::single: return "single";
    case work::ping_pong: return "ping-pong";
    case work::crowd: break;
  }
  return std::to_string(s.producers) + "P" + std::to_string(s.consumers) + "C";
}

/// The cells that stand in one table.
inline std::string table_of(const cell& c) {
  const std::string capacity = c.capacity == unbounded ? "unbounded" : std::to_string(c.capacity);
  return std::string(to_string(c.how)) + "/" + c.item + "/" + capacity;
}
inline std::string to_string(const cell& c) { return table_of(c).append("/").append(to_string(c.who)); }

}  // namespace bench
