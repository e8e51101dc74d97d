// What has been found, for people to read.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>

#include "tally.hpp"

inline std::string grouped(count n) {
  std::string digits = std::to_string(n);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

/// Logs hold what strangers have sent: nothing of it may steer the terminal.
inline std::string printable(text s) {
  std::string out(s);
  std::ranges::replace_if(out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

inline void report(const std::string& name, const tally& t) {
  std::printf("%s: %s lines, %s bytes, the longest line %s\n", name.c_str(), grouped(t.all.lines).c_str(),
              grouped(t.all.bytes).c_str(), grouped(t.all.longest).c_str());
  std::printf("lines of an access log: %s, of a package log: %s, others: %s, of these binary: %s\n",
              grouped(t.access).c_str(), grouped(t.packages).c_str(),
              grouped(t.all.lines - t.access - t.packages).c_str(), grouped(t.binary).c_str());
  for (size_t c = 0; c < columns; ++c) {
    const table& counts = t.tables[c];
    if (counts.given_up()) {
      std::printf("\n%s: more than %s different ones\n", titles[c], grouped(table::most_keys).c_str());
    } else if (counts.size() > 0) {
      std::printf("\n%s (%s different)\n", titles[c], grouped(counts.size()).c_str());
      for (const auto& [key, n] : counts.most_frequent(8)) {
        std::printf("%14s  %s\n", grouped(n).c_str(), printable(key.substr(0, 80)).c_str());
      }
    }
  }
}
