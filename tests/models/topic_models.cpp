// Topics under every schedule and stale reading within bounds. A segment has two slots, so that few messages make several;
// messages race if a segment is used again under a reader, and leak if one is lost.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "millrace/flow/transaction.hpp"
#include "millrace/topic/publish_permit.hpp"
#include "millrace/topic/topic.hpp"
#include "support/explore.hpp"
#include "support/model.hpp"
#include "support/model_values.hpp"

namespace {

using explore::check;
using millrace::earliest;
using millrace::outcome;
using millrace::overrun;
using millrace::producers;
using millrace::wait_strategy;
using model::in_place;

template <producers P>
using topic = millrace::topic<in_place, P, explore::clock, explore::sync>;
constexpr auto single = producers::single;
constexpr auto multi = producers::multi;

struct options {
  std::size_t capacity = 2;
  std::size_t keep = 0;
};

template <producers P>
struct world {
  using topic_type = topic<P>;
  using reader = typename topic_type::subscription;
  topic_type t;

  explicit world(options o = {})
      : t(o.capacity, {.keep = {.messages = o.keep}, .wait = wait_strategy::park, .segment = 2}) {}

  reader subscribe(overrun rule = overrun::block) {
    return t.subscribe({.when_full = rule, .wait = wait_strategy::park});
  }
  outcome publish(std::uint64_t v) { return t.publish(in_place(v)); }
  outcome try_publish(std::uint64_t v) { return t.try_publish(in_place(v)); }
};

/// What one reader has got.
struct log {
  std::vector<std::uint64_t> got;
  template <class Message>
  bool add(const Message* m) {
    if (m != nullptr) got.push_back(m->value.get());
    return m != nullptr;
  }
  void is_counted_from(std::uint64_t first, std::size_t n) const {
    check(got.size() == n, "every message arrives");
    for (std::size_t i = 0; i < n; ++i) check(got[i] == first + i, "in order");
  }
};

/// Publishes, waits for room, and ends; readers sleep in between.
template <producers P, int N, int Readers = 1>
struct stream : world<P> {
  static constexpr int threads = 1 + Readers;
  std::vector<typename world<P>::reader> readers;
  log logs[Readers];
  stream() {
    for (int i = 0; i < Readers; ++i) readers.push_back(this->subscribe());
  }
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < N; ++v) check(this->publish(v) == outcome::ok, "it is not closed");
      this->t.close();
    } else {
      auto& in = readers[std::size_t(i - 1)];
      while (logs[i - 1].add(in.next())) {
      }
    }
  }
  void finish() {
    for (log& l : logs) l.is_counted_from(0, N);
  }
};

/// A reader behind another one sees a message only after that one is done with it.
template <producers P, int N>
struct behind : world<P> {
  static constexpr int threads = 3;
  typename world<P>::reader first = this->subscribe();
  typename world<P>::reader second = this->t.subscribe({.after = {first}, .wait = wait_strategy::park});
  explore::plain<int> done[N];
  log logs[2];
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < N; ++v) check(this->publish(v) == outcome::ok, "it is not closed");
      this->t.close();
    } else if (i == 1) {
      while (const auto* m = first.next()) {
        logs[0].add(m);
        done[m->value.get()].set(1);
      }
    } else {
      while (const auto* m = second.next()) {
        logs[1].add(m);
        check(done[m->value.get()].get() == 1, "the one before is done with it");
      }
    }
  }
  void finish() {
    for (log& l : logs) l.is_counted_from(0, N);
  }
};

/// The one before leaves in the middle; who is behind it goes on.
template <producers P>
struct leaving : world<P> {
  static constexpr int threads = 3;
  std::optional<typename world<P>::reader> first{this->subscribe()};
  typename world<P>::reader second = this->t.subscribe({.after = {*first}, .wait = wait_strategy::park});
  log l;
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < 3; ++v) check(this->publish(v) == outcome::ok, "it is not closed");
    } else if (i == 1) {
      static_cast<void>(first->try_next());
      first.reset();
    } else {
      for (int k = 0; k < 3; ++k) l.add(second.next());
    }
  }
  void finish() { l.is_counted_from(0, 3); }
};

/// Who is behind a reader that is being disconnected, or goes there just then, goes by what is published.
template <producers P, bool Before>
struct being_disconnected : world<P> {
  static constexpr int threads = 3;
  static constexpr std::uint64_t before = 8;
  being_disconnected() : world<P>({.capacity = 2, .keep = 0}), first(this->subscribe(overrun::disconnect)) {
    for (std::uint64_t v = 0; v < before; ++v) check(this->publish(v) == outcome::ok, "it is not closed");
    if (Before) subscribe_second();
  }
  typename world<P>::reader first;
  std::optional<typename world<P>::reader> second;
  log l;
  void subscribe_second() {
    second.emplace(this->t.subscribe({.from = before, .after = {first}, .wait = wait_strategy::park}));
  }
  void thread(int i) {
    if (i == 0) {
      check(first.try_next() == nullptr, "it is too slow");
      check(first.disconnected(), "and told so");
    } else if (i == 1) {
      if (!Before) subscribe_second();
      l.add(second->next());
    } else {
      check(this->publish(before) == outcome::ok, "nobody stops it");
    }
  }
  void finish() { l.is_counted_from(before, 1); }
};

/// The end comes while a publisher has a place: who is behind another reader hears of it, too.
template <producers P>
struct closing_behind : world<P> {
  static constexpr int threads = 3;
  typename world<P>::reader first = this->subscribe();
  typename world<P>::reader second = this->t.subscribe({.after = {first}, .wait = wait_strategy::park});
  std::size_t accepted = 0;
  log logs[2];
  void thread(int i) {
    if (i == 0) {
      if (this->publish(0) == outcome::ok) accepted = 1;
    } else if (i == 1) {
      this->t.close();
      while (logs[0].add(first.next())) {
      }
    } else {
      while (logs[1].add(second.next())) {
      }
    }
  }
  void finish() {
    for (log& l : logs) l.is_counted_from(0, accepted);
  }
};

/// Joins a log that goes on: from some offset on it sees everything, and in order.
template <producers P, int N>
struct joining : world<P> {
  static constexpr int threads = 2;
  joining() : world<P>({.capacity = 2, .keep = 0}) {}
  log l;
  std::uint64_t from = 0;
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < N; ++v) {
        if (this->try_publish(v) != outcome::ok) check(this->publish(v) == outcome::ok, "it is not closed");
      }
      this->t.close();
    } else {
      auto in = this->t.subscribe({.from = earliest, .wait = wait_strategy::park});
      from = in.position();
      while (l.add(in.next())) {
      }
    }
  }
  void finish() { l.is_counted_from(from, N - from); }
};

/// Joins at the end, just when the next segment begins there.
template <producers P>
struct joining_the_end : world<P> {
  static constexpr int threads = 2;
  joining_the_end() : world<P>({.capacity = 8}) {
    for (std::uint64_t v = 0; v < 2; ++v) static_cast<void>(this->try_publish(v));
  }
  log l;
  std::uint64_t from = 0;
  void thread(int i) {
    if (i == 0) {
      check(this->try_publish(2) == outcome::ok, "there is room");
      this->t.close();
    } else {
      auto in = this->subscribe();
      from = in.position();
      while (l.add(in.next())) {
      }
    }
  }
  void finish() { l.is_counted_from(from, 3 - from); }
};

/// What is younger than the age is kept, also by who trims while the segments of what was older are used again.
struct aging {
  static constexpr int threads = 2;
  using topic_type = topic<single>;
  topic_type t{16, {.keep = {.age = std::chrono::nanoseconds(5)}, .segment = 2}};
  void publish(std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t v = from; v < to; ++v) {
      check(t.try_publish(in_place(v)) == outcome::ok, "nobody is in the way");
    }
  }
  aging() {
    explore::sync::time() = 0;
    publish(0, 6);
    explore::sync::time() = 10;
    t.trim();
    check(t.first_kept() == 4, "what is old is dropped, but for the last segment");
  }
  void thread(int i) {
    if (i == 0) {
      publish(6, 9);
    } else {
      t.trim();
      check(t.first_kept() <= 6, "what is young is kept");
    }
  }
  void finish() {
    t.trim();
    check(t.first_kept() <= 6, "what is young is kept");
  }
};

/// A reader that kept much leaves, and storage is given back that a publisher is about to want.
struct shrinking : world<single> {
  static constexpr int threads = 2;
  std::optional<reader> in{this->subscribe(overrun::drop_newest)};
  std::vector<reader> others;
  shrinking() : world<single>({.capacity = 2, .keep = 0}) {
    publish(2);
    for (int k = 0; k < 3; ++k) static_cast<void>(in->try_next());  // at the end of a segment: it keeps three
    publish(6);
    for (int k = 0; k < 2; ++k) another();
  }
  void publish(int n) {
    for (int k = 0; k < n; ++k) check(try_publish(1) == outcome::ok, "nobody is in the way");
  }
  void another() {
    others.push_back(subscribe(overrun::drop_newest));
    publish(enough);
  }
  void thread(int i) {
    if (i == 0) {
      in.reset();
    } else {
      another();
    }
  }
  void finish() {}

 private:
  static constexpr int enough = 6;
};

/// Who finds a publisher at work in a segment backs out of it; another one then puts it away and gives its storage back.
struct backing_out : world<multi> {
  static constexpr int threads = 3;
  std::optional<reader> in{subscribe(overrun::drop_newest)};
  backing_out() : world<multi>({.capacity = 2, .keep = 0}) { publish(4); }
  void publish(int n) {
    for (int k = 0; k < n; ++k) check(try_publish(1) == outcome::ok, "nobody is in the way");
  }
  void thread(int i) {
    if (i == 0) publish(1);
    if (i == 1) publish(6);
    if (i == 2) in.reset();
  }
  void finish() {}
};

/// Joins, reads one message, and stays there: nobody uses its segment again.
template <producers P, overrun Rule = overrun::block>
struct staying : world<P> {
  static constexpr int threads = 2;
  staying() : world<P>({.capacity = 2, .keep = 0}) {}
  std::optional<typename world<P>::reader> in;
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < 5; ++v) static_cast<void>(this->try_publish(v));
    } else {
      in.emplace(this->t.subscribe({.from = earliest, .when_full = Rule, .wait = wait_strategy::park}));
      const std::uint64_t at = in->position();
      if (const auto* m = in->try_next()) {
        check(m->value.get() == at + in->missed(), "from its place on");
      }
    }
  }
  void finish() {}
};

/// Goes back to what is kept while a publisher drops it.
template <producers P>
struct seeking : world<P> {
  static constexpr int threads = 2;
  typename world<P>::reader in;
  seeking() : world<P>({.capacity = 4, .keep = 2}), in(this->subscribe()) {
    for (std::uint64_t v = 0; v < 4; ++v) static_cast<void>(this->publish(v));
  }
  void thread(int i) {
    if (i == 0) {
      std::uint64_t v = 4;
      for (int k = 0; k < 4; ++k) v += this->try_publish(v) == outcome::ok;
    } else {
      for (int k = 0; k < 4; ++k) static_cast<void>(in.try_next());
      in.seek(earliest);
      for (int k = 0; k < 3; ++k) {
        const std::uint64_t at = in.position();
        const auto* m = in.try_next();
        check(m != nullptr || k == 2, "what is kept is read again");
        check(m == nullptr || m->value.get() == at + (k != 0), "from the place that it says");
      }
    }
  }
  void finish() {}
};

/// Goes to a time, and leaves room for a publisher that sleeps.
struct seeking_a_time {
  static constexpr int threads = 2;
  topic<single> t{4, {.keep = {.messages = 0}, .wait = wait_strategy::park, .segment = 2}};
  decltype(t.subscribe()) in = t.subscribe();
  seeking_a_time() {
    for (std::uint64_t v = 0; v < 4; ++v) {
      explore::sync::time() = 10 * std::int64_t(v);
      check(t.try_publish(in_place(v)) == outcome::ok, "there is room");
    }
  }
  void thread(int i) {
    if (i == 0) {
      check(t.publish(in_place(4)) == outcome::ok, "it is not closed");
    } else {
      in.seek(explore::clock::time_point(std::chrono::nanoseconds(25)));
      check(in.position() == 2, "there begins its segment");
    }
  }
  void finish() {}
};

/// The log goes on without a reader that is too slow: what it reads is what was published there.
template <producers P, overrun Rule, int N = 8>
struct lapping : world<P> {
  static constexpr int threads = 2;
  // why more for drop_newest: it keeps that much from its place on, and is to have something in the next segment
  lapping()
      : world<P>({.capacity = Rule == overrun::drop_newest ? 4 : 2, .keep = 0}), in(this->subscribe(Rule)) {}
  typename world<P>::reader in;
  std::uint64_t got = 0;
  void thread(int i) {
    if (i == 0) {
      for (std::uint64_t v = 0; v < N; ++v)
        check(this->try_publish(v) == outcome::ok, "a lossy reader stops nobody");
    } else {
      for (int k = 0; k < 4; ++k) read();
    }
  }
  void read() {
    const auto* m = in.try_next();
    if (m == nullptr) return;
    check(m->value.get() == got + in.missed(), "what it did not get is counted");
    ++got;
  }
  void finish() {
    if (Rule == overrun::disconnect) return;
    this->t.close();
    for (int k = 0; k < N; ++k) read();
    check(got + in.missed() == N, "read, or counted as missed");
  }
};

/// A reader that goes on into a segment which is just being dropped; the storage of that one is the first to be looked at.
struct crossing : world<single> {
  static constexpr int threads = 2;
  crossing() : world<single>({.capacity = 2, .keep = 0}) {
    publish(0, 3);
    in.emplace(subscribe(overrun::drop_oldest));
    publish(3, 6);
    check(in->try_next() != nullptr, "it stands on the last one of its segment");
  }
  std::optional<reader> in;
  void publish(std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t v = from; v < to; ++v) check(try_publish(v) == outcome::ok, "nobody is in the way");
  }
  void thread(int i) {
    if (i == 0) {
      publish(6, 9);
    } else if (const auto* m = in->try_next()) {
      check(m->value.get() == 4 + in->missed(), "what it did not get is counted");
    }
  }
  void finish() {}
};

/// Two who publish, two who read: everybody's messages in everybody's order, the same for both.
template <int N>
struct two_publishers : world<multi> {
  static constexpr int threads = 3;
  // why twice what is published: a slot that is given up takes room, too, and one of the readers reads only at the end
  two_publishers() : world<multi>({.capacity = 4 * N}), other(this->subscribe()) {}
  reader in = this->subscribe();
  reader other;
  log l, o;
  void thread(int i) {
    if (i == 2) {
      for (int k = 0; k < 2 * N; ++k) l.add(in.next());
    } else {
      for (std::uint64_t v = 0; v < N; ++v)
        check(publish(10 * std::uint64_t(i) + v) == outcome::ok, "it is not closed");
    }
  }
  void finish() {
    while (o.add(other.try_next())) {
    }
    check(l.got == o.got && l.got.size() == 2 * N, "the same order for both");
    std::uint64_t next[2] = {};
    for (const std::uint64_t v : l.got) check(v % 10 == next[v / 10]++, "each publisher's in its order");
  }
};

/// What was accepted before the end is read, what was refused is not.
template <producers P, int Publishers>
struct closing : world<P> {
  static constexpr int threads = Publishers + 2;
  closing() : world<P>({.capacity = 4}) {}
  typename world<P>::reader in = this->subscribe();
  int accepted[Publishers] = {};
  explore::plain<int> why;
  log l;
  void thread(int i) {
    if (i == 0) {
      why.set(1);
      this->t.close();
      check(this->t.is_closed(), "from now on");
    } else if (i == 1) {
      while (l.add(in.next())) {
      }
      check(why.get() == 1, "what was written before the close is visible");
    } else {
      for (int k = 0; k < 2; ++k) {
        in_place v(std::uint64_t(10 * i + k));
        const bool known = this->t.is_closed();
        check(!known || why.get() == 1, "what was written before the close is visible to who sees it");
        if (this->t.publish(std::move(v)) == outcome::ok) {
          check(!known, "closed is closed");
          ++accepted[i - 2];
        } else {
          check(why.get() == 1, "also to who is refused");
          check(v.value.get() == std::uint64_t(10 * i + k), "a refused message is untouched");
        }
      }
    }
  }
  void finish() {
    std::size_t sum = 0;
    for (const int n : accepted) sum += std::size_t(n);
    check(l.got.size() == sum, "accepted, and then read");
  }
};

/// Close, just when a segment is to be appended that is not in the table yet.
struct closing_as_it_grows : world<multi> {
  static constexpr int threads = 3;
  closing_as_it_grows() : world<multi>({.capacity = 16}) {
    for (std::uint64_t v = 0; v < 4; ++v) static_cast<void>(try_publish(v));
  }
  reader in = this->subscribe();
  int accepted[2] = {};
  void thread(int i) {
    if (i == 2) {
      t.close();
    } else {
      accepted[i] = try_publish(8) == outcome::ok;
    }
  }
  void finish() {
    log l;
    while (l.add(in.try_next())) {
    }
    check(l.got.size() == 4 + std::size_t(accepted[0] + accepted[1]), "accepted, and then read");
    check(in.next() == nullptr, "and then the end");
  }
};

/// A close while somebody has a permit: what that one publishes is before the end, and what it has written before it gave the
/// permit back is visible to who is told of the end; as is what was written before the close.
template <producers P>
struct permitted : world<P> {
  static constexpr int threads = 3;
  permitted() : world<P>({.capacity = 2}) {}
  typename world<P>::reader in = this->subscribe();
  explore::plain<int> why;
  explore::plain<int> done;
  bool had = false;
  log l;
  void thread(int i) {
    if (i == 0) {
      why.set(1);
      this->t.close();
    } else if (i == 1) {
      {
        millrace::publish_permit<topic<P>> permit(this->t);
        had = static_cast<bool>(permit);
        if (!had)
          return check(why.get() == 1, "what was written before the close is visible to who is refused");
        permit.reserve(3);
        for (std::uint64_t v = 0; v < 3; ++v) permit.publish(in_place(v));
        done.set(1);
      }
    } else {
      while (l.add(in.next())) {
      }
      check(why.get() == 1, "what was written before the close is visible");
      if (!l.got.empty()) check(done.get() == 1, "and before the permit was given back");
    }
  }
  void finish() { l.is_counted_from(0, had ? 3 : 0); }
};

/// Two who have permits, of a topic that has been closed, and where somebody is refused.
struct two_permits : world<multi> {
  static constexpr int threads = 3;
  using permit = millrace::publish_permit<topic<multi>>;
  two_permits() : world<multi>({.capacity = 16}) {
    for (auto& p : permits) {
      p.emplace(this->t);
      p->reserve(1);
    }
    this->t.close();
  }
  reader in = this->subscribe();
  std::optional<permit> permits[2];
  explore::plain<int> done[2];
  log l;
  void thread(int i) {
    if (i == 2) {
      check(try_publish(9) == outcome::closed, "for the others");
      while (l.add(in.next())) {
      }
      for (auto& d : done) check(d.get() == 1, "the end is after both");
    } else {
      permits[i]->publish(in_place(std::uint64_t(i)));
      done[i].set(1);
      permits[i].reset();
    }
  }
  void finish() { check(l.got.size() == 2 && l.got[0] + l.got[1] == 1, "both are there"); }
};

/// Reserved storage, while others take, append and give back.
struct reserving : world<multi> {
  static constexpr int threads = 2;
  reserving() : world<multi>({.capacity = 16, .keep = 0}) {}
  reader in = this->subscribe();
  log l;
  void thread(int i) {
    if (i == 0) {
      millrace::publish_permit<topic<multi>> permit(this->t);
      permit.reserve(3);
      for (std::uint64_t v = 0; v < 3; ++v) permit.publish(in_place(v));
    } else {
      for (std::uint64_t v = 10; v < 13; ++v) {
        check(try_publish(v) == outcome::ok, "there is room");
        l.add(in.try_next());
      }
    }
  }
  void finish() {
    while (l.add(in.try_next())) {
    }
    check(l.got.size() == 6, "everything, once");
    std::uint64_t next[2] = {};
    for (const std::uint64_t v : l.got) check(v % 10 == next[v / 10]++, "each one's in its order");
  }
};

/// A transaction over two topics of which one may be closed first: both messages are there, or neither.
template <producers P>
struct both_or_neither {
  static constexpr int threads = 3;
  using topic_type = topic<P>;
  topic_type a{2, {.wait = wait_strategy::park, .segment = 2}};
  topic_type b{2, {.wait = wait_strategy::park, .segment = 2}};
  typename topic_type::subscription in_a = a.subscribe({.wait = wait_strategy::park});
  typename topic_type::subscription in_b = b.subscribe({.wait = wait_strategy::park});
  outcome answer = outcome::empty;
  bool saw_b = false;
  void thread(int i) {
    if (i == 0) {
      millrace::basic_transaction<explore::clock> tx;
      tx.publish(a, in_place(1));
      tx.publish(b, in_place(2));
      answer = tx.try_commit();
      check(answer == outcome::ok || answer == outcome::closed, "there is room");
    } else if (i == 1) {
      b.close();
    } else {
      const auto* last = in_b.next();
      saw_b = last != nullptr;
      if (saw_b) check(in_a.try_next() != nullptr, "who has seen the last one finds all");
      if (!saw_b) check(in_a.try_next() == nullptr, "and who sees that there is none finds none");
    }
  }
  void finish() { check(saw_b == (answer == outcome::ok), "as the commit says"); }
};

/// Whoever stops for good anywhere, publisher or reader, the others go on: also past what it has claimed.
// why nobody sleeps here: to wake somebody is not lock-free
struct one_stops : world<multi> {
  static constexpr int threads = 3;
  one_stops() : world<multi>({.capacity = 16}), later(this->subscribe()) {}
  reader in = this->subscribe();
  reader later;
  void thread(int i) {
    if (i == 2) {
      for (int k = 0; k < 3; ++k) static_cast<void>(in.try_next());
    } else {
      for (std::uint64_t v = 0; v < 2; ++v) {
        check(try_publish(10 * std::uint64_t(i) + v) == outcome::ok, "there is room");
      }
    }
  }
  void finish() {
    std::uint64_t next[3] = {};
    for (std::uint64_t v = 20; v < 22; ++v) check(try_publish(v) == outcome::ok, "there is room");
    while (next[2] != 2) {
      const auto* m = later.try_next();
      check(m != nullptr, "there is something");
      check(m->value.get() % 10 == next[m->value.get() / 10]++, "each one's in its order");
    }
  }
  void finish_without_frozen() { finish(); }
};

/// Nobody reads: the publishers drop each other's messages, and use the segments again. The first has just been filled.
template <int First, int Second>
struct unread : world<multi> {
  static constexpr int threads = 2;
  unread() {
    for (std::uint64_t v = 0; v < 2; ++v) static_cast<void>(try_publish(v));
  }
  void thread(int i) {
    for (int v = 0; v < (i == 0 ? First : Second); ++v) {
      check(try_publish(10 * std::uint64_t(i + 1) + std::uint64_t(v)) == outcome::ok, "nobody is in the way");
    }
  }
  void finish() {
    check(t.tail() == 2 + First + Second, "each one has its place");
    check(try_publish(99) == outcome::ok, "and it goes on");
    auto in = t.subscribe({.from = earliest});
    log l;
    while (l.add(in.try_next())) {
    }
    check(!l.got.empty() && l.got.back() == 99, "to the end");
  }
};

/// More segments than there are at first.
template <producers P>
struct growing : world<P> {
  static constexpr int threads = 2;
  growing() : world<P>({.capacity = 16}) {}
  typename world<P>::reader in = this->subscribe();
  log l;
  void thread(int i) {
    for (std::uint64_t v = 0; v < 7; ++v) {
      if (i == 0) {
        check(this->try_publish(v) == outcome::ok, "there is room");
      } else {
        l.add(in.try_next());
      }
    }
  }
  void finish() {
    while (l.add(in.try_next())) {
    }
    l.is_counted_from(0, 7);
  }
};

/// A message in the midst of whose publishing something else happens in its thread: what World::interlude() does.
template <class World>
struct interrupted {
  explicit interrupted(std::uint64_t v, World* w = nullptr) : first(v), by(w) {}
  interrupted(interrupted&& o) noexcept : first(std::move(o.first)), by(nullptr) {
    if (o.by != nullptr) std::exchange(o.by, nullptr)->interlude();
  }
  interrupted& operator=(interrupted&&) = default;
  explore::plain<std::uint64_t> first;
  World* by;
};

/// A publisher whose slot is marked dead while it moves its message in; when it has let the segment go, another one uses
/// it again.
struct late_publisher {
  static constexpr int threads = 2;
  using value = interrupted<late_publisher>;
  using topic_type = millrace::topic<value, multi, explore::clock, explore::sync>;
  topic_type t{2, {.keep = {.messages = 0}, .segment = 2}};
  std::optional<topic_type::subscription> in{t.subscribe()};

  void interlude() {
    static_cast<void>(t.try_publish(value(1)));
    static_cast<void>(in->try_next());
    in.reset();
  }
  void thread(int i) {
    if (i == 0) {
      static_cast<void>(t.try_publish(value(100, this)));
    } else {
      for (std::uint64_t v = 2; v < 6; ++v) static_cast<void>(t.try_publish(value(v)));
    }
  }
  void finish() {}
};

/// Likewise, with two readers: for both its message comes later.
struct passed_over {
  static constexpr int threads = 2;
  using value = interrupted<passed_over>;
  using topic_type = millrace::topic<value, multi, explore::clock, explore::sync>;
  topic_type t{8, {.segment = 2}};
  topic_type::subscription readers[2] = {t.subscribe(), t.subscribe()};
  std::vector<std::uint64_t> got[2];

  void read(int i) {
    while (const value* v = readers[i].try_next()) got[i].push_back(v->first.get());
  }
  void interlude() {
    static_cast<void>(t.try_publish(value(1)));
    read(0);
  }
  void thread(int i) {
    if (i == 0) {
      check(t.try_publish(value(100, this)) == outcome::ok, "there is room");
    } else {
      check(t.try_publish(value(2)) == outcome::ok, "there is room");
    }
  }
  void finish() {
    for (int i = 0; i < 2; ++i) read(i);
    check(got[0] == got[1] && got[0].size() == 3, "the same for both");
  }
};

/// A publisher that is slow: one reader may give its slot up just when another one finds the message in it.
struct judged : world<multi> {
  static constexpr int threads = 3;
  judged() : world<multi>({.capacity = 8}) {}
  reader readers[2] = {this->subscribe(), this->subscribe()};
  int accepted = 0;
  log logs[2];
  void thread(int i) {
    if (i == 0) {
      accepted = try_publish(100) == outcome::ok;
    } else if (i == 1) {
      check(try_publish(1) == outcome::ok, "there is room");
      logs[0].add(readers[0].try_next());
    } else {
      logs[1].add(readers[1].try_next());
      logs[1].add(readers[1].try_next());
    }
  }
  void finish() {
    for (int i = 0; i < 2; ++i) {
      while (logs[i].add(readers[i].try_next())) {
      }
    }
    check(logs[0].got == logs[1].got, "the same for both");
    check(logs[0].got.size() == std::size_t(1 + accepted), "everything, once");
    const auto& log = millrace::detail::subscription_access::log(readers[0]);
    for (std::uint64_t i = 0; i < 2; ++i) {
      check(log.at(i).holds.load(std::memory_order_relaxed) == 0, "nobody holds anything any more");
    }
  }
};

/// A publisher that is slow to look whether anybody suspected its segment, which is used again meanwhile, and suspected again.
struct long_ago : world<multi> {
  static constexpr int threads = 3;
  long_ago() : world<multi>({.capacity = 2, .keep = 0}) {}
  reader in = this->subscribe();
  int accepted = 0;
  log l;
  void thread(int i) {
    if (i == 0) {
      accepted += try_publish(100) == outcome::ok;
    } else if (i == 1) {
      for (std::uint64_t v = 0; v < 4; ++v) {
        accepted += try_publish(v) == outcome::ok;
        l.add(in.try_next());
      }
    } else {
      accepted += try_publish(200) == outcome::ok;
    }
  }
  void finish() {
    while (l.add(in.try_next())) {
    }
    check(l.got.size() == std::size_t(accepted), "everything, once");
  }
};

/// Likewise; the slot that it had is just being given up again, in its later life.
struct just_then {
  static constexpr int threads = 2;
  using value = interrupted<just_then>;
  using topic_type = millrace::topic<value, multi, explore::clock, explore::sync>;
  topic_type t{2, {.keep = {.messages = 0}, .segment = 2}};
  topic_type::subscription in = t.subscribe();
  std::vector<std::uint64_t> got;
  std::size_t accepted[2] = {};

  void publish(int i, std::uint64_t v, just_then* by = nullptr) {
    accepted[i] += t.try_publish(value(v, by)) == outcome::ok;
  }
  bool read() {
    const value* const v = in.try_next();
    if (v != nullptr) got.push_back(v->first.get());
    return v != nullptr;
  }
  void interlude() {
    publish(1, 5);
    read();
  }
  void thread(int i) {
    if (i == 0) {
      publish(0, 100);
    } else {
      for (std::uint64_t v = 1; v < 4; ++v) {
        publish(1, v);
        while (read()) {
        }
      }
      publish(1, 4, this);
      while (read()) {
      }
    }
  }
  void finish() {
    while (read()) {
    }
    check(got.size() == accepted[0] + accepted[1], "everything, once");
  }
};

struct throws_at_100 {
  struct thrown {};
  explicit throws_at_100(std::uint64_t v) : first(v) {
    if (v == 100) throw thrown();
  }
  throws_at_100(throws_at_100&& o) noexcept(false) : first(std::move(o.first)) {}
  throws_at_100& operator=(throws_at_100&&) = default;
  explore::plain<std::uint64_t> first;
};

/// A constructor that throws in a slot which a reader gives up.
struct throwing_late {
  static constexpr int threads = 2;
  using value = throws_at_100;
  millrace::topic<value, multi, explore::clock, explore::sync> t{2, {.keep = {.messages = 0}, .segment = 2}};
  std::optional<decltype(t.subscribe())> in{t.subscribe()};
  std::vector<std::uint64_t> got;
  void read() {
    if (const value* v = in->try_next()) got.push_back(v->first.get());
  }
  void thread(int i) {
    if (i == 0) {
      try {
        static_cast<void>(t.try_emplace(std::uint64_t(100)));
      } catch (const throws_at_100::thrown&) {
      }
    } else {
      for (std::uint64_t v = 0; v < 3; ++v) {
        static_cast<void>(t.try_emplace(v));
        read();
      }
    }
  }
  void finish() {
    for (int k = 0; k < 3; ++k) read();
    for (const std::uint64_t v : got) check(v < 3, "what threw is not there");
    const auto& log = millrace::detail::subscription_access::log(*in);
    for (std::uint64_t i = 0; i < 2; ++i) {
      check(log.at(i).holds.load(std::memory_order_relaxed) == 0, "nobody holds anything any more");
    }
  }
};

/// A constructor that throws in the middle; the slot is used again by somebody else.
struct throwing : world<multi> {
  static constexpr int threads = 2;
  using value = throws_at_100;
  millrace::topic<value, multi, explore::clock, explore::sync> values{
      2, {.keep = {.messages = 0}, .segment = 2}};
  void thread(int i) {
    if (i == 0) {
      try {
        static_cast<void>(values.try_emplace(std::uint64_t(100)));
      } catch (const throws_at_100::thrown&) {
      }
    } else {
      for (std::uint64_t v = 0; v < 6; ++v) static_cast<void>(values.try_emplace(v));
    }
  }
  void finish() {}
};

/// Records are used again, by one reader at a time.
struct coming_and_going : world<single> {
  static constexpr int threads = 3;
  std::map<const void*, explore::plain<int>> owners;
  void thread(int i) {
    for (int k = 0; k < 2; ++k) {
      auto in = this->subscribe();
      auto& mine = owners[&millrace::detail::subscription_access::record(in)];
      mine.set(i);
      check(in.missed() == 0, "nothing is left of the one before");
      check(mine.get() == i, "nobody else has it");
    }
  }
  void finish() {}
};

/// Goes to sleep, which asks whether there are other readers, while another one comes.
struct company : world<single> {
  static constexpr int threads = 2;
  reader in{this->subscribe()};
  void thread(int i) {
    if (i == 0) {
      check(in.next() != nullptr, "what was published arrives");
    } else {
      auto other = this->subscribe();
      check(try_publish(1) == outcome::ok, "there is room");
    }
  }
  void finish() {}
};

/// A publisher that is slow, around whose claim the log goes.
template <overrun Rule>
struct passing_over : world<multi> {
  static constexpr int threads = 2;
  passing_over() : world<multi>({.capacity = 2, .keep = 0}), in(this->subscribe(Rule)) {}
  reader in;
  int accepted = 0;
  log l;
  void thread(int i) {
    if (i == 0) {
      accepted = try_publish(100) == outcome::ok;
    } else {
      for (std::uint64_t v = 0; v < 4; ++v) {
        static_cast<void>(try_publish(v));
        l.add(in.try_next());
      }
    }
  }
  void finish() {
    while (l.add(in.try_next())) {
    }
    if (Rule != overrun::block) return;
    int hundreds = 0;
    std::uint64_t next = 0;
    for (const std::uint64_t v : l.got) {
      if (v == 100) {
        ++hundreds;
      } else {
        check(v >= next, "in order");
        next = v + 1;
      }
    }
    check(hundreds == accepted, "once");
  }
};

}  // namespace

int main(int argc, char** argv) {
  using model::world;
  return model::main(
      argc, argv,
      {
          world<stream<single, 3>>("stream", {.preemptions = 2, .stale_reads = 1}),
          world<stream<single, 5>>("stream, several segments", {.preemptions = 2, .stale_reads = 0}),
          world<stream<multi, 3>>("stream, multi", {.preemptions = 2, .stale_reads = 0}),
          world<stream<multi, 5>>("stream, multi, stale", {.preemptions = 1, .stale_reads = 1}),
          world<stream<single, 3, 2>>("two readers", {.preemptions = 1, .stale_reads = 1}),
          world<behind<single, 3>>("behind", {.preemptions = 1, .stale_reads = 1}),
          world<behind<multi, 3>>("behind, multi", {.preemptions = 1, .stale_reads = 0}),
          world<leaving<single>>("leaving", {.preemptions = 1, .stale_reads = 1}),
          world<being_disconnected<single, true>>("being disconnected", {.preemptions = 2, .stale_reads = 1}),
          world<being_disconnected<multi, true>>("being disconnected, multi",
                                                 {.preemptions = 1, .stale_reads = 1}),
          world<being_disconnected<single, false>>("being disconnected just then",
                                                   {.preemptions = 2, .stale_reads = 0}),
          world<being_disconnected<multi, false>>("being disconnected just then, multi",
                                                  {.preemptions = 1, .stale_reads = 1}),
          world<closing_behind<single>>("closing, behind", {.preemptions = 2, .stale_reads = 1}),
          world<closing_behind<multi>>("closing, behind, multi", {.preemptions = 1, .stale_reads = 1}),
          world<joining<single, 5>>("joining", {.preemptions = 1, .stale_reads = 1}),
          world<joining<multi, 5>>("joining, multi", {.preemptions = 1, .stale_reads = 1}),
          world<joining_the_end<single>>("joining the end", {.preemptions = 1, .stale_reads = 1}),
          world<joining_the_end<multi>>("joining the end, multi", {.preemptions = 1, .stale_reads = 1}),
          world<aging>("aging", {.preemptions = 2, .stale_reads = 1}),
          world<backing_out>("backing out", {.preemptions = 1, .stale_reads = 0}),
          world<shrinking>("shrinking", {.preemptions = 1, .stale_reads = 0}),
          world<staying<single>>("staying", {.preemptions = 2, .stale_reads = 1}),
          world<staying<single, overrun::drop_oldest>>("staying, lossy",
                                                       {.preemptions = 2, .stale_reads = 1}),
          world<staying<multi>>("staying, multi", {.preemptions = 2, .stale_reads = 1}),
          world<seeking<single>>("seeking", {.preemptions = 2, .stale_reads = 1}),
          world<seeking<multi>>("seeking, multi", {.preemptions = 1, .stale_reads = 1}),
          world<seeking_a_time>("seeking a time", {.preemptions = 2, .stale_reads = 0}),
          world<lapping<single, overrun::drop_oldest>>("lapping", {.preemptions = 2, .stale_reads = 1}),
          world<crossing>("crossing", {.preemptions = 2, .stale_reads = 4}),
          world<lapping<multi, overrun::drop_oldest>>("lapping, multi", {.preemptions = 1, .stale_reads = 1}),
          world<lapping<single, overrun::drop_newest, 10>>("dropping the newest",
                                                           {.preemptions = 2, .stale_reads = 1}),
          world<lapping<multi, overrun::drop_newest>>("dropping the newest, multi",
                                                      {.preemptions = 1, .stale_reads = 1}),
          world<lapping<single, overrun::disconnect>>("disconnecting", {.preemptions = 2, .stale_reads = 0}),
          world<two_publishers<2>>("two publishers", {.preemptions = 2, .stale_reads = 0}),
          world<two_publishers<2>>("two publishers, stale", {.preemptions = 1, .stale_reads = 1}),
          world<closing<single, 1>>("closing", {.preemptions = 2, .stale_reads = 1}),
          world<closing<multi, 1>>("closing, multi", {.preemptions = 2, .stale_reads = 0}),
          world<closing<multi, 2>>("closing, two publishers", {.preemptions = 1, .stale_reads = 1}),
          world<closing_as_it_grows>("closing as it grows", {.preemptions = 2, .stale_reads = 0}),
          world<closing_as_it_grows>("closing as it grows, stale", {.preemptions = 1, .stale_reads = 1}),
          world<permitted<single>>("a permit", {.preemptions = 2, .stale_reads = 0}),
          world<permitted<single>>("a permit, stale", {.preemptions = 1, .stale_reads = 1}),
          world<permitted<multi>>("a permit, multi", {.preemptions = 1, .stale_reads = 1}),
          world<two_permits>("two permits", {.preemptions = 2, .stale_reads = 0}),
          world<two_permits>("two permits, stale", {.preemptions = 1, .stale_reads = 1}),
          world<reserving>("reserving", {.preemptions = 2, .stale_reads = 0}),
          world<reserving>("reserving, stale", {.preemptions = 1, .stale_reads = 1}),
          world<both_or_neither<single>>("both or neither", {.preemptions = 2, .stale_reads = 1}),
          world<both_or_neither<multi>>("both or neither, multi", {.preemptions = 2, .stale_reads = 0}),
          world<one_stops>("one stops for good", {.preemptions = 1, .stale_reads = 0, .frozen = 1}),
          world<unread<1, 5>>("unread", {.preemptions = 2, .stale_reads = 0}),
          world<unread<2, 3>>("unread, stale", {.preemptions = 1, .stale_reads = 1}),
          world<growing<single>>("growing", {.preemptions = 1, .stale_reads = 1}),
          world<growing<multi>>("growing, multi", {.preemptions = 1, .stale_reads = 1}),
          world<late_publisher>("late publisher", {.preemptions = 2, .stale_reads = 0}),
          world<passed_over>("passed over", {.preemptions = 1, .stale_reads = 1}),
          world<judged>("judged", {.preemptions = 3, .stale_reads = 0}),
          world<judged>("judged, stale", {.preemptions = 1, .stale_reads = 1}),
          world<long_ago>("long ago", {.preemptions = 2, .stale_reads = 0}),
          world<just_then>("just then", {.preemptions = 2, .stale_reads = 0}),
          world<just_then>("just then, stale", {.preemptions = 2, .stale_reads = 1}),
          world<throwing_late>("throwing, late", {.preemptions = 2, .stale_reads = 0}),
          world<throwing>("throwing", {.preemptions = 2, .stale_reads = 0}),
          world<coming_and_going>("coming and going", {.preemptions = 1, .stale_reads = 1}),
          world<company>("company", {.preemptions = 2, .stale_reads = 1}),
          world<passing_over<overrun::block>>("passing over", {.preemptions = 2, .stale_reads = 1}),
          world<passing_over<overrun::drop_oldest>>("passing over, lossy",
                                                    {.preemptions = 2, .stale_reads = 1}),
      },
      {"topic/"});
}
