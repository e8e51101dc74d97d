// A coroutine and an executor for worlds of the model checker.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

#include "support/explore.hpp"

namespace explore {

/// Starts at once, and stays at its end until it is destroyed.
struct coroutine {
  struct promise_type {
    coroutine get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<> handle;
};

/// An executor that keeps the handle until somebody runs it.
struct shelf {
  mutex lock;
  std::coroutine_handle<> handle;
  auto executor() {
    return [this](std::coroutine_handle<> h) {
      lock.lock();
      handle = h;
      lock.unlock();
    };
  }
  std::coroutine_handle<> take() {
    lock.lock();
    const auto h = std::exchange(handle, nullptr);
    lock.unlock();
    return h;
  }
};

}  // namespace explore
