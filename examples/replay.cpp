// "What happened between 10:00 and 10:05?", asked at 10:20, while everything goes on.
//
//   shop ====> [ events ] --+--> ledger, a consumer group that has booked something wrong
//               an hour,    |      ^
//             and the time  |      '-- once it is repaired: seek(10:00), all of that again, and on with what comes
//               of each     |
//                           '--> operator, a subscription from 10:00 on, which reads up to 10:05
//
// The log keeps an hour, and when each event was published. At 10:02 the bank has a bad two minutes: it refuses most
// payments, and takes back some that it had made before. The ledger knows nothing of payments that are taken back, and its
// books are wrong from then on. The operator reads what happened, the ledger is repaired, goes back to 10:00, and catches up
// with the shop, which waits for none of this. What it books twice it has once, since it books by order.
//
// The shop's clock is moved by its events, two a second from 9:00 to 10:30. What happens is a function of an event's number:
// so all of it can be counted once more, without the log.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <latch>
#include <map>
#include <string>
#include <thread>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/topic/topic.hpp"

using namespace std::chrono_literals;
using millrace::manual_clock;
using time_point = manual_clock::time_point;  // of the day

enum kind : std::size_t { ordered, paid, refused, taken_back, kinds };
struct event {
  kind what;
  long order;
  long cents;
  time_point at;
};
using event_topic = millrace::topic<event, millrace::producers::single, manual_clock>;

constexpr time_point at(int hour, int minute) {
  return time_point(std::chrono::hours(hour) + std::chrono::minutes(minute));
}
constexpr time_point opens = at(9, 0), ten = at(10, 0), five_past = at(10, 5), closes = at(10, 30);

/// The n-th event. Orders and what becomes of them take turns.
static event event_of(long n) {
  const auto cents_of = [](long order) { return 500 + order * 37 % 9500; };
  const long order = n / 2;
  const time_point t = opens + n * 500ms;
  const bool is_bad = at(10, 2) <= t && t < at(10, 4);
  if (n % 2 == 0) return {ordered, order, cents_of(order), t};
  if (!is_bad) return {paid, order, cents_of(order), t};
  if (order % 4 != 0) return {refused, order, cents_of(order), t};
  return {taken_back, order - 1000, cents_of(order - 1000), t};
}

using books = std::map<long, long>;  // by order: cents
static std::string sum(const books& b) {
  long cents = 0;
  for (const auto& [order, c] : b) cents += c;
  char text[32];
  std::snprintf(text, sizeof text, "%ld.%02ld", cents / 100, cents % 100);
  return text;
}
static void book(books& b, const event& e) {
  if (e.what == paid) b[e.order] = e.cents;
  if (e.what == taken_back) b.erase(e.order);
}

/// How many of each kind there were, minute by minute.
struct report {
  std::array<std::array<int, kinds>, (five_past - ten) / 1min> counts{};
  void add(const event& e) { ++counts.at(static_cast<std::size_t>((e.at - ten) / 1min))[e.what]; }
  bool operator==(const report&) const = default;
};

int main() {
  manual_clock clock(opens);
  event_topic events(20'000, clock, {.keep = {.age = 1h}, .stamp = millrace::stamps::each_message});
  auto ledger = events.group("ledger");

  books booked;
  std::latch twenty_past(1);
  ledger.run(1, [&](const event& e) {
    if (e.what == paid) booked[e.order] = e.cents;
    if (e.at == at(10, 20)) twenty_past.count_down();
  });
  std::jthread shop([&] {
    long n = 0;
    for (event e = event_of(n); e.at < closes; e = event_of(++n)) {
      clock.set(e.at);
      if (events.publish(e) != millrace::outcome::ok) return;
    }
    events.close();
  });
  twenty_past.wait();

  report seen;
  auto past = events.subscribe({.from = ten, .when_full = millrace::overrun::drop_oldest});
  for (const event* e = past.next(); e != nullptr && e->at < five_past; e = past.next()) seen.add(*e);

  ledger.stop();
  const books wrong = booked;
  ledger.seek(ten);
  long again = 0;
  ledger.run(1, [&](const event& e) {
    book(booked, e);
    ++again;
  });
  ledger.join();  // the shop has closed, and all is booked
  shop.join();
  events.trim();

  // The same once more, without the log.
  report expected;
  books right;
  books too_much;
  long since_ten = 0;
  long n = 0;
  for (event e = event_of(n); e.at < closes; e = event_of(++n)) {
    since_ten += e.at >= ten;
    if (ten <= e.at && e.at < five_past) expected.add(e);
    if (e.what == taken_back && wrong.contains(e.order)) too_much[e.order] = e.cents;
    book(right, e);
  }

  std::printf("what happened between 10:00 and 10:05, asked at 10:20\n");
  std::printf("       ordered   paid  refused  taken back\n");
  for (std::size_t i = 0; i < seen.counts.size(); ++i) {
    const auto& c = seen.counts[i];
    std::printf("10:%02zu  %7d  %5d  %7d  %10d%s\n", i, c[ordered], c[paid], c[refused], c[taken_back],
                c == expected.counts[i] ? "" : "  WRONG");
  }
  const bool is_mended = booked == right && wrong != right && again == since_ten;
  std::printf("the ledger had %zu payments that were taken back, %s too much\n", too_much.size(),
              sum(too_much).c_str());
  std::printf("repaired, and %ld events from 10:00 on once more: %zu payments, %s, %s\n", again,
              booked.size(), sum(booked).c_str(), is_mended ? "as it should be" : "WRONG");
  // It drops whole segments, so it has some more than it must.
  const auto first = static_cast<long>(events.first_kept());
  const bool is_an_hour = event_of(first).at <= closes - 1h && first > 0;
  const auto minute = (event_of(first).at - at(0, 0)) / 1min;
  std::printf("at 10:30 the log has %ld of %ld events, since %02ld:%02ld%s\n", n - first, n,
              static_cast<long>(minute / 60), static_cast<long>(minute % 60), is_an_hour ? "" : "  WRONG");
  return seen == expected && past.missed() == 0 && is_mended && is_an_hour ? 0 : 1;
}
