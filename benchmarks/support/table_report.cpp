#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "support/report.hpp"

namespace bench {
namespace {

using series_list = std::vector<table_series>;

struct table_caption {
  const char* table;
  const char* text;
};
constexpr std::array<table_caption, 21> captions{{
    {"spinning/8B", "Nanoseconds a message. Who waits pauses 64 times and yields from then on."},
    {"spinning/64B", "Likewise."},
    {"parking/8B", "Nanoseconds a message. Who waits sleeps, in the way that the contender has for it."},
    {"parking/64B", "Likewise."},
    {"readers/8B", "1 to 64 readers beside each other: nanoseconds a delivery, parking."},
    {"publish/8B", "What it costs to publish while nobody reads, and while the only reader is asleep."},
    {"stalled/8B",
     "Two readers, one of which stands still for 200 ms; nanoseconds a message, and the part that was "
     "missed."},
    {"receive+ack",
     "One producer, 1 to 4 workers: nanoseconds a message, from the first push to the last settle."},
    {"nack", "Likewise; every message fails once, and is acknowledged the second time."},
    {"groups",
     "1 to 64 groups on one topic: nanoseconds a message for the publisher, and a delivery for the one "
     "worker "
     "of all of them."},
    {"memory",
     "100,000 messages taken by one group: bytes a message, without the log's own, which stand beside."},
    {"pipeline/tiny", "Four stages of a few nanoseconds: nanoseconds a message, 192 inside at the most."},
    {"pipeline/1us", "Likewise, four stages of about a microsecond."},
    {"bus/publish",
     "Nanoseconds to publish to a topic of a bus, by how many subscriptions with wildcards match its name."},
    {"bus/subscribe", "Microseconds to subscribe, and to make a topic that two of the subscriptions match."},
    {"request", "Nanoseconds a round trip, with the answer in another thread."},
    {"request/alone", "Nanoseconds to ask, to answer and to get that, in one thread."},
    {"saga",
     "Sagas of four steps that do nothing: nanoseconds a step, from the first start to the last end."},
    {"saga/waiting", "10,000 sagas that wait for an answer: bytes each."},
    {"metrics/instruments", "Nanoseconds a call, as the thread sees it that makes it."},
    {"metrics/overhead",
     "Nanoseconds a message, published on a topic of a bus and handled, with metrics and without."},
}};

template <class F>
std::vector<std::string> distinct(const series_list& all, F of) {
  std::vector<std::string> names;
  for (const table_series& t : all) {
    const std::string name = of(t);
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

/// Those that stand in one table, in the order of captions.
std::vector<std::string> tables(const series_list& all) {
  std::vector<std::string> names = distinct(all, [](const table_series& t) { return t.table; });
  const auto place = [](const std::string& name) {
    return std::find_if(captions.begin(), captions.end(),
                        [&](const table_caption& c) { return c.table == name; });
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return place(a) < place(b); });
  return names;
}

std::vector<std::string> columns_of(const series_list& all, const std::string& table) {
  return distinct(all,
                  [&](const table_series& t) { return t.table == table ? t.column.name : std::string(); });
}

const table_series* find(const series_list& all, const std::string& table, const std::string& column,
                         const std::string& name) {
  for (const table_series& t : all) {
    if (t.table == table && t.column.name == column && t.name == name) return &t;
  }
  return nullptr;
}

const table_series* ours_in(const series_list& all, const std::string& table, const std::string& column) {
  for (const table_series& t : all) {
    if (t.as == role::ours && t.table == table && t.column.name == column) return &t;
  }
  return nullptr;
}

/// What the others of its cell are compared with; nullptr: there is none of ours, or it is not a time.
const table_series* ours_beside(const series_list& all, const table_series& one) {
  if (std::string_view(one.column.unit) == "%") return nullptr;
  return ours_in(all, one.table, one.column.name);
}

struct table_verdict {
  const table_target* goal;
  std::string column;
  const table_series* rival;  // the best of those that count
  spread reached;

  [[nodiscard]] const char* outcome() const { return reached.median >= goal->at_least ? "met" : "missed"; }
};

std::vector<table_verdict> judge(const series_list& all, const std::vector<table_target>& targets) {
  std::vector<table_verdict> verdicts;
  for (const table_target& goal : targets) {
    for (const std::string& column : columns_of(all, goal.table)) {
      const table_series* const ours = ours_in(all, goal.table, column);
      const table_series* best = nullptr;
      for (const std::string& name : goal.rivals) {
        const table_series* const one = find(all, goal.table, column, name);
        if (one == nullptr) continue;
        if (best == nullptr || quantile(one->rounds, 0.5) < quantile(best->rounds, 0.5)) best = one;
      }
      if (ours == nullptr || best == nullptr) continue;
      verdicts.push_back({&goal, column, best, ratio(ours->rounds, best->rounds)});
    }
  }
  return verdicts;
}

std::string table_text(const char* section, const series_list& all, const std::string& table) {
  const std::vector<std::string> columns = columns_of(all, table);
  const std::vector<std::string> rows =
      distinct(all, [&](const table_series& t) { return t.table == table ? t.name : std::string(); });
  std::string out = fmt::format("\n### {}/{}\n", section, table);
  auto to = std::back_inserter(out);
  for (const table_caption& c : captions) {
    if (c.table == table) fmt::format_to(to, "\n{}\n", c.text);
  }
  out += "\n|";
  for (const std::string& column : columns) {
    const auto any = std::find_if(all.begin(), all.end(), [&](const table_series& t) {
      return t.table == table && t.column.name == column;
    });
    fmt::format_to(to, " | {}, {}", column, any->column.unit);
  }
  out += " |\n|---|";
  for (std::size_t i = 0; i < columns.size(); ++i) out += "---|";
  for (const std::string& row : rows) {
    fmt::format_to(to, "\n| {} |", row);
    for (const std::string& column : columns) {
      const table_series* const t = find(all, table, column, row);
      if (t == nullptr) {
        out += " |";
        continue;
      }
      const table_series* const ours = ours_beside(all, *t);
      const spread x = spread_of(t->rounds);
      if (ours == t) {
        fmt::format_to(to, " **{:.1f}** ({:.1f} - {:.1f}) |", x.median, x.q1, x.q3);
      } else {
        fmt::format_to(to, " {:.1f} ({:.1f} - {:.1f})", x.median, x.q1, x.q3);
        if (ours != nullptr) fmt::format_to(to, ", {:.2f} x", ratio(ours->rounds, t->rounds).median);
        out += " |";
      }
    }
  }
  out += '\n';
  return out;
}

}  // namespace

std::string section_text(const char* section, const series_list& all,
                         const std::vector<table_target>& targets, const std::vector<std::string>& missing) {
  std::string out =
      "\nMedians of the rounds (quartiles); and how many times better ours is, the median of what it was in "
      "each round.\n";
  auto to = std::back_inserter(out);
  const std::vector<table_verdict> verdicts = judge(all, targets);
  if (!verdicts.empty()) {
    fmt::format_to(to,
                   "\n### Targets of the {}\n\n| cell | best rival | times better | target | |\n"
                   "|---|---|---|---|---|\n",
                   section);
  }
  for (const table_verdict& v : verdicts) {
    fmt::format_to(to, "| {}/{} | {} | **{:.2f}** ({:.2f} - {:.2f}) | {:.2f} | {} |\n", v.goal->table,
                   v.column, v.rival->name, v.reached.median, v.reached.q1, v.reached.q3, v.goal->at_least,
                   v.outcome());
  }
  for (const std::string& table : tables(all)) out += table_text(section, all, table);
  for (const std::string& note : missing)
    fmt::format_to(to, "\nNot compared, as it was not there: {}.\n", note);
  return out;
}

void print_section(const char* section, const series_list& all, const std::vector<table_target>& targets,
                   const std::vector<std::string>& missing) {
  if (all.empty()) return;
  for (const std::string& table : tables(all)) {
    for (const std::string& column : columns_of(all, table)) {
      std::vector<const table_series*> rows;
      for (const table_series& t : all) {
        if (t.table == table && t.column.name == column) rows.push_back(&t);
      }
      std::stable_sort(rows.begin(), rows.end(), [](const table_series* a, const table_series* b) {
        return quantile(a->rounds, 0.5) < quantile(b->rounds, 0.5);
      });
      fmt::print("\n{}/{}/{}\n", section, table, column);
      for (const table_series* t : rows) {
        const table_series* const ours = ours_beside(all, *t);
        const spread x = spread_of(t->rounds);
        fmt::print("{} {:<40} {:>9.1f} {:<3} ({:.1f} - {:.1f})", t == ours ? '*' : ' ', t->name, x.median,
                   t->column.unit, x.q1, x.q3);
        if (ours != nullptr && t != ours) {
          const spread r = ratio(ours->rounds, t->rounds);
          fmt::print("   {:.2f} x  ({:.2f} - {:.2f})", r.median, r.q1, r.q3);
        }
        fmt::print("\n");
      }
    }
  }
  const std::vector<table_verdict> verdicts = judge(all, targets);
  if (!verdicts.empty()) fmt::print("\nTargets of the {}: times better than the best rival\n", section);
  for (const table_verdict& v : verdicts) {
    fmt::print("  {:<26} {:>6.2f} ({:.2f} - {:.2f})  target {:.2f}  {:<6} best rival: {}\n",
               fmt::format("{}/{}", v.goal->table, v.column), v.reached.median, v.reached.q1, v.reached.q3,
               v.goal->at_least, v.outcome(), v.rival->name);
  }
  for (const std::string& note : missing) fmt::print("not there: {}\n", note);
}

}  // namespace bench
