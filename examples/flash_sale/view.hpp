// What is to be seen while it runs: a panel on a terminal, a line a second otherwise.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <string>

#include "books.hpp"
#include "latency.hpp"
#include "sample.hpp"

#if __has_include(<unistd.h>)
#include <unistd.h>
inline bool on_a_terminal() { return isatty(STDOUT_FILENO) == 1; }
#else
inline bool on_a_terminal() { return false; }
#endif

class view {
 public:
  /// `is_live`: a panel. `is_timed`: what the clock has measured is worth showing.
  view(bool is_live, bool is_timed) : is_live_(is_live), is_timed_(is_timed) {}

  /// After each sample.
  void show(const samples& all) {
    const sample& now = all.back();
    if (is_live_) {
      most_ = std::max(most_, now.backlog);
      panel(all);
    } else if (now.ms / 1000 != shown_.ms / 1000) {
      line(shown_, now);
      shown_ = now;
    }
    std::fflush(stdout);
  }

 private:
  static std::string lag(const sample& s) { return s.is_audited ? grouped(s.late_audit) : "-"; }

  void line(const sample& before, const sample& now) {
    const auto per_second = [&](count sample::* what) { return grouped(rate(before, now, what)); };
    if (before.ms == 0) {
      print("s", {"requests/s", "accepted/s", "backlog", "out/s", "breaker", "retries", "dead", "lag: risk",
                  "analytics", "audit", "paid", "cancelled", "99 % within"});
    }
    print(std::to_string(now.ms / 1000),
          {per_second(&sample::requests), per_second(&sample::accepted), grouped(now.backlog),
           per_second(&sample::drained), name_of(now.breaker), grouped(now.retries), grouped(now.dead),
           grouped(now.risk), grouped(now.analytics), lag(now), grouped(now.paid), grouped(now.cancelled),
           in_words(now.within_99)});
  }
  void print(const std::string& second, const std::array<std::string, 13>& columns) const {
    constexpr std::array<int, 13> widths{11, 11, 9, 7, 11, 8, 7, 10, 10, 8, 8, 10, 12};
    std::printf("%3s", second.c_str());
    for (std::size_t i = 0; i < columns.size() - (is_timed_ ? 0 : 1); ++i) {
      std::printf("%*s", widths[i], columns[i].c_str());
    }
    std::printf("\n");
  }

  void panel(const samples& all) {
    constexpr std::size_t width = 50;
    constexpr int lines = 7;
    const sample& now = all.back();
    const sample& before = all[all.size() > 5 ? all.size() - 6 : 0];  // half a second ago
    const std::string bar(static_cast<std::size_t>(now.backlog * width / std::max<count>(most_, 1)), '#');
    if (is_drawn_) std::printf("\x1b[%dA", lines);
    is_drawn_ = true;
    // Each line is ended by what clears the rest of it.
    std::printf("\r%6.1f s\x1b[K\n", static_cast<double>(now.ms) / 1000);
    std::printf("in       %9s requests/s, %s accepted/s\x1b[K\n",
                grouped(rate(before, now, &sample::requests)).c_str(),
                grouped(rate(before, now, &sample::accepted)).c_str());
    std::printf("accept   half within %s, 99 %% within %s, the slowest %s\x1b[K\n",
                in_words(now.within_half).c_str(), in_words(now.within_99).c_str(),
                in_words(now.slowest).c_str());
    std::printf("backlog  %9s %s\x1b[K\n", grouped(now.backlog).c_str(), bar.c_str());
    std::printf("out      %9s orders/s, breaker %s, %s retries, %s dead letters\x1b[K\n",
                grouped(rate(before, now, &sample::drained)).c_str(), name_of(now.breaker),
                grouped(now.retries).c_str(), grouped(now.dead).c_str());
    std::printf("lag      risk %s, analytics %s, late-audit %s\x1b[K\n", grouped(now.risk).c_str(),
                grouped(now.analytics).c_str(), lag(now).c_str());
    std::printf("orders   %9s accepted, %s paid, %s cancelled\x1b[K\n", grouped(now.accepted).c_str(),
                grouped(now.paid).c_str(), grouped(now.cancelled).c_str());
  }

  bool is_live_;
  bool is_timed_;
  bool is_drawn_ = false;
  sample shown_;
  count most_ = 0;  // the backlog was never longer
};
