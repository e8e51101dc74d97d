// The random calls of timing_wheel_fuzz_test, drawn by libFuzzer: ./run check fuzz. A file that it leaves behind is run
// again by giving its name to the program.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "support/wheel_runs.hpp"

namespace {

/// Numbers are taken from the bytes, as few for each as it needs, so that a change of one byte changes little.
class bytes {
 public:
  bytes(const std::uint8_t* data, std::size_t size) : next_(data), end_(data + size) {}
  [[nodiscard]] std::uint64_t below(std::uint64_t n) {
    std::uint64_t drawn = 0;
    for (std::uint64_t rest = n - 1; rest > 0 && next_ != end_; rest >>= 8) drawn = drawn << 8 | *next_++;
    return drawn % n;
  }
  [[nodiscard]] bool done() const { return next_ == end_; }

 private:
  const std::uint8_t* next_;
  const std::uint8_t* end_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bytes source(data, size);
  const auto kind = static_cast<unsigned>(source.below(support::wheel_kinds));
  const support::wheel_run run = support::run_wheel(kind, source);
  if (run.differs != nullptr) {
    std::fprintf(stderr, "the wheel and the sorted set differ: %s\n", run.differs);
    std::abort();
  }
  return 0;
}
