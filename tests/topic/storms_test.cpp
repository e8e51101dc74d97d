// Topics in rough weather: readers that join and leave in storms, a thousand at once, and handlers that throw under load.
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/topic/topic.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"
#include "support/watched.hpp"

namespace {

using millrace::outcome;
using millrace::overrun;
using millrace::producers;
using millrace::topic;

constexpr int number_bits = 40;

/// Whether each publisher's numbers come without a gap.
class row {
 public:
  [[nodiscard]] bool takes(std::uint64_t value, bool with_gaps = false) {
    std::uint64_t& next = next_[value >> number_bits];
    const std::uint64_t n = value & ((std::uint64_t{1} << number_bits) - 1);
    const bool good = next == 0 || n + 1 == next + 1 || (with_gaps && n > next);
    next = n + 1;
    return good;
  }

 private:
  std::uint64_t next_[4] = {};  // 0: any
};

/// Publishes numbers that rise from 1 until it is told to stop.
template <class Topic>
class publisher {
 public:
  publisher(Topic& log, std::uint64_t me)
      : thread_([this, &log, me] {
          for (std::uint64_t n = 1; !stop_.load(std::memory_order_relaxed); ++n) {
            if (log.publish(me << number_bits | n) != outcome::ok) break;
            count_.store(n, std::memory_order_relaxed);
          }
        }) {}
  void stop() { stop_ = true; }
  [[nodiscard]] std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  void join() { thread_.join(); }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> count_{0};
  std::thread thread_;
};

template <producers P>
void join_and_leave(unsigned each) {
  constexpr unsigned threads = 4;
  constexpr std::size_t capacity = 1024;
  constexpr std::size_t segment = 64;
  topic<std::uint64_t, P> log(capacity, {.keep = {.messages = 0}, .segment = segment});
  std::atomic<std::uint64_t> got{0};
  std::atomic<long> records{0};
  std::atomic<std::size_t> most_bytes{0};
  std::atomic<unsigned> disorder{0};
  std::atomic<unsigned> without{0};
  std::vector<std::unique_ptr<publisher<topic<std::uint64_t, P>>>> publishers;
  for (std::uint64_t p = 0; p < (P == producers::multi ? 2 : 1); ++p) {
    publishers.push_back(std::make_unique<publisher<topic<std::uint64_t, P>>>(log, p));
  }
  std::vector<std::thread> crowd;
  for (unsigned t = 0; t < threads; ++t) {
    crowd.emplace_back([&, t] {
      std::uint64_t sum = 0;
      long taken = 0;
      for (unsigned i = 0; i < each; ++i) {
        const bool lossy = (i + t) % 4 == 0;
        const long before = support::allocations;
        auto reader = i % 3 == 0 ? log.subscribe({.from = millrace::earliest})
                      : lossy    ? log.subscribe({.when_full = overrun::drop_oldest})
                                 : log.subscribe();
        taken += support::allocations - before;
        row r;
        std::uint64_t mine = 0;
        // Now and again none: only comes and goes.
        for (int tries = 0; i % 5 != 0 && mine < 10 && tries < 1000; ++tries) {
          const std::size_t n =
              reader.poll([&](std::uint64_t v) { disorder += !r.takes(v, lossy && i % 3 != 0); }, 20);
          mine += n;
          if (n == 0) std::this_thread::yield();
        }
        without += i % 5 != 0 && mine == 0;
        sum += mine;
        const std::size_t bytes = log.bytes();
        std::size_t most = most_bytes;
        while (most < bytes && !most_bytes.compare_exchange_weak(most, bytes)) {
        }
      }
      got += sum;
      records += taken;
    });
  }
  for (std::thread& t : crowd) t.join();
  for (auto& p : publishers) p->stop();
  for (auto& p : publishers) p->join();

  CHECK(disorder == 0);
  CHECK(got > each);
  // Records are used again: only those are made that several threads want at once.
  CHECK(records <= 2 * static_cast<long>(threads));
  INFO("at the most " << most_bytes << " bytes, " << got << " messages, " << without
                      << " readers without any");
  // What the capacity takes, three segments more, eight spare ones, and one for each lossy reader.
  const std::size_t slot = P == producers::multi ? 16 : 8;
  CHECK(most_bytes <= (capacity / segment + 3 + 8 + threads) * segment * slot + 64 * 256);
}

template <producers P>
void a_thousand_at_once() {
  using log_type = topic<std::uint64_t, P>;
  constexpr std::size_t count = 1'000;
  constexpr unsigned threads = 4;
  const std::uint64_t messages = support::watched ? 500 : 2'000;
  log_type log(256, {.segment = 64});
  std::vector<typename log_type::subscription> readers;
  const std::size_t before = log.bytes();
  for (std::size_t i = 0; i < count; ++i) readers.push_back(log.subscribe());
  CHECK(log.bytes() == before);
  std::atomic<unsigned> disorder{0};
  std::vector<std::uint64_t> got(count, 0);
  std::vector<std::thread> crowd;
  for (unsigned t = 0; t < threads; ++t) {
    crowd.emplace_back([&, t] {
      std::vector<row> rows(count);
      for (bool more = true; more;) {
        more = false;
        std::size_t n = 0;
        for (std::size_t i = t; i < count; i += threads) {
          n += readers[i].poll([&](std::uint64_t v) {
            disorder += !rows[i].takes(v);
            ++got[i];
          });
          more = more || got[i] < messages;
        }
        if (n == 0) std::this_thread::yield();
      }
    });
  }
  const unsigned crew = P == producers::multi ? 2 : 1;
  std::vector<std::thread> publishers;
  for (std::uint64_t p = 0; p < crew; ++p) {
    publishers.emplace_back([&, p] {
      for (std::uint64_t n = 1; n <= messages / crew; ++n)
        static_cast<void>(log.publish(p << number_bits | n));
    });
  }
  for (std::thread& t : publishers) t.join();
  for (std::thread& t : crowd) t.join();
  CHECK(disorder == 0);
  CHECK(got == std::vector<std::uint64_t>(count, messages));
}

struct thrown {};

/// Readers whose handlers throw at every seventh message, the first time they see it, in every manner of reading.
template <producers P>
void handlers_that_throw() {
  using log_type = topic<std::uint64_t, P>;
  constexpr unsigned manners = 4;
  const std::uint64_t messages = support::watched ? 10'000 : 50'000;
  log_type log(64, {.segment = 8});
  std::vector<typename log_type::subscription> readers;
  for (unsigned r = 0; r < manners; ++r) {
    readers.push_back(r == 3 ? log.subscribe({.filter = [](std::uint64_t) { return true; }})
                             : log.subscribe());
  }
  std::atomic<unsigned> wrong{0};
  std::atomic<std::uint64_t> throws{0};
  std::vector<std::uint64_t> got(manners, 0);
  std::vector<std::thread> crowd;
  for (unsigned r = 0; r < manners; ++r) {
    crowd.emplace_back([&, r] {
      auto& in = readers[r];
      row numbers;
      std::uint64_t again = ~std::uint64_t{0};  // where it threw
      const auto handle = [&](std::uint64_t v, std::uint64_t offset) {
        if (again != ~std::uint64_t{0}) {
          wrong += offset != again;
          again = ~std::uint64_t{0};
        } else if (v % 7 == 3) {
          again = offset;
          throw thrown();
        }
        wrong += !numbers.takes(v);
        ++got[r];
      };
      for (;;) {
        bool by_next = false;
        try {
          outcome o = outcome::ok;
          if (r == 0) {
            o = in.run(handle);
          } else if (r == 1) {
            o = in.run(std::stop_token(),
                       [&](std::uint64_t v, std::uint64_t offset, bool) { handle(v, offset); });
          } else if (in.poll(handle, 5) == 0) {
            const std::uint64_t* message = nullptr;
            o = in.try_next(message);
            by_next = true;
            if (o == outcome::ok) handle(*message, in.position());
            if (o == outcome::empty) std::this_thread::yield();
          }
          if (o == outcome::closed) break;
        } catch (const thrown&) {
          ++throws;
          if (in.position() != again) ++wrong;
          if (by_next) in.seek(again);  // the throw was the caller's own
        }
      }
    });
  }
  const unsigned crew = P == producers::multi ? 2 : 1;
  std::vector<std::thread> publishers;
  for (std::uint64_t p = 0; p < crew; ++p) {
    publishers.emplace_back([&, p] {
      for (std::uint64_t n = 1; n <= messages / crew; ++n)
        static_cast<void>(log.publish(p << number_bits | n));
    });
  }
  for (std::thread& t : publishers) t.join();
  log.close();
  for (std::thread& t : crowd) t.join();
  CHECK(wrong == 0);
  CHECK(got == std::vector<std::uint64_t>(manners, messages));
  CHECK(throws > messages / 8);
}

}  // namespace

TEST_CASE("ten thousand readers come and go while others publish") {
  const support::watchdog guard("a storm of readers");
  join_and_leave<producers::multi>(2'500);
  join_and_leave<producers::single>(500);
}

TEST_CASE("a thousand readers at once") {
  const support::watchdog guard("a thousand readers");
  a_thousand_at_once<producers::multi>();
  a_thousand_at_once<producers::single>();
}

TEST_CASE("a reader whose handler throws gets the message again, and loses none") {
  const support::watchdog guard("handlers that throw");
  handlers_that_throw<producers::multi>();
  handlers_that_throw<producers::single>();
}

// A handler that wants to know the batch's end gets a message only when the next one has been looked for.
TEST_CASE("a lossy reader stays in a message's segment until its handler has had it") {
  topic<std::string> log(4, {.keep = {.messages = 0}, .segment = 2});
  const auto publish = [&](int n, char c) {
    for (int i = 0; i < n; ++i) CHECK(log.try_publish(std::string(100, c)) == outcome::ok);
  };
  auto reader = log.subscribe({.when_full = overrun::drop_oldest, .filter = [&](const std::string& s) {
                                 if (s[0] == 'c') publish(40, 'x');
                                 return s[0] == 'a';
                               }});
  publish(1, 'a');
  publish(3, 'b');
  publish(1, 'c');
  std::string got;
  reader.poll([&](const std::string& s, std::uint64_t, bool) { got = s; });
  CHECK(got == std::string(100, 'a'));
}

TEST_CASE("who is behind a lossy reader gets no message that its handler has not had") {
  topic<int> log(64, {.segment = 4});
  auto gate =
      log.subscribe({.when_full = overrun::drop_oldest, .filter = [](const int& v) { return v != 3; }});
  auto behind = log.subscribe({.after = {gate}});
  for (int i = 0; i < 6; ++i) CHECK(log.try_publish(i) == outcome::ok);
  int last = -1;
  gate.poll([&](const int& v, std::uint64_t, bool) {
    behind.poll([&](const int& b) { last = b; });
    CHECK(last < v);
  });
}
