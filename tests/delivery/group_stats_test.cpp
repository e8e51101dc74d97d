#include "millrace/delivery/group_stats.hpp"

#include <set>
#include <string>

#include "support/catch.hpp"

TEST_CASE("every reason has a name of its own") {
  using millrace::blocked_by;
  std::set<std::string> names;
  for (const auto b : {blocked_by::none, blocked_by::empty, blocked_by::paused, blocked_by::in_flight,
                       blocked_by::rate, blocked_by::breaker, blocked_by::order, blocked_by::retries}) {
    names.insert(to_string(b));
  }
  CHECK(names.size() == 8);
  CHECK(names.count("invalid") == 0);
  CHECK(std::string(to_string(static_cast<blocked_by>(99))) == "invalid");
}

TEST_CASE("a group that has done nothing") {
  const millrace::group_stats s;
  CHECK(s.backlog + s.ready + s.behind + s.in_flight + s.waiting + s.parked == 0);
  CHECK(s.blocked == millrace::blocked_by::none);
}
