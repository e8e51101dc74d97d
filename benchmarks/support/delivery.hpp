// The workloads of consumer groups, the same text for every contender. A contender is a class with
//
//   void publish(std::uint64_t n)            messages 1 .. n, by one thread, and then the end of the stream
//   worked work(unsigned worker)             by each worker's thread, until everything is settled
//   void check(std::uint64_t n)              throws if its books say that not all n are settled
//
// A sample takes the time from the first push to the last settle.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/drive.hpp"
#include "support/tables.hpp"

namespace bench::delivery {

inline constexpr std::size_t capacity = 4096;
inline constexpr std::array<unsigned, 3> crews{1, 2, 4};
/// So that the sample from which the number of messages follows is no long one.
inline constexpr std::uint64_t most_of_brokers = 200'000;
/// When a worker gives up that was given nothing.
inline constexpr std::chrono::seconds longest_silence(60);

inline constexpr const char* ack_table = "receive+ack";
inline constexpr const char* nack_table = "nack";
inline constexpr const char* groups_table = "groups";
inline constexpr const char* memory_table = "memory";

/// Whether a message fails the first time.
enum class fate : unsigned char { succeeds, fails_once };

inline const char* table_of(fate what) { return what == fate::succeeds ? ack_table : nack_table; }
table_column column_of(unsigned workers);

/// What one worker has settled, and when it had settled the last one.
struct worked {
  std::uint64_t messages = 0;
  std::uint64_t sum = 0;
  stopwatch::time_point last;

  void note(std::uint64_t number) noexcept {
    ++messages;
    sum += number;
  }
};

/// Throws std::runtime_error(what) unless it holds.
void check(bool holds, const char* what);
/// Nanoseconds.
double nanoseconds(stopwatch::duration d);

/// Nanoseconds a message.
template <class C>
double sample(C& with, unsigned workers, std::uint64_t messages) {
  std::vector<worked> did(workers);
  bodies all;
  all.push_back([&](tally& mine) {
    with.publish(messages);
    mine.put = messages * (messages + 1) / 2;
    mine.end = mine.begin;  // publishing is not what is timed
  });
  for (unsigned k = 0; k < workers; ++k) {
    all.push_back([&, k](tally& mine) {
      did[k] = with.work(k);
      mine.got = did[k].sum;
      mine.end = did[k].last;
    });
  }
  const double seconds = race(all);
  std::uint64_t settled = 0;
  for (const worked& w : did) settled += w.messages;
  check(settled == messages, "not every message was settled once");
  with.check(messages);
  return 1e9 * seconds / static_cast<double>(messages);
}

}  // namespace bench::delivery
