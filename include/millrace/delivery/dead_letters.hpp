// millrace/delivery/dead_letters.hpp - where messages go that could not be dealt with: a topic of its own.
//
// Use it when : somebody is to look at what has been rejected, or has failed too often, and perhaps try it again.
// Use instead : nothing; a group without dead letters parks such messages, see consumer_group::unpark.
// Threads     : as a topic. Several groups, also of several topics, may share it.
// Order       : that in which they arrive.
// Progress    : as a topic.
// Errors      : when it is full, because a reader that loses nothing is behind, messages stay in their group and try again every
//               second. When it is closed they are parked there.
// Exceptions  : as topic. A letter whose redrive has thrown is still the next one.
// Memory      : as a topic of `dead_letter<T>`, about 100 bytes and a copy of the message each.
// Cost        : a copy of the message.
// Source      : the pattern "Dead Letter Channel" (G. Hohpe, B. Woolf, 2003).
// Checked by  : tests/delivery/dead_letters_test.cpp
//
// Example:
//   millrace::dead_letters<order> lost(10'000);
//   auto billing = orders.group("billing", {.dead_letters = &lost});
//   auto clerk = lost.letters().subscribe({.from = millrace::earliest});
//   clerk.poll([](const auto& letter) { print(letter.value, letter.reason, letter.attempts); });
//   lost.redrive(orders);  // once the reason is mended: all of them again
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/topic/options.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

template <class T>
struct dead_letter {
  T value;
  std::string reason;              // what the consumer said, or the exception, or "ack timeout"
  std::string group;               // whose
  std::uint64_t offset;            // in its topic
  std::uint32_t attempts;          // how often it was delivered
  std::chrono::nanoseconds first;  // \ when it failed for the first and for the last time,
  std::chrono::nanoseconds last;   // /  by the group's clock, since its epoch
};

template <class T, clock Clock = std::chrono::steady_clock, class Sync = std_sync>
class dead_letters {
  static_assert(std::is_copy_constructible_v<T>,
                "dead_letters: T must be copyable; a group without dead letters parks what it cannot copy");

 public:
  using value_type = T;
  using topic_type = topic<dead_letter<T>, producers::multi, Clock, Sync>;

  /// `capacity`: how many are kept, at least, and how far a reader that loses nothing may be behind.
  explicit dead_letters(std::size_t capacity, const topic_options& chosen = {})
    requires stateless_clock<Clock>
      : letters_(capacity, chosen), redriven_(subscribed()) {}
  dead_letters(std::size_t capacity, clock_ref<Clock> clock, const topic_options& chosen = {})
      : letters_(capacity, clock, chosen), redriven_(subscribed()) {}
  dead_letters(const dead_letters&) = delete;
  dead_letters& operator=(const dead_letters&) = delete;
  ~dead_letters() = default;

  [[nodiscard]] topic_type& letters() noexcept { return letters_; }

  /// Publishes up to `most` of those that have not been redriven yet to `to`, the oldest first. How many: fewer if there are no
  /// more, or `to` is full or closed. All groups of `to` get them, also those that have dealt with them: a deduplicator tells,
  /// or a topic of its own for what is redriven. One thread at a time.
  template <class Topic>
  std::size_t redrive(Topic& to, std::size_t most = unlimited) {
    std::size_t n = 0;
    while (n != most) {
      const dead_letter<T>* const letter = redriven_.try_next();
      if (letter == nullptr) break;
      detail::on_exception still_the_next([this] { redriven_.seek(redriven_.position()); });
      if (to.try_publish(letter->value) != outcome::ok) break;
      still_the_next.dismiss();
      ++n;
    }
    return n;
  }
  /// How many it did not get to before they were dropped for newer ones.
  [[nodiscard]] std::uint64_t missed() const noexcept { return redriven_.missed(); }

  /// For consumer groups. ok, full (also without memory) or closed.
  [[nodiscard]] outcome accept(const T& value, std::string_view group, std::string_view reason,
                               std::uint64_t offset, std::uint32_t attempts, std::int64_t first,
                               std::int64_t last) noexcept {
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      return letters_.try_publish(dead_letter<T>{value, std::string(reason), std::string(group), offset,
                                                 attempts, std::chrono::nanoseconds(first),
                                                 std::chrono::nanoseconds(last)});
#if MILLRACE_HAS_EXCEPTIONS
    } catch (...) {
      return outcome::full;
    }
#endif
  }

 private:
  [[nodiscard]] auto subscribed() {
    return letters_.subscribe({.from = earliest, .when_full = overrun::drop_oldest});
  }

  topic_type letters_;
  typename topic_type::subscription redriven_;
};

}  // namespace v0
}  // namespace millrace
