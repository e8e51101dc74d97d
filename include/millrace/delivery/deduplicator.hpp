// millrace/delivery/deduplicator.hpp - tells messages that have been handled before from those that have not.
//
// In two phases: who begins an id and finds it fresh handles the message, and then commits the id or aborts. If it were
// marked as seen when the message comes in, a handler that fails would find its own retry to be a duplicate, and the message
// would be lost. Here an id is a duplicate only once the handler has succeeded; before that it is in progress, and after an
// abort it is fresh again.
//
// Use it when : the same message may come twice (a producer that sends again, at-least-once delivery) and is to have its
//               effect once; or two workers must not handle the same id at the same time.
// Use instead : the database's own unique key, if the effect is a row there: it survives a crash, which this does not.
// Threads     : any, for everything. A ticket is settled by one thread, whichever. Construction and destruction: before and
//               after everything else; a ticket must be gone before its deduplicator.
// Order       : ids are forgotten in the order of their commits. What was written before a commit or an abort is visible to
//               whoever is answered by it: `duplicate`, or `fresh` once more.
// Progress    : blocking: one mutex, held for a search and a few links. It is one for all because the oldest id of all is
//               forgotten first, which takes one line of them. No thread of its own: what is past its window is removed
//               while others come, two with each begin. When there are twice as many as ever, the table grows, and all
//               wait until its ids are linked anew.
// Errors      : `false` from commit and abort: it was not in progress, or not yours to settle, and nothing is changed.
//               Destroying a deduplicator before its tickets is a contract violation and is asserted.
// Exceptions  : std::length_error for a capacity, std::invalid_argument for a window out of its range. std::bad_alloc, and what
//               Id's constructor throws, from begin and try_begin; what Hash and == throw, from verbs that take an id.
//               Nothing has changed then. A ticket's verbs throw nothing. == and Id's constructor are called with the
//               mutex held, and must not call back; Id's destructor may.
// Memory      : at most `capacity` committed ids, and those in progress, as many as were begun and not settled. For each: 48
//               bytes, sizeof(Id), what Id owns, and what the free store adds; for each that there has ever been at the
//               same time 8 to 16 more. With the defaults and an Id of 8 bytes 7.5 MB when it is full.
// Cost        : with 100,000 ids a begin and a commit together 170 ns, most of it for memory that is not in the cache; a
//               duplicate 90 ns. To grow at 65,536 ids takes 2 ms.
// Source      : the Idempotent Receiver of G. Hohpe & B. Woolf, Enterprise Integration Patterns, 2003; the window after NATS
//               JetStream's, whose default it has. The two phases are ours.
// Checked by  : tests/delivery/deduplicator_test.cpp, tests/models/deduplicator_models.cpp
//
// Example:
//   millrace::deduplicator<order_id> seen({.window = 10min});
//   auto once = seen.begin(m.id);
//   if (once.status() == millrace::dedup_status::fresh) {
//     charge(m);       // throws: the ticket aborts, and the retry is fresh
//     once.commit();
//   }
#pragma once

#include <cassert>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>  // std::hash, for less than functional costs
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/plain_word.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/sync.hpp"
#include "millrace/delivery/detail/id_table.hpp"

namespace millrace {
inline namespace v0 {

/// What a begin has found.
enum class dedup_status : std::uint8_t {
  fresh,        // it is yours: handle it, and then commit or abort
  in_progress,  // somebody has begun it, and has not committed or aborted yet; come again
  duplicate,    // it was committed within the window: drop it
};

struct deduplicator_options {
  std::size_t capacity = 100'000;  // committed ids, 1 to 2^31; one more makes it forget the oldest
  /// More than 0. An id is forgotten when it has come to its end, to the tick.
  std::chrono::nanoseconds window = std::chrono::minutes(2);
};

/// Id: compared by ==; copied or moved in.
/// A Clock that is set back: time stands still here until it has come to where it was. Ids are remembered for longer then,
/// and never for less.
template <class Id, class Hash = std::hash<Id>, clock Clock = std::chrono::steady_clock,
          class Sync = std_sync>
class deduplicator {
  static_assert(std::is_object_v<Id> && !std::is_const_v<Id> && !std::is_volatile_v<Id>,
                "deduplicator: Id must be an object type without const");
  static_assert(std::is_nothrow_destructible_v<Id>, "deduplicator: Id's destructor must not throw");
  static_assert(std::equality_comparable<Id>, "deduplicator: Ids must be comparable by ==");
  static_assert(std::is_invocable_r_v<std::size_t, const Hash&, const Id&>,
                "deduplicator: Hash must take a const Id& and give a std::size_t");

  using time_point = typename Clock::time_point;
  using table = detail::id_table<Id, time_point, Sync>;
  using node = typename table::node;
  using stage = detail::id_stage;

 public:
  using id_type = Id;
  using clock_type = Clock;
  using sync_type = Sync;
  using options = deduplicator_options;

  /// What a begin has found; and if that was `fresh`, the right and the duty to settle the id. Destroyed or assigned to
  /// before that, it aborts.
  class [[nodiscard]] ticket {
   public:
    ticket(ticket&& other) noexcept
        : of_(other.of_), mine_(std::exchange(other.mine_, nullptr)), status_(other.status_) {}
    ticket& operator=(ticket&& other) noexcept {
      if (this == &other) return *this;
      abort();
      of_ = other.of_;
      mine_ = std::exchange(other.mine_, nullptr);
      status_ = other.status_;
      return *this;
    }
    ~ticket() { abort(); }

    /// Stays as it is, also once the ticket is settled.
    [[nodiscard]] dedup_status status() const noexcept { return status_; }
    /// The handler has succeeded: from now on the id is a duplicate. False: there is nothing to settle, as it was not fresh,
    /// is settled, or was moved away.
    bool commit() noexcept {
      if (mine_ == nullptr) return false;
      of_->settle(*std::exchange(mine_, nullptr), true);
      return true;
    }
    /// The handler has failed: the id is fresh again. False: as for commit.
    bool abort() noexcept {
      if (mine_ == nullptr) return false;
      of_->settle(*std::exchange(mine_, nullptr), false);
      return true;
    }

   private:
    friend deduplicator;
    ticket(deduplicator& of, node* mine, dedup_status status) noexcept
        : of_(&of), mine_(mine), status_(status) {}

    deduplicator* of_;
    node* mine_;  // while there is something to settle
    dedup_status status_;
  };

  deduplicator()
    requires stateless_clock<Clock>
      : deduplicator(options()) {}
  explicit deduplicator(const options& chosen, Hash hash = Hash())
    requires stateless_clock<Clock>
      : deduplicator(clock_ref<Clock>(), chosen, std::move(hash)) {}
  /// `clock` must outlive it.
  explicit deduplicator(clock_ref<Clock> clock, const options& chosen = {}, Hash hash = Hash())
      : clock_(clock), hash_(std::move(hash)), capacity_(chosen.capacity), window_(chosen.window) {
    if (capacity_ < 1 || capacity_ > std::size_t{1} << 31) {
      detail::fail<std::length_error>("deduplicator: capacity must be 1 to 2^31 ids");
    }
    if (window_ <= std::chrono::nanoseconds::zero()) {
      detail::fail<std::invalid_argument>("deduplicator: window must be more than 0");
    }
    latest_ = clock_.now();
  }
  deduplicator(const deduplicator&) = delete;
  deduplicator& operator=(const deduplicator&) = delete;
  ~deduplicator() {
    assert(tickets_ == 0 && "deduplicator: destroyed before one of its tickets was settled");
  }

  // --- with a ticket ---

  [[nodiscard]] ticket begin(const Id& id)
    requires std::is_copy_constructible_v<Id>
  {
    return begin_with(id);
  }
  /// `id` is moved from only if it is fresh, and even then perhaps not.
  [[nodiscard]] ticket begin(Id&& id) { return begin_with(std::move(id)); }

  // --- without one, for who keeps the id anyway. Who was answered `fresh`, and nobody else, must settle it. ---

  [[nodiscard]] dedup_status try_begin(const Id& id)
    requires std::is_copy_constructible_v<Id>
  {
    node* mine = nullptr;
    return admit(id, stage::of_caller, mine);
  }
  [[nodiscard]] dedup_status try_begin(Id&& id) {
    node* mine = nullptr;
    return admit(std::move(id), stage::of_caller, mine);
  }
  /// As those of a ticket. False: it is not in progress, or a ticket has it.
  bool commit(const Id& id) { return settle_by_id(id, true); }
  bool abort(const Id& id) { return settle_by_id(id, false); }

  // --- whoever wants to know, or knows better ---

  /// Whether a begin would find a duplicate.
  [[nodiscard]] bool contains(const Id& id) const {
    const std::size_t hash = hash_of(id);
    const time_point now = clock_.now();
    const std::lock_guard lock(mutex_);
    pass(now);
    const node* const n = table_.find(hash, id);
    return n != nullptr && remembers(*n);
  }
  /// Makes a committed id fresh again. True: it would have been a duplicate. One in progress stays as it is.
  bool forget(const Id& id) {
    const std::size_t hash = hash_of(id);
    const time_point now = clock_.now();
    removed gone;
    const std::lock_guard lock(mutex_);
    pass(now);
    node* const n = table_.find(hash, id);
    if (n == nullptr || n->stage != stage::committed) return false;
    const bool remembered = remembers(*n);
    remove_committed(*n, gone);
    return remembered;
  }
  /// Forgets everything that is committed. What is in progress stays as it is.
  void clear() noexcept {
    removed gone;
    const std::lock_guard lock(mutex_);
    while (node* const n = table_.oldest()) remove_committed(*n, gone);
  }

  /// Those committed and those in progress. Among the committed may be some that are forgotten and not removed yet.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::lock_guard lock(mutex_);
    return table_.size();
  }
  [[nodiscard]] std::size_t in_progress() const noexcept {
    const std::lock_guard lock(mutex_);
    return in_progress_.get();
  }
  /// How often the answer was `duplicate`, ever.
  [[nodiscard]] std::uint64_t duplicates() const noexcept {
    const std::lock_guard lock(mutex_);
    return duplicates_;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::chrono::nanoseconds window() const noexcept { return window_; }

 private:
  /// Destroys what was removed; declared before the lock, so that Id's destructor runs after it.
  class removed {
   public:
    removed() noexcept = default;
    removed(const removed&) = delete;
    removed& operator=(const removed&) = delete;
    ~removed() {
      while (first_ != nullptr) table::destroy(std::exchange(first_, first_->next));
    }
    void add(node* n) noexcept { n->next = std::exchange(first_, n); }

   private:
    node* first_ = nullptr;
  };

  template <class K>
  ticket begin_with(K&& id) {
    node* mine = nullptr;
    const dedup_status found = admit(std::forward<K>(id), stage::of_ticket, mine);
    return ticket(*this, mine, found);
  }

  template <class K>
  dedup_status admit(K&& id, stage as, node*& mine) {
    const std::size_t hash = hash_of(id);
    const time_point now = clock_.now();
    removed gone;
    const std::lock_guard lock(mutex_);
    pass(now);
    // Two for the one that may come in, so that they become fewer.
    for (int i = 0; i < 2; ++i) {
      node* const n = table_.oldest();
      if (n == nullptr || remembers(*n)) break;
      remove_committed(*n, gone);
    }
    node* n = table_.find(hash, id);
    if (n == nullptr) {
      n = table_.insert(hash, std::forward<K>(id));
    } else if (n->stage != stage::committed) {
      return dedup_status::in_progress;
    } else if (remembers(*n)) {
      ++duplicates_;
      return dedup_status::duplicate;
    } else {
      table_.leave_line(*n);
    }
    n->stage = as;
    in_progress_.set(in_progress_.get() + 1);
    if (as == stage::of_ticket) ++tickets_;
    mine = n;
    return dedup_status::fresh;
  }

  /// Of a ticket.
  void settle(node& n, bool succeeded) noexcept {
    const time_point now = clock_.now();
    removed gone;
    const std::lock_guard lock(mutex_);
    pass(now);
    --tickets_;
    settle(n, succeeded, gone);
  }
  bool settle_by_id(const Id& id, bool succeeded) {
    const std::size_t hash = hash_of(id);
    const time_point now = clock_.now();
    removed gone;
    const std::lock_guard lock(mutex_);
    pass(now);
    node* const n = table_.find(hash, id);
    if (n == nullptr || n->stage != stage::of_caller) return false;
    settle(*n, succeeded, gone);
    return true;
  }

  [[nodiscard]] std::size_t hash_of(const Id& id) const {
    return static_cast<std::size_t>(std::as_const(hash_)(id));
  }

  // --- with the mutex held ---

  void pass(time_point now) const noexcept {
    if (latest_ < now) latest_ = now;
  }
  [[nodiscard]] bool remembers(const node& n) const noexcept {
    return n.stage == stage::committed && latest_ < n.until;
  }
  void settle(node& n, bool succeeded, removed& gone) noexcept {
    in_progress_.set(in_progress_.get() - 1);
    if (!succeeded) {
      gone.add(table_.take_out(n));
      return;
    }
    n.stage = stage::committed;
    n.until = detail::saturating_deadline(latest_, window_);
    table_.join_line(n);
    if (table_.size() - in_progress_.get() > capacity_) remove_committed(*table_.oldest(), gone);
  }
  void remove_committed(node& n, removed& gone) noexcept {
    table_.leave_line(n);
    gone.add(table_.take_out(n));
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  MILLRACE_NO_UNIQUE_ADDRESS Hash hash_;
  const std::size_t capacity_;
  const std::chrono::nanoseconds window_;
  mutable typename detail::mutex_of<Sync>::type mutex_;
  table table_;                                                     // \ guarded by mutex_
  typename detail::plain_of<Sync, std::size_t>::type in_progress_;  // |
  std::size_t tickets_ = 0;                                         // | that are to be settled
  std::uint64_t duplicates_ = 0;                                    // |
  mutable time_point latest_{};                                     // / that the clock has told
};

}  // namespace v0
}  // namespace millrace
