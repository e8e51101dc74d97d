#include "millrace/flow/executor.hpp"

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"

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

TEST_CASE("a number of threads out of its range is refused, by name") {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1025}, ~std::size_t{0}}) {
    CHECK_THROWS_WITH(millrace::thread_executor(n), Catch::Contains("threads must be 1 to 1024"));
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
