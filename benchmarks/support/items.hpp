// What travels through the queues. Every item carries a number that the consumers add up, so that a queue which
// loses, repeats or mangles items fails the benchmark instead of winning it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

namespace bench {

using word = std::uint64_t;

struct block {
  std::array<std::uint64_t, 8> words;
};
static_assert(sizeof(block) == 64);

// why a deleter that does nothing: it is the queue that is timed, not the allocator. The pointees stand in a
// table that is only read.
struct keep {
  void operator()(const std::uint64_t*) const noexcept {}
};
using pointer = std::unique_ptr<const std::uint64_t, keep>;

template <class T>
struct item;

template <>
struct item<word> {
  static constexpr const char* name = "8B";
  static word make(std::uint64_t n) noexcept { return n; }
  static std::uint64_t number(word v) noexcept { return v; }
};

template <>
struct item<block> {
  static constexpr const char* name = "64B";
  static block make(std::uint64_t n) noexcept { return {{n, 0, 0, 0, 0, 0, 0, ~n}}; }
  static std::uint64_t number(const block& v) noexcept {
    return v.words[0] + 3 * (v.words[0] + v.words[7] + 1);  // the bracket is 0 unless the block was torn
  }
};

template <>
struct item<pointer> {
  static constexpr const char* name = "ptr";
  static constexpr std::size_t table_size = 1024;
  static const std::array<std::uint64_t, table_size>& table() noexcept {
    static const auto numbers = [] {
      std::array<std::uint64_t, table_size> t{};
      for (std::size_t i = 0; i < t.size(); ++i) t[i] = i * i + 1;
      return t;
    }();
    return numbers;
  }
  static pointer make(std::uint64_t n) noexcept { return pointer(&table()[n % table_size]); }
  static std::uint64_t number(const pointer& v) noexcept { return *v; }
};

}  // namespace bench
