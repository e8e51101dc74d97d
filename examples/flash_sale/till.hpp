// Customers who have a bill pay it within two seconds, or their order is cancelled; some come just then.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "chance.hpp"
#include "millrace/delivery/delayed_publisher.hpp"
#include "millrace/time/timer_service.hpp"
#include "order_book.hpp"
#include "provider.hpp"
#include "service.hpp"

template <class Clock>
using cancellation_topic = millrace::topic<order_id, millrace::producers::multi, Clock>;

/// The bills that are open.
template <class Clock>
class till {
 public:
  till(millrace::basic_timer_service<Clock>& t, cancellation_topic<Clock>& c, order_book& book, count seed,
       std::size_t orders)
      : timers_(t), cancellations_(c), book_(book), seed_(seed), tickets_(orders) {}

  /// The customer has got the bill.
  void open(order_id id) {
    using namespace std::chrono_literals;
    constexpr auto limit = 2000ms;
    tickets_[id] = cancellations_.delayed().publish_after(limit, id);
    chance drawn(seed_, purpose::customers, id);
    const std::uint32_t kind = drawn.below(100);
    if (kind < 5) return;  // never pays
    const auto wait = kind < 13 ? limit - 2ms + std::chrono::milliseconds(drawn.below(5))
                                : 100ms + std::chrono::milliseconds(drawn.below(1400));
    timers_.schedule_after(wait, [this, id] { pay(id); });
  }
  [[nodiscard]] count payments() const { return payments_; }
  [[nodiscard]] count refunds() const { return refunds_; }
  /// Payments that were in time, when the cancellation was on its way already.
  [[nodiscard]] count close_ones() const { return close_; }

 private:
  void pay(order_id id) {
    payments_.fetch_add(1);
    if (!book_.turn(id, order_state::billed, order_state::paid)) {
      refunds_.fetch_add(1);
    } else if (!cancellations_.delayed().cancel(tickets_[id])) {
      close_.fetch_add(1);
    }
  }

  millrace::basic_timer_service<Clock>& timers_;
  cancellation_topic<Clock>& cancellations_;
  order_book& book_;
  count seed_;
  std::vector<typename millrace::delayed_publisher<cancellation_topic<Clock>>::ticket> tickets_;
  std::atomic<count> payments_ = 0;
  std::atomic<count> refunds_ = 0;
  std::atomic<count> close_ = 0;
};

/// A message in its topic says that an order's time is over.
template <class Clock>
struct canceller {
  using topic = cancellation_topic<Clock>;

  void handle(millrace::delivery<order_id> d) {
    if (book.turn(*d, order_state::billed, order_state::cancelled)) {
      bank.withdraw(*d);
      pieces.put_back();
    }
    d.ack();
  }

  order_book& book;
  shelf& pieces;
  provider<Clock>& bank;
  millrace::consumer_group<topic> group;
};
