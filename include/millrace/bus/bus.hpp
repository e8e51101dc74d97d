// millrace/bus/bus.hpp - named topics, and handlers for all topics whose names match a pattern; one place that starts and ends it all.
//
// Who publishes knows a topic's name and type, and who handles knows a pattern. Which groups a topic has is found out when it is
// created, or when somebody subscribes, and never when something is published.
//
// Use it when : parts of a program exchange messages of several types, are to be started, drained and stopped together, and looked at
//               from one place.
// Use instead : `topic` and `consumer_group`, for one topic whose owner is known to all.
// Threads     : any number, for everything. start and stop come one after the other. drain and stop not in a handler, nor in a task of
//               the executor, since they wait for these.
// Order       : of a topic's messages as consumer_group says; none between topics.
// Progress    : publishing is the topic's own affair, and compares no names. The rest takes a mutex, but not to call a handler or what
//               the options name. Nothing polls.
// Errors      : a status names the argument, and its range or what it clashes with. InvalidArgument: out of range, or a topic of another
//               type; AlreadyExists: other options than the topic has, or a second handler for a group; FailedPrecondition: it has
//               been stopped, or, from drain, does not run and has something unsettled; DeadlineExceeded from drain.
// Exceptions  : std::bad_alloc; std::system_error from start, when the system has no thread, and nothing has been started then; what the
//               host's `group` function throws; std::out_of_range if that begins at an offset which is not there yet;
//               std::logic_error if a group of the subscription's name has been run without the bus.
// Memory      : 600 bytes a subscription; 7 KiB a topic, with its log, before anything is published; 3 KiB a group on it, beside what
//               consumer_group says. Kept until the bus is gone.
// Cost        : to publish, that of the topic with its groups, whatever other subscriptions there are: 16 ns with three, alone or
//               among ten thousand. 1 to 5 us to subscribe, some 20 us to make a topic, and 5 us for each group that comes of it.
// Source      : subject-based addressing as in the Information Bus (B. Oki et al., SOSP 1993), with the patterns of NATS.
// Checked by  : tests/bus/bus_test.cpp, tests/bus/bus_threads_test.cpp
//
// Example:
//   millrace::bus shop({.name = "shop", .workers = 4});
//   absl::Status s = shop.subscribe<order>("orders.*", "billing", [](const order& o) { charge(o); });
//   absl::StatusOr<millrace::named_topic<order>> orders = shop.topic<order>("orders.paid");
//   s.Update(shop.start());
//   if (s.ok() && orders.ok()) static_cast<void>((*orders)->publish(o));
//   s.Update(shop.drain(std::chrono::steady_clock::now() + 5s));   // everything is settled, or it says what is not
//   fmt::print("{}{}\n", shop.describe(), s.ToString());
//   shop.stop();
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/bus/bus_info.hpp"
#include "millrace/bus/detail/bus_checks.hpp"
#include "millrace/bus/detail/bus_registry.hpp"
#include "millrace/bus/detail/task_gate.hpp"
#include "millrace/bus/detail/type_tag.hpp"
#include "millrace/bus/detail/typed_entries.hpp"
#include "millrace/bus/named_topic.hpp"
#include "millrace/bus/options.hpp"
#include "millrace/bus/subject.hpp"
#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/is_null.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/dead_letters.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/time/timer_service.hpp"
#include "millrace/topic/topic.hpp"

namespace millrace {
inline namespace v0 {

template <clock Clock = std::chrono::steady_clock>
class basic_bus {
 public:
  using clock_type = Clock;
  using time_point = typename Clock::time_point;
  using timer_service = basic_timer_service<Clock>;

  /// The options are checked by start(). `hooks` are for the timers.
  explicit basic_bus(bus_options chosen, typename timer_service::hooks hooks = {})
    requires stateless_clock<Clock>
      : basic_bus(clock_ref<Clock>(), std::move(chosen), std::move(hooks)) {}
  /// The clock must outlive the bus.
  basic_bus(clock_ref<Clock> clock, bus_options chosen, typename timer_service::hooks hooks = {})
      : clock_(clock),
        chosen_(std::move(chosen)),
        timers_(clock, std::move(hooks)),
        registry_(chosen_.name) {}
  basic_bus(const basic_bus&) = delete;
  basic_bus& operator=(const basic_bus&) = delete;
  /// As stop(). Every other call must have returned, and handles are void.
  ~basic_bus() { stop(); }

  // --- topics and handlers ---

  /// The topic of that name, made if there is none.
  template <class T>
  [[nodiscard]] absl::StatusOr<named_topic<T, Clock>> topic(std::string_view name) {
    return find_topic<T>(name, nullptr);
  }
  /// Likewise. If it is there, it must have these options.
  template <class T>
  [[nodiscard]] absl::StatusOr<named_topic<T, Clock>> topic(std::string_view name,
                                                            const named_topic_options& chosen) {
    return find_topic<T>(name, &chosen);
  }
  /// A topic of `dead_letter<T>` in which groups bury what they give up, for those who want to redrive it; made if there is none.
  /// FailedPrecondition: a topic of that name and type is there, but somebody has made it with topic().
  template <class T>
  [[nodiscard]] absl::StatusOr<millrace::dead_letters<T, Clock>*> dead_letters(std::string_view name) {
    return letters_in<T>(find_letters<T>(name, nullptr));
  }
  template <class T>
  [[nodiscard]] absl::StatusOr<millrace::dead_letters<T, Clock>*> dead_letters(
      std::string_view name, const named_topic_options& chosen) {
    return letters_in<T>(find_letters<T>(name, &chosen));
  }

  /// A consumer group of that name on every topic of T that matches the pattern, now or later; its messages are handed to `handler`, as
  /// by consumer_group::run_on, in the bus's workers while it runs. Several may call the handler at the same time. Publishers wait for a
  /// group that is behind, also before start(). Topics of other types are passed over, and noted in snapshot(); without wildcards
  /// the type must be right. For one pattern a group has one handler for each type; for another handler, take another name.
  template <class T, class Handler>
  [[nodiscard]] absl::Status subscribe(std::string_view pattern, std::string_view group,
                                       subscribe_options<T, Clock> chosen, Handler handler) {
    using entry = detail::typed_subscription<T, Clock>;
    if (absl::Status s = check_pattern(pattern); !s.ok()) return s;
    if (group.empty()) return detail::out_of_range("group", "a name, and not empty");
    if (absl::Status s = detail::check_workers(chosen.workers); !s.ok()) return s;
    if (detail::is_null(handler)) return detail::out_of_range("handler", "set");
    std::shared_ptr<detail::topic_on_bus> letters;
    if (!chosen.dead_letters.empty()) {
      if constexpr (std::is_copy_constructible_v<T>) {
        auto found = find_letters<T>(chosen.dead_letters, nullptr);
        if (!found.ok()) return found.status();
        letters = *std::move(found);
      } else {
        return detail::out_of_range("options.dead_letters", "empty for a type that cannot be copied");
      }
    }
    const detail::shared_handler<T> shared{
        std::make_shared<detail::handler_of<T, Handler>>(std::move(handler))};
    auto made = std::make_shared<entry>(std::string(pattern), std::string(group), std::move(chosen),
                                        std::move(letters), detail::bus_means<Clock>{gate_, timers_}, shared);
    typename entry::options tried;
    if (absl::Status s = made->set(tried); !s.ok()) return s;
    return registry_.add(made);
  }
  template <class T, class Handler>
  [[nodiscard]] absl::Status subscribe(std::string_view pattern, std::string_view group, Handler handler) {
    return subscribe<T>(pattern, group, subscribe_options<T, Clock>(), std::move(handler));
  }

  // --- its life: made, running, stopped; each of these may be called again ---

  /// Until then no handler is called, and what is published is kept.
  [[nodiscard]] absl::Status start() {
    const std::lock_guard lock(life_);
    if (registry_.state() == bus_state::stopped) {
      return absl::FailedPreconditionError("bus: it has been stopped, and can not be started again");
    }
    if (absl::Status s = detail::check_options(chosen_); !s.ok()) return s;
    if (chosen_.executor == nullptr && workers_ == nullptr) {
      auto workers = std::make_unique<thread_executor>(chosen_.workers);
      timers_.start();
      workers_ = std::move(workers);
    }
    gate_->open(chosen_.executor != nullptr ? *chosen_.executor : *workers_);
    for (const auto& g : registry_.run()) g->start();
    return absl::OkStatus();
  }
  /// Waits until the groups of all subscriptions have settled everything that has been published, also by handlers meanwhile. What is
  /// parked counts as settled, and what is delayed is not published yet. While others go on publishing there may be no such moment.
  /// A bus that does not run answers at once, by what is unsettled.
  /// It does not do the work: where a test runs the executor and the timers itself, it does so first, and then gives clock.now().
  [[nodiscard]] absl::Status drain(time_point deadline) {
    for (;;) {
      if (registry_.state() != bus_state::running) return not_running();
      const std::uint64_t published = registry_.published();
      for (const auto& g : registry_.groups_now()) {
        if (absl::Status s = await_settled(*g, deadline); !s.ok()) return s;
      }
      // why: a handler publishes before its own message is settled, perhaps on a topic that has been looked at
      if (registry_.published() == published) return absl::OkStatus();
      if (clock_.now() >= deadline) {
        return absl::DeadlineExceededError(
            "bus: the deadline has passed, and messages are still being published");
      }
    }
  }
  /// Closes the topics, ends the groups, when their handlers have returned, then the timers, and then the workers. What has not been
  /// handed to a handler stays where it is, as snapshot() tells; drain() before, if it should not.
  void stop() {
    const std::lock_guard lock(life_);
    if (!registry_.stop()) return;
    ending_.request_stop();
    // why in this order: a handler may wait for room in a topic; and a task that finds its group paused does nothing, so that it can
    // be run here, when the host's executor has not come to it
    for (const auto& t : registry_.topics()) t->close();
    for (const auto& g : registry_.groups()) g->pause();
    if (workers_ == nullptr) gate_->close();
    for (const auto& g : registry_.groups()) g->stop();
    timers_.stop(pending_timers::drop);
    if (workers_ != nullptr) workers_->stop();
    gate_->close();
  }

  // --- what it has, for pipelines, sagas and requests, and for looking ---

  /// The workers, or the host's executor. What is posted before start() waits for it, and what is posted after stop() is run by who posts
  /// it. Whoever uses it ends before the bus stops.
  [[nodiscard]] millrace::executor& executor() noexcept { return *gate_; }
  /// With workers of its own the bus starts it; with the host's executor the host runs it, or polls it.
  [[nodiscard]] timer_service& timers() noexcept { return timers_; }
  [[nodiscard]] bus_info snapshot() const {
    bus_info out;
    registry_.look(out);
    out.workers = chosen_.workers;
    out.timer_errors = timers_.errors();
    out.timers_skipped = timers_.skipped();
    return out;
  }
  /// All of it, in words.
  [[nodiscard]] std::string describe() const { return to_string(snapshot()); }

 private:
  using topic_ptr = std::shared_ptr<detail::topic_on_bus>;

  template <class Entry>
  absl::StatusOr<topic_ptr> find_or_add(std::string_view name, const detail::type_tag& type,
                                        const named_topic_options* chosen) {
    absl::StatusOr<topic_ptr> found = registry_.find(name, type, chosen);
    if (!found.ok() || *found != nullptr) return found;
    const named_topic_options defaults;
    return registry_.add(
        std::make_shared<Entry>(std::string(name), clock_, chosen != nullptr ? *chosen : defaults), chosen);
  }
  template <class T>
  absl::StatusOr<named_topic<T, Clock>> find_topic(std::string_view name, const named_topic_options* chosen) {
    auto found = find_or_add<detail::plain_topic<T, Clock>>(name, detail::type_tag_of<T>(), chosen);
    if (!found.ok()) return found.status();
    return named_topic<T, Clock>(static_cast<detail::typed_topic<T, Clock>&>(**found), timers_);
  }
  template <class T>
  absl::StatusOr<topic_ptr> find_letters(std::string_view name, const named_topic_options* chosen) {
    static_assert(std::is_copy_constructible_v<T>,
                  "bus: dead letters are copies; leave dead_letters empty for a type that cannot be copied");
    auto found =
        find_or_add<detail::letters_topic<T, Clock>>(name, detail::type_tag_of<dead_letter<T>>(), chosen);
    if (found.ok() && (*found)->letters() == nullptr) {
      return absl::FailedPreconditionError("bus: topic \"" + std::string(name) +
                                           "\" was made by topic(), and must be made by dead_letters()");
    }
    return found;
  }
  template <class T>
  static absl::StatusOr<millrace::dead_letters<T, Clock>*> letters_in(
      const absl::StatusOr<topic_ptr>& found) {
    if (!found.ok()) return found.status();
    return static_cast<millrace::dead_letters<T, Clock>*>((*found)->letters());
  }

  [[nodiscard]] absl::Status await_settled(detail::group_on_bus& g, time_point deadline) const {
    using std::chrono::nanoseconds;
    const nanoseconds at = deadline == (time_point::max)()
                               ? (nanoseconds::max)()
                               : std::chrono::duration_cast<nanoseconds>(deadline.time_since_epoch());
    const outcome o = g.wait_until_settled(at, ending_.get_token());
    if (o == outcome::ok) return absl::OkStatus();
    if (o == outcome::cancelled) return not_running();
    return registry_.settled_or(absl::StatusCode::kDeadlineExceeded, "the deadline has passed");
  }
  [[nodiscard]] absl::Status not_running() const {
    return registry_.settled_or(absl::StatusCode::kFailedPrecondition, "it does not run");
  }

  MILLRACE_NO_UNIQUE_ADDRESS clock_ref<Clock> clock_;
  const bus_options chosen_;
  timer_service timers_;
  const std::shared_ptr<detail::task_gate> gate_ = std::make_shared<detail::task_gate>();
  std::unique_ptr<thread_executor> workers_;
  detail::bus_registry registry_;  // goes first
  std::stop_source ending_;        // for who drains
  std::mutex life_;                // who starts or stops it
};

using bus = basic_bus<>;

}  // namespace v0
}  // namespace millrace
