// All contenders in all cells, and what ours has to reach.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/burst.hpp"
#include "support/cell.hpp"
#include "support/drive.hpp"
#include "support/flow.hpp"
#include "support/items.hpp"
#include "support/role.hpp"
#include "support/tables.hpp"
#include "support/timer_threads.hpp"
#include "support/timers.hpp"
#include "support/topics.hpp"

namespace bench {

struct entry {
  cell where;
  std::string name;
  role as;
  double (*sample)(const cell&, std::uint64_t items);
};

struct burst_entry {
  std::string name;
  role as;
  burst_costs (*sample)(std::uint64_t items);
};

struct target {
  std::string cell;                 // as to_string(cell)
  double at_least;                  // times the throughput of the best rival
  std::vector<std::string> rivals;  // empty: all peers
};

inline constexpr std::array<std::size_t, 3> capacities{64, 4096, 65536};
/// The capacity whose cells carry the targets.
inline constexpr std::size_t main_capacity = 4096;
inline constexpr unsigned most_pairs = 8;

class suite {
 public:
  /// Enters `Q` in every cell that its verbs allow.
  template <class Q>
  void add(const char* name, role as) {
    using T = typename Q::value_type;
    for (const std::size_t capacity : capacities) {
      if constexpr (requires { Q::holds(capacity); }) {
        if (!Q::holds(capacity)) continue;
      }
      const auto enter = entering<T>(capacity, name, as);
      if constexpr (tries<Q>) {
        constexpr verbs how = one_to_one<Q> ? verbs::one_each : verbs::trying;
        enter(how, {work::single}, sample<how, Q>);
        for_shapes<Q>([&](shape who) { enter(how, who, sample<how, Q>); });
        if constexpr (!one_to_one<Q>) {
          if (capacity == main_capacity) for_more_pairs([&](shape who) { enter(how, who, sample<how, Q>); });
        }
      }
      if constexpr (blocks<Q>) {
        for_shapes<Q>([&](shape who) { enter(verbs::blocking, who, sample<verbs::blocking, Q>); });
      }
      if constexpr (batches<Q> && !one_to_one<Q>) {
        for_shapes<Q>([&](shape who) {
          if (who.what == work::crowd) enter(verbs::batches, who, sample<verbs::batches, Q>);
        });
      }
    }
  }

  /// Enters `Q`, which grows as needed, in the cells without a limit that its verbs allow, and in the burst.
  template <class Q>
  void add_unbounded(const char* name, role as) {
    using T = typename Q::value_type;
    const auto enter = entering<T>(unbounded, name, as);
    if constexpr (tries<Q>) {
      enter(verbs::trying, {work::single}, sample<verbs::trying, Q>);
      for_shapes<Q>([&](shape who) { enter(verbs::trying, who, sample<verbs::trying, Q>); });
      for_more_pairs([&](shape who) { enter(verbs::trying, who, sample<verbs::trying, Q>); });
      if constexpr (std::is_same_v<T, word>) bursts.push_back({name, as, burst<Q>});
    }
    if constexpr (blocks<Q>) {
      for_shapes<Q>([&](shape who) { enter(verbs::blocking, who, sample<verbs::blocking, Q>); });
    }
  }

  /// Enters `Q`, from whose `channels` channels one consumer takes.
  template <class Q>
  void add_select(std::size_t channels, const char* name, role as) {
    const auto enter = entering<typename Q::value_type>(channels, name, as);
    for (const shape who : {shape{work::single}, shape{work::ping_pong}, shape{work::crowd, 1, 1}}) {
      enter(verbs::selecting, who, sample<verbs::blocking, Q>);
    }
  }

  /// Enters `C` in every workload of timers.
  template <class C>
  void add_timers(const char* name, role as) {
    enter_timers<C>(timers, name, as);
  }
  /// Enters `C`, which has a thread of its own, in those with threads.
  template <class C>
  void add_timer_threads(const char* name, role as) {
    enter_timer_threads<C>(timers, name, as);
  }

  /// `C` is entered in the workloads of topics by what this returns.
  template <template <class, topics::waits, bool> class C>
  topics::entering<C> add_topic(const char* name, role as) {
    return {topics, name, as};
  }

  /// `C` is entered in the workloads of pipelines by what this returns.
  template <template <flow::size, flow::order> class C>
  flow::entering_pipeline<C> add_pipeline(const char* name, role as) {
    return {flow, name, as};
  }

  /// A peer that is not there, for the report.
  void missing(std::string what) { notes.push_back(std::move(what)); }
  void missing_topic(std::string what) { topic_notes.push_back(std::move(what)); }
  void missing_delivery(std::string what) { delivery_notes.push_back(std::move(what)); }
  void missing_flow(std::string what) { flow_notes.push_back(std::move(what)); }

  std::vector<entry> entries;
  std::vector<burst_entry> bursts;
  std::vector<timer_entry> timers;
  std::vector<table_entry> topics;
  std::vector<table_entry> delivery;
  std::vector<table_entry> flow;
  std::vector<target> targets;
  std::vector<timer_target> timer_targets;
  std::vector<table_target> delivery_targets;
  std::vector<table_target> flow_targets;
  double burst_bytes_at_most = 0;  // an item, for ours
  std::vector<std::string> notes;
  std::vector<std::string> topic_notes;
  std::vector<std::string> delivery_notes;
  std::vector<std::string> flow_notes;

 private:
  template <class T>
  auto entering(std::size_t capacity, const char* name, role as) {
    return [=, this](verbs how, shape who, double (*sample)(const cell&, std::uint64_t)) {
      entries.push_back({{how, item<T>::name, capacity, who}, name, as, sample});
    };
  }

  template <class Q, class F>
  static void for_shapes(F enter) {
    enter({work::ping_pong});
    enter({work::crowd, 1, 1});
    if constexpr (!one_to_one<Q>) {
      enter({work::crowd, 2, 2});
      enter({work::crowd, 4, 4});
      enter({work::crowd, 1, 4});
      enter({work::crowd, 4, 1});
    }
  }
  template <class F>
  static void for_more_pairs(F enter) {
    for (unsigned pairs = 3; pairs <= most_pairs; ++pairs) {
      if (pairs != 4) enter({work::crowd, pairs, pairs});
    }
  }
};

// One function a file of queue/, time/, topic/, delivery/, flow/, bus/, metrics/ and alternatives/.
void add_mpmc_queue(suite&);
void add_spsc_queue(suite&);
void add_unbounded_queue(suite&);
void add_channel(suite&);
void add_select(suite&);
void add_coroutines(suite&);
void add_vyukov_ring(suite&);
void add_two_word_rings(suite&);
void add_atomic_queue(suite&);
void add_boost(suite&);
void add_moodycamel(suite&);
void add_readerwriterqueue(suite&);
void add_standard(suite&);
void add_tbb(suite&);
void add_xenium(suite&);

void add_timing_wheel(suite&);
void add_timer_service(suite&);
void add_mutex_and_wheel(suite&);
void add_cascading_wheel(suite&);
void add_indexed_heap(suite&);
void add_ordered(suite&);
void add_asio(suite&);
void add_asio_thread(suite&);
void add_libevent(suite&);
void add_libevent_thread(suite&);
void add_libuv(suite&);
void add_libuv_thread(suite&);

void add_topic(suite&);
void add_topic_channels(suite&);
void add_mutex_broadcast(suite&);
void add_topic_disruptor(suite&);
void add_topic_moodycamel(suite&);
void add_topic_signals2(suite&);

void add_consumer_group(suite&);
void add_delivery_channel(suite&);
void add_redis(suite&);
void add_nats(suite&);

void add_pipeline(suite&);
void add_pipeline_channels(suite&);
void add_pipeline_tbb(suite&);
void add_bus(suite&);
void add_request(suite&);
void add_saga(suite&);
void add_metrics(suite&);

}  // namespace bench
