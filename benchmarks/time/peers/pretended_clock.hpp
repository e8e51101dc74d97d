// For libraries that read the system's clock themselves: while a pretended_time lives, clock_gettime answers with that.
// The program's own clock_gettime stands in front of the C library's, for the program and for all libraries it is linked to;
// at all other times it passes the question on. One thread at a time, and nobody may measure meanwhile.
#pragma once

#include <cstdint>

namespace peers {

class pretended_time {
 public:
  /// `nanoseconds`: more than 0.
  explicit pretended_time(std::uint64_t nanoseconds) noexcept;
  pretended_time(const pretended_time&) = delete;
  pretended_time& operator=(const pretended_time&) = delete;
  ~pretended_time();
};

}  // namespace peers
