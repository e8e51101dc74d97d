// The main program of a model check: a list of worlds, each explored within its bounds.
//
//   PROGRAM             explores every world; exit status 1 if one fails
//   PROGRAM --deep      with wider bounds, for `./run check models`
//   PROGRAM --until-failure   stops at the first world that fails; for the planted faults of tests/mutants
//   PROGRAM --weaken [FILE:LINE]   weakens every memory order met, or those whose place contains that text, one at a time;
//                       each must make some world fail. Exit status 1 if one does not: then it is stronger than it needs
//                       to be, or a world is missing
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "support/explore.hpp"

namespace model {

struct entry {
  const char* name;
  explore::verdict (*run)(const explore::options&);
  explore::options bounds;       // of the default run
  explore::options deep_bounds;  // of --deep
};

/// `bounds` are walked to the end; the deep run widens them by one preemption and one stale reading, for at most
/// `deep_seconds`, and adds random executions.
template <class World>
entry world(const char* name, explore::options bounds, double deep_seconds = 60) {
  explore::options deep = bounds;
  deep.preemptions += 1;
  if (bounds.stale_reads > 0) deep.stale_reads += 1;
  if (bounds.executions != 0) deep.executions *= 20;
  deep.seconds = deep_seconds;
  return {name, &explore::exhaust<World>, bounds, deep};
}

inline int explore_all(const std::vector<entry>& worlds, bool deep, bool until_failure) {
  int failed = 0;
  std::uint64_t total = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (const entry& w : worlds) {
    const auto start = std::chrono::steady_clock::now();
    const explore::options& o = deep ? w.deep_bounds : w.bounds;
    const explore::verdict v = w.run(o);
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    total += v.executions;
    std::printf("%-34s %-4s %10llu executions, %s, %.2f s\n", w.name, v.ok ? "ok" : "FAIL",
                static_cast<unsigned long long>(v.executions),
                o.executions != 0 ? "random"
                : v.complete      ? "all within the bounds"
                                  : "cut short",
                s);
    if (!v.ok) {
      std::printf("%s\n", v.failure.c_str());
      ++failed;
      if (until_failure) break;
    }
    std::fflush(stdout);
  }
  std::printf("%zu worlds, %llu executions, %.1f s, %d failed\n", worlds.size(),
              static_cast<unsigned long long>(total),
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), failed);
  return failed == 0 ? 0 : 1;
}

inline int weaken_all(const std::vector<entry>& worlds, const std::vector<const char*>& parts_of_paths,
                      const std::string& where) {
  struct met {
    const entry* world;
    std::uint64_t executions;
    std::set<explore::site> sites;
  };
  std::vector<met> all;
  std::set<explore::site> sites;
  for (const entry& w : worlds) {
    met& m = all.emplace_back(met{&w, 0, {}});
    explore::options o = w.bounds;
    o.sites = &m.sites;
    o.seconds = 2;  // every order is met early
    const explore::verdict v = w.run(o);
    if (!v.ok) {
      std::printf("%s fails as it is\n", w.name);
      return 1;
    }
    m.executions = v.executions;
    sites.insert(m.sites.begin(), m.sites.end());
  }
  std::sort(all.begin(), all.end(), [](const met& a, const met& b) { return a.executions < b.executions; });
  int survived = 0;
  int weakened = 0;
  for (const explore::site& s : sites) {
    if (std::none_of(parts_of_paths.begin(), parts_of_paths.end(),
                     [&](const char* part) { return std::strstr(s.file, part) != nullptr; }) ||
        s.name().find(where) == std::string::npos) {
      continue;
    }
    ++weakened;
    std::string by;
    std::uint64_t executions = 0;
    // Small worlds first, and those that the order was not met in, in the time given, last of all.
    std::vector<const entry*> in_turn;
    for (const bool has_met : {true, false}) {
      for (const met& m : all) {
        if ((m.sites.count(s) != 0) == has_met) in_turn.push_back(m.world);
      }
    }
    for (const entry* w : in_turn) {
      explore::options o = w->bounds;
      o.weakened = &s;
      const explore::verdict v = w->run(o);
      executions += v.executions;
      if (!v.ok) {
        by = std::string(w->name) + ": " + v.failure.substr(0, v.failure.find('\n'));
        break;
      }
    }
    if (by.empty()) ++survived;
    std::printf("%-40s %-8s after %9llu executions  %s\n", s.name().c_str(),
                by.empty() ? "SURVIVED" : "caught", static_cast<unsigned long long>(executions), by.c_str());
    std::fflush(stdout);
  }
  std::printf("%d memory orders weakened one at a time, %d caught, %d survived\n", weakened,
              weakened - survived, survived);
  return survived == 0 && weakened > 0 ? 0 : 1;
}

/// `parts_of_paths`: the headers whose memory orders --weaken is about; none, if they have no orders to weaken.
inline int main(int argc, char** argv, const std::vector<entry>& worlds,
                const std::vector<const char*>& parts_of_paths) {
  const std::string word = argc > 1 ? argv[1] : "";
  if (word == "--weaken") {
    return parts_of_paths.empty() ? 0 : weaken_all(worlds, parts_of_paths, argc > 2 ? argv[2] : "");
  }
  if (!word.empty() && word != "--deep" && word != "--until-failure") {
    std::fprintf(stderr, "usage: %s [--deep | --weaken [FILE:LINE] | --until-failure]\n", argv[0]);
    return 2;
  }
  return explore_all(worlds, word == "--deep", word == "--until-failure");
}

}  // namespace model
