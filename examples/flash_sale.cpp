// A flash sale: a hundred thousand requests a second are answered at once, five thousand orders a second worked off.
//
//   requests --> gateway --+==> [ orders ] ==+--> order-service --> provider --> the customer pays --.
//   (a burst)    gateway --'     a topic     |    5,000 a second,     |   |                          +--> paid, or
//            checks, a piece                 |    breaker, retries    |   '--> [ cancellations ] ----'    cancelled
//            off the shelf                   |                        |        two seconds later
//                                            |                        '--> [ dead letters ] --> clerk
//                                            +--> risk
//                                            +--> analytics
//                                            '--> late-audit, which joins half-way
//
// Who comes while pieces are left has an answer in microseconds; the topic takes the peak, and each group goes at its own
// pace. The provider fails now and then, does not answer, wants less, and is dead for a while: then the breaker opens, the
// backlog grows, and all of it is delivered later. Orders that it declines become dead letters. Who does not pay in time
// is cancelled; if both come at once, one compare-and-swap decides. At the end the books must balance.
//
// Nobody in here waits for anybody else: a delivery is kept until the answer to it comes, and everything that comes later is
// a timer. So the same code runs in threads, on the machine's clock, and with --virtual in a loop, which moves the clock
// by hand to whatever comes next: then a seed says what happens, to the last retry. `flash_sale --help` tells how to call
// it; the parts are in the folder flash_sale/.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "flash_sale/books.hpp"
#include "flash_sale/command_line.hpp"
#include "flash_sale/crowd.hpp"
#include "flash_sale/gate.hpp"
#include "flash_sale/order_book.hpp"
#include "flash_sale/order_reader.hpp"
#include "flash_sale/order_service.hpp"
#include "flash_sale/plot.hpp"
#include "flash_sale/provider.hpp"
#include "flash_sale/sample.hpp"
#include "flash_sale/service.hpp"
#include "flash_sale/till.hpp"
#include "flash_sale/view.hpp"
#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/circuit_breaker.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/delivery/delayed_publisher.hpp"
#include "millrace/delivery/rate_limiter.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::clock_ref;
using millrace::manual_clock;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// --- the shop ------------------------------------------------------------------------------------------------

template <class Clock>
struct sale {
  using time_point = typename Clock::time_point;
  using letters = millrace::dead_letters<order, Clock>;

  sale(clock_ref<Clock> c, const options& o, const crowd& who, time_point begins)
      : clock(c), seed(o.seed), buyers(who), start(begins), burst(o.seconds * 1000), stock(o.stock) {
    for (std::size_t i = 0; i < gateway<Clock>::all; ++i) gateways.emplace_back(entrance, buyers, start, i);
  }
  sale(const sale&) = delete;
  sale& operator=(const sale&) = delete;
  ~sale() { timers.stop(); }  // what they call is about to go

  /// A group that is added while all runs: it begins with the first order, and no line of the others changes for it.
  void let_audit_join() {
    audit.emplace(
        orders.group("late-audit", {.from = millrace::earliest, .duplicates = &once_for_audit.check}), most,
        seed);
  }
  /// f(service), for each that works off a group.
  template <class F>
  void each_service(F f) {
    f(billing), f(complaints), f(cancelling), f(risk), f(analytics);
    if (audit) f(*audit);
  }
  [[nodiscard]] sample look() const;
  [[nodiscard]] bool is_over();
  [[nodiscard]] books close_books() const;
  [[nodiscard]] outage provider_dead() const { return {burst * 2 / 10, burst * 7 / 10}; }
  [[nodiscard]] time_point at(count ms) const {
    return start + milliseconds(static_cast<milliseconds::rep>(ms));
  }

  clock_ref<Clock> clock;
  count seed;
  const crowd& buyers;
  time_point start;
  count burst;                                // milliseconds
  std::size_t most = buyers.requests.size();  // there are no more orders than requests

  count stock;
  shelf pieces{stock};
  order_book book{most};
  millrace::basic_timer_service<Clock> timers{clock};
  provider<Clock> bank{timers, seed, at(provider_dead().from), at(provider_dead().until), most};

  // What a group is given must outlive its topic.
  millrace::rate_limiter<Clock> bank_limit{clock, 5000, 1s, 50};
  millrace::circuit_breaker<Clock> bank_breaker{
      clock, {.window = 200, .minimum = 50, .failure_rate = 0.5, .open_for = 500ms, .probes = 5}};
  letters dead{2 * most + 1, clock};
  once_only<Clock> once_for_billing{clock, most};
  once_only<Clock> once_for_risk{clock, most};
  once_only<Clock> once_for_analytics{clock, most};
  once_only<Clock> once_for_audit{clock, most};

  // Room for each order twice: the log keeps them all, for who comes late, and nobody waits for room.
  order_topic<Clock> orders{2 * most + 1, clock};
  cancellation_topic<Clock> cancellations{2 * most + 1, clock};

  till<Clock> customers{timers, cancellations, book, seed, most};
  order_service<Clock> billing{
      orders.group("order-service", {.from = millrace::earliest,
                                     .ack_timeout = 1s,
                                     .retry = {.attempts = 10, .first = 200ms, .most = 2s, .jitter = 0},
                                     .dead_letters = &dead,
                                     .limiter = &bank_limit,
                                     .breaker = &bank_breaker,
                                     .duplicates = &once_for_billing.check}),
      bank, book, customers, most};
  clerk<Clock> complaints{book, pieces, bank, billing.notes,
                          dead.letters().group("clerk", {.from = millrace::earliest})};
  canceller<Clock> cancelling{book, pieces, bank,
                              cancellations.group("canceller", {.from = millrace::earliest})};
  order_reader<Clock> risk{
      orders.group("risk", {.from = millrace::earliest, .duplicates = &once_for_risk.check}), most, seed,
      300};
  order_reader<Clock> analytics{
      orders.group("analytics", {.from = millrace::earliest, .duplicates = &once_for_analytics.check}), most,
      seed};
  std::optional<order_reader<Clock>> audit;

  gate<Clock> entrance{clock, buyers, seed, pieces, book, orders};
  std::vector<gateway<Clock>> gateways;
};

template <class Clock>
sample sale<Clock>::look() const {
  const auto served = billing.group.stats();
  const auto since = std::chrono::duration_cast<milliseconds>(clock.now() - start).count();
  return {.ms = static_cast<count>(std::max<milliseconds::rep>(since, 0)),
          .backlog = backlog_of(served),
          .risk = backlog_of(risk.group.stats()),
          .analytics = backlog_of(analytics.group.stats()),
          .late_audit = audit ? backlog_of(audit->group.stats()) : 0,
          .is_audited = audit.has_value(),
          .breaker = bank_breaker.state(),
          .requests = entrance.answered(),
          .accepted = entrance.answered(answer_to_buyer::accepted),
          .drained = served.acked + served.dead,
          .retries = served.redelivered,
          .dead = served.dead,
          .paid = book.turned(order_state::paid),
          .cancelled = book.turned(order_state::cancelled),
          .within_half = entrance.took().within(50),
          .within_99 = entrance.took().within(99),
          .slowest = entrance.took().most()};
}

template <class Clock>
bool sale<Clock>::is_over() {
  if (entrance.answered() != buyers.requests.size() || !book.is_settled() || !audit) return false;
  bool is_quiet = true;
  each_service([&](auto& s) { is_quiet = is_quiet && backlog_of(s.group.stats()) == 0; });
  return is_quiet;
}

template <class Clock>
books sale<Clock>::close_books() const {
  books b{.stock = stock,
          .left = pieces.left(),
          .returned = pieces.returned(),
          .accepted = entrance.answered(answer_to_buyer::accepted),
          .paid = book.counted(order_state::paid),
          .cancelled = book.counted(order_state::cancelled),
          .dead = book.counted(order_state::dead),
          .cents = entrance.cents(),
          .bills = bank.standing(),
          .payments = customers.payments(),
          .refunds = customers.refunds()};
  b.groups.push_back(billing.notes.account("order-service"));
  b.groups.push_back(risk.notes.account("risk"));
  b.groups.push_back(analytics.notes.account("analytics"));
  b.groups.push_back(audit ? audit->notes.account("late-audit") : group_account{.name = "late-audit"});
  return b;
}

// --- the time ------------------------------------------------------------------------------------------------

/// In threads, on the machine's clock. on_sample(sample); until the sale is over, or `end` has come.
template <class OnSample>
void run_in_real_time(sale<steady_clock>& s, count end, OnSample on_sample) {
  std::vector<std::jthread> threads;
  const auto employ = [&](auto& service) {
    threads.emplace_back([&service](const std::stop_token& stop) { work(service, stop); });
  };
  s.timers.start();
  s.cancellations.delayed().start();
  s.each_service(employ);
  for (gateway<steady_clock>& g : s.gateways) {
    threads.emplace_back([&g] {
      while (!g.is_done()) {
        std::this_thread::sleep_until(g.next());
        g.step(steady_clock::now());
      }
    });
  }
  for (count ms = 0;; ms += sample_every) {
    std::this_thread::sleep_until(s.at(ms));
    if (!s.audit && ms >= s.burst / 2) {
      s.let_audit_join();
      employ(*s.audit);
    }
    on_sample(s.look());
    if (s.is_over() || ms >= end) break;
  }
  threads.clear();  // stops and joins them
  s.cancellations.delayed().stop();
  s.timers.stop();
}

/// In this thread: all that can be done now, and then the clock is moved to what comes next.
template <class OnSample>
void run_by_hand(sale<manual_clock>& s, count end, OnSample on_sample) {
  for (count ms = 0;;) {
    const auto now = s.clock.now();
    if (!s.audit && ms >= s.burst / 2) s.let_audit_join();
    for (gateway<manual_clock>& g : s.gateways) g.step(now);
    // A cancellation first: a payment that comes at the same moment finds it on its way.
    for (bool any = true; any;) {
      any = false;
      s.cancellations.delayed().poll(now);
      s.timers.poll(now);
      s.each_service([&](auto& service) { any = step(service) || any; });
    }
    if (now == s.at(ms)) {
      on_sample(s.look());
      if (s.is_over() || ms >= end) return;
      ms += sample_every;
    }
    auto next = s.at(ms);
    const auto wake_at = [&next](auto time) {
      if (time) next = std::min(next, *time);
    };
    for (gateway<manual_clock>& g : s.gateways) next = std::min(next, g.next());
    wake_at(s.cancellations.delayed().poll(now));
    wake_at(s.timers.poll(now));
    s.each_service([&](auto& service) { wake_at(service.group.next_event()); });
    s.clock.get().set(next);
  }
}

// --- main ----------------------------------------------------------------------------------------------------

int fail(int status, const std::string& what) {
  std::fprintf(stderr, "flash_sale: %s\n", what.c_str());
  return status;
}

template <class Clock>
void report(const sale<Clock>& s, const samples& all, bool is_timed) {
  using enum answer_to_buyer;
  const auto n = [&s](answer_to_buyer a) { return grouped(s.entrance.answered(a)); };
  std::printf("\n%s requests: %s accepted, %s of blacklisted networks, %s too many of one network,\n",
              grouped(s.entrance.answered()).c_str(), n(accepted).c_str(), n(blacklisted).c_str(),
              n(too_many).c_str());
  std::printf("%s of buyers who have bought, %s when all was sold; all over after %.1f s\n",
              n(bought_before).c_str(), n(sold_out).c_str(), static_cast<double>(all.back().ms) / 1000);
  const auto served = s.billing.group.stats();
  std::printf("order-service: %s calls, %s failed, %s times \"busy\", %s without an answer, %s declined;\n",
              grouped(served.delivered).c_str(), grouped(served.nacked).c_str(),
              grouped(served.released).c_str(), grouped(served.timed_out).c_str(),
              grouped(served.rejected).c_str());
  std::printf("the breaker opened %s times; %s orders came twice\n", grouped(s.bank_breaker.opened()).c_str(),
              grouped(served.duplicates).c_str());
  std::printf("payments: %s were in time when the cancellation was on its way, %s were too late\n",
              grouped(s.customers.close_ones()).c_str(), grouped(s.customers.refunds()).c_str());
  if (is_timed) {
    std::printf("\n\"accepted\" was answered\n");
    s.entrance.took().print();
  }
  std::printf("\n");
}

template <class Clock, class Run>
int hold(sale<Clock>& s, const options& o, std::FILE* picture, Run run) {
  const bool is_timed = !o.is_virtual;
  samples all;
  view shown(is_timed && on_a_terminal(), is_timed);
  const count end = 60'000 + 2 * s.burst + o.stock;  // milliseconds; it should take a quarter of that
  const auto on_sample = [&](const sample& now) {
    all.push_back(now);
    shown.show(all);
  };
  run(s, end, on_sample);
  report(s, all, is_timed);
  const books b = s.close_books();
  print(b);
  if (picture != nullptr) plot(all, s.provider_dead()).write(picture);
  return balances(b) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string_view> args(argv + 1, argv + argc);
  if (std::ranges::find(args, "--help") != args.end())
    return std::fputs(help, stdout) < 0 || std::fflush(stdout) != 0 ? 3 : 0;
  const options o = parse(args);

  crowd buyers;
  if (o.trace.empty()) {
    buyers = made_up_crowd(o.seed, o.rate, o.seconds);
  } else {
    std::ifstream log(o.trace);
    if (!log) return fail(3, o.trace + ": " + std::generic_category().message(errno));
    const std::vector<visit> visits = visits_of(log);
    if (visits.empty()) return fail(3, o.trace + ": it has no line of an access log");
    buyers = crowd_of(visits, o.seed, o.rate, o.seconds);
  }
  const auto close = [](std::FILE* f) { return std::fclose(f); };
  std::unique_ptr<std::FILE, decltype(close)> picture(nullptr, close);
  if (!o.plot.empty()) {
    picture.reset(std::fopen(o.plot.c_str(), "w"));
    if (picture == nullptr) return fail(3, o.plot + ": " + std::generic_category().message(errno));
  }

  int status = 0;
  if (o.is_virtual) {
    manual_clock clock;
    const auto s = std::make_unique<sale<manual_clock>>(clock, o, buyers, clock.now());
    status = hold(*s, o, picture.get(), [](auto&... a) { run_by_hand(a...); });
  } else {
    const auto soon = steady_clock::now() + 100ms;  // when everybody is there
    const auto s = std::make_unique<sale<steady_clock>>(clock_ref<steady_clock>(), o, buyers, soon);
    status = hold(*s, o, picture.get(), [](auto&... a) { run_in_real_time(a...); });
  }
  if (picture != nullptr) {
    const bool is_written = std::ferror(picture.get()) == 0;
    if (std::fclose(picture.release()) != 0 || !is_written) return fail(3, o.plot + ": it cannot be written");
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return fail(3, "the report cannot be written");
  return status;
} catch (const std::invalid_argument& wrong) {
  return fail(2, std::string(wrong.what()) + "; see flash_sale --help");
} catch (const std::exception& e) {
  return fail(3, e.what());
}
