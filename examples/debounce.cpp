// A file is built once it has been left alone for 200 ms, however often it was saved before that.
//
//   saved    | || |                    | |
//   timer    o->->->------ 200 ms --.  o->------ 200 ms --.
//   built                           |                     |
//
// One timer for each file: the first event of a burst schedules it, every further one moves it. The clock is moved by
// hand, from one event to the next as an event loop goes, so that each action can be proven to the millisecond.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "millrace/core/function.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/time/timer_service.hpp"

using namespace std::chrono_literals;
using millrace::manual_clock;
using std::chrono::milliseconds;

/// Calls `act(key)` once there has been no event of that key for as long as `quiet`. Events come from one thread, which
/// need not be the one that fires.
template <class Clock>
class debouncer {
 public:
  using service = millrace::basic_timer_service<Clock>;

  debouncer(service& timers, milliseconds quiet, millrace::function<void(const std::string&)> act)
      : timers_(timers), quiet_(quiet), act_(std::move(act)) {}
  /// Drops what is to come, and waits for an action that is running.
  ~debouncer() {
    for (const auto& [key, timer] : pending_) std::ignore = timers_.cancel_and_wait(timer);
  }

  void event(const std::string& key) {
    const auto entry = pending_.try_emplace(key).first;
    auto& timer = entry->second;
    const auto deadline = timers_.now() + quiet_;
    // False: there is none to move, because this event is the first one, or because the action has begun, perhaps a
    // moment ago. That one may have missed what this event is about, so another one has to follow.
    if (!timers_.reschedule(timer, deadline)) {
      timer = timers_.schedule_at(deadline, [this, entry] { act_(entry->first); });
    }
  }

 private:
  service& timers_;
  milliseconds quiet_;
  millrace::function<void(const std::string&)> act_;
  std::map<std::string, typename service::timer> pending_;  // whose entries stay where they are
};

using time_point = manual_clock::time_point;

struct burst {
  std::string file;
  milliseconds first;
  int events;
  milliseconds apart;
  [[nodiscard]] milliseconds at(int event) const { return first + event * apart; }
  [[nodiscard]] milliseconds last() const { return at(events - 1); }
};
struct note {
  time_point at;
  std::string file;
};

int main() {
  constexpr milliseconds quiet = 200ms;
  std::vector<burst> bursts = {
      {"mill.cpp", 0ms, 3, 60ms},
      {"mill.cpp", 320ms, 2, 10ms},  // begins just when the one before is acted on
      {"wheel.cpp", 50ms, 40, 5ms},
      {"notes.txt", 100ms, 6, 199ms},  // never as long as 200 ms without an event
      {"wheel.cpp", 900ms, 500, 1ms},
      {"mill.cpp", 1000ms, 2, 150ms},
  };
  std::vector<note> saved;
  for (const burst& b : bursts) {
    for (int i = 0; i < b.events; ++i) saved.push_back({time_point(b.at(i)), b.file});
  }
  std::ranges::sort(saved, {}, &note::at);

  std::vector<note> built;
  manual_clock clock;
  millrace::basic_timer_service<manual_clock> timers(clock);
  debouncer<manual_clock> changes(timers, quiet,
                                  [&](const std::string& file) { built.push_back({clock.now(), file}); });

  // Fires what is due up to `t`, each timer at its own time.
  const auto go_on_until = [&](time_point t) {
    for (auto next = timers.poll(clock.now()); next && *next <= t; next = timers.poll(clock.now())) {
      clock.set(*next);
    }
  };
  for (const note& s : saved) {
    go_on_until(s.at);
    clock.set(s.at);
    changes.event(s.file);
  }
  go_on_until(time_point::max());

  std::ranges::sort(bursts, {}, &burst::last);
  bool proven = built.size() == bursts.size();
  for (std::size_t i = 0; i < bursts.size() && i < built.size(); ++i) {
    const burst& b = bursts[i];
    const note& n = built[i];
    const bool right = n.file == b.file && n.at == time_point(b.last() + quiet);
    std::printf("%-9s  %3d events, the last one at %4d ms; built at %4d ms%s\n", n.file.c_str(), b.events,
                static_cast<int>(b.last() / 1ms), static_cast<int>(n.at.time_since_epoch() / 1ms),
                right ? "" : "  WRONG");
    proven = proven && right;
  }
  std::printf("%zu events in %zu bursts, built %zu times%s\n", saved.size(), bursts.size(), built.size(),
              built.size() == bursts.size() ? "" : "  WRONG");
  return proven ? 0 : 1;
}
