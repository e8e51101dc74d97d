// millrace/queue/options.hpp - what can be chosen about a queue at compile time, in any order and number.
//
// Use it when : a queue's allocator, backoff or patience is not to be the default:
//               `mpmc_queue<T, use_allocator<A>, use_backoff<no_backoff>>`.
// Use instead : the defaults, which are measured.
// Threads     : types only.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : an option that is unknown, or given twice, does not compile.
// Exceptions  : none.
// Memory      : none.
// Cost        : none.
// Source      : ours.
// Checked by  : tests/queue/options_test.cpp
//
// Example:
//   millrace::mpmc_queue<order, millrace::use_allocator<arena_allocator<order>>> q(4096);
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "millrace/core/backoff.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/sync.hpp"

namespace millrace {
inline namespace v0 {

namespace detail {
struct allocator_option {};
struct backoff_option {};
struct patience_option {};
struct sync_option {};
struct first_position_option {};
}  // namespace detail

/// Where the cells come from. Default: std::allocator.
template <class Allocator>
struct use_allocator {
  using option = detail::allocator_option;
  using type = Allocator;
};

/// What a thread does after a lost compare-and-swap: `exponential_backoff<First, Most>` (default), `no_backoff`.
template <class Backoff>
struct use_backoff {
  using option = detail::backoff_option;
  using type = Backoff;
};

/// How many pauses a thread waits for one that is inside a T's constructor or move, before it goes around.
template <unsigned Pauses>
struct use_patience {
  using option = detail::patience_option;
  using type = std::integral_constant<unsigned, Pauses>;
};

/// The seam to the machine, see core/sync.hpp. For tests.
template <class Sync>
struct use_sync {
  using option = detail::sync_option;
  using type = Sync;
};

/// The number of the queue's first position, to begin near the end of their range. For tests.
template <std::uint64_t Position>
struct use_first_position {
  using option = detail::first_position_option;
  using type = std::integral_constant<std::uint64_t, Position>;
};

namespace detail {

/// The `type` of the first of `Options...` that is of kind `Kind`, or `Default`.
template <class Kind, class Default, class... Options>
struct pick {
  using type = Default;
};
template <class Kind, class Default, class First, class... Rest>
struct pick<Kind, Default, First, Rest...> : pick<Kind, Default, Rest...> {};
template <class Kind, class Default, class First, class... Rest>
  requires std::is_same_v<typename First::option, Kind>
struct pick<Kind, Default, First, Rest...> {
  using type = typename First::type;
  static_assert(!(std::is_same_v<typename Rest::option, Kind> || ...), "queue: an option is given twice");
};

template <class Option>
concept queue_option = requires { typename Option::option; };

template <class T, queue_option... Options>
struct queue_options {
  using allocator = typename pick<allocator_option, std::allocator<T>, Options...>::type;
  using backoff = typename pick<backoff_option, exponential_backoff<>, Options...>::type;
  using sync = typename pick<sync_option, std_sync, Options...>::type;
  static constexpr unsigned patience =
      pick<patience_option, std::integral_constant<unsigned, 64>, Options...>::type::value;
  static constexpr std::uint64_t first_position =
      pick<first_position_option, std::integral_constant<std::uint64_t, 0>, Options...>::type::value;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
