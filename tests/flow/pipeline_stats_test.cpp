#include "millrace/flow/pipeline_stats.hpp"

#include <chrono>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::pipeline_stats;
using millrace::stage_stats;

stage_stats stage(const char* name, std::chrono::nanoseconds busy, std::chrono::nanoseconds offered,
                  std::chrono::nanoseconds blocked = 0ns) {
  stage_stats s;
  s.name = name;
  s.elapsed = 10s;
  s.busy = busy;
  s.offered = offered;
  s.blocked = blocked;
  return s;
}

TEST_CASE("shares and rates are of the time that there was") {
  stage_stats s = stage("pay", 5s, 40s, 1s);
  s.out = 70;
  CHECK(s.busy_share() == Approx(0.125));
  CHECK(s.blocked_share() == Approx(0.1));
  CHECK(s.rate() == Approx(7));
  const stage_stats none;
  CHECK(none.busy_share() == 0);
  CHECK(none.blocked_share() == 0);
  CHECK(none.rate() == 0);
}

TEST_CASE("the bottleneck is the stage whose workers are busiest, whatever their number") {
  pipeline_stats s;
  CHECK(s.bottleneck().empty());
  s.stages = {stage("a", 9s, 10s), stage("b", 35s, 40s), stage("to", 1s, 10s)};
  CHECK(s.bottleneck() == "a");
  s.stages[1].busy = 39s;
  CHECK(s.bottleneck() == "b");
  // Of equals it is the later one, which holds up the other.
  s.stages[0].busy = 10s;
  s.stages[1].busy = 40s;
  CHECK(s.bottleneck() == "b");
  // That a stage in the middle is blocked is what the next one does to it; what blocks the end is outside.
  s.stages = {stage("a", 2s, 10s, 8s), stage("b", 3s, 10s), stage("to", 0s, 10s)};
  CHECK(s.bottleneck() == "b");
  s.stages[2].blocked = 9s;
  CHECK(s.bottleneck() == "to");
  s.stages = {stage("a", 0s, 10s), stage("to", 0s, 10s)};
  CHECK(s.bottleneck().empty());
}

TEST_CASE("of two readings there is what happened in between, and the state of the later one") {
  pipeline_stats before;
  before.elapsed = 10s;
  before.taken = 10;
  before.done = 5;
  before.filtered = 1;
  before.dead = 1;
  before.given_back = 2;
  before.inside = 1;
  before.parked = 3;
  before.stages = {stage("a", 2s, 10s, 1s)};
  before.stages[0].in = 10;
  before.stages[0].out = 6;
  before.stages[0].filtered = 1;
  before.stages[0].dead = 1;
  before.stages[0].failed = 4;
  before.stages[0].depth = 2;

  pipeline_stats now = before;
  now.elapsed = 14s;
  now.taken = 110;
  now.done = 95;
  now.filtered = 4;
  now.dead = 2;
  now.given_back = 3;
  now.inside = 6;
  now.parked = 7;
  stage_stats& s = now.stages[0];
  s.in = 110;
  s.out = 100;
  s.filtered = 4;
  s.dead = 3;
  s.failed = 9;
  s.depth = 5;
  s.elapsed += 4s;
  s.offered += 8s;
  s.busy += 6s;
  s.blocked += 1s;

  const pipeline_stats d = now.since(before);
  CHECK(d.elapsed == 4s);
  CHECK(d.taken == 100);
  CHECK(d.done == 90);
  CHECK(d.filtered == 3);
  CHECK(d.dead == 1);
  CHECK(d.given_back == 1);
  CHECK(d.inside == 6);
  CHECK(d.parked == 7);
  REQUIRE(d.stages.size() == 1);
  const stage_stats& ds = d.stages[0];
  CHECK(ds.name == "a");
  CHECK(ds.in == 100);
  CHECK(ds.out == 94);
  CHECK(ds.filtered == 3);
  CHECK(ds.dead == 2);
  CHECK(ds.failed == 5);
  CHECK(ds.depth == 5);
  CHECK(ds.busy_share() == Approx(0.75));
  CHECK(ds.blocked_share() == Approx(0.25));
  CHECK(ds.rate() == Approx(94 / 4.0));
}

}  // namespace
