// A crawler that never asks a site more often than the site allows, and goes away when it is told to.
//
//   first pages ==> [ frontier ] ==+--> news.example --> limiter, 20 a second --.
//              .==>   a topic      +--> shop.example --> limiter,  5 a second --+--> fetch ...... answer
//              |                   '--> wiki.example --> limiter, 50 a second --'                   |
//              |                        each a consumer group                                       |
//              '------ ack, and on with its links, if they are new ------------------------- 200 <--+
//                      throttle: its group pauses for as long as the site says ------------- 429 <--+
//                      nack: again, after a while, four attempts at the most --------------- 500 <--+
//                      reject: never again, to the dead letters ---------------------------- 404 <--'
//
// A site that wants less holds up its own group only. The answer comes later and nobody waits for it: the delivery is kept
// until then. The sites do not take our word: each notes when it was asked, and at the end the notes are looked through,
// second by second, wherever a second may begin. The same crawl without limiters shows that they find it out.
//
// All runs in one thread, on a clock that is moved by hand to whatever comes next, so that 20 seconds are over at once.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/delivery/rate_limiter.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

using namespace std::chrono_literals;
using millrace::manual_clock;
using time_point = manual_clock::time_point;
using std::chrono::milliseconds;

struct page {
  std::size_t site;
  unsigned number;
  friend auto operator<=>(const page&, const page&) = default;
};
struct answer {
  int status;
  milliseconds retry_after{0};
};
constexpr milliseconds latency = 30ms;

/// Somebody else's: it has rules, a bad moment, and a notebook.
struct web_site {
  const char* name;
  std::size_t allowed;  // requests in any second
  unsigned pages;
  milliseconds busy_from{0};   // \ meanwhile it wants none
  milliseconds busy_until{0};  // /
  std::vector<time_point> asked{};
  std::vector<int> attempts = std::vector<int>(pages);  // of each page
  std::vector<int> given = std::vector<int>(pages);
  time_point quiet_from{};   // \ what it has said last
  time_point quiet_until{};  // /
  int unheeded = 0;          // requests that came in spite of that

  answer get(unsigned number, time_point now) {
    asked.push_back(now);
    ++attempts[number];
    unheeded += quiet_from <= now && now < quiet_until;
    const bool is_busy = busy_from <= now.time_since_epoch() && now.time_since_epoch() < busy_until;
    if (is_busy || up_to(now) > allowed) {
      const milliseconds wait = is_busy ? 1500ms : 1000ms;
      if (quiet_until <= now) quiet_from = now + latency;  // when that is known
      quiet_until = now + latency + wait;
      return {429, wait};
    }
    if (number % 37 == 11) return {404};
    if (number == 42 || (number % 23 == 5 && attempts[number] == 1)) return {500};
    ++given[number];
    return {200};
  }
  static bool is_private(unsigned number) { return number % 41 == 40; }  // as its robots.txt says

  /// Requests in (t - 1 s, t].
  [[nodiscard]] std::size_t up_to(time_point t) const {
    const auto from = std::ranges::upper_bound(asked, t - 1s);
    return static_cast<std::size_t>(std::ranges::upper_bound(asked, t) - from);
  }
  /// In any second: of all seconds those that end with a request have the most.
  [[nodiscard]] std::size_t most_in_a_second() const {
    std::size_t most = 0;
    for (const time_point t : asked) most = std::max(most, up_to(t));
    return most;
  }
};

struct crawl {
  using frontier = millrace::topic<page, millrace::producers::multi, manual_clock>;
  using delivery = millrace::delivery<page>;

  explicit crawl(bool is_limited) {
    for (std::size_t i = 0; i < sites.size(); ++i) {
      limits.emplace_back(clock, sites[i].allowed, 1s);
      groups.push_back(pages.group(sites[i].name, {.filter = [i](const page& p) { return p.site == i; },
                                                   .retry = {.attempts = 4, .first = 500ms, .jitter = 0},
                                                   .dead_letters = &dead,
                                                   .limiter = is_limited ? &limits[i] : nullptr}));
      visit({i, 0});
    }
  }

  void visit(page p) {
    if (p.number >= sites[p.site].pages || !known.insert(p).second) return;
    if (pages.try_publish(p) != millrace::outcome::ok) std::fputs("the frontier is full\n", stderr);
  }
  void fetch(delivery d) {
    web_site& site = sites[d->site];
    if (site.is_private(d->number)) return static_cast<void>(d.reject("robots.txt"));
    const answer a = site.get(d->number, clock.now());
    timers.schedule_after(latency, [this, a, d = std::move(d)]() mutable { settle(d, a); });
  }
  void settle(delivery& d, answer a) {
    if (a.status == 429) {
      d.throttle(a.retry_after);
    } else if (a.status == 404) {
      d.reject("404");
    } else if (a.status == 500) {
      d.nack();
    } else {
      const auto [site, n] = *d;
      for (const unsigned link : {0U, n + 1, n + 2, 3 * n + 1, 3 * n + 2, 3 * n + 3}) visit({site, link});
      d.ack();
    }
  }
  void run() {
    for (;;) {
      timers.poll(clock.now());  // answers
      for (auto& g : groups) {
        while (delivery d = g.try_receive()) fetch(std::move(d));
      }
      auto next = timers.poll(clock.now());
      for (auto& g : groups) {
        if (const auto e = g.next_event(); e && (!next || *e < *next)) next = e;
      }
      if (!next) return;
      clock.set(*next);
    }
  }

  std::vector<web_site> sites{
      {"news.example", 20, 300}, {"shop.example", 5, 60, 3s, 5s}, {"wiki.example", 50, 800, 8s, 8500ms}};
  manual_clock clock;
  std::deque<millrace::rate_limiter<manual_clock>> limits;
  millrace::dead_letters<page, manual_clock> dead{1000, clock};
  frontier pages{2000, clock};
  std::vector<millrace::consumer_group<frontier>> groups;
  std::set<page> known;
  millrace::basic_timer_service<manual_clock> timers{clock};
};

int main() {
  crawl c(true);
  auto clerk = c.dead.letters().subscribe();
  c.run();
  std::map<page, int> dead;
  std::map<std::string, int> reasons;
  clerk.poll([&](const auto& letter) {
    ++dead[letter.value];
    ++reasons['"' + letter.reason + "\" at attempt " + std::to_string(letter.attempts)];
  });

  bool proven = true;
  std::printf("              in a second                of these  told to wait    pages    dead\n");
  std::printf("              allowed  most   requests   429  500   and did not  fetched letters\n");
  for (std::size_t i = 0; i < c.sites.size(); ++i) {
    const web_site& s = c.sites[i];
    const auto done = c.groups[i].stats();
    bool right = s.most_in_a_second() <= s.allowed && s.unheeded == 0;
    for (unsigned n = 0; n < s.pages; ++n) {
      right = right && s.given[n] + dead[{i, n}] == 1 && !(s.is_private(n) && s.attempts[n] != 0);
    }
    const int fetched = static_cast<int>(done.acked), letters = static_cast<int>(done.dead);
    std::printf("%-14s %6zu %5zu %10zu %5d %4d %13d %8d %7d%s\n", s.name, s.allowed, s.most_in_a_second(),
                s.asked.size(), static_cast<int>(done.released), static_cast<int>(done.nacked), s.unheeded,
                fetched, letters, right ? "" : "  WRONG");
    proven = proven && right;
  }
  std::printf("dead letters:");
  for (const auto& [reason, n] : reasons) std::printf(" %d %s,", n, reason.c_str());
  std::printf(" all over after %.1f s\n",
              std::chrono::duration<double>(c.clock.now().time_since_epoch()).count());
  if (!proven) return 1;

  crawl greedy(false);
  greedy.run();
  std::printf("without limiters the most in a second:");
  for (const web_site& s : greedy.sites) {
    std::printf(" %zu", s.most_in_a_second());
    proven = proven && s.most_in_a_second() > s.allowed;
  }
  std::printf("\n");
  return proven ? 0 : 1;
}
