// What the readers of a topic got, and whether that can be.
//
// One reader, the witness, loses nothing and is there from the first message to the last: what it got must be what the
// publishers were told is accepted, once each, and each publisher's in its order. Every other reader must have got what the
// witness got, at the same offsets, from where it began to where it stopped, but for what it counts as missed.
//
// A value tells its publisher and the place in its row: [ publisher : 24 | number : 40 ].
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace support {

struct topic_event {
  enum kinds : std::uint8_t {
    begins,  // at `offset`; `value` is the rules
    got,
    stands,  // all before `offset` it has done with
    ended,   // there will be nothing more
  };
  enum rules : std::uint64_t { lossless = 1, filtered = 2 };

  std::uint64_t offset = 0;
  std::uint64_t value = 0;
  std::uint64_t missed = 0;
  kinds what = got;
};
using topic_diary = std::vector<topic_event>;

struct topic_history {
  static constexpr int number_bits = 40;
  [[nodiscard]] static constexpr std::uint64_t value(std::uint64_t publisher, std::uint64_t number) {
    return publisher << number_bits | number;
  }
  [[nodiscard]] static constexpr std::uint64_t publisher(std::uint64_t value) { return value >> number_bits; }
  [[nodiscard]] static constexpr std::uint64_t number(std::uint64_t value) {
    return value & ((std::uint64_t{1} << number_bits) - 1);
  }
  /// What the filter lets through.
  [[nodiscard]] static constexpr bool wanted(std::uint64_t value) { return value % 4 != 1; }

  std::vector<std::vector<bool>> accepted;  // [publisher][number]
  std::vector<topic_diary> diaries;         // the first is the witness's
};

namespace detail {

inline std::string at(std::uint64_t offset, std::uint64_t value) {
  return "publisher " + std::to_string(topic_history::publisher(value)) + "'s number " +
         std::to_string(topic_history::number(value)) + " at offset " + std::to_string(offset);
}

struct topic_log {
  struct entry {
    std::uint64_t offset;
    std::uint64_t value;
  };
  std::vector<entry> entries;

  [[nodiscard]] std::string read(const topic_history& h) {
    std::vector<std::uint64_t> next(h.accepted.size(), 0);
    std::size_t promised = 0;
    for (const std::vector<bool>& row : h.accepted) {
      promised += static_cast<std::size_t>(std::count(row.begin(), row.end(), true));
    }
    entries.reserve(promised);
    for (const topic_event& e : h.diaries[0]) {
      if (e.what != topic_event::got) continue;
      const std::uint64_t p = topic_history::publisher(e.value);
      const std::uint64_t n = topic_history::number(e.value);
      if (!entries.empty() && e.offset <= entries.back().offset) {
        return at(e.offset, e.value) + " comes behind offset " + std::to_string(entries.back().offset);
      }
      if (p >= h.accepted.size() || n >= h.accepted[p].size()) return at(e.offset, e.value) + " is torn";
      if (!h.accepted[p][n]) return at(e.offset, e.value) + " had been refused";
      if (n < next[p]) return at(e.offset, e.value) + " is repeated, or behind a later one";
      for (; next[p] < n; ++next[p]) {
        if (h.accepted[p][next[p]]) return at(e.offset, e.value) + ": an earlier one is lost";
      }
      ++next[p];
      entries.push_back({e.offset, e.value});
    }
    if (entries.size() != promised) {
      return std::to_string(promised) + " messages were accepted, and " + std::to_string(entries.size()) +
             " arrived";
    }
    return {};
  }
};

class topic_reading {
 public:
  explicit topic_reading(const topic_log& log) : log_(log) {}

  [[nodiscard]] std::string follow(const topic_event& e) {
    const auto& all = log_.entries;
    if (e.what == topic_event::begins) {
      next_ = static_cast<std::size_t>(
          std::lower_bound(all.begin(), all.end(), e.offset,
                           [](const auto& a, std::uint64_t o) { return a.offset < o; }) -
          all.begin());
      from_ = e.offset;
      missed_ = e.missed;
      rules_ = e.value;
      return {};
    }
    const std::uint64_t to = e.what == topic_event::ended ? ~std::uint64_t{0} : e.offset;
    if (e.what == topic_event::got && to < from_) {
      return at(to, e.value) + " is repeated, or out of order: it was at " + std::to_string(from_) +
             " already";
    }
    std::uint64_t passed = 0;
    std::uint64_t first = 0;
    for (; next_ < all.size() && all[next_].offset < to; ++next_) {
      if (!is_wanted(all[next_].value)) continue;
      if (passed++ == 0) first = next_;
    }
    const std::uint64_t missed = e.missed - missed_;
    if (missed != 0 && (rules_ & topic_event::lossless) != 0) return "a lossless reader has missed something";
    if (passed > missed) {
      return at(all[first].offset, all[first].value) + " is lost: " + std::to_string(passed) +
             " from there to " + std::to_string(to) + ", and only " + std::to_string(missed) +
             " of them missed";
    }
    if (missed > 0 && (to < from_ || missed > to - from_)) {
      return "between " + std::to_string(from_) + " and " + std::to_string(to) +
             " it missed more than there is";
    }
    missed_ = e.missed;
    if (from_ < to) from_ = to;
    if (e.what != topic_event::got) return {};
    if (next_ == all.size() || all[next_].offset != to) return at(to, e.value) + " is only here";
    if (all[next_].value != e.value) {
      return at(to, e.value) + " is elsewhere " + at(to, all[next_].value);
    }
    if (!is_wanted(e.value)) return at(to, e.value) + " should have been left out";
    ++next_;
    from_ = to + 1;
    return {};
  }

 private:
  [[nodiscard]] bool is_wanted(std::uint64_t value) const {
    return (rules_ & topic_event::filtered) == 0 || topic_history::wanted(value);
  }

  const topic_log& log_;
  std::size_t next_ = 0;
  std::uint64_t from_ = 0;
  std::uint64_t missed_ = 0;
  std::uint64_t rules_ = 0;
};

}  // namespace detail

/// What is wrong with it; nothing: empty.
[[nodiscard]] inline std::string judge(const topic_history& h) {
  detail::topic_log log;
  if (const std::string wrong = log.read(h); !wrong.empty()) return "the log: " + wrong;
  for (std::size_t r = 0; r < h.diaries.size(); ++r) {
    detail::topic_reading reading(log);
    for (const topic_event& e : h.diaries[r]) {
      if (const std::string wrong = reading.follow(e); !wrong.empty()) {
        return "reader " + std::to_string(r) + ": " + wrong;
      }
    }
  }
  return {};
}

}  // namespace support
