// A mutex that is held for some hundred instructions: who finds it held looks again a few times before he sleeps.
//
// why: to sleep and to be woken takes ten times as long as whoever holds it will need, and a core does nothing meanwhile.
#pragma once

#include <mutex>

#include "millrace/core/config.hpp"
#include "millrace/core/sync.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

class brief_mutex {
 public:
  void lock() {
    for (unsigned pauses = 1; !mutex_.try_lock(); pauses *= 2) {
      if (pauses > most) return mutex_.lock();
      for (unsigned p = 0; p < pauses; ++p) std_sync::pause();
    }
  }
  [[nodiscard]] bool try_lock() { return mutex_.try_lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  static constexpr unsigned most = 32;  // 1 to 3 us in all

  std::mutex mutex_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
