// One at a time has it; and whoever has to wait for it for long sleeps. That is measured, so the test really waits.
#include "millrace/flow/detail/brief_mutex.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/used_time.hpp"
#include "support/watchdog.hpp"

namespace {
using namespace std::chrono_literals;
using millrace::detail::brief_mutex;
}  // namespace

TEST_CASE("one at a time has it") {
  const support::watchdog guard("brief mutex");
  constexpr int threads = 4;
  constexpr int times = 20'000;
  brief_mutex mutex;
  int count = 0;
  {
    std::vector<std::jthread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&] {
        for (int i = 0; i < times; ++i) {
          const std::lock_guard lock(mutex);
          ++count;
        }
      });
    }
  }
  CHECK(count == threads * times);
}

TEST_CASE("who waits for it for a second sleeps and does not have it: under 5 ms of processor time") {
  const support::watchdog guard("brief mutex, held for long", std::chrono::seconds(20));
  brief_mutex mutex;
  mutex.lock();
  CHECK_FALSE(mutex.try_lock());
  std::atomic<bool> has_it = false;
  std::jthread waiting([&] {
    const std::lock_guard lock(mutex);
    has_it = true;
  });
  CHECK(support::used_in_a_second_at_rest() < 5ms);
  CHECK_FALSE(has_it);
  mutex.unlock();
  waiting.join();
  CHECK(has_it);
}
