// A slot of a log that many publish into, and the word by which they claim slots.
//
// why not a compare-and-swap that either of them wins: it would be every publisher's, for every message, and wait for the
// slot's cache line, where a store need not. So the publisher stores, and then looks whether anybody suspects the segment;
// a reader says that it does, issues a heavy fence, and then looks at the slot again. One of the two sees the other. In a
// segment that is suspected, until its life ends, the verdict on a slot counts, which is reached by compare-and-swap: by who
// gives it up, by its publisher, or by a reader that finds a message in it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace millrace {
inline namespace v0 {
namespace detail {

/// state, verdict: [ number of the segment, its low bits : 30 | full, or dead : 2 ]; another number: nothing yet.
// why so few bits are enough: a state is written in every life of the segment, and a verdict that is `dead` is wiped out with
// the life that it is of.
template <class T, class Sync>
struct state_slot {
  using word = std::uint32_t;
  static constexpr word full(std::uint64_t number) noexcept { return static_cast<word>(number) << 2 | 1; }
  static constexpr word dead(std::uint64_t number) noexcept { return static_cast<word>(number) << 2 | 2; }

  [[nodiscard]] T* value() noexcept { return std::launder(reinterpret_cast<T*>(bytes)); }
  [[nodiscard]] bool settled(std::uint64_t number) const noexcept {
    const word is = state.load(std::memory_order_acquire);
    return is == full(number) || is == dead(number);
  }

  struct ruling {
    word is;
    bool is_mine;
  };
  /// The verdict: the one that there is, or else this one. By readers, who keep the segment from being used again.
  // why relaxed is enough for verdicts: nothing is read because of them; what is in the slot its state tells
  ruling judge(std::uint64_t number, word proposed) noexcept {
    word v = verdict.load(std::memory_order_relaxed);
    while (v != full(number) && v != dead(number)) {
      if (verdict.compare_exchange_weak(v, proposed, std::memory_order_relaxed, std::memory_order_relaxed)) {
        return {proposed, true};
      }
    }
    return {v, false};
  }

  typename Sync::template atomic<word> state{0};    // written by its publisher
  typename Sync::template atomic<word> verdict{0};  // counts in a segment that is suspected
  alignas(T) std::byte bytes[sizeof(T)];
};

/// claims: [ closed : 1 | number, its low bits : 22 | end, if closed : 17 | taken : 24 ]
// why so many bits for `taken`: every publisher that finds the segment exhausted adds one too.
struct claims_word {
  static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 63;
  static constexpr std::uint64_t numbers = (std::uint64_t{1} << 22) - 1;

  std::uint64_t word;
  static constexpr claims_word of(std::uint64_t number) noexcept { return {(number & numbers) << 41}; }
  [[nodiscard]] bool closed() const noexcept { return (word & closed_bit) != 0; }
  [[nodiscard]] bool is_of(std::uint64_t number) const noexcept {
    return (word >> 41 & numbers) == (number & numbers);
  }
  [[nodiscard]] std::uint64_t end() const noexcept { return word >> 24 & 0x1FFFF; }
  [[nodiscard]] std::uint64_t taken() const noexcept { return word & 0xFFFFFF; }
  [[nodiscard]] claims_word close() const noexcept { return {word | closed_bit | taken() << 24}; }
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
