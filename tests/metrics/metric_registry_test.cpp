#include "millrace/metrics/metric_registry.hpp"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

namespace {

using millrace::label_set;
using millrace::metric;
using millrace::metric_collection;
using millrace::metric_registry;
using millrace::metric_type;
using millrace::sample_sink;
using millrace::sample_source;

constexpr metric orders{"orders_total", "Orders that were placed."};
constexpr metric depth{"depth", "What waits."};
constexpr metric took{"took_seconds", "How long it took."};

const millrace::metric_family* find(const metric_collection& c, std::string_view name) {
  for (const auto& f : c.families) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

std::string told(const label_set& labels) {
  std::string out;
  for (const auto& l : labels) out += l.name + '=' + l.value + ';';
  return out;
}

template <class T>
std::string message(const absl::StatusOr<T>& s) {
  return std::string(s.status().message());
}

}  // namespace

TEST_CASE("what instruments say is collected, sorted and merged") {
  metric_registry r;
  CHECK(r.collect().families.empty());
  auto* const in_b = *r.add_counter(orders, {{"shop", "b"}});
  auto* const in_a = *r.add_counter(orders, {{"till", "1"}, {"shop", "a"}});
  auto* const waiting = *r.add_gauge(depth);
  auto* const time = *r.add_histogram(took, {{"shop", "a"}});
  in_b->add(5);
  in_a->add();
  waiting->set(-2.5);
  time->record(std::chrono::milliseconds(3));

  const metric_collection c = r.collect();
  CHECK(c.errors.empty());
  REQUIRE(c.families.size() == 3);
  CHECK(c.families[0].name == "depth");
  CHECK(c.families[0].type == metric_type::gauge);
  CHECK(c.families[0].help == "What waits.");
  REQUIRE(c.families[0].samples.size() == 1);
  CHECK(c.families[0].samples[0].value == -2.5);
  CHECK(c.families[0].samples[0].labels.empty());
  CHECK(c.families[1].name == "orders_total");
  REQUIRE(c.families[1].samples.size() == 2);
  CHECK(told(c.families[1].samples[0].labels) == "shop=a;till=1;");
  CHECK(c.families[1].samples[0].value == 1);
  CHECK(told(c.families[1].samples[1].labels) == "shop=b;");
  CHECK(c.families[1].samples[1].value == 5);
  CHECK(c.families[2].type == metric_type::histogram);
  CHECK(c.families[2].scale == millrace::in_seconds);
  CHECK(c.families[2].samples.at(0).distribution.largest() == 3'000'000);
}

TEST_CASE("the same name and labels are the same instrument") {
  metric_registry r;
  auto* const c = *r.add_counter(orders, {{"a", "1"}, {"b", "2"}});
  CHECK(*r.add_counter(orders, {{"b", "2"}, {"a", "1"}}) == c);
  CHECK(*r.add_counter({"orders_total", "Another help."}, {{"a", "1"}, {"b", "2"}, {"none", ""}}) == c);
  CHECK(*r.add_counter(orders, {{"a", "1"}}) != c);
  CHECK(*r.add_histogram(took) == *r.add_histogram(took));
  CHECK(*r.add_gauge(depth) == *r.add_gauge(depth));
  CHECK(find(r.collect(), "orders_total")->help == orders.help);
}

TEST_CASE("another type under the same name is refused, and both are named") {
  metric_registry r;
  REQUIRE(r.add_gauge(depth).ok());
  const auto s = r.add_histogram(depth);
  CHECK(s.status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(message(s) == "metric_registry: \"depth\" is a gauge and cannot be a histogram too");
  CHECK(message(r.add_counter(depth)) == "metric_registry: \"depth\" is a gauge and cannot be a counter too");
  REQUIRE(r.add_counter(orders).ok());
  CHECK(message(r.add_gauge(orders)) ==
        "metric_registry: \"orders_total\" is a counter and cannot be a gauge too");
  CHECK(r.collect().families.size() == 2);
}

TEST_CASE("another scale under the same name is refused") {
  metric_registry r;
  REQUIRE(r.add_histogram(took).ok());
  const auto s = r.add_histogram(took, {{"a", "1"}}, millrace::in_numbers);
  CHECK(s.status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(message(s) == "metric_registry: \"took_seconds\" has another scale: unit 1e-09, bounds 1e-06 to 100");
}

TEST_CASE("names, labels and scales are held to the rules, and the rule is named") {
  metric_registry r;
  const auto named = [&](std::string_view name) { return message(r.add_gauge({name, "Help."})); };
  const std::string rule = " must match [a-zA-Z_:][a-zA-Z0-9_:]*";
  CHECK(named("") == "metric_registry: name \"\"" + rule);
  CHECK(named("2x") == "metric_registry: name \"2x\"" + rule);
  CHECK(named("a-b") == "metric_registry: name \"a-b\"" + rule);
  CHECK(named("a b") == "metric_registry: name \"a b\"" + rule);
  CHECK(named("gr\xc3\xb6\xc3\x9f"
              "e\n\"") == "metric_registry: name \"gr\\xc3\\xb6\\xc3\\x9fe\\x0a\\\"\"" + rule);
  CHECK(named("x_total") == "metric_registry: name \"x_total\" of a gauge must not end in _total");
  CHECK(named("x_bucket") == "metric_registry: name \"x_bucket\" must not end in _bucket");
  CHECK(named("x_sum") == "metric_registry: name \"x_sum\" must not end in _sum");
  CHECK(named("x_count") == "metric_registry: name \"x_count\" must not end in _count");
  CHECK(message(r.add_counter({"x", "Help."})) ==
        "metric_registry: name \"x\" of a counter must end in _total");
  CHECK(message(r.add_histogram({"x_total", "Help."})) ==
        "metric_registry: name \"x_total\" of a histogram must not end in _total");

  const std::string help =
      "metric_registry: help of \"x\" must be UTF-8 text, not empty and without zero bytes";
  CHECK(message(r.add_gauge({"x", ""})) == help);
  CHECK(message(r.add_gauge({"x", "\xff"})) == help);
  CHECK(message(r.add_gauge({"x", std::string_view("a\0b", 3)})) == help);

  const auto labelled = [&](label_set labels) { return message(r.add_gauge(depth, std::move(labels))); };
  const std::string label_rule = " of \"depth\" must match [a-zA-Z_][a-zA-Z0-9_]* and not begin with __";
  CHECK(labelled({{"", "1"}}) == "metric_registry: label \"\"" + label_rule);
  CHECK(labelled({{"a", "1"}, {"0b", "1"}}) == "metric_registry: label \"0b\"" + label_rule);
  CHECK(labelled({{"a.b", "1"}}) == "metric_registry: label \"a.b\"" + label_rule);
  CHECK(labelled({{"a:b", "1"}}) == "metric_registry: label \"a:b\"" + label_rule);
  CHECK(labelled({{"__a", "1"}}) == "metric_registry: label \"__a\"" + label_rule);
  CHECK(labelled({{"le", "1"}}) == "metric_registry: label \"le\" of \"depth\" is kept for histograms");
  CHECK(labelled({{"a", "1"}, {"b", "1"}, {"a", "2"}}) ==
        "metric_registry: label \"a\" of \"depth\" must be there once");
  CHECK(labelled({{"a", ""}, {"a", "2"}}) == "metric_registry: label \"a\" of \"depth\" must be there once");
  CHECK(
      labelled({{"a", "x\x80"}}) ==
      "metric_registry: value \"x\\x80\" of label \"a\" of \"depth\" must be UTF-8 text without zero bytes");

  const double inf = std::numeric_limits<double>::infinity();
  for (const double unit : {0.0, -1.0, inf, std::nan("")}) {
    CHECK(message(r.add_histogram(took, {}, {unit, 1, 2})) ==
          "metric_registry: scale.unit of \"took_seconds\" must be above 0 and finite");
  }
  for (const auto& [first, last] :
       {std::pair{0.0, 1.0}, {2.0, 1.0}, {1e-16, 1.0}, {1.0, 1e19}, {std::nan(""), 1.0}}) {
    CHECK(message(r.add_histogram(took, {}, {1, first, last})) ==
          "metric_registry: scale of \"took_seconds\" must have 1e-15 <= first_bound <= last_bound <= 1e18");
  }
  CHECK(r.add_gauge({"", "Help."}).status().code() == absl::StatusCode::kInvalidArgument);
  // None of it has left anything.
  CHECK(r.collect().families.empty());
  CHECK(r.add_gauge({"_:aZ09", "Help."}, {{"_aZ09", "anything \" \\ \n"}}).ok());
}

TEST_CASE("label values are UTF-8") {
  metric_registry r;
  const auto takes = [&](std::string text) { return r.add_gauge(depth, {{"a", std::move(text)}}).ok(); };
  for (const char* good : {"plain", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xb6z"}) {
    INFO(good);
    CHECK(takes(good));
  }
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf", "\xe0\xa0",
                          "\xe0\xa0z", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xff", "a\xf0\x9f\x98"}) {
    INFO(bad);
    CHECK_FALSE(takes(bad));
  }
  CHECK_FALSE(takes(std::string("a\0b", 3)));
}

TEST_CASE("a source is asked whenever somebody collects, until it goes") {
  metric_registry r;
  int asked = 0;
  std::uint64_t waiting = 7;
  std::optional<sample_source> source = r.add_source([&](sample_sink& sink) {
    ++asked;
    sink.gauge(depth, {{"queue", "mail"}}, waiting);
    sink.counter(orders, {}, 3);
    millrace::histogram h;
    h.record(50, 2);
    sink.histogram(took, {}, h.snapshot());
  });
  CHECK(asked == 0);
  (*r.add_gauge(depth))->set(1);
  metric_collection c = r.collect();
  CHECK(asked == 1);
  CHECK(c.errors.empty());
  REQUIRE(find(c, "depth")->samples.size() == 2);
  CHECK(find(c, "depth")->samples[0].value == 1);
  CHECK(find(c, "depth")->samples[1].value == 7);
  CHECK(find(c, "orders_total")->samples.at(0).value == 3);
  CHECK(find(c, "took_seconds")->samples.at(0).distribution.count() == 2);
  waiting = 9;
  CHECK(find(r.collect(), "depth")->samples[1].value == 9);
  source.reset();
  c = r.collect();
  CHECK(asked == 2);
  CHECK(c.families.size() == 1);
}

TEST_CASE("a source's place can be moved, removed, and outlive the registry") {
  auto r = std::make_unique<metric_registry>();
  const auto alive = std::make_shared<int>(0);
  const auto make = [&](const char* name) {
    return r->add_source([alive, name](sample_sink& sink) { sink.gauge({name, "Help."}, {}, 1); });
  };
  sample_source a = make("a");
  sample_source b = make("b");
  CHECK(alive.use_count() == 3);
  a = std::move(b);  // what was a goes
  CHECK(alive.use_count() == 2);
  REQUIRE(r->collect().families.size() == 1);
  CHECK(r->collect().families[0].name == "b");
  a = sample_source(std::move(a));
  CHECK(r->collect().families.size() == 1);
  a.remove();
  a.remove();
  CHECK(alive.use_count() == 1);
  CHECK(r->collect().families.empty());
  sample_source last = make("last");
  r.reset();
  CHECK(alive.use_count() == 2);
  last.remove();
  CHECK(alive.use_count() == 1);
}

TEST_CASE("sources that come and go where nobody collects leave nothing") {
  metric_registry r;
  const sample_source stays = r.add_source([](sample_sink& sink) { sink.gauge(depth, {}, 1); });
  for (int i = 0; i < 10'000; ++i) {
    const sample_source goes = r.add_source([](sample_sink& sink) { sink.gauge(depth, {{"a", "1"}}, 1); });
  }
  CHECK(find(r.collect(), "depth")->samples.size() == 1);
}

TEST_CASE("what a source says wrong is reported, and the rest is there") {
  metric_registry r;
  REQUIRE(r.add_gauge(depth).ok());
  const sample_source s = r.add_source([](sample_sink& sink) {
    sink.gauge({"no-name", "Help."}, {}, 1);
    sink.gauge({"fine", "Help."}, {{"a-b", "1"}}, 1);
    sink.counter({"lost_total", "Help."}, {}, -1);
    sink.counter({"nan_total", "Help."}, {}, std::nan(""));
    sink.histogram(depth, {{"a", "1"}}, {});
    sink.gauge(depth, {}, 5);  // is there already
    sink.gauge(depth, {{"a", "1"}}, 6);
    sink.gauge(depth, {{"a", "1"}, {"b", ""}}, 7);
    sink.gauge({"fine", "Help."}, {}, 8);
  });
  const metric_collection c = r.collect();
  std::vector<std::string> said;
  for (const auto& e : c.errors) said.emplace_back(e.message());
  CHECK(said == std::vector<std::string>{
                    "metric_registry: name \"no-name\" must match [a-zA-Z_:][a-zA-Z0-9_:]*",
                    "metric_registry: label \"a-b\" of \"fine\" must match [a-zA-Z_][a-zA-Z0-9_]* and not "
                    "begin with __",
                    "metric_registry: value -1 of counter \"lost_total\" must be 0 or more",
                    "metric_registry: value nan of counter \"nan_total\" must be 0 or more",
                    "metric_registry: \"depth\" is a gauge and cannot be a histogram too",
                    "metric_registry: \"depth\" is there already",
                    "metric_registry: \"depth\" a=\"1\" is there already",
                });
  REQUIRE(c.families.size() == 3);
  CHECK(c.families[0].name == "depth");
  REQUIRE(c.families[0].samples.size() == 2);
  CHECK(c.families[0].samples[0].value == 0);
  CHECK(c.families[0].samples[1].value == 6);
  CHECK(c.families[1].name == "fine");
  CHECK(c.families[1].samples.at(0).value == 8);
  CHECK(c.families[2].name == "millrace_scrape_errors");
  CHECK(c.families[2].samples.at(0).value == 7);
}

TEST_CASE("a source that throws is reported, with what it had said before") {
  metric_registry r;
  const sample_source a = r.add_source([](sample_sink& sink) {
    sink.gauge(depth, {}, 1);
    throw std::runtime_error("the disk is gone");
  });
  const sample_source b = r.add_source([](sample_sink&) { throw 7; });
  const sample_source after = r.add_source([](sample_sink& sink) { sink.gauge(depth, {{"a", "1"}}, 2); });
  const metric_collection c = r.collect();
  REQUIRE(c.errors.size() == 2);
  CHECK(c.errors[0].message() == "metric_registry: a source threw \"the disk is gone\"");
  CHECK(c.errors[1].message() == "metric_registry: a source threw what is no std::exception");
  CHECK(find(c, "depth")->samples.size() == 2);
  CHECK(r.collect().errors.size() == 2);  // it can be asked again
}

TEST_CASE("a source may add to the registry") {
  const support::watchdog dog("a source that adds");
  metric_registry r;
  std::vector<sample_source> more;
  const sample_source s = r.add_source([&](sample_sink&) {
    (*r.add_gauge(depth))->add(1);
    more.push_back(r.add_source([](sample_sink& sink) { sink.counter(orders, {}, 1); }));
  });
  CHECK(r.collect().families.empty());
  more.resize(1);
  CHECK(r.collect().families.size() == 2);
}

TEST_CASE("once a source's place has gone it is not called, and not being called") {
  const support::watchdog dog("removal beside collect");
  constexpr int rounds = SUPPORT_SANITIZED ? 100 : 400;
  metric_registry r;
  std::atomic<bool> done{false};
  std::vector<std::jthread> threads;
  std::atomic<bool> failed{false};
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!done.load()) {
        if (!r.collect().errors.empty()) failed = true;
      }
    });
  }
  bool called_late = false;
  bool called_twice = false;
  long called = 0;
  for (int i = 0; i < rounds; ++i) {
    std::atomic<bool> alive{true};
    std::atomic<bool> inside{false};
    std::atomic<long> calls{0};
    std::atomic<bool> late{false};
    std::atomic<bool> twice{false};
    const auto state =
        std::make_unique<std::vector<int>>(100, i);  // a use after it has gone is a use after free
    struct seen {
      std::atomic<bool>&alive, &inside, &late, &twice;
      std::atomic<long>& calls;
      const std::vector<int>& state;
    } s{alive, inside, late, twice, calls, *state};
    {
      const sample_source source = r.add_source([&s](sample_sink& sink) {
        if (!s.alive) s.late = true;
        if (s.inside.exchange(true)) s.twice = true;
        sink.gauge(depth, {}, s.state[50]);
        ++s.calls;
        s.inside = false;
        if (!s.alive) s.late = true;
      });
      // Some go before anybody saw them, some when they have just been called.
      while (i % 4 == 0 && s.calls == 0) std::this_thread::yield();
    }
    alive = false;
    called_late = called_late || late;
    called_twice = called_twice || twice;
    called += calls;
  }
  done = true;
  threads.clear();
  CHECK_FALSE(called_late);
  CHECK_FALSE(called_twice);
  CHECK_FALSE(failed.load());
  CHECK(called >= rounds / 4);
  CHECK(r.collect().families.empty());
}

TEST_CASE("many threads add, count and collect") {
  const support::watchdog dog("adding beside collect");
  constexpr int rounds = SUPPORT_SANITIZED ? 200 : 2000;
  metric_registry r;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&r, t] {
        for (int i = 0; i < rounds; ++i) {
          (*r.add_counter(orders, {{"n", std::to_string(i % 16)}}))->add();
          (*r.add_histogram(took, {{"thread", std::to_string(t)}}))->record(std::uint64_t(i));
          if (i % 64 == 0) static_cast<void>(r.collect());
        }
      });
    }
  }
  const metric_collection c = r.collect();
  CHECK(c.errors.empty());
  REQUIRE(find(c, "orders_total")->samples.size() == 16);
  double sum = 0;
  for (const auto& s : find(c, "orders_total")->samples) sum += s.value;
  CHECK(sum == 4 * rounds);
  REQUIRE(find(c, "took_seconds")->samples.size() == 4);
  for (const auto& s : find(c, "took_seconds")->samples) CHECK(s.distribution.count() == rounds);
}

TEST_CASE("equal numbers are collected equally, in whatever order they were added") {
  const auto made = [](bool backwards) {
    metric_registry r;
    std::vector<int> order{0, 1, 2, 3, 4, 5};
    if (backwards) order = {5, 3, 4, 1, 0, 2};
    std::vector<sample_source> sources;
    for (const int i : order) {
      if (i % 2 == 0) {
        (*r.add_counter(orders, {{"n", std::to_string(i)}}))->add(std::uint64_t(i));
      } else {
        sources.push_back(r.add_source([i](sample_sink& sink) {
          sink.counter(orders, {{"n", std::to_string(i)}}, i);
          sink.gauge({i == 1 ? "one" : "many", "Help."}, {{"z", "1"}, {"n", std::to_string(i)}}, i);
        }));
      }
    }
    std::string out;
    for (const auto& f : r.collect().families) {
      for (const auto& s : f.samples) out += f.name + ' ' + told(s.labels) + std::to_string(s.value) + '\n';
    }
    return out;
  };
  CHECK(made(false) == made(true));
  CHECK(made(false).find("many n=3;z=1;3.0") != std::string::npos);
}
