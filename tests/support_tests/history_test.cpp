// The recorder, on a queue that is right and on queues that are wrong.
#include "support/history.hpp"

#include <cstdio>

#include "support/catch.hpp"
#include "support/flawed_queues.hpp"

namespace {

using support::fault;
using support::full_rule;
using support::record;
using support::recording;
using support::shape;
using support::tally;

constexpr std::uint64_t seed = 4711;

// Runs until the flaw shows.
template <class Queue>
tally until_found(shape crew, std::size_t capacity, full_rule rule, const char* name) {
  recording plan;
  plan.crew = crew;
  plan.capacity = capacity;
  plan.operations = 2'000'000'000;
  plan.seed = seed;
  plan.freeze = true;
  plan.full = rule;
  plan.limit = std::chrono::seconds(60);
  const tally t = record<Queue>(plan);
  std::printf("%s: %s\n%s\n", name, describe(t).c_str(), t.message.c_str());
  return t;
}

}  // namespace

TEST_CASE("stamps grow from hand to hand") {
  const std::uint64_t before = support::counted_stamps::now();
  std::uint64_t there = 0;
  std::thread([&] { there = support::counted_stamps::now(); }).join();
  CHECK(before < there);
  CHECK(there < support::counted_stamps::now());
}

TEST_CASE("a queue behind one mutex is judged linearizable") {
  tally sum;
  for (const bool freeze : {false, true}) {
    for (const shape crew : {shape{1, 1}, shape{2, 2}, shape{4, 4}, shape{1, 4}, shape{4, 1}}) {
      for (const std::size_t capacity : {std::size_t{1}, std::size_t{3}, std::size_t{64}}) {
        recording plan;
        plan.crew = crew;
        plan.capacity = capacity;
        plan.operations = 20'000;
        plan.seed = seed;
        plan.freeze = freeze;
        const tally t = record<support::locked_queue>(plan);
        INFO(describe(crew) << ", capacity " << capacity << '\n' << t.message);
        CHECK(t.found == fault::none);
        sum += t;
      }
    }
  }
  std::printf("locked queue: %s\n", describe(sum).c_str());
  CHECK(sum.operations >= 600'000);
  CHECK(sum.full > 0);
  CHECK(sum.empty > 0);
  CHECK(sum.popped > 0);
}

TEST_CASE("the counter can stand in for the clock") {
  recording plan;
  plan.crew = {2, 2};
  plan.operations = 50'000;
  plan.seed = seed;
  const bool clock = false;
  const tally right = support::detail::recorder<support::locked_queue>(plan, clock).run();
  INFO(right.message);
  CHECK(right.found == fault::none);
  CHECK(right.operations >= 50'000);
  const tally wrong = support::detail::recorder<support::two_lanes>(plan, clock).run();
  CHECK(wrong.found == fault::reordered);
}

TEST_CASE("a channel behind one mutex is judged linearizable, to its end") {
  recording plan;
  plan.crew = {2, 2};
  plan.operations = 100'000;
  plan.seed = seed;
  const tally t = record<support::locked_channel>(plan);
  INFO(t.message);
  CHECK(t.found == fault::none);
  CHECK(t.closed > 0);
}

TEST_CASE("a ring that answers empty during a claim is caught") {
  const tally t = until_found<support::claiming_ring>({4, 1}, 8, full_rule::exact, "claiming ring");
  CHECK((t.found == fault::false_empty || t.found == fault::false_full || t.found == fault::no_order));
}

TEST_CASE("a ring that loses updates is caught") {
  const tally t = until_found<support::careless_ring>({2, 2}, 8, full_rule::exact, "careless ring");
  // What shows first depends on who overtakes whom.
  CHECK((t.found == fault::lost || t.found == fault::duplicated || t.found == fault::false_empty ||
         t.found == fault::reordered || t.found == fault::false_full || t.found == fault::overfull));
}

TEST_CASE("lanes that pass each other are caught") {
  const tally t = until_found<support::two_lanes>({2, 2}, 8, full_rule::exact, "two lanes");
  CHECK((t.found == fault::reordered || t.found == fault::false_empty));
}

TEST_CASE("a busy lock that is taken for full is caught, by either rule") {
  CHECK(until_found<support::impatient_queue>({1, 1}, 64, full_rule::exact, "impatient queue").found ==
        fault::false_full);
  CHECK(
      until_found<support::impatient_queue>({1, 1}, 64, full_rule::places, "impatient queue, places").found ==
      fault::false_full);
}

TEST_CASE("a push that lands after the end was told is caught") {
  const tally t = until_found<support::leaky_channel>({2, 2}, 8, full_rule::exact, "leaky channel");
  CHECK((t.found == fault::after_end || t.found == fault::lost));
}
