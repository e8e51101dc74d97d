// A system that has no threads any more, for tests of those who ask for some.
#pragma once

#include <pthread.h>

#include <cstddef>

namespace support {

#if defined(__GLIBC__)
/// While there is one, nobody gets a thread: each would have a stack larger than what can be addressed.
// why not a limit of the process: root has none on threads, and sanitizers take more memory than one would leave
class no_threads {
 public:
  no_threads() noexcept {
    pthread_attr_t huge;
    pthread_getattr_default_np(&usual_);
    pthread_getattr_default_np(&huge);
    pthread_attr_setstacksize(&huge, std::size_t{1} << (8 * sizeof(std::size_t) - 4));
    pthread_setattr_default_np(&huge);
    pthread_attr_destroy(&huge);
  }
  no_threads(const no_threads&) = delete;
  no_threads& operator=(const no_threads&) = delete;
  ~no_threads() {
    pthread_setattr_default_np(&usual_);
    pthread_attr_destroy(&usual_);
  }

 private:
  pthread_attr_t usual_;
};
inline constexpr bool threads_can_be_refused = true;
#else
struct no_threads {};
inline constexpr bool threads_can_be_refused = false;
#endif

}  // namespace support
