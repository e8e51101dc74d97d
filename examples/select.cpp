// One cook, three things to wait for at once: an order, word from the manager, a second of silence.
//
//   orders  ===> [ | | | ] ---on_pop---.
//                                      |
//   manager ===> [ | ] -------on_pop---+--> select: the first that can go on, and no other ===> [ | ]
//                                      |                                                       said
//   a second without either ---after---'
//
// Nobody polls: the cook sleeps until one of them comes. When several are ready at once, chance decides. The clock is
// one that is moved by hand, as in a test; without it `after` goes by the machine's.
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/select.hpp"

using namespace std::chrono_literals;
using text = std::string;

int main() {
  millrace::channel<text> orders(4);
  millrace::channel<text> manager(2);
  millrace::channel<text> said(2);
  millrace::manual_clock clock;

  const std::jthread cook([&] {
    int cooked = 0;
    text sold_out;
    const auto say = [&](const text& line) { return said.push(line) == millrace::outcome::ok; };
    const auto serve = [&](std::optional<text> dish) {
      if (!dish) return say("no more orders; cooked " + std::to_string(cooked)) && false;
      if (*dish == sold_out) return say(*dish + ": sold out");
      ++cooked;
      return say(*dish + ": served");
    };
    const auto listen = [&](std::optional<text> word) {
      sold_out = word.value_or("");
      return say("so no more " + sold_out);
    };
    const auto stand_by = [&] { return say("nothing for a second, still here"); };

    // Each handler says whether to go on; select returns what the one that was called returned.
    while (millrace::select(millrace::on_pop(orders, serve), millrace::on_pop(manager, listen),
                            millrace::after(clock, 1s, stand_by))) {
    }
    said.close();
  });

  const auto hear = [&] { std::printf("%s\n", said.pop()->c_str()); };
  if (orders.push("soup") == millrace::outcome::ok) hear();
  if (orders.push("fish") == millrace::outcome::ok) hear();
  clock.await_waiters(1);  // the cook is asleep
  clock.advance(1s);
  hear();
  if (manager.push("fish") == millrace::outcome::ok) hear();
  if (orders.push("fish") == millrace::outcome::ok) hear();
  if (orders.push("tea") == millrace::outcome::ok) hear();
  orders.close();
  hear();
}
