// Histories of the real queues, recorded and judged: every shape of crew, capacities from the smallest to a
// thousand, with and without threads frozen at random instructions. MILLRACE_SOAK=1 keeps on for
// MILLRACE_SOAK_SECONDS (600).
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millrace/queue/channel.hpp"
#include "millrace/queue/mpmc_queue.hpp"
#include "millrace/queue/mpsc_queue.hpp"
#include "millrace/queue/options.hpp"
#include "millrace/queue/priority_channel.hpp"
#include "millrace/queue/spsc_queue.hpp"
#include "millrace/queue/unbounded_queue.hpp"
#include "support/catch.hpp"
#include "support/history.hpp"
#include "support/watched.hpp"

namespace {

using millrace::channel;
using millrace::mpmc_queue;
using millrace::outcome;
using millrace::spsc_queue;
using millrace::use_patience;
using support::full_rule;
using support::recording;
using support::shape;
using support::tally;

/// A value of 64 bytes, every word of which tells whether it is torn.
struct parcel {
  std::uint64_t words[8];
  explicit parcel(std::uint64_t value) {
    for (std::uint64_t& word : words) word = value;
  }
  parcel() : parcel(0) {}
  [[nodiscard]] std::uint64_t value() const {
    for (const std::uint64_t word : words) {
      if (word != words[0]) return ~std::uint64_t{0};  // nobody pushed that
    }
    return words[0];
  }
};

template <class Queue>
class parcels {
 public:
  explicit parcels(std::size_t capacity) : queue_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return queue_.capacity(); }
  bool try_push(std::uint64_t value) { return queue_.try_push(parcel(value)); }
  std::optional<std::uint64_t> try_pop() {
    const std::optional<parcel> got = queue_.try_pop();
    if (!got) return std::nullopt;
    return got->value();
  }

 private:
  Queue queue_;
};

template <class Channel>
class parcel_channel {
 public:
  explicit parcel_channel(std::size_t capacity) : channel_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return channel_.capacity(); }
  outcome try_push(std::uint64_t value) { return channel_.try_push(parcel(value)); }
  outcome push(std::uint64_t value) { return channel_.push(parcel(value)); }
  outcome try_pop(std::uint64_t& value) {
    parcel got;
    return unpack(channel_.try_pop(got), got, value);
  }
  outcome pop(std::uint64_t& value) {
    parcel got;
    return unpack(channel_.pop(got), got, value);
  }
  void close() { channel_.close(); }

 private:
  static outcome unpack(outcome answer, const parcel& got, std::uint64_t& value) {
    if (answer == outcome::ok) value = got.value();
    return answer;
  }
  Channel channel_;
};

/// A chain that begins with a ring of `capacity` and goes on with larger ones. It is never full.
template <class Queue>
class chain {
 public:
  explicit chain(std::size_t first_ring) : queue_(first_ring, 4 * first_ring) {}
  [[nodiscard]] std::size_t capacity() const { return std::size_t{1} << 40; }
  bool try_push(typename Queue::value_type&& value) {
    queue_.push(std::move(value));
    return true;
  }
  std::optional<typename Queue::value_type> try_pop() { return queue_.try_pop(); }

 private:
  Queue queue_;
};

/// A queue without a limit, and without a capacity to begin with.
template <class Queue>
class endless {
 public:
  explicit endless(std::size_t) {}
  [[nodiscard]] std::size_t capacity() const { return std::size_t{1} << 40; }
  bool try_push(typename Queue::value_type&& value) {
    queue_.push(std::move(value));
    return true;
  }
  std::optional<typename Queue::value_type> try_pop() { return queue_.try_pop(); }

 private:
  Queue queue_;
};
template <class Queue>
struct endless_channel : channel<typename Queue::value_type, Queue> {
  explicit endless_channel(std::size_t) {}
  [[nodiscard]] std::size_t capacity() const { return std::size_t{1} << 40; }
};

/// One level of a priority channel, while others are pushed to as well.
template <bool Weighted>
class one_level {
  using channel = millrace::priority_channel<std::uint64_t, 3>;

 public:
  explicit one_level(std::size_t capacity)
    requires(!Weighted)
      : channel_(capacity) {}
  explicit one_level(std::size_t capacity)
    requires Weighted
      : channel_(capacity, channel::weights{2, 1, 1}) {}
  [[nodiscard]] std::size_t capacity() { return channel_.at(1).capacity(); }
  outcome try_push(std::uint64_t value) {
    if (value % 3 == 0) static_cast<void>(channel_.at(value % 2 == 0 ? 0 : 2).try_push(noise + 0));
    return channel_.at(1).try_push(value);
  }
  outcome try_pop(std::uint64_t& value) {
    outcome result = outcome::ok;
    std::uint64_t got = noise;
    while (got == noise && (result = channel_.try_pop(got)) == outcome::ok) {
    }
    if (result == outcome::ok) value = got;
    return result;
  }
  void close() { channel_.close(); }

 private:
  static constexpr std::uint64_t noise = ~std::uint64_t{0};
  channel channel_;
};

/// The verbs that wait, behind the names that the recorder calls.
template <class Channel>
class waiting {
 public:
  static constexpr bool waits = true;
  explicit waiting(std::size_t capacity) : channel_(capacity) {}
  [[nodiscard]] std::size_t capacity() const { return channel_.capacity(); }
  outcome try_push(std::uint64_t value) { return channel_.push(std::move(value)); }
  outcome try_pop(std::uint64_t& value) { return channel_.pop(value); }
  void close() { channel_.close(); }

 private:
  Channel channel_;
};

const std::vector<shape> every_shape = {{1, 1}, {2, 2}, {4, 4}, {1, 4}, {4, 1}};
const std::vector<shape> one_each = {{1, 1}};
const std::vector<shape> one_consumer = {{1, 1}, {2, 1}, {4, 1}};

double soak_seconds() {
  const char* wish = std::getenv("MILLRACE_SOAK");
  if (wish == nullptr || std::string(wish) == "0") return 0;
  const char* seconds = std::getenv("MILLRACE_SOAK_SECONDS");
  return seconds == nullptr ? 600 : std::atof(seconds);
}

// `operations` over all shapes and capacities, with and without freezes; in a soak again and again with new
// seeds for `share` of its time.
template <class Queue>
void trial(const char* name, full_rule rule, std::size_t operations, double share,
           const std::vector<shape>& shapes = every_shape, bool refuses = true) {
  using clock = std::chrono::steady_clock;
  if (support::watched) operations /= 10;
  const auto end = clock::now() + std::chrono::duration<double>(soak_seconds() * share);
  tally sum;
  std::uint64_t seed = 20'000;
  do {
    for (const shape crew : shapes) {
      for (const std::size_t capacity :
           {std::size_t{1}, std::size_t{2}, std::size_t{8}, std::size_t{64}, std::size_t{1024}}) {
        for (const bool freeze : {false, true}) {
          recording plan;
          plan.crew = crew;
          plan.capacity = capacity;
          // Freezes cost time; a third of the operations is recorded with them.
          plan.operations = operations / shapes.size() / 15 * (freeze ? 1 : 2);
          plan.seed = ++seed;
          plan.freeze = freeze;
          plan.full = rule;
          const tally t = support::record<Queue>(plan);
          sum += t;
          if (t.found != support::fault::none) {
            FAIL(name << ", " << describe(crew) << ", capacity " << capacity << (freeze ? ", frozen" : "")
                      << ": " << t.message);
          }
        }
      }
    }
  } while (clock::now() < end);
  std::printf("%-34s %s, seeds 20001 to %llu\n", name, describe(sum).c_str(),
              static_cast<unsigned long long>(seed));
  CHECK(sum.operations >= operations);
  CHECK(sum.popped >= operations / 50);
  if (std::string(name).find("pop") == std::string::npos) {
    CHECK((sum.full > 0) == refuses);
    CHECK(sum.empty > 0);
  }
}

using words = mpmc_queue<std::uint64_t>;
using slots = mpmc_queue<parcel>;
using hasty_slots = mpmc_queue<parcel, use_patience<1>>;

}  // namespace

TEST_CASE("histories of mpmc_queue, words") {
  trial<words>("mpmc_queue, words", full_rule::exact, 3'000'000, 0.25);
}

TEST_CASE("histories of mpmc_queue, 64 bytes in place") {
  trial<parcels<slots>>("mpmc_queue, 64 bytes", full_rule::places, 2'000'000, 0.2);
}

TEST_CASE("histories of mpmc_queue, 64 bytes in place, nobody waits for anybody") {
  trial<parcels<hasty_slots>>("mpmc_queue, 64 bytes, patience 1", full_rule::places, 2'000'000, 0.2);
}

TEST_CASE("histories of spsc_queue") {
  trial<spsc_queue<std::uint64_t>>("spsc_queue", full_rule::exact, 1'500'000, 0.05, one_each);
}

TEST_CASE("histories of unbounded_queue") {
  using millrace::unbounded_queue;
  trial<chain<unbounded_queue<std::uint64_t>>>("unbounded_queue, words", full_rule::exact, 1'000'000, 0.1,
                                               every_shape, false);
  trial<parcels<chain<unbounded_queue<parcel, use_patience<1>>>>>(
      "unbounded_queue, 64 bytes, patience 1", full_rule::exact, 500'000, 0.1, every_shape, false);
}

TEST_CASE("histories of a level of priority_channel") {
  trial<one_level<false>>("priority_channel, a level", full_rule::exact, 200'000, 0.05);
  trial<one_level<true>>("priority_channel, a level, weighted", full_rule::exact, 200'000, 0.05);
}

TEST_CASE("histories of mpsc_queue") {
  using millrace::mpsc_queue;
  trial<endless<mpsc_queue<std::uint64_t>>>("mpsc_queue", full_rule::exact, 300'000, 0.05, one_consumer,
                                            false);
  trial<parcels<endless<mpsc_queue<parcel, use_patience<0>>>>>(
      "mpsc_queue, 64 bytes, patience 0", full_rule::exact, 200'000, 0.05, one_consumer, false);
  trial<waiting<endless_channel<mpsc_queue<std::uint64_t, use_patience<0>>>>>(
      "channel of mpsc_queue, push and pop", full_rule::exact, 200'000, 0.05, one_consumer);
}

TEST_CASE("histories of channel, verbs that do not wait") {
  trial<channel<std::uint64_t>>("channel, try_push and try_pop", full_rule::exact, 700'000, 0.05);
  trial<parcel_channel<channel<parcel, hasty_slots>>>("channel, 64 bytes, patience 1", full_rule::places,
                                                      500'000, 0.05);
}

TEST_CASE("histories of channel, verbs that wait") {
  trial<waiting<channel<std::uint64_t>>>("channel, push and pop", full_rule::exact, 500'000, 0.1);
  trial<waiting<parcel_channel<channel<parcel, hasty_slots>>>>("channel, 64 bytes, push and pop",
                                                               full_rule::exact, 300'000, 0.05);
  trial<waiting<channel<std::uint64_t, spsc_queue<std::uint64_t>>>>(
      "channel of spsc_queue, push and pop", full_rule::exact, 200'000, 0.05, one_each);
}
