#include "time/peers/indexed_heap.hpp"

#include <optional>

#include "support/suite.hpp"

namespace {

using namespace bench;

class heap {
  using type = peers::indexed_heap<word>;

 public:
  using handle = type::handle;
  explicit heap(nanos) {}
  handle schedule(nanos deadline, word payload) { return heap_.push(deadline, payload); }
  void cancel(handle h) { heap_.erase(h); }
  handle reschedule(handle h, nanos deadline) {
    heap_.move(h, deadline);
    return h;
  }
  void settle() {}
  void advance(nanos now, fired_list& fired) {
    while (!heap_.empty() && heap_.first() <= now) fired(heap_.pop());
  }
  [[nodiscard]] std::optional<nanos> next() const {
    if (heap_.empty()) return std::nullopt;
    return heap_.first();
  }

 private:
  type heap_;
};

}  // namespace

void bench::add_indexed_heap(suite& s) { s.add_timers<heap>("4-ary heap", role::peer); }
