// refused: timing_wheel: Payload's destructor must not throw
#include "millrace/time/timing_wheel.hpp"

struct exploding {
#ifdef MUST_NOT_COMPILE
  ~exploding() noexcept(false) {}
#else
  ~exploding() {}
#endif
};

int main() {
  const millrace::timing_wheel<exploding> wheel({});
  return static_cast<int>(wheel.size());
}
