// How log_pipeline is called.
#pragma once

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "lines.hpp"
#include "millrace/queue/channel.hpp"

constexpr const char* help =
    "log_pipeline [FILE | -] [--workers N] [--capacity N] [--overflow POLICY] [--repeat N]\n"
    "\n"
    "Counts what is in a log: web servers' access logs (common and combined format), dpkg's log, and of "
    "anything\n"
    "else the first word of each line. Each line shows by its form of which kind it is. Without FILE it "
    "takes a log\n"
    "of this machine; - is the standard input.\n"
    "\n"
    "  --workers N        threads that parse, 1 to 256; by default one for each processor, at least 2\n"
    "  --capacity N       how many chunks of 64 KiB may wait for a worker, 1 to 65536; by default 64\n"
    "  --overflow POLICY  what to do with more: block (the reader waits; the default), drop_newest or "
    "drop_oldest\n"
    "                     (the reader goes on and lines are lost, as the proof will show)\n"
    "  --repeat N         reads FILE N times over, 1 to 1000000\n"
    "\n"
    "Exit status: 0 nothing was lost, 1 the counts differ, 2 wrong arguments, 3 the input cannot be read or "
    "the\n"
    "report not be written.\n";

struct options {
  std::string file;
  size_t workers = std::max(2U, std::thread::hardware_concurrency());
  size_t capacity = 64;
  size_t repeat = 1;
  millrace::overflow policy = millrace::overflow::block;
};

inline size_t number(text option, text value, size_t most) {
  size_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < 1 || n > most) {
    throw std::invalid_argument(std::string(option) + " must be 1 to " + std::to_string(most));
  }
  return n;
}

inline millrace::overflow policy(text name) {
  if (name == "block") return millrace::overflow::block;
  if (name == "drop_newest") return millrace::overflow::drop_newest;
  if (name == "drop_oldest") return millrace::overflow::drop_oldest;
  throw std::invalid_argument("--overflow must be block, drop_newest or drop_oldest");
}

inline options parse(const std::vector<text>& args) {
  options o;
  for (auto arg = args.begin(); arg != args.end(); ++arg) {
    const text name = *arg;
    if (name == "-" || !name.starts_with('-')) {
      if (name.empty() || !o.file.empty()) throw std::invalid_argument("there must be one FILE");
      o.file = name;
      continue;
    }
    const text value = arg + 1 != args.end() ? *++arg : "";
    if (name == "--workers") {
      o.workers = number(name, value, 256);
    } else if (name == "--capacity") {
      o.capacity = number(name, value, 65536);
    } else if (name == "--overflow") {
      o.policy = policy(value);
    } else if (name == "--repeat") {
      o.repeat = number(name, value, 1000000);
    } else {
      throw std::invalid_argument("there is no option " + std::string(name));
    }
  }
  return o;
}

/// One that is not empty; nothing where there is none.
inline std::string log_of_this_machine() {
  for (const char* name : {"/var/log/dpkg.log", "/var/lib/dpkg/status", "/etc/services"}) {
    std::error_code error;
    const auto size = std::filesystem::file_size(name, error);
    if (!error && size > 0) return name;
  }
  return {};
}
