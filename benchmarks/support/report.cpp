#include "support/report.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace bench {
namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string short_name(const std::string& cell, const std::string& table) {
  return cell.substr(table.size() + 1);
}

/// The distinct tables, in the order of their first cells.
std::vector<std::string> tables(const std::vector<contest>& contests) {
  std::vector<std::string> names;
  for (const contest& c : contests) {
    const std::string name = table_of(c.where);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<verdict> verdicts(const std::vector<contest>& contests, const suite& s) {
  std::vector<verdict> all;
  for (const target& t : s.targets) {
    if (const auto v = judge(t, contests)) all.push_back(*v);
  }
  return all;
}

std::string meanwhile(const circumstances& c) {
  std::string text;
  if (c.others >= 0)
    text += fmt::format("; other programs took {:.0f} % of the machine meanwhile", 100 * c.others);
  if (c.multiplication)
    text += fmt::format("; a multiplication took {:.2f} ns ({:.2f} - {:.2f})", c.multiplication->median,
                        c.multiplication->q1, c.multiplication->q3);
  return text;
}

std::string outcome_of(const verdict& v) {
  if (v.met()) return "met";
  const double percent = 100 * (1 - v.reached.median / v.goal->at_least);
  return percent < 1 ? "missed by less than 1 %" : fmt::format("missed by {:.0f} %", percent);
}

std::string burst_title(const burst_series& any) {
  return fmt::format("A burst of {} million 8-byte items, {} rounds", burst_items / 1'000'000,
                     any.rounds.size());
}

/// Whether ours takes as little memory as it should, in words; empty: ours was not measured.
std::string burst_verdict(const std::vector<burst_series>& bursts, const suite& s) {
  for (const burst_series& b : bursts) {
    if (b.who->as != role::ours) continue;
    const double bytes = b.peak_bytes_an_item();
    return fmt::format("{}: {:.1f} bytes an item at the peak, at most {:.1f} is the target: {}", b.who->name,
                       bytes, s.burst_bytes_at_most, bytes <= s.burst_bytes_at_most ? "met" : "missed");
  }
  return {};
}

std::string heading(const circumstances& c, std::size_t rounds) {
  return fmt::format("{}; {}; {}{}.\n`{}`: {} rounds.\n", c.machine, c.compiler, c.date, meanwhile(c),
                     c.command, rounds);
}

std::size_t rounds_of(const timer_series& t) {
  std::size_t most = 0;
  for (const std::vector<double>& samples : t.figures) most = std::max(most, samples.size());
  return most;
}

std::string queue_tables(const results& all, const suite& s) {
  const std::vector<contest>& contests = all.contests;
  std::string out;
  auto to = std::back_inserter(out);
  fmt::format_to(
      to, "\n### Targets\n\nTimes the throughput of the best rival: median of the rounds (quartiles).\n\n");
  fmt::format_to(
      to, "| cell | ours, ns | best rival | its ns | ratio | target | | best lock-free rival | ratio |\n");
  fmt::format_to(to, "|---|---|---|---|---|---|---|---|---|\n");
  for (const verdict& v : verdicts(contests, s)) {
    const series& ours = *v.in->ours();
    fmt::format_to(to, "| {} | {:.1f} | {} | {:.1f} | **{:.2f}** ({:.2f} - {:.2f}) | {:.1f} | {} |",
                   v.goal->cell, quantile(ours.ns, 0.5), v.rival->who->name, quantile(v.rival->ns, 0.5),
                   v.reached.median, v.reached.q1, v.reached.q3, v.goal->at_least, outcome_of(v));
    if (v.lock_free == nullptr) {
      fmt::format_to(to, " | |\n");
    } else {
      fmt::format_to(to, " {} | {:.2f} |\n", v.lock_free->who->name, ratio(ours, *v.lock_free).median);
    }
  }

  for (const std::string& table : tables(contests)) {
    std::vector<const contest*> columns;
    std::vector<std::string> rows;
    for (const contest& k : contests) {
      if (table_of(k.where) != table) continue;
      columns.push_back(&k);
      for (const series& x : k.all) {
        if (std::find(rows.begin(), rows.end(), x.who->name) == rows.end()) rows.push_back(x.who->name);
      }
    }
    fmt::format_to(to, "\n### {}\n\nNanoseconds an item, and how many times faster ours is.\n\n|", table);
    for (const contest* k : columns) fmt::format_to(to, " | {}", short_name(to_string(k->where), table));
    fmt::format_to(to, " |\n|---|");
    for (std::size_t i = 0; i < columns.size(); ++i) fmt::format_to(to, "---|");
    for (const std::string& row : rows) {
      fmt::format_to(to, "\n| {} |", row);
      for (const contest* k : columns) {
        const auto x =
            std::find_if(k->all.begin(), k->all.end(), [&](const series& y) { return y.who->name == row; });
        if (x == k->all.end()) {
          fmt::format_to(to, " |");
        } else if (k->ours() == nullptr || k->ours() == &*x) {
          fmt::format_to(to, " **{:.1f}** |", quantile(x->ns, 0.5));
        } else {
          fmt::format_to(to, " {:.1f} ({:.2f}) |", quantile(x->ns, 0.5), ratio(*k->ours(), *x).median);
        }
      }
    }
    fmt::format_to(to, "\n");
  }
  if (!all.bursts.empty()) {
    fmt::format_to(to, "\n### burst/8B\n\n{}: one thread pushes all of them, then pops all. Medians.\n\n",
                   burst_title(all.bursts.front()));
    fmt::format_to(to,
                   "| | push, ns | drain, ns | peak, bytes an item | left after the drain, MB |\n"
                   "|---|---|---|---|---|\n");
    for (const burst_series& b : all.bursts) {
      fmt::format_to(to, "| {} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |\n", b.who->name,
                     b.median(&burst_costs::push_ns), b.median(&burst_costs::drain_ns),
                     b.peak_bytes_an_item(), b.megabytes_left());
    }
    const std::string reached = burst_verdict(all.bursts, s);
    if (!reached.empty()) fmt::format_to(to, "\n{}.\n", reached);
  }
  for (const std::string& note : s.notes)
    fmt::format_to(to, "\nNot compared, as it was not there: {}.\n", note);
  return out;
}

/// Replaces what stands between the marks of that name.
bool put_between_marks(std::string& page, const char* name, const std::string& text) {
  const std::string begin = fmt::format("<!-- {}: begin -->\n", name);
  const std::string end = fmt::format("<!-- {}: end -->", name);
  const std::size_t from = page.find(begin);
  const std::size_t to = page.find(end);
  if (from == std::string::npos || to == std::string::npos || to < from) return false;
  page.replace(from + begin.size(), to - from - begin.size(), text);
  return true;
}

}  // namespace

circumstances here_and_now(const std::string& command, std::size_t rounds, double others,
                           std::optional<spread> multiplication) {
  circumstances c;
  utsname system{};
  uname(&system);
  c.machine = fmt::format("{}, {} cores, {} {}", processor(), std::thread::hardware_concurrency(),
                          system.sysname, system.release);
#if defined(__clang__)
  c.compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
  c.compiler = "g++ " __VERSION__;
#endif
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  char date[sizeof "2000-01-01"];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  c.date = date;
  c.command = command;
  c.rounds = rounds;
  c.others = others;
  c.multiplication = multiplication;
  return c;
}

void print_tables(const results& all, const suite& s, const circumstances& c) {
  const std::vector<contest>& contests = all.contests;
  fmt::print("{}; {}; {}{}\n", c.machine, c.compiler, c.date, meanwhile(c));
  fmt::print(
      "{} rounds. ns: nanoseconds an item (a round trip in ping-pong, a push and a pop in single), median "
      "and\n"
      "quartiles of the rounds. x: how many times faster ours is, likewise, round by round.\n",
      c.rounds);
  for (const contest& k : contests) {
    std::vector<const series*> rows;
    for (const series& x : k.all) rows.push_back(&x);
    std::sort(rows.begin(), rows.end(),
              [](const series* a, const series* b) { return quantile(a->ns, 0.5) < quantile(b->ns, 0.5); });
    const series* ours = k.ours();
    fmt::print("\n{}\n", to_string(k.where));
    for (const series* x : rows) {
      const spread ns = spread_of(x->ns);
      fmt::print("{} {:<50} {:>8.1f} ns  ({:.1f} - {:.1f})", x == ours ? '*' : ' ', x->who->name, ns.median,
                 ns.q1, ns.q3);
      if (ours != nullptr && x != ours) {
        const spread r = ratio(*ours, *x);
        fmt::print("   {:.2f} x  ({:.2f} - {:.2f})", r.median, r.q1, r.q3);
      }
      fmt::print("\n");
    }
  }

  if (!all.bursts.empty()) {
    fmt::print("\n{}: push, drain, most memory, memory left\n", burst_title(all.bursts.front()));
  }
  for (const burst_series& b : all.bursts) {
    fmt::print("{} {:<50} {:>8.1f} ns {:>8.1f} ns {:>8.1f} bytes an item {:>8.1f} MB\n",
               b.who->as == role::ours ? '*' : ' ', b.who->name, b.median(&burst_costs::push_ns),
               b.median(&burst_costs::drain_ns), b.peak_bytes_an_item(), b.megabytes_left());
  }
  const std::string burst = burst_verdict(all.bursts, s);

  const std::vector<verdict> goals = verdicts(contests, s);
  if (!burst.empty()) fmt::print("{}\n", burst);
  if (!goals.empty()) fmt::print("\nTargets: times the throughput of the best rival\n");
  for (const verdict& v : goals) {
    fmt::print("  {:<26} {:>5.2f} ({:.2f} - {:.2f})  target {:.1f}  {:<16} best rival: {}", v.goal->cell,
               v.reached.median, v.reached.q1, v.reached.q3, v.goal->at_least, outcome_of(v),
               v.rival->who->name);
    if (v.lock_free != nullptr && v.lock_free != v.rival) {
      fmt::print("; {:.2f} times the best lock-free: {}", ratio(*v.in->ours(), *v.lock_free).median,
                 v.lock_free->who->name);
    }
    fmt::print("\n");
  }
  print_timers(all, s);
  print_section("topics", all.topics, {}, s.topic_notes);
  print_section("delivery", all.delivery, s.delivery_targets, s.delivery_notes);
  print_section("flow", all.flow, s.flow_targets, s.flow_notes);
  for (const std::string& note : s.notes) fmt::print("not there: {}\n", note);
}

bool write_page(const std::string& path, const results& all, const suite& s, const circumstances& c) {
  std::ifstream in(path);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  const bool queues = !all.contests.empty() || !all.bursts.empty();
  if (queues && !put_between_marks(text, "queues", heading(c, c.rounds) + queue_tables(all, s))) return false;
  if (!all.timers.empty() &&
      !put_between_marks(text, "timers", heading(c, rounds_of(all.timers.front())) + timer_tables(all, s))) {
    return false;
  }
  const auto put_section = [&](const char* section, const std::vector<table_series>& of,
                               const std::vector<table_target>& targets,
                               const std::vector<std::string>& missing) {
    return of.empty() || put_between_marks(text, section,
                                           heading(c, of.front().rounds.size()) +
                                               section_text(section, of, targets, missing));
  };
  if (!put_section("topics", all.topics, {}, s.topic_notes) ||
      !put_section("delivery", all.delivery, s.delivery_targets, s.delivery_notes) ||
      !put_section("flow", all.flow, s.flow_targets, s.flow_notes)) {
    return false;
  }
  std::ofstream out(path);
  out << text;
  return out.good();
}

bool write_json(const std::string& path, const results& all) {
  using run = benchmark::BenchmarkReporter::Run;
  std::ofstream out(path);
  benchmark::JSONReporter json;
  json.SetOutputStream(&out);
  json.SetErrorStream(&out);
  json.ReportContext(benchmark::BenchmarkReporter::Context());
  std::int64_t family = 0;
  for (const contest& k : all.contests) {
    for (const series& x : k.all) {
      std::vector<run> runs;
      run r;
      r.run_name.function_name = to_string(k.where) + "/" + x.who->name;
      r.family_index = family++;
      r.per_family_instance_index = 0;
      r.time_unit = benchmark::kNanosecond;
      r.repetitions = static_cast<std::int64_t>(x.ns.size());
      r.iterations = static_cast<benchmark::IterationCount>(x.items);
      const auto seconds = [&](double ns) { return ns * 1e-9 * static_cast<double>(r.iterations); };
      for (std::size_t i = 0; i < x.ns.size(); ++i) {
        r.repetition_index = static_cast<std::int64_t>(i);
        r.real_accumulated_time = seconds(x.ns[i]);
        runs.push_back(r);
      }
      const spread ns = spread_of(x.ns);
      r.run_type = run::RT_Aggregate;
      r.aggregate_name = "median";
      r.aggregate_unit = benchmark::kTime;
      r.real_accumulated_time = seconds(ns.median);
      r.counters["q1"] = benchmark::Counter(ns.q1);
      r.counters["q3"] = benchmark::Counter(ns.q3);
      if (const series* ours = k.ours(); ours != nullptr && ours != &x) {
        r.counters["ours_is_faster"] = benchmark::Counter(ratio(*ours, x).median);
      }
      runs.push_back(r);
      json.ReportRuns(runs);
    }
  }
  for (const burst_series& b : all.bursts) {
    run r;
    r.run_name.function_name = "burst/8B/" + b.who->name;
    r.family_index = family++;
    r.per_family_instance_index = 0;
    r.time_unit = benchmark::kNanosecond;
    r.repetitions = static_cast<std::int64_t>(b.rounds.size());
    r.run_type = run::RT_Aggregate;
    r.aggregate_name = "median";
    r.aggregate_unit = benchmark::kTime;
    r.iterations = static_cast<benchmark::IterationCount>(burst_items);
    const double push = b.median(&burst_costs::push_ns);
    const double drain = b.median(&burst_costs::drain_ns);
    r.real_accumulated_time = (push + drain) * 1e-9 * static_cast<double>(r.iterations);
    r.counters["push_ns"] = benchmark::Counter(push);
    r.counters["drain_ns"] = benchmark::Counter(drain);
    r.counters["peak_bytes_an_item"] = benchmark::Counter(b.peak_bytes_an_item());
    r.counters["megabytes_left"] = benchmark::Counter(b.megabytes_left());
    json.ReportRuns({r});
  }
  for (const timer_series& t : all.timers) {
    run r;
    r.run_name.function_name = "timers/" + t.name;
    r.family_index = family++;
    r.per_family_instance_index = 0;
    r.run_type = run::RT_Aggregate;
    r.aggregate_name = "median";
    r.aggregate_unit = benchmark::kTime;
    for (std::size_t f = 0; f < timer_figures; ++f) {
      if (t.figures[f].empty()) continue;
      r.repetitions = static_cast<std::int64_t>(t.figures[f].size());
      r.counters[name_of(timer_figure(f))] = benchmark::Counter(quantile(t.figures[f], 0.5));
    }
    json.ReportRuns({r});
  }
  const auto write_table = [&](const char* section, const table_series& t) {
    run r;
    r.run_name.function_name = fmt::format("{}/{}/{}/{}", section, t.table, t.column.name, t.name);
    r.family_index = family++;
    r.per_family_instance_index = 0;
    r.repetitions = static_cast<std::int64_t>(t.rounds.size());
    r.run_type = run::RT_Aggregate;
    r.aggregate_name = "median";
    r.aggregate_unit = benchmark::kTime;
    const spread x = spread_of(t.rounds);
    r.counters[t.column.unit] = benchmark::Counter(x.median);
    r.counters["q1"] = benchmark::Counter(x.q1);
    r.counters["q3"] = benchmark::Counter(x.q3);
    json.ReportRuns({r});
  };
  for (const table_series& t : all.topics) write_table("topics", t);
  for (const table_series& t : all.delivery) write_table("delivery", t);
  for (const table_series& t : all.flow) write_table("flow", t);
  json.Finalize();
  out << '\n';
  return out.good();
}

}  // namespace bench
