// A channel that does its users wrong, so that one sees what notices. It stands in for the real one where this folder
// comes first among the include directories; the environment variable FAULT names the wrong.
#pragma once

#include <cstdlib>
#include <string_view>
#include <utility>

#define channel sound_channel
#include "../../../../../include/millrace/queue/channel.hpp"
#undef channel

namespace millrace {
inline namespace v0 {

template <class T>
class channel : public sound_channel<T> {
 public:
  using sound_channel<T>::sound_channel;

  [[nodiscard]] outcome push(T&& value) {
    if constexpr (requires { value->bytes; }) {
      if (++pushed_ == 2) {
        if (fault_ == "lost") return outcome::ok;
        if (fault_ == "twice") std::ignore = sound_channel<T>::push(T(new auto(*value)));
        if (fault_ == "changed") value->bytes[1] ^= 1;
        if (fault_ == "cut") value->size -= 2;
      }
    }
    return sound_channel<T>::push(std::move(value));
  }
  void close() noexcept {
    if constexpr (requires(T value) { value->bytes; }) {
      if (fault_ == "stranded") std::ignore = this->try_pop();
    }
    sound_channel<T>::close();
  }

 private:
  std::string_view fault_ = std::getenv("FAULT") != nullptr ? std::getenv("FAULT") : "";
  int pushed_ = 0;
};

}  // namespace v0
}  // namespace millrace
