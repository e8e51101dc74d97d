// millrace/queue/word_traits.hpp - which types travel through a queue as one 64-bit word.
//
// Use it when : a type of at most 8 bytes is not trivially copyable, but is one word in truth (an owning
//               pointer, an intrusive reference): specialise `word_traits` and mpmc_queue takes the faster ring.
// Use instead : nothing for trivially copyable types of at most 8 bytes and for std::unique_ptr with an empty
//               deleter: they are known. Nothing for larger types: they are stored in place.
// Threads     : the functions are called by the pushing and the popping thread.
// Order       : what the pusher did to the word's pointee is visible to the popper.
// Progress    : that of the functions, which should be a few instructions.
// Errors      : a specialisation that lacks a function, or may throw, does not compile.
// Exceptions  : none allowed.
// Memory      : none.
// Cost        : none for the known types.
// Source      : ours.
// Checked by  : tests/queue/word_traits_test.cpp
//
// Example (an intrusive pointer that owns one reference):
//   template <> struct millrace::word_traits<node_ref> {
//     static std::uint64_t peek(const node_ref& r) noexcept { return std::bit_cast<std::uintptr_t>(r.get()); }
//     static void release(node_ref& r) noexcept { r.detach(); }
//     static node_ref adopt(std::uint64_t w) noexcept { return node_ref::attach(std::bit_cast<node*>(w)); }
//   };
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "millrace/core/config.hpp"

namespace millrace {
inline namespace v0 {

/// How a T becomes a word and a word a T. `peek` reads without giving up; `release`, called once the word is in
/// the queue, gives up; `adopt` takes the word over. The primary template knows no T.
template <class T>
struct word_traits {};

template <class T>
  requires(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t))
struct word_traits<T> {
  [[nodiscard]] static std::uint64_t peek(const T& value) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof(T));
    return word;
  }
  static void release(T&) noexcept {}
  [[nodiscard]] static T adopt(std::uint64_t word) noexcept {
    struct bytes {
      unsigned char byte[sizeof(T)];
    } raw;
    std::memcpy(&raw, &word, sizeof(T));
    return std::bit_cast<T>(raw);  // not memcpy into a T: T need not be default-constructible
  }
};

template <class T, class Deleter>
  requires(std::is_empty_v<Deleter> && std::is_default_constructible_v<Deleter> &&
           std::is_pointer_v<typename std::unique_ptr<T, Deleter>::pointer>)
struct word_traits<std::unique_ptr<T, Deleter>> {
  using pointer = typename std::unique_ptr<T, Deleter>::pointer;
  [[nodiscard]] static std::uint64_t peek(const std::unique_ptr<T, Deleter>& value) noexcept {
    return reinterpret_cast<std::uintptr_t>(value.get());
  }
  static void release(std::unique_ptr<T, Deleter>& value) noexcept { static_cast<void>(value.release()); }
  [[nodiscard]] static std::unique_ptr<T, Deleter> adopt(std::uint64_t word) noexcept {
    return std::unique_ptr<T, Deleter>(reinterpret_cast<pointer>(static_cast<std::uintptr_t>(word)));
  }
};

/// T travels as a word.
template <class T>
concept word_like = requires(const T& kept, T& given, std::uint64_t word) {
  { word_traits<T>::peek(kept) } noexcept -> std::same_as<std::uint64_t>;
  { word_traits<T>::release(given) } noexcept;
  { word_traits<T>::adopt(word) } noexcept -> std::same_as<T>;
};

}  // namespace v0
}  // namespace millrace
