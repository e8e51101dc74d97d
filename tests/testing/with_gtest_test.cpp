// The kit in GoogleTest: a verdict is handed to EXPECT_TRUE, and what that prints is its message.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "millrace/delivery/delivery.hpp"
#include "millrace/testing/expect_published.hpp"
#include "millrace/testing/leak_check.hpp"
#include "millrace/testing/scripted.hpp"
#include "millrace/testing/search_orders.hpp"
#include "millrace/testing/stepped_bus.hpp"

namespace {

using namespace std::chrono_literals;
// why not `using namespace millrace`: its testing would be taken for GoogleTest's
namespace kit = millrace::testing;

class Billing : public ::testing::Test {
 protected:
  Billing() : bank(t->timers(), [this](int id) { EXPECT_EQ(paid->publish(id), millrace::outcome::ok); }) {
    const absl::Status s = t->subscribe<int>("orders.placed", "billing", bank);
    EXPECT_TRUE(s.ok()) << s.message();
  }
  void place(int id) {
    ASSERT_EQ(t->topic<int>("orders.placed").value()->publish(id), millrace::outcome::ok);
  }

  kit::stepped_bus t;
  millrace::named_topic<int, millrace::manual_clock> paid = t->topic<int>("orders.paid").value();
  kit::scripted<int> bank;
};

TEST_F(Billing, RetriesUntilTheBankIsBack) {
  bank.then_fail("down", 3);
  place(7);
  t.run_until_idle();
  EXPECT_TRUE(kit::expect_nothing_published<int>(t.bus(), "orders.paid"));
  t.advance(10s);
  EXPECT_TRUE(kit::expect_published<int>(t.bus(), "orders.paid", 7));
  EXPECT_EQ(bank.calls().size(), 4U);
  EXPECT_TRUE(kit::expect_all_settled(t.bus()));
}

TEST_F(Billing, WaitsForASlowBank) {
  bank.then_stall(5s);
  place(7);
  t.advance(4999ms);
  EXPECT_FALSE(kit::expect_all_settled(t.bus()));
  t.advance(1ms);
  ASSERT_TRUE(kit::expect_published<int>(t.bus(), "orders.paid", 7));
  ASSERT_TRUE(kit::expect_all_settled(t.bus()));
}

TEST_F(Billing, AFailureTellsWhatWasThere) {
  place(7);
  place(8);
  t.run_until_idle();
  const auto v = kit::expect_published<int>(t.bus(), "orders.paid", 9);
  EXPECT_NONFATAL_FAILURE(EXPECT_TRUE(v),
                          "\"orders.paid\": wanted exactly 1 message equal to 9, found 0 among 2: 7, 8");
  EXPECT_NONFATAL_FAILURE(EXPECT_TRUE(v) << v.message(), "found 0 among 2: 7, 8");
  EXPECT_NONFATAL_FAILURE(ADD_FAILURE() << v, "found 0 among 2: 7, 8");
  EXPECT_NONFATAL_FAILURE(EXPECT_TRUE(all(v, v)), "found 0 among 2: 7, 8");
  const ::testing::AssertionResult r = v;
  EXPECT_FALSE(r);
  EXPECT_STREQ(r.message(), v.message().c_str());
  EXPECT_EQ(::testing::PrintToString(v), v.message());
}

TEST(Orders, AreSearched) {
  EXPECT_TRUE(kit::search_orders(50, [](std::uint64_t seed) {
    kit::stepped_bus t(seed);
    int sum = 0;
    for (const char* group : {"a", "b", "c"}) {
      const absl::Status s = t->subscribe<int>("n", group, [&sum](int n) { sum += n; });
      if (!s.ok()) return kit::verdict(false, s.ToString());
    }
    static_cast<void>(t->topic<int>("n").value()->publish(1));
    t.run_until_idle();
    return all(kit::verdict(sum == 3, "the sum is " + std::to_string(sum)), kit::expect_all_settled(t.bus()));
  }));
}

}  // namespace
