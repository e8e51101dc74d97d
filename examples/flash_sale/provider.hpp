// A payment provider as they are: it answers after a while, or not at all; it fails, wants less, and is dead for a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "chance.hpp"
#include "millrace/time/timer_service.hpp"
#include "order_book.hpp"

struct bill_answer {
  enum class kind : std::uint8_t { billed, failed, busy, declined } what;
  std::chrono::milliseconds retry_after{0};  // if it is busy
};

template <class Clock>
class provider {
  using timers = millrace::basic_timer_service<Clock>;
  using time_point = typename Clock::time_point;

 public:
  /// It is dead from the first time to the second one.
  provider(timers& t, count seed, time_point dies, time_point revives, std::size_t orders)
      : timers_(t), seed_(seed), dies_(dies), revives_(revives), calls_(orders), bills_(orders) {}

  /// Sends the customer a bill; reply(bill_answer) is called later, in the timers' thread, or never. The order's id is the
  /// idempotency key: however often it is called for an order, there is one bill.
  template <class Reply>
  void bill(order_id id, Reply reply) {
    using namespace std::chrono_literals;
    using enum bill_answer::kind;
    chance drawn(seed_, purpose::provider, id, calls_[id].fetch_add(1));
    if (is_dead(timers_.now())) return answer(1ms, {failed}, reply);
    const std::chrono::milliseconds latency(10 + drawn.below(40));
    const std::uint32_t fate = drawn.below(10'000);
    if (fate < 4) return answer(latency, {busy, 20ms}, reply);
    if (fate < 200) return answer(latency, {failed}, reply);
    if (chance(seed_, purpose::declined, id).below(1000) < 8 || !stand(id))
      return answer(latency, {declined}, reply);
    if (fate < 300) return;  // the bill is there, and nobody hears of it
    answer(latency, {billed}, reply);
  }
  /// The bill does not stand any more, nor ever will.
  void withdraw(order_id id) { bills_[id] = bill_state::withdrawn; }

  [[nodiscard]] bool is_dead(time_point now) const { return dies_ <= now && now < revives_; }
  /// How many bills stand, one by one.
  [[nodiscard]] count standing() const {
    count n = 0;
    for (const auto& b : bills_) n += b == bill_state::stands;
    return n;
  }

 private:
  enum class bill_state : std::uint8_t { none, stands, withdrawn };

  bool stand(order_id id) {
    bill_state was = bill_state::none;
    return bills_[id].compare_exchange_strong(was, bill_state::stands) || was == bill_state::stands;
  }
  template <class Reply>
  void answer(std::chrono::milliseconds latency, bill_answer a, Reply reply) {
    timers_.schedule_after(latency, [reply, a]() mutable { reply(a); });
  }

  timers& timers_;
  count seed_;
  time_point dies_;
  time_point revives_;
  std::vector<std::atomic<std::uint16_t>> calls_;
  std::vector<std::atomic<bill_state>> bills_;
};
