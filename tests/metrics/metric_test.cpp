#include "millrace/metrics/metric.hpp"

#include <string>

#include "support/catch.hpp"

TEST_CASE("every type has the name that Prometheus gives it") {
  using millrace::metric_type;
  CHECK(std::string(to_string(metric_type::counter)) == "counter");
  CHECK(std::string(to_string(metric_type::gauge)) == "gauge");
  CHECK(std::string(to_string(metric_type::histogram)) == "histogram");
  CHECK(std::string(to_string(static_cast<metric_type>(9))) == "invalid");
}

TEST_CASE("labels in braces are labels") {
  const millrace::label_set none{};
  const millrace::label_set one{{"a", "1"}};
  const millrace::label_set two{{"a", "1"}, {"b", "2"}};
  CHECK(none.empty());
  REQUIRE(one.size() == 1);
  CHECK(one[0].name == "a");
  CHECK(one[0].value == "1");
  REQUIRE(two.size() == 2);
  CHECK(two[1] == millrace::label{"b", "2"});
  CHECK(one < two);
  CHECK(millrace::label_set{{"a", "2"}} > two);
}
