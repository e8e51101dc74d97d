// Which slots of a wheel's level are occupied, so that the next one is two bit scans away.
#pragma once

#include <bit>
#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class occupancy {
 public:
  static constexpr unsigned size = 512;

  void set(unsigned i) noexcept {
    words_[i / 64] |= std::uint64_t{1} << (i % 64);
    summary_ = static_cast<std::uint8_t>(summary_ | (1u << (i / 64)));
  }
  void clear(unsigned i) noexcept {
    words_[i / 64] &= ~(std::uint64_t{1} << (i % 64));
    if (words_[i / 64] == 0) summary_ = static_cast<std::uint8_t>(summary_ & ~(1u << (i / 64)));
  }
  [[nodiscard]] bool any() const noexcept { return summary_ != 0; }

  /// The first occupied one from the i-th on, around the end; there must be one.
  [[nodiscard]] unsigned first_from(unsigned i) const noexcept {
    const unsigned word = i / 64;
    const std::uint64_t here = words_[word] & (~std::uint64_t{0} << (i % 64));
    if (here != 0) return word * 64 + static_cast<unsigned>(std::countr_zero(here));
    // The word itself comes last: all that it can have left lies in front of i.
    const auto others = std::rotr(summary_, static_cast<int>(word + 1));
    const unsigned next = (word + 1 + static_cast<unsigned>(std::countr_zero(others))) % 8;
    return next * 64 + static_cast<unsigned>(std::countr_zero(words_[next]));
  }

 private:
  std::uint64_t words_[size / 64] = {};
  std::uint8_t summary_ = 0;  // a bit for each word
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
