// order-service: has the provider bill each order, at the pace that is allowed, and sees to those that cannot be.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "ledger.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "order_book.hpp"
#include "provider.hpp"
#include "service.hpp"
#include "till.hpp"

/// It never waits for the provider: a delivery is kept until the answer comes, and settled then. If none comes, the ack
/// timeout brings the order back, as another delivery.
template <class Clock>
class order_service {
 public:
  using group_type = millrace::consumer_group<order_topic<Clock>>;
  using delivery = millrace::delivery<order>;

  order_service(group_type g, provider<Clock>& bank, order_book& book, till<Clock>& t, std::size_t orders)
      : group(std::move(g)), notes(orders), bank_(bank), book_(book), till_(t) {}

  void handle(delivery d) {
    const order o = *d;
    notes.note_delivery(o);
    if (book_.now(o.id) != order_state::accepted) {  // an order that was sent twice
      d.ack();
      return;
    }
    bank_.bill(o.id, [this, id = o.id, call = keep(std::move(d))](bill_answer a) { on_answer(id, call, a); });
  }

  group_type group;
  ledger notes;

 private:
  struct kept {
    delivery d;
    unsigned call = 0;
  };

  void on_answer(order_id id, unsigned call, bill_answer a) {
    using enum bill_answer::kind;
    delivery d = found(id, call);
    if (!d) return;  // it comes too late, and the order has been delivered again
    switch (a.what) {
      case billed:
        if (book_.turn(id, order_state::accepted, order_state::billed)) {
          notes.note_done(*d);
          till_.open(id);
        }
        d.ack();
        break;
      case failed: d.nack(); break;
      case busy: d.throttle(a.retry_after); break;
      case declined: d.reject("declined"); break;
    }
  }

  unsigned keep(delivery d) {
    const std::lock_guard lock(mutex_);
    kept& k = waiting_[d->id];
    k.d = std::move(d);  // an earlier one, whose time is up, goes
    k.call = ++calls_;
    return k.call;
  }
  delivery found(order_id id, unsigned call) {
    const std::lock_guard lock(mutex_);
    const auto k = waiting_.find(id);
    if (k == waiting_.end() || k->second.call != call) return {};
    delivery d = std::move(k->second.d);
    waiting_.erase(k);
    return d;
  }

  provider<Clock>& bank_;
  order_book& book_;
  till<Clock>& till_;
  std::mutex mutex_;
  std::unordered_map<order_id, kept> waiting_;  // \ guarded by mutex_
  unsigned calls_ = 0;                          // /
};

/// Sees to the dead letters: whatever is one is no order any more.
template <class Clock>
struct clerk {
  using topic = typename millrace::dead_letters<order, Clock>::topic_type;

  void handle(millrace::delivery<millrace::dead_letter<order>> d) {
    const order& o = d->value;
    if (book.turn(o.id, order_state::accepted, order_state::dead)) {
      bank.withdraw(o.id);
      pieces.put_back();
      notes.note_done(o);
    }
    d.ack();
  }

  order_book& book;
  shelf& pieces;
  provider<Clock>& bank;
  ledger& notes;  // order-service's
  millrace::consumer_group<topic> group;
};
