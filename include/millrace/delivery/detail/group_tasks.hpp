// Workers of a group in the host's threads: a task that takes what there is, and is posted again when there is more.
//
// A task is idle, with a place in the group's line and perhaps a timer, or it has been posted, or runs. Whoever activates it
// counts that; the first one posts it, and it runs until all activations that it has seen are worked off.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/plain_word.hpp"
#include "millrace/core/detail/posting.hpp"
#include "millrace/core/detail/waiting.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/detail/group_crew.hpp"
#include "millrace/delivery/detail/group_state.hpp"
#include "millrace/delivery/detail/group_worker.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

/// Post has its argument called soon, in some thread; Timers is a timer_service of the topic's clock.
template <class Topic, class Post, class Timers, class Handler>
class group_tasks final : public group_crew {
  using state = group_state<Topic>;
  using sync = typename state::sync;
  using events = typename state::events;
  using place = typename events::place;

 public:
  group_tasks(state& group, Post post, Timers& timers, Handler handler)
      : group_(group), post_(std::move(post)), timers_(timers), handler_(std::move(handler)) {}
  ~group_tasks() override { group_tasks::scale(0); }

  void scale(std::size_t n) override {
    while (tasks_.size() > n) {
      task& t = *tasks_.back();
      t.stops.store(true, std::memory_order_relaxed);  // told by the activation
      activate(t, one);
      await_end(t);
      tasks_.pop_back();
    }
    const std::size_t had = tasks_.size();
    on_exception as_before([&] { tasks_.resize(had); });
    while (tasks_.size() < n) tasks_.push_back(std::make_unique<task>(*this));
    as_before.dismiss();
    for (std::size_t i = had; i < n; ++i) {
      working_.fetch_add(1, std::memory_order_relaxed);
      activate(*tasks_[i], one);
    }
  }
  void join() override {
    no_limit forever;
    static_cast<void>(ended_.sleep(outcome::empty, forever, [this] {
      return working_.load(std::memory_order_relaxed) == 0 ? outcome::ok : outcome::empty;
    }));
  }

 private:
  // activations: [ by the place in the line : 16 | all : 16 ]
  static constexpr std::uint32_t one = 1;
  static constexpr std::uint32_t by_place = 1U << 16;

  struct task final : place {
    explicit task(group_tasks& c) noexcept
        : place([](place& p) noexcept {
            auto& me = static_cast<task&>(p);
            me.crew.activate(me, by_place + one);
          }),
          crew(c),
          worker(c.group_, c.handler_) {}
    [[nodiscard]] bool stop_requested() const noexcept { return stops.load(std::memory_order_relaxed); }

    group_tasks& crew;
    group_worker<Topic, Handler> worker;
    typename sync::template atomic<std::uint32_t> activations{0};
    typename sync::template atomic<bool> stops{false};
    typename sync::template atomic<std::uint32_t> ended{0};  // 1: it has; 2: and nobody is told any more
    // Of whoever runs it:
    typename Timers::timer timer;
    std::int64_t watched = state::never;
    std::uint32_t called = 0;  // how many of its activations by the place it knows of
    typename plain_of<sync, bool>::type in_line;
  };
  /// What is posted.
  struct step {
    task* t;
    void operator()() const {
      if (auto* const p = posting<bool>::of(t)) {
        p->noted = true;
      } else {
        t->crew.run(*t);
      }
    }
  };

  void activate(task& t, std::uint32_t how) noexcept {
    // (1) release; pairs with (3), so that the place may be used again or go. If it is not the first, it is the last touch.
    if (t.activations.fetch_add(how, std::memory_order_release) == 0) post_(step{&t});
  }
  void run(task& t) {
    std::uint32_t seen = t.activations.load(std::memory_order_acquire);  // pairs with (2)
    for (;;) {
      const then next = pass(t);
      if (next == then::end) return end(t);
      t.called -= seen / by_place;
      // (2) release; who runs it next finds it as it was left. What there is to do is told by the group's mutex.
      if (next == then::go_on) {
        t.activations.fetch_sub(seen - one, std::memory_order_relaxed);  // post orders it
        posting<bool> here(&t);
        post_(step{&t});  // others want the thread, too
        if (!here.noted) return;
        seen = t.activations.load(std::memory_order_relaxed);  // nobody else has run it meanwhile
        continue;
      }
      const std::uint32_t were = t.activations.fetch_sub(seen, std::memory_order_release);
      if (were == seen) return;  // idle: whoever activates it posts it
      seen = were - seen;
    }
  }

  enum class then : std::uint8_t { idle, go_on, end };
  then pass(task& t) {
    leave_line(t);
    static_cast<void>(timers_.cancel_and_wait(t.timer));
    const std::int64_t watched = std::exchange(t.watched, state::never);
    int batches = 8;
    if constexpr (requires { post_.wants_small_tasks(); }) {
      if (post_.wants_small_tasks()) {
        t.worker.go_singly();
        batches = 1;
      }
    }
    outcome o = outcome::ok;
    for (int i = 0; i < batches && o == outcome::ok; ++i) {
      o = t.stop_requested() ? outcome::cancelled : t.worker.step(t);
    }
    if (o == outcome::empty) {
      group_.unwatch(watched);
      group_.line().enter(t);
      t.in_line.set(true);
      group_.listen();
      o = t.stop_requested() ? outcome::cancelled : t.worker.step_or_watch(t, t.watched);
      if (o == outcome::empty) {
        if (t.watched != state::never) {
          t.timer = timers_.schedule_at(state::time_at(t.watched), [&t] { t.crew.activate(t, one); });
        }
        return then::idle;
      }
      leave_line(t);
    }
    group_.pass_on(watched);
    return o == outcome::ok ? then::go_on : then::end;
  }
  void leave_line(task& t) noexcept {
    if (!t.in_line.get()) return;
    t.in_line.set(false);
    if (group_.line().leave(t)) return;
    // Somebody is about to call it, or has done so; before that it cannot go into the line again, or away.
    ++t.called;
    while (t.activations.load(std::memory_order_acquire) / by_place < t.called) sync::yield();  // (3)
  }
  /// Its activations stay, so that nobody posts it any more.
  void end(task& t) noexcept {
    working_.fetch_sub(1, std::memory_order_relaxed);  // it tells only when to look
    t.ended.fetch_add(1, std::memory_order_relaxed);   // (4) tells all that hangs on it
    ended_.events.notify_all();
    t.ended.store(2, std::memory_order_release);  // (4) the last touch of it, and of the crew
  }
  void await_end(task& t) {
    typename events::waiter me;
    for (;;) {
      ended_.events.prepare_wait(me);
      if (t.ended.load(std::memory_order_relaxed) != 0) break;
      ended_.events.wait(me);
    }
    ended_.events.cancel_wait(me);
    while (t.ended.load(std::memory_order_acquire) != 2) sync::yield();  // pairs with (4)
  }

  state& group_;
  Post post_;
  Timers& timers_;
  Handler handler_;
  typename sync::template atomic<std::size_t> working_{0};  // tasks that have not ended
  waiting_room<sync> ended_;
  std::vector<std::unique_ptr<task>> tasks_;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
