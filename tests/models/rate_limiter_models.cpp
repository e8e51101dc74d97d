// The rate limiter under every schedule within bounds. Its clock stands still; 3 permits in 10 ns, so that both halves of its
// state take part.
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>

#include "millrace/delivery/rate_limiter.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"

namespace {

using limiter = millrace::rate_limiter<explore::clock, explore::sync>;
using time_point = explore::clock::time_point;

time_point at(std::int64_t ns) { return time_point(std::chrono::nanoseconds(ns)); }

template <std::uint64_t Burst>
struct base {
  limiter l{3, std::chrono::nanoseconds(10), Burst};
};

/// As many takers as permits, and perhaps one more: all but that one get one. No half of a state is believed that goes with
/// another half.
template <int Takers, int Burst>
struct takers : base<Burst> {
  static constexpr int threads = Takers;
  std::array<bool, Takers> got{};
  void thread(int i) { got[std::size_t(i)] = this->l.try_acquire(); }
  void finish() {
    int n = 0;
    for (const bool g : got) n += g ? 1 : 0;
    explore::check(n == (Takers < Burst ? Takers : Burst), "as many as there are got one");
    explore::check(this->l.next_at(Burst) == at((Burst * 10 + 2) / 3), "and no more was taken");
  }
};

/// Who asks after something has been given back finds it, with nothing else between the two threads.
struct after_gift : base<1> {
  static constexpr int threads = 2;
  bool given = false;  // what has really happened: no thread hears of it
  bool got = false;
  after_gift() { explore::check(l.try_acquire(), "there was one"); }
  void thread(int i) {
    if (i == 0) {
      l.give_back(1, at(0));
      given = true;
      return;
    }
    const bool before = given;
    got = l.try_acquire();
    explore::check(got || !before, "what had been given back was there");
  }
  void finish() { explore::check(l.try_acquire() == !got, "it was there once"); }
};

/// Takes and gives back, while others do, and perhaps while one takes for good: it is as if it had not been.
template <bool Taken>
struct gifts : base<3> {
  static constexpr int threads = 2;
  void thread(int i) {
    if (i == 0 || !Taken) {
      explore::check(l.try_acquire(), "there are three");
      l.give_back(1, at(0));
    } else {
      explore::check(l.try_acquire(2), "there are three");
    }
  }
  void finish() {
    explore::check(l.try_acquire(Taken ? 1 : 3), "all that was not used is there");
    explore::check(!l.try_acquire(), "and no more");
  }
};

/// Each reservation is told a time of its own.
struct reservations : base<1> {
  static constexpr int threads = 2;
  std::array<time_point, 2> told{};
  time_point last{};
  void thread(int i) {
    if (i == 1) last = l.reserve();
    told[std::size_t(i)] = l.reserve();
  }
  void finish() {
    const auto sum = told[0].time_since_epoch() + told[1].time_since_epoch() + last.time_since_epoch();
    explore::check(sum == std::chrono::nanoseconds(0 + 4 + 7), "the first three times");
    explore::check(told[0] != told[1] && told[0] != last && last < told[1], "no time twice");
    explore::check(l.next_at() == at(10), "and the next one is the fourth");
  }
};

/// A time that is told is one of those that there have been.
struct looking : base<2> {
  static constexpr int threads = 2;
  void thread(int i) {
    if (i == 0) {
      explore::check(l.try_acquire(), "there are two");
      explore::check(l.try_acquire(), "there are two");
      return;
    }
    const time_point t = l.next_at();
    explore::check(t == at(0) || t == at(4), "it is no mixture of two times");
  }
  void finish() {}
};

/// Of many keys: what is looked at under a mutex is looked at by one at a time.
struct keyed {
  static constexpr int threads = 2;
  static inline explore::plain<int>* shared = nullptr;
  struct equal {
    bool operator()(int a, int b) const {
      shared->set(shared->get() + 1);
      return a == b;
    }
  };
  explore::plain<int> looks{0};
  millrace::keyed_rate_limiter<int, explore::clock, std::hash<int>, equal, explore::sync> l{
      3, std::chrono::nanoseconds(10), 2};
  int got = 0;
  keyed() {
    shared = &looks;
    explore::check(l.try_acquire(1), "there are two");
  }
  void thread(int) {
    if (l.try_acquire(1)) ++got;
    explore::check(l.next_at(1) > at(0) && l.size_approx() == 1, "there is none left");
  }
  void finish() { explore::check(got == 1 && looks.get() > 0, "there was one more"); }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(argc, argv,
                     {
                         world<takers<2, 2>>("two of two", {.preemptions = 4, .stale_reads = 3}),
                         world<takers<2, 1>>("two and one permit", {.preemptions = 4, .stale_reads = 3}),
                         world<takers<3, 2>>("three and two permits", {.preemptions = 3, .stale_reads = 2}),
                         world<after_gift>("after a gift", {.preemptions = 4, .stale_reads = 3}),
                         world<gifts<false>>("two gifts", {.preemptions = 3, .stale_reads = 2}),
                         world<gifts<true>>("a gift and a use", {.preemptions = 4, .stale_reads = 3}),
                         world<reservations>("reservations", {.preemptions = 4, .stale_reads = 3}),
                         world<looking>("looking", {.preemptions = 4, .stale_reads = 3}),
                         world<keyed>("keyed", {.preemptions = 3, .stale_reads = 2}),
                     },
                     {"delivery/rate_limiter.hpp"});
}
