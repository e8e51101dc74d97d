#include "millrace/metrics/format.hpp"

#include <string>

#include "millrace/metrics/histogram.hpp"
#include "support/catch.hpp"

TEST_CASE("an outcome is printed by its name, in the width that is asked for") {
  CHECK(fmt::format("{}", millrace::outcome::full) == "full");
  CHECK(fmt::format("[{:>8}]", millrace::outcome::closed) == "[  closed]");
  const millrace::outcome o = millrace::outcome::timeout;
  CHECK(fmt::format("{:-^11}|{}", o, millrace::outcome::ok) == "--timeout--|ok");
}

TEST_CASE("a histogram is printed in a line") {
  millrace::histogram h;
  CHECK(fmt::format("{}", h.snapshot()) == "count=0 p50=0 p99=0 max=0");
  h.record(10, 98);
  h.record(20);
  h.record(7188);
  CHECK(fmt::format("{}", h.snapshot()) == "count=100 p50=10 p99=20 max=7188");
  const millrace::histogram_snapshot s = h.snapshot();
  CHECK(fmt::format("{:>40}.", s) == "        count=100 p50=10 p99=20 max=7188.");
}
