#include "millrace/delivery/message.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::message;
using millrace::properties_of;

}  // namespace

TEST_CASE("a message without properties is a value and a pointer") {
  const message<int> plain = 5;
  CHECK(plain.value == 5);
  CHECK(plain.properties() == nullptr);
  CHECK(properties_of(plain) == nullptr);
  CHECK(properties_of(5) == nullptr);
  STATIC_REQUIRE(sizeof(message<std::uint64_t>) == 2 * sizeof(void*));
}

TEST_CASE("properties are copied and moved with it") {
  message<std::string> m(
      "order", {.id = "17", .key = "ada", .tag = "eu", .priority = 3, .expires = 5s, .not_before = 2s});
  const message<std::string> copy = m;
  CHECK(copy.value == "order");
  REQUIRE(copy.properties() != nullptr);
  CHECK(copy.properties() != m.properties());
  CHECK(copy.properties()->id == "17");
  CHECK(copy.properties()->key == "ada");
  CHECK(copy.properties()->tag == "eu");
  CHECK(copy.properties()->priority == 3);
  CHECK(copy.properties()->expires == 5s);
  CHECK(copy.properties()->not_before == 2s);
  CHECK(copy.properties()->trace.flags == 0);
  const auto* const where = m.properties();
  message<std::string> moved = std::move(m);
  CHECK(moved.properties() == where);
  moved = copy;
  CHECK(moved.properties()->id == "17");
  moved = message<std::string>("plain");
  CHECK(moved.properties() == nullptr);
}

TEST_CASE("a value that only moves") {
  using owner = message<std::unique_ptr<int>>;
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<owner>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<owner>);
  owner m(std::make_unique<int>(7), {.tag = "x"});
  const owner n = std::move(m);
  CHECK(*n.value == 7);
  CHECK(n.properties()->tag == "x");
}
