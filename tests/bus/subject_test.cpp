#include "millrace/bus/subject.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/bus/detail/subject_tree.hpp"
#include "support/catch.hpp"

namespace {

using Catch::Contains;
using millrace::check_pattern;
using millrace::check_subject;
using millrace::matches;
using texts = std::vector<std::string>;

/// The definition, by all prefixes.
bool brute_force(const texts& pattern, const texts& subject, std::size_t p = 0, std::size_t s = 0) {
  if (p == pattern.size()) return s == subject.size();
  if (pattern[p] == ">") return s < subject.size();
  if (s == subject.size()) return false;
  return (pattern[p] == "*" || pattern[p] == subject[s]) && brute_force(pattern, subject, p + 1, s + 1);
}

std::string joined(const texts& tokens) {
  std::string out;
  for (const std::string& t : tokens) out += (out.empty() ? "" : ".") + t;
  return out;
}

struct random_texts {
  explicit random_texts(unsigned seed) : random(seed) {}
  std::mt19937 random;

  std::size_t below(std::size_t n) { return random() % n; }
  texts subject() {
    texts out(1 + below(5));
    for (std::string& t : out) t = std::string(1, static_cast<char>('a' + below(3)));
    return out;
  }
  texts pattern() {
    texts out = subject();
    for (std::string& t : out) {
      if (below(3) == 0) t = "*";
    }
    if (below(3) == 0) out.back() = ">";
    return out;
  }
};

}  // namespace

TEST_CASE("what is a subject, and what is a pattern") {
  const std::string longest(millrace::longest_subject, 'x');
  struct row {
    std::string text;
    bool is_subject;
    bool is_pattern;
  };
  const row table[] = {
      {"orders", true, true},
      {"orders.paid", true, true},
      {"Orders.eu-west_1.$paid", true, true},
      {"b\xc3\xa4ume.gr\xc3\xbcn", true, true},
      {longest, true, true},
      {"*", false, true},
      {">", false, true},
      {"orders.*", false, true},
      {"*.paid", false, true},
      {"*.*.>", false, true},
      {"orders.*.paid.>", false, true},
      {"", false, false},
      {".", false, false},
      {".paid", false, false},
      {"orders.", false, false},
      {"orders..paid", false, false},
      {"orders .paid", false, false},
      {"orders\t", false, false},
      {"orders\n", false, false},
      {std::string("a\0b", 3), false, false},
      {"a\x7f", false, false},
      {"orders.pa*", false, false},
      {"**", false, false},
      {"orders.>>", false, false},
      {">.paid", false, false},
      {"orders.>.paid", false, false},
      {"orders.>.", false, false},
      {longest + "x", false, false},
  };
  for (const row& r : table) {
    CAPTURE(r.text);
    CHECK(check_subject(r.text).ok() == r.is_subject);
    CHECK(check_pattern(r.text).ok() == r.is_pattern);
    if (r.is_pattern) CHECK(millrace::is_subject(r.text) == r.is_subject);
  }
}

TEST_CASE("an error cites the name and the rule") {
  const auto says = [](const absl::Status& s, const char* name, const char* rule) {
    CHECK(s.code() == absl::StatusCode::kInvalidArgument);
    const std::string message(s.message());
    CHECK_THAT(message, Contains(name) && Contains(rule));
  };
  says(check_subject("orders..paid"), "subject \"orders..paid\"", "must not be empty");
  says(check_subject("orders.*"), "subject \"orders.*\"", "no wildcards");
  says(check_subject(""), "subject \"\"", "1 to 255 characters");
  says(check_pattern(std::string(100'000, 'x')), "pattern \"xxx", "1 to 255 characters");
  CHECK(check_pattern(std::string(100'000, 'x')).message().size() < 400);
  says(check_pattern("a b"), "pattern \"a b\"", "neither spaces nor control characters");
  says(check_pattern("a.b*"), "pattern \"a.b*\"", "tokens of their own");
  says(check_pattern("a.>.b"), "pattern \"a.>.b\"", "last token");
}

TEST_CASE("what matches what") {
  struct row {
    const char* pattern;
    const char* subject;
    bool expected;
  };
  const row table[] = {
      {"orders.paid", "orders.paid", true},
      {"orders.paid", "orders.PAID", false},
      {"orders.paid", "orders.pai", false},
      {"orders.paid", "orders.paid.eu", false},
      {"orders.*", "orders.paid", true},
      {"orders.*", "orders", false},
      {"orders.*", "orders.paid.eu", false},
      {"*.paid", "orders.paid", true},
      {"*", "orders", true},
      {"*", "orders.paid", false},
      {">", "orders", true},
      {">", "orders.paid.eu", true},
      {"orders.>", "orders.paid", true},
      {"orders.>", "orders.paid.eu", true},
      {"orders.>", "orders", false},
      {"orders.>", "ordersx.paid", false},
      {"*.eu.>", "orders.eu.paid.now", true},
      {"*.eu.>", "orders.eu", false},
      {"*.*", "a.b", true},
      {"*.*", "a", false},
  };
  for (const row& r : table) {
    CAPTURE(r.pattern, r.subject);
    CHECK(matches(r.pattern, r.subject) == r.expected);
  }
}

TEST_CASE("random patterns and subjects: as by brute force") {
  random_texts draw(7);
  std::size_t hits = 0;
  std::size_t wrong = 0;
  constexpr std::size_t pairs = 100'000;
  for (std::size_t i = 0; i < pairs; ++i) {
    const texts p = draw.pattern();
    const texts s = draw.subject();
    const bool expected = brute_force(p, s);
    hits += expected;
    wrong += matches(joined(p), joined(s)) != expected;
  }
  CHECK(wrong == 0);
  CHECK(hits > pairs / 20);
  CHECK(hits < pairs / 2);
}

TEST_CASE("random patterns and subjects: as regular expressions") {
  random_texts draw(8);
  for (int i = 0; i < 200; ++i) {
    const texts p = draw.pattern();
    std::string text;
    for (const std::string& t : p) {
      text += (text.empty() ? "" : "\\.") + std::string(t == "*" ? "[^.]+" : t == ">" ? ".+" : t);
    }
    const std::regex expression(text);
    for (int k = 0; k < 20; ++k) {
      const std::string s = joined(draw.subject());
      CAPTURE(joined(p), s);
      CHECK(matches(joined(p), s) == std::regex_match(s, expression));
    }
  }
}

TEST_CASE(
    "a tree of patterns finds those that match a subject, and one of subjects those that match a pattern") {
  random_texts draw(9);
  millrace::detail::subject_tree patterns;
  millrace::detail::subject_tree subjects;
  std::vector<texts> all_patterns;
  std::vector<texts> all_subjects;
  std::size_t pairs = 0;
  std::size_t hits = 0;
  for (std::size_t round = 0; round < 400; ++round) {
    // It is asked while it grows. What is drawn twice has two numbers.
    all_patterns.push_back(draw.pattern());
    patterns.insert(joined(all_patterns.back()), round);
    all_subjects.push_back(draw.subject());
    subjects.insert(joined(all_subjects.back()), round);

    const texts s = draw.subject();
    std::vector<std::size_t> expected;
    for (std::size_t i = 0; i <= round; ++i) {
      if (brute_force(all_patterns[i], s)) expected.push_back(i);
    }
    auto found = patterns.overlapping(joined(s));
    std::sort(found.begin(), found.end());
    CHECK(found == expected);
    hits += expected.size();

    const texts p = draw.pattern();
    expected.clear();
    for (std::size_t i = 0; i <= round; ++i) {
      if (brute_force(p, all_subjects[i])) expected.push_back(i);
    }
    found = subjects.overlapping(joined(p));
    std::sort(found.begin(), found.end());
    CHECK(found == expected);
    hits += expected.size();
    pairs += 2 * (round + 1);
  }
  CHECK(pairs > 100'000);
  CHECK(hits > pairs / 20);
}

TEST_CASE("a tree of patterns finds those that have a subject in common with a pattern") {
  // Every subject of up to six tokens; one token more than any pattern has, for what > stands for.
  std::vector<texts> everything;
  for (std::size_t n = 1; n <= 6; ++n) {
    texts s(n, "a");
    for (bool more = true; more;) {
      everything.push_back(s);
      std::size_t i = 0;
      while (i < n && s[i] == "c") s[i++] = "a";
      more = i < n;
      if (more) ++s[i][0];
    }
  }
  random_texts draw(10);
  millrace::detail::subject_tree tree;
  std::vector<std::vector<bool>> matched_by;
  const auto subjects_of = [&](const texts& p) {
    std::vector<bool> out;
    out.reserve(everything.size());
    for (const texts& s : everything) out.push_back(brute_force(p, s));
    return out;
  };
  for (std::size_t i = 0; i < 150; ++i) {
    const texts p = draw.pattern();
    tree.insert(joined(p), i);
    matched_by.push_back(subjects_of(p));
  }
  std::size_t hits = 0;
  for (std::size_t i = 0; i < 150; ++i) {
    const texts p = draw.pattern();
    const std::vector<bool> mine = subjects_of(p);
    std::vector<std::size_t> expected;
    for (std::size_t k = 0; k < matched_by.size(); ++k) {
      bool is_common = false;
      for (std::size_t s = 0; s < mine.size() && !is_common; ++s) is_common = mine[s] && matched_by[k][s];
      if (is_common) expected.push_back(k);
    }
    auto found = tree.overlapping(joined(p));
    std::sort(found.begin(), found.end());
    CAPTURE(joined(p));
    CHECK(found == expected);
    hits += expected.size();
  }
  CHECK(hits > 1000);
  CHECK(hits < 150 * 150 / 2);
}
