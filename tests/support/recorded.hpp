// A queue in a world of the model checker, every verb of which is recorded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "millrace/core/outcome.hpp"
#include "millrace/queue/channel_access.hpp"
#include "support/explore.hpp"
#include "support/small_history.hpp"

namespace model {

template <class Queue>
struct recorded {
  using access = millrace::channel_access;

  Queue q;
  explore::small_history history;

  template <class... Sizes>
  explicit recorded(explore::small_history h, Sizes... sizes)
      : q(static_cast<std::size_t>(sizes)...), history(std::move(h)) {}

  millrace::outcome push(std::uint64_t v) {
    return history.record(explore::verb::push, v, [&](std::uint64_t) {
      typename Queue::value_type value(v);
      const millrace::outcome result = access::offer(q, std::move(value));
      if (result != millrace::outcome::ok) {
        explore::check(std::uint64_t(value) == v, "a refused value is untouched");
      }
      return result;
    });
  }
  millrace::outcome pop() {
    return history.record(explore::verb::pop, 0, [&](std::uint64_t& v) {
      return access::take(q, [&](typename Queue::value_type&& value) { v = std::uint64_t(value); });
    });
  }
  void close() {
    std::ignore = history.record(explore::verb::close, 0, [&](std::uint64_t) {
      access::close(q);
      return millrace::outcome::ok;
    });
  }
  void drain() {
    while (pop() == millrace::outcome::ok) {
    }
  }
};

}  // namespace model
