#include "millrace/metrics/metric_registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "millrace/metrics/names.hpp"

namespace millrace {
inline namespace v0 {
namespace {

/// For a message: what is no printable ASCII is not let through.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out += '"';
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name(std::string_view name, bool colons) {
  if (name.empty() || is_digit(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || is_digit(c) || (colons && c == ':'); });
}

/// UTF-8 (RFC 3629: the shortest form, no surrogates, up to U+10FFFF) without U+0000.
// why it matters: one byte that is none, and Prometheus drops the whole scrape.
bool is_text(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  for (std::size_t i = 0; i < s.size();) {
    const unsigned first = byte(i++);
    if (first == 0) return false;
    if (first < 0x80) continue;
    if (first < 0xc2 || first > 0xf4) return false;
    // The range of the second byte keeps out what is too long, too large, or a surrogate.
    unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3; more > 0; --more) {
      if (i == s.size() || byte(i) < low || byte(i) > high) return false;
      ++i;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}

template <class... Args>
absl::Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError("metric_registry: " + fmt::format(format, std::forward<Args>(args)...));
}

absl::Status validate_metric(metric_type type, const metric& what) {
  if (!is_name(what.name, true)) {
    return invalid("name {} must match [a-zA-Z_:][a-zA-Z0-9_:]*", quoted(what.name));
  }
  const bool total = what.name.ends_with("_total");
  if (type == metric_type::counter && !total) {
    return invalid("name {} of a counter must end in _total", quoted(what.name));
  }
  if (type != metric_type::counter && total) {
    return invalid("name {} of a {} must not end in _total", quoted(what.name), to_string(type));
  }
  // A histogram shows itself as three series with these endings.
  for (const std::string_view taken : {"_bucket", "_count", "_sum"}) {
    if (what.name.ends_with(taken)) return invalid("name {} must not end in {}", quoted(what.name), taken);
  }
  if (what.help.empty() || !is_text(what.help)) {
    return invalid("help of {} must be UTF-8 text, not empty and without zero bytes", quoted(what.name));
  }
  return absl::OkStatus();
}

/// Sorts them and leaves out those without a value.
absl::Status validate_labels(const metric& what, label_set& labels) {
  std::sort(labels.begin(), labels.end());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const label& l = labels[i];
    if (!is_name(l.name, false) || l.name.starts_with("__")) {
      return invalid("label {} of {} must match [a-zA-Z_][a-zA-Z0-9_]* and not begin with __", quoted(l.name),
                     quoted(what.name));
    }
    if (l.name == "le") return invalid("label \"le\" of {} is kept for histograms", quoted(what.name));
    if (i > 0 && labels[i - 1].name == l.name) {
      return invalid("label {} of {} must be there once", quoted(l.name), quoted(what.name));
    }
    if (!is_text(l.value)) {
      return invalid("value {} of label {} of {} must be UTF-8 text without zero bytes", quoted(l.value),
                     quoted(l.name), quoted(what.name));
    }
  }
  std::erase_if(labels, [](const label& l) { return l.value.empty(); });
  return absl::OkStatus();
}

absl::Status validate_scale(const metric& what, const histogram_scale& scale) {
  if (!(scale.unit > 0) || !std::isfinite(scale.unit)) {
    return invalid("scale.unit of {} must be above 0 and finite", quoted(what.name));
  }
  // why these: they leave 100 bounds at most, of powers of ten that a double holds exactly, or their inverse
  if (!(scale.first_bound >= 1e-15 && scale.first_bound <= scale.last_bound && scale.last_bound <= 1e18)) {
    return invalid("scale of {} must have 1e-15 <= first_bound <= last_bound <= 1e18", quoted(what.name));
  }
  return absl::OkStatus();
}

/// Whether a family that is there already can have what is said of it now.
template <class Family>
absl::Status validate_same(const metric& what, const Family& known, metric_type type,
                           const histogram_scale& scale) {
  if (known.type != type) {
    return absl::AlreadyExistsError(fmt::format("metric_registry: {} is a {} and cannot be a {} too",
                                                quoted(what.name), to_string(known.type), to_string(type)));
  }
  if (type == metric_type::histogram && known.scale != scale) {
    return absl::AlreadyExistsError(
        fmt::format("metric_registry: {} has another scale: unit {}, bounds {} to {}", quoted(what.name),
                    known.scale.unit, known.scale.first_bound, known.scale.last_bound));
  }
  return absl::OkStatus();
}

/// The family of that name, new or known, if a series with these labels, which it sorts, may stand in it.
template <class Family>
absl::StatusOr<Family*> family_for(std::map<std::string, Family, std::less<>>& families, metric_type type,
                                   const metric& what, label_set& labels, const histogram_scale& scale) {
  const auto known = families.find(what.name);
  if (known != families.end()) {
    if (absl::Status s = validate_same(what, known->second, type, scale); !s.ok()) return s;
  } else {
    if (absl::Status s = validate_metric(type, what); !s.ok()) return s;
    if (absl::Status s = validate_scale(what, scale); !s.ok()) return s;
  }
  if (absl::Status s = validate_labels(what, labels); !s.ok()) return s;
  if (known != families.end()) return &known->second;
  Family& made = families[std::string(what.name)];
  made.help = what.help;
  made.type = type;
  made.scale = scale;
  return &made;
}

std::string told(const label_set& labels) {
  std::string out;
  for (const label& l : labels) out += fmt::format(" {}={}", l.name, quoted(l.value));
  return out;
}

}  // namespace

namespace detail {

/// Of one collect: everything that was said, merged and in order.
class metric_collector {
 public:
  void add(metric_type type, const metric& what, label_set labels, double value,
           histogram_snapshot distribution, const histogram_scale& scale) {
    if (type == metric_type::counter && !(value >= 0)) {
      return add_error(invalid("value {} of counter {} must be 0 or more", value, quoted(what.name)));
    }
    const absl::StatusOr<family*> to = family_for(families_, type, what, labels, scale);
    if (!to.ok()) return add_error(to.status());
    auto& samples = (*to)->samples;
    if (samples.contains(labels)) {
      return add_error(absl::AlreadyExistsError(
          fmt::format("metric_registry: {}{} is there already", quoted(what.name), told(labels))));
    }
    metric_sample made{labels, value, std::move(distribution)};
    samples.emplace(std::move(labels), std::move(made));
  }
  void add_error(absl::Status error) { errors_.push_back(std::move(error)); }

  metric_collection take() && {
    if (!errors_.empty()) {
      add(metric_type::gauge, names::scrape_errors, {}, static_cast<double>(errors_.size()), {}, in_seconds);
    }
    metric_collection out;
    out.families.reserve(families_.size());
    for (auto& [name, from] : families_) {
      out.families.push_back({name, std::move(from.help), from.type, from.scale, {}});
      auto& samples = out.families.back().samples;
      samples.reserve(from.samples.size());
      for (auto& [labels, s] : from.samples) samples.push_back(std::move(s));
    }
    out.errors = std::move(errors_);
    return out;
  }

 private:
  struct family {
    std::string help;
    metric_type type{};
    histogram_scale scale{};
    std::map<label_set, metric_sample> samples;
  };

  std::map<std::string, family, std::less<>> families_;
  std::vector<absl::Status> errors_;
};

struct metric_source {
  explicit metric_source(function<void(sample_sink&)> g) noexcept : give(std::move(g)) {}

  // Held while `give` runs: its removal waits for that, another collect too, and nobody else.
  std::mutex mutex;
  function<void(sample_sink&)> give;
};

struct metric_registry_state {
  struct family {
    std::string help;
    metric_type type{};
    histogram_scale scale{};
    // All but that of its type are empty. A map's elements stay where they are.
    std::map<label_set, counter> counters;
    std::map<label_set, gauge> gauges;
    std::map<label_set, histogram> histograms;
  };

  template <class Instrument>
  absl::StatusOr<Instrument*> add(std::map<label_set, Instrument> family::* series, metric_type type,
                                  const metric& what, label_set labels, const histogram_scale& scale) {
    const std::lock_guard lock(mutex);
    const absl::StatusOr<family*> of = family_for(families, type, what, labels, scale);
    if (!of.ok()) return of.status();
    return &((*of)->*series)[std::move(labels)];
  }

  void collect_own(metric_collector& to) const {
    for (const auto& [name, f] : families) {
      const metric what{name, f.help};
      for (const auto& [labels, c] : f.counters) {
        to.add(f.type, what, labels, static_cast<double>(c.value()), {}, f.scale);
      }
      for (const auto& [labels, g] : f.gauges) to.add(f.type, what, labels, g.value(), {}, f.scale);
      for (const auto& [labels, h] : f.histograms) to.add(f.type, what, labels, 0, h.snapshot(), f.scale);
    }
  }

  std::mutex mutex;
  std::map<std::string, family, std::less<>> families;
  std::vector<std::weak_ptr<metric_source>> sources;  // gone with their sample_source
};

}  // namespace detail

namespace {

void ask(detail::metric_source& source, sample_sink& sink, detail::metric_collector& to) {
  const std::lock_guard lock(source.mutex);
  if (!source.give) return;
#if MILLRACE_HAS_EXCEPTIONS
  try {
    source.give(sink);
  } catch (const std::exception& e) {
    to.add_error(absl::InternalError(fmt::format("metric_registry: a source threw {}", quoted(e.what()))));
  } catch (...) {
    to.add_error(absl::InternalError("metric_registry: a source threw what is no std::exception"));
  }
#else
  static_cast<void>(to);
  source.give(sink);
#endif
}

}  // namespace

void sample_sink::number(metric_type type, const metric& what, label_set labels, double value) {
  to_.add(type, what, std::move(labels), value, {}, in_seconds);
}

void sample_sink::histogram(const metric& what, label_set labels, histogram_snapshot distribution,
                            const histogram_scale& scale) {
  to_.add(metric_type::histogram, what, std::move(labels), 0, std::move(distribution), scale);
}

void sample_source::remove() noexcept {
  if (!entry_) return;
  function<void(sample_sink&)> gone;  // what it holds is destroyed without the lock
  {
    const std::lock_guard lock(entry_->mutex);
    gone = std::move(entry_->give);
  }
  entry_.reset();
}

metric_registry::metric_registry() : state_(std::make_unique<detail::metric_registry_state>()) {}
metric_registry::~metric_registry() = default;

absl::StatusOr<counter*> metric_registry::add_counter(const metric& what, label_set labels) {
  return state_->add(&detail::metric_registry_state::family::counters, metric_type::counter, what,
                     std::move(labels), in_seconds);
}

absl::StatusOr<gauge*> metric_registry::add_gauge(const metric& what, label_set labels) {
  return state_->add(&detail::metric_registry_state::family::gauges, metric_type::gauge, what,
                     std::move(labels), in_seconds);
}

absl::StatusOr<histogram*> metric_registry::add_histogram(const metric& what, label_set labels,
                                                          const histogram_scale& scale) {
  return state_->add(&detail::metric_registry_state::family::histograms, metric_type::histogram, what,
                     std::move(labels), scale);
}

sample_source metric_registry::add_source(function<void(sample_sink&)> give) {
  auto entry = std::make_shared<detail::metric_source>(std::move(give));
  const std::lock_guard lock(state_->mutex);
  auto& sources = state_->sources;
  // Those that are gone make room before more is taken, so that sources may come and go where nobody collects.
  if (sources.size() == sources.capacity()) {
    std::erase_if(sources, [](const auto& s) { return s.expired(); });
  }
  sources.push_back(entry);
  return sample_source(std::move(entry));
}

metric_collection metric_registry::collect() const {
  detail::metric_collector to;
  std::vector<std::shared_ptr<detail::metric_source>> sources;
  {
    const std::lock_guard lock(state_->mutex);
    state_->collect_own(to);
    for (const auto& s : state_->sources) {
      if (auto held = s.lock()) sources.push_back(std::move(held));
    }
  }
  sample_sink sink(to);
  for (const auto& s : sources) ask(*s, sink, to);
  return std::move(to).take();
}

}  // namespace v0
}  // namespace millrace
