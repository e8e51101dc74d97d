// All of a transaction or nothing: whatever is full, closed, late or throws, and in the midst of whatever.
#include "millrace/flow/transaction.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/core/manual_clock.hpp"
#include "millrace/delivery/consumer_group.hpp"
#include "millrace/topic/topic.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/instances.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"
#include "support/watching_sync.hpp"

namespace {

using namespace std::chrono_literals;
using millrace::earliest;
using millrace::manual_clock;
using millrace::outcome;
using millrace::producers;
using millrace::topic;
using millrace::transaction;
using timed_transaction = millrace::basic_transaction<manual_clock>;
template <class T>
using timed_topic = topic<T, producers::multi, manual_clock>;

template <class Topic>
auto read_all(Topic& t) {
  auto in = t.subscribe({.from = earliest});
  std::vector<typename Topic::value_type> all;
  while (const auto* m = in.try_next()) all.push_back(*m);
  return all;
}
using ints = std::vector<int>;
using words = std::vector<std::string>;

/// A message in the midst of whose publishing something else happens, once.
struct interrupting {
  explicit interrupting(int v, void (*what)(void*) = nullptr, void* with = nullptr)
      : value(v), hook(what), context(with) {}
  interrupting(interrupting&& o) noexcept
      : value(o.value), hook(std::exchange(o.hook, nullptr)), context(o.context) {
    // The first move is that of adding it.
    if (hook == nullptr || ++moves < 2) return;
    std::exchange(hook, nullptr)(context);
  }
  interrupting(const interrupting& o) noexcept : value(o.value) {}
  interrupting& operator=(interrupting&&) = default;
  interrupting& operator=(const interrupting&) = default;
  ~interrupting() = default;
  int value;
  void (*hook)(void*);
  void* context;
  static inline int moves = 0;
};

}  // namespace

TEST_CASE("nothing before the commit, and all after it, in order") {
  topic<int> numbers(8);
  topic<std::string> texts(8);
  transaction tx;
  CHECK(tx.is_empty());
  tx.publish(numbers, 1);
  tx.publish(texts, "one");
  tx.publish(numbers, 2);
  CHECK_FALSE(tx.is_empty());
  CHECK(read_all(numbers).empty());
  CHECK(read_all(texts).empty());
  CHECK(tx.commit() == outcome::ok);
  CHECK(tx.is_empty());
  CHECK(read_all(numbers) == ints{1, 2});
  CHECK(read_all(texts) == words{"one"});

  // It can be used again, and an empty one says ok.
  CHECK(tx.commit() == outcome::ok);
  tx.publish(texts, "two");
  CHECK(tx.try_commit() == outcome::ok);
  CHECK(read_all(texts) == words{"one", "two"});
  CHECK(numbers.tail() == 2);
}

TEST_CASE("a topic that has no room keeps all the others without, and later it goes") {
  topic<int> a(4);
  topic<int> b(2);
  auto slow = b.subscribe();
  REQUIRE(b.try_publish(0) == outcome::ok);
  REQUIRE(b.try_publish(1) == outcome::ok);
  transaction tx;
  tx.publish(a, 1);
  tx.publish(b, 2);
  tx.publish(a, 3);
  for (int i = 0; i < 3; ++i) CHECK(tx.try_commit() == outcome::full);
  CHECK(a.tail() == 0);
  CHECK(b.tail() == 2);
  CHECK(slow.poll([](int) {}, 1) == 1);
  CHECK(tx.try_commit() == outcome::ok);
  CHECK(read_all(a) == ints{1, 3});
  CHECK(read_all(b) == ints{0, 1, 2});
}

TEST_CASE("with one place it goes, and the rest is over the capacity") {
  topic<int> a(2, {.segment = 2});
  auto slow = a.subscribe();
  transaction tx;
  for (int i = 0; i < 9; ++i) tx.publish(a, i);
  CHECK(tx.try_commit() == outcome::ok);
  CHECK(slow.lag() == 9);
  CHECK(a.try_publish(9) == outcome::full);
}

TEST_CASE("a topic that has been closed keeps all the others without") {
  topic<int> a(4);
  topic<int> b(4);
  b.close();
  for (const bool waits : {false, true}) {
    transaction tx;
    tx.publish(a, 1);
    tx.publish(b, 2);
    CHECK((waits ? tx.commit() : tx.try_commit()) == outcome::closed);
    CHECK_FALSE(tx.is_empty());
  }
  CHECK(a.tail() == 0);
}

TEST_CASE("rolled back, or dropped: nothing is published, and nothing is left") {
  support::instances::reset();
  using counted = support::counted<true, alignof(void*), true>;
  topic<counted> a(4);
  {
    transaction rolled_back;
    rolled_back.publish(a, counted(1));
    rolled_back.rollback();
    CHECK(rolled_back.is_empty());
    CHECK(rolled_back.commit() == outcome::ok);
    transaction dropped;
    dropped.publish(a, counted(2));
    transaction moved(std::move(dropped));
    transaction assigned;
    assigned.publish(a, counted(3));
    assigned = std::move(moved);
  }
  CHECK(a.tail() == 0);
  CHECK(support::instances::live == 0);
}

TEST_CASE("a moved transaction is committed where it is") {
  topic<int> a(4);
  transaction tx;
  tx.publish(a, 1);
  transaction other(std::move(tx));
  other.publish(a, 2);
  tx = transaction();
  tx = std::move(other);
  CHECK(tx.commit() == outcome::ok);
  CHECK(read_all(a) == ints{1, 2});
}

TEST_CASE("a delivery is acknowledged with what was published, and has failed with what was not") {
  manual_clock clock;
  timed_topic<int> orders(8, clock);
  timed_topic<int> invoices(2, clock);
  auto billing = orders.group("billing");
  auto slow = invoices.subscribe();
  for (int i = 0; i < 4; ++i) REQUIRE(orders.publish(i) == outcome::ok);
  {
    timed_transaction tx;
    auto d = billing.try_receive();
    tx.publish(invoices, *d + 100);
    tx.ack(std::move(d));
    tx.ack(billing.try_receive());
    CHECK(tx.commit() == outcome::ok);
    CHECK(billing.stats().acked == 2);
    CHECK(billing.stats().in_flight == 0);
  }
  REQUIRE(invoices.publish(0) == outcome::ok);
  {
    timed_transaction tx;
    auto d = billing.try_receive();
    tx.publish(invoices, *d + 100);
    tx.ack(std::move(d));
    CHECK(tx.try_commit() == outcome::full);
    CHECK(billing.stats().in_flight == 1);
    CHECK(billing.stats().nacked == 0);
    CHECK(slow.poll([](int) {}) == 2);
    CHECK(tx.try_commit() == outcome::ok);
    CHECK(billing.stats().acked == 3);
  }
  {
    timed_transaction tx;
    tx.ack(billing.try_receive());
    tx.rollback();
    CHECK(billing.stats().nacked == 1);
    CHECK(billing.stats().waiting == 1);
    clock.advance(1s);
    auto again = billing.try_receive();
    REQUIRE(static_cast<bool>(again));
    CHECK(again.attempt() == 2);
    timed_transaction dropped;
    dropped.ack(std::move(again));
  }
  CHECK(billing.stats().nacked == 2);
  CHECK(read_all(invoices) == ints{100, 0, 102});
}

TEST_CASE("a delivery that is none any more: nothing is published") {
  manual_clock clock;
  timed_topic<int> orders(8, clock);
  timed_topic<int> invoices(8, clock);
  auto billing = orders.group("billing", {.ack_timeout = 10s});
  REQUIRE(orders.publish(1) == outcome::ok);
  REQUIRE(orders.publish(2) == outcome::ok);

  auto in_time = billing.try_receive();
  auto too_late = billing.try_receive();
  timed_transaction tx;
  tx.publish(invoices, 1);
  tx.ack(std::move(in_time));
  SECTION("its ack timeout has passed") {
    tx.ack(std::move(too_late));
    clock.advance(11s);
    static_cast<void>(billing.try_receive());
  }
  SECTION("it has been settled") {
    CHECK(too_late.ack());
    tx.ack(std::move(too_late));
  }
  SECTION("its group has been moved") {
    tx.ack(std::move(too_late));
    billing.seek(earliest);
  }
  SECTION("there is none") { tx.ack(millrace::delivery<int>()); }
  CHECK(tx.try_commit() == outcome::cancelled);
  CHECK(tx.commit() == outcome::cancelled);
  CHECK(invoices.tail() == 0);
  CHECK_FALSE(tx.is_empty());
}

TEST_CASE("a delivery that waits in a transaction for long is not lost by the commit itself") {
  manual_clock clock;
  timed_topic<int> orders(8, clock);
  timed_topic<interrupting> invoices(8, clock);
  auto billing = orders.group("billing", {.ack_timeout = 10s});
  REQUIRE(orders.publish(1) == outcome::ok);
  timed_transaction tx;
  tx.ack(billing.try_receive());
  // In the midst of the publish its old timeout passes, and somebody looks for work.
  struct later {
    manual_clock& clock;
    decltype(billing)& group;
    bool found;
  } context{clock, billing, true};
  interrupting::moves = 0;
  const auto pass = [](void* c) {
    auto& at = *static_cast<later*>(c);
    at.clock.advance(1min);
    at.found = static_cast<bool>(at.group.try_receive());
  };
  tx.publish(invoices, interrupting(1, pass, &context));
  CHECK(tx.try_commit() == outcome::ok);
  CHECK_FALSE(context.found);
  CHECK(billing.stats().acked == 1);
  CHECK(billing.stats().late == 0);
}

TEST_CASE("what comes in the midst of a commit does not tear it") {
  topic<interrupting> a(4);
  topic<int> b(2, {.segment = 2});
  auto slow = b.subscribe();
  transaction tx;
  interrupting::moves = 0;
  SECTION("a close of what is published to later") {
    tx.publish(a, interrupting(1, [](void* t) { static_cast<topic<int>*>(t)->close(); }, &b));
    tx.publish(b, 2);
    CHECK(tx.try_commit() == outcome::ok);
    CHECK(b.is_closed());
    CHECK(b.try_publish(3) == outcome::closed);
  }
  SECTION("others who take all the room") {
    const auto fill = [](void* t) {
      while (static_cast<topic<int>*>(t)->try_publish(0) == outcome::ok) {
      }
    };
    tx.publish(a, interrupting(1, fill, &b));
    tx.publish(b, 2);
    CHECK(tx.try_commit() == outcome::ok);
    CHECK(b.tail() == 3);
  }
  CHECK(read_all(a).size() == 1);
  CHECK(read_all(b).back() == 2);
}

TEST_CASE("a group that is moved in the midst of a commit counts the acknowledgement as late") {
  topic<int> orders(8);
  topic<interrupting> invoices(8);
  auto billing = orders.group("billing");
  REQUIRE(orders.publish(1) == outcome::ok);
  transaction tx;
  tx.ack(billing.try_receive());
  interrupting::moves = 0;
  tx.publish(invoices,
             interrupting(1, [](void* g) { static_cast<decltype(billing)*>(g)->seek(earliest); }, &billing));
  CHECK(tx.try_commit() == outcome::ok);
  CHECK(invoices.tail() == 1);
  CHECK(billing.stats().late == 1);
  CHECK(static_cast<bool>(billing.try_receive()));
}

TEST_CASE("who commits waits for room, up to a limit, or until a topic is closed") {
  const support::watchdog watchdog("transaction, room");
  manual_clock clock;
  using watched = topic<int, producers::multi, manual_clock, support::watching_sync>;
  watched a(4, clock);
  watched b(1, clock, {.wait = millrace::wait_strategy::park});
  watched c(1, clock, {.wait = millrace::wait_strategy::park});
  auto slow_b = b.subscribe();
  auto slow_c = c.subscribe();
  REQUIRE(b.publish(0) == outcome::ok);
  REQUIRE(c.publish(0) == outcome::ok);
  timed_transaction tx;
  tx.publish(a, 1);
  tx.publish(b, 1);
  tx.publish(c, 1);

  outcome what = outcome::empty;
  support::watching_sync::reset();
  std::thread committing([&] { what = tx.commit_for(5s); });
  support::watching_sync::await_parks(1);
  CHECK(slow_b.poll([](int) {}) == 1);
  support::watching_sync::await_parks(2);  // now it waits for c
  clock.await_waiters(1);
  clock.advance(4s);
  CHECK(a.tail() == 0);
  CHECK(b.tail() == 1);
  clock.advance(1s);
  committing.join();
  CHECK(what == outcome::timeout);
  CHECK(a.tail() == 0);
  CHECK(tx.commit_until(clock.now()) == outcome::timeout);

  support::watching_sync::reset();
  committing = std::thread([&] { what = tx.commit(); });
  support::watching_sync::await_parked(1);
  CHECK(slow_c.poll([](int) {}) == 1);
  committing.join();
  CHECK(what == outcome::ok);
  CHECK(read_all(a) == ints{1});
  CHECK(read_all(b) == ints{0, 1});
  CHECK(read_all(c) == ints{0, 1});

  tx.publish(a, 2);
  tx.publish(b, 2);
  support::watching_sync::reset();
  committing = std::thread([&] { what = tx.commit(); });
  support::watching_sync::await_parked(1);
  // It keeps nothing of a while it waits for b.
  a.close();
  auto reader = a.subscribe();
  CHECK(reader.next() == nullptr);
  CHECK(slow_b.poll([](int) {}) == 1);
  committing.join();
  CHECK(what == outcome::closed);
  CHECK(b.tail() == 2);
}

TEST_CASE("what throws while it is being added is not in it") {
  struct throws_when_copied {
    explicit throws_when_copied(int v) : value(v) {}
    throws_when_copied(const throws_when_copied& o) : value(o.value) { throw std::runtime_error("copied"); }
    throws_when_copied(throws_when_copied&&) noexcept = default;
    throws_when_copied& operator=(const throws_when_copied&) = default;
    throws_when_copied& operator=(throws_when_copied&&) noexcept = default;
    int value;
  };
  topic<throws_when_copied> a(4);
  topic<int> b(4);
  transaction tx;
  tx.publish(b, 1);
  const throws_when_copied bad(1);
  CHECK_THROWS_WITH(tx.publish(a, bad), "copied");
  a.close();  // it is not one of its topics
  CHECK(tx.commit() == outcome::ok);
  CHECK(b.tail() == 1);
}

TEST_CASE("without storage at any moment nothing is published, and then all is") {
  if constexpr (support::allocations_can_be_refused) {
    int adding = 0;
    int committing = 0;
    bool got_through = false;
    for (long n = 1; !got_through; ++n) {
      topic<int> a(8, {.segment = 2});
      topic<std::string> b(8, {.segment = 2});
      REQUIRE(a.try_publish(0) == outcome::ok);
      REQUIRE(a.try_publish(0) == outcome::ok);
      transaction tx;
      bool added = false;
      bool ready = false;
      support::allocation_to_refuse = n;
      try {
        tx.publish(a, 1);
        added = true;
        tx.publish(b, "two");
        ready = true;
        got_through = tx.try_commit() == outcome::ok;
      } catch (const std::bad_alloc&) {
        ++(ready ? committing : adding);
      }
      support::allocation_to_refuse = 0;
      if (got_through) break;
      REQUIRE(a.tail() == 2);
      REQUIRE(b.tail() == 0);
      if (!added) tx.publish(a, 1);
      if (!ready) tx.publish(b, "two");
      REQUIRE(tx.try_commit() == outcome::ok);
      REQUIRE(read_all(a) == ints{0, 0, 1});
      REQUIRE(read_all(b) == words{"two"});
    }
    CHECK(adding > 3);
    CHECK(committing > 3);
  } else {
    SUCCEED("a sanitizer cannot be made to refuse");
  }
}

TEST_CASE("random transactions, topics that fill up and are closed: as the books say, whatever the seed") {
  int answers[6] = {};
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<int>(random() % n); };
    constexpr std::size_t topics = 3;
    struct one {
      explicit one(std::size_t capacity) : log(capacity, {.segment = 2}), in(log.subscribe()) {}
      topic<int> log;
      topic<int>::subscription in;
      ints expected;
      ints got;
    };
    std::vector<std::unique_ptr<one>> all;
    for (std::size_t i = 0; i < topics; ++i) {
      all.push_back(std::make_unique<one>(static_cast<std::size_t>(1 + below(4))));
    }
    for (int step = 0; step < 60; ++step) {
      const int what = below(12);
      one& some = *all[static_cast<std::size_t>(below(topics))];
      if (what < 4) {
        while (const int* m = some.in.try_next()) some.got.push_back(*m);
      } else if (what == 4 && below(8) == 0) {
        some.log.close();
      } else if (what < 7) {
        if (some.log.try_publish(-step) == outcome::ok) some.expected.push_back(-step);
      } else {
        transaction tx;
        std::vector<std::pair<one*, int>> added;
        for (int k = 1 + below(5); k != 0; --k) {
          one& to = *all[static_cast<std::size_t>(below(topics))];
          tx.publish(to.log, 100 * step + k);
          added.emplace_back(&to, 100 * step + k);
        }
        const outcome o = tx.try_commit();
        ++answers[static_cast<int>(o)];
        bool may = true;
        for (const auto& [to, v] : added)
          may = may && !to->log.is_closed() && to->in.lag() < to->log.capacity();
        if (o == outcome::ok) {
          for (const auto& [to, v] : added) to->expected.push_back(v);
        } else {
          REQUIRE_FALSE(may);
        }
      }
      for (const auto& t : all) REQUIRE(t->log.tail() == t->expected.size());
    }
    for (const auto& t : all) {
      while (const int* m = t->in.try_next()) t->got.push_back(*m);
      REQUIRE(t->got == t->expected);
    }
  }
  CHECK(answers[static_cast<int>(outcome::ok)] > 100);
  CHECK(answers[static_cast<int>(outcome::full)] > 100);
  CHECK(answers[static_cast<int>(outcome::closed)] > 100);
}

TEST_CASE("many threads commit, publish, read and close: nobody finds a part of a transaction") {
  const support::watchdog watchdog("transaction, many threads");
  constexpr std::size_t topics = 3;
  constexpr int committers = 2;
  const int rounds = SUPPORT_SANITIZED ? 20 : 60;
  const int each = SUPPORT_SANITIZED ? 60 : 150;
  struct part {
    int id = 0;              // of the transaction; 0: nobody's
    int number = 0;          // of this part, from 0
    int of = 0;              // how many there are
    std::size_t in[4] = {};  // in which topic each of them is
  };
  int committed = 0;
  int refused = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::unique_ptr<topic<part>>> logs;
    for (std::size_t i = 0; i < topics; ++i) {
      logs.push_back(std::make_unique<topic<part>>(4 + 4 * i, millrace::topic_options{.segment = 4}));
    }
    std::vector<outcome> answers(static_cast<std::size_t>(committers * each + 1), outcome::empty);
    std::vector<int> sizes(answers.size(), 0);
    std::atomic<bool> torn{false};

    // A reader of all topics: who has seen the last part of a transaction finds the others at once.
    struct reader {
      std::vector<topic<part>::subscription> in;
      std::map<int, std::set<int>> seen;
      std::vector<bool> ended = std::vector<bool>(topics, false);
      void drain(std::size_t i) {
        const part* m = nullptr;
        outcome o = outcome::ok;
        while ((o = in[i].try_next(m)) == outcome::ok) {
          if (m->id != 0) seen[m->id].insert(m->number);
        }
        if (o == outcome::closed) ended[i] = true;
      }
    };
    std::vector<reader> readers(2);
    for (auto& r : readers) {
      for (auto& l : logs) r.in.push_back(l->subscribe());
    }
    std::vector<std::thread> threads;
    for (auto& r : readers) {
      threads.emplace_back([&r, &torn, seed = round + static_cast<int>(&r - readers.data())] {
        std::mt19937 random(static_cast<unsigned>(seed));
        while (!(r.ended[0] && r.ended[1] && r.ended[2])) {
          const std::size_t i = random() % topics;
          const part* m = nullptr;
          const outcome o = r.in[i].try_next(m);
          if (o == outcome::closed) r.ended[i] = true;
          if (o != outcome::ok) {
            std::this_thread::yield();
            continue;
          }
          const part last = *m;
          if (last.id == 0) continue;
          r.seen[last.id].insert(last.number);
          if (last.number + 1 != last.of) continue;
          for (std::size_t k = 0; k < topics; ++k) r.drain(k);
          if (r.seen[last.id].size() != static_cast<std::size_t>(last.of)) torn = true;
        }
      });
    }
    for (int c = 0; c < committers; ++c) {
      threads.emplace_back([&, c] {
        std::mt19937 random(static_cast<unsigned>(1000 * round + c));
        for (int n = 0; n < each; ++n) {
          const int id = c * each + n + 1;
          part p{.id = id, .of = 2 + static_cast<int>(random() % 3)};
          for (int k = 0; k < p.of; ++k) p.in[k] = random() % topics;
          transaction tx;
          for (p.number = 0; p.number < p.of; ++p.number) tx.publish(*logs[p.in[p.number]], p);
          const auto i = static_cast<std::size_t>(id);
          sizes[i] = p.of;
          const auto how = random() % 3;
          answers[i] = how == 0 ? tx.commit() : how == 1 ? tx.try_commit() : tx.commit_for(50us);
        }
      });
    }
    threads.emplace_back([&] {
      std::mt19937 random(static_cast<unsigned>(round));
      for (int n = 0; n < each; ++n) static_cast<void>(logs[random() % topics]->try_publish(part{}));
    });
    threads.emplace_back([&] {
      std::mt19937 random(static_cast<unsigned>(round));
      // One of them in the middle, the others when all is done.
      topic<part>& first = *logs[random() % topics];
      while (first.tail() < random() % 100) std::this_thread::yield();
      first.close();
    });
    for (std::size_t i = readers.size(); i < threads.size(); ++i) threads[i].join();
    for (auto& l : logs) l->close();
    for (std::size_t i = 0; i < readers.size(); ++i) threads[i].join();
    REQUIRE_FALSE(torn);
    for (auto& r : readers) {
      for (std::size_t id = 1; id < answers.size(); ++id) {
        const std::size_t found = r.seen[static_cast<int>(id)].size();
        REQUIRE(found == (answers[id] == outcome::ok ? static_cast<std::size_t>(sizes[id]) : 0));
      }
    }
    for (std::size_t id = 1; id < answers.size(); ++id) ++(answers[id] == outcome::ok ? committed : refused);
  }
  CHECK(committed > rounds);
  CHECK(refused > rounds);
}
