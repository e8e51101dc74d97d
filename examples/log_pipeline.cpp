// A log at full speed through a channel: read, parsed by several workers, summed up, and proved complete.
//
//                  chunks of whole lines               tallies
//   FILE --> reader ======[ channel ]=====+=> worker =+==[ channel ]==> main: progress, report, proof
//                                         +=> worker =+                   ^
//                                         +=> worker =+                   |
//                                                               FILE again: one thread, no channel
//
// When the workers fall behind the reader waits for room, so memory stays constant however large the input
// is. At the end of the input the reader closes the channel; a worker's loop then ends when everything has
// been taken, and it hands in its tally. While main waits for the tallies it wakes up a few times a second to
// show how far things are. `log_pipeline --help` tells how to call it; what is no channel's business is in
// the folder log_pipeline/.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "log_pipeline/command_line.hpp"
#include "log_pipeline/lines.hpp"
#include "log_pipeline/report.hpp"
#include "log_pipeline/tally.hpp"
#include "millrace/queue/channel.hpp"

#if __has_include(<unistd.h>)
#include <unistd.h>
static bool on_a_terminal() { return isatty(STDERR_FILENO) == 1; }
#else
static bool on_a_terminal() { return false; }
#endif

namespace {

using millrace::channel;
using millrace::outcome;
using std::chrono::steady_clock;

using chunk_channel = channel<std::unique_ptr<chunk>>;

struct input {
  std::FILE* file;
  count limit;  // bytes
  bool again;   // it can be read again: a file, not a pipe or a terminal
};

struct result {
  tally found;        // by the workers
  census read;        // by the reader, if the input cannot be read again
  count dropped = 0;  // lines, by the overflow policy
  int error = 0;      // errno, if the input could not be read to its end
  double seconds = 0;
};

// So that nobody waits for ever for a thread that could not be started.
struct closing {
  chunk_channel& chunks;
  ~closing() { chunks.close(); }
};

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

// --- the pipeline ------------------------------------------------------------------------------------------

result run(const input& in, const options& o) {
  using namespace std::chrono_literals;
  const auto start = steady_clock::now();
  result r;
  std::atomic<count> lines_in = 0;
  std::atomic<count> lines_out = 0;
  chunk_channel chunks(o.capacity, o.policy,
                       [&r](std::unique_ptr<chunk>&& lost) { r.dropped += lost->lines(); });
  channel<tally> tallies(o.workers);

  const auto read = [&] {
    reader from(in.file, in.limit, o.repeat);
    while (std::unique_ptr<chunk> c = from.next()) {
      if (!in.again) c->for_each_line([&r](const line& l) { r.read.add(l); });
      lines_in += c->lines();
      if (chunks.push(std::move(c)) == outcome::closed) break;
    }
    r.error = from.error();
    chunks.close();
  };

  const auto work = [&] {
    tally mine;
    for (const std::unique_ptr<chunk>& c : chunks) {
      c->for_each_line([&mine](const line& l) { mine.add(l); });
      lines_out += c->lines();
    }
    std::ignore = tallies.push(std::move(mine));
  };

  std::vector<std::jthread> threads;
  const closing at_the_end{chunks};
  for (size_t i = 0; i < o.workers; ++i) threads.emplace_back(work);
  threads.emplace_back(read);

  const bool show = on_a_terminal();
  for (size_t awaited = o.workers; awaited > 0;) {
    tally part;
    if (tallies.pop_for(part, 200ms) == outcome::ok) {
      r.found.add(part);
      --awaited;
    } else if (show) {
      const double rate = static_cast<double>(lines_out) / seconds_since(start);
      std::fprintf(stderr, "\r%s lines in, %s out, %zu of %zu chunks waiting, %s lines/s\x1b[K",
                   grouped(lines_in).c_str(), grouped(lines_out).c_str(), chunks.size_approx(),
                   chunks.capacity(), grouped(static_cast<count>(rate)).c_str());
    }
  }
  if (show) std::fputs("\r\x1b[K", stderr);
  threads.clear();  // joins them
  r.seconds = seconds_since(start);
  return r;
}

// --- the proof ---------------------------------------------------------------------------------------------

/// The same bytes by one thread, in the lines of the standard library.
tally count_alone(const options& o, count limit) {
  tally found;
  const auto bytes = std::make_unique<char[]>(longest_shown + 1);
  for (size_t round = 0; round < o.repeat; ++round) {
    std::ifstream from(o.file, std::ios::binary);
    for (count left = limit; left > 0;) {
      from.getline(bytes.get(), longest_shown + 1);
      auto length = static_cast<count>(from.gcount());
      if (length == 0) break;
      if (from.fail()) {  // it is longer
        from.clear();
        from.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
        length += static_cast<count>(from.gcount());
      }
      bool ended = !from.eof();
      if (ended) --length;
      if (length >= left) {  // the file has grown since
        length = left;
        ended = false;
      }
      const text shown(bytes.get(), static_cast<size_t>(std::min<count>(length, longest_shown)));
      found.add(line{shown, length - shown.size(), ended});
      left -= length + (ended ? 1 : 0);
    }
  }
  return found;
}

/// Prints both counts, and whether nothing was lost.
bool prove(const result& r, const options& o, const input& in) {
  const auto start = steady_clock::now();
  tally reference;
  if (in.again) {
    reference = count_alone(o, in.limit);
  } else {
    reference.all = r.read;
  }
  const double seconds = seconds_since(start);
  const bool equal = in.again ? r.found == reference : r.found.all == reference.all;

  const auto row = [&](const char* name, auto figure) {
    std::printf("%-8s  %20s  %20s\n", name, figure(r.found.all).c_str(), figure(reference.all).c_str());
  };
  std::printf("\n%-8s  %20s  %20s\n", "", "pipeline", in.again ? "one thread alone" : "its reader");
  row("lines", [](const census& c) { return grouped(c.lines); });
  row("bytes", [](const census& c) { return grouped(c.bytes); });
  row("longest", [](const census& c) { return grouped(c.longest); });
  row("checksum", [](const census& c) { return std::to_string(c.checksum); });
  std::printf("%-8s  %20.3f", "seconds", r.seconds);
  if (in.again) std::printf("  %20.3f", seconds);
  std::printf("\n%-8s  %20.0f", "MB/s", static_cast<double>(r.found.all.bytes) / r.seconds / 1e6);
  if (in.again) std::printf("  %20.0f", static_cast<double>(reference.all.bytes) / seconds / 1e6);

  std::printf("\n\n");
  if (r.dropped > 0) std::printf("%s lines dropped by the overflow policy.\n", grouped(r.dropped).c_str());
  if (!equal) {
    std::printf("NOT EQUAL: lines were lost, or the file has changed meanwhile.\n");
  } else if (in.again) {
    std::printf("Equal, in every line of the tables too: nothing was lost.\n");
  } else {
    std::printf("Equal: nothing was lost after the reader. (This input cannot be read a second time.)\n");
  }
  return equal;
}

// --- main --------------------------------------------------------------------------------------------------

int fail(int status, const std::string& what) {
  std::fprintf(stderr, "log_pipeline: %s\n", what.c_str());
  return status;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<text> args(argv + 1, argv + argc);
  if (std::ranges::find(args, "--help") != args.end())
    return std::fputs(help, stdout) < 0 || std::fflush(stdout) != 0 ? 3 : 0;
  options o = parse(args);
  if (o.file.empty()) {
    o.file = log_of_this_machine();
    if (o.file.empty()) return fail(3, "there is no log that it knows on this machine; name a FILE");
  }
  std::FILE* const file = o.file == "-" ? stdin : std::fopen(o.file.c_str(), "rb");
  if (file == nullptr) return fail(3, o.file + ": " + std::generic_category().message(errno));
  input in{file, std::numeric_limits<count>::max(), false};
  if (file != stdin) {
    // why: what a file gains while it is read is left to the next run, so that both passes see the same. And
    // one that says it is empty may be the kernel's, which tells no size.
    std::error_code no_file;
    if (const auto size = std::filesystem::file_size(o.file, no_file); !no_file && size > 0)
      in = {file, size, true};
  }
  if (!in.again && o.repeat > 1) throw std::invalid_argument("--repeat needs a file that can be read again");

  const result r = run(in, o);
  if (r.error != 0) return fail(3, o.file + ": " + std::generic_category().message(r.error));
  report(o.file, r.found);
  const bool equal = prove(r, o, in);
  if (std::fflush(stdout) != 0) return fail(3, "the report cannot be written");
  return equal ? 0 : 1;
} catch (const std::invalid_argument& wrong) {
  return fail(2, std::string(wrong.what()) + "; see log_pipeline --help");
} catch (const std::exception& e) {
  return fail(3, e.what());
}
