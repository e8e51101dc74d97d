// A model checker for the library's concurrent headers: runs a small world of threads under every schedule, and
// every stale reading that the C++ memory model allows, up to a bound; or under random ones.
//
//   struct two_pushes {                                 // a world is built anew for each execution
//     static constexpr int threads = 2;
//     millrace::mpmc_queue<std::uint64_t, millrace::use_sync<explore::sync>> q{2};
//     void thread(int i) { explore::check(q.try_push(i), "there is room"); }
//     void finish() { explore::check(q.size_approx() == 2, "both are in"); }
//   };
//   explore::verdict v = explore::exhaust<two_pushes>({.preemptions = 2, .stale_reads = 2});
//
// The header under test is the shipped one: it shares memory through its `Sync`, and here that is explore::sync.
//
// How: threads are contexts on stacks of their own, switched at each operation of the seam; the choices made (who
// runs, which store a load reads, whether a limit passes) form a tree, walked depth first by replaying a prefix.
// Memory is a machine of views: each location keeps its stores in modification order; each thread has a view, how
// far into every such order it must have got; a release store carries the view of its thread, an acquire load
// joins it; a load may read any store not older than the view. Sequentially consistent operations and the seam's
// fence meet in one global view. (C. Lahav et al., the release/acquire view semantics; M. Musuvathi & S. Qadeer, preemption
// bounding, PLDI 2007; B. Norris & B. Demsky, CDSChecker, OOPSLA 2013.) Not modelled: a load that reads a store
// not yet executed, a store placed before an older one of the modification order, consume, weak failures.
//
// Reports: a failed check, a data race on plain<T>, an operation on an atomic that has been destroyed (its storage must
// come from `arena`), an access to memory that is not there, a deadlock or lost wake-up (nobody can run, somebody is not
// done), a livelock (too many steps), a leak of instances of `plain` or of storage of `arena`.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <atomic>

#include "millrace/core/detail/word_pair.hpp"
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace explore {

inline constexpr int most_threads = 6;      // the world's, and one that builds and finishes it
inline constexpr int most_locations = 160;  // coherence orders per execution

/// A place in the source, by which a memory order is known.
struct site {
  const char* file;
  int line;
  const char* what;  // "", or which of the orders of that line
  friend bool operator<(const site& a, const site& b) {
    if (const int by_file = std::strcmp(a.file, b.file); by_file != 0) return by_file < 0;
    if (a.line != b.line) return a.line < b.line;
    return std::strcmp(a.what, b.what) < 0;
  }
  friend bool operator==(const site& a, const site& b) { return !(a < b) && !(b < a); }
  [[nodiscard]] std::string name() const {
    const char* slash = std::strrchr(file, '/');
    return std::string(slash != nullptr ? slash + 1 : file) + ":" + std::to_string(line) +
           (*what != 0 ? " " : "") + what;
  }
};

struct options {
  int preemptions = 2;              // switches away from a thread that could go on
  int stale_reads = 2;              // loads that read something else than the newest store
  int frozen = 0;                   // threads that may stop for good, at any step
  std::uint64_t executions = 0;     // 0: all there are within the bounds; otherwise as many, at random
  std::uint64_t seed = 1;           // for random ones
  std::uint64_t most_steps = 4000;  // more is called a livelock
  double seconds = 0;               // 0: no limit; otherwise exhaustion may be cut short (verdict::complete)
  const site* weakened = nullptr;   // this order, and no other, is one step weaker
  std::set<site>* sites = nullptr;  // collects the orders met that are stronger than relaxed
};

struct verdict {
  bool ok = true;
  bool complete = true;  // the bounded tree was walked to its end
  std::uint64_t executions = 0;
  std::string failure;  // what went wrong, and the schedule that shows it
};

namespace detail {

using clock_type = std::uint16_t;

struct view {
  std::array<clock_type, most_locations> store{};   // oldest store of each location that may still be read
  std::array<clock_type, most_threads> happened{};  // of each thread, how much has happened before
  void join(const view& o, int locations) {
    for (int i = 0; i < locations; ++i)
      store[std::size_t(i)] = std::max(store[std::size_t(i)], o.store[std::size_t(i)]);
    for (std::size_t i = 0; i < happened.size(); ++i) happened[i] = std::max(happened[i], o.happened[i]);
  }
};

struct stored {
  std::uint64_t first;
  std::uint64_t second;
  view released;
};

struct location {
  std::vector<stored> stores;
  int first_id;   // its index in a view
  int second_id;  // of the other half, if it is a pair
  bool destroyed;
  int creator;
  clock_type created;                            // of its creator
  std::array<clock_type, most_threads> touched;  // by each thread, last
};

enum class state { runnable, paused, parked, parked_with_limit, locked_out, frozen, done };

#if defined(__x86_64__)
extern "C" void millrace_explore_switch(void** save, void* to);
asm(R"(
.text
.weak millrace_explore_switch
.type millrace_explore_switch,@function
millrace_explore_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

class context {
 public:
  void start(std::byte* stack, std::size_t size, void (*entry)()) {
    auto top = reinterpret_cast<std::uintptr_t>(stack + size) & ~std::uintptr_t{15};
    auto* frame = reinterpret_cast<void**>(top) - 2;  // so that entry finds the stack as after a call
    frame[0] = reinterpret_cast<void*>(entry);
    frame[1] = nullptr;
    for (int i = 1; i <= 6; ++i) *(frame - i) = nullptr;
    sp_ = frame - 6;
  }
  static void change(context& from, context& to) { millrace_explore_switch(&from.sp_, to.sp_); }

 private:
  void* sp_ = nullptr;
};
#else
class context {
 public:
  void start(std::byte* stack, std::size_t size, void (*entry)()) {
    getcontext(&c_);
    c_.uc_stack.ss_sp = stack;
    c_.uc_stack.ss_size = size;
    c_.uc_link = nullptr;
    makecontext(&c_, entry, 0);
  }
  static void change(context& from, context& to) { swapcontext(&from.c_, &to.c_); }

 private:
  ucontext_t c_;
};
#endif

struct thread {
  state at = state::done;
  view sees;  // what has happened for it
  const void* waits_on = nullptr;
  bool woken = false;  // by unpark, as opposed to its limit
  context where;
};

class engine {
 public:
  options opt;
  bool random = false;
  std::mt19937_64 rng;

  // --- choices ---
  struct choice {
    std::uint32_t taken;
    std::uint32_t of;
  };
  std::vector<choice> trail;
  std::size_t depth = 0;

  std::uint32_t choose(std::uint32_t n) {
    if (n <= 1) return 0;
    if (depth == trail.size()) trail.push_back({random ? static_cast<std::uint32_t>(rng() % n) : 0, n});
    if (trail[depth].of != n) {
      std::fprintf(stderr, "explore: the world does not repeat itself: same choices, other alternatives\n");
      std::abort();
    }
    return trail[depth++].taken;
  }
  /// Moves on to the next path of the tree; false: that was the last.
  bool next_path() {
    while (!trail.empty() && trail.back().taken + 1 == trail.back().of) trail.pop_back();
    if (trail.empty()) return false;
    ++trail.back().taken;
    return true;
  }

  // --- threads ---
  std::array<thread, most_threads> threads;
  std::vector<std::unique_ptr<std::byte[]>> stacks;
  static constexpr std::size_t stack_size = 128 * 1024;
  // why a stack of its own: building and finishing may fail inside a function that is noexcept, and are then given up
  static constexpr std::size_t scheduler_stack_size = 1024 * 1024;
  std::unique_ptr<std::byte[]> scheduler_stack;
  context scheduler;
  context home;  // of who explores
  int running = 0;
  int count = 0;  // of the world's threads: 1 .. count; 0 builds and finishes
  int preemptions = 0;
  int stale = 0;
  int frozen = 0;
  std::uint64_t steps = 0;
  bool failed = false;
  std::string why;
  std::function<void(int)> body;
  std::vector<std::pair<int, site>> schedule;  // for the report

  thread& me() { return threads[std::size_t(running)]; }

  /// Before every operation: somebody else may go first.
  void step(const site& s) {
    if (running == 0) return;
    count_step();
    preempt();
    schedule.emplace_back(running, s);
  }
  void count_step() {
    if (++steps > opt.most_steps) fail("livelock: the threads go on without getting anywhere");
  }
  void preempt() {
    if (opt.frozen > frozen && choose_rarely(2) == 1) {
      ++frozen;
      me().at = state::frozen;
      reschedule();
    }
    if (preemptions >= opt.preemptions && !random) return;
    // Everybody else who can run, and the one who runs now first.
    std::array<int, most_threads> who;
    std::uint32_t n = 0;
    who[n++] = running;
    for (int t = 1; t <= count; ++t) {
      if (t != running && can_run(t)) who[n++] = t;
    }
    const int next = who[random ? (rng_one_in(4) ? choose(n) : keep(n)) : choose(n)];
    if (next == running) return;
    ++preemptions;
    change_to(next);
  }
  std::uint32_t keep(
      std::uint32_t n) {  // random mode's bias towards going on, on the trail so that it replays
    if (n <= 1) return 0;
    if (depth == trail.size()) trail.push_back({0, n});
    return trail[depth++].taken;
  }
  bool rng_one_in(unsigned n) { return depth < trail.size() || rng() % n == 0; }
  std::uint32_t choose_rarely(std::uint32_t n) {
    if (!random) return choose(n);
    return rng_one_in(24) ? choose(n) : keep(n);
  }

  [[nodiscard]] bool can_run(int t) const {
    const state s = threads[std::size_t(t)].at;
    return s == state::runnable || s == state::parked_with_limit || s == state::paused;
  }

  /// The running thread cannot, or should not, go on; picks another. Free of charge.
  void reschedule() {
    std::array<int, most_threads> who;
    std::uint32_t n = 0;
    const auto collect = [&](state s) {
      for (int t = 1; t <= count; ++t) {
        if (threads[std::size_t(t)].at == s && (t != running || s == state::parked_with_limit)) who[n++] = t;
      }
    };
    collect(state::runnable);
    collect(state::parked_with_limit);  // the one that runs now too: its limit may pass
    if (n == 0) {
      collect(state::paused);
      if (me().at == state::paused) who[n++] = running;
    }
    if (n == 0) {
      // Nobody can go on. Fine if all are done, or those left only wait for one that is frozen.
      change_to(0);
      return;
    }
    const int next = who[choose(n)];
    if (next != running) change_to(next);
    me().at = me().at == state::paused || me().at == state::parked_with_limit ? state::runnable : me().at;
  }

  void change_to(int next) {
    const int from = running;
    running = next;
    if (next != 0) {
      thread& t = threads[std::size_t(next)];
      if (t.at == state::paused || t.at == state::parked_with_limit) t.at = state::runnable;
    }
    context& a = from == 0 ? scheduler : threads[std::size_t(from)].where;
    context& b = next == 0 ? scheduler : threads[std::size_t(next)].where;
    context::change(a, b);
  }

  [[noreturn]] void fail(const std::string& message) {
    if (!failed) {
      failed = true;
      why = message + "\n  schedule (thread at operation):";
      int last = -1;
      std::string line;
      const std::size_t from = schedule.size() > 400 ? schedule.size() - 400 : 0;
      for (std::size_t i = from; i < schedule.size(); ++i) {
        if (schedule[i].first != last) line += "\n    " + std::to_string(last = schedule[i].first) + ":";
        line += " " + schedule[i].second.name();
      }
      why += line;
    }
    if (running == 0) {
      context::change(scheduler, home);
    } else {
      me().at = state::done;
      change_to(0);
    }
    std::abort();  // an execution that has failed is never resumed
  }

  static engine*& current() {
    static engine* e = nullptr;
    return e;
  }
  static void entry() {
    engine& e = *current();
    const int i = e.running;
    e.body(i - 1);
    e.me().at = state::done;
    e.reschedule();
    std::abort();  // nobody goes back to a thread that is done
  }

  // --- memory ---
  std::vector<location> locations;
  std::size_t used = 0;
  int ids = 0;
  view sc;  // what sequentially consistent operations have seen
  long plain_instances = 0;
  // Who last touched the storage of a value that has been destroyed: the next one in its place is compared.
  struct grave {
    int writer;
    clock_type written;
    std::array<clock_type, most_threads> read;
  };
  std::unordered_map<const void*, grave> graves;
  // Storage of `arena` stays readable until the execution is over, so that who comes too late is found out.
  std::vector<std::unique_ptr<std::byte[]>> storage;
  long pieces = 0;
  static inline std::uint64_t execution = 0;  // of all engines

  location& create(std::uint64_t first, std::uint64_t second, bool pair) {
    if (ids + (pair ? 2 : 1) > most_locations) {
      std::fprintf(stderr, "explore: more than %d locations\n", most_locations);
      std::abort();
    }
    if (used == locations.size()) locations.emplace_back();
    location& l = locations[used++];
    l.first_id = ids++;
    l.second_id = pair ? ids++ : l.first_id;
    l.destroyed = false;
    tick();
    l.creator = running;
    l.created = me().sees.happened[std::size_t(running)];
    l.touched.fill(0);
    l.stores.clear();
    l.stores.push_back({first, second, view{}});
    me().sees.store[std::size_t(l.first_id)] = 0;
    me().sees.store[std::size_t(l.second_id)] = 0;
    return l;
  }

  // An atomic is built and destroyed as a plain value is, and with the same right to do so.
  void touch(location& l) {
    const auto& happened = me().sees.happened;
    if (l.destroyed) fail("an atomic is used after it was destroyed");
    if (happened[std::size_t(l.creator)] < l.created)
      fail("data race: use of an atomic that another thread just built");
    tick();  // what the thread published before this, it published without it
    l.touched[std::size_t(running)] = happened[std::size_t(running)];
  }
  void destroy(std::size_t index) {
    location& l = locations[index];
    for (std::size_t t = 0; t < l.touched.size(); ++t) {
      if (me().sees.happened[t] < l.touched[t])
        fail("data race: an atomic is destroyed while another thread uses it");
    }
    l.destroyed = true;
  }

  std::memory_order weakened(std::memory_order order, const site& s) {
    if (order == std::memory_order_relaxed) return order;
    if (order != std::memory_order_acq_rel) return apply(order, s, weaker(order));
    order = apply(order, {s.file, s.line, *s.what ? s.what : "release half"}, std::memory_order_acquire);
    if (order != std::memory_order_acq_rel) return order;
    return apply(order, {s.file, s.line, "acquire half"}, std::memory_order_release);
  }
  static std::memory_order weaker(std::memory_order order) {
    return order == std::memory_order_seq_cst ? std::memory_order_acq_rel : std::memory_order_relaxed;
  }
  std::memory_order apply(std::memory_order order, const site& s, std::memory_order instead) {
    if (opt.sites != nullptr) opt.sites->insert(s);
    return opt.weakened != nullptr && *opt.weakened == s ? instead : order;
  }

  static bool acquires(std::memory_order o) {
    return o == std::memory_order_acquire || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
  }
  static bool releases(std::memory_order o) {
    return o == std::memory_order_release || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
  }

  void tick() { ++me().sees.happened[std::size_t(running)]; }

  const stored& load(location& l, int id, std::memory_order order, const site& s) {
    order = weakened(order, s);
    step(s);
    touch(l);
    const auto newest = static_cast<clock_type>(l.stores.size() - 1);
    clock_type oldest = me().sees.store[std::size_t(id)];
    if (order == std::memory_order_seq_cst) oldest = std::max(oldest, sc.store[std::size_t(id)]);
    clock_type at = newest;
    if (oldest < newest && (stale < opt.stale_reads) && running != 0) {
      at = static_cast<clock_type>(newest - choose_rarely(std::uint32_t(newest - oldest) + 1));
      if (at != newest) ++stale;
    }
    const stored& from = l.stores[at];
    me().sees.store[std::size_t(id)] = at;
    if (acquires(order)) me().sees.join(from.released, ids);
    tick();
    return from;
  }

  void append(location& l, std::uint64_t first, std::uint64_t second, std::memory_order order,
              const view* sequence) {
    tick();
    const auto at = static_cast<clock_type>(l.stores.size());
    for (const int id : {l.first_id, l.second_id}) {
      me().sees.store[std::size_t(id)] = at;
      if (order == std::memory_order_seq_cst) sc.store[std::size_t(id)] = at;
    }
    view released = releases(order) ? me().sees : view{};
    for (const int id : {l.first_id, l.second_id}) released.store[std::size_t(id)] = at;
    if (sequence != nullptr) released.join(*sequence, ids);
    l.stores.push_back({first, second, released});
  }

  void store(location& l, std::uint64_t value, std::memory_order order, const site& s) {
    order = weakened(order, s);
    step(s);
    touch(l);
    append(l, value, 0, order, nullptr);
  }

  /// `change(old)` gives what to write, or nothing.
  template <class Change>
  stored exchange(location& l, std::memory_order success, std::memory_order failure, const site& s,
                  Change change) {
    success = weakened(success, s);
    if (failure != std::memory_order_relaxed) failure = weakened(failure, {s.file, s.line, "failure"});
    step(s);
    touch(l);
    const stored old = l.stores.back();  // a read-modify-write reads the newest
    millrace::detail::word_pair to{};
    const bool writes = change(old, to);
    const std::memory_order order = writes ? success : failure;
    const auto at = static_cast<clock_type>(l.stores.size() - 1);
    for (const int id : {l.first_id, l.second_id}) me().sees.store[std::size_t(id)] = at;
    if (acquires(order)) me().sees.join(old.released, ids);
    if (writes) {
      append(l, to.first, to.second, order, &old.released);
    } else {
      tick();
    }
    return old;
  }

  void fence(const site& s) {
    if (opt.sites != nullptr) opt.sites->insert(s);
    if (opt.weakened != nullptr && *opt.weakened == s) return;
    step(s);
    // Only what the seam promises: an order of store and load. It releases and acquires nothing.
    for (int i = 0; i < ids; ++i) {
      clock_type& mine = me().sees.store[std::size_t(i)];
      clock_type& all = sc.store[std::size_t(i)];
      mine = all = std::max(mine, all);
    }
    tick();
  }

  void heavy_fence(const site& s) {
    if (opt.sites != nullptr) opt.sites->insert(s);
    if (opt.weakened != nullptr && *opt.weakened == s) return;
    step(s);
    // Every other thread makes a full barrier at some instant inside of it: what was done before it, here and there,
    // is to be seen after it, there and here.
    const view before = me().sees;
    for (int t = 0; t <= count; ++t) {
      view& other = threads[std::size_t(t)].sees;
      for (std::size_t i = 0; i < std::size_t(ids); ++i)
        other.store[i] = std::max(other.store[i], before.store[i]);
    }
    see_the_newest();
    tick();
  }
  void see_the_newest() {
    for (std::size_t i = 0; i < used; ++i) {
      const location& l = locations[i];
      for (const int id : {l.first_id, l.second_id}) {
        me().sees.store[std::size_t(id)] = static_cast<clock_type>(l.stores.size() - 1);
      }
    }
  }

  void pause(const site& s) {
    if (running == 0) return;
    count_step();
    schedule.emplace_back(running, s);
    // In time, everything becomes visible; and who spins lets the others run.
    see_the_newest();
    me().at = state::paused;
    reschedule();
    me().at = state::runnable;
  }

  bool park(location& l, std::uint64_t old, bool limited, const site& s) {
    step(s);
    touch(l);
    if (l.stores.back().first != old) return true;  // the kernel looks at the newest value
    me().at = limited ? state::parked_with_limit : state::parked;
    me().waits_on = &l;
    me().woken = false;
    reschedule();
    me().waits_on = nullptr;
    if (!limited) return true;
    return me().woken;
  }
  void unpark(location& l, const site& s) {
    step(s);
    for (int t = 1; t <= count; ++t) {
      thread& other = threads[std::size_t(t)];
      if (other.waits_on == &l && (other.at == state::parked || other.at == state::parked_with_limit)) {
        other.woken = true;
        other.at = state::runnable;
        return;
      }
    }
  }

  // --- one execution ---
  void (engine::*whole)() = nullptr;
  template <class World>
  void run() {
    if (scheduler_stack == nullptr) {
      scheduler_stack = std::make_unique_for_overwrite<std::byte[]>(scheduler_stack_size);
    }
    whole = &engine::execute<World>;
    scheduler.start(scheduler_stack.get(), scheduler_stack_size, [] {
      engine& e = *current();
      (e.*e.whole)();
      context::change(e.scheduler, e.home);
      std::abort();  // it is over
    });
    context::change(home, scheduler);
  }
  template <class World>
  void execute() {
    depth = 0;
    used = 0;
    ids = 0;
    preemptions = stale = frozen = 0;
    steps = 0;
    plain_instances = 0;
    graves.clear();
    storage.clear();
    pieces = 0;
    ++execution;
    sc = view{};
    schedule.clear();
    running = 0;
    for (thread& t : threads) {
      t.at = state::done;
      t.sees = view{};
      t.waits_on = nullptr;
    }
    count = World::threads;
    static_assert(World::threads < most_threads);
    // why: on the heap, and given up on a failure: threads that stand still inside it must not be unwound
    auto* world = new World();
    tick();
    body = [world](int i) { world->thread(i); };
    while (int(stacks.size()) <= count) stacks.push_back(std::make_unique<std::byte[]>(stack_size));
    for (int t = 1; t <= count; ++t) {
      threads[std::size_t(t)].sees = threads[0].sees;
      // What it does before it first publishes anything, nobody has heard of.
      threads[std::size_t(t)].sees.happened[std::size_t(t)] = 1;
      threads[std::size_t(t)].at = state::runnable;
      threads[std::size_t(t)].where.start(stacks[std::size_t(t)].get(), stack_size, &entry);
    }
    change_to(1 + static_cast<int>(choose(static_cast<std::uint32_t>(count))));
    if (failed) return;
    bool any_frozen = false;
    for (int t = 1; t <= count; ++t) {
      const state s = threads[std::size_t(t)].at;
      if (s == state::frozen) {
        any_frozen = true;
      } else if (s != state::done) {
        fail("deadlock or lost wake-up: thread " + std::to_string(t) +
             (s == state::locked_out ? " waits for a mutex" : " sleeps, and nobody will wake it"));
      }
      threads[0].sees.join(threads[std::size_t(t)].sees, ids);
    }
    if (any_frozen) {
      if constexpr (requires { world->finish_without_frozen(); }) world->finish_without_frozen();
      return;  // what they hold is lost with them
    }
    world->finish();
    delete world;
    if (plain_instances != 0) fail("leak: " + std::to_string(plain_instances) + " values were not destroyed");
    if (pieces != 0) fail("leak: " + std::to_string(pieces) + " pieces of storage");
  }
};

inline engine& now() { return *engine::current(); }

/// While there is one, an access to memory that is not there fails the execution: a weakened order may lead to one.
// why a stack of its own: the one that the access was made on may be what has run out
class crash_catcher {
 public:
  crash_catcher() {
    stack_t mine{};
    mine.ss_sp = stack_.get();
    mine.ss_size = size;
    sigaltstack(&mine, &stack_before_);
    struct sigaction action{};
    action.sa_flags = SA_ONSTACK | SA_NODEFER;  // the handler is left by a change of context
    action.sa_handler = [](int signal) {
      if (engine::current() != nullptr && !now().failed) now().fail("memory that is not there is touched");
      std::signal(signal, SIG_DFL);
      std::raise(signal);
    };
    sigaction(SIGSEGV, &action, &before_);
  }
  crash_catcher(const crash_catcher&) = delete;
  crash_catcher& operator=(const crash_catcher&) = delete;
  ~crash_catcher() {
    sigaction(SIGSEGV, &before_, nullptr);
    sigaltstack(&stack_before_, nullptr);
  }

 private:
  static constexpr std::size_t size = 64 * 1024;
  std::unique_ptr<std::byte[]> stack_ = std::make_unique_for_overwrite<std::byte[]>(size);
  stack_t stack_before_{};
  struct sigaction before_{};
};

}  // namespace detail

/// Fails the execution, and with it the exploration.
inline void check(bool holds, const char* what) {
  if (!holds) detail::now().fail(std::string("check failed: ") + what);
}

#define EXPLORE_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);

 public:
  atomic() : atomic(T{}) {}
  atomic(T v) : l_(index(detail::now().create(bits(v), 0, false))) {}  // NOLINT
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  ~atomic() { detail::now().destroy(l_); }
  static constexpr bool is_always_lock_free = true;

  T load(std::memory_order o, EXPLORE_HERE) const {
    return value(detail::now().load(at(), at().first_id, o, {file, line, ""}).first);
  }
  void store(T v, std::memory_order o, EXPLORE_HERE) {
    detail::now().store(at(), bits(v), o, {file, line, ""});
  }
  T exchange(T v, std::memory_order o, EXPLORE_HERE) {
    return modify(o, file, line, [&](T) { return v; });
  }
  T fetch_add(T v, std::memory_order o, EXPLORE_HERE) {
    return modify(o, file, line, [&](T old) { return static_cast<T>(old + v); });
  }
  T fetch_sub(T v, std::memory_order o, EXPLORE_HERE) {
    return modify(o, file, line, [&](T old) { return static_cast<T>(old - v); });
  }
  T fetch_or(T v, std::memory_order o, EXPLORE_HERE) {
    return modify(o, file, line, [&](T old) { return static_cast<T>(old | v); });
  }
  T fetch_and(T v, std::memory_order o, EXPLORE_HERE) {
    return modify(o, file, line, [&](T old) { return static_cast<T>(old & v); });
  }
  bool compare_exchange_strong(T& expected, T to, std::memory_order ok, std::memory_order no, EXPLORE_HERE) {
    bool done = false;
    const auto old = detail::now().exchange(at(), ok, no, {file, line, ""},
                                            [&](const detail::stored& s, millrace::detail::word_pair& w) {
                                              w = {bits(to), 0};
                                              return done = s.first == bits(expected);
                                            });
    if (!done) expected = value(old.first);
    return done;
  }
  bool compare_exchange_strong(T& expected, T to, std::memory_order o, EXPLORE_HERE) {
    const std::memory_order no = o == std::memory_order_acq_rel   ? std::memory_order_acquire
                                 : o == std::memory_order_release ? std::memory_order_relaxed
                                                                  : o;
    return compare_exchange_strong(expected, to, o, no, file, line);
  }
  bool compare_exchange_weak(T& expected, T to, std::memory_order ok, std::memory_order no, EXPLORE_HERE) {
    return compare_exchange_strong(expected, to, ok, no, file, line);
  }
  bool compare_exchange_weak(T& expected, T to, std::memory_order o, EXPLORE_HERE) {
    return compare_exchange_strong(expected, to, o, file, line);
  }

 private:
  friend struct sync;
  static std::uint64_t bits(T v) {
    std::uint64_t b = 0;
    std::memcpy(&b, &v, sizeof v);
    return b;
  }
  static T value(std::uint64_t b) {
    T v;
    std::memcpy(&v, &b, sizeof v);
    return v;
  }
  template <class F>
  T modify(std::memory_order o, const char* file, int line, F f) {
    return value(detail::now()
                     .exchange(at(), o, std::memory_order_relaxed, {file, line, ""},
                               [&](const detail::stored& s, millrace::detail::word_pair& w) {
                                 w = {bits(f(value(s.first))), 0};
                                 return true;
                               })
                     .first);
  }
  static std::size_t index(const detail::location& l) {
    return static_cast<std::size_t>(&l - detail::now().locations.data());
  }
  detail::location& at() const { return detail::now().locations[l_]; }
  std::size_t l_;
};

class atomic_pair {
  using word_pair = millrace::detail::word_pair;

 public:
  explicit atomic_pair(word_pair v)
      : l_(static_cast<std::size_t>(&detail::now().create(v.first, v.second, true) -
                                    detail::now().locations.data())) {}
  atomic_pair(const atomic_pair&) = delete;
  atomic_pair& operator=(const atomic_pair&) = delete;
  ~atomic_pair() { detail::now().destroy(l_); }

  std::uint64_t first(std::memory_order o, EXPLORE_HERE) const {
    return detail::now().load(at(), at().first_id, o, {file, line, ""}).first;
  }
  std::uint64_t second(std::memory_order o, EXPLORE_HERE) const {
    return detail::now().load(at(), at().second_id, o, {file, line, ""}).second;
  }
  bool compare_exchange(word_pair& expected, word_pair to, std::memory_order o, EXPLORE_HERE) {
    bool done = false;
    const auto old = detail::now().exchange(
        at(), o, std::memory_order_relaxed, {file, line, ""}, [&](const detail::stored& s, word_pair& w) {
          w = to;
          return done = s.first == expected.first && s.second == expected.second;
        });
    if (!done) expected = {old.first, old.second};
    return done;
  }

 private:
  detail::location& at() const { return detail::now().locations[l_]; }
  std::size_t l_;
};

class mutex {
 public:
  void lock(EXPLORE_HERE) {
    auto& e = detail::now();
    e.step({file, line, ""});
    while (held_) {
      e.me().at = detail::state::locked_out;
      e.me().waits_on = this;
      e.reschedule();
    }
    held_ = true;
    e.me().sees.join(left_, e.ids);
    e.tick();
  }
  void unlock(EXPLORE_HERE) {
    auto& e = detail::now();
    e.step({file, line, ""});
    left_ = e.me().sees;
    e.tick();
    held_ = false;
    for (auto& t : e.threads) {
      if (t.at == detail::state::locked_out && t.waits_on == this) t.at = detail::state::runnable;
    }
  }

 private:
  bool held_ = false;
  detail::view left_;
};

/// A value that is not atomic: every access is checked for races, every instance counted.
template <class T>
class plain {
 public:
  plain() : plain(T{}) {}
  explicit plain(T v) : value_(v) {
    auto& e = detail::now();
    ++e.plain_instances;
    if (const auto grave = e.graves.find(this); grave != e.graves.end()) {
      writer_ = grave->second.writer;
      written_ = grave->second.written;
      read_ = grave->second.read;
      e.graves.erase(grave);
      may_write();
    }
    wrote();
  }
  plain(const plain& o) : plain(o.get()) {}
  plain(plain&& o) noexcept : plain(o.get()) { o.set(T{}); }
  plain& operator=(const plain& o) {
    set(o.get());
    return *this;
  }
  plain& operator=(plain&& o) noexcept {
    set(o.get());
    o.set(T{});
    return *this;
  }
  ~plain() {
    may_write();
    wrote();
    --detail::now().plain_instances;
    detail::now().graves[this] = {writer_, written_, read_};
  }

  T get() const {
    auto& e = detail::now();
    const auto& seen = e.me().sees.happened;
    if (seen[std::size_t(writer_)] < written_)
      e.fail("data race: read of a value that another thread just wrote");
    e.tick();  // what the thread published before this, it published without it
    read_[std::size_t(e.running)] = seen[std::size_t(e.running)];
    return value_;
  }
  void set(T v) {
    may_write();
    value_ = v;
    wrote();
  }

 private:
  void may_write() const {
    auto& e = detail::now();
    const auto& seen = e.me().sees.happened;
    if (seen[std::size_t(writer_)] < written_) e.fail("data race: two writes");
    for (std::size_t t = 0; t < read_.size(); ++t) {
      if (seen[t] < read_[t]) e.fail("data race: write of a value that another thread is reading");
    }
  }
  void wrote() {
    auto& e = detail::now();
    e.tick();
    writer_ = e.running;
    written_ = e.me().sees.happened[std::size_t(e.running)];
  }

  T value_;
  int writer_ = 0;
  detail::clock_type written_ = 0;
  mutable std::array<detail::clock_type, most_threads> read_{};
};

/// The running thread stops here for good, in every execution. The others must come to an end without it.
inline void stop_for_good() {
  auto& e = detail::now();
  if (e.running == 0) return;
  e.me().at = detail::state::frozen;
  e.reschedule();
}

/// Storage goes back to the allocator, whose own synchronization is not modelled: what was there is forgotten.
inline void forget(const void* storage, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(storage);
  for (std::size_t i = 0; i < size; ++i) detail::now().graves.erase(bytes + i);
}

/// An allocator for what may be freed while somebody still looks at it, if the code under test is wrong.
template <class T>
struct arena {
  using value_type = T;
  arena() = default;
  template <class U>
  arena(const arena<U>&) noexcept {}  // NOLINT(google-explicit-constructor): as allocators are
  T* allocate(std::size_t n) {
    auto& e = detail::now();
    ++e.pieces;
    e.storage.push_back(std::make_unique<std::byte[]>(n * sizeof(T) + alignof(T)));
    void* p = e.storage.back().get();
    std::size_t room = n * sizeof(T) + alignof(T);
    return static_cast<T*>(std::align(alignof(T), n * sizeof(T), p, room));
  }
  void deallocate(T* p, std::size_t n) noexcept {
    --detail::now().pieces;
    forget(p, n * sizeof(T));
  }
  template <class U>
  bool operator==(const arena<U>&) const noexcept {
    return true;
  }
};

/// The seam, see millrace/core/sync.hpp.
struct sync {
  template <class T>
  using allocator = arena<T>;
  template <class T>
  using atomic = explore::atomic<T>;
  template <class T>
  using plain = explore::plain<T>;
  using atomic_pair = explore::atomic_pair;
  using mutex = explore::mutex;

  /// Readable or not; a loop waits for it with await().
  class event_fd {
   public:
    void signal() {
      readable_.store(1, std::memory_order_seq_cst);
      for (int t = 0; t < most_threads; ++t) unpark(readable_);  // everybody who polls
    }
    void drain() { readable_.exchange(0, std::memory_order_seq_cst); }
    void await() {
      while (readable_.load(std::memory_order_seq_cst) == 0) park(readable_, 0);
    }

   private:
    atomic<std::uint32_t> readable_{0};
  };

  static void pause(EXPLORE_HERE) { detail::now().pause({file, line, ""}); }
  static constexpr bool impatient = true;  // nobody pauses just to give others more time
  static void yield(EXPLORE_HERE) { detail::now().pause({file, line, ""}); }
  static void prefetch_to_write(const void*) {}
  static void fence_after_rmw(EXPLORE_HERE) { detail::now().fence({file, line, "fence"}); }
  static void prepare_fences() {}
  static void light_fence() {}  // by itself it orders nothing
  static void heavy_fence(EXPLORE_HERE) { detail::now().heavy_fence({file, line, "fence"}); }
  static void park(atomic<std::uint32_t>& word, std::uint32_t old, EXPLORE_HERE) {
    detail::now().park(word.at(), old, false, {file, line, ""});
  }
  template <class Limit>
  static bool park_until(atomic<std::uint32_t>& word, std::uint32_t old, Limit, EXPLORE_HERE) {
    const bool in_time = detail::now().park(word.at(), old, true, {file, line, ""});
    if (!in_time) time() = 1;
    return in_time;
  }
  static void unpark(atomic<std::uint32_t>& word, EXPLORE_HERE) {
    detail::now().unpark(word.at(), {file, line, ""});
  }
  static bool spinning_helps() { return false; }
  static std::uint32_t entropy() { return 1; }
  static std::uintptr_t this_thread() { return 1 + static_cast<std::uintptr_t>(detail::now().running); }
  static std::size_t random_below(std::size_t n) {
    return detail::now().choose(static_cast<std::uint32_t>(n));
  }

  static std::int64_t& time() {
    static std::int64_t t = 0;
    return t;
  }
};

/// A clock that stands at 0 until some limit passes, which may be at any step of somebody else.
struct clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept { return time_point(duration(sync::time())); }
};

/// Every execution within the bounds, or `options.executions` random ones.
template <class World>
verdict exhaust(const options& o) {
  const detail::crash_catcher catcher;
  detail::engine e;
  detail::engine*& current = detail::engine::current();
  detail::engine* const outer = std::exchange(current, &e);
  e.opt = o;
  e.random = o.executions != 0;
  e.locations.reserve(most_locations);
  verdict v;
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    if (e.random) {
      e.rng.seed(o.seed + v.executions);
      e.trail.clear();
    }
    sync::time() = 0;
    e.run<World>();
    ++v.executions;
    if (e.failed) {
      v.ok = v.complete = false;
      v.failure = e.why + "\n  in execution " + std::to_string(v.executions) +
                  (e.random ? " of seed " + std::to_string(o.seed) : std::string());
      break;
    }
    if (e.random ? v.executions >= o.executions : !e.next_path()) break;
    if (o.seconds > 0 && v.executions % 1024 == 0 &&
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > o.seconds) {
      v.complete = e.random;
      break;
    }
  }
  current = outer;
  return v;
}

}  // namespace explore
