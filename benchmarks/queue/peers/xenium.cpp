// xenium's Vyukov ring, in the form whose full and empty are true, which is its default; and Nikolaev's queue,
// where the installed version has it.
#include "support/suite.hpp"

#if __has_include(<xenium/vyukov_bounded_queue.hpp>)
#include <xenium/vyukov_bounded_queue.hpp>

#include <cstddef>
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
}
#else
void bench::add_xenium(suite& s) { s.missing("xenium: libxenium-dev"); }
#endif
