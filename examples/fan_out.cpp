// One log file, three readers that know nothing of each other, and a publisher that knows none of them.
//
//                              .--> counters   answers by kind, as they come
//   lines of the file ===> [ topic ] --> archive    every byte, in order
//                              '--> alerts     three server errors in a row; added while it all runs
//
// The alerting rule joins when half of the file has been published, and not a line of the others changes for it. It begins
// with the oldest line that is kept, and the log keeps them all, so it misses nothing either.
//
//   fan_out [FILE]        lines of an access log; without one, a log of its own
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <latch>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/topic/topic.hpp"

using millrace::outcome;
using log_topic = millrace::topic<std::string, millrace::producers::single>;

/// The answer's code: what follows the quoted request, as in `... "GET / HTTP/1.1" 200 512 ...`; 0: none.
static int code_of(std::string_view line) {
  const auto quote = line.find("\" ");
  int code = 0;
  for (std::size_t i = quote + 2; quote != line.npos && i < line.size() && line[i] >= '0' && line[i] <= '9';
       ++i) {
    code = code * 10 + (line[i] - '0');
  }
  return code;
}

static std::vector<std::string> a_log_of_our_own() {
  std::vector<std::string> lines;
  for (int i = 0; i < 10'000; ++i) {
    // Every thousandth request or so the service behind is restarted.
    const int code = i % 1000 < 4 ? 503 : i % 7 == 0 ? 404 : i % 5 == 0 ? 302 : 200;
    lines.push_back("192.0.2." + std::to_string(i % 256) + " - - [01/Mar/2024] \"GET /item/" +
                    std::to_string(i) + " HTTP/1.1\" " + std::to_string(code) + " 512");
  }
  return lines;
}

int main(int argc, char** argv) {
  std::vector<std::string> lines;
  if (argc > 1) {
    std::ifstream file(argv[1]);
    if (!file) return std::fprintf(stderr, "fan_out: cannot read %s\n", argv[1]), 1;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
  } else {
    lines = a_log_of_our_own();
  }

  log_topic log(lines.size() + 1);  // it keeps as many
  std::array<std::size_t, 6> answers{};
  std::string archive;
  std::size_t alarms = 0;

  std::jthread counting([&answers, reader = log.subscribe()]() mutable {
    for (const std::string& line : reader) {
      const int kind = code_of(line) / 100;
      ++answers[kind >= 1 && kind <= 5 ? static_cast<std::size_t>(kind) : 0];
    }
  });
  std::jthread archiving([&archive, reader = log.subscribe()]() mutable {
    std::string block;  // written out at the end of each batch, as to a file
    const auto take = [&](const std::string& line, std::uint64_t, bool end_of_batch) {
      block += line + '\n';
      if (end_of_batch) archive += std::exchange(block, {});
    };
    if (reader.run(take) != outcome::closed) std::fputs("the archive is not complete\n", stderr);
  });

  std::latch half(1);
  std::jthread alerting([&] {
    half.wait();
    auto reader = log.subscribe({.from = millrace::earliest});
    int in_a_row = 0;
    for (const std::string& line : reader) {
      in_a_row = code_of(line) >= 500 ? in_a_row + 1 : 0;
      if (in_a_row == 3) ++alarms;
    }
  });

  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i == lines.size() / 2) half.count_down();
    if (log.publish(lines[i]) != outcome::ok) return 1;
  }
  if (lines.empty()) half.count_down();
  // Who comes after the end would still find everything; but then it would not have come while it ran.
  log.close();
  counting.join();
  archiving.join();
  alerting.join();

  std::string expected;
  for (const std::string& line : lines) expected += line + '\n';
  std::printf("%zu lines published\n", lines.size());
  std::printf("counters: %zu good, %zu moved, %zu wrong, %zu failed, %zu other\n", answers[2], answers[3],
              answers[4], answers[5], answers[0] + answers[1]);
  std::printf("archive:  %zu bytes, %s\n", archive.size(),
              archive == expected ? "as published" : "NOT as published");
  std::printf("alerts:   %zu, by a rule that was added at line %zu\n", alarms, lines.size() / 2);
  return archive == expected ? 0 : 1;
}
