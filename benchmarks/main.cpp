// millrace_bench: every contender in one process, in rounds. A round runs the cells in random order, and within
// a cell each contender once, in random order, so that what the machine does meanwhile hits all of them alike.
// Google Benchmark registers, times and filters; the rounds are ours, because its random interleaving has none,
// and ratios between neighbours in time are what these noisy machines can tell.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <optional>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "support/report.hpp"
#include "support/results.hpp"
#include "support/suite.hpp"

namespace {

using bench::burst_series;
using bench::contest;
using bench::entry;
using bench::series;
using bench::table_series;
using bench::timer_series;

constexpr const char* usage =
    "millrace_bench [--all | --pairs | --benchmark_filter=REGEX] [options]\n"
    "  (nothing)         the cells with targets, and their neighbours\n"
    "  --all             the whole matrix: items of 8 and 64 bytes and pointers, capacities 64, 4096 and "
    "65536\n"
    "                    and none, one by one, in batches, waiting; selects; timers; topics; delivery; flow\n"
    "  --pairs           1 to 8 producers with as many consumers, with and without backoff\n"
    "  --benchmark_filter=REGEX   what matches in verbs/item/capacity/shape/contender, and in\n"
    "                    burst/item/contender, timers/workload/contender, and topics, delivery or flow\n"
    "                    /table/column/contender\n"
    "  --timers          only these\n"
    "  --topics          only these\n"
    "  --delivery        only this: consumer groups\n"
    "  --flow            only this: pipelines, the bus, requests, sagas, metrics\n"
    "  --messages=N      of a sample of topics, delivery or flow at most, default 2000000, or 200000 of what "
    "runs\n"
    "                    without arguments\n"
    "  --list            names what would run\n"
    "  --rounds=N        default 21, at least 7\n"
    "  --milliseconds=N  a sample's length, default 30\n"
    "  --json=FILE       in Google Benchmark's format\n"
    "  --page=FILE       writes the tables into that page, between its marks\n";

struct settings {
  bool all = false;
  bool pairs = false;
  bool timers = false;
  bool topics = false;
  bool delivery = false;
  bool flow = false;
  bool list = false;
  std::size_t rounds = 21;
  double seconds = 0.030;
  std::uint64_t messages = 0;
  std::string json;
  std::string page;
  std::string command = "millrace_bench";

  /// Whether only what has an option of its own was asked for.
  [[nodiscard]] bool only_parts() const { return timers || topics || delivery || flow; }
};

[[noreturn]] void refuse(const std::string& why) {
  fmt::print(stderr, "millrace_bench: {}\n{}", why, usage);
  std::exit(2);
}

unsigned long number(const std::string& argument, const char* value, unsigned long least) {
  char* end = nullptr;
  const unsigned long n = std::strtoul(value, &end, 10);
  if (*value == '\0' || *end != '\0' || n < least)
    refuse(fmt::format("{}: a number of at least {}", argument, least));
  return n;
}

settings parse(int argc, char** argv) {
  settings s;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    // Where the figures go says nothing about them.
    if (argument.rfind("--json=", 0) != 0 && argument.rfind("--page=", 0) != 0) s.command += ' ' + argument;
  }
  benchmark::Initialize(&argc, argv, [] { fmt::print("{}", usage); });
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&](std::string_view flag) -> const char* {
      return argument.rfind(flag, 0) == 0 ? argv[i] + flag.size() : nullptr;
    };
    if (argument == "--all") {
      s.all = true;
    } else if (argument == "--pairs") {
      s.pairs = true;
    } else if (argument == "--timers") {
      s.timers = true;
    } else if (argument == "--topics") {
      s.topics = true;
    } else if (argument == "--delivery") {
      s.delivery = true;
    } else if (argument == "--flow") {
      s.flow = true;
    } else if (argument == "--list") {
      s.list = true;
    } else if (const char* rounds = value("--rounds=")) {
      s.rounds = number(argument, rounds, 7);
    } else if (const char* milliseconds = value("--milliseconds=")) {
      s.seconds = 1e-3 * static_cast<double>(number(argument, milliseconds, 1));
    } else if (const char* messages = value("--messages=")) {
      s.messages = number(argument, messages, 10'000);
    } else if (const char* json = value("--json=")) {
      s.json = json;
    } else if (const char* page = value("--page=")) {
      s.page = page;
    } else {
      refuse(fmt::format("unknown argument {}", argument));
    }
  }
  return s;
}

std::string name_of(const entry& e) { return fmt::format("{}/{}", to_string(e.where), e.name); }
std::string name_of(const bench::burst_entry& e) { return fmt::format("burst/8B/{}", e.name); }
std::string name_of(const bench::timer_entry& e) { return fmt::format("timers/{}/{}", e.workload, e.name); }
std::string cell_of(const bench::table_entry& e) {
  return fmt::format("{}/{}", e.table, e.columns.front().name);
}
std::string name_of(const char* section, const bench::table_entry& e) {
  return fmt::format("{}/{}/{}", section, cell_of(e), e.name);
}

/// Whether the name is one of those asked for; nothing: none was.
std::optional<bool> filtered(const std::string& name) {
  const std::string filter = benchmark::GetBenchmarkFilter();
  if (filter.empty()) return std::nullopt;
  return std::regex_search(name, std::regex(filter, std::regex::extended));
}

/// Whether the entry belongs to the run that was asked for.
bool chosen(const entry& e, const settings& s) {
  using bench::verbs;
  using bench::work;
  const bench::cell& c = e.where;
  if (const auto asked = filtered(name_of(e))) return *asked;
  const bool main =
      c.capacity == bench::main_capacity || c.capacity == bench::unbounded || c.how == verbs::selecting;
  const bool even = c.who.what == work::crowd && c.who.producers == c.who.consumers;
  const bool usual = !even || c.who.producers <= 2 || c.who.producers == 4;
  if (s.only_parts()) return false;
  if (s.pairs) return main && even && c.how == verbs::trying;
  if (s.all) return usual;
  const std::string_view item = c.item;
  if (!main || !usual || item == "ptr" || c.how == verbs::batches) return false;
  return item == "8B" || c.how == verbs::trying;
}

std::vector<contest> chosen_contests(const bench::suite& all, const settings& s) {
  std::vector<contest> contests;
  for (const entry& e : all.entries) {
    if (!chosen(e, s)) continue;
    const auto same = std::find_if(contests.begin(), contests.end(), [&](const contest& c) {
      return to_string(c.where) == to_string(e.where);
    });
    contest& c = same != contests.end() ? *same : contests.emplace_back(contest{e.where, {}});
    c.all.push_back({&e, 1, {}});
  }
  const auto key = [](const contest& c) {
    const bench::shape& who = c.where.who;
    return std::tuple(c.where.how, std::string_view(c.where.item) != "8B", std::string_view(c.where.item),
                      c.where.capacity, who.producers != who.consumers, who);
  };
  std::sort(contests.begin(), contests.end(),
            [&](const contest& a, const contest& b) { return key(a) < key(b); });
  return contests;
}

std::vector<burst_series> chosen_bursts(const bench::suite& all, const settings& s) {
  std::vector<burst_series> bursts;
  for (const bench::burst_entry& e : all.bursts) {
    if (filtered(name_of(e)).value_or(!s.pairs && !s.only_parts())) bursts.push_back({&e, {}});
  }
  return bursts;
}

std::vector<const bench::timer_entry*> chosen_timers(const bench::suite& all, const settings& s) {
  std::vector<const bench::timer_entry*> chosen;
  for (const bench::timer_entry& e : all.timers) {
    if (filtered(name_of(e)).value_or(s.all || s.timers)) chosen.push_back(&e);
  }
  return chosen;
}

/// A contender in a cell of a table, and how many messages make a sample of it.
struct table_turn {
  const bench::table_entry* who;
  std::uint64_t messages;
};
using table_cell = std::vector<table_turn>;

/// What was chosen of a part of the program: topics, delivery or flow.
struct table_section {
  const char* name;
  std::vector<table_cell> cells;

  void enter(const bench::table_entry& e, std::uint64_t messages) {
    const auto same = std::find_if(cells.begin(), cells.end(), [&](const table_cell& c) {
      return cell_of(*c.front().who) == cell_of(e);
    });
    table_cell& c = same != cells.end() ? *same : cells.emplace_back();
    c.push_back({&e, std::min(messages, e.most)});
  }
};
constexpr std::uint64_t most_messages = 2'000'000;

table_section chosen_topics(const bench::suite& all, const settings& s) {
  const bool quick = !s.all && !s.topics && std::string(benchmark::GetBenchmarkFilter()).empty();
  const std::uint64_t messages = s.messages != 0 ? s.messages : quick ? 200'000 : most_messages;
  table_section topics{"topics", {}};
  for (const bench::table_entry& e : all.topics) {
    const bool usual = !s.pairs && !s.only_parts() && (e.table == "spinning/8B" || e.table == "parking/8B");
    if (filtered(name_of(topics.name, e)).value_or(s.all || s.topics || usual)) topics.enter(e, messages);
  }
  return topics;
}

/// `is_asked_for`: by an option of its own.
table_section chosen_section(const char* name, const std::vector<bench::table_entry>& entries,
                             bool is_asked_for, const settings& s) {
  table_section section{name, {}};
  for (const bench::table_entry& e : entries) {
    if (filtered(name_of(name, e)).value_or(s.all || is_asked_for)) {
      section.enter(e, s.messages != 0 ? s.messages : most_messages);
    }
  }
  return section;
}

/// Takes what Google Benchmark has measured.
class listener : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override { seconds = runs.front().real_accumulated_time; }
  double seconds = 0;
};

class runner {
 public:
  explicit runner(std::vector<contest>& contests) {
    for (contest& c : contests) {
      for (series& x : c.all) {
        benchmark::RegisterBenchmark(name_of(*x.who).c_str(),
                                     [&x](benchmark::State& state) {
                                       for ([[maybe_unused]] auto _ : state)
                                         state.SetIterationTime(sample(x));
                                     })
            ->UseManualTime()
            ->Iterations(1);
      }
    }
  }

  /// Seconds of one sample.
  double run(const series& x) {
    benchmark::RunSpecifiedBenchmarks(&listener_, fmt::format("^{}/iterations", escaped(name_of(*x.who))));
    return listener_.seconds;
  }

  /// Finds how many items make a sample of about `seconds`. Warms up, too.
  void calibrate(series& x, double seconds) {
    x.items = bench::rounded_items(x.who->where, 2000);
    for (;;) {
      const double took = run(x);
      const double factor = seconds / took;
      x.items = bench::rounded_items(x.who->where, static_cast<std::uint64_t>(static_cast<double>(x.items) *
                                                                              std::clamp(factor, 0.1, 10.0)));
      if (factor < 2) return;
    }
  }

 private:
  static double sample(const series& x) {
    try {
      return x.who->sample(x.who->where, x.items);
    } catch (const std::exception& e) {
      fmt::print(stderr, "\nmillrace_bench: {}: {}\n", name_of(*x.who), e.what());
      std::exit(1);
    }
  }
  static std::string escaped(const std::string& name) {
    std::string out;
    for (const char c : name) {
      if (std::strchr("()+.*[]?^$|{}\\", c) != nullptr) out += '\\';
      out += c;
    }
    return out;
  }
  listener listener_;
};

/// How much of the machine other programs take between begin and end.
class neighbours {
 public:
  [[nodiscard]] double share() const {
    const reading now = read();
    const double all = now.all - begin_.all;
    return all > 0 ? std::max(0.0, (now.busy - begin_.busy - (now.ours - begin_.ours)) / all) : -1;
  }

 private:
  struct reading {
    double busy = 0;
    double all = 0;
    double ours = 0;
  };
  static reading read() {
    reading r;
    std::ifstream stat("/proc/stat");
    std::string cpu;
    stat >> cpu;
    // user nice system idle iowait irq softirq steal
    double ticks = 0;
    for (int i = 0; i < 8 && stat >> ticks; ++i) {
      r.all += ticks;
      if (i != 3 && i != 4) r.busy += ticks;
    }
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    for (const auto who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
      rusage used{};
      getrusage(who, &used);
      r.ours += (seconds(used.ru_utime) + seconds(used.ru_stime)) * static_cast<double>(sysconf(_SC_CLK_TCK));
    }
    return r;
  }
  reading begin_ = read();
};

/// How fast the processor is, which on a shared machine may change.
class pace {
 public:
  void look() {
    constexpr unsigned n = 30'000;
    bench::word product = 1;
    const auto begin = bench::stopwatch::now();
    // why multiplications: one takes three cycles of most processors, and the loop is done with its own in that time
    for (unsigned i = 0; i < n; ++i) {
      product *= 0x9E3779B97F4A7C15U;
      benchmark::DoNotOptimize(product);
    }
    const std::chrono::duration<double, std::nano> took = bench::stopwatch::now() - begin;
    multiplications_.push_back(took.count() / n);
  }
  [[nodiscard]] std::optional<bench::spread> multiplication() const {
    if (multiplications_.empty()) return std::nullopt;
    return bench::spread_of(multiplications_);
  }

 private:
  std::vector<double> multiplications_;
};

void measure(std::vector<contest>& contests, const settings& s, pace& processor) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  runner google(contests);
  std::mt19937 random(std::random_device{}());
  std::vector<contest*> cells;
  for (contest& c : contests) cells.push_back(&c);
  for (std::size_t round = 0; round <= s.rounds && !cells.empty(); ++round) {
    std::shuffle(cells.begin(), cells.end(), random);
    std::size_t done = 0;
    if (!terminal) fmt::print(stderr, "round {} of {}\n", round, s.rounds);
    for (contest* c : cells) {
      ++done;
      if (terminal) {
        fmt::print(stderr, "\r\033[Kround {} of {}, cell {} of {}: {}", round, s.rounds, done, cells.size(),
                   to_string(c->where));
      }
      std::vector<series*> turn;
      for (series& x : c->all) turn.push_back(&x);
      std::shuffle(turn.begin(), turn.end(), random);
      for (series* x : turn) {
        if (round == 0) {
          google.calibrate(*x, s.seconds);
        } else {
          processor.look();
          x->ns.push_back(1e9 * google.run(*x) / static_cast<double>(x->items));
        }
      }
    }
  }
  if (terminal) fmt::print(stderr, "\r\033[K");
}

/// What is measured apart, in processes of its own: rounds without cells, each contender once, in random order.
template <class Who, class Take>
void measure_apart(const char* what, std::vector<Who> turn, std::size_t most, Take take) {
  std::mt19937 random(std::random_device{}());
  for (std::size_t round = 1; round <= most && !turn.empty(); ++round) {
    fmt::print(stderr, "{} {} of {}\n", what, round, most);
    std::shuffle(turn.begin(), turn.end(), random);
    for (Who who : turn) {
      try {
        take(who, round);
      } catch (const std::exception& e) {
        fmt::print(stderr, "millrace_bench: {}: {}\n", name_of(*who), e.what());
        std::exit(1);
      }
    }
  }
}

// why before all else: what the children start with is then small, and no thread has been there.
void measure(std::vector<burst_series>& bursts, std::size_t rounds) {
  std::vector<const bench::burst_entry*> turn;
  for (const burst_series& b : bursts) turn.push_back(b.who);
  measure_apart("burst", turn, rounds, [&](const bench::burst_entry* who, std::size_t) {
    const auto one =
        std::find_if(bursts.begin(), bursts.end(), [&](const burst_series& b) { return b.who == who; });
    one->rounds.push_back(who->sample(bench::burst_items));
  });
}

std::vector<timer_series> measure(const std::vector<const bench::timer_entry*>& entries, std::size_t rounds) {
  std::vector<timer_series> all;
  const auto of = [&](const bench::timer_entry& e) -> timer_series& {
    const auto same =
        std::find_if(all.begin(), all.end(), [&](const timer_series& t) { return t.name == e.name; });
    return same != all.end() ? *same : all.emplace_back(timer_series{e.name, e.as, {}});
  };
  // In the order of the program, which the rounds are not in; ours first.
  for (const bench::timer_entry* e : entries) of(*e);
  measure_apart("timers", entries, rounds,
                [&](const bench::timer_entry* who, std::size_t round) { of(*who).note(who->sample(round)); });
  return all;
}

std::vector<double> sample(const char* section, const table_turn& t) {
  try {
    return t.who->sample(t.messages);
  } catch (const std::exception& e) {
    fmt::print(stderr, "\nmillrace_bench: {}: {}\n", name_of(section, *t.who), e.what());
    std::exit(1);
  }
}

/// Fewer messages where they would take longer than that. Warms up, too.
void shorten(const char* section, table_turn& t) {
  constexpr double longest = 0.5;  // seconds
  constexpr std::uint64_t part = 10;
  constexpr std::uint64_t least = 1000;
  table_turn tenth{t.who, t.messages / part};
  sample(section, tenth);
  const auto begin = bench::stopwatch::now();
  sample(section, tenth);
  const double whole = part * std::chrono::duration<double>(bench::stopwatch::now() - begin).count();
  if (t.who->scales && whole > longest) {
    t.messages =
        std::max(least, static_cast<std::uint64_t>(static_cast<double>(t.messages) * longest / whole));
  }
}

/// As the cells of the queues: a round runs the cells in random order, and in each its contenders, once, in random order.
std::vector<table_series> measure(table_section section, std::size_t rounds, pace& processor) {
  std::vector<table_cell>& cells = section.cells;
  std::vector<table_series> all;
  const auto note = [&](const bench::table_entry& e, std::size_t i, const double* value) {
    const auto same = std::find_if(all.begin(), all.end(), [&](const table_series& t) {
      return t.table == e.table && t.column.name == e.columns[i].name && t.name == e.name;
    });
    table_series& t =
        same != all.end() ? *same : all.emplace_back(table_series{e.table, e.columns[i], e.name, e.as, {}});
    if (value != nullptr) t.rounds.push_back(*value);
  };
  // In the order of the program, which the rounds are not in.
  for (const table_cell& c : cells) {
    for (const table_turn& t : c) {
      for (std::size_t i = 0; i < t.who->columns.size(); ++i) note(*t.who, i, nullptr);
    }
  }
  std::mt19937 random(std::random_device{}());
  for (std::size_t round = 0; round <= rounds && !cells.empty(); ++round) {
    fmt::print(stderr, "{} {} of {}\n", section.name, round, rounds);
    std::shuffle(cells.begin(), cells.end(), random);
    for (table_cell& c : cells) {
      std::shuffle(c.begin(), c.end(), random);
      for (table_turn& t : c) {
        if (round == 0) {
          shorten(section.name, t);
          continue;
        }
        processor.look();
        const std::vector<double> figures = sample(section.name, t);
        for (std::size_t i = 0; i < figures.size(); ++i) note(*t.who, i, &figures[i]);
      }
    }
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const settings s = parse(argc, argv);

  bench::suite all;
  bench::add_mpmc_queue(all);
  bench::add_spsc_queue(all);
  bench::add_unbounded_queue(all);
  bench::add_channel(all);
  bench::add_select(all);
  bench::add_coroutines(all);
  bench::add_vyukov_ring(all);
  bench::add_two_word_rings(all);
  bench::add_moodycamel(all);
  bench::add_readerwriterqueue(all);
  bench::add_atomic_queue(all);
  bench::add_xenium(all);
  bench::add_boost(all);
  bench::add_tbb(all);
  bench::add_standard(all);
  bench::add_timing_wheel(all);
  bench::add_timer_service(all);
  bench::add_mutex_and_wheel(all);
  bench::add_cascading_wheel(all);
  bench::add_indexed_heap(all);
  bench::add_ordered(all);
  bench::add_asio(all);
  bench::add_asio_thread(all);
  bench::add_libevent(all);
  bench::add_libevent_thread(all);
  bench::add_libuv(all);
  bench::add_libuv_thread(all);
#if BENCH_TOPIC
  bench::add_topic(all);
#endif
  bench::add_topic_disruptor(all);
  bench::add_mutex_broadcast(all);
  bench::add_topic_channels(all);
  bench::add_topic_moodycamel(all);
  bench::add_topic_signals2(all);
#if BENCH_DELIVERY
  bench::add_consumer_group(all);
#endif
  bench::add_delivery_channel(all);
  bench::add_redis(all);
  bench::add_nats(all);
#if BENCH_FLOW
  bench::add_pipeline(all);
  bench::add_pipeline_channels(all);
  bench::add_pipeline_tbb(all);
  bench::add_bus(all);
  bench::add_request(all);
  bench::add_saga(all);
  bench::add_metrics(all);
#endif

  bench::results r{chosen_contests(all, s), chosen_bursts(all, s), {}, {}, {}, {}};
  const std::vector<const bench::timer_entry*> timers = chosen_timers(all, s);
  const table_section topics = chosen_topics(all, s);
  const table_section delivery = chosen_section("delivery", all.delivery, s.delivery, s);
  const table_section flow = chosen_section("flow", all.flow, s.flow, s);
  if (r.contests.empty() && r.bursts.empty() && timers.empty() && topics.cells.empty() &&
      delivery.cells.empty() && flow.cells.empty())
    refuse("nothing matches");
  if (s.list) {
    for (const contest& c : r.contests) {
      for (const series& x : c.all) fmt::print("{}\n", name_of(*x.who));
    }
    for (const burst_series& b : r.bursts) fmt::print("{}\n", name_of(*b.who));
    for (const bench::timer_entry* e : timers) fmt::print("{}\n", name_of(*e));
    for (const table_section* part : {&topics, &delivery, &flow}) {
      for (const table_cell& c : part->cells) {
        for (const table_turn& t : c) fmt::print("{}\n", name_of(part->name, *t.who));
      }
    }
    return 0;
  }
  const neighbours others;
  pace processor;
  constexpr std::size_t enough = 7;  // of what takes long
  measure(r.bursts, std::min(s.rounds, enough));
  r.timers = measure(timers, s.timers ? s.rounds : std::min(s.rounds, enough));
  r.topics = measure(topics, s.topics ? s.rounds : std::min(s.rounds, enough), processor);
  all.topics.clear();  // which ends the processes of those that have one
  r.delivery = measure(delivery, s.delivery ? s.rounds : std::min(s.rounds, enough), processor);
  all.delivery.clear();
  r.flow = measure(flow, s.flow ? s.rounds : std::min(s.rounds, enough), processor);
  measure(r.contests, s, processor);

  const bench::circumstances c =
      bench::here_and_now(s.command, s.rounds, others.share(), processor.multiplication());
  print_tables(r, all, c);
  if (!s.json.empty() && !write_json(s.json, r)) refuse(fmt::format("cannot write {}", s.json));
  if (!s.page.empty() && !write_page(s.page, r, all, c))
    refuse(fmt::format("no page with result marks: {}", s.page));
  return 0;
}
