// Where a reply is put for who has asked: one for each request, held by the copies of its query, the answer, and the timer.
//
//   open -> taken -> settled      by whoever is first: a reply, the timer, the last copy of the query, or the asker itself
//
// Between `taken` and `settled` one thread writes the response, which takes it some instructions; everybody else is too late
// from `taken` on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/flow/response.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// What the requests of one requester have in common. It lives as long as any of their queries.
template <class Sync>
class request_desk {
 public:
  void add_sent() noexcept { add(sent_); }
  void add_late() noexcept { add(late_); }
  void add(request_outcome what) noexcept { add(settled_[static_cast<std::size_t>(what)]); }

  [[nodiscard]] request_stats stats() const noexcept {
    const auto of = [this](request_outcome what) {
      return settled_[static_cast<std::size_t>(what)].load(std::memory_order_relaxed);
    };
    using enum request_outcome;
    return {.sent = sent_.load(std::memory_order_relaxed),
            .answered = of(ok),
            .failed = of(failed),
            .unanswered = of(unanswered),
            .timed_out = of(timeout),
            .refused = of(full) + of(closed),
            .cancelled = of(cancelled),
            .late = late_.load(std::memory_order_relaxed)};
  }
  waiting_room<Sync> asking;  // for the spinning only: each sleeps at its own slot

 private:
  using counter = typename Sync::template atomic<std::uint64_t>;
  // why relaxed is enough: nothing hangs on them
  static void add(counter& c) noexcept { c.fetch_add(1, std::memory_order_relaxed); }
  counter sent_{0};
  counter settled_[request_outcomes]{};
  counter late_{0};
};

template <class Reply, class Sync>
class reply_slot {
  static_assert(std::is_nothrow_move_constructible_v<Reply>,
                "query: the reply must be movable without throwing, as whoever waits for it cannot be told");

 public:
  using desk = request_desk<Sync>;
  using events = basic_event_count<Sync>;

  explicit reply_slot(std::shared_ptr<desk> of) noexcept : desk_(std::move(of)) {
    if (desk_) desk_->add_sent();
  }
  reply_slot(const reply_slot&) = delete;
  reply_slot& operator=(const reply_slot&) = delete;

  // --- who is first; false: somebody was before ---

  bool reply(Reply&& value) noexcept {
    return counted(settle(request_outcome::ok, [&](auto& r) { r.value.emplace(std::move(value)); }));
  }
  bool fail(std::string&& reason) noexcept {
    return counted(settle(request_outcome::failed, [&](auto& r) { r.reason = std::move(reason); }));
  }
  /// Before or instead of being asked.
  void refuse(request_outcome what) noexcept {
    settle(what, [](auto&) {});
  }
  /// By the timer: it has fired, or been dropped.
  void expire(request_outcome what) noexcept {
    settle(what, [](auto&) {}, false);
  }

  // --- looking and waiting ---

  /// A hint.
  [[nodiscard]] bool is_open() const noexcept { return state_.load(std::memory_order_relaxed) == open; }
  [[nodiscard]] bool is_settled() const noexcept {
    return state_.load(std::memory_order_acquire) == settled;  // (2) acquire; pairs with (1)
  }
  [[nodiscard]] events& line() noexcept { return told_; }
  void wait() {
    const auto look = [this] { return is_settled() ? outcome::ok : outcome::empty; };
    if (look() == outcome::ok || (desk_ && desk_->asking.spin(outcome::empty, look) == outcome::ok)) return;
    typename events::waiter me;
    while (!is_settled()) {
      told_.prepare_wait(me);
      if (is_settled()) {
        told_.cancel_wait(me);
        return;
      }
      told_.wait(me);
    }
  }
  /// By the asker, once it is settled.
  [[nodiscard]] response<Reply> take() noexcept { return std::move(response_); }
  /// By the asker, who does not want it any more.
  void abandon() {
    if (settle(request_outcome::cancelled, [](auto&) {})) return;
    wait();
    response_ = {};  // why: the query may stay in the log for long
  }

  // --- who has it ---

  // why relaxed is enough: who adds one has one
  void add_owner() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void drop_owner() noexcept {
    // (3) release and acquire: all that was done with it comes before its end
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  /// All queries together are one owner.
  void add_query() noexcept { queries_.fetch_add(1, std::memory_order_relaxed); }
  void drop_query() noexcept {
    // (4) release and acquire: what was done by all who had one is visible to the asker, if it is told that nobody has answered
    if (queries_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    settle(request_outcome::unanswered, [](auto&) {});
    drop_owner();
  }

 protected:
  ~reply_slot() = default;
  virtual void destroy() noexcept = 0;
  virtual void cancel_timer() noexcept = 0;

 private:
  enum : std::uint32_t { open, taken, settled };

  bool counted(bool first) noexcept {
    if (!first && desk_) desk_->add_late();
    return first;
  }
  template <class Fill>
  bool settle(request_outcome what, Fill fill, bool has_timer = true) noexcept {
    std::uint32_t was = open;
    // Relaxed: only one does it, and what it finds was written before anybody else had the slot.
    if (!state_.compare_exchange_strong(was, taken, std::memory_order_relaxed, std::memory_order_relaxed)) {
      return false;
    }
    response_.what = what;
    fill(response_);
    if (desk_) desk_->add(what);
    if (has_timer) cancel_timer();  // why now: once it is settled, the timers may be gone
    state_.exchange(settled, std::memory_order_release);  // (1) pairs with (2)
    told_.notify_all();
    return true;
  }

  typename Sync::template atomic<std::uint32_t> state_{open};
  typename Sync::template atomic<std::uint32_t> owners_{2};  // the answer, and the queries
  typename Sync::template atomic<std::uint32_t> queries_{1};
  events told_;
  response<Reply> response_;
  const std::shared_ptr<desk> desk_;  // or none
};

/// One with a timer, which is set before anybody else hears of it.
template <class Reply, class Sync, class Timers>
class timed_reply_slot final : public reply_slot<Reply, Sync> {
  using base = reply_slot<Reply, Sync>;

 public:
  [[nodiscard]] static timed_reply_slot& make(Timers& timers, std::shared_ptr<typename base::desk> of) {
    allocator a;
    return *::new (static_cast<void*>(a.allocate(1))) timed_reply_slot(timers, std::move(of));
  }
  void set_timer(typename Timers::time_point deadline) {
    timer_ = timers_.schedule_at(deadline, expiry(*this));
  }

 private:
  template <class S>
  struct allocator_for {
    using type = std::allocator<timed_reply_slot>;
  };
  template <class S>
    requires requires { typename S::template allocator<char>; }
  struct allocator_for<S> {
    using type = typename S::template allocator<timed_reply_slot>;
  };
  // why: a model check brings storage of its own, in which every touch after the end is seen
  using allocator = typename allocator_for<Sync>::type;

  class expiry {
   public:
    explicit expiry(timed_reply_slot& s) noexcept : slot_(&s) { s.add_owner(); }
    expiry(expiry&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
    expiry& operator=(expiry&&) = delete;
    ~expiry() {
      if (slot_ == nullptr) return;
      slot_->expire(request_outcome::closed);  // if it is still open, the timers have been stopped
      slot_->drop_owner();
    }
    void operator()() const noexcept { slot_->expire(request_outcome::timeout); }

   private:
    timed_reply_slot* slot_;
  };

  timed_reply_slot(Timers& timers, std::shared_ptr<typename base::desk> of) noexcept
      : base(std::move(of)), timers_(timers) {}
  ~timed_reply_slot() = default;
  void cancel_timer() noexcept override { static_cast<void>(timers_.cancel(timer_)); }
  void destroy() noexcept override {
    this->~timed_reply_slot();
    allocator().deallocate(this, 1);
  }

  Timers& timers_;
  typename Timers::timer timer_;
};

/// A query's share in its slot.
template <class Reply, class Sync>
class query_ref {
  using slot = reply_slot<Reply, Sync>;

 public:
  query_ref() noexcept = default;
  explicit query_ref(slot& first) noexcept : slot_(&first) {}
  query_ref(const query_ref& o) noexcept : slot_(o.slot_) {
    if (slot_ != nullptr) slot_->add_query();
  }
  query_ref(query_ref&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
  query_ref& operator=(query_ref o) noexcept {
    std::swap(slot_, o.slot_);
    return *this;
  }
  ~query_ref() {
    if (slot_ != nullptr) slot_->drop_query();
  }
  [[nodiscard]] slot* get() const noexcept { return slot_; }

 private:
  slot* slot_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
