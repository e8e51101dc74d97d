// boost::lockfree. Its queue takes only trivial types, so a pointer travels raw. `bounded_push` keeps it within
// the nodes that were allocated beforehand; where there is no limit, `push` allocates more.
#include "support/suite.hpp"

#if __has_include(<boost/lockfree/queue.hpp>) && __has_include(<boost/lockfree/spsc_queue.hpp>)
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <cstddef>
#include <utility>

namespace {

template <class T, bool Grows>
class nodes {
 public:
  using value_type = T;
  explicit nodes(std::size_t capacity) : queue_(capacity) {}
  bool try_push(T&& v) { return Grows ? queue_.push(v) : queue_.bounded_push(v); }
  bool try_pop(T& v) { return queue_.pop(v); }

 private:
  boost::lockfree::queue<T> queue_;
};

template <bool Grows>
class nodes<bench::pointer, Grows> {
  using raw = bench::pointer::pointer;

 public:
  using value_type = bench::pointer;
  explicit nodes(std::size_t capacity) : raw_(capacity) {}
  bool try_push(bench::pointer&& v) {
    if (!raw_.try_push(v.get())) return false;
    static_cast<void>(v.release());
    return true;
  }
  bool try_pop(bench::pointer& v) {
    raw p;
    if (!raw_.try_pop(p)) return false;
    v.reset(p);
    return true;
  }

 private:
  nodes<raw, Grows> raw_;
};

template <class T>
using bounded = nodes<T, false>;
template <class T>
using growing = nodes<T, true>;

template <class T>
class ring {
 public:
  using value_type = T;
  static constexpr bool one_to_one = true;
  explicit ring(std::size_t capacity) : queue_(capacity) {}
  bool try_push(T&& v) { return queue_.push(v); }
  bool try_pop(T& v) { return queue_.pop(v); }

 private:
  boost::lockfree::spsc_queue<T> queue_;
};

}  // namespace

void bench::add_boost(suite& s) {
  const char* name = "boost::lockfree::queue";
  s.add<bounded<word>>(name, role::lock_free_peer);
  s.add<bounded<block>>(name, role::lock_free_peer);
  s.add<bounded<pointer>>(name, role::lock_free_peer);
  s.add_unbounded<growing<word>>(name, role::lock_free_peer);
  s.add_unbounded<growing<block>>(name, role::lock_free_peer);
  s.add_unbounded<growing<pointer>>(name, role::lock_free_peer);
  s.add<ring<word>>("boost::lockfree::spsc_queue", role::lock_free_peer);
  s.add<ring<block>>("boost::lockfree::spsc_queue", role::lock_free_peer);
}
#else
void bench::add_boost(suite& s) { s.missing("boost::lockfree: libboost-dev"); }
#endif
