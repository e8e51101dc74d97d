// millrace/flow/pipeline.hpp - stages that work one behind the other, each with its own workers, room and retries.
//
// Messages come from a consumer group or a channel and go through the stages, each of which makes something else of them, to a
// topic, a channel or a function. A stage that is full holds up the one before it, and so on up to the source. A message is
// acknowledged when its last stage has returned.
//
// Use it when : work has steps that differ in how long they take, or in how often they fail, and none may lose a message.
// Use instead : a consumer group, if there is one step; a `saga`, if what has been done has to be undone when a later step fails.
// Threads     : all but the destructor from any thread, but start, stop, drain and join not in a function of the pipeline's or a
//               handler of its timers. A stage's function is called by up to `workers` tasks at a time, and so are its retry
//               policy's decide, and on_dead; where the messages come out to, and a policy's random, by one at a time.
// Order       : as they get through; with ordered() they come out in the order in which they were taken, so that one that is
//               tried again holds up, at the end only, those that were taken after it.
// Progress    : tasks, those that run and those that give and take, meet in a mutex, held for some ten instructions a message and
//               up to 32 messages at once while functions take no time, but one at a time where the executor wants small tasks.
//               No task waits, and with nothing to do none is posted and no timer runs. Only a topic or channel that is full is
//               looked at again after 1 to 50 ms.
// Errors      : what a function throws is a failed attempt. After the last one, or if decide says so, the message is rejected, with
//               "stage NAME: what it threw", to the dead letters of its group; one of a channel goes to on_dead, or is parked and
//               counted, see take_parked. What stop() or drain() find inside goes back to the group, or is parked; its stages will
//               have been called for it before, so at least once is the promise. Messages inside have no ack timeout.
// Exceptions  : std::invalid_argument for a name or an option out of its range, from the constructor and scale, and for a
//               function that is none, from stage and to; std::bad_alloc from all of the host's verbs but stop. A task that
//               finds no memory ends the program, as a post does, and so does a stop.
// Memory      : 1 KiB, half of one for each stage, and for each message that was inside at the same time 70 bytes, its delivery or
//               the channel's value, and room for the largest of what the stages return; kept until the pipeline is gone.
// Cost        : 40 to 100 ns a message and stage while there are many, 1 us and the waking of a thread for a single one.
// Source      : staged event-driven architecture (M. Welsh, D. Culler, E. Brewer, SOSP 2001); credits as in reactive streams.
// Checked by  : tests/flow/pipeline_test.cpp, tests/flow/pipeline_books_test.cpp
//
// Example:
//   auto line = millrace::from(orders.group("shipping", {.dead_letters = &lost}))
//                   .stage("risk", {.workers = 2}, [](const order& o) { return score(o); })
//                   .stage("pay", {.workers = 4, .capacity = 16, .retry = {.attempts = 8}}, [](const scored& s) { return pay(s); })
//                   .ordered()
//                   .to(paid);
//   millrace::pipeline shipping("shipping", std::move(line), workers, timers);   // an executor, and timers that run
//   shipping.start();
//   shipping.scale("pay", 8);                                                    // stats().bottleneck() said "pay"
//   if (shipping.drain(clock::now() + 30s) != 0) warn("some have gone back");
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/clock.hpp"
#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/detail/is_null.hpp"
#include "millrace/core/function.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/flow/detail/pipeline_chain.hpp"
#include "millrace/flow/detail/pipeline_core.hpp"
#include "millrace/flow/detail/pipeline_sources.hpp"
#include "millrace/flow/detail/validate_retry.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/pipeline_stats.hpp"
#include "millrace/time/timer_service.hpp"

namespace millrace {
inline namespace v0 {

struct stage_options {
  /// How many messages it works on at a time, at the most; 1 to 1,024.
  std::size_t workers = 1;
  /// How many may be in it beside those, waiting for a worker or for their next attempt; 1 to 1,048,576.
  std::size_t capacity = 64;
  retry_policy retry = {};
};

namespace detail {

[[nodiscard]] inline std::string told_of_stage(std::string_view name, std::string_view what) {
  return std::string("pipeline: stage '").append(name).append("': ").append(what);
}
[[noreturn]] inline void refuse_stage(std::string_view name, std::string_view what) {
  fail<std::invalid_argument>(told_of_stage(name, what).c_str());
}
template <class F>
void refuse_null_stage(std::string_view stage, const F& f) {
  if (is_null(f)) refuse_stage(stage, "its function must be set");
}

}  // namespace detail

/// What has to be known of a pipeline to start it.
template <class Source, class End, class... Stages>
struct finished_line {
  Source source;
  End end;
  std::tuple<Stages...> stages;
  std::optional<retry_policy> end_retry;  // nothing: there is no end
  bool keeps_order;
};

/// A pipeline that is being written down: made by from(), grown by stage() and ended by to(), each of which consumes it.
template <class Source, class Value, class... Stages>
class pipeline_line {
 public:
  pipeline_line(Source source, std::tuple<Stages...> stages, bool keeps_order) noexcept
      : source_(std::move(source)), stages_(std::move(stages)), keeps_order_(keeps_order) {}

  /// `f` makes the next stage's message of this one's. It takes `const Value&`; or, in all but the first stage, `Value&&`, and
  /// then what it has taken before it throws is missing in the next attempt. It returns the message, or a std::optional of it:
  /// nothing ends this one here, as done. If it returns void, the pipeline ends with it. `name` is not "to".
  template <class F>
  [[nodiscard]] auto stage(std::string name, stage_options chosen, F f) && {
    constexpr bool is_first = sizeof...(Stages) == 0;
    static_assert(sizeof...(Stages) < 32, "pipeline: 32 stages at the most");
    static_assert(
        detail::takes<F, Value, is_first>,
        "pipeline: a stage's function takes const T&, or T&& after the first stage, of what comes to it");
    detail::refuse_null_stage(name, f);
    using next = detail::pipeline_stage<F, Value>;
    next last{{std::move(name), chosen.workers, chosen.capacity, std::move(chosen.retry)}, std::move(f)};
    auto all = std::tuple_cat(std::move(stages_), std::tuple<next>(std::move(last)));
    if constexpr (std::is_void_v<typename next::out>) {
      return finished_line<Source, detail::no_end, Stages..., next>{
          std::move(source_), {}, std::move(all), std::nullopt, keeps_order_};
    } else {
      return pipeline_line<Source, typename next::out, Stages..., next>(std::move(source_), std::move(all),
                                                                        keeps_order_);
    }
  }
  template <class F>
  [[nodiscard]] auto stage(std::string name, F f) && {
    return std::move(*this).stage(std::move(name), stage_options(), std::move(f));
  }

  /// They come out in the order in which they were taken from the source.
  [[nodiscard]] pipeline_line ordered() && {
    keeps_order_ = true;
    return std::move(*this);
  }

  /// They come out to a topic or a channel, which must outlive the pipeline; once that is closed, they fail for good. Or to a
  /// function, by one at a time, which takes what a stage's function would, and is tried again as `retry` says.
  template <class To>
  [[nodiscard]] auto to(To&& to, retry_policy retry = {}) && {
    static_assert(sizeof...(Stages) != 0, "pipeline: a stage must come before to()");
    using held = std::remove_cvref_t<To>;
    if constexpr (
        requires { to.try_emplace(std::declval<Value>()); } ||
        requires { to.try_push(std::declval<Value>()); }) {
      static_assert(std::is_lvalue_reference_v<To>, "pipeline: to() keeps a reference to a topic or channel");
      return finish(detail::publishing_end<held>{&to}, std::move(retry));
    } else {
      static_assert(
          detail::takes<held, Value, false>,
          "pipeline: to() takes a topic or a channel of what the last stage returns, or a function of it");
      detail::refuse_null_stage(detail::end_name, to);
      return finish(detail::sink_end<held>{std::forward<To>(to)}, std::move(retry));
    }
  }

 private:
  template <class End>
  [[nodiscard]] auto finish(End end, retry_policy retry) {
    return finished_line<Source, End, Stages...>{std::move(source_), std::move(end), std::move(stages_),
                                                 std::move(retry), keeps_order_};
  }

  Source source_;
  std::tuple<Stages...> stages_;
  bool keeps_order_;
};

/// Messages of a group, whose topic must outlive the pipeline. Others may consume from it, too.
template <class Topic>
[[nodiscard]] auto from(consumer_group<Topic> group) noexcept {
  using source = detail::group_source<Topic>;
  return pipeline_line<source, typename Topic::value_type>(source(group), {}, false);
}

template <class T>
struct channel_source_options {
  /// Called with a message that failed for good, the stage's name, and why. Without it such messages are parked. It must not
  /// throw.
  function<void(T&& message, std::string_view stage, std::string_view reason)> on_dead = {};
};
/// Values of a channel, which must outlive the pipeline.
template <class Channel>
  requires requires(Channel& c) {
    c.async_pop();
    c.try_pop();
  }
[[nodiscard]] auto from(Channel& channel,
                        channel_source_options<typename Channel::value_type> chosen = {}) noexcept {
  using source = detail::channel_source<Channel>;
  return pipeline_line<source, typename Channel::value_type>(source(channel, std::move(chosen.on_dead)), {},
                                                             false);
}

namespace detail {
inline void validate(const std::vector<stage_plan>& stages, bool has_end, bool keeps_order);
}

template <clock Clock>
class basic_pipeline {
 public:
  using time_point = typename Clock::time_point;

  /// Starts nothing. `workers` run the functions, `timers`, which somebody runs, tell when a retry is due; both must outlive the
  /// pipeline.
  template <class Source, class End, class... Stages, class Timers>
    requires std::is_same_v<typename Timers::clock_type, Clock>
  basic_pipeline(std::string name, finished_line<Source, End, Stages...> line, executor& workers,
                 Timers& timers)
      : name_(std::move(name)) {
    std::vector<detail::stage_plan> plans;
    plans.reserve(sizeof...(Stages) + 1);
    std::apply([&](auto&... s) { (plans.push_back(std::move(s.plan)), ...); }, line.stages);
    const bool has_end = line.end_retry.has_value();
    if (has_end) plans.push_back({std::string(detail::end_name), 1, 1, std::move(*line.end_retry)});
    if (name_.empty()) detail::fail<std::invalid_argument>("pipeline: name must not be empty");
    detail::validate(plans, has_end, line.keeps_order);
    engine_ = std::make_shared<detail::pipeline_core<Timers>>(
        std::move(plans), has_end, line.keeps_order,
        std::make_unique<detail::pipeline_chain<Timers, Source, End, Stages...>>(
            std::move(line.source), timers, std::move(line.end), std::move(line.stages)),
        workers, timers);
  }
  basic_pipeline(const basic_pipeline&) = delete;
  basic_pipeline& operator=(const basic_pipeline&) = delete;
  /// As stop().
  ~basic_pipeline() {
    engine_->stop();
    engine_->abandon();
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Begins to take messages, also after a stop(). Idempotent.
  void start() { engine_->start(); }
  /// Takes no more messages, and waits until those inside are through: 0. At the deadline, by the clock of the timers, which must
  /// run, the rest goes back to where it came from, once the functions that are at it have returned: how many that are. It is
  /// stopped then.
  std::size_t drain(time_point deadline) { return engine_->drain(deadline); }
  std::size_t drain() { return engine_->drain(std::nullopt); }
  /// Likewise, at once. Idempotent.
  void stop() noexcept { engine_->stop(); }
  /// Waits until the source has ended and everything is through; or for a stop.
  void join() { engine_->join(); }
  /// Whether the source has ended, and everything is through.
  [[nodiscard]] bool has_ended() const { return engine_->has_ended(); }

  /// So many from now on, 1 to 1,024. Those that are one too many finish what they are at.
  void scale(std::string_view stage, std::size_t workers);

  [[nodiscard]] pipeline_stats stats() const { return engine_->stats(); }

  /// Of a channel as source: the messages that failed for good and were not wanted by on_dead, and those that stop() or drain()
  /// found inside. They are the caller's now. T is the channel's; std::invalid_argument otherwise.
  template <class T>
  [[nodiscard]] std::vector<T> take_parked() {
    std::vector<T> parked;
    if (!engine_->take_parked(&detail::pipeline_kind<T>, &parked)) {
      detail::fail<std::invalid_argument>("pipeline::take_parked: T must be what the source gives");
    }
    return parked;
  }

 private:
  std::string name_;
  std::shared_ptr<detail::pipeline_engine<Clock>> engine_;  // tasks that have been posted keep it, too
};

template <class Line, class Timers>
basic_pipeline(std::string, Line, executor&, Timers&) -> basic_pipeline<typename Timers::clock_type>;

using pipeline = basic_pipeline<std::chrono::steady_clock>;

// --- what is refused ---

namespace detail {

inline void validate(const std::vector<stage_plan>& stages, bool has_end, bool keeps_order) {
  const auto refuse = [](const stage_plan& s, std::string_view what) { refuse_stage(s.name, what); };
  for (const stage_plan& s : stages) {
    const bool is_end = has_end && &s == &stages.back();
    if (s.name.empty()) fail<std::invalid_argument>("pipeline: a stage's name must not be empty");
    if (!is_end && s.name == end_name) refuse(s, "name must be another one, as this is that of the end");
    for (const stage_plan* t = stages.data(); t != &s; ++t) {
      if (t->name == s.name) refuse(s, "name must be that of one stage");
    }
    if (s.workers < 1 || s.workers > stage_plan::most_workers) refuse(s, "options.workers must be 1 to 1024");
    if (s.capacity < 1 || s.capacity > stage_plan::most_capacity)
      refuse(s, "options.capacity must be 1 to 1048576");
    validate_retry(told_of_stage(s.name, is_end ? "retry" : "options.retry"), s.retry);
  }
  if (keeps_order && !has_end) {
    fail<std::invalid_argument>("pipeline: ordered() is for what comes out, so the line must end with to()");
  }
}

}  // namespace detail

template <clock Clock>
void basic_pipeline<Clock>::scale(std::string_view stage, std::size_t workers) {
  if (workers < 1 || workers > detail::stage_plan::most_workers) {
    detail::fail<std::invalid_argument>("pipeline::scale: workers must be 1 to 1024");
  }
  engine_->scale(stage, workers);
}

}  // namespace v0
}  // namespace millrace
