// One queue type, used by the test itself, by a second translation unit and by a shared library.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/spsc_queue.hpp"

#if defined(_WIN32)
#define SHARING_VISIBLE __declspec(dllexport)
#else
#define SHARING_VISIBLE __attribute__((visibility("default")))
#endif

namespace sharing {

using words = millrace::mpmc_queue<int>;
using texts = millrace::mpmc_queue<std::string>;
using line = millrace::spsc_queue<std::string>;
using stream = millrace::channel<std::string>;

/// Sizes and alignments, which every side must see alike.
using layout = std::array<std::size_t, 8>;
constexpr layout layout_here() {
  return {sizeof(words), alignof(words), sizeof(texts),  alignof(texts),
          sizeof(line),  alignof(line),  sizeof(stream), alignof(stream)};
}

/// The other side of every conversation: takes what is there and answers it, marked, in the same queue.
struct partner {
  layout (*layout_there)();
  void (*answer_words)(words&);
  void (*answer_texts)(texts&);
  void (*answer_pipe)(line& from, line& to);
  void (*answer_stream)(stream& from, stream& to);  // until `from` is closed and drained; then closes `to`
};

namespace second_unit {
extern const partner side;
}
namespace library {
SHARING_VISIBLE const partner& side();
}

}  // namespace sharing
