// millrace/flow/transaction.hpp - messages to several topics, and deliveries to be settled, as one: all of it or nothing.
//
// A handler that takes an order from one topic, and publishes an invoice to a second and a parcel to a third, must not leave
// half of that behind when the third is full or closed, or when something throws. It adds all to a transaction, and commits.
//
// Use it when : what is published belongs together, or a message is done once others, that it has led to, are published.
// Use instead : topic::publish for one message; topic::publish_n for several to one topic that need not stay together;
//               `half_messages`, if whether a message is to be published is decided elsewhere, and later.
// Threads     : one at a time; it may be moved to another. With producers::single, commit in the publisher's thread.
// Order       : messages appear one after the other, in the order in which they were added, whatever their topics; those of
//               others may come in between. While it is being committed a reader may find the first ones without the last
//               ones yet; who has found the last one finds all. When commit() has returned ok everybody finds all of them, and
//               unless it has, nobody ever finds any. What was written before is visible to who reads one. Deliveries are
//               acknowledged after the last message is there.
// Progress    : try_commit is lock-free but for storage, and for the mutexes of the deliveries' groups. The others sleep while one
//               of the topics has no room, and keep nothing of the others meanwhile. A close() of one of the topics that comes
//               while messages appear takes effect after them.
// Errors      : full (at a topic, at an instant inside the call; try_commit), timeout, closed (one of the topics), or cancelled
//               (one of the deliveries is none any more: its ack timeout has passed, or it has been settled, or its group was
//               moved): then nothing has been done, and the transaction is as it was, to be committed again or rolled back; but
//               after cancelled some of its deliveries have a day from then on before their ack timeout passes.
//               Room is one place in each topic, as for any publisher; with what it adds a topic may exceed its capacity.
//               At least once: a seek, a drain or the removal of a group in the very moment between the messages and the
//               acknowledgements makes those late; the group counts them, and delivers again.
// Exceptions  : std::bad_alloc, and what a value's copy throws, when something is added, which is not then; std::bad_alloc from
//               commit, before anything is published.
// Memory      : an allocation for each message and delivery, and for each topic; see publish_permit.hpp for what a commit needs.
// Cost        : 0.1 us for each message to a topic of its own, with the publish.
// Source      : the transactional outbox and the transactional client (G. Hohpe, B. Woolf, 2003), in one process; to acknowledge
//               what was consumed with what was produced is after Kafka (KIP-98, 2016).
// Checked by  : tests/flow/transaction_test.cpp, tests/models/topic_models.cpp
//
// Example:
//   auto d = paid.receive();
//   millrace::transaction tx;
//   tx.publish(invoices, invoice(*d));
//   tx.publish(parcels, parcel(*d));
//   tx.ack(std::move(d));
//   if (tx.commit() != millrace::outcome::ok) tx.rollback();   // nothing was published; the order has failed, and comes again
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/topic/publish_permit.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

/// `Clock` is that of its topics. They, and the groups of its deliveries, must outlive it, or its commit or rollback.
template <clock Clock = std::chrono::steady_clock>
class basic_transaction {
  using time_point = typename Clock::time_point;

 public:
  basic_transaction() noexcept = default;
  basic_transaction(basic_transaction&&) noexcept = default;
  basic_transaction& operator=(basic_transaction&&) noexcept = default;
  /// As rollback().
  ~basic_transaction() = default;

  // --- what belongs to it ---

  template <class Topic>
  void publish(Topic& to, typename Topic::value_type value) {
    static_assert(std::is_same_v<typename Topic::clock_type, Clock>,
                  "transaction: its topics must go by its clock, basic_transaction<Clock>");
    using party_type = party_of<Topic>;
    // why so far in advance: once something has been added, nothing may throw
    std::unique_ptr<party_type> fresh;
    const auto found =
        std::find_if(parties_.begin(), parties_.end(), [&](const auto& p) { return p->is(&to); });
    if (found == parties_.end()) {
      fresh = std::make_unique<party_type>(to);
      parties_.reserve(parties_.size() + 1);
    }
    party_type& via = fresh ? *fresh : static_cast<party_type&>(**found);
    messages_.push_back(std::make_unique<message_of<Topic>>(via, std::move(value)));
    ++via.messages;
    if (fresh) parties_.push_back(std::move(fresh));
  }
  /// Acknowledges the delivery once all is published. It is the transaction's from now on: to settle it otherwise, do so instead
  /// of adding it.
  template <class T>
  void ack(delivery<T>&& d) {
    settlements_.push_back(std::make_unique<settlement_of<T>>(std::move(d)));
  }
  [[nodiscard]] bool is_empty() const noexcept { return messages_.empty() && settlements_.empty(); }

  // --- its end; after ok it is empty, and can be used again ---

  /// Waits for room.
  [[nodiscard]] outcome commit() {
    return commit_by([] { return std::optional<time_point>(); });
  }
  /// Never waits.
  [[nodiscard]] outcome try_commit() {
    party* full = nullptr;
    return attempt(full);
  }
  template <class Rep, class Period>
  [[nodiscard]] outcome commit_for(std::chrono::duration<Rep, Period> limit) {
    return commit_by([&] {
      return std::optional<time_point>(detail::saturating_deadline(parties_.front()->now(), limit));
    });
  }
  [[nodiscard]] outcome commit_until(time_point deadline) {
    return commit_by([&] { return std::optional<time_point>(deadline); });
  }
  /// Nothing is published. Its deliveries have failed, as others that are dropped: nack().
  // why not release(): what fails each time would come back each time, at once, and never be a dead letter
  void rollback() noexcept { forget(); }

 private:
  /// A topic.
  struct party {
    explicit party(const void* topic) noexcept : topic_(topic) {}
    party(const party&) = delete;
    party& operator=(const party&) = delete;
    virtual ~party() = default;
    [[nodiscard]] bool is(const void* topic) const noexcept { return topic == topic_; }

    [[nodiscard]] virtual bool enter() noexcept = 0;  // false: closed
    virtual void leave() noexcept = 0;
    [[nodiscard]] virtual bool has_room() const noexcept = 0;
    virtual void reserve() = 0;
    [[nodiscard]] virtual outcome await_room(const std::optional<time_point>& deadline) = 0;
    [[nodiscard]] virtual time_point now() const noexcept = 0;

    std::size_t messages = 0;

   private:
    const void* const topic_;
  };
  struct message {
    message() noexcept = default;
    message(const message&) = delete;
    message& operator=(const message&) = delete;
    virtual ~message() = default;
    virtual void publish() noexcept = 0;
  };
  struct settlement {
    settlement() noexcept = default;
    settlement(const settlement&) = delete;
    settlement& operator=(const settlement&) = delete;
    virtual ~settlement() = default;
    [[nodiscard]] virtual bool prepare() noexcept = 0;  // false: it is too late
    virtual void conclude() noexcept = 0;
  };

  template <class Topic>
  struct party_of final : party {
    explicit party_of(Topic& t) noexcept : party(&t), to(t) {}
    bool enter() noexcept override {
      permit.emplace(to);
      return static_cast<bool>(*permit);
    }
    void leave() noexcept override { permit.reset(); }
    bool has_room() const noexcept override { return permit->has_room(); }
    void reserve() override { permit->reserve(this->messages); }
    outcome await_room(const std::optional<time_point>& deadline) override {
      return deadline ? publish_permit<Topic>::await_room_until(to, *deadline)
                      : publish_permit<Topic>::await_room(to);
    }
    time_point now() const noexcept override { return publish_permit<Topic>::now(to); }

    Topic& to;
    std::optional<publish_permit<Topic>> permit;
  };
  template <class Topic>
  struct message_of final : message {
    message_of(party_of<Topic>& p, typename Topic::value_type&& v) noexcept : via(p), value(std::move(v)) {}
    void publish() noexcept override { via.permit->publish(std::move(value)); }

    party_of<Topic>& via;
    typename Topic::value_type value;
  };
  template <class T>
  struct settlement_of final : settlement {
    explicit settlement_of(delivery<T>&& d) noexcept : what(std::move(d)) {}
    bool prepare() noexcept override { return what.extend(std::chrono::hours(24)); }
    void conclude() noexcept override { what.ack(); }

    delivery<T> what;
  };

  /// ok, closed, cancelled, or full at `full`.
  outcome attempt(party*& full) {
    const outcome o = publish_all(full);
    if (o != outcome::ok) return o;
    for (const auto& s : settlements_) s->conclude();
    forget();
    return o;
  }
  outcome publish_all(party*& full) {
    struct at_the_end {
      basic_transaction* me;
      ~at_the_end() {
        for (const auto& p : me->parties_) p->leave();
      }
    } const give_back{this};
    for (const auto& p : parties_) {
      if (!p->enter()) return outcome::closed;
    }
    for (const auto& p : parties_) {
      if (p->has_room()) continue;
      full = p.get();
      return outcome::full;
    }
    for (const auto& p : parties_) p->reserve();
    // why now: nothing else can fail or wait, so that what has been prolonged is settled at once
    for (const auto& s : settlements_) {
      if (!s->prepare()) return outcome::cancelled;
    }
    for (const auto& m : messages_) m->publish();
    return outcome::ok;
  }
  template <class Deadline>
  outcome commit_by(Deadline deadline_of) {
    party* full = nullptr;
    outcome o = attempt(full);
    if (o == outcome::full) {
      const std::optional<time_point> deadline = deadline_of();  // asked for only now, as it may read a clock
      while (o == outcome::full) {
        o = full->await_room(deadline);
        if (o == outcome::ok) o = attempt(full);
      }
    }
    return o;
  }
  void forget() noexcept {
    messages_.clear();
    settlements_.clear();
    parties_.clear();
  }

  std::vector<std::unique_ptr<party>> parties_;
  std::vector<std::unique_ptr<message>> messages_;
  std::vector<std::unique_ptr<settlement>> settlements_;
};

using transaction = basic_transaction<>;

}  // namespace v0
}  // namespace millrace
