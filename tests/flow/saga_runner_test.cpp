#include "millrace/flow/saga_runner.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/testing/step_executor.hpp"
#include "support/catch.hpp"

namespace {

using millrace::manual_clock;
using millrace::retry_policy;
using millrace::saga_answer;
using millrace::saga_attempt;
using millrace::saga_call;
using millrace::saga_state;
using namespace std::chrono_literals;
using timers_type = millrace::basic_timer_service<manual_clock>;
using record = millrace::saga_record<std::string>;
using strings = std::vector<std::string>;

/// A store that fails on demand.
class store_type final : public millrace::saga_store<std::string> {
 public:
  [[nodiscard]] bool insert(const record& r) override {
    fail_if(inserts_to_fail);
    return inner.insert(r);
  }
  void save(const record& r) override {
    fail_if(saves_to_fail);
    ++saves;
    inner.save(r);
  }
  [[nodiscard]] std::optional<record> load(std::string_view saga, std::string_view id) override {
    fail_if(loads_to_fail);
    return inner.load(saga, id);
  }
  [[nodiscard]] strings unfinished(std::string_view saga) override { return inner.unfinished(saga); }

  millrace::memory_saga_store<std::string> inner;
  int inserts_to_fail = 0;
  int saves_to_fail = 0;
  int loads_to_fail = 0;
  int saves = 0;

 private:
  static void fail_if(int& n) {
    if (n != 0) {
      --n;
      throw std::runtime_error("the disk is full");
    }
  }
};

/// A saga over a string, which each action writes to; nothing happens but what the test lets happen.
struct world {
  using runner_type = millrace::saga_runner<std::string, timers_type>;
  using events_type = millrace::topic<millrace::saga_event>;
  using letters_type = millrace::topic<millrace::saga_failure<std::string>>;

  manual_clock clock;
  timers_type timers{clock};
  millrace::testing::step_executor steps;
  events_type events{1000};
  letters_type letters{4};
  events_type::subscription audit = events.subscribe();
  letters_type::subscription clerk = letters.subscribe();
  store_type store;
  millrace::saga<std::string> saga{"buy"};
  strings calls;
  std::unique_ptr<runner_type> runner;

  void make_runner() {
    runner = std::make_unique<runner_type>(
        saga, store, steps, timers,
        runner_type::options{.events = &events, .dead_letters = &letters, .again_after = 1s});
  }
  /// All that happens at this time.
  void settle() {
    do {
      steps.run_until_idle();
      static_cast<void>(timers.poll(clock.now()));
    } while (!steps.is_idle());
  }
  void start(const char* id = "1") {
    if (!runner) make_runner();
    REQUIRE(runner->start(id, "") == saga_answer::ok);
    settle();
  }
  void pass(std::chrono::nanoseconds by) {
    clock.advance(by);
    settle();
  }
  bool is_idle() { return steps.is_idle() && !timers.poll(clock.now()); }
  /// "step_failed a 2: why"
  strings told() {
    strings out;
    audit.poll([&](const millrace::saga_event& e) {
      std::string s = to_string(e.what);
      s += " " + e.step + " " + std::to_string(e.attempt);
      if (!e.reason.empty()) s += ": " + e.reason;
      out.push_back(s);
    });
    return out;
  }

  // Actions and compensations:

  auto writes(std::string what) {
    return [this, what = std::move(what)](std::string& context, const saga_call& c) {
      calls.push_back(c.key);
      context += what;
    };
  }
  auto throws(int times = 1'000'000) {
    return [this, times](std::string& context, const saga_call& c) mutable {
      calls.push_back(c.key);
      context += "spoiled";
      if (times-- > 0) throw std::runtime_error("why");
      context.resize(context.size() - 7);
      context += "!";
    };
  }
  /// Keeps the attempt, to be answered later.
  auto keeps(std::vector<saga_attempt<std::string>>& open) {
    return [this, &open](saga_attempt<std::string>& a) {
      calls.push_back(a.call().key);
      open.push_back(std::move(a));
    };
  }
};
retry_policy twice() { return retry_policy::fixed(100ms, 2); }

}  // namespace

TEST_CASE("a saga's steps are done one after the other, and it is completed") {
  world w;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .step("b", {}, w.writes("B"), w.writes("-B"))
      .step("c", {}, w.writes("C"));
  w.make_runner();
  CHECK(w.runner->start("1", "") == saga_answer::ok);
  CHECK(w.runner->state("1") == saga_state::running);  // in the store, but nothing is done in this thread
  CHECK(w.calls.empty());
  CHECK(w.runner->stats().running == 1);
  w.settle();
  CHECK(w.calls == strings{"buy/1/a", "buy/1/b", "buy/1/c"});
  CHECK(w.runner->state("1") == saga_state::completed);
  CHECK(w.store.load("buy", "1")->context == "ABC");
  CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_done a 1", "step_started b 1",
                            "step_done b 1", "step_started c 1", "step_done c 1", "completed c 1"});
  const auto s = w.runner->stats();
  CHECK(s.running == 0);
  CHECK(s.started == 1);
  CHECK(s.completed == 1);
  CHECK(s.attempts == 3);
  CHECK(s.compensations == 0);
  CHECK(s.failed + s.timed_out + s.late + s.stuck + s.compensated + s.resumed == 0);
  CHECK(s.events_lost + s.letters_lost + s.store_errors == 0);
  CHECK(w.is_idle());  // nothing is posted, and no timer
  CHECK(w.clerk.try_next() == nullptr);
}

TEST_CASE("a saga is kept once a step: what is about to be tried, before it is") {
  world w;
  std::vector<record> kept;
  const auto looks = [&](std::string&, const saga_call&) { kept.push_back(*w.store.load("buy", "1")); };
  w.saga.step("a", {}, looks, looks).step("b", {.retry = twice()}, [&](std::string& s, const saga_call& c) {
    looks(s, c);
    throw std::runtime_error("why");
  });
  w.start();
  w.pass(100ms);
  REQUIRE(kept.size() == 4);
  CHECK(kept[0].step == "a");
  CHECK(kept[0].attempt == 1);
  CHECK(kept[0].unknown);
  CHECK(kept[1].step == "b");
  CHECK(kept[1].attempt == 1);
  CHECK(kept[2].step == "b");
  CHECK(kept[2].attempt == 2);
  CHECK(kept[2].unknown);
  CHECK(kept[3].step == "a");
  CHECK(kept[3].compensates);
  CHECK(kept[3].state == saga_state::compensating);
  CHECK(kept[3].attempt == 1);
  CHECK(kept[3].reason == "why");
  // a, b, b has failed, b again, a back, the end
  CHECK(w.store.saves == 6);
}

TEST_CASE(
    "a step that fails is tried again after a pause, under the same key and with the context as it was") {
  world w;
  w.saga.step("a", {.retry = retry_policy::fixed(100ms, 3)}, w.throws(2), w.writes("-A"));
  w.start();
  CHECK(w.calls == strings{"buy/1/a"});
  CHECK_FALSE(w.store.load("buy", "1")->unknown);
  w.pass(99ms);
  CHECK(w.calls.size() == 1);
  w.pass(1ms);
  CHECK(w.calls == strings{"buy/1/a", "buy/1/a"});
  w.pass(100ms);
  CHECK(w.calls == strings{"buy/1/a", "buy/1/a", "buy/1/a"});
  CHECK(w.store.load("buy", "1")->context == "!");
  CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_failed a 1: why", "step_started a 2",
                            "step_failed a 2: why", "step_started a 3", "step_done a 3", "completed a 3"});
  CHECK(w.runner->stats().failed == 2);
  CHECK(w.is_idle());
}

TEST_CASE("a step that has failed for good is not taken back, those before it are, in reverse") {
  world w;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .step("look", {}, w.writes("L"))
      .step("b", {}, w.writes("B"), w.writes("-B"))
      .step("c", {.retry = retry_policy::none()}, w.throws(), w.writes("-C"))
      .step("d", {}, w.writes("D"), w.writes("-D"));
  w.start();
  CHECK(w.calls ==
        strings{"buy/1/a", "buy/1/look", "buy/1/b", "buy/1/c", "buy/1/b/compensate", "buy/1/a/compensate"});
  CHECK(w.runner->state("1") == saga_state::compensated);
  CHECK(w.store.load("buy", "1")->context == "ALB-B-A");
  CHECK(w.store.load("buy", "1")->reason == "why");
  const auto told = w.told();
  CHECK(strings(told.begin() + 7, told.end()) == strings{"step_started c 1", "step_failed c 1: why",
                                                         "compensating c 1: why", "compensation_started b 1",
                                                         "compensation_done b 1", "compensation_started a 1",
                                                         "compensation_done a 1", "compensated a 1"});
  CHECK(w.runner->stats().compensated == 1);
  CHECK(w.runner->stats().compensations == 2);
  CHECK(w.is_idle());
}

TEST_CASE("a saga whose first step fails is compensated with nothing to do") {
  world w;
  w.saga.step("a", {.retry = retry_policy::none()}, w.throws(), w.writes("-A"));
  w.start();
  CHECK(w.calls == strings{"buy/1/a"});
  CHECK(w.runner->state("1") == saga_state::compensated);
}

TEST_CASE("a policy decides what becomes of a failure") {
  world w;
  std::optional<millrace::decision> what;
  retry_policy p = twice();
  p.decide = [&](const millrace::failure& f) {
    CHECK(f.reason == "why");
    CHECK(f.error != nullptr);
    return *what;
  };
  w.saga.step("a", {.retry = std::move(p)}, w.throws());
  SECTION("it is hopeless") {
    what = millrace::decision::reject();
    w.start();
    CHECK(w.runner->state("1") == saga_state::compensated);
    CHECK(w.calls.size() == 1);
  }
  SECTION("a pause of its own") {
    what = millrace::decision::retry_in(5s);
    w.start();
    w.pass(4999ms);
    CHECK(w.calls.size() == 1);
    w.pass(1ms);
    CHECK(w.calls.size() == 2);
    CHECK(w.runner->state("1") == saga_state::compensated);
  }
  SECTION("it does not count") {
    what = millrace::decision::release();
    w.start();
    for (int i = 0; i < 10; ++i) w.pass(100ms);
    CHECK(w.calls.size() == 11);
    CHECK(w.runner->state("1") == saga_state::running);
    what = millrace::decision::retry();
    w.pass(100ms);
    w.pass(100ms);
    CHECK(w.calls.size() == 13);
    CHECK(w.runner->state("1") == saga_state::compensated);
  }
}

TEST_CASE("pauses grow, and are spread by the policy's random numbers") {
  world w;
  retry_policy p{.attempts = 3, .first = 100ms, .factor = 2, .most = 10s, .jitter = 0.5};
  p.random = [] { return 1.0; };
  w.saga.step("a", {.retry = std::move(p)}, w.throws());
  w.start();
  w.pass(149ms);
  CHECK(w.calls.size() == 1);
  w.pass(1ms);
  CHECK(w.calls.size() == 2);
  w.pass(299ms);
  CHECK(w.calls.size() == 2);
  w.pass(1ms);
  CHECK(w.calls.size() == 3);
}

TEST_CASE("an action may answer itself, or be answered later, from outside") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga
      .step("a", {},
            [&](saga_attempt<std::string>& a) {
              *a += "A";
              CHECK(a.call().attempt == 1);
              CHECK(a.done());
              CHECK_FALSE(a);
              CHECK_FALSE(a.done());
            })
      .step("b", {}, w.keeps(open), w.writes("-B"))
      .step("c", {}, [](saga_attempt<std::string>& a) { *a += "C"; });  // returns with it: done
  w.start();
  REQUIRE(open.size() == 1);
  CHECK(w.steps.is_idle());
  CHECK(w.runner->state("1") == saga_state::running);
  *open[0] += "B";
  CHECK(open[0]->size() == 2);
  CHECK(open[0].done());
  CHECK_FALSE(open[0].done());
  CHECK_FALSE(open[0].failed());
  w.settle();
  CHECK(w.runner->state("1") == saga_state::completed);
  CHECK(w.store.load("buy", "1")->context == "ABC");
  CHECK(w.runner->stats().late == 0);
  CHECK(w.is_idle());  // its time-out is called off
}

TEST_CASE("an attempt that is answered as failed") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {.retry = twice()}, w.keeps(open), w.writes("-A"));
  w.start();
  *open.at(0) += "spoiled";
  CHECK(open.at(0).failed("no money"));
  w.settle();
  w.pass(100ms);
  CHECK(open.at(1).call().attempt == 2);
  CHECK(open.at(1).call().key == "buy/1/a");
  CHECK(*open.at(1) == "");
  CHECK(open.at(1).failed());
  w.settle();
  CHECK(w.calls == strings{"buy/1/a", "buy/1/a"});  // and nothing to take back
  CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_failed a 1: no money",
                            "step_started a 2", "step_failed a 2: failed", "compensating a 2: failed",
                            "compensated a 2"});
}

TEST_CASE("an attempt that is dropped may be done: it is tried again, and then taken back") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {.retry = retry_policy::none()}, w.keeps(open), w.writes("-A"));
  w.start();
  SECTION("destroyed") { open.clear(); }
  SECTION("assigned to") { open[0] = {}; }
  w.settle();
  CHECK(w.calls == strings{"buy/1/a", "buy/1/a/compensate"});
  CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_timed_out a 1: dropped",
                            "compensating a 1: dropped", "compensation_started a 1", "compensation_done a 1",
                            "compensated a 1"});
}

TEST_CASE("an action that throws has failed, whatever has become of its attempt") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  const char* what = "std";
  w.saga.step("a", {.retry = retry_policy::none()}, [&](saga_attempt<std::string>& a) {
    if (*what == 'm') open.push_back(std::move(a));
    if (*what == 'd') a.done();
    if (*what == 'n') throw 1;
    throw std::runtime_error("why");
  });
  w.start("1");
  what = "not a std::exception";
  w.start("2");
  what = "moved away";
  w.start("3");
  CHECK(w.runner->state("1") == saga_state::compensated);
  CHECK(w.store.load("buy", "1")->reason == "why");
  CHECK(w.store.load("buy", "2")->reason == "exception");
  CHECK(w.runner->state("3") == saga_state::compensated);
  CHECK(w.store.load("buy", "3")->reason == "why");
  CHECK_FALSE(open.at(0).done());
  CHECK(w.runner->stats().late == 1);
  what = "done, and then thrown: it is done";
  w.start("4");
  CHECK(w.runner->state("4") == saga_state::completed);
}

TEST_CASE("a step that gets no answer in time is tried again, and then taken back, before the others") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .step("b", {.retry = twice(), .timeout = 5s}, w.keeps(open), w.writes("-B"));
  w.start();
  w.pass(4999ms);
  CHECK(open.size() == 1);
  w.pass(1ms);
  CHECK(w.store.load("buy", "1")->unknown);
  w.pass(100ms);
  REQUIRE(open.size() == 2);
  CHECK(open[1].call().key == open[0].call().key);
  *open[0] += "late";
  CHECK_FALSE(open[0].done());
  w.settle();
  CHECK(w.runner->stats().late == 1);
  CHECK(w.runner->state("1") == saga_state::running);

  SECTION("the second answers") {
    CHECK(open[1].done());
    w.settle();
    CHECK(w.runner->state("1") == saga_state::completed);
    CHECK(w.store.load("buy", "1")->context == "A");
  }
  SECTION("the second does not answer, either") {
    w.pass(5s);
    CHECK(w.calls == strings{"buy/1/a", "buy/1/b", "buy/1/b", "buy/1/b/compensate", "buy/1/a/compensate"});
    CHECK(w.runner->state("1") == saga_state::compensated);
    CHECK(w.store.load("buy", "1")->context == "A-B-A");
    CHECK(w.runner->stats().timed_out == 2);
  }
  SECTION("the second fails for certain, but of the first one nothing is known") {
    CHECK(open[1].failed("why"));
    w.settle();
    CHECK(w.calls == strings{"buy/1/a", "buy/1/b", "buy/1/b", "buy/1/b/compensate", "buy/1/a/compensate"});
    CHECK(w.runner->state("1") == saga_state::compensated);
  }
  CHECK(w.is_idle());
}

TEST_CASE("the time-out of a step that has been done does not reach the next one") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {.timeout = 5s}, w.keeps(open), w.writes("-A"))
      .step("b", {.timeout = 9s}, w.keeps(open), w.writes("-B"));
  w.start();
  w.pass(4s);
  CHECK(open.at(0).done());
  w.pass(1s);
  CHECK(w.runner->stats().timed_out == 0);
  CHECK(open.at(1).done());
  w.settle();
  CHECK(w.runner->state("1") == saga_state::completed);
}

TEST_CASE("a time-out strikes while an action runs: what it returns is late, and its context is dropped") {
  world w;
  int n = 0;
  w.saga.step("a", {.retry = twice(), .timeout = 5s}, [&](std::string& context, const saga_call& c) {
    context += "A" + std::to_string(++n);
    if (c.attempt == 1) {
      // Another thread's work, as it were:
      w.clock.advance(5s);
      static_cast<void>(w.timers.poll(w.clock.now()));
      while (!w.steps.is_idle()) w.steps.step();
      w.clock.advance(100ms);
      static_cast<void>(w.timers.poll(w.clock.now()));
      while (!w.steps.is_idle()) w.steps.step();
    }
  });
  w.start();
  CHECK(n == 2);
  CHECK(w.store.load("buy", "1")->context == "A2");
  CHECK(w.runner->state("1") == saga_state::completed);
  CHECK(w.runner->stats().late == 1);
  CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_timed_out a 1: timeout",
                            "step_started a 2", "step_done a 2", "completed a 2"});
}

TEST_CASE("a step without a time-out has no timer") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {.timeout = millrace::saga_step_options::no_timeout}, w.keeps(open));
  w.start();
  CHECK(w.is_idle());
  CHECK(open.at(0).done());
  w.settle();
  CHECK(w.runner->state("1") == saga_state::completed);
}

TEST_CASE("a pivot that fails for certain is given up, and what was before it taken back") {
  world w;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .pivot("p", {.retry = twice()}, w.throws())
      .step("c", {}, w.writes("C"));
  w.start();
  w.pass(100ms);
  CHECK(w.calls == strings{"buy/1/a", "buy/1/p", "buy/1/p", "buy/1/a/compensate"});
  CHECK(w.runner->state("1") == saga_state::compensated);
}

TEST_CASE("a pivot that may be done is not taken back, and not given up") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .pivot("p", {.retry = twice(), .timeout = 5s}, w.keeps(open))
      .step("c", {}, w.writes("C"));
  w.start();
  w.pass(5s);
  w.pass(100ms);
  REQUIRE(open.size() == 2);
  SECTION("the second attempt is done") {
    CHECK(open[1].done());
    w.settle();
    CHECK(w.runner->state("1") == saga_state::completed);
  }
  SECTION("the second attempt fails: but the first one may be done") {
    CHECK(open[1].failed("why"));
    w.settle();
    CHECK(w.calls == strings{"buy/1/a", "buy/1/p", "buy/1/p"});
    CHECK(w.runner->state("1") == saga_state::stuck);
    CHECK(w.clerk.try_next()->step == "p");
  }
}

TEST_CASE(
    "behind the pivot a step that fails for good is stuck: a dead letter, and then it is tried again by "
    "hand") {
  world w;
  bool is_mended = false;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .pivot("p", {}, w.writes("P"))
      .step("c", {.retry = twice()}, [&](std::string& context, const saga_call& c) {
        w.calls.push_back(c.key);
        if (!is_mended) throw std::runtime_error("why");
        context += "C";
      });
  w.start();
  w.pass(100ms);
  CHECK(w.calls == strings{"buy/1/a", "buy/1/p", "buy/1/c", "buy/1/c"});
  CHECK(w.runner->state("1") == saga_state::stuck);
  CHECK(w.runner->stats().stuck == 1);
  CHECK(w.runner->stats().running == 0);
  CHECK(w.is_idle());
  const auto* letter = w.clerk.try_next();
  REQUIRE(letter != nullptr);
  CHECK(letter->saga == "buy");
  CHECK(letter->id == "1");
  CHECK(letter->step == "c");
  CHECK_FALSE(letter->compensates);
  CHECK(letter->reason == "why");
  CHECK(letter->attempts == 2);
  CHECK(letter->context == "AP");
  CHECK(letter->time == 100ms);
  CHECK(w.told().back() == "stuck c 2: why");

  CHECK(w.runner->resume("1") == saga_answer::stuck);
  CHECK(w.runner->resume_all() == 0);
  CHECK(w.runner->start("1", "") == saga_answer::exists);
  CHECK(w.steps.is_idle());

  // Not mended yet: all attempts once more, and another letter.
  CHECK(w.runner->retry_stuck("1") == saga_answer::ok);
  w.settle();
  w.pass(100ms);
  CHECK(w.runner->state("1") == saga_state::stuck);
  CHECK(w.calls.size() == 6);
  CHECK(w.clerk.try_next() != nullptr);
  CHECK(w.clerk.try_next() == nullptr);
  CHECK(w.told() == strings{"resumed c 0", "step_started c 1", "step_failed c 1: why", "step_started c 2",
                            "step_failed c 2: why", "stuck c 2: why"});

  is_mended = true;
  CHECK(w.runner->retry_stuck("1") == saga_answer::ok);
  CHECK(w.runner->retry_stuck("1") == saga_answer::running);
  CHECK(w.runner->resume("1") == saga_answer::running);
  w.settle();
  CHECK(w.runner->state("1") == saga_state::completed);
  CHECK(w.store.load("buy", "1")->context == "APC");
  CHECK(w.store.load("buy", "1")->reason.empty());
  CHECK(w.runner->retry_stuck("1") == saga_answer::finished);
  CHECK(w.runner->stats().resumed == 2);
}

TEST_CASE("a step behind the pivot may be tried for ever") {
  world w;
  w.saga.pivot("p", {}, w.writes("P"))
      .step("c", {.retry = retry_policy::fixed(1s, millrace::unlimited_attempts)}, w.throws(100));
  w.start();
  for (int i = 0; i < 100; ++i) w.pass(1s);
  CHECK(w.runner->state("1") == saga_state::completed);
  CHECK(w.calls.size() == 102);
}

TEST_CASE("a compensation that fails is tried again under its key, and then the saga is stuck") {
  world w;
  bool is_mended = false;
  const char* how = "throws";
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
      .step("b", {.compensation_retry = twice(), .timeout = 5s}, w.writes("B"),
            [&](saga_attempt<std::string>& a) {
              w.calls.push_back(a.call().key);
              CHECK(a.call().compensates);
              if (is_mended) return;
              if (*how == 't') throw std::runtime_error("bank is closed");
              open.push_back(std::move(a));
            })
      .step("c", {.retry = retry_policy::none()}, w.throws());
  strings expected;
  SECTION("it throws") {
    w.start();
    w.pass(100ms);
    expected = {"compensation_started b 1", "compensation_failed b 1: bank is closed",
                "compensation_started b 2", "compensation_failed b 2: bank is closed",
                "stuck b 2: bank is closed"};
  }
  SECTION("it does not answer") {
    how = "silent";
    w.start();
    w.pass(5s);
    w.pass(100ms);
    w.pass(5s);
    CHECK(w.runner->stats().timed_out == 2);
    expected = {"compensation_started b 1", "compensation_timed_out b 1: timeout", "compensation_started b 2",
                "compensation_timed_out b 2: timeout", "stuck b 2: timeout"};
  }
  CHECK(w.calls == strings{"buy/1/a", "buy/1/b", "buy/1/c", "buy/1/b/compensate", "buy/1/b/compensate"});
  CHECK(w.runner->state("1") == saga_state::stuck);
  auto told = w.told();
  CHECK(strings(told.end() - 5, told.end()) == expected);
  const auto* letter = w.clerk.try_next();
  REQUIRE(letter != nullptr);
  CHECK(letter->compensates);
  CHECK(letter->step == "b");
  CHECK(letter->context == "AB");

  is_mended = true;
  CHECK(w.runner->retry_stuck("1") == saga_answer::ok);
  CHECK(w.runner->state("1") == saga_state::stuck);  // until something of it is kept
  w.settle();
  CHECK(w.runner->state("1") == saga_state::compensated);
  CHECK(w.calls.back() == "buy/1/a/compensate");
  CHECK(w.told() == strings{"resumed b 0", "compensation_started b 1", "compensation_done b 1",
                            "compensation_started a 1", "compensation_done a 1", "compensated a 1"});
}

TEST_CASE("without room for its dead letter a saga is not stuck yet, and comes back to it") {
  world w;
  w.saga.pivot("p", {.retry = retry_policy::none()}, w.writes("P"))
      .step("c", {.retry = retry_policy::none()}, w.throws());
  for (const char* id : {"1", "2", "3", "4"}) w.start(id);
  CHECK(w.runner->stats().stuck == 4);
  w.start("5");
  CHECK(w.runner->stats().stuck == 4);
  CHECK(w.runner->state("5") == saga_state::running);
  w.pass(10s);
  CHECK(w.runner->state("5") == saga_state::running);
  SECTION("until somebody reads") {
    int letters = 0;
    w.clerk.poll([&](const auto&) { ++letters; });
    CHECK(letters == 4);
    w.pass(1s);
    CHECK(w.runner->state("5") == saga_state::stuck);
    CHECK(w.clerk.try_next()->id == "5");
    CHECK(w.clerk.try_next() == nullptr);
    CHECK(w.runner->stats().letters_lost == 0);
  }
  SECTION("or nobody ever will: it is counted") {
    w.letters.close();
    w.pass(1s);
    CHECK(w.runner->state("5") == saga_state::stuck);
    CHECK(w.runner->stats().letters_lost == 1);
  }
  SECTION("or the runner is stopped, and another one has its chance") {
    w.runner->stop();
    CHECK(w.runner->state("5") == saga_state::running);
    w.clerk.poll([](const auto&) {});
    w.make_runner();
    CHECK(w.runner->resume("5") == saga_answer::ok);
    w.settle();
    CHECK(w.runner->state("5") == saga_state::stuck);
    CHECK(w.clerk.try_next()->id == "5");
  }
  CHECK(w.calls.size() == 10);  // and no step was done twice
}

TEST_CASE("events that find no room are counted, and nobody waits") {
  world w;
  w.saga.step("a", {}, w.writes("A"));
  millrace::topic<millrace::saga_event> tiny(2);
  auto reader = tiny.subscribe();
  world::runner_type r(w.saga, w.store, w.steps, w.timers, {.events = &tiny});
  CHECK(r.start("1", "") == saga_answer::ok);
  w.settle();
  CHECK(r.state("1") == saga_state::completed);
  std::uint64_t n = 0;
  reader.poll([&](const auto&) { ++n; });
  CHECK(n + r.stats().events_lost == 4);
  CHECK(r.stats().events_lost != 0);
  tiny.close();
  CHECK(r.start("2", "") == saga_answer::ok);
  w.settle();
  CHECK(n + r.stats().events_lost == 8);
}

TEST_CASE("a runner needs no topics") {
  world w;
  w.saga.pivot("p", {}, w.writes("P")).step("c", {.retry = retry_policy::none()}, w.throws());
  world::runner_type r(w.saga, w.store, w.steps, w.timers);
  CHECK(r.start("1", "") == saga_answer::ok);
  w.settle();
  CHECK(r.state("1") == saga_state::stuck);
  CHECK(r.stats().stuck == 1);
  CHECK(r.stats().letters_lost == 0);
}

TEST_CASE("when the store fails, nothing is done that it does not know, and it is tried again") {
  world w;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A")).step("b", {}, w.writes("B"));
  w.make_runner();
  SECTION("insert: the caller is told, and the id is free") {
    w.store.inserts_to_fail = 1;
    CHECK_THROWS_AS(w.runner->start("1", ""), std::runtime_error);
    w.settle();
    CHECK(w.calls.empty());
    CHECK(w.runner->stats().running == 0);
    w.start("1");
    CHECK(w.runner->state("1") == saga_state::completed);
  }
  SECTION("before the first step") {
    w.store.saves_to_fail = 2;
    w.start("1");
    CHECK(w.calls.empty());
    CHECK(w.told().empty());
    w.pass(1s);
    CHECK(w.calls.empty());
    w.pass(999ms);
    CHECK(w.calls.empty());
    w.pass(1ms);
    CHECK(w.calls == strings{"buy/1/a", "buy/1/b"});
    CHECK(w.runner->state("1") == saga_state::completed);
    CHECK(w.runner->stats().store_errors == 2);
    CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_done a 1", "step_started b 1",
                              "step_done b 1", "completed b 1"});
  }
  SECTION("load") {
    w.store.loads_to_fail = 2;
    CHECK_THROWS_AS(w.runner->resume("1"), std::runtime_error);
    CHECK_THROWS_AS(w.runner->state("1"), std::runtime_error);
    w.start("1");
    CHECK(w.runner->state("1") == saga_state::completed);
  }
}

TEST_CASE("at whichever save the store fails, each step is done once, and everything is told once") {
  for (int k = 0;; ++k) {
    world w;
    w.saga.step("a", {}, w.writes("A"), w.writes("-A"))
        .step("b", {}, w.writes("B"), w.writes("-B"))
        .step("c", {.retry = twice()}, w.throws());
    w.make_runner();
    CHECK(w.runner->start("1", "") == saga_answer::ok);
    for (bool has_failed = false; w.runner->stats().running != 0;) {
      if (w.store.saves == k && !std::exchange(has_failed, true)) w.store.saves_to_fail = 1;
      if (!w.steps.step()) w.pass(100ms);
    }
    w.store.saves_to_fail = 0;
    CHECK(w.calls ==
          strings{"buy/1/a", "buy/1/b", "buy/1/c", "buy/1/c", "buy/1/b/compensate", "buy/1/a/compensate"});
    CHECK(w.told().size() == 15);
    CHECK(w.store.load("buy", "1")->context == "AB-B-A");
    CHECK(w.is_idle());
    if (w.runner->stats().store_errors == 0) break;
  }
}

TEST_CASE("a context that cannot be copied just now is waited for") {
  struct picky {
    int* copies_to_fail;
    picky(int* n) : copies_to_fail(n) {}
    picky(const picky& o) : copies_to_fail(o.copies_to_fail) {
      if (*copies_to_fail > 0 && (*copies_to_fail)-- == 1) throw std::bad_alloc();
    }
    picky(picky&&) noexcept = default;
    picky& operator=(picky&&) noexcept = default;
    ~picky() = default;
  };
  manual_clock clock;
  timers_type timers(clock);
  millrace::testing::step_executor steps;
  millrace::memory_saga_store<picky> store;
  millrace::saga<picky> s("buy");
  int calls = 0;
  s.step("a", {}, [&](picky&, const saga_call&) { ++calls; });
  millrace::saga_runner runner(s, store, steps, timers);
  int to_fail = 0;
  CHECK(runner.start("1", picky(&to_fail)) == saga_answer::ok);
  to_fail = 1;
  steps.run_until_idle();
  CHECK(calls == 0);
  CHECK(runner.stats().store_errors == 1);
  clock.advance(1s);
  static_cast<void>(timers.poll(clock.now()));
  steps.run_until_idle();
  CHECK(calls == 1);
  CHECK(runner.state("1") == saga_state::completed);
}

TEST_CASE("an id is refused while it is known") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {}, w.keeps(open));
  w.start("1");
  CHECK(w.runner->start("1", "") == saga_answer::exists);
  CHECK(w.runner->resume("1") == saga_answer::running);
  CHECK(w.runner->resume_all() == 0);
  CHECK(open.at(0).done());
  w.settle();
  CHECK(w.runner->start("1", "") == saga_answer::exists);
  CHECK(w.runner->resume("1") == saga_answer::finished);
  CHECK(w.runner->resume("2") == saga_answer::not_found);
  CHECK_FALSE(w.runner->state("2"));
  CHECK(w.store.inner.erase_finished() == 1);
  w.start("1");
  CHECK(w.calls.size() == 2);
  CHECK_THROWS_WITH(w.runner->start("", ""), "saga_runner::start: id must be 1 character or more");
}

TEST_CASE("a runner refuses what it cannot work with") {
  world w;
  CHECK_THROWS_WITH(w.make_runner(), "saga_runner: the saga must have 1 step or more");
  w.saga.step("a", {}, w.writes("A"));
  CHECK_THROWS_WITH(world::runner_type(w.saga, w.store, w.steps, w.timers, {.again_after = 0s}),
                    "saga_runner: again_after must be more than 0");
}

TEST_CASE("after a stop another runner goes on where the first one was") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  SECTION("in a pause") {
    w.saga.step("a", {.retry = twice()}, w.throws(1), w.writes("-A"));
    w.start();
    w.runner->stop();
    CHECK(w.is_idle());  // its timer is called off
    CHECK_FALSE(w.store.load("buy", "1")->unknown);
    w.make_runner();
    CHECK(w.runner->resume_all() == 1);
    w.settle();  // at once
    CHECK(w.runner->state("1") == saga_state::completed);
    CHECK(w.told() == strings{"started a 0", "step_started a 1", "step_failed a 1: why", "resumed a 1",
                              "step_started a 2", "step_done a 2", "completed a 2"});
  }
  SECTION("in an attempt: it counts, and its answer is too late") {
    w.saga.step("a", {.retry = twice(), .timeout = 5s}, w.keeps(open), w.writes("-A"));
    w.start();
    w.runner->stop();
    CHECK(w.is_idle());
    CHECK_FALSE(open.at(0).done());
    CHECK(w.runner->stats().late == 1);
    w.make_runner();
    CHECK(w.runner->resume("1") == saga_answer::ok);
    w.settle();
    CHECK(open.at(1).call().attempt == 2);
    CHECK(open.at(1).call().key == "buy/1/a");
    CHECK(open.at(1).failed("why"));  // but the first one may be done
    w.settle();
    CHECK(w.calls == strings{"buy/1/a", "buy/1/a", "buy/1/a/compensate"});
    CHECK(w.runner->state("1") == saga_state::compensated);
  }
  SECTION("in the last attempt: it may be done, and is taken back") {
    w.saga.step("a", {.retry = retry_policy::none()}, w.keeps(open), w.writes("-A"));
    w.start();
    w.make_runner();  // the first one is destroyed
    CHECK(w.runner->resume("1") == saga_answer::ok);
    w.settle();
    CHECK(w.calls == strings{"buy/1/a", "buy/1/a/compensate"});
    CHECK(w.store.load("buy", "1")->reason == "interrupted");
  }
  SECTION("in the last attempt, and the next runner is stopped before it does anything") {
    w.saga.step("a", {.retry = retry_policy::none()}, w.keeps(open), w.writes("-A"));
    w.start();
    w.make_runner();
    CHECK(w.runner->resume("1") == saga_answer::ok);
    w.runner->stop();
    CHECK(w.told().back() == "compensating a 1: interrupted");
    CHECK(w.store.load("buy", "1")->state == saga_state::compensating);  // what was told is kept
    CHECK(w.store.load("buy", "1")->attempt == 0);
    CHECK(w.calls == strings{"buy/1/a"});
    w.make_runner();
    CHECK(w.runner->resume("1") == saga_answer::ok);
    w.settle();
    CHECK(w.calls == strings{"buy/1/a", "buy/1/a/compensate"});
    CHECK(w.told() ==
          strings{"resumed a 0", "compensation_started a 1", "compensation_done a 1", "compensated a 1"});
  }
  SECTION("in the last attempt of a compensation: it is stuck") {
    w.saga.step("a", {.compensation_retry = retry_policy::none()}, w.writes("A"), w.keeps(open))
        .step("b", {.retry = retry_policy::none()}, w.throws());
    w.start();
    w.make_runner();
    CHECK(w.runner->resume("1") == saga_answer::ok);
    w.settle();
    CHECK(w.runner->state("1") == saga_state::stuck);
    CHECK(w.clerk.try_next()->reason == "interrupted");
    CHECK(w.calls == strings{"buy/1/a", "buy/1/b", "buy/1/a/compensate"});
  }
  SECTION("its task was posted, and comes too late") {
    w.saga.step("a", {}, w.writes("A"));
    w.make_runner();
    CHECK(w.runner->start("1", "") == saga_answer::ok);
    w.runner->stop();
    CHECK_FALSE(w.steps.is_idle());
    w.runner.reset();
    w.settle();
    CHECK(w.calls.empty());
    CHECK(w.store.load("buy", "1")->attempt == 0);
    w.make_runner();
    CHECK(w.runner->resume_all() == 1);
    w.settle();
    CHECK(w.calls.size() == 1);
    CHECK(w.told() ==
          strings{"started a 0", "resumed a 0", "step_started a 1", "step_done a 1", "completed a 1"});
  }
  SECTION("the last answer was given, and is kept") {
    w.saga.step("a", {.retry = retry_policy::none()}, w.keeps(open), w.writes("-A"))
        .step("b", {}, w.writes("B"));
    w.start();
    *open.at(0) += "A";
    CHECK(open.at(0).done());
    w.runner->stop();  // its task has not run
    CHECK(w.store.load("buy", "1")->step == "b");
    CHECK(w.store.load("buy", "1")->attempt == 0);
    w.make_runner();
    CHECK(w.runner->resume_all() == 1);
    w.settle();
    CHECK(w.calls == strings{"buy/1/a", "buy/1/b"});
    CHECK(w.store.load("buy", "1")->context == "AB");
  }
}

TEST_CASE("a stop waits for an action that runs, and keeps what it has done") {
  manual_clock clock;
  timers_type timers(clock);
  millrace::thread_executor one(1);
  millrace::memory_saga_store<std::string> store;
  millrace::saga<std::string> s("buy");
  std::atomic<int> at{0};
  int b = 0;
  s.step("a", {.retry = retry_policy::none()}, [&](std::string& context, const saga_call&) {
     at = 1;
     at.notify_all();
     at.wait(1);
     context += "A";
   }).step("b", {}, [&](std::string&, const saga_call&) { ++b; });
  millrace::saga_runner runner(s, store, one, timers);
  CHECK(runner.start("1", "") == saga_answer::ok);
  at.wait(0);
  std::atomic<bool> has_stopped{false};
  std::thread stopper([&] {
    runner.stop();
    has_stopped = true;
  });
  while (runner.start("1", "") != saga_answer::closed) std::this_thread::yield();  // it has begun to stop
  CHECK_FALSE(has_stopped);
  at = 2;
  at.notify_all();
  stopper.join();
  CHECK(b == 0);
  const auto r = store.load("buy", "1");
  CHECK(r->step == "b");
  CHECK(r->attempt == 0);
  CHECK(r->context == "A");
  CHECK(r->state == saga_state::running);
  runner.stop();
  CHECK(runner.stats().running == 0);
}

TEST_CASE("a runner that is drained or stopped starts nothing") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {}, w.keeps(open));
  w.start("1");
  CHECK(w.runner->drain(w.clock.now()) == 1);
  CHECK(w.runner->start("2", "") == saga_answer::closed);
  CHECK(w.runner->resume("1") == saga_answer::closed);
  CHECK(open.at(0).done());
  w.settle();
  CHECK(w.runner->drain(w.clock.now() + 1h) == 0);  // at once
  CHECK(w.is_idle());
  w.runner->stop();
  w.runner->stop();
  CHECK(w.runner->drain(w.clock.now() + 1h) == 0);
  CHECK(w.runner->start("2", "") == saga_answer::closed);
  CHECK(w.runner->retry_stuck("1") == saga_answer::closed);
  CHECK(w.runner->resume_all() == 0);
  CHECK_FALSE(w.runner->state("2"));
}

TEST_CASE("a drain waits until its sagas are through, or for its deadline") {
  manual_clock clock;
  timers_type timers(clock);
  timers.start();
  millrace::thread_executor one(1);
  millrace::memory_saga_store<std::string> store;
  millrace::saga<std::string> s("buy");
  std::vector<saga_attempt<std::string>> open;
  std::atomic<bool> is_open{false};
  s.step("a", {}, [&](saga_attempt<std::string>& a) {
    open.push_back(std::move(a));
    is_open = true;
    is_open.notify_all();
  });
  millrace::saga_runner runner(s, store, one, timers);
  CHECK(runner.start("1", "") == saga_answer::ok);
  is_open.wait(false);
  std::size_t left = 99;
  std::thread first([&] { left = runner.drain(clock.now() + 1s); });
  while (runner.start("1", "") != saga_answer::closed) std::this_thread::yield();
  clock.advance(1s);
  first.join();
  CHECK(left == 1);
  std::thread second([&] { left = runner.drain(clock.now() + 1h); });
  open.at(0).done();
  second.join();
  CHECK(left == 0);
}

TEST_CASE("a saga whose definition has lost its step is stuck, and says so") {
  world w;
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {}, w.writes("A"), w.writes("-A")).step("b", {}, w.keeps(open));
  w.start();
  w.runner->stop();
  millrace::saga<std::string> newer("buy");
  newer.step("a", {}, w.writes("A"), w.writes("-A")).step("c", {}, w.writes("C"));
  world::runner_type r(newer, w.store, w.steps, w.timers, {.events = &w.events, .dead_letters = &w.letters});
  CHECK(r.resume_all() == 1);
  w.settle();
  CHECK(r.state("1") == saga_state::stuck);
  const auto* letter = w.clerk.try_next();
  REQUIRE(letter != nullptr);
  CHECK(letter->step == "b");
  CHECK(letter->reason == "the saga has no such step");
  CHECK(w.told().back() == "stuck b 1: the saga has no such step");
}

TEST_CASE("sagas of two names share a store") {
  world w;
  w.saga.step("a", {}, w.writes("A"));
  millrace::saga<std::string> other("sell");
  std::vector<saga_attempt<std::string>> open;
  other.step("a", {}, w.keeps(open));
  world::runner_type r(other, w.store, w.steps, w.timers);
  w.start("1");
  CHECK(r.start("1", "") == saga_answer::ok);
  w.settle();
  CHECK(w.calls == strings{"buy/1/a", "sell/1/a"});
  CHECK(w.runner->resume_all() == 0);
  CHECK(r.state("1") == saga_state::running);
  CHECK(w.runner->state("1") == saga_state::completed);
}

TEST_CASE("without a timer service that goes on, a saga that has to wait stays where it is") {
  world w;
  w.saga.step("a", {.retry = twice()}, w.throws(1));
  w.make_runner();
  w.timers.stop();
  CHECK(w.runner->start("1", "") == saga_answer::ok);
  w.steps.run_until_idle();
  CHECK(w.calls.size() == 1);
  CHECK(w.runner->drain(w.clock.now() + 1h) == 1);  // and nobody waits for it
  w.runner->stop();
  timers_type others(w.clock);
  world::runner_type r(w.saga, w.store, w.steps, others);
  CHECK(r.resume_all() == 1);
  w.steps.run_until_idle();
  CHECK(r.state("1") == saga_state::completed);
}

TEST_CASE("an attempt may outlive everything") {
  std::vector<saga_attempt<std::string>> open;
  {
    world w;
    w.saga.step("a", {}, w.keeps(open));
    w.start();
  }
  REQUIRE(open.size() == 1);
  *open[0] += "more";
  CHECK(open[0].call().key == "buy/1/a");
  CHECK_FALSE(open[0].done());
}

TEST_CASE("an executor that was stopped runs a saga in the thread that moves it") {
  world w;
  millrace::thread_executor stopped(1);
  stopped.stop();
  std::vector<saga_attempt<std::string>> open;
  w.saga.step("a", {.retry = twice()}, w.throws(1))
      .step("b", {.timeout = 5s}, w.keeps(open))
      .step("c", {}, w.writes("C"));
  world::runner_type r(w.saga, w.store, stopped, w.timers);
  CHECK(r.start("1", "") == saga_answer::ok);
  CHECK(w.calls.size() == 1);
  w.clock.advance(100ms);
  static_cast<void>(w.timers.poll(w.clock.now()));
  REQUIRE(open.size() == 1);
  CHECK(open[0].done());
  CHECK(r.state("1") == saga_state::completed);
}
