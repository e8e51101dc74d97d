// Values to try a queue with. Each is made from a number by make<T>() and tells it again by number(). Some
// count their instances and throw on demand; `hooked` runs a piece of the test in the middle of its own move.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace support {

/// What instances throw on demand.
struct thrown : std::runtime_error {
  thrown() : std::runtime_error("thrown on demand") {}
};

/// The books of all counted instances. One test at a time.
struct instances {
  static inline std::atomic<long> live{0};
  static inline std::atomic<long> broken{0};     // destroyed, read or assigned without being alive
  static inline std::atomic<long> countdown{0};  // 0: nothing throws

  static void reset() { live = broken = countdown = 0; }
  /// The n-th construction, copy or move from now on throws (1: the next one), and only that one.
  static void throw_at(long n) { countdown = n; }
  static void spare() { countdown = 0; }
  [[nodiscard]] static bool pending() { return countdown > 0; }
  static void may_throw() {
    if (countdown.load() > 0 && countdown.fetch_sub(1) == 1) throw thrown();
  }
};

/// Counts itself, knows whether it is alive, and throws when told to. `Steady`: its move does not.
template <bool Copyable = true, std::size_t Align = alignof(void*), bool Steady = false>
class alignas(Align) counted {
 public:
  static constexpr int gone = -1;  // what is left of a value that was moved from

  explicit counted(int v) : value_(v) { born(); }
  counted(counted&& o) noexcept(Steady) : value_(o.read()) {
    born(!Steady);
    o.value_ = gone;
  }
  counted(const counted& o)
    requires Copyable
      : value_(o.read()) {
    born();
  }
  counted& operator=(counted&& o) {
    instances::may_throw();
    value_ = o.read();
    if (&o != this) o.value_ = gone;
    return *this;
  }
  counted& operator=(const counted& o)
    requires Copyable
  {
    instances::may_throw();
    value_ = o.read();
    return *this;
  }
  ~counted() {
    if (self_ != this) ++instances::broken;
    self_ = nullptr;
    --instances::live;
  }

  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  void born(bool may_throw = true) {
    if (may_throw) instances::may_throw();
    self_ = this;
    ++instances::live;
  }
  [[nodiscard]] int read() const noexcept {
    if (self_ != this) ++instances::broken;
    return value_;
  }

  int value_;
  const counted* self_ = nullptr;
};

using copied = counted<true>;
using moved = counted<false>;
using aligned = counted<true, 128>;
using steady = counted<true, alignof(void*), true>;
static_assert(std::is_nothrow_move_constructible_v<steady> && !std::is_nothrow_copy_constructible_v<steady>);
static_assert(alignof(aligned) == 128 && !std::is_copy_constructible_v<moved>);

/// Eight bytes that cannot be made from nothing.
struct eight {
  explicit eight(int v) : low(v), high(~v) {}
  int low;
  int high;
};
static_assert(std::is_trivially_copyable_v<eight> && !std::is_default_constructible_v<eight>);

/// Sixty-four bytes, all of which must arrive.
struct block {
  std::array<int, 16> all;
};
static_assert(sizeof(block) == 64);

/// Its moves are numbered from 1, and each calls the hook with its number before it takes the value over.
class hooked {
 public:
  using hook = std::function<void(int move)>;

  explicit hooked(int v, hook on_move = {}) : value_(v), on_move_(std::move(on_move)) {}
  hooked(hooked&& o) { take(o); }
  hooked& operator=(hooked&& o) {
    take(o);
    return *this;
  }

  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  void take(hooked& o) {
    ++o.moves_;
    if (o.on_move_) o.on_move_(o.moves_);
    value_ = std::exchange(o.value_, -1);
    moves_ = o.moves_;
    on_move_ = std::move(o.on_move_);
    o.on_move_ = nullptr;
  }

  int value_ = -1;
  int moves_ = 0;
  hook on_move_;
};

template <class T>
[[nodiscard]] T make(int n) {
  if constexpr (std::is_same_v<T, std::unique_ptr<int>>) {
    return std::make_unique<int>(n);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "a string that is too long to be stored in place: " + std::to_string(n);
  } else if constexpr (std::is_same_v<T, block>) {
    block b{};
    b.all.fill(n);
    return b;
  } else {
    return T(n);
  }
}

/// The number a value was made from; -1 for one that was moved from, or came in pieces.
template <class T>
[[nodiscard]] int number(const T& v) {
  if constexpr (std::is_same_v<T, std::unique_ptr<int>>) {
    return v == nullptr ? -1 : *v;
  } else if constexpr (std::is_same_v<T, std::string>) {
    const std::size_t at = v.find(": ");
    return at == std::string::npos ? -1 : std::stoi(v.substr(at + 2));
  } else if constexpr (std::is_same_v<T, block>) {
    for (const int n : v.all) {
      if (n != v.all[0]) return -1;
    }
    return v.all[0];
  } else if constexpr (std::is_same_v<T, eight>) {
    return v.high == ~v.low ? v.low : -1;
  } else if constexpr (std::is_same_v<T, int>) {
    return v;
  } else {
    return v.value();
  }
}

using ints = std::vector<int>;

/// Pops everything and tells the numbers.
template <class Queue>
[[nodiscard]] ints drain(Queue& q) {
  ints all;
  while (auto v = q.try_pop()) all.push_back(number(*v));
  return all;
}

/// from, from + 1, ..., n of them.
[[nodiscard]] inline ints numbers(int from, int n) {
  ints v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), from);
  return v;
}

/// Nothing leaked, nothing destroyed twice.
inline void check_books() {
  CHECK(instances::live == 0);
  CHECK(instances::broken == 0);
}

}  // namespace support
