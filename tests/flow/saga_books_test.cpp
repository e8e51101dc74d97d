// Whatever fails, and whenever: in the end all of a saga is done, or nothing, or it has been told that it is stuck. And then,
// once the reason is mended, all or nothing after all.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/flow/saga_runner.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"
#include "support/saga_bank.hpp"

namespace {

using millrace::manual_clock;
using millrace::retry_policy;
using millrace::saga_answer;
using millrace::saga_attempt;
using millrace::saga_call;
using millrace::saga_state;
using support::booking;
using support::saga_bank;
using support::saga_shape;
using namespace std::chrono_literals;
using timers_type = millrace::basic_timer_service<manual_clock>;
using record = millrace::saga_record<booking>;

/// What becomes of one call.
enum class mishap : std::uint8_t {
  none,
  throws,
  lost,        // the request: it is not done, and there is no answer
  unanswered,  // it is done, and there is no answer
};

/// A store that dies with its process at one of its writes: that one is kept, or not, and none after it, until it is revived.
class mortal_store final : public millrace::saga_store<booking> {
 public:
  [[nodiscard]] bool insert(const record& r) override {
    bool is_new = false;
    write([&] { is_new = inner_.insert(r); });
    return is_new;
  }
  void save(const record& r) override {
    write([&] { inner_.save(r); });
  }
  [[nodiscard]] std::optional<record> load(std::string_view saga, std::string_view id) override {
    return inner_.load(saga, id);
  }
  [[nodiscard]] std::vector<std::string> unfinished(std::string_view saga) override {
    return inner_.unfinished(saga);
  }

  void die_at(std::size_t write, bool is_kept) {
    dies_at_ = write;
    is_kept_ = is_kept;
  }
  void revive() {
    is_dead_ = false;
    dies_at_ = 0;
  }
  [[nodiscard]] bool is_dead() const { return is_dead_; }

 private:
  template <class F>
  void write(F f) {
    if (is_dead_) throw std::runtime_error("dead");
    if (++writes_ == dies_at_) {
      is_dead_ = true;
      if (is_kept_) f();
      throw std::runtime_error("dies");
    }
    f();
  }

  millrace::memory_saga_store<booking> inner_;
  std::size_t writes_ = 0;
  std::size_t dies_at_ = 0;
  bool is_kept_ = false;
  bool is_dead_ = false;
};

/// Time, tasks, topics and a bank, and sagas of one shape whose calls go wrong as `plan` says.
class world {
 public:
  using runner_type = millrace::saga_runner<booking, timers_type>;

  world(saga_shape shape, std::uint32_t attempts, bool answers_later, std::optional<std::uint64_t> seed = {})
      : shape_(shape), answers_later_(answers_later) {
    if (seed) steps_.emplace(*seed);
    if (!seed) steps_.emplace();
    for (std::size_t i = 0; i < shape.steps; ++i) {
      millrace::saga_step_options chosen{.retry = retry_policy::fixed(100ms, attempts),
                                         .compensation_retry = retry_policy::fixed(100ms, attempts),
                                         .timeout = 5s};
      const auto act = [this](saga_attempt<booking>& a) { called(a); };
      if (shape.pivot == i) {
        saga_.pivot(support::step_name(i), std::move(chosen), act);
      } else if (shape.has_compensation(i)) {
        saga_.step(support::step_name(i), std::move(chosen), act, act);
      } else {
        saga_.step(support::step_name(i), std::move(chosen), act);
      }
    }
    make_runner();
  }

  // --- what the test does ---

  std::vector<mishap> plan;               // of the first call, the second, and so on
  mishap afterwards = mishap::none;       // of all after these
  std::optional<std::mt19937_64> random;  // instead of both: each call by chance
  mortal_store store;

  void make_runner() {
    runner_.reset();
    runner_ = std::make_unique<runner_type>(
        saga_, store, *steps_, timers_,
        runner_type::options{.events = &events_, .dead_letters = &letters_, .again_after = 1s});
  }
  runner_type& runner() { return *runner_; }
  /// False: the store has died, and perhaps nobody knows of it.
  bool start(const std::string& id) {
    try {
      return runner_->start(id, booking()) == saga_answer::ok;
    } catch (const std::runtime_error&) {
      return false;
    }
  }
  bool step() { return steps_->step(); }
  /// Until nothing happens any more, however long that takes; or the store has died.
  void run() {
    for (;;) {
      while (!store.is_dead() && steps_->step()) {
      }
      const auto next = timers_.poll(clock_.now());
      if (store.is_dead()) return;
      if (!steps_->is_idle()) continue;
      if (!next) return;
      if (*next > clock_.now()) clock_.set(*next);
    }
  }
  /// Some time, as a step among others.
  void wait(std::chrono::nanoseconds by) {
    clock_.advance(by);
    static_cast<void>(timers_.poll(clock_.now()));
  }
  void mend() {
    plan.clear();
    afterwards = mishap::none;
    random.reset();
  }
  [[nodiscard]] std::size_t calls() const { return calls_; }
  [[nodiscard]] saga_bank& bank() { return bank_; }
  /// Nothing waits, and no timer.
  [[nodiscard]] bool is_idle() { return steps_->is_idle() && !timers_.poll(clock_.now()); }

  /// What is wrong with that saga; nothing, if it is as it should be.
  std::string wrong_with(const std::string& id) {
    audit_.poll([&](const millrace::saga_event& e) { events_of_[e.id].push_back(e); });
    clerk_.poll([&](const millrace::saga_failure<booking>& f) { ++letters_of_[f.id]; });
    const auto state = runner_->state(id);
    if (!state) return "not there";
    const auto& events = events_of_[id];
    std::string wrong = support::wrong_with(events, shape_);
    if (wrong.empty()) wrong = support::wrong_with(bank_, events, shape_, "money", id, *state);
    if (wrong.empty() && (*state == saga_state::running || *state == saga_state::compensating))
      wrong = "not ended";
    if (wrong.empty() && *state == saga_state::stuck && letters_of_[id] == 0) wrong = "stuck, and silent";
    // What the saga knows of it is what its last attempts have said.
    if (wrong.empty() && *state == saga_state::completed) {
      const auto r = store.load("money", id);
      if (r->context.done != static_cast<int>(shape_.steps)) wrong = "its context";
      if (r->context.undone != 0) wrong = "its context, of what was taken back";
    }
    if (wrong.empty()) return {};
    for (const auto& e : events) {
      wrong += "\n  " + std::string(to_string(e.what)) + " " + e.step + " " + std::to_string(e.attempt) +
               " " + e.reason;
    }
    for (const auto& c : bank_.calls_of(id)) wrong += "\n  " + c.key;
    return wrong;
  }

 private:
  mishap next_mishap() {
    const std::size_t n = calls_++;
    if (random) {
      const auto drawn = (*random)() % 10;
      return drawn < 3 ? static_cast<mishap>(drawn + 1) : mishap::none;
    }
    return n < plan.size() ? plan[n] : afterwards;
  }
  void called(saga_attempt<booking>& a) {
    bank_.note(a.call());
    const mishap what = next_mishap();
    ++(a.call().compensates ? a->undone : a->done);
    if (what == mishap::throws) throw std::runtime_error("refused");
    if (what != mishap::lost) bank_.apply(a.call());
    if (what != mishap::none || answers_later_) {
      // Its answer comes when it is too late, or after everything else that is to be done now.
      if (what == mishap::none) {
        steps_->post([late = std::make_shared<saga_attempt<booking>>(std::move(a))] { late->done(); });
      } else {
        unanswered_.push_back(std::move(a));
      }
    }
  }

  const saga_shape shape_;
  const bool answers_later_;
  std::size_t calls_ = 0;
  saga_bank bank_;
  manual_clock clock_;
  timers_type timers_{clock_};
  std::optional<millrace::testing::step_executor> steps_;
  millrace::topic<millrace::saga_event> events_{10'000, {.segment = 64}};
  millrace::topic<millrace::saga_failure<booking>> letters_{1000, {.segment = 64}};
  millrace::topic<millrace::saga_event>::subscription audit_ = events_.subscribe();
  millrace::topic<millrace::saga_failure<booking>>::subscription clerk_ = letters_.subscribe();
  std::map<std::string, std::vector<millrace::saga_event>> events_of_;
  std::map<std::string, std::size_t> letters_of_;
  std::vector<saga_attempt<booking>> unanswered_;
  millrace::saga<booking> saga_{"money"};
  std::unique_ptr<runner_type> runner_;
};

/// Each shape of 1 to 5 steps, each number of attempts, and both ways to answer.
template <class F>
void for_each_kind(F f) {
  for (std::size_t n = 1; n <= 5; ++n) {
    for (std::size_t p = 0; p <= n; ++p) {
      const saga_shape shape{n, p == n ? std::nullopt : std::optional(p)};
      for (const std::uint32_t attempts : {1U, 2U}) {
        for (const bool later : {false, true}) f(shape, attempts, later);
      }
    }
  }
}
std::string described(const saga_shape& s, std::uint32_t attempts, bool later, std::size_t k) {
  return std::to_string(s.steps) + " steps, pivot " + (s.pivot ? std::to_string(*s.pivot) : "none") + ", " +
         std::to_string(attempts) + " attempts, " + (later ? "answered later" : "answered at once") +
         ", at " + std::to_string(k);
}

/// Runs sagas of each kind, the k-th call of which, and then perhaps the ones behind it, go wrong; until one passes without.
void fail_everywhere(const std::vector<mishap>& from_k, mishap afterwards) {
  std::map<saga_state, int> seen;
  for_each_kind([&](const saga_shape& shape, std::uint32_t attempts, bool later) {
    for (std::size_t k = 0;; ++k) {
      INFO(described(shape, attempts, later, k));
      world w(shape, attempts, later);
      w.plan.assign(k, mishap::none);
      w.plan.insert(w.plan.end(), from_k.begin(), from_k.end());
      w.afterwards = afterwards;
      REQUIRE(w.start("1"));
      w.run();
      const std::string wrong = w.wrong_with("1");
      if (!wrong.empty()) FAIL(wrong);
      REQUIRE(w.is_idle());
      const saga_state s = *w.runner().state("1");
      ++seen[s];
      if (w.calls() <= k) {
        REQUIRE(s == saga_state::completed);
        break;
      }
      if (s != saga_state::stuck) continue;
      w.mend();
      REQUIRE(w.runner().retry_stuck("1") == saga_answer::ok);
      w.run();
      const std::string still = w.wrong_with("1");
      if (!still.empty()) FAIL(still);
      REQUIRE(is_finished(*w.runner().state("1")));
      REQUIRE(w.is_idle());
    }
  });
  // The runs have been where they should.
  CHECK(seen[saga_state::completed] > 0);
  if (afterwards == mishap::none) CHECK(seen[saga_state::compensated] > 0);
  CHECK(seen[saga_state::stuck] > 0);
}

}  // namespace

TEST_CASE("the books balance if any one call throws") { fail_everywhere({mishap::throws}, mishap::none); }
TEST_CASE("the books balance if any one request is lost") { fail_everywhere({mishap::lost}, mishap::none); }
TEST_CASE("the books balance if any one answer is lost") {
  fail_everywhere({mishap::unanswered}, mishap::none);
}
TEST_CASE("the books balance if any two calls one behind the other go wrong") {
  for (const mishap first : {mishap::throws, mishap::lost, mishap::unanswered}) {
    for (const mishap second : {mishap::throws, mishap::lost, mishap::unanswered}) {
      fail_everywhere({first, second}, mishap::none);
    }
  }
}
TEST_CASE("the books balance if from any one call on all go wrong, until somebody mends it") {
  for (const mishap what : {mishap::throws, mishap::lost, mishap::unanswered}) {
    fail_everywhere({what}, what);
  }
}

TEST_CASE("the books balance if the process dies at any one write of its store") {
  // Alone, and with a call that goes wrong, so that it dies while it tries again, and goes backward.
  for (const std::size_t bad_call : {std::size_t{99}, std::size_t{1}, std::size_t{2}, std::size_t{4}}) {
    for (const mishap what : {mishap::throws, mishap::unanswered}) {
      if (bad_call == 99 && what != mishap::throws) continue;
      for (const bool is_kept : {false, true}) {
        for_each_kind([&](const saga_shape& shape, std::uint32_t attempts, bool later) {
          for (std::size_t k = 1;; ++k) {
            INFO(described(shape, attempts, later, k)
                 << (is_kept ? ", kept" : ", not kept") << ", call " << bad_call);
            world w(shape, attempts, later);
            w.plan.assign(bad_call, mishap::none);
            w.plan.push_back(what);
            w.store.die_at(k, is_kept);
            bool is_started = w.start("1");
            w.run();
            const bool has_died = w.store.is_dead();
            if (has_died) {
              w.make_runner();
              w.store.revive();
              const std::size_t resumed = w.runner().resume_all();
              if (!is_started && resumed == 0) is_started = w.start("1");
              w.run();
            }
            std::string wrong = w.wrong_with("1");
            if (!wrong.empty()) FAIL(wrong);
            REQUIRE(w.is_idle());
            if (w.runner().state("1") == saga_state::stuck) {
              w.store.revive();  // or it would die now
              w.mend();
              REQUIRE(w.runner().retry_stuck("1") == saga_answer::ok);
              w.run();
              wrong = w.wrong_with("1");
              if (!wrong.empty()) FAIL(wrong);
              REQUIRE(is_finished(*w.runner().state("1")));
            }
            if (!has_died) break;
          }
        });
      }
    }
  }
}

TEST_CASE(
    "the books balance for many sagas at once, in any order, with calls and runners that fail at random") {
  std::map<saga_state, int> seen;
  constexpr std::uint64_t seeds = 150;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    saga_shape shape{1 + random() % 5};
    if (random() % 2 == 0) shape.pivot = random() % shape.steps;
    world w(shape, 1 + static_cast<std::uint32_t>(random() % 3), random() % 2 == 0, random());
    w.random.emplace(random());
    constexpr int sagas = 12;
    for (int i = 0; i < sagas; ++i) REQUIRE(w.start(std::to_string(i)));
    for (int lives = static_cast<int>(random() % 4); lives > 0; --lives) {
      for (auto n = random() % 100; n > 0; --n) {
        if (!w.step() || random() % 16 == 0) w.wait(std::chrono::milliseconds(random() % 3000));
      }
      w.make_runner();  // stops the one before, in the middle
      static_cast<void>(w.runner().resume_all());
    }
    w.run();
    for (int i = 0; i < sagas; ++i) {
      const std::string wrong = w.wrong_with(std::to_string(i));
      if (!wrong.empty()) FAIL(wrong);
      ++seen[*w.runner().state(std::to_string(i))];
    }
    REQUIRE(w.is_idle());
    w.mend();
    std::size_t completed = 0;
    for (int i = 0; i < sagas; ++i) {
      const std::string id = std::to_string(i);
      const bool is_stuck = w.runner().state(id) == saga_state::stuck;
      REQUIRE(w.runner().retry_stuck(id) == (is_stuck ? saga_answer::ok : saga_answer::finished));
      w.run();
      const std::string wrong = w.wrong_with(id);
      if (!wrong.empty()) FAIL(wrong);
      REQUIRE(is_finished(*w.runner().state(id)));
      completed += w.runner().state(id) == saga_state::completed;
    }
    REQUIRE(w.bank().balance() == static_cast<long>(completed * shape.steps));
  }
  CHECK(seen[saga_state::completed] > 100);
  CHECK(seen[saga_state::compensated] > 100);
  CHECK(seen[saga_state::stuck] > 100);
}
