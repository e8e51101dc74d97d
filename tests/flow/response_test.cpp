#include "millrace/flow/response.hpp"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "support/catch.hpp"

TEST_CASE("each outcome of a request has a name of its own") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < millrace::request_outcomes; ++i) {
    names.insert(millrace::to_string(static_cast<millrace::request_outcome>(i)));
  }
  CHECK(names.size() == millrace::request_outcomes);
  CHECK(names.count("invalid") == 0);
  CHECK(names.count("unanswered") == 1);
  CHECK(millrace::to_string(static_cast<millrace::request_outcome>(millrace::request_outcomes)) ==
        std::string("invalid"));
}

TEST_CASE("a response is true if there is a reply") {
  millrace::response<std::unique_ptr<int>> r;
  CHECK_FALSE(static_cast<bool>(r));
  CHECK(r.what == millrace::request_outcome::cancelled);
  CHECK_FALSE(r.value.has_value());
  r = {.what = millrace::request_outcome::ok, .value = std::make_unique<int>(7)};
  const auto moved = std::move(r);
  CHECK(static_cast<bool>(moved));
  CHECK(**moved.value == 7);
}
