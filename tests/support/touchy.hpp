// A value whose copying throws while somebody says so.
#pragma once

#include <stdexcept>

namespace support {

struct touchy {
  int value;
  bool* angry;
  touchy(int v, bool* a) : value(v), angry(a) {}
  touchy(const touchy& o) : value(o.value), angry(o.angry) {
    if (*angry) throw std::runtime_error("copied");
  }
  touchy(touchy&&) noexcept = default;
  touchy& operator=(const touchy&) = default;
  touchy& operator=(touchy&&) noexcept = default;
  ~touchy() = default;
};

}  // namespace support
