#include "millrace/flow/saga_event.hpp"

#include <set>
#include <string>
#include <utility>

#include "millrace/core/manual_clock.hpp"
#include "support/catch.hpp"

using millrace::saga_answer;
using millrace::saga_event;
using millrace::saga_transition;

TEST_CASE("transitions and answers have names, each its own") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < millrace::saga_transitions; ++i) {
    names.insert(to_string(static_cast<saga_transition>(i)));
  }
  CHECK(names.size() == millrace::saga_transitions);
  CHECK_FALSE(names.contains("invalid"));
  CHECK(names.contains("compensation_timed_out"));
  CHECK(std::string(to_string(static_cast<saga_transition>(millrace::saga_transitions))) == "invalid");

  names.clear();
  for (int i = 0; i < 7; ++i) names.insert(to_string(static_cast<saga_answer>(i)));
  CHECK(names ==
        std::set<std::string>{"ok", "exists", "running", "not_found", "finished", "stuck", "closed"});
  CHECK(std::string(to_string(static_cast<saga_answer>(7))) == "invalid");
}

TEST_CASE("events go to any topic of them, whatever its clock, and to none") {
  millrace::topic<saga_event> steady(4);
  millrace::manual_clock clock;
  millrace::topic<saga_event, millrace::producers::multi, millrace::manual_clock> manual(4, clock);
  auto of_steady = steady.subscribe();
  auto of_manual = manual.subscribe();

  millrace::saga_topic<saga_event> to = &steady;
  REQUIRE(to);
  CHECK(to.try_publish({.saga = "s", .id = "1", .time = {}}) == millrace::outcome::ok);
  to = &manual;
  CHECK(to.try_publish({.saga = "s", .id = "2", .time = {}}) == millrace::outcome::ok);
  CHECK(of_steady.try_next()->id == "1");
  CHECK(of_manual.try_next()->id == "2");

  manual.close();
  CHECK(to.try_publish({.saga = "s", .id = "3", .time = {}}) == millrace::outcome::closed);
  to = nullptr;
  CHECK_FALSE(to);
}
