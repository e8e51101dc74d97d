// millrace/core/inline_executor.hpp - how a coroutine goes on when what it waited for has come.
//
// Use it when : you name the executor of a co_await. An executor is called with the coroutine's handle, in the thread that
//               made it possible, and sees to it that the coroutine is resumed. It must not throw. If the coroutine is
//               destroyed before that, it has to forget the handle.
// Use instead : a callable of your own that posts the handle to a loop or a pool: `[&](auto h) { post(io, h); }`.
// Threads     : the coroutine goes on in the thread that made it possible, inside that one's call: do not block there.
// Order       : what was written before that call is visible to the coroutine.
// Progress    : that of the coroutine.
// Errors      : none.
// Exceptions  : none.
// Memory      : none.
// Cost        : an indirect call.
// Source      : WG21 P0443 for the name.
// Checked by  : tests/core/inline_executor_test.cpp
//
// Example:
//   co_await ch.async_pop(millrace::inline_executor(), stop);   // the default, named to pass what comes after it
#pragma once

#include <coroutine>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// Resumes a coroutine at once.
struct inline_executor {
  void operator()(std::coroutine_handle<> h) const { h.resume(); }
};

}  // namespace v0
}  // namespace millrace
