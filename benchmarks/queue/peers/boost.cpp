// boost::lockfree. Its queue takes only trivial types, so a pointer travels raw; `bounded_push` keeps it within
// the nodes that were allocated beforehand.
#include "support/suite.hpp"

#if __has_include(<boost/lockfree/queue.hpp>) && __has_include(<boost/lockfree/spsc_queue.hpp>)
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <cstddef>
#include <utility>

namespace {

template <class T>
class nodes {
 public:
  using value_type = T;
  explicit nodes(std::size_t capacity) : queue_(capacity) {}
  bool try_push(T&& v) { return queue_.bounded_push(v); }
  bool try_pop(T& v) { return queue_.pop(v); }

 private:
  boost::lockfree::queue<T> queue_;
};

template <>
class nodes<bench::pointer> {
 public:
  using value_type = bench::pointer;
  explicit nodes(std::size_t capacity) : queue_(capacity) {}
  bool try_push(bench::pointer&& v) {
    if (!queue_.bounded_push(v.get())) return false;
    static_cast<void>(v.release());
    return true;
  }
  bool try_pop(bench::pointer& v) {
    bench::pointer::pointer raw;
    if (!queue_.pop(raw)) return false;
    v.reset(raw);
    return true;
  }

 private:
  boost::lockfree::queue<bench::pointer::pointer> queue_;
};

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
  s.add<nodes<word>>(name, role::lock_free_peer);
  s.add<nodes<block>>(name, role::lock_free_peer);
  s.add<nodes<pointer>>(name, role::lock_free_peer);
  s.add<ring<word>>("boost::lockfree::spsc_queue", role::lock_free_peer);
  s.add<ring<block>>("boost::lockfree::spsc_queue", role::lock_free_peer);
}
#else
void bench::add_boost(suite& s) { s.missing("boost::lockfree: libboost-dev"); }
#endif
