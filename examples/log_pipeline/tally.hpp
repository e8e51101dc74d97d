// What is found in the lines of a log. Each line shows by its form of which kind it is, so that nobody has to
// say, and a file may mix them.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lines.hpp"

/// How often each key occurs. Gives up when there are too many different ones, so that memory stays bounded.
class table {
 public:
  static constexpr size_t most_keys = 1 << 18;

  void add(text key, count n = 1) {
    if (given_up_) return;
    key = key.substr(0, 200);
    if (const auto known = counts_.find(key); known != counts_.end()) {
      known->second += n;
    } else if (counts_.size() < most_keys) {
      counts_.emplace(key, n);
    } else {
      give_up();
    }
  }
  void add(const table& part) {
    if (part.given_up_) give_up();
    for (const auto& [key, n] : part.counts_) add(key, n);
  }

  [[nodiscard]] bool given_up() const { return given_up_; }
  [[nodiscard]] size_t size() const { return counts_.size(); }
  [[nodiscard]] std::vector<std::pair<text, count>> most_frequent(size_t n) const {
    std::vector<std::pair<text, count>> all(counts_.begin(), counts_.end());
    std::ranges::sort(all, [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    all.resize(std::min(n, all.size()));
    return all;
  }
  bool operator==(const table&) const = default;

 private:
  struct hash : std::hash<text> {
    using is_transparent = void;
  };
  void give_up() {
    given_up_ = true;
    counts_.clear();
  }

  std::unordered_map<std::string, count, hash, std::equal_to<>> counts_;
  bool given_up_ = false;
};

enum column : size_t { status, method, source, path, verb, package, first_word, columns };
constexpr std::array<const char*, columns> titles{"status", "method",  "source",    "path",
                                                  "verb",   "package", "first word"};

struct tally {
  census all;
  count access = 0;    // lines of a web server's access log
  count packages = 0;  // lines of a package manager's log
  count binary = 0;    // lines with a NUL byte
  std::array<table, columns> tables;

  void add(const line& l) {
    all.add(l);
    text s = l.shown;
    if (s.ends_with('\r')) s.remove_suffix(1);
    if (!add_access(s) && !add_package(s)) add_other(s);
  }
  void add(const tally& part) {
    all.add(part.all);
    access += part.access;
    packages += part.packages;
    binary += part.binary;
    for (size_t c = 0; c < columns; ++c) tables[c].add(part.tables[c]);
  }
  bool operator==(const tally&) const = default;

 private:
  // Takes what is before the first `end`, and the `end`: "GET /x" and ' ' give "GET" and leave "/x".
  static text cut(text& from, char end) {
    const size_t at = std::min(from.find(end), from.size());
    const text before = from.substr(0, at);
    from.remove_prefix(std::min(at + 1, from.size()));
    return before;
  }
  // In `form` a 0 stands for any digit.
  static bool begins_like(text s, text form) {
    return std::ranges::equal(s.substr(0, form.size()), form,
                              [](char c, char f) { return f == '0' ? '0' <= c && c <= '9' : c == f; });
  }

  // The common and the combined format: SOURCE IDENT USER [TIME] "METHOD PATH HTTP/..." STATUS ...
  bool add_access(text s) {
    const text from = cut(s, ' ');
    cut(s, '[');
    cut(s, ']');
    if (!s.starts_with(" \"")) return false;
    s.remove_prefix(2);
    size_t end = 0;
    while (end < s.size() && s[end] != '"') end += s[end] == '\\' ? 2 : 1;
    if (end >= s.size() || !begins_like(s.substr(end), "\" 000 ")) return false;
    text request = s.substr(0, end);
    const text how = cut(request, ' ');
    text what = cut(request, ' ');
    const bool well_formed = request.starts_with("HTTP/");
    ++access;
    tables[status].add(s.substr(end + 2, 3));
    tables[method].add(well_formed ? how : "(malformed)");
    tables[source].add(from);
    tables[path].add(well_formed ? cut(what, '?') : "(malformed)");
    return true;
  }

  // dpkg: DATE TIME VERB PACKAGE[:ARCHITECTURE] ..., and where VERB is "status" the new state before the
  // package
  bool add_package(text s) {
    static constexpr std::array<text, 10> verbs{"status",  "configure", "install", "upgrade",   "trigproc",
                                                "startup", "remove",    "purge",   "disappear", "conffile"};
    if (!begins_like(s, "0000-00-00 00:00:00 ")) return false;
    s.remove_prefix(20);
    const text what = cut(s, ' ');
    if (std::ranges::find(verbs, what) == verbs.end()) return false;
    if (what == "status") cut(s, ' ');
    ++packages;
    tables[verb].add(what);
    if (what != "startup" && what != "conffile") tables[package].add(s.substr(0, s.find_first_of(": ")));
    return true;
  }

  void add_other(text s) {
    if (s.find('\0') != text::npos) {
      ++binary;
    } else if (const size_t begin = s.find_first_not_of(" \t"); begin != text::npos) {
      s.remove_prefix(begin);
      tables[first_word].add(s.substr(0, s.find_first_of(" \t")));
    }
  }
};
