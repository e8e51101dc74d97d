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

struct topic_caption {
  const char* table;
  const char* text;
};
constexpr std::array<topic_caption, 7> captions{{
    {"spinning/8B", "Nanoseconds a message. Who waits pauses 64 times and yields from then on."},
    {"spinning/64B", "Likewise."},
    {"parking/8B", "Nanoseconds a message. Who waits sleeps, in the way that the contender has for it."},
    {"parking/64B", "Likewise."},
    {"readers/8B", "1 to 64 readers beside each other: nanoseconds a delivery, parking."},
    {"publish/8B", "What it costs to publish while nobody reads, and while the only reader is asleep."},
    {"stalled/8B",
     "Two readers, one of which stands still for 200 ms; nanoseconds a message, and the part that was "
     "missed."},
}};

template <class F>
std::vector<std::string> distinct(const results& all, F of) {
  std::vector<std::string> names;
  for (const topic_series& t : all.topics) {
    const std::string name = of(t);
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

/// Those that stand in one table, in the order of captions.
std::vector<std::string> tables(const results& all) {
  std::vector<std::string> names = distinct(all, [](const topic_series& t) { return t.table; });
  const auto place = [](const std::string& name) {
    return std::find_if(captions.begin(), captions.end(),
                        [&](const topic_caption& c) { return c.table == name; });
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return place(a) < place(b); });
  return names;
}

const topic_series* find(const results& all, const std::string& table, const std::string& column,
                         const std::string& name) {
  for (const topic_series& t : all.topics) {
    if (t.table == table && t.column.name == column && t.name == name) return &t;
  }
  return nullptr;
}

/// What the others of its cell are compared with; nullptr: there is none of ours, or it is not a time.
const topic_series* ours_beside(const results& all, const topic_series& one) {
  if (std::string_view(one.column.unit) == "%") return nullptr;
  for (const topic_series& t : all.topics) {
    if (t.as == role::ours && t.table == one.table && t.column.name == one.column.name) return &t;
  }
  return nullptr;
}

std::string table_text(const results& all, const std::string& table) {
  const std::vector<std::string> columns =
      distinct(all, [&](const topic_series& t) { return t.table == table ? t.column.name : std::string(); });
  const std::vector<std::string> rows =
      distinct(all, [&](const topic_series& t) { return t.table == table ? t.name : std::string(); });
  std::string out = fmt::format("\n### topics/{}\n", table);
  auto to = std::back_inserter(out);
  for (const topic_caption& c : captions) {
    if (c.table == table) fmt::format_to(to, "\n{}\n", c.text);
  }
  out += "\n|";
  for (const std::string& column : columns) {
    const auto any = std::find_if(all.topics.begin(), all.topics.end(), [&](const topic_series& t) {
      return t.table == table && t.column.name == column;
    });
    fmt::format_to(to, " | {}, {}", column, any->column.unit);
  }
  out += " |\n|---|";
  for (std::size_t i = 0; i < columns.size(); ++i) out += "---|";
  for (const std::string& row : rows) {
    fmt::format_to(to, "\n| {} |", row);
    for (const std::string& column : columns) {
      const topic_series* const t = find(all, table, column, row);
      if (t == nullptr) {
        out += " |";
        continue;
      }
      const topic_series* const ours = ours_beside(all, *t);
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

std::string topic_tables(const results& all, const suite& s) {
  std::string out =
      "\nMedians of the rounds (quartiles); and how many times better ours is, the median of what it was in "
      "each round.\n";
  for (const std::string& table : tables(all)) out += table_text(all, table);
  for (const std::string& note : s.topic_notes)
    out += fmt::format("\nNot compared, as it was not there: {}.\n", note);
  return out;
}

void print_topics(const results& all, const suite& s) {
  if (all.topics.empty()) return;
  for (const std::string& table : tables(all)) {
    const auto columns = distinct(
        all, [&](const topic_series& t) { return t.table == table ? t.column.name : std::string(); });
    for (const std::string& column : columns) {
      std::vector<const topic_series*> rows;
      for (const topic_series& t : all.topics) {
        if (t.table == table && t.column.name == column) rows.push_back(&t);
      }
      std::stable_sort(rows.begin(), rows.end(), [](const topic_series* a, const topic_series* b) {
        return quantile(a->rounds, 0.5) < quantile(b->rounds, 0.5);
      });
      fmt::print("\ntopics/{}/{}\n", table, column);
      for (const topic_series* t : rows) {
        const topic_series* const ours = ours_beside(all, *t);
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
  for (const std::string& note : s.topic_notes) fmt::print("not there: {}\n", note);
}

}  // namespace bench
