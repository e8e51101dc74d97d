// A coroutine that nobody awaits.
#pragma once

#include <coroutine>
#include <exception>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Runs until it first waits, and goes on by itself; its frame goes when it has returned. It must not throw.
struct unattended {
  struct promise_type {
    static unattended get_return_object() noexcept { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    [[noreturn]] static void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
