// "Cancel the order if it is unpaid after 30 minutes": thousands of orders, many of them paid at the last moment.
//
//   three cashiers ---- a payment ----.             .--> paid, and then the office calls the timer off
//                                     +--> [ open ] +
//   timer_service --- 30 minutes -----'             '--> cancelled, and the pieces go back to the stock
//
// Both may come at once. One compare-and-swap on the order's state settles it: whoever turns `open` into something
// else does what follows from that, and the other one leaves everything as it is. At the end all sums must come out.
//
// The clock is moved by hand, ten seconds a step: an hour is over in no time, and who pays in time is in time on every
// machine. With --real it is the machine's, and all goes a thousand times faster: the 30 minutes are 1.8 seconds.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <latch>
#include <random>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/time/timer_service.hpp"

using namespace std::chrono_literals;
using std::chrono::steady_clock;

enum class state { open, paid, cancelled };

constexpr unsigned limit = 180;  // steps in which an order can be paid: 30 minutes
constexpr unsigned sale = 180;   // steps in which orders come in
constexpr unsigned orders_a_step = 20;
constexpr unsigned order_count = sale * orders_a_step;
constexpr unsigned steps = sale + limit + 1;
constexpr unsigned never = steps;
constexpr long stock_at_first = 10000;  // enough for all

template <class Clock>
struct shop {
  // To the microsecond, so that the last moment is a short one.
  using service = millrace::basic_timer_service<Clock, std::chrono::microseconds>;
  struct order {
    long pieces = 0;
    long price = 0;
    unsigned paid_after = never;  // steps
    std::atomic<state> now = state::open;
    std::atomic<int> settled = 0;
    typename service::timer timer;
    bool fired = false;
    bool called_off = false;

    bool settle(state to) {
      state was = state::open;
      return now.compare_exchange_strong(was, to);
    }
  };

  shop(millrace::clock_ref<Clock> clock, typename Clock::duration step)
      : time_to_pay(limit * step), timers(clock) {
    std::mt19937 chance(30);  // draws the same on every machine
    const auto draw = [&chance](unsigned n) { return static_cast<unsigned>(chance() % n); };
    for (unsigned i = 0; i < order_count; ++i) {
      order& o = orders[i];
      o.pieces = 1 + draw(3);
      o.price = o.pieces * (5 + draw(95));
      o.paid_after = std::array{1 + draw(limit - 1), limit, limit, limit, limit + 1, never}[draw(6)];
      if (o.paid_after != never) payments_in[i / orders_a_step + o.paid_after].push_back(&o);
    }
    for (int i = 0; i < 3; ++i) cashiers.emplace_back([this] { work(); });
  }
  ~shop() { payments.close(); }

  /// A cashier.
  void work() {
    for (order* o : payments) {
      if (o->settle(state::paid)) {
        ++o->settled;
        money += o->price;
      }
      std::ignore = seen_to.push(o);
    }
  }
  /// A timer.
  void expire(order& o) {
    o.fired = true;
    if (!o.settle(state::cancelled)) return;
    ++o.settled;
    stock += o.pieces;
  }
  /// The office: hands out what comes in, payments to the cashiers and new orders to the timer service.
  void begin_step(unsigned n) {
    for (order* o : payments_in[n]) std::ignore = payments.push(o);
    for (unsigned i = 0; n < sale && i < orders_a_step; ++i) {
      order& o = orders[n * orders_a_step + i];
      stock -= o.pieces;
      o.timer = timers.schedule_after(time_to_pay, [this, &o] { expire(o); });
    }
  }
  /// Hears what became of the payments. A timer that has fired before it is called off has found its order paid.
  void end_step(unsigned n) {
    for (unsigned i = 0; i < payments_in[n].size(); ++i) {
      order& o = **seen_to.pop();
      if (o.now == state::paid) o.called_off = timers.cancel(o.timer) == millrace::cancel_result::cancelled;
    }
  }
  bool prove(bool punctual) const;

  std::vector<order> orders{order_count};
  std::vector<std::vector<order*>> payments_in{steps};
  std::atomic<long> stock = stock_at_first;
  std::atomic<long> money = 0;
  typename Clock::duration time_to_pay;
  service timers;
  millrace::channel<order*> payments{order_count};  // \ with room for all:
  millrace::channel<order*> seen_to{order_count};   // / nobody waits for room
  std::vector<std::jthread> cashiers;
};

/// Prints the sums, and which are wrong. `punctual`: all customers came exactly when they had planned to.
template <class Clock>
bool shop<Clock>::prove(bool punctual) const {
  long settled = 0, both = 0, sold = 0, price = 0, pending = 0, unfair = 0;
  long came[3] = {};  // before, at and after the limit
  for (const order& o : orders) {
    const bool is_paid = o.now == state::paid;
    settled += o.now != state::open;
    both += o.settled > 1;
    sold += is_paid ? o.pieces : 0;
    price += is_paid ? o.price : 0;
    pending += o.fired == o.called_off;
    ++came[(o.paid_after >= limit) + (o.paid_after > limit)];
    if (o.paid_after < limit) unfair += !is_paid || o.fired;
    if (o.paid_after > limit) unfair += is_paid;
  }
  std::printf("%u orders: %ld customers come in time, %ld at the last moment, %ld too late or never\n",
              order_count, came[0], came[1], came[2]);
  bool all_right = true;
  const auto sum = [&all_right](const char* what, long found, long expected) {
    std::printf("%5ld  %s\n", found, what);
    if (found == expected) return;
    std::printf("       WRONG: it should be %ld\n", expected);
    all_right = false;
  };
  sum("paid + cancelled", settled, order_count);
  sum("both", both, 0);
  sum("pieces sold + pieces left", sold + stock, stock_at_first);
  sum("money taken - price of what was paid", money - price, 0);
  sum("timers pending", pending, 0);
  if (punctual) sum("came in time and cancelled, or too late and paid", unfair, 0);
  return all_right;
}

static bool by_hand() {
  millrace::manual_clock clock;
  shop<millrace::manual_clock> s(clock, 10s);
  for (unsigned n = 0; n < steps; ++n) {
    s.begin_step(n);
    s.timers.poll(clock.now());  // while the cashiers are at work
    s.end_step(n);
    clock.advance(10s);
  }
  return s.prove(true);
}

static bool in_real_time() {
  millrace::channel<int> beats(steps, millrace::overflow::drop_newest);  // the firing thread must not wait
  std::latch all_due(1);
  shop<steady_clock> s({}, 10ms);
  s.timers.start();
  const auto beat = s.timers.schedule_every(
      steady_clock::now(), 10ms, [&] { std::ignore = beats.push(0); }, millrace::missed_periods::catch_up);
  for (unsigned n = 0; n < steps && beats.pop(); ++n) {
    s.begin_step(n);
    // Timers fire in order of deadline, so this one follows those of all orders.
    if (n == sale) s.timers.schedule_after(s.time_to_pay, [&] { all_due.count_down(); });
    s.end_step(n);
  }
  std::ignore = s.timers.cancel(beat);
  all_due.wait();
  s.timers.stop();
  return s.prove(false);
}

int main(int argc, char** argv) {
  if (argc == 1) return by_hand() ? 0 : 1;
  if (argc == 2 && std::string_view(argv[1]) == "--real") return in_real_time() ? 0 : 1;
  std::fprintf(stderr, "order_timeout: the only argument that it takes is --real, for the machine's clock\n");
  return 2;
}
