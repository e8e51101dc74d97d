// Where a pipeline takes its messages from. A source is what `from` has been given; its feed is that at work, for one pipeline.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/function.hpp"
#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/flow/detail/pipeline_item.hpp"
#include "millrace/flow/detail/unattended.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// A message is settled with its group, which keeps it until then.
template <class Topic>
class group_source {
 public:
  using value_type = typename Topic::value_type;
  using token = delivery<value_type>;

  explicit group_source(consumer_group<Topic> group) noexcept : group_(group) {}

  template <class Timers>
  class feed {
   public:
    feed(group_source from, Timers& timers) : group_(from.group_), timers_(timers) {}

    static const value_type& value(const token& t) noexcept { return *t; }
    void settle(token& t, settling how, std::string_view stage, std::string_view reason) noexcept {
      switch (how) {
        case settling::done: t.ack(); break;
        case settling::back: t.release(); break;
        case settling::dead: t.reject(std::string("stage ").append(stage).append(": ").append(reason)); break;
      }
    }

    void open(pipeline_wake wake) { puller_.emplace(group_, timers_, std::move(wake)); }
    /// put(i, token)
    template <class Put>
    outcome take(std::size_t n, std::size_t& got, Put put) {
      got = 0;
      if (!puller_) return outcome::empty;
      token batch[32];
      const outcome o = puller_->take(batch, n < 32 ? n : 32, got);
      for (std::size_t i = 0; i < got; ++i) put(i, std::move(batch[i]));
      return o;
    }
    void stand_back() noexcept {
      if (puller_) puller_->stand_back();
    }
    void close() noexcept { puller_.reset(); }
    [[nodiscard]] static std::size_t parked() noexcept { return 0; }
    static void take_parked(std::vector<value_type>&) noexcept {}

   private:
    consumer_group<Topic> group_;
    Timers& timers_;
    std::optional<typename consumer_group<Topic>::template puller<Timers, pipeline_wake>> puller_;
  };

 private:
  consumer_group<Topic> group_;
};

/// A value is the pipeline's as soon as it has been taken: it goes nowhere but to `on_dead`, or stays here.
template <class Channel>
class channel_source {
 public:
  using value_type = typename Channel::value_type;
  using token = std::optional<value_type>;
  using dead_handler = function<void(value_type&&, std::string_view, std::string_view)>;
  static_assert(std::is_nothrow_move_constructible_v<value_type>,
                "pipeline: the values of the channel must be nothrow move constructible");

  channel_source(Channel& channel, dead_handler on_dead) noexcept
      : channel_(channel), on_dead_(std::move(on_dead)) {}

  template <class Timers>
  class feed {
   public:
    feed(channel_source from, Timers&) : channel_(from.channel_), on_dead_(std::move(from.on_dead_)) {}

    static const value_type& value(const token& t) noexcept { return *t; }
    void settle(token& t, settling how, std::string_view stage, std::string_view reason) noexcept {
      if (how == settling::dead && on_dead_) {
        on_dead_(std::move(*t), stage, reason);
      } else if (how != settling::done) {
        const std::lock_guard lock(mutex_);
        // why in front: those that are given back come from behind
        if (how == settling::back) parked_.push_front(std::move(*t));
        if (how == settling::dead) parked_.push_back(std::move(*t));
      }
      t.reset();
    }

    void open(pipeline_wake wake) {
      wake_ = std::move(wake);
      stop_ = std::stop_source();
      is_open_ = true;
    }
    /// put(i, token)
    template <class Put>
    outcome take(std::size_t n, std::size_t& got, Put put) {
      got = 0;
      // (1) acquire; pairs with (2)
      if (is_waiting_.load(std::memory_order_acquire)) return outcome::empty;
      if (fetched_) put(got++, std::exchange(fetched_, std::nullopt));
      if (!is_open_) return outcome::empty;
      while (got < n) {
        token t = channel_.try_pop();
        if (!t) break;
        put(got++, std::move(t));
      }
      if (got != 0) return outcome::ok;
      if (has_ended_) return outcome::closed;
      is_waiting_.store(true, std::memory_order_relaxed);
      fetch(*this);
      return outcome::empty;
    }
    static void stand_back() noexcept {}
    void close() noexcept {
      if (!std::exchange(is_open_, false)) return;
      stop_.request_stop();
      // The thread that is just giving it a value is about to be done.
      while (is_waiting_.load(std::memory_order_acquire)) std::this_thread::yield();  // (1)
      wake_ = {};
      has_ended_ = false;
    }
    [[nodiscard]] std::size_t parked() const {
      const std::lock_guard lock(mutex_);
      return parked_.size();
    }
    void take_parked(std::vector<value_type>& into) {
      const std::lock_guard lock(mutex_);
      into.reserve(into.size() + parked_.size());  // before any of them has been moved
      for (value_type& v : parked_) into.push_back(std::move(v));
      parked_.clear();
    }

   private:
    /// Waits for one value, where who pushes it finds us; what is to be done with it is for take().
    static unattended fetch(feed& me) {
      const std::stop_token stop = me.stop_.get_token();
      token t = co_await me.channel_.async_pop(inline_executor(), stop);
      me.has_ended_ = !t && !stop.stop_requested();
      me.fetched_ = std::move(t);
      const pipeline_wake wake = me.wake_;
      me.is_waiting_.store(false, std::memory_order_release);  // (2) the last touch
      wake();
    }

    Channel& channel_;
    dead_handler on_dead_;
    pipeline_wake wake_;
    std::stop_source stop_{std::nostopstate};
    bool is_open_ = false;
    std::atomic<bool> is_waiting_{false};
    token fetched_;           // \ whose is_waiting_ says
    bool has_ended_ = false;  // /
    mutable std::mutex mutex_;
    std::deque<value_type> parked_;  // guarded by mutex_
  };

 private:
  Channel& channel_;
  dead_handler on_dead_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
