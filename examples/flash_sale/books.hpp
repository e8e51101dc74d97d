// The books: what there was must be what became of it, and every group must have seen to every order once.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "chance.hpp"

inline std::string grouped(count n) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

struct group_account {
  std::string name;
  count deliveries = 0;  // an order may be delivered more often
  count seen = 0;        // orders that were delivered at least once
  count once = 0;        // orders that it has seen to once
  count more = 0;        // more often
  count cents = 0;       // of all that it has seen to
};

struct books {
  count stock = 0;  // pieces
  count left = 0;
  count returned = 0;
  count accepted = 0;  // orders
  count paid = 0;
  count cancelled = 0;
  count dead = 0;
  count cents = 0;  // of all orders that were accepted
  count bills = 0;  // that stand at the provider
  count payments = 0;
  count refunds = 0;
  std::vector<group_account> groups = {};
};

/// What must be equal.
struct entry {
  std::string what;
  count found;
  count expected;
  std::string why;
};

inline std::vector<entry> entries_of(const books& b) {
  const auto sum = [](const char* a, count n, const char* c, count m) {
    return std::string(a) + ' ' + grouped(n) + " + " + c + ' ' + grouped(m);
  };
  std::vector<entry> all{
      {"orders accepted", b.accepted, b.paid + b.cancelled + b.dead,
       sum("paid", b.paid, "cancelled", b.cancelled) + " + dead-lettered " + grouped(b.dead)},
      {"pieces in stock", b.stock, b.paid + b.left, sum("sold", b.paid, "left", b.left)},
      {"pieces returned", b.returned, b.cancelled + b.dead,
       sum("cancelled", b.cancelled, "dead-lettered", b.dead)},
      {"bills that stand", b.bills, b.paid, "paid"},
      {"payments", b.payments, b.paid + b.refunds, sum("paid", b.paid, "refunded", b.refunds)},
  };
  return all;
}

inline bool agrees(const entry& e) { return e.found == e.expected; }
inline bool agrees(const group_account& g, const books& b) {
  return g.seen == b.accepted && g.once == b.accepted && g.more == 0 && g.cents == b.cents;
}

inline bool balances(const books& b) {
  return std::ranges::all_of(entries_of(b), [](const entry& e) { return agrees(e); }) &&
         std::ranges::all_of(b.groups, [&](const group_account& g) { return agrees(g, b); });
}

inline void print(const books& b) {
  for (const entry& e : entries_of(b)) {
    std::printf("%-16s %11s = %s", e.what.c_str(), grouped(e.found).c_str(), e.why.c_str());
    agrees(e) ? std::printf("\n") : std::printf("   WRONG: that is %s\n", grouped(e.expected).c_str());
  }
  const auto row = [](const std::string& name, const std::string& deliveries, count seen, count once,
                      count more, count cents, bool is_right) {
    std::printf("%-16s %11s %11s %11s %11s %15s%s\n", name.c_str(), deliveries.c_str(), grouped(seen).c_str(),
                grouped(once).c_str(), grouped(more).c_str(), grouped(cents).c_str(),
                is_right ? "" : "   WRONG");
  };
  std::printf("\n%-16s %11s %11s %11s %11s %15s\n", "", "deliveries", "orders", "done once", "more often",
              "cents");
  row("all orders", "", b.accepted, b.accepted, 0, b.cents, true);
  for (const group_account& g : b.groups) {
    row(g.name, grouped(g.deliveries), g.seen, g.once, g.more, g.cents, agrees(g, b));
  }
  std::printf(balances(b) ? "\nThe books balance.\n" : "\nTHE BOOKS DO NOT BALANCE.\n");
}
