#include "millrace/metrics/exposition.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <vector>

namespace millrace {
inline namespace v0 {
namespace {

/// The shortest text that reads back as `d`.
std::string printed(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", d);
}

/// `quotes`: whether these are escaped too.
void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\\' || (quotes && c == '"')) out += '\\';
      out += c;
    }
  }
}

/// a="1",b="2"
std::string joined(const label_set& labels) {
  std::string out;
  for (const label& l : labels) {
    if (!out.empty()) out += ',';
    out += l.name;
    out += "=\"";
    append_escaped(out, l.value, true);
    out += '"';
  }
  return out;
}

void append_line(std::string& out, std::string_view name, std::string_view ending, std::string_view labels,
                 std::string_view value) {
  out += name;
  out += ending;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
  out += value;
  out += '\n';
}

/// Exact, as such a product is up to 10 to the 22nd; std::pow promises nothing.
double power_of_ten(int n) {
  double out = 1;
  for (; n > 0; --n) out *= 10;
  return out;
}

struct bound {
  std::string text;
  std::uint64_t recorded;  // the largest value of the histogram that is at most that
};

/// 1, 2.5 and 5 of each power of ten within the scale.
std::vector<bound> bounds_of(const histogram_scale& scale) {
  std::vector<bound> out;
  // A registry lets in none that begins below 1e-15 or ends above 1e18; a collection from elsewhere is cut there.
  for (int power = -15; power <= 18; ++power) {
    for (const double digit : {1.0, 2.5, 5.0}) {
      // why divided: ten to a negative power is no double, so a product with it is not the nearest to the decimal
      const double at = power < 0 ? digit / power_of_ten(-power) : digit * power_of_ten(power);
      if (at < scale.first_bound || at > scale.last_bound) continue;
      // Likewise 1e-6 / 1e-9 need not be 1000: what is a whole number but for roundings is meant as one.
      const double exact = at / scale.unit;
      const double nearest = std::round(exact);
      const double recorded = std::abs(exact - nearest) <= exact * 1e-12 ? nearest : std::floor(exact);
      out.push_back({printed(at), recorded < 0x1p64 ? static_cast<std::uint64_t>(recorded) : UINT64_MAX});
    }
  }
  return out;
}

void append_histogram(std::string& out, const metric_family& family, const std::vector<bound>& bounds,
                      const metric_sample& s) {
  const std::string labels = joined(s.labels);
  const std::string before_le = labels.empty() ? "le=\"" : labels + ",le=\"";
  for (const bound& b : bounds) {
    append_line(out, family.name, "_bucket", before_le + b.text + '"',
                fmt::format("{}", s.distribution.count_up_to(b.recorded)));
  }
  const std::string count = fmt::format("{}", s.distribution.count());
  append_line(out, family.name, "_bucket", before_le + "+Inf\"", count);
  append_line(out, family.name, "_sum", labels, printed(s.distribution.sum() * family.scale.unit));
  append_line(out, family.name, "_count", labels, count);
}

}  // namespace

std::string to_prometheus(const metric_collection& collected) {
  std::string out;
  for (const metric_family& family : collected.families) {
    out += "# HELP " + family.name + ' ';
    append_escaped(out, family.help, false);
    out += "\n# TYPE " + family.name + ' ' + to_string(family.type) + '\n';
    if (family.type == metric_type::histogram) {
      const std::vector<bound> bounds = bounds_of(family.scale);
      for (const metric_sample& s : family.samples) append_histogram(out, family, bounds, s);
    } else {
      for (const metric_sample& s : family.samples) {
        append_line(out, family.name, "", joined(s.labels), printed(s.value));
      }
    }
  }
  for (const absl::Status& error : collected.errors) {
    out += "# millrace: ";
    append_escaped(out, error.ToString(), false);
    out += '\n';
  }
  return out;
}

std::string to_prometheus(const metric_registry& from) { return to_prometheus(from.collect()); }

}  // namespace v0
}  // namespace millrace
