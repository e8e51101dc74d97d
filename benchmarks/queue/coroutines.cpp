// Handing over to somebody who waits: to a suspended coroutine, and to a thread. In ping-pong two of them hand one value
// to and fro; in single a thread pushes, and a coroutine waits for each value; a thread alone has nobody to wait for.
#include <coroutine>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <utility>

#include "millrace/queue/channel.hpp"
#include "support/suite.hpp"

namespace {

using bench::cell;
using bench::role;
using bench::tally;
using bench::verbs;
using bench::word;
using bench::work;

using channel = millrace::channel<word>;

struct coroutine {
  struct promise_type {
    coroutine get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() { std::terminate(); }
  };
  ~coroutine() { handle.destroy(); }
  std::coroutine_handle<promise_type> handle;
};

struct at_once {
  millrace::inline_executor executor;
  void run() {}
};

/// A loop of the same thread.
struct by_a_loop {
  std::deque<std::coroutine_handle<>> ready;
  struct posting {
    by_a_loop* loop;
    void operator()(std::coroutine_handle<> h) const { loop->ready.push_back(h); }
  };
  posting executor{this};
  void run() {
    while (!ready.empty()) {
      const auto h = ready.front();
      ready.pop_front();
      h.resume();
    }
  }
};

template <class Executor>
coroutine give_and_take(channel& to, channel& from, std::uint64_t items, tally& mine, Executor executor) {
  for (std::uint64_t n = 1; n <= items; ++n) {
    const millrace::outcome o = co_await to.async_push(n, executor);
    if (o != millrace::outcome::ok) break;
    mine.put += n;
    const auto back = co_await from.async_pop(executor);
    mine.got += back.value_or(0);
  }
  to.close();
}
template <class Executor>
coroutine give_back(channel& from, channel& to, Executor executor) {
  while (const auto n = co_await from.async_pop(executor)) {
    const millrace::outcome o = co_await to.async_push(*n, executor);
    if (o != millrace::outcome::ok) break;
  }
}
template <class Executor>
coroutine take(channel& from, tally& mine, Executor executor) {
  while (const auto n = co_await from.async_pop(executor)) mine.got += *n;
}

template <class Resumed>
double sample(const cell& c, std::uint64_t items) {
  bench::bodies all;
  all.push_back([&](tally& mine) {
    channel there(c.places());
    Resumed how;
    if (c.who.what == work::ping_pong) {
      channel back(c.places());
      const coroutine second = give_back(there, back, how.executor);
      const coroutine first = give_and_take(there, back, items, mine, how.executor);
      how.run();
      return;
    }
    const coroutine taking = take(there, mine, how.executor);
    for (std::uint64_t n = 1; n <= items; ++n) {
      if (there.push(n) == millrace::outcome::ok) mine.put += n;
      how.run();
    }
  });
  return bench::race(all);
}

/// As a contender of drive.hpp.
class threads {
 public:
  using value_type = word;
  explicit threads(std::size_t capacity) : channel_(capacity) {}
  void push(word&& v) { static_cast<void>(channel_.push(std::move(v))); }
  void pop(word& v) { static_cast<void>(channel_.pop(v)); }

 private:
  channel channel_;
};

}  // namespace

void bench::add_coroutines(suite& s) {
  for (const work what : {work::single, work::ping_pong}) {
    const cell where{verbs::handing, item<word>::name, main_capacity, {what}};
    s.entries.push_back({where, "coroutines, resumed in the push", role::ours, ::sample<at_once>});
    s.entries.push_back({where, "coroutines, resumed by a loop", role::variant, ::sample<by_a_loop>});
    s.entries.push_back({where, "threads", role::variant, bench::sample<verbs::blocking, threads>});
  }
}
