#include "millrace/flow/executor.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/no_threads.hpp"
#include "support/watchdog.hpp"

TEST_CASE("an executor with one thread runs tasks in order, in that thread") {
  std::vector<int> seen;
  std::thread::id where;
  {
    millrace::thread_executor one(1);
    for (int i = 0; i < 1000; ++i) {
      one.post([&, i] {
        seen.push_back(i);
        where = std::this_thread::get_id();
      });
    }
  }  // stops, after all of them
  REQUIRE(seen.size() == 1000);
  for (int i = 0; i < 1000; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
  CHECK(where != std::this_thread::get_id());
}

TEST_CASE("an executor with several threads runs tasks beside each other") {
  std::latch all_there(3);
  millrace::thread_executor three(3);
  for (int i = 0; i < 3; ++i) {
    three.post([&] { all_there.arrive_and_wait(); });
  }
  all_there.wait();
  three.stop();
  CHECK(three.size() == 0);
}

TEST_CASE("a task may post") {
  std::atomic<int> depth{0};
  std::latch done(1);
  millrace::thread_executor two(2);
  struct again {
    millrace::executor& to;
    std::atomic<int>& depth;
    std::latch& done;
    void operator()() const {
      if (++depth == 100) return done.count_down();
      to.post(*this);
    }
  };
  two.post(again{two, depth, done});
  done.wait();
  CHECK(depth == 100);
}

TEST_CASE("an executor is resized while it works") {
  std::atomic<int> n{0};
  millrace::thread_executor workers(1);
  for (const std::size_t size : {4U, 2U, 1U, 3U, 1U}) {
    workers.resize(size);
    CHECK(workers.size() == size);
    for (int i = 0; i < 100; ++i) workers.post([&] { ++n; });
  }
  // With the one that is left everything is still done.
  workers.stop();
  CHECK(n == 500);

  std::latch all_there(4);
  millrace::thread_executor grown(1);
  grown.resize(4);
  for (int i = 0; i < 4; ++i) {
    grown.post([&] { all_there.arrive_and_wait(); });
  }
  all_there.wait();
}

TEST_CASE("a task that is posted after the stop is run by who posts it") {
  millrace::thread_executor workers(2);
  workers.stop();
  workers.stop();
  std::thread::id where;
  workers.post([&] { where = std::this_thread::get_id(); });
  CHECK(where == std::this_thread::get_id());
  workers.resize(3);
  CHECK(workers.size() == 0);
}

TEST_CASE("an empty task is nothing to do: nobody leaves for it, and nothing that comes later is lost") {
  std::atomic<int> n{0};
  millrace::thread_executor workers(2);
  for (int i = 0; i < 100; ++i) {
    workers.post({});
    workers.post([&] { ++n; });
  }
  workers.post(nullptr);
  workers.post(std::function<void()>());
  workers.resize(1);
  workers.post({});
  workers.post([&] { ++n; });
  workers.stop();
  CHECK(n == 101);
  workers.post({});
}

TEST_CASE("a number of threads out of its range is refused, by name") {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1025}, ~std::size_t{0}}) {
    CHECK_THROWS_WITH(millrace::thread_executor(n), Catch::Contains("threads must be 1 to 1024"));
  }
}

TEST_CASE("a system without threads is told of, and those that there are go on") {
  const support::watchdog guard("executor, no threads");
  if constexpr (support::threads_can_be_refused) {
    std::atomic<int> n{0};
    millrace::thread_executor workers(1);
    {
      const support::no_threads none;
      CHECK_THROWS_AS(millrace::thread_executor(2), std::system_error);
      CHECK_THROWS_AS(workers.resize(3), std::system_error);
    }
    CHECK(workers.size() == 1);
    workers.post([&] { ++n; });
    workers.resize(2);
    workers.stop();
    CHECK(n == 1);
  }
}

TEST_CASE("a thread that cannot be made, whichever it is, leaves nobody to wait for in vain") {
  const support::watchdog guard("executor, no memory for a thread", std::chrono::seconds(20));
  const auto refused = [](long n, auto f) {
    support::allocation_to_refuse = n;
    try {
      f();
    } catch (const std::bad_alloc&) {
      return true;
    }
    return support::allocation_to_refuse.exchange(0) <= 0;
  };
  if constexpr (support::allocations_can_be_refused) {
    long made = 0;
    while (refused(made + 1, [] { const millrace::thread_executor three(3); })) ++made;
    CHECK(made >= 6);  // two of a thread, at least
    long grown = 0;
    for (bool some = true; some; ++grown) {
      std::atomic<int> n{0};
      millrace::thread_executor workers(1);
      some = refused(grown + 1, [&] { workers.resize(3); });
      CHECK(workers.size() >= 1);
      CHECK(workers.size() <= 3);
      workers.post([&] { ++n; });
      workers.stop();
      CHECK(n == 1);
    }
    CHECK(grown >= 4);
  }
}

TEST_CASE("a coroutine is resumed by an executor") {
  std::thread::id where;
  std::latch done(1);
  millrace::thread_executor one(1);
  struct fire_and_forget {
    struct promise_type {
      static fire_and_forget get_return_object() noexcept { return {}; }
      static std::suspend_never initial_suspend() noexcept { return {}; }
      static std::suspend_never final_suspend() noexcept { return {}; }
      static void return_void() noexcept {}
      static void unhandled_exception() noexcept { std::terminate(); }
    };
  };
  struct hop {
    millrace::post_to post;
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const noexcept { post(h); }
    static void await_resume() noexcept {}
  };
  [](millrace::executor& to, std::thread::id& id, std::latch& end) -> fire_and_forget {
    co_await hop{millrace::post_to{to}};
    id = std::this_thread::get_id();
    end.count_down();
  }(one, where, done);
  done.wait();
  CHECK(where != std::this_thread::get_id());
}
