// millrace/topic/log_access.hpp - a reader that may keep single messages while it goes on.
//
// Use it when : you write a component that reads a topic and is not done with a message when it reads the next one, as
//               consumer groups are.
// Use instead : `subscription`.
// Threads     : one at a time, but for release(), which any thread may call.
// Order       : that of the log.
// Progress    : lock-free, as a subscription's try_next.
// Errors      : none.
// Exceptions  : what the subscription's filter throws; the reader stays at that message.
// Memory      : a segment that holds a message which is kept is not used again. It stops no publisher; the log is larger by
//               that much.
// Cost        : that of a subscription; keep and release an atomic addition each.
// Source      : ours.
// Checked by  : tests/topic/log_access_test.cpp, tests/models/group_models.cpp
//
// Example:
//   millrace::log_cursor<millrace::topic<order>> at(orders.subscribe());
//   if (const order* o = at.next()) {
//     auto kept = at.keep();   // *o stays where it is until at.release(kept)
//     at.step();
//     at.commit();             // publishers need not wait for this one any more
//   }
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/topic/subscription.hpp"

namespace millrace {
inline namespace v0 {

template <class Topic>
class log_cursor {
  using access = detail::subscription_access;

 public:
  using value_type = typename Topic::value_type;
  using subscription = typename Topic::subscription;
  using segment = typename subscription::segment;

  explicit log_cursor(subscription&& from) noexcept : from_(std::move(from)) {}

  /// The message at its place, or the first behind it that its filter leaves; it stays there until step() and commit().
  /// nullptr: there is none yet, or ever.
  [[nodiscard]] const value_type* next() {
    auto& at = access::at(from_);
    for (;;) {
      if (left_ == 0) {
        at.forget();
        left_ = at.row(row, true).size;
        if (left_ == 0) return nullptr;
      }
      const value_type& message = *at.first_slot()->value();
      if (at.is_plain() || at.is_wanted(message, at.at())) return &message;
      step();
    }
  }
  void step() noexcept {
    access::at(from_).step();
    --left_;
  }
  /// What it has stepped over is not needed any more, but for what is kept.
  void commit() noexcept {
    auto& at = access::at(from_);
    at.commit(at.at());
  }
  /// How many messages it has stepped over since the last commit. Publishers count them as not read.
  [[nodiscard]] std::uint64_t uncommitted() const noexcept {
    const auto& at = access::at(from_);
    return at.at() - at.committed();
  }
  /// How many messages have been published behind its place.
  [[nodiscard]] std::uint64_t backlog() const noexcept {
    const std::uint64_t tail = access::log(from_).tail();
    return tail > offset() ? tail - offset() : 0;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return access::log(from_).capacity(); }
  [[nodiscard]] bool has_ended() const noexcept { return access::at(from_).has_ended(); }

  /// Keeps the segment of the message that next() has given out.
  [[nodiscard]] segment& keep() noexcept {
    segment& s = access::at(from_).segment();
    // why relaxed is enough: it stands there, and its cursor, when it has moved on, tells of this too
    s.holds.fetch_add(1, std::memory_order_relaxed);
    return s;
  }
  void release(segment& s) noexcept {
    s.holds.fetch_sub(1, std::memory_order_release);  // pairs with (2) of detail/log_core.hpp
    access::log(from_).trim();
  }

  /// Publishers need not wait for it any more, and it reads no more. What is kept stays.
  void leave() noexcept { access::at(from_).leave(); }

  [[nodiscard]] std::uint64_t offset() const noexcept { return access::at(from_).at(); }
  /// Of the segment that the message lies in, along the log.
  [[nodiscard]] std::uint64_t segment_number() const noexcept { return access::at(from_).segment_number(); }
  /// When a message of a segment that is kept was published, in nanoseconds of the topic's clock; without stamps of each, when
  /// its segment was begun.
  [[nodiscard]] std::int64_t published_at(const segment& s, std::uint64_t offset) const noexcept {
    const std::size_t i = offset & (access::log(from_).segment_size() - 1);
    return s.stamps() != nullptr ? s.stamps()[i] : s.opened.load(std::memory_order_relaxed);
  }
  /// Where it is called when something is published.
  [[nodiscard]] auto& published() noexcept { return access::at(from_).line().events; }
  /// To be called before anything of it that goes elsewhere: seek.
  [[nodiscard]] subscription& moved() noexcept {
    left_ = 0;
    return from_;
  }
  [[nodiscard]] const subscription& reader() const noexcept { return from_; }

 private:
  static constexpr std::uint64_t row = 64;

  subscription from_;
  std::uint64_t left_ = 0;  // messages side by side from its place on
};

}  // namespace v0
}  // namespace millrace
