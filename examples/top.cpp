// What top is for processes, for a bus: topics and groups, how much goes in and out, what waits, and why.
//
//   traffic ===> [ orders.placed ] --> billing, stock          every quarter of a second, redrawn in place:
//           ===> [ orders.paid   ] --> mail                    bus.snapshot(), and what has changed since the
//           ===> [ mail.out      ] --> smtp                    last one
//
// The mail server takes a nap now and then, so that there is something to see: a backlog that grows, and is worked off.
//
//   top [SECONDS]     q ends it, or the time (10 s); where the output is no terminal it prints lines, and needs no keys
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "millrace/bus/bus.hpp"

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

struct order {
  int number;
};
struct mail {
  int number;
};

static volatile std::sig_atomic_t interrupted = 0;

/// Keys as they are typed, and a page of its own; as it was, afterwards.
class terminal {
 public:
  explicit terminal(bool wanted) : is_on_(wanted && tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!is_on_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    std::fputs("\x1b[?1049h\x1b[?25l", stdout);
    std::signal(SIGINT, [](int) { interrupted = 1; });
    std::signal(SIGTERM, [](int) { interrupted = 1; });
  }
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  ~terminal() {
    if (!is_on_) return;
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

  /// Waits that long. True: somebody wants it to end.
  bool asked_to_quit(std::chrono::milliseconds wait) const {
    if (!is_on_) {
      std::this_thread::sleep_for(wait);
      return false;
    }
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    if (poll(&keys, 1, static_cast<int>(wait.count())) <= 0) return interrupted != 0;
    char key = 0;
    return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
  }
  [[nodiscard]] bool is_on() const { return is_on_; }

 private:
  termios before_{};
  bool is_on_;
};

/// A group, and how many it had acknowledged when it was drawn last.
class rates {
 public:
  double of(const std::string& what, std::uint64_t count, double seconds) {
    const std::uint64_t before = std::exchange(counts_[what], count);
    return seconds > 0 ? static_cast<double>(count - before) / seconds : 0;
  }

 private:
  std::map<std::string, std::uint64_t> counts_;
};

static void draw(const millrace::bus_info& bus, rates& before, double at, double since, bool in_place) {
  const char* const end = in_place ? "\x1b[K\n" : "\n";
  if (in_place) std::fputs("\x1b[H", stdout);
  std::printf("%6.1f s  %s, %s, %zu workers%s%s", at, bus.name.c_str(), millrace::to_string(bus.state),
              bus.workers, in_place ? "                    q: quit" : "", end);
  std::printf("%-16s %-8s %9s %9s %9s %9s %8s %6s  %s%s", "topic", "group", "in/s", "out/s", "backlog",
              "in flight", "waiting", "dead", "blocked by", end);
  for (const millrace::topic_info& t : bus.topics) {
    const double in = before.of(t.name, t.published, since);
    if (t.groups.empty()) std::printf("%-16s %-8s %9.0f%s", t.name.c_str(), "", in, end);
    for (const millrace::group_info& g : t.groups) {
      const double out = before.of(t.name + "/" + g.name, g.stats.acked, since);
      std::printf("%-16s %-8s %9.0f %9.0f %9llu %9llu %8llu %6llu  %s%s", t.name.c_str(), g.name.c_str(), in,
                  out, static_cast<unsigned long long>(g.stats.backlog + g.stats.ready),
                  static_cast<unsigned long long>(g.stats.in_flight),
                  static_cast<unsigned long long>(g.stats.waiting),
                  static_cast<unsigned long long>(g.stats.dead + g.stats.parked),
                  millrace::to_string(g.stats.blocked), end);
    }
  }
  if (in_place) std::fputs("\x1b[J", stdout);
  std::fflush(stdout);
}

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 10;
  const bool wrong = argc > 2 || !(seconds > 0 && seconds <= 3600);
  if (wrong) return std::fputs("usage: top [SECONDS]   more than 0, up to 3600\n", stderr), 2;

  std::atomic<bool> napping{false};
  std::atomic<std::uint64_t> sent{0};
  millrace::bus shop({.name = "shop", .workers = 4});
  const auto placed = shop.topic<order>("orders.placed", {.capacity = 65'536}).value();
  const auto paid = shop.topic<order>("orders.paid", {.capacity = 65'536}).value();
  const auto mails = shop.topic<mail>("mail.out", {.capacity = 65'536}).value();

  absl::Status s;
  s.Update(shop.subscribe<order>("orders.placed", "billing", [&](const order& o) {
    if (o.number % 97 == 13) throw std::runtime_error("card declined");
    static_cast<void>(paid->publish(o));
  }));
  s.Update(shop.subscribe<order>("orders.placed", "stock", [](const order&) {}));
  s.Update(shop.subscribe<order>("orders.paid", "mail",
                                 [&](const order& o) { static_cast<void>(mails->publish({o.number})); }));
  s.Update(shop.subscribe<mail>(
      "mail.*", "smtp",
      {.group = [](auto& g) { g.retry = {.attempts = 1000, .first = 20ms, .most = 100ms}; }},
      [&](const mail&) {
        if (napping) throw std::runtime_error("mail server not available");
        ++sent;
      }));
  s.Update(shop.start());
  if (!s.ok()) return std::fprintf(stderr, "top: %s\n", s.ToString().c_str()), 1;

  const auto begin = clock_type::now();
  std::jthread traffic([&](const std::stop_token& stop) {
    for (int n = 0; !stop.stop_requested(); ++n) {
      const auto t = clock_type::now() - begin;
      napping = t % 2s > 1s;
      // A busy half and a quiet one, in each second.
      std::this_thread::sleep_for(t % 1s < 500ms ? 200us : 2ms);
      if (placed->publish({n}) != millrace::outcome::ok) return;
    }
  });

  {
    const terminal screen(isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1);
    rates before;
    auto last = begin;
    draw(shop.snapshot(), before, 0, 0, screen.is_on());
    for (bool ends = false; !ends;) {
      ends = screen.asked_to_quit(250ms);
      const auto now = clock_type::now();
      ends = ends || now - begin >= std::chrono::duration<double>(seconds);
      draw(shop.snapshot(), before, std::chrono::duration<double>(now - begin).count(),
           std::chrono::duration<double>(now - last).count(), screen.is_on());
      last = now;
    }
  }
  traffic.request_stop();
  traffic.join();
  napping = false;
  s = shop.drain(clock_type::now() + 30s);
  std::uint64_t dead = 0;
  std::uint64_t published = 0;
  for (const auto& t : shop.snapshot().topics) {
    if (t.name != "orders.placed") continue;
    published = t.published;
    for (const auto& g : t.groups) dead += g.stats.parked;
  }
  shop.stop();
  std::printf("%llu orders = %llu mails sent + %llu cards declined\n",
              static_cast<unsigned long long>(published), static_cast<unsigned long long>(sent.load()),
              static_cast<unsigned long long>(dead));
  return s.ok() && published == sent + dead ? 0 : 1;
}
