// What travels through a queue in a world of the model checker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "millrace/queue/word_traits.hpp"
#include "support/explore.hpp"

namespace model {

/// For a ring of slots: a value that races if its cell is ever shared, and leaks if it is ever lost.
struct in_place {
  explicit in_place(std::uint64_t v) : value(v) {}
  explicit operator std::uint64_t() const { return value.get(); }
  static void operator delete(void* storage, std::size_t size) {
    explore::forget(storage, size);
    ::operator delete(storage);
  }
  explore::plain<std::uint64_t> value;
};
static_assert(!millrace::word_like<in_place>);

/// For a ring of words: a pointer, whose pointee races if the word is not properly published.
struct by_pointer {
  explicit by_pointer(std::uint64_t v) : p(std::make_unique<in_place>(v)) {}
  explicit by_pointer(std::unique_ptr<in_place> q) : p(std::move(q)) {}
  explicit operator std::uint64_t() const { return p->value.get(); }
  std::unique_ptr<in_place> p;
};

}  // namespace model

template <>
struct millrace::word_traits<model::by_pointer> {
  static std::uint64_t peek(const model::by_pointer& b) noexcept {
    return reinterpret_cast<std::uintptr_t>(b.p.get());
  }
  static void release(model::by_pointer& b) noexcept { static_cast<void>(b.p.release()); }
  static model::by_pointer adopt(std::uint64_t w) noexcept {
    return model::by_pointer(std::unique_ptr<model::in_place>(reinterpret_cast<model::in_place*>(w)));
  }
};
