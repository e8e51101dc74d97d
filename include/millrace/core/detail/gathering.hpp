// A breath between two looks at a stream that flows.
#pragma once

#include <cstdint>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// For a reader: one that is faster than its publisher, and looks again
/// at once, takes the cache line that the publisher is writing to, message by message.
template <class Sync>
class gathering {
 public:
  /// `enough`: messages at a time, for which no breath is needed; `most`: pauses to a breath.
  gathering(std::uint64_t enough, unsigned most) noexcept : enough_(enough), most_(most) {}

  /// Having read that many.
  void after(std::uint64_t messages) noexcept {
    if (messages >= enough_) {
      pauses_ -= pauses_ / 4;
    } else if (messages == 1 && pauses_ >= alone) {
      pauses_ = 0;  // nothing came meanwhile: not a stream, but somebody who waits for an answer, perhaps
    } else {
      pauses_ = 2 * pauses_ + first < most_ ? 2 * pauses_ + first : most_;
    }
    for (unsigned p = 0; p < pauses_; ++p) Sync::pause();
  }

 private:
  static constexpr unsigned first = 4;
  static constexpr unsigned alone = 16;
  const std::uint64_t enough_;
  const unsigned most_;
  unsigned pauses_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
