#include "millrace/topic/log_access.hpp"

#include <chrono>
#include <memory>

#include "millrace/core/manual_clock.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::manual_clock;
using millrace::outcome;
using millrace::producers;

template <producers P>
struct kind {
  static constexpr producers rule = P;
};

}  // namespace

TEMPLATE_TEST_CASE("a kept message stays while the log goes round", "", kind<producers::single>,
                   kind<producers::multi>) {
  using topic = millrace::topic<std::shared_ptr<int>, TestType::rule, manual_clock>;
  manual_clock clock;
  topic t(4, clock, {.keep = {.messages = 0}, .stamp = millrace::stamps::each_message, .segment = 2});
  millrace::log_cursor<topic> at(t.subscribe());
  CHECK(at.next() == nullptr);
  clock.advance(7s);
  REQUIRE(t.publish(std::make_shared<int>(1)) == outcome::ok);
  const std::shared_ptr<int>* first = at.next();
  REQUIRE(first != nullptr);
  const std::weak_ptr<int> watched = *first;
  auto& kept = at.keep();
  CHECK(at.offset() == 0);
  CHECK(at.segment_number() == 0);
  at.step();
  at.commit();
  for (int v = 2; v < 40; ++v) {
    REQUIRE(t.try_publish(std::make_shared<int>(v)) == outcome::ok);  // it stops nobody
    const auto* m = at.next();
    REQUIRE(m != nullptr);
    REQUIRE(**m == v);
    at.step();
    at.commit();
  }
  CHECK(**first == 1);
  CHECK(at.published_at(kept, 0) == std::chrono::nanoseconds(7s).count());
  CHECK_FALSE(watched.expired());
  at.release(kept);
  CHECK(watched.expired());
}

TEST_CASE("it leaves, and what it kept stays") {
  using topic = millrace::topic<std::shared_ptr<int>>;
  topic t(2, {.keep = {.messages = 0}, .segment = 2});
  millrace::log_cursor<topic> at(t.subscribe());
  REQUIRE(t.publish(std::make_shared<int>(1)) == outcome::ok);
  const auto* first = at.next();
  auto& kept = at.keep();
  at.leave();
  for (int v = 2; v < 40; ++v) REQUIRE(t.try_publish(std::make_shared<int>(v)) == outcome::ok);
  CHECK(**first == 1);
  at.release(kept);
}

TEST_CASE("a filter, the end, and going back") {
  using topic = millrace::topic<int>;
  topic t(64);
  millrace::log_cursor<topic> at(t.subscribe({.filter = [](const int& v) { return v % 2 == 1; }}));
  for (int v = 0; v < 4; ++v) REQUIRE(t.publish(v) == outcome::ok);
  CHECK(*at.next() == 1);
  CHECK(*at.next() == 1);
  at.step();
  CHECK(*at.next() == 3);
  at.step();
  CHECK(at.next() == nullptr);
  CHECK_FALSE(at.has_ended());
  at.moved().seek(2U);
  CHECK(*at.next() == 3);
  at.step();
  t.close();
  CHECK(at.next() == nullptr);
  CHECK(at.has_ended());
  at.commit();
  CHECK(at.reader().lag() == 0);
}
