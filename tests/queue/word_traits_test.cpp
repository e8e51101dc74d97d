// Which types travel as words, and that they arrive whole.
#include "millrace/queue/word_traits.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "millrace/queue/mpmc_queue.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"

namespace {

using millrace::word_like;
using millrace::word_traits;
using support::instances;

/// An intrusive reference: eight bytes with a copy that counts.
struct node {
  int references = 0;
};
class node_ref {
 public:
  explicit node_ref(node* n) : node_(n) { ++node_->references; }
  node_ref(const node_ref& o) : node_ref(o.node_) {}
  node_ref(node_ref&& o) noexcept : node_(std::exchange(o.node_, nullptr)) {}
  node_ref& operator=(node_ref o) noexcept {
    std::swap(node_, o.node_);
    return *this;
  }
  ~node_ref() {
    if (node_ != nullptr) --node_->references;
  }
  [[nodiscard]] node* get() const noexcept { return node_; }
  void detach() noexcept { node_ = nullptr; }
  static node_ref attach(node* n) noexcept {
    node_ref r;
    r.node_ = n;
    return r;
  }

 private:
  node_ref() = default;
  node* node_ = nullptr;
};

struct lacks_release {
  lacks_release(const lacks_release&) {}
};
struct may_throw {
  may_throw(const may_throw&) {}
};

struct counting_deleter {
  void operator()(int* p) const {
    ++deleted;
    delete p;
  }
  static inline int deleted = 0;
};
struct stateful_deleter {
  void operator()(int* p) const { delete p; }
  int state = 0;
};
/// A deleter whose pointer is a class.
struct handle_deleter {
  struct pointer {
    pointer(std::nullptr_t = nullptr) {}
    bool operator==(const pointer&) const = default;
  };
  void operator()(pointer) const {}
};

struct odd {
  std::array<unsigned char, 5> bytes;
};
struct no_default {
  explicit no_default(int v) : n(v) {}
  int n;
};
struct only_moves {
  explicit only_moves(int v) : n(v) {}
  only_moves(only_moves&&) = default;
  only_moves& operator=(only_moves&&) = default;
  int n;
};
struct nine {
  std::array<char, 9> bytes;
};
enum class colour : std::uint8_t { red, green };

template <class T>
T there_and_back(const T& value) {
  return word_traits<T>::adopt(word_traits<T>::peek(value));
}

}  // namespace

template <>
struct millrace::word_traits<node_ref> {
  static std::uint64_t peek(const node_ref& r) noexcept { return std::bit_cast<std::uintptr_t>(r.get()); }
  static void release(node_ref& r) noexcept { r.detach(); }
  static node_ref adopt(std::uint64_t w) noexcept { return node_ref::attach(std::bit_cast<node*>(w)); }
};
template <>
struct millrace::word_traits<lacks_release> {
  static std::uint64_t peek(const lacks_release&) noexcept { return 0; }
  static lacks_release adopt(std::uint64_t) noexcept;
};
template <>
struct millrace::word_traits<may_throw> {
  static std::uint64_t peek(const may_throw&) { return 0; }
  static void release(may_throw&) noexcept {}
  static may_throw adopt(std::uint64_t) noexcept;
};

static_assert(word_like<int> && word_like<char> && word_like<double> && word_like<void*> &&
              word_like<colour>);
static_assert(word_like<odd> && word_like<no_default> && word_like<only_moves> && word_like<support::eight>);
static_assert(!word_like<nine> && !word_like<std::string> && !word_like<support::block>);
static_assert(word_like<std::unique_ptr<int>> && word_like<std::unique_ptr<int[]>>);
static_assert(word_like<std::unique_ptr<const int>> && word_like<std::unique_ptr<int, counting_deleter>>);
static_assert(!word_like<std::unique_ptr<int, stateful_deleter>>);
static_assert(!word_like<std::unique_ptr<int, void (*)(int*)>>);
static_assert(!word_like<std::unique_ptr<int, handle_deleter>>);
static_assert(!word_like<std::shared_ptr<int>>);
static_assert(word_like<node_ref>);
static_assert(!word_like<lacks_release> && !word_like<may_throw>,
              "a specialisation must be whole, and noexcept");

TEST_CASE("trivially copyable values come back bit by bit") {
  CHECK(there_and_back(-1) == -1);
  CHECK(there_and_back(std::int64_t{-2}) == -2);
  CHECK(there_and_back(1.5) == 1.5);
  CHECK(there_and_back('x') == 'x');
  CHECK(there_and_back(true));
  CHECK(there_and_back(colour::green) == colour::green);
  CHECK(there_and_back(odd{{1, 2, 3, 4, 255}}).bytes == std::array<unsigned char, 5>{1, 2, 3, 4, 255});
  CHECK(there_and_back(no_default(7)).n == 7);
  CHECK(there_and_back(only_moves(8)).n == 8);
  int here = 0;
  CHECK(there_and_back(&here) == &here);
  // What a smaller type does not fill is zero, so equal values are equal words.
  CHECK(word_traits<std::uint8_t>::peek(255) == 255u);
}

TEST_CASE("a unique_ptr travels as its pointer, and owns again on arrival") {
  instances::reset();
  {
    auto p = std::make_unique<support::copied>(5);
    support::copied* const raw = p.get();
    using traits = word_traits<std::unique_ptr<support::copied>>;
    const std::uint64_t word = traits::peek(p);
    CHECK(p.get() == raw);  // a look takes nothing
    traits::release(p);
    CHECK(p == nullptr);
    CHECK(instances::live == 1);
    const auto q = traits::adopt(word);
    CHECK(q.get() == raw);
  }
  CHECK(instances::live == 0);
  CHECK(instances::broken == 0);
  CHECK(there_and_back(std::unique_ptr<int>()) == nullptr);
}

TEST_CASE("a null pointer is a value like any other") {
  millrace::mpmc_queue<std::unique_ptr<int>> q(2);
  REQUIRE(q.try_push(nullptr));
  REQUIRE(q.try_push(std::make_unique<int>(1)));
  auto first = q.try_pop();
  REQUIRE(first.has_value());
  CHECK(*first == nullptr);
  CHECK(**q.try_pop() == 1);
  millrace::mpmc_queue<int*> raw(2);
  REQUIRE(raw.try_push(nullptr));
  CHECK(raw.try_pop() == nullptr);
  CHECK(raw.try_pop() == std::nullopt);
}

TEST_CASE("the deleter's type runs on what is popped and on what is left") {
  counting_deleter::deleted = 0;
  {
    millrace::mpmc_queue<std::unique_ptr<int, counting_deleter>> q(4);
    for (int i = 0; i < 3; ++i) REQUIRE(q.try_push(std::unique_ptr<int, counting_deleter>(new int(i))));
    CHECK(counting_deleter::deleted == 0);
    CHECK(**q.try_pop() == 0);
    CHECK(counting_deleter::deleted == 1);
  }
  CHECK(counting_deleter::deleted == 3);
  millrace::mpmc_queue<std::unique_ptr<int[]>> arrays(2);
  REQUIRE(arrays.try_push(std::make_unique<int[]>(100)));
}

TEST_CASE("a specialised type travels as a word: pushed by copy, by move, refused, left behind") {
  node n;
  {
    millrace::mpmc_queue<node_ref> q(2);
    node_ref mine(&n);
    CHECK(n.references == 1);
    REQUIRE(q.try_push(std::as_const(mine)));
    CHECK(n.references == 2);
    CHECK(mine.get() == &n);
    REQUIRE(q.try_push(std::move(mine)));
    CHECK(n.references == 2);
    CHECK(mine.get() == nullptr);  // NOLINT(bugprone-use-after-move): what the move left is the point
    node_ref refused(&n);
    CHECK_FALSE(q.try_push(std::as_const(refused)));
    CHECK_FALSE(q.try_push(std::move(refused)));
    CHECK(refused.get() == &n);
    CHECK(n.references == 3);
    CHECK(q.try_pop()->get() == &n);
    CHECK(n.references == 2);
  }
  CHECK(n.references == 0);
}
