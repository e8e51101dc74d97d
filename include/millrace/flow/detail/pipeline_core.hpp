// The half of a pipeline that does not know its types, at work: its tasks, its timers, and the verbs of the host.
//
// Functions, the source, timers and the executor are called without the mutex of the books. Whoever is about to call one of them
// is a guest, and stop() waits until there is none.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/core/event_count.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/delivery/retry_policy.hpp"
#include "millrace/flow/detail/brief_mutex.hpp"
#include "millrace/flow/detail/pipeline_engine.hpp"
#include "millrace/flow/detail/pipeline_item.hpp"
#include "millrace/flow/detail/pipeline_ledger.hpp"
#include "millrace/flow/detail/pipeline_posting.hpp"
#include "millrace/flow/detail/pipeline_stage.hpp"
#include "millrace/flow/detail/retry_draw.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/pipeline_stats.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Timers>
class pipeline_core final : public pipeline_engine<typename Timers::clock_type>,
                            public pipeline_waker,
                            public std::enable_shared_from_this<pipeline_core<Timers>> {
  using works = pipeline_works<Timers>;
  using ledger = pipeline_ledger<Timers>;
  using item = pipeline_item<Timers>;
  using stage = stage_state<Timers>;
  using batch = stage_batch<Timers>;
  using time_point = typename Timers::time_point;

 public:
  pipeline_core(std::vector<stage_plan> plans, bool has_end, bool keeps_order, std::unique_ptr<works> w,
                executor& workers, Timers& timers)
      : works_(std::move(w)),
        executor_(workers),
        timers_(timers),
        ledger_(std::move(plans), has_end, keeps_order) {}

  // --- by the host ---

  void start() override {
    const std::lock_guard control(control_);
    if (look([](const ledger& l) { return l.is_working(); })) return;
    works_->open(pipeline_wake{this->shared_from_this()});
    change([this](ledger& l) { l.start(now()); });
  }
  std::size_t drain(std::optional<time_point> deadline) override {
    {
      const std::lock_guard control(control_);
      if (!look([](const ledger& l) { return l.is_working(); })) return 0;
      change([](ledger& l) { l.shut(); });
      await([](const ledger& l) { return !l.is_drawing(); });
      close_source();
    }
    bool is_late = false;  // guarded by mutex_
    typename Timers::timer timer;
    if (deadline) {
      auto ring = [this, &is_late] { change([&](ledger&) { is_late = true; }); };
      if (timers_.now() < *deadline) timer = timers_.schedule_at(*deadline, ring);
      if (!timer) ring();
    }
    await([&](const ledger& l) { return l.is_through() || is_late || !l.is_working(); });
    static_cast<void>(timers_.cancel_and_wait(timer));
    return stop();
  }
  std::size_t stop() noexcept override {
    const std::lock_guard control(control_);
    {
      const std::lock_guard lock(mutex_);
      if (!ledger_.is_working()) return 0;
      ledger_.stop(now());
      ++guests_;
    }
    leave();  // which tells who joins or drains
    await([this](const ledger&) { return guests_ == 0; });
    close_source();
    return give_back();
  }
  void join() override {
    await([](const ledger& l) { return l.has_ended() || !l.is_working(); });
  }
  [[nodiscard]] bool has_ended() const override {
    return look([](const ledger& l) { return l.has_ended(); });
  }
  void scale(std::string_view name, std::size_t workers) override {
    bool is_known = false;
    change([&](ledger& l) { is_known = l.scale(name, workers, now()); });
    if (!is_known) {
      fail<std::invalid_argument>("pipeline::scale: stage must be the name of one, and not of the end");
    }
  }
  [[nodiscard]] pipeline_stats stats() const override {
    pipeline_stats s;
    s.parked = works_->parked();
    look([&](const ledger& l) { l.stats(s, now()); });
    return s;
  }
  bool take_parked(const void* kind, void* vector) override { return works_->take_parked(kind, vector); }
  void abandon() noexcept override {
    works_.reset();
    for (std::uint32_t i = 0; i < ledger_.source(); ++i) ledger_.at(i).plan.retry = {};
  }

  // --- by the source ---

  void wake() noexcept override {
    change([](ledger& l) { l.note_news(); });
  }

 private:
  /// How much a task does before others get the thread.
  struct portion {
    int rounds = 8;
    std::size_t messages = batch::most;  // in each
  };
  [[nodiscard]] portion portion_of_a_task() const noexcept {
    return executor_.wants_small_tasks() ? portion{1, 1} : portion{};
  }

  [[nodiscard]] std::int64_t now() const noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(timers_.now().time_since_epoch()).count();
  }
  template <class F>
  auto look(F f) const {
    const std::lock_guard lock(mutex_);
    return f(ledger_);
  }
  /// f(ledger), and whoever has something to do now is posted.
  template <class F>
  void change(F f) {
    pipeline_tasks tasks;
    {
      const std::lock_guard lock(mutex_);
      f(ledger_);
      ++guests_;
      tasks = ledger_.wanted();
    }
    post(tasks);
    leave();
  }
  void leave() noexcept {
    bool tells = false;
    {
      const std::lock_guard lock(mutex_);
      --guests_;
      // why not whenever somebody waits: who joins does so for long, and would be woken by every task
      for (const watch* w = watches_; w != nullptr; w = w->next) tells = tells || w->holds(*w, ledger_);
    }
    if (tells) changed_.notify_all();
  }
  /// Somebody waits until something holds, and whoever leaves looks whether it does.
  struct watch {
    bool (*holds)(const watch&, const ledger&) noexcept;
    watch* next = nullptr;
  };
  template <class Condition>
  void await(Condition holds) {
    struct mine : watch {
      Condition condition;
    };
    mine w{
        {[](const watch& me, const ledger& l) noexcept { return static_cast<const mine&>(me).condition(l); }},
        std::move(holds)};
    {
      const std::lock_guard lock(mutex_);
      w.next = std::exchange(watches_, &w);
    }
    event_count::waiter me;
    for (;;) {
      changed_.prepare_wait(me);
      if (look(std::cref(w.condition))) break;
      changed_.wait(me);
    }
    changed_.cancel_wait(me);
    const std::lock_guard lock(mutex_);
    watch** at = &watches_;
    while (*at != &w) at = &(*at)->next;
    *at = w.next;
  }

  // --- tasks ---

  struct task {
    std::shared_ptr<pipeline_core> me;
    std::uint32_t number;
    std::uint32_t epoch;
    void operator()() const noexcept {
      if (pipeline_posting* const p = pipeline_posting::of(me.get())) {
        p->noted.add({std::uint64_t{1} << number, epoch});
      } else {
        me->run(number, epoch);
      }
    }
  };
  void post(pipeline_tasks t) noexcept {
    if (t.which == 0) return;
    if (pipeline_posting* const p = pipeline_posting::of(this)) return p->noted.add(t);
    pipeline_posting here(this);
    while (t.which != 0) executor_.post(task{this->shared_from_this(), t.take_first(), t.epoch});
    while (here.noted.which != 0) run(here.noted.take_first(), here.noted.epoch);
  }
  void run(std::uint32_t number, std::uint32_t epoch) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (!ledger_.begin(number, epoch)) return;
      ++guests_;
    }
    if (number == ledger_.source()) {
      run_source();
    } else {
      run_stage(number);
    }
    leave();
  }
  /// As change(), by a guest.
  template <class F>
  void go_on(F f) noexcept {
    pipeline_tasks tasks;
    {
      const std::lock_guard lock(mutex_);
      f(ledger_);
      tasks = ledger_.wanted();
    }
    post(tasks);
  }

  // --- the source's ---

  void run_source() noexcept {
    const portion most = portion_of_a_task();
    for (int round = 0; round < most.rounds && draw(most.messages); ++round) {
    }
    go_on([](ledger& l) { l.end_drawing(); });
  }
  /// A batch of `most`, or fewer. False: there is no more, or no room.
  bool draw(std::size_t most) {
    item* fresh[batch::most];
    std::size_t n = 0;
    bool was_armed = false;
    go_on([&](ledger& l) { n = l.ask(fresh, most, was_armed); });
    if (n == 0) {
      if (was_armed) works_->stand_back();
      return false;
    }
    make_missing(fresh, n);
    std::size_t got = 0;
    const outcome o = works_->take(fresh, n, got);
    go_on([&](ledger& l) {
      l.accept(fresh, n, got, now());
      l.answer(o);
    });
    return o == outcome::ok;
  }
  /// Its task does not run, and will not. What it has taken already comes in.
  void close_source() {
    works_->close();
    for (std::size_t got = 1; got != 0;) {
      item* fresh[1];
      change([&](ledger& l) { l.take_unused(fresh, 1); });
      make_missing(fresh, 1);
      static_cast<void>(works_->take(fresh, 1, got));
      change([&](ledger& l) { l.accept(fresh, 1, got, now()); });
    }
  }
  void make_missing(item** into, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      if (into[i] == nullptr) into[i] = &works_->make();
    }
  }

  // --- a stage's ---

  void run_stage(std::uint32_t number) noexcept {
    const portion most = portion_of_a_task();
    batch b;
    b.ended = now();
    go_on([&](ledger& l) { l.claim(number, b, most.messages, b.ended); });
    for (int round = 1; b.size != 0; ++round) {
      work(number, b);
      go_on([&](ledger& l) {
        l.finish(number, b);
        l.claim(number, b, round < most.rounds ? most.messages : 0, b.ended);
      });
    }
  }
  void work(std::uint32_t number, batch& b) {
    stage& s = ledger_.at(number);
    const bool is_end = ledger_.is_end(number);
    b.began = now();
    while (b.done != b.size) {
      const stage_result r = call(s, *b.items[b.done]);
      b.results[b.done++] = r;
      if (is_end) {
        if (r == stage_result::full) break;
        s.pause = stage::first_pause;
        if (ledger_.keeps_order() && (r == stage_result::later || r == stage_result::again)) break;
      }
      // why: what is claimed and not begun is out of reach for other workers. And not after each: the clock would take most of
      // the time while functions take none.
      const bool looks = b.done == 1 || b.done % 4 == 0;
      if (looks && b.done != b.size && now() - b.began > stage::quick) break;
    }
    b.ended = now();
  }
  stage_result call(stage& s, item& i) {
    if (i.attempts != unlimited_attempts) ++i.attempts;
#if MILLRACE_HAS_EXCEPTIONS
    try {
      return returned(s, i, works_->call(i));
    } catch (const std::exception& e) {
      return failed(s, i, {std::current_exception(), e.what(), i.attempts});
    } catch (...) {
      return failed(s, i, {std::current_exception(), "exception", i.attempts});
    }
#else
    return returned(s, i, works_->call(i));
#endif
  }
  stage_result returned(stage& s, item& i, step_result r) noexcept {
    switch (r) {
      case step_result::passed: return stage_result::passed;
      case step_result::filtered: works_->settle(i, settling::done, {}, {}); return stage_result::filtered;
      case step_result::finished: works_->settle(i, settling::done, {}, {}); return stage_result::finished;
      case step_result::closed: return give_up(s, i, "closed");
      case step_result::full: break;
    }
    --i.attempts;
    // why by a timer: nobody tells of room in a topic but to a thread that sleeps for it
    s.timer = timers_.schedule_after(s.pause, [this] {
      const auto alive = this->shared_from_this();
      change([this](ledger& l) { l.reopen(now()); });
    });
    s.pause = s.pause * 2 < stage::longest_pause ? s.pause * 2 : stage::longest_pause;
    return stage_result::full;
  }
  stage_result failed(stage& s, item& i, const failure& f) noexcept {
    retry_policy& p = s.plan.retry;
    const decision what = p.decide ? p.decide(f) : decision::retry();
    switch (what.what()) {
      case decision::action::reject: return give_up(s, i, f.reason);
      case decision::action::release:
        --i.attempts;
        return later(i, p.first);  // why not at once: it would come again and again
      case decision::action::retry:
      case decision::action::retry_in: break;
    }
    if (p.attempts != unlimited_attempts && i.attempts >= p.attempts) return give_up(s, i, f.reason);
    const bool says_when = what.what() == decision::action::retry_in;
    return later(i, says_when ? what.pause() : backoff(p, i.attempts, drawn(p)));
  }
  stage_result give_up(stage& s, item& i, std::string_view reason) noexcept {
    works_->settle(i, settling::dead, s.plan.name, reason);
    return stage_result::dead;
  }
  stage_result later(item& i, std::chrono::nanoseconds pause) {
    if (pause <= pause.zero()) return stage_result::again;
    i.timer = timers_.schedule_after(pause, [this, &i] {
      // why: once it is due, stop() does not know any more whom it would have to wait for
      const auto alive = this->shared_from_this();
      change([&](ledger& l) { l.due(i, now()); });
    });
    return stage_result::later;
  }
  double drawn(retry_policy& p) noexcept {
    const std::lock_guard lock(random_mutex_);
    return retry_draw(p);
  }

  // --- stopping ---

  /// Nobody is at work any more. How many have gone back to the source.
  std::size_t give_back() noexcept {
    static_cast<void>(timers_.cancel_and_wait(std::exchange(ledger_.at(ledger_.source() - 1).timer, {})));
    // Timers that fire meanwhile change no order.
    for (item* i = ledger_.order().first(); i != nullptr; i = i->after) {
      static_cast<void>(timers_.cancel_and_wait(std::exchange(i->timer, {})));
    }
    std::size_t n = 0;
    item_order<item> all;
    {
      const std::lock_guard lock(mutex_);
      all = ledger_.clear(now(), n);
    }
    // why from behind: each goes in front of all others
    for (item* i = all.last(); i != nullptr; i = i->before) works_->settle(*i, settling::back, {}, {});
    const std::lock_guard lock(mutex_);
    while (item* const i = all.first()) {
      all.remove(*i);
      ledger_.reuse(*i);
    }
    return n;
  }

  std::unique_ptr<works> works_;
  executor& executor_;
  Timers& timers_;
  std::mutex control_;       // start, stop, and closing the source, one at a time
  std::mutex random_mutex_;  // a policy's random is called by one at a time
  event_count changed_;      // a guest has left
  mutable brief_mutex mutex_;
  ledger ledger_;             // \ guarded by mutex_
  std::size_t guests_ = 0;    // |
  watch* watches_ = nullptr;  // /
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
