#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <vector>

#include "support/report.hpp"

namespace bench {
namespace {

struct column {
  timer_figure of;
  const char* name;
  const char* unit;
};
constexpr std::array<column, timer_figures> columns{{
    {timer_figure::schedule, "schedule", "ns"},
    {timer_figure::cancel, "cancel", "ns"},
    {timer_figure::both, "schedule and cancel", "ns"},
    {timer_figure::again, "schedule again", "ns"},
    {timer_figure::fire, "fire", "ns"},
    {timer_figure::worst_firing, "worst tick, firing", "us"},
    {timer_figure::p999_firing, "99.9 % of ticks, firing", "us"},
    {timer_figure::worst_keeping, "worst tick, kept alive", "us"},
    {timer_figure::p999_keeping, "99.9 % of ticks, kept alive", "us"},
    {timer_figure::later, "keep alive", "ns"},
    {timer_figure::anywhere, "move anywhere", "ns"},
    {timer_figure::day_by_wakeups, "a day by wake-ups", "us"},
    {timer_figure::day_at_once, "a day at once", "us"},
    {timer_figure::memory, "memory", "bytes"},
    {timer_figure::at_once_1, "at once, 1 thread", "ns"},
    {timer_figure::at_once_2, "at once, 2 threads", "ns"},
    {timer_figure::at_once_3, "at once, 3 threads", "ns"},
    {timer_figure::at_once_4, "at once, 4 threads", "ns"},
    {timer_figure::window_1, "among 1000, 1 thread", "ns"},
    {timer_figure::window_2, "among 1000, 2 threads", "ns"},
    {timer_figure::window_3, "among 1000, 3 threads", "ns"},
    {timer_figure::window_4, "among 1000, 4 threads", "ns"},
    {timer_figure::idle_p50, "late, idle: 50 %", "us"},
    {timer_figure::idle_p99, "late, idle: 99 %", "us"},
    {timer_figure::idle_p999, "late, idle: 99.9 %", "us"},
    {timer_figure::idle_worst, "late, idle: worst", "us"},
    {timer_figure::busy_p50, "late, busy: 50 %", "us"},
    {timer_figure::busy_p99, "late, busy: 99 %", "us"},
    {timer_figure::busy_p999, "late, busy: 99.9 %", "us"},
    {timer_figure::busy_worst, "late, busy: worst", "us"},
}};

const column& column_of(timer_figure f) {
  return *std::find_if(columns.begin(), columns.end(), [f](const column& c) { return c.of == f; });
}

const timer_series* ours_in(const std::vector<timer_series>& all, timer_figure f) {
  for (const timer_series& t : all) {
    if (t.as == role::ours && !t[f].empty()) return &t;
  }
  return nullptr;
}

std::vector<timer_verdict> verdicts(const results& all, const suite& s) {
  std::vector<timer_verdict> out;
  for (const timer_target& t : s.timer_targets) {
    if (const auto v = judge(t, all.timers)) out.push_back(*v);
  }
  return out;
}

std::string goal_of(const timer_verdict& v) {
  if (v.rival != nullptr) return fmt::format("{:.1f} times", v.goal->bound);
  return fmt::format("at most {} {}", v.goal->bound, column_of(v.goal->of).unit);
}
std::string outcome_of(const timer_verdict& v) {
  if (v.met()) return "met";
  const double part = v.rival != nullptr ? 1 - v.reached.median / v.goal->bound : v.ours / v.goal->bound - 1;
  return 100 * part < 1 ? "missed by less than 1 %" : fmt::format("missed by {:.0f} %", 100 * part);
}

/// The figures of one table, in the order of the columns, and what it says above them.
struct page_table {
  const char* caption;
  std::vector<timer_figure> figures;
};
std::vector<page_table> page_tables() {
  using enum timer_figure;
  return {
      {"", {schedule, cancel, again, later, anywhere}},
      {"", {fire, worst_firing, p999_firing, worst_keeping, p999_keeping}},
      {"", {day_by_wakeups, day_at_once, memory}},
      {"\nFrom several threads: a schedule and a cancel, of the time of all together.\n",
       {at_once_1, at_once_2, at_once_3, at_once_4, window_1, window_2, window_3, window_4}},
      {"\nHow late timers fire, while the cores are idle and while they are busy.\n",
       {idle_p50, idle_p99, idle_p999, idle_worst, busy_p50, busy_p99, busy_p999, busy_worst}},
  };
}

std::string table(const results& all, const page_table& page) {
  const std::vector<timer_figure>& figures = page.figures;
  const auto has_some = [&](const timer_series& t) {
    return std::any_of(figures.begin(), figures.end(), [&](timer_figure f) { return !t[f].empty(); });
  };
  if (std::none_of(all.timers.begin(), all.timers.end(), has_some)) return {};
  std::string out = page.caption;
  auto to = std::back_inserter(out);
  out += "\n|";
  for (const timer_figure f : figures) fmt::format_to(to, " | {}, {}", column_of(f).name, column_of(f).unit);
  out += " |\n|---|";
  for ([[maybe_unused]] const timer_figure f : figures) out += "---|";
  for (const timer_series& t : all.timers) {
    if (!has_some(t)) continue;
    fmt::format_to(to, "\n| {} |", t.name);
    for (const timer_figure f : figures) {
      const timer_series* const ours = ours_in(all.timers, f);
      if (t[f].empty()) {
        out += " |";
      } else if (ours == nullptr || ours == &t) {
        fmt::format_to(to, " **{:.1f}** |", quantile(t[f], 0.5));
      } else {
        fmt::format_to(to, " {:.1f} ({:.2f}) |", quantile(t[f], 0.5), ratio((*ours)[f], t[f]).median);
      }
    }
  }
  out += '\n';
  return out;
}

}  // namespace

const char* name_of(timer_figure f) { return column_of(f).name; }

std::string timer_tables(const results& all, const suite& s) {
  std::string out =
      "\n### Targets of the timers\n\nTimes better than the best of the rivals (quartiles), or what ours "
      "needs.\n";
  auto to = std::back_inserter(out);
  out += "\n| figure | ours | best rival | its | ratio | target | |\n|---|---|---|---|---|---|---|\n";
  for (const timer_verdict& v : verdicts(all, s)) {
    const column& c = column_of(v.goal->of);
    fmt::format_to(to, "| {} | {:.1f} {} |", c.name, v.ours, c.unit);
    if (v.rival != nullptr) {
      fmt::format_to(to, " {} | {:.1f} | **{:.2f}** ({:.2f} - {:.2f}) |", v.rival->name,
                     quantile((*v.rival)[v.goal->of], 0.5), v.reached.median, v.reached.q1, v.reached.q3);
    } else {
      out += " | | |";
    }
    fmt::format_to(to, " {} | {} |\n", goal_of(v), outcome_of(v));
  }
  out += "\n### Timers\n\nMedians of the rounds, and how many times better ours is.\n";
  for (const page_table& t : page_tables()) out += table(all, t);
  return out;
}

void print_timers(const results& all, const suite& s) {
  for (const column& c : columns) {
    std::vector<const timer_series*> rows;
    for (const timer_series& t : all.timers) {
      if (!t[c.of].empty()) rows.push_back(&t);
    }
    if (rows.empty()) continue;
    std::sort(rows.begin(), rows.end(), [&](const timer_series* a, const timer_series* b) {
      return quantile((*a)[c.of], 0.5) < quantile((*b)[c.of], 0.5);
    });
    const timer_series* const ours = ours_in(all.timers, c.of);
    fmt::print("\ntimers: {}\n", c.name);
    for (const timer_series* t : rows) {
      const spread x = spread_of((*t)[c.of]);
      fmt::print("{} {:<40} {:>9.1f} {:<5} ({:.1f} - {:.1f})", t == ours ? '*' : ' ', t->name, x.median,
                 c.unit, x.q1, x.q3);
      if (ours != nullptr && t != ours) {
        const spread r = ratio((*ours)[c.of], (*t)[c.of]);
        fmt::print("   {:.2f} x  ({:.2f} - {:.2f})", r.median, r.q1, r.q3);
      }
      fmt::print("\n");
    }
  }
  const std::vector<timer_verdict> goals = verdicts(all, s);
  if (!goals.empty()) fmt::print("\nTargets of the timers\n");
  for (const timer_verdict& v : goals) {
    fmt::print("  {:<24}", name_of(v.goal->of));
    if (v.rival != nullptr) {
      fmt::print(" {:>6.2f} ({:.2f} - {:.2f})", v.reached.median, v.reached.q1, v.reached.q3);
    } else {
      fmt::print(" {:>6.1f} {}", v.ours, column_of(v.goal->of).unit);
    }
    fmt::print("  target {}  {}", goal_of(v), outcome_of(v));
    if (v.rival != nullptr) fmt::print("  rival: {}", v.rival->name);
    fmt::print("\n");
  }
}

}  // namespace bench
