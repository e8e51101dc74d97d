#include "support/suite.hpp"

// BENCH_TBB: the build has found the library to link with.
#if BENCH_TBB && __has_include(<oneapi/tbb/concurrent_queue.h>)
#include <oneapi/tbb/concurrent_queue.h>

#include <cstddef>
#include <utility>

namespace {

template <class T>
class bounded {
 public:
  using value_type = T;
  explicit bounded(std::size_t capacity) { queue_.set_capacity(static_cast<std::ptrdiff_t>(capacity)); }
  bool try_push(T&& v) { return queue_.try_push(std::move(v)); }
  bool try_pop(T& v) { return queue_.try_pop(v); }
  void push(T&& v) { queue_.push(std::move(v)); }
  void pop(T& v) { queue_.pop(v); }

 private:
  tbb::concurrent_bounded_queue<T> queue_;
};

template <class T>
class growing {
 public:
  using value_type = T;
  explicit growing(std::size_t) {}
  bool try_push(T&& v) {
    queue_.push(std::move(v));
    return true;
  }
  bool try_pop(T& v) { return queue_.try_pop(v); }

 private:
  tbb::concurrent_queue<T> queue_;
};

}  // namespace

void bench::add_tbb(suite& s) {
  const char* name = "tbb::concurrent_bounded_queue";
  s.add<bounded<word>>(name, role::peer);
  s.add<bounded<block>>(name, role::peer);
  s.add<bounded<pointer>>(name, role::peer);
  const char* endless = "tbb::concurrent_queue";
  s.add_unbounded<growing<word>>(endless, role::peer);
  s.add_unbounded<growing<block>>(endless, role::peer);
  s.add_unbounded<growing<pointer>>(endless, role::peer);
}
#else
void bench::add_tbb(suite& s) {
  s.missing("tbb::concurrent_bounded_queue, tbb::concurrent_queue: libtbb-dev");
}
#endif
