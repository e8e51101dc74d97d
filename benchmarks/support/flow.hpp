// The workloads of the application's side: what pipelines, a bus, requests, sagas and metrics cost. Those that have peers are
// here, the same text for every contender; the others are beside their contender.
//
// A contender of the pipelines is a class with
//
//   C(source&, results&)      starts what it needs; the threads, too
//   void run()                takes all from the source, which is closed, through four stages and into the results
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/drive.hpp"
#include "support/items.hpp"
#include "support/role.hpp"
#include "support/tables.hpp"

namespace bench::flow {

inline constexpr const char* publish_table = "bus/publish";
inline constexpr const char* subscribe_table = "bus/subscribe";
inline constexpr const char* request_table = "request";
inline constexpr const char* alone_table = "request/alone";
inline constexpr const char* saga_table = "saga";
inline constexpr const char* waiting_table = "saga/waiting";
inline constexpr const char* instruments_table = "metrics/instruments";
inline constexpr const char* overhead_table = "metrics/overhead";

/// Throws std::runtime_error(what) unless it holds.
void check(bool holds, const char* what);
/// Nanoseconds since `begin`, for each of `n`.
double nanoseconds_each(stopwatch::time_point begin, std::uint64_t n);

// --- pipelines ---

/// What a stage does: so many multiplications, each of which waits for the one before.
enum class size : unsigned { tiny = 4, microsecond = 576 };
/// Whether they come out in the order in which they came in.
enum class order : unsigned char { any, kept };

inline constexpr unsigned stages = 4;
/// Messages between two stages, and inside, all stages together.
inline constexpr std::size_t most_between = 64;
inline constexpr std::size_t most_inside = most_between * (stages - 1);
/// Of all contenders but the one with a thread for each stage.
unsigned threads();

template <size Size>
inline word stage(word v) noexcept {
  for (unsigned i = 0; i < static_cast<unsigned>(Size); ++i) {
    v ^= v >> 32;
    v *= 0x9E3779B97F4A7C15U;
  }
  return v;
}

/// Where messages come from: they lie there before the time is taken.
using source = millrace::channel<word, millrace::unbounded_queue<word>>;
void fill(source& to, std::uint64_t messages);

/// What has come out. On a line of its own; by one thread at a time.
struct alignas(128) results {
  std::uint64_t messages = 0;
  word sum = 0;
  word chain = 0;  // depends on their order

  void take(word v) noexcept {
    ++messages;
    sum += v;
    chain = (chain ^ v) * 0x9E3779B97F4A7C15U;
  }
};
/// Of messages 1 .. n; `finish` is what the stages together do.
results expected(std::uint64_t n, size s, word (*finish)(word));
void verify(const results& out, const results& right, order how);

std::string pipeline_table(size s);
table_column column_of(order how);

/// Nanoseconds a message.
template <class C>
double sample_pipeline(size s, order how, word (*finish)(word), std::uint64_t messages) {
  source from;
  fill(from, messages);
  results out;
  double took = 0;
  {
    C line(from, out);
    const auto begin = stopwatch::now();
    line.run();
    took = nanoseconds_each(begin, messages);
  }
  verify(out, expected(messages, s, finish), how);
  return took;
}

/// `C`: a template over the size of the stages and the order.
template <template <size, order> class C>
class entering_pipeline {
 public:
  entering_pipeline(std::vector<table_entry>& all, const char* name, role as)
      : all_(all), name_(name), as_(as) {}

  void both_sizes(order how) {
    if (how == order::any) {
      enter<size::tiny, order::any>();
      enter<size::microsecond, order::any>();
    } else {
      enter<size::tiny, order::kept>();
      enter<size::microsecond, order::kept>();
    }
  }

 private:
  template <size Size, order How>
  void enter() {
    all_.push_back({pipeline_table(Size), {column_of(How)}, name_, as_, [](std::uint64_t messages) {
                      constexpr auto finish = [](word v) {
                        for (unsigned i = 0; i < stages; ++i) v = stage<Size>(v);
                        return v;
                      };
                      return std::vector{sample_pipeline<C<Size, How>>(Size, How, finish, messages)};
                    }});
  }

  std::vector<table_entry>& all_;
  const char* name_;
  role as_;
};

}  // namespace bench::flow
