// The books of the flash sale notice every figure that is wrong, and nothing else. Prints what they did not notice.
#include "flash_sale/books.hpp"

#include <cstdio>
#include <utility>
#include <vector>

namespace {

int failures = 0;

void expect(bool balanced, const books& b, const char* what) {
  if (balances(b) == balanced) return;
  std::printf("%s: the books %s\n", what, balanced ? "do not balance" : "balance");
  ++failures;
}

books sound() {
  books b{.stock = 100,
          .left = 30,
          .returned = 10,
          .accepted = 80,
          .paid = 70,
          .cancelled = 8,
          .dead = 2,
          .cents = 4000,
          .bills = 70,
          .payments = 75,
          .refunds = 5};
  b.groups.push_back({.name = "one", .deliveries = 80, .seen = 80, .once = 80, .more = 0, .cents = 4000});
  b.groups.push_back({.name = "two", .deliveries = 99, .seen = 80, .once = 80, .more = 0, .cents = 4000});
  return b;
}

}  // namespace

int main() {
  expect(true, sound(), "what is right");
  expect(true, books{}, "a sale without anything");

  const std::vector<std::pair<const char*, count books::*>> figures{
      {"stock", &books::stock},       {"left", &books::left},      {"returned", &books::returned},
      {"accepted", &books::accepted}, {"paid", &books::paid},      {"cancelled", &books::cancelled},
      {"dead", &books::dead},         {"cents", &books::cents},    {"bills", &books::bills},
      {"payments", &books::payments}, {"refunds", &books::refunds}};
  for (const auto& [what, figure] : figures) {
    for (const count by : {count{1}, ~count{0}}) {  // one more, one less
      books b = sound();
      b.*figure += by;
      expect(false, b, what);
    }
  }
  const std::vector<std::pair<const char*, count group_account::*>> of_groups{
      {"seen", &group_account::seen}, {"once", &group_account::once}, {"cents", &group_account::cents}};
  for (const auto& [what, figure] : of_groups) {
    for (const bool second : {false, true}) {
      for (const count by : {count{1}, ~count{0}}) {
        books b = sound();
        b.groups[second ? 1 : 0].*figure += by;
        expect(false, b, what);
      }
    }
  }
  books twice = sound();
  twice.groups[1].more = 1;
  expect(false, twice, "more often than once");
  // An order that was cancelled and paid, and one that got lost, make up for each other in the first sum only.
  books both = sound();
  both.paid += 1;
  both.cancelled -= 1;
  expect(false, both, "paid instead of cancelled");
  return failures == 0 ? 0 : 1;
}
