#include "millrace/testing/expect_published.hpp"

#include <memory>
#include <ostream>
#include <string>

#include "millrace/testing/stepped_bus.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"

namespace {

using millrace::outcome;
using millrace::topic;
using millrace::testing::at_least;
using millrace::testing::at_most;
using millrace::testing::expect_nothing_published;
using millrace::testing::expect_published;
using millrace::testing::expect_published_in_order;
using millrace::testing::recorder;
using millrace::testing::stepped_bus;
using millrace::testing::times;

struct order {
  int id;
  int cents;
  friend bool operator==(const order&, const order&) = default;
  friend std::ostream& operator<<(std::ostream& to, const order& o) { return to << o.id << ':' << o.cents; }
};
struct silent {
  int id;
  friend bool operator==(const silent&, const silent&) = default;
};
enum class colour : char { red = 3 };

template <class Topic, class... Values>
void publish(Topic& to, Values... values) {
  (static_cast<void>(to.publish(values)), ...);
}

TEST_CASE("exactly once, if nothing else is said; by value or by predicate") {
  topic<order> orders(64);
  const recorder<order> r(orders);
  publish(orders, order{5, 10}, order{6, 20}, order{6, 20}, order{8, 5});

  const auto once = expect_published(r, order{8, 5});
  CHECK(once);
  CHECK(once.message() ==
        "the topic: wanted exactly 1 message equal to 8:5, found 1 among 4: 5:10, 6:20, 6:20, 8:5");
  const auto none = expect_published(r, order{7, 5});
  CHECK_FALSE(none);
  CHECK(none.message() ==
        "the topic: wanted exactly 1 message equal to 7:5, found 0 among 4: 5:10, 6:20, 6:20, 8:5");
  const auto twice = expect_published<order>(r, [](const order& o) { return o.id == 6; });
  CHECK_FALSE(twice);
  CHECK(twice.message() ==
        "the topic: wanted exactly 1 message that the predicate accepts, found 2 among 4: 5:10, 6:20, 6:20, "
        "8:5");
}

TEST_CASE("as often as is said") {
  topic<order> orders(64);
  const recorder<order> r(orders);
  publish(orders, order{5, 10}, order{6, 20}, order{6, 20});
  const order six{6, 20};
  const std::string rest = " equal to 6:20, found 2 among 3: 5:10, 6:20, 6:20";
  CHECK(expect_published(r, six, 2));
  CHECK(expect_published(r, six, 2).message() == "the topic: wanted exactly 2 messages" + rest);
  CHECK_FALSE(expect_published(r, six, 3));
  CHECK_FALSE(expect_published(r, six, 0));
  CHECK(expect_published(r, order{1, 1}, 0));
  CHECK(expect_published(r, six, at_least(2)));
  CHECK(expect_published(r, six, at_least(2)).message() == "the topic: wanted at least 2 messages" + rest);
  CHECK_FALSE(expect_published(r, six, at_least(3)));
  CHECK(expect_published(r, six, at_most(2)));
  CHECK_FALSE(expect_published(r, six, at_most(1)));
  CHECK(expect_published(r, six, at_most(1)).message() == "the topic: wanted at most 1 messages" + rest);
  CHECK(expect_published(r, six, times(1, 2)));
  CHECK_FALSE(expect_published(r, six, times(3, 4)));
  CHECK(expect_published(r, six, times(3, 4)).message() == "the topic: wanted 3 to 4 messages" + rest);
}

TEST_CASE("nothing") {
  topic<int> numbers(64);
  recorder<int> r(numbers);
  CHECK(expect_nothing_published(r));
  CHECK(expect_nothing_published(r).message() == "the topic: wanted no messages, found 0");
  publish(numbers, 5, 6);
  CHECK_FALSE(expect_nothing_published(r));
  CHECK(expect_nothing_published(r).message() == "the topic: wanted no messages, found 2: 5, 6");
  r.clear();
  CHECK(expect_nothing_published(r));
}

TEST_CASE("in order, where others may come in between") {
  topic<int> numbers(64);
  const recorder<int> r(numbers);
  publish(numbers, 1, 2, 3, 2, 4);
  const auto even = [](int n) { return n % 2 == 0; };
  CHECK(expect_published_in_order(r, 1, 3, 4));
  CHECK(expect_published_in_order(r, 1));
  CHECK(expect_published_in_order<int>(r, even, even, even));
  CHECK(expect_published_in_order(r, 2, 2, even));
  CHECK_FALSE(expect_published_in_order(r, even, even, even, even));
  CHECK_FALSE(expect_published_in_order(r, 3, 1));
  const auto wrong = expect_published_in_order(r, even, 3, 1);
  CHECK_FALSE(wrong);
  CHECK(wrong.message() ==
        "the topic: wanted in this order messages that the predicate accepts, then equal to 3, then equal to "
        "1; found "
        "the first 2 of 3 among 5: 1, 2, 3, 2, 4");
}

TEST_CASE("what a topic of a bus still keeps, without a recorder") {
  stepped_bus t;
  auto orders = t->topic<order>("orders.paid").value();
  CHECK(expect_nothing_published<order>(t.bus(), "orders.paid"));
  publish(*orders, order{1, 10}, order{2, 20});
  const auto v = expect_published<order>(t.bus(), "orders.paid", order{1, 10});
  CHECK(v);
  CHECK(v.message() ==
        "\"orders.paid\": wanted exactly 1 message equal to 1:10, found 1 among 2: 1:10, 2:20");
  CHECK(expect_published<order>(t.bus(), "orders.paid", [](const order& o) { return o.cents > 5; }, 2));
  CHECK(expect_published_in_order<order>(t.bus(), "orders.paid", order{1, 10}, order{2, 20}));
  CHECK_FALSE(expect_published_in_order<order>(t.bus(), "orders.paid", order{2, 20}, order{1, 10}));
  CHECK_FALSE(expect_nothing_published<order>(t.bus(), "orders.paid"));
}

TEST_CASE("a topic that is not there, or of another type, is no success") {
  stepped_bus t;
  REQUIRE(t->topic<int>("numbers").ok());
  const auto misspelt = expect_nothing_published<int>(t.bus(), "nubmers");
  CHECK_FALSE(misspelt);
  CHECK(misspelt.message() == "there is no topic \"nubmers\" on the bus");
  CHECK_FALSE(expect_published<int>(t.bus(), "nubmers", 1, 0));
  CHECK(t->snapshot().topics.size() == 1);
  const auto other = expect_nothing_published<double>(t.bus(), "numbers");
  CHECK_FALSE(other);
  CHECK_THAT(other.message(), Catch::Contains("int") && Catch::Contains("double"));
}

TEST_CASE("what is not kept any more leaves nothing to say") {
  stepped_bus t;
  auto numbers = t->topic<int>("numbers", {.capacity = 64, .log = {.segment = 16}}).value();
  const recorder<int> r(t.bus(), "numbers");
  for (int i = 0; i < 1000; ++i) publish(*numbers, i);
  for (const auto& v : {expect_published<int>(t.bus(), "numbers", 999), expect_published(r, 999),
                        expect_published_in_order<int>(t.bus(), "numbers", 998, 999)}) {
    CHECK_FALSE(v);
    CHECK_THAT(v.message(), Catch::Contains("are not kept any more, so that nobody can tell"));
  }
}

TEST_CASE("only some are printed, and some can not be") {
  topic<int> numbers(64);
  const recorder<int> r(numbers);
  publish(numbers, 0, 1, 2, 3, 4, 5, 6, 7);
  CHECK(expect_nothing_published(r).message() ==
        "the topic: wanted no messages, found 8: 0, 1, 2, 3, 4, 5, 6, 7");
  publish(numbers, 8);
  CHECK(expect_nothing_published(r).message() ==
        "the topic: wanted no messages, found 9: 0, 1, 2, 3, 4, 5, 6, 7, ...");

  topic<silent> silents(64);
  const recorder<silent> s(silents);
  publish(silents, silent{1}, silent{2});
  CHECK(expect_published(s, silent{3}).message() ==
        "the topic: wanted exactly 1 message equal to the one given, found 0 among 2");

  topic<std::string> words(64);
  const recorder<std::string> w(words);
  publish(words, "a b", "");
  CHECK(expect_published(w, "a b").message() ==
        "the topic: wanted exactly 1 message equal to \"a b\", found 1 among 2: \"a b\", \"\"");

  topic<colour> colours(64);
  const recorder<colour> c(colours);
  publish(colours, colour::red);
  CHECK(expect_nothing_published(c).message() == "the topic: wanted no messages, found 1: 3");

  topic<bool> truths(64);
  const recorder<bool, int> n(truths, [](bool b) { return b ? 1 : 0; });
  publish(truths, true);
  CHECK(expect_published(n, 1));
}

TEST_CASE("what cannot be copied") {
  stepped_bus t;
  auto parcels = t->topic<std::unique_ptr<int>>("parcels").value();
  REQUIRE(parcels->publish(std::make_unique<int>(7)) == outcome::ok);
  using parcel = std::unique_ptr<int>;
  CHECK(expect_published<parcel>(t.bus(), "parcels", [](const parcel& p) { return *p == 7; }));
  CHECK_FALSE(expect_published<parcel>(t.bus(), "parcels", [](const parcel& p) { return *p == 8; }));
}

}  // namespace
