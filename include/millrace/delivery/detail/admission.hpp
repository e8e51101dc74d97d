// Whether a message may be delivered now: it may have been seen before, or those who are called can take only so much.
#pragma once

#include <chrono>
#include <cstdint>

#include "millrace/core/config.hpp"
#include "millrace/delivery/circuit_breaker.hpp"
#include "millrace/delivery/duplicate_check.hpp"
#include "millrace/delivery/group_stats.hpp"
#include "millrace/delivery/rate_limiter.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Options>
class admission {
  using value_type = typename Options::value_type;
  using clock_type = typename Options::clock_type;
  using breaker = circuit_breaker<clock_type, typename Options::sync_type>;

 public:
  using permit = typename breaker::permit;

  explicit admission(const Options& chosen) noexcept
      : duplicates_(chosen.duplicates), breaker_(chosen.breaker), limiter_(chosen.limiter) {}

  [[nodiscard]] dedup_status begin(const value_type& m) {
    return duplicates_ == nullptr ? dedup_status::fresh : duplicates_->try_begin(m);
  }
  void commit(const value_type& m) noexcept {
    if (duplicates_ != nullptr) duplicates_->commit(m);
  }
  void abort(const value_type& m) noexcept {
    if (duplicates_ != nullptr) duplicates_->abort(m);
  }

  /// none, and `given` is for it; or who says no, and next() when to ask again.
  [[nodiscard]] blocked_by ask(permit& given, std::int64_t now) {
    if (breaker_ != nullptr) {
      given = breaker_->try_acquire();
      if (!given) {
        next_ = ticks(breaker_->opens_at());
        // why: others probe it just now, and nobody will tell how that went
        constexpr std::int64_t a_while = 100'000'000;
        if (next_ <= now) next_ = now + a_while;
        return blocked_by::breaker;
      }
    }
    if (limiter_ != nullptr && !limiter_->try_acquire()) {
      given = {};
      next_ = ticks(limiter_->next_at());
      return blocked_by::rate;
    }
    return blocked_by::none;
  }
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  /// By any thread: what has leave to go, and has not gone, had better not.
  [[nodiscard]] bool has_opened() const noexcept {
    return breaker_ != nullptr && breaker_->state() == circuit_state::open;
  }

 private:
  static std::int64_t ticks(typename clock_type::time_point t) noexcept {
    if (t == (clock_type::time_point::max)()) return INT64_MAX;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
  }

  duplicate_check<value_type>* const duplicates_;
  breaker* const breaker_;
  rate_limiter<clock_type, typename Options::sync_type>* const limiter_;
  std::int64_t next_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
