// The list behind `intrusive_mpsc_queue` and `mpsc_queue`: any thread appends, one thread walks.
//
// last_ names the node appended last, and each node the one behind it. To append is to exchange last_, which gives the
// order, and then to link: to write into the node that was last before where it goes on. Between the two steps the
// list is in two pieces; nobody but the appending thread can mend that, and nobody but the consumer minds.
//
// A consumer that comes to the gap spins a little. Then it puts a mark where the link belongs and sleeps at a gate. The
// link is an exchange, so its producer finds the mark and opens the gate.
//
// Lifetime: the node before the gap belongs to the list until its link is there, so the producer may write the link.
// With it, a consumer that is awake may go on, and free the nodes and the list itself: the producer touches nothing more.
// A consumer that sleeps goes on only when the gate is open, and to open it is the last thing that the producer does;
// unpark is given an address and does not look what is there.
//
// D. Vyukov, Intrusive MPSC node-based queue, 2010. The waiting and the end of the stream are ours.
#pragma once

#include <atomic>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"

namespace millrace {
inline namespace v0 {

namespace detail {
template <class Sync, class Backoff, unsigned Patience>
class mpsc_list;
}  // namespace detail

/// What a node of an intrusive_mpsc_queue derives from. A copy of a node is in no queue, whatever the original is in.
template <class Sync>
class basic_mpsc_hook {
 public:
  basic_mpsc_hook() noexcept = default;
  basic_mpsc_hook(const basic_mpsc_hook&) noexcept : basic_mpsc_hook() {}
  basic_mpsc_hook& operator=(const basic_mpsc_hook&) noexcept { return *this; }

 private:
  template <class, class, unsigned>
  friend class detail::mpsc_list;
  typename Sync::template atomic<basic_mpsc_hook*> next_{nullptr};
};

namespace detail {

template <class Sync, class Backoff, unsigned Patience>
class mpsc_list {
 public:
  using node = basic_mpsc_hook<Sync>;

  /// `first` is in it, and the consumer holds it.
  explicit mpsc_list(node& first) noexcept : last_(word(first)) {}
  mpsc_list(const mpsc_list&) = delete;
  mpsc_list& operator=(const mpsc_list&) = delete;

  // --- any thread ---

  /// Makes `b` follow `a`, both of them the caller's alone, to be appended in one piece.
  static void chain(node& a, node& b) noexcept { a.next_.store(&b, std::memory_order_relaxed); }

  /// Appends `first` to `last`, which are chained or the same. Not for a list that may be closed.
  void append(node& first, node& last) noexcept {
    last.next_.store(nullptr, std::memory_order_relaxed);
    // (1) acquire and release, in the line of appends: the node before has been cut off before it is linked. seq_cst;
    // meets (4): a consumer that begins after this append has returned does not find the list at its end.
    const std::uintptr_t before = last_.exchange(word(last), std::memory_order_seq_cst);
    link(before, first);
  }

  /// False: closed, and `n` is not in.
  [[nodiscard]] bool append_unless_closed(node& n) noexcept {
    n.next_.store(nullptr, std::memory_order_relaxed);
    typename Backoff::template in<Sync> backoff;
    std::uintptr_t before =
        last_.load(std::memory_order_acquire);  // who learns of the end learns what was before it
    for (;;) {
      if ((before & closed_bit) != 0) return false;
      if (last_.compare_exchange_weak(before, word(n), std::memory_order_seq_cst,  // (1)
                                      std::memory_order_acquire)) {
        break;
      }
      backoff();
    }
    link(before, n);
    return true;
  }

  /// After it nothing is appended that is not in already.
  void close() noexcept { last_.fetch_or(closed_bit, std::memory_order_seq_cst); }  // (1)
  [[nodiscard]] bool is_closed() const noexcept {
    return (last_.load(std::memory_order_acquire) & closed_bit) != 0;  // pairs with (1)
  }

  // --- the consumer ---

  /// The node behind `n`, or nullptr: there is none, or none is linked yet.
  [[nodiscard]] static node* after(const node& n) noexcept {
    return n.next_.load(std::memory_order_acquire);  // (3) acquire; pairs with (2)
  }

  /// Of a node with nothing linked behind it. empty, closed: it was the last one at an instant inside the call, and the
  /// list was open, or will not go on. ok: something has been appended behind it.
  [[nodiscard]] outcome end_at(const node& n) const noexcept {
    const std::uintptr_t last = last_.load(std::memory_order_seq_cst);  // (4) seq_cst; meets (1)
    if ((last & ~closed_bit) != word(n)) return outcome::ok;
    return (last & closed_bit) != 0 ? outcome::closed : outcome::empty;
  }

  /// The node behind `n`, once it is linked; one has been appended.
  [[nodiscard]] MILLRACE_NOINLINE node& await(node& n) noexcept {
    for (unsigned i = 0; i < Patience; ++i) {
      if (node* const next = after(n)) return *next;
      Sync::pause();
    }
    node* next = nullptr;
    if (!n.next_.compare_exchange_strong(next, mark(), std::memory_order_relaxed,
                                         std::memory_order_acquire)) {  // (3)
      return *next;
    }
    // (5) acquire; pairs with (6)
    while (gate_.load(std::memory_order_acquire) == passed_) Sync::park(gate_, passed_);
    ++passed_;
    return *n.next_.load(std::memory_order_relaxed);  // the gate has told of it
  }

 private:
  // last_: [ address of a node | closed : 1 ]
  static constexpr std::uintptr_t closed_bit = 1;
  static_assert(alignof(node) > closed_bit);
  [[nodiscard]] static std::uintptr_t word(const node& n) noexcept {
    return reinterpret_cast<std::uintptr_t>(&n);
  }

  /// Stands in a node's link while the consumer sleeps there.
  [[nodiscard]] node* mark() noexcept { return reinterpret_cast<node*>(this); }

  void link(std::uintptr_t before, node& n) noexcept {
    // (2) release; pairs with (3)
    node* const there = reinterpret_cast<node*>(before)->next_.exchange(&n, std::memory_order_release);
    // Nothing may be touched any more, but by who finds the mark.
    if (there == mark()) open_gate();
  }
  MILLRACE_NOINLINE void open_gate() noexcept {
    gate_.fetch_add(1, std::memory_order_release);  // (6) release; pairs with (5)
    Sync::unpark(gate_);
  }

  typename Sync::template atomic<std::uintptr_t> last_;
  // How often the gate was opened, and how often the consumer, who alone knows the second, has gone through. why two: shut
  // by the consumer, or read before it puts its mark, it would have to be ordered with who finds the mark.
  typename Sync::template atomic<std::uint32_t> gate_{0};
  std::uint32_t passed_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
