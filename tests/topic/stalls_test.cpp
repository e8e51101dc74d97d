// A topic goes on whoever is suspended in it: one thread is suspended for good at every step of what it does, and the others
// publish and read.
//
//   at the seam     before the victim's k-th operation on shared memory, for every k there is, thousands of messages of the
//                   others each time, over as many segments;
//   from outside    a signal stops the victim at whatever instruction it is, hundreds of times.
//
// Only a reader of overrun::block stops publishers, when it is the capacity behind, and lag() tells which one it is.
//
// Waking a sleeper takes a lock, so nobody sleeps here. Who is stuck is found by counting attempts, not by the clock.
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/core/config.hpp"
#include "millrace/topic/topic.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/stalling_sync.hpp"
#include "support/watchdog.hpp"

#if defined(__unix__)
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#endif

namespace {

using millrace::earliest;
using millrace::latest;
using millrace::outcome;
using millrace::overrun;
using millrace::producers;
using support::stall;
using support::stalling_sync;

/// Sixty-four bytes. Copying it takes time, in which a thread can be suspended, or something else can happen.
struct payload {
  explicit payload(std::uint64_t v = 0) noexcept { all.fill(v); }
  payload(const payload& o) noexcept { take(o); }
  payload& operator=(const payload& o) noexcept {
    take(o);
    return *this;
  }
  ~payload() { all[3] = ~all[0]; }  // who reads it after this finds it torn
  void take(const payload& o) noexcept {
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i == all.size() / 2) {
        stall::step();
        if (auto* const once = std::exchange(interlude, nullptr)) (*once)();
      }
      all[i] = o.all[i];
    }
  }

  std::array<std::uint64_t, 8> all;
  static inline thread_local const std::function<void()>* interlude = nullptr;
};

constexpr std::uint64_t torn = ~std::uint64_t{0};

std::uint64_t value_of(std::uint64_t v) { return v; }
std::uint64_t value_of(const payload& p) {
  for (const std::uint64_t v : p.all) {
    if (v != p.all[0]) return torn;
  }
  return p.all[0];
}

// value: [ publisher : 24 | number : 40 ]
constexpr int number_bits = 40;
enum publishers : std::uint64_t { setting, first, second, victim, count_of_publishers };

/// What one reader got of each publisher.
struct ledger {
  bool lossy = false;
  bool disorder = false;
  std::array<std::uint64_t, count_of_publishers> next{};
  std::array<std::uint64_t, count_of_publishers> count{};

  template <class T>
  void take(const T& message) {
    const std::uint64_t v = value_of(message);
    const std::uint64_t p = v >> number_bits;
    const std::uint64_t n = v & ((std::uint64_t{1} << number_bits) - 1);
    if (p >= count_of_publishers || (lossy ? n < next[p] : n != next[p])) {
      disorder = true;
      return;
    }
    next[p] = n + 1;
    ++count[p];
  }
};

/// Publishes its numbers one after the other.
template <class Log>
bool publish_next(Log& log, std::uint64_t who, std::uint64_t& n) {
  using T = typename Log::value_type;
  if (log.try_publish(T(who << number_bits | n)) != outcome::ok) return false;
  ++n;
  return true;
}

/// Attempts without anybody's success, after which a thread gives up hope. When all have, they are stuck.
constexpr int hopeless = 2'000;

/// Two publishers, a reader that loses nothing and one that may, each in a thread.
template <class Log>
class crowd {
  using reader = typename Log::subscription;
  enum members : std::size_t { publishers_ = 2, lossless_ = 2, lossy_ = 3, count_ = 4 };

 public:
  /// Until each publisher has published `goal` messages, and they have been read, or they are told to stop.
  crowd(Log& log, std::uint64_t goal)
      : log_(log),
        each_(goal),
        all_(log.subscribe()),
        some_(log.subscribe({.when_full = overrun::drop_oldest})) {
    got_some.lossy = true;
  }
  crowd(const crowd&) = delete;
  crowd& operator=(const crowd&) = delete;
  ~crowd() { stop_and_join(); }

  void start() {
    for (std::size_t t = 0; t < count_; ++t) threads_.emplace_back([this, t] { work(t); });
  }
  void join() {
    for (auto& t : threads_) {
      if (t.joinable()) t.join();
    }
  }
  void stop_and_join() {
    stop_ = true;
    join();
  }
  /// Once all have stopped.
  void read_the_rest() {
    // why more than once: there may be more than the capacity, a message for each publisher
    while (all_.poll([this](const auto& m) { got_all.take(m); }) != 0) {
    }
    while (some_.poll([this](const auto& m) { got_some.take(m); }) != 0) {
    }
  }
  [[nodiscard]] bool stuck() const { return stuck_; }
  [[nodiscard]] std::uint64_t completed_by(std::size_t who) const { return members_of_[who].done; }
  [[nodiscard]] static constexpr std::size_t size() { return count_; }
  [[nodiscard]] std::uint64_t published(std::size_t p) const { return members_of_[p].done; }
  [[nodiscard]] reader& lossless() { return all_; }

  /// What is wrong, once everybody has finished and the rest has been read; `by_victim`: its messages.
  [[nodiscard]] std::string audit(std::uint64_t by_victim) const {
    if (got_all.disorder || got_some.disorder) return "values came torn, twice or out of order";
    if (got_all.count[first] != published(0) || got_all.count[second] != published(1))
      return "messages were lost";
    if (got_all.count[victim] != by_victim) {
      return "of the victim's " + std::to_string(by_victim) + " messages arrived " +
             std::to_string(got_all.count[victim]);
    }
    return {};
  }

  ledger got_all;
  ledger got_some;

 private:
  struct alignas(128) member {
    std::atomic<std::uint64_t> done{0};
    std::atomic<std::uint64_t> hopeless_at{~std::uint64_t{0}};  // what had been done when it gave up hope
    std::atomic<bool> finished{false};
  };

  [[nodiscard]] std::uint64_t completed() const {
    std::uint64_t sum = 0;
    for (const member& m : members_of_) sum += m.done;
    return sum;
  }

  // How many it were.
  std::uint64_t attempt(std::size_t me) {
    if (me < publishers_) return publish_next(log_, me + first, numbers_[me]) ? 1 : 0;
    if (me == lossless_) return all_.poll([this](const auto& m) { got_all.take(m); }, 7);
    return some_.poll([this](const auto& m) { got_some.take(m); }, 7);
  }
  [[nodiscard]] bool over(std::size_t me) {
    if (stop_.load(std::memory_order_relaxed)) return true;
    if (me < publishers_) return numbers_[me] == each_;
    if (me == lossless_) return got_all.count[first] + got_all.count[second] == 2 * each_;
    return members_of_[lossless_].finished;
  }
  void work(std::size_t me) {
    member& mine = members_of_[me];
    int failed = 0;
    std::uint64_t known = 0;
    while (!over(me)) {
      if (const std::uint64_t n = attempt(me); n != 0) {
        failed = 0;
        mine.done.fetch_add(n);
        continue;
      }
      std::this_thread::yield();
      if (++failed % 16 != 0) continue;
      const std::uint64_t sum = completed();
      if (sum != std::exchange(known, sum)) failed = 0;
      if (failed >= hopeless) mine.hopeless_at = sum;
      const bool all_hopeless = std::all_of(members_of_.begin(), members_of_.end(), [sum](const member& m) {
        return m.finished || m.hopeless_at == sum;
      });
      // why once more: who has finished meanwhile has left something to do
      if (all_hopeless && completed() == sum) stuck_ = stop_ = true;
    }
    mine.finished = true;
  }

  Log& log_;
  const std::uint64_t each_;
  reader all_;
  reader some_;
  std::array<std::uint64_t, publishers_> numbers_{};
  std::array<member, count_> members_of_{};
  std::atomic<bool> stop_{false};
  std::atomic<bool> stuck_{false};
  std::vector<std::thread> threads_;
};

// why fewer under a sanitizer: the steps are what counts there, not how long the others go on
#if SUPPORT_SANITIZED
constexpr std::uint64_t each = 200;
#else
constexpr std::uint64_t each = 1'500;
#endif

// why so large: on a busy machine each time round the log takes as long as a thread's turn
constexpr std::size_t capacity = 512;
constexpr millrace::topic_options small = {.keep = {.messages = 0}, .segment = 4};

template <class T, producers P = producers::multi>
using log_of = millrace::topic<T, P, std::chrono::steady_clock, stalling_sync>;

struct verdict {
  int steps = 0;
  int stuck = 0;
  std::string fault;

  void note(const std::string& wrong) {
    if (!wrong.empty() && fault.empty()) fault = "step " + std::to_string(steps) + ": " + wrong;
  }
};

enum class publishing {
  one,           // into a segment that has room
  next_segment,  // makes a segment
  last,          // takes the last place
  full,          // is refused
  again,         // its slot is marked dead, and it publishes anew
  row,           // several, over segments
};

/// Suspends a publisher before step 0, 1, 2, ... of a publish, as long as there is such a step.
template <class T>
verdict suspend_publisher(publishing what) {
  verdict result;
  for (;; ++result.steps) {
    log_of<T> log(capacity, small);
    crowd<log_of<T>> others(log, each);
    std::uint64_t n = 0;
    std::size_t before = 1;
    if (what == publishing::next_segment) before = small.segment;
    if (what == publishing::last) before = capacity - 1;
    if (what == publishing::full) before = capacity;
    while (n < before) publish_next(log, setting, n);

    // In the middle of the publish somebody publishes behind it, and a reader goes by.
    const std::function<void()> go_by = [&] {
      std::thread([&] {
        publish_next(log, setting, n);
        // why twice: a slot is given up only where a poll begins
        for (int i = 0; i < 2; ++i) others.lossless().poll([&](const T& m) { others.got_all.take(m); });
      }).join();
    };
    std::uint64_t published = 0;
    stall suspension(result.steps);
    std::thread thread([&] {
      std::vector<T> row;
      for (std::uint64_t i = 0; i < 9; ++i) row.push_back(T(victim << number_bits | i));
      if constexpr (std::is_same_v<T, payload>) {
        if (what == publishing::again) payload::interlude = &go_by;
      }
      suspension.arm();
      if (what == publishing::row) {
        published = log.try_publish_n(row.begin(), row.size());
      } else {
        published = log.try_publish(std::as_const(row[0])) == outcome::ok;
      }
      suspension.disarm();
    });
    const bool suspended = suspension.await();
    if (suspended) {
      others.start();
      others.join();
      suspension.resume();
    }
    thread.join();
    others.read_the_rest();
    if (others.stuck()) ++result.stuck;
    result.note(others.audit(published));
    if (what != publishing::full && !suspended && published == 0)
      result.note("nobody was suspended, and it was refused");
    if (what == publishing::again && suspended && others.stuck()) result.note("stuck");
    if (!suspended || !result.fault.empty()) return result;
  }
}

enum class reading {
  poll,
  poll_lapped,  // the log has gone on without it
  next,
  subscribe,
  leave,
  seek,
};

/// Of a log while threads are suspended in it: three times as many segments as it needs, each with its slots, and with a
/// header of 128 bytes, of which the table may have twice as many, as it doubles.
template <class T>
std::size_t most_bytes(std::size_t places, std::size_t segment) {
  return 3 * (places / segment + 16) * (segment * (sizeof(T) + 8) + 2 * 128);
}

/// Likewise a reader that is in nobody's way.
template <class T>
verdict suspend_reader(reading what, overrun rule, std::uint64_t goal) {
  // why smaller: who comes or leaves looks at all segments, and each look is a step
  constexpr std::size_t places = 64;
  verdict result;
  for (;; ++result.steps) {
    log_of<T> log(places, small);
    std::uint64_t n = 0;
    std::optional<typename log_of<T>::subscription> reader;
    if (what != reading::subscribe) reader.emplace(log.subscribe({.when_full = rule}));
    // why as many: over some segments, or so far that it is left behind
    const std::uint64_t before = what == reading::poll_lapped ? 3 * places : 9;
    while (n < before) publish_next(log, setting, n);
    crowd<log_of<T>> others(log, goal);
    ledger got;
    got.lossy = true;
    stall suspension(result.steps);
    std::thread thread([&] {
      suspension.arm();
      switch (what) {
        case reading::poll:
        case reading::poll_lapped: reader->poll([&](const T& m) { got.take(m); }, 6); break;
        case reading::next:
          for (int i = 0; i < 4; ++i) {
            if (const T* const m = reader->try_next()) got.take(*m);
          }
          break;
        case reading::subscribe: reader.emplace(log.subscribe({.from = earliest, .when_full = rule})); break;
        case reading::leave: reader.reset(); break;
        case reading::seek: reader->seek(latest); break;
      }
      suspension.disarm();
    });
    const bool suspended = suspension.await();
    std::size_t bytes = 0;
    if (suspended) {
      others.start();
      others.join();
      bytes = log.bytes();
      suspension.resume();
    }
    thread.join();
    others.read_the_rest();
    if (others.stuck()) ++result.stuck;
    result.note(others.audit(0));
    // However much has been published meanwhile, what it stands on is a segment, or the capacity.
    if (bytes > most_bytes<T>(places, small.segment))
      result.note("the log has grown to " + std::to_string(bytes) + " bytes");
    if (reader) {
      reader->poll([&](const T& m) { got.take(m); });
      if (got.disorder) result.note("the reader got values torn or out of order");
    }
    if (!suspended || !result.fault.empty()) return result;
  }
}

/// A reader that loses nothing. The others stop when the log is full, then and only then, and it is the one that lags.
template <class T>
verdict suspend_blocking_reader(reading what) {
  verdict result;
  for (;; ++result.steps) {
    log_of<T> log(capacity, small);
    auto other = log.subscribe();
    ledger got_other;
    ledger got;
    std::uint64_t n = 0;
    std::optional<typename log_of<T>::subscription> reader;
    if (what != reading::subscribe) reader.emplace(log.subscribe());
    while (n < 5) publish_next(log, setting, n);
    stall suspension(result.steps);
    std::thread thread([&] {
      suspension.arm();
      switch (what) {
        case reading::poll:
        case reading::poll_lapped: reader->poll([&](const T& m) { got.take(m); }); break;
        case reading::next:
          for (int i = 0; i < 4; ++i) {
            if (const T* const m = reader->try_next()) got.take(*m);
          }
          break;
        case reading::subscribe: reader.emplace(log.subscribe()); break;
        case reading::leave: reader.reset(); break;
        case reading::seek: reader->seek(latest); break;
      }
      suspension.disarm();
    });
    const bool suspended = suspension.await();
    if (suspended) {
      const bool known = what == reading::poll || what == reading::next;
      for (;;) {
        other.poll([&](const T& m) { got_other.take(m); });
        if (other.lag() != 0) result.note("the other one is said to lag");
        const std::uint64_t lag = known ? reader->lag() : 0;
        const bool took = publish_next(log, setting, n);
        if (known && took != (lag < capacity)) {
          result.note("it lags by " + std::to_string(lag) + ", and try_publish " +
                      (took ? "took" : "refused") + " one");
        }
        // Who is just coming or going stops the others from some step on, or does not.
        if (!took || n > 2 * capacity + 10) break;
      }
      if (known && reader->lag() != capacity) result.note("the log is full, and nobody lags by the capacity");
      suspension.resume();
    }
    thread.join();
    // Everything goes on, and nothing is lost.
    for (std::uint64_t goal = n + 100; n < goal;) {
      const std::uint64_t was = n;
      publish_next(log, setting, n);
      other.poll([&](const T& m) { got_other.take(m); });
      const std::size_t read = reader ? reader->poll([&](const T& m) {
        if (what == reading::subscribe || what == reading::seek) got.lossy = true;  // began later
        got.take(m);
      })
                                      : 0;
      if (n == was && read == 0) {
        ++result.stuck;
        break;
      }
    }
    if (got_other.disorder || got_other.count[setting] != n) result.note("the other one has lost something");
    if (got.disorder) result.note("it got something torn or out of order");
    if ((what == reading::poll || what == reading::next) && got.count[setting] != n)
      result.note("it has lost something");
    if (!suspended || !result.fault.empty()) return result;
  }
}

void good(const verdict& v, int least) {
  INFO(v.fault);
  CHECK(v.fault.empty());
  CHECK(v.stuck == 0);
  CHECK(v.steps >= least);
}

}  // namespace

TEMPLATE_TEST_CASE("a publisher suspended for good at any step of a publish holds up nobody", "",
                   std::uint64_t, payload) {
  const support::watchdog guard("a publisher suspended", std::chrono::seconds(300));
  good(suspend_publisher<TestType>(publishing::one), 9);
  good(suspend_publisher<TestType>(publishing::next_segment), 40);
  good(suspend_publisher<TestType>(publishing::last), 15);
  good(suspend_publisher<TestType>(publishing::full), 9);
  good(suspend_publisher<TestType>(publishing::row), 60);
}

TEST_CASE("... nor one whose slot has been passed over, and that publishes anew") {
  const support::watchdog guard("a publisher suspended on the rare path", std::chrono::seconds(300));
  good(suspend_publisher<payload>(publishing::again), 20);
}

TEST_CASE("a reader that may lose something holds up nobody, wherever it is suspended") {
  const support::watchdog guard("a lossy reader suspended", std::chrono::seconds(300));
  for (const overrun rule : {overrun::drop_oldest, overrun::drop_newest, overrun::disconnect}) {
    INFO("rule " << static_cast<int>(rule));
    good(suspend_reader<payload>(reading::poll, rule, each / 2), 12);
    good(suspend_reader<std::uint64_t>(reading::poll_lapped, rule, each / 4), 12);
    good(suspend_reader<std::uint64_t>(reading::next, rule, each / 4), 12);
    good(suspend_reader<std::uint64_t>(reading::subscribe, rule, each / 4), 12);
    good(suspend_reader<std::uint64_t>(reading::leave, rule, each / 4), 9);
    good(suspend_reader<std::uint64_t>(reading::seek, rule, each / 4), 12);
  }
}

TEST_CASE("a reader that loses nothing stops publishers when the log is full, and only then") {
  const support::watchdog guard("a lossless reader suspended", std::chrono::seconds(300));
  for (const reading what :
       {reading::poll, reading::next, reading::subscribe, reading::leave, reading::seek}) {
    INFO("verb " << static_cast<int>(what));
    good(suspend_blocking_reader<std::uint64_t>(what), 9);
    good(suspend_blocking_reader<payload>(what), 9);
  }
}

TEST_CASE("a reader that goes back while a row is being published is heeded at any step") {
  const support::watchdog guard("a reader that goes back");
  int steps = 0;
  for (;; ++steps) {
    log_of<std::uint64_t, producers::single> log(7, {.segment = 4});
    auto reader = log.subscribe();
    ledger before;
    std::uint64_t n = 0;
    // why 14: what is kept begins with a whole segment, more than the capacity back
    while (n < 14) {
      publish_next(log, setting, n);
      reader.poll([&](std::uint64_t v) { before.take(v); });
    }
    std::uint64_t published = 0;
    stall suspension(steps);
    std::thread thread([&] {
      std::vector<std::uint64_t> row;
      // why 9: were it let loose at the beginning of a segment, it would go over its end
      for (std::uint64_t i = 0; i < 9; ++i) row.push_back(setting << number_bits | (n + i));
      suspension.arm();
      published = log.try_publish_n(row.begin(), row.size());
      suspension.disarm();
    });
    const bool suspended = suspension.await();
    reader.seek(earliest);
    const std::uint64_t from = reader.position();
    if (suspended) suspension.resume();
    thread.join();
    CHECK(log.tail() == n + published);
    ledger got;
    got.next[setting] = from;
    if (log.tail() == n + published) reader.poll([&](std::uint64_t v) { got.take(v); });
    CHECK_FALSE(got.disorder);
    CHECK(got.count[setting] == n + published - from);
    if (!suspended) break;
  }
  CHECK(steps >= 9);
}

#if defined(__unix__) &&                                                                                     \
    !MILLRACE_TSAN  // why: ThreadSanitizer holds signals back until the thread calls the system

namespace {

bool soak() { return std::getenv("MILLRACE_SOAK") != nullptr; }

/// Stops a thread from outside: a signal's handler that does not return before it is told to.
class freezer {
 public:
  freezer() {
    frozen = false;
    if (::pipe(gate) != 0) std::abort();
    struct sigaction action{};
    action.sa_handler = [](int) {
      const int kept = errno;
      frozen.store(true);
      char token = 0;
      while (::read(gate[0], &token, 1) != 1) {
      }
      frozen.store(false);
      errno = kept;
    };
    ::sigaction(SIGUSR1, &action, &before_);
  }
  freezer(const freezer&) = delete;
  freezer& operator=(const freezer&) = delete;
  ~freezer() {
    ::sigaction(SIGUSR1, &before_, nullptr);
    ::close(gate[0]);
    ::close(gate[1]);
  }
  void freeze(std::thread& t) {
    ::pthread_kill(t.native_handle(), SIGUSR1);
    while (!frozen) std::this_thread::yield();
  }
  void thaw() {
    const char token = 0;
    if (::write(gate[1], &token, 1) != 1) std::abort();
    while (frozen) std::this_thread::yield();
  }

 private:
  static inline std::atomic<bool> frozen{false};
  static inline int gate[2] = {};
  struct sigaction before_{};
};

/// Nobody is frozen who is about to get memory or to give it back: malloc has locks, and what is held up by them is not the
/// topic's doing.
struct undisturbed {
  undisturbed() noexcept {
    sigset_t freezing;
    sigemptyset(&freezing);
    sigaddset(&freezing, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &freezing, &before);
  }
  undisturbed(const undisturbed&) = delete;
  undisturbed& operator=(const undisturbed&) = delete;
  ~undisturbed() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  sigset_t before;
};
struct calm_sync : millrace::std_sync {
  template <class T>
  struct allocator {
    using value_type = T;
    allocator() = default;
    template <class U>
    allocator(const allocator<U>&) noexcept {}
    [[nodiscard]] T* allocate(std::size_t n) {
      const undisturbed hold;
      return std::allocator<T>().allocate(n);
    }
    void deallocate(T* p, std::size_t n) noexcept {
      const undisturbed hold;
      std::allocator<T>().deallocate(p, n);
    }
    template <class U>
    bool operator==(const allocator<U>&) const noexcept {
      return true;
    }
  };
};

/// Freezes a thread that publishes and reads without end, `times` times, at whatever instruction it is, and each time waits
/// until every one of the others has completed `more` messages.
template <class T>
void freeze_at_random(std::size_t places, std::size_t segment, int times, std::uint64_t more) {
  using log_type = millrace::topic<T, producers::multi, std::chrono::steady_clock, calm_sync>;
  log_type log(places, {.keep = {.messages = 0}, .segment = segment});
  crowd<log_type> others(log, ~std::uint64_t{0} >> 1);
  freezer freeze;
  std::atomic<bool> stop{false};
  std::uint64_t published = 0;
  ledger got;
  got.lossy = true;
  auto reader = log.subscribe({.when_full = overrun::drop_newest});
  std::thread thread([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      publish_next(log, victim, published);
      reader.poll([&](const T& m) { got.take(m); }, 5);
    }
  });
  others.start();
  int survived = 0;
  std::uint32_t random = 12345;
  while (survived < times && !others.stuck()) {
    random = random * 1664525u + 1013904223u;
    for (std::uint32_t i = 0; i < random >> 20; ++i) millrace::std_sync::pause();
    freeze.freeze(thread);
    std::array<std::uint64_t, crowd<log_type>::size()> from{};
    for (std::size_t t = 0; t < from.size(); ++t) from[t] = others.completed_by(t);
    for (std::size_t t = 0; t < from.size(); ++t) {
      while (others.completed_by(t) < from[t] + more && !others.stuck()) std::this_thread::yield();
    }
    freeze.thaw();
    survived += !others.stuck();
  }
  others.stop_and_join();
  stop = true;
  thread.join();
  others.read_the_rest();
  CHECK_FALSE(others.stuck());
  CHECK(survived == times);
  CHECK(others.audit(published) == "");
  CHECK_FALSE(got.disorder);
  CHECK(log.bytes() < most_bytes<T>(places, segment));
}

}  // namespace

TEMPLATE_TEST_CASE("a thread frozen at any instruction of a publish or a poll holds up nobody", "",
                   std::uint64_t, payload) {
  const support::watchdog guard("frozen at random", std::chrono::seconds(soak() ? 3600 : 300));
  const int times = soak() ? 3000 : 40;
  freeze_at_random<TestType>(16, 2, times, 100);
  freeze_at_random<TestType>(256, 16, times, 500);
}

#endif
