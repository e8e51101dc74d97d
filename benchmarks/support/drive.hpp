// The workloads, the same text for every contender. A contender is a class with `value_type`, a constructor from
// a capacity (of a queue without a limit, from the places to begin with) and, as far as it has them, the verbs
//
//   bool try_push(T&&)   bool try_pop(T&)                    false: full, empty; the argument keeps its value
//   void push(T&&)       void pop(T&)                        wait in the queue's own way
//   size_t try_push_n(T*, n)   size_t try_pop_n(T*, n)       how many
//
// One call of `sample` builds the queue, starts the threads, and measures from the moment the first one begins
// until the last one is done. Each consumer takes an equal share of the items, so that there is no counter
// between the threads besides the queue.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "support/cell.hpp"
#include "support/items.hpp"

namespace bench {

template <class Q>
concept tries = requires(Q& q, typename Q::value_type& v) {
  q.try_push(std::move(v));
  q.try_pop(v);
};
template <class Q>
concept blocks = requires(Q& q, typename Q::value_type& v) {
  q.push(std::move(v));
  q.pop(v);
};
template <class Q>
concept batches = requires(Q& q, typename Q::value_type* v, std::size_t n) {
  q.try_push_n(v, n);
  q.try_pop_n(v, n);
};
/// One producer and one consumer at the most.
template <class Q>
concept one_to_one = requires { requires Q::one_to_one; };

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// The waiting rule, the same for every contender: what a thread does when a try-verb refuses. It pauses once and
/// tries again, then twice, four times, ..., 64 times, and from then on yields between tries, because there may be
/// more threads than cores.
class waiting {
 public:
  void operator()() noexcept {
    if (pauses_ > most_pauses) {
      std::this_thread::yield();
      return;
    }
    for (unsigned i = 0; i < pauses_; ++i) pause();
    pauses_ *= 2;
  }

 private:
  static constexpr unsigned most_pauses = 64;
  unsigned pauses_ = 1;
};

// One thread's verbs, by kind: put() and get() move `stride` items and return the sum of their numbers.
template <verbs How, class Q>
class hands {
  using T = typename Q::value_type;

 public:
  static constexpr std::size_t stride = How == verbs::batches ? batch_size : 1;

  explicit hands(Q& q) : q_(q) {}

  std::uint64_t put(std::uint64_t first) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < stride; ++i) {
      items_[i] = item<T>::make(first + i);
      sum += item<T>::number(items_[i]);
    }
    waiting wait;
    if constexpr (How == verbs::batches) {
      for (std::size_t done = 0; done < stride;) {
        const std::size_t n = q_.try_push_n(items_.data() + done, stride - done);
        done += n;
        if (n == 0) wait();
      }
    } else if constexpr (How == verbs::blocking) {
      q_.push(std::move(items_[0]));
    } else {
      while (!q_.try_push(std::move(items_[0]))) wait();
    }
    return sum;
  }

  std::uint64_t get() {
    waiting wait;
    if constexpr (How == verbs::batches) {
      for (std::size_t done = 0; done < stride;) {
        const std::size_t n = q_.try_pop_n(items_.data() + done, stride - done);
        done += n;
        if (n == 0) wait();
      }
    } else if constexpr (How == verbs::blocking) {
      q_.pop(items_[0]);
    } else {
      while (!q_.try_pop(items_[0])) wait();
    }
    std::uint64_t sum = 0;
    for (const T& v : items_) sum += item<T>::number(v);
    return sum;
  }

 private:
  Q& q_;
  std::array<T, stride> items_{};
};

using stopwatch = std::chrono::steady_clock;

/// What one thread did. On a line of its own.
struct alignas(128) tally {
  std::uint64_t put = 0;
  std::uint64_t got = 0;
  stopwatch::time_point begin;
  stopwatch::time_point end;  // a body may set it that goes on after what is timed
};

using bodies = std::vector<std::function<void(tally&)>>;

/// Runs each body on a thread of its own, at once; returns the seconds from the first one's beginning to the last
/// one's end. Throws std::runtime_error if what came out is not what went in.
double race(const bodies& all);

/// Whole shares for every thread of the cell, and whole batches.
inline std::uint64_t rounded_items(const cell& c, std::uint64_t items) {
  const std::uint64_t share = std::uint64_t{c.who.producers} * c.who.consumers * batch_size;
  return std::max<std::uint64_t>(1, (items + share - 1) / share) * share;
}

/// Seconds to move `items` items (see rounded_items) as the cell says.
template <verbs How, class Q>
double sample(const cell& c, std::uint64_t items) {
  using hand = hands<How, Q>;
  const auto there = std::make_unique<Q>(c.places());
  const auto back = c.who.what == work::ping_pong ? std::make_unique<Q>(c.places()) : nullptr;
  bodies all;
  const auto put_then_get = [items](Q& to, Q& from) {
    return [items, &to, &from](tally& mine) {
      hand out(to);
      hand in(from);
      for (std::uint64_t n = 0; n < items; n += hand::stride) {
        mine.put += out.put(n + 1);
        mine.got += in.get();
      }
    };
  };
  switch (c.who.what) {
    case work::single: all.push_back(put_then_get(*there, *there)); break;
    case work::ping_pong:
      all.push_back(put_then_get(*there, *back));
      all.push_back([&](tally& mine) {
        hand in(*there);
        hand out(*back);
        for (std::uint64_t n = 0; n < items; n += hand::stride) {
          mine.got += in.get();
          mine.put += out.put(n + 1);
        }
      });
      break;
    case work::crowd:
      for (unsigned p = 0; p < c.who.producers; ++p) {
        all.push_back([&, share = items / c.who.producers, p](tally& mine) {
          hand out(*there);
          const std::uint64_t first = 1 + p * share;
          for (std::uint64_t n = first; n < first + share; n += hand::stride) mine.put += out.put(n);
        });
      }
      for (unsigned k = 0; k < c.who.consumers; ++k) {
        all.push_back([&, share = items / c.who.consumers](tally& mine) {
          hand in(*there);
          for (std::uint64_t n = 0; n < share; n += hand::stride) mine.got += in.get();
        });
      }
  }
  return race(all);
}

}  // namespace bench
