// Channels without a limit, coroutines and select when memory runs out: each allocation of a scenario is refused in turn,
// what was refused is tried again, and then everything must have come through.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/mpsc_queue.hpp"
#include "millrace/queue/select.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/coroutine.hpp"
#include "support/instances.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using millrace::channel;
using millrace::inline_executor;
using millrace::outcome;
using support::coroutine;
using support::instances;
using support::ints;
using support::watching_sync;

using value = support::moved;

// Catch allocates too: while a refusal is pending nothing is checked, only noted down.
template <class Channel>
class scenario {
 public:
  scenario() { got_.reserve(total); }

  void run() {
    for (auto& ch : channels_) retry([&] { ch.emplace(); });

    // A coroutine takes each value at once; then nobody does, and the queue grows; then it is drained.
    coroutine taking;
    retry([&] { taking = take_all(first()); });
    push(100);
    taking.destroy();
    push(300);
    retry([&] { taking = take_all(first()); });

    // A coroutine pushes, and meets the refusals itself: with one that takes, then alone.
    coroutine giving;
    retry([&] { giving = give(100); });
    lost_ += !giving.done();
    taking.destroy();
    retry([&] { giving = give(300); });
    lost_ += !giving.done();
    while (auto v = first().try_pop()) got_.push_back(v->value());

    // Cancelled, with nothing lost.
    retry([&] { taking = take_all(first(), stop_.get_token()); });
    stop_.request_stop();
    lost_ += !taking.done();

    // A select that waits, behind a coroutine, until another thread pushes for both.
    retry([&] { taking = take_one(first()); });
    may_push_ = true;
    may_push_.notify_one();
    const std::array<Channel*, 3> all = {&*channels_[0], &*channels_[1], &*channels_[2]};
    retry([&] {
      millrace::select(millrace::on_pop_any(
          all, [&](std::size_t, std::optional<value> v) { got_.push_back(v ? v->value() : -1); }));
    });
    other_.join();
    lost_ += !taking.done();

    retry([&] { taking = take_all(first()); });
    push(1);
    first().close();
    lost_ += !taking.done();
  }

  void check() {
    CHECK(lost_ == 0);
    std::sort(got_.begin(), got_.end());
    CHECK(got_ == support::numbers(0, next_));
    // Nobody is in line any more, and all can be used.
    for (auto& ch : {&*channels_[1], &*channels_[2]}) {
      CHECK(ch->push(value(1)) == outcome::ok);
      CHECK(ch->size_approx() == 1);
      CHECK(ch->try_pop()->value() == 1);
    }
    CHECK(first().dropped() == 0);
  }
  [[nodiscard]] int refused() const { return refused_; }

 private:
  static constexpr std::size_t total = 2000;

  Channel& first() { return *channels_[0]; }
  template <class F>
  void retry(F f) {
    for (;;) {
      try {
        return f();
      } catch (const std::bad_alloc&) {
        ++refused_;
      }
    }
  }
  void push(int n) {
    for (int end = next_ + n; next_ != end; ++next_) {
      value v(next_);
      retry([&] {
        lost_ += v.value() != next_;
        lost_ += first().push(std::move(v)) != outcome::ok;
      });
    }
  }
  coroutine give(int n) {
    for (int end = next_ + n; next_ != end; ++next_) {
      value v(next_);
      for (bool done = false; !done;) {
        try {
          const outcome o = co_await first().async_push(std::move(v));
          lost_ += o != outcome::ok;
          done = true;
        } catch (const std::bad_alloc&) {
          ++refused_;
          lost_ += v.value() != next_;
        }
      }
    }
  }
  coroutine take_all(Channel& from, std::stop_token stop = {}) {
    while (auto v = co_await from.async_pop(inline_executor(), stop)) got_.push_back(v->value());
  }
  coroutine take_one(Channel& from) {
    if (auto v = co_await from.async_pop()) got_.push_back(v->value());
  }

  std::array<std::optional<Channel>, 3> channels_;
  std::stop_source stop_;
  ints got_;
  int next_ = 0;
  int lost_ = 0;
  std::atomic<int> refused_{0};
  std::atomic<bool> may_push_{false};
  std::thread other_{[this] {
    may_push_.wait(false);
    watching_sync::await_parked(1);
    push(2);
  }};
};

template <class T>
using unbounded = millrace::unbounded_queue<T, millrace::use_sync<watching_sync>>;
template <class T>
using mpsc = millrace::mpsc_queue<T, millrace::use_sync<watching_sync>>;

}  // namespace

TEMPLATE_TEST_CASE("whichever allocation is refused, nothing is lost", "", unbounded<value>, mpsc<value>) {
  const support::watchdog guard("allocations that are refused");
  instances::reset();
  int refused = 0;
  for (long n = 1;; ++n) {
    watching_sync::reset();
    scenario<channel<value, TestType>> s;
    if (support::allocations_can_be_refused) support::allocation_to_refuse = n;
    s.run();
    const bool ran_out = support::allocation_to_refuse.exchange(0) == n || s.refused() == 0;
    s.check();
    refused += s.refused();
    if (ran_out) break;
    REQUIRE(s.refused() == 1);
  }
  CHECK((refused > 10 || !support::allocations_can_be_refused));
  support::check_books();
}
