// A chat with 5,000 members: what one of them says is stored once, and read by all.
//
//                               .--> thread --> 1,200 members who are online
//                               +--> thread --> 1,200
//   what is said ====> [ room ] +--> thread --> 1,200
//                        a      +--> thread --> 1,200
//                       topic   +--> thread -->   100 who join half-way, and begin with the last 50 messages
//                               +--> archive          which keeps it all
//                               '-->              100 whose phones are in a tunnel: they get what is still there, and are
//                                                     told how much they missed
//
// A member is a subscription: a place in the common log, and no queue, thread or copy of the messages of its own. A thread
// sleeps on one subscription, its bell, and serves all its members when that rings. Whoever is online loses nothing: the room
// waits for the threads that serve them, if it is `capacity` messages ahead. Nobody waits for a phone in a tunnel.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "millrace/topic/topic.hpp"

using millrace::outcome;
using millrace::overrun;

struct said {
  std::uint32_t by;
  std::string text;
};
using room_topic = millrace::topic<said, millrace::producers::single>;  // one thread takes what comes in

constexpr std::uint64_t messages = 1000;
constexpr std::uint64_t history = 50;  // of it who comes late is shown
constexpr std::size_t servers = 4;
constexpr std::size_t online = 1200;  // at each of them
constexpr std::size_t late = 100;
constexpr std::size_t in_tunnel = 100;
constexpr std::size_t everybody = servers * online + late + in_tunnel;

/// The n-th message.
static said message(std::uint64_t n) {
  return {static_cast<std::uint32_t>(n % 7), "message " + std::to_string(n)};
}

struct member {
  explicit member(room_topic::subscription s) : reader(std::move(s)) {}

  void look() {
    reader.poll([this](const said& m, std::uint64_t number) {
      is_in_order = is_in_order && (got == 0 || number == last + 1) && m.by == number % 7;
      last = number;
      ++got;
    });
  }

  room_topic::subscription reader;
  std::uint64_t got = 0;
  std::uint64_t last = 0;
  bool is_in_order = true;
};
using members = std::vector<member>;

/// A thread's work, until the room is closed and all has been read.
static void serve(members& mine, room_topic::subscription bell) {
  std::ignore = bell.run([&mine](const said&, std::uint64_t, bool is_last) {
    if (!is_last) return;  // of what there is just now: its members get all of that
    for (member& m : mine) m.look();
  });
}

/// Whether each of them got so many, to the last one, none of them twice and none left out, and was told of those it missed.
static bool each_got(const members& all, std::uint64_t n, std::uint64_t missed = 0) {
  return std::ranges::all_of(all, [=](const member& m) {
    return m.got == n && m.last == messages - 1 && m.is_in_order && m.reader.missed() == missed;
  });
}

int main() {
  room_topic room(500);
  using from = millrace::beginning<std::chrono::steady_clock>;
  const auto join = [&room](members& to, std::size_t n, from begin, overrun when_full) {
    for (std::size_t i = 0; i < n; ++i)
      to.emplace_back(room.subscribe({.from = begin, .when_full = when_full}));
  };
  members at_server[servers];
  members newcomers;
  members phones;
  for (members& m : at_server) join(m, online, millrace::latest, overrun::block);
  join(phones, in_tunnel, millrace::latest, overrun::drop_oldest);

  std::vector<std::jthread> threads;
  const auto employ = [&](members& m) {
    threads.emplace_back([&m, bell = room.subscribe()]() mutable { serve(m, std::move(bell)); });
  };
  for (members& m : at_server) employ(m);
  std::string archive;
  threads.emplace_back([&archive, reader = room.subscribe()]() mutable {
    for (const said& m : reader) archive += m.text + '\n';
  });

  const auto start = std::chrono::steady_clock::now();
  std::string expected;
  for (std::uint64_t n = 0; n < messages; ++n) {
    if (n == messages / 2) {
      join(newcomers, late, room.tail() - history, overrun::block);
      employ(newcomers);
    }
    expected += message(n).text + '\n';
    if (room.publish(message(n)) != outcome::ok) return 1;
  }
  room.close();
  threads.clear();  // joins them
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  for (member& m : phones) m.look();  // out of the tunnel

  std::uint64_t delivered = archive == expected ? messages : 0;
  const auto count = [&delivered](const members& all) {
    for (const member& m : all) delivered += m.got;
  };
  for (const members& m : at_server) count(m);
  count(newcomers);
  count(phones);

  bool proven = true;
  const auto print = [&proven](std::size_t n, const char* who, const std::string& got, bool right) {
    std::printf("%5zu %-13s %s%s\n", n, who, got.c_str(), right ? "" : "  WRONG");
    proven = proven && right;
  };
  const auto text = [](std::uint64_t n) { return std::to_string(n); };
  const std::uint64_t behind = phones[0].got;
  print(servers * online, "were online", "each got all " + text(messages) + ", once and in order",
        std::ranges::all_of(at_server, [](const members& m) { return each_got(m, messages); }));
  print(late, "came late",
        "each got the last " + text(history) + " of before, and all " + text(messages / 2) + " since",
        each_got(newcomers, history + messages / 2));
  print(in_tunnel, "in a tunnel",
        "each got the last " + text(behind) + ", and knows of " + text(messages - behind) + " that it missed",
        each_got(phones, behind, messages - behind));
  print(1, "archive", "as it was said", archive == expected);
  std::printf("%llu messages, %llu deliveries to %zu members and the archive\n",
              static_cast<unsigned long long>(messages), static_cast<unsigned long long>(delivered),
              everybody);
  // What the topic has of each reader, see its Memory, and the subscription itself.
  constexpr std::size_t place = 128 + sizeof(room_topic::subscription);
  std::printf(
      "seconds %.3f: %.0f million deliveries/s, from a log of %zu bytes, and %zu bytes for each member\n",
      took.count(), static_cast<double>(delivered) / took.count() / 1e6, room.bytes(), place);
  return proven ? 0 : 1;
}
