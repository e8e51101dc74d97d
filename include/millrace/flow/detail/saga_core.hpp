// What a runner of sagas is behind its handle: attempts that are answered late may keep it longer than the handle does.
//
// Each saga is worked on by one at a time, without a lock, since what it waits for is one thing: it is queued (a task is
// posted), runs, or waits, for the answer of an attempt, its time-out, or the end of a pause. Each wait has a number, and
// whoever comes first with it queues the saga again; all others are too late.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "millrace/core/config.hpp"
#include "millrace/core/detail/error.hpp"
#include "millrace/flow/detail/saga_attempt.hpp"
#include "millrace/flow/detail/saga_machine.hpp"
#include "millrace/flow/detail/saga_reports.hpp"
#include "millrace/flow/executor.hpp"
#include "millrace/flow/saga.hpp"
#include "millrace/flow/saga_event.hpp"
#include "millrace/flow/saga_store.hpp"

namespace millrace {
inline namespace v0 {
namespace detail {

template <class Context, class Timers>
class saga_core : public std::enable_shared_from_this<saga_core<Context, Timers>> {
  using nanoseconds = std::chrono::nanoseconds;
  using time_point = typename Timers::time_point;
  using machine = saga_machine<Context>;
  using record = saga_record<Context>;
  using news = saga_news<Context>;
  using open_attempt = saga_open_attempt<Context>;

 public:
  using options = saga_runner_options<Context>;

  saga_core(saga<Context>& of, saga_store<Context>& store, executor& workers, Timers& timers,
            const options& chosen)
      : of_(of),
        store_(store),
        workers_(workers),
        timers_(timers),
        again_after_(chosen.again_after),
        reports_(chosen) {
    if (of.size() == 0) fail<std::invalid_argument>("saga_runner: the saga must have 1 step or more");
    if (chosen.again_after <= nanoseconds::zero()) {
      fail<std::invalid_argument>("saga_runner: again_after must be more than 0");
    }
  }

  saga_answer start(std::string_view id, Context&& context) {
    if (id.empty()) fail<std::invalid_argument>("saga_runner::start: id must be 1 character or more");
    return admit(
        id,
        [&](instance& i) {
          i.state.emplace(of_, record{.saga = of_.name(), .id = i.id, .context = std::move(context)});
          i.state->start(now());
          return store_.insert(i.state->record()) ? saga_answer::ok : saga_answer::exists;
        },
        saga_answer::exists);
  }
  saga_answer resume(std::string_view id, bool also_stuck) {
    return admit(
        id,
        [&](instance& i) {
          std::optional<record> r = store_.load(of_.name(), id);
          if (!r) return saga_answer::not_found;
          if (is_finished(r->state)) return saga_answer::finished;
          if (r->state == saga_state::stuck && !also_stuck) return saga_answer::stuck;
          i.state.emplace(of_, std::move(*r));
          i.state->resume(now());
          return saga_answer::ok;
        },
        saga_answer::running);
  }
  std::size_t resume_all() {
    std::size_t n = 0;
    for (const std::string& id : store_.unfinished(of_.name())) n += resume(id, false) == saga_answer::ok;
    return n;
  }
  [[nodiscard]] std::optional<saga_state> state(std::string_view id) {
    const std::optional<record> r = store_.load(of_.name(), id);
    if (!r) return std::nullopt;
    return r->state;
  }
  [[nodiscard]] saga_stats stats() const {
    saga_stats s = reports_.stats();
    const std::lock_guard lock(mutex_);
    s.running = running_.size();
    return s;
  }

  std::size_t drain(time_point deadline) {
    const auto self = this->shared_from_this();
    const typename Timers::timer t = timers_.schedule_at(deadline, [self] {
      const std::lock_guard lock(self->mutex_);
      self->changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    is_draining_ = true;
    // why not without a timer: nobody would say that it is time
    changed_.wait(lock, [&] { return running_.empty() || !t || timers_.now() >= deadline; });
    const std::size_t left = running_.size();
    lock.unlock();
    static_cast<void>(timers_.cancel(t));
    return left;
  }
  void stop() noexcept {
    table left;
    {
      std::unique_lock lock(mutex_);
      is_draining_ = true;
      stops_ = true;
      changed_.wait(lock, [&] { return visitors_ == 0; });
      is_closed_ = true;  // whoever comes now is turned away at the door
      left.swap(running_);
      changed_.notify_all();
    }
    for (const auto& [id, i] : left) {
      typename Timers::timer t;
      {
        const std::lock_guard lock(i->mutex);
        if (i->stage == instance::waiting) i->stage = instance::gone;
        t = std::exchange(i->timer, {});
      }
      static_cast<void>(timers_.cancel(t));
      // Its task comes too late, so what it has been told is kept here.
      if (i->stage == instance::queued) pass(i, true);
    }
  }

 private:
  struct instance final : saga_desk<Context>, std::enable_shared_from_this<instance> {
    instance(std::shared_ptr<saga_core> c, std::string_view name) : core(std::move(c)), id(name) {}
    bool settle(news n) noexcept override {
      const std::uint64_t waited = n.from->generation;
      return core->settle(*this, waited, std::move(n));
    }

    const std::shared_ptr<saga_core> core;
    const std::string id;
    std::optional<machine> state;  // of whoever runs it
    std::mutex mutex;
    // guarded by mutex:
    enum : std::uint8_t { running, queued, waiting, gone } stage = running;
    std::uint64_t generation = 0;  // of what it waits for
    typename Timers::timer timer;
    news told;
  };
  using table = std::unordered_map<std::string_view, std::shared_ptr<instance>>;

  /// stop() waits for those who are inside, and lets nobody in after that.
  class visit {
   public:
    explicit visit(saga_core& c) noexcept : core_(c) {
      const std::lock_guard lock(c.mutex_);
      is_in_ = !c.is_closed_;
      stops_ = c.stops_;
      if (is_in_) ++c.visitors_;
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() {
      if (!is_in_) return;
      const std::lock_guard lock(core_.mutex_);
      if (--core_.visitors_ == 0 && core_.stops_) core_.changed_.notify_all();
    }
    [[nodiscard]] bool is_in() const noexcept { return is_in_; }
    [[nodiscard]] bool stops() const noexcept { return stops_; }

   private:
    saga_core& core_;
    bool is_in_;
    bool stops_;
  };

  /// Keeps the id from others while `prepare` gets the saga ready, and queues it if that says ok.
  template <class Prepare>
  saga_answer admit(std::string_view id, Prepare prepare, saga_answer if_there) {
    const visit inside(*this);
    if (!inside.is_in()) return saga_answer::closed;
    const auto i = std::make_shared<instance>(this->shared_from_this(), id);
    {
      const std::lock_guard lock(mutex_);
      if (is_draining_) return saga_answer::closed;
      if (!running_.try_emplace(i->id, i).second) return if_there;
    }
    struct unless_admitted {
      saga_core* core;
      instance& i;
      ~unless_admitted() {
        if (core != nullptr) core->forget(i);
      }
    } guard{this, *i};
    const saga_answer a = prepare(*i);
    if (a != saga_answer::ok) return a;
    guard.core = nullptr;
    {
      const std::lock_guard lock(i->mutex);
      i->stage = instance::queued;
    }
    post(*i);
    return a;
  }
  void forget(instance& i) noexcept {
    const std::lock_guard lock(mutex_);
    running_.erase(i.id);
    if (running_.empty() && is_draining_) changed_.notify_all();
  }

  void post(instance& i) noexcept {
    workers_.post([me = i.shared_from_this()] { me->core->run(me); });
  }
  void run(const std::shared_ptr<instance>& i) noexcept {
    const visit inside(*this);
    if (!inside.is_in()) return;
    {
      const std::lock_guard lock(i->mutex);
      i->stage = instance::running;
    }
    pass(i, inside.stops());
  }

  /// An answer of an attempt.
  bool settle(instance& i, std::uint64_t generation, news&& n) noexcept {
    if (tell(i, generation, std::move(n))) return true;
    reports_.late();
    return false;
  }
  /// False, and nothing is done: it does not wait for that any more.
  bool tell(instance& i, std::uint64_t generation, news&& n) noexcept {
    const visit inside(*this);
    if (!inside.is_in()) return false;
    typename Timers::timer t;
    {
      const std::lock_guard lock(i.mutex);
      if (i.stage != instance::waiting || i.generation != generation) return false;
      i.stage = instance::queued;
      i.told = std::move(n);
      t = std::exchange(i.timer, {});
    }
    static_cast<void>(timers_.cancel(t));
    post(i);
    return true;
  }
  /// From here on it is whoever tells it who runs it. When `delay` is over, that is what it is told.
  void await(const std::shared_ptr<instance>& i, nanoseconds delay, saga_verdict what) noexcept {
    std::uint64_t g = 0;
    {
      const std::lock_guard lock(i->mutex);
      g = ++i->generation;
      i->stage = instance::waiting;
    }
    if (delay == saga_step_options::no_timeout) return;
    typename Timers::timer t;
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      t = timers_.schedule_after(delay,
                                 [i, g, what] { i->core->tell(*i, g, {.what = what, .reason = "timeout"}); });
#if MILLRACE_HAS_EXCEPTIONS
    } catch (...) {
      tell(*i, g, {.what = what, .reason = "no memory for a timer"});
      return;
    }
#endif
    {
      const std::lock_guard lock(i->mutex);
      if (i->stage == instance::waiting && i->generation == g) {
        i->timer = t;
        return;
      }
    }
    static_cast<void>(timers_.cancel(t));  // it has been told meanwhile
  }

  /// What it was told is worked off, kept, made known, and then the next thing is done.
  void pass(const std::shared_ptr<instance>& i, bool stops) noexcept {
    machine& m = *i->state;
    m.take(std::exchange(i->told, {}), now());
    const bool goes_on = m.plan() == saga_plan::attempt && !stops;
    if (goes_on) m.begin(now());
    std::unique_ptr<open_attempt> next;
    if (!is_kept(i, goes_on, next)) {
      if (!stops) await(i, again_after_, saga_verdict::none);
      return;
    }
    reports_.publish_notes(m);
    if (m.plan() == saga_plan::end) return forget(*i);
    if (stops) return;
    if (goes_on) return call(i, std::move(next));
    m.await_pause();
    await(i, m.pause(), saga_verdict::none);
  }
  [[nodiscard]] bool is_kept(const std::shared_ptr<instance>& i, bool goes_on,
                             std::unique_ptr<open_attempt>& next) noexcept {
    machine& m = *i->state;
#if MILLRACE_HAS_EXCEPTIONS
    try {
#endif
      if (m.owes_letter() && !reports_.send_letter(m, now())) return false;
      if (goes_on) {
        next.reset(new open_attempt{i, i->generation + 1, m.call(), m.record().context});
      }
      if (m.is_dirty()) store_.save(m.record());
#if MILLRACE_HAS_EXCEPTIONS
    } catch (...) {
      reports_.store_error();
      return false;
    }
#endif
    m.is_saved();
    return true;
  }
  void call(const std::shared_ptr<instance>& i, std::unique_ptr<open_attempt> open) noexcept {
    [[maybe_unused]] const std::uint64_t generation = open->generation;
    auto& callee = i->state->callee();
    await(i, i->state->limit(), saga_verdict::unknown);
    saga_attempt<Context> a(std::move(open));
#if MILLRACE_HAS_EXCEPTIONS
    try {
      callee(a);
    } catch (const std::exception& e) {
      return failed(*i, generation, a, e.what());
    } catch (...) {
      return failed(*i, generation, a, "exception");
    }
#else
    callee(a);
#endif
    if (a) a.done();
  }
#if MILLRACE_HAS_EXCEPTIONS
  /// Also if it has moved the attempt away before it threw.
  void failed(instance& i, std::uint64_t generation, saga_attempt<Context>& a,
              std::string_view why) noexcept {
    news n{.what = saga_verdict::failed, .reason = std::string(why), .error = std::current_exception()};
    if (a) {
      a.answer(std::move(n));
    } else {
      tell(i, generation, std::move(n));
    }
  }
#endif

  [[nodiscard]] nanoseconds now() const noexcept {
    return std::chrono::duration_cast<nanoseconds>(timers_.now().time_since_epoch());
  }

  saga<Context>& of_;
  saga_store<Context>& store_;
  executor& workers_;
  Timers& timers_;
  const nanoseconds again_after_;
  saga_reports<Context> reports_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_:
  table running_;  // by instance::id
  std::size_t visitors_ = 0;
  bool is_draining_ = false;
  bool stops_ = false;
  bool is_closed_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace millrace
