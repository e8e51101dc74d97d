// A diamond: two stages work on each message side by side, and a third one gets it when both are done. All three read the
// same log; there is no queue between them.
//
//                       .--> price --.
//   orders ===> [ topic ]             +--> book
//                       '--> risk  --'
//
// A message is the same for all and never changes. What the first two find out they put into tables of their own, at the
// message's offset: nobody is more than the capacity behind, so a table of that size has a place for each.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <tuple>

#include "millrace/topic/topic.hpp"

struct order {
  int customer;
  int pieces;
};

int main() {
  constexpr std::size_t capacity = 1024;
  constexpr int orders = 100'000;
  millrace::topic<order, millrace::producers::single> topic(capacity);
  std::array<int, capacity> price{};
  std::array<bool, capacity> risky{};
  long booked = 0;
  long refused = 0;

  auto pricing = topic.subscribe();
  auto risk = topic.subscribe();
  auto booking = topic.subscribe({.after = {pricing, risk}});

  std::jthread first([&] {
    std::ignore = pricing.run([&](const order& o, std::uint64_t offset) {
      price[offset % capacity] = o.pieces * (o.pieces < 10 ? 7 : 6);
    });
  });
  std::jthread second([&] {
    std::ignore = risk.run(
        [&](const order& o, std::uint64_t offset) { risky[offset % capacity] = o.customer % 17 == 0; });
  });
  std::jthread third([&] {
    std::ignore = booking.run([&](const order&, std::uint64_t offset) {
      (risky[offset % capacity] ? refused : booked) += price[offset % capacity];
    });
  });

  long expected = 0;
  for (int i = 0; i < orders; ++i) {
    const order o{i % 1000, 1 + i % 20};
    expected += o.pieces * (o.pieces < 10 ? 7 : 6);
    if (topic.publish(o) != millrace::outcome::ok) return 1;
  }
  topic.close();
  first.join();
  second.join();
  third.join();
  std::printf("%d orders: booked %ld, refused %ld, together %s\n", orders, booked, refused,
              booked + refused == expected ? "all of it" : "WRONG");
  return booked + refused == expected ? 0 : 1;
}
