// Whole programs over channels, in the manner of those that languages with channels are tried with: what each verb does
// in each state of a channel, sieves, rings, chains, meals and storms, by threads. Each ends with an exact count, and none
// waits for time to pass.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/queue/channel.hpp"
#include "millrace/queue/select.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/scenarios.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::after;
using millrace::channel;
using millrace::manual_clock;
using millrace::mpmc_queue;
using millrace::on_pop;
using millrace::on_pop_any;
using millrace::on_push;
using millrace::otherwise;
using millrace::outcome;
using millrace::select;
using millrace::spsc_queue;
using millrace::unbounded_queue;
using support::crew;
using support::ints;
using support::watchdog;

using numbers = channel<int>;

/// n channels of the same kind. They cannot be moved.
std::vector<std::unique_ptr<numbers>> channels(std::size_t n, std::size_t capacity) {
  std::vector<std::unique_ptr<numbers>> all;
  for (std::size_t i = 0; i < n; ++i) all.push_back(std::make_unique<numbers>(capacity));
  return all;
}

std::vector<numbers*> pointers(const std::vector<std::unique_ptr<numbers>>& all) {
  std::vector<numbers*> list;
  for (const auto& ch : all) list.push_back(ch.get());
  return list;
}

/// Takes from all of them until each is closed and drained.
template <class F>
void until_all_closed(std::vector<numbers*> open, F f) {
  while (!open.empty()) {
    select(on_pop_any(open, [&](std::size_t i, std::optional<int> v) {
      if (v) {
        f(*v);
      } else {
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }));
  }
}

}  // namespace

// ---- what each verb does in each state

namespace {
using timed = channel<int, mpmc_queue<int>, manual_clock>;
constexpr int unset = 77;

struct state {
  const char* name;
  bool filled;  // two values, 1 and 2: no room for more
  bool closed;
};
constexpr state open_empty{"open and empty", false, false};
constexpr state open_full{"open and full", true, false};
constexpr state closed_empty{"closed and empty", false, true};
constexpr state closed_filled{"closed, with values", true, true};

std::unique_ptr<timed> make(const state& s, manual_clock& time) {
  auto ch = std::make_unique<timed>(2, time);
  for (int i = 1; s.filled && i <= 2; ++i) REQUIRE(ch->push(i + 0) == outcome::ok);
  REQUIRE(ch->capacity() == 2);
  if (s.closed) ch->close();
  return ch;
}
}  // namespace

TEST_CASE("every verb that pushes, in every state") {
  const watchdog guard("pushing verbs");
  manual_clock time;
  struct verb {
    const char* name;
    outcome (*run)(timed&, manual_clock&);
    outcome when_full;
  };
  // What would wait without end is tried only where it need not.
  constexpr auto waits = outcome::empty;
  static const auto report = [](outcome o) { return o; };
  const verb verbs[] = {
      {"push", [](timed& ch, manual_clock&) { return ch.push(9); }, waits},
      {"try_push", [](timed& ch, manual_clock&) { return ch.try_push(9); }, outcome::full},
      {"push_for", [](timed& ch, manual_clock&) { return ch.push_for(9, 0s); }, outcome::timeout},
      {"push_until", [](timed& ch, manual_clock& t) { return ch.push_until(9, t.now()); }, outcome::timeout},
      {"select", [](timed& ch, manual_clock&) { return select(on_push(ch, 9, report)); }, waits},
      {"select, otherwise",
       [](timed& ch, manual_clock&) {
         return select(on_push(ch, 9, report), otherwise([] { return outcome::full; }));
       },
       outcome::full},
      {"select, after",
       [](timed& ch, manual_clock& t) {
         return select(on_push(ch, 9, report), after(t, 0s, [] { return outcome::timeout; }));
       },
       outcome::timeout},
  };
  for (const verb& v : verbs) {
    for (const state& s : {open_empty, open_full, closed_empty, closed_filled}) {
      CAPTURE(v.name, s.name);
      const auto ch = make(s, time);
      if (s.filled && !s.closed && v.when_full == waits) {
        outcome late{};
        crew pusher;
        pusher.add([&] { late = v.run(*ch, time); });
        CHECK(ch->pop() == 1);
        pusher.join();
        CHECK(late == outcome::ok);
        CHECK(support::drain(*ch) == ints{2, 9});
        continue;
      }
      const outcome result = v.run(*ch, time);
      CHECK(result == (s.closed ? outcome::closed : s.filled ? v.when_full : outcome::ok));
      ints expected = s.filled ? ints{1, 2} : ints{};
      if (result == outcome::ok) expected.push_back(9);
      CHECK(support::drain(*ch) == expected);
    }
  }
}

TEST_CASE("every verb that pops, in every state") {
  const watchdog guard("popping verbs");
  manual_clock time;
  struct answer {
    outcome what;
    int value;
    bool operator==(const answer&) const = default;
  };
  struct verb {
    const char* name;
    answer (*run)(timed&, manual_clock&);
    outcome when_empty;  // ok: it waits
    bool tells_closed;   // else it says the same as when empty
  };
  static const auto of = [](std::optional<int> v) {
    return v ? answer{outcome::ok, *v} : answer{outcome::closed, unset};
  };
  constexpr auto waits = outcome::ok;
  const verb verbs[] = {
      {"pop", [](timed& ch, manual_clock&) { return of(ch.pop()); }, waits, true},
      {"pop into",
       [](timed& ch, manual_clock&) {
         int out = unset;
         const outcome o = ch.pop(out);
         return answer{o, out};
       },
       waits, true},
      {"try_pop",
       [](timed& ch, manual_clock&) {
         const auto v = ch.try_pop();
         return v ? answer{outcome::ok, *v} : answer{outcome::empty, unset};
       },
       outcome::empty, false},
      {"try_pop into",
       [](timed& ch, manual_clock&) {
         int out = unset;
         const outcome o = ch.try_pop(out);
         return answer{o, out};
       },
       outcome::empty, true},
      {"pop_for",
       [](timed& ch, manual_clock&) {
         int out = unset;
         const outcome o = ch.pop_for(out, 0s);
         return answer{o, out};
       },
       outcome::timeout, true},
      {"pop_until",
       [](timed& ch, manual_clock& t) {
         int out = unset;
         const outcome o = ch.pop_until(out, t.now());
         return answer{o, out};
       },
       outcome::timeout, true},
      {"pop_n",
       [](timed& ch, manual_clock&) {
         int out = unset;
         return ch.pop_n(&out, 1) == 1 ? answer{outcome::ok, out} : answer{outcome::closed, unset};
       },
       waits, true},
      {"for",
       [](timed& ch, manual_clock&) {
         for (const int v : ch) return answer{outcome::ok, v};
         return answer{outcome::closed, unset};
       },
       waits, true},
      {"select", [](timed& ch, manual_clock&) { return select(on_pop(ch, of)); }, waits, true},
      {"select any",
       [](timed& ch, manual_clock&) {
         timed* const all[] = {&ch};
         return select(on_pop_any(all, [](std::size_t, std::optional<int> v) { return of(v); }));
       },
       waits, true},
      {"select, otherwise",
       [](timed& ch, manual_clock&) {
         return select(on_pop(ch, of), otherwise([] { return answer{outcome::empty, unset}; }));
       },
       outcome::empty, true},
      {"select, after",
       [](timed& ch, manual_clock& t) {
         return select(on_pop(ch, of), after(t, 0s, [] { return answer{outcome::timeout, unset}; }));
       },
       outcome::timeout, true},
  };
  for (const verb& v : verbs) {
    for (const state& s : {open_empty, open_full, closed_empty, closed_filled}) {
      CAPTURE(v.name, s.name);
      const auto ch = make(s, time);
      if (!s.filled && !s.closed && v.when_empty == waits) {
        for (const bool ends : {false, true}) {
          answer late{};
          crew popper;
          popper.add([&] { late = v.run(*ch, time); });
          if (ends) ch->close();
          if (!ends) REQUIRE(ch->push(5) == outcome::ok);
          popper.join();
          CHECK((late == (ends ? answer{outcome::closed, unset} : answer{outcome::ok, 5})));
        }
        continue;
      }
      const outcome otherwise_says = s.closed && v.tells_closed ? outcome::closed : v.when_empty;
      const answer result = v.run(*ch, time);
      CHECK((result == (s.filled ? answer{outcome::ok, 1} : answer{otherwise_says, unset})));
      CHECK(support::drain(*ch) == (s.filled ? ints{2} : ints{}));
    }
  }
}

// ---- fairness

TEST_CASE("one channel is always busy, the other rarely: the rare one has its turn soon") {
  const watchdog guard("busy and slow");
  numbers busy(64);
  numbers slow(2);
  numbers answers(2);
  constexpr int rare = 300;
  std::atomic<bool> over{false};
  crew all;
  all.add([&] {
    for (int i = 0; !over; ++i) static_cast<void>(busy.push(i + 0));
    busy.close();
  });
  all.add([&] {
    // Each only after the answer to the one before.
    for (int i = 0; i < rare; ++i) {
      static_cast<void>(slow.push(i + 0));
      static_cast<void>(answers.pop());
    }
    over = true;
    slow.close();
  });
  int from_slow = 0;
  int from_busy = 0;
  bool in_order = true;
  bool more = true;
  while (more) {
    select(on_pop(busy,
                  [&](std::optional<int> v) {
                    if (v) in_order = in_order && *v == from_busy++;
                  }),
           on_pop(slow, [&](std::optional<int> v) {
             if (!v) {
               more = false;
               return;
             }
             in_order = in_order && *v == from_slow++;
             static_cast<void>(answers.push(*v + 0));
           }));
  }
  for (const int v : busy) in_order = in_order && v == from_busy++;
  all.join();
  CHECK(from_slow == rare);
  CHECK(in_order);

  // Both there at every look: how long the rare one has ever waited.
  numbers heap(4096);
  int passed_over = 0;
  int most_passed_over = 0;
  for (int i = 0; i < 4000; ++i) REQUIRE(heap.push(i + 0) == outcome::ok);
  REQUIRE(answers.push(1) == outcome::ok);
  for (int i = 0; i < 4000; ++i) {
    select(on_pop(heap,
                  [&](std::optional<int>) { most_passed_over = std::max(most_passed_over, ++passed_over); }),
           on_pop(answers, [&](std::optional<int>) {
             passed_over = 0;
             REQUIRE(answers.push(1) == outcome::ok);
           }));
  }
  CHECK(most_passed_over < 60);  // once in 2^48 runs
}

TEST_CASE("a sender that selects among four channels sends each number once, to one of them") {
  const watchdog guard("one of four");
  const int n = support::watched ? 4'000 : 40'000;
  const auto four = channels(4, 2);
  numbers merged(64);
  crew all;
  std::array<std::atomic<int>, 4> chosen{};
  all.add([&] {
    for (int i = 0; i < n; ++i) {
      const auto note = [&](std::size_t k) {
        return [&chosen, k](outcome o) { chosen[k] += o == outcome::ok; };
      };
      select(on_push(*four[0], i + 0, note(0)), on_push(*four[1], i + 0, note(1)),
             on_push(*four[2], i + 0, note(2)), on_push(*four[3], i + 0, note(3)));
    }
    for (const auto& ch : four) ch->close();
  });
  std::atomic<int> forwarding{4};
  std::atomic<bool> ascending{true};
  for (std::size_t k = 0; k < 4; ++k) {
    all.add([&, k] {
      int last = -1;
      for (const int v : *four[k]) {
        if (v <= last) ascending = false;
        last = v;
        static_cast<void>(merged.push(v + 0));
      }
      if (--forwarding == 0) merged.close();
    });
  }
  std::vector<int> times(static_cast<std::size_t>(n));
  for (const int v : merged) ++times[static_cast<std::size_t>(v)];
  all.join();
  CHECK(ascending);
  CHECK(std::ranges::count(times, 1) == n);
  CHECK(chosen[0] + chosen[1] + chosen[2] + chosen[3] == n);
}

// ---- sieves, rings and chains

TEMPLATE_TEST_CASE("prime sieve: a chain of filters, one for each prime", "", mpmc_queue<int>,
                   spsc_queue<int>, unbounded_queue<int>) {
  const watchdog guard("prime sieve");
  using link = channel<int, TestType>;
  constexpr std::size_t n = 40;
  std::vector<std::unique_ptr<link>> links;
  for (std::size_t i = 0; i <= n; ++i) {
    if constexpr (TestType::is_bounded) {
      links.push_back(std::make_unique<link>(2));
    } else {
      links.push_back(std::make_unique<link>());
    }
  }
  crew all;
  all.add([&] {
    // Without a limit of places nothing else would hold it back.
    for (int i = 2; i < 1000 && links[0]->push(i + 0) == outcome::ok; ++i) {
    }
    links[0]->close();
  });
  ints primes;
  for (std::size_t i = 0; i < n; ++i) {
    const int prime = *links[i]->pop();
    primes.push_back(prime);
    all.add([from = links[i].get(), to = links[i + 1].get(), prime] {
      for (const int v : *from) {
        // Refused: nobody needs more. From here the news goes up the chain, filter by filter.
        if (v % prime != 0 && to->push(v + 0) != outcome::ok) break;
      }
      from->close();
      to->close();
    });
  }
  links[n]->close();
  all.join();
  CHECK(primes == support::first_primes(n));
}

TEST_CASE("leader election on a ring: one leader, the greatest, and everybody learns of it") {
  const watchdog guard("leader election");
  constexpr std::size_t n = 32;
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    const ints ring = support::shuffled(static_cast<int>(n), seed);
    const auto inboxes = channels(n, 1);
    std::atomic<long> hops{0};
    std::atomic<int> leaders{0};
    ints learnt(n);
    crew all;
    for (std::size_t i = 0; i < n; ++i) {
      all.add([&, i] {
        const int mine = ring[i];
        numbers& next = *inboxes[(i + 1) % n];
        const auto send = [&](int v) { static_cast<void>(next.push(v + 0)); };
        send(mine);
        ++hops;
        for (const int v : *inboxes[i]) {
          if (v < 0) {  // the announcement
            learnt[i] = -v;
            if (-v != mine) send(v);
            return;
          }
          if (v == mine) {
            ++leaders;
            send(-mine);
          } else if (v > mine) {
            send(v);
            ++hops;
          }
        }
      });
    }
    all.join();
    CHECK(leaders == 1);
    CHECK(learnt == ints(n, static_cast<int>(n)));
    CHECK(hops == support::election_hops(ring));
  }
}

TEST_CASE("a daisy chain of two hundred threads, each adding one") {
  const watchdog guard("daisy chain");
  constexpr int n = 200;
  constexpr int values = 10;
  const auto links = channels(n + 1, 1);
  crew all;
  for (std::size_t i = 0; i < n; ++i) {
    all.add([from = links[i].get(), to = links[i + 1].get()] {
      for (const int v : *from) static_cast<void>(to->push(v + 1));
      to->close();
    });
  }
  ints out;
  all.add([&] {
    for (const int v : *links[n]) out.push_back(v);
  });
  for (int i = 0; i < values; ++i) REQUIRE(links[0]->push(i * 1000) == outcome::ok);
  links[0]->close();
  all.join();
  ints expected;
  for (int i = 0; i < values; ++i) expected.push_back(i * 1000 + n);
  CHECK(out == expected);
}

// ---- give and take

TEST_CASE("thirty-two pairs play ping-pong, sixty-four threads in all") {
  const watchdog guard("ping-pong");
  constexpr std::size_t pairs = 32;
  const int rounds = support::watched ? 100 : 500;
  const auto there = channels(pairs, 1);
  const auto back = channels(pairs, 1);
  ints last(pairs);
  crew all;
  for (std::size_t i = 0; i < pairs; ++i) {
    all.add([&, i] {
      int ball = 0;
      for (int r = 0; r < rounds; ++r) {
        static_cast<void>(there[i]->push(ball + 1));
        ball = *back[i]->pop();
      }
      last[i] = ball;
      there[i]->close();
    });
    all.add([&, i] {
      for (const int ball : *there[i]) static_cast<void>(back[i]->push(ball + 1));
    });
  }
  all.join();
  CHECK(last == ints(pairs, 2 * rounds));
}

TEST_CASE("dining philosophers: a fork is a value in a channel, and no two eat with the same one") {
  const watchdog guard("dining philosophers");
  constexpr std::size_t n = 8;
  const int meals = support::watched ? 500 : 20'000;
  const auto forks = channels(n, 1);
  for (const auto& f : forks) REQUIRE(f->push(1) == outcome::ok);
  std::array<std::atomic<int>, n> users{};
  std::atomic<int> quarrels{0};
  std::array<int, n> eaten{};
  crew all;
  for (std::size_t i = 0; i < n; ++i) {
    all.add([&, i] {
      // All but the last take their left one first: nobody waits in a circle.
      const std::size_t left = i + 1 < n ? i : 0;
      const std::size_t right = i + 1 < n ? i + 1 : i;
      while (eaten[i] < meals) {
        static_cast<void>(forks[left]->pop());
        static_cast<void>(forks[right]->pop());
        quarrels += users[left].fetch_add(1) != 0;
        quarrels += users[right].fetch_add(1) != 0;
        ++eaten[i];
        --users[left];
        --users[right];
        static_cast<void>(forks[right]->push(1));
        static_cast<void>(forks[left]->push(1));
      }
    });
  }
  all.join();
  CHECK(quarrels == 0);
  for (const int e : eaten) CHECK(e == meals);
  for (const auto& f : forks) CHECK(support::drain(*f) == ints{1});
}

TEST_CASE("questions that carry the channel for their answer") {
  const watchdog guard("questions and answers");
  struct question {
    int number;
    numbers* answer;
  };
  constexpr std::size_t clients = 8;
  channel<question> desk(4);
  // Not the clients' own: who has his answer may be faster than the push that brought it.
  const auto answers = channels(clients, 1);
  crew servers;
  for (int i = 0; i < 3; ++i) {
    servers.add([&] {
      for (const question& q : desk) static_cast<void>(q.answer->push(q.number * q.number));
    });
  }
  const int each = support::watched ? 200 : 1000;
  std::atomic<int> right{0};
  crew asking;
  for (std::size_t c = 0; c < clients; ++c) {
    asking.add([&, c] {
      for (int i = 0; i < each; ++i) {
        const int number = static_cast<int>(c) * each + i;
        static_cast<void>(desk.push({number, answers[c].get()}));
        right += answers[c]->pop() == number * number;
      }
    });
  }
  asking.join();
  desk.close();
  servers.join();
  CHECK(right == static_cast<int>(clients) * each);
}

// ---- fan-out and fan-in

TEST_CASE("fan-out and fan-in: the end goes through all stages, and behind the last value") {
  const watchdog guard("fan-out and fan-in");
  const int n = support::watched ? 3'000 : 30'000;
  constexpr std::size_t workers = 4;
  numbers source(4);
  const auto results = channels(workers, 2);
  crew all;
  all.add([&] {
    for (int i = 0; i < n; ++i) static_cast<void>(source.push(i + 0));
    source.close();
  });
  for (std::size_t w = 0; w < workers; ++w) {
    all.add([&source, out = results[w].get()] {
      for (const int v : source) static_cast<void>(out->push(2 * v));
      out->close();
    });
  }
  ints got;
  until_all_closed(pointers(results), [&](int v) { got.push_back(v); });
  all.join();
  std::ranges::sort(got);
  ints expected;
  for (int i = 0; i < n; ++i) expected.push_back(2 * i);
  CHECK(got == expected);
}

TEST_CASE("fan-in that loses interest: closing goes up to the source, and nobody stays asleep") {
  const watchdog guard("closing upwards");
  numbers source(2);
  const auto results = channels(3, 2);
  std::atomic<int> sent{0};
  crew all;
  all.add([&] {
    while (source.push(1) == outcome::ok) ++sent;
  });
  for (const auto& out : results) {
    all.add([&source, to = out.get()] {
      for (const int v : source) {
        if (to->push(v + 0) != outcome::ok) break;
      }
      source.close();
    });
  }
  auto open = pointers(results);
  int got = 0;
  while (got < 1000) {
    select(on_pop_any(open, [&](std::size_t, std::optional<int> v) { got += *v; }));
  }
  for (const auto& out : results) out->close();
  all.join();
  int left = static_cast<int>(support::drain(source).size());
  for (const auto& out : results) left += static_cast<int>(support::drain(*out).size());
  CHECK(got == 1000);
  CHECK(sent <= got + left + 3);  // each worker may have had one in its hands
  CHECK(sent >= got + left);
}

// ---- time

TEST_CASE("data against a timer: each value starts the silence anew") {
  const watchdog guard("data against a timer");
  manual_clock time;
  numbers data(4);
  numbers taken(4);
  std::string log;
  crew consumer;
  consumer.add([&] {
    for (bool more = true; more;) {
      select(on_pop(data,
                    [&](std::optional<int> v) {
                      log += v ? std::to_string(*v) + ' ' : "end";
                      more = v.has_value();
                    }),
             after(time, 10s, [&] { log += "silence "; }));
      static_cast<void>(taken.push(1));
    }
  });
  const auto give = [&](int v) {
    time.await_waiters(1);
    REQUIRE(data.push(v + 0) == outcome::ok);
    REQUIRE(taken.pop() == 1);
  };
  const auto wait = [&](std::chrono::seconds s, bool ends) {
    time.await_waiters(1);
    time.advance(s);
    if (ends) REQUIRE(taken.pop() == 1);
  };
  give(1);
  wait(9s, false);
  give(2);
  wait(9s, false);
  give(3);
  wait(10s, true);
  wait(9s, false);
  wait(1s, true);
  give(4);
  time.await_waiters(1);
  data.close();
  consumer.join();
  CHECK(log == "1 2 3 silence silence 4 end");
}

TEST_CASE("a storm of limits: many that give up, while values come and places get free") {
  const watchdog guard("a storm of limits");
  const int each = support::watched ? 300 : 5'000;
  constexpr int pushers = 6;
  constexpr int poppers = 8;
  manual_clock time;
  timed a(2, time);
  timed b(2, time);
  std::vector<std::atomic<int>> times(static_cast<std::size_t>(pushers * each));
  std::atomic<long> gave_up{0};
  std::atomic<bool> over{false};
  crew clock;
  clock.add([&] {
    while (!over) {
      time.advance(1ms);
      std::this_thread::yield();
    }
  });
  crew pushing;
  for (int p = 0; p < pushers; ++p) {
    pushing.add([&, p] {
      for (int v = p * each; v < (p + 1) * each; ++v) {
        for (outcome o = outcome::timeout; o != outcome::ok;) {
          const auto wait = std::chrono::microseconds(v % 5 * 500);
          if (p % 3 == 0) o = a.push_for(v + 0, wait);
          if (p % 3 == 1) o = b.push_until(v + 0, time.now() + wait);
          if (p % 3 == 2) {
            const auto result = [](outcome r) { return r; };
            o = select(on_push(a, v + 0, result), on_push(b, v + 0, result),
                       after(time, wait, [] { return outcome::timeout; }));
          }
          gave_up += o == outcome::timeout;
        }
      }
    });
  }
  crew popping;
  for (int c = 0; c < poppers; ++c) {
    popping.add([&, c] {
      const auto count = [&](int v) { ++times[static_cast<std::size_t>(v)]; };
      for (int i = 0;; ++i) {
        const auto wait = std::chrono::microseconds((i + c) % 4 * 600);
        outcome o = outcome::timeout;
        if (c % 2 == 0) {
          timed& from = c % 4 == 0 ? a : b;
          int out = 0;
          o = i % 2 == 0 ? from.pop_for(out, wait) : from.pop_until(out, time.now() + wait);
          if (o == outcome::ok) count(out);
        } else {
          const auto take = [&](std::optional<int> v) {
            if (v) count(*v);
            return v ? outcome::ok : outcome::closed;
          };
          timed* const both[] = {&a, &b};
          const auto late = [] { return outcome::timeout; };
          const auto take_any = [&](std::size_t, std::optional<int> v) { return take(v); };
          o = c % 4 == 1 ? select(on_pop(a, take), on_pop(b, take), after(time, wait, late))
                         : select(on_pop_any(both, take_any), after(time, wait, late));
        }
        gave_up += o == outcome::timeout;
        // Closed and drained is one of the two, for those that take from both.
        if (o == outcome::closed && (c % 2 == 0 || (a.empty_approx() && b.empty_approx()))) break;
      }
    });
  }
  pushing.join();
  a.close();
  b.close();
  popping.join();
  over = true;
  clock.join();
  CHECK(std::ranges::count_if(times, [](const auto& n) { return n == 1; }) == pushers * each);
  CHECK(gave_up > 0);
}
