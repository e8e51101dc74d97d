// The answers and their names.
#include "millrace/core/outcome.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <type_traits>

#include "support/catch.hpp"

using millrace::outcome;
using millrace::to_string;

static_assert(sizeof(outcome) == 1 && std::is_same_v<std::underlying_type_t<outcome>, std::uint8_t>);
static_assert(static_cast<int>(outcome::ok) == 0, "ok is the zero of the answers");

TEST_CASE("every outcome has a name of its own") {
  CHECK(to_string(outcome::ok) == std::string("ok"));
  CHECK(to_string(outcome::full) == std::string("full"));
  CHECK(to_string(outcome::empty) == std::string("empty"));
  CHECK(to_string(outcome::closed) == std::string("closed"));
  CHECK(to_string(outcome::timeout) == std::string("timeout"));
  CHECK(to_string(static_cast<outcome>(200)) == std::string("invalid"));
  std::set<std::string> names;
  for (std::uint8_t i = 0; i < 6; ++i) names.insert(to_string(static_cast<outcome>(i)));
  CHECK(names.size() == 6);
}
