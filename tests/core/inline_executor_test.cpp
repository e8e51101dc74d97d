// The executor that does not wait.
#include "millrace/core/inline_executor.hpp"

#include <concepts>
#include <coroutine>

#include "support/catch.hpp"
#include "support/coroutine.hpp"

static_assert(std::invocable<const millrace::inline_executor&, std::coroutine_handle<>>);

TEST_CASE("inline_executor resumes at once, in the call") {
  bool resumed = false;
  const auto one = [&]() -> support::coroutine {
    co_await std::suspend_always();
    resumed = true;
  };
  const support::coroutine c = one();
  CHECK_FALSE(resumed);
  millrace::inline_executor()(c.handle());
  CHECK(resumed);
  CHECK(c.done());
}
