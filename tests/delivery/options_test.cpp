#include "millrace/delivery/options.hpp"

#include <chrono>

#include "millrace/delivery/consumer_group.hpp"
#include "support/catch.hpp"

TEST_CASE("the defaults of a group") {
  using namespace std::chrono_literals;
  const millrace::group_options<millrace::topic<int>> o;
  CHECK(o.order == millrace::ordering::none);
  CHECK(o.when_full == millrace::overrun::block);
  CHECK(o.max_in_flight == 1024);
  CHECK(o.ack_timeout == 30s);
  CHECK(o.retry.attempts == 5);
  CHECK(o.retry.first == 100ms);
  CHECK(o.retry.most == 30s);
  CHECK(o.dead_letters == nullptr);
}
