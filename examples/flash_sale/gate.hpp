// The gate: light checks, a piece off the shelf, an order in the topic, and the buyer has an answer.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

#include "chance.hpp"
#include "crowd.hpp"
#include "latency.hpp"
#include "millrace/delivery/deduplicator.hpp"
#include "millrace/delivery/rate_limiter.hpp"
#include "order_book.hpp"
#include "service.hpp"

enum class answer_to_buyer : std::uint8_t { accepted, blacklisted, too_many, bought_before, sold_out };
constexpr std::size_t answers_to_buyers = 5;

template <class Clock>
class gate {
 public:
  gate(millrace::clock_ref<Clock> clock, const crowd& c, count seed, shelf& pieces, order_book& book,
       order_topic<Clock>& orders)
      : clock_(clock), crowd_(c), seed_(seed), shelf_(pieces), book_(book), orders_(orders) {}

  void admit(const request& r) {
    const auto began = clock_.now();
    const answer_to_buyer a = answer(r);
    if (a == answer_to_buyer::accepted) took_.add(clock_.now() - began);
    answers_[static_cast<std::size_t>(a)].fetch_add(1);
  }

  [[nodiscard]] count answered(answer_to_buyer a) const { return answers_[static_cast<std::size_t>(a)]; }
  [[nodiscard]] count answered() const {
    count all = 0;
    for (const auto& n : answers_) all += n;
    return all;
  }
  [[nodiscard]] count cents() const { return cents_; }
  [[nodiscard]] const latency& took() const { return took_; }

 private:
  answer_to_buyer answer(const request& r) {
    using enum answer_to_buyer;
    if (crowd_.blacklist.contains(r.network)) return blacklisted;
    if (!of_network_.try_acquire(r.network)) return too_many;
    auto once = buyers_.begin(r.buyer);
    if (once.status() != millrace::dedup_status::fresh) return bought_before;
    if (!shelf_.take()) return sold_out;  // and he may try again: his ticket is not committed
    once.commit();
    const order_id id = book_.open();
    chance drawn(seed_, purpose::doubles, id);
    const order o{id, r.buyer, 500 + drawn.below(9'500)};
    cents_.fetch_add(o.cents);
    publish(o);
    if (drawn.below(500) == 0) publish(o);  // it has not heard, and sends it again
    return accepted;
  }
  void publish(const order& o) {
    if (orders_.try_publish(o) != millrace::outcome::ok)
      throw std::logic_error("the topic has room for all orders");
  }

  millrace::clock_ref<Clock> clock_;
  const crowd& crowd_;
  count seed_;
  shelf& shelf_;
  order_book& book_;
  order_topic<Clock>& orders_;
  millrace::keyed_rate_limiter<std::uint32_t, Clock> of_network_{clock_, 200, std::chrono::seconds(1), 100};
  millrace::deduplicator<std::uint32_t, std::hash<std::uint32_t>, Clock> buyers_{
      clock_, {.capacity = crowd_.requests.size(), .window = std::chrono::hours(1)}};
  std::array<std::atomic<count>, answers_to_buyers> answers_{};
  std::atomic<count> cents_ = 0;
  latency took_;
};

/// One of several that share the requests. It looks up every millisecond, and sees to all that have come.
template <class Clock>
class gateway {
 public:
  using time_point = typename Clock::time_point;
  static constexpr std::size_t all = 2;  // how many there are

  gateway(gate<Clock>& g, const crowd& c, time_point start, std::size_t number)
      : gate_(&g), requests_(&c.requests), start_(start), next_(number) {}

  void step(time_point now) {
    for (; next_ < requests_->size() && due((*requests_)[next_]) <= now; next_ += all) {
      gate_->admit((*requests_)[next_]);
    }
  }
  [[nodiscard]] bool is_done() const { return next_ >= requests_->size(); }
  /// When to call step() again.
  [[nodiscard]] time_point next() const { return is_done() ? (time_point::max)() : due((*requests_)[next_]); }

 private:
  [[nodiscard]] time_point due(const request& r) const {
    return start_ + std::chrono::ceil<std::chrono::milliseconds>(std::chrono::microseconds(r.at));
  }

  gate<Clock>* gate_;
  const std::vector<request>* requests_;
  time_point start_;
  std::size_t next_;
};
