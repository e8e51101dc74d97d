// Histories of topics under real threads: publishers, and eight readers that join, leave, go to and fro and are lapped, while
// the log is closed at some moment. What each reader got is recorded and judged, see support/topic_history.hpp.
//
//   0          the witness: lossless, from the first message to the last
//   1          lossless, comes and goes
//   2, 3       behind 0, or 1, or both; 3 goes to and fro
//   4          lossless, goes to and fro
//   5, 6, 7    slow: drop_oldest, drop_newest, disconnect
//
// MILLRACE_SOAK=1 keeps on for MILLRACE_SOAK_SECONDS (600).
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"
#include "support/freezer.hpp"
#include "support/topic_history.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"

namespace {

using millrace::earliest;
using millrace::latest;
using millrace::outcome;
using millrace::overrun;
using millrace::producers;
using millrace::wait_strategy;
using support::topic_diary;
using support::topic_event;
using support::topic_history;

constexpr std::uint64_t torn = ~std::uint64_t{0};

/// What a constructor, a handler or a filter throws.
struct thrown {};

struct parcel {
  std::uint64_t words[8];
};
struct owner {
  std::unique_ptr<std::uint64_t> value;
};
/// Its copy throws now and again, and its move may, for all the compiler knows.
struct touchy {
  explicit touchy(std::uint64_t v) : value(v), check(~v) {}
  touchy(const touchy& o) : value(o.value), check(o.check) {
    if (throws_at != 0 && --throws_at == 0) throw thrown();
  }
  touchy(touchy&& o) noexcept(false) : value(o.value), check(o.check) {}
  touchy& operator=(touchy&&) = default;
  touchy& operator=(const touchy&) = default;
  ~touchy() { value = 0; }  // who reads it after this finds it torn

  std::uint64_t value;
  std::uint64_t check;
  static inline thread_local int throws_at = 0;
};

template <class T>
T made(std::uint64_t v) {
  if constexpr (std::is_same_v<T, parcel>) {
    parcel p{};
    for (std::uint64_t i = 0; i < 8; ++i) p.words[i] = v * (2 * i + 1);
    return p;
  } else if constexpr (std::is_same_v<T, owner>) {
    return {std::make_unique<std::uint64_t>(v)};
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "too long to be stored in place, number " + std::to_string(v);
  } else {
    return T(v);
  }
}
template <class T>
std::uint64_t told(const T& message) {
  if constexpr (std::is_same_v<T, parcel>) {
    for (std::uint64_t i = 0; i < 8; ++i) {
      if (message.words[i] != message.words[0] * (2 * i + 1)) return torn;
    }
    return message.words[0];
  } else if constexpr (std::is_same_v<T, owner>) {
    return message.value == nullptr ? torn : *message.value;
  } else if constexpr (std::is_same_v<T, std::string>) {
    constexpr std::string_view head = "too long to be stored in place, number ";
    return message.starts_with(head) ? std::strtoull(message.c_str() + head.size(), nullptr, 10) : torn;
  } else if constexpr (std::is_same_v<T, touchy>) {
    return message.check == ~message.value ? message.value : torn;
  } else {
    return message;
  }
}

struct dice {
  std::mt19937_64 engine;
  explicit dice(std::uint64_t seed) : engine(seed) {}
  std::uint64_t below(std::uint64_t n) { return engine() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
};

struct plan {
  std::size_t capacity = 8;
  std::size_t segment = 0;
  std::size_t keep = millrace::unlimited;
  std::size_t messages = 4'000;  // in all
  bool closes_early = false;
  bool freezes = false;
  wait_strategy wait = wait_strategy::adaptive;
  std::uint64_t seed = 1;
};

struct tally {
  std::uint64_t rounds = 0;
  std::uint64_t accepted = 0;
  std::uint64_t deliveries = 0;
  std::uint64_t missed = 0;
  std::uint64_t lives = 0;  // of readers, and of theirs after a seek
  std::uint64_t throws = 0;
  std::uint64_t freezes = 0;

  tally& operator+=(const tally& o) {
    rounds += o.rounds, accepted += o.accepted, deliveries += o.deliveries, missed += o.missed;
    lives += o.lives, throws += o.throws, freezes += o.freezes;
    return *this;
  }
};

template <class T, producers P>
class run_of {
  using topic_type = millrace::topic<T, P>;
  using reader_type = typename topic_type::subscription;
  static constexpr unsigned readers = 8;
  static constexpr unsigned publishers = P == producers::multi ? 4 : 1;

 public:
  explicit run_of(const plan& chosen)
      : plan_(chosen),
        log_(chosen.capacity,
             {.keep = {.messages = chosen.keep}, .wait = chosen.wait, .segment = chosen.segment}),
        inside_(publishers + readers) {
    history_.accepted.assign(publishers, std::vector<bool>(plan_.messages / publishers, false));
    history_.diaries.resize(readers);
    for (auto& h : handled_) h.assign(2 * plan_.messages + 1024, 0);
    witness_.emplace(log_.subscribe({.from = earliest, .wait = some_wait(0)}));
  }

  tally run() {
    std::vector<std::thread> threads;
    for (unsigned p = 0; p < publishers; ++p)
      threads.emplace_back([this, p] { inside(p, [&] { publish(p); }); });
    for (unsigned r = 0; r < readers; ++r) {
      threads.emplace_back([this, r] { inside(publishers + r, [&] { read(r); }); });
    }
    tally t;
#if defined(__unix__)
    if (plan_.freezes) {
      std::vector<pthread_t> victims;
      for (std::thread& thread : threads) victims.push_back(thread.native_handle());
      support::freezer cold(std::move(victims), inside_, plan_.seed);
      for (unsigned n = done_; n != publishers + readers; n = done_) done_.wait(n);
      t.freezes = cold.stop();
    }
#endif
    for (std::thread& thread : threads) thread.join();
    t.rounds = 1;
    t.throws = throws_;
    for (const auto& row : history_.accepted) {
      t.accepted += static_cast<std::uint64_t>(std::count(row.begin(), row.end(), true));
    }
    for (const topic_diary& d : history_.diaries) {
      std::uint64_t missed = 0;
      for (const topic_event& e : d) {
        t.deliveries += e.what == topic_event::got;
        t.lives += e.what == topic_event::begins;
        if (e.missed > missed) t.missed += e.missed - missed;
        missed = e.missed;
      }
    }
    return t;
  }

  [[nodiscard]] std::string verdict() {
    if (!fault_.empty()) return fault_;
    return judge(history_);
  }
  [[nodiscard]] const topic_history& history() const { return history_; }

 private:
  template <class F>
  void inside(unsigned thread, F work) {
    inside_[thread].raised.store(true, std::memory_order_relaxed);
    work();
    inside_[thread].raised.store(false, std::memory_order_relaxed);
    if (thread < publishers && publishing_.fetch_sub(1) == 1) log_.close();
    ++done_;
    done_.notify_all();
  }
  void fail(const std::string& what) {
    const std::lock_guard hold(mutex_);
    if (fault_.empty()) fault_ = what;
  }
  [[nodiscard]] wait_strategy some_wait(std::uint64_t who) const {
    constexpr wait_strategy all[] = {wait_strategy::adaptive, wait_strategy::park,     wait_strategy::yield,
                                     wait_strategy::park,     wait_strategy::adaptive, wait_strategy::spin};
    // why so seldom: who spins takes a whole turn of a processor from those who would go on
    const std::uint64_t n = (plan_.seed * 7 + who * 5) % 32;
    return all[n == 0 ? 5 : n % 5];
  }

  // --- publishers ---

  void publish(unsigned me) {
    reading_.wait();  // or all would be published before anybody reads, if that is how the scheduler has it
    dice random(plan_.seed * 64 + me);
    std::vector<bool>& answers = history_.accepted[me];
    const std::uint64_t all = answers.size();
    const std::uint64_t closes_at = plan_.closes_early && me == 0 ? random.below(all) : all;
    int refused = 0;
    for (std::uint64_t n = 0; n < all && refused < 3;) {
      if (n >= closes_at && refused == 0) log_.close();
      if (random.one_in(64)) std::this_thread::yield();
      if (random.one_in(16)) {
        const std::uint64_t most = std::min<std::uint64_t>(all - n, 1 + random.below(2 * plan_.capacity + 2));
        const std::uint64_t got = publish_row(me, n, most, random.one_in(2));
        for (std::uint64_t i = 0; i < got; ++i) answers[n + i] = true;
        n += most;
        refused += got < most && log_.is_closed();
        continue;
      }
      const outcome o = publish_one(topic_history::value(me, n), random);
      answers[n] = o == outcome::ok;
      refused += o == outcome::closed;
      ++n;
    }
  }
  outcome publish_one(std::uint64_t v, dice& random) {
    T message = made<T>(v);
    outcome o = outcome::full;
    // By copy, and the copy throws: nothing is published.
    if constexpr (std::is_same_v<T, touchy>) {
      if (random.one_in(8)) {
        touchy::throws_at = 1 + static_cast<int>(random.below(2));
        try {
          o = log_.try_publish(std::as_const(message));
        } catch (const thrown&) {
          ++throws_;
        }
        touchy::throws_at = 0;
        if (told(message) != v) fail("a value that was to be copied has changed");
        return o;
      }
    }
    for (int attempt = 0; o == outcome::full || o == outcome::timeout; ++attempt) {
      switch (random.below(attempt == 0 ? 8 : 3)) {
        case 0: o = log_.publish(std::move(message)); break;
        case 1: o = log_.publish_for(std::move(message), std::chrono::microseconds(20)); break;
        case 2: o = log_.emplace(std::move(message)); break;
        default: o = log_.try_publish(std::move(message)); break;
      }
      if (o != outcome::ok && told(message) != v) fail("a refused value has changed");
      if (o == outcome::full && random.one_in(8)) break;
    }
    return o;
  }
  std::uint64_t publish_row(unsigned me, std::uint64_t first, std::uint64_t n, bool waits) {
    std::vector<T> row;
    row.reserve(n);
    for (std::uint64_t i = 0; i < n; ++i) row.push_back(made<T>(topic_history::value(me, first + i)));
    std::uint64_t got = 0;
    if constexpr (std::is_copy_constructible_v<T>) {
      got = waits ? log_.publish_n(std::as_const(row).begin(), n)
                  : log_.try_publish_n(std::as_const(row).begin(), n);
    } else {
      const auto from = std::make_move_iterator(row.begin());
      got = waits ? log_.publish_n(from, n) : log_.try_publish_n(from, n);
    }
    if (waits && got < n && !log_.is_closed()) fail("publish_n has published less, and the topic is open");
    for (std::uint64_t i = got; i < n; ++i) {
      if (told(row[i]) != topic_history::value(me, first + i))
        fail("a value that publish_n refused has changed");
    }
    return got;
  }

  // --- readers ---

  /// Somebody that a reader goes behind: what it has handled, or that it has left.
  struct gate {
    std::vector<char>* handled = nullptr;
    std::uint64_t from = 0;
    std::shared_ptr<std::atomic<bool>> left;
  };
  struct place {
    unsigned who = 0;
    topic_diary* diary = nullptr;
    reader_type* reader = nullptr;
    std::uint64_t rules = 0;
    std::uint64_t next = 0;  // it has got everything before
    std::uint64_t kept = 0;  // what lies before the retention may have been dropping when it began
    std::uint64_t missed = 0;
    std::vector<gate> gates{};
  };

  void begin(place& p) {
    p.next = p.reader->position();
    const std::uint64_t tail = log_.tail();
    const std::uint64_t keep = std::min<std::uint64_t>(plan_.keep, plan_.capacity);
    p.kept = tail > keep ? tail - keep : 0;
    p.missed = p.reader->missed();
    p.diary->push_back({p.next, p.rules, p.missed, topic_event::begins});
  }
  /// Who is moved on must have been that far behind, or have begun where the log was just being dropped.
  bool may_be_moved(const place& p) const {
    return log_.tail() - p.next >= plan_.capacity || p.next < p.kept;
  }
  void note(place& p, std::uint64_t offset, const T& message) {
    const std::uint64_t missed = p.reader->missed();
    if (missed != p.missed && !may_be_moved(p)) {
      fail("reader " + std::to_string(p.who) + " has been moved on to " + std::to_string(offset) +
           ", though it was less than the capacity behind");
    }
    for (const gate& g : p.gates) {
      if (offset < g.from || g.left->load(std::memory_order_relaxed) || offset >= g.handled->size()) continue;
      if ((*g.handled)[offset] == 0) {
        fail("reader " + std::to_string(p.who) + " is ahead of its gate at " + std::to_string(offset));
      }
    }
    if (p.who < 2 && offset < handled_[p.who].size()) handled_[p.who][offset] = 1;
    p.diary->push_back({offset, told(message), missed, topic_event::got});
    p.missed = missed;
    p.next = offset + 1;
  }
  void stand(place& p) {
    if (p.reader->disconnected()) {
      if (!may_be_moved(p)) fail("disconnected, though it was less than the capacity behind");
      return;
    }
    p.missed = p.reader->missed();
    p.diary->push_back({p.reader->position(), 0, p.missed, topic_event::stands});
  }

  void read(unsigned me) {
    dice random(plan_.seed * 64 + 32 + me);
    bool over = false;
    if (me == 0) {
      place p{.who = 0, .diary = &history_.diaries[0], .reader = &*witness_, .rules = topic_event::lossless};
      begin(p);
      reading_.count_down();
      while (!over) over = step(p, random);
      return;
    }
    for (bool first = true; !over; first = false) {
      place p{.who = me, .diary = &history_.diaries[me]};
      typename topic_type::subscription_options wish;
      wish.wait = some_wait(me + random.below(32));
      if (me == 5) wish.when_full = overrun::drop_oldest;
      if (me == 6) wish.when_full = overrun::drop_newest;
      if (me == 7) wish.when_full = overrun::disconnect;
      if (me < 5) p.rules |= topic_event::lossless;
      if (me > 1 && random.one_in(4)) {
        p.rules |= topic_event::filtered;
        wish.filter = [](const T& m) { return topic_history::wanted(told(m)); };
      }
      std::optional<reader_type> reader;
      std::shared_ptr<std::atomic<bool>> left;
      if (me == 1) {
        const std::lock_guard hold(gates_);
        comer_.emplace(log_.subscribe(std::move(wish)));
        comer_from_ = comer_->position();
        left = comer_left_ = std::make_shared<std::atomic<bool>>(false);
        p.reader = &*comer_;
      } else {
        const std::uint64_t tail = log_.tail();
        const std::uint64_t kept = log_.first_kept();
        const std::uint64_t where = random.below(3);
        if (where == 0) wish.from = earliest;
        if (where == 1)
          wish.from = tail - random.below(std::min<std::uint64_t>(tail, 2 * plan_.capacity) + 1);
        if (me < 4) {
          const std::lock_guard hold(gates_);
          const std::uint64_t behind = comer_ ? random.below(3) : 0;
          if (behind == 0) wish.after = millrace::gates<millrace::std_sync>(*witness_);
          if (behind == 1) wish.after = millrace::gates<millrace::std_sync>(*comer_);
          if (behind == 2) wish.after = millrace::gates<millrace::std_sync>(*witness_, *comer_);
          if (behind != 1) p.gates.push_back({&handled_[0], 0, never_left_});
          if (behind != 0) p.gates.push_back({&handled_[1], comer_from_, comer_left_});
          reader.emplace(log_.subscribe(std::move(wish)));
        } else {
          reader.emplace(log_.subscribe(std::move(wish)));
        }
        p.reader = &*reader;
        if (where == 0 && p.reader->position() < kept) fail("earliest is before what was kept");
        if (where == 2 && p.reader->position() < tail) fail("latest is before the tail");
      }
      begin(p);
      if (p.next > log_.tail()) fail("it begins where nothing is yet");
      if (first) {
        reading_.count_down();
        if (me > 4) fall_behind(p);
      }
      const std::uint64_t steps = 1 + random.below(20);
      for (std::uint64_t s = 0; s < steps && !over; ++s) {
        if (me > 2 && random.one_in(8)) {
          stand(p);
          go_elsewhere(p, random);
        }
        if (me > 4) dawdle(random);
        over = step(p, random);
      }
      if (!over) stand(p);
      if (me == 1) {
        const std::lock_guard hold(gates_);
        left->store(true, std::memory_order_relaxed);
        comer_.reset();
      }
    }
  }
  void go_elsewhere(place& p, dice& random) {
    const std::uint64_t tail = log_.tail();
    switch (random.below(4)) {
      case 0: p.reader->seek(earliest); break;
      case 1:
        p.reader->seek(latest);
        if (p.reader->position() < tail) fail("seek(latest) went before the tail");
        break;
      default: {
        const std::uint64_t to = tail - random.below(std::min<std::uint64_t>(tail, 2 * plan_.capacity) + 1);
        p.reader->seek(to);
        const std::uint64_t at = p.reader->position();
        if (at < to || (at > to && at > log_.first_kept())) fail("seek went elsewhere");
      }
    }
    begin(p);
  }
  /// By a reader that may miss something: it does.
  void fall_behind(const place& p) {
    const std::uint64_t far = 2 * plan_.capacity + 4 * log_.segment_size();
    while (!log_.is_closed() && log_.tail() - p.next < far) std::this_thread::yield();
  }
  void dawdle(dice& random) {
    if (random.one_in(4)) std::this_thread::yield();
    for (std::uint64_t n = random.below(400); n > 0; --n) millrace::std_sync::pause();
  }

  /// Reads a little. True: the stream has ended.
  bool step(place& p, dice& random) {
    const std::uint64_t before = p.diary->size();
    const std::uint64_t most = random.one_in(4) ? millrace::unlimited : 1 + random.below(64);
    const std::uint64_t throws_in = random.one_in(32) ? 1 + random.below(8) : 0;
    std::uint64_t calls = 0;
    const auto handle = [&](const T& message, std::uint64_t offset) {
      if (++calls == throws_in) throw thrown();
      note(p, offset, message);
    };
    try {
      switch (random.below(5)) {
        case 0: {
          // A batch ends with its segment, before a slot that was given up, and with the last one of all.
          bool ended = true;
          bool first = true;
          std::uint64_t before_it = 0;
          bool wrong = false;
          const std::size_t n = p.reader->poll(
              [&](const T& message, std::uint64_t offset, bool last) {
                handle(message, offset);
                const bool same = offset / log_.segment_size() == before_it / log_.segment_size();
                wrong = wrong || (!first && (ended ? same && offset == before_it + 1 : !same));
                first = false;
                ended = last;
                before_it = offset;
              },
              most);
          if (n != calls) fail("poll counts wrong");
          if (wrong || !ended)
            fail("reader " + std::to_string(p.who) + ": a batch does not end where it should");
          break;
        }
        case 1: {
          for (std::uint64_t n = std::min<std::uint64_t>(most, 100); n > 0; --n) {
            const T* const message = p.reader->try_next();
            if (message == nullptr) break;
            note(p, p.reader->position(), *message);
          }
          break;
        }
        case 2: {
          std::stop_source stop;
          const outcome o = p.reader->run(stop.get_token(), [&](const T& message, std::uint64_t offset) {
            handle(message, offset);
            if (calls >= most) stop.request_stop();
          });
          if (o == outcome::closed) return end(p);
          break;
        }
        default:
          if (p.reader->poll(handle, most) != calls) fail("poll counts wrong");
      }
    } catch (const thrown&) {
      ++throws_;
      if (!p.reader->disconnected() && p.reader->position() < p.next)
        fail("after a throw it is behind what it handled");
      return false;
    }
    if (p.diary->size() != before) return false;
    const T* message = nullptr;
    outcome o = outcome::empty;
    switch (random.below(4)) {
      case 0: o = p.reader->next(message); break;
      case 1: o = p.reader->next_for(message, std::chrono::microseconds(30)); break;
      default: o = p.reader->try_next(message); break;
    }
    if (message != nullptr) note(p, p.reader->position(), *message);
    if ((message != nullptr) != (o == outcome::ok)) fail("a message, and not ok, or the other way round");
    if (o == outcome::closed) return end(p);
    if (o != outcome::ok) std::this_thread::yield();
    return false;
  }
  /// It has been told that the stream has ended.
  bool end(place& p) {
    if (p.reader->disconnected()) {
      stand(p);
      p.reader->seek(earliest);
      begin(p);
      return false;
    }
    if (!log_.is_closed()) fail("closed, though it is open");
    p.diary->push_back({0, 0, p.reader->missed(), topic_event::ended});
    return true;
  }

  const plan plan_;
  topic_type log_;
  std::optional<reader_type> witness_;
  std::mutex gates_;  // guards:
  std::optional<reader_type> comer_;
  std::uint64_t comer_from_ = 0;
  std::shared_ptr<std::atomic<bool>> comer_left_;
  const std::shared_ptr<std::atomic<bool>> never_left_ = std::make_shared<std::atomic<bool>>(false);
  // why not atomic: what a gate has written before it passes a message, those behind it see
  std::array<std::vector<char>, 2> handled_;
  topic_history history_;
  std::vector<support::inside_flag> inside_;
  std::atomic<unsigned> publishing_{publishers};
  std::latch reading_{readers};  // everybody has begun once
  std::atomic<unsigned> done_{0};
  std::atomic<std::uint64_t> throws_{0};
  std::mutex mutex_;  // guards:
  std::string fault_;
};

double soak_seconds() {
  const char* wish = std::getenv("MILLRACE_SOAK");
  if (wish == nullptr || std::string_view(wish) == "0") return 0;
  const char* seconds = std::getenv("MILLRACE_SOAK_SECONDS");
  return seconds == nullptr ? 600 : std::atof(seconds);
}

// why fewer in small logs: everybody waits for everybody there, at every message
constexpr struct {
  std::size_t capacity;
  std::size_t segment;
  std::size_t keep;
  std::size_t messages;
} sizes[] = {{1, 2, 0, 200},     {2, 2, millrace::unlimited, 400},      {3, 4, 0, 400},
             {8, 2, 4, 1'000},   {16, 4, millrace::unlimited, 2'000},   {64, 4, 8, 3'000},
             {64, 16, 0, 3'000}, {200, 64, millrace::unlimited, 4'000}, {4096, 0, 100, 20'000}};

/// Every size `times` times, and in a soak again and again, with new seeds, for `share` of its time.
template <class T, producers P>
void trial(const char* name, std::size_t times, double share) {
  using clock = std::chrono::steady_clock;
  const support::watchdog guard(name, std::chrono::seconds(120 + static_cast<int>(soak_seconds())));
  const auto began = clock::now();
  const auto end = began + std::chrono::duration<double>(soak_seconds() * share);
  tally sum;
  std::uint64_t seed = 1000;
  do {
    for (std::size_t time = 0; time < times; ++time) {
      for (const auto& size : sizes) {
        ++seed;
        plan chosen{
            .capacity = size.capacity, .segment = size.segment, .keep = size.keep, .messages = size.messages};
        if (support::watched) chosen.messages /= 4;
        if (soak_seconds() > 0 && size.capacity > 100) chosen.messages *= 20;
        chosen.closes_early = seed % 4 == 0;
        chosen.freezes = seed % 6 == 1;
        chosen.wait = seed % 3 == 0   ? wait_strategy::park
                      : seed % 3 == 1 ? wait_strategy::adaptive
                                      : wait_strategy::yield;
        chosen.seed = seed;
        run_of<T, P> r(chosen);
        sum += r.run();
        const std::string wrong = r.verdict();
        if (!wrong.empty()) {
          FAIL(name << ", capacity " << size.capacity << ", segments of " << size.segment << ", seed " << seed
                    << ": " << wrong);
        }
      }
    }
  } while (clock::now() < end);
  std::printf(
      "%-32s %llu rounds, %llu published, %llu deliveries, %llu missed, %llu beginnings, %llu throws, %llu "
      "freezes, %.1f s\n",
      name, static_cast<unsigned long long>(sum.rounds), static_cast<unsigned long long>(sum.accepted),
      static_cast<unsigned long long>(sum.deliveries), static_cast<unsigned long long>(sum.missed),
      static_cast<unsigned long long>(sum.lives), static_cast<unsigned long long>(sum.throws),
      static_cast<unsigned long long>(sum.freezes),
      std::chrono::duration<double>(clock::now() - began).count());
  CHECK(sum.deliveries > 2 * sum.accepted);
  CHECK(sum.missed > 0);
  // Some have come again; how many in a short run under a sanitizer is up to the scheduler.
  CHECK(sum.lives > (support::watched ? 8 : 15) * sum.rounds);
}

}  // namespace

TEST_CASE("histories of a topic with many publishers") {
  trial<std::uint64_t, producers::multi>("multi, words", 2, 0.25);
  trial<parcel, producers::multi>("multi, 64 bytes", 1, 0.2);
  trial<std::string, producers::multi>("multi, strings", 1, 0.1);
  trial<owner, producers::multi>("multi, owners", 1, 0.1);
  trial<touchy, producers::multi>("multi, copies that throw", 1, 0.1);
}

TEST_CASE("histories of a topic with one publisher") {
  trial<std::uint64_t, producers::single>("single, words", 1, 0.1);
  trial<parcel, producers::single>("single, 64 bytes", 1, 0.05);
  trial<owner, producers::single>("single, owners", 1, 0.05);
  trial<touchy, producers::single>("single, copies that throw", 1, 0.05);
}

TEST_CASE("a history that cannot be is found out") {
  run_of<std::uint64_t, producers::multi> r(
      {.capacity = 64, .segment = 4, .keep = 0, .messages = 4'000, .seed = 5});
  r.run();
  REQUIRE(r.verdict() == "");
  const topic_history good = r.history();
  dice random(7);
  const auto some_got = [&](const topic_diary& d) {
    std::size_t i = random.below(d.size());
    while (d[i].what != topic_event::got) i = random.below(d.size());
    return i;
  };
  const auto found = [](const topic_history& h, const std::string& why) {
    const std::string wrong = judge(h);
    INFO(wrong);
    CHECK(wrong.find(why) != std::string::npos);
  };
  for (int time = 0; time < 20; ++time) {
    for (const unsigned who : {0u, 1u, 2u, 4u}) {
      {
        topic_history lost = good;
        topic_diary& d = lost.diaries[who];
        d.erase(d.begin() + static_cast<std::ptrdiff_t>(some_got(d)));
        // The witness's last one: fewer have arrived than were accepted.
        found(lost, who == 0 ? "" : "lost");
        CHECK(judge(lost) != "");
      }
      {
        topic_history twice = good;
        topic_diary& d = twice.diaries[who];
        const std::size_t i = some_got(d);
        d.insert(d.begin() + static_cast<std::ptrdiff_t>(i), d[i]);
        found(twice, who == 0 ? "comes behind" : "repeated");
      }
      {
        // The same ones at the same places, but two in the other order.
        topic_history swapped = good;
        topic_diary& d = swapped.diaries[who];
        std::size_t i = some_got(d);
        while (i + 1 >= d.size() || d[i + 1].what != topic_event::got) i = some_got(d);
        std::swap(d[i], d[i + 1]);
        CHECK(judge(swapped) != "");
        // Two values that have changed places.
        std::swap(d[i].offset, d[i + 1].offset);
        CHECK(judge(swapped) != "");
      }
      {
        topic_history broken = good;
        topic_diary& d = broken.diaries[who];
        d[some_got(d)].value = torn;
        found(broken, who == 0 ? "torn" : "elsewhere");
      }
      {
        topic_history elsewhere = good;
        topic_diary& d = elsewhere.diaries[who];
        d[some_got(d)].offset += 1'000'000;
        CHECK(judge(elsewhere) != "");
      }
    }
    {
      topic_history refused = good;
      const topic_event e = refused.diaries[0][some_got(refused.diaries[0])];
      refused.accepted[topic_history::publisher(e.value)][topic_history::number(e.value)] = false;
      found(refused, "refused");
    }
  }
  {
    topic_history promised = good;
    promised.accepted[0].push_back(true);
    found(promised, "arrived");
  }
  {
    // A lossy reader may leave out what it counts, and not one more; nor count what it got.
    topic_history h;
    h.accepted = {std::vector<bool>(6, true)};
    topic_diary all = {{0, topic_event::lossless, 0, topic_event::begins}};
    for (std::uint64_t n = 0; n < 6; ++n)
      all.push_back({2 * n, n, 0, topic_event::got});  // every other offset is dead
    all.push_back({0, 0, 0, topic_event::ended});
    const auto with = [&](std::uint64_t rules, std::uint64_t missed) {
      topic_history one = h;
      one.diaries = {all,
                     {{2, rules, 0, topic_event::begins},
                      {2, 1, 0, topic_event::got},
                      {8, 4, missed, topic_event::got}}};
      return one;
    };
    found(with(0, 0), "lost");
    found(with(0, 1), "lost");
    CHECK(judge(with(0, 2)) == "");
    CHECK(judge(with(0, 5)) == "");
    found(with(0, 6), "more than there is");
    found(with(topic_event::lossless, 5), "lossless");
    found(with(topic_event::filtered, 5), "left out");
    topic_history stops = with(0, 2);
    stops.diaries[1].push_back({11, 0, 2, topic_event::stands});
    found(stops, "lost");
    stops.diaries[1].back().missed = 4;
    CHECK(judge(stops) == "");
    stops.diaries[1].back() = {0, 0, 2, topic_event::ended};
    found(stops, "lost");
  }
}
