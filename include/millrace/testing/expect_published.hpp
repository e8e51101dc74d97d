// millrace/testing/expect_published.hpp - expectations about what is published: this, so often, in this order, or nothing.
//
// Each looks at a recorder, or at what a topic of a bus still keeps, and answers with a verdict. What is wanted is a value, by ==, or a
// predicate of a message.
//
// Use it when : a test's result is what has been published.
// Use instead : recorder::messages(), to compare all of it with a container.
// Threads     : as recorder.
// Order       : that of the log. In order: others may come in between.
// Progress    : reads what is there, and does not wait.
// Errors      : a verdict is bad also if messages are not kept any more, or if there is no topic of that name and type.
// Exceptions  : std::bad_alloc; what a predicate throws.
// Memory      : that of the text.
// Cost        : reads everything from the beginning, each time.
// Source      : ours; exactly once by default, as in GoogleMock.
// Checked by  : tests/testing/expect_published_test.cpp, tests/testing/with_gtest_test.cpp
//
// Example:
//   REQUIRE(expect_published<order>(t.bus(), "orders.paid", order{7}));                                    // once
//   REQUIRE(expect_published(paid, [](const order& o) { return o.cents > 100; }, at_least(1)));
//   REQUIRE(expect_published_in_order<order>(t.bus(), "orders.paid", order{7}, order{8}));
//   REQUIRE(expect_nothing_published<order>(t.bus(), "orders.cancelled"));
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "millrace/bus/bus.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/testing/detail/findings.hpp"
#include "millrace/testing/recorder.hpp"
#include "millrace/testing/verdict.hpp"
#include "millrace/topic/options.hpp"

namespace millrace {
inline namespace v0 {
namespace testing {

/// How often; a number is exactly that many times.
struct times {
  constexpr times(std::size_t exactly) noexcept  // NOLINT(google-explicit-constructor): a number is passed
      : least(exactly), most(exactly) {}
  constexpr times(std::size_t from, std::size_t to) noexcept : least(from), most(to) {}

  std::size_t least;
  std::size_t most;
};
[[nodiscard]] constexpr times at_least(std::size_t n) noexcept { return {n, unlimited}; }
[[nodiscard]] constexpr times at_most(std::size_t n) noexcept { return {0, n}; }

}  // namespace testing

namespace detail {

/// What is looked at: a recorder.
template <class T, class Kept>
class recorded {
 public:
  using message = Kept;
  explicit recorded(const testing::recorder<T, Kept>& from) noexcept : from_(from) {}
  template <class Each, class Then>
  [[nodiscard]] testing::verdict read(Each each, Then then) const {
    for (const Kept& m : from_.messages()) each(m);
    return then(from_.name(), from_.missed());
  }

 private:
  const testing::recorder<T, Kept>& from_;
};

/// Or a topic by its name.
template <class T, clock Clock>
class kept_on_bus {
 public:
  using message = T;
  kept_on_bus(basic_bus<Clock>& bus, std::string_view name) noexcept : bus_(bus), name_(name) {}
  template <class Each, class Then>
  [[nodiscard]] testing::verdict read(Each each, Then then) const {
    const std::string name = '"' + std::string(name_) + '"';
    bool is_there = false;
    for (const topic_info& t : bus_.snapshot().topics) is_there = is_there || t.name == name_;
    if (!is_there) return {false, "there is no topic " + name + " on the bus"};
    auto found = bus_.template topic<T>(name_);
    if (!found.ok()) return {false, std::string(found.status().message())};
    auto from = (*found)->subscribe({.from = earliest, .when_full = overrun::drop_oldest});
    const std::uint64_t begin = from.position();
    while (const T* const m = from.try_next()) each(*m);
    return then(name, begin + from.missed());
  }

 private:
  basic_bus<Clock>& bus_;
  std::string_view name_;
};

template <class Where, class What>
[[nodiscard]] testing::verdict count_published(const Where& where, What& what, testing::times n) {
  using message = typename Where::message;
  findings f;
  return where.read([&](const message& m) { f.note(m, is_sought(what, m)); },
                    [&](const std::string& name, std::uint64_t missed) {
                      return f.count(name, description<message>(what), n.least, n.most, missed);
                    });
}
template <class Where>
[[nodiscard]] testing::verdict nothing_published(const Where& where) {
  findings f;
  return where.read(
      [&](const auto& m) { f.note(m, true); },
      [&](const std::string& name, std::uint64_t missed) { return f.count(name, {}, 0, 0, missed); });
}
template <class Where, class... What>
[[nodiscard]] testing::verdict published_in_order(const Where& where, What&... what) {
  using message = typename Where::message;
  findings f;
  const auto is_next = [&](const message& m) {
    std::size_t i = 0;
    return (... || (i++ == f.found() && is_sought(what, m)));
  };
  return where.read([&](const message& m) { f.note(m, is_next(m)); },
                    [&](const std::string& name, std::uint64_t missed) {
                      std::string list;
                      ((list += (list.empty() ? "" : ", then ") + description<message>(what)), ...);
                      return f.order(name, list, sizeof...(What), missed);
                    });
}

}  // namespace detail

namespace testing {

template <class T, class Kept, class What>
[[nodiscard]] verdict expect_published(const recorder<T, Kept>& on, What what, times n = 1) {
  return detail::count_published(detail::recorded(on), what, n);
}
template <class T, clock Clock, class What>
[[nodiscard]] verdict expect_published(basic_bus<Clock>& bus, std::string_view topic, What what,
                                       times n = 1) {
  return detail::count_published(detail::kept_on_bus<T, Clock>(bus, topic), what, n);
}

template <class T, class Kept>
[[nodiscard]] verdict expect_nothing_published(const recorder<T, Kept>& on) {
  return detail::nothing_published(detail::recorded(on));
}
template <class T, clock Clock>
[[nodiscard]] verdict expect_nothing_published(basic_bus<Clock>& bus, std::string_view topic) {
  return detail::nothing_published(detail::kept_on_bus<T, Clock>(bus, topic));
}

template <class T, class Kept, class... What>
  requires(sizeof...(What) > 0)
[[nodiscard]] verdict expect_published_in_order(const recorder<T, Kept>& on, What... what) {
  return detail::published_in_order(detail::recorded(on), what...);
}
template <class T, clock Clock, class... What>
  requires(sizeof...(What) > 0)
[[nodiscard]] verdict expect_published_in_order(basic_bus<Clock>& bus, std::string_view topic, What... what) {
  return detail::published_in_order(detail::kept_on_bus<T, Clock>(bus, topic), what...);
}

}  // namespace testing
}  // namespace v0
}  // namespace millrace
