#include "millrace/delivery/consumer_group.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "millrace/topic/topic.hpp"
#include "support/child.hpp"
#include "support/delivery.hpp"
#include "support/suite.hpp"

namespace {

using namespace bench;
using namespace std::chrono_literals;
using bench::delivery::check;
using bench::delivery::fate;
using bench::delivery::nanoseconds;
using bench::delivery::worked;
using topic = millrace::topic<word>;
using group = millrace::consumer_group<topic>;
using millrace::outcome;

template <fate What>
class shared {
 public:
  void publish(std::uint64_t n) {
    for (std::uint64_t i = 1; i <= n; ++i) {
      if (topic_.publish(i) != outcome::ok) throw std::runtime_error("a message was refused");
    }
    topic_.close();
  }
  void check(std::uint64_t n) const {
    const millrace::group_stats s = group_.stats();
    const std::uint64_t failed = What == fate::fails_once ? n : 0;
    bench::delivery::check(
        s.acked == n && s.delivered == n + failed && s.redelivered == failed && s.nacked == failed,
        "the group's books say that not every message was acknowledged once");
  }

 protected:
  topic topic_{delivery::capacity};
  group group_ = topic_.group("workers");
};

/// A handler that is called.
template <fate What>
class called : public shared<What> {
 public:
  worked work(unsigned) {
    worked did;
    if constexpr (What == fate::succeeds) {
      static_cast<void>(this->group_.work(std::stop_token(), [&did](const word& v) { did.note(v); }));
    } else {
      static_cast<void>(this->group_.work(std::stop_token(), [&did](millrace::delivery<word>& d) {
        if (d.attempt() == 1) {
          d.nack(0ns);
        } else {
          did.note(*d);
        }
      }));
    }
    did.last = stopwatch::now();
    return did;
  }
};

/// A loop that asks for one message after the other.
template <fate What>
class asking : public shared<What> {
 public:
  worked work(unsigned) {
    worked did;
    while (auto d = this->group_.receive()) {
      if (What == fate::fails_once && d.attempt() == 1) {
        d.nack(0ns);
      } else {
        did.note(*d);
        d.ack();
      }
    }
    did.last = stopwatch::now();
    return did;
  }
};

template <class C>
void enter(suite& s, fate what, unsigned workers, const char* name, role as) {
  s.delivery.push_back(
      {delivery::table_of(what), {delivery::column_of(workers)}, name, as, [workers](std::uint64_t messages) {
         const auto fresh = std::make_unique<C>();
         return std::vector{delivery::sample(*fresh, workers, messages)};
       }});
}

// --- many groups ---

/// One thread publishes half the capacity, the other one takes and acknowledges that for each group, and so on in turn, so
/// that neither waits for the other while it is timed. Nanoseconds a message for the first one, and a delivery for the other.
std::vector<double> sample_groups(std::size_t n, std::uint64_t messages) {
  constexpr std::uint64_t lap = delivery::capacity / 2;
  constexpr std::size_t at_once = 32;
  const std::uint64_t laps = std::max<std::uint64_t>(2, messages / lap / n);
  topic log(delivery::capacity);
  std::vector<group> groups;
  for (std::size_t g = 0; g < n; ++g) {
    std::string name = "g";
    groups.push_back(log.group(name += std::to_string(g)));
  }
  std::binary_semaphore publisher(1);
  std::binary_semaphore worker(0);
  stopwatch::duration publishing{};
  stopwatch::duration working{};
  race({[&](tally& mine) {
          for (std::uint64_t i = 0; i < laps; ++i) {
            publisher.acquire();
            const auto begin = stopwatch::now();
            for (std::uint64_t k = i * lap + 1; k <= (i + 1) * lap; ++k) {
              if (log.publish(k) != outcome::ok) throw std::runtime_error("a message was refused");
            }
            publishing += stopwatch::now() - begin;
            worker.release();
          }
          mine.put = n * (laps * lap) * (laps * lap + 1) / 2;
        },
        [&](tally& mine) {
          std::array<group::delivery, at_once> batch;
          for (std::uint64_t i = 0; i < laps; ++i) {
            worker.acquire();
            const auto begin = stopwatch::now();
            for (group& g : groups) {
              for (std::uint64_t left = lap; left != 0;) {
                const std::size_t got = g.try_receive_n(batch.begin(), at_once);
                if (got == 0) throw std::runtime_error("a group has nothing of what was published");
                for (std::size_t k = 0; k < got; ++k) {
                  mine.got += *batch[k];
                  batch[k].ack();
                }
                left -= got;
              }
            }
            working += stopwatch::now() - begin;
            publisher.release();
          }
        }});
  for (const group& g : groups) check(g.stats().acked == laps * lap, "not every delivery was acknowledged");
  const auto published = static_cast<double>(laps * lap);
  return {nanoseconds(publishing) / published, nanoseconds(working) / (published * static_cast<double>(n))};
}

// --- memory ---

struct bytes_a_message {
  double in_flight;
  double waiting;
  double log;
};

bytes_a_message memory() {
  constexpr std::size_t messages = 100'000;
  std::vector<group::delivery> taken;
  taken.reserve(messages);  // its consumers', not the group's
  const double before = allocated();
  topic log(messages);
  group g = log.group("workers", {.max_in_flight = messages, .max_waiting = messages, .ack_timeout = 1h});
  for (std::uint64_t i = 1; i <= messages; ++i) {
    if (log.publish(i) != outcome::ok) throw std::runtime_error("a message was refused");
  }
  const auto beside_the_log = [&] {
    return (allocated() - before - static_cast<double>(log.bytes())) / messages;
  };
  check(g.try_receive_n(std::back_inserter(taken), messages) == messages, "not all are in flight");
  bytes_a_message of{};
  of.in_flight = beside_the_log();
  of.log = static_cast<double>(log.bytes()) / messages;
  for (group::delivery& d : taken) d.nack(1h);
  check(g.stats().waiting == messages, "not all wait for a retry");
  of.waiting = beside_the_log();
  return of;
}

}  // namespace

void bench::add_consumer_group(suite& s) {
  const char* name = "millrace::consumer_group, work";
  const char* one_by_one = "millrace::consumer_group, receive and ack";
  for (const unsigned workers : delivery::crews) {
    enter<called<fate::succeeds>>(s, fate::succeeds, workers, name, role::ours);
    enter<asking<fate::succeeds>>(s, fate::succeeds, workers, one_by_one, role::variant);
  }
  for (const unsigned workers : {1U, 4U}) {
    enter<called<fate::fails_once>>(s, fate::fails_once, workers, name, role::ours);
    enter<asking<fate::fails_once>>(s, fate::fails_once, workers, one_by_one, role::variant);
  }
  const char* plain = "millrace::consumer_group";
  for (const std::size_t n : {1U, 4U, 16U, 64U}) {
    const std::string groups = std::to_string(n) + (n == 1 ? " group" : " groups");
    s.delivery.push_back({delivery::groups_table,
                          {{groups + ": publisher", "ns"}, {groups + ": worker", "ns"}},
                          plain,
                          role::ours,
                          [n](std::uint64_t messages) { return sample_groups(n, messages); }});
  }
  s.delivery.push_back({delivery::memory_table,
                        {{"in flight", "bytes"}, {"waiting for a retry", "bytes"}, {"the log", "bytes"}},
                        plain,
                        role::ours,
                        [](std::uint64_t) {
                          const bytes_a_message of = in_child(memory);
                          return std::vector{of.in_flight, of.waiting, of.log};
                        },
                        false});

  s.delivery_targets.push_back({delivery::ack_table, 10, {"Redis stream", "NATS JetStream"}});
  s.delivery_targets.push_back({delivery::ack_table, 1.0 / 3, {"millrace::channel"}});
}
