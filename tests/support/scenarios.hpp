// What the channel scenarios have in common, whoever walks through them, threads or coroutines: their inputs and, worked
// out another way, what has to come out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "support/instances.hpp"

namespace support {

/// Threads of one scenario. Joined at the end of it at the latest.
class crew {
 public:
  crew() = default;
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  ~crew() { join(); }

  template <class F>
  void add(F f) {
    threads_.emplace_back(std::move(f));
  }
  void join() {
    for (std::thread& t : threads_) {
      if (t.joinable()) t.join();
    }
  }

 private:
  std::list<std::thread> threads_;
};

/// The first n primes, by trial division.
[[nodiscard]] inline ints first_primes(std::size_t n) {
  ints primes;
  for (int candidate = 2; primes.size() < n; ++candidate) {
    if (std::ranges::none_of(primes, [&](int p) { return candidate % p == 0; })) primes.push_back(candidate);
  }
  return primes;
}

/// 1 .. n, in an order that depends on the seed.
[[nodiscard]] inline ints shuffled(int n, std::uint32_t seed) {
  ints all = numbers(1, n);
  std::uint32_t random = seed * 2654435761u | 1;
  for (std::size_t i = all.size(); i > 1; --i) {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    std::swap(all[i - 1], all[random % i]);
  }
  return all;
}

/// E. Chang and R. Roberts, 1979: on a one-way ring each node sends its own number, and passes on only what is greater.
/// How many hops that takes in all, until the greatest is back where it came from.
[[nodiscard]] inline long election_hops(const ints& ring) {
  const std::size_t n = ring.size();
  long hops = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t k = 1;
    while (k < n && ring[(i + k) % n] < ring[i]) ++k;
    hops += static_cast<long>(k);
  }
  return hops;
}

}  // namespace support
