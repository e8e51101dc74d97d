// The workloads of topics: logs that several readers read, each of them everything. They are those of the LMAX
// Disruptor's own tests of throughput, the same text for every contender. A contender is a template over the type of the
// messages, the waiting rule, and whether several threads may publish, whose classes have
//
//   explicit C(const plan&)
//   void publish(unsigned producer, const T&)                            waits while there is no room
//   void read(unsigned reader, std::uint64_t n, handle)                  calls handle(const T&) for the next n messages
//
// A sample builds one, lets an eighth of the messages through to warm it up, and then measures, in new threads, from the
// moment when the first one begins until the last one is done.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/drive.hpp"
#include "support/items.hpp"
#include "support/role.hpp"
#include "support/tables.hpp"

namespace bench {

namespace topics {

/// spinning: who waits, a producer or a reader, pauses 64 times between its tries and yields from then on.
/// parking: who waits does it as the contender does it when it lets the thread sleep.
enum class waits : unsigned char { spinning, parking };

inline const char* to_string(waits how) { return how == waits::spinning ? "spinning" : "parking"; }

/// What a reader does with a message, as the handlers of the Disruptor's tests do. Its value begins with all bits set.
enum class task : unsigned char {
  add,
  subtract,
  conjoin,
  add_three,
  add_fours,
  add_threes,
  add_fives,
  add_fifteens
};

template <task What>
inline void apply(std::uint64_t& value, std::uint64_t n) noexcept {
  if constexpr (What == task::add) value += n;
  if constexpr (What == task::subtract) value -= n;
  if constexpr (What == task::conjoin) value &= n;
  if constexpr (What == task::add_three) value += n + 3;
  if constexpr (What == task::add_fours) value += ((n + 3) & 4) != 0 ? n : 0;
  if constexpr (What == task::add_threes) value += n % 3 == 0 ? n : 0;
  if constexpr (What == task::add_fives) value += n % 5 == 0 ? n : 0;
  if constexpr (What == task::add_fifteens) value += n % 3 == 0 && n % 5 == 0 ? n : 0;
}

/// Calls `f` with the task as a constant.
template <class F>
void with(task what, F f) {
  using enum task;
  switch (what) {
    case add: return f(std::integral_constant<task, add>());
    case subtract: return f(std::integral_constant<task, subtract>());
    case conjoin: return f(std::integral_constant<task, conjoin>());
    case add_three: return f(std::integral_constant<task, add_three>());
    case add_fours: return f(std::integral_constant<task, add_fours>());
    case add_threes: return f(std::integral_constant<task, add_threes>());
    case add_fives: return f(std::integral_constant<task, add_fives>());
    case add_fifteens: return f(std::integral_constant<task, add_fifteens>());
  }
}

struct reader_plan {
  task what = task::add;
  std::vector<unsigned> behind;  // sees a message only when these readers have done with it
};

struct plan {
  std::string name;
  unsigned producers = 1;
  bool many = false;  // as if there were several producers, also when there is one
  std::size_t ring = 0;
  std::vector<reader_plan> readers;
};

/// The five of the Disruptor, and unicast through the path for several producers.
const std::vector<plan>& plans();
inline constexpr std::array<unsigned, 7> crowds{1, 2, 4, 8, 16, 32, 64};
/// One producer, `n` readers beside each other.
plan crowd(unsigned n);
/// No reader at all.
plan nobody(bool many);

/// The number that the message carries as the `i`th, 1 and up. A high bit, so that what no one has written is noticed by
/// those who conjoin, too.
constexpr std::uint64_t number(std::uint64_t i) noexcept { return (std::uint64_t{1} << 48) | i; }

/// Whole shares for every producer.
inline std::uint64_t rounded(const plan& p, std::uint64_t messages) {
  return (messages + p.producers - 1) / p.producers * p.producers;
}
/// How many messages make the deliveries of a sample, when there are many readers.
std::uint64_t for_crowd(std::uint64_t messages, unsigned readers);

/// Throws std::runtime_error if `value` is not what that reader must have made of messages 1 .. n.
void verify(task what, std::uint64_t n, std::uint64_t value);

inline constexpr std::uint64_t first_value = ~std::uint64_t{0};

/// What a reader ends with. On a line of its own.
struct alignas(128) outcome_of_reader {
  std::uint64_t value = first_value;
};

/// Nanoseconds for all messages.
template <class T, class C>
double race_through(C& log, const plan& p, std::uint64_t messages) {
  std::vector<outcome_of_reader> out(p.readers.size());
  bodies all;
  for (unsigned k = 0; k < p.producers; ++k) {
    all.push_back([&log, k, share = messages / p.producers](tally&) {
      // why copies: what the closure holds would be read anew for every message
      C& to = log;
      const unsigned me = k;
      const std::uint64_t last = (k + 1) * share;
      for (std::uint64_t i = k * share + 1; i <= last; ++i) to.publish(me, item<T>::make(number(i)));
    });
  }
  for (unsigned r = 0; r < p.readers.size(); ++r) {
    all.push_back([&log, &out, &p, r, messages](tally&) {
      with(p.readers[r].what, [&](auto what) {
        std::uint64_t value = first_value;
        log.read(r, messages,
                 [&value](const T& v) { apply<decltype(what)::value>(value, item<T>::number(v)); });
        out[r].value = value;
      });
    });
  }
  const double seconds = race(all);
  for (std::size_t r = 0; r < out.size(); ++r) verify(p.readers[r].what, messages, out[r].value);
  return 1e9 * seconds;
}

/// Nanoseconds a message.
template <class T, class C>
double sample(const plan& p, std::uint64_t messages) {
  const auto log = std::make_unique<C>(p);
  messages = rounded(p, messages);
  race_through<T>(*log, p, rounded(p, messages / 8 + 1));
  return race_through<T>(*log, p, messages) / static_cast<double>(messages);
}

/// One reader, asleep whenever a message is published: median nanoseconds for the publish, and from its beginning to the
/// handler.
inline constexpr unsigned wake_ups = 200;
struct wake_times {
  explicit wake_times(std::size_t n);
  std::vector<double> publish;
  std::vector<double> handler;
};
/// Gives the reader the time to fall asleep.
void let_sleep();
std::vector<double> medians(const wake_times&);
std::uint64_t clock_now();

template <class C>
std::vector<double> sample_wake(std::uint64_t) {
  const plan p = crowd(1);
  const auto log = std::make_unique<C>(p);
  wake_times times(wake_ups);
  bodies all;
  all.push_back([&](tally&) {
    for (double& took : times.publish) {
      let_sleep();
      const std::uint64_t begin = clock_now();
      log->publish(0, begin);
      took = static_cast<double>(clock_now() - begin);
    }
  });
  all.push_back([&](tally&) {
    std::size_t i = 0;
    log->read(0, wake_ups,
              [&](const word& begin) { times.handler[i++] = static_cast<double>(clock_now() - begin); });
  });
  race(all);
  return medians(times);
}

const std::vector<table_column>& wake_columns();
table_column publish_column(bool many);
std::string table_of(waits how, const char* item);
table_column column_of(const plan& p);
inline constexpr const char* crowd_table = "readers/8B";
inline constexpr const char* publish_table = "publish/8B";
inline constexpr const char* stalled_table = "stalled/8B";

/// A template over the type of a message, the waiting rule, and whether several threads may publish.
template <template <class, waits, bool> class C>
class entering {
 public:
  entering(std::vector<table_entry>& all, const char* name, role as) : all_(all), name_(name), as_(as) {}

  /// In the five workloads, with either waiting rule.
  void plans() {
    plans_of<word, waits::spinning>();
    plans_of<block, waits::spinning>();
    plans_of<word, waits::parking>();
    plans_of<block, waits::parking>();
  }
  void plans(waits how) {
    if (how == waits::spinning) {
      plans_of<word, waits::spinning>();
      plans_of<block, waits::spinning>();
    } else {
      plans_of<word, waits::parking>();
      plans_of<block, waits::parking>();
    }
  }
  /// With 1 to 64 readers, parking.
  void crowds() {
    for (const unsigned n : topics::crowds) {
      enter(crowd_table, {column_of(crowd(n))}, [n](std::uint64_t messages) {
        return std::vector{sample<word, C<word, waits::parking, false>>(crowd(n), for_crowd(messages, n)) /
                           n};
      });
    }
  }
  /// Publishing while nobody reads.
  void alone() {
    enter(publish_table, {publish_column(false)}, [](std::uint64_t messages) {
      return std::vector{sample<word, C<word, waits::parking, false>>(nobody(false), messages)};
    });
    enter(publish_table, {publish_column(true)}, [](std::uint64_t messages) {
      return std::vector{sample<word, C<word, waits::parking, true>>(nobody(true), messages)};
    });
  }
  /// Publishing while the reader sleeps.
  void wakes() { enter(publish_table, wake_columns(), sample_wake<C<word, waits::parking, false>>); }

 private:
  void enter(std::string table, std::vector<table_column> columns,
             std::function<std::vector<double>(std::uint64_t)> take) {
    all_.push_back({std::move(table), std::move(columns), name_, as_, std::move(take)});
  }
  template <class T, waits How>
  void plans_of() {
    for (const plan& p : topics::plans()) {
      enter(table_of(How, item<T>::name), {column_of(p)}, [&p](std::uint64_t messages) {
        return std::vector{p.many ? sample<T, C<T, How, true>>(p, messages)
                                  : sample<T, C<T, How, false>>(p, messages)};
      });
    }
  }

  std::vector<table_entry>& all_;
  const char* name_;
  role as_;
};

/// The waiting rule of the tables called spinning.
class spinning {
 public:
  void operator()() noexcept {
    if (pauses_ == most_pauses) {
      std::this_thread::yield();
    } else {
      ++pauses_;
      pause();
    }
  }

 private:
  static constexpr unsigned most_pauses = 64;
  unsigned pauses_ = 0;
};

/// For contenders that are queues: each reader has one of its own for every reader that it is behind, or one that the
/// producers push a copy of every message into. Who has read a message pushes it on to those behind. `Link` is a queue with
///
///   Link(std::size_t places, unsigned producers)
///   void push(unsigned producer, const T&)             waits while full
///   std::size_t take(T* to, std::size_t most)          waits while empty
template <class T, class Link>
class queues {
 public:
  explicit queues(const plan& p) : readers_(p.readers.size()) {
    for (std::size_t r = 0; r < p.readers.size(); ++r) {
      const auto link = [&](std::vector<Link*>& from, unsigned producers) {
        readers_[r].in.push_back(std::make_unique<Link>(p.ring, producers));
        from.push_back(readers_[r].in.back().get());
      };
      for (const unsigned b : p.readers[r].behind) link(readers_[b].out, 1);
      if (p.readers[r].behind.empty()) link(first_, p.producers);
    }
  }

  void publish(unsigned producer, const T& v) {
    for (Link* to : first_) to->push(producer, v);
  }

  template <class F>
  void read(unsigned reader, std::uint64_t n, F handle) {
    const ends& mine = readers_[reader];
    std::array<T, at_once> taken;
    std::array<T, at_once> same;
    while (n > 0) {
      const std::size_t k = mine.in.front()->take(taken.data(), n < at_once ? n : at_once);
      for (std::size_t i = 1; i < mine.in.size(); ++i) {
        for (std::size_t got = 0; got < k;) got += mine.in[i]->take(same.data(), k - got);
      }
      for (std::size_t i = 0; i < k; ++i) {
        handle(taken[i]);
        for (Link* to : mine.out) to->push(0, taken[i]);
      }
      n -= k;
    }
  }

 private:
  static constexpr std::size_t at_once = 64;
  struct ends {
    std::vector<std::unique_ptr<Link>> in;
    std::vector<Link*> out;
  };
  std::vector<ends> readers_;
  std::vector<Link*> first_;
};

}  // namespace topics
}  // namespace bench
