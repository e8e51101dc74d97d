// Who wants to buy, and when: a crowd that is made up, or one that comes as in an access log.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "chance.hpp"

struct request {
  std::uint32_t at;  // microseconds after the beginning of the sale
  std::uint32_t buyer;
  std::uint32_t network;
};

struct crowd {
  std::vector<request> requests;                // by time
  std::unordered_set<std::uint32_t> blacklist;  // networks

  void put_in_order() {
    std::ranges::sort(requests, {}, [](const request& r) { return std::tuple(r.at, r.buyer, r.network); });
  }
};

/// The rate goes up for a fifth of the time, stays, and goes down for a fifth. Buyers press twice on the average, and one
/// request of 16 is a robot's.
inline crowd made_up_crowd(count seed, count rate, count seconds) {
  constexpr std::uint32_t robots = 16;  // networks, half of them known
  crowd c;
  chance drawn(seed, purpose::requests);
  const count end = seconds * 1000;  // milliseconds
  const count ramp = end / 5;
  const auto buyers = static_cast<std::uint32_t>(rate * seconds * 2 / 5 + 1);
  const auto networks = static_cast<std::uint32_t>(rate / 25 + 16);
  c.requests.reserve(rate * seconds * 4 / 5 + 1);
  count owed = 500 * ramp;  // of a request, in parts of 1000 * ramp
  for (count ms = 0; ms < end; ++ms) {
    owed += rate * std::min({ms, ramp, end - ms});
    for (; owed >= 1000 * ramp; owed -= 1000 * ramp) {
      const auto at = static_cast<std::uint32_t>(ms * 1000) + drawn.below(1000);
      const std::uint32_t buyer = drawn.below(buyers);
      const bool robot = drawn.below(16) == 0;
      const std::uint32_t network =
          robot ? drawn.below(robots) : robots + chance(seed, purpose::buyers, buyer).below(networks);
      c.requests.push_back({at, buyer, network});
    }
  }
  for (std::uint32_t i = 0; i < robots / 2; ++i) c.blacklist.insert(i);
  c.put_in_order();
  return c;
}

// --- an access log --------------------------------------------------------------------------------------

struct visit {
  std::int64_t at;  // seconds since 1970
  std::string source;
  bool robot;
};

/// SOURCE IDENT USER [17/May/2015:10:05:03 +0000] "REQUEST" STATUS SIZE "REFERRER" "AGENT"
inline std::optional<visit> visit_of(std::string_view line) {
  static constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  static constexpr std::string_view form = "00/Aaa/0000:00:00:00 ";  // a 0 stands for a digit
  const auto digit = [](char c) { return '0' <= c && c <= '9'; };
  const std::size_t open = line.find(" [");
  if (open == line.npos || line.size() < open + 2 + form.size()) return std::nullopt;
  const std::string_view time = line.substr(open + 2, form.size());
  for (std::size_t i = 0; i < form.size(); ++i) {
    if (form[i] == '0' ? !digit(time[i]) : form[i] < 'A' && time[i] != form[i]) return std::nullopt;
  }
  const auto two = [&](std::size_t at) { return (time[at] - '0') * 10 + (time[at + 1] - '0'); };
  const std::size_t month = months.find(time.substr(3, 3));
  if (month == months.npos || month % 3 != 0) return std::nullopt;
  const std::chrono::year_month_day day(std::chrono::year(two(7) * 100 + two(9)),
                                        std::chrono::month(static_cast<unsigned>(month / 3 + 1)),
                                        std::chrono::day(static_cast<unsigned>(two(0))));
  if (!day.ok()) return std::nullopt;
  const auto midnight = std::chrono::sys_seconds(std::chrono::sys_days(day)).time_since_epoch();
  return visit{midnight.count() + two(12) * 3600 + two(15) * 60 + two(18),
               std::string(line.substr(0, line.find(' '))), line.find("bot", line.rfind(" \"")) != line.npos};
}

inline std::vector<visit> visits_of(std::istream& log) {
  std::vector<visit> visits;
  for (std::string line; std::getline(log, line);) {
    if (std::optional<visit> v = visit_of(line)) visits.push_back(std::move(*v));
  }
  std::ranges::sort(visits, {}, [](const visit& v) { return std::tie(v.at, v.source, v.robot); });
  return visits;
}

/// `visits` by time, one at least.
inline crowd crowd_of(const std::vector<visit>& visits, count seed, count rate, count seconds) {
  constexpr count spread = 100'000;  // microseconds behind its line in which a request may come
  const count room = seconds * 1'000'000 - spread;
  const auto since_first = [&](const visit& v) { return static_cast<count>(v.at - visits.front().at); };
  const count span = std::max<count>(since_first(visits.back()), 1);
  const auto place = [&](const visit& v) { return since_first(v) * room / span; };

  count busiest = 0;  // lines in a second
  for (std::size_t first = 0, i = 0; i < visits.size(); ++i) {
    while (place(visits[i]) - place(visits[first]) >= 1'000'000) ++first;
    busiest = std::max<count>(busiest, i - first + 1);
  }

  crowd c;
  chance drawn(seed, purpose::requests);
  for (std::size_t i = 0; i < visits.size(); ++i) {
    const visit& v = visits[i];
    // An FNV-1a hash (G. Fowler, L. Noll, K.-P. Vo, 1991), as std::hash differs from library to library.
    const auto hash = [](std::string_view s) {
      count h = 0xCBF2'9CE4'8422'2325;
      for (const char byte : s) h = (h ^ static_cast<unsigned char>(byte)) * 0x100'0000'01B3;
      return h;
    };
    const std::string_view source = v.source;
    const auto network = static_cast<std::uint32_t>(hash(source.substr(0, source.find_last_of(".:"))));
    if (v.robot) c.blacklist.insert(network);
    const count first = i * rate / busiest;
    const count end = (i + 1) * rate / busiest;
    for (count n = first; n < end; ++n) {
      const auto at = static_cast<std::uint32_t>(place(v) + drawn.below(spread));
      c.requests.push_back({at, static_cast<std::uint32_t>(mixed(hash(source) + n - first)), network});
    }
  }
  c.put_in_order();
  return c;
}
