// The callable held in place: what it takes, calls, moves and destroys.
#include "millrace/core/function.hpp"

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "support/allocations.hpp"
#include "support/catch.hpp"

namespace {

using millrace::function;

int twice(int n) { return 2 * n; }

struct alive {
  static inline int count = 0;
  alive() { ++count; }
  alive(alive&&) noexcept { ++count; }
  alive(const alive&) noexcept { ++count; }
  ~alive() { --count; }
  int operator()(int n) const { return n + 1; }
};
struct account {
  long balance = 5;
  long plus(int n) const { return balance + n; }
};

static_assert(!std::is_copy_constructible_v<function<void()>> &&
              !std::is_copy_assignable_v<function<void()>>);
static_assert(std::is_nothrow_move_constructible_v<function<void()>>);
static_assert(std::is_nothrow_move_assignable_v<function<void()>>);
static_assert(!std::is_constructible_v<function<void(int)>, void (*)(std::string)>, "it could not be called");
static_assert(!std::is_constructible_v<function<int()>, void (*)()>, "it gives nothing back");
static_assert(sizeof(function<void(), 32>) <= 32 + 2 * sizeof(void*) + alignof(std::max_align_t));

}  // namespace

static_assert(!millrace::detail::is_null([] {}), "it turns into a pointer, but is none");
static_assert(!millrace::detail::is_null([](auto&&) {}));
static_assert(!millrace::detail::is_null(twice));
static_assert(!millrace::detail::is_null(&twice));
static_assert(millrace::detail::is_null(static_cast<int (*)(int)>(nullptr)));
static_assert(millrace::detail::is_null(static_cast<long (account::*)(int) const>(nullptr)));

TEST_CASE("empty: from nothing, nullptr, a null pointer, and after being moved from") {
  CHECK_FALSE(function<void()>());
  CHECK_FALSE(function<void()>(nullptr));
  int (*null)(int) = nullptr;
  CHECK_FALSE(function<int(int)>(null));
  long (account::*no_member)(int) const = nullptr;
  CHECK_FALSE(function<long(const account&, int)>(no_member));
  function<int(int)> f = twice;
  CHECK(static_cast<bool>(f));
  function<int(int)> g = std::move(f);
  CHECK_FALSE(f);  // NOLINT(bugprone-use-after-move): what the move left is the point
  CHECK(g(4) == 8);
  CHECK_FALSE(g == nullptr);
  g = nullptr;
  CHECK_FALSE(g);
  CHECK(g == nullptr);
}

TEST_CASE("empty: from a function object that is") {
  CHECK_FALSE(function<int(int)>(std::function<int(int)>()));
  CHECK_FALSE(function<int(int)>(function<int(int), 16>()));
  std::function<int(int)> f;
  CHECK_FALSE(function<int(int)>(f));
  f = twice;
  CHECK(function<int(int)>(f)(4) == 8);
  CHECK(function<int(int)>(function<int(int), 16>(&twice))(4) == 8);
}

TEST_CASE("everything that can be called") {
  CHECK(function<int(int)>(twice)(3) == 6);
  CHECK(function<int(int)>(&twice)(3) == 6);
  int base = 10;
  CHECK(function<int(int)>([&base](int n) { return base + n; })(1) == 11);
  CHECK(function<int(int)>([n = 0](int by) mutable { return n += by; })(7) == 7);
  CHECK(function<long(const account&, int)>(&account::plus)(account{}, 2) == 7);
  CHECK(function<long(account)>(&account::balance)(account{}) == 5);
  CHECK(function<long(short)>(twice)(short{4}) == 8L);
  int calls = 0;
  function<void(int)> drops_the_result = [&calls](int n) { return calls += n; };
  drops_the_result(2);
  drops_the_result(3);
  CHECK(calls == 5);
  const std::function<int(int)> standard = twice;
  CHECK(function<int(int)>(standard)(5) == 10);
}

TEST_CASE("state lasts from call to call, and moves along") {
  function<int()> f = [n = 0]() mutable { return ++n; };
  CHECK(f() == 1);
  CHECK(f() == 2);
  function<int()> g = std::move(f);
  CHECK(g() == 3);
}

TEST_CASE("arguments arrive as they were given") {
  function<std::unique_ptr<int>(std::unique_ptr<int>&&)> pass = [](std::unique_ptr<int>&& p) {
    return std::move(p);
  };
  CHECK(*pass(std::make_unique<int>(3)) == 3);
  function<void(int&)> raise = [](int& n) { ++n; };
  int n = 1;
  raise(n);
  CHECK(n == 2);
  function<int&(int&)> same = [](int& m) -> int& { return m; };
  CHECK(&same(n) == &n);
  function<std::size_t(std::string)> length = [](const std::string& s) { return s.size(); };
  CHECK(length("four") == 4);
}

TEST_CASE("the callable lives exactly as long as it should") {
  CHECK(alive::count == 0);
  {
    function<int(int)> f = alive();
    CHECK(alive::count == 1);
    function<int(int)> g = std::move(f);
    CHECK(alive::count == 1);
    CHECK(g(1) == 2);
    f = alive();
    CHECK(alive::count == 2);
    f = std::move(g);
    CHECK(alive::count == 1);
    auto& self = f;
    f = std::move(self);
    CHECK(alive::count == 1);
    CHECK(f(1) == 2);
    f = twice;
    CHECK(alive::count == 0);
    const alive kept;
    f = kept;
    CHECK(alive::count == 2);
    f = nullptr;
    CHECK(alive::count == 1);
    g = alive();
  }
  CHECK(alive::count == 0);
}

TEST_CASE("an exception passes through") {
  function<void()> f = [] { throw 7; };
  CHECK_THROWS_AS(f(), int);
  CHECK(static_cast<bool>(f));
}

TEST_CASE("nothing is allocated, up to the full capacity") {
  std::array<char, 48> large{};
  large[47] = 'x';
  const long before = support::allocations;
  function<char(), 48> f = [large] { return large[47]; };
  function<char(), 48> g = std::move(f);
  const char last = g();
  const long after = support::allocations;
  CHECK(after == before);
  CHECK(last == 'x');
}
