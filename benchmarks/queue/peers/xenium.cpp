// xenium's Vyukov ring, in the form whose full and empty are true, which is its default; Nikolaev's queue, where the
// installed version has it; and Ramalhete's, without a limit, over the reclaimer that xenium's own benchmark gives it.
#include "support/suite.hpp"

#if __has_include(<xenium/vyukov_bounded_queue.hpp>)
#include <xenium/ramalhete_queue.hpp>
#include <xenium/reclamation/generic_epoch_based.hpp>
#include <xenium/vyukov_bounded_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace {

template <class Queue>
class adapter {
 public:
  using value_type = typename Queue::value_type;
  explicit adapter(std::size_t capacity) : queue_(capacity) {}
  bool try_push(value_type&& v) { return queue_.try_push(std::move(v)); }
  bool try_pop(value_type& v) { return queue_.try_pop(v); }

 private:
  Queue queue_;
};

// It holds plain pointers only: a word is written into one (it must be less than 2^63, and not 0), and a block lies
// on the heap.
template <class T>
class ramalhete {
 public:
  using value_type = T;
  explicit ramalhete(std::size_t) {}
  bool try_push(T&& v) {
    if constexpr (std::is_same_v<T, bench::word>) {
      queue_.push(reinterpret_cast<pointee*>(v));
    } else if constexpr (std::is_same_v<T, bench::pointer>) {
      queue_.push(v.release());
    } else {
      queue_.push(new T(v));
    }
    return true;
  }
  bool try_pop(T& v) {
    pointee* p;
    if (!queue_.try_pop(p)) return false;
    if constexpr (std::is_same_v<T, bench::word>) {
      v = reinterpret_cast<bench::word>(p);
    } else if constexpr (std::is_same_v<T, bench::pointer>) {
      v.reset(p);
    } else {
      v = *std::unique_ptr<T>(p);
    }
    return true;
  }

 private:
  using pointee = std::conditional_t<std::is_same_v<T, bench::block>, T, const std::uint64_t>;
  xenium::ramalhete_queue<pointee*, xenium::policy::reclaimer<xenium::reclamation::epoch_based<>>> queue_;
};

template <template <class, class...> class Queue>
void add_all(bench::suite& s, const char* name, bench::role as) {
  s.add<adapter<Queue<bench::word>>>(name, as);
  s.add<adapter<Queue<bench::block>>>(name, as);
  s.add<adapter<Queue<bench::pointer>>>(name, as);
}

}  // namespace

#if __has_include(<xenium/nikolaev_bounded_queue.hpp>)
#include <xenium/nikolaev_bounded_queue.hpp>
namespace {
void add_nikolaev(bench::suite& s) {
  add_all<xenium::nikolaev_bounded_queue>(s, "xenium::nikolaev_bounded_queue", bench::role::lock_free_peer);
}
}  // namespace
#else
namespace {
void add_nikolaev(bench::suite& s) {
  s.missing("xenium::nikolaev_bounded_queue: not in the installed xenium");
}
}  // namespace
#endif

void bench::add_xenium(suite& s) {
  add_all<xenium::vyukov_bounded_queue>(s, "xenium::vyukov_bounded_queue", role::peer);
  add_nikolaev(s);
  const char* endless = "xenium::ramalhete_queue";
  s.add_unbounded<ramalhete<word>>(endless, role::lock_free_peer);
  s.add_unbounded<ramalhete<block>>(endless, role::lock_free_peer);
  s.add_unbounded<ramalhete<pointer>>(endless, role::lock_free_peer);
}
#else
void bench::add_xenium(suite& s) { s.missing("xenium: libxenium-dev"); }
#endif
