// Requests under every schedule and stale reading within bounds: answered, answered twice, too late, dropped by either side, and
// with timers that end. Replies race if a slot is read before it is settled, and leak if one is lost.
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "millrace/core/inline_executor.hpp"
#include "millrace/core/outcome.hpp"
#include "millrace/flow/request.hpp"
#include "millrace/time/timer_service.hpp"
#include "support/explore.hpp"
#include "support/explore_coroutine.hpp"
#include "support/explore_stop.hpp"
#include "support/model.hpp"
#include "support/model_values.hpp"
#include "support/slow_clock.hpp"

namespace {

using explore::check;
using explore::coroutine;
using explore::shelf;
using millrace::outcome;
using millrace::request_outcome;
using model::in_place;
using support::slow_clock;

using service = millrace::basic_timer_service<slow_clock, std::chrono::nanoseconds, explore::sync>;
using query = millrace::query<int, in_place, explore::sync>;
using token = explore::stop_source::token;

constexpr std::int64_t due = 2;
slow_clock::time_point at(std::int64_t t) { return slow_clock::time_point(std::chrono::nanoseconds(t)); }

/// Keeps what is published.
struct shelf_of_one {
  using value_type = query;
  using clock_type = slow_clock;
  std::optional<query> kept;
  outcome publish_until(query&& q, slow_clock::time_point) {
    kept.emplace(std::move(q));
    return outcome::ok;
  }
  outcome try_publish(query&& q) { return publish_until(std::move(q), {}); }
};

struct base {
  using requester = millrace::requester<shelf_of_one, service>;
  slow_clock clock;
  std::optional<service> timers{std::in_place, clock};
  shelf_of_one topic;
  std::optional<requester> asking{std::in_place, topic, *timers};
  requester::answer answer = asking->try_ask(1, std::chrono::nanoseconds(due));
  std::optional<query> queries[2] = {topic.kept, topic.kept};
  bool counted[2] = {};
  millrace::response<in_place> response;

  base() { topic.kept.reset(); }
  void reply(int i, std::uint64_t v) {
    counted[i] = queries[i]->reply(in_place(v));
    queries[i].reset();
  }
  void get() {
    response = answer.get();
    check(response.value.has_value() == (response.what == request_outcome::ok), "a value, if it is ok");
  }
  void is_settled_once(std::uint64_t late) const {
    const auto s = asking->stats();
    const auto n = s.answered + s.failed + s.unanswered + s.timed_out + s.refused + s.cancelled;
    check(s.sent == 1 && n == 1, "it is settled, and once");
    check(s.late == late, "what is late is counted");
  }
};

/// A reply, the timer, and somebody who waits.
struct answered : base {
  static constexpr int threads = 3;
  answered() { queries[1].reset(); }
  void thread(int i) {
    if (i == 0) {
      reply(0, 7);
    } else if (i == 1) {
      static_cast<void>(timers->poll(at(due)));
    } else {
      get();
    }
  }
  void finish() {
    check(counted[0] == (response.what == request_outcome::ok), "the responder knows");
    check(counted[0] ? response.value->value.get() == 7 : response.what == request_outcome::timeout,
          "a reply, or too late");
    is_settled_once(counted[0] ? 0 : 1);
  }
};

/// Two responders, of whom the first one counts.
struct answered_twice : base {
  static constexpr int threads = 3;
  void thread(int i) {
    if (i == 2) {
      get();
    } else {
      reply(i, std::uint64_t(7 + i));
    }
  }
  void finish() {
    check(counted[0] != counted[1], "one of them");
    check(response.value->value.get() == (counted[0] ? 7u : 8u), "that one");
    is_settled_once(1);
  }
};

/// Nobody answers, and the last copy goes: what all who had one have done is visible to who is told.
struct unanswered : base {
  static constexpr int threads = 3;
  explore::plain<int> done[2];
  void thread(int i) {
    if (i == 2) {
      get();
      check(response.what == request_outcome::unanswered, "it is told at once");
      check(done[0].get() == 1 && done[1].get() == 1, "they are done with it");
    } else {
      check(queries[i]->is_open(), "somebody waits");
      done[i].set(1);
      queries[i].reset();
    }
  }
  void finish() { is_settled_once(0); }
};

/// Everybody lets go of it at the same time.
struct let_go : base {
  static constexpr int threads = 3;
  let_go() { queries[1].reset(); }
  void thread(int i) {
    if (i == 0) {
      queries[0].reset();
    } else if (i == 1) {
      static_cast<void>(timers->poll(at(due)));
    } else {
      answer = {};
    }
  }
  void finish() { is_settled_once(0); }
};

/// Once there is an answer, or nobody wants one any more, the timers may go, whatever the responder is suspended in.
template <bool Gets>
struct timers_go {
  static constexpr int threads = 2;
  using requester = millrace::requester<shelf_of_one, service>;
  explore::arena<service> storage;
  slow_clock clock;
  service* timers = ::new (static_cast<void*>(storage.allocate(1))) service(clock);
  shelf_of_one topic;
  requester::answer answer = requester::ask_once(topic, *timers, 1, std::chrono::hours(1), true);
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(topic.kept->reply(in_place(7)));
      topic.kept.reset();
    } else {
      if (Gets) {
        check(answer.get().value->value.get() == 7, "it is the reply");
      } else {
        answer = {};
      }
      timers->~service();
      storage.deallocate(timers, 1);
    }
  }
  void finish() {}
};

/// The timers are stopped at any moment: who waits is told.
struct stopped : base {
  static constexpr int threads = 3;
  stopped() { queries[1].reset(); }
  void thread(int i) {
    if (i == 0) {
      reply(0, 7);
    } else if (i == 1) {
      timers->stop();
    } else {
      get();
    }
  }
  void finish() {
    check(response.what == (counted[0] ? request_outcome::ok : request_outcome::closed), "one of the two");
    is_settled_once(counted[0] ? 0 : 1);
  }
};

/// A coroutine that waits, resumed by the reply, by the timer, or by a stop.
struct awaited : base {
  static constexpr int threads = 3;
  explore::stop_source stop;
  explore::plain<int> on{0};
  std::coroutine_handle<> h;
  awaited() { queries[1].reset(); }
  coroutine await() {
    response = co_await std::move(answer).async_get(millrace::inline_executor(), stop.get_token());
    on.set(on.get() + 1);
  }
  void thread(int i) {
    if (i == 0) {
      reply(0, 7);
    } else if (i == 1) {
      h = await().handle;
    } else {
      stop.request_stop();
    }
  }
  void finish() {
    check(h.done() && on.get() == 1, "it went on, and once");
    check(response.what == request_outcome::ok ? response.value->value.get() == 7
                                               : response.what == request_outcome::cancelled,
          "the reply, or the stop");
    h.destroy();
    check(!answer, "it has been taken");
  }
};

/// A coroutine that is destroyed while it waits: the request goes with it.
struct destroyed : base {
  static constexpr int threads = 2;
  shelf ready;
  explore::plain<int> on{0};
  std::coroutine_handle<> h;
  coroutine await() {
    response = co_await std::move(answer).async_get(ready.executor());
    on.set(1);
  }
  destroyed() {
    queries[1].reset();
    h = await().handle;
  }
  void thread(int i) {
    if (i == 0) {
      reply(0, 7);
    } else {
      h.destroy();
      std::ignore = ready.take();
    }
  }
  void finish() {
    check(on.get() == 0 && !ready.take(), "it did not live to go on");
    is_settled_once(counted[0] ? 0 : 1);
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<answered>("answered", {.preemptions = 2, .stale_reads = 1}),
          world<answered_twice>("answered twice", {.preemptions = 2, .stale_reads = 1}),
          world<unanswered>("unanswered", {.preemptions = 2, .stale_reads = 1}),
          world<let_go>("let go", {.preemptions = 2, .stale_reads = 1}),
          world<timers_go<true>>("timers go after the answer", {.preemptions = 2, .stale_reads = 1}),
          world<timers_go<false>>("timers go after a drop", {.preemptions = 2, .stale_reads = 1}),
          world<stopped>("timers are stopped", {.preemptions = 2, .stale_reads = 1}),
          world<awaited>("awaited", {.preemptions = 2, .stale_reads = 1}),
          world<destroyed>("destroyed", {.preemptions = 2, .stale_reads = 1}),
      },
      {"flow/detail/reply_slot.hpp"});
}
