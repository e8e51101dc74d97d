// What a bus keeps, where the type of the messages is known.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

#include "millrace/bus/detail/bus_checks.hpp"
#include "millrace/bus/detail/entries.hpp"
#include "millrace/bus/detail/task_gate.hpp"
#include "millrace/bus/detail/type_tag.hpp"
#include "millrace/bus/options.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/delivery/delivery.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class T, clock Clock>
using bus_topic = topic<T, producers::multi, Clock>;

template <class T, clock Clock>
class typed_topic : public topic_on_bus {
 public:
  using topic_type = bus_topic<T, Clock>;

  [[nodiscard]] topic_type& get() const noexcept { return *topic_; }
  void close() noexcept override { topic_->close(); }
  [[nodiscard]] std::uint64_t tail() const noexcept override { return topic_->tail(); }
  void look(topic_info& out) const override {
    out.capacity = topic_->capacity();
    out.published = topic_->tail();
    out.first_kept = topic_->first_kept();
    out.bytes = topic_->bytes();
    out.blocked = topic_->blocked_time();
  }

 protected:
  typed_topic(std::string name, const named_topic_options& chosen)
      : topic_on_bus(std::move(name), type_tag_of<T>(), chosen) {}
  void set(topic_type& t) noexcept { topic_ = &t; }

 private:
  topic_type* topic_ = nullptr;
};

template <class T, clock Clock>
class plain_topic final : public typed_topic<T, Clock> {
 public:
  plain_topic(std::string name, clock_ref<Clock> clock, const named_topic_options& chosen)
      : typed_topic<T, Clock>(std::move(name), chosen), topic_(chosen.capacity, clock, chosen.log) {
    this->set(topic_);
  }

 private:
  bus_topic<T, Clock> topic_;
};

/// Dead letters of T.
template <class T, clock Clock>
class letters_topic final : public typed_topic<dead_letter<T>, Clock> {
 public:
  letters_topic(std::string name, clock_ref<Clock> clock, const named_topic_options& chosen)
      : typed_topic<dead_letter<T>, Clock>(std::move(name), chosen),
        letters_(chosen.capacity, clock, chosen.log) {
    this->set(letters_.letters());
  }
  [[nodiscard]] void* letters() noexcept override { return &letters_; }

 private:
  dead_letters<T, Clock> letters_;
};

/// A subscription's handler, whatever it is and takes.
// why: a group's workers are a lot of code, and so there is one of it for a type, and not for each handler
template <class T>
class any_handler {
 public:
  any_handler() noexcept = default;
  any_handler(const any_handler&) = delete;
  any_handler& operator=(const any_handler&) = delete;
  virtual ~any_handler() = default;
  virtual void call(delivery<T>& d) = 0;
};

template <class T, class Handler>
class handler_of final : public any_handler<T> {
 public:
  explicit handler_of(Handler&& h) : handler_(std::move(h)) {}
  void call(delivery<T>& d) override {
    if constexpr (std::is_invocable_v<Handler&, delivery<T>&>) {
      handler_(d);
    } else {
      handler_(*d);
    }
  }

 private:
  Handler handler_;
};

/// As a group's workers call it.
template <class T>
struct shared_handler {
  std::shared_ptr<any_handler<T>> shared;
  void operator()(delivery<T>& d) const { shared->call(d); }
};

/// What the groups of a bus run with.
template <clock Clock>
struct bus_means {
  std::shared_ptr<task_gate> gate;
  basic_timer_service<Clock>& timers;
};

template <class T, clock Clock>
class typed_group final : public group_on_bus {
  using group = consumer_group<bus_topic<T, Clock>>;

 public:
  typed_group(topic_on_bus& on, subscription_on_bus& by, group g, const bus_means<Clock>& means,
              std::size_t workers, shared_handler<T> handler)
      : group_on_bus(on, by), group_(g), means_(means), workers_(workers), handler_(std::move(handler)) {}
  ~typed_group() override {
    if (!is_kept) group_.remove();
  }

  [[nodiscard]] group_stats stats() const override { return group_.stats(); }
  [[nodiscard]] std::size_t workers() const override { return workers_; }
  void pause() override { group_.pause(); }
  [[nodiscard]] outcome wait_until_settled(std::chrono::nanoseconds deadline,
                                           const std::stop_token& stop) override {
    using time_point = typename Clock::time_point;
    const time_point at = deadline == (std::chrono::nanoseconds::max)()
                              ? (time_point::max)()
                              : time_point(std::chrono::ceil<typename Clock::duration>(deadline));
    return group_.wait_until_settled(at, stop);
  }

 private:
  void run() override { group_.run_on(post_to{*means_.gate}, means_.timers, workers_, handler_); }
  void end() override { group_.stop(); }

  group group_;
  const bus_means<Clock> means_;
  const std::size_t workers_;
  const shared_handler<T> handler_;
};

template <class T, clock Clock>
class typed_subscription final : public subscription_on_bus {
 public:
  using options = group_options<bus_topic<T, Clock>>;

  /// `letters` is the entry of chosen.dead_letters, if that names one.
  typed_subscription(std::string pattern, std::string group, subscribe_options<T, Clock>&& chosen,
                     std::shared_ptr<topic_on_bus> letters, const bus_means<Clock>& means,
                     shared_handler<T> handler)
      : subscription_on_bus(std::move(pattern), std::move(group), type_tag_of<T>()),
        chosen_(std::move(chosen)),
        letters_(std::move(letters)),
        means_(means),
        handler_(std::move(handler)) {}

  /// Checks what it says.
  [[nodiscard]] absl::Status set(options& o) {
    if (chosen_.group) chosen_.group(o);
    if (letters_ != nullptr) {
      if (o.dead_letters != nullptr) {
        return out_of_range("group.dead_letters", "nullptr where options.dead_letters names a topic");
      }
      o.dead_letters = static_cast<dead_letters<T, Clock>*>(letters_->letters());
    }
    return check_options(o);
  }
  [[nodiscard]] absl::StatusOr<std::shared_ptr<group_on_bus>> make(topic_on_bus& on) override {
    options o;
    if (absl::Status s = set(o); !s.ok()) return s;
    auto& to = static_cast<typed_topic<T, Clock>&>(on).get();
    auto made = std::make_shared<typed_group<T, Clock>>(on, *this, to.group(this->group(), std::move(o)),
                                                        means_, chosen_.workers, handler_);
    made->buries_in = letters_;
    return std::shared_ptr<group_on_bus>(std::move(made));
  }

 private:
  subscribe_options<T, Clock> chosen_;
  const std::shared_ptr<topic_on_bus> letters_;
  const bus_means<Clock> means_;
  const shared_handler<T> handler_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
