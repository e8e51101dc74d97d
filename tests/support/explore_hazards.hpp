// The hazard pointers of a world under the model checker: made anew for each execution, a slot for each thread from the
// start, so that only protecting and reclaiming are explored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include "millrace/core/detail/hazards.hpp"
#include "support/explore.hpp"

template <>
struct millrace::detail::hazard_home<explore::sync> {
  using pool = hazards<explore::sync, explore::most_threads>;
  using slot = pool::slot;

  static void prepare() noexcept { static_cast<void>(all()); }
  static pool& all() {
    // why: not destroyed; the atomics of an execution that is over are gone
    alignas(pool) static std::byte storage[sizeof(pool)];
    static pool* there = nullptr;
    static std::uint64_t execution = 0;
    if (execution != explore::detail::engine::execution) {
      execution = explore::detail::engine::execution;
      there = ::new (static_cast<void*>(storage)) pool;
      for (slot*& each : slots()) each = &there->take();
    }
    return *there;
  }
  static slot& take() { return all().take(); }
  static slot*& mine() {
    static_cast<void>(all());
    return slots()[static_cast<std::size_t>(explore::detail::now().running)];
  }

 private:
  static std::array<slot*, explore::most_threads>& slots() {
    static std::array<slot*, explore::most_threads> all{};
    return all;
  }
};
