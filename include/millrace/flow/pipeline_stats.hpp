// millrace/flow/pipeline_stats.hpp - what a pipeline has done, what is inside, and which of its stages holds up the others.
//
// Everything but the numbers of the moment counts from the first start() on, so that two readings are subtracted for what
// happened in between: nobody who looks takes anything from somebody else who does.
//
// Use it when : you have asked pipeline::stats().
// Use instead : nothing.
// Threads     : plain values, of one moment.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : the books balance: taken = done + filtered + dead + given_back + inside, in every reading.
// Exceptions  : std::bad_alloc.
// Memory      : 150 bytes a stage.
// Cost        : a copy.
// Source      : ours; utilisation as in queueing theory: the time that the workers were busy, of the time that there was.
// Checked by  : tests/flow/pipeline_stats_test.cpp, tests/flow/pipeline_test.cpp
//
// Example:
//   const auto before = line.stats();
//   ... a minute ...
//   const auto minute = line.stats().since(before);
//   print("{} holds it up", minute.bottleneck());
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

struct stage_stats {
  std::string name;

  // Now:

  std::size_t workers = 0;   // that it may have
  std::size_t running = 0;   // that are at work
  std::size_t depth = 0;     // messages that wait for a worker
  std::size_t retrying = 0;  // messages that wait for their next attempt

  // Messages:

  std::uint64_t in = 0;
  std::uint64_t out = 0;       // to the next stage; of the last one: done
  std::uint64_t filtered = 0;  // its function returned nothing
  std::uint64_t dead = 0;      // failed for good
  std::uint64_t failed = 0;    // attempts

  // Times; of workers that are at work now, too:

  std::chrono::nanoseconds elapsed{0};  // that the pipeline was started
  std::chrono::nanoseconds offered{0};  // by all workers together: their number times that
  std::chrono::nanoseconds busy{0};     // in the function, likewise
  std::chrono::nanoseconds blocked{0};  // messages and a worker were there, but no room behind

  /// Of its workers, 0 to 1.
  [[nodiscard]] double busy_share() const noexcept { return share(busy, offered); }
  /// Of the time, 0 to 1.
  [[nodiscard]] double blocked_share() const noexcept { return share(blocked, elapsed); }
  /// Messages out, a second.
  [[nodiscard]] double rate() const noexcept {
    const double seconds = std::chrono::duration<double>(elapsed).count();
    return seconds > 0 ? static_cast<double>(out) / seconds : 0;
  }

 private:
  static double share(std::chrono::nanoseconds part, std::chrono::nanoseconds of) noexcept {
    return of.count() > 0 ? static_cast<double>(part.count()) / static_cast<double>(of.count()) : 0;
  }
};

struct pipeline_stats {
  /// In their order. The last one is called "to": what the messages come out to; not if the last stage's function returns void.
  std::vector<stage_stats> stages;
  std::chrono::nanoseconds elapsed{0};

  // Messages:

  std::uint64_t taken = 0;       // from the source
  std::uint64_t done = 0;        // through the last stage; acknowledged
  std::uint64_t filtered = 0;    // likewise acknowledged
  std::uint64_t dead = 0;        // failed for good
  std::uint64_t given_back = 0;  // by stop() and drain(), to be taken again

  // Now:

  std::size_t inside = 0;
  std::size_t parked = 0;  // dead, or given back, and with nowhere to go: see pipeline::take_parked

  /// What has happened since that reading of the same pipeline; the numbers of the moment are those of this one.
  [[nodiscard]] pipeline_stats since(const pipeline_stats& before) const {
    pipeline_stats s = *this;
    s.elapsed -= before.elapsed;
    s.taken -= before.taken;
    s.done -= before.done;
    s.filtered -= before.filtered;
    s.dead -= before.dead;
    s.given_back -= before.given_back;
    for (std::size_t i = 0; i < s.stages.size() && i < before.stages.size(); ++i) {
      stage_stats& a = s.stages[i];
      const stage_stats& b = before.stages[i];
      a.in -= b.in;
      a.out -= b.out;
      a.filtered -= b.filtered;
      a.dead -= b.dead;
      a.failed -= b.failed;
      a.elapsed -= b.elapsed;
      a.offered -= b.offered;
      a.busy -= b.busy;
      a.blocked -= b.blocked;
    }
    return s;
  }

  /// The stage whose workers are busiest, of equals the later one. Where the messages come out to also counts for busy while it
  /// is full: then "to" says that what lies behind the pipeline holds it up. Empty: nothing has been done.
  [[nodiscard]] std::string_view bottleneck() const noexcept {
    std::string_view name;
    double most = 0;
    for (const stage_stats& s : stages) {
      const bool is_last = &s == &stages.back();
      const double load = s.busy_share() + (is_last ? s.blocked_share() : 0);
      if (load <= 0 || load < most) continue;
      most = load;
      name = s.name;
    }
    return name;
  }
};

}  // namespace v0
}  // namespace millrace
