// The results for people (on the terminal, in the bench page) and for programs (JSON as Google Benchmark's).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "support/results.hpp"

namespace bench {

struct circumstances {
  std::string machine;
  std::string compiler;
  std::string date;
  std::string command;
  std::size_t rounds;
  double others;  // the part of the machine that other programs took meanwhile, 0 .. 1; less than 0: unknown
  // nanoseconds for a multiplication that needs the one before, as the processor made them meanwhile
  std::optional<spread> multiplication;
};
[[nodiscard]] circumstances here_and_now(const std::string& command, std::size_t rounds, double others,
                                         std::optional<spread> multiplication);

struct results {
  std::vector<contest> contests;
  std::vector<burst_series> bursts;
  std::vector<timer_series> timers;
  std::vector<table_series> topics;
  std::vector<table_series> delivery;
  std::vector<table_series> flow;
};

/// Every contender of every cell, the bursts, then the targets, then the timers with theirs, then the topics, the delivery and the flow.
void print_tables(const results& all, const suite& s, const circumstances& c);

/// Replaces what stands between the marks of the bench page: the tables of the queues, the timers, the topics, the delivery
/// and the flow, as far as they have been measured. False: no such file, or no marks.
[[nodiscard]] bool write_page(const std::string& path, const results& all, const suite& s,
                              const circumstances& c);

/// One entry a round and contender, and for each contender an aggregate "median" with the counters `q1`, `q3`
/// and, where there is one of ours, `ours_is_faster`; of a burst and of timers one entry, whose counters
/// say all; of topics, delivery and flow one a cell and contender. False: the file cannot be written.
[[nodiscard]] bool write_json(const std::string& path, const results& all);

// The part of the timers, in timer_report.cpp.
void print_timers(const results& all, const suite& s);
[[nodiscard]] std::string timer_tables(const results& all, const suite& s);
/// What the table calls it.
[[nodiscard]] const char* name_of(timer_figure f);

// That of what stands in tables, in table_report.cpp: `section` is topics, delivery or flow.
void print_section(const char* section, const std::vector<table_series>& all,
                   const std::vector<table_target>& targets, const std::vector<std::string>& missing);
[[nodiscard]] std::string section_text(const char* section, const std::vector<table_series>& all,
                                       const std::vector<table_target>& targets,
                                       const std::vector<std::string>& missing);

}  // namespace bench
