#include "millrace/metrics/exposition.hpp"

#include <unistd.h>

#include <cctype>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/metrics/names.hpp"
#include "support/catch.hpp"

namespace {

using millrace::label_set;
using millrace::metric_registry;
using millrace::sample_sink;
using millrace::sample_source;
using millrace::to_prometheus;

constexpr double inf = std::numeric_limits<double>::infinity();

/// A reader of the text format 0.0.4 that takes nothing for granted; throws at the first line that is wrong.
class reader {
 public:
  struct family {
    std::string help;
    std::string type;
    std::map<std::string, double> samples;  // by name and labels, as they stand there
  };

  explicit reader(const std::string& text) {
    if (!text.empty() && text.back() != '\n') throw std::runtime_error("the last line does not end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      left_ = line;
      try {
        read_line();
      } catch (const std::runtime_error& e) {
        throw std::runtime_error(e.what() + (": " + line));
      }
    }
    for (const auto& [name, f] : families) {
      if (f.type.empty() || f.help.empty() || f.samples.empty())
        throw std::runtime_error("incomplete: " + name);
      if (f.type == "histogram") see_histogram(name, f);
    }
  }

  std::map<std::string, family> families;
  std::vector<std::string> comments;

  [[nodiscard]] double at(const std::string& series) const {
    for (const auto& [name, f] : families) {
      if (const auto found = f.samples.find(series); found != f.samples.end()) return found->second;
    }
    throw std::runtime_error("not there: " + series);
  }

 private:
  void want(bool held, const char* what) {
    if (!held) throw std::runtime_error(what);
  }
  bool take(std::string_view start) {
    if (!left_.starts_with(start)) return false;
    left_.remove_prefix(start.size());
    return true;
  }
  std::string take_name(bool colon) {
    std::size_t n = 0;
    const auto fits = [&](char c) {
      return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || (colon && c == ':') ||
             (n > 0 && std::isdigit(static_cast<unsigned char>(c)) != 0);
    };
    while (n < left_.size() && fits(left_[n])) ++n;
    want(n > 0, "no name");
    std::string out(left_.substr(0, n));
    left_.remove_prefix(n);
    return out;
  }
  double take_number() {
    if (take("NaN")) return std::numeric_limits<double>::quiet_NaN();
    if (take("+Inf")) return inf;
    if (take("-Inf")) return -inf;
    want(left_.find_first_not_of("0123456789+-.e") == std::string_view::npos, "no number");
    double d = 0;
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), d);
    want(error == std::errc() && end == left_.data() + left_.size(), "no number");
    left_ = {};
    return d;
  }

  void read_line() {
    want(!left_.empty(), "an empty line");
    if (take("# HELP ")) {
      const std::string name = take_name(true);
      want(take(" ") && !left_.empty(), "no help");
      want(families.count(name) == 0, "help is there twice");
      for (std::size_t i = 0; i < left_.size(); ++i) {
        if (left_[i] == '\\') want(++i < left_.size() && (left_[i] == '\\' || left_[i] == 'n'), "bad escape");
      }
      families[name].help = left_;
      current_ = name;
    } else if (take("# TYPE ")) {
      const std::string name = take_name(true);
      want(name == current_ && families[name].type.empty() && take(" "), "a type out of place");
      want(left_ == "counter" || left_ == "gauge" || left_ == "histogram", "no type");
      families[name].type = left_;
    } else if (left_.starts_with('#')) {
      want(take("# millrace: "), "a comment of somebody else");
      comments.emplace_back(left_);
    } else {
      read_sample();
    }
  }

  void read_sample() {
    const std::string name = take_name(true);
    family& f = families[current_];
    want(!f.type.empty(), "a sample before its type");
    const std::string ending = name.starts_with(current_) ? name.substr(current_.size()) : "?";
    const bool bucket = ending == "_bucket";
    want(f.type == "histogram" ? bucket || ending == "_sum" || ending == "_count" : ending.empty(),
         "a sample of another family");
    want(f.type != "counter" || name.ends_with("_total"), "a counter without _total");
    std::string series = name;
    std::string last;
    bool has_le = false;
    if (take("{")) {
      series += '{';
      do {
        const std::string label = take_name(false);
        want(label == "le" ? bucket : label > last, "labels out of order");
        if (label != "le") last = label;
        has_le = has_le || label == "le";
        want(take("=\""), "no value");
        series += label + "=\"";
        while (!left_.empty() && left_[0] != '"') {
          std::size_t n = 1;
          if (left_[0] == '\\') {
            want(left_.size() > 1 && std::string_view("\\\"n").find(left_[1]) != std::string_view::npos,
                 "bad escape");
            n = 2;
          }
          series += left_.substr(0, n);
          left_.remove_prefix(n);
        }
        want(take("\""), "a value does not end");
        series += '"';
        if (left_.starts_with(',')) series += ',';
      } while (take(","));
      want(take("}"), "labels do not end");
      series += '}';
    }
    want(has_le == bucket, "le is where there is no bucket, or the other way round");
    want(take(" "), "no blank");
    const double value = take_number();
    want(left_.empty(), "more than a sample");
    want(f.type != "counter" || value >= 0, "a counter below zero");
    want(f.samples.emplace(series, value).second, "a series is there twice");
    order_.push_back({series, value});
  }

  void see_histogram(const std::string& name, const family& f) {
    // The lines of a series stand together: buckets in ascending order, up to +Inf, then the sum, then the count.
    double last_bound = -inf;
    double last_count = 0;
    std::size_t seen = 0;
    for (const auto& [series, value] : order_) {
      if (series.starts_with(name + "_bucket")) {
        const std::string text = series.substr(series.find("le=\"") + 4);
        const double bound = std::strtod(text.c_str(), nullptr);
        want(bound > last_bound && value >= last_count, "buckets do not ascend");
        last_bound = bound;
        last_count = value;
        ++seen;
      } else if (series.starts_with(name + "_sum")) {
        want(last_bound == inf, "no bucket for the rest");
        ++seen;
      } else if (series.starts_with(name + "_count")) {
        want(value == last_count, "the count is not that of the last bucket");
        last_bound = -inf;
        last_count = 0;
        ++seen;
      }
    }
    want(seen == f.samples.size() && last_bound == -inf, "a histogram is not complete");
  }

  std::string_view left_;
  std::string current_;
  std::vector<std::pair<std::string, double>> order_;
};

/// What a program has after a while, with everything in it that needs care.
struct lively {
  metric_registry all;
  std::vector<sample_source> sources;

  lively() {
    (*all.add_counter(millrace::names::sent_messages, {{"messaging_destination_name", "orders.paid"}}))
        ->add(12);
    (*all.add_counter(millrace::names::sent_messages, {{"messaging_destination_name", "orders.lost"}}))
        ->add(7);
    (*all.add_gauge(
         {"shop_odd", "Backslash \\, line\nbreak and \"quotes\"."},
         {{"a", "quotes \" backslash \\ line\nbreak"}, {"b", "gr\xc3\xbc\xc3\x9f"}, {"c", "{x=\"y\"}, 1"}}))
        ->set(-0.1);
    (*all.add_gauge({"shop_nan", "Not a number."}))->set(std::numeric_limits<double>::quiet_NaN());
    (*all.add_gauge({"shop_limit", "No limit."}, {{"way", "up"}}))->set(inf);
    (*all.add_gauge({"shop_limit", "No limit."}, {{"way", "down"}}))->set(-inf);
    auto* const time =
        *all.add_histogram(millrace::names::process_duration, {{"messaging_consumer_group_name", "a"}});
    std::mt19937_64 random(1);
    std::lognormal_distribution<> ns(13, 2);
    for (int i = 0; i < 5000; ++i) time->record(std::chrono::duration<double, std::nano>(ns(random)));
    time->record(std::chrono::hours(2));
    static_cast<void>(
        all.add_histogram(millrace::names::process_duration, {{"messaging_consumer_group_name", "b"}}));
    auto* const sizes =
        *all.add_histogram({"shop_batch_orders", "Orders in a batch."}, {}, millrace::in_numbers);
    for (std::uint64_t v = 1; v <= 10; ++v) sizes->record(v);
    sources.push_back(all.add_source([](sample_sink& sink) {
      sink.gauge(millrace::names::group_lag_age, {{"messaging_consumer_group_name", "a"}}, 1.5);
      sink.counter(millrace::names::publish_blocked, {}, 0.25);
    }));
  }
};

}  // namespace

TEST_CASE("a small registry, to the letter") {
  metric_registry r;
  CHECK(to_prometheus(r).empty());
  (*r.add_counter({"orders_total", "Orders \\ placed,\nwith \"quotes\"."},
                  {{"shop", "a\"b\\c\nd"}, {"at", "x"}}))
      ->add(3);
  (*r.add_counter({"orders_total", "Not this one."}))->add(1);
  (*r.add_gauge({"depth", "What waits."}))->set(0.1);
  (*r.add_histogram({"batch_orders", "Orders at once."}, {{"shop", "a"}}, {1, 1, 10}))->record(3, 2);
  CHECK(to_prometheus(r) ==
        "# HELP batch_orders Orders at once.\n"
        "# TYPE batch_orders histogram\n"
        "batch_orders_bucket{shop=\"a\",le=\"1\"} 0\n"
        "batch_orders_bucket{shop=\"a\",le=\"2.5\"} 0\n"
        "batch_orders_bucket{shop=\"a\",le=\"5\"} 2\n"
        "batch_orders_bucket{shop=\"a\",le=\"10\"} 2\n"
        "batch_orders_bucket{shop=\"a\",le=\"+Inf\"} 2\n"
        "batch_orders_sum{shop=\"a\"} 6\n"
        "batch_orders_count{shop=\"a\"} 2\n"
        "# HELP depth What waits.\n"
        "# TYPE depth gauge\n"
        "depth 0.1\n"
        "# HELP orders_total Orders \\\\ placed,\\nwith \"quotes\".\n"
        "# TYPE orders_total counter\n"
        "orders_total 1\n"
        "orders_total{at=\"x\",shop=\"a\\\"b\\\\c\\nd\"} 3\n");
}

TEST_CASE("durations are counted in seconds, up to 1, 2.5 and 5 of each power of ten") {
  metric_registry r;
  auto* const h = *r.add_histogram({"took_seconds", "How long it took."});
  const std::vector<std::string> bounds{"1e-06",   "2.5e-06", "5e-06", "1e-05",  "2.5e-05", "5e-05", "0.0001",
                                        "0.00025", "0.0005",  "0.001", "0.0025", "0.005",   "0.01",  "0.025",
                                        "0.05",    "0.1",     "0.25",  "0.5",    "1",       "2.5",   "5",
                                        "10",      "25",      "50",    "100"};
  const auto bucket = [](const std::string& le) { return "took_seconds_bucket{le=\"" + le + "\"}"; };
  // One value exactly at each bound, one well above, and one well below.
  std::uint64_t ns = 1000;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    h->record(ns);
    h->record(ns + ns / 32);
    h->record(ns - ns / 32);
    ns = i % 3 == 0 ? ns / 2 * 5 : ns * 2;
  }
  h->record(std::chrono::hours(1));
  const reader text(to_prometheus(r));
  REQUIRE(text.families.size() == 1);
  CHECK(text.families.begin()->second.samples.size() == bounds.size() + 3);
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    INFO(bounds[i]);
    const double found = text.at(bucket(bounds[i]));
    // All at lower bounds, the one below; the one at it is too close to tell.
    CHECK(found >= static_cast<double>(3 * i + 1));
    CHECK(found <= static_cast<double>(3 * i + 2));
  }
  CHECK(text.at(bucket("+Inf")) == 76);
  CHECK(text.at("took_seconds_count") == 76);
  CHECK(text.at("took_seconds_sum") == Approx(h->snapshot().sum() * 1e-9).epsilon(1e-14));
}

TEST_CASE("a bound is the whole number that is meant, and the sum is in its unit") {
  metric_registry r;
  for (const std::uint64_t ns : {1000u, 2500u, 5000u, 10'000u, 25'000u, 50'000u, 100'000u, 1'000'000u}) {
    const std::string name = "t" + std::to_string(ns) + "_seconds";
    // Alone in its histogram a value is exact, and so are the bounds at it and just below.
    (*r.add_histogram({name, "Help."}))->record(ns);
    (*r.add_histogram({name, "Help."}, {{"above", "1"}}))->record(ns + 1);
  }
  const reader text(to_prometheus(r));
  CHECK(text.at("t1000_seconds_bucket{le=\"1e-06\"}") == 1);
  CHECK(text.at("t1000_seconds_bucket{above=\"1\",le=\"1e-06\"}") == 0);
  CHECK(text.at("t2500_seconds_bucket{le=\"2.5e-06\"}") == 1);
  CHECK(text.at("t5000_seconds_bucket{le=\"5e-06\"}") == 1);
  CHECK(text.at("t5000_seconds_bucket{above=\"1\",le=\"5e-06\"}") == 0);
  CHECK(text.at("t10000_seconds_bucket{le=\"1e-05\"}") == 1);
  CHECK(text.at("t25000_seconds_bucket{le=\"2.5e-05\"}") == 1);
  CHECK(text.at("t50000_seconds_bucket{le=\"5e-05\"}") == 1);
  CHECK(text.at("t100000_seconds_bucket{le=\"0.0001\"}") == 1);
  CHECK(text.at("t1000000_seconds_bucket{le=\"0.001\"}") == 1);
  CHECK(text.at("t1000000_seconds_bucket{above=\"1\",le=\"0.001\"}") == 0);
  CHECK(text.at("t2500_seconds_sum") == 2.5e-6);
}

TEST_CASE("numbers read back as they were") {
  std::mt19937_64 random(4);
  std::vector<double> numbers{
      0.0, -0.0, 1, -1, 0.1, 1e300, 5e-324, 1.7976931348623157e308, 123456789012345680.0, 1e22};
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t bits = random();
    double d = 0;
    static_assert(sizeof d == sizeof bits);
    std::memcpy(&d, &bits, sizeof d);
    if (std::isfinite(d)) numbers.push_back(d);
  }
  metric_registry r;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    (*r.add_gauge({"g", "Help."}, {{"i", std::to_string(i)}}))->set(numbers[i]);
  }
  const reader text(to_prometheus(r));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    CHECK(text.at("g{i=\"" + std::to_string(i) + "\"}") == numbers[i]);
  }
}

TEST_CASE("every line of a lively program is as the format wants it") {
  const lively program;
  const std::string written = to_prometheus(program.all);
  const reader text(written);
  CHECK(text.comments.empty());
  CHECK(text.families.size() == 8);
  CHECK(text.at("messaging_client_sent_messages_total{messaging_destination_name=\"orders.paid\"}") == 12);
  CHECK(text.at("shop_odd{a=\"quotes \\\" backslash \\\\ "
                "line\\nbreak\",b=\"gr\xc3\xbc\xc3\x9f\",c=\"{x=\\\"y\\\"}, 1\"}") == -0.1);
  CHECK(std::isnan(text.at("shop_nan")));
  CHECK(text.at("shop_limit{way=\"up\"}") == inf);
  CHECK(text.at("shop_limit{way=\"down\"}") == -inf);
  CHECK(text.at("messaging_process_duration_seconds_count{messaging_consumer_group_name=\"a\"}") == 5001);
  CHECK(
      text.at("messaging_process_duration_seconds_bucket{messaging_consumer_group_name=\"a\",le=\"100\"}") ==
      5000);
  CHECK(text.at("messaging_process_duration_seconds_count{messaging_consumer_group_name=\"b\"}") == 0);
  CHECK(text.at("shop_batch_orders_bucket{le=\"2.5\"}") == 2);
  CHECK(text.at("shop_batch_orders_bucket{le=\"10\"}") == 10);
  CHECK(text.at("shop_batch_orders_bucket{le=\"1000000\"}") == 10);
  CHECK(text.at("millrace_group_lag_seconds{messaging_consumer_group_name=\"a\"}") == 1.5);
  CHECK(to_prometheus(program.all) == written);
}

TEST_CASE("errors are comments, and a number that one can watch") {
  metric_registry r;
  const sample_source s = r.add_source([](sample_sink& sink) {
    sink.gauge({"bad\nname", "Help."}, {}, 1);
    sink.gauge({"good", "Help."}, {{"a", "\xff\n"}}, 1);
    sink.gauge({"good", "Help."}, {}, 1);
  });
  const reader text(to_prometheus(r));
  REQUIRE(text.comments.size() == 2);
  CHECK(text.comments[0].find("INVALID_ARGUMENT: metric_registry: name") != std::string::npos);
  CHECK(text.at("millrace_scrape_errors") == 2);
  CHECK(text.at("good") == 1);
}

TEST_CASE("the reader of this test finds what is wrong") {
  const std::string head = "# HELP a_total Help.\n# TYPE a_total counter\n";
  const std::string histogram = "# HELP h Help.\n# TYPE h histogram\n";
  CHECK_NOTHROW(reader(head + "a_total 1\n"));
  CHECK_NOTHROW(reader(histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"));
  for (const char* wrong :
       {"a_total 1", "a_total\n", "a_total  1\n", "a_total x\n", "a_total 1 \n", "a_total -1\n",
        "b_total 1\n", "a_total inf\n", "a_total{} 1\n", "a_total{b=\"1\"\n", "a_total{b=\"\\t\"} 1\n",
        "a_total{b=\"1\",a=\"1\"} 1\n", "a_total{le=\"1\"} 1\n", "a_total 1\na_total 2\n",
        "a_total 1\n# TYPE a_total counter\n", "\n"}) {
    INFO(wrong);
    CHECK_THROWS(reader(head + wrong));
  }
  for (const char* wrong :
       {"h_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n",
        "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
        "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 1\n",
        "h_bucket{le=\"+Inf\"} 2\nh_sum 3\n",
        "h_bucket{le=\"5\"} 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
        "h 1\n"}) {
    INFO(wrong);
    CHECK_THROWS(reader(histogram + wrong));
  }
}

TEST_CASE("promtool has nothing to say against it") {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    WARN("promtool is not here (Debian's package prometheus): the text was read by this test alone");
    return;
  }
  char name[] = "/tmp/millrace_exposition_XXXXXX";
  const int file = mkstemp(name);
  REQUIRE(file >= 0);
  close(file);
  const auto judged = [&](const std::string& text) {
    std::ofstream(name, std::ios::binary) << text;
    const std::string command = "promtool check metrics < " + std::string(name) + " > " + name + ".out 2>&1";
    const int status = std::system(command.c_str());
    std::ostringstream said;
    said << std::ifstream(std::string(name) + ".out").rdbuf();
    return std::pair{status, said.str()};
  };
  const lively program;
  metric_registry faulty;
  const sample_source s =
      faulty.add_source([](sample_sink& sink) { sink.gauge({"bad-name", "Help."}, {}, 1); });
  const auto good = judged(to_prometheus(program.all));
  const auto with_errors = judged(to_prometheus(faulty));
  const auto bad = judged("# HELP a Help.\n# TYPE a gauge\na{b=\"1} 1\n");
  std::remove(name);
  std::remove((std::string(name) + ".out").c_str());
  INFO(good.second << with_errors.second);
  CHECK(good.first == 0);
  CHECK(good.second.empty());
  CHECK(with_errors.first == 0);
  CHECK(with_errors.second.empty());
  CHECK(bad.first != 0);
}
