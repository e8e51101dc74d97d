#include "millrace/flow/half_options.hpp"

#include <chrono>
#include <string>

#include "millrace/delivery/retry_policy.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;

TEST_CASE("the defaults: in doubt for 6 s, then asked 15 times, every 30 s") {
  millrace::half_options<int> o;
  CHECK(o.ask_after == 6s);
  CHECK(o.asking.attempts == 15);
  millrace::validate(o.asking);
  for (std::uint32_t n : {1U, 2U, 14U}) CHECK(millrace::backoff(o.asking, n, 0.5) == 30s);
  CHECK(o.room_pause == 10ms);
  CHECK_FALSE(static_cast<bool>(o.ask));
  CHECK_FALSE(static_cast<bool>(o.lost));
}

TEST_CASE("each loss has a name") {
  using millrace::half_loss;
  CHECK(to_string(half_loss::undecided) == std::string("undecided"));
  CHECK(to_string(half_loss::closed) == std::string("closed"));
  CHECK(to_string(half_loss::stopped) == std::string("stopped"));
  CHECK(to_string(static_cast<half_loss>(9)) == std::string("invalid"));
}
